//! What the client is started with: arguments, variables, folder.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::agent::Agent;
use crate::state::mask::Mask;

/// Variables of the supervisor that the client must not get: marks of the place where the supervisor itself was started, and
/// credentials that would take the place of the stubs. Whoever wants one of them writes it into `client.environment`.
const NOT_HANDED_ON: [&str; 10] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "COLUMNS",
    "LINES",
    "STUBGATE_LOG",
    "TMUX",
    "TMUX_PANE",
];

/// One start of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<OsString, OsString>,
    pub(crate) folder: PathBuf,
}

impl Start {
    /// With this environment of the supervisor's own, and what setup wrote.
    pub(crate) fn new(
        agent: &Agent,
        own: impl IntoIterator<Item = (OsString, OsString)>,
        written: &[(String, String)],
        is_continued: bool,
    ) -> Self {
        Start {
            program: agent.file.client.program.clone(),
            arguments: arguments(agent, is_continued),
            environment: environment(agent, own, written),
            folder: folder(agent),
        }
    }
}

/// Channels take all that follows up to the next flag, so they never stand last unless there is nothing else.
fn arguments(agent: &Agent, is_continued: bool) -> Vec<String> {
    let client = &agent.file.client;
    let mut arguments = Vec::new();
    if is_continued {
        arguments.push("--continue".into());
    }
    if !client.channels.is_empty() {
        arguments.push("--channels".into());
        arguments.extend(client.channels.iter().cloned());
    }
    if client.remote_control {
        arguments.extend(["--remote-control".into(), agent.name.clone()]);
    }
    if !client.permission_mode.is_empty() {
        arguments.extend(["--permission-mode".into(), client.permission_mode.clone()]);
    }
    arguments.extend(client.arguments.iter().cloned());
    arguments
}

/// A later one wins: our own, what setup wrote, what the agent's file says.
pub(crate) fn environment(
    agent: &Agent,
    own: impl IntoIterator<Item = (OsString, OsString)>,
    written: &[(String, String)],
) -> BTreeMap<OsString, OsString> {
    let mut all: BTreeMap<OsString, OsString> =
        own.into_iter().filter(|(name, _)| !NOT_HANDED_ON.iter().any(|one| name == one)).collect();
    all.insert("HOME".into(), agent.place.home.clone().into());
    all.insert("TERM".into(), "xterm-256color".into());
    // Hooks and viewers are this program again.
    let place = &agent.place;
    all.insert("AGENT_NAME".into(), agent.name.clone().into());
    for (name, folder) in [
        ("STUBGATE_AGENTS", &place.agents),
        ("STUBGATE_WORKSPACE", &place.workspace),
        ("STUBGATE_BUNDLE", &place.bundle),
        ("STUBGATE_TRUST", &place.trust),
        ("STUBGATE_AGENT_RUN", &place.run),
    ] {
        all.insert(name.into(), folder.clone().into());
    }
    all.extend(written.iter().map(|(name, value)| (name.into(), value.into())));
    all.extend(agent.file.client.environment.iter().map(|(name, value)| (name.into(), value.into())));
    all
}

/// The primary repository, else the workspace, else the home: the first that is there.
pub(crate) fn folder(agent: &Agent) -> PathBuf {
    let place = &agent.place;
    let primary = agent.file.workspace.primary.as_ref().map(|primary| place.workspace.join(primary));
    let found = [primary, Some(place.workspace.clone())].into_iter().flatten().find(|folder| folder.is_dir());
    let folder = found.unwrap_or_else(|| place.home.clone());
    // The client names its sessions after the real path.
    folder.canonicalize().unwrap_or(folder)
}

/// Values that no line of the log may hold: the stubs, and whatever its variables call secret. Longest first, so that one that
/// holds another is covered whole.
pub(crate) fn masked(agent: &Agent, environment: &BTreeMap<OsString, OsString>) -> Vec<String> {
    let texts = environment.iter().filter_map(|(name, value)| Some((name.to_str()?.into(), value.to_str()?.into())));
    Mask::of(agent, texts).stubs().to_vec()
}

#[cfg(test)]
mod tests {
    use crate::run::tests::agent;

    use super::*;

    #[test]
    fn the_default_file_gives_the_default_command_line() {
        let home = tempfile::tempdir().unwrap();
        let start = Start::new(&agent(home.path(), ""), [], &[], false);
        assert_eq!(start.program, "claude");
        assert_eq!(start.arguments, ["--permission-mode", "bypassPermissions"]);
    }

    #[test]
    fn everything_stands_in_the_order_that_the_client_takes() {
        let home = tempfile::tempdir().unwrap();
        let file =
            "client:\n  channels: ['plugin:a@b', 'server:c']\n  remote_control: true\n  arguments: [--model, opus]\n";
        let start = Start::new(&agent(home.path(), file), [], &[], true);
        assert_eq!(
            start.arguments.join(" "),
            "--continue --channels plugin:a@b server:c --remote-control devbot --permission-mode bypassPermissions --model opus"
        );
    }

    #[test]
    fn a_later_source_of_variables_wins_and_credentials_of_our_own_are_not_handed_on() {
        let home = tempfile::tempdir().unwrap();
        let own =
            [("A", "own"), ("B", "own"), ("C", "own"), ("ANTHROPIC_API_KEY", "x"), ("TMUX", "x"), ("TERM", "dumb")];
        let own = own.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let written = [("B".to_owned(), "written".to_owned()), ("C".to_owned(), "written".to_owned())];
        let agent = agent(home.path(), "client: { environment: { C: file, ANTHROPIC_AUTH_TOKEN: meant } }\n");
        let all = Start::new(&agent, own, &written, false).environment;
        let value = |name: &str| all.get(&OsString::from(name)).and_then(|value| value.to_str());
        assert_eq!([value("A"), value("B"), value("C")], [Some("own"), Some("written"), Some("file")]);
        assert_eq!([value("ANTHROPIC_API_KEY"), value("TMUX")], [None, None]);
        assert_eq!([value("ANTHROPIC_AUTH_TOKEN"), value("TERM")], [Some("meant"), Some("xterm-256color")]);
        assert_eq!(value("HOME"), home.path().to_str());
    }

    #[test]
    fn starts_in_the_primary_repository_or_whatever_is_there() {
        let home = tempfile::tempdir().unwrap();
        let agent = agent(home.path(), "workspace: { primary: site }\n");
        let root = home.path().canonicalize().unwrap();
        assert_eq!(folder(&agent), root.join("workspace"));
        std::fs::create_dir(root.join("workspace/site")).unwrap();
        assert_eq!(folder(&agent), root.join("workspace/site"));
        std::fs::remove_dir_all(root.join("workspace")).unwrap();
        assert_eq!(folder(&agent), root);
    }

    #[test]
    fn masks_stubs_and_secretive_variables_the_longest_first() {
        let home = tempfile::tempdir().unwrap();
        let environment = [("NPM_TOKEN", "npm-stub-1234"), ("PATH", "/usr/local/bin"), ("X_KEY", "x")]
            .map(|(n, v)| (n.into(), v.into()));
        let values = masked(&agent(home.path(), ""), &environment.into());
        assert_eq!(values, ["refresh-token-stub", "proxy-token-github", "access-token-stub", "npm-stub-1234"]);
    }
}
