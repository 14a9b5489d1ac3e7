//! `bridge serve`: a bridge as a workload of its own, for what does not speak HTTP. Its server runs on loopback and is kept alive as
//! others are; in front of it stands HTTPS that lets nobody in without a token, and that is all that the network sees of it.
//!
//! The token is a credential: stubgate holds it and gives it in place of the agent's stub. Tokens are read anew for each request
//! and the certificate for each connection, so that both are rotated by writing a file. Nobody who has no token learns
//! anything but `/healthz`.

mod front;
mod tls;
mod tokens;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub use self::front::{Front, Limits};
pub use self::tls::Certificate;
pub use self::tokens::Tokens;

use super::file::{self, Entry, Kind};
use super::keep::{Pace, keep_all};
use super::one::Bridge;
use crate::agent::Place;
use crate::files;
use crate::state::State;

/// The command.
#[derive(Args, Debug)]
pub struct Serve {
    /// The bridge: an entry of kind http
    #[arg(id = "bridge", value_name = "NAME")]
    name: String,
    /// File of entries; by default that of the image's ready-made bridge
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Address to serve
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// Certificate chain, PEM; read again when it changes
    #[arg(long, value_name = "FILE", required_unless_present = "plain_http")]
    certificate: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Tokens that let one in, one a line; read again for each request
    #[arg(long, value_name = "FILE")]
    tokens: PathBuf,
    /// Without TLS; on loopback only, for tests
    #[arg(long, conflicts_with_all = ["certificate", "key"])]
    plain_http: bool,
    /// Folder of the versions of its package
    #[arg(long, value_name = "DIR", default_value = "/var/lib/stubgate-bridge")]
    state_dir: PathBuf,
}

impl Serve {
    /// Serves until it is told to stop.
    ///
    /// # Errors
    ///
    /// A file is wrong, or the address is taken.
    pub async fn execute(&self, _place: &Place) -> anyhow::Result<ExitCode> {
        let _ = tracing_subscriber::fmt().with_ansi(false).with_target(false).try_init();
        if self.plain_http && !self.listen.ip().is_loopback() {
            bail!("--plain-http is for loopback: {} is not", self.listen);
        }
        let entry = self.entry()?;
        let Some(Kind::Http(http)) = entry.kind() else {
            bail!(
                "the entry {} is not of kind http: a workload has `http: {{ command, port }}`, as serve.yaml",
                self.name
            )
        };
        let backend = SocketAddr::from(([127, 0, 0, 1], http.port));
        let path = http.path.clone();
        let tokens = Tokens::new(self.tokens.clone());
        tokens.check()?;
        let certificate = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some(Certificate::read(certificate.clone(), key.clone())?),
            (Some(_), None) => bail!("--certificate needs --key"),
            (None, _) => None,
        };
        let listener = TcpListener::bind(self.listen).await.with_context(|| format!("{}", self.listen))?;
        tracing::info!(bridge = self.name, listen = %listener.local_addr()?, "a bridge is served");
        let (state, stop) = (State::default(), CancellationToken::new());
        let bridge = Bridge::new(&self.name, entry, self.state_dir.join(&self.name), &[], secrets(std::env::vars()));
        let front = Front::new(self.name.clone(), backend, path, tokens, state.clone(), Limits::default());
        let kept = keep_all(vec![bridge], state, stop.clone(), Pace::default());
        let served = front.serve(listener, certificate, stop.clone());
        tokio::join!(kept, served, stopped(stop));
        Ok(ExitCode::SUCCESS)
    }

    fn entry(&self) -> anyhow::Result<Entry> {
        if !file::is_name(&self.name) {
            bail!(
                "{:?} is no name of a bridge: lower-case letters, digits and -, 40 at most, a letter first",
                self.name
            );
        }
        let ready = || file::image().join(&self.name).join("serve.yaml");
        let path = self.file.clone().unwrap_or_else(ready);
        if self.file.is_none() && !path.exists() {
            bail!("{}: the image has no such workload; name your own with --file FILE", path.display());
        }
        let mut entries: BTreeMap<_, _> = file::read_one(&path)?;
        let entry = entries.remove(&self.name).filter(|entry| !entry.disabled);
        entry.with_context(|| format!("{} has no bridge {}", path.display(), self.name))
    }
}

/// Bytes of a file of a secret at most.
const LARGEST: u64 = 64 * 1024;

/// What is never in the log: values of variables that look like credentials, and what stands in the files that variables name,
/// which is how a workload is given one: each line, and of an address the password in it.
fn secrets(variables: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let is_named = |name: &str| ["TOKEN", "KEY", "SECRET", "PASSWORD"].iter().any(|word| name.contains(word));
    let mut all = Vec::new();
    for (name, value) in variables {
        let name = name.to_ascii_uppercase();
        if name.ends_with("_FILE") {
            let text = files::read_bounded(Path::new(&value), LARGEST).unwrap_or_default();
            for line in String::from_utf8_lossy(&text).lines().map(str::trim).filter(|line| !line.starts_with("-----"))
            {
                let user = line.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
                all.extend(user.and_then(|(user, _)| user.split_once(':')).map(|(_, password)| password.to_owned()));
                all.push(line.to_owned());
            }
        } else if is_named(&name) {
            all.push(value);
        }
    }
    all
}

async fn stopped(stop: CancellationToken) {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    if let (Ok(mut terminate), Ok(mut interrupt)) = signals {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::voice::clean;

    #[test]
    fn what_a_file_of_the_workload_holds_is_not_logged() {
        let folder = tempfile::tempdir().unwrap();
        let [address, token] = ["dsn", "token"].map(|name| folder.path().join(name));
        std::fs::write(&address, "postgresql://reader:pass:word@db.example.com/tickets\n").unwrap();
        std::fs::write(&token, "a-token-of-nats\n").unwrap();
        let variables = [
            ("POSTGRES_DSN_FILE", address.to_str().unwrap()),
            ("NATS_TOKEN_FILE", token.to_str().unwrap()),
            ("OTHER_FILE", "/nonexistent"),
            ("API_KEY", "key-of-an-api"),
            ("LANG", "C.UTF-8"),
        ];
        let hidden = secrets(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter());
        let line = "refused pass:word of reader, a-token-of-nats, key-of-an-api; C.UTF-8";
        assert_eq!(clean(line.as_bytes(), &hidden), "refused *** of reader, ***, ***; C.UTF-8");
    }
}
