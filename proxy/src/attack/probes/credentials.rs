//! What can be done with a stub. Every one of these needs `--stub`, and sends that and made-up keys only.

use super::{
    Probe, SHUT_OUT, each, failed, is_refused, is_shut_out, no_host, open, passed, probe, skipped, verdict, ways,
};
use crate::attack::wire::{Answer, Conn};
use crate::attack::{Outcome, Scene, at};

const STUB: &str =
    "a stub that gets through is worthless by itself; policy does not know it for a stub: look at `credentials:`";
const FOREIGN: &str = "name this host in the `hosts` of its credential, so that only granted stubs pass there";
const ECHO: &str = "grant no credential where a path sends requests back, or exclude that path with a deny rule";

pub(super) fn probes() -> Vec<Probe> {
    vec![
        probe!(
            "stub-out-of-slot",
            "the stub in a cookie, the query, the path and other headers",
            "docs/policy/reference.md",
            STUB,
            out_of_slot
        ),
        probe!("stub-within-a-token", "the stub as part of a longer token", "RFC 6750 section 2.1", STUB, within),
        probe!("stub-wrong-host", "the stub at another allowed host", "docs/policy/reference.md", STUB, wrong_host),
        probe!("stub-in-the-clear", "the stub over plain HTTP", "RFC 6750 section 5.3", STUB, in_the_clear),
        probe!(
            "foreign-key",
            "a key of the attacker's own where the stub belongs",
            "Anthropic Files API exfiltration (2025)",
            FOREIGN,
            foreign
        ),
        probe!("two-credentials", "the stub and a key of the attacker's own", "RFC 9110 section 5.3", FOREIGN, two),
        probe!(
            "connection-strips-credential",
            "Connection names the header that the credential is put into",
            "N. Davison, hop-by-hop headers (2019)",
            STUB,
            stripped
        ),
        probe!(
            "reflection",
            "a path that sends the request back, with the credential in it",
            "httpbin /headers",
            ECHO,
            reflection
        ),
        probe!("reflection-in-pieces", "the same in pieces, by Range", "RFC 9110 section 14.2", ECHO, pieces),
    ]
}

fn stub(scene: &Scene) -> Result<&str, Outcome> {
    scene.options.stub.as_deref().ok_or_else(|| skipped("name the agent's stub for this host with --stub"))
}

fn get(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {{host}}\r\n{lines}\r\n")
}

/// A tripwire or another refusal of stubgate's.
async fn refused(scene: &Scene, requests: impl Fn(&str) -> Vec<(&'static str, String)>) -> Outcome {
    match stub(scene) {
        Ok(stub) => each(scene, &requests(stub), is_refused).await,
        Err(outcome) => outcome,
    }
}

async fn out_of_slot(scene: &Scene) -> Outcome {
    refused(scene, |stub| {
        vec![
            ("a cookie", get("/", &format!("cookie: a={stub}\r\n"))),
            ("the user agent", get("/", &format!("user-agent: {stub}\r\n"))),
            ("the query", get(&format!("/?q={stub}"), "")),
            ("the path", get(&format!("/{stub}"), "")),
        ]
    })
    .await
}

async fn within(scene: &Scene) -> Outcome {
    refused(scene, |stub| {
        vec![
            ("before", get("/", &format!("authorization: Bearer x{stub}\r\n"))),
            ("behind", get("/", &format!("authorization: Bearer {stub}x\r\n"))),
            ("a list", get("/", &format!("authorization: Bearer {stub},x\r\n"))),
        ]
    })
    .await
}

async fn two(scene: &Scene) -> Outcome {
    refused(scene, |stub| {
        let both = format!("authorization: Bearer {stub}\r\nauthorization: Bearer worthless\r\n");
        vec![("two headers", get("/", &both))]
    })
    .await
}

async fn stripped(scene: &Scene) -> Outcome {
    refused(scene, |stub| {
        vec![("Connection", get("/", &format!("authorization: Bearer {stub}\r\nconnection: authorization\r\n")))]
    })
    .await
}

async fn foreign(scene: &Scene) -> Outcome {
    refused(scene, |_| {
        vec![
            ("Bearer", get("/", "authorization: Bearer worthless-key-of-a-probe\r\n")),
            ("x-api-key", get("/", "x-api-key: worthless-key-of-a-probe\r\n")),
            ("the query", get("/?access_token=worthless-key-of-a-probe", "")),
        ]
    })
    .await
}

async fn wrong_host(scene: &Scene) -> Outcome {
    let stub = match stub(scene) {
        Ok(stub) => stub,
        Err(outcome) => return outcome,
    };
    let Some((other, ip)) = &scene.other else { return skipped("name another allowed host with --other-host") };
    let conn = match Conn::plain(at(*ip, 443)).await {
        Ok(conn) => conn.tls(&scene.tls, other).await,
        Err(error) => Err(error),
    };
    let mut conn = match conn {
        Ok(conn) => conn,
        Err(error) => return skipped(format!("{other}: {error}")),
    };
    let request = format!("GET / HTTP/1.1\r\nhost: {other}\r\nauthorization: Bearer {stub}\r\n\r\n");
    match conn.ask(&request).await {
        Some(answer) if is_shut_out(&answer) => skipped(SHUT_OUT),
        Some(answer) if is_refused(&answer) => passed(answer.words()),
        Some(answer) => failed(format!("{other}: {}", answer.words())),
        None => passed("no answer"),
    }
}

async fn in_the_clear(scene: &Scene) -> Outcome {
    let stub = match stub(scene) {
        Ok(stub) => stub,
        Err(outcome) => return outcome,
    };
    let Some((host, ip)) = &scene.host else { return no_host(scene) };
    let Ok(mut conn) = Conn::plain(at(*ip, 80)).await else { return passed("nobody listens there") };
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {stub}\r\n\r\n");
    match conn.ask(&request).await {
        Some(answer) if is_shut_out(&answer) => skipped(SHUT_OUT),
        Some(answer) if is_refused(&answer) => passed(answer.words()),
        Some(answer) => failed(answer.words()),
        None => passed("no answer"),
    }
}

/// Answers of the path that sends requests back, each with the stub in its slot.
async fn echoes(scene: &Scene, more: &str) -> Result<Vec<Answer>, Outcome> {
    let stub = stub(scene)?;
    let Some(echo) = &scene.options.echo else {
        return Err(skipped("name a path that sends requests back with --echo"));
    };
    let (host, ways) = ways(scene)?;
    let mut answers = Vec::new();
    for way in ways {
        let mut conn = open(scene, way, host).await.map_err(skipped)?;
        let request = format!(
            "GET {echo} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {stub}\r\nconnection: close\r\n{more}\r\n"
        );
        answers.extend(conn.ask(&request).await);
    }
    Ok(answers)
}

/// Whatever follows `Bearer ` in an answer and is not the stub, or the stub padded to a credential's length.
fn stranger<'a>(answer: &'a str, stub: &str) -> Option<&'a str> {
    let tokens = answer.split("Bearer ").skip(1).map(|rest| {
        let end =
            rest.find(|letter: char| letter.is_ascii_whitespace() || matches!(letter, '"' | '\'' | '<' | ',' | '\\'));
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
    });
    let is_stub = |token: &str| token.trim_end_matches('*') == stub || stub.starts_with(token);
    tokens.into_iter().find(|token| !token.is_empty() && !is_stub(token))
}

async fn reflection(scene: &Scene) -> Outcome {
    let (answers, stub) = match (echoes(scene, "").await, stub(scene)) {
        (Ok(answers), Ok(stub)) => (answers, stub),
        (Err(outcome), _) | (_, Err(outcome)) => return outcome,
    };
    if answers.iter().any(is_shut_out) {
        return skipped(SHUT_OUT);
    }
    if answers.iter().any(is_refused) {
        return passed("the path is not allowed");
    }
    let mut open = Vec::new();
    let mut is_echo = false;
    for answer in &answers {
        let text = format!("{}{}", answer.head, String::from_utf8_lossy(&answer.body));
        is_echo |= text.contains("Bearer ");
        // Its value is a secret: it is not shown.
        open.extend(
            stranger(&text, stub)
                .map(|token| format!("a token of {} bytes that is not the stub came back", token.len())),
        );
    }
    if !is_echo && open.is_empty() {
        return skipped("that path does not send the request back");
    }
    verdict(open, "only the stub came back")
}

async fn pieces(scene: &Scene) -> Outcome {
    match echoes(scene, "range: bytes=0-7\r\nif-range: x\r\n").await {
        Err(outcome) => outcome,
        Ok(answers) if answers.iter().any(|answer| answer.status == 206) => failed("a piece came back"),
        Ok(_) => passed("no piece came back"),
    }
}

#[cfg(test)]
mod tests {
    use super::stranger;

    #[test]
    fn a_token_that_is_not_the_stub_is_found_in_an_answer() {
        let stub = "proxy-token-x";
        assert_eq!(stranger("{\"authorization\":\"Bearer ghp_real\"}", stub), Some("ghp_real"));
        for fine in ["Bearer proxy-token-x\r\n", "\"Bearer proxy-token-x******\"", "nothing", "Bearer "] {
            assert_eq!(stranger(fine, stub), None, "{fine}");
        }
        assert_eq!(stranger("Bearer proxy-token-x, Bearer other", stub), Some("other"));
    }
}
