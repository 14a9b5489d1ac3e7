//! What the client is told: `CLAUDE.md` of the image, of everybody, of this agent; and its subagents.

use std::collections::BTreeMap;
use std::fs;

use super::record::Record;
use super::report::Outcome;
use super::sources;
use crate::agent::Agent;
use crate::files;

/// What the image says to every agent.
const IMAGE: &str = include_str!("../../../defaults/CLAUDE.md");

/// `~/.claude/CLAUDE.md`.
pub(crate) fn write(agent: &Agent) -> Outcome {
    let texts = match sources::texts(agent, "CLAUDE.md") {
        Ok(texts) => texts,
        Err(why) => return Outcome::Failed(why),
    };
    let mut all = IMAGE.trim_end().to_owned();
    for text in &texts {
        all.push_str("\n\n");
        all.push_str(text.trim_end());
    }
    all.push('\n');
    match files::replace(&agent.place.claude().join("CLAUDE.md"), all.as_bytes(), 0o644) {
        Ok(changed) => Outcome::of(changed, format!("the image's and {} mounted", texts.len())),
        Err(error) => Outcome::Failed(format!("CLAUDE.md: {error}")),
    }
}

/// `~/.claude/agents/*.md`: those of the sources; those that setup wrote earlier and the sources no longer have are removed, and
/// what anybody else put there stays.
pub(crate) fn subagents(agent: &Agent) -> Outcome {
    match write_subagents(agent) {
        Ok(outcome) => outcome,
        Err(why) => Outcome::Failed(why),
    }
}

fn write_subagents(agent: &Agent) -> Result<Outcome, String> {
    let all: BTreeMap<String, String> = sources::folder(agent, "subagents", ".md")?;
    let folder = agent.place.claude().join("agents");
    let last = Record::read(&agent.place).subagents;
    let mut changed = false;
    for (name, text) in &all {
        changed |=
            files::replace(&folder.join(name), text.as_bytes(), 0o644).map_err(|error| format!("{name}: {error}"))?;
    }
    let stale = last.iter().filter(|name| !all.contains_key(*name) && !name.contains('/') && !name.starts_with('.'));
    for name in stale {
        match fs::remove_file(folder.join(name)) {
            Ok(()) => changed = true,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{name}: {error}")),
        }
    }
    Record::change(&agent.place, |record| record.subagents = all.keys().cloned().collect())
        .map_err(|error| error.to_string())?;
    if all.is_empty() && !changed {
        return Ok(Outcome::Skipped("none".into()));
    }
    Ok(Outcome::of(changed, all.into_keys().collect::<Vec<_>>().join(", ")))
}
