//! A hundred thousand rules in two hundred files: checked in seconds and taken up without a stall.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stubgate_tests::wire::Wire;
use stubgate_tests::world::POLICY;
use stubgate_tests::{Shared, World};

static WORLD: Shared<World> = Shared::new(World::standard);

const FILES: usize = 200;
const RULES: usize = 500;
const AGENTS: usize = 500;

/// Longest time without an answer while a policy is taken up.
const GAP: Duration = Duration::from_millis(50);

/// Rules of one file: hosts of its own and hosts shared with others, wildcards, paths, deny rules.
fn file(number: usize) -> String {
    let mut text = String::from("version: 1\nrules:\n");
    for n in number * RULES..(number + 1) * RULES {
        let (agent, other) = (n % AGENTS, (n * 7 + 1) % AGENTS);
        let rule = match n % 4 {
            0 => format!("agents: [bot{agent}], hosts: [h{n}.example], methods: [GET, POST]"),
            1 => format!("agents: [bot{agent}], hosts: ['*.w{}.example'], methods: [GET]", n / 100),
            2 => {
                format!("agents: [bot{agent}, bot{other}], hosts: [busy.example], methods: [GET], paths: ['/p{n}/**']")
            }
            _ => {
                format!("effect: deny, agents: [bot{agent}], hosts: [busy.example], methods: [PUT], paths: ['/p{n}/x']")
            }
        };
        writeln!(text, "  - {{ name: scale-{n}, {rule} }}").unwrap();
    }
    text
}

fn agents() -> String {
    let mut text = String::from("version: 1\nagents:\n");
    for n in 0..AGENTS {
        writeln!(text, "  bot{n}: {{ sources: ['10.{}.{}.0/24'] }}", 100 + n / 250, n % 250).unwrap();
    }
    text
}

/// The longest time between two answers on a kept connection while `work` goes on.
fn longest_gap(world: &World, work: impl FnOnce()) -> Duration {
    let mut wire = Wire::tls(&world.lab, "other.example").expect("an allowed name");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut longest, mut last) = (Duration::ZERO, Instant::now());
            while !done.load(Ordering::Relaxed) {
                wire.send("GET / HTTP/1.1\r\nHost: other.example\r\n\r\n");
                let reply = wire.reply().expect("an answer");
                assert_eq!(reply.status, 200);
                longest = longest.max(last.elapsed());
                if reply.head.to_ascii_lowercase().contains("connection: close") {
                    // A connection brings so many requests and then ends.
                    wire = Wire::tls(&world.lab, "other.example").expect("an allowed name");
                }
                last = Instant::now();
            }
            longest
        });
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        // Whoever asks must stop also where the work failed.
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
        asking.join().expect("the client")
    })
}

#[test]
fn a_hundred_thousand_rules_are_checked_in_seconds_and_taken_up_without_a_stall() {
    WORLD.test(|world| {
        let appliance = world.lab.appliance();
        let folder = appliance.dir().join("policy");
        std::fs::write(folder.join("scale-agents.yaml"), agents()).expect("write");
        for number in 0..FILES {
            std::fs::write(folder.join(format!("scale-{number:03}.yaml")), file(number)).expect("write");
        }
        let begun = Instant::now();
        let checked = appliance.command(["policy", "check", "policy"]).run();
        assert!(checked.text().contains("rules in 202 files"), "{}", checked.text());
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        // The first of these may meet the files half written.
        appliance.policy(POLICY);
        // Others share the machine: one quiet reload shows that nothing of ours stands in the way.
        let gaps: Vec<Duration> = (0..5).map(|_| longest_gap(world, || appliance.policy(POLICY))).collect();
        println!("longest gaps during reloads: {gaps:?}; memory {:?} KiB", appliance.memory());
        assert!(gaps.iter().any(|gap| *gap < GAP), "{gaps:?}");
        let (_, most) = appliance.memory();
        assert!(most < 1024 * 1024, "{most} KiB");
        for number in 0..FILES {
            std::fs::remove_file(folder.join(format!("scale-{number:03}.yaml"))).expect("remove");
        }
        std::fs::remove_file(folder.join("scale-agents.yaml")).expect("remove");
        appliance.policy(POLICY);
    });
}
