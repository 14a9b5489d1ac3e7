//! The steps, in their order.

use std::path::Path;

use super::report::Outcome;
use super::{client, git, home, instructions, login, matrix, plugins, repositories, settings, trust, user_hook};
use crate::agent::Agent;
use crate::quiet;

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The agent's own files can be read.
    Sources,
    /// The home can be written.
    Home,
    /// The bundle, in every form.
    Trust,
    /// The variables of every process.
    Environment,
    /// Shells read them too.
    Shells,
    /// The stubs that the client logs in with.
    Login,
    /// What the client is told.
    Instructions,
    /// Its subagents.
    Subagents,
    /// Its settings.
    Settings,
    /// Its memory: first run, trusted folders, MCP servers.
    Client,
    /// The managed settings are there.
    Managed,
    /// The Matrix channel.
    Matrix,
    /// When it is not to be disturbed.
    Quiet,
    /// Its rooms.
    Rooms,
    /// Name and stubs for git.
    Git,
    /// What it works on.
    Repositories,
    /// Plugins of the client.
    Plugins,
    /// The agent's own command.
    Hook,
}

impl Step {
    /// All, in their order.
    pub const ALL: [Step; 18] = [
        Step::Sources,
        Step::Home,
        Step::Trust,
        Step::Environment,
        Step::Shells,
        Step::Login,
        Step::Instructions,
        Step::Subagents,
        Step::Settings,
        Step::Client,
        Step::Managed,
        Step::Matrix,
        Step::Quiet,
        Step::Rooms,
        Step::Git,
        Step::Repositories,
        Step::Plugins,
        Step::Hook,
    ];

    /// As it is reported.
    pub fn name(self) -> &'static str {
        match self {
            Step::Sources => "sources",
            Step::Home => "home",
            Step::Trust => "trust",
            Step::Environment => "environment",
            Step::Shells => "shells",
            Step::Login => "login",
            Step::Instructions => "instructions",
            Step::Subagents => "subagents",
            Step::Settings => "settings",
            Step::Client => "client",
            Step::Managed => "managed",
            Step::Matrix => "matrix",
            Step::Quiet => "quiet",
            Step::Rooms => "rooms",
            Step::Git => "git",
            Step::Repositories => "repositories",
            Step::Plugins => "plugins",
            Step::Hook => "hook",
        }
    }

    /// Whether nothing after it makes sense without it.
    pub fn is_required(self) -> bool {
        matches!(self, Step::Sources | Step::Home | Step::Trust | Step::Environment | Step::Login)
    }

    /// Takes it.
    pub(crate) async fn take(self, agent: &Agent, managed: &Path) -> Outcome {
        match self {
            Step::Sources => home::sources(agent),
            Step::Home => home::writable(agent),
            Step::Trust => trust::write(agent).await,
            Step::Environment => home::variables(agent),
            Step::Shells => home::shells(agent),
            Step::Login => match login::restore(agent) {
                Ok(changed) => Outcome::of(changed, "stubs"),
                Err(error) => Outcome::Failed(format!(
                    "{}: {error}: it holds something else than the stubs and can't be replaced",
                    agent.place.credentials().display()
                )),
            },
            Step::Instructions => instructions::write(agent),
            Step::Subagents => instructions::subagents(agent),
            Step::Settings => settings::write(agent),
            Step::Client => client::write(agent),
            Step::Managed => settings::look_at_managed(agent, managed),
            Step::Matrix => matrix::write(agent),
            Step::Quiet => match quiet::write_channel(agent) {
                Ok(changed) => Outcome::of(changed, ""),
                Err(error) => Outcome::Failed(error.to_string()),
            },
            Step::Rooms => matrix::join(agent).await,
            Step::Git => git::write(agent),
            Step::Repositories => repositories::bring(agent).await,
            Step::Plugins => plugins::reconcile(agent).await,
            Step::Hook => user_hook::run(agent).await,
        }
    }
}
