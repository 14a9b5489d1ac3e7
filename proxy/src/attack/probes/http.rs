//! What can be carried out inside an allowed connection: other hosts, and messages with two readings.

use super::{Probe, bare, each, failed, is_refused, no_host, open, passed, probe, skipped, verdict, ways};
use crate::attack::wire::{Answer, Conn, Hello};
use crate::attack::{Outcome, Scene, at};

const DIRECT: &str = "the container reaches that host itself: look at its routes, its resolver and its proxy variables";
const REPORT: &str = "if it is stubgate that answered, this is a fault of stubgate: report it (SECURITY.md)";

pub(super) fn probes() -> Vec<Probe> {
    vec![
        probe!(
            "honest-request",
            "an honest request to the allowed host works: what is refused below is refused for its own sake",
            "README.md",
            "let the container trust stubgate's certificates (SSL_CERT_FILE), and name a host that policy allows (--host)",
            honest
        ),
        probe!("sni-denied", "a ClientHello for a name that is not allowed", "RFC 6066 section 3", DIRECT, sni_denied),
        probe!("sni-none", "a ClientHello without a name", "RFC 6066 section 3", DIRECT, sni_none),
        probe!(
            "sni-suffix",
            "a ClientHello for a name that only looks like the allowed one",
            "RFC 6125",
            DIRECT,
            sni_suffix
        ),
        probe!(
            "fronting-denied",
            "the name of the allowed host in TLS, a denied one in Host",
            "Fifield et al., domain fronting (2015)",
            REPORT,
            fronting
        ),
        probe!(
            "fronting-allowed",
            "the name of the allowed host in TLS, another allowed one in Host",
            "RFC 9110 section 7.4",
            REPORT,
            fronting_other
        ),
        probe!(
            "fronting-metadata",
            "the name of the allowed host in TLS, a metadata service in Host",
            "AWS IMDS",
            REPORT,
            fronting_metadata
        ),
        probe!(
            "http-denied-host",
            "plain HTTP for a denied host, at the allowed host's address",
            "RFC 9110 section 7.2",
            DIRECT,
            plain_denied
        ),
        probe!(
            "http-metadata-host",
            "plain HTTP for a metadata service, at the allowed host's address",
            "AWS IMDS, Google",
            DIRECT,
            plain_metadata
        ),
        probe!(
            "host-odd",
            "Hosts with two readings: userinfo, two of them, none",
            "RFC 9112 section 3.2",
            REPORT,
            odd_hosts
        ),
        probe!(
            "smuggling-length",
            "two lengths, or a length and chunks",
            "RFC 9112 section 6.3; PortSwigger, HTTP Desync Attacks (2019)",
            REPORT,
            lengths
        ),
        probe!(
            "smuggling-coding",
            "transfer codings that are almost chunked",
            "RFC 9112 section 6.1; TE.TE",
            REPORT,
            codings
        ),
        probe!(
            "smuggling-lines",
            "bare LF, folded lines, blanks before a colon",
            "RFC 9112 sections 2.2, 5.1 and 5.2",
            REPORT,
            lines
        ),
        probe!("smuggling-chunks", "malformed chunks", "RFC 9112 section 7.1; Funky chunks (2025)", REPORT, chunks),
        probe!("upgrade-h2c", "an upgrade to HTTP/2 in the clear", "Bishop Fox, h2c smuggling (2020)", REPORT, h2c),
        probe!(
            "websocket-answered-200",
            "a request hidden behind a WebSocket handshake that is not accepted",
            "RUSTSEC-2026-0033; websocket smuggling (2019)",
            REPORT,
            websocket
        ),
        probe!("method-trace", "TRACE, which gives the head back", "RFC 9110 section 9.3.8", REPORT, trace),
        probe!("not-tls", "something else than TLS on the port of TLS", "RFC 8446 section 5.1", REPORT, not_tls),
    ]
}

async fn honest(scene: &Scene) -> Outcome {
    let (host, ways) = match ways(scene) {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    let mut saw = Vec::new();
    for way in ways {
        let mut conn = match open(scene, way, host).await {
            Ok(conn) => conn,
            Err(why) => return failed(why),
        };
        match conn.ask(&format!("GET / HTTP/1.1\r\nhost: {host}\r\nuser-agent: stubgate-attack\r\n\r\n")).await {
            Some(answer) if is_beside_the_point(&answer) => {
                return failed(format!("{} {}", way.word(), answer.words()));
            }
            Some(answer) => saw.push(format!("{} {}", way.word(), answer.words())),
            None => return failed(format!("no answer {}", way.word())),
        }
    }
    passed(saw.join("; "))
}

/// Whether stubgate refused for another reason than that the policy asks for more than `GET /`: nothing that is refused after
/// this is refused for its own sake.
fn is_beside_the_point(answer: &Answer) -> bool {
    const NEARLY: [&str; 3] = ["path_not_allowed", "method_not_allowed", "credential_required"];
    answer.reason().is_some_and(|reason| !NEARLY.contains(&reason))
}

/// Fails if a ClientHello with one of these names is answered, by any way.
async fn hellos(scene: &Scene, names: &[String]) -> Outcome {
    let (host, ways) = match ways(scene) {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    let mut open = Vec::new();
    for way in ways {
        for name in names {
            let conn = match bare(scene, way, host).await {
                Ok(conn) => conn,
                Err(why) => return skipped(why),
            };
            match conn.hello(&scene.tls, name).await {
                Hello::Refused => {}
                Hello::Answered => open.push(format!("{name} {}: the handshake went on", way.word())),
                Hello::Other => open.push(format!("{name} {}: an answer that is not TLS", way.word())),
                Hello::Silent => return skipped(format!("{name} {}: no answer in time", way.word())),
            }
        }
    }
    verdict(open, "refused")
}

async fn sni_denied(scene: &Scene) -> Outcome {
    hellos(scene, &[scene.denied().to_owned()]).await
}

/// rustls sends no server name for an address.
async fn sni_none(scene: &Scene) -> Outcome {
    hellos(scene, &["192.0.2.1".to_owned()]).await
}

async fn sni_suffix(scene: &Scene) -> Outcome {
    let Some((host, _)) = &scene.host else { return no_host(scene) };
    hellos(scene, &[format!("{host}.{}", scene.denied()), format!("x{host}")]).await
}

fn get(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")
}

async fn fronting(scene: &Scene) -> Outcome {
    each(scene, &[("the denied host", get(scene.denied()))], is_refused).await
}

async fn fronting_other(scene: &Scene) -> Outcome {
    match &scene.options.other_host {
        Some(other) => each(scene, &[("the other host", get(other))], is_refused).await,
        None => skipped("name another allowed host with --other-host"),
    }
}

async fn fronting_metadata(scene: &Scene) -> Outcome {
    each(scene, &[("an address", get("169.254.169.254")), ("a name", get("metadata.google.internal"))], is_refused)
        .await
}

/// Plain HTTP at the address that the resolver answers for the allowed host.
async fn plain(scene: &Scene, hosts: &[&str]) -> Outcome {
    let Some((_, ip)) = &scene.host else { return no_host(scene) };
    let mut open = Vec::new();
    for host in hosts {
        let Ok(mut conn) = Conn::plain(at(*ip, 80)).await else { return passed("nobody listens there") };
        if let Some(answer) = conn.ask(&get(host)).await.filter(|answer| !is_refused(answer)) {
            open.push(format!("{host}: {}", answer.words()));
        }
    }
    verdict(open, "refused")
}

async fn plain_denied(scene: &Scene) -> Outcome {
    plain(scene, &[scene.denied()]).await
}

async fn plain_metadata(scene: &Scene) -> Outcome {
    plain(scene, &["169.254.169.254", "metadata.google.internal", "[fd00:ec2::254]"]).await
}

async fn odd_hosts(scene: &Scene) -> Outcome {
    let denied = scene.denied();
    let requests = [
        ("userinfo", get(&format!("{{host}}@{denied}"))),
        ("two Hosts", format!("GET / HTTP/1.1\r\nhost: {{host}}\r\nhost: {denied}\r\n\r\n")),
        ("no Host", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("absolute-form", format!("GET https://{denied}/ HTTP/1.1\r\nhost: {{host}}\r\n\r\n")),
        ("CONNECT inside", "CONNECT {host}:443 HTTP/1.1\r\nhost: {host}:443\r\n\r\n".to_owned()),
    ];
    each(scene, &requests, is_refused).await
}

fn post(name: &'static str, lines: &str) -> (&'static str, String) {
    (name, format!("POST / HTTP/1.1\r\nhost: {{host}}\r\n{lines}\r\n\r\n0\r\n\r\n"))
}

async fn lengths(scene: &Scene) -> Outcome {
    let requests = [
        post("CL.TE", "content-length: 5\r\ntransfer-encoding: chunked"),
        post("TE.CL", "transfer-encoding: chunked\r\ncontent-length: 5"),
        post("two lengths", "content-length: 5\r\ncontent-length: 0"),
        post("a signed length", "content-length: +5"),
        post("a list", "content-length: 5, 5"),
    ];
    each(scene, &requests, is_refused).await
}

async fn codings(scene: &Scene) -> Outcome {
    let requests = [
        post("xchunked", "transfer-encoding: xchunked"),
        post("two codings", "transfer-encoding: chunked\r\ntransfer-encoding: identity"),
        post("gzip, chunked", "transfer-encoding: gzip, chunked"),
        post("a vertical tab", "transfer-encoding: \x0bchunked"),
        ("HTTP/1.0", "POST / HTTP/1.0\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned()),
    ];
    each(scene, &requests, is_refused).await
}

async fn lines(scene: &Scene) -> Outcome {
    let requests = [
        ("bare LF", "GET / HTTP/1.1\r\nhost: {host}\nx: y\r\n\r\n".to_owned()),
        ("a folded line", "GET / HTTP/1.1\r\nhost: {host}\r\nx: y\r\n z\r\n\r\n".to_owned()),
        post("a blank before the colon", "content-length : 5"),
        ("NUL", "GET / HTTP/1.1\r\nhost: {host}\r\nx: a\0b\r\n\r\n".to_owned()),
        ("an empty line first", "\r\nGET / HTTP/1.1\r\nhost: {host}\r\n\r\n".to_owned()),
    ];
    each(scene, &requests, is_refused).await
}

async fn chunks(scene: &Scene) -> Outcome {
    let chunked = |name: &'static str, body: &str| {
        (name, format!("POST / HTTP/1.1\r\nhost: {{host}}\r\ntransfer-encoding: chunked\r\n\r\n{body}"))
    };
    let requests = [
        chunked("a prefix", "0x1\r\na\r\n0\r\n\r\n"),
        chunked("bare LF", "1\na\r\n0\r\n\r\n"),
        chunked("overflow", "10000000000000001\r\na\r\n0\r\n\r\n"),
        chunked("too much data", "1\r\nabc\r\n0\r\n\r\n"),
    ];
    let (host, ways) = match ways(scene) {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    let mut open_still = Vec::new();
    for way in ways {
        for (name, request) in &requests {
            let mut conn = match open(scene, way, host).await {
                Ok(conn) => conn,
                Err(why) => return skipped(why),
            };
            let Some(answer) = conn.ask(&request.replace("{host}", host)).await else { continue };
            // The host may answer before it has the body; then the connection must not be used again.
            if !is_refused(&answer) && conn.some().await.is_none_or(|more| !more.is_empty()) {
                open_still.push(format!("{name} {}: {}, and the connection stays open", way.word(), answer.words()));
            }
        }
    }
    verdict(open_still, "refused, or the connection ended")
}

async fn h2c(scene: &Scene) -> Outcome {
    let request = "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\
                   http2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";
    each(scene, &[("h2c", request.to_owned())], |answer| answer.status != 101 && is_refused(answer)).await
}

/// Whatever the handshake is answered with, unless it is accepted nothing behind it may be.
async fn websocket(scene: &Scene) -> Outcome {
    let (host, ways) = match ways(scene) {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    let (mut through, mut saw) = (Vec::new(), String::new());
    for way in ways {
        let mut conn = match open(scene, way, host).await {
            Ok(conn) => conn,
            Err(why) => return skipped(why),
        };
        let request = format!(
            "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nGET / HTTP/1.1\r\nhost: {}\r\n\r\n",
            scene.denied()
        );
        let Some(first) = conn.ask(&request).await else { continue };
        saw = first.words();
        if first.status == 101 {
            return skipped("the host accepts WebSockets at /");
        }
        if let Some(second) = conn.answer().await.filter(|answer| !is_refused(answer)) {
            through.push(format!("{}: the hidden request was answered {}", way.word(), second.words()));
        }
    }
    verdict(through, format!("{saw}, and nothing after it"))
}

async fn trace(scene: &Scene) -> Outcome {
    let request = |method: &str| format!("{method} / HTTP/1.1\r\nhost: {{host}}\r\nx-probe: worthless\r\n\r\n");
    each(scene, &[("TRACE", request("TRACE")), ("TRACK", request("TRACK"))], is_refused).await
}

async fn not_tls(scene: &Scene) -> Outcome {
    let (host, ways) = match ways(scene) {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    let mut open = Vec::new();
    for way in ways {
        for (name, bytes) in [("SSH", "SSH-2.0-probe\r\n"), ("HTTP", "GET / HTTP/1.1\r\nhost: x\r\n\r\n")] {
            let mut conn = match bare(scene, way, host).await {
                Ok(conn) => conn,
                Err(why) => return skipped(why),
            };
            conn.send(bytes.as_bytes()).await;
            match conn.some().await {
                Some(answer) if !answer.is_empty() && answer.first() != Some(&0x15) => {
                    open.push(format!("{name} {}: {} bytes came back", way.word(), answer.len()));
                }
                Some(_) | None => {}
            }
        }
    }
    verdict(open, "no answer but an alert")
}
