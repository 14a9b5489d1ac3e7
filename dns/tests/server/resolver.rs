//! The appliance's own resolver against name servers of the test's making.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, RecordType, rdata::CNAME},
};
use stubgate_dns::{ForwardZone, ResolveError, Resolver, ResolverConfig, Transport};
use stubgate_policy::Name;

use crate::setup::{Origin, answer};

fn resolver(nameservers: &[SocketAddr], zones: Vec<ForwardZone>, timeout: Duration) -> Resolver {
    Resolver::new(ResolverConfig { nameservers: nameservers.to_vec(), zones, timeout, cache_entries: 100 }).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).unwrap()
}

fn sorted(found: Result<Vec<IpAddr>, ResolveError>) -> Vec<String> {
    let mut found: Vec<String> = found.unwrap().iter().map(IpAddr::to_string).collect();
    found.sort();
    found
}

fn asked_names(origin: &Origin) -> Vec<(String, RecordType)> {
    let mut asked: Vec<_> = origin
        .asked()
        .into_iter()
        .map(|(_, packet)| {
            let message = Message::from_vec(&packet).unwrap();
            (message.queries[0].name().to_ascii().to_lowercase(), message.queries[0].query_type())
        })
        .collect();
    asked.sort();
    asked
}

#[tokio::test]
async fn asks_for_the_whole_name_only_and_for_both_families() {
    let origin = Origin::start(|_, asked| vec![answer(asked, &["192.0.2.1", "2001:db8::1"], 60).to_vec().unwrap()]);
    let resolver = resolver(&[origin.at], Vec::new(), Duration::from_secs(5));
    assert_eq!(sorted(resolver.lookup(&name("api.github.com")).await), ["192.0.2.1", "2001:db8::1"]);
    let both = |name: &str| vec![(name.to_owned(), RecordType::A), (name.to_owned(), RecordType::AAAA)];
    assert_eq!(asked_names(&origin), both("api.github.com."));
    // One label is a whole name too.
    assert!(resolver.lookup(&name("intranet")).await.is_ok());
    assert_eq!(asked_names(&origin), both("intranet."));
}

#[tokio::test]
async fn spells_the_name_at_random_and_takes_no_other_spelling() {
    let spellings = Arc::new(Mutex::new(Vec::new()));
    let origin = Origin::start({
        let spellings = spellings.clone();
        move |_, asked| {
            spellings.lock().unwrap().push(asked.queries[0].name().to_ascii());
            vec![answer(asked, &["192.0.2.1"], 60).to_vec().unwrap()]
        }
    });
    let resolver = resolver(&[origin.at], Vec::new(), Duration::from_secs(5));
    let long = "a-long-name-with-many-letters.in-some-zone-with-more-of-them.test";
    resolver.lookup(&name(long)).await.unwrap();
    assert!(spellings.lock().unwrap().iter().any(|spelling| spelling.bytes().any(|byte| byte.is_ascii_uppercase())));

    // A forger who knows the question but not its spelling gets nowhere; over TCP he is not.
    let forged = Origin::start(|transport, asked| {
        let mut message = answer(asked, &["6.6.6.6"], 60);
        if transport == Transport::Udp {
            let lower = message.queries[0].name().to_lowercase();
            message.queries[0].set_name(lower);
        } else {
            message = answer(asked, &["192.0.2.1"], 60);
        }
        vec![message.to_vec().unwrap()]
    });
    let resolver = self::resolver(&[forged.at], Vec::new(), Duration::from_secs(2));
    match resolver.lookup(&name(long)).await {
        Ok(found) => assert!(!found.contains(&"6.6.6.6".parse().unwrap())),
        Err(error) => assert!(matches!(error, ResolveError::Timeout | ResolveError::Failed), "{error}"),
    }
}

#[tokio::test]
async fn the_longest_zone_has_its_own_servers() {
    let server =
        |address: &'static str| Origin::start(move |_, asked| vec![answer(asked, &[address], 60).to_vec().unwrap()]);
    let (world, cluster, inner) = (server("192.0.2.1"), server("192.0.2.2"), server("192.0.2.3"));
    let zone = |zone: &str, to: &Origin| ForwardZone { zones: vec![name(zone)], to: vec![to.at] };
    let zones = vec![zone("cluster.local", &cluster), zone("ns.cluster.local", &inner)];
    let resolver = resolver(&[world.at], zones, Duration::from_secs(5));
    for (asked, found) in [
        ("db.other.cluster.local", "192.0.2.2"),
        ("db.ns.cluster.local", "192.0.2.3"),
        ("cluster.local.test", "192.0.2.1"),
        ("mycluster.local", "192.0.2.1"),
    ] {
        assert_eq!(sorted(resolver.lookup(&name(asked)).await), [found], "{asked}");
    }
}

#[tokio::test]
async fn many_lookups_of_one_name_ask_once_and_a_ttl_of_zero_is_kept_for_a_while() {
    let origin = Origin::start(|_, asked| vec![answer(asked, &["192.0.2.1"], 0).to_vec().unwrap()]);
    let resolver = Arc::new(resolver(&[origin.at], Vec::new(), Duration::from_secs(5)));
    let mut lookups = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let resolver = resolver.clone();
        lookups.spawn(async move { resolver.lookup(&name("api.github.com")).await });
    }
    while let Some(found) = lookups.join_next().await {
        assert_eq!(sorted(found.unwrap()), ["192.0.2.1"]);
    }
    assert_eq!(sorted(resolver.lookup(&name("api.github.com")).await), ["192.0.2.1"]);
    assert_eq!(asked_names(&origin).len(), 2);
}

#[tokio::test]
async fn a_name_without_addresses_is_not_found_and_that_is_kept_too() {
    let origin = Origin::start(|_, asked| {
        let mut message = answer(asked, &[], 60);
        if asked.queries[0].name().to_ascii().to_lowercase().starts_with("nx") {
            message.metadata.response_code = ResponseCode::NXDomain;
        }
        vec![message.to_vec().unwrap()]
    });
    let resolver = resolver(&[origin.at], Vec::new(), Duration::from_secs(5));
    for asked in ["nx.test", "empty.test"] {
        assert_eq!(resolver.lookup(&name(asked)).await, Err(ResolveError::NotFound), "{asked}");
        assert!(!asked_names(&origin).is_empty());
        assert_eq!(resolver.lookup(&name(asked)).await, Err(ResolveError::NotFound), "{asked}");
        assert_eq!(asked_names(&origin), []);
    }
}

#[tokio::test]
async fn silent_and_failing_servers_are_told_apart_and_a_failure_is_not_kept() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let resolver = resolver(&[silent.local_addr().unwrap()], Vec::new(), Duration::from_millis(200));
    assert_eq!(resolver.lookup(&name("api.github.com")).await, Err(ResolveError::Timeout));

    let fails = Arc::new(AtomicBool::new(true));
    let origin = Origin::start({
        let fails = fails.clone();
        move |_, asked| {
            let mut message = answer(asked, &["192.0.2.1"], 60);
            if fails.load(Ordering::SeqCst) {
                message.answers.clear();
                message.metadata.response_code = ResponseCode::ServFail;
            }
            vec![message.to_vec().unwrap()]
        }
    });
    let resolver = self::resolver(&[origin.at], Vec::new(), Duration::from_secs(5));
    assert_eq!(resolver.lookup(&name("api.github.com")).await, Err(ResolveError::Failed));
    fails.store(false, Ordering::SeqCst);
    assert_eq!(sorted(resolver.lookup(&name("api.github.com")).await), ["192.0.2.1"]);
}

#[tokio::test]
async fn a_chain_of_aliases_is_followed_to_its_addresses_and_a_loop_ends() {
    let origin = Origin::start(|_, asked| {
        let question = &asked.queries[0];
        let mut message = answer(asked, &[], 60);
        let target = |text: &str| hickory_proto::rr::Name::from_ascii(text).unwrap();
        let mut alias = |from: &hickory_proto::rr::Name, to: &str| {
            message.add_answer(Record::from_rdata(from.clone(), 60, RData::CNAME(CNAME(target(to)))));
        };
        match question.name().to_ascii().to_lowercase().as_str() {
            "alias.test." => {
                alias(question.name(), "real.test.");
                if question.query_type() == RecordType::A {
                    message.add_answer(Record::from_rdata(
                        target("real.test."),
                        60,
                        RData::A(std::net::Ipv4Addr::new(192, 0, 2, 7).into()),
                    ));
                }
            }
            "loop.test." => alias(question.name(), "pool.test."),
            _ => alias(question.name(), "loop.test."),
        }
        vec![message.to_vec().unwrap()]
    });
    let resolver = resolver(&[origin.at], Vec::new(), Duration::from_secs(5));
    assert_eq!(sorted(resolver.lookup(&name("alias.test")).await), ["192.0.2.7"]);
    assert!(resolver.lookup(&name("loop.test")).await.is_err());
    assert!(origin.asked().len() < 60);
}
