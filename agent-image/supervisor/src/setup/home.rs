//! What everything else stands on: files that say who the agent is, and a home to write into.

use std::fs;
use std::io::Write;

use super::environment;
use super::report::{Outcome, Tally};
use super::trust::variables;
use crate::agent::Agent;
use crate::files;

/// Whether the agent has files.
pub(crate) fn sources(agent: &Agent) -> Outcome {
    let [own, shared] = agent.sources();
    match fs::read_dir(&own) {
        Ok(_) if shared.is_dir() => Outcome::Unchanged(format!("{} over {}", own.display(), shared.display())),
        Ok(_) => Outcome::Unchanged(own.display().to_string()),
        Err(error) => Outcome::Failed(format!(
            "{}: {error}: mount the files of {:?} there (its persona CLAUDE.md, agent.yaml), or name another agent",
            own.display(),
            agent.name
        )),
    }
}

/// Whether what setup writes into can be written into.
pub(crate) fn writable(agent: &Agent) -> Outcome {
    let place = &agent.place;
    for folder in [&place.home, &place.claude(), &place.kept()] {
        let probe = folder.join(format!(".setup.{}.new", std::process::id()));
        let _ = fs::remove_file(&probe);
        let tried = fs::create_dir_all(folder)
            // A link that was put there before leads nowhere.
            .and_then(|()| fs::OpenOptions::new().write(true).create_new(true).open(&probe))
            .and_then(|mut file| file.write_all(b"can this be written?"))
            .and_then(|()| fs::remove_file(&probe));
        if let Err(error) = tried {
            let _ = fs::remove_file(&probe);
            return Outcome::Failed(format!(
                "{}: {error}: mount a volume with free space at {} that user {} may write (fsGroup)",
                folder.display(),
                place.home.display(),
                rustix::process::getuid().as_raw()
            ));
        }
    }
    Outcome::Unchanged(place.home.display().to_string())
}

/// The variables of every process, for programs and for shells.
pub(crate) fn variables(agent: &Agent) -> Outcome {
    let place = &agent.place;
    let all = variables::all(agent, |name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let written = environment::write(place, &all)
        .and_then(|changed| Ok(environment::write_for_shells(&environment::for_shells(place), &all)? || changed));
    match written {
        Ok(changed) => Outcome::of(changed, format!("{} variables in {}", all.len(), place.environment().display())),
        Err(error) => Outcome::Failed(format!("{}: {error}", place.environment().display())),
    }
}

/// Has the shells of people, and those that the client starts, read the variables.
pub(crate) fn shells(agent: &Agent) -> Outcome {
    let place = &agent.place;
    let file = environment::for_shells(place).display().to_string().replace('\'', r"'\''");
    let line = format!("[ -r '{file}' ] && . '{file}' # stubgate-agent\n");
    let mut tally = Tally::default();
    for name in [".profile", ".bashrc", ".bash_profile"] {
        let path = place.home.join(name);
        // Bash reads it in place of .profile, so it is not made.
        if name == ".bash_profile" && !path.exists() {
            continue;
        }
        let before = match files::read_bounded(&path, 1024 * 1024) {
            Ok(before) => before,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tally.failed(format!("{name}: {error}"));
                continue;
            }
        };
        if before.split_inclusive(|byte| *byte == b'\n').any(|found| found == line.as_bytes()) {
            tally.unchanged(name);
            continue;
        }
        // First: Debian's .bashrc ends early in a shell without a person.
        let other =
            before.split_inclusive(|byte| *byte == b'\n').filter(|found| !found.ends_with(b"# stubgate-agent\n"));
        let text: Vec<u8> = line.bytes().chain(other.flatten().copied()).collect();
        match files::replace(&path, &text, 0o644) {
            Ok(_) => tally.done(name),
            Err(error) => tally.failed(format!("{name}: {error}")),
        }
    }
    tally.outcome()
}
