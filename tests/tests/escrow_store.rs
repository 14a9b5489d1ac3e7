//! The store of logins away, and replicas that die in the middle of a refresh: requests with good tokens go on, no agent
//! is answered 401, and what can't be kept is told with what mends it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::thread;
use std::time::{Duration, Instant};

use stubgate_tests::escrowed::{Escrowed, Outcome, TEAM, within};
use stubgate_tests::origin::anthropic::Hold;
use stubgate_tests::{Shared, Way};

static WORLD: Shared<Escrowed> = Shared::new(Escrowed::start);

/// How long the database is away, in seconds, where `STUBGATE_OUTAGE_SECONDS` does not say another number.
const OUTAGE: u64 = 8;

/// A kill while the provider has the request, and one while it has used the refresh token up and nobody has its answer.
/// 41 seconds of it are the time that an answer to another holder could take.
#[test]
fn a_death_in_the_middle_of_a_refresh_leaves_a_login_that_works_or_says_what_to_do() {
    WORLD.test(|world| {
        let ask = |name: &str| {
            let stub = format!("{name}-access-stub");
            world.ask(0, &stub, &[], &format!("https://api.anthropic.com/lab/{name}"))
        };
        let before = world.double.decided();
        let early = world.log_in("early", Duration::from_secs(3));
        world.double.hold(early, Hold::Before);
        let team = world.log_in(TEAM, Duration::from_secs(3));
        world.double.hold(team, Hold::Before);
        let late = world.log_in("late", Duration::from_secs(3));
        world.double.hold(late, Hold::After);
        within(10, "all exchanges", || [early, team, late].iter().all(|login| world.double.held(*login) > 0));
        for replica in 0..2 {
            world.fleet.replica(replica).kill();
        }
        let killed = Instant::now();
        for login in [early, team, late] {
            world.double.release(login);
        }
        world.double.set_life(early, Duration::from_secs(3600));
        world.double.set_life(team, Duration::from_secs(3600));
        for replica in 0..2 {
            world.fleet.replica(replica).start();
        }
        let home = world.fleet.home(1, "patient");
        Escrowed::lay_out_home(&home, 9_999_999_999_999);
        let claude = world.fleet.client(1, Way::Proxy).claude_logged_in(&home).args(["-p", "say pong"]);
        // Its pauses grow: one that begins at once is told of the end of its waiting half a minute late.
        let claude = thread::spawn(move || {
            thread::sleep(Duration::from_secs(25).saturating_sub(killed.elapsed()));
            claude.run()
        });
        // Where all went quickly, the token of before is good for a moment yet.
        within(10, "the end of the token of before", || ask("early") == Outcome::Unready);
        let mut unready = 0;
        while !matches!(ask("early"), Outcome::Answered(_)) {
            assert!(killed.elapsed() < Duration::from_secs(90), "it is not refreshed");
            unready += usize::from(ask("late") == Outcome::Unready);
            thread::sleep(Duration::from_millis(500));
        }
        println!("after {:?} the login of which nothing was used up works again", killed.elapsed());
        assert!(unready > 10);
        let ran = claude.join().expect("Claude Code");
        println!("Claude Code waited for {:?}", ran.took);
        assert!(ran.success().starts_with("pong, access-token-stub"));
        assert!(!world.double.is_dead(team));
        assert!(!world.double.is_dead(early));

        let advice = "log in again: stubgate login claude --name late";
        within(20, "somebody to be told", || {
            (0..2).any(|one| world.fleet.replica(one).with_process(|process| process.errors()).contains(advice))
        });
        assert!(world.double.is_dead(late));
        let decided = world.double.decided();
        assert_eq!(decided.misused.len(), before.misused.len() + 1, "{:?}", decided.misused);
        assert_eq!(ask("late"), Outcome::Unready);
        world.log_in("late", Duration::from_secs(3600));
        within(5, "the new login", || matches!(ask("late"), Outcome::Answered(_)));

        assert_eq!(world.double.decided().unauthorized, before.unauthorized);
        assert_eq!(world.double.decided().misused.len(), decided.misused.len());
        world.only_replicas_asked();
        world.nothing_real();
    });
}

/// It stops to answer, as a machine does that is overloaded or cut off, from before a token is due until after that.
#[test]
fn requests_go_on_while_the_database_gives_no_answer_and_refresh_resumes() {
    WORLD.test(|world| {
        let given = std::env::var("STUBGATE_OUTAGE_SECONDS").ok().and_then(|given| given.parse().ok());
        let outage = Duration::from_secs(given.unwrap_or(OUTAGE));
        // A token is refreshed after two thirds of its life.
        let life = outage * 3;
        let before = world.double.decided();
        world.log_in(TEAM, life);
        let begun = Instant::now();
        let (mut is_frozen, mut answered) = (None, 0);
        while begun.elapsed() < life.mul_f64(0.95) {
            let frozen: &mut Option<Instant> = &mut is_frozen;
            if frozen.is_none() && begun.elapsed() > life.mul_f64(0.45) {
                world.database.freeze();
                *frozen = Some(Instant::now());
            }
            if frozen.is_some_and(|since| since.elapsed() > outage)
                && world.double.decided().refreshes == before.refreshes
            {
                world.database.thaw();
            }
            let outcome = world.turn(answered % 3);
            assert!(matches!(outcome, Outcome::Answered(_)), "after {:?}: {outcome:?}", begun.elapsed());
            answered += 1;
            thread::sleep(Duration::from_millis(50));
        }
        let decided = world.double.decided();
        println!("{answered} requests answered in {:?} around an outage of {outage:?}", begun.elapsed());
        assert!(is_frozen.is_some());
        assert_eq!(decided.refreshes, before.refreshes + 1, "refreshed once, after the outage");
        assert_eq!((decided.unauthorized, decided.misused), (before.unauthorized, before.misused));
        world.nothing_real();
    });
}

/// It ends while the provider's answer is on its way, and is away for longer than the token of before lives.
#[test]
fn a_pair_that_was_had_while_the_database_was_gone_is_stored_when_it_is_back() {
    WORLD.test(|world| {
        let family = world.log_in(TEAM, Duration::from_secs(9));
        let before = world.double.decided();
        world.double.hold(family, Hold::After);
        within(15, "an exchange", || world.double.held(family) > 0);
        world.database.turn_off();
        world.double.set_life(family, Duration::from_secs(12));
        world.double.release(family);
        assert!(matches!(world.turn(0), Outcome::Answered(_)), "the token of before is good");
        // Nobody uses a pair that is not durable.
        within(15, "the end of the token of before", || world.turn(0) == Outcome::Unready);
        assert_eq!(world.double.decided().refreshes, before.refreshes + 1);
        world.database.turn_on();
        within(10, "the pair that was had", || (0..3).all(|pod| matches!(world.turn(pod), Outcome::Answered(_))));
        within(15, "the next refresh", || world.double.decided().refreshes == before.refreshes + 2);
        assert!((0..3).all(|pod| matches!(world.turn(pod), Outcome::Answered(_))));
        let decided = world.double.decided();
        assert_eq!((decided.unauthorized, decided.misused), (before.unauthorized, before.misused));
        world.nothing_real();
    });
}
