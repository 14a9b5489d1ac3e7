//! The first turn of an agent: the built image's root file system, the user that it runs as, the real client, and a home in which
//! nothing is. No dialog is shown, the model answers, and nothing real is anywhere in the container.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use stubgate_tests::Shared;
use stubgate_tests::agent::{Agent, Office, PROMPT};

static OFFICE: Shared<Office> = Shared::new(Office::open);

/// How long a turn takes at most.
const TURN: Duration = Duration::from_secs(30);
/// Resident bytes of the supervisor at most.
const MEMORY: u64 = 15 << 20;
/// How much later a supervised client takes its first prompt than one that was started by hand.
const SLOWER: Duration = Duration::from_secs(3);

#[test]
fn a_fresh_home_reaches_a_first_turn_in_tmux() {
    OFFICE.test(|office| {
        let desk = office.desk("devbot", &[("devbot/CLAUDE.md", "You are devbot.\n")]);
        println!("{}", desk.set_up());
        let agent = desk.run(&[]);
        let recording = agent.record();
        agent.until_prompt();
        let before = office.model.decided().asked.len();
        agent.turn(TURN, "say pong to tmux", Agent::type_in_tmux);
        agent.turn(TURN, "say pong to a viewer", Agent::type_attached);
        let asked = office.model.decided().asked.split_off(before);
        for text in ["say pong to tmux", "say pong to a viewer"] {
            assert_eq!(asked.iter().filter(|asked| asked.text.contains(text)).count(), 1, "{asked:?}");
        }
        assert!(asked[0].tools.iter().any(|tool| tool == "Bash"), "{:?}", asked[0].tools);
        let screen = agent.screen();
        // The double repeats the token that it was shown; stubgate puts the stub in its place, and fills up.
        assert!(screen.contains("pong, access-token-stub"), "{screen}");
        check(&agent, &["say pong to tmux", "say pong to a viewer"]);
        recording.no_dialog();
        drop(recording);
        idle_memory(&agent);
        ends(agent);
    });
}

#[test]
fn a_fresh_home_reaches_a_first_turn_without_tmux() {
    OFFICE.test(|office| {
        let desk = office.desk("headless", &[]);
        desk.set_up();
        let agent = desk.run(&["--headless"]);
        let recording = agent.record();
        agent.until_prompt();
        agent.turn(TURN, "say pong to nobody", Agent::type_attached);
        check(&agent, &["say pong to nobody"]);
        recording.no_dialog();
        ends(agent);
        // What was said is there after another start, and goes on.
        let agent = desk.run(&["--headless"]);
        let recording = agent.record();
        agent.until_prompt();
        agent.turn(TURN, "and once more", Agent::type_attached);
        check(&agent, &["say pong to nobody", "and once more"]);
        let last = office.model.decided().asked.pop().unwrap();
        assert!(last.messages > 2, "the session did not go on: {last:?}");
        recording.no_dialog();
    });
}

#[test]
fn the_supervisor_costs_little_time() {
    OFFICE.test(|office| {
        let desk = office.desk("timed", &[]);
        desk.set_up();
        // The client alone, in the same container, home, user and terminal; once before, so that both find it in memory.
        let mut alone = Duration::MAX;
        for _ in 0..2 {
            let container = desk.recipe().idle();
            let begun = Instant::now();
            let start = ["new-session", "-d", "-s", "alone", "-x", "220", "-y", "50", "-c", "/workspace"];
            let claude = "exec claude --permission-mode bypassPermissions";
            container.exec_set_up("tmux").args(start).arg(claude).run().success();
            let shown = || container.exec("tmux").args(["capture-pane", "-p", "-t", "alone"]).run().text();
            while !shown().contains(PROMPT) {
                assert!(begun.elapsed() < Duration::from_secs(60), "{}", shown());
                std::thread::sleep(Duration::from_millis(20));
            }
            alone = alone.min(begun.elapsed());
        }
        let agent = desk.run(&[]);
        agent.until(TURN, "the client", |agent| !agent.clients().is_empty());
        let begun = agent.begun.elapsed();
        let supervised = agent.until_prompt();
        let ready = agent.begun.elapsed();
        println!(
            "first prompt: {alone:?} alone; supervised {supervised:?} with its container and tmux (the client was started after \
             {begun:?}), ready after {ready:?}"
        );
        assert!(supervised < alone + SLOWER, "{supervised:?} against {alone:?}");
    });
}

/// The record is right, no dialog was met, nothing real is there.
fn check(agent: &Agent, said: &[&str]) {
    agent.until(Duration::from_secs(15), "the turns in the state", |agent| {
        agent.status()["session"]["turns"].as_u64().is_some_and(|turns| turns > 0)
    });
    let status = agent.status();
    assert_eq!(status["session"]["dialogs_answered"], 0, "{status}");
    assert_eq!(status["session"]["dialogs_blocked"], 0, "{status}");
    assert_eq!(status["session"]["dialog"], Value::Null, "{status}");
    assert_eq!(status["login"]["is_stub"], true, "{status}");
    assert_eq!(status["trust"], Value::Null, "{status}");
    assert!(agent.ready().0, "{:?}", agent.ready());
    let lines = agent.record_lines();
    let count = |role: &str, text: &str| {
        let is_it = |line: &&Value| line["type"] == role && line["message"]["content"].to_string().contains(text);
        lines.iter().filter(is_it).count()
    };
    for text in said {
        assert_eq!(count("user", text), 1, "{text}");
    }
    assert_eq!(count("assistant", "pong, access-token-stub"), said.len(), "{lines:?}");
    agent.nothing_real();
}

fn ends(agent: Agent) {
    let Agent { container, .. } = agent;
    assert!(container.stop(Duration::from_secs(15)), "the container does not end when it is asked to");
}

/// The supervisor's own processes; viewers are whoever looks.
fn idle_memory(agent: &Agent) {
    let all = agent.container.processes().into_iter();
    let is_ours = |words: &[String]| words.first().is_some_and(|word| word.ends_with("stubgate-agent"));
    let ours: Vec<(u32, String)> = all
        .filter(|(_, words)| is_ours(words) && !words.contains(&"attach".to_owned()))
        .map(|(pid, words)| (pid, words.join(" ")))
        .collect();
    assert!(!ours.is_empty());
    let resident = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:").map(str::to_owned)).unwrap_or_default();
        line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) << 10
    };
    let sizes: Vec<(String, u64)> = ours.iter().map(|(pid, words)| (words.clone(), resident(*pid))).collect();
    let whole: u64 = sizes.iter().map(|(_, size)| size).sum();
    println!("the supervisor has {} KiB: {sizes:?}", whole >> 10);
    assert!(whole < MEMORY, "{sizes:?}");
}
