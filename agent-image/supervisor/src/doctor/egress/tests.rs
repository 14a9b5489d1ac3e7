use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;

use super::super::dns::tests::reply;
use super::super::report::Grade;
use super::super::tests::Scene;
use super::*;

fn any() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// What is found at this address.
async fn tried(scene: &Scene, address: SocketAddr, by: By) -> (Grade, String) {
    let target = Target { check: "egress.test", address, by };
    let own = scene.setting.bundle().ok().and_then(|bundle| bundle.into_iter().next());
    let came = tokio::time::timeout(DEADLINE, attempt(target, own, &["10.0.0.1".parse().unwrap()])).await;
    let finding = judged(&target, came.unwrap_or_else(|_| Came::Nothing("silence".into())));
    (finding.grade, finding.what)
}

/// A double that says this to whoever connects, after it has heard something, and closes.
async fn says(what: &'static [u8]) -> SocketAddr {
    let sockets = TcpListener::bind(any()).await.unwrap();
    let address = sockets.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = sockets.accept().await {
            let mut heard = [0; 4096];
            let _ = stream.read(&mut heard).await;
            let _ = stream.write_all(what).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

/// An authority, its PEM, and a server with a certificate of it for the name that is asked for.
async fn authority() -> (String, SocketAddr) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let own = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![PUBLIC.to_owned()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let sockets = TcpListener::bind(any()).await.unwrap();
    let address = sockets.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = sockets.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    (own, address)
}

#[tokio::test]
async fn a_port_where_nobody_is_shows_that_egress_fails() {
    let scene = Scene::new();
    let address = TcpListener::bind(any()).await.unwrap().local_addr().unwrap();
    for by in [By::Tls, By::Http, By::DnsTcp, By::DnsUdp] {
        let (grade, what) = tried(&scene, address, by).await;
        assert!(grade == Grade::Ok && what.contains("fails: "), "{by:?}: {what}");
    }
}

#[tokio::test]
async fn a_server_with_a_strangers_certificate_is_a_way_out_and_one_with_the_firewalls_is_none() {
    let scene = Scene::new();
    let (own, firewall) = authority().await;
    let (roots, stranger) = authority().await;
    // That the bundle has the roots of the public internet besides makes its servers no firewall.
    scene.write("bundle.pem", format!("{own}{roots}"));
    assert_eq!(tried(&scene, firewall, By::Tls).await.0, Grade::Ok);
    let (grade, what) = tried(&scene, stranger, By::Tls).await;
    assert!(grade == Grade::Bad && what.contains("reaches somebody"), "{what}");
    // Without a bundle, nobody is known to be the firewall.
    std::fs::remove_file(&scene.setting.place.bundle).unwrap();
    assert_eq!(tried(&scene, firewall, By::Tls).await.0, Grade::Bad);
}

#[tokio::test]
async fn what_takes_a_connection_and_shows_no_certificate_is_told_apart() {
    let scene = Scene::new();
    // unrecognized_name (RFC 6066), as the firewall says it of a name that policy has not.
    assert_eq!(tried(&scene, says(b"\x15\x03\x03\x00\x02\x02\x70").await, By::Tls).await.0, Grade::Ok);
    assert_eq!(tried(&scene, says(b"").await, By::Tls).await.0, Grade::Ok);
    assert_eq!(tried(&scene, says(b"SSH-2.0-OpenSSH_9.2\r\n").await, By::Tls).await.0, Grade::Warn);
    let silent = TcpListener::bind(any()).await.unwrap();
    for by in [By::Tls, By::Http, By::DnsTcp] {
        let (grade, what) = tried(&scene, silent.local_addr().unwrap(), by).await;
        assert!(grade == Grade::Warn && what.contains("silence"), "{by:?}: {what}");
    }
}

#[tokio::test]
async fn metadata_that_answers_is_a_way_out_and_a_refusal_of_stubgate_is_none() {
    let scene = Scene::new();
    assert_eq!(tried(&scene, says(b"HTTP/1.1 401 Unauthorized\r\n\r\n").await, By::Http).await.0, Grade::Bad);
    assert_eq!(tried(&scene, says(b"ami-id\n").await, By::Http).await.0, Grade::Bad);
    let refusal = b"HTTP/1.1 403 Forbidden\r\n\r\n{\"reason\":\"no_rule\",\"request_id\":\"x\"}";
    assert_eq!(tried(&scene, says(refusal).await, By::Http).await.0, Grade::Ok);
    assert_eq!(tried(&scene, says(b"").await, By::Http).await.0, Grade::Ok);
}

/// A nameserver over UDP that answers with these addresses.
async fn nameserver(addresses: Vec<IpAddr>) -> SocketAddr {
    let socket = UdpSocket::bind(any()).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut bytes).await {
            socket.send_to(&reply(&bytes[..length], 0, &addresses), peer).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_resolver_elsewhere_is_a_way_out_only_if_it_is_not_the_firewall() {
    let scene = Scene::new();
    let stranger = nameserver(vec!["1.1.1.1".parse().unwrap()]).await;
    assert_eq!(tried(&scene, stranger, By::DnsUdp).await.0, Grade::Bad);
    let firewall = nameserver(vec!["10.0.0.1".parse().unwrap()]).await;
    assert_eq!(tried(&scene, firewall, By::DnsUdp).await.0, Grade::Ok);
    let nobody = nameserver(Vec::new()).await;
    assert_eq!(tried(&scene, nobody, By::DnsUdp).await.0, Grade::Ok);
    let silent = UdpSocket::bind(any()).await.unwrap();
    assert_eq!(tried(&scene, silent.local_addr().unwrap(), By::DnsUdp).await.0, Grade::Ok);
    // Over TCP, what is no answer at all is somebody nonetheless.
    assert_eq!(tried(&scene, says(b"\x00\x02hi").await, By::DnsTcp).await.0, Grade::Bad);
}

#[test]
fn the_ways_out_that_a_container_may_have_are_tried() {
    let all = targets(&BTreeMap::new());
    let is_public = |target: &Target| !target.address.ip().is_loopback();
    assert!(all.len() == 6 && all.iter().all(is_public) && all.iter().any(|target| target.address.is_ipv6()));
    let pod = [("KUBERNETES_SERVICE_HOST", "10.43.0.1"), ("KUBERNETES_SERVICE_PORT", "6443")];
    let pod = pod.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(targets(&pod)[6].address, "10.43.0.1:6443".parse().unwrap());
    let odd = [("KUBERNETES_SERVICE_HOST".to_owned(), "kubernetes".to_owned())].into();
    assert_eq!(targets(&odd).len(), 6);
}
