//! A CA, a minter with a clock that tests move, and a handshake over an in-memory pipe.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use stubgate_certs::{CertificateAuthority, Clock, LeafName, Minter, MinterConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A clock that starts now and moves only when told to.
#[derive(Clone)]
pub(super) struct Hands {
    start: SystemTime,
    seconds: Arc<AtomicU64>,
}

impl Hands {
    pub(super) fn new() -> Self {
        Self { start: SystemTime::now(), seconds: Arc::default() }
    }

    pub(super) fn advance(&self, by: Duration) {
        self.seconds.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    pub(super) fn now(&self) -> SystemTime {
        self.start + Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }

    pub(super) fn clock(&self) -> Clock {
        let hands = self.clone();
        Arc::new(move || hands.now())
    }
}

pub(super) fn authority() -> Arc<CertificateAuthority> {
    Arc::new(CertificateAuthority::create("stubgate test CA", SystemTime::now()).unwrap())
}

pub(super) fn minter(authority: Arc<CertificateAuthority>) -> Minter {
    Minter::new(authority, &MinterConfig::default(), stubgate_certs::system_clock()).unwrap()
}

pub(super) fn dns(name: &str) -> LeafName<'_> {
    LeafName::Dns(name)
}

pub(super) fn ip(address: &str) -> LeafName<'static> {
    LeafName::Ip(address.parse::<IpAddr>().unwrap())
}

pub(super) fn roots(authority: &CertificateAuthority) -> RootCertStore {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.certificate_pem().as_bytes()) {
        store.add(certificate.unwrap()).unwrap();
    }
    store
}

/// A client that trusts the CA and offers h2, then http/1.1.
pub(super) fn client(authority: &CertificateAuthority) -> Arc<ClientConfig> {
    stubgate_certs::client_config(roots(authority), &[b"h2", b"http/1.1"]).unwrap()
}

/// The same, limited to TLS 1.2.
pub(super) fn client_tls12(authority: &CertificateAuthority) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(stubgate_certs::provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots(authority))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// What a finished handshake came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) version: ProtocolVersion,
    pub(super) alpn: Option<Vec<u8>>,
    pub(super) client_kind: HandshakeKind,
    pub(super) server_kind: HandshakeKind,
    pub(super) chain: Vec<CertificateDer<'static>>,
}

/// Shakes hands for `name`, passes a byte each way (so that tickets arrive), and says how it went.
pub(super) async fn shake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<Outcome> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let serve = async move {
        let mut stream = tokio_rustls::TlsAcceptor::from(server).accept(far).await?;
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        stream.write_all(&byte).await?;
        stream.shutdown().await?;
        stream.get_ref().1.handshake_kind().ok_or_else(|| std::io::Error::other("unfinished"))
    };
    let call = async move {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut stream = tokio_rustls::TlsConnector::from(client).connect(name, near).await?;
        stream.write_all(b"x").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        assert_eq!(answer, b"x");
        let (_, session) = stream.get_ref();
        Ok::<_, std::io::Error>((
            session.protocol_version().unwrap(),
            session.alpn_protocol().map(<[u8]>::to_vec),
            session.handshake_kind().unwrap(),
            session.peer_certificates().unwrap_or_default().iter().map(|der| der.clone().into_owned()).collect(),
        ))
    };
    let (served, called) = tokio::join!(serve, call);
    let (version, alpn, client_kind, chain) = called?;
    Ok(Outcome { version, alpn, client_kind, server_kind: served?, chain })
}

/// Mints for `host` and returns the leaf as a client sees it, whose clock agrees with the minter's.
pub(super) async fn leaf(minter: &Minter, host: LeafName<'_>, now: SystemTime) -> CertificateDer<'static> {
    let server = minter.server_config(&host).await.unwrap();
    let name = match host {
        LeafName::Dns(name) => name.to_owned(),
        LeafName::Ip(address) => address.to_string(),
    };
    let client = client_at(&minter.authority(), now);
    shake(server, client, &name).await.unwrap().chain[0].clone()
}

/// A client that believes it is `now`.
pub(super) fn client_at(authority: &CertificateAuthority, now: SystemTime) -> Arc<ClientConfig> {
    #[derive(Debug)]
    struct Fixed(UnixTime);
    impl TimeProvider for Fixed {
        fn current_time(&self) -> Option<UnixTime> {
            Some(self.0)
        }
    }
    let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap());
    let config = ClientConfig::builder_with_details(stubgate_certs::provider(), Arc::new(Fixed(now)))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(authority))
        .with_no_client_auth();
    Arc::new(config)
}
