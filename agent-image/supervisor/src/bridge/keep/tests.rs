use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::bridge::testing;

fn pace() -> Pace {
    Pace {
        starting: Duration::from_millis(20),
        start: Duration::from_secs(20),
        probe: Duration::from_millis(500),
        again: Duration::from_millis(50),
        failures: 2,
        waits: (Duration::from_millis(10), Duration::from_millis(100)),
        look: Duration::from_millis(20),
    }
}

/// Bridges that are kept while this is.
struct Running {
    state: State,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(bridge: Bridge) -> Self {
        let (state, stop) = (State::default(), CancellationToken::new());
        let task = tokio::spawn(keep_all(vec![bridge], state.clone(), stop.clone(), pace()));
        Running { state, stop, task }
    }

    /// Waits until the bridge is so.
    async fn until(&self, what: &str, is_so: impl Fn(&state::Bridge) -> bool) -> state::Bridge {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.state.facts().bridges.get("b").cloned();
            if let Some(found) = found.filter(|found| is_so(found)) {
                return found;
            }
            assert!(Instant::now() < deadline, "not {what}: {:?}", self.state.facts().bridges);
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn works(bridge: &state::Bridge) -> bool {
    bridge.failing.is_none()
}

/// The server as it started last.
fn last_pid(folder: &Path) -> Pid {
    let text = fs::read_to_string(folder.join("pids")).unwrap();
    Pid::from_raw(text.lines().last().unwrap().parse().unwrap()).unwrap()
}

fn is_alive(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid).is_ok()
}

fn server(folder: &TempDir, arguments: &str, more: &str) -> Bridge {
    let pids = folder.path().join("pids").display().to_string();
    let arguments = format!(", --pid-file, {pids}{arguments}");
    testing::http(folder.path(), testing::port(), &arguments, more)
}

#[tokio::test]
async fn a_server_that_is_killed_is_started_again_and_its_history_kept() {
    let folder = tempdir().unwrap();
    let bridge = server(&folder, "", ", required: true");
    let history = bridge.kept().with_extension("jsonl");
    let running = Running::start(bridge);
    let first = running.until("works", works).await;
    assert!(first.required && first.last_good.is_some() && first.tools == 1 && first.restarts == 0);
    let killed = last_pid(folder.path());
    kill_process(killed, Signal::KILL).unwrap();
    let again = running.until("works again", |bridge| works(bridge) && bridge.restarts == 1).await;
    assert_eq!(again.version.as_deref(), Some("1.0"));
    let pid = last_pid(folder.path());
    assert!(pid != killed && is_alive(pid));
    running.stop().await;
    assert!(!is_alive(pid));
    let last = history::last(&history).unwrap();
    assert_eq!((last.tools, last.failing), (Some(1), None));
}

#[tokio::test]
async fn a_server_that_hangs_is_killed_and_started_again() {
    let folder = tempdir().unwrap();
    let running = Running::start(server(&folder, "", ", probe: { every_seconds: 5 }"));
    running.until("works", works).await;
    let hung = last_pid(folder.path());
    kill_process(hung, Signal::STOP).unwrap();
    running.until("works again", |bridge| works(bridge) && bridge.restarts == 1).await;
    assert!(!is_alive(hung));
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_lacks_a_tool_never_works_and_is_not_ended_at_once() {
    let folder = tempdir().unwrap();
    let running = Running::start(server(&folder, "", ", probe: { tools: [send] }"));
    let found = running.until("asked", |bridge| bridge.failing.as_deref() == Some("does not offer send")).await;
    assert!(found.last_good.is_none());
    running.stop().await;
}

#[tokio::test]
async fn what_can_not_be_started_is_said_and_tried_again() {
    let folder = tempdir().unwrap();
    let text = format!("{{ http: {{ command: [/no/such/program], port: {} }} }}", testing::port());
    let running = Running::start(testing::bridge(folder.path(), &text));
    let found = running.until("tried again", |bridge| bridge.restarts > 1).await;
    assert!(found.failing.unwrap().starts_with("it can't be started"));
    running.stop().await;
}

#[tokio::test]
async fn a_stdio_bridge_is_asked_and_nothing_of_it_stays() {
    let folder = tempdir().unwrap();
    let pids = folder.path().join("pids").display().to_string();
    let running = Running::start(testing::stdio(folder.path(), &format!(", --deaf-to-term, --pid-file, {pids}"), ""));
    running.until("works", works).await;
    let pid = last_pid(folder.path());
    running.stop().await;
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_file_that_is_wrong_is_said_to_be_so() {
    let folder = tempdir().unwrap();
    let place = testing::place(folder.path());
    let shared = place.agents.join("_shared");
    fs::create_dir_all(&shared).unwrap();
    fs::write(shared.join(file::NAME), "bridges: { x: {} }").unwrap();
    let agent = Agent { name: "devbot".into(), file: crate::agent::AgentFile::default(), place };
    let state = State::default();
    keep(agent, state.clone(), CancellationToken::new()).await;
    let found = state.facts().bridges.remove(file::NAME).unwrap();
    assert!(found.required && found.failing.unwrap().contains("exactly one of"));
}
