//! Who is asked beyond this machine: resolvers, servers of forwarded zones, and the hosts that policy allows; and the clock,
//! by what those hosts say the time is.
//!
//! Hosts are asked as the appliance asks them: by its resolver and guard, over TLS that is verified for their name, with
//! HEAD, without a credential; what is above a bound is not asked. Only names of policy are resolved (law 6).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Method, Request, header};
use stubgate_credentials::HttpClient as _;
use stubgate_dns::{ForwardZone, ResolveError, Resolver, ResolverConfig};
use stubgate_policy::{Authority, Host, Name, Scheme};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::{Finding, Setting};
use crate::secrets_client::SecretsClient;
use crate::start;

/// Hosts that are asked.
const MOST: usize = 64;
/// Of all, at once.
const AT_ONCE: usize = 16;
/// How long each may take.
const LIMIT: Duration = Duration::from_secs(5);
/// From here on tokens and certificates of a few minutes don't fit.
const OFF: f64 = 30.0;
/// From here on nothing does.
const FAR_OFF: f64 = 300.0;

/// Asks all of them together until `end`, and tells what was finished by then.
pub(super) async fn look(setting: &Setting, end: Instant) -> Vec<Finding> {
    let mut origins = setting.policy().map(stubgate_policy::Policy::origins).unwrap_or_default();
    origins.retain(|origin| origin.scheme() == Scheme::Https);
    let mut asking = Asking::default();
    let mut found = resolvers(setting, &origins, &mut asking);
    zones(setting, &mut asking);
    found.extend(upstream(setting, origins, &mut asking));
    let (more, dates, unfinished) = asking.answers(end).await;
    found.extend(more);
    if unfinished > 0 {
        let what = format!("{unfinished} of those that were asked were not done in time");
        found.push(Finding::warn("upstream", what).advise("look at what hangs: a resolver, a route"));
    }
    found.push(clock(&dates));
    found
}

/// Those that are asked together. An answer is what was found, and by how many seconds this clock is ahead.
struct Asking {
    tasks: JoinSet<(usize, Finding, Option<f64>)>,
    turns: Arc<Semaphore>,
}

impl Default for Asking {
    fn default() -> Self {
        Asking { tasks: JoinSet::new(), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Asking {
    fn ask(&mut self, question: impl Future<Output = (Finding, Option<f64>)> + Send + 'static) {
        let (number, turns) = (self.tasks.len(), Arc::clone(&self.turns));
        self.tasks.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let (finding, ahead) = question.await;
            (number, finding, ahead)
        });
    }

    /// In the order in which they were asked; and how many were not done by then.
    async fn answers(mut self, end: Instant) -> (Vec<Finding>, Vec<f64>, usize) {
        let mut all = Vec::new();
        while let Ok(Some(done)) = timeout_at(end, self.tasks.join_next()).await {
            all.extend(done);
        }
        all.sort_by_key(|(number, ..)| *number);
        let dates = all.iter().filter_map(|(_, _, ahead)| *ahead).collect();
        (all.into_iter().map(|(_, finding, _)| finding).collect(), dates, self.tasks.len())
    }
}

fn resolvers(setting: &Setting, origins: &[Authority], asking: &mut Asking) -> Vec<Finding> {
    let name = origins.iter().find_map(|origin| match origin.host() {
        Host::Name(name) => Some(name.clone()),
        Host::Ip(_) => None,
    });
    let Some(name) = name else { return Vec::new() };
    let configured = setting.config.upstream.nameservers.clone();
    let servers = if configured.is_empty() { of_the_system() } else { configured };
    if servers.is_empty() {
        return vec![
            Finding::bad("resolvers", "there is none")
                .advise("name some in upstream.nameservers, or in /etc/resolv.conf"),
        ];
    }
    for server in servers {
        let name = name.clone();
        asking.ask(async move {
            let finding = match ask(vec![server], Vec::new(), &name).await {
                Ok(()) => Finding::ok("resolvers", format!("{server} answers")),
                Err(why) => Finding::bad("resolvers", format!("{server} gives no answer for {name}: {why}")).advise(
                    "correct upstream.nameservers (or /etc/resolv.conf), or let its answers through the firewall",
                ),
            };
            (finding, None)
        });
    }
    Vec::new()
}

fn zones(setting: &Setting, asking: &mut Asking) {
    for forward in &setting.config.forward {
        let Some(zone) = forward.zones.first() else { continue };
        for &server in &forward.to {
            let zones = vec![ForwardZone { zones: forward.zones.clone(), to: vec![server] }];
            let (nameservers, zone) = (setting.config.upstream.nameservers.clone(), zone.clone());
            asking.ask(async move {
                let finding = match ask(nameservers, zones, &zone).await {
                    Ok(()) => Finding::ok("zones", format!("{server} answers for {zone}")),
                    Err(why) => Finding::bad("zones", format!("{server} gives no answer for {zone}: {why}"))
                        .advise("correct dns.forward, or let its answers through the firewall"),
                };
                (finding, None)
            });
        }
    }
}

/// Whether it answers at all; that a name is not there is an answer too.
async fn ask(nameservers: Vec<SocketAddr>, zones: Vec<ForwardZone>, name: &Name) -> Result<(), &'static str> {
    let config = ResolverConfig { nameservers, zones, timeout: LIMIT, cache_entries: 1 };
    let resolver = Resolver::new(config).map_err(|_| "it can't be asked")?;
    match resolver.lookup(name).await {
        Ok(_) | Err(ResolveError::NotFound) => Ok(()),
        Err(ResolveError::Timeout) => Err("it is silent"),
        Err(ResolveError::Failed) => Err("it refuses or fails"),
    }
}

fn of_the_system() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let words = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    words.filter_map(|word| word.trim().parse::<IpAddr>().ok()).map(|ip| SocketAddr::new(ip, 53)).collect()
}

/// Each host, and what of the time it says.
fn upstream(setting: &Setting, mut origins: Vec<Authority>, asking: &mut Asking) -> Vec<Finding> {
    let mut found = Vec::new();
    if origins.len() > MOST {
        found.push(Finding::ok(
            "upstream",
            format!("{MOST} of the {} hosts that policy names are asked", origins.len()),
        ));
        origins.truncate(MOST);
    }
    let client = match start::dialer(&setting.config, &[]) {
        Ok(dialer) => Arc::new(SecretsClient::new(Arc::new(dialer)).within(LIMIT)),
        Err(error) => {
            found.push(
                Finding::bad("upstream", format!("nobody can be asked: {error:#}")).advise("nothing starts without it"),
            );
            return found;
        }
    };
    for origin in origins {
        let client = Arc::clone(&client);
        asking.ask(async move { one(&client, &origin).await });
    }
    found
}

async fn one(client: &SecretsClient, origin: &Authority) -> (Finding, Option<f64>) {
    let request = Request::builder().method(Method::HEAD).uri(format!("https://{}/", origin.host_header()));
    let Ok(request) = request.body(Zeroizing::new(Vec::new())) else {
        return (Finding::warn("upstream", format!("{origin} can't be asked")), None);
    };
    match client.send(request).await {
        Ok(response) => {
            let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok()).and_then(seconds);
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            // A whole second of theirs, half of which has passed.
            let ahead = date.map(|then| now - then - 0.5);
            (Finding::ok("upstream", format!("{origin} answers {}", response.status().as_u16())), ahead)
        }
        Err(unanswered) => {
            let advice = "agents that ask it get a 502 until this works";
            (Finding::bad("upstream", format!("{origin}: {unanswered}")).advise(advice), None)
        }
    }
}

/// A time as HTTP writes it (RFC 9110 section 5.6.7), in seconds since 1970.
fn seconds(date: &str) -> Option<f64> {
    let date = OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822).ok()?;
    Some(date.unix_timestamp() as f64)
}

fn clock(ahead: &[f64]) -> Finding {
    let mut ahead = ahead.to_vec();
    ahead.sort_by(f64::total_cmp);
    // Of some, whoever is wrong alone is not believed.
    let Some(off) = ahead.get(ahead.len() / 2).copied() else {
        return Finding::warn("clock", "nobody said what time it is")
            .advise("see that the machine's clock is kept (timedatectl)");
    };
    let what = format!(
        "{:.0} seconds {} what {} say",
        off.abs(),
        if off < 0.0 { "behind" } else { "ahead of" },
        crate::cli::say::count(ahead.len(), "host")
    );
    let advice = "keep the machine's clock by NTP: certificates, tokens and minted stubs depend on it";
    match off.abs() {
        off if off >= FAR_OFF => Finding::bad("clock", what).advise(advice),
        off if off >= OFF => Finding::warn("clock", what).advise(advice),
        _ => Finding::ok("clock", what),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    #[test]
    fn dates_of_http_are_read_and_nothing_else() {
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777.0));
        for wrong in ["", "now", "784111777", "Sun, 06 Nov 1994"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_finished_is_told_although_something_hangs() {
        let mut asking = Asking::default();
        asking.ask(std::future::pending());
        for name in ["one", "two"] {
            asking.ask(async move { (Finding::ok("upstream", name), Some(0.0)) });
        }
        let (found, dates, unfinished) = asking.answers(Instant::now() + LIMIT).await;
        let found: Vec<&str> = found.iter().map(|one| one.what.as_str()).collect();
        assert_eq!((found, dates.len(), unfinished), (vec!["one", "two"], 2, 1));
    }

    #[test]
    fn the_clock_is_compared_with_what_most_hosts_say() {
        for (ahead, grade, words) in [
            (&[][..], Grade::Warn, "nobody said"),
            (&[0.4], Grade::Ok, "ahead of what 1 host"),
            (&[-1.0, 0.2, 90_000.0], Grade::Ok, "what 3 hosts"),
            (&[-45.0], Grade::Warn, "45 seconds behind"),
            (&[4000.0, 3999.0, 4001.0], Grade::Bad, "4000 seconds ahead"),
        ] {
            let finding = clock(ahead);
            assert_eq!(finding.grade, grade, "{}", finding.what);
            assert!(finding.what.contains(words), "{}", finding.what);
        }
    }
}
