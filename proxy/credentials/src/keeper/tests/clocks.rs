//! Clocks that jump: they are set, or the machine was suspended.

use super::*;

#[tokio::test(start_paused = true)]
async fn where_the_clock_jumps_past_the_end_of_a_value_another_one_is_asked_for_at_once() {
    let world = World::new();
    world.sources["one"].then(Answer::Value("value-1-of-one", Some(world.at(10 * HOUR))));
    world.keeper.follow(&policy(&["one"], ""));
    world.settle().await;
    *world.set.lock().unwrap() = 11 * HOUR;
    world.sources["one"].then(Answer::Value("value-2-of-one", Some(world.at(30 * HOUR))));
    world.pass(61 * SECOND).await;
    assert_eq!(world.heard(), ["one First", "one ended lost", "one First"]);
}

#[tokio::test(start_paused = true)]
async fn what_became_due_while_the_machine_was_suspended_is_asked_for_soon_after_and_not_at_its_old_time() {
    let world = World::new();
    world.sources["one"].then(Answer::Value("value-1-of-one", Some(world.at(10 * HOUR))));
    world.keeper.follow(&policy(&["one"], ""));
    world.settle().await;
    // Not due yet, by three quarters of its life; then past that, and not ended.
    for (asleep, asked) in [(7 * HOUR, 1), (9 * HOUR, 2)] {
        *world.set.lock().unwrap() = asleep;
        world.sources["one"].then(Answer::Value("value-2-of-one", Some(world.at(30 * HOUR))));
        world.pass(11 * SECOND).await;
        assert_eq!(world.sources["one"].asked(), asked);
    }
    assert_eq!(world.heard(), ["one First", "one Changed"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_puts_no_question_off() {
    let world = World::new();
    *world.set.lock().unwrap() = HOUR;
    world.sources["one"].then(Answer::Value("value-1-of-one", None));
    world.keeper.follow(&policy_with_ttl(100));
    world.settle().await;
    *world.set.lock().unwrap() = Duration::ZERO;
    world.sources["one"].then(Answer::Value("value-2-of-one", None));
    world.pass(94 * SECOND).await;
    assert_eq!(world.sources["one"].asked(), 1);
    world.pass(2 * SECOND).await;
    assert_eq!(world.heard(), ["one First", "one Changed"]);
}
