//! A provider on a real socket, for processes that die.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use zeroize::Zeroizing;

use crate::fetch::{Answering, HttpClient, Unanswered};

/// What a refresh token that is used twice brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reuse {
    EndsTheFamily,
    AnswersAgain,
}

pub(super) struct Double {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    issued: u64,
    answers: HashMap<String, String>,
    is_dead: bool,
    requests: usize,
}

impl Double {
    /// Serves until the test ends.
    pub(super) fn start(reuse: Reuse) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let double = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = Arc::clone(&double.state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // One that died on the way is no matter.
                let _ = serve(stream.unwrap(), &state, reuse);
            }
        });
        double
    }

    pub(super) fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>, reuse: Reuse) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let asked: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let (status, text) = answer(&mut state.lock().unwrap(), asked["refresh_token"].as_str().unwrap(), reuse);
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}", text.len())
}

fn answer(state: &mut State, token: &str, reuse: Reuse) -> (u16, String) {
    state.requests += 1;
    if let Some(same) = state.answers.get(token) {
        if reuse == Reuse::AnswersAgain {
            return (200, same.clone());
        }
        state.is_dead = true;
    }
    if state.is_dead {
        return (400, r#"{"error":"invalid_grant"}"#.into());
    }
    state.issued += 1;
    let number = state.issued;
    // Longer than the clock of the children is ahead.
    let text = format!(r#"{{"access_token":"access-{number}","refresh_token":"refresh-{number}","expires_in":90000}}"#);
    state.answers.insert(token.into(), text.clone());
    (200, text)
}

/// A way to it without TLS.
pub(super) struct Client(pub(super) SocketAddr);

impl HttpClient for Client {
    fn send(&self, request: Request<Zeroizing<Vec<u8>>>) -> Answering<'_> {
        let address = self.0;
        Box::pin(async move {
            let sent = tokio::task::spawn_blocking(move || send(address, &request)).await.unwrap();
            sent.map_err(|error| Unanswered::Lost(error.to_string()))
        })
    }
}

fn send(to: SocketAddr, request: &Request<Zeroizing<Vec<u8>>>) -> std::io::Result<Response<Zeroizing<Vec<u8>>>> {
    let mut stream = TcpStream::connect(to)?;
    let (path, body) = (request.uri().path(), request.body());
    write!(stream, "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len())?;
    stream.write_all(body)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status: u16 = text.get(9..12).unwrap().parse().unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1.as_bytes().to_vec();
    Ok(Response::builder().status(status).body(Zeroizing::new(body)).unwrap())
}
