//! An origin that breaks the protocol in the way that the path names, and writes down all that it is
//! sent afterwards.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};

use super::{Memory, Origin, Place};
use crate::program::Running;

/// The origin.
#[derive(Clone, Debug)]
pub struct Hostile {
    name: String,
    /// What it was sent.
    pub memory: Memory,
}

impl Hostile {
    /// A hostile origin of this name, which speaks HTTP/1.1 only.
    pub fn new(name: &str) -> Hostile {
        Hostile { name: name.to_owned(), memory: Memory::default() }
    }
}

/// What it answers to a request for this path.
fn script(path: &str) -> &'static [u8] {
    match path {
        // A tunnel that the appliance must not open.
        "/upgrade-200" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "/upgrade-wrong-accept" => {
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
        }
        "/unasked-101" => b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "/cl-and-te" => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
              5\r\nhello\r\n0\r\n\r\n"
        }
        "/two-lengths" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\nokSMUGGLE",
        // Bytes behind the answer: an answer to nobody's question.
        "/extra" => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\
              HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nPOISONED"
        }
        "/bad-chunk" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nbad\r\n",
        "/cut-short" => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        "/split" => b"HTTP/1.1 200 OK\r\nX-A: b\rX-Injected: yes\r\nContent-Length: 2\r\n\r\nok",
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine",
    }
}

impl Origin for Hostile {
    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn start(&self, place: &Place) -> Vec<Running> {
        let socket = place.socket(443);
        let listener = place.node.enter(move || TcpListener::bind(socket).expect("bind"));
        let tls = place.leaf.server(&["http/1.1"]);
        let memory = self.memory.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                memory.connected();
                let memory = memory.clone();
                let connection = ServerConnection::new(Arc::clone(&tls)).expect("TLS server");
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
                    serve(&mut StreamOwned::new(connection, stream), &memory)
                });
            }
        });
        Vec::new()
    }
}

fn serve(stream: &mut (impl Read + Write), memory: &Memory) -> std::io::Result<()> {
    let mut pending = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        memory.received(&buffer[..length]);
        pending.extend_from_slice(&buffer[..length]);
        while let Some(end) = pending.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&pending[..end]).into_owned();
            pending.drain(..end + 4);
            let path = head.split(' ').nth(1).unwrap_or_default();
            stream.write_all(script(path))?;
            stream.flush()?;
            if path == "/cut-short" {
                return Ok(());
            }
        }
    }
}
