use std::sync::Mutex;

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Names that no resolver knows: who reaches them went through the proxy.
const HOST: &str = "tickets.invalid";

/// A server of this name, `localhost` too, and what it takes to trust it.
async fn origin() -> (u16, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![HOST.into(), "localhost".into()]).unwrap().self_signed(&key).unwrap();
    let der = certificate.der().clone();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                }
            });
        }
    });
    (port, der)
}

/// A proxy that leads every tunnel to this port, or refuses all with this status; and the heads of what it was asked.
async fn proxy(to: u16, status: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&heads);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await.unwrap() > 0 {}
                kept.lock().unwrap().push(head);
                stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
                if status.starts_with("200") {
                    let mut origin = TcpStream::connect(("localhost", to)).await.unwrap();
                    let _ = copy_bidirectional(&mut stream, &mut origin).await;
                }
            });
        }
    });
    (port, heads)
}

fn client(certificate: CertificateDer<'static>, proxies: Matcher) -> Client {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let tls = config().unwrap().with_root_certificates(roots).with_no_client_auth();
    Client::over(tls, proxies, Duration::from_secs(10), 1024)
}

async fn get(client: &Client, address: String) -> Result<Bytes, String> {
    let request = Request::get(address).body(Full::default()).unwrap();
    client.send(request).await.map(Response::into_body).map_err(|failed| failed.to_string())
}

#[tokio::test]
async fn what_is_secret_goes_through_the_proxy_and_is_verified_behind_it() {
    let (port, certificate) = origin().await;
    let (proxy, heads) = proxy(port, "200 OK").await;
    let through = || Matcher::builder().https(format!("http://bot:word@127.0.0.1:{proxy}")).build();
    let asking = client(certificate, through());
    for _ in 0..2 {
        assert_eq!(get(&asking, format!("https://{HOST}:8443/")).await.unwrap(), "ok");
    }
    // The name is the proxy's to resolve, and of the request itself it sees nothing.
    let told = heads.lock().unwrap().clone();
    let expected =
        format!("CONNECT {HOST}:8443 HTTP/1.1\r\nHost: {HOST}:8443\r\nProxy-Authorization: Basic Ym90OndvcmQ=\r\n\r\n");
    assert_eq!(told, [expected], "one tunnel for both");
    let (_, other) = origin().await;
    let error = get(&client(other, through()), format!("https://{HOST}/")).await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");
    assert!(heads.lock().unwrap().last().unwrap().starts_with(&format!("CONNECT {HOST}:443 ")));
}

#[tokio::test]
async fn what_is_excepted_and_what_is_plain_goes_straight() {
    let (port, certificate) = origin().await;
    let (proxy, heads) = proxy(port, "200 OK").await;
    let proxies = || Matcher::builder().all(format!("http://127.0.0.1:{proxy}"));
    let asking = client(certificate.clone(), proxies().no("localhost, .example.com").build());
    assert_eq!(get(&asking, format!("https://localhost:{port}/")).await.unwrap(), "ok");
    // It speaks TLS only, which is how one sees that it was reached.
    assert!(get(&client(certificate, proxies().build()), format!("http://127.0.0.1:{port}/")).await.is_err());
    assert_eq!(*heads.lock().unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_proxy_that_refuses_or_can_not_be_spoken_to_is_no_reason_to_go_around_it() {
    let (port, certificate) = origin().await;
    let (proxy, heads) = proxy(port, "403 Forbidden").await;
    for (address, why) in [
        (format!("http://127.0.0.1:{proxy}"), "unsuccessful"),
        (format!("socks5://127.0.0.1:{proxy}"), "does not begin with http://"),
    ] {
        let asking = client(certificate.clone(), Matcher::builder().https(address).build());
        let error = get(&asking, format!("https://localhost:{port}/")).await.unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    assert_eq!(heads.lock().unwrap().len(), 1);
}
