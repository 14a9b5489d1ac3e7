//! Whether an appliance runs with this configuration, and what it says of itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Finding, Setting};
use crate::config::Config;
use crate::health::Report;
use crate::lockdown::Part;

/// How long each answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const LONGEST: u64 = 16 << 20;
/// How many lines of `/readyz` are shown.
const MOST: usize = 30;

/// What the admin endpoint answered; nothing where none was configured, or nobody was there.
#[derive(Debug, Default)]
pub struct Answers {
    /// Status and body of `/readyz`.
    pub readyz: Option<(u16, String)>,
    /// Body of `/metrics`.
    pub metrics: Option<String>,
    /// `/credentials`.
    pub credentials: Option<Report>,
}

impl Answers {
    /// Whether somebody is there who speaks as an appliance does.
    pub fn is_there(&self) -> bool {
        self.readyz.is_some() && self.version().is_some()
    }

    /// Its version, as its metrics have it.
    pub fn version(&self) -> Option<&str> {
        let line = self.metrics.as_ref()?.lines().find(|line| line.starts_with("stubgate_build_info{"))?;
        line.split('"').nth(1)
    }
}

/// Asks the first admin endpoint of a configuration.
pub async fn ask(config: &Config) -> Answers {
    let Some(&admin) = config.listen.admin.first() else { return Answers::default() };
    let get = |path: &'static str| async move { timeout(LIMIT, get(admin, path)).await.ok()?.ok()? };
    let Some(readyz) = get("/readyz").await else { return Answers::default() };
    let (metrics, credentials) = tokio::join!(get("/metrics"), get("/credentials"));
    let body = |answer: Option<(u16, String)>| answer.filter(|(status, _)| *status == 200).map(|(_, body)| body);
    Answers {
        readyz: Some(readyz),
        metrics: body(metrics),
        credentials: body(credentials).and_then(|text| serde_json::from_str(&text).ok()),
    }
}

/// One request on a connection of its own; `None` where what comes is no answer.
async fn get(address: SocketAddr, path: &str) -> std::io::Result<Option<(u16, String)>> {
    // An endpoint on all addresses is on this machine's, too.
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let mut tcp = TcpStream::connect(SocketAddr::new(ip, address.port())).await?;
    tcp.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    tcp.take(LONGEST).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return Ok(None) };
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    Ok(status.map(|status| (status, body.to_owned())))
}

/// What it says.
pub(super) fn look(setting: &Setting, answers: &Answers) -> Vec<Finding> {
    let Some(admin) = setting.config.listen.admin.first() else {
        return vec![
            Finding::warn("appliance", "the configuration has no admin endpoint to ask")
                .advise("give listen.admin an address"),
        ];
    };
    let Some((status, body)) = &answers.readyz else {
        return vec![Finding::warn("appliance", format!("nobody answers at {admin}")).advise("start it: stubgate run")];
    };
    let Some(version) = answers.version() else {
        let what = format!("what answers at {admin} is no appliance");
        return vec![Finding::bad("appliance", what).advise("free the port, or correct listen.admin")];
    };
    let mut lines = body.lines();
    let first = lines.next().unwrap_or_default();
    let mut found = vec![match status {
        200 => Finding::ok("appliance", format!("ready, version {version}")),
        _ => Finding::bad("appliance", format!("not ready, version {version}: {first}"))
            .advise("its log says why")
            .quoting(),
    }];
    if version != env!("CARGO_PKG_VERSION") {
        let what = format!("this program is {}, the appliance that runs {version}", env!("CARGO_PKG_VERSION"));
        found.push(Finding::warn("appliance.version", what).advise("restart it, or ask with the program that runs"));
    }
    // What holds is a line too; what does not says so, or that somebody is to be warned.
    let telling = lines.filter(|line| !line.contains(": in force")).take(MOST);
    for line in telling {
        let known = |part: Part| line.starts_with(part.as_str());
        let is_known =
            Part::ALL.into_iter().any(known) || line.starts_with("programs: ") || line.starts_with("credential ");
        let finding =
            Finding::warn("appliance.says", line).advise("docs/operations.md says what each line of /readyz means");
        found.push(if is_known { finding } else { finding.quoting() });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;
    use crate::config::Checked;

    fn said(readyz: Option<(u16, &str)>, version: &str) -> Vec<Finding> {
        let text = "listen: { proxy: [\"127.0.0.1:1\"] }\npolicy: [nowhere.yaml]\n".to_owned();
        let file = stubgate_policy::SourceFile { name: "stubgate.yaml".into(), text };
        let config = crate::config::compile(file).unwrap();
        let checked = Checked { config, warnings: Vec::new(), files: Vec::new() };
        let setting = Setting::new(std::path::Path::new("stubgate.yaml"), checked, true);
        let answers = Answers {
            readyz: readyz.map(|(status, body)| (status, body.to_owned())),
            metrics: Some(format!("stubgate_build_info{{version=\"{version}\"}} 1\n")),
            credentials: None,
        };
        look(&setting, &answers)
    }

    #[test]
    fn another_version_than_the_one_that_asks_is_a_warning() {
        let own = env!("CARGO_PKG_VERSION");
        let grades = |found: Vec<Finding>| found.into_iter().map(|one| (one.check, one.grade)).collect::<Vec<_>>();
        let ready = Some((200, "ready\nlandlock: in force (ABI 6)\n"));
        assert_eq!(grades(said(ready, own)), [("appliance", Grade::Ok)]);
        assert_eq!(grades(said(ready, "9.9.9")), [("appliance", Grade::Ok), ("appliance.version", Grade::Warn)]);
        assert_eq!(grades(said(Some((503, "draining\n")), own)), [("appliance", Grade::Bad)]);
        assert_eq!(grades(said(None, own)), [("appliance", Grade::Warn)]);
    }

    #[test]
    fn lines_that_are_no_word_of_ours_go_into_no_bundle() {
        let found = said(
            Some((200, "ready\nlandlock: missing (old)\ncredential a: no value\nsomething odd\n")),
            env!("CARGO_PKG_VERSION"),
        );
        let quotes: Vec<bool> = found.iter().skip(1).map(|one| one.quotes).collect();
        assert_eq!(quotes, [false, false, true]);
        assert!(said(Some((503, "something odd\n")), env!("CARGO_PKG_VERSION"))[0].quotes);
    }
}
