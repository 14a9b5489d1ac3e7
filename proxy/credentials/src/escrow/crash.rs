//! What is left of a login when the process ends at each step of its refresh: on every store, with a provider that ends
//! the family of a refresh token that is used twice, and with one that answers the same once more.
//!
//! A child process refreshes and dies at the step; another one is started on the same store. Afterwards the login works,
//! or its status says what to do.

mod server;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use stubgate_policy::secret_source::Oauth;
use zeroize::Zeroizing;

use super::double::{provider, secret};
use super::exchange::Tokens;
use super::*;
use server::{Client, Double, Reuse};

const STORE: &str = "STUBGATE_TEST_STORE";
const PROVIDER: &str = "STUBGATE_TEST_PROVIDER";
const LIFE: u64 = 1000;

fn place(store: &str) -> StorePlace {
    match store.strip_prefix("postgres:") {
        None => StorePlace::Sqlite,
        Some(port) => StorePlace::Postgres(PostgresPlace {
            database: Database::Parts {
                host: "127.0.0.1".into(),
                port: port.parse().unwrap(),
                database: "postgres".into(),
                user: "stubgate".into(),
                password_file: None,
            },
            tls: None,
            dial: system_dial(),
        }),
    }
}

/// An escrow in which it is that much later.
fn escrow(store: &str, later: u64) -> Escrow {
    let key = SealingKey::new(&Zeroizing::new([5; 32])).unwrap();
    let clock: Clock = Arc::new(move || SystemTime::now() + Duration::from_secs(later));
    let store: Arc<dyn Store> = match place(store) {
        StorePlace::Sqlite => Arc::new(Sqlite::open(Path::new(store)).unwrap()),
        StorePlace::Postgres(place) => Arc::new(Postgres::new(place).impatient()),
    };
    Escrow::over(store, key, clock)
}

/// The part of the child, where the matrix starts this test in a process that dies. Prints the token, or why there is none.
#[tokio::test]
async fn child() {
    let (Ok(store), Ok(address)) = (std::env::var(STORE), std::env::var(PROVIDER)) else { return };
    let escrow = escrow(&store, LIFE + 1);
    let oauth = Oauth { login: "l".into(), provider: provider(), refresh_stub: None };
    let http: Arc<dyn HttpClient> = Arc::new(Client(address.parse().unwrap()));
    let source = escrow.source(&oauth, &http);
    // A lock may be given back a moment after its process is gone.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let text = loop {
        match source.fetch().await {
            Ok(fetched) => break format!("token {}", String::from_utf8_lossy(fetched.secret.reveal())),
            Err(error) if error.to_string().contains("another holder") && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => break format!("none {error}"),
        }
    };
    println!("<{text}; {}>", escrow.status("l").unwrap().standing.as_str());
}

fn run(store: &str, double: &Double, step: Option<Step>) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "escrow::crash::child", "--nocapture"]);
    child.env(STORE, store).env(PROVIDER, double.address.to_string()).env_remove("STUBGATE_FAILPOINT");
    if let Some(step) = step {
        child.env("STUBGATE_FAILPOINT", step.as_str());
    }
    child.output().unwrap()
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(said, _)| said.to_owned());
    said.unwrap_or_else(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

async fn matrix(store: &str) {
    for (reuse, step) in
        [Reuse::EndsTheFamily, Reuse::AnswersAgain].into_iter().flat_map(|reuse| Step::ALL.map(|step| (reuse, step)))
    {
        let double = Double::start(reuse);
        let first = Tokens {
            access: secret("access-0"),
            refresh: Some(secret("refresh-0")),
            life: Some(Duration::from_secs(LIFE)),
            refresh_life: None,
            scopes: None,
        };
        escrow(store, 0).deposit("l", "claude", deposit::Granted(first)).await.unwrap();
        let killed = run(store, &double, Some(step));
        let signal = std::os::unix::process::ExitStatusExt::signal(&killed.status);
        assert_eq!(signal, Some(6), "{step:?}: {}", said(&killed));
        let after = said(&run(store, &double, None));
        if (step, reuse) == (Step::Answered, Reuse::EndsTheFamily) {
            // Nobody could keep what only the dead process had read; it is said.
            assert!(after.contains("an answer that held the next one was lost"), "{after}");
            assert!(after.contains("stubgate login claude --name l"), "{after}");
            assert!(after.ends_with("; lost"), "{after}");
        } else {
            assert_eq!(after, "token access-1; ok", "{reuse:?} {step:?}");
            let sent = if step == Step::Answered { 2 } else { 1 };
            assert_eq!(double.requests(), sent, "{reuse:?} {step:?}");
        }
    }
}

// Connections end while children are waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_step_leaves_a_login_that_works_or_says_what_to_do_with_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    matrix(folder.path().to_str().unwrap()).await;
}

// Connections end while children are waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_step_leaves_a_login_that_works_or_says_what_to_do_with_postgresql() {
    let Some(server) = super::postgres_server::Server::start() else { return };
    matrix(&format!("postgres:{}", server.port)).await;
}
