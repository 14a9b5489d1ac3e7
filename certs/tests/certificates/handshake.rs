//! What agents meet: versions, ALPN, resumption, and refusals.

use std::sync::Arc;

use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore};
use stubgate_certs::{LeafName, Minter};
use tokio::net::TcpListener;

use super::fixture::{authority, client, client_tls12, dns, ip, minter, shake};

#[tokio::test]
async fn speaks_tls13_and_h2_where_the_client_can() {
    let minter = minter(authority());
    let server = minter.server_config(&dns("api.github.com")).await.unwrap();
    let outcome = shake(server, client(&minter.authority()), "api.github.com").await.unwrap();
    assert_eq!(outcome.version, ProtocolVersion::TLSv1_3);
    assert_eq!(outcome.alpn.as_deref(), Some(&b"h2"[..]));
    assert_eq!(outcome.chain.len(), 1);
}

#[tokio::test]
async fn speaks_tls12_and_http1_where_the_client_can_only_do_that() {
    let minter = minter(authority());
    let server = minter.server_config(&dns("api.github.com")).await.unwrap();
    let outcome = shake(server, client_tls12(&minter.authority()), "api.github.com").await.unwrap();
    assert_eq!(outcome.version, ProtocolVersion::TLSv1_2);
    assert_eq!(outcome.alpn.as_deref(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn serves_ip_hosts_with_ip_sans() {
    let minter = minter(authority());
    for address in ["192.0.2.7", "2001:db8::1"] {
        let server = minter.server_config(&ip(address)).await.unwrap();
        shake(server, client(&minter.authority()), address).await.unwrap();
    }
}

#[tokio::test]
async fn a_leaf_is_good_for_its_own_name_only() {
    let minter = minter(authority());
    let server = minter.server_config(&dns("a.example.com")).await.unwrap();
    for other in ["b.example.com", "x.a.example.com", "example.com", "192.0.2.7"] {
        let error = shake(Arc::clone(&server), client(&minter.authority()), other).await.unwrap_err();
        assert!(error.to_string().contains("certificate"), "{other}: {error}");
    }
}

#[tokio::test]
async fn a_client_that_trusts_another_ca_of_the_same_name_refuses() {
    let minter = minter(authority());
    let server = minter.server_config(&dns("api.github.com")).await.unwrap();
    let stranger = authority();
    let error = shake(server, client(&stranger), "api.github.com").await.unwrap_err();
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
}

#[tokio::test]
async fn offers_the_hybrid_key_exchange_first() {
    let first = stubgate_certs::provider().kx_groups[0].name();
    assert_eq!(first, NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn resumes_for_the_same_name() {
    let minter = minter(authority());
    for make in [client, client_tls12] {
        let client = make(&minter.authority());
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let server = minter.server_config(&dns("api.github.com")).await.unwrap();
            let outcome = shake(server, Arc::clone(&client), "api.github.com").await.unwrap();
            assert_eq!(kind(outcome.server_kind), expected);
            assert_eq!(kind(outcome.client_kind), expected);
        }
    }
}

#[tokio::test]
async fn resumes_for_an_ip_host() {
    let minter = minter(authority());
    let client = client(&minter.authority());
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let server = minter.server_config(&ip("192.0.2.7")).await.unwrap();
        let outcome = shake(server, Arc::clone(&client), "192.0.2.7").await.unwrap();
        assert_eq!(kind(outcome.server_kind), expected);
    }
}

#[tokio::test]
async fn never_resumes_a_session_of_another_name() {
    let minter = minter(authority());
    for (first, second) in [
        (dns("a.example.com"), dns("b.example.com")),
        (ip("192.0.2.7"), ip("192.0.2.8")),
        (ip("192.0.2.7"), ip("2001:db8::1")),
        (dns("a.example.com"), ip("192.0.2.7")),
        (ip("192.0.2.7"), dns("a.example.com")),
    ] {
        for tls12 in [false, true] {
            let client = forgetful_of_names(&minter, tls12);
            let session = shake_for(&minter, &client, first).await;
            assert_eq!(session, HandshakeKind::Full);
            assert_eq!(
                shake_for(&minter, &client, first).await,
                HandshakeKind::Resumed,
                "the store must offer its session, else this test proves nothing"
            );
            let crossed = shake_for(&minter, &client, second).await;
            assert_eq!(crossed, HandshakeKind::Full, "{first:?} to {second:?}, tls12: {tls12}");
        }
    }
}

async fn shake_for(minter: &Minter, client: &Arc<ClientConfig>, host: LeafName<'_>) -> HandshakeKind {
    let name = match host {
        LeafName::Dns(name) => name.to_owned(),
        LeafName::Ip(address) => address.to_string(),
    };
    let server = minter.server_config(&host).await.unwrap();
    kind(shake(server, Arc::clone(client), &name).await.unwrap().server_kind)
}

/// A retry for another key share is a full handshake too.
fn kind(kind: HandshakeKind) -> HandshakeKind {
    match kind {
        HandshakeKind::FullWithHelloRetryRequest => HandshakeKind::Full,
        other => other,
    }
}

/// A hostile client: it offers the last session it got, whatever name that was for.
fn forgetful_of_names(minter: &Minter, tls12: bool) -> Arc<ClientConfig> {
    #[derive(Debug)]
    struct OneDrawer(Arc<dyn ClientSessionStore>, ServerName<'static>);

    impl ClientSessionStore for OneDrawer {
        fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
            self.0.set_kx_hint(self.1.clone(), group);
        }
        fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
            self.0.kx_hint(&self.1)
        }
        fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
            self.0.set_tls12_session(self.1.clone(), value);
        }
        fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
            self.0.tls12_session(&self.1)
        }
        fn remove_tls12_session(&self, _: &ServerName<'static>) {
            self.0.remove_tls12_session(&self.1);
        }
        fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
            self.0.insert_tls13_ticket(self.1.clone(), value);
        }
        fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
            self.0.take_tls13_ticket(&self.1)
        }
    }

    let base = if tls12 { client_tls12(&minter.authority()) } else { client(&minter.authority()) };
    let mut config = (*base).clone();
    let drawer = OneDrawer(
        Arc::new(rustls::client::ClientSessionMemoryCache::new(8)),
        ServerName::try_from("drawer.test").unwrap(),
    );
    config.resumption = Resumption::store(Arc::new(drawer));
    Arc::new(config)
}

#[tokio::test]
async fn refuses_tls11() {
    let minter = minter(authority());
    let server = minter.server_config(&dns("api.github.com")).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for (flag, expected) in [("-tls1_1", false), ("-tls1_2", true)] {
        let openssl = tokio::task::spawn_blocking(move || {
            std::process::Command::new("openssl")
                .args(["s_client", "-connect", &address.to_string(), "-servername", "api.github.com"])
                .args([flag, "-cipher", "DEFAULT@SECLEVEL=0"])
                .stdin(std::process::Stdio::null())
                .output()
                .unwrap()
        });
        let (tcp, _) = listener.accept().await.unwrap();
        let accepted = tokio_rustls::TlsAcceptor::from(Arc::clone(&server)).accept(tcp).await;
        match accepted {
            Ok(stream) => {
                assert!(expected);
                drop(stream);
            }
            Err(error) => {
                assert!(!expected, "{error}");
                assert!(error.to_string().contains("peer is incompatible"), "{error}");
            }
        }
        let output = openssl.await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.contains("Cipher is (NONE)"), !expected, "{said}");
    }
}

#[tokio::test]
async fn upstream_configuration_refuses_an_untrusted_server_and_another_name() {
    let minter = minter(authority());
    let server = minter.server_config(&dns("a.example.com")).await.unwrap();
    let trusting_none = stubgate_certs::client_config(RootCertStore::empty(), &[]).unwrap();
    assert!(shake(Arc::clone(&server), trusting_none, "a.example.com").await.is_err());
    assert!(shake(server, client(&minter.authority()), "b.example.com").await.is_err());
}
