//! How narrow a token is: what is asked for, and that no more was given.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stubgate_policy::secret_source::GithubApp;

use super::super::server::{Answer, ServerError};

/// What every token can: GitHub adds it by itself, and nobody can take it off.
const ALWAYS: (&str, &str) = ("metadata", "read");

/// The body of a request for a token. What policy leaves out is not there: all of the installation.
pub(super) fn request(app: &GithubApp) -> Vec<u8> {
    #[derive(Serialize)]
    struct Wanted<'a> {
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        repositories: &'a [Box<str>],
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        permissions: BTreeMap<&'a str, &'a str>,
    }
    let permissions = app.permissions.iter().map(|(name, level)| (&**name, &**level)).collect();
    // Texts alone: it can't fail.
    serde_json::to_vec(&Wanted { repositories: &app.repositories, permissions }).unwrap_or_default()
}

/// That a token can do no more than was asked for. What GitHub does not say is taken for too much.
pub(super) fn check(app: &GithubApp, answer: &Answer) -> Result<(), ServerError> {
    let wide = |what: &str| {
        ServerError::Odd(format!("gave a token {what}, which is wider than policy asks for; it is not used"))
    };
    if !app.permissions.is_empty() {
        let given: BTreeMap<String, String> =
            read(answer, "permissions")?.ok_or_else(|| wide("without saying what it permits"))?;
        let is_asked = |name: &str, level: &str| {
            let asked = app.permissions.iter().find(|(asked, _)| **asked == *name);
            (name, level) == ALWAYS || asked.is_some_and(|(_, asked)| rank(level) <= rank(asked))
        };
        if !given.iter().all(|(name, level)| is_asked(name, level)) {
            return Err(wide("with other permissions"));
        }
    }
    if !app.repositories.is_empty() {
        #[derive(Deserialize)]
        struct Repository {
            name: String,
        }
        let selection: Option<String> = read(answer, "repository_selection")?;
        let given: Vec<Repository> =
            read(answer, "repositories")?.ok_or_else(|| wide("without saying for which repositories"))?;
        // No two repositories of an owner differ by case alone.
        let is_asked = |name: &str| app.repositories.iter().any(|asked| asked.eq_ignore_ascii_case(name));
        if selection.as_deref() != Some("selected") || !given.iter().all(|one| is_asked(&one.name)) {
            return Err(wide("for other repositories"));
        }
    }
    Ok(())
}

/// What to do about a token that can't be had so narrow (status 422).
pub(super) fn refusal(app: &GithubApp, answer: &Answer) -> String {
    let list = |names: Vec<&str>| names.join(", ");
    if answer.says("repositor") {
        let names = list(app.repositories.iter().map(|name| &**name).collect());
        format!(
            "has no such token: not all of the repositories {names} are there and within installation {}",
            app.installation
        )
    } else if answer.says("permission") {
        let names = list(app.permissions.iter().map(|(name, _)| &**name).collect());
        format!(
            "has no such token: installation {} was not granted all of the permissions {names} at these levels; grant them in \
             the app's settings, and have the installation's owner accept them",
            app.installation
        )
    } else {
        "does not take `repositories` and `permissions` as policy writes them (status 422)".into()
    }
}

fn read<'a, T: Deserialize<'a>>(answer: &'a Answer, key: &str) -> Result<Option<T>, ServerError> {
    let odd = |_| ServerError::Odd(format!("gave a token, and says in an unknown way what its `{key}` are"));
    answer.written(&[key])?.map(serde_json::from_str).transpose().map_err(odd)
}

/// What is not known is above all.
fn rank(level: &str) -> u8 {
    match level {
        "read" => 1,
        "write" => 2,
        "admin" => 3,
        _ => u8::MAX,
    }
}
