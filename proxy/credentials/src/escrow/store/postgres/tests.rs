use super::*;
use crate::escrow::postgres_server::Server;

fn store(server: &Server) -> Postgres {
    Postgres::new(PostgresPlace {
        database: Database::Parts {
            host: "127.0.0.1".into(),
            port: server.port,
            database: "postgres".into(),
            user: "stubgate".into(),
            password_file: None,
        },
        tls: None,
        dial: system_dial(),
    })
}

fn row(revision: u64) -> Row {
    Row { revision, generation: 1, sealed: vec![7; 40] }
}

#[tokio::test]
async fn a_write_replaces_the_revision_before_it_and_no_other() {
    let Some(server) = Server::start() else { return };
    let (one, two) = (store(&server), store(&server));
    // Both at once make the tables.
    let (first, second) = tokio::join!(one.read("a"), two.read("a"));
    assert_eq!((first.unwrap(), second.unwrap()), (None, None));
    for (revision, expected) in [(2, false), (1, true), (1, false), (3, false), (2, true), (2, false), (3, true)] {
        assert_eq!(one.write("a", &row(revision)).await.unwrap(), expected, "{revision}");
    }
    assert_eq!(two.read("a").await.unwrap(), Some(row(3)));
    assert_eq!(two.revisions().await.unwrap(), [("a".to_owned(), 3)]);
}

#[tokio::test]
async fn a_lead_is_lost_with_the_server_and_what_was_written_is_not() {
    let Some(mut server) = Server::start() else { return };
    let (one, two) = (store(&server), store(&server));
    assert!(one.write("a", &row(1)).await.unwrap());
    let lease = one.lead("a").await.unwrap().unwrap();
    assert!(two.lead("a").await.unwrap().is_none());
    assert!(two.lead("b").await.unwrap().is_some());
    assert!(two.patience() > 2 * exchange::LIMIT, "its holder may be alive");

    server.turn_off();
    assert!(matches!(one.read("a").await, Err(StoreError::Unreachable(_))));
    assert!(matches!(two.lead("a").await, Err(StoreError::Unreachable(_))));
    server.turn_on();
    let deadline = Instant::now() + Duration::from_secs(20);
    let again = loop {
        match two.lead("a").await {
            Ok(found) => break found.unwrap(),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    };
    drop((again, lease));
    while let Err(error) = one.read("a").await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::task::yield_now().await;
    }
    assert_eq!(one.read("a").await.unwrap(), Some(row(1)));
}

#[tokio::test]
async fn a_connection_that_gives_no_answer_is_replaced() {
    let Some(server) = Server::start() else { return };
    let store = store(&server);
    assert!(store.write("a", &row(1)).await.unwrap());
    let client = store.client().await.unwrap();
    let process: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let process = rustix::process::Pid::from_raw(process).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    tokio::time::pause();
    let silent = store.read("a").await;
    tokio::time::resume();
    let found = store.read("a").await;
    rustix::process::kill_process(process, rustix::process::Signal::CONT).unwrap();
    assert_eq!(silent, Err(late()));
    assert_eq!(found.unwrap(), Some(row(1)));
    assert!(!Arc::ptr_eq(&client, &store.client().await.unwrap()));
}

#[tokio::test]
async fn the_server_is_told_to_look_after_who_leads_and_we_look_after_the_server() {
    let Some(server) = Server::start() else { return };
    let mut store = store(&server);
    let dialled = Arc::new(Mutex::new(None));
    let (seen, dial) = (Arc::clone(&dialled), system_dial());
    store.place.dial = Arc::new(move |host, port| {
        let (seen, dialling) = (Arc::clone(&seen), dial(host, port));
        Box::pin(async move {
            let stream = dialling.await?;
            *seen.lock().unwrap() = Some(std::os::fd::AsFd::as_fd(&stream).try_clone_to_owned()?);
            Ok(stream)
        })
    });
    let client = store.connect().await.unwrap();
    assert!(lock(&client, lock_of("a")).await.unwrap());
    for (setting, expected) in [("idle", "10"), ("interval", "5"), ("count", "3")] {
        let found: String = client.query_one(&format!("SHOW tcp_keepalives_{setting}"), &[]).await.unwrap().get(0);
        assert_eq!(found, expected, "{setting}");
    }
    let stream = dialled.lock().unwrap().take().unwrap();
    assert!(sockopt::socket_keepalive(&stream).unwrap());
    assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), KEEPALIVE.0);
    assert_eq!(sockopt::tcp_user_timeout(&stream).unwrap(), UNSENT);
}

#[tokio::test]
async fn a_lead_ends_when_it_is_let_go() {
    let Some(server) = Server::start() else { return };
    let (one, two) = (store(&server), store(&server));
    drop(one.lead("a").await.unwrap().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    while two.lead("a").await.unwrap().is_none() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_elsewhere_is_not_reached_without_tls_and_a_url_shows_nothing_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    let place = PostgresPlace { database: Database::UrlFile(file.clone()), tls: None, dial: system_dial() };
    std::fs::write(&file, "postgres://u:pass-word-1@192.0.2.1:5432/d\n").unwrap();
    let error = connect(&place).await.err().unwrap();
    assert_eq!(error, StoreError::Unusable("it is not on this machine, and no TLS is configured".into()));
    for text in ["postgres://u:pass-word-1@[/d", "host=/run/postgresql password=pass-word-1", "", "odd pass-word-1"] {
        std::fs::write(&file, text).unwrap();
        let error = connect(&place).await.err().unwrap().to_string();
        assert!(!error.contains("pass-word") && error.contains("url"), "{error}");
    }
}

fn trusting(ca: Option<&std::path::Path>) -> Arc<rustls::ClientConfig> {
    use rustls_pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    if let Some(ca) = ca {
        roots.add(rustls_pki_types::CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

#[tokio::test]
async fn a_server_is_verified_for_its_name_by_the_authority_that_was_named() {
    let Some((server, ca)) = Server::with_tls() else { return };
    let reach = |host: &str, tls| {
        let Database::Parts { port, database, user, .. } = store(&server).place.database else { unreachable!() };
        let database = Database::Parts { host: host.into(), port, database, user, password_file: None };
        Postgres::new(PostgresPlace { database, tls: Some(tls), dial: system_dial() })
    };
    let good = reach("127.0.0.1", trusting(Some(&ca)));
    assert!(good.write("a", &row(1)).await.unwrap());
    let client = good.client().await.unwrap();
    let seen = client.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await.unwrap();
    assert!(seen.get::<_, bool>(0));
    for (host, tls) in [("127.0.0.1", trusting(None)), ("localhost", trusting(Some(&ca)))] {
        let error = reach(host, tls).read("a").await.err().unwrap();
        assert!(matches!(&error, StoreError::Unreachable(why) if why.contains("certificate")), "{host}: {error:?}");
    }
}
