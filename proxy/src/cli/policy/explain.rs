//! `stubgate policy explain`.

use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use stubgate_policy::cases::Content;
use stubgate_policy::diagnostic::nearest;
use stubgate_policy::explain::render;
use stubgate_policy::pods::Pod;
use stubgate_policy::{AgentId, Policy, Question, compile};

use super::head::{Explainer, headers};
use crate::cli::check::report;
use crate::cli::say::{put, say};
use crate::cli::{UNUSABLE, WRONG, fail};
use crate::config::policy_files;

#[derive(Debug, clap::Args)]
#[command(
    override_usage = "stubgate policy explain [OPTIONS] <PATH>... <--agent <NAME>|--peer <IP>|--pod <POD>> <REQUEST>"
)]
pub(in crate::cli) struct Args {
    /// Policy files or folders, and last the request: 'POST https://host/path', 'WEBSOCKET wss://host/path',
    /// 'DNS name TYPE' or 'CONNECT host:port'
    #[arg(required = true, value_name = "PATH... REQUEST")]
    paths_and_request: Vec<String>,
    #[command(flatten)]
    who: Who,
    /// A header of the request; what stands in credential places is found as in a real one
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// A file that holds the body of the request
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    body: Option<PathBuf>,
    /// The body of the request; its Content-Type is application/json unless a header says it
    #[arg(long, short = 'd', value_name = "TEXT")]
    data: Option<String>,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// Who asks, by name
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Who asks, by address
    #[arg(long, value_name = "IP")]
    peer: Option<IpAddr>,
    /// Who asks, by the pod that it runs in: its namespace, its service account, and its labels, such as
    /// agents/devbot,app=devbot,tier=dev
    #[arg(long, value_name = "POD", value_parser = pod)]
    pod: Option<OwnPod>,
}

/// A pod as it is written on a command line.
#[derive(Clone, Debug)]
struct OwnPod {
    namespace: String,
    service_account: String,
    labels: Vec<(Box<str>, Box<str>)>,
}

fn pod(text: &str) -> Result<OwnPod, String> {
    const FORM: &str = "write NAMESPACE/SERVICE_ACCOUNT, and labels behind it: agents/devbot,app=devbot";
    let (path, labels) = text.split_once(',').unwrap_or((text, ""));
    let (namespace, service_account) = path.split_once('/').ok_or(FORM)?;
    let labels = labels.split(',').filter(|label| !label.is_empty());
    let labels = labels.map(|label| label.split_once('=').map(|(key, value)| (key.into(), value.into())).ok_or(FORM));
    let mut labels = labels.collect::<Result<Vec<(Box<str>, Box<str>)>, &str>>()?;
    labels.sort_unstable();
    let twice = |pair: &[(Box<str>, Box<str>)]| match pair {
        [(one, _), (other, _)] if one == other => Some(one.clone()),
        _ => None,
    };
    if let Some(key) = labels.windows(2).find_map(twice) {
        return Err(format!("a pod has each label once, and `{}` stands here twice", key.escape_debug()));
    }
    Ok(OwnPod { namespace: namespace.into(), service_account: service_account.into(), labels })
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Human,
    Json,
}

/// Ends well whatever the decision is.
pub(super) fn main(args: &Args) -> ExitCode {
    let Some((request, paths)) = args.paths_and_request.split_last().filter(|(_, paths)| !paths.is_empty()) else {
        return fail(UNUSABLE, "write the policy's files or folders, and then the request: 'GET https://host/path'");
    };
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    let question = match Question::parse(request) {
        Ok(question) => question,
        Err(error) => return fail(UNUSABLE, format_args!("'{}': {error}", request.escape_debug())),
    };
    let mut headers = match headers(args.headers.iter().map(String::as_str)) {
        Ok(headers) => headers,
        Err(error) => return fail(UNUSABLE, error),
    };
    if !headers.is_empty() && question.request().is_none() {
        return fail(UNUSABLE, "only a request has headers");
    }
    let body = match (&args.body, &args.data) {
        (None, None) => None,
        (_, Some(text)) => Some(text.clone().into_bytes()),
        (Some(path), None) => match std::fs::read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) => return fail(UNUSABLE, format_args!("{}: {error}", path.display())),
        },
    };
    if body.is_some() {
        if question.request().is_none() {
            return fail(UNUSABLE, "only a request has a body");
        }
        headers.entry(http::header::CONTENT_TYPE).or_insert(http::HeaderValue::from_static(Content::JSON));
    }
    let files = match policy_files(&paths) {
        Ok(files) => files,
        Err(error) => return fail(UNUSABLE, error),
    };
    let policy = match compile(&files) {
        Ok(compiled) => compiled.policy,
        Err(found) => {
            report(&found, &files);
            return ExitCode::from(WRONG);
        }
    };
    let agent = match who(&policy, &args.who) {
        Ok(agent) => agent,
        Err(error) => return fail(UNUSABLE, error),
    };
    let explanation = Explainer::new(&policy).explain(agent, &question, &headers, body.as_deref());
    match args.format {
        Format::Human => put(format_args!("{}", render(&explanation, color()))),
        Format::Json => say(format_args!("{:#}", explanation.to_json())),
    }
    ExitCode::SUCCESS
}

/// Whose question it is; nobody's, if no agent has the address.
fn who(policy: &Policy, who: &Who) -> Result<Option<AgentId>, String> {
    if let Some(peer) = who.peer {
        return Ok(policy.identify(peer));
    }
    if let Some(OwnPod { namespace, service_account, labels }) = &who.pod {
        return policy.agent_of_pod(&Pod { namespace, service_account, labels }).map_err(|of_two| {
            let [one, other] = [of_two.first, of_two.second].map(|agent| policy.agent(agent).name());
            format!("the pod belongs to two agents, `{one}` and `{other}`: everything is denied to it (unknown_agent)")
        });
    }
    let name = who.agent.as_deref().unwrap_or_default();
    let known = policy.agent_named(name);
    match known {
        Some(agent) => Ok(Some(agent)),
        None => {
            let names = policy.agents().iter().map(stubgate_policy::Agent::name);
            let help = nearest(name, names).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
            Err(format!("the policy has no agent `{}`{help}", name.escape_debug()))
        }
    }
}

/// Whether standard output is a terminal whose reader did not turn colour off (no-color.org).
pub(super) fn color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_each_label_once() {
        let read = pod("agents/devbot,tier=dev,app=devbot").unwrap();
        assert_eq!((&*read.namespace, &*read.service_account), ("agents", "devbot"));
        assert_eq!(read.labels, [("app".into(), "devbot".into()), ("tier".into(), "dev".into())]);
        assert_eq!(pod("agents/,").unwrap().labels, []);
        for text in ["agents/devbot,app=a,app=b", "agents/devbot,app=a,tier=dev,app=a"] {
            assert!(pod(text).unwrap_err().contains("`app` stands here twice"), "{text}");
        }
        assert!(pod("agents").is_err() && pod("agents/devbot,app").is_err());
    }
}
