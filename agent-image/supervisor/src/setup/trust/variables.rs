//! The variables that every process gets, each with who reads it. `docs/agent/setup.md` has the same table; a test holds the two
//! together.

use std::path::Path;

use super::{bundle_file, bundle_folder, java_store};
use crate::agent::{Agent, Place};
use crate::quiet as quiet_hours;

/// A variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Who reads it.
    pub readers: &'static str,
}

/// The variables that say what to trust.
pub fn trust(place: &Place) -> Vec<Variable> {
    let file = text(&bundle_file(place));
    let folder = text(&bundle_folder(place));
    let java = format!("-Djavax.net.ssl.trustStore={} -Djavax.net.ssl.trustStoreType=JKS", text(&java_store(place)));
    let of = |name, value: &String, readers| Variable { name, value: value.clone(), readers };
    vec![
        of(
            "SSL_CERT_FILE",
            &file,
            "OpenSSL and what is built on it (Python's ssl, httpx, Ruby), Go (gh), rustls (uv), Bun (Claude Code)",
        ),
        of("SSL_CERT_DIR", &folder, "the same: without it Go and OpenSSL look into the system's folder as well"),
        of("NODE_EXTRA_CA_CERTS", &file, "Node, npm, Bun, Claude Code"),
        of("REQUESTS_CA_BUNDLE", &file, "Python requests, which ignores SSL_CERT_FILE"),
        of("PIP_CERT", &file, "pip"),
        of("CURL_CA_BUNDLE", &file, "curl"),
        of("GIT_SSL_CAINFO", &file, "git"),
        of("CARGO_HTTP_CAINFO", &file, "cargo"),
        of("DENO_CERT", &file, "Deno"),
        of("DENO_TLS_CA_STORE", &"system".to_owned(), "Deno: not the authorities that are built into it"),
        of("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", &file, "gRPC of C and what is built on it (Python, Ruby, PHP)"),
        of("AWS_CA_BUNDLE", &file, "AWS command line and SDKs"),
        of("NIX_SSL_CERT_FILE", &file, "Nix, and programs built by it"),
        of("JAVA_TOOL_OPTIONS", &java, "every Java virtual machine, also one that the agent brings along"),
    ]
}

/// The variables that keep programs from asking at a terminal where nobody sits, and from replacing themselves.
pub fn quiet() -> Vec<Variable> {
    let of = |name, value: &str, readers| Variable { name, value: value.into(), readers };
    vec![
        of("DISABLE_AUTOUPDATER", "1", "Claude Code: the image pins its version"),
        of("GIT_TERMINAL_PROMPT", "0", "git: fails where it would ask for a password"),
        of("GH_PROMPT_DISABLED", "1", "gh: likewise"),
        of("GH_NO_UPDATE_NOTIFIER", "1", "gh: does not look for a newer one"),
        of("PIP_DISABLE_PIP_VERSION_CHECK", "1", "pip: likewise"),
        of("NPM_CONFIG_UPDATE_NOTIFIER", "false", "npm: likewise"),
    ]
}

/// The variable that gh takes its token from: the stub that git has for github.com.
pub fn login(agent: &Agent) -> Option<Variable> {
    let stub = agent.file.git.stubs.get("github.com").filter(|stub| !stub.is_empty())?;
    Some(Variable { name: "GH_TOKEN", value: stub.clone(), readers: "gh" })
}

/// All of them, beside what the container's own environment says: a token that is set there stays, and so do options for Java.
pub(crate) fn all(agent: &Agent, container: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let login = login(agent);
    // One of ours that came in by way of a shell is not the container's own.
    let is_ours = |value: &str| login.as_ref().is_some_and(|login| login.value == value);
    let has = |name: &str| {
        agent.file.client.environment.contains_key(name) || container(name).is_some_and(|value| !is_ours(&value))
    };
    let mut all: Vec<Variable> = trust(&agent.place);
    for variable in &mut all {
        if variable.name == "JAVA_TOOL_OPTIONS"
            && let Some(own) = container(variable.name)
        {
            variable.value = if own.contains(&variable.value) { own } else { format!("{own} {}", variable.value) };
        }
    }
    all.extend(quiet());
    let is_free = !has("GH_TOKEN") && !has("GITHUB_TOKEN");
    all.extend(login.filter(|_| is_free));
    let all = all.into_iter().map(|variable| (variable.name.to_owned(), variable.value));
    all.chain(quiet_hours::variables(agent)).collect()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
