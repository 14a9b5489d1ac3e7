//! How the client is told of its bridges: `mcpServers`, in its own format.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::file::{self, Entry, Kind, Slot};
use crate::agent::{Agent, Place};
use crate::yaml::Wrong;

/// The agent's bridges as the client's configuration has them.
///
/// # Errors
///
/// A `bridges.yaml` is wrong.
pub fn servers(agent: &Agent) -> Result<Map<String, Value>, Wrong> {
    let entries = file::read(agent)?;
    Ok(entries.iter().filter_map(|(name, entry)| Some((name.clone(), server(&agent.place, name, entry)?))).collect())
}

fn server(place: &Place, name: &str, entry: &Entry) -> Option<Value> {
    Some(match entry.kind()? {
        Kind::Stdio(stdio) => {
            let mut command = installed(&stdio.command, place, name, entry).into_iter();
            json!({
                "type": "stdio",
                "command": command.next()?,
                "args": command.collect::<Vec<_>>(),
                "env": entry.environment,
            })
        }
        Kind::Http(http) => json!({ "type": "http", "url": format!("http://127.0.0.1:{}{}", http.port, http.path) }),
        Kind::Remote(remote) => {
            let (header, value) = header(&remote.slot, &remote.stub);
            json!({ "type": "http", "url": remote.url, "headers": { header: value } })
        }
    })
}

/// The header that a stub stands in.
pub(super) fn header<'s>(slot: &'s Slot, stub: &str) -> (&'s str, String) {
    match slot {
        Slot::Bearer => ("Authorization", format!("Bearer {stub}")),
        Slot::Bare => ("Authorization", stub.into()),
        Slot::Header(name) => (name, stub.into()),
    }
}

/// A command as it runs: a bare program of a bridge with a package is the one of its current version.
fn installed(command: &[String], place: &Place, name: &str, entry: &Entry) -> Vec<String> {
    match entry.package {
        Some(_) => within(command, &file::versions(place, name).join("current")),
        None => command.to_vec(),
    }
}

/// A command with its program out of this environment of Python.
pub(super) fn within(command: &[String], environment: &Path) -> Vec<String> {
    let mut command = command.to_vec();
    if let Some(program) = command.first_mut()
        && !program.contains('/')
    {
        *program = environment.join("bin").join(&*program).display().to_string();
    }
    command
}

#[cfg(test)]
mod tests;
