//! Sizes that do not fit in memory, both ways, with the appliance's memory flat.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stubgate_tests::program::Running;
use stubgate_tests::{Shared, Way, World, chores};

static WORLD: Shared<World> = Shared::new(World::bulk);

const SIZE: u64 = 2 << 30;

/// How much more than before the appliance may ever hold, in KiB.
const GROWTH: u64 = 64 << 10;

/// Runs a chore; the most memory that the appliance ever held may not outgrow what it held before.
fn flat(world: &World, chore: impl FnOnce()) {
    let (before, _) = world.lab.appliance().memory();
    chore();
    let (after, most) = world.lab.appliance().memory();
    println!("resident before {before} KiB, after {after} KiB, at most {most} KiB");
    assert!(most < before + GROWTH, "grew from {before} KiB to {most} KiB");
}

#[test]
fn a_repository_of_200_mb_is_pushed_and_cloned_in_flat_memory() {
    WORLD.test(|world| flat(world, || chores::clone_and_push(world, Way::Dns, 200)));
}

#[test]
fn two_gib_are_downloaded_in_flat_memory_over_http_1_1() {
    WORLD.test(|world| flat(world, || chores::download(world, Way::Dns, "--http1.1", "2g", SIZE)));
}

#[test]
fn two_gib_are_downloaded_in_flat_memory_over_http_2_by_proxy() {
    WORLD.test(|world| flat(world, || chores::download(world, Way::Proxy, "--http2", "2g", SIZE)));
}

#[test]
fn two_gib_are_uploaded_in_flat_memory_over_http_1_1() {
    WORLD.test(|world| flat(world, || chores::upload(world, Way::Dns, "--http1.1", SIZE)));
}

#[test]
fn two_gib_are_uploaded_in_flat_memory_over_http_2_by_proxy() {
    WORLD.test(|world| flat(world, || chores::upload(world, Way::Proxy, "--http2", SIZE)));
}

/// As many as stop reading after the first bytes of 2 GiB.
fn stopped_readers(world: &World, count: usize) -> Vec<Running> {
    let client = world.lab.client(Way::Dns);
    let slow = ["-sS", "--limit-rate", "10k", "-o", "/dev/null", "https://zeros.example/2g"];
    let readers: Vec<_> =
        (0..count).map(|_| client.program("curl", "CURL_CA_BUNDLE").args(slow).args(["-v"]).spawn()).collect();
    let streaming = || readers.iter().all(|reader| reader.errors().contains("< HTTP/"));
    world.lab.appliance().until("all to be answered", streaming);
    readers
}

/// A reader that stops holds back the origin and costs no memory.
#[test]
fn readers_that_stop_cost_no_memory() {
    WORLD.test(|world| {
        flat(world, || {
            let readers = stopped_readers(world, 16);
            // While this goes through, an appliance that reads ahead without bound would show itself.
            chores::upload(world, Way::Dns, "--http1.1", SIZE / 4);
            drop(readers);
        });
    });
}

/// Whatever connections are shared towards an origin: who does not read stops nobody who does.
#[test]
fn readers_that_stop_hold_up_nobody_else() {
    WORLD.test(|world| {
        let readers = stopped_readers(world, 16);
        let fast = ["-o", "/dev/null", "--max-time", "20", "https://zeros.example/64m"];
        world.lab.client(Way::Dns).curl().args(fast).run().success();
        drop(readers);
    });
}
