//! `stubgate credential status`: asks the appliance that runs, by its admin endpoint. Nothing is read from a source here.

use std::io::{ErrorKind, IsTerminal as _, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::super::say::put;
use super::super::{UNUSABLE, WRONG, check, fail};
use super::{Status, table};
use crate::config::Config;
use crate::health::{Report, State};

/// How long the appliance may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const LONGEST: u64 = 64 * 1024 * 1024;

pub(super) fn main(asked: &Status) -> ExitCode {
    let address = match asked.admin.map_or_else(|| configured(&asked.config), Ok) {
        Ok(address) => address,
        Err(code) => return code,
    };
    let report = match ask(address) {
        Ok(report) => report,
        Err(why) => return fail(UNUSABLE, why),
    };
    if asked.json {
        match serde_json::to_string_pretty(&report) {
            Ok(text) => put(format_args!("{text}\n")),
            Err(error) => return fail(WRONG, error),
        }
    } else {
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        put(format_args!("{}", table::draw(&report, std::io::stdout().is_terminal() && !is_plain)));
    }
    let is_well = report.is_ready && report.credentials.iter().all(|one| one.state == State::InUse);
    if is_well { ExitCode::SUCCESS } else { ExitCode::from(WRONG) }
}

/// Where the configuration has the admin endpoint.
fn configured(file: &Path) -> Result<SocketAddr, ExitCode> {
    let config = Config::read(file).map_err(|problem| check::refuse(&problem))?;
    let Some(address) = config.listen.admin.first() else {
        let why = format!(
            "{} has no admin endpoint, which is what an appliance is asked by: write `admin: [\"127.0.0.1:9090\"]` under \
             `listen`, and restart it",
            file.display()
        );
        return Err(fail(UNUSABLE, why));
    };
    Ok(reachable(*address))
}

/// An endpoint on all addresses is on this machine's, too.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn ask(address: SocketAddr) -> Result<Report, String> {
    let answer = exchange(address).map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused => format!(
            "no appliance answers at {address}: nothing listens there. Start it (stubgate run), or say where it is: --config \
             or --admin"
        ),
        _ => format!("no appliance answers at {address}: {error}. Say where it is: --config or --admin"),
    })?;
    let stranger = || format!("what answers at {address} is no appliance of this version");
    let text = String::from_utf8(answer).map_err(|_| stranger())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(stranger)?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(stranger());
    }
    serde_json::from_str(body).map_err(|_| stranger())
}

/// One request on a connection of its own; head and body. The endpoint knows the length of what it says.
fn exchange(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut tcp = TcpStream::connect_timeout(&address, LIMIT)?;
    tcp.set_read_timeout(Some(LIMIT))?;
    tcp.set_write_timeout(Some(LIMIT))?;
    write!(tcp, "GET /credentials HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    tcp.take(LONGEST).read_to_end(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_on_all_addresses_is_asked_on_this_machine() {
        for (configured, asked) in
            [("0.0.0.0:9090", "127.0.0.1:9090"), ("[::]:1", "[::1]:1"), ("192.0.2.1:9", "192.0.2.1:9")]
        {
            assert_eq!(reachable(configured.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
