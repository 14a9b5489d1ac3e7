//! The variables that the command gets: those of the user, without what leads out or is a credential, with what to trust.
//!
//! A variable whose credential stubgate has is not left out but holds the stub. Which that is, is for the caller to know, and which
//! others a credential comes from: their values are never passed on, whatever their names. What was left out or replaced is told,
//! because a program that misses one is puzzling otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use crate::{ADDRESS, PROXY_PORT, mounts, trust};

/// Names of sockets, agents and displays outside: what they lead to can't be reached, and programs are better off not trying.
const LEAD_OUT: &[&str] = &[
    "ALACRITTY_SOCKET",
    "BUILDKIT_HOST",
    "CONTAINERD_ADDRESS",
    "CONTAINER_HOST",
    "CONTAINER_SSHKEY",
    "DBUS_SESSION_BUS_ADDRESS",
    "DBUS_STARTER_ADDRESS",
    "DBUS_SYSTEM_BUS_ADDRESS",
    "DISPLAY",
    "DOCKER_CERT_PATH",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "GNOME_KEYRING_CONTROL",
    "GPG_AGENT_INFO",
    "GPG_TTY",
    "HYPRLAND_INSTANCE_SIGNATURE",
    "I3SOCK",
    "ICEAUTHORITY",
    "JOURNAL_STREAM",
    "KITTY_LISTEN_ON",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "MANAGERPID",
    "NOTIFY_SOCKET",
    "NVIM",
    "NVIM_LISTEN_ADDRESS",
    "PIPEWIRE_REMOTE",
    "PULSE_SERVER",
    "SESSION_MANAGER",
    "SSH_AGENT_PID",
    "SSH_ASKPASS",
    "SSH_AUTH_SOCK",
    "STY",
    "SWAYSOCK",
    "TMUX",
    "TMUX_PANE",
    "VSCODE_GIT_ASKPASS_MAIN",
    "VSCODE_GIT_ASKPASS_NODE",
    "VSCODE_GIT_IPC_HANDLE",
    "VSCODE_IPC_HOOK",
    "VSCODE_IPC_HOOK_CLI",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "WAYLAND_DISPLAY",
    "WAYLAND_SOCKET",
    "WSL_INTEROP",
    "XAUTHORITY",
    "GIT_ASKPASS",
];

/// Proxies of outside, which are not there inside; compared without case.
const PROXIES: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "NO_PROXY"];

/// Ends of the names of credentials.
const CREDENTIALS: &[&str] = &[
    "_ACCESS_KEY",
    "_ACCESS_KEY_ID",
    "_ACCOUNT_KEY",
    "_APIKEY",
    "_API_KEY",
    "_APITOKEN",
    "_AUTH",
    "_AUTHTOKEN",
    "_AUTH_KEY",
    "_CLIENT_SECRET",
    "_CONNECTION_STRING",
    "_CREDENTIAL",
    "_CREDENTIALS",
    "_DSN",
    "_JWT",
    "_KEY",
    "_PASS",
    "_PASSPHRASE",
    "_PASSWD",
    "_PASSWORD",
    "_PAT",
    "_PRIVATE_KEY",
    "_PW",
    "_PWD",
    "_SECRET",
    "_SECRET_KEY",
    "_SERVICE_ACCOUNT",
    "_SIGNING_KEY",
    "_TOKEN",
    "_TOKENS",
    "_WEBHOOK_URL",
];

/// Credentials whose names end otherwise, or that are all of a name.
const NAMED: &[&str] = &[
    "API_KEY",
    "APIKEY",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "DATABASE_URL",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "KUBECONFIG",
    "MONGODB_URI",
    "NETRC",
    "PASSWORD",
    "PGPASSFILE",
    "PGPASSWORD",
    "REDIS_URL",
    "SECRET",
    "TOKEN",
    "VAULT_ADDR",
    "ANTHROPIC_CUSTOM_HEADERS",
    "CARGO_REGISTRY_TOKEN",
    "SLACK_WEBHOOK",
];

/// What a command gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    /// All of them.
    pub all: Vec<(OsString, OsString)>,
    /// Names of those that were left out.
    pub left_out: Vec<String>,
    /// Names of those that hold a stub.
    pub stubs: Vec<String>,
}

/// What is asked for beside the user's own.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// Stubs by the variable that is to hold each; a variable that is not set outside is set.
    pub stubs: &'w BTreeMap<String, String>,
    /// Variables that a credential comes from, which hold their stub or are left out.
    pub withheld: &'w BTreeSet<String>,
    /// Other variables that stay as they are.
    pub kept: &'w [String],
    /// Whether programs are told of the proxy, for ports other than 80 and 443.
    pub proxy: bool,
}

impl Variables {
    /// From those of outside.
    pub fn new(outside: impl IntoIterator<Item = (OsString, OsString)>, wanted: Wanted<'_>) -> Variables {
        let mut made = Variables::default();
        let mut java = None;
        let trusting = trust::variables(None);
        for (name, value) in outside {
            let text = name.to_string_lossy().into_owned();
            if wanted.stubs.contains_key(&text) {
                continue;
            }
            if wanted.withheld.contains(&text) {
                made.left_out.push(text);
                continue;
            }
            if text == "JAVA_TOOL_OPTIONS" {
                java = value.into_string().ok();
                continue;
            }
            if text == "XDG_RUNTIME_DIR" || trusting.iter().any(|(known, _)| *known == text) {
                continue;
            }
            if wanted.kept.contains(&text) || !(is_left_out(&text) || shows_credential(&value.to_string_lossy())) {
                made.all.push((name, value));
            } else {
                made.left_out.push(text);
            }
        }
        made.left_out.sort();
        let mut set = |name: &str, value: &str| made.all.push((name.into(), value.into()));
        for (name, value) in trust::variables(java.as_deref()) {
            set(name, &value);
        }
        made.all.push(("XDG_RUNTIME_DIR".into(), mounts::runtime_folder().into()));
        let mut set = |name: &str, value: &str| made.all.push((name.into(), value.into()));
        set("STUBGATE_SANDBOX", "1");
        if wanted.proxy {
            let address = format!("http://{ADDRESS}:{PROXY_PORT}");
            for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
                set(name, &address);
            }
            for name in ["NO_PROXY", "no_proxy"] {
                set(name, "localhost,127.0.0.1,::1");
            }
        }
        for (name, stub) in wanted.stubs {
            set(name, stub);
            made.stubs.push(name.clone());
        }
        made
    }

    /// What is to be told of it: a line each, or nothing.
    pub fn told(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.stubs.is_empty() {
            lines.push(format!("variables that hold a stub: {}", self.stubs.join(", ")));
        }
        if !self.left_out.is_empty() {
            lines.push(format!(
                "variables left out: {} (--keep-env NAME keeps one that no credential comes from)",
                self.left_out.join(", ")
            ));
        }
        lines
    }
}

/// Whether a variable leads out or is a credential.
fn is_left_out(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let credential = CREDENTIALS.iter().any(|end| upper.ends_with(end)) || NAMED.contains(&&*upper);
    credential
        || LEAD_OUT.contains(&name)
        || PROXIES.contains(&&*upper)
        // Agents of shells and prompts count up: `SSH_AUTH_SOCK_0` and the like.
        || name.ends_with("_SOCK")
        || name.ends_with("_SOCKET")
        || name.starts_with("BASH_FUNC_")
        // Settings of git by number, among them headers; one that is missing makes the others an error.
        || name.starts_with("GIT_CONFIG_")
}

/// Whether a value has somebody's credential in an address, or is a header that says who one is. Before the `@` of most addresses
/// stands a token as often as a name.
fn shows_credential(value: &str) -> bool {
    let is_of_scheme = |letter: char| letter.is_ascii_alphanumeric() || ['+', '-', '.'].contains(&letter);
    let names_one = |(at, marks): (usize, &str)| {
        let (before, rest) = (value.get(..at).unwrap_or_default(), value.get(at + marks.len()..).unwrap_or_default());
        let scheme = before.rsplit(|letter| !is_of_scheme(letter)).next().unwrap_or_default().to_ascii_lowercase();
        let ends = |letter: char| letter.is_whitespace() || ['/', '?', '#', '"', '\''].contains(&letter);
        let authority = rest.split(ends).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        if NAMES_ONLY.contains(&&*scheme) { user.contains(':') } else { !user.is_empty() }
    };
    value.match_indices("://").any(names_one) || value.to_ascii_lowercase().contains("authorization:")
}

/// Schemes whose addresses have a name before the `@` and no token.
const NAMES_ONLY: [&str; 4] = ["ssh", "git+ssh", "git", "svn+ssh"];

#[cfg(test)]
mod tests {
    use super::*;

    fn made(outside: &[(&str, &str)], stubs: &[(&str, &str)], kept: &[&str], proxy: bool) -> Variables {
        let stubs = stubs.iter().map(|(name, stub)| ((*name).to_owned(), (*stub).to_owned())).collect();
        let kept: Vec<String> = kept.iter().map(|name| (*name).to_owned()).collect();
        let outside = outside.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let withheld = BTreeSet::from(["ACME".to_owned(), "GITHUB_TOKEN".to_owned()]);
        Variables::new(outside, Wanted { stubs: &stubs, withheld: &withheld, kept: &kept, proxy })
    }

    fn value<'v>(made: &'v Variables, name: &str) -> Option<&'v str> {
        let mut found = made.all.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.to_str().unwrap());
        assert!(found.next().is_none(), "{name} twice");
        value
    }

    #[test]
    fn what_leads_out_or_is_a_credential_is_left_out_and_told() {
        let outside = [
            ("PATH", "/bin"),
            ("SSH_AUTH_SOCK", "/tmp/x"),
            ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/x"),
            ("DISPLAY", ":0"),
            ("DOCKER_HOST", "unix:///x"),
            ("GITHUB_TOKEN", "ghp_real"),
            ("AWS_SECRET_ACCESS_KEY", "real"),
            ("PGPASSWORD", "real"),
            ("MY_SERVICE_PASSWORD", "real"),
            ("https_proxy", "http://corp"),
            ("GIT_CONFIG_VALUE_0", "AUTHORIZATION: basic real"),
            ("PIP_INDEX_URL", "https://u:real@pypi.example/simple"),
            ("HEADERS", "Authorization: Bearer real"),
            ("STRIPE_KEY", "real"),
            ("DB_PWD", "real"),
            ("ORACLE_PW", "real"),
            ("REMOTE", "https://real@github.com/acme/site"),
            ("INDEX", "x=http://:real@pypi.example/ https://other.example/"),
            ("CLONE", "ssh://git:real@host/x"),
            ("SUBMODULES", "git+ssh://git@host/a git://git@host/b SSH://me@host"),
            ("OLDPWD", "/home"),
            ("HOMEPAGE", "https://example.com/a:b@c"),
            ("LANG", "C"),
        ];
        let made = made(&outside, &[], &[], false);
        assert_eq!(made.left_out.len(), 18, "{:?}", made.left_out);
        let text = format!("{:?}", made.all);
        assert!(!text.contains("real") && !text.contains("/x") && !text.contains("corp"), "{text}");
        assert_eq!((value(&made, "PATH"), value(&made, "LANG")), (Some("/bin"), Some("C")));
        assert!(
            value(&made, "SUBMODULES").is_some()
                && value(&made, "OLDPWD").is_some()
                && value(&made, "HOMEPAGE").is_some()
        );
        assert!(made.told().concat().contains("SSH_AUTH_SOCK"));
    }

    #[test]
    fn a_credential_that_stubgate_has_becomes_its_stub() {
        let made = made(&[("GITHUB_TOKEN", "ghp_real")], &[("GITHUB_TOKEN", "stub"), ("GH_TOKEN", "stub")], &[], false);
        assert_eq!((value(&made, "GITHUB_TOKEN"), value(&made, "GH_TOKEN")), (Some("stub"), Some("stub")));
        assert!(made.left_out.is_empty());
        assert_eq!(made.told(), ["variables that hold a stub: GH_TOKEN, GITHUB_TOKEN"]);
    }

    #[test]
    fn a_variable_that_a_credential_comes_from_is_never_kept_whatever_its_name() {
        let made = made(&[("ACME", "real"), ("SHELL", "/bin/sh")], &[], &["ACME"], false);
        assert_eq!((value(&made, "ACME"), &*made.left_out), (None, &["ACME".to_owned()][..]));
    }

    #[test]
    fn what_to_trust_is_ours_alone_and_options_for_java_stay() {
        let outside =
            [("SSL_CERT_FILE", "/corp.pem"), ("JAVA_TOOL_OPTIONS", "-Xmx1g"), ("XDG_RUNTIME_DIR", "/run/user/1")];
        let made = made(&outside, &[], &[], false);
        assert_eq!(value(&made, "SSL_CERT_FILE"), Some("/run/stubgate/ca-certificates.crt"));
        assert!(value(&made, "JAVA_TOOL_OPTIONS").unwrap().starts_with("-Xmx1g -Djavax"));
        let own = format!("/run/user/{}", rustix::process::getuid().as_raw());
        assert_eq!(value(&made, "XDG_RUNTIME_DIR"), Some(&*own));
        assert_eq!(value(&made, "HTTPS_PROXY"), None);
    }

    #[test]
    fn a_proxy_is_set_where_it_is_wanted_and_a_variable_stays_where_it_is_asked_for() {
        let made = made(&[("MY_TOKEN", "harmless")], &[], &["MY_TOKEN"], true);
        assert_eq!(value(&made, "MY_TOKEN"), Some("harmless"));
        assert_eq!(value(&made, "https_proxy"), Some("http://198.18.0.1:3128"));
        assert!(made.told().is_empty());
    }
}
