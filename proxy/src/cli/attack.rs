//! `stubgate attack`.

use std::io::IsTerminal;
use std::net::IpAddr;
use std::process::ExitCode;

use clap::Args;

use super::say::{put, say};
use super::{UNUSABLE, WRONG, fail};
use crate::attack::{self, Options};

pub(super) const NOTES: &str = "\
Run it where an agent runs: it finds resolver, proxy and trusted certificates as any client there does. It sends worthless data only.

Exit status: 0 every way that could be tried is closed; 1 one is open; 2 usage, or nothing could be tried";

/// What may be given to `attack`.
#[derive(Debug, Args)]
pub(super) struct Attack {
    /// A host that policy allows to this agent; without it the first of some usual ones that the resolver answers
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Another allowed host, where the stub does not belong
    #[arg(long, value_name = "NAME")]
    other_host: Option<String>,
    /// A host that exists and that policy does not allow
    #[arg(long, value_name = "NAME", default_value = "example.com")]
    denied: String,
    /// The agent's stub for the host. It is sent to places where it must be refused: never give a real credential
    #[arg(long, value_name = "STUB")]
    stub: Option<String>,
    /// A path of the host that answers with the request's headers, to try reflection
    #[arg(long, value_name = "PATH")]
    echo: Option<String>,
    /// The proxy, host:port; without it HTTPS_PROXY and its like
    #[arg(long, value_name = "ADDRESS")]
    proxy: Option<String>,
    /// An address outside to try besides the well-known ones; may stand several times
    #[arg(long, value_name = "IP")]
    target: Vec<IpAddr>,
    /// A name server outside to try besides the well-known ones; may stand several times
    #[arg(long, value_name = "IP")]
    resolver: Vec<IpAddr>,
    /// Only probes whose id holds this; may stand several times
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Show what would be tried, and try nothing
    #[arg(long)]
    list: bool,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn main(asked: Attack) -> ExitCode {
    let is_chosen = |id: &str| asked.only.is_empty() || asked.only.iter().any(|word| id.contains(word.as_str()));
    let chosen: Vec<_> = attack::all().iter().filter(|probe| is_chosen(probe.id)).collect();
    if chosen.is_empty() {
        return fail(UNUSABLE, "no probe has such an id; `stubgate attack --list` shows them all");
    }
    if asked.list {
        for probe in chosen {
            say(format_args!("{:<28} {} ({})", probe.id, probe.what, probe.source));
        }
        return ExitCode::SUCCESS;
    }
    let options = Options {
        host: asked.host,
        other_host: asked.other_host,
        denied: asked.denied,
        stub: asked.stub,
        echo: asked.echo,
        proxy: asked.proxy,
        targets: asked.target,
        resolvers: asked.resolver,
        only: asked.only,
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(UNUSABLE, error),
    };
    let report = match runtime.block_on(attack::run(options)) {
        Ok(report) => report,
        Err(error) => return fail(UNUSABLE, error),
    };
    // What is still waited for in another thread, such as libc's resolver, is of no more interest.
    runtime.shutdown_background();
    if asked.json {
        match report.json() {
            Ok(text) => say(text),
            Err(error) => return fail(UNUSABLE, error),
        }
    } else {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        put(format_args!("{}", report.table(colour)));
    }
    match (report.tells(), report.is_closed()) {
        (false, _) => ExitCode::from(UNUSABLE),
        (true, false) => ExitCode::from(WRONG),
        (true, true) => ExitCode::SUCCESS,
    }
}
