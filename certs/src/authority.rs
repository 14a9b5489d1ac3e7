//! The appliance's certificate authority: who signs the leaves that agents see.
//!
//! It refuses a certificate that is not a CA, a key that is not the certificate's, a key that others can read, and to
//! start with a CA that ends within a week (TL-20). The key signs and does nothing else: it is never a leaf's key, is
//! never printed, and its encoded form is wiped as soon as the crypto library holds it.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SignatureAlgorithm, SigningKey,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::clock::whole_seconds;
use crate::constraints::{Constraints, Subtrees};
use crate::leaf::LeafName;
use crate::{pem, provider};

pub(crate) mod store;

/// A CA that ends sooner than this is refused at start: it would stop every agent soon, and leaves get ever shorter.
pub const MINIMUM_REMAINING: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long a CA made here lives.
const LIFETIME: time::Duration = time::Duration::days(3650);
/// Certificates begin this much in the past, for agents whose clock is behind.
pub(crate) const SKEW: time::Duration = time::Duration::hours(24);
/// RFC 5280 (ub-common-name): strict verifiers refuse more.
const COMMON_NAME_MAXIMUM: usize = 64;

/// Why there is no usable CA. Always the operator's matter or ours; no agent can cause one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// A file or folder could not be read or written.
    // No `source`: the text has it, and whoever prints the chain would print it twice.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// One of the two files is there without the other.
    #[error(
        "{} is missing beside {}; restore it from a backup, or move what is left away and make a new CA, which every agent must then be told to trust",
        missing.display(), present.display()
    )]
    Half {
        /// What is not there.
        missing: PathBuf,
        /// What is.
        present: PathBuf,
    },
    /// The key file can be read (or written) by users who must not.
    #[error("{} has mode {mode:03o}: the CA key must not be open to others; run chmod 600 on it", path.display())]
    KeyExposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file belongs to a user who is neither root nor this process's.
    #[error(
        "{} belongs to user {owner}: the CA key must belong to root or to the user that stubgate runs as; run chown on it", path.display()
    )]
    KeyOwner {
        /// The key file, or the folder that it stands in.
        path: PathBuf,
        /// Its owner's number.
        owner: u32,
    },
    /// Everybody can put another key in the place of this one.
    #[error("{} has mode {mode:04o}: others could exchange the CA key in it; run chmod o-w on it", path.display())]
    KeyFolderExposed {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The certificate file holds no PEM certificate, or a broken one.
    #[error("the CA certificate is not a readable PEM certificate")]
    Certificate,
    /// The key file holds no PEM private key, or one of a kind that cannot sign here.
    #[error("the CA key is not a readable PEM private key (PKCS #8, SEC1 or PKCS #1; ECDSA, Ed25519 or RSA)")]
    Key,
    /// The certificate may not sign others.
    #[error(
        "the certificate is not a CA: it needs basicConstraints CA:TRUE and, where key usage is given, keyCertSign"
    )]
    NotACa,
    /// Certificate and key belong to different pairs.
    #[error("the CA certificate and the CA key do not belong together")]
    KeyMismatch,
    /// The subject cannot be copied exactly into leaves, so that no client could build the chain.
    #[error(
        "the subject of the CA certificate uses a form that cannot be reproduced as an issuer; use UTF8String or PrintableString"
    )]
    Subject,
    /// The common name for a new CA is empty, too long, or has control characters.
    #[error("a CA needs a common name of 1 to 64 characters without control characters")]
    CommonName,
    /// It is over, or nearly.
    #[error("the CA ends at {not_after}, which is less than 7 days away; make a new one")]
    Ending {
        /// When it ends.
        not_after: OffsetDateTime,
    },
    /// Its validity has not begun.
    #[error("the CA is valid only from {not_before} on; check the clock")]
    NotYetValid {
        /// When it begins.
        not_before: OffsetDateTime,
    },
    /// What the state folder says of the CAs can't be read.
    #[error("{}: {why}; restore it from a backup", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A new CA comes already.
    #[error("a new CA comes already: see `stubgate ca show`; `stubgate ca rotate --finish` has it sign at once")]
    UnderWay,
    /// None comes, and none has been.
    #[error("no rotation is under way")]
    NotUnderWay,
    /// Agents would have to trust too many.
    #[error(
        "{most} CAs before this one are still in the bundle; wait for one to leave, or end them by `stubgate ca rotate --finish`"
    )]
    Crowded {
        /// How many there may be.
        most: usize,
    },
    /// The CA is the operator's.
    #[error(
        "this CA is given by ca.certificate_file and ca.key_file: exchange the files, and stubgate begins the overlap by itself"
    )]
    GivenByFiles,
    /// Upstreams are verified by it: its leaves could then stand in for any of them.
    #[error("the new CA is trusted for upstreams, which stubgate's own CA must never be")]
    TrustedUpstream,
    /// The crypto library failed: no randomness, or a key that it will not sign with.
    #[error("the crypto library refused: {0}")]
    Crypto(String),
}

impl From<rcgen::Error> for CaError {
    fn from(error: rcgen::Error) -> Self {
        Self::Crypto(error.to_string())
    }
}

impl From<rustls::Error> for CaError {
    fn from(error: rustls::Error) -> Self {
        Self::Crypto(error.to_string())
    }
}

/// A CA certificate and its key, checked to belong together and to be able to sign.
pub struct CertificateAuthority {
    /// The issuing certificate first, then what the operator's file held beside it.
    certificates: Vec<CertificateDer<'static>>,
    issuer: Issuer<'static, CaKey>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    constraints: Constraints,
    self_issued: bool,
    is_new: bool,
}

/// A CA as agents know it: its certificates, without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    certificates: Vec<CertificateDer<'static>>,
    not_after: OffsetDateTime,
}

impl Anchor {
    /// Reads one from PEM: the issuing certificate first.
    pub(crate) fn load(certificate_pem: &[u8]) -> Result<Self, CaError> {
        let certificates = read_certificates(certificate_pem)?;
        let issuing = certificates.first().ok_or(CaError::Certificate)?;
        let (_, parsed) = X509Certificate::from_der(issuing).map_err(|_| CaError::Certificate)?;
        let not_after = parsed.validity().not_after.to_datetime();
        Ok(Self { certificates, not_after })
    }

    /// As PEM.
    pub fn pem(&self) -> String {
        self.certificates.iter().map(|der| pem::certificate(der)).collect()
    }

    /// SHA-256 over the issuing certificate's DER, as `openssl x509 -fingerprint -sha256` prints it.
    pub fn fingerprint_sha256(&self) -> String {
        fingerprint(self.certificates.first())
    }

    /// When it ends.
    pub fn not_after(&self) -> SystemTime {
        self.not_after.into()
    }

    /// The beginning of its fingerprint.
    pub fn id(&self) -> String {
        id(self.certificates.first())
    }

    /// DER of the issuing certificate.
    pub(crate) fn issuing(&self) -> Option<&CertificateDer<'static>> {
        self.certificates.first()
    }
}

impl CertificateAuthority {
    /// Makes a new CA (ECDSA P-256, path length 0, 10 years) that lives in memory only.
    ///
    /// # Errors
    /// [`CaError::CommonName`], or [`CaError::Crypto`] where there is no randomness.
    pub fn create(common_name: &str, now: SystemTime) -> Result<Self, CaError> {
        Self::create_with_key(common_name, &Subtrees::default(), now).map(|(authority, _)| authority)
    }

    /// One with a name of its own: clients that hold an older one of ours must not try the wrong key.
    pub(crate) fn create_new(subtrees: &Subtrees, now: SystemTime) -> Result<(Self, Zeroizing<String>), CaError> {
        let number = u32::from_ne_bytes(provider::random()?);
        Self::create_with_key(&format!("stubgate CA {number:08x}"), subtrees, now)
    }

    /// Reads a CA from PEM. The first certificate issues; more of them (a chain up to a corporate root) may follow.
    ///
    /// # Errors
    /// Where either is unreadable, they do not belong together, or the certificate may not sign.
    pub fn load(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, CaError> {
        let certificates = read_certificates(certificate_pem)?;
        let mut der = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| CaError::Key)?;
        let key = KeyPair::try_from(&der).map_err(|_| CaError::Key);
        der.zeroize();
        Self::assemble(certificates, key?)
    }

    /// The issuing certificate as PEM, followed by what stood beside it in the operator's file.
    pub fn certificate_pem(&self) -> String {
        self.certificates.iter().map(|der| pem::certificate(der)).collect()
    }

    /// SHA-256 over the issuing certificate's DER, as `openssl x509 -fingerprint -sha256` prints it.
    pub fn fingerprint_sha256(&self) -> String {
        fingerprint(self.certificates.first())
    }

    /// The beginning of its fingerprint.
    pub fn id(&self) -> String {
        id(self.certificates.first())
    }

    /// The same without its key.
    pub fn anchor(&self) -> Anchor {
        Anchor { certificates: self.certificates.clone(), not_after: self.not_after }
    }

    /// The DNS subtrees that it may sign for; empty where it may for any name.
    pub fn permitted_subtrees(&self) -> &[String] {
        self.constraints.names()
    }

    /// Whether clients take a leaf of it for this name.
    pub fn admits(&self, name: &LeafName<'_>) -> bool {
        self.constraints.admit(name)
    }

    /// Whether [`CertificateAuthority::load_or_create`] made it: no agent trusts it yet.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// When the CA ends.
    pub fn not_after(&self) -> SystemTime {
        self.not_after.into()
    }

    /// Whether the appliance may start with this CA.
    ///
    /// # Errors
    /// [`CaError::Ending`] with less than [`MINIMUM_REMAINING`] to go, [`CaError::NotYetValid`] before it begins.
    pub fn check_usable(&self, now: SystemTime) -> Result<(), CaError> {
        let now = whole_seconds(now);
        if now < self.not_before {
            return Err(CaError::NotYetValid { not_before: self.not_before });
        }
        if self.not_after - now < MINIMUM_REMAINING {
            return Err(CaError::Ending { not_after: self.not_after });
        }
        Ok(())
    }

    /// How many certificates this CA has signed since it was loaded.
    pub fn signatures_total(&self) -> u64 {
        self.issuer.key().signatures.load(Ordering::Relaxed)
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, CaKey> {
        &self.issuer
    }

    pub(crate) fn validity(&self) -> (OffsetDateTime, OffsetDateTime) {
        (self.not_before, self.not_after)
    }

    /// What a server sends after the leaf: nothing for a root, the operator's chain for an intermediate.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        if self.self_issued { &[] } else { &self.certificates }
    }

    fn create_with_key(
        common_name: &str,
        subtrees: &Subtrees,
        now: SystemTime,
    ) -> Result<(Self, Zeroizing<String>), CaError> {
        let length = common_name.chars().count();
        if length == 0 || length > COMMON_NAME_MAXIMUM || common_name.chars().any(char::is_control) {
            return Err(CaError::CommonName);
        }
        let now = whole_seconds(now);
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, common_name);
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        params.serial_number = Some(provider::serial()?);
        params.not_before = now - SKEW;
        params.not_after = now + LIFETIME;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.name_constraints = subtrees.extension();
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.der().clone();
        let key_pem = pem::private_key(key.serialized_der());
        Ok((Self::assemble(vec![certificate], key)?, key_pem))
    }

    fn assemble(certificates: Vec<CertificateDer<'static>>, mut key: KeyPair) -> Result<Self, CaError> {
        // The parsed key lives on inside the crypto library, which clears it when freed.
        key.zeroize();
        let issuing = certificates.first().ok_or(CaError::Certificate)?;
        let (rest, parsed) = X509Certificate::from_der(issuing).map_err(|_| CaError::Certificate)?;
        if !rest.is_empty() {
            return Err(CaError::Certificate);
        }
        check_profile(&parsed)?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(CaError::KeyMismatch);
        }
        let issuer = Issuer::from_ca_cert_der(issuing, CaKey { key, signatures: AtomicU64::new(0) })
            .map_err(|_| CaError::Certificate)?;
        let authority = Self {
            not_before: parsed.validity().not_before.to_datetime(),
            not_after: parsed.validity().not_after.to_datetime(),
            constraints: Constraints::of(&parsed)?,
            self_issued: parsed.subject() == parsed.issuer(),
            is_new: false,
            issuer,
            certificates: certificates.clone(),
        };
        authority.check_issuer_name(parsed.subject().as_raw())?;
        Ok(authority)
    }

    /// Signs a throw-away certificate and compares names byte by byte: a name that our encoder writes differently would
    /// make leaves that no client can chain, and that must show at start, not at the first request.
    fn check_issuer_name(&self, subject: &[u8]) -> Result<(), CaError> {
        let params = leaf_params(LeafName::Ip(IpAddr::from([127, 0, 0, 1])), self.not_before, self.not_after)?;
        let probe = params.signed_by(&KeyPair::generate()?, &self.issuer)?;
        self.issuer.key().signatures.store(0, Ordering::Relaxed);
        let (_, parsed) = X509Certificate::from_der(probe.der()).map_err(|_| CaError::Subject)?;
        if parsed.issuer().as_raw() == subject { Ok(()) } else { Err(CaError::Subject) }
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("fingerprint_sha256", &self.fingerprint_sha256())
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// The profile of a leaf: one SAN, no subject, server authentication only (TL-21).
pub(crate) fn leaf_params(
    name: LeafName<'_>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    // Empty, so that rcgen marks the SAN critical (RFC 5280 4.1.2.6) and names over 64 characters need no CN.
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![name.subject_alt_name()?];
    params.serial_number = Some(provider::serial()?);
    params.not_before = not_before;
    params.not_after = not_after;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn read_certificates(certificate_pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CaError> {
    CertificateDer::pem_slice_iter(certificate_pem).collect::<Result<Vec<_>, _>>().map_err(|_| CaError::Certificate)
}

fn fingerprint(issuing: Option<&CertificateDer<'_>>) -> String {
    let digest = Sha256::digest(issuing.map(|der| der.as_ref()).unwrap_or_default());
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

fn id(issuing: Option<&CertificateDer<'_>>) -> String {
    let digest = Sha256::digest(issuing.map(|der| der.as_ref()).unwrap_or_default());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn check_profile(certificate: &X509Certificate<'_>) -> Result<(), CaError> {
    let constraints = certificate.basic_constraints().map_err(|_| CaError::Certificate)?;
    let usage = certificate.key_usage().map_err(|_| CaError::Certificate)?;
    let is_ca = constraints.is_some_and(|extension| extension.value.ca);
    let may_sign = usage.is_none_or(|extension| extension.value.key_cert_sign());
    if is_ca && may_sign { Ok(()) } else { Err(CaError::NotACa) }
}

/// The CA's key: signs, counts, and has no other use.
pub(crate) struct CaKey {
    key: KeyPair,
    signatures: AtomicU64,
}

impl PublicKeyData for CaKey {
    fn der_bytes(&self) -> &[u8] {
        self.key.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.key.algorithm()
    }
}

impl SigningKey for CaKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.key.sign(message)?;
        self.signatures.fetch_add(1, Ordering::Relaxed);
        Ok(signature)
    }
}

#[cfg(test)]
mod tests;
