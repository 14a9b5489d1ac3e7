use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

use super::super::Escrow;
use super::super::double::{Act, LIFE, Provider, Shared, Time, first, provider};
use super::super::seal::SealingKey;
use super::super::shelf::Shelf;
use super::super::status::Standing;
use super::super::store::Store as _;
use super::*;

mod unstored;

/// One replica, and what it shares with others.
struct World {
    provider: Arc<Provider>,
    store: Arc<Shared>,
    time: Arc<Time>,
}

impl World {
    async fn new() -> Self {
        let world = Self { provider: Arc::default(), store: Arc::default(), time: Time::new() };
        assert_eq!(world.shelf().write("l", &first(world.time.now()), 0).await.unwrap(), Some(1));
        world
    }

    /// Has the provider keep its answers back until the gate is opened.
    fn holds_answers(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.provider.gate.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    /// Waits until the provider was asked.
    async fn is_asked(&self) {
        while self.provider.requests() == 0 {
            tokio::task::yield_now().await;
        }
    }

    fn shelf(&self) -> Shelf {
        Shelf::new(self.store.clone(), SealingKey::new(&Zeroizing::new([1; 32])).unwrap())
    }

    fn replica(&self) -> Arc<Holder> {
        let changes = watch::Sender::new(0);
        let http = self.provider.clone();
        Arc::new(Holder::new("l", &provider(), http, Arc::new(self.shelf()), self.time.clock(), changes))
    }

    async fn stored(&self) -> Login {
        self.shelf().read("l").await.unwrap().unwrap().login
    }
}

async fn token(holder: &Arc<Holder>) -> String {
    match holder.value().await {
        Ok(fetched) => String::from_utf8_lossy(fetched.secret.reveal()).into_owned(),
        Err(unready) => format!("none: {unready}"),
    }
}

/// Lets time pass that no clock on a wall shows.
async fn wait(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

/// What a replica gives that is told that an origin refused this token.
async fn token_but(holder: &Arc<Holder>, refused: &str) -> String {
    let refused = Secret::new(Zeroizing::new(refused.into())).ok().unwrap();
    let fetched = Source(Arc::clone(holder)).fetch_but(&refused).await;
    String::from_utf8_lossy(fetched.ok().unwrap().secret.reveal()).into_owned()
}

#[tokio::test]
async fn a_token_that_an_origin_refused_is_refreshed_once_whoever_is_told_and_how_often() {
    let world = World::new().await;
    let (replica, other) = (world.replica(), world.replica());
    for replica in [&replica, &other] {
        assert_eq!(token_but(replica, "another-token").await, "access-0");
    }
    assert_eq!(world.provider.requests(), 0, "it is not the token in use");
    for _ in 0..3 {
        for replica in [&replica, &other] {
            assert_eq!(token_but(replica, "access-0").await, "access-1");
        }
    }
    assert_eq!(world.provider.requests(), 1);
    world.time.pass(LIFE / 2);
    assert_eq!((token(&replica).await, world.provider.requests()), ("access-1".into(), 1), "the next lives its time");
}

#[tokio::test]
async fn an_early_refresh_that_fails_leaves_the_token_in_use() {
    let world = World::new().await;
    let replica = world.replica();
    assert_eq!(token(&replica).await, "access-0");
    world.store.turn_down(true);
    assert_eq!(token_but(&replica, "access-0").await, "access-0");
    assert_eq!(world.provider.requests(), 0);
    world.store.turn_down(false);
    world.time.pass(5);
    assert_eq!(token(&replica).await, "access-1", "it is made up for");
}

#[tokio::test]
async fn what_no_policy_names_any_more_is_not_refreshed_and_is_let_go() {
    let world = World::new().await;
    let key = SealingKey::new(&Zeroizing::new([1; 32])).unwrap();
    let escrow = Escrow::over(world.store.clone(), key, world.time.clock());
    let http: Arc<dyn HttpClient> = world.provider.clone();
    let holder = escrow.holder("l", &provider(), &http);
    escrow.keep(&HashSet::from(["l"]));
    holder.look().await.unwrap();
    world.time.pass(LIFE + 1);
    assert!(holder.is_due());
    escrow.keep(&HashSet::new());
    assert!(!holder.is_due());
    assert!(token(&holder).await.starts_with("none: "));
    escrow.tend().await;
    assert!(escrow.status("l").is_none());
    assert_eq!(world.provider.requests(), 0);
    let again = escrow.holder("l", &provider(), &http);
    assert_eq!(token(&again).await, "access-1");
}

#[tokio::test]
async fn another_holder_that_never_ends_is_an_error_after_a_minute() {
    let world = World::new().await;
    let held = world.store.lead("l").await.unwrap().unwrap();
    let replica = world.replica();
    world.time.pass(LIFE - 5);
    for waited in [0, 20, 20] {
        wait(waited).await;
        assert_eq!(token(&replica).await, "access-0");
        assert_eq!(replica.status().standing, Standing::Ok);
    }
    wait(20).await;
    assert_eq!(token(&replica).await, "access-0");
    let status = replica.status();
    assert_eq!(status.standing, Standing::Failing);
    assert_eq!(status.last_error.unwrap(), "another holder is refreshing it for more than 60 seconds");
    drop(held);
    world.time.pass(5);
    assert_eq!(token(&replica).await, "access-1");
    assert_eq!(replica.status().standing, Standing::Ok);
}

#[tokio::test]
async fn no_token_of_a_login_goes_to_another_provider_than_the_one_that_gave_it() {
    let world = World::new().await;
    let replica = world.replica();
    let other = OauthProvider { name: "acme".into(), ..provider() };
    replica.describe(&other);
    for passed in [0, LIFE + 1] {
        world.time.pass(passed);
        let said = token(&replica).await;
        assert!(said.starts_with("none: the login l in escrow is one of claude, and"), "{said}");
        assert!(said.ends_with("stubgate login acme --name l"), "{said}");
        assert!(replica.refresh().await.is_err());
    }
    assert_eq!((world.provider.requests(), world.stored().await.attempt), (0, None));
    assert!(!replica.is_due());
    replica.describe(&provider());
    assert_eq!(token(&replica).await, "access-1");
}

#[tokio::test]
async fn a_new_login_mends_a_database_that_was_put_back() {
    let world = World::new().await;
    let old = world.store.row("l").unwrap();
    let replica = world.replica();
    world.time.pass(LIFE + 1);
    assert_eq!(token(&replica).await, "access-1");
    world.store.put_back("l", old);
    assert_eq!(replica.look().await.err(), Some(StoreError::RolledBack("l".into())));
    world.time.pass(1);
    let new = Login { generation: 2, access: super::super::double::secret("access-new"), ..first(world.time.now()) };
    assert_eq!(world.shelf().write("l", &new, 1).await.unwrap(), Some(2));
    assert!(replica.revision() > 2, "a lower number than it knows");
    let changes = replica.changes.subscribe();
    assert_eq!(token(&replica).await, "access-new");
    assert!(changes.has_changed().unwrap(), "whoever keeps the value asks again");
}

#[tokio::test]
async fn a_login_is_refreshed_ahead_of_its_end_and_the_pair_is_durable() {
    let world = World::new().await;
    let replica = world.replica();
    assert_eq!(token(&replica).await, "access-0");
    world.time.pass(LIFE * 6 / 10);
    assert_eq!(token(&replica).await, "access-0");
    assert_eq!(world.provider.requests(), 0);
    world.time.pass(LIFE / 4);
    assert_eq!(token(&replica).await, "access-1");
    let expected = r#"{"grant_type":"refresh_token","refresh_token":"refresh-0","scope":"a b","client_id":"client"}"#;
    assert_eq!(world.provider.last_request(), expected);
    assert_eq!(token(&world.replica()).await, "access-1");
    let login = world.stored().await;
    assert_eq!((login.generation, login.attempt, login.lost), (2, None, None));
    assert_eq!(world.provider.requests(), 1);
    let status = replica.status();
    assert_eq!((status.standing, status.generation, status.refreshes), (Standing::Ok, 2, 1));
}

#[tokio::test]
async fn many_that_ask_at_once_make_one_refresh() {
    let world = World::new().await;
    let replica = world.replica();
    world.time.pass(LIFE + 1);
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let replica = Arc::clone(&replica);
            tokio::spawn(async move { token(&replica).await })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), "access-1");
    }
    assert_eq!(world.provider.requests(), 1);
}

#[tokio::test]
async fn a_refresh_goes_on_when_whoever_asked_for_it_is_gone() {
    let world = World::new().await;
    let gate = world.holds_answers();
    let replica = world.replica();
    world.time.pass(LIFE + 1);
    let asking = tokio::spawn({
        let replica = Arc::clone(&replica);
        async move { token(&replica).await }
    });
    world.is_asked().await;
    asking.abort();
    gate.add_permits(1);
    let _ = asking.await;
    replica.settle().await;
    assert_eq!(world.stored().await.generation, 2);
}

#[tokio::test]
async fn the_attempt_is_durable_before_the_request_leaves() {
    let world = World::new().await;
    let gate = world.holds_answers();
    let replica = world.replica();
    world.time.pass(LIFE + 1);
    let asking = tokio::spawn(async move { token(&replica).await });
    world.is_asked().await;
    assert!(world.stored().await.attempt.is_some());
    gate.add_permits(1);
    assert_eq!(asking.await.unwrap(), "access-1");
}

#[tokio::test]
async fn two_replicas_never_refresh_at_once_and_both_use_what_one_had() {
    let world = World::new().await;
    let gate = world.holds_answers();
    let (one, two) = (world.replica(), world.replica());
    world.time.pass(LIFE - 5);
    let asking = tokio::spawn(async move { token(&one).await });
    world.is_asked().await;
    assert_eq!(token(&two).await, "access-0", "still good, and the other one is refreshing it");
    gate.add_permits(1);
    assert_eq!(asking.await.unwrap(), "access-1");
    assert_eq!(token(&two).await, "access-1");
    assert_eq!(world.provider.requests(), 1);
}

#[tokio::test]
async fn the_time_that_an_answer_took_is_no_part_of_a_tokens_life() {
    let world = World::new().await;
    let gate = world.holds_answers();
    let replica = world.replica();
    world.time.pass(LIFE - 5);
    let asking = tokio::spawn({
        let replica = Arc::clone(&replica);
        async move { token(&replica).await }
    });
    world.is_asked().await;
    let sent = world.time.now();
    world.time.pass(15);
    gate.add_permits(1);
    assert_eq!(asking.await.unwrap(), "access-1");
    let login = world.stored().await;
    assert_eq!((login.obtained, login.ends), (sent, Some(sent + Duration::from_secs(LIFE))));
}

#[tokio::test]
async fn what_was_not_sent_is_sent_again_at_once() {
    let world = World::new().await;
    world.provider.say([Act::NotSent]);
    world.time.pass(LIFE + 1);
    assert_eq!(token(&world.replica()).await, "access-1");
    world.provider.say([Act::NotSent, Act::NotSent]);
    world.time.pass(LIFE + 1);
    assert_eq!(token(&world.replica()).await, "none: no route");
    assert_eq!(world.stored().await.attempt, None, "nothing was carried out");
}

#[tokio::test]
async fn an_answer_lost_before_the_provider_saw_the_request_costs_nothing() {
    let world = World::new().await;
    world.provider.say([Act::LostBefore]);
    world.time.pass(LIFE + 1);
    assert_eq!(token(&world.replica()).await, "access-1");
    assert_eq!(world.provider.requests(), 2);
}

#[tokio::test]
async fn a_lost_answer_that_held_the_next_token_makes_the_login_lost_and_says_what_to_do() {
    let world = World::new().await;
    world.provider.say([Act::LostAfter]);
    let replica = world.replica();
    world.time.pass(LIFE - 5);
    assert_eq!(token(&replica).await, "access-0", "still good");
    let status = replica.status();
    assert_eq!(status.standing, Standing::Lost);
    assert_eq!(
        status.advice.unwrap(),
        "the provider takes the refresh token no more: an answer that held the next one was lost; \
         log in again: stubgate login claude --name l"
    );
    world.time.pass(5);
    assert!(token(&world.replica()).await.contains("stubgate login claude --name l"));
    assert_eq!(world.provider.requests(), 2, "it is asked no more");
}

#[tokio::test]
async fn a_login_that_was_revoked_is_told_from_one_whose_answer_was_lost() {
    let world = World::new().await;
    world.provider.say([Act::Say(400, r#"{"error":"invalid_grant"}"#)]);
    let replica = world.replica();
    world.time.pass(LIFE + 1);
    assert!(token(&replica).await.contains("it was revoked, has ended, or another holder used it"));
    assert_eq!(world.stored().await.lost.unwrap().unanswered_since, None);
}

#[tokio::test]
async fn pauses_grow_and_what_the_provider_asks_for_is_kept() {
    let world = World::new().await;
    let replica = world.replica();
    world.provider.say([Act::Say(429, ""), Act::Say(500, ""), Act::Say(503, "")]);
    world.time.pass(LIFE * 9 / 10);
    for (pause, requests) in [(0, 1), (0, 1), (2, 2), (1, 2), (2, 3), (3, 3), (3, 4)] {
        world.time.pass(pause);
        assert!(token(&replica).await.starts_with("access-"));
        assert_eq!(world.provider.requests(), requests);
    }
    assert_eq!(token(&replica).await, "access-1");
    assert_eq!(replica.status().last_error, None);
}

#[tokio::test]
async fn the_end_of_the_token_ends_a_pause() {
    let world = World::new().await;
    let replica = world.replica();
    world.provider.say(vec![Act::Say(500, ""); 20]);
    world.time.pass(LIFE - 200);
    for _ in 0..197 {
        assert_eq!(token(&replica).await, "access-0");
        world.time.pass(1);
    }
    let before = world.provider.requests();
    assert!(token(&replica).await.starts_with("access-"));
    assert_eq!(world.provider.requests(), before, "in the middle of a long pause");
    world.time.pass(1);
    world.provider.script.lock().unwrap().clear();
    assert_eq!(token(&replica).await, "access-1");
    assert_eq!(world.provider.requests(), before + 1);
}

#[tokio::test]
async fn an_error_of_the_server_leaves_the_attempt_and_a_refusal_does_not() {
    let world = World::new().await;
    world.time.pass(LIFE + 1);
    world.provider.say([Act::Say(429, "")]);
    assert_eq!(token(&world.replica()).await, "none: the provider answered 429");
    assert_eq!(world.stored().await.attempt, None);
    world.provider.say([Act::DoAndSay(502)]);
    assert_eq!(token(&world.replica()).await, "none: the provider answered 502");
    let left = world.stored().await.attempt.unwrap();
    world.provider.say([Act::Say(400, r#"{"error":"invalid_client"}"#)]);
    assert_eq!(token(&world.replica()).await, "none: the provider answered 400 invalid_client");
    assert_eq!(world.stored().await.attempt, Some(left));
    assert!(token(&world.replica()).await.contains("an answer that held the next one was lost"));
}

#[tokio::test]
async fn an_attempt_of_who_may_be_alive_is_waited_for_and_of_who_is_not_taken_over() {
    let world = World::new().await;
    *world.store.patience.lock().unwrap() = Duration::from_secs(20);
    let gate = world.holds_answers();
    let (one, two) = (world.replica(), world.replica());
    world.time.pass(LIFE + 1);
    let asking = tokio::spawn(async move { token(&one).await });
    world.is_asked().await;
    // The store was started anew: the lock is gone, and its holder is alive.
    world.store.lose_leads();
    assert!(token(&two).await.contains("may still be coming"));
    wait(10).await;
    assert!(token(&two).await.contains("may still be coming"));
    gate.add_permits(1);
    assert_eq!(asking.await.unwrap(), "access-1");
    assert_eq!(token(&two).await, "access-1");
    assert!(!world.provider.is_dead());

    // This time the holder is dead, before it sent anything.
    let mut login = world.stored().await;
    login.attempt =
        Some(super::super::login::Attempt { id: [9; 16], started: world.time.now(), unanswered_since: None });
    let shelf = world.shelf();
    let revision = shelf.read("l").await.unwrap().unwrap().revision;
    shelf.write("l", &login, revision).await.unwrap().unwrap();
    world.time.pass(LIFE + 1);
    assert!(token(&two).await.contains("may still be coming"));
    // The wall clock has no say in it.
    world.time.pass(20);
    assert!(token(&two).await.contains("may still be coming"));
    wait(20).await;
    gate.add_permits(1);
    assert_eq!(token(&two).await, "access-2");
}

#[tokio::test]
async fn a_newer_pair_of_another_holder_is_taken_where_ours_is_refused() {
    let world = World::new().await;
    let gate = world.holds_answers();
    let (one, two) = (world.replica(), world.replica());
    world.time.pass(LIFE + 1);
    world.provider.say([Act::Say(400, r#"{"error":"invalid_grant"}"#)]);
    let asking = tokio::spawn(async move { token(&one).await });
    world.is_asked().await;
    world.store.lose_leads();
    *world.provider.gate.lock().unwrap() = None;
    assert_eq!(token(&two).await, "access-1");
    gate.add_permits(1);
    assert_eq!(asking.await.unwrap(), "access-1");
    assert_eq!(world.stored().await.lost, None);
}

#[tokio::test]
async fn a_state_that_was_put_back_is_refused() {
    let world = World::new().await;
    let old = world.store.row("l").unwrap();
    let replica = world.replica();
    world.time.pass(LIFE + 1);
    assert_eq!(token(&replica).await, "access-1");
    world.store.put_back("l", old.clone());
    assert!(replica.look().await.is_err_and(|error| error == StoreError::RolledBack("l".into())));
    // The newest number does not make an old state new.
    world.store.put_back("l", super::super::store::Row { revision: 9, ..old });
    assert!(replica.look().await.is_err_and(|error| error == StoreError::Sealed("l".into())));
}

#[tokio::test]
async fn a_login_that_nobody_made_says_how_to_make_it() {
    let world = World::new().await;
    let changes = watch::Sender::new(0);
    let shelf = Arc::new(world.shelf());
    let other = Arc::new(Holder::new("o", &provider(), world.provider.clone(), shelf, world.time.clock(), changes));
    assert_eq!(token(&other).await, "none: nobody has logged in yet: stubgate login claude --name o");
    assert_eq!(other.status().standing, Standing::Missing);
}
