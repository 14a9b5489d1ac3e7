//! Sources in plain words: two that give one secret read alike, and no two others do.
//!
//! How long a value is used and how long a program may run make no other secret of it, and stand in none of them.

use crate::model::secret_source::{GithubApp, Oauth, OauthProvider, VaultAuth};
use crate::model::{Reading, Source};

/// Where a secret comes from.
pub(super) fn reading(reading: &Reading) -> String {
    let source = source(&reading.source);
    match &reading.json_key {
        Some(key) => format!("the key {} of {source}", plain(key)),
        None => source,
    }
}

fn source(source: &Source) -> String {
    match source {
        Source::File(path) => format!("file {}", file(path)),
        Source::Env(name) => format!("env {name}"),
        Source::Exec(exec) => {
            let words = exec.arguments.iter().map(|word| format!(" {:?}", &**word)).collect::<String>();
            format!("program {}{words}", file(&exec.program))
        }
        Source::Vault(vault) => {
            let namespace = vault.namespace.as_ref().map(|name| format!(", namespace {name}")).unwrap_or_default();
            let (mount, path, key) = (&vault.mount, &vault.path, plain(&vault.key));
            format!("vault {}{namespace}, {mount}: {path}, key {key}, {}", vault.server, login(&vault.auth))
        }
        Source::Infisical(secret) => format!(
            "infisical {}, project {}, {} {} {}, as the identity in {}",
            secret.server,
            plain(&secret.project),
            plain(&secret.environment),
            secret.path,
            plain(&secret.name),
            file(&secret.client_id_file),
        ),
        Source::GithubApp(app) => github_app(app),
        Source::Oauth(oauth) => oauth_login(oauth),
    }
}

fn login(auth: &VaultAuth) -> String {
    match auth {
        VaultAuth::Token { file: token } => format!("with the token in {}", file(token)),
        VaultAuth::AppRole { mount, role_id_file, secret_id_file: _ } => {
            format!("as the role of {mount} in {}", file(role_id_file))
        }
        VaultAuth::Kubernetes { mount, role, token_file: _ } => format!("as the role {} of {mount}", plain(role)),
    }
}

fn github_app(app: &GithubApp) -> String {
    let repositories = match &*app.repositories {
        [] => "all repositories".to_owned(),
        some => format!("repositories {}", some.join(", ")),
    };
    let permissions: Vec<String> = app.permissions.iter().map(|(name, level)| format!("{name}: {level}")).collect();
    let permissions = match permissions.as_slice() {
        [] => "all permissions".to_owned(),
        some => format!("permissions {}", some.join(", ")),
    };
    let (id, number, server) = (&app.app_id, app.installation, &app.server);
    format!("GitHub App {id}, installation {number} at {server}{}, {repositories}, {permissions}", app.base_path)
}

fn oauth_login(oauth: &Oauth) -> String {
    let OauthProvider { name, token_endpoints, client_id, scopes, .. } = &oauth.provider;
    if OauthProvider::BUILT_IN.contains(&&**name) {
        return format!("login {} of {name}", oauth.login);
    }
    let at = token_endpoints.first().map(|first| format!("{}{}", first.server, first.path)).unwrap_or_default();
    format!("login {} of {name} at {at}, client {}, scopes {}", oauth.login, plain(client_id), scopes.join(" "))
}

/// A path may hold anything, and whoever wrote the policy chose it.
fn file(path: &std::path::Path) -> String {
    plain(&path.display().to_string())
}

fn plain(text: &str) -> String {
    text.escape_debug().to_string()
}
