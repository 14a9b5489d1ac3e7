//! What the appliance and the process that runs programs say to each other. All of it is bounded, as either side may be in
//! the wrong hands.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::time::Duration;

use stubgate_credentials::NotRun;
use stubgate_policy::secret_source::Exec;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use zeroize::Zeroizing;

use super::Answer;

/// The most that a program may write.
pub(super) const OUTPUT_MAXIMUM_BYTES: usize = 64 * 1024;
/// The longest list of programs.
const LIST_MAXIMUM_BYTES: u32 = 4 << 20;

const OUTPUT: u8 = 0;
const NOT_STARTED: u8 = 1;
const STATUS: u8 = 2;
const SIGNAL: u8 = 3;
const TIMED_OUT: u8 = 4;
const TOO_MUCH: u8 = 5;

/// A program with its arguments and its time.
#[derive(serde::Serialize, serde::Deserialize)]
struct Listed {
    program: Box<Path>,
    arguments: Box<[Box<str>]>,
    milliseconds: u64,
}

/// Hands the programs over, once.
pub(super) fn write_list(mut socket: &StdStream, programs: &[Exec]) -> io::Result<()> {
    let list = programs.iter().map(|exec| Listed {
        program: exec.program.clone(),
        arguments: exec.arguments.clone(),
        milliseconds: u64::try_from(exec.timeout.as_millis()).unwrap_or(u64::MAX),
    });
    let list = serde_json::to_vec(&list.collect::<Vec<_>>())?;
    let length = u32::try_from(list.len()).ok().filter(|length| *length <= LIST_MAXIMUM_BYTES);
    let length = length.ok_or_else(|| io::Error::other("too many programs"))?;
    socket.write_all(&length.to_be_bytes())?;
    socket.write_all(&list)
}

/// Takes the programs, once.
pub(super) fn read_list(mut socket: &StdStream) -> io::Result<Vec<Exec>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > LIST_MAXIMUM_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut list = Vec::new();
    socket.take(length.into()).read_to_end(&mut list)?;
    let list: Vec<Listed> = serde_json::from_slice(&list)?;
    let exec = |Listed { program, arguments, milliseconds }| {
        let timeout = Duration::from_millis(milliseconds);
        Exec { program, arguments, timeout }
    };
    Ok(list.into_iter().map(exec).collect())
}

/// A question: its number, and that of the program.
pub(super) fn question(id: u32, program: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    let (first, second) = bytes.split_at_mut(4);
    first.copy_from_slice(&id.to_be_bytes());
    second.copy_from_slice(&program.to_be_bytes());
    bytes
}

/// The next question.
pub(super) async fn read_question(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(u32, u32)> {
    Ok((from.read_u32().await?, from.read_u32().await?))
}

/// An answer, in one piece.
pub(super) fn answer(id: u32, answer: &Ended) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(9 + OUTPUT_MAXIMUM_BYTES));
    bytes.extend_from_slice(&id.to_be_bytes());
    let numbers = |one: u32, other: u64| -> Vec<u8> { [&one.to_be_bytes()[..], &other.to_be_bytes()[..]].concat() };
    let (kind, numbers) = match answer {
        Ended::Output(output) => {
            bytes.push(OUTPUT);
            bytes.extend_from_slice(&u32::try_from(output.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(output);
            return bytes;
        }
        Ended::NotStarted(errno) => (NOT_STARTED, numbers(errno.unsigned_abs(), 0)),
        Ended::Status(status, said) => (STATUS, numbers(status.unsigned_abs(), *said)),
        Ended::Signal(signal, said) => (SIGNAL, numbers(signal.unsigned_abs(), *said)),
        Ended::TimedOut => (TIMED_OUT, numbers(0, 0)),
        Ended::TooMuch => (TOO_MUCH, numbers(0, 0)),
    };
    bytes.push(kind);
    bytes.extend_from_slice(&u32::try_from(numbers.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(&numbers);
    bytes
}

/// How a program ended.
pub(super) enum Ended {
    /// Well, with this on its standard output.
    Output(Zeroizing<Vec<u8>>),
    /// It was never there; the system's number for why.
    NotStarted(i32),
    /// With a status that is not 0, and so many bytes on its standard error.
    Status(i32, u64),
    /// By a signal, likewise.
    Signal(i32, u64),
    /// It was killed for its time.
    TimedOut,
    /// It was killed for what it wrote.
    TooMuch,
}

/// The next answer.
pub(super) async fn read_answer(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(u32, Answer)> {
    let id = from.read_u32().await?;
    let kind = from.read_u8().await?;
    let length = usize::try_from(from.read_u32().await?).unwrap_or(usize::MAX);
    if length > OUTPUT_MAXIMUM_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Zeroizing::new(vec![0; length]);
    from.read_exact(&mut bytes).await?;
    if kind == OUTPUT {
        return Ok((id, Ok(bytes)));
    }
    let mut numbers = &bytes[..];
    let (one, said) = (numbers.read_u32().await?, numbers.read_u64().await?);
    let number = i32::try_from(one).unwrap_or(i32::MAX);
    let error = match kind {
        NOT_STARTED => NotRun::NotStarted(io::Error::from_raw_os_error(number).to_string()),
        STATUS => NotRun::Failed { how: format!("status {number}"), said },
        SIGNAL => NotRun::Failed { how: format!("signal {number}"), said },
        TIMED_OUT => NotRun::TimedOut,
        TOO_MUCH => NotRun::TooMuch,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    Ok((id, Err(error)))
}
