//! Where things are: the home, the workspace, the mounted files. Everything that is written is below these.

use std::path::{Path, PathBuf};

use clap::Args;
use thiserror::Error;

use super::{Agent, AgentFile};
use crate::yaml;

/// The heading of these flags, under which they stand in the help of every command.
const CONTAINER: &str = "The container, for any command";

/// The folders of a container, and the agent's name. Flags of every command, and variables.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// The agent's name
    #[arg(long, env = "AGENT_NAME", global = true, help_heading = CONTAINER, default_value = "", hide_default_value = true)]
    pub name: String,
    /// Folder of the agents' files: _shared and one of each agent's name
    #[arg(
        long,
        value_name = "DIR",
        env = "STUBGATE_AGENTS",
        global = true,
        help_heading = CONTAINER,
        default_value = "/etc/stubgate-agent/agents"
    )]
    pub agents: PathBuf,
    /// The client's home
    #[arg(long, value_name = "DIR", env = "HOME", global = true, help_heading = CONTAINER, default_value = "/home/agent")]
    pub home: PathBuf,
    /// Where repositories are cloned
    #[arg(long, value_name = "DIR", env = "STUBGATE_WORKSPACE", global = true, help_heading = CONTAINER, default_value = "/workspace")]
    pub workspace: PathBuf,
    /// Bundle of the certificate authorities to trust, as mounted
    #[arg(
        long,
        value_name = "FILE",
        env = "STUBGATE_BUNDLE",
        global = true,
        help_heading = CONTAINER,
        default_value = "/etc/stubgate/bundle.pem"
    )]
    pub bundle: PathBuf,
    /// Folder that the image's system and Java trust stores are linked into; written by setup
    #[arg(
        long,
        value_name = "DIR",
        env = "STUBGATE_TRUST",
        global = true,
        help_heading = CONTAINER,
        default_value = "/var/lib/stubgate-agent/trust"
    )]
    pub trust: PathBuf,
    /// Folder of what lasts as long as the container: sockets, state
    #[arg(long, value_name = "DIR", env = "STUBGATE_AGENT_RUN", global = true, help_heading = CONTAINER, default_value = "/run/stubgate-agent")]
    pub run: PathBuf,
}

impl Place {
    /// Reads the agent's files.
    ///
    /// # Errors
    ///
    /// No name, or a name that is none; a file that can't be read, with the place in it.
    pub fn agent(&self) -> Result<Agent, Unreadable> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if self.name.is_empty() {
            return Err(Unreadable::NoName);
        }
        if !self.name.bytes().all(is_name) || self.name.starts_with(['-', '_']) || self.name.len() > 63 {
            return Err(Unreadable::Name(self.name.clone()));
        }
        let folders = [self.agents.join("_shared"), self.agents.join(&self.name)];
        let paths = folders.map(|folder| folder.join("agent.yaml"));
        let present: Vec<&Path> = paths.iter().map(PathBuf::as_path).filter(|path| path.exists()).collect();
        let mut file: AgentFile = yaml::merged(&present)?;
        file.apply_environment(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
        Ok(Agent { name: self.name.clone(), file, place: self.clone() })
    }

    /// The client's own folder.
    pub fn claude(&self) -> PathBuf {
        self.home.join(".claude")
    }

    /// Where the client keeps its login: stubs.
    pub fn credentials(&self) -> PathBuf {
        self.claude().join(".credentials.json")
    }

    /// Variables that every process gets, one `NAME=value` a line; written by setup, read by run.
    pub fn environment(&self) -> PathBuf {
        self.trust.join("environment")
    }

    /// What this supervisor keeps over restarts: spooled events, versions of bridges.
    pub fn kept(&self) -> PathBuf {
        self.home.join(".local/state/stubgate-agent")
    }
}

/// Why it is not known which agent this is.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// Nothing names it.
    #[error("no agent is named: set AGENT_NAME, or write --name NAME")]
    NoName,
    /// A name that can't be one.
    #[error("{0:?} is no agent's name: letters, digits, - and _, 63 at most, a letter or digit first")]
    Name(String),
    /// A file of it.
    #[error(transparent)]
    File(#[from] yaml::Wrong),
    /// A variable with a value that it can't have.
    #[error("{name}={value:?}: {why}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// What it is set to.
        value: String,
        /// What it should be.
        why: &'static str,
    },
}
