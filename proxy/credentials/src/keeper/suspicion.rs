//! How often an origin's refusal of a value is a reason to ask its source for another. Pure: times come in as arguments.
//!
//! Agents can have such refusals whenever they like: by asking for something that is answered 401 to everybody. So a source
//! is asked once for each value, and for the same one again after an hour, since it may be refused for another reason by then;
//! and since some sources give another value at each question, and each of those can be
//! refused in turn, at times that grow up to an hour (law 7).

use std::time::Duration;

use stubgate_policy::Source;
use tokio::time::Instant;

use crate::version::Version;

/// The least time between two questions at first, and the most. What mints its values is spared: refreshes of a login
/// above all, each of which uses a refresh token up.
const FIRST: Duration = Duration::from_secs(1);
const FIRST_OF_MINTED: Duration = Duration::from_secs(60);
const MOST: Duration = Duration::from_secs(60 * 60);
/// After this time without any, it begins anew.
const FORGIVEN: Duration = Duration::from_secs(2 * 60 * 60);

/// What origins made of the values of one credential.
#[derive(Clone, Debug)]
pub(super) struct Suspicion {
    first: Duration,
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    version: Version,
    at: Instant,
    /// How long from then to the next.
    wait: Duration,
}

impl Suspicion {
    /// Of a credential from there.
    pub(super) fn new(source: &Source) -> Self {
        let is_minted = matches!(source, Source::Oauth(_) | Source::GithubApp(_));
        Suspicion { first: if is_minted { FIRST_OF_MINTED } else { FIRST }, last: None }
    }

    /// Whether the source is to be asked, now that an origin refused the value of that version, which is in use.
    pub(super) fn admits(&mut self, version: Version, now: Instant) -> bool {
        let wait = match &self.last {
            Some(last) if last.version == version && now < last.at + MOST => return false,
            Some(last) if now < last.at + last.wait => return false,
            Some(last) if now < last.at + FORGIVEN => last.wait.saturating_mul(2).min(MOST),
            Some(_) | None => self.first,
        };
        self.last = Some(Last { version, at: now, wait });
        true
    }

    /// Whether it is the value that was refused last.
    pub(super) fn is_of(&self, version: Version) -> bool {
        self.last.is_some_and(|last| last.version == version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a source is asked within that many hours by an agent that has each value refused, every second.
    fn asked(source: &Source, hours: u32) -> usize {
        let mut suspicion = Suspicion::new(source);
        let start = Instant::now();
        let mut version = 0;
        for second in 0..u64::from(hours) * 3600 {
            // Each question gives another value.
            version += u64::from(suspicion.admits(version.into(), start + Duration::from_secs(second)));
        }
        usize::try_from(version).unwrap()
    }

    fn env() -> Source {
        Source::Env("TOKEN".into())
    }

    #[test]
    fn once_for_each_value_and_again_after_an_hour() {
        let mut suspicion = Suspicion::new(&env());
        let start = Instant::now();
        assert!(!suspicion.is_of(1.into()) && suspicion.admits(1.into(), start) && suspicion.is_of(1.into()));
        let almost = Duration::from_secs(59 * 60);
        assert!(!suspicion.admits(1.into(), start + almost));
        assert!(suspicion.admits(1.into(), start + MOST), "nobody can use the only reaction up for all time");
        assert!(!suspicion.admits(1.into(), start + MOST + almost));
        assert!(suspicion.admits(2.into(), start + MOST + almost) && !suspicion.is_of(1.into()));
    }

    #[test]
    fn an_agent_that_has_every_value_refused_is_soon_listened_to_once_an_hour() {
        assert_eq!(asked(&env(), 1), 12);
        assert_eq!(asked(&env(), 24), 12 + 23);
    }

    #[test]
    fn what_mints_its_values_is_asked_less_often_from_the_beginning() {
        let text = "version: 1\nagents: { a: { sources: [192.0.2.1/32] } }\ncredentials:\n  app:\n    stub: proxy-token-app\n    \
                    slots: [bearer]\n    hosts: [a.example]\n    source: { github_app: { app_id: 1, installation: 2, \
                    private_key: { file: /key } } }\nrules:\n  - { name: r, agents: [a], hosts: [a.example], methods: [GET], \
                    credentials: [app] }\n";
        let files = [stubgate_policy::SourceFile { name: "p".into(), text: text.into() }];
        let policy = stubgate_policy::compile(&files).unwrap_or_else(|found| panic!("{found:?}")).policy;
        let source = policy.credentials()[0].source();
        assert_eq!((asked(source, 1), asked(source, 24)), (6, 6 + 23));
    }

    #[test]
    fn what_was_quiet_for_hours_begins_anew() {
        let mut suspicion = Suspicion::new(&env());
        let mut at = Instant::now();
        for version in 0..20 {
            assert!(suspicion.admits(version.into(), at), "{version}");
            at += FORGIVEN;
        }
        assert!(suspicion.admits(20.into(), at) && suspicion.admits(21.into(), at + FIRST), "as at the beginning");
    }
}
