//! What the agent works on: cloned, or moved forward. What was not committed, or not pushed, is never touched.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::environment;
use super::report::{Outcome, Tally};
use crate::agent::Agent;
use crate::program;

/// For a clone, and for a fetch.
const CLONE: Duration = Duration::from_secs(600);
const FETCH: Duration = Duration::from_secs(180);

/// For what stays on the machine.
const LOCAL: Duration = Duration::from_secs(60);

/// Where a repository is and what its folder is called.
#[derive(Debug, PartialEq, Eq)]
struct Repository {
    address: String,
    folder: String,
}

/// Folders below the workspace, of those that have an address.
pub(crate) fn folders(agent: &Agent) -> Vec<String> {
    agent.file.workspace.repositories.iter().filter_map(|text| Some(Repository::parse(text)?.folder)).collect()
}

/// Clones or moves forward each.
pub(crate) async fn bring(agent: &Agent) -> Outcome {
    let workspace = &agent.file.workspace;
    if workspace.repositories.is_empty() {
        return Outcome::Skipped("none".into());
    }
    let mut tally = Tally::default();
    if let Err(error) = fs::create_dir_all(&agent.place.workspace) {
        return Outcome::Failed(format!("{}: {error}", agent.place.workspace.display()));
    }
    let mut seen = Vec::new();
    for text in &workspace.repositories {
        let Some(repository) = Repository::parse(text) else {
            tally.failed(format!("{text:?} is neither OWNER/NAME nor an address"));
            continue;
        };
        if seen.contains(&repository.folder) {
            tally.failed(format!("{}: two repositories have this folder", repository.folder));
            continue;
        }
        let folder = agent.place.workspace.join(&repository.folder);
        let brought =
            if is_free(&folder) { clone(agent, &repository).await } else { forward(agent, &repository).await };
        match brought {
            Ok(Brought::Changed(how)) => tally.done(format!("{} {how}", repository.folder)),
            Ok(Brought::Same(how)) => tally.unchanged(format!("{} {how}", repository.folder)),
            Err(why) => tally.failed(format!("{}: {why}", repository.folder)),
        }
        seen.push(repository.folder);
    }
    if let Some(primary) = workspace.primary.as_ref().filter(|primary| !seen.contains(primary)) {
        tally.failed(format!("{primary:?}, where the client starts, is none of them"));
    }
    tally.outcome()
}

enum Brought {
    Changed(String),
    Same(String),
}

impl Repository {
    /// `owner/name` at GitHub, or an address; the folder is its last part.
    fn parse(text: &str) -> Option<Repository> {
        let text = text.trim();
        let is_address = text.contains("://") || text.starts_with('/');
        let address = if is_address {
            text.to_owned()
        } else {
            let (owner, name) = text.split_once('/')?;
            if !is_plain(owner) || !is_plain(name) {
                return None;
            }
            format!("https://github.com/{owner}/{}.git", name.strip_suffix(".git").unwrap_or(name))
        };
        let last = address.trim_end_matches('/').rsplit('/').next()?;
        let folder = last.strip_suffix(".git").unwrap_or(last).to_owned();
        (is_plain(&folder) && !address.contains(|c: char| c.is_control() || c == ' '))
            .then_some(Repository { address, folder })
    }
}

/// A name that is one folder and no option.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Not there, or an empty folder.
fn is_free(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Beside its place first: a clone that was cut off is no clone.
async fn clone(agent: &Agent, repository: &Repository) -> Result<Brought, String> {
    let workspace = &agent.place.workspace;
    let beside = workspace.join(format!(".{}.cloning", repository.folder));
    let wrong = |error: std::io::Error| error.to_string();
    if beside.exists() {
        fs::remove_dir_all(&beside).map_err(wrong)?;
    }
    let name = beside.display().to_string();
    let cloned = git(agent, workspace, &["clone", "--quiet", "--", &repository.address, &name], CLONE).await;
    if let Err(why) = cloned {
        let _ = fs::remove_dir_all(&beside);
        return Err(why);
    }
    fs::rename(&beside, workspace.join(&repository.folder)).map_err(wrong)?;
    Ok(Brought::Changed("cloned".into()))
}

/// Fetches, and moves forward where nothing is lost by it.
async fn forward(agent: &Agent, repository: &Repository) -> Result<Brought, String> {
    let folder = agent.place.workspace.join(&repository.folder);
    if !folder.join(".git").exists() {
        return Err("there is something else at its place: left as it is".into());
    }
    let at = |arguments: &'static [&'static str]| git(agent, &folder, arguments, LOCAL);
    let origin = at(&["config", "--get", "remote.origin.url"]).await.unwrap_or_default();
    if origin != repository.address {
        return Err("its origin is another address: left as it is".into());
    }
    git(agent, &folder, &["fetch", "--quiet", "--prune", "origin"], FETCH).await?;
    let before = at(&["rev-parse", "--verify", "--quiet", "HEAD"]).await.unwrap_or_default();
    if at(&["rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}"]).await.is_err() {
        return Ok(Brought::Same("left: its branch follows none of the origin's".into()));
    }
    if at(&["merge-base", "--is-ancestor", "@{upstream}", "HEAD"]).await.is_ok() {
        return Ok(Brought::Same("up to date".into()));
    }
    if !at(&["status", "--porcelain", "--untracked-files=no"]).await?.is_empty() {
        return Ok(Brought::Same("left behind its origin: there are changes that are not committed".into()));
    }
    if at(&["merge-base", "--is-ancestor", "HEAD", "@{upstream}"]).await.is_err() {
        return Ok(Brought::Same("left: it and its origin went different ways".into()));
    }
    at(&["merge", "--quiet", "--ff-only", "@{upstream}"]).await?;
    let after = at(&["rev-parse", "--verify", "--quiet", "HEAD"]).await?;
    if after == before { Ok(Brought::Same("up to date".into())) } else { Ok(Brought::Changed("moved forward".into())) }
}

/// What git says, or why it did not.
async fn git(agent: &Agent, folder: &Path, arguments: &[&str], deadline: Duration) -> Result<String, String> {
    let mut command = environment::command(agent, "git");
    // An origin that hangs is given up long before the deadline.
    command.args(["-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30"]).args(arguments);
    command.current_dir(folder).env("LC_ALL", "C");
    let ended = program::run(command, deadline).await.map_err(|error| format!("git: {error}"))?;
    if ended.status.success() { Ok(ended.output.trim().to_owned()) } else { Err(ended.why()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_a_name_at_github_or_an_address() {
        for (text, address, folder) in [
            ("acme/site", "https://github.com/acme/site.git", "site"),
            ("acme/my_repo.x", "https://github.com/acme/my_repo.x.git", "my_repo.x"),
            ("https://git.example.com/a/b/c.git", "https://git.example.com/a/b/c.git", "c"),
            ("file:///srv/c/", "file:///srv/c/", "c"),
        ] {
            let repository = Repository { address: address.into(), folder: folder.into() };
            assert_eq!(Repository::parse(text), Some(repository));
        }
    }

    #[test]
    fn what_is_an_option_or_leads_out_of_the_workspace_is_no_repository() {
        for text in [
            "site",
            "",
            "/",
            "--upload-pack=x/y",
            "acme/..",
            "a/b/c",
            "https://x/..",
            "https://x/-o",
            "a b/c",
            "https://x/a\nb",
        ] {
            assert_eq!(Repository::parse(text), None, "{text:?}");
        }
    }
}
