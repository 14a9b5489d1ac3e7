//! `~/.claude.json`, the client's own memory: that it has been through its first run, which folders it may work in, and which MCP
//! servers it has. The client writes it all the time; every key but these is left as it is.

use serde_json::{Map, Value, json};

use super::record::Record;
use super::report::Outcome;
use super::repositories;
use super::settings::read_or_put_aside;
use super::sources;
use crate::agent::Agent;
use crate::bridge;
use crate::files;

/// Writes it.
pub(crate) fn write(agent: &Agent) -> Outcome {
    match try_write(agent) {
        Ok(outcome) => outcome,
        Err(why) => Outcome::Failed(why),
    }
}

fn try_write(agent: &Agent) -> Result<Outcome, String> {
    let path = agent.place.home.join(".claude.json");
    let servers = servers(agent)?;
    let (now, aside) = read_or_put_aside(&path)?;
    let mut next = now.clone();
    let Some(members) = next.as_object_mut() else { return Err("it is no object".into()) };
    members.insert("hasCompletedOnboarding".into(), true.into());
    members.insert("resumeReturnDismissed".into(), true.into());
    trust_workspaces(agent, members);
    let last = Record::read(&agent.place).servers;
    put_servers(members, &servers, &last);
    let changed = next != now || !path.exists();
    if changed {
        files::replace(&path, format!("{next:#}\n").as_bytes(), 0o600).map_err(|error| error.to_string())?;
    }
    let names: Vec<String> = servers.into_iter().map(|(name, _)| name).collect();
    let mut what = format!("MCP servers: {}", if names.is_empty() { "none".into() } else { names.join(", ") });
    Record::change(&agent.place, |record| record.servers = names).map_err(|error| error.to_string())?;
    if let Some(aside) = aside {
        what = format!("{aside}; {what}");
    }
    Ok(Outcome::of(changed, what))
}

/// The workspace, and each clone below it: the client asks about a folder that it was not told to trust.
fn trust_workspaces(agent: &Agent, members: &mut Map<String, Value>) {
    let workspace = &agent.place.workspace;
    let mut folders = vec![workspace.clone()];
    folders.extend(repositories::folders(agent).into_iter().map(|name| workspace.join(name)));
    // Where the workspace is a link, the client asks by the name behind it.
    let real: Vec<_> = folders.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
    let Some(projects) = object(members, "projects") else { return };
    for folder in folders.iter().chain(&real) {
        let Some(project) = object(projects, &folder.display().to_string()) else { continue };
        project.insert("hasTrustDialogAccepted".into(), true.into());
    }
}

/// What `mcp.json` says, in the client's own format: of one name the agent's own, whole. And the bridges: of one name in both files
/// the bridge, which is looked after.
fn servers(agent: &Agent) -> Result<Map<String, Value>, String> {
    let mut all = Map::new();
    for mut file in sources::objects(agent, "mcp.json")? {
        match file.remove("mcpServers") {
            Some(Value::Object(servers)) => all.extend(servers),
            None => {}
            Some(_) => return Err("mcp.json: mcpServers is no object".into()),
        }
    }
    all.extend(bridge::servers(agent).map_err(|error| error.to_string())?);
    Ok(all)
}

fn put_servers(members: &mut Map<String, Value>, servers: &Map<String, Value>, last: &[String]) {
    let Some(all) = object(members, "mcpServers") else { return };
    all.retain(|name, _| !last.contains(name) || servers.contains_key(name));
    for (name, server) in servers {
        all.insert(name.clone(), server.clone());
    }
}

/// A member that is an object, made one where it is none.
fn object<'m>(members: &'m mut Map<String, Value>, name: &str) -> Option<&'m mut Map<String, Value>> {
    let member = members.entry(name).or_insert_with(|| json!({}));
    if !member.is_object() {
        *member = json!({});
    }
    member.as_object_mut()
}
