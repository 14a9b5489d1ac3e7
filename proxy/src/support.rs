//! What goes into a support bundle: enough for somebody elsewhere to see what is wrong, and no secret.
//!
//! Nothing is copied and searched for secrets: each member is made anew from values that are listed here one by one
//! (numbers, addresses, names that policy gives, words of our own), and what is not listed is not there (law 4). Files of
//! credentials, the environment and the arguments of programs are never read. What agents chose (names, paths, methods)
//! comes as a keyed hash at most, whose key is thrown away.

mod archive;
mod records;
mod written;

use std::path::Path;

use serde_json::{Value, json};

pub use archive::{Member, write};

use crate::doctor::{Answers, Findings, Setting};
use crate::health::Report;

/// Records that are taken from the end.
pub const RECORDS: usize = 500;

/// What one is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Whether hosts, names and paths that agents asked for come as hashes, rather than not at all.
    pub hashes: bool,
}

/// Everything, in the order that it is told in.
pub fn collect(setting: &Setting, findings: &Findings, answers: &Answers, wanted: Wanted) -> Vec<Member> {
    let policy = setting.policy.as_ref().ok().map(|compiled| &compiled.policy);
    let mut members = vec![
        member("versions.json", "versions of stubgate and of the kernel", &versions(answers)),
        member("config.json", "the configuration: addresses, paths, limits", &written::config(&setting.config)),
    ];
    if let Some(policy) = policy {
        members.push(member("policy.json", "the policy: names, hosts, kinds of sources", &written::policy(policy)));
    }
    members.push(member("doctor.json", "what stubgate doctor finds", &doctor(findings)));
    if let Some(metrics) = &answers.metrics {
        let text = metrics.lines().filter(|line| is_sample(line)).flat_map(|line| [line, "\n"]).collect::<String>();
        members.push(Member { name: "metrics.txt", about: "the metrics of the appliance", content: text.into_bytes() });
    }
    if let Some(report) = &answers.credentials {
        members.push(member("credentials.json", "how credentials stand", &credentials(report)));
    }
    if let Some(content) = records::last(&setting.config, policy, wanted) {
        let about = if wanted.hashes {
            "the last records, with hashes of what agents asked for"
        } else {
            "the last records, without what agents asked for"
        };
        members.push(Member { name: "audit.jsonl", about, content });
    }
    members
}

/// Writes them into a new file for nobody else to read.
///
/// # Errors
/// Where there is such a file already, or none can be made.
pub fn save(path: &Path, members: &[Member]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    write(&file, members)?;
    file.sync_all()
}

fn member(name: &'static str, about: &'static str, content: &Value) -> Member {
    Member { name, about, content: format!("{content:#}\n").into_bytes() }
}

fn versions(answers: &Answers) -> Value {
    let of_kernel = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        text.trim().chars().filter(char::is_ascii).take(200).collect::<String>()
    };
    json!({
        "program": env!("CARGO_PKG_VERSION"),
        "appliance": answers.version().filter(|version| version.len() < 32),
        "kernel": of_kernel("osrelease"),
        "kernel_version": of_kernel("version"),
        "processor": std::env::consts::ARCH,
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
    })
}

/// What quotes a file that a person wrote is told by its check alone.
fn doctor(findings: &Findings) -> Value {
    let all = findings.all().iter().map(|finding| match finding.quotes {
        true => json!({ "check": finding.check, "grade": finding.grade, "what": "left out: it quotes a file" }),
        false => json!({ "check": finding.check, "grade": finding.grade, "what": finding.what }),
    });
    Value::Array(all.collect())
}

/// Lines as our metrics have them: a name of ours, labels, a number.
fn is_sample(line: &str) -> bool {
    let is_ours = |name: &str| {
        name.starts_with("stubgate_") && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let name_end = line.find(['{', ' ']).unwrap_or(line.len());
    let (name, rest) = line.split_at(name_end);
    let value = rest.rsplit(' ').next().unwrap_or_default();
    is_ours(name) && value.parse::<f64>().is_ok() && line.len() < 1000
}

/// Words of sources are left out: a server or a program chose them.
fn credentials(report: &Report) -> Value {
    let all = report.credentials.iter().map(|one| {
        json!({
            "name": one.name,
            "source": one.source,
            "state": one.state,
            "version": one.version,
            "last_success": one.last_success,
            "expires": one.expires,
            "ends_within": one.ends_within,
            "refreshes": one.refreshes,
            "failures": one.failures,
            "last_failure": one.last_failure.as_ref().map(|failure| json!({ "time": failure.time, "kind": failure.kind })),
            "login": one.login.as_ref().map(|login| {
                json!({ "name": login.name, "standing": login.standing, "generation": login.generation })
            }),
        })
    });
    json!({ "ready": report.is_ready, "credentials": all.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_metrics_only_samples_of_our_own_pass() {
        for line in ["stubgate_draining 0", "stubgate_requests_total{decision=\"allow\",rule=\"r\",reason=\"\"} 12"] {
            assert!(is_sample(line), "{line}");
        }
        for line in
            ["", "# HELP stubgate_x y", "other_total 1", "stubgate_x secret", "Stubgate_x 1", "stubgate_x{a=\"b\"}"]
        {
            assert!(!is_sample(line), "{line}");
        }
    }
}
