//! Agents with the stub of a login in escrow, and two replicas on one PostgreSQL that die at random, against a provider
//! that ends access tokens after 20 seconds and a login at the second use of a refresh token.
//!
//! A kill between the provider's answer and its storing loses a login with such a provider, whatever is done (docs/escrow.md):
//! the suite `escrow_store` makes that happen. Here kills come at any moment, and one that hits such a moment must be
//! told; every other one costs nobody anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stubgate_tests::Shared;
use stubgate_tests::escrowed::{Escrowed, Outcome, TEAM, WAYS, within};
use stubgate_tests::leak::Search;
use stubgate_tests::memory;

static WORLD: Shared<Escrowed> = Shared::new(Escrowed::start);

/// How long access tokens live.
const LIFE: Duration = Duration::from_secs(20);
/// Turns of Claude Code, where `STUBGATE_CLAUDE_TURNS` does not say another number.
const TURNS: usize = 30;
/// Turns of all kinds.
const ALL_TURNS: usize = 100;
/// How long it goes on at least: several lives of a token.
const LONG: Duration = Duration::from_secs(50);
/// Kills, and refreshes, at least.
const KILLS: usize = 4;
const REFRESHES: usize = 2;
/// How long an agent asks again at most. What may stand between it and an answer is a replica that died while it refreshed:
/// the other one waits for 41 seconds whether the answer is still coming.
const PATIENCE: Duration = Duration::from_secs(90);

/// Milliseconds after 1970 of a time long ago, and of one far ahead.
const PAST: u64 = 1_000;
const FAR: u64 = 9_999_999_999_999;

/// The numbers of one run, from a seed that is printed and may be given as `STUBGATE_SEED`.
struct Chance(u64);

impl Chance {
    fn new() -> Chance {
        let given = std::env::var("STUBGATE_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| u64::from(now.subsec_nanos()));
        let seed: u64 = given.unwrap_or_else(now);
        println!("STUBGATE_SEED={seed}");
        Chance(seed)
    }

    /// A number below `end` (splitmix64).
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % end
    }
}

/// What happened in a run.
#[derive(Default)]
struct Tally {
    light: AtomicUsize,
    real: AtomicUsize,
    /// Turns in which Claude Code refreshed its stub.
    answered: AtomicUsize,
    broken: AtomicUsize,
    unready: AtomicUsize,
    kills: AtomicUsize,
    /// A kill hit an exchange with the provider, or the moment after it.
    unlucky: AtomicUsize,
    /// The login was lost to one of those, and told.
    told: AtomicUsize,
    longest: Mutex<Duration>,
}

impl Tally {
    fn is_done(&self, begun: Instant, real: usize, refreshes: usize) -> bool {
        let (light, had) = (self.light.load(Ordering::SeqCst), self.real.load(Ordering::SeqCst));
        let is_tried = self.kills.load(Ordering::SeqCst) >= KILLS && refreshes >= REFRESHES;
        is_tried && begun.elapsed() > LONG && had >= real && light + had >= ALL_TURNS
    }
}

#[test]
fn agents_work_on_while_replicas_die() {
    WORLD.test(|world| {
        let mut chance = Chance::new();
        let turns = std::env::var("STUBGATE_CLAUDE_TURNS").ok().and_then(|turns| turns.parse().ok()).unwrap_or(TURNS);
        world.log_in(TEAM, LIFE);
        let before = world.double.decided();
        let (tally, left, is_over) = (Tally::default(), AtomicUsize::new(turns), AtomicBool::new(false));
        let begun = Instant::now();
        thread::scope(|scope| {
            let agents: Vec<_> = (0..3)
                .map(|pod| {
                    let (tally, left, before) = (&tally, &left, &before);
                    let refreshes = move || world.double.decided().refreshes - before.refreshes;
                    let is_done = move || tally.is_done(begun, turns, refreshes());
                    scope.spawn(move || agent(world, pod, tally, left, is_done))
                })
                .collect();
            let killing = scope.spawn(|| killer(world, &mut chance, &tally, &is_over));
            let ended: Vec<_> = agents.into_iter().map(thread::ScopedJoinHandle::join).collect();
            is_over.store(true, Ordering::SeqCst);
            killing.join().expect("the killer");
            for end in ended {
                end.expect("an agent");
            }
        });
        let decided = world.double.decided();
        println!(
            "in {:?}: {} turns of Claude Code ({} with a refresh of its own) and {} of curl, {} kills ({} unlucky, {} told), {} refreshes; agents met {} broken \
             connections and {} answers 503, and waited {:?} at most",
            begun.elapsed(),
            tally.real.load(Ordering::SeqCst),
            tally.answered.load(Ordering::SeqCst),
            tally.light.load(Ordering::SeqCst),
            tally.kills.load(Ordering::SeqCst),
            tally.unlucky.load(Ordering::SeqCst),
            tally.told.load(Ordering::SeqCst),
            decided.refreshes - before.refreshes,
            tally.broken.load(Ordering::SeqCst),
            tally.unready.load(Ordering::SeqCst),
            *tally.longest.lock().unwrap(),
        );
        assert!(decided.unauthorized.is_empty(), "{:?}", decided.unauthorized);
        assert_eq!(decided.misused.len(), tally.told.load(Ordering::SeqCst), "{:?}", decided.misused);
        assert!(tally.answered.load(Ordering::SeqCst) > 0);
        world.only_replicas_asked();
        world.nothing_real();
    });
}

/// Works until all is done: turns of Claude Code as long as there are some left, and small ones between them.
fn agent(world: &Escrowed, pod: usize, tally: &Tally, left: &AtomicUsize, is_done: impl Fn() -> bool) {
    let home = world.fleet.home(pod, "claude");
    while !is_done() {
        if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            claude(world, pod, tally, &home);
        }
        let begun = Instant::now();
        loop {
            let unlucky = tally.unlucky.load(Ordering::SeqCst);
            match world.turn(pod) {
                Outcome::Answered(_) => break,
                Outcome::Broken(_) => tally.broken.fetch_add(1, Ordering::SeqCst),
                Outcome::Unready => tally.unready.fetch_add(1, Ordering::SeqCst),
            };
            assert!(begun.elapsed() < PATIENCE || unlucky > 0, "no answer for {:?}", begun.elapsed());
            thread::sleep(Duration::from_millis(100));
        }
        let mut longest = tally.longest.lock().unwrap();
        *longest = begun.elapsed().max(*longest);
        drop(longest);
        tally.light.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(150));
    }
}

/// A turn of Claude Code, for which a broken connection or a 503 is nothing new: it asks again by itself.
fn claude(world: &Escrowed, pod: usize, tally: &Tally, home: &std::path::Path) {
    let number = tally.real.load(Ordering::SeqCst);
    // Every third one finds that its login has ended, and refreshes it.
    let is_ended = number.is_multiple_of(3);
    Escrowed::lay_out_home(home, if is_ended { PAST } else { FAR });
    let ran = world.fleet.client(pod, WAYS[pod]).claude_logged_in(home).args(["-p", "say pong"]).run();
    if !ran.status.success() && tally.unlucky.load(Ordering::SeqCst) > 0 {
        println!("a turn failed after an unlucky kill: {} {}", ran.text(), ran.errors());
        return;
    }
    assert!(ran.success().starts_with("pong, access-token-stub"), "{}", ran.text());
    let login = Escrowed::login_in(home);
    assert_eq!(login["accessToken"], "access-token-stub");
    assert_eq!(login["refreshToken"], "refresh-token-stub");
    // Where a kill breaks its refresh, it goes on with the stub that it has.
    let is_refreshed = is_ended && login["expiresAt"].as_u64().unwrap() > PAST;
    tally.answered.fetch_add(usize::from(is_refreshed), Ordering::SeqCst);
    tally.real.fetch_add(1, Ordering::SeqCst);
}

/// Kills one replica after the other at moments of chance, and starts it again a little later.
fn killer(world: &Escrowed, chance: &mut Chance, tally: &Tally, is_over: &AtomicBool) {
    let fleet = &world.fleet;
    while !is_over.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(1500 + chance.below(3500)));
        let victim = usize::from(chance.below(2) == 1);
        fleet.replica(victim).kill();
        tally.kills.fetch_add(1, Ordering::SeqCst);
        let is_unlucky = world.double.is_exchanging(Duration::from_millis(500));
        // A service notices late.
        thread::sleep(Duration::from_millis(chance.below(200)));
        fleet.serve(victim, false);
        thread::sleep(Duration::from_millis(chance.below(1500)));
        fleet.replica(victim).start();
        if is_unlucky {
            tally.unlucky.fetch_add(1, Ordering::SeqCst);
            settle(world, tally);
        }
        let begun = Instant::now();
        while !world.has(victim, "claude") {
            assert!(begun.elapsed() < PATIENCE, "replica {victim} has no login");
            thread::sleep(Duration::from_millis(50));
        }
        fleet.serve(victim, true);
    }
}

/// After a kill that may have lost an answer of the provider: the login works, or people are told what to do, and do it.
fn settle(world: &Escrowed, tally: &Tally) {
    let (before, begun) = (world.double.decided().refreshes, Instant::now());
    println!("a kill hit an exchange with the provider");
    while world.double.decided().refreshes == before {
        if world.double.is_dead(world.team()) {
            within(10, "somebody to be told", || {
                let said: String =
                    (0..2).map(|one| world.fleet.replica(one).with_process(|process| process.errors())).collect();
                said.contains("log in again: stubgate login claude --name team")
            });
            tally.told.fetch_add(1, Ordering::SeqCst);
            world.log_in(TEAM, LIFE);
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "neither refreshed nor lost");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn nothing_real_is_in_the_memory_of_claude_code() {
    WORLD.test(|world| {
        world.log_in(TEAM, LIFE);
        let home = world.fleet.home(1, "slow");
        Escrowed::lay_out_home(&home, PAST);
        let begun = world.double.decided().turns;
        world.double.set_pause(Duration::from_millis(1500));
        let program = world.fleet.client(1, WAYS[1]).claude_logged_in(&home).args(["-p", "say pong"]);
        let mut running = program.spawn();
        within(60, "a turn", || world.double.decided().turns > begun);
        // The text with the token that the double saw is the third event of eight.
        thread::sleep(Duration::from_millis(5500));
        let stub = Search::new(&[("stub".to_owned(), "access-token-stub".to_owned())]);
        let searched = Instant::now();
        let real = memory::search(world.fleet.pod(1), "claude", &Search::new(&world.double.issued()));
        println!("searched {} MB of {} processes in {:?}", real.bytes >> 20, real.processes, searched.elapsed());
        let stubs = memory::search(world.fleet.pod(1), "claude", &stub);
        assert!(running.ended(Duration::ZERO).is_none(), "it ended while it was searched");
        world.double.set_pause(Duration::ZERO);
        assert_eq!(real.found, Vec::<String>::new());
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for found in &stubs.found {
            *places.entry(found.rsplit(": ").next().unwrap().split(" at ").next().unwrap()).or_default() += 1;
        }
        assert!(places.contains_key("stub, raw"), "the search finds what is there: {places:?}");
        assert!(running.ended(Duration::from_secs(60)).is_some_and(|status| status.success()), "{}", running.errors());
        let login = Escrowed::login_in(&home);
        assert_eq!(
            (&login["accessToken"], &login["refreshToken"]),
            (&"access-token-stub".into(), &"refresh-token-stub".into())
        );
        assert!(login["expiresAt"].as_u64().unwrap() > PAST, "it was not refreshed");
        world.only_replicas_asked();
        world.nothing_real();
    });
}
