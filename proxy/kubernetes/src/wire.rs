//! Requests to the API server and what comes back: pages of a list, and watches.
//!
//! Bodies are read here and not by the client's own helpers, because these can't tell a watch that the server ended from
//! one that was cut, and bound neither a line nor a page (law 7).

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::access::{Error, chain};
use crate::lines::{Event, Lines};
use crate::pod::Pod;

/// Pods of one page at most.
pub(crate) const PAGE_PODS: u32 = 500;
/// Bytes of one page: more than one object has, of about 1.5 MiB in etcd, with each of its characters escaped. Who may only make
/// pods makes pages larger than that, not lists that can't be read: fewer pods are asked for then.
const PAGE_BYTES: usize = 32 << 20;
/// Bytes of a refusal that are read.
const REFUSAL_BYTES: usize = 64 << 10;

/// All pods of one namespace, or of all of them.
#[derive(Clone, Debug)]
pub(crate) struct Place(Option<Box<str>>);

impl Place {
    pub(crate) fn new(namespace: Option<&str>) -> Self {
        Place(namespace.map(Into::into))
    }

    pub(crate) fn namespace(&self) -> Option<&str> {
        self.0.as_deref()
    }

    fn path(&self) -> String {
        match &self.0 {
            Some(namespace) => format!("/api/v1/namespaces/{namespace}/pods"),
            None => "/api/v1/pods".into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.namespace().unwrap_or("all namespaces"))
    }
}

/// A page of a list.
pub(crate) struct Page {
    pub(crate) pods: Vec<Pod>,
    pub(crate) version: Box<str>,
    pub(crate) next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    metadata: ListMetadata,
    #[serde(default)]
    items: Option<Vec<Pod>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    #[serde(default)]
    resource_version: Box<str>,
    #[serde(default, rename = "continue")]
    next: String,
}

/// Why the API server says no.
#[derive(Default, Deserialize)]
pub(crate) struct Status {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    reason: String,
}

/// Asks for a page. Without `next` it is the first one, of what is there when it is asked for: no cache of a server that
/// may be behind answers it.
pub(crate) async fn page(
    client: &Client,
    place: &Place,
    next: Option<&str>,
    pods: u32,
    most: Duration,
) -> Result<Page, Error> {
    let deadline = Instant::now() + most;
    let mut query = format!("{}?limit={pods}", place.path());
    if let Some(next) = next {
        query.push_str("&continue=");
        query.extend(next.bytes().flat_map(percent));
    }
    let body = ask(client, &query, deadline).await?;
    let bytes = whole(body, PAGE_BYTES, deadline).await?;
    Page::read(&bytes)
}

impl Page {
    fn read(bytes: &[u8]) -> Result<Self, Error> {
        let listed: Listed = serde_json::from_slice(bytes).map_err(|_| Error::Malformed("a list"))?;
        if listed.metadata.resource_version.is_empty() {
            // A watch from there would begin anywhere.
            return Err(Error::Malformed("a list without its version"));
        }
        Ok(Page {
            pods: listed.items.unwrap_or_default(),
            version: listed.metadata.resource_version,
            next: Some(listed.metadata.next).filter(|next| !next.is_empty()),
        })
    }
}

/// A watch under way.
pub(crate) struct Events {
    body: Body,
    lines: Lines,
    deadline: Instant,
}

/// Begins a watch after a version, which the server is to end after `seconds`; whatever comes after the deadline is too late.
pub(crate) async fn events(
    client: &Client,
    place: &Place,
    version: &str,
    seconds: u64,
    deadline: Instant,
) -> Result<Events, Error> {
    let version: String = version.bytes().flat_map(percent).collect();
    let query = format!(
        "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={version}",
        place.path()
    );
    let body = ask(client, &query, deadline).await?;
    Ok(Events { body, lines: Lines::default(), deadline })
}

impl Events {
    /// The next event; `None` where the server ended the watch, and all of it has come.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.lines.event()? {
                return Ok(Some(event));
            }
            match timeout_at(self.deadline, self.body.frame()).await {
                Err(_) => return Err(Error::Timeout),
                Ok(Some(Err(error))) => return Err(Error::Unreachable(chain(&error))),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.lines.push(&data);
                    }
                }
                Ok(None) if self.lines.is_empty() => return Ok(None),
                Ok(None) => return Err(Error::Malformed("half a line at the end of a watch")),
            }
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        if status.code == StatusCode::GONE.as_u16() || status.reason == "Expired" {
            return Error::Expired;
        }
        // A word of the API's list, whatever the server sends.
        let mut reason = status.reason;
        reason.retain(|c| c.is_ascii_alphanumeric());
        reason.truncate(64);
        Error::Refused { code: status.code, reason }
    }
}

async fn ask(client: &Client, query: &str, deadline: Instant) -> Result<Body, Error> {
    // Compressed watches are not for reading line by line.
    let request = Request::get(query).header(http::header::ACCEPT, "application/json");
    let request = request.header(http::header::ACCEPT_ENCODING, "identity").body(Body::empty());
    let request = request.map_err(|_| Error::Malformed("a version or continuation"))?;
    let answer = timeout_at(deadline, client.send(request)).await.map_err(|_| Error::Timeout)?;
    let (head, body) = answer.map_err(|error| Error::Unreachable(chain(&error)))?.into_parts();
    if head.status == StatusCode::OK {
        return Ok(body);
    }
    let said = whole(body, REFUSAL_BYTES, deadline).await.unwrap_or_default();
    let status = serde_json::from_slice::<Status>(&said).unwrap_or_default();
    Err(Status { code: head.status.as_u16(), ..status }.into())
}

async fn whole(mut body: Body, most: usize, deadline: Instant) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::new();
    loop {
        match timeout_at(deadline, body.frame()).await {
            Err(_) => return Err(Error::Timeout),
            Ok(Some(Err(error))) => return Err(Error::Unreachable(chain(&error))),
            Ok(None) => return Ok(bytes.freeze()),
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                if bytes.len() + data.len() > most {
                    return Err(Error::TooLong);
                }
                bytes.extend_from_slice(&data);
            }
        }
    }
}

/// A byte of a query's value.
fn percent(byte: u8) -> impl Iterator<Item = char> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |at: u8| char::from(DIGITS.get(usize::from(at)).copied().unwrap_or_default());
    let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let coded = [Some('%'), Some(digit(byte >> 4)), Some(digit(byte & 15))];
    let plain = [Some(char::from(byte)), None, None];
    (if is_plain { plain } else { coded }).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_without_a_version_is_none() {
        let read = |metadata: &str| Page::read(format!("{{\"metadata\":{metadata},\"items\":null}}").as_bytes());
        assert!(
            read(r#"{"resourceVersion":"7","continue":""}"#)
                .is_ok_and(|page| &*page.version == "7" && page.next.is_none())
        );
        for metadata in ["{}", r#"{"resourceVersion":""}"#, r#"{"continue":"x"}"#] {
            assert!(matches!(read(metadata), Err(Error::Malformed(_))), "{metadata}");
        }
    }

    #[test]
    fn what_the_server_says_as_a_reason_is_a_word() {
        let status = Status { code: 403, reason: "For\nbidden\u{1b}[31m".into() };
        let Error::Refused { code: 403, reason } = Error::from(status) else { panic!("refused") };
        assert_eq!(reason, "Forbidden31m");
    }

    #[test]
    fn values_of_a_query_are_coded() {
        assert_eq!("a b+/=".bytes().flat_map(percent).collect::<String>(), "a%20b%2B%2F%3D");
    }
}
