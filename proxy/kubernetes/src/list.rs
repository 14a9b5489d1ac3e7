//! All pods once: of a file, for commands that end, and before a watch.

use std::time::Duration;

use kube::Client;
use serde::Deserialize;

use crate::access::{Access, Error, Programs};
use crate::pod::{ListedPod, Pod};
use crate::wire::{PAGE_PODS, Place, page};

/// How long one page may take.
const PAGE: Duration = Duration::from_secs(60);
/// Pages of one list; more is a server that never ends.
const PAGES: usize = 10_000;

/// Why a text is no list of pods.
#[derive(Debug, thiserror::Error)]
pub enum NotPods {
    /// Not JSON, or not of that shape.
    #[error("this is not what `kubectl get pods --all-namespaces --output json` writes: line {line}, column {column}")]
    Json {
        /// The line at which that shows, from 1.
        line: usize,
        /// The column.
        column: usize,
    },
    /// A list of something else.
    #[error("this lists more than pods; write it with `kubectl get pods --all-namespaces --output json`")]
    Others,
}

/// Reads a list of pods, as `kubectl get pods --all-namespaces --output json` and the API server write it.
///
/// # Errors
/// It is none; the text of the error holds nothing of the file.
pub fn read(text: &[u8]) -> Result<Vec<ListedPod>, NotPods> {
    #[derive(Deserialize)]
    struct List {
        items: Vec<Pod>,
    }
    // What serde says may quote what stands there.
    let wrong = |error: serde_json::Error| NotPods::Json { line: error.line(), column: error.column() };
    let List { items } = serde_json::from_slice(text).map_err(wrong)?;
    if items.iter().any(Pod::is_other) {
        return Err(NotPods::Others);
    }
    Ok(items.into_iter().map(Pod::listed).collect())
}

/// Every pod of these namespaces, or of all where none is named.
///
/// # Errors
/// Where the API server can't be asked, or does not say.
pub async fn list(access: &Access, namespaces: &[String]) -> Result<Vec<ListedPod>, Error> {
    let client = access.client(Programs::Run).await?;
    let mut found = Vec::new();
    for place in places(namespaces) {
        let (pods, _) = all(&client, &place, PAGE, Pod::listed).await?;
        found.extend(pods);
    }
    Ok(found)
}

/// What is listed and watched by itself.
pub(crate) fn places(namespaces: &[String]) -> Vec<Place> {
    if namespaces.is_empty() {
        return vec![Place::new(None)];
    }
    namespaces.iter().map(|namespace| Place::new(Some(namespace))).collect()
}

/// All pods of a place, and the version that this is. `take` says what is held of each until all have come.
pub(crate) async fn all<T>(
    client: &Client,
    place: &Place,
    most: Duration,
    take: impl Fn(Pod) -> T,
) -> Result<(Vec<T>, Box<str>), Error> {
    let mut pods = Vec::new();
    let mut next: Option<String> = None;
    let mut limit = PAGE_PODS;
    for _ in 0..PAGES {
        let page = match page(client, place, next.as_deref(), limit, most).await {
            Err(Error::TooLong) if limit > 1 => {
                limit = (limit / 8).max(1);
                continue;
            }
            page => page?,
        };
        limit = limit.saturating_mul(2).min(PAGE_PODS);
        pods.extend(page.pods.into_iter().map(&take));
        next = page.next;
        if next.is_none() {
            return Ok((pods, page.version));
        }
    }
    Err(Error::Malformed("a list without end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_of_pods_are_read_and_nothing_of_others_is_told() {
        let of = |text: &str| read(text.as_bytes()).map(|pods| pods.len());
        // As the API server itself writes it: no kind beside each.
        let plain = r#"{"kind":"PodList","items":[{"metadata":{"name":"a","namespace":"n"}}]}"#;
        assert_eq!(of(plain).unwrap(), 1);
        assert_eq!(of(r#"{"kind":"List","items":[]}"#).unwrap(), 0);
        let secret = r#"{"items":[{"kind":"Secret","metadata":{"name":"a","namespace":"n"},"data":{"x":"aHVzaA=="}}]}"#;
        for text in [secret, r#"{"items":[{"metadata":{"name":"a"}}]}"#] {
            assert!(matches!(of(text), Err(NotPods::Others)), "{text}");
        }
        for text in ["", "[]", "NAME READY\n", r#"{"items":[{}]}"#, "{}"] {
            assert!(matches!(of(text), Err(NotPods::Json { .. })), "{text}");
        }
    }

    #[test]
    fn pods_that_are_nobody_are_listed_with_the_reason() {
        let one = |spec: &str, status: &str| {
            let text = format!(
                r#"{{"items":[{{"kind":"Pod","metadata":{{"name":"a","namespace":"n","labels":{{"app":"x"}}}},"spec":{{"serviceAccountName":"s"{spec}}},"status":{{{status}}}}}]}}"#
            );
            let pods = read(text.as_bytes()).unwrap();
            assert_eq!((&*pods[0].service_account, pods[0].labels.len()), ("s", 1));
            (pods[0].host_network, pods[0].ended, pods[0].addresses.len())
        };
        let address = r#""podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"}]"#;
        assert_eq!(one("", address), (false, false, 1));
        assert_eq!(one("", r#""phase":"Pending""#), (false, false, 0));
        assert_eq!(one(r#","hostNetwork":true"#, address), (true, false, 0));
        assert_eq!(one("", &format!(r#"{address},"phase":"Failed""#)), (false, true, 0));
    }
}
