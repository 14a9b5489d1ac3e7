//! HTTP/2 frame by frame (RFC 9113 section 4), for what no honest client sends.
//!
//! Header blocks are literals without indexing (RFC 7541 section 6.2.2), or raw bytes where the block is the attack.

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bytes::{Text, Words, to_bytes};
use crate::client::{Io, PATIENCE};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame to send, or several of them many times.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// A request as HTTP/1.1 writes it, `GET /x`: HEADERS with its four pseudo headers.
    request: Option<String>,
    /// HEADERS with these lines; or more lines of the request.
    headers: Option<Vec<[String; 2]>>,
    /// HEADERS with this block.
    block: Option<Text>,
    /// CONTINUATION with these lines.
    continuation: Option<Vec<[String; 2]>>,
    /// DATA.
    data: Option<Text>,
    /// A frame of this type, as it is.
    frame: Option<u8>,
    #[serde(default)]
    flags: u8,
    #[serde(default)]
    payload: String,
    /// The stream; 1, or in a repetition that opens streams the newest.
    stream: Option<u32>,
    end_stream: Option<bool>,
    end_headers: Option<bool>,
    /// These many times, each on a new stream where `new_streams` says so.
    #[serde(default)]
    repeat: u32,
    #[serde(default)]
    new_streams: bool,
    #[serde(default)]
    steps: Vec<Step>,
}

impl Step {
    fn write(&self, words: &Words, newest: u32, out: &mut Vec<u8>) {
        let stream = self.stream.unwrap_or(newest);
        let flag = |set: Option<bool>, default: bool, bit: u8| if set.unwrap_or(default) { bit } else { 0 };
        if let Some(block) = &self.block {
            let flags = flag(self.end_stream, true, END_STREAM) | flag(self.end_headers, true, END_HEADERS);
            frame(HEADERS, flags, stream, &block.bytes(words), out);
        } else if self.request.is_some() || self.headers.is_some() {
            let flags = flag(self.end_stream, true, END_STREAM) | flag(self.end_headers, true, END_HEADERS);
            frame(HEADERS, flags, stream, &self.lines(words), out);
        } else if let Some(lines) = &self.continuation {
            let flags = flag(self.end_headers, false, END_HEADERS);
            frame(CONTINUATION, flags, stream, &fields(lines, words), out);
        } else if let Some(data) = &self.data {
            frame(DATA, flag(self.end_stream, true, END_STREAM), stream, &data.bytes(words), out);
        } else if let Some(kind) = self.frame {
            frame(kind, self.flags, stream, &to_bytes(&words.fill(&self.payload)), out);
        }
    }

    fn lines(&self, words: &Words) -> Vec<u8> {
        let mut lines = Vec::new();
        if let Some((method, path)) = self.request.as_deref().and_then(|request| request.split_once(' ')) {
            for (name, value) in [(":method", method), (":scheme", "https"), (":path", path), (":authority", "{host}")]
            {
                lines.push([name.to_owned(), value.to_owned()]);
            }
        }
        lines.extend(self.headers.clone().unwrap_or_default());
        fields(&lines, words)
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

fn fields(lines: &[[String; 2]], words: &Words) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        out.push(0);
        for text in line {
            let text = to_bytes(&words.fill(text));
            // An integer with a prefix of seven bits (RFC 7541 section 5.1).
            match u8::try_from(text.len()) {
                Ok(length) if length < 127 => out.push(length),
                _ => {
                    out.push(127);
                    let mut rest = text.len() - 127;
                    while rest >= 128 {
                        out.push(u8::try_from(rest % 128 + 128).unwrap());
                        rest /= 128;
                    }
                    out.push(u8::try_from(rest).unwrap());
                }
            }
            out.extend(text);
        }
    }
    out
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Back {
    /// The statuses of streams, in the order that they came.
    pub(crate) statuses: Vec<u16>,
    /// Whether a stream or the connection was ended instead.
    pub(crate) is_reset: bool,
    /// All of it, as it came.
    pub(crate) bytes: Vec<u8>,
}

/// Sends all steps, and reads until so many streams are answered or ended, or the connection is.
pub(crate) async fn exchange(io: Box<dyn Io>, steps: &[Step], words: &Words, answers: usize) -> Back {
    let (mut read, mut write) = tokio::io::split(io);
    let mut first = PREFACE.to_vec();
    frame(SETTINGS, 0, 0, &[], &mut first);
    let steps = steps.to_vec();
    let words = words.clone();
    // What can't be sent any more was refused already.
    let sending = tokio::spawn(async move {
        write.write_all(&first).await?;
        for step in &steps {
            let mut out = Vec::new();
            step.write(&words, 1, &mut out);
            for number in 0..step.repeat {
                let newest = if step.new_streams { number * 2 + 1 } else { 1 };
                step.steps.iter().for_each(|step| step.write(&words, newest, &mut out));
                if out.len() > 16 << 10 {
                    write.write_all(&out).await?;
                    out.clear();
                }
            }
            write.write_all(&out).await?;
        }
        write.flush().await?;
        Ok::<_, std::io::Error>(write)
    });
    let mut back = Back::default();
    let mut unread = Vec::new();
    let mut ended = 0;
    let reading = async {
        let mut buffer = vec![0; 16 << 10];
        while ended < answers {
            let length = read.read(&mut buffer).await.unwrap_or(0);
            if length == 0 {
                back.is_reset |= back.statuses.len() < answers;
                return;
            }
            back.bytes.extend_from_slice(&buffer[..length]);
            unread.extend_from_slice(&buffer[..length]);
            while let Some((kind, payload)) = next(&mut unread) {
                match kind {
                    HEADERS => {
                        let status = status(&payload);
                        if status >= 200 {
                            back.statuses.push(status);
                            ended += 1;
                        }
                    }
                    RST_STREAM => {
                        back.is_reset = true;
                        ended += 1;
                    }
                    GOAWAY => {
                        back.is_reset = true;
                        return;
                    }
                    _ => {}
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer or an end in time");
    sending.abort();
    back
}

fn next(unread: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let head = unread.get(..9)?;
    let (length, kind) = (usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]), head[3]);
    if unread.len() < 9 + length {
        return None;
    }
    let whole: Vec<u8> = unread.drain(..9 + length).collect();
    Some((kind, whole[9..].to_vec()))
}

/// The status at the head of a block: from the static table, or a literal whose name is there. 0 where it is trailers.
fn status(block: &[u8]) -> u16 {
    // A change of the dynamic table's size may come first.
    let from = block.iter().position(|byte| byte >> 5 != 1).unwrap_or(0);
    match block[from..] {
        [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
        [0x08 | 0x18 | 0x48, length, ref text @ ..] => {
            let text = &text[..usize::from(length & 0x7f)];
            let digits = if length & 0x80 == 0 { String::from_utf8_lossy(text).into_owned() } else { digits(text) };
            digits.parse().expect("a status")
        }
        _ => 0,
    }
}

/// Three digits in the code of RFC 7541 appendix B: 0 to 2 have five bits, 3 to 9 six.
fn digits(text: &[u8]) -> String {
    let bits: Vec<u8> = text.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let value = |from: usize, count: usize| bits[from..from + count].iter().fold(0, |sum, bit| sum * 2 + bit);
    let (mut at, mut out) = (0, String::new());
    for _ in 0..3 {
        let short = value(at, 5);
        let (digit, count) = if short < 3 { (short, 5) } else { (value(at, 6) - 0b01_1001 + 3, 6) };
        out.push(char::from(b'0' + digit));
        at += count;
    }
    out
}

#[test]
fn a_status_is_read_in_each_form_that_it_is_written_in() {
    assert_eq!(status(&[0x88]), 200);
    assert_eq!(status(&[0x20, 0x8c]), 400);
    assert_eq!(status(&[0x48, 3, b'4', b'2', b'1']), 421);
    // RFC 7541 section C.6.1: 302; C.6.2: 307.
    assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), 302);
    assert_eq!(status(&[0x48, 0x83, 0x64, 0x0e, 0xff]), 307);
}
