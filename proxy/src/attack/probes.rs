//! Every probe: what it tries, where that is described, and what to do where it finds a way.

mod credentials;
mod http;
mod names;
mod network;
mod proxy;

use std::sync::LazyLock;

use futures_util::future::BoxFuture;

use super::wire::{Answer, Conn};
use super::{Outcome, Scene, at};

/// One way out that is tried.
pub struct Probe {
    /// Short, for `--only` and for machines; never reused for something else.
    pub id: &'static str,
    /// What is tried, in a sentence.
    pub what: &'static str,
    /// Where that is described.
    pub source: &'static str,
    /// What to do where it fails.
    pub remedy: &'static str,
    pub(super) run: for<'a> fn(&'a Scene) -> BoxFuture<'a, Outcome>,
}

/// Makes a probe of an `async fn(&Scene) -> Outcome`.
macro_rules! probe {
    ($id:literal, $what:literal, $source:literal, $remedy:expr, $run:path) => {
        $crate::attack::probes::Probe {
            id: $id,
            what: $what,
            source: $source,
            remedy: $remedy,
            run: |scene| Box::pin($run(scene)),
        }
    };
}
use probe;

/// Every probe, in the order of the table.
pub fn all() -> &'static [Probe] {
    static ALL: LazyLock<Vec<Probe>> = LazyLock::new(|| {
        let mut all = network::probes();
        all.extend(names::probes());
        all.extend(http::probes());
        all.extend(proxy::probes());
        all.extend(credentials::probes());
        all
    });
    &ALL
}

fn passed(saw: impl Into<String>) -> Outcome {
    Outcome::Passed(saw.into())
}

fn failed(saw: impl Into<String>) -> Outcome {
    Outcome::Failed(saw.into())
}

fn skipped(why: impl Into<String>) -> Outcome {
    Outcome::Skipped(why.into())
}

/// Failed if anything was found open, else passed.
fn verdict(open: Vec<String>, closed: impl Into<String>) -> Outcome {
    if open.is_empty() { passed(closed) } else { failed(open.join("; ")) }
}

/// How an allowed host is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By the address that the resolver answers.
    Dns,
    /// By CONNECT.
    Connect,
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Way::Dns => "by DNS",
            Way::Connect => "by CONNECT",
        }
    }
}

/// The ways that there are here to an allowed host, and the host; or why there are none.
fn ways(scene: &Scene) -> Result<(&str, Vec<Way>), Outcome> {
    match (&scene.host, scene.proxy, &scene.options.host) {
        (Some((host, _)), Some(_), _) => Ok((host, vec![Way::Dns, Way::Connect])),
        (Some((host, _)), None, _) => Ok((host, vec![Way::Dns])),
        // A place whose resolver answers nothing may still have a proxy.
        (None, Some(_), Some(host)) => Ok((host, vec![Way::Connect])),
        (None, _, _) => Err(no_host(scene)),
    }
}

/// A connection that is ready for TLS to a host.
async fn bare(scene: &Scene, way: Way, host: &str) -> Result<Conn, String> {
    let say = |error: std::io::Error| format!("{}: {error}", way.word());
    match (way, scene.proxy, &scene.host) {
        (Way::Connect, Some(proxy), _) => {
            let mut conn = Conn::plain(proxy).await.map_err(say)?;
            match conn.connect(&format!("{host}:443")).await {
                Some(answer) if answer.status == 200 => Ok(conn),
                Some(answer) => Err(format!("CONNECT {host}:443 was answered {}", answer.words())),
                None => Err(format!("CONNECT {host}:443 was not answered")),
            }
        }
        (_, _, Some((_, ip))) => Conn::plain(at(*ip, 443)).await.map_err(say),
        _ => Err("no way to the host".into()),
    }
}

/// A connection on which HTTP is spoken to a host.
async fn open(scene: &Scene, way: Way, host: &str) -> Result<Conn, String> {
    let conn = bare(scene, way, host).await?;
    conn.tls(&scene.tls, host).await.map_err(|error| format!("{}: TLS for {host}: {error}", way.word()))
}

/// Sends each request on a connection of its own, by each way, and asks of each answer whether it shows the way closed.
async fn each(scene: &Scene, requests: &[(&str, String)], is_closed: impl Fn(&Answer) -> bool) -> Outcome {
    let (host, ways) = match ways(scene) {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    let (mut through, mut refused) = (Vec::new(), 0);
    for way in ways {
        for (name, request) in requests {
            let mut conn = match open(scene, way, host).await {
                Ok(conn) => conn,
                Err(why) => return skipped(why),
            };
            match conn.ask(&request.replace("{host}", host)).await {
                Some(answer) if is_shut_out(&answer) => return skipped(SHUT_OUT),
                Some(answer) if is_closed(&answer) => refused += 1,
                Some(answer) => through.push(format!("{name} {}: {}", way.word(), answer.words())),
                // The end without an answer lets nothing through either.
                None if conn.is_over() => refused += 1,
                None => return skipped(format!("{name} {}: no answer in time", way.word())),
            }
        }
    }
    verdict(through, format!("{refused} refused"))
}

/// Without an allowed host.
fn no_host(scene: &Scene) -> Outcome {
    match &scene.options.host {
        Some(host) => skipped(format!("the resolver of this place has no address for {host}")),
        None => skipped("no allowed host: name one with --host"),
    }
}

/// What a probe says that is refused only because of those before it.
const SHUT_OUT: &str = "the agent is quarantined, so all is refused";

/// Whether everything is refused to this agent.
fn is_shut_out(answer: &Answer) -> bool {
    answer.reason() == Some("quarantined")
}

/// Whether stubgate itself refused.
fn is_refused(answer: &Answer) -> bool {
    answer.status >= 400 && answer.reason().is_some()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_probe_says_what_it_is_and_what_to_do() {
        let mut seen = HashSet::new();
        for probe in all() {
            assert!(seen.insert(probe.id), "{} twice", probe.id);
            assert!(probe.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
            assert!(!probe.what.ends_with('.') && !probe.source.is_empty() && !probe.remedy.is_empty(), "{}", probe.id);
        }
        assert!(seen.len() >= 40, "{}", seen.len());
    }
}
