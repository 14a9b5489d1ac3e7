//! `stubgate-agent run` and `attach` as processes, with small scripts in the client's place.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "run/attach.rs"]
mod attach;
#[path = "run/client.rs"]
mod client;
#[path = "run/init.rs"]
mod init;
#[path = "run/renew.rs"]
mod renew;
#[path = "run/supervisor.rs"]
mod supervisor;
#[path = "run/tmux.rs"]
mod tmux;
