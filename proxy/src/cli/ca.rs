//! `stubgate ca init|show|bundle|rotate`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use stubgate_certs::{Anchor, Given, Life, Origin, Role, Subtrees, Terms, bundle_pem};

use super::say::{put, say};
use super::{Ca, Place, ShowFormat, UNUSABLE, WRONG, check, fail};
use crate::config::Config;
use crate::record::rfc3339;
use crate::start;

pub(super) fn main(command: &Ca) -> ExitCode {
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

fn run(command: &Ca) -> Result<(), ExitCode> {
    match command {
        Ca::Init(place) => {
            let found = Found::at(place)?;
            let life = found.open()?;
            let what = if life.is_new() { "made" } else { "already there, unchanged:" };
            say(format_args!("{what} {}", found.folder().display()));
            show(&life);
        }
        Ca::Show { place, format } => {
            let life = Found::at(place)?.look()?;
            match format {
                ShowFormat::Human => show(&life),
                ShowFormat::Json => say(format_args!("{:#}", report(&life))),
            }
        }
        Ca::Bundle { place, only_own } => {
            let life = Found::at(place)?.look()?;
            let anchors: Vec<Anchor> = life.anchors().into_iter().map(|(_, anchor)| anchor).collect();
            put(format_args!("{}", bundle_pem(&anchors, !only_own)));
        }
        Ca::Rotate { place, deadline, at_least, finish } => {
            let found = Found::at(place)?;
            let mut life = found.look()?;
            let now = SystemTime::now();
            let done = if *finish {
                life.finish(now)
            } else {
                let deadline = deadline.unwrap_or(found.terms.deadline);
                let least = at_least.unwrap_or(found.terms.least).min(deadline);
                life.rotate(&found.subtrees, Terms { least, deadline }, now)
            };
            done.map_err(|error| fail(WRONG, error))?;
            if *finish {
                say("the appliance ends it within half a minute, or with its next start");
            }
            show(&life);
        }
    }
    Ok(())
}

/// Where the authority is.
struct Found {
    state_dir: PathBuf,
    given: Option<(PathBuf, PathBuf)>,
    subtrees: Subtrees,
    terms: Terms,
    config: Option<Box<Config>>,
}

impl Found {
    /// What failed has been said.
    fn at(place: &Place) -> Result<Self, ExitCode> {
        match (&place.config, &place.state_dir) {
            (Some(file), _) => {
                let config = Config::read(file).map_err(|problem| check::refuse(&problem))?;
                Ok(Self {
                    state_dir: config.state_dir.clone(),
                    given: config.ca.files.clone().map(|files| (files.certificate_file, files.key_file)),
                    subtrees: config.ca.subtrees.clone(),
                    terms: config.ca.terms,
                    config: Some(Box::new(config)),
                })
            }
            (None, Some(dir)) => Ok(Self {
                state_dir: dir.clone(),
                given: None,
                subtrees: Subtrees::default(),
                terms: Terms::default(),
                config: None,
            }),
            (None, None) => Err(fail(UNUSABLE, "name --config or --state-dir")),
        }
    }

    fn folder(&self) -> PathBuf {
        self.given.as_ref().map_or_else(|| self.state_dir.join("ca"), |(certificate, _)| certificate.clone())
    }

    /// Made, if there is none.
    fn open(&self) -> Result<Life, ExitCode> {
        let life = match &self.config {
            Some(config) => start::authorities(config),
            None => {
                let origin = Origin::Made(Subtrees::default());
                Life::open(&self.state_dir, origin, self.terms, SystemTime::now()).map_err(Into::into)
            }
        };
        life.map_err(|error| fail(WRONG, format!("{error:#}")))
    }

    /// As it is.
    fn look(&self) -> Result<Life, ExitCode> {
        let wrong = |error| fail(WRONG, error);
        let user = Life::owner(&self.state_dir);
        let given = self.given.as_ref().map(|(certificate, key)| Given::read(certificate, key, user));
        let given = given.transpose().map_err(wrong)?;
        if given.is_none() && !Life::is_there(&self.state_dir) {
            let state_dir = self.state_dir.display();
            let message = format!("there is no certificate authority in {state_dir}; make one with `stubgate ca init`");
            return Err(fail(UNUSABLE, message));
        }
        Life::look(&self.state_dir, given).map_err(wrong)
    }
}

fn show(life: &Life) {
    let now = SystemTime::now();
    let anchors = life.anchors();
    say(format_args!("phase                {}", life.phase().as_str()));
    for (role, anchor) in &anchors {
        if anchors.len() > 1 {
            say(format_args!("{:<21}{}", role.as_str(), part(*role)));
        }
        say(format_args!("SHA-256 fingerprint  {}", anchor.fingerprint_sha256()));
        say(format_args!("ends in              {} days", left(anchor.not_after(), now).as_secs() / 86_400));
        if let Role::Past(until) = role {
            say(format_args!("leaves the bundle    {}", rfc3339(*until)));
        }
    }
    let names = life.signing().permitted_subtrees();
    if !names.is_empty() {
        say(format_args!("signs only for       {}", names.join(", ")));
    }
    if let Some(overlap) = life.overlap() {
        say(format_args!("the next one signs   {} at the latest", rfc3339(overlap.deadline)));
        let [seen, unseen] = seen_and_not(life, now);
        say(format_args!("seen with it         {}", listed(&seen)));
        say(format_args!("not seen with it     {}", listed(&unseen)));
    }
}

fn part(role: Role) -> &'static str {
    match role {
        Role::Signing => "signs leaves",
        Role::Next => "in the bundle, signs next",
        Role::Past(_) => "in the bundle, signs no more",
    }
}

fn listed(agents: &Places) -> String {
    if agents.is_empty() {
        return "nobody".to_owned();
    }
    let places = |all: &[IpAddr]| all.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ");
    let named = agents.iter().map(|(name, all)| format!("{name} ({})", places(all)));
    named.collect::<Vec<_>>().join(", ")
}

/// Agents by name, and where they are.
type Places<'a> = BTreeMap<&'a str, Vec<IpAddr>>;

/// Agents that were heard of since a CA comes, as the running appliance wrote it last.
fn seen_and_not(life: &Life, now: SystemTime) -> [Places<'_>; 2] {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let of = |is_it: &dyn Fn(&stubgate_certs::Heard) -> bool| {
        let places = |all: &BTreeMap<IpAddr, _>| {
            all.iter().filter(|(_, heard)| is_it(heard)).map(|(address, _)| *address).collect::<Vec<_>>()
        };
        let all = life.audience().iter().map(|(name, all)| (name.as_str(), places(all)));
        all.filter(|(_, places)| !places.is_empty()).collect()
    };
    [of(&|heard| heard.seen.is_some()), of(&|heard| heard.is_awaited(now))]
}

/// Times are RFC 3339 in UTC; keys may be added.
fn report(life: &Life) -> Value {
    let now = SystemTime::now();
    let authorities: Vec<Value> = life
        .anchors()
        .iter()
        .map(|(role, anchor)| {
            let until = match role {
                Role::Past(until) => Some(rfc3339(*until).to_string()),
                Role::Signing | Role::Next => None,
            };
            json!({
                "role": role.as_str(),
                "sha256": anchor.fingerprint_sha256(),
                "not_after": rfc3339(anchor.not_after()).to_string(),
                "leaves": until,
            })
        })
        .collect();
    let overlap = life.overlap().map(|overlap| {
        let [seen, unseen] = seen_and_not(life, now);
        json!({
            "since": rfc3339(overlap.since).to_string(),
            "least_until": rfc3339(overlap.least_until).to_string(),
            "deadline": rfc3339(overlap.deadline).to_string(),
            "seen": seen,
            "not_seen": unseen,
        })
    });
    json!({
        "phase": life.phase().as_str(),
        "given": life.is_given(),
        "authorities": authorities,
        "name_constraints": life.signing().permitted_subtrees(),
        "overlap": overlap,
    })
}

fn left(end: SystemTime, now: SystemTime) -> Duration {
    end.duration_since(now).unwrap_or_default()
}

/// A length of time: a number and its unit.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no length of time: write such as 90s, 30m, 24h or 7d");
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3_600,
        Some(b'd') => 86_400,
        _ => return Err(bad()),
    };
    let number: u64 = text.get(..text.len() - 1).and_then(|number| number.parse().ok()).ok_or_else(bad)?;
    let most = 31 * 86_400;
    let seconds = number.checked_mul(unit).filter(|seconds| *seconds <= most).ok_or_else(bad)?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_a_unit_and_a_bound() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("30m", 1800), ("24h", 86_400), ("31d", 2_678_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "s", "5", "-1h", "1.5h", "32d", "1 h", "99999999999999999999s", "5é"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
