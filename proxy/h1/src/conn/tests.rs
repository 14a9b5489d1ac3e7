use std::future::poll_fn;

use http_body::Body;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

fn pair(capacity: usize) -> (Conn<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(capacity);
    (Conn::new(ours, BytesMut::new(), Limits::default()), theirs)
}

async fn collect(conn: &mut Conn<DuplexStream>) -> Result<(Vec<u8>, Option<HeaderMap>), BodyError> {
    let (mut body, mut trailers) = (Vec::new(), None);
    while let Some(frame) = poll_fn(|cx| conn.poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) => body.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((body, trailers))
}

#[tokio::test]
async fn pipelined_requests_are_read_one_after_the_other() {
    let (mut conn, mut peer) = pair(1024);
    peer.write_all(b"POST /1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n\r\n").await.unwrap();
    drop(peer);
    let first = poll_fn(|cx| conn.poll_request(cx)).await.unwrap().unwrap();
    assert_eq!(&first.target[..], b"/1");
    conn.start_reading(Framing::Length(3));
    assert_eq!(collect(&mut conn).await.unwrap().0, b"abc");
    assert!(conn.is_read());
    let second = poll_fn(|cx| conn.poll_request(cx)).await.unwrap().unwrap();
    assert_eq!(&second.target[..], b"/2");
    assert!(poll_fn(|cx| conn.poll_request(cx)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_body_cut_short_is_an_error() {
    for (framing, sent) in [(Framing::Length(10), &b"abc"[..]), (Framing::Chunked, b"5\r\nabc")] {
        let (mut conn, mut peer) = pair(1024);
        peer.write_all(sent).await.unwrap();
        drop(peer);
        conn.start_reading(framing);
        assert!(matches!(collect(&mut conn).await, Err(BodyError::Short)));
    }
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused_while_it_arrives() {
    let (mut conn, mut peer) = pair(1 << 20);
    peer.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    peer.write_all("a: b\r\n".repeat(20_000).as_bytes()).await.unwrap();
    let error = poll_fn(|cx| conn.poll_request(cx)).await.unwrap_err();
    assert!(matches!(error, ReadError::Head(HeadError::TooLarge)));
}

#[tokio::test]
async fn bodies_of_every_size_and_framing_arrive_whole_through_a_narrow_stream() {
    for size in [1, COALESCE, COALESCE + 1, 100_000] {
        for framing in [Framing::Length(size as u64), Framing::Chunked, Framing::Close] {
            let (mut conn, peer) = pair(777);
            #[allow(clippy::cast_possible_truncation)]
            let body: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let sent = Bytes::from(body.clone());
            let writer = async {
                conn.queue_response(StatusCode::OK, &HeaderMap::new(), framing, Some(framing), false);
                for piece in sent.chunks(30_000) {
                    poll_fn(|cx| conn.poll_ready(cx)).await.unwrap();
                    conn.queue_data(sent.slice_ref(piece)).unwrap();
                }
                let mut trailers = HeaderMap::new();
                trailers.insert("x", "y".parse().unwrap());
                conn.finish(Some(&trailers)).unwrap();
                poll_fn(|cx| conn.poll_shutdown(cx)).await.unwrap();
            };
            let reader = async {
                let mut other = Conn::new(peer, BytesMut::new(), Limits::default());
                let head = poll_fn(|cx| other.poll_response(cx)).await.unwrap();
                let told = crate::framing::of_response(&Method::GET, head.status, head.version, &head.headers).unwrap();
                other.start_reading(told);
                collect(&mut other).await.unwrap()
            };
            let ((), (got, trailers)) = tokio::join!(writer, reader);
            assert_eq!(got, body, "{framing:?}");
            assert_eq!(trailers.is_some(), framing == Framing::Chunked);
        }
    }
}

#[tokio::test]
async fn a_body_other_than_declared_is_an_error_on_our_side() {
    let (mut conn, _peer) = pair(1024);
    let two = Framing::Length(2);
    conn.queue_response(StatusCode::OK, &HeaderMap::new(), two, Some(two), false);
    assert!(matches!(conn.queue_data(Bytes::from_static(b"abc")), Err(BodyError::Long)));
    conn.queue_data(Bytes::from_static(b"a")).unwrap();
    assert!(matches!(conn.finish(None), Err(BodyError::Short)));
}

#[tokio::test]
async fn an_interim_response_never_lands_in_a_body() {
    let (mut conn, mut peer) = pair(1024);
    let five = Framing::Length(5);
    conn.queue_response(StatusCode::OK, &HeaderMap::new(), five, Some(five), false);
    conn.queue_interim(StatusCode::CONTINUE, &HeaderMap::new());
    conn.queue_data(Bytes::from_static(b"hello")).unwrap();
    conn.finish(None).unwrap();
    poll_fn(|cx| conn.poll_shutdown(cx)).await.unwrap();
    let mut got = String::new();
    peer.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
}

#[tokio::test]
async fn what_follows_a_message_is_kept_for_a_tunnel() {
    let (mut conn, mut peer) = pair(1024);
    peer.write_all(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\nframes").await.unwrap();
    poll_fn(|cx| conn.poll_request(cx)).await.unwrap().unwrap();
    let (mut io, read) = conn.into_parts();
    assert_eq!(&read[..], b"frames");
    io.write_all(b"ok").await.unwrap();
    let mut got = [0; 2];
    peer.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"ok");
}

#[tokio::test]
async fn the_body_handle_reads_while_the_owner_writes() {
    let (conn, mut peer) = pair(1024);
    peer.write_all(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").await.unwrap();
    let conn = SharedConn::new(conn);
    poll_fn(|cx| conn.lock().poll_request(cx)).await.unwrap().unwrap();
    let mut body = conn.body(Framing::Length(3));
    assert_eq!(body.size_hint().exact(), Some(3));
    conn.lock().queue_interim(StatusCode::CONTINUE, &HeaderMap::new());
    poll_fn(|cx| conn.lock().poll_flush(cx)).await.unwrap();
    let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap().unwrap();
    assert_eq!(&frame.into_data().unwrap()[..], b"abc");
    assert!(body.is_end_stream());
    drop(body);
    assert!(conn.into_inner().is_some());
    let mut got = vec![0; 25];
    peer.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"HTTP/1.1 100 Continue\r\n\r\n");
}
