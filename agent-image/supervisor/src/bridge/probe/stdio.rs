//! A probe over standard input and output, of an instance of its own: that of the client is the client's.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};

use super::{Failed, Heard, ROOM, Wire};
use crate::bridge::message::Malformed;

/// A child that is spoken to line by line.
pub struct Stdio {
    input: ChildStdin,
    output: ChildStdout,
    /// Read, and not taken yet.
    rest: Vec<u8>,
    room: usize,
}

impl Stdio {
    /// Speaks through these.
    pub fn new(input: ChildStdin, output: ChildStdout) -> Self {
        Stdio { input, output, rest: Vec::new(), room: ROOM }
    }

    async fn line(&mut self) -> Result<Vec<u8>, Failed> {
        let mut seen = 0;
        loop {
            let new = self.rest.get(seen..).unwrap_or_default();
            if let Some(end) = new.iter().position(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(seen + end + 1);
                return Ok(std::mem::replace(&mut self.rest, rest));
            }
            seen = self.rest.len();
            let read = self.output.read_buf(&mut self.rest).await.map_err(|_| Failed::Ended)?;
            self.room = self.room.checked_sub(read).ok_or(Malformed::Long)?;
            if read == 0 {
                return Err(Failed::Ended);
            }
        }
    }
}

impl Wire for Stdio {
    async fn tell(&mut self, mut message: Vec<u8>) -> Result<(), Failed> {
        message.push(b'\n');
        self.input.write_all(&message).await.map_err(|_| Failed::Ended)
    }

    async fn ask<T>(
        &mut self,
        question: Vec<u8>,
        take: &mut (impl FnMut(&[u8]) -> Result<Heard<T>, Failed> + Send),
    ) -> Result<T, Failed> {
        self.tell(question).await?;
        loop {
            let line = self.line().await?;
            match take(line.trim_ascii())? {
                Heard::Answer(answer) => return Ok(answer),
                Heard::Reply(reply) => self.tell(reply).await?,
                Heard::Nothing => {}
            }
        }
    }
}
