//! One dial at a time for an agent and authority (law 7): requests that find no connection wait for the first of them to
//! make one, and share it where it is HTTP/2, or what it failed of. Otherwise each would bring its own connection, with its
//! own window. Where it is HTTP/1.1, for one request at a time, those who waited dial by themselves, all at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Key;
use crate::request::Refusal;

/// How a dial ended, for who waited for it; `None` while it is under way.
type Landed = Option<Result<(), Refusal>>;

/// The dials that are under way.
#[derive(Clone, Default)]
pub struct Flights(Arc<Mutex<HashMap<Key, watch::Receiver<Landed>>>>);

/// What to do about a connection that is not there.
pub enum Turn {
    /// Dial it, and say how that went.
    Dial(Dialling),
    /// Somebody does.
    Wait(Waiting),
}

/// To be told how a dial went; dropped without that, another request takes over.
pub struct Dialling {
    flights: Flights,
    key: Key,
    landed: watch::Sender<Landed>,
}

/// Waits for somebody else's dial.
pub struct Waiting(watch::Receiver<Landed>);

impl Flights {
    /// Whose turn it is.
    pub fn turn(&self, key: &Key) -> Turn {
        let mut flights = self.lock();
        if let Some(landed) = flights.get(key) {
            return Turn::Wait(Waiting(landed.clone()));
        }
        let (landed, receiver) = watch::channel(None);
        flights.insert(key.clone(), receiver);
        Turn::Dial(Dialling { flights: self.clone(), key: key.clone(), landed })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Landed>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dialling {
    /// There is a connection, shared if it can be; or why there is none.
    pub fn landed(self, how: Result<(), Refusal>) {
        self.landed.send_replace(Some(how));
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

impl Waiting {
    /// How it went; `None` where whoever dialled left.
    pub async fn landed(mut self) -> Landed {
        *self.0.wait_for(Option::is_some).await.ok()?
    }
}

#[cfg(test)]
mod tests {
    use stubgate_policy::{Authority, Host, Name, Reason, Scheme};

    use super::*;

    fn key(agent: &str) -> Key {
        let host = Host::Name(Name::parse(b"api.example.test").unwrap());
        Key { agent: agent.into(), authority: Authority::new(Scheme::Https, host, Scheme::Https.default_port()) }
    }

    fn waiting(flights: &Flights, key: &Key) -> Waiting {
        match flights.turn(key) {
            Turn::Wait(waiting) => waiting,
            Turn::Dial(_) => panic!("nobody dials"),
        }
    }

    fn dialling(flights: &Flights, key: &Key) -> Dialling {
        match flights.turn(key) {
            Turn::Dial(dialling) => dialling,
            Turn::Wait(_) => panic!("somebody dials"),
        }
    }

    #[tokio::test]
    async fn who_waits_hears_how_it_went_and_takes_over_from_who_left() {
        let flights = Flights::default();
        let (one, other) = (key("one"), key("other"));
        let first = dialling(&flights, &one);
        let second = waiting(&flights, &one);
        // Another agent waits for nobody.
        dialling(&flights, &other).landed(Ok(()));
        drop(first);
        assert_eq!(second.landed().await, None);
        let first = dialling(&flights, &one);
        let (second, third) = (waiting(&flights, &one), waiting(&flights, &one));
        first.landed(Err(Reason::UpstreamTimeout.into()));
        assert_eq!(second.landed().await, Some(Err(Reason::UpstreamTimeout.into())));
        assert_eq!(third.landed().await, Some(Err(Reason::UpstreamTimeout.into())));
        assert!(flights.lock().is_empty());
    }
}
