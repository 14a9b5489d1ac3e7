//! What can be carried out in questions to the resolver of this place.

use super::{Probe, failed, no_host, passed, probe, skipped, verdict};
use crate::attack::dns::{self, A, ANY, AXFR, HTTPS, NULL, Said, TXT};
use crate::attack::{Outcome, Scene};

const RESOLVER: &str =
    "let the container's only name server be stubgate, and look for a rule or `dns:` entry that is too wide";

pub(super) fn probes() -> Vec<Probe> {
    vec![
        probe!("dns-denied-name", "a name that policy does not allow", "RFC 8914 (Blocked)", RESOLVER, denied),
        probe!(
            "dns-tunnel-labels",
            "data in the labels of such a name",
            "ATT&CK T1048; iodine, dnscat2",
            RESOLVER,
            labels
        ),
        probe!("dns-tunnel-types", "TXT, NULL and ANY of such a name", "iodine; RFC 8482", RESOLVER, types),
        probe!("dns-over-tcp", "such a name over TCP", "RFC 7766", RESOLVER, over_tcp),
        probe!("dns-zone-transfer", "a zone transfer", "RFC 5936", RESOLVER, transfer),
        probe!(
            "dns-metadata-names",
            "the names of metadata services and of the cluster",
            "Google, Azure; Kubernetes",
            RESOLVER,
            inside
        ),
        probe!("dns-doh-names", "the names of public resolvers that speak HTTPS", "RFC 8484", RESOLVER, doh),
        probe!(
            "dns-https-record",
            "HTTPS records of an allowed host: keys for ECH, HTTP/3, other targets",
            "RFC 9460",
            RESOLVER,
            https_record
        ),
        probe!(
            "dns-text-of-allowed",
            "TXT of an allowed host: nothing is asked outside",
            "ATT&CK T1071.004",
            RESOLVER,
            text
        ),
    ]
}

/// Whether an answer carries anything.
fn carries(what: &str, said: Option<&Said>) -> Option<String> {
    said.filter(|said| said.answers > 0).map(|said| format!("{what}: {}", said.words()))
}

/// Fails if one of these is answered with anything; skipped where the resolver does not answer at all.
async fn none(scene: &Scene, questions: &[(String, u16)]) -> Outcome {
    let (mut open, mut words, mut answered) = (Vec::new(), String::new(), 0);
    for (name, kind) in questions {
        let said = dns::ask(scene.resolver, name, *kind).await;
        open.extend(carries(name, said.as_ref()));
        if let Some(said) = said {
            words = said.words();
            answered += 1;
        }
    }
    if answered == 0 {
        return skipped(format!("{} does not answer", scene.resolver));
    }
    verdict(open, words)
}

async fn denied(scene: &Scene) -> Outcome {
    none(scene, &[(scene.denied().to_owned(), A)]).await
}

async fn labels(scene: &Scene) -> Outcome {
    // Nothing that anybody could want to know.
    let name = format!("mzxw6ytboi.{}.{}", "worthless".repeat(6), scene.denied());
    none(scene, &[(name.clone(), A), (name, TXT)]).await
}

async fn types(scene: &Scene) -> Outcome {
    let all: Vec<(String, u16)> =
        [TXT, NULL, ANY, HTTPS].iter().map(|kind| (scene.denied().to_owned(), *kind)).collect();
    none(scene, &all).await
}

async fn over_tcp(scene: &Scene) -> Outcome {
    match dns::ask_tcp(scene.resolver, scene.denied(), A).await {
        None => skipped("the resolver does not answer over TCP"),
        Some(said) => verdict(carries(scene.denied(), Some(&said)).into_iter().collect(), said.words()),
    }
}

async fn transfer(scene: &Scene) -> Outcome {
    let zone = scene.host.as_ref().map_or(scene.denied(), |(host, _)| host);
    match dns::ask_tcp(scene.resolver, zone, AXFR).await {
        Some(said) if said.answers > 0 => failed(format!("{zone}: {}", said.words())),
        Some(said) => passed(said.words()),
        None => passed("no answer"),
    }
}

async fn inside(scene: &Scene) -> Outcome {
    let names = ["metadata.google.internal", "metadata.azure.internal", "kubernetes.default.svc.cluster.local"];
    none(scene, &names.map(|name| (name.to_owned(), A))).await
}

async fn doh(scene: &Scene) -> Outcome {
    let names = ["dns.google", "cloudflare-dns.com", "dns.quad9.net", "mozilla.cloudflare-dns.com"];
    none(scene, &names.map(|name| (name.to_owned(), A))).await
}

async fn https_record(scene: &Scene) -> Outcome {
    match &scene.host {
        Some((host, _)) => none(scene, &[(host.clone(), HTTPS)]).await,
        None => no_host(scene),
    }
}

async fn text(scene: &Scene) -> Outcome {
    match &scene.host {
        Some((host, _)) => none(scene, &[(host.clone(), TXT), (host.clone(), NULL)]).await,
        None => no_host(scene),
    }
}
