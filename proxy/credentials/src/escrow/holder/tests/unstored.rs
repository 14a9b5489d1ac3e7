//! A pair that the provider gave and the store has not taken yet.

use super::*;

/// A replica that had a pair which the store does not take, which is out of reach since.
async fn with_an_unstored_pair(world: &World) -> Arc<Holder> {
    let gate = world.holds_answers();
    let replica = world.replica();
    world.time.pass(LIFE + 1);
    let asking = tokio::spawn({
        let replica = Arc::clone(&replica);
        async move { token(&replica).await }
    });
    world.is_asked().await;
    world.store.turn_down(true);
    *world.provider.gate.lock().unwrap() = None;
    gate.add_permits(1);
    assert!(asking.await.unwrap().contains("out of reach"));
    replica
}

#[tokio::test]
async fn nobody_refreshes_while_a_pair_waits_to_be_stored() {
    let world = World::new().await;
    let replica = with_an_unstored_pair(&world).await;
    world.store.turn_down(false);
    let other = world.replica();
    assert_eq!(token(&other).await, "none: another holder is refreshing it");
    assert_eq!(world.provider.requests(), 1);
    world.time.pass(5);
    assert_eq!(token(&replica).await, "access-1");
    assert_eq!(token(&other).await, "access-1");
    world.time.pass(LIFE + 1);
    assert_eq!(token(&other).await, "access-2", "the lead was let go");
    assert!(!world.provider.is_dead());
}

#[tokio::test]
async fn a_pair_that_is_not_stored_yet_outlives_its_name_in_policy() {
    let world = World::new().await;
    let replica = with_an_unstored_pair(&world).await;
    replica.set_named(false);
    world.time.pass(5);
    assert!(replica.is_occupied() && replica.is_due());
    world.store.turn_down(false);
    replica.refresh().await.unwrap();
    assert!(!replica.is_occupied());
    assert_eq!((world.provider.requests(), world.stored().await.generation), (1, 2));
}

#[tokio::test]
async fn an_end_of_the_process_stores_a_pair_that_waits_and_begins_no_refresh() {
    let world = World::new().await;
    let replica = with_an_unstored_pair(&world).await;
    let settling = tokio::spawn({
        let replica = Arc::clone(&replica);
        async move { replica.settle().await }
    });
    wait(3).await;
    assert!(!settling.is_finished(), "the store is out of reach");
    world.store.turn_down(false);
    wait(3).await;
    settling.await.unwrap();
    assert_eq!(world.stored().await.generation, 2);
    world.time.pass(LIFE + 1);
    assert_eq!(token(&replica).await, "none: the process is ending");
    assert_eq!(world.provider.requests(), 1);
    assert_eq!(token(&world.replica()).await, "access-2");
}

#[tokio::test]
async fn a_pair_that_the_store_does_not_take_is_used_by_nobody_until_it_does() {
    let world = World::new().await;
    let gate = world.holds_answers();
    let replica = world.replica();
    world.time.pass(LIFE - 10);
    let asking = tokio::spawn({
        let replica = Arc::clone(&replica);
        async move { token(&replica).await }
    });
    world.is_asked().await;
    world.store.turn_down(true);
    gate.add_permits(1);
    assert_eq!(asking.await.unwrap(), "access-0", "requests go on");
    assert_eq!(replica.status().standing, Standing::Failing);
    world.time.pass(5);
    assert_eq!(token(&replica).await, "access-0");
    world.time.pass(10);
    assert!(token(&replica).await.contains("out of reach"), "{}", token(&replica).await);
    world.store.turn_down(false);
    world.time.pass(5);
    assert_eq!(token(&replica).await, "access-1");
    assert_eq!((world.provider.requests(), world.stored().await.generation), (1, 2));
}

#[tokio::test]
async fn a_pair_had_in_time_goes_over_the_loss_that_another_holder_wrote() {
    let world = World::new().await;
    let gate = world.holds_answers();
    let (one, two) = (world.replica(), world.replica());
    world.time.pass(LIFE + 1);
    let asking = tokio::spawn(async move { token(&one).await });
    world.is_asked().await;
    world.store.lose_leads();
    *world.provider.gate.lock().unwrap() = None;
    world.provider.say([Act::Say(400, r#"{"error":"invalid_grant"}"#)]);
    assert!(token(&two).await.contains("stubgate login"));
    gate.add_permits(1);
    assert_eq!(asking.await.unwrap(), "access-1");
    assert_eq!(token(&two).await, "access-1");
    assert_eq!(two.status().standing, Standing::Ok);
}
