use std::{
    net::UdpSocket,
    sync::atomic::{AtomicU32, Ordering},
};

use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{RData, Record, RecordType},
};

use super::*;

const FAILS: u32 = u32::MAX;
const NOT_FOUND: u32 = u32::MAX - 1;

/// A name server that gives one address with the TTL in `ttl`, or what the two numbers above say.
fn server(ttl: &Arc<AtomicU32>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    let ttl = ttl.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let mut message = Message::from_vec(&buffer[..length]).unwrap();
            message.metadata.message_type = MessageType::Response;
            let question = message.queries[0].clone();
            match ttl.load(Ordering::SeqCst) {
                FAILS => message.metadata.response_code = ResponseCode::ServFail,
                NOT_FOUND => message.metadata.response_code = ResponseCode::NXDomain,
                ttl if question.query_type() == RecordType::A => {
                    let data = RData::A(std::net::Ipv4Addr::new(192, 0, 2, 1).into());
                    message.add_answer(Record::from_rdata(question.name().clone(), ttl, data));
                }
                _ => {}
            }
            socket.send_to(&message.to_vec().unwrap(), peer).unwrap();
        }
    });
    at
}

fn resolver(server: SocketAddr) -> Resolver {
    let timeout = Duration::from_secs(5);
    Resolver::new(ResolverConfig { nameservers: vec![server], zones: Vec::new(), timeout, cache_entries: 100 }).unwrap()
}

#[tokio::test]
async fn addresses_are_kept_between_thirty_seconds_and_five_minutes() {
    let ttl = Arc::new(AtomicU32::new(0));
    let resolver = resolver(server(&ttl));
    for (sent, least, most) in
        [(0, 30, 30), (29, 30, 30), (100, 98, 100), (301, 300, 300), (1 << 31, 30, 300), (i32::MAX as u32, 300, 300)]
    {
        ttl.store(sent, Ordering::SeqCst);
        let name = Name::parse(format!("ttl{sent}.test").as_bytes()).unwrap();
        assert_eq!(resolver.lookup(&name).await.unwrap().len(), 1);
        let keep = resolver.fresh.get(&name).await.unwrap().keep;
        assert!((Duration::from_secs(least)..=Duration::from_secs(most)).contains(&keep), "{sent}: {keep:?}");
    }
}

#[tokio::test]
async fn the_last_good_addresses_serve_while_servers_fail_but_not_once_the_name_is_gone() {
    let ttl = Arc::new(AtomicU32::new(60));
    let resolver = resolver(server(&ttl));
    let name = Name::parse(b"api.github.com").unwrap();
    let good = resolver.lookup(&name).await.unwrap();
    let ask = async |ttl_or_fault| {
        ttl.store(ttl_or_fault, Ordering::SeqCst);
        // As if the time to keep it were over.
        resolver.fresh.invalidate(&name).await;
        resolver.lookup(&name).await
    };
    assert_eq!(ask(FAILS).await, Ok(good));
    assert_eq!(ask(NOT_FOUND).await, Err(ResolveError::NotFound));
    assert_eq!(ask(FAILS).await, Err(ResolveError::Failed));
}

#[test]
fn a_zone_without_servers_is_an_error() {
    let zones = vec![ForwardZone { zones: vec![Name::parse(b"cluster.local").unwrap()], to: Vec::new() }];
    let nameservers = vec!["127.0.0.1:53".parse().unwrap()];
    let timeout = Duration::from_secs(5);
    let built = Resolver::new(ResolverConfig { nameservers, zones, timeout, cache_entries: 100 });
    assert!(matches!(built, Err(ResolverError::NoServers(_))));
}
