//! All pods once, for commands that end.

use std::net::IpAddr;
use std::time::Duration;

use kube::Client;

use crate::access::{Access, Error};
use crate::pod::{Labels, Sighting};
use crate::wire::{PAGE_PODS, Place, page};

/// How long one page may take.
const PAGE: Duration = Duration::from_secs(60);
/// Pages of one list; more is a server that never ends.
const PAGES: usize = 10_000;

/// A pod, as a person would look it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPod {
    /// The namespace that it is in.
    pub namespace: Box<str>,
    /// Its name there.
    pub name: Box<str>,
    /// Under which service account it runs.
    pub service_account: Box<str>,
    /// All of its labels.
    pub labels: Labels,
    /// The addresses that are its own: none where it is on the host network, has ended, is ending, or has none yet.
    pub addresses: Vec<IpAddr>,
}

/// Every pod of these namespaces, or of all where none is named.
///
/// # Errors
/// Where the API server can't be asked, or does not say.
pub async fn list(access: &Access, namespaces: &[String]) -> Result<Vec<ListedPod>, Error> {
    let client = access.client().await?;
    let mut found = Vec::new();
    for place in places(namespaces) {
        let (pods, _) = all(&client, &place, PAGE).await?;
        found.extend(pods.into_iter().map(|pod| ListedPod {
            namespace: pod.namespace,
            name: pod.name,
            service_account: pod.service_account,
            labels: pod.labels,
            addresses: pod.addresses,
        }));
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

/// All pods of a place, and the version that this is.
pub(crate) async fn all(client: &Client, place: &Place, most: Duration) -> Result<(Vec<Sighting>, String), Error> {
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
        pods.extend(page.pods.into_iter().map(crate::pod::Pod::sighting));
        next = page.next;
        if next.is_none() {
            return Ok((pods, page.version));
        }
    }
    Err(Error::Malformed("a list without end"))
}
