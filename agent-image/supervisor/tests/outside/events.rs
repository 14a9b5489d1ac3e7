//! Events: at least once, whatever is killed, and once in the stream.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::sync::Arc;

use serde_json::{Value, json};
use stubgate_agent::agent::Agent;
use stubgate_agent::event::{self, send::Sender};
use stubgate_agent::state::State;
use tokio_util::sync::CancellationToken;

use crate::front::{Front, Mode};
use crate::home::{Home, wait_until};
use crate::nats::{Listen, Nats};

const TOKEN: &str = "a-token-that-only-the-front-knows";
const DONE: [&str; 7] = ["event", "publish", "task_done", "--task", "site-7", "--summary", "It is fixed"];

struct World {
    home: Home,
    nats: Nats,
    front: Front,
}

impl World {
    fn new() -> World {
        let home = Home::new();
        let nats = Nats::start(home.path(), &Listen::Plain);
        let front = Front::open(&home.authority, TOKEN, nats.socket());
        home.configure(&format!("events:\n  server: {}\n  stub: {TOKEN}\n  spool_events: 4\n", front.address()));
        nats.stream("swarm.events.*", -1);
        World { home, nats, front }
    }

    fn publish(&self, task: &str) -> crate::home::Ran {
        self.home.run(&["event", "publish", "task_done", "--task", task, "--summary", "x", "--id", task])
    }

    /// How many wait, and how many were put aside.
    fn spooled(&self) -> (usize, usize) {
        let list = self.home.run(&["event", "list", "--json"]).ok();
        let is = |what: &str| {
            let lines = list.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines.filter(|line| line["is"] == what).count()
        };
        (is("waiting"), is("aside"))
    }

    fn ids(&self) -> Vec<String> {
        self.nats.messages().into_iter().map(|(_, id, _)| id).collect()
    }
}

/// Kill -9.
fn kill(mut child: Child) {
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9), "it had ended by itself");
}

#[test]
fn an_event_is_in_the_stream_once_it_is_published() {
    let world = World::new();
    let said = world.home.run(&DONE).ok();
    let messages = world.nats.messages();
    let [(subject, id, event)] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(subject, "swarm.events.task_done");
    assert_eq!(said, format!("published {id}\n"));
    let mut event = event.clone();
    assert!(event["at"].take().as_str().unwrap().ends_with('Z'));
    let wanted = json!({
        "id": id, "type": "task_done", "agent": "devbot", "at": null, "task": "site-7", "summary": "It is fixed",
    });
    assert_eq!(event, wanted);
    assert_eq!(world.spooled(), (0, 0));
    let heads = world.front.heads();
    assert!(heads[0].starts_with("GET / HTTP/1.1\r\n") && heads[0].contains("authorization: Bearer "), "{heads:?}");
}

#[test]
fn what_says_the_same_again_is_dropped_by_the_stream() {
    let world = World::new();
    for _ in 0..3 {
        world.home.run(&DONE).ok();
    }
    let stdin = json!({ "type": "task_done", "task": "site-7", "summary": "It is fixed" }).to_string();
    world.home.run_with(&["event", "publish", "--json"], &stdin).ok();
    assert_eq!(world.nats.messages().len(), 1);
}

#[test]
fn a_server_with_its_own_certificate_is_reached_and_another_one_is_not() {
    let home = Home::new();
    let (certificate, key) = &home.authority.server;
    let nats = Nats::start(home.path(), &Listen::Tls(certificate, key));
    nats.stream("team.events.*", -1);
    let settings = |host: &str| {
        format!("events: {{ server: \"wss://{host}:{}\", stub: x, prefix: team.events }}\n", nats.socket())
    };
    home.configure(&settings("localhost"));
    home.run(&DONE).ok();
    assert_eq!(nats.messages()[0].0, "team.events.task_done");
    // Another name for it, which its certificate has not.
    home.configure(&settings("127.0.0.1"));
    let ran = home.run(&["event", "publish", "task_done", "--task", "b", "--summary", "x", "--require-ack"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains("certificate"), "{ran:?}");
    assert_eq!(nats.messages().len(), 1);
}

#[test]
fn events_wait_in_order_while_the_server_is_away() {
    let mut world = World::new();
    world.nats.kill();
    for task in ["a", "b", "c"] {
        let said = world.publish(task).ok();
        assert!(said.starts_with(&format!("spooled {task}: ")), "{said}");
    }
    let again = world.publish("b").ok();
    assert!(again.starts_with("spooled b (it waited already): "), "{again}");
    let flushed = world.home.run(&["event", "flush"]);
    assert_eq!(flushed.code, Some(1));
    assert!(flushed.err.contains("3 wait"), "{flushed:?}");
    let mut with_ack = DONE.to_vec();
    with_ack.push("--require-ack");
    assert_eq!(world.home.run(&with_ack).code, Some(1));
    // Four are all that it may hold.
    let full = world.publish("e");
    assert_eq!(full.code, Some(1));
    assert!(full.err.contains("the spool is full: 4 events of 4"), "{full:?}");
    world.nats.again();
    let flushed = world.home.run(&["event", "flush"]).ok();
    assert_eq!(flushed.lines().count(), 4, "{flushed}");
    world.publish("f").ok();
    let ids = world.ids();
    assert_eq!((ids.len(), &ids[..3], &*ids[4]), (5, &["a", "b", "c"].map(String::from)[..], "f"));
    assert_eq!(world.spooled(), (0, 0));
}

#[test]
fn a_server_killed_between_an_event_and_its_answer_holds_it_once() {
    let mut world = World::new();
    world.publish("before").ok();
    world.front.set(Mode::SwallowAnswers);
    let seen = world.front.answers();
    let child = world.home.start(&["event", "publish", "task_done", "--task", "a", "--summary", "x", "--id", "a"]);
    wait_until("JetStream answers", || world.front.answers() > seen);
    world.nats.kill();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("spooled a: "), "{said}");
    assert_eq!(world.spooled(), (1, 0));
    world.nats.again();
    world.front.set(Mode::Pass);
    assert_eq!(world.home.run(&["event", "flush"]).ok(), "published a\n");
    assert_eq!(world.ids(), ["before", "a"]);
}

#[test]
fn a_publisher_killed_at_any_step_loses_nothing_and_doubles_nothing() {
    let world = World::new();
    let start =
        |id: &str| world.home.start(&["event", "publish", "task_done", "--task", id, "--summary", "x", "--id", id]);

    // After it was spooled, before anything was sent.
    world.front.set(Mode::Silent);
    let child = start("a");
    wait_until("it connects", || world.front.connections() > 0);
    assert_eq!(world.spooled(), (1, 0));
    kill(child);
    world.front.set(Mode::Pass);
    assert_eq!(world.home.run(&["event", "flush"]).ok(), "published a\n");

    // After it was sent, before its answer.
    world.front.set(Mode::SwallowAnswers);
    let seen = world.front.answers();
    let child = start("b");
    wait_until("JetStream answers", || world.front.answers() > seen);
    kill(child);
    world.front.set(Mode::Pass);
    assert_eq!(world.home.run(&["event", "flush"]).ok(), "published b\n");

    // After its answer, before it left the spool: the lock is ours, so that it can't remove the file.
    world.front.set(Mode::Silent);
    let connections = world.front.connections();
    let child = start("c");
    wait_until("it connects", || world.front.connections() > connections);
    kill(child);
    let lock = fs::File::options().write(true).open(world.home.kept().join("spool/.lock")).unwrap();
    lock.lock().unwrap();
    world.front.set(Mode::Pass);
    let seen = world.front.answers();
    let child = world.home.start(&["event", "flush"]);
    wait_until("JetStream answers", || world.front.answers() > seen);
    kill(child);
    drop(lock);
    assert_eq!(world.spooled(), (1, 0));
    assert_eq!(world.home.run(&["event", "flush"]).ok(), "published c\n");

    assert_eq!(world.ids(), ["a", "b", "c"]);
    assert_eq!(world.spooled(), (0, 0));
}

#[test]
fn two_that_send_at_once_send_each_event_once() {
    let mut world = World::new();
    world.nats.kill();
    for task in ["a", "b", "c"] {
        world.publish(task).ok();
    }
    world.nats.again();
    let children: Vec<Child> = (0..4)
        .map(|_| {
            world.home.start(&[
                "event",
                "publish",
                "task_done",
                "--task",
                "d",
                "--summary",
                "x",
                "--id",
                "d",
                "--require-ack",
            ])
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(world.ids(), ["a", "b", "c", "d"]);
    assert_eq!(world.spooled(), (0, 0));
}

#[test]
fn the_running_agent_publishes_what_was_spooled_and_tells_what_waits() {
    let mut world = World::new();
    let (state, stop) = (State::default(), CancellationToken::new());
    let trust = Arc::clone(&world.home.authority.trust);
    let sender = move |agent: &Agent| Sender::trusting(agent, Arc::clone(&trust));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    world.nats.kill();
    for task in ["a", "b"] {
        world.publish(task).ok();
    }
    let task = runtime.spawn(event::drain_by(world.home.agent(), state.clone(), stop.clone(), sender));
    wait_until("it tells what waits", || state.facts().spooled == 2);
    let connections = world.front.connections();
    wait_until("it tries again", || world.front.connections() > connections);
    world.nats.again();
    wait_until("nothing waits", || state.facts().spooled == 0);
    assert_eq!(world.ids(), ["a", "b"]);
    // Beside it, a command publishes as ever.
    world.publish("c").ok();
    assert_eq!(world.ids(), ["a", "b", "c"]);
    stop.cancel();
    runtime.block_on(task).unwrap();
}

#[test]
fn an_event_that_is_refused_for_good_gives_way_and_is_told() {
    let world = World::new();
    world.nats.delete_stream();
    world.nats.stream("swarm.events.*", 200);
    let long = "x".repeat(400);
    let poison = ["event", "publish", "task_done", "--task", "long", "--id", "long", "--summary", &long];
    let said = world.home.run(&poison).ok();
    assert!(said.starts_with("spooled long: ") && said.contains("exceeds maximum"), "{said}");
    world.publish("short").ok();
    assert_eq!(world.spooled(), (2, 0), "it is tried in order");
    let flushed = world.home.run(&["event", "flush"]);
    assert_eq!(flushed.code, Some(1));
    assert!(flushed.out.contains("published short\n") && flushed.out.contains("put aside long: "), "{flushed:?}");
    assert_eq!(world.ids(), ["short"]);
    assert_eq!(world.spooled(), (0, 1));
    let listed = world.home.run(&["event", "list"]).ok();
    assert!(listed.starts_with("aside") && listed.contains("refused 3 times: "), "{listed}");
    world.nats.delete_stream();
    world.nats.stream("swarm.events.*", -1);
    assert_eq!(world.home.run(&["event", "flush", "--aside"]).ok(), "published long\n");
    assert_eq!(world.spooled(), (0, 0));
}

#[test]
fn an_event_without_a_stream_waits_for_one_until_a_person_drops_it() {
    let world = World::new();
    world.nats.delete_stream();
    let said = world.publish("a").ok();
    assert_eq!(said, "spooled a: no stream takes its subject\n");
    world.nats.stream("swarm.events.*", -1);
    world.publish("b").ok();
    assert_eq!(world.ids(), ["a", "b"]);
    world.nats.delete_stream();
    world.publish("c").ok();
    world.home.run(&["event", "drop", "c"]).ok();
    assert_eq!(world.home.run(&["event", "drop", "c"]).code, Some(1));
    assert_eq!(world.spooled(), (0, 0));
}

#[test]
fn a_wrong_token_is_refused_at_the_upgrade() {
    let world = World::new();
    world.home.configure(&format!("events: {{ server: \"{}\", stub: proxy-token-nats }}\n", world.front.address()));
    let said = world.publish("a").ok();
    assert!(said.starts_with("spooled a: ") && said.contains("403"), "{said}");
    assert!(world.nats.messages().is_empty());
}

#[test]
fn what_is_no_event_is_neither_spooled_nor_sent() {
    let world = World::new();
    for arguments in [
        vec!["event", "publish", "pr_opened", "--repository", "site", "--number", "1", "--title", "x"],
        vec!["event", "publish", "pr_opened", "--repository", "a/b", "--number", "one", "--title", "x"],
        vec!["event", "publish", "incident", "--severity", "bad", "--summary", "x"],
        vec!["event", "publish", "task_done", "--task", "a", "--summary", "x", "--id", "../x"],
        vec!["event", "publish"],
        vec!["event", "publish", "--json"],
        vec!["event", "publish", "--json", "task_done", "--task", "a", "--summary", "x"],
    ] {
        let ran = world.home.run(&arguments);
        assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
    }
    assert_eq!(world.home.run(&["event", "publish", "party"]).code, Some(2));
    assert_eq!(world.front.connections(), 0);
    world.home.configure("{}\n");
    let ran = world.publish("a");
    assert!(ran.code == Some(1) && ran.err.contains("does not say where events go"), "{ran:?}");
}

#[test]
fn a_reader_who_stops_early_is_no_error() {
    let home = crate::home::Home::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = home.command(&["event", "schema"]).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
