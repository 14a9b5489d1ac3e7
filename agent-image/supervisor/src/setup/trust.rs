//! Trust: the bundle of certificates, in every form that a runtime of the container reads, and the variables that point there.
//!
//! The bundle is *all* that the container trusts: no authority of the public internet is put beside it. What stubgate allows it
//! intercepts or tunnels by rule, so nobody else's certificate is met on the way out; where one is, something is wrong, and the
//! connection had better fail.

pub mod java;
pub mod variables;

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::IF_NONE_MATCH;
use http::{Request, StatusCode};
use http_body_util::Full;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{PemObject, SectionKind};

use super::environment;
use super::report::Outcome;
use crate::agent::{Agent, Place};
use crate::files;
use crate::web;

/// Bytes of a bundle at most.
const LARGEST: usize = 1024 * 1024;

/// Certificates of a bundle at most.
const MOST: usize = 256;

/// Writes trust in every form.
pub(crate) async fn write(agent: &Agent) -> Outcome {
    let place = &agent.place;
    let (certificates, origin) = match bundle(agent).await {
        Ok(found) => found,
        Err(why) => return Outcome::Failed(why),
    };
    match put(place, &certificates) {
        Ok(changed) => Outcome::of(changed, format!("{} certificates of {origin}", certificates.len())),
        Err(why) => Outcome::Failed(why),
    }
}

/// Writes these certificates in every form, and whether any was another.
///
/// # Errors
///
/// A form can't be written, in words for a person; each is as it was, or new.
pub(crate) fn put(place: &Place, certificates: &[CertificateDer<'static>]) -> Result<bool, String> {
    let mut changed = false;
    for (path, content) in forms(place, certificates) {
        changed |= files::replace(&path, &content, 0o644)
            .map_err(|error| format!("{}: {error}: mount a writable folder there", path.display()))?;
    }
    Ok(changed)
}

/// What is written.
///
/// # Errors
///
/// Nothing is, or nothing that can be read.
pub(crate) fn written(place: &Place) -> Result<Vec<CertificateDer<'static>>, String> {
    read(&bundle_file(place))
}

/// What is mounted; `None` where nothing is.
pub(crate) fn mounted(place: &Place) -> Option<Result<Vec<CertificateDer<'static>>, String>> {
    place.bundle.exists().then(|| read(&place.bundle))
}

/// Whether the trust that setup wrote is in order: there in every form, the same in each, and that of the mounted bundle.
///
/// # Errors
///
/// What is wrong with it, in words for a person.
pub fn check(agent: &Agent) -> Result<(), String> {
    let place = &agent.place;
    let path = bundle_file(place);
    let written = files::read_bounded(&path, LARGEST as u64)
        .map_err(|error| format!("{}: {error}: run setup", path.display()))?;
    let certificates = certificates(&written).map_err(|why| format!("{}: {why}: run setup", path.display()))?;
    for (path, content) in forms(place, &certificates) {
        match files::read_bounded(&path, content.len() as u64) {
            Ok(found) if found == content => {}
            Ok(_) => return Err(format!("{} is not the bundle that setup wrote: run setup", path.display())),
            Err(error) => return Err(format!("{}: {error}: run setup", path.display())),
        }
    }
    if place.bundle.exists() {
        let mounted = read(&place.bundle)?;
        if mounted != certificates {
            return Err(format!("{} has changed since setup ran: run setup", place.bundle.display()));
        }
    }
    let variables =
        environment::read(place).map_err(|error| format!("{}: {error}: run setup", place.environment().display()))?;
    for variable in variables::trust(place) {
        let is_set = variables.iter().any(|(name, value)| name == variable.name && value.contains(&variable.value));
        if !is_set {
            return Err(format!("{} is not set in {}: run setup", variable.name, place.environment().display()));
        }
    }
    Ok(())
}

/// The bundle as one file of PEM: what the image's system store is a link to.
pub fn bundle_file(place: &Place) -> PathBuf {
    place.trust.join("ca-certificates.crt")
}

/// The same as the only file of a folder, for those that would otherwise look into the system's.
pub fn bundle_folder(place: &Place) -> PathBuf {
    place.trust.join("certs")
}

/// The same as a Java key store: what the image's `/etc/ssl/certs/java/cacerts` is a link to.
pub fn java_store(place: &Place) -> PathBuf {
    place.trust.join("java/cacerts")
}

/// Every form, with its file.
fn forms(place: &Place, certificates: &[CertificateDer<'static>]) -> [(PathBuf, Vec<u8>); 3] {
    let text = pem(certificates).into_bytes();
    [
        (bundle_file(place), text.clone()),
        (bundle_folder(place).join("bundle.pem"), text),
        (java_store(place), java::store(certificates)),
    ]
}

/// The bundle as mounted, else as the appliance gives it, else as it was the last time; and where it is from.
async fn bundle(agent: &Agent) -> Result<(Vec<CertificateDer<'static>>, String), String> {
    let place = &agent.place;
    if place.bundle.exists() {
        return Ok((read(&place.bundle)?, place.bundle.display().to_string()));
    }
    let mend = format!("mount the bundle (`stubgate ca bundle`) at {}", place.bundle.display());
    let address = &agent.file.trust.address;
    if address.is_empty() {
        return Err(format!("no bundle: {mend}, or set trust.address"));
    }
    match fetch(address).await {
        Ok(certificates) => Ok((certificates, address.clone())),
        Err(why) => match read(&bundle_file(place)) {
            Ok(certificates) => Ok((certificates, format!("the last run ({address}: {why})"))),
            Err(_) => Err(format!("no bundle: {mend}; {address}: {why}")),
        },
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |why: String| format!("{}: {why}: mount the PEM of `stubgate ca bundle`", path.display());
    let bytes = files::read_bounded(path, LARGEST as u64).map_err(|error| wrong(error.to_string()))?;
    certificates(&bytes).map_err(wrong)
}

/// The appliance's answer to a question for its bundle.
pub(crate) struct Answer {
    /// What it calls it.
    pub(crate) tag: Option<String>,
    /// How long what was signed with before is still signed with; `None` where no other takes its place.
    pub(crate) left: Option<Duration>,
    /// The bundle; `None` where it is the known one.
    pub(crate) certificates: Option<Vec<CertificateDer<'static>>>,
}

async fn fetch(address: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    // Whoever asks without a name for what it has is taken to trust what it gets; a client that runs beside us may not.
    let answer = ask(address, "\"setup\"").await?;
    answer.certificates.ok_or_else(|| format!("answered {}", StatusCode::NOT_MODIFIED))
}

/// Asks for the bundle of whoever trusts the one of this name.
///
/// # Errors
///
/// No answer, or no bundle.
pub(crate) async fn ask(address: &str, known: &str) -> Result<Answer, String> {
    let request = Request::get(address)
        .header(IF_NONE_MATCH, known)
        .body(Full::<Bytes>::default())
        .map_err(|error| error.to_string())?;
    // Nothing is trusted yet, so an address of https leads nowhere.
    let client =
        web::Client::trusting(Vec::new(), Duration::from_secs(10), LARGEST).map_err(|error| error.to_string())?;
    let answer = client.send(request).await.map_err(|error| error.to_string())?;
    let found = match answer.status() {
        StatusCode::OK => Some(certificates(answer.body())?),
        StatusCode::NOT_MODIFIED => None,
        status => return Err(format!("answered {status}")),
    };
    let tag = web::header(answer.headers(), "etag").map(str::to_owned);
    let left = web::header(answer.headers(), "stubgate-ca-seconds-left").and_then(|left| left.parse().ok());
    Ok(Answer { tag, left: left.map(Duration::from_secs), certificates: found })
}

/// The certificates of a text of PEM, each once.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found: Vec<CertificateDer<'static>> = Vec::new();
    let mut roots = rustls::RootCertStore::empty();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, bytes) = section.map_err(|error| format!("it is no PEM: {error:?}"))?;
        if kind != SectionKind::Certificate {
            return Err("it has something that is no certificate; a private key has no business here".into());
        }
        let certificate = CertificateDer::from(bytes);
        if found.contains(&certificate) {
            continue;
        }
        roots.add(certificate.clone()).map_err(|error| format!("certificate {}: {error}", found.len() + 1))?;
        found.push(certificate);
        if found.len() > MOST {
            return Err(format!("more than {MOST} certificates"));
        }
    }
    if found.is_empty() { Err("it has no certificate".into()) } else { Ok(found) }
}

fn pem(certificates: &[CertificateDer<'_>]) -> String {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(certificate);
        let mut rest = encoded.as_str();
        while let Some((line, more)) = rest.split_at_checked(64) {
            text.push_str(line);
            text.push('\n');
            rest = more;
        }
        if !rest.is_empty() {
            text.push_str(rest);
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// A client that trusts what setup wrote, for requests of setup itself: its own variables are not set yet.
///
/// # Errors
///
/// Trust is not written, or can't be read.
pub(crate) fn client(place: &Place, deadline: Duration, largest: usize) -> Result<web::Client, String> {
    web::Client::trusting(read(&bundle_file(place))?, deadline, largest).map_err(|error| error.to_string())
}
