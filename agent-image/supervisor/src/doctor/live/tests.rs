use super::super::report::Grade;
use super::super::tests::{Scene, grades};
use super::*;
use tokio::io::AsyncReadExt;

async fn of(scene: &Scene) -> Vec<(&'static str, Grade)> {
    grades(&look(&scene.setting, Some("https://example.com/x/".into())).await)
}

#[tokio::test]
async fn nothing_is_asked_unless_it_is_asked_for_and_then_only_over_tls() {
    let scene = Scene::new();
    scene.install("curl", "exit 0");
    assert!(look(&scene.setting, None).await.is_empty());
    assert_eq!(grades(&look(&scene.setting, Some("http://example.com".into())).await), [("live", Grade::Bad)]);
    assert_eq!(of(&scene).await, [("live.curl", Grade::Ok)]);
}

#[tokio::test]
async fn each_gets_the_address_and_the_variables_and_no_flag_of_trust() {
    let mut scene = Scene::new();
    scene.set("CURL_CA_BUNDLE", "/the/bundle");
    scene.install(
        "curl",
        r#"[ "$5" = https://example.com/x ] && [ "$CURL_CA_BUNDLE" = /the/bundle ] && [ -z "$HOME" ]"#,
    );
    scene.install("go", r#"[ "$GOPROXY" = https://example.com/x ] && [ "$GOMODCACHE" = "$PWD/go" ]"#);
    scene.install("node", r#"[ "$3" = https://example.com/x ]"#);
    scene.install("cargo", r#"[ "$3" = sparse+https://example.com/x/ ]"#);
    let expected = ["live.curl", "live.node", "live.go", "live.cargo"].map(|check| (check, Grade::Ok));
    assert_eq!(of(&scene).await, expected);
    let flags = ["insecure", "cacert", "cafile", "trusted-host", "strict-ssl", "unsafely", "native-tls", "verify"];
    for argument in REQUESTS.iter().flat_map(|request| request.arguments) {
        assert!(!flags.iter().any(|flag| argument.contains(flag)), "{argument}");
    }
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_a_certificate_that_is_not_trusted_is_none() {
    let scene = Scene::new();
    scene.install("git", "echo \"fatal: repository 'https://example.com/' not found\" >&2; exit 128");
    scene.install("uv", "echo 'error: invalid peer certificate: UnknownIssuer' >&2; exit 2");
    scene.install("python3", "echo \"ModuleNotFoundError: No module named 'requests'\" >&2; exit 1");
    scene.install(
        "go",
        "echo 'go: reading https://example.com/404: x509: certificate signed by unknown authority' >&2; exit 1",
    );
    let told = look(&scene.setting, Some("https://example.com".into())).await;
    let expected = [
        ("live.git", Grade::Ok),
        ("live.python-requests", Grade::Warn),
        ("live.python-httpx", Grade::Warn),
        ("live.pip", Grade::Warn),
        ("live.uv", Grade::Bad),
        ("live.go", Grade::Bad),
    ];
    assert_eq!(grades(&told), expected);
    assert_eq!(told[4].what, "it does not trust what answers");
    assert!(told.iter().all(|finding| !finding.what.contains("example.com")), "what they say is not printed");
}

/// Programs of this machine against a server whose authority only the variables name.
#[tokio::test]
async fn programs_trust_what_their_variables_say_and_nothing_else() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let sockets = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}/", sockets.local_addr().unwrap().port());
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        while let Ok((stream, _)) = sockets.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut question = [0; 1024];
            let _ = stream.read(&mut question).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    let mut scene = Scene::new();
    for program in ["curl", "git", "node"] {
        // What git runs besides is in folders of its own.
        scene.install(program, &format!("PATH=/usr/bin:/bin exec {program} \"$@\""));
    }
    let checks = ["live.git", "live.curl", "live.node"];
    let told = look(&scene.setting, Some(address.clone())).await;
    assert_eq!(grades(&told), checks.map(|check| (check, Grade::Bad)));
    assert!(told.iter().all(|finding| finding.what == "it does not trust what answers"), "{told:?}");
    let bundle = scene.write("bundle.pem", certificate.pem());
    for variable in ["CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"] {
        scene.set(variable, &bundle);
    }
    assert_eq!(grades(&look(&scene.setting, Some(address)).await), checks.map(|check| (check, Grade::Ok)));
}

/// What pip says is the same at its end, whether nobody was reached or the package is not there.
#[test]
fn an_answer_is_told_from_a_failure_that_ends_in_the_same_words() {
    let pip = REQUESTS.iter().find(|request| request.check == "live.pip").unwrap();
    let end = "ERROR: Could not find a version that satisfies the requirement stubgate-doctor (from versions: none)";
    assert_eq!(judged(pip, false, end).grade, Grade::Ok);
    for why in
        ["connection error: [Errno 111] Connection refused", "There was a problem confirming the ssl certificate: x"]
    {
        let said = format!("Could not fetch URL https://example.com/stubgate-doctor/: {why} - skipping\n{end}");
        assert_eq!(judged(pip, false, &said).grade, Grade::Bad, "{why}");
    }
}
