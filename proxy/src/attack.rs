//! `stubgate attack`: tries the ways out of the place that it runs in, and says which are closed.
//!
//! It is for the inside of an agent's container: it finds its resolver, proxy and trusted certificates where any client
//! there finds them, and believes what it sees, not what the appliance says of itself. It sends worthless data only, holds
//! no secret and asks nothing of the appliance but what an agent may ask; each probe ends by itself within [`PATIENCE`],
//! and all of them within [`IN_ALL`].
//! A result that can't be told is skipped with its reason, and never counted as passed.

mod dns;
mod probes;
mod report;
mod scene;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::{Instant, timeout_at};

pub use probes::{Probe, all};
pub use report::Report;
pub use scene::{Scene, SceneError};

/// The longest that one probe may take.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// The longest that all of them may take.
pub const IN_ALL: Duration = Duration::from_secs(50);
/// The longest that a probe waits for one answer.
const ANSWER: Duration = Duration::from_secs(4);
/// Probes under way at the same time.
const AT_ONCE: usize = 8;

/// What a probe is told besides what it finds.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A host that policy allows.
    pub host: Option<String>,
    /// Another one, where the stub does not belong.
    pub other_host: Option<String>,
    /// A name that exists and that policy does not allow.
    pub denied: String,
    /// The worthless placeholder that the agent holds for `host`.
    pub stub: Option<String>,
    /// A path of `host` that answers with the request's headers.
    pub echo: Option<String>,
    /// The proxy, where the environment does not name it.
    pub proxy: Option<String>,
    /// Addresses outside to try besides the well-known ones.
    pub targets: Vec<IpAddr>,
    /// Name servers outside, likewise.
    pub resolvers: Vec<IpAddr>,
    /// Only probes whose id holds one of these.
    pub only: Vec<String>,
}

/// What came of a probe, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The way is closed.
    Passed(String),
    /// It is open.
    Failed(String),
    /// It can't be told here.
    Skipped(String),
}

/// Looks around, and runs every probe that was asked for.
///
/// # Errors
/// Where the place can't be made out: no resolver, no certificates to trust, an unreadable option.
pub async fn run(options: Options) -> Result<Report, SceneError> {
    let scene = Scene::look(options).await?;
    let chosen: Vec<&'static Probe> = all()
        .iter()
        .filter(|probe| {
            let only = &scene.options.only;
            only.is_empty() || only.iter().any(|word| probe.id.contains(word.as_str()))
        })
        .collect();
    let end = Instant::now() + IN_ALL;
    let run = async |probe: &'static Probe| {
        let deadline = end.min(Instant::now() + PATIENCE);
        let outcome = timeout_at(deadline, (probe.run)(&scene)).await;
        (probe, outcome.unwrap_or_else(|_| Outcome::Skipped("it took too long to tell".into())))
    };
    let results = stream::iter(chosen).map(run).buffered(AT_ONCE).collect().await;
    Ok(Report::new(&scene, results))
}

/// Joins an address and a port.
const fn at(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip, port)
}
