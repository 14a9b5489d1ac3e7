//! From the spool to the server, in order. An event leaves the spool when JetStream has said that it holds it, and not before: what
//! is killed between the two sends it again, under the same id.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use jiff::{SignedDuration, Timestamp};
use rustls::ClientConfig;

use super::kind::Kind;
use super::nats::{Connection, Failed, Server};
use super::route;
use super::spool::{Entry, Kept, Spool};
use crate::agent::Agent;

/// Refusals after which an event that is refused for good is put aside.
const NEVER: u32 = 3;

/// Refusals after which one that is refused for now is put aside, if it is also refused for so long.
const NOT_NOW: (u32, SignedDuration) = (20, SignedDuration::from_mins(10));

/// What publishes an agent's events.
#[derive(Clone, Debug)]
pub struct Sender {
    /// What waits.
    pub spool: Spool,
    /// Where it goes.
    pub server: Server,
    prefix: String,
}

/// What one try came to.
#[derive(Debug, Default)]
pub struct Pass {
    /// Events that the server holds now.
    pub sent: Vec<String>,
    /// Those that were put aside, and why.
    pub aside: Vec<(String, String)>,
    /// Why the rest waits, if there is a rest.
    pub failed: Option<String>,
    /// Whether another process sends, so that nothing was tried.
    pub busy: bool,
}

impl Sender {
    /// The agent's, if its files say where events go.
    ///
    /// # Errors
    ///
    /// What is wrong in its files, or in what the container trusts.
    pub fn of(agent: &Agent) -> Result<Option<Self>, String> {
        match agent.file.events {
            Some(_) => Sender::trusting(agent, route::trust().map_err(|error| error.to_string())?),
            None => Ok(None),
        }
    }

    /// The same with another trust than the container's.
    ///
    /// # Errors
    ///
    /// What is wrong in its files.
    pub fn trusting(agent: &Agent, trust: Arc<ClientConfig>) -> Result<Option<Self>, String> {
        let Some(events) = &agent.file.events else { return Ok(None) };
        let address: Uri = events.server.parse().map_err(|_| {
            format!("agent.yaml: events.server {:?} is no address as wss://nats.example.com", events.server)
        })?;
        if address.scheme_str() != Some("wss") || address.host().is_none() {
            return Err(format!(
                "agent.yaml: events.server {:?} is no address as wss://nats.example.com (only wss: through the firewall, over TLS)",
                events.server
            ));
        }
        let is_plain =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !events.prefix.split('.').all(is_plain) {
            return Err(format!("agent.yaml: events.prefix {:?} is no subject as swarm.events", events.prefix));
        }
        let name = format!("stubgate-agent {}", agent.name);
        let server = Server { address, stub: events.stub.clone(), name, trust };
        Ok(Some(Sender { spool: Spool::of(agent, events), server, prefix: events.prefix.clone() }))
    }

    /// Sends what waits, until the first that fails.
    ///
    /// # Errors
    ///
    /// The spool can't be read or written.
    pub async fn pass(&self) -> io::Result<Pass> {
        let mut pass = Pass::default();
        let Some(_lock) = self.spool.sending()? else {
            pass.busy = true;
            return Ok(pass);
        };
        let waiting = self.spool.waiting()?;
        if waiting.is_empty() {
            return Ok(pass);
        }
        let mut connection = match Connection::open(&self.server).await {
            Ok(connection) => connection,
            Err(failed) => {
                pass.failed = Some(failed.to_string());
                return Ok(pass);
            }
        };
        for entry in &waiting {
            match self.spool.read(entry) {
                Ok(None) => {}
                Ok(Some(kept)) => match Kind::named(&kept.kind) {
                    Some(kind) => self.one(&mut connection, entry, kind, kept, &mut pass).await?,
                    None => self.put_aside(entry, "its type is not known", &mut pass)?,
                },
                Err(error) => self.put_aside(entry, &format!("its file can't be read: {error}"), &mut pass)?,
            }
            if pass.failed.is_some() {
                break;
            }
        }
        Ok(pass)
    }

    async fn one(
        &self,
        connection: &mut Connection,
        entry: &Entry,
        kind: &Kind,
        mut kept: Kept,
        pass: &mut Pass,
    ) -> io::Result<()> {
        let subject = format!("{}.{}", self.prefix, kind.name);
        let (why, is_final) = match connection.publish(&subject, &entry.id, kept.event.get()).await {
            Ok(taken) => {
                self.spool.remove(entry)?;
                tracing::debug!(
                    id = entry.id,
                    subject,
                    stream = taken.stream,
                    duplicate = taken.duplicate,
                    "event published"
                );
                pass.sent.push(entry.id.clone());
                return Ok(());
            }
            Err(Failed::Away(why)) => {
                pass.failed = Some(why);
                return Ok(());
            }
            Err(Failed::Never(why)) => (why, true),
            Err(Failed::NotNow(why)) => (why, false),
        };
        let now = Timestamp::now();
        kept.refused = kept.refused.saturating_add(1);
        let since = *kept.since.get_or_insert(now);
        kept.why = Some(why.clone());
        self.spool.refused(entry, &kept)?;
        if is_given_up(is_final, kept.refused, now.duration_since(since)) {
            self.put_aside(entry, &why, pass)?;
        } else {
            pass.failed = Some(why);
        }
        Ok(())
    }

    fn put_aside(&self, entry: &Entry, why: &str, pass: &mut Pass) -> io::Result<()> {
        self.spool.put_aside(entry)?;
        pass.aside.push((entry.id.clone(), why.to_owned()));
        Ok(())
    }

    /// Sends until this event is out, or fails. While another process sends, it waits for that one.
    ///
    /// # Errors
    ///
    /// Why it is still in the spool.
    pub async fn until(&self, id: &str, within: Duration) -> Result<(), String> {
        let tried = async {
            loop {
                let pass = self.pass().await.map_err(|error| error.to_string())?;
                if let Some((_, why)) = pass.aside.iter().find(|(aside, _)| aside == id) {
                    return Err(format!("put aside: {why}"));
                }
                if !self.spool.has(id) {
                    return Ok(());
                }
                if !pass.busy {
                    return Err(pass.failed.unwrap_or_else(|| "it came after what was sent".into()));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(within, tried)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", within.as_secs())))
    }
}

/// Whether an event that was refused makes way for those behind it.
fn is_given_up(is_final: bool, refused: u32, long: SignedDuration) -> bool {
    if is_final { refused >= NEVER } else { refused >= NOT_NOW.0 && long >= NOT_NOW.1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_for_good_gives_way_soon_and_what_is_refused_for_now_late() {
        let minutes = SignedDuration::from_mins;
        for (is_final, refused, long, wanted) in [
            (true, 1, minutes(60), false),
            (true, 3, minutes(0), true),
            (false, 3, minutes(60), false),
            (false, 100, minutes(9), false),
            (false, 20, minutes(10), true),
        ] {
            assert_eq!(is_given_up(is_final, refused, long), wanted, "{is_final} {refused} {long}");
        }
    }
}
