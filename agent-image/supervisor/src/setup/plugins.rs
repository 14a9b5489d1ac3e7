//! Plugins, as the settings name them: `claude plugin` brings each up to its marketplace. What can't be reached leaves what is
//! there: a plugin is never taken away in order to be put back.

use std::fs;
use std::time::Duration;

use serde_json::{Map, Value};

use super::environment;
use super::report::{Outcome, Tally};
use super::settings;
use crate::agent::Agent;
use crate::program;

/// For one call of the client.
const CALL: Duration = Duration::from_secs(120);

/// For all of them: setup is not held up for longer by what is optional.
const ALL: Duration = Duration::from_secs(600);

/// Reconciles them.
pub(crate) async fn reconcile(agent: &Agent) -> Outcome {
    let settings = match settings::merged(agent) {
        Ok(settings) => settings,
        Err(why) => return Outcome::Failed(why),
    };
    let members = |name: &str| settings.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    let marketplaces = members("extraKnownMarketplaces");
    let plugins: Vec<String> =
        members("enabledPlugins").into_iter().filter(|(_, on)| *on == Value::Bool(true)).map(|(id, _)| id).collect();
    if marketplaces.is_empty() && plugins.is_empty() {
        return Outcome::Skipped("the settings name none".into());
    }
    let all = async {
        let mut tally = Tally::default();
        let failed = bring_marketplaces(agent, &marketplaces, &mut tally).await;
        for id in &plugins {
            bring_plugin(agent, id, &failed, &mut tally).await;
        }
        tally.outcome()
    };
    let late = || Outcome::Failed(format!("given up after {} s: what is there stays", ALL.as_secs()));
    tokio::time::timeout(ALL, all).await.unwrap_or_else(|_| late())
}

/// Adds and updates each; those that failed.
async fn bring_marketplaces(agent: &Agent, all: &Map<String, Value>, tally: &mut Tally) -> Vec<String> {
    let mut failed = Vec::new();
    for (name, entry) in all {
        let brought = match address(entry) {
            _ if !is_name(name) => Err("it is no marketplace's name".into()),
            None => Err("its source is of no kind that can be added".into()),
            Some(address) => match known(agent).contains_key(name) {
                true => Ok(()),
                false => claude(agent, &["plugin", "marketplace", "add", &address]).await,
            },
        };
        let brought = match brought {
            Ok(()) => claude(agent, &["plugin", "marketplace", "update", name]).await,
            Err(why) => Err(why),
        };
        if let Err(why) = brought {
            tally.failed(format!("marketplace {name}: {why}"));
            failed.push(name.clone());
        }
    }
    failed
}

async fn bring_plugin(agent: &Agent, id: &str, failed: &[String], tally: &mut Tally) {
    let Some((name, marketplace)) = id.split_once('@').filter(|(name, market)| is_name(name) && is_name(market)) else {
        return tally.failed(format!("{id:?} is no plugin: NAME@MARKETPLACE"));
    };
    let before = version(agent, id);
    if failed.iter().any(|failed| failed == marketplace) {
        let there = if before.is_some() { "left as it is" } else { "not there" };
        return tally.failed(format!("{name}: its marketplace failed: {there}"));
    }
    let call = if before.is_some() { "update" } else { "install" };
    if let Err(why) = claude(agent, &["plugin", call, id]).await {
        return tally.failed(format!("{name}: {why}"));
    }
    let after = version(agent, id);
    let text = format!("{name} {}", after.as_deref().unwrap_or("of no version"));
    if after == before { tally.unchanged(text) } else { tally.done(text) }
}

/// What `plugin marketplace add` takes, of what the settings say.
fn address(entry: &Value) -> Option<String> {
    let source = entry.get("source")?;
    let text = |name: &str| source.get(name).and_then(Value::as_str).filter(|text| !text.starts_with('-'));
    let reference = text("ref").map(|reference| format!("#{reference}")).unwrap_or_default();
    match text("source")? {
        "github" => Some(format!("{}{reference}", text("repo")?)),
        "git" => Some(format!("{}{reference}", text("url")?)),
        "url" => text("url").map(str::to_owned),
        "directory" | "file" => text("path").map(str::to_owned),
        _ => None,
    }
}

/// The marketplaces that the client has.
fn known(agent: &Agent) -> Map<String, Value> {
    own_file(agent, "known_marketplaces.json").as_object().cloned().unwrap_or_default()
}

/// The version of a plugin that is installed.
fn version(agent: &Agent, id: &str) -> Option<String> {
    let installed = own_file(agent, "installed_plugins.json");
    let entry = installed.get("plugins")?.get(id)?.as_array()?.first()?;
    // One whose files are gone has to be installed again.
    let path = entry.get("installPath")?.as_str()?;
    fs::metadata(path).ok()?;
    entry.get("version")?.as_str().map(str::to_owned)
}

fn own_file(agent: &Agent, name: &str) -> Value {
    let path = agent.place.claude().join("plugins").join(name);
    let bytes = crate::files::read_bounded(&path, 4 * 1024 * 1024).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(['-', '.'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

async fn claude(agent: &Agent, arguments: &[&str]) -> Result<(), String> {
    let mut command = environment::command(agent, &agent.file.client.program);
    command.args(arguments).current_dir(&agent.place.home);
    let ended = program::run(command, CALL).await.map_err(|error| format!("{}: {error}", agent.file.client.program))?;
    if ended.status.success() { Ok(()) } else { Err(ended.why()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_marketplace_is_added_by_what_the_client_takes() {
        for (source, expected) in [
            (json!({ "source": "github", "repo": "acme/market" }), Some("acme/market")),
            (json!({ "source": "github", "repo": "acme/market", "ref": "v1" }), Some("acme/market#v1")),
            (json!({ "source": "git", "url": "https://git.example.com/m.git" }), Some("https://git.example.com/m.git")),
            (json!({ "source": "directory", "path": "/srv/market" }), Some("/srv/market")),
            (json!({ "source": "npm", "package": "m" }), None),
            (json!({ "source": "github", "repo": "--help" }), None),
        ] {
            assert_eq!(address(&json!({ "source": source })).as_deref(), expected, "{source}");
        }
    }
}
