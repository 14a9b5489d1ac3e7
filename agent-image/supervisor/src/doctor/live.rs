//! One request by each runtime, with the variables that every process gets and no flag about trust: what the tables of
//! [`super::trust`] say must be so. Only where it is asked for, since these programs write below the temporary folder. What they
//! say is looked at and never printed: an answer is a stranger's.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::Setting;
use super::report::Finding;
use crate::program;

/// For one program.
const DEADLINE: Duration = Duration::from_secs(15);

/// A request of a runtime.
struct Request {
    check: &'static str,
    program: &'static str,
    /// Its arguments; `URL` and `FOLDER` are replaced.
    arguments: &'static [&'static str],
    /// Variables besides, likewise.
    variables: &'static [(&'static str, &'static str)],
    /// What it says when a server answered it, though it is not what it wanted.
    answered: &'static [&'static str],
    /// What it says when it has not what the request takes.
    lacking: &'static [&'static str],
}

const FETCH: &str =
    "fetch(process.argv.at(-1)).then(r=>console.log('HTTP',r.status),e=>{console.error(e,e.cause);process.exit(1)})";

const REQUESTS: &[Request] = &[
    Request {
        check: "live.git",
        program: "git",
        arguments: &["ls-remote", "URL"],
        variables: &[("GIT_TERMINAL_PROMPT", "0"), ("LC_ALL", "C")],
        answered: &[
            "not found",
            "returned error",
            "not valid: is this a git repository",
            "could not read Username",
            "Authentication failed",
        ],
        lacking: &[],
    },
    Request {
        check: "live.curl",
        program: "curl",
        arguments: &["--silent", "--show-error", "--output", "/dev/null", "URL"],
        variables: &[],
        answered: &[],
        lacking: &[],
    },
    Request {
        check: "live.node",
        program: "node",
        arguments: &["-e", FETCH, "URL"],
        variables: &[],
        answered: &[],
        lacking: &["fetch is not defined"],
    },
    Request {
        check: "live.python-requests",
        program: "python3",
        arguments: &["-c", "import requests, sys; print(requests.get(sys.argv[1], timeout=10).status_code)", "URL"],
        variables: &[],
        answered: &[],
        lacking: &["No module named"],
    },
    Request {
        check: "live.python-httpx",
        program: "python3",
        arguments: &["-c", "import httpx, sys; print(httpx.get(sys.argv[1], timeout=10).status_code)", "URL"],
        variables: &[],
        answered: &[],
        lacking: &["No module named"],
    },
    Request {
        check: "live.pip",
        program: "python3",
        arguments: &[
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-cache-dir",
            "--retries",
            "0",
            "--timeout",
            "10",
            "--disable-pip-version-check",
            "--dest",
            "FOLDER",
            "--index-url",
            "URL",
            "stubgate-doctor",
        ],
        variables: &[],
        answered: &["No matching distribution", "Could not find a version"],
        lacking: &["No module named"],
    },
    Request {
        check: "live.uv",
        program: "uv",
        arguments: &[
            "pip",
            "install",
            "--dry-run",
            "--no-cache",
            "--target",
            "FOLDER",
            "--index-url",
            "URL",
            "stubgate-doctor",
        ],
        variables: &[("NO_COLOR", "1")],
        answered: &["was not found in the package registry", "not found in the package registry"],
        lacking: &["No interpreter found"],
    },
    Request {
        check: "live.go",
        program: "go",
        arguments: &["list", "-m", "stubgate.invalid/doctor@latest"],
        variables: &[
            ("GOPROXY", "URL"),
            ("GONOSUMDB", "*"),
            ("GOFLAGS", "-mod=mod"),
            ("GOTOOLCHAIN", "local"),
            ("GO111MODULE", "on"),
            ("GOMODCACHE", "FOLDER/go"),
            ("GOCACHE", "FOLDER/go-build"),
        ],
        answered: &[
            "404",
            "403",
            "410",
            "Not Found",
            "Forbidden",
            "no matching versions",
            "invalid response",
            "unexpected",
        ],
        lacking: &[],
    },
    Request {
        check: "live.deno",
        program: "deno",
        arguments: &[
            "eval",
            "fetch(Deno.args[0]).then(r=>console.log('HTTP',r.status),e=>{console.error(e);Deno.exit(1)})",
            "URL",
        ],
        variables: &[("DENO_DIR", "FOLDER/deno"), ("NO_COLOR", "1")],
        answered: &[],
        lacking: &[],
    },
    Request {
        check: "live.bun",
        program: "bun",
        arguments: &["-e", FETCH, "URL"],
        variables: &[("NO_COLOR", "1")],
        answered: &[],
        lacking: &[],
    },
    Request {
        check: "live.cargo",
        program: "cargo",
        arguments: &["search", "--index", "sparse+URL/", "stubgate-doctor"],
        variables: &[("CARGO_HOME", "FOLDER/cargo"), ("CARGO_NET_RETRY", "0"), ("CARGO_TERM_COLOR", "never")],
        answered: &["404", "403", "download of config.json failed", "does not support API commands", "failed to parse"],
        lacking: &[],
    },
];

/// What says that trust, or the way, is wrong, whatever else is said.
const FAILED: [&str; 19] = [
    "certificate",
    "CERTIFICATE",
    "SSL",
    "x509",
    "unknown issuer",
    "UnknownIssuer",
    "self-signed",
    "self signed",
    "Could not resolve",
    "Connection refused",
    "connection refused",
    "connection error",
    "Max retries exceeded",
    "ECONNREFUSED",
    "ENOTFOUND",
    "no such host",
    "timed out",
    "unreachable",
    "dial tcp",
];

/// Lets each make its request.
pub(super) async fn look(setting: &Setting, address: Option<String>) -> Vec<Finding> {
    let Some(address) = address else { return Vec::new() };
    if !address.starts_with("https://") || address.parse::<http::Uri>().is_err() {
        return vec![Finding::bad("live", "--live takes an address of https")];
    }
    let folder = Folder::new();
    let installed = REQUESTS.iter().filter_map(|request| Some((request, setting.program(request.program)?)));
    let asking = installed.map(|(request, program)| ask(request, program, &setting.environment, &address, &folder.0));
    let mut findings = futures_util::future::join_all(asking).await;
    if setting.program("java").is_some() {
        findings
            .push(Finding::warn("live.java", "a Java without a compiler makes no request by itself; see trust.java"));
    }
    findings
}

async fn ask(
    request: &Request,
    program: PathBuf,
    environment: &BTreeMap<String, String>,
    address: &str,
    folder: &Path,
) -> Finding {
    let filled =
        |text: &str| text.replace("URL", address.trim_end_matches('/')).replace("FOLDER", &folder.to_string_lossy());
    let mut command = Command::new(program);
    // Scripts have no placeholders in them.
    command
        .args(
            request
                .arguments
                .iter()
                .map(|argument| if argument.contains('(') { (*argument).to_owned() } else { filled(argument) }),
        )
        .env_clear()
        .envs(environment)
        .envs(request.variables.iter().map(|(name, value)| (name, filled(value))))
        .current_dir(folder)
        .stdin(Stdio::null());
    match program::run(command, DEADLINE).await {
        Ok(ended) => judged(request, ended.status.success(), &format!("{}\n{}", ended.output, ended.complaint)),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Finding::bad(request.check, "no answer in time"),
        Err(error) => Finding::warn(request.check, format!("it can't be started: {error}")),
    }
}

fn judged(request: &Request, success: bool, said: &str) -> Finding {
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if success {
        return Finding::ok(request.check, "it was answered");
    }
    if says(request.lacking) {
        return Finding::warn(request.check, "it has not what a request takes");
    }
    if says(request.answered) && !says(&FAILED) {
        return Finding::ok(request.check, "it was answered, with a refusal of what it wanted");
    }
    let what = if says(&["certificate", "CERTIFICATE", "SSL", "x509", "nknown issuer", "UnknownIssuer"]) {
        "it does not trust what answers"
    } else {
        "its request failed"
    };
    Finding::bad(request.check, what).advise("see the check of the same name under trust, and names")
}

/// A folder for what they write, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("stubgate-doctor.{}", std::process::id()));
        // If it can't be made, what needs it fails and says so.
        let _ = std::fs::create_dir_all(&path);
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests;
