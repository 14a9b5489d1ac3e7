//! What nobody tells the supervisor, and is looked at here: whether the client's process is there at this moment. It reads and
//! changes nothing.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use super::{Client, Facts};

/// The facts, with the client as the kernel knows it now: an end is told to the supervisor a moment after it happened, and
/// not at all if it has a fault.
pub(super) fn witnessed(mut facts: Facts, proc: &Path, now: SystemTime) -> Facts {
    if let Client::Up { pid, restarts, .. } = facts.client {
        let stat = fs::read_to_string(proc.join(pid.to_string()).join("stat"));
        // The name before it is in brackets, and may hold any character.
        let state = stat.ok().and_then(|stat| stat.rsplit_once(") ")?.1.chars().next());
        match state {
            None | Some('Z' | 'X') => {
                facts.client = Client::Down { why: "its process is gone".into(), next: now, restarts };
            }
            Some('T') => facts.client = Client::Hung { pid, since: now },
            Some(_) => {}
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn seen(stat: Option<&str>) -> Client {
        let proc = tempfile::tempdir().unwrap();
        if let Some(stat) = stat {
            fs::create_dir(proc.path().join("42")).unwrap();
            fs::write(proc.path().join("42/stat"), stat).unwrap();
        }
        let client = Client::Up { pid: 42, since: UNIX_EPOCH, restarts: 5 };
        witnessed(Facts { client, ..Facts::default() }, proc.path(), UNIX_EPOCH).client
    }

    #[test]
    fn a_client_whose_process_is_gone_is_not_up_whatever_was_told() {
        let gone = Client::Down { why: "its process is gone".into(), next: UNIX_EPOCH, restarts: 5 };
        assert_eq!(seen(None), gone);
        assert_eq!(seen(Some("42 (claude) Z 1 42")), gone);
        assert_eq!(seen(Some("42 (a) R b) X 1 42")), gone, "a name with a bracket in it");
    }

    #[test]
    fn a_client_that_is_stopped_hangs_and_one_that_runs_or_sleeps_is_up() {
        assert_eq!(seen(Some("42 (claude) T 1 42")), Client::Hung { pid: 42, since: UNIX_EPOCH });
        for state in ["S", "R", "D", "t"] {
            assert!(matches!(seen(Some(&format!("42 (claude) {state} 1"))), Client::Up { .. }), "{state}");
        }
    }

    #[test]
    fn this_process_is_seen_in_the_real_proc() {
        let client = Client::Up { pid: std::process::id(), since: UNIX_EPOCH, restarts: 0 };
        let facts = Facts { client: client.clone(), ..Facts::default() };
        assert_eq!(witnessed(facts, Path::new("/proc"), UNIX_EPOCH).client, client);
    }
}
