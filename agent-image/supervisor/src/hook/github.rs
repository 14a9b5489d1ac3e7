//! What GitHub says about the open pull requests of whoever the credential is. One query, page by page, of bounded size; of what
//! people wrote nothing is asked for, only that they did.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use crate::agent::file::PrComments;
use crate::clean;
use crate::web::{self, Client};

/// What is asked. GitHub counts it as some ten of an hour's five thousand points a page.
pub const QUERY: &str = include_str!("pr_comments.graphql");

/// Pages at most: 250 open pull requests.
const PAGES: usize = 10;

/// Bytes of a page at most.
const PAGE: usize = 4 * 1024 * 1024;

/// Points below which it stops asking until GitHub gives new ones: what is left is the agent's own.
const RESERVE: u64 = 100;

/// All that was found.
#[derive(Debug)]
pub struct Found {
    /// Who the credential is.
    pub viewer: String,
    /// Its open pull requests in the repositories that were asked for.
    pub pulls: Vec<Pull>,
    /// Whether these are all.
    pub is_complete: bool,
    /// Not to ask again before then.
    pub pause: Option<Timestamp>,
}

/// A pull request, and what others said on it.
#[derive(Debug, PartialEq, Eq)]
pub struct Pull {
    /// `owner/name`, as it is written in the configuration.
    pub repository: String,
    /// Its number.
    pub number: u64,
    /// Comments and reviews, by their identifiers.
    pub said: BTreeSet<String>,
    /// Comments in review threads that are not resolved: the thread's identifier and the comment's.
    pub open: BTreeSet<(String, String)>,
}

/// Why nothing is known.
#[derive(Debug, Error)]
pub enum Failed {
    /// No answer.
    #[error(transparent)]
    Web(#[from] web::Failed),
    /// An address or a stub that can't be sent.
    #[error("pr_comments: {0}")]
    Request(#[from] http::Error),
    /// It refused, or does not want to be asked before some time.
    #[error("{status}: {why}")]
    Refused {
        /// What it answered with.
        status: StatusCode,
        /// What it said.
        why: String,
        /// Not to ask again before then.
        pause: Option<Timestamp>,
    },
    /// Not what GitHub answers.
    #[error("GitHub's answer can't be read: {0}")]
    Odd(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Viewer {
    login: String,
    pull_requests: Pulls,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pulls {
    page_info: PageInfo,
    nodes: Vec<Option<PullNode>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PullNode {
    number: u64,
    repository: Repository,
    comments: Nodes<Comment>,
    reviews: Option<Nodes<Review>>,
    review_threads: Nodes<Thread>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Repository {
    name_with_owner: String,
}

#[derive(Deserialize)]
struct Nodes<T> {
    nodes: Option<Vec<Option<T>>>,
}

#[derive(Deserialize)]
struct Comment {
    id: String,
    author: Option<Author>,
}

#[derive(Deserialize)]
struct Review {
    id: String,
    state: String,
    author: Option<Author>,
    comments: Count,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    total_count: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thread {
    id: String,
    is_resolved: bool,
    comments: Nodes<Comment>,
}

#[derive(Deserialize)]
struct Author {
    login: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RateLimit {
    remaining: u64,
    reset_at: Timestamp,
}

impl<T> Nodes<T> {
    fn present(self) -> impl Iterator<Item = T> {
        self.nodes.unwrap_or_default().into_iter().flatten()
    }
}

/// Asks for all pages.
///
/// # Errors
///
/// [`Failed`] at the first page that can't be had: half of an answer would make the rest look gone.
pub async fn ask(config: &PrComments, within: Duration) -> Result<Found, Failed> {
    let client = Client::new(within, PAGE)?;
    let mut found = Found { viewer: String::new(), pulls: Vec::new(), is_complete: false, pause: None };
    let mut after: Option<String> = None;
    for _ in 0..PAGES {
        let answer = client.send(request(config, after.as_deref())?).await?;
        let (viewer, rate) = read(&answer, Timestamp::now())?;
        found.pause = rate.filter(|rate| rate.remaining < RESERVE).map(|rate| rate.reset_at);
        let page = viewer.pull_requests.page_info;
        let pulls = viewer.pull_requests.nodes.into_iter().flatten();
        found.pulls.extend(pulls.filter_map(|node| pull(node, &viewer.login, &config.repositories)));
        found.viewer = viewer.login;
        after = page.end_cursor.filter(|_| page.has_next_page);
        if after.is_none() {
            found.is_complete = true;
            break;
        }
        if found.pause.is_some() {
            break;
        }
    }
    Ok(found)
}

fn request(config: &PrComments, after: Option<&str>) -> Result<Request<Full<Bytes>>, http::Error> {
    let body = json!({ "query": QUERY, "operationName": "PrComments", "variables": { "after": after } }).to_string();
    let mut bearer = header::HeaderValue::from_str(&format!("Bearer {}", config.stub))?;
    bearer.set_sensitive(true);
    Request::builder()
        .method(Method::POST)
        .uri(&config.api)
        .header(header::AUTHORIZATION, bearer)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("stubgate-agent/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(body.into()))
}

fn read(answer: &Response<Bytes>, now: Timestamp) -> Result<(Viewer, Option<RateLimit>), Failed> {
    let status = answer.status();
    let refused = |why: String| Failed::Refused { status, why, pause: pause(status, answer.headers(), now) };
    let mut body: Value = match serde_json::from_slice(answer.body()) {
        Ok(body) => body,
        Err(_) if status.is_success() => return Err(Failed::Odd("it is not JSON".into())),
        Err(_) => return Err(refused("no reason given".into())),
    };
    if !status.is_success() {
        // GitHub says `message`, the firewall `reason` and `hint`.
        let said = ["message", "reason", "hint"].iter().filter_map(|key| body.get(key)?.as_str());
        return Err(refused(clean::quoted(&said.collect::<Vec<_>>().join(": "))));
    }
    if let Some(errors) = body.get("errors").and_then(Value::as_array).filter(|errors| !errors.is_empty()) {
        let said = errors.iter().filter_map(|error| error.get("message")?.as_str());
        return Err(refused(clean::quoted(&said.collect::<Vec<_>>().join("; "))));
    }
    let mut data = body.get_mut("data").map(Value::take).unwrap_or_default();
    let odd = |error: serde_json::Error| Failed::Odd(clean::quoted(&error.to_string()));
    let rate = data.get_mut("rateLimit").map(Value::take).and_then(|rate| serde_json::from_value(rate).ok());
    let viewer = data.get_mut("viewer").map(Value::take).unwrap_or_default();
    Ok((serde_json::from_value(viewer).map_err(odd)?, rate))
}

/// Until when GitHub does not want to be asked: `Retry-After`, or the end of an hour whose points are used up.
fn pause(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let number = |name: &str| web::header(headers, name)?.trim().parse::<i64>().ok();
    // A day at most, whatever it says.
    let until = |seconds: i64| now.checked_add(SignedDuration::from_secs(seconds.clamp(1, 86_400))).ok();
    if let Some(seconds) = number("retry-after") {
        return until(seconds);
    }
    if number("x-ratelimit-remaining") == Some(0) {
        return until(number("x-ratelimit-reset").unwrap_or(0).saturating_sub(now.as_second()));
    }
    // A limit of another kind, of which GitHub asks to wait a minute at least.
    (status == StatusCode::TOO_MANY_REQUESTS).then(|| until(60)).flatten()
}

fn pull(node: PullNode, viewer: &str, repositories: &[String]) -> Option<Pull> {
    let named = &node.repository.name_with_owner;
    let repository = repositories.iter().find(|repository| repository.eq_ignore_ascii_case(named))?.clone();
    let by_others = |author: &Option<Author>| author.as_ref().is_none_or(|author| bare(&author.login) != bare(viewer));
    let comments = node.comments.present().filter(|comment| by_others(&comment.author)).map(|comment| comment.id);
    // A review without comments of its own has a text; one with comments has threads, which count by themselves.
    let counts = |review: &Review| review.state == "CHANGES_REQUESTED" || review.comments.total_count == 0;
    let reviews = node.reviews.into_iter().flat_map(Nodes::present);
    let reviews = reviews.filter(|review| counts(review) && by_others(&review.author)).map(|review| review.id);
    let said = comments.chain(reviews).collect();
    let mut open = BTreeSet::new();
    for thread in node.review_threads.present().filter(|thread| !thread.is_resolved) {
        let comments = thread.comments.present().filter(|comment| by_others(&comment.author));
        open.extend(comments.map(|comment| (thread.id.clone(), comment.id)));
    }
    Some(Pull { repository, number: node.number, said, open })
}

/// A login as both ends of the API write it: an app is `name[bot]` as viewer, and `name` as author.
fn bare(login: &str) -> String {
    login.strip_suffix("[bot]").unwrap_or(login).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
    }

    #[test]
    fn a_limit_is_kept_for_as_long_as_github_says_and_a_day_at_most() {
        let now: Timestamp = "2026-05-01T12:00:00Z".parse().unwrap();
        let in_a_minute = (now.as_second() + 60).to_string();
        for (status, headers, seconds) in [
            (403, vec![("retry-after", "30")], Some(30)),
            (403, vec![("retry-after", "99999999")], Some(86_400)),
            (403, vec![("retry-after", "-5")], Some(1)),
            (200, vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &*in_a_minute)], Some(60)),
            (403, vec![("x-ratelimit-remaining", "17")], None),
            (429, vec![], Some(60)),
            (502, vec![], None),
        ] {
            let answer = answer(status, &headers, "");
            let until = pause(answer.status(), answer.headers(), now);
            let wanted = seconds.map(|seconds| now + SignedDuration::from_secs(seconds));
            assert_eq!(until, wanted, "{status} {headers:?}");
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error_with_its_reason() {
        for (status, body, why) in [
            (403, r#"{"reason":"no_rule","hint":"ask \u001b[2Jfor it"}"#, "403 Forbidden: no_rule: ask [2Jfor it"),
            (401, r#"{"message":"Bad credentials"}"#, "Bad credentials"),
            (502, "<html>", "502 Bad Gateway: no reason given"),
            (200, "<html>", "not JSON"),
            (200, r#"{"errors":[{"message":"Field 'x' doesn't exist"}],"data":null}"#, "Field 'x'"),
            (200, r#"{"data":{"viewer":null}}"#, "can't be read"),
            (200, "{}", "can't be read"),
        ] {
            let Err(error) = read(&answer(status, &[], body), Timestamp::now()) else { panic!("{body}") };
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn an_app_is_itself_under_both_its_names() {
        assert_eq!(bare("Helper[bot]"), bare("helper"));
        assert_ne!(bare("helper"), bare("helper2"));
    }

    /// Kept in step here, because policy knows nothing of the supervisor.
    #[test]
    fn the_query_is_the_one_that_the_preset_is_tested_with() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/presets/github-graphql-read@1/tests/cases.yaml");
        let cases: Value = crate::yaml::read(std::path::Path::new(path)).unwrap();
        let bodies = cases["tests"].as_array().unwrap().iter().filter_map(|case| case["body"].as_str());
        let queries = bodies.filter_map(|body| serde_json::from_str::<Value>(body).ok());
        let ours = json!({ "query": QUERY, "operationName": "PrComments", "variables": { "after": null } });
        assert!(queries.into_iter().any(|query| query == ours), "no case of the preset has this body: {ours}");
    }
}
