//! TCP: pipelining, deadlines, caps, draining.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};
use stubgate_dns::{DnsConfig, QueryOutcome, Transport};
use stubgate_policy::Reason;

use crate::setup::{DEVBOT, OTHERBOT, STRANGER, Server, config, question};

#[test]
fn a_connection_serves_questions_one_after_the_other() {
    let server = Server::start(config());
    let mut connection = server.connect(DEVBOT);
    assert_eq!(connection.ask("api.github.com.", RecordType::A).answers.len(), 1);
    assert_eq!(connection.ask("evil.test.", RecordType::A).metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(
        server.connect(STRANGER).ask("api.github.com.", RecordType::A).metadata.response_code,
        ResponseCode::Refused
    );
    let records = server.around.records();
    assert!(records.iter().all(|record| record.transport == Transport::Tcp));
    assert_eq!(records.len(), 3);
}

#[test]
fn pipelined_questions_are_all_answered_in_whatever_pieces_they_come() {
    let server = Server::start(config());
    let mut connection = server.connect(DEVBOT);
    let questions: Vec<Vec<u8>> =
        (0..200).map(|n| question(&format!("n{n}.wild.test."), RecordType::A).to_vec().unwrap()).collect();
    let mut stream = Vec::new();
    for question in &questions {
        stream.extend_from_slice(&u16::try_from(question.len()).unwrap().to_be_bytes());
        stream.extend_from_slice(question);
    }
    for piece in stream.chunks(7) {
        connection.stream.write_all(piece).unwrap();
    }
    for question in &questions {
        let answer = connection.receive().unwrap();
        assert_eq!(answer[..2], question[..2]);
        assert_eq!(Message::from_vec(&answer).unwrap().answers.len(), 1);
    }
    assert_eq!(server.around.records().len(), 200);
}

#[test]
fn answers_come_also_after_the_client_has_ended_its_side() {
    let server = Server::start(config());
    let mut connection = server.connect(DEVBOT);
    connection.send(&question("api.github.com.", RecordType::A).to_vec().unwrap());
    connection.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(connection.receive().is_some());
    assert_eq!(connection.receive(), None);
}

#[test]
fn a_connection_that_asks_nothing_or_half_a_question_is_closed() {
    let server = Server::start(DnsConfig { tcp_idle: Duration::from_millis(50), ..config() });
    let start = Instant::now();
    let mut silent = server.connect(DEVBOT);
    let mut slow = server.connect(DEVBOT);
    slow.stream.write_all(&[0, 40, 1, 2, 3]).unwrap();
    assert_eq!(silent.receive(), None);
    assert_eq!(slow.receive(), None);
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[test]
fn bytes_that_trickle_do_not_extend_the_deadline() {
    let server = Server::start(DnsConfig { tcp_idle: Duration::from_millis(200), ..config() });
    let mut slow = server.connect(DEVBOT);
    let start = Instant::now();
    slow.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    slow.stream.write_all(&[1, 0]).unwrap();
    // A byte now and then; the reading waits, and ends when the server closes.
    loop {
        assert!(start.elapsed() < crate::setup::PATIENCE, "still open");
        match slow.stream.read(&mut [0; 1]) {
            Ok(0) => break,
            Ok(_) => panic!("an answer to nothing"),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if slow.stream.write_all(&[7]).is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_length_that_no_question_has_closes_the_connection_and_is_recorded() {
    let server = Server::start(config());
    for length in [[0, 0], [0xff, 0xff]] {
        let mut connection = server.connect(DEVBOT);
        connection.send(&question("api.github.com.", RecordType::A).to_vec().unwrap());
        connection.stream.write_all(&length).unwrap();
        assert!(connection.receive().is_some(), "what came before is answered");
        assert_eq!(connection.receive(), None);
        let outcomes: Vec<_> = server.around.wait(2).into_iter().map(|record| record.outcome).collect();
        assert_eq!(outcomes, [QueryOutcome::Advertised, QueryOutcome::Malformed]);
    }
}

#[test]
fn an_agent_has_so_many_connections_and_takes_none_from_others() {
    let server = Server::start(DnsConfig { tcp_connections_per_agent: 2, ..config() });
    let mut first = server.connect(DEVBOT);
    let mut second = server.connect(DEVBOT);
    assert_eq!(first.ask("api.github.com.", RecordType::A).answers.len(), 1);
    assert_eq!(second.ask("api.github.com.", RecordType::A).answers.len(), 1);
    assert_eq!(server.connect(DEVBOT).receive(), None);
    let refused = server.around.wait(3).pop().unwrap();
    assert_eq!(
        (refused.outcome, refused.reason, refused.agent.as_deref()),
        (QueryOutcome::RateLimited, Some(Reason::LimitReached), Some("devbot"))
    );
    assert_eq!(server.connect(OTHERBOT).ask("only-other.test.", RecordType::A).answers.len(), 1);
    assert_eq!(first.ask("api.github.com.", RecordType::A).answers.len(), 1);
}

#[test]
fn stopping_closes_connections_and_ends() {
    let mut server = Server::start(config());
    let mut connection = server.connect(DEVBOT);
    assert_eq!(connection.ask("api.github.com.", RecordType::A).answers.len(), 1);
    server.stop();
    assert_eq!(connection.receive(), None);
}

#[test]
fn a_server_that_is_dropped_lets_go_of_its_address() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (at, task) = runtime.block_on(async {
        let bound = stubgate_dns::DnsServer::bind(config()).unwrap();
        let at = bound.local_addrs()[0];
        let around = std::sync::Arc::new(crate::setup::Nowhere);
        (at, tokio::spawn(bound.serve(around, tokio_util::sync::CancellationToken::new())))
    });
    // Runs the server for the first time.
    runtime.block_on(tokio::task::yield_now());
    drop((task, runtime));
    let start = Instant::now();
    while let Err(error) = std::net::UdpSocket::bind(at) {
        assert!(start.elapsed() < crate::setup::PATIENCE, "{error}");
        std::thread::yield_now();
    }
}
