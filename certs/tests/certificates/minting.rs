//! Single flight, the bound, renewal by the clock, and names that cost nothing.

use std::sync::Arc;
use std::time::Duration;

use stubgate_certs::{CertificateAuthority, LeafName, MintError, Minter, MinterConfig};

use super::fixture::{DAY, Hands, authority, dns, leaf, minter};

fn minter_with(hands: &Hands) -> Minter {
    Minter::new(authority(), &MinterConfig::default(), hands.clock()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_callers_cost_one_signature() {
    let minter = Arc::new(minter(authority()));
    let start = Arc::new(tokio::sync::Barrier::new(100));
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let (minter, start) = (Arc::clone(&minter), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                minter.server_config(&dns("api.github.com")).await.unwrap()
            })
        })
        .collect();
    let mut configs = Vec::new();
    for caller in callers {
        configs.push(caller.await.unwrap());
    }
    assert_eq!(minter.minted_total(), 1);
    assert!(configs.iter().all(|config| Arc::ptr_eq(config, &configs[0])));
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_nothing_locked() {
    let minter = minter(authority());
    let name = dns("api.github.com");
    let abandoned = minter.server_config(&name);
    tokio::select! {
        biased;
        _ = std::future::ready(()) => {}
        _ = abandoned => panic!("nobody polled it"),
    }
    let mut second = Box::pin(minter.server_config(&name));
    assert!(futures_poll_once(second.as_mut()).await.is_none(), "it must be on its way");
    drop(second);
    minter.server_config(&name).await.unwrap();
}

async fn futures_poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let mut future = Some(future);
    std::future::poll_fn(|context| {
        let polled = future.take().map(|future| future.poll(context));
        std::task::Poll::Ready(match polled {
            Some(std::task::Poll::Ready(output)) => Some(output),
            _ => None,
        })
    })
    .await
}

#[tokio::test]
async fn the_cache_stays_within_its_bound() {
    let config = MinterConfig::default().with_cache_entries(16);
    let minter = Minter::new(authority(), &config, stubgate_certs::system_clock()).unwrap();
    for i in 0..200 {
        minter.server_config(&dns(&format!("h{i}.example.com"))).await.unwrap();
    }
    minter.settle().await;
    assert_eq!(minter.minted_total(), 200);
    assert!((1..=16).contains(&minter.cached_entries()), "{}", minter.cached_entries());
}

#[tokio::test]
async fn mints_again_at_half_life_and_not_before() {
    let hands = Hands::new();
    let minter = minter_with(&hands);
    let host = dns("api.github.com");
    let first = leaf(&minter, host, hands.now()).await;
    hands.advance(DAY * 7 / 2 - Duration::from_secs(2));
    assert_eq!(leaf(&minter, host, hands.now()).await, first);
    assert_eq!(minter.minted_total(), 1);
    hands.advance(Duration::from_secs(4));
    assert_ne!(leaf(&minter, host, hands.now()).await, first);
    assert_eq!(minter.minted_total(), 2);
}

#[tokio::test]
async fn leaves_are_good_for_clocks_a_day_off() {
    let hands = Hands::new();
    let minter = minter_with(&hands);
    let host = dns("api.github.com");
    leaf(&minter, host, hands.now() - DAY + Duration::from_secs(60)).await;
    leaf(&minter, host, hands.now() + DAY * 6).await;
}

#[tokio::test]
async fn a_leaf_never_outlives_its_ca_and_an_ended_ca_mints_nothing() {
    let hands = Hands::new();
    let long_ago = hands.now() - DAY * 3649;
    let old = Arc::new(CertificateAuthority::create("old", long_ago).unwrap());
    assert!(old.not_after() < hands.now() + DAY * 2);
    assert!(old.check_usable(hands.now()).is_err(), "an appliance does not start with it");
    let minter = Minter::new(Arc::clone(&old), &MinterConfig::default(), hands.clock()).unwrap();
    let certificate = leaf(&minter, dns("api.github.com"), hands.now()).await;
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
    let end = std::time::SystemTime::from(parsed.validity().not_after.to_datetime());
    assert_eq!(end, old.not_after());
    hands.advance(DAY * 2);
    let error = minter.server_config(&dns("api.github.com")).await.unwrap_err();
    assert!(matches!(error, MintError::AuthorityEnded), "{error}");
}

#[tokio::test]
async fn odd_names_cost_no_signature() {
    let minter = minter(authority());
    for odd in ["", "*.example.com", "Example.com", "example.com.", "a b", "a\0b", "127.0.0.1"] {
        let error = minter.server_config(&LeafName::Dns(odd)).await.unwrap_err();
        assert!(matches!(error, MintError::Name), "{odd:?}: {error}");
    }
    assert_eq!(minter.minted_total(), 0);
}
