//! The kill matrix: whatever is broken comes back, or `/readyz` says what is wrong, each within the time that its row states. After
//! every blow the agent has a turn.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use stubgate_tests::Shared;
use stubgate_tests::agent::{Agent, Office, PROMPT};
use stubgate_tests::client::source;
use stubgate_tests::process::signal;

static OFFICE: Shared<Office> = Shared::new(Office::open);

const YAML: &str = "listen: 127.0.0.1:9091\n";
const BRIDGES: &str = r#"bridges:
  lab:
    http: { command: [python3, "/opt/lab/bridge.py", "{port}"], port: 9700 }
    required: true
    probe: { every_seconds: 5, tools: [look] }
"#;
/// A turn after a blow.
const TURN: Duration = Duration::from_secs(30);

/// One line of the table.
struct Row {
    what: &'static str,
    told: Option<(String, Duration)>,
    well: Duration,
    turn: Duration,
}

/// What is done to an agent.
struct Trial<'a> {
    agent: &'a Agent<'a>,
    rows: RefCell<Vec<Row>>,
}

/// What must be so after a blow.
struct Expected {
    what: &'static str,
    /// A reason that `/readyz` gives before anybody helps, and within which time.
    reason: Option<(&'static str, Duration)>,
    /// All is well again after so long.
    well: Duration,
}

impl<'a> Trial<'a> {
    fn of(agent: &'a Agent<'a>) -> Trial<'a> {
        Trial { agent, rows: RefCell::default() }
    }

    /// Strikes; waits until it is told, where it has to be; helps; waits until all is well, and has a turn.
    #[track_caller]
    fn strike(&self, expected: &Expected, blow: impl FnOnce(), help: impl FnOnce(), is_well: impl Fn() -> bool) {
        let (agent, what) = (self.agent, expected.what);
        let begun = Instant::now();
        blow();
        let mut told = None;
        if let Some((reason, within)) = expected.reason {
            agent.until(within, what, |agent| agent.ready().1.contains(reason));
            told = Some((reason.to_owned(), begun.elapsed()));
        }
        help();
        let helped = Instant::now();
        while !(is_well() && agent.ready().0) {
            let ready = agent.ready();
            if !ready.0 && told.is_none() {
                told = Some((ready.1.split(':').next().unwrap_or_default().trim().to_owned(), begun.elapsed()));
            }
            assert!(helped.elapsed() < expected.well, "{what}: not well after {:?}: {ready:?}", expected.well);
            std::thread::sleep(Duration::from_millis(20));
        }
        let well = helped.elapsed();
        let turn = self.turn(what);
        self.rows.borrow_mut().push(Row { what, told, well, turn });
    }

    /// A turn, by whatever way is there.
    #[track_caller]
    fn turn(&self, what: &str) -> Duration {
        self.agent.until(TURN, what, |agent| agent.screen().contains(PROMPT));
        self.agent.turn(TURN, &format!("say pong after: {what}"), Agent::type_attached)
    }

    fn print(&self) {
        println!("| blow | told by /readyz, after | well again after | a turn took |\n|---|---|---|---|");
        for Row { what, told, well, turn } in self.rows.borrow().iter() {
            let told = told.as_ref().map_or("-".to_owned(), |(reason, after)| format!("{reason}, {after:.1?}"));
            println!("| {what} | {told} | {well:.1?} | {turn:.1?} |");
        }
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn what_is_killed_comes_back() {
    OFFICE.test(|office| {
        let files = [("struck/agent.yaml", YAML), ("struck/bridges.yaml", BRIDGES)];
        let desk = office.desk("struck", &files).mount(source("clients"), "/opt/lab");
        desk.set_up();
        let agent = desk.run(&[]);
        agent.until_prompt();
        let trial = Trial::of(&agent);
        trial.turn("nothing");
        let client = || *agent.clients().first().expect("a client");

        let first = client();
        trial.strike(
            &Expected { what: "the client is killed", reason: None, well: seconds(15) },
            || signal(first, Signal::KILL),
            || {},
            || agent.clients().first().is_some_and(|now| *now != first),
        );

        let stopped = client();
        trial.strike(
            &Expected {
                what: "the client is stopped, and goes on",
                reason: Some(("client_hung", seconds(5))),
                well: seconds(5),
            },
            || signal(stopped, Signal::STOP),
            || signal(stopped, Signal::CONT),
            || client() == stopped,
        );

        let servers = agent.container.find("tmux");
        trial.strike(
            &Expected { what: "tmux is killed", reason: None, well: seconds(15) },
            || drop(agent.tmux(&["kill-server"]).run()),
            || {},
            || {
                let has_new = agent.container.find("tmux").iter().any(|pid| !servers.contains(pid));
                has_new && agent.status()["tmux"] == true && client() == stopped
            },
        );

        let bridge = agent.container.find("bridge.py");
        trial.strike(
            &Expected { what: "a bridge is killed", reason: None, well: seconds(20) },
            || bridge.iter().for_each(|pid| signal(*pid, Signal::KILL)),
            || {},
            || {
                let now = agent.container.find("bridge.py");
                !now.is_empty()
                    && now.iter().all(|pid| !bridge.contains(pid))
                    && agent.status()["bridges"]["lab"]["up"] == true
            },
        );

        let machine = office.lab.appliance().node();
        trial.strike(
            &Expected { what: "the network is gone for 5 s, during a turn", reason: None, well: seconds(40) },
            || {
                machine.plumb("ip link set link0 down");
                agent.type_attached("say pong from nowhere");
                std::thread::sleep(seconds(5));
                assert!(!agent.is_answered("say pong from nowhere"), "the network was there");
                machine.plumb("ip link set link0 up");
            },
            || {},
            || agent.is_answered("say pong from nowhere"),
        );

        trial.strike(
            &Expected { what: "the firewall is restarted, during a turn", reason: None, well: seconds(40) },
            || {
                office.lab.appliance().kill();
                agent.type_attached("say pong to a new firewall");
                assert!(!agent.is_answered("say pong to a new firewall"), "the firewall was there");
                office.lab.appliance().start();
                office.until_logged_in();
            },
            || {},
            || agent.is_answered("say pong to a new firewall"),
        );

        let login = "/home/agent/.claude/.credentials.json";
        let restored = agent.status()["login"]["restored"].as_u64().expect("a count");
        trial.strike(
            &Expected { what: "the login is overwritten", reason: None, well: seconds(5) },
            || {
                // In the shape of a real one.
                let line = format!(
                    "sed 's/access-token-stub/sk-ant-oat01-{}AA/' {login} >{login}.new && mv {login}.new {login}",
                    "x".repeat(86)
                );
                agent.container.exec("sh").args(["-c", &line]).run().success();
            },
            || {},
            || {
                let file = std::fs::read_to_string(agent.container.path(login)).unwrap_or_default();
                file.contains("\"access-token-stub\"")
                    && agent.status()["login"]["restored"].as_u64().is_some_and(|now| now > restored)
            },
        );
        trial.print();
        agent.nothing_real();

        // The supervisor itself: the container ends, and whoever runs it starts another.
        let Agent { mut container, .. } = agent;
        let supervisor = container.find("stubgate-agent run").into_iter().find(|pid| *pid != container.pid());
        let begun = Instant::now();
        signal(supervisor.expect("a supervisor below the first process"), Signal::KILL);
        assert!(container.main().ended(seconds(5)).is_some(), "the container goes on without its supervisor");
        println!("| the supervisor is killed | the container ends after {:.1?} |", begun.elapsed());
    });
}

/// With all times of the supervisor divided by ten.
#[test]
fn a_full_disk_and_a_client_that_stays_stopped_are_told() {
    OFFICE.test(|office| {
        let desk = office.desk("full", &[("full/agent.yaml", YAML)]).size("/home/agent", 128 << 20);
        let agent = desk.run_in_one(&["--headless", "--hurry", "10"]);
        agent.until_prompt();
        let trial = Trial::of(&agent);
        trial.turn("nothing");
        let shell = |line: &str| agent.container.exec("sh").args(["-c", line]).run();
        trial.strike(
            &Expected {
                what: "the disk is full (times divided by ten)",
                reason: Some(("disk_full", seconds(20))),
                well: seconds(40),
            },
            || drop(shell("head -c 1G /dev/zero >/home/agent/all; true")),
            || drop(shell("rm /home/agent/all")),
            || true,
        );
        let stopped = *agent.clients().first().expect("a client");
        trial.strike(
            &Expected {
                what: "the client is stopped for good (times divided by ten)",
                reason: Some(("client_hung", seconds(5))),
                well: seconds(15),
            },
            || signal(stopped, Signal::STOP),
            || {},
            || true,
        );
        trial.print();
        agent.nothing_real();
    });
}
