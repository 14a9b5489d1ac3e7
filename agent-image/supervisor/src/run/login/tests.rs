use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use crate::run::tests::agent;
use crate::state::Facts;

use super::*;

/// Runs the guard over one agent while something happens to its login, and gives what is known in the end.
fn guarded(hurry: u32, happens: impl AsyncFnOnce(&Agent, &State)) -> Facts {
    let root = tempfile::tempdir().unwrap();
    let agent = agent(root.path(), "");
    setup::login::restore(&agent).unwrap();
    let state = State::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let guard = tokio::spawn(guard(agent.clone(), state.clone(), Times::new(hurry)));
        right(&state, 0).await;
        happens(&agent, &state).await;
        guard.abort();
    });
    state.facts()
}

/// Waits until the login is right and was put right so often.
async fn right(state: &State, restored: u64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let facts = state.facts();
        if facts.login_is_stub && facts.logins_restored >= restored {
            return;
        }
        assert!(Instant::now() < deadline, "{restored}: {facts:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const WIPED: &str = r#"{"claudeAiOauth":{"accessToken":"","refreshToken":"","expiresAt":0}}"#;
const REAL: &str = r#"{"claudeAiOauth":{"accessToken":"sk-ant-oat01-x","refreshToken":"sk-ant-ort01-x"}}"#;

#[test]
fn restores_a_login_that_was_written_over_truncated_replaced_or_removed() {
    // Found by the watch: the next look would come in 30 s.
    let facts = guarded(1, async |agent: &Agent, state: &State| {
        let path = agent.place.credentials();
        fs::write(&path, WIPED).unwrap();
        right(state, 1).await;
        File::create(&path).unwrap();
        right(state, 2).await;
        let beside = path.with_extension("tmp");
        fs::write(&beside, REAL).unwrap();
        fs::rename(&beside, &path).unwrap();
        right(state, 3).await;
        fs::remove_file(&path).unwrap();
        right(state, 4).await;
        assert_eq!(fs::read_to_string(&path).unwrap(), setup::login::text(agent));
    });
    assert_eq!(facts.logins_restored, 4);
}

#[test]
fn a_folder_that_was_made_anew_is_watched_again() {
    guarded(20, async |agent: &Agent, state: &State| {
        fs::remove_dir_all(agent.place.claude()).unwrap();
        right(state, 1).await;
        fs::write(agent.place.credentials(), WIPED).unwrap();
        right(state, 2).await;
    });
}

#[test]
fn what_the_client_adds_about_the_account_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let agent = agent(root.path(), "");
    setup::login::restore(&agent).unwrap();
    let (path, state) = (agent.place.credentials(), State::default());
    let added = "\"subscriptionTypeSource\": \"profile\", \"subscriptionType\"";
    let text = fs::read_to_string(&path).unwrap().replace("\"subscriptionType\"", added);
    fs::write(&path, &text).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    assert!(look(&agent, &state, true));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    assert_eq!(state.facts().logins_restored, 0);
}

#[test]
fn a_client_that_fights_has_to_wait() {
    let times = Times::new(1);
    let facts = guarded(1, async |agent: &Agent, state: &State| {
        let started = Instant::now();
        while started.elapsed() < times.restore * 3 {
            fs::write(agent.place.credentials(), REAL).unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        right(state, 1).await;
    });
    assert!((2..=5).contains(&facts.logins_restored), "{facts:?}");
}

#[test]
fn a_login_that_can_not_be_put_right_is_told_of() {
    let facts = guarded(20, async |agent: &Agent, state: &State| {
        let path = agent.place.credentials();
        fs::remove_file(&path).unwrap();
        // A folder in its place can't be replaced by a file.
        fs::create_dir_all(path.join("full")).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while state.facts().login_is_stub {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let restored = state.facts().logins_restored;
        fs::remove_dir_all(&path).unwrap();
        right(state, restored + 1).await;
    });
    assert!(facts.login_is_stub);
}

/// A pipe that nobody writes into, where a file should be.
fn pipe(path: &std::path::Path) {
    let _ = fs::remove_file(path);
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn a_pipe_in_its_place_holds_up_nobody() {
    let (done, is_done) = std::sync::mpsc::channel();
    // In a thread of its own: one that waits for the pipe waits for ever.
    std::thread::spawn(move || {
        let facts = guarded(1, async |agent: &Agent, state: &State| {
            pipe(&agent.place.credentials());
            right(state, 1).await;
            assert!(fs::metadata(agent.place.credentials()).unwrap().is_file());
        });
        let _ = done.send(facts.logins_restored);
    });
    assert_eq!(is_done.recv_timeout(Duration::from_secs(20)), Ok(1));
}
