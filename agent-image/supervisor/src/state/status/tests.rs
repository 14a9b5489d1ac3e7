use std::os::unix::net::UnixListener;
use std::time::UNIX_EPOCH;

use tokio_util::sync::CancellationToken;

use super::super::mask::Mask;
use super::super::{Bridge, Client, Facts, State, serve};
use super::*;
use crate::state::serve::tests::{agent, good};

/// Asks as the command does, of a server in the same process.
async fn asked(place: &Place) -> io::Result<Report> {
    let path = socket(place);
    let asking = tokio::task::spawn_blocking(move || {
        let end = Instant::now() + Duration::from_secs(30);
        // Its socket may not be there yet, or not be listened on.
        let is_early = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) && Instant::now() < end
        };
        loop {
            match ask(&path, DEADLINE) {
                Err(error) if is_early(&error) => std::thread::yield_now(),
                told => return told,
            }
        }
    });
    asking.await.unwrap()
}

#[tokio::test]
async fn status_tells_what_the_supervisor_knows() {
    let folder = tempfile::tempdir().unwrap();
    let agent = agent(folder.path());
    let (state, stop) = (State::default(), CancellationToken::new());
    let serving = tokio::spawn(serve(agent.clone(), state.clone(), stop.clone()));
    let report = asked(&agent.place).await.unwrap();
    assert_eq!((report.ready, &*report.client.is, &*report.agent), (false, "waiting", "devbot"));
    good(&state);
    let report = asked(&agent.place).await.unwrap();
    assert_eq!((&*report.client.is, report.client.pid), ("up", Some(std::process::id())));
    // Setup has not run here.
    assert!(!report.ready && report.reasons.iter().all(|not| not.reason.as_str() == "trust_wrong"), "{report:?}");
    stop.cancel();
    serving.await.unwrap();
}

/// What is said of somebody that listens on the socket and answers with these bytes.
fn answered(bytes: &'static [u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sock");
    let sockets = UnixListener::bind(&path).unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = sockets.accept().unwrap();
        let _ = stream.write_all(bytes);
        let mut question = [0; 1024];
        let _ = stream.read(&mut question);
        // Held open until the one who asks goes.
        if bytes.is_empty() {
            while stream.read(&mut question).is_ok_and(|length| length > 0) {}
        }
    });
    let told = ask(&path, Duration::from_millis(300)).map(|report| report.agent);
    answering.join().unwrap();
    told.unwrap_err().to_string()
}

#[test]
fn one_that_answers_something_else_is_no_supervisor() {
    assert_eq!(answered(b"garbage"), "it closed without an answer");
    assert_eq!(answered(b"\xff\xff\r\n\r\n"), "the answer is no text");
    assert_eq!(answered(b"HTTP/1.1 404 Not Found\r\n\r\n"), "it answers something else");
    assert_eq!(answered(b"HTTP/1.1 200 OK\r\n\r\n{}"), "it answers what this version can't read");
    assert_eq!(answered(b""), "no answer in time");
}

#[test]
fn without_a_supervisor_it_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let place = agent(folder.path()).place;
    assert_eq!(Status { json: false }.run(&place), ExitCode::from(2));
    std::fs::create_dir_all(&place.run).unwrap();
    drop(UnixListener::bind(socket(&place)).unwrap());
    assert_eq!(Status { json: true }.run(&place), ExitCode::from(2), "a socket that a killed one left behind");
}

fn report() -> Report {
    let bridge = Bridge {
        required: true,
        version: Some("1.2.0".into()),
        failing: Some("connection refused".into()),
        restarts: 3,
        ..Bridge::default()
    };
    let facts = Facts {
        client: Client::Up { pid: 42, since: UNIX_EPOCH, restarts: 2 },
        restarts: 2,
        login_is_stub: true,
        turns: 5,
        last_turn: Some(UNIX_EPOCH),
        tmux: Some(true),
        bridges: [("github".into(), bridge), ("nats".into(), Bridge::default())].into(),
        ..Facts::default()
    };
    Report::new("devbot", &facts, &Mask::default(), UNIX_EPOCH, UNIX_EPOCH)
}

#[test]
fn people_read_a_table() {
    let text = table(&report());
    let table = "\
agent          devbot
ready          no
               bridge_failing: github: connection refused
client         up, since 1970-01-01T00:00:00Z, process 42, 2 restarts
turns          5, the last one ended 1970-01-01T00:00:00Z
dialogs        0 answered, 0 blocked
login          stubs only, restored 0 times
trust          in order
tmux           session main
bridge github  down, required, version 1.2.0, 0 tools, 3 restarts: connection refused
bridge nats    down, 0 tools, 0 restarts
events         0 wait, 0 were refused
supervisor     0.1.0 since 1970-01-01T00:00:00Z
";
    assert_eq!(text, table);
}

#[test]
fn an_answer_can_not_speak_to_the_terminal() {
    let mut report = report();
    report.agent = "a\x1b]0;x\x07\u{9b}2J".into();
    report.trust = Some("\x1b[31m".into());
    report.bridges.insert("b\x1b[m\n".into(), report.bridges["nats"].clone());
    for text in [table(&report), as_json(&report)] {
        assert!(!text.chars().any(|char| char.is_control() && char != '\n'), "{text:?}");
    }
}
