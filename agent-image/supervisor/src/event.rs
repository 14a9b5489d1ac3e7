//! Events published to the others, and kept while nobody takes them.
//!
//! An event is spooled before anything is sent, and leaves the spool when JetStream holds it: it arrives at least once, and its id
//! lets the stream drop what arrives twice. What can't be spooled is an error, never a loss in silence.

mod drain;
pub mod kind;
pub mod message;
pub mod nats;
pub mod route;
pub mod send;
pub mod spool;

pub use drain::{drain, drain_by};

use std::io::{self, Read as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use self::kind::Given;
use self::message::{LARGEST, Message};
use self::send::Sender;
use self::spool::{Entry, Kept, Spool};
use crate::agent::{Agent, Place};

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Event {
    /// Publish one event: of its flags, or of JSON from standard input
    Publish(Publish),
    /// What waits for its server, and what was put aside
    List(List),
    /// Send what waits, now
    Flush(Flush),
    /// Throw an event away that was not taken
    Drop {
        /// Its id
        id: String,
    },
    /// The JSON Schema of events
    Schema,
}

/// Publishes one event.
#[derive(Args, Debug)]
#[command(subcommand_value_name = "TYPE", subcommand_help_heading = "Types", disable_help_subcommand = true)]
pub struct Publish {
    /// Read the event from standard input, as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Its id, if it is not that of what it says: events of one id are one event
    #[arg(long, global = true)]
    pub id: Option<String>,
    /// Exit with 1 if it is spooled but not yet taken
    #[arg(long, global = true)]
    pub require_ack: bool,
    /// Wait so long for its server
    #[arg(long, global = true, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub wait_seconds: u64,
    /// What happened.
    #[command(subcommand)]
    pub given: Option<Given>,
}

/// Shows what waits.
#[derive(Args, Debug)]
pub struct List {
    /// As JSON, one event a line
    #[arg(long)]
    pub json: bool,
}

/// Sends what waits.
#[derive(Args, Debug)]
pub struct Flush {
    /// Also what was put aside
    #[arg(long)]
    pub aside: bool,
}

impl Event {
    /// Runs it.
    pub fn run(&self, place: &Place) -> ExitCode {
        let done = match self {
            Event::Publish(publish) => publish.run(place),
            Event::List(list) => list.run(place),
            Event::Flush(flush) => flush.run(place),
            Event::Drop { id } => drop_event(place, id),
            Event::Schema => print_schema(),
        };
        done.unwrap_or_else(|why| {
            eprintln!("stubgate-agent: {why}");
            ExitCode::FAILURE
        })
    }
}

impl Publish {
    fn run(&self, place: &Place) -> Result<ExitCode, String> {
        let agent = place.agent().map_err(|error| error.to_string())?;
        let message = self.message(&agent)?;
        let sender = sender(&agent)?;
        let is_new = sender.spool.add(&message).map_err(|error| error.to_string())?;
        let within = Duration::from_secs(self.wait_seconds);
        let sent = runtime().map_err(|error| error.to_string())?.block_on(sender.until(message.id(), within));
        match sent {
            Ok(()) => say!("published {}", message.id()),
            Err(why) => {
                let again = if is_new { "" } else { " (it waited already)" };
                say!("spooled {}{again}: {why}", message.id());
                if self.require_ack {
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn message(&self, agent: &Agent) -> Result<Message, String> {
        let now = Timestamp::now();
        match (&self.given, self.json) {
            (Some(given), false) => {
                Message::new(&agent.name, given.kind, given.fields.clone(), self.id.as_deref(), now)
            }
            (None, true) if self.id.is_some() => return Err("with --json the id stands in the event".into()),
            (None, true) => {
                let mut text = Vec::new();
                let limit = LARGEST as u64 + 1;
                io::stdin()
                    .lock()
                    .take(limit)
                    .read_to_end(&mut text)
                    .map_err(|error| format!("standard input: {error}"))?;
                Message::parse(&text, &agent.name, now)
            }
            (Some(_), true) => return Err("either a type and its flags, or --json".into()),
            (None, false) => {
                return Err("name a type and its flags, or write --json (stubgate-agent event publish --help)".into());
            }
        }
        .map_err(|error| error.to_string())
    }
}

impl List {
    fn run(&self, place: &Place) -> Result<ExitCode, String> {
        let spool = spool(place)?;
        let text = |error: io::Error| error.to_string();
        for entry in spool.waiting().map_err(text)? {
            self.show(&entry, "waiting", spool.read(&entry));
        }
        for entry in spool.aside().map_err(text)? {
            self.show(&entry, "aside", spool.read_aside(&entry));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, entry: &Entry, place: &str, kept: io::Result<Option<Kept>>) {
        let kept = match kept {
            Ok(None) => return,
            Ok(Some(kept)) => kept,
            Err(error) => {
                eprintln!("stubgate-agent: {}: {error}", entry.id);
                return;
            }
        };
        if self.json {
            let line = json!({
                "id": entry.id, "is": place, "event": kept.event, "refused": kept.refused, "since": kept.since, "why": kept.why,
            });
            say!("{line}");
            return;
        }
        let event: Value = serde_json::from_str(kept.event.get()).unwrap_or_default();
        let at = event.get("at").and_then(Value::as_str).unwrap_or_default();
        let why = match (kept.refused, &kept.why) {
            (0, _) | (_, None) => String::new(),
            (times, Some(why)) => format!(" refused {times} times: {why}"),
        };
        say!("{place:<8}{at:<26}{:<10} {}{why}", kept.kind, entry.id);
    }
}

impl Flush {
    fn run(&self, place: &Place) -> Result<ExitCode, String> {
        let agent = place.agent().map_err(|error| error.to_string())?;
        let sender = sender(&agent)?;
        if self.aside {
            sender.spool.take_back().map_err(|error| error.to_string())?;
        }
        let pass = runtime().map_err(|error| error.to_string())?.block_on(sender.pass());
        let pass = pass.map_err(|error| error.to_string())?;
        for id in &pass.sent {
            say!("published {id}");
        }
        for (id, why) in &pass.aside {
            say!("put aside {id}: {why}");
        }
        let left = sender.spool.waiting().map_err(|error| error.to_string())?.len();
        let why = if pass.busy { Some("another process sends".into()) } else { pass.failed };
        match (left, why) {
            (0, _) if pass.aside.is_empty() => Ok(ExitCode::SUCCESS),
            (0, _) => Ok(ExitCode::FAILURE),
            (left, why) => Err(format!("{left} wait: {}", why.unwrap_or_else(|| "they came meanwhile".into()))),
        }
    }
}

fn drop_event(place: &Place, id: &str) -> Result<ExitCode, String> {
    let found = spool(place)?.drop_event(id).map_err(|error| error.to_string())?;
    if found { Ok(ExitCode::SUCCESS) } else { Err(format!("no event {id:?} waits or was put aside")) }
}

fn print_schema() -> Result<ExitCode, String> {
    let text = serde_json::to_string_pretty(&kind::schema()).map_err(|error| error.to_string())?;
    say!("{text}");
    Ok(ExitCode::SUCCESS)
}

fn sender(agent: &Agent) -> Result<Sender, String> {
    Sender::of(agent)?.ok_or_else(|| NOWHERE.into())
}

fn spool(place: &Place) -> Result<Spool, String> {
    let agent = place.agent().map_err(|error| error.to_string())?;
    let events = agent.file.events.as_ref().ok_or(NOWHERE)?;
    Ok(Spool::of(&agent, events))
}

const NOWHERE: &str = "agent.yaml does not say where events go: write `events: { server: wss://…, stub: … }` there";

/// Time and network on this thread.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
