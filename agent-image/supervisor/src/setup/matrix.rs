//! The Matrix channel: what its plugin reads, and the rooms that the agent joins. The token is a stub, like every other.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::Full;
use serde_json::Value;

use super::report::{Outcome, Tally};
use super::settings::read_or_put_aside;
use super::trust;
use crate::agent::{Agent, file};
use crate::files;

/// `~/.claude/channels/matrix/.env` and `access.json`.
pub(crate) fn write(agent: &Agent) -> Outcome {
    let Some(matrix) = &agent.file.matrix else { return Outcome::Skipped("no matrix section".into()) };
    match try_write(agent, matrix) {
        Ok(changed) => Outcome::of(changed, format!("{} at {}", matrix.user, matrix.homeserver)),
        Err(why) => Outcome::Failed(why),
    }
}

fn try_write(agent: &Agent, matrix: &file::Matrix) -> Result<bool, String> {
    let folder = agent.place.claude().join("channels/matrix");
    let mut text = String::new();
    let variables = [
        ("MATRIX_HOMESERVER_URL", &matrix.homeserver),
        ("MATRIX_ACCESS_TOKEN", &matrix.stub),
        ("MATRIX_BOT_USER_ID", &matrix.user),
    ];
    for (name, value) in variables {
        if value.is_empty() || value.contains(|c: char| c.is_control()) {
            return Err(format!("{name} is empty or has a line end: set it, or homeserver, stub and user of matrix"));
        }
        text.push_str(&format!("{name}={value}\n"));
    }
    let changed = files::replace(&folder.join(".env"), text.as_bytes(), 0o600).map_err(|error| error.to_string())?;
    let path = folder.join("access.json");
    let (now, _) = read_or_put_aside(&path)?;
    let mut next = now.clone();
    if let Some(members) = next.as_object_mut() {
        // Who may speak to the agent is said by its files alone.
        members.insert("allowedUsers".into(), Value::from(matrix.allowed_users.clone()));
        if matrix.ack_reaction.is_empty() {
            members.remove("ackReaction");
        } else {
            members.insert("ackReaction".into(), Value::from(matrix.ack_reaction.clone()));
        }
    }
    if next == now && path.exists() {
        return Ok(files::restrict(&path, 0o600).map_err(|error| error.to_string())? || changed);
    }
    files::replace(&path, format!("{next:#}\n").as_bytes(), 0o600).map_err(|error| error.to_string())?;
    Ok(true)
}

/// Joins the rooms, and says what the homeserver answered for each.
pub(crate) async fn join(agent: &Agent) -> Outcome {
    let Some(matrix) = agent.file.matrix.as_ref().filter(|matrix| !matrix.rooms.is_empty()) else {
        return Outcome::Skipped("no rooms".into());
    };
    let client = match trust::client(&agent.place, Duration::from_secs(10), 64 * 1024) {
        Ok(client) => client,
        Err(why) => return Outcome::Failed(why),
    };
    let mut tally = Tally::default();
    for room in &matrix.rooms {
        let address =
            format!("{}/_matrix/client/v3/join/{}", matrix.homeserver.trim_end_matches('/'), percent_encoded(room));
        let request = Request::post(&address)
            .header(AUTHORIZATION, format!("Bearer {}", matrix.stub))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from_static(b"{}")));
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                tally.failed(format!("{room}: {error}"));
                continue;
            }
        };
        match client.send(request).await {
            Ok(answer) if answer.status().is_success() => tally.unchanged(format!("{room}: {}", answer.status())),
            Ok(answer) => tally.failed(format!("{room}: {}{}", answer.status(), code(answer.body()))),
            Err(error) => tally.failed(format!("{room}: {error}")),
        }
    }
    tally.outcome()
}

/// Matrix' own word for what is wrong, or the firewall's.
fn code(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let word = body.get("errcode").or_else(|| body.get("reason")).and_then(Value::as_str);
    word.map(|word| format!(" ({})", word.chars().take(80).collect::<String>())).unwrap_or_default()
}

/// One segment of a path (RFC 3986, 2.3).
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_one_segment_of_a_path() {
        assert_eq!(percent_encoded("#dev/ops:matrix.example.com"), "%23dev%2Fops%3Amatrix.example.com");
        assert_eq!(percent_encoded("!aBc~1:ä"), "%21aBc~1%3A%C3%A4");
    }
}
