//! The client's settings: those of the image, of everybody, of this agent, and what the client wrote by itself (which plugins it
//! enabled). And the managed ones, which are the image's and only looked at.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::merge;
use super::record::Record;
use super::report::Outcome;
use super::sources;
use crate::agent::Agent;
use crate::files;

/// What the image sets for every agent.
const IMAGE: &str = include_str!("../../../defaults/settings.json");

/// Bytes of a file of the client's at most.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Where the client looks for settings that no user may change.
pub const MANAGED: &str = "/etc/claude-code/managed-settings.json";

/// Keeps the client from asking whether it may act without asking.
const SKIP: &str = "skipDangerousModePermissionPrompt";

/// `~/.claude/settings.json`.
pub(crate) fn write(agent: &Agent) -> Outcome {
    match try_write(agent) {
        Ok(outcome) => outcome,
        Err(why) => Outcome::Failed(why),
    }
}

fn try_write(agent: &Agent) -> Result<Outcome, String> {
    let sources = Value::Object(merged(agent)?);
    let path = agent.place.claude().join("settings.json");
    let (now, aside) = read_or_put_aside(&path)?;
    let last = Value::Object(Record::read(&agent.place).settings);
    let next = merge::applied(now.clone(), &last, &sources);
    // By meaning: the client writes the same with other blanks.
    let changed = next != now || !path.exists();
    if changed {
        files::replace(&path, format!("{next:#}\n").as_bytes(), 0o600).map_err(|error| error.to_string())?;
    }
    if let Value::Object(sources) = sources {
        Record::change(&agent.place, |record| record.settings = sources).map_err(|error| error.to_string())?;
    }
    Ok(Outcome::of(changed, aside.unwrap_or_default()))
}

/// What the sources say, the image's first.
pub(crate) fn merged(agent: &Agent) -> Result<Map<String, Value>, String> {
    let image: Value = serde_json::from_str(IMAGE).map_err(|error| error.to_string())?;
    let own = sources::object(agent, "settings.json")?;
    let hooks = hooks(agent);
    let Value::Object(all) = merge::over(merge::over(image, hooks), Value::Object(own)) else {
        return Ok(Map::new());
    };
    // The client throws the whole file away for one of these.
    if let Some((name, value)) = all
        .get("enabledPlugins")
        .and_then(Value::as_object)
        .and_then(|plugins| plugins.iter().find(|(_, value)| !value.is_boolean()))
    {
        return Err(format!("settings.json: enabledPlugins.{name} is {value}: the client takes true and false only"));
    }
    Ok(all)
}

/// The client calls us at the end of a turn where pull requests are watched.
fn hooks(agent: &Agent) -> Value {
    if agent.file.pr_comments.repositories.is_empty() {
        return json!({});
    }
    let command = "stubgate-agent hook pr-comments";
    json!({ "hooks": { "Stop": [{ "hooks": [
        { "type": "command", "command": command, "asyncRewake": true, "timeout": 30 }
    ] }] } })
}

/// An object of the client's; one that is broken is renamed, so that nothing of it is lost and nothing stops at it.
pub(crate) fn read_or_put_aside(path: &Path) -> Result<(Value, Option<String>), String> {
    let wrong = |why: String| format!("{}: {why}", path.display());
    let bytes = match files::read_bounded(path, LARGEST) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((json!({}), None)),
        Err(error) => return Err(wrong(error.to_string())),
    };
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(found @ Value::Object(_)) => Ok((found, None)),
        _ => {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(".broken");
            let aside = path.with_file_name(name);
            std::fs::rename(path, &aside).map_err(|error| wrong(error.to_string()))?;
            Ok((json!({}), Some(format!("{} was no JSON object and is kept as {}", path.display(), aside.display()))))
        }
    }
}

/// Whether the managed settings are there and name all that would otherwise be asked at the terminal. They are read-only, so
/// what is missing is only told.
pub(crate) fn look_at_managed(agent: &Agent, path: &Path) -> Outcome {
    let client = &agent.file.client;
    let managed = files::read_bounded(path, LARGEST)
        .map_err(|error| error.to_string())
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).map_err(|error| error.to_string()));
    let mut missing = Vec::new();
    let managed = managed.unwrap_or_else(|why| {
        missing.push(why);
        json!({})
    });
    let is_true = |name: &str| managed.get(name) == Some(&Value::Bool(true));
    let own = merged(agent).unwrap_or_default();
    let is_skipped = is_true(SKIP) || own.get(SKIP) == Some(&Value::Bool(true));
    if client.permission_mode == "bypassPermissions" && !is_skipped {
        missing.push(format!(
            "no settings have {SKIP}: the client asks `WARNING: Claude Code running in Bypass Permissions mode`"
        ));
    }
    if !client.channels.is_empty() && !is_true("channelsEnabled") {
        missing.push("without channelsEnabled no message of a channel arrives".into());
    }
    for channel in &client.channels {
        if let Some(why) = why_not_allowed(channel, &managed) {
            missing.push(why);
        }
    }
    if missing.is_empty() {
        Outcome::Unchanged(path.display().to_string())
    } else {
        Outcome::Failed(format!(
            "{}: {}: bake or mount agent-image/defaults/managed-settings.json there, with every channel in it",
            path.display(),
            missing.join("; ")
        ))
    }
}

fn why_not_allowed(channel: &str, managed: &Value) -> Option<String> {
    let Some((plugin, marketplace)) = channel.strip_prefix("plugin:").and_then(|channel| channel.split_once('@'))
    else {
        return Some(format!(
            "{channel} is no plugin, so no list can allow it: its messages are dropped, or the client asks `WARNING: \
             Loading development channels` if it is started with them"
        ));
    };
    let allowed = managed.get("allowedChannelPlugins").and_then(Value::as_array);
    let is_allowed = allowed.is_some_and(|allowed| {
        allowed.iter().any(|entry| entry["plugin"] == plugin && entry["marketplace"] == marketplace)
    });
    (!is_allowed).then(|| {
        format!("allowedChannelPlugins lacks {channel}: the client says `not on the approved channels allowlist` and drops its messages")
    })
}
