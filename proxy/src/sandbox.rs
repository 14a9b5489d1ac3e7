//! What a sandbox is made from: the configuration that it needs where none is given, the variables that become stubs, and the
//! files that its command must not see or change.
//!
//! A command of the same user could otherwise read the CA's key, or write the policy that it lives under. Both would be stubgate's
//! fault and not the user's, so that they are closed here; what else of the user's files it may write is the user's to say.

mod guarded;
mod links;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use stubgate_policy::secret_source::Source;
use stubgate_policy::{AgentId, Credential, Policy, Slot, SourceFile};

use crate::config::{self, Config, ConfigProblem};

pub use guarded::{Asked, Guarded};

/// Variables that are set to a stub where policy has a credential for the host that fits: those that are set outside, and the
/// first of each host in any case.
const CUSTOMARY: &[(&str, &str, bool)] = &[
    ("GH_TOKEN", "api.github.com", true),
    ("GITHUB_TOKEN", "api.github.com", true),
    ("ANTHROPIC_AUTH_TOKEN", "api.anthropic.com", true),
    ("CLAUDE_CODE_OAUTH_TOKEN", "api.anthropic.com", true),
    ("ANTHROPIC_API_KEY", "api.anthropic.com", false),
    ("OPENAI_API_KEY", "api.openai.com", true),
    ("GITLAB_TOKEN", "gitlab.com", true),
];

/// A configuration that needs nothing but a policy and a folder for state. Both canonical.
///
/// # Errors
/// Where a path can't stand in one.
pub fn configuration(policy: &[PathBuf], state: &Path) -> Result<Config, ConfigProblem> {
    let quoted = |path: &Path| serde_json::to_string(&path.to_string_lossy()).unwrap_or_default();
    let policy: Vec<String> = policy.iter().map(|path| quoted(path)).collect();
    let text = format!(
        "listen: {{ proxy: [\"127.0.0.1:0\"], admin: [] }}\npolicy: [{}]\nstate_dir: {}\n\
         timeouts: {{ drain_seconds: 1 }}\naudit: {{ files: [{{ path: {}, max_bytes: 10485760, keep: 3 }}] }}\n",
        policy.join(", "),
        quoted(state),
        quoted(&state.join("audit.jsonl")),
    );
    config::compile(SourceFile { name: "the sandbox's own configuration".into(), text })
}

/// The credentials that an agent may use.
pub fn credentials(policy: &Policy, agent: AgentId) -> Vec<&Credential> {
    let ids: BTreeSet<_> = policy.granted(agent).flat_map(|rule| rule.credentials()).collect();
    ids.into_iter().map(|id| policy.credential(*id)).collect()
}

/// The variables that credentials come from, of whichever agent: none of their values is for a command.
pub fn withheld(policy: &Policy) -> BTreeSet<String> {
    let all = policy.credentials().iter().flat_map(|credential| credential.source().variables());
    all.map(str::to_owned).collect()
}

/// Which variables are to hold which stub for an agent.
pub fn stubs(policy: &Policy, agent: AgentId, is_set: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut usable = credentials(policy, agent);
    usable.retain(|credential| !credential.minted_only() && !credential.stub().is_empty());
    for credential in &usable {
        if let Source::Env(name) = credential.source() {
            found.insert(name.to_string(), credential.stub().to_owned());
        }
    }
    let mut served = BTreeSet::new();
    for &(name, host, is_bearer) in CUSTOMARY {
        let fits = |credential: &&&Credential| {
            let at_host = credential.hosts().iter().any(|known| known.to_string() == host);
            let bearer = credential.slots().contains(&Slot::Bearer);
            let key =
                credential.slots().iter().any(|slot| matches!(slot, Slot::Header(name) if &**name == "x-api-key"));
            at_host && if is_bearer { bearer } else { key }
        };
        let Some(credential) = usable.iter().find(fits) else { continue };
        // Two variables for one host confuse clients, so that one that nobody set is only set where it is the first.
        if is_set(name) || !served.contains(host) {
            served.insert(host);
            found.entry(name.to_owned()).or_insert_with(|| credential.stub().to_owned());
        }
    }
    found
}

/// Whether something that is allowed to an agent is reached only through the proxy: another port, or an address.
pub fn needs_proxy(policy: &Policy, agent: AgentId) -> bool {
    policy.granted(agent).flat_map(|rule| rule.hosts()).any(|host| {
        let text = host.to_string();
        let name = text.strip_prefix("http://").unwrap_or(&text);
        name.contains(':') || name.contains('[') || name.parse::<std::net::IpAddr>().is_ok()
    })
}

/// The homes of a user that are there: what `HOME` says first, and what the list of users says, where credentials are kept all the
/// same. Canonical.
pub fn homes(said: Option<PathBuf>, passwd: &str, user: u32) -> Vec<PathBuf> {
    let listed = passwd.lines().filter_map(|line| {
        let entry: Vec<&str> = line.split(':').collect();
        (entry.get(2)?.parse() == Ok(user)).then(|| entry.get(5).map(PathBuf::from))?
    });
    let mut found: Vec<PathBuf> = Vec::new();
    for home in said.into_iter().chain(listed).filter(|home| home.is_absolute()) {
        found.extend(home.canonicalize().ok().filter(|home| home.is_dir() && !found.contains(home)));
    }
    found
}

#[cfg(test)]
mod tests;
