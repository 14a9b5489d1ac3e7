//! `agent.yaml`: everything that may differ from agent to agent. Unknown keys are refused; what is not written has the default
//! that stands here. A key of the agent's own file wins over the same key of the shared one.

use serde::{Deserialize, Serialize};

use super::Unreadable;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentFile {
    /// How the client is started.
    pub client: Client,
    /// The stubs that the client logs in with.
    pub login: Login,
    /// Where the bundle is from if none is mounted.
    pub trust: Trust,
    /// What it works on.
    pub workspace: Workspace,
    /// Who it is to git.
    pub git: Git,
    /// Its Matrix channel.
    pub matrix: Option<Matrix>,
    /// When it is not to be disturbed.
    pub quiet_hours: Option<QuietHours>,
    /// Where events go.
    pub events: Option<Events>,
    /// Whose pull requests wake it.
    pub pr_comments: PrComments,
    /// A command at the end of setup.
    pub hook: Option<UserHook>,
    /// What goes to standard output.
    pub log: Log,
    /// Shows that an idle session still answers; off unless it is written.
    pub health_prompt: Option<HealthPrompt>,
    /// Starts are spread over so many seconds.
    pub start_delay_seconds: u64,
    /// Where `/healthz`, `/readyz` and `/metrics` are served; nowhere if empty.
    pub listen: Listen,
    /// What `doctor` is told.
    pub doctor: Doctor,
}

/// How the client is started.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Client {
    /// The program.
    pub program: String,
    /// Channels: `plugin:NAME@MARKETPLACE` or `server:NAME`.
    pub channels: Vec<String>,
    /// Whether it can be controlled from elsewhere, under the agent's name.
    pub remote_control: bool,
    /// What the client calls a permission mode.
    pub permission_mode: String,
    /// More arguments, put last.
    pub arguments: Vec<String>,
    /// More variables, for the client and its children.
    pub environment: std::collections::BTreeMap<String, String>,
}

impl Default for Client {
    fn default() -> Self {
        Client {
            program: "claude".into(),
            channels: Vec::new(),
            remote_control: false,
            permission_mode: "bypassPermissions".into(),
            arguments: Vec::new(),
            environment: std::collections::BTreeMap::new(),
        }
    }
}

/// The stubs that the client logs in with: worthless outside of the firewall.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Login {
    /// In place of the access token.
    pub access_stub: String,
    /// In place of the refresh token.
    pub refresh_stub: String,
    /// What the client believes to be subscribed to.
    pub subscription: String,
}

impl Default for Login {
    fn default() -> Self {
        Login {
            access_stub: "access-token-stub".into(),
            refresh_stub: "refresh-token-stub".into(),
            subscription: "max".into(),
        }
    }
}

/// Where the bundle of certificates is from if none is mounted.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// Asked for it. Empty: nobody is asked.
    pub address: String,
    /// A client that does not trust a new bundle is started again once it has been idle for so many minutes, and at the latest
    /// when what it trusts is about to be signed with no more. 0: never.
    pub restart_idle_minutes: u64,
}

impl Default for Trust {
    fn default() -> Self {
        Trust { address: "http://ca.stubgate.internal/bundle.pem".into(), restart_idle_minutes: 10 }
    }
}

/// What the agent works on. `AGENT_REPOS` (separated by commas or blanks) and `PRIMARY_REPO` win.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workspace {
    /// Addresses, or `owner/name` at GitHub: cloned below the workspace, each into a folder of its last part.
    pub repositories: Vec<String>,
    /// The folder of the one that the client starts in; the workspace itself if there is none.
    pub primary: Option<String>,
}

/// Who the agent is to git.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Git {
    /// Its name; the agent's if empty.
    pub name: String,
    /// Its address; NAME@agents.invalid if empty.
    pub email: String,
    /// Hosts that the helper answers for, each with the stub that it hands out.
    pub stubs: std::collections::BTreeMap<String, String>,
}

impl Default for Git {
    fn default() -> Self {
        let stubs = [("github.com".into(), "proxy-token-github".into())].into();
        Git { name: String::new(), email: String::new(), stubs }
    }
}

/// The Matrix channel. `MATRIX_HOMESERVER_URL`, `MATRIX_BOT_USER_ID`, `MATRIX_ALLOWED_USERS`, `MATRIX_AUTO_JOIN_ROOMS` win.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Matrix {
    /// Its address.
    pub homeserver: String,
    /// Who the agent is there.
    pub user: String,
    /// In place of the access token.
    pub stub: String,
    /// Whose messages it takes.
    pub allowed_users: Vec<String>,
    /// Rooms that setup joins: identifiers or aliases.
    pub rooms: Vec<String>,
    /// What it answers at once with; nothing if empty.
    pub ack_reaction: String,
}

/// When the agent is not to be disturbed. `QUIET_HOURS` and `QUIET_HOURS_TZ` win.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// `22:00-07:00`.
    pub window: String,
    /// `Europe/Vienna`; UTC if not written.
    #[serde(default = "utc")]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".into()
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// `wss://nats.example.com`: through the firewall.
    pub server: String,
    /// In place of the token: sent as a Bearer token of the upgrade, where policy swaps it.
    pub stub: String,
    /// The first part of every subject.
    #[serde(default = "swarm")]
    pub prefix: String,
    /// Events that are kept at most while nobody takes them, those that were put aside among them.
    #[serde(default = "thousand")]
    pub spool_events: usize,
    /// Their bytes at most.
    #[serde(default = "eight_mebibytes")]
    pub spool_bytes: u64,
}

fn swarm() -> String {
    "swarm.events".into()
}

fn thousand() -> usize {
    1000
}

fn eight_mebibytes() -> u64 {
    8 * 1024 * 1024
}

/// Whose pull requests wake the agent.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrComments {
    /// `owner/name`.
    pub repositories: Vec<String>,
    /// The API.
    pub api: String,
    /// In place of the token.
    pub stub: String,
    /// All of it takes no longer; the client's own limit for the hook is 30.
    pub deadline_seconds: u64,
}

impl Default for PrComments {
    fn default() -> Self {
        PrComments {
            repositories: Vec::new(),
            api: "https://api.github.com/graphql".into(),
            stub: "proxy-token-github".into(),
            deadline_seconds: 25,
        }
    }
}

/// A command at the end of setup. Its failure is told and blocks nothing.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UserHook {
    /// Run by bash with pipefail, in the home.
    pub command: String,
    /// Killed after so long.
    #[serde(default = "ten_minutes")]
    pub timeout_seconds: u64,
}

fn ten_minutes() -> u64 {
    600
}

/// What goes to standard output about the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Log {
    /// What was said and done, from the session's own record.
    #[default]
    Transcript,
    /// Lines of the terminal, once they have settled.
    Screen,
    /// Nothing of the session.
    None,
}

/// A prompt that is typed into a session which has been idle, plainly labelled as what it is.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HealthPrompt {
    /// Idle for so long before it is typed.
    pub every_minutes: u64,
    /// Answered within so long, or the agent is not ready.
    #[serde(default = "two_minutes")]
    pub answer_within_seconds: u64,
}

fn two_minutes() -> u64 {
    120
}

/// Where the state is served.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, transparent)]
pub struct Listen(pub String);

impl Default for Listen {
    fn default() -> Self {
        Listen("0.0.0.0:9091".into())
    }
}

/// What `doctor` is told.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Doctor {
    /// Further stubs, which are no findings though they may look like credentials: minted ones that reach the agent otherwise.
    pub stubs: Vec<String>,
}

impl AgentFile {
    /// Puts variables over what the files say.
    ///
    /// # Errors
    ///
    /// A variable with a value that it can't have.
    pub fn apply_environment(&mut self, variable: impl Fn(&str) -> Option<String>) -> Result<(), Unreadable> {
        if let Some(repositories) = variable("AGENT_REPOS") {
            self.workspace.repositories = words(&repositories);
        }
        if let Some(primary) = variable("PRIMARY_REPO") {
            self.workspace.primary = Some(primary);
        }
        if let Some(window) = variable("QUIET_HOURS") {
            let time_zone = variable("QUIET_HOURS_TZ").unwrap_or_else(utc);
            self.quiet_hours = Some(QuietHours { window, time_zone });
        }
        if let Some(homeserver) = variable("MATRIX_HOMESERVER_URL") {
            self.matrix.get_or_insert_default().homeserver = homeserver;
        }
        if let Some(matrix) = &mut self.matrix {
            if let Some(user) = variable("MATRIX_BOT_USER_ID") {
                matrix.user = user;
            }
            if let Some(stub) = variable("MATRIX_ACCESS_TOKEN") {
                matrix.stub = stub;
            }
            if let Some(users) = variable("MATRIX_ALLOWED_USERS") {
                matrix.allowed_users = words(&users);
            }
            if let Some(rooms) = variable("MATRIX_AUTO_JOIN_ROOMS") {
                matrix.rooms = words(&rooms);
            }
        }
        Ok(())
    }
}

fn words(text: &str) -> Vec<String> {
    text.split([',', ' ', '\n', '\t']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_of_a_log_can_be_written_without_quotes() {
        for (word, log) in [("transcript", Log::Transcript), ("screen", Log::Screen), ("none", Log::None)] {
            let file: AgentFile = crate::yaml::parse("agent.yaml".as_ref(), &format!("log: {word}\n")).unwrap();
            assert_eq!(file.log, log, "{word}");
        }
    }
}
