//! The store of several replicas: PostgreSQL.
//!
//! Who leads a login holds an advisory lock of a connection of its own, so that it is lost with the connection: when its
//! process dies, and also when the server is started anew or the way to it breaks while its holder lives, which is why an
//! attempt of another holder is always given the time that its answer could take. Each write names the revision that it replaces.
//!
//! Over TLS, verified for the name, but to a loopback address where no certificates were named. The password is read anew
//! for each connection. While the server is away it is tried again with growing pauses, and every question has a limit.

mod tls;

use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};
use zeroize::Zeroizing;

use super::{Doing, Lease, Row, Store, StoreError};
use crate::escrow::exchange;

/// How long connecting may take, and each question.
const LIMIT: Duration = Duration::from_secs(5);
/// The longest pause between two tries to connect.
const PAUSE: Duration = Duration::from_secs(2);
/// How long an attempt stands before its holder is taken for dead. A lock ends with its connection, and its holder may
/// outlive that whatever the reason: both of its requests, and a while to store what they gave.
const GONE: Duration = Duration::from_secs(2 * exchange::LIMIT.as_secs() + 1);
/// When a connection on which nothing is heard is taken for dead: looked at after so long, then so often and so many times.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(5), 3);
/// When one is that does not take what we send, in milliseconds.
const UNSENT: u32 = 10_000;
/// The same for the server, on the connection of who leads: the lock of a node that died must not outlive it for hours.
const KEEPALIVE_THERE: &str =
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";
/// The port of PostgreSQL.
const PORT: u16 = 5432;
/// The advisory lock under which tables are changed.
const MIGRATING: i64 = 0x5354_5542_4741_5445;
/// What brings an empty database to the tables of now, one step a number; a step that was published never changes.
const MIGRATIONS: &[&str] = &["CREATE TABLE stubgate_login (
    name text PRIMARY KEY,
    revision bigint NOT NULL,
    generation bigint NOT NULL,
    sealed bytea NOT NULL,
    written timestamptz NOT NULL DEFAULT now()
)"];

/// A connection that is being made.
pub type Dialling<'a> = Pin<Box<dyn Future<Output = std::io::Result<TcpStream>> + Send + 'a>>;

/// The way to the server: from its host and port to a connection.
pub type Dial = Arc<dyn for<'a> Fn(&'a str, u16) -> Dialling<'a> + Send + Sync>;

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// `postgres://user:password@host:port/database`, in a file.
    UrlFile(PathBuf),
    /// In parts.
    Parts {
        /// A name or an address.
        host: Box<str>,
        /// 5432, as a rule.
        port: u16,
        /// Its name.
        database: Box<str>,
        /// Who we are there.
        user: Box<str>,
        /// The file with the password, where one is needed.
        password_file: Option<PathBuf>,
    },
}

/// What it takes to reach a database.
#[derive(Clone)]
pub struct PostgresPlace {
    /// Where it is.
    pub database: Database,
    /// Whom it is verified by. None is for a loopback address alone.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The way there.
    pub dial: Dial,
}

/// A way that asks the system for addresses.
pub fn system_dial() -> Dial {
    Arc::new(|host, port| Box::pin(TcpStream::connect((host.to_owned(), port))))
}

/// A database of logins.
pub(crate) struct Postgres {
    place: PostgresPlace,
    /// One connection for questions; those who lead have their own.
    client: tokio::sync::Mutex<Option<Arc<Client>>>,
    rest: Mutex<Rest>,
    patience: Duration,
}

/// After a failure: how many there were, and until when nothing is tried.
#[derive(Default)]
struct Rest {
    failures: u32,
    until: Option<Instant>,
    why: String,
}

impl Postgres {
    /// Connects when it is first asked.
    pub(crate) fn new(place: PostgresPlace) -> Self {
        Self { place, client: tokio::sync::Mutex::default(), rest: Mutex::default(), patience: GONE }
    }

    /// For tests in which whoever is gone is known to be dead.
    #[cfg(test)]
    pub(crate) fn impatient(mut self) -> Self {
        self.patience = Duration::from_secs(1);
        self
    }

    /// What comes of a question. A connection that gives no answer is replaced at the next one.
    async fn asked<T>(
        &self,
        client: &Arc<Client>,
        question: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        if let Ok(done) = timeout(LIMIT, question).await {
            return done.map_err(said);
        }
        self.client.lock().await.take_if(|held| Arc::ptr_eq(held, client));
        Err(late())
    }

    /// The connection for questions, made where there is none.
    async fn client(&self) -> Result<Arc<Client>, StoreError> {
        let mut held = self.client.lock().await;
        if let Some(client) = held.as_ref().filter(|client| !client.is_closed()) {
            return Ok(Arc::clone(client));
        }
        let mut client = self.connect().await?;
        limited(migrate(&mut client)).await?;
        Ok(Arc::clone(held.insert(Arc::new(client))))
    }

    async fn connect(&self) -> Result<Client, StoreError> {
        {
            let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
            if rest.until.is_some_and(|until| Instant::now() < until) {
                return Err(StoreError::Unreachable(rest.why.clone()));
            }
        }
        let made = match timeout(LIMIT, connect(&self.place)).await {
            Ok(made) => made,
            Err(_) => Err(StoreError::Unreachable(format!("no connection within {} seconds", LIMIT.as_secs()))),
        };
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        match &made {
            Ok(_) => *rest = Rest::default(),
            Err(error) => {
                let pause = Duration::from_millis(100).saturating_mul(1 << rest.failures.min(8)).min(PAUSE);
                let why = match error {
                    StoreError::Unreachable(why) => why.clone(),
                    other => other.to_string(),
                };
                *rest = Rest { failures: rest.failures.saturating_add(1), until: Some(Instant::now() + pause), why };
            }
        }
        made
    }
}

impl Store for Postgres {
    fn read<'a>(&'a self, name: &'a str) -> Doing<'a, Option<Row>> {
        Box::pin(async move {
            let client = self.client().await?;
            let sql = "SELECT revision, generation, sealed FROM stubgate_login WHERE name = $1";
            let row = self.asked(&client, client.query_opt(sql, &[&name])).await?;
            row.map(|row| {
                let sealed = row.try_get(2).map_err(said)?;
                let number = |at: usize| unsigned(row.try_get(at).map_err(said)?);
                Ok(Row { revision: number(0)?, generation: number(1)?, sealed })
            })
            .transpose()
        })
    }

    fn write<'a>(&'a self, name: &'a str, row: &'a Row) -> Doing<'a, bool> {
        Box::pin(async move {
            let client = self.client().await?;
            let sql = if row.revision == 1 {
                "INSERT INTO stubgate_login (name, revision, generation, sealed) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT DO NOTHING"
            } else {
                "UPDATE stubgate_login SET revision = $2::bigint, generation = $3, sealed = $4, written = now() \
                 WHERE name = $1 AND revision = $2::bigint - 1"
            };
            let (revision, generation) = (signed(row.revision)?, signed(row.generation)?);
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&name, &revision, &generation, &row.sealed];
            let changed = self.asked(&client, client.execute(sql, &parameters)).await?;
            Ok(changed == 1)
        })
    }

    fn revisions(&self) -> Doing<'_, Vec<(String, u64)>> {
        Box::pin(async move {
            let client = self.client().await?;
            let sql = "SELECT name, revision FROM stubgate_login ORDER BY name";
            let rows = self.asked(&client, client.query(sql, &[])).await?;
            let read = |row: &tokio_postgres::Row| {
                Ok((row.try_get(0).map_err(said)?, unsigned(row.try_get(1).map_err(said)?)?))
            };
            rows.iter().map(read).collect()
        })
    }

    fn lead<'a>(&'a self, name: &'a str) -> Doing<'a, Option<Lease>> {
        Box::pin(async move {
            // Its own: the lock is of the connection, and must end with the lead.
            let client = self.connect().await?;
            let is_had = limited(async { lock(&client, lock_of(name)).await.map_err(said) }).await?;
            Ok(is_had.then(|| Lease { _held: Box::new(client) }))
        })
    }

    fn patience(&self) -> Duration {
        self.patience
    }
}

/// Whether the lock is this connection's now.
async fn lock(client: &Client, number: i64) -> Result<bool, tokio_postgres::Error> {
    client.batch_execute(KEEPALIVE_THERE).await?;
    client.query_one("SELECT pg_try_advisory_lock($1)", &[&number]).await?.try_get(0)
}

async fn limited<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(LIMIT, work).await.unwrap_or_else(|_| Err(late()))
}

fn late() -> StoreError {
    StoreError::Unreachable(format!("no answer within {} seconds", LIMIT.as_secs()))
}

/// Has the system end a connection whose other side is gone without a word.
fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    let (idle, between, count) = KEEPALIVE;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, idle)?;
    sockopt::set_tcp_keepintvl(stream, between)?;
    sockopt::set_tcp_keepcnt(stream, count)?;
    Ok(sockopt::set_tcp_user_timeout(stream, UNSENT)?)
}

async fn connect(place: &PostgresPlace) -> Result<Client, StoreError> {
    let (mut config, host, port) = config(&place.database).await?;
    let loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    config.ssl_mode(if place.tls.is_some() { SslMode::Require } else { SslMode::Disable });
    if place.tls.is_none() && !loopback {
        return Err(StoreError::Unusable("it is not on this machine, and no TLS is configured".into()));
    }
    let unreachable = |error: std::io::Error| StoreError::Unreachable(format!("{host}:{port}: {error}"));
    let stream = (place.dial)(&host, port).await.map_err(unreachable)?;
    stream.set_nodelay(true).and_then(|()| keep_alive(&stream)).map_err(unreachable)?;
    match &place.tls {
        Some(tls) => {
            let connector = tls::Connector::new(Arc::clone(tls), &host)
                .ok_or_else(|| StoreError::Unusable(format!("{host} is no name that a certificate can have")))?;
            let (client, connection) = config.connect_raw(stream, connector).await.map_err(said)?;
            // Ends with its client. What it fails with, the client's next question says.
            tokio::spawn(async move { drop(connection.await) });
            Ok(client)
        }
        None => {
            let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(said)?;
            tokio::spawn(async move { drop(connection.await) });
            Ok(client)
        }
    }
}

async fn config(database: &Database) -> Result<(Config, String, u16), StoreError> {
    let mut config = Config::new();
    let found = match database {
        Database::UrlFile(path) => {
            let text = read(path).await?;
            let url = std::str::from_utf8(text.trim_ascii()).ok();
            let wrong = |why: &str| StoreError::Unusable(format!("{}: {why}", path.display()));
            // The parser's own words could hold parts of what it parsed.
            config = url.and_then(|url| url.parse().ok()).ok_or_else(|| wrong("is no URL of a PostgreSQL database"))?;
            let host = match config.get_hosts() {
                [Host::Tcp(host)] => host.clone(),
                _ => return Err(wrong("does not name one host that is reached over TCP")),
            };
            (host, config.get_ports().first().copied().unwrap_or(PORT))
        }
        Database::Parts { host, port, database, user, password_file } => {
            config.host(&**host).port(*port).dbname(&**database).user(&**user);
            if let Some(path) = password_file {
                config.password(read(path).await?.trim_ascii_end());
            }
            (host.to_string(), *port)
        }
    };
    config.application_name("stubgate");
    Ok((config, found.0, found.1))
}

async fn read(path: &std::path::Path) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let at = |error: std::io::Error| StoreError::Unreachable(format!("{}: {error}", path.display()));
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read(owned)).await;
    read.map_err(|error| at(error.into()))?.map(Zeroizing::new).map_err(at)
}

async fn migrate(client: &mut Client) -> Result<(), StoreError> {
    let change = client.transaction().await.map_err(said)?;
    change.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATING]).await.map_err(said)?;
    let table = "CREATE TABLE IF NOT EXISTS stubgate_migration \
                 (number integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())";
    change.batch_execute(table).await.map_err(said)?;
    let last = "SELECT coalesce(max(number), 0) FROM stubgate_migration";
    let done: i32 = change.query_one(last, &[]).await.map_err(said)?.try_get(0).map_err(said)?;
    let Some(steps) = usize::try_from(done).ok().and_then(|done| MIGRATIONS.get(done..)) else {
        return Err(StoreError::Unusable("it was written by a later version of stubgate".into()));
    };
    for (number, step) in (done + 1..).zip(steps) {
        change.batch_execute(step).await.map_err(said)?;
        change.execute("INSERT INTO stubgate_migration (number) VALUES ($1)", &[&number]).await.map_err(said)?;
    }
    change.commit().await.map_err(said)
}

/// The number of a login's lock: one is enough for all databases of a server, as locks are of a database.
fn lock_of(name: &str) -> i64 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("stubgate login\0{name}").as_bytes());
    digest.as_ref().first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Unusable("it holds a negative number".into()))
}

fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Unusable("its numbers are used up".into()))
}

/// What the server says, by its code and message; values are never part of those of ours.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn said(error: tokio_postgres::Error) -> StoreError {
    match error.as_db_error() {
        Some(said) => {
            let text = format!("{} {}", said.code().code(), said.message());
            // 57: the server is stopping or starting; 53: it is short of something; 08: the connection; 25006: a standby.
            let passing = ["57", "53", "08", "40", "25006"].iter().any(|class| text.starts_with(class));
            if passing { StoreError::Unreachable(text) } else { StoreError::Unusable(text) }
        }
        None => {
            // "error performing TLS handshake" alone helps nobody.
            let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
            StoreError::Unreachable(format!("{error}{}", source.unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests;
