//! What a proxy, where this place has one, would do for an agent.

use std::net::SocketAddr;

use super::{Probe, Way, bare, failed, is_refused, no_host, passed, probe, skipped, verdict};
use crate::attack::wire::{Conn, Hello};
use crate::attack::{Outcome, Scene};

const PROXY: &str = "the proxy of this place is not stubgate, or a rule is too wide: look at HTTPS_PROXY and at policy";

pub(super) fn probes() -> Vec<Probe> {
    vec![
        probe!("connect-denied", "CONNECT to a host that is not allowed", "RFC 9110 section 9.3.6", PROXY, denied),
        probe!(
            "connect-address",
            "CONNECT to addresses, metadata services among them",
            "RFC 9110 section 9.3.6",
            PROXY,
            addresses
        ),
        probe!("connect-port", "CONNECT to other ports of the allowed host", "RFC 9110 section 9.3.6", PROXY, ports),
        probe!(
            "connect-inner-name",
            "CONNECT to the allowed host, a denied name in TLS inside",
            "RFC 6066 section 3",
            PROXY,
            inner
        ),
        probe!("proxy-metadata", "a metadata service in absolute-form", "AWS IMDS", PROXY, metadata),
        probe!(
            "proxy-denied",
            "a host that is not allowed, in absolute-form",
            "RFC 9112 section 3.2.2",
            PROXY,
            absolute
        ),
        probe!("proxy-two-hosts", "absolute-form and Host that differ", "RFC 9112 section 3.2.2", PROXY, two_hosts),
        probe!("socks-denied", "SOCKS5 to a host that is not allowed", "RFC 1928", PROXY, socks_denied),
        probe!("socks-nul", "SOCKS5 to a name that ends early for a C program", "RFC 1928 section 5", PROXY, socks_nul),
        probe!("socks-bind-udp", "SOCKS5 BIND and UDP ASSOCIATE", "RFC 1928 sections 4 and 7", PROXY, socks_bind),
    ]
}

fn there(scene: &Scene) -> Result<SocketAddr, Outcome> {
    scene.proxy.ok_or_else(|| skipped("no proxy here: name one with --proxy"))
}

/// Fails if one of these requests gets anything but a refusal of the proxy itself.
async fn refuses(scene: &Scene, requests: &[String]) -> Outcome {
    let proxy = match there(scene) {
        Ok(proxy) => proxy,
        Err(outcome) => return outcome,
    };
    let (mut open, mut saw) = (Vec::new(), String::new());
    for request in requests {
        let mut conn = match Conn::plain(proxy).await {
            Ok(conn) => conn,
            Err(error) => return skipped(format!("the proxy at {proxy}: {error}")),
        };
        let line = request.lines().next().unwrap_or_default();
        match conn.ask(request).await {
            Some(answer) if is_refused(&answer) => saw = answer.words(),
            Some(answer) => open.push(format!("{line}: {}", answer.words())),
            None => saw = "the connection ended".into(),
        }
    }
    verdict(open, saw)
}

fn connect(target: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n")
}

async fn denied(scene: &Scene) -> Outcome {
    refuses(scene, &[connect(&format!("{}:443", scene.denied())), connect("dns.google:443")]).await
}

async fn addresses(scene: &Scene) -> Outcome {
    let targets = ["1.1.1.1:443", "169.254.169.254:80", "127.0.0.1:9090", "[::1]:443", "[fd00:ec2::254]:80"];
    refuses(scene, &targets.map(connect)).await
}

async fn ports(scene: &Scene) -> Outcome {
    let Some(host) = scene.options.host.clone().or(scene.host.as_ref().map(|(host, _)| host.clone())) else {
        return no_host(scene);
    };
    refuses(scene, &[22, 25, 9418].map(|port| connect(&format!("{host}:{port}")))).await
}

async fn inner(scene: &Scene) -> Outcome {
    if let Err(outcome) = there(scene) {
        return outcome;
    }
    let Some((host, _)) = &scene.host else { return no_host(scene) };
    match bare(scene, Way::Connect, host).await {
        Err(why) => skipped(why),
        Ok(conn) => match conn.hello(&scene.tls, scene.denied()).await {
            Hello::Answered => failed(format!("a handshake for {} went on", scene.denied())),
            Hello::Other => failed("an answer that is not TLS"),
            Hello::Refused => passed("refused"),
            Hello::Silent => skipped("no answer in time"),
        },
    }
}

async fn metadata(scene: &Scene) -> Outcome {
    let get = |host: &str| format!("GET http://{host}/latest/meta-data/ HTTP/1.1\r\nhost: {host}\r\n\r\n");
    refuses(scene, &["169.254.169.254", "metadata.google.internal", "[fd00:ec2::254]"].map(get)).await
}

async fn absolute(scene: &Scene) -> Outcome {
    let denied = scene.denied();
    refuses(scene, &[format!("GET http://{denied}/ HTTP/1.1\r\nhost: {denied}\r\n\r\n")]).await
}

async fn two_hosts(scene: &Scene) -> Outcome {
    let Some((host, _)) = &scene.host else { return no_host(scene) };
    let denied = scene.denied();
    let requests = [
        format!("GET http://{denied}/ HTTP/1.1\r\nhost: {host}\r\n\r\n"),
        format!("GET http://{host}/ HTTP/1.1\r\nhost: {denied}\r\n\r\n"),
    ];
    refuses(scene, &requests).await
}

/// What SOCKS replies to a request; `None` where the proxy speaks none.
async fn socks(scene: &Scene, request: &[u8]) -> Result<Option<u8>, Outcome> {
    let proxy = there(scene)?;
    let mut conn = Conn::plain(proxy).await.map_err(|error| skipped(format!("the proxy at {proxy}: {error}")))?;
    conn.send(&[5, 1, 0]).await;
    match conn.some().await.as_deref() {
        Some([5, 0]) => {}
        Some(_) | None => return Ok(None),
    }
    conn.send(request).await;
    Ok(conn.some().await.and_then(|reply| reply.get(1).copied()))
}

fn to_name(command: u8, name: &[u8]) -> Vec<u8> {
    [&[5, command, 0, 3, u8::try_from(name.len()).unwrap_or_default()], name, &443_u16.to_be_bytes()].concat()
}

/// Fails if one of these is granted.
async fn none_granted(scene: &Scene, requests: &[(&str, Vec<u8>)]) -> Outcome {
    let (mut open, mut saw) = (Vec::new(), "the proxy speaks no SOCKS".to_owned());
    for (name, request) in requests {
        match socks(scene, request).await {
            Err(outcome) => return outcome,
            Ok(Some(0)) => open.push(format!("{name} was granted")),
            Ok(Some(code)) => saw = format!("refused with reply {code}"),
            Ok(None) => {}
        }
    }
    verdict(open, saw)
}

async fn socks_denied(scene: &Scene) -> Outcome {
    let metadata = [5, 1, 0, 1, 169, 254, 169, 254, 0, 80].to_vec();
    let requests = [("a denied name", to_name(1, scene.denied().as_bytes())), ("a metadata service", metadata)];
    none_granted(scene, &requests).await
}

async fn socks_nul(scene: &Scene) -> Outcome {
    let Some((host, _)) = &scene.host else { return no_host(scene) };
    let denied = scene.denied();
    let names = [format!("{denied}\0.{host}"), format!("{host}\0.{denied}")];
    none_granted(scene, &names.map(|name| ("a name with NUL", to_name(1, name.as_bytes())))).await
}

async fn socks_bind(scene: &Scene) -> Outcome {
    let host = scene.host.as_ref().map_or(scene.denied(), |(host, _)| host).as_bytes();
    none_granted(scene, &[("BIND", to_name(2, host)), ("UDP ASSOCIATE", to_name(3, host))]).await
}
