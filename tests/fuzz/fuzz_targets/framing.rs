//! Whole requests through a connection: each message that is accepted has the one reading that two others find (httparse for
//! the head, a plain one here for the body), and is written again as exactly one message that says the same.
#![no_main]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method};
use libfuzzer_sys::fuzz_target;
use stubgate_h1::{Conn, Framing, Limits, framing};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

fuzz_target!(|data: &[u8]| {
    let Some((&step, data)) = data.split_first() else { return };
    let (mut at, mut read, mut left) = (0, BytesMut::new(), data);
    while let Some((message, rest, unread)) = accept(Pipe::new(left, usize::from(step) + 1), read) {
        let end = data.len() - rest.len() - unread.len();
        let plain = Message::plainly(&data[at..]).expect("what is accepted has a plain reading");
        assert_eq!(plain.1, end - at, "it ends in the same place");
        assert!(plain.0 == message, "{:?}\n{message:?}", plain.0);
        written_anew(message);
        (at, read, left) = (end, unread, rest);
    }
});

#[derive(Debug, PartialEq)]
struct Message {
    method: Method,
    target: Vec<u8>,
    /// Without Host and framing, in order, names in lower case.
    headers: Vec<(String, Vec<u8>)>,
    chunked: bool,
    body: Vec<u8>,
}

/// The next message with what was not read and what was read beyond it; `None` where it is refused or not whole.
fn accept(pipe: Pipe<'_>, read: BytesMut) -> Option<(Message, &[u8], BytesMut)> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut conn = Conn::new(pipe, read, Limits::default());
    let Poll::Ready(Ok(Some(head))) = conn.poll_request(&mut cx) else { return None };
    let framed = framing::of_request(head.version, &head.headers).ok()?;
    conn.start_reading(framed);
    let mut body = Vec::new();
    loop {
        match conn.poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => body.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Poll::Ready(None) => break,
            Poll::Ready(Some(Err(_))) | Poll::Pending => return None,
        }
    }
    assert!(conn.is_read());
    if let Framing::Length(length) = framed {
        assert_eq!(body.len() as u64, length);
    }
    let (pipe, unread) = conn.into_parts();
    let headers = listed(&head.headers);
    let chunked = framed == Framing::Chunked;
    Some((Message { method: head.method, target: head.target.to_vec(), headers, chunked, body }, pipe.left, unread))
}

fn listed(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let is_ours = |name: &&http::HeaderName| [HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name);
    let mut list: Vec<_> = headers
        .iter()
        .filter(|(name, _)| !is_ours(name))
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    // A map keeps the order of values of one name, and not that of names.
    list.sort_by(|(a, _), (b, _)| a.cmp(b));
    list
}

fn written_anew(message: Message) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut headers = HeaderMap::new();
    for (name, value) in &message.headers {
        headers.append(name.parse::<http::HeaderName>().unwrap(), value.as_slice().try_into().unwrap());
    }
    let mut conn = Conn::new(Pipe::new(b"", 1), BytesMut::new(), Limits::default());
    let framed = if message.chunked { Framing::Chunked } else { Framing::Length(message.body.len() as u64) };
    let target = std::str::from_utf8(&message.target).unwrap();
    conn.queue_request(&message.method, target, "host.test", &headers, framed);
    if message.body.len() < 4096 {
        for piece in message.body.chunks(700) {
            assert!(conn.poll_ready(&mut cx).is_ready());
            conn.queue_data(Bytes::copy_from_slice(piece)).unwrap();
        }
    } else {
        conn.queue_data(Bytes::from(message.body.clone())).unwrap();
    }
    conn.finish(None).unwrap();
    assert!(conn.is_written() && conn.poll_flush(&mut cx).is_ready());
    let out = conn.into_parts().0.written;
    let (again, end) = Message::plainly(&out).expect("what is written is HTTP");
    assert_eq!(end, out.len(), "one message");
    assert!(again == message, "{again:?}\n{message:?}");
}

impl Message {
    /// Another reading, that knows nothing of ours, and where it ends.
    fn plainly(data: &[u8]) -> Option<(Message, usize)> {
        let mut room = [httparse::EMPTY_HEADER; 128];
        let mut head = httparse::Request::new(&mut room);
        let httparse::Status::Complete(mut at) = head.parse(data).ok()? else { return None };
        let mut headers = HeaderMap::new();
        let (mut length, mut chunked) = (None, false);
        for header in head.headers.iter() {
            let text = std::str::from_utf8(header.value).unwrap_or("").trim_matches([' ', '\t']);
            if header.name.eq_ignore_ascii_case("content-length") {
                assert!(length.is_none() && !chunked && text.bytes().all(|b| b.is_ascii_digit()));
                length = Some(text.parse::<usize>().ok()?);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                assert!(length.is_none() && !chunked && text.eq_ignore_ascii_case("chunked"));
                chunked = true;
            }
            headers.append(header.name.parse::<http::HeaderName>().ok()?, header.value.try_into().ok()?);
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let line = line(data, &mut at)?;
                let size = line.split(|&b| b == b';').next()?;
                let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
                if size == 0 {
                    break;
                }
                body.extend_from_slice(data.get(at..at.checked_add(size)?)?);
                at += size;
                assert_eq!(data.get(at..at + 2)?, b"\r\n");
                at += 2;
            }
            while !line(data, &mut at)?.is_empty() {}
        } else if let Some(length) = length {
            body.extend_from_slice(data.get(at..at.checked_add(length)?)?);
            at += length;
        }
        let method = head.method?.parse().ok()?;
        Some((Message { method, target: head.path?.into(), headers: listed(&headers), chunked, body }, at))
    }
}

fn line<'a>(data: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let rest = data.get(*at..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    *at += end + 2;
    rest.get(..end)
}

/// Gives its bytes `step` at a time, and keeps what is written.
struct Pipe<'a> {
    left: &'a [u8],
    step: usize,
    written: Vec<u8>,
}

impl<'a> Pipe<'a> {
    fn new(left: &'a [u8], step: usize) -> Self {
        Pipe { left, step, written: Vec::new() }
    }
}

impl AsyncRead for Pipe<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let n = self.step.min(buf.remaining()).min(self.left.len());
        let (front, back) = self.left.split_at(n);
        buf.put_slice(front);
        self.left = back;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let n = self.step.min(buf.len());
        self.written.extend_from_slice(&buf[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
