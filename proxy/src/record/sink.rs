//! Where records go: files, or standard output.
//!
//! One `write(2)` carries all that waits. A line that was cut by a full disk, or by the end of the process that wrote it, is
//! ended before the next one begins, so that what is in a file stays readable line by line. A pipe whose reader has stopped is given a bounded time.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::config::{AuditFile, AuditSink};

/// Outcomes beyond this are written without waiting for the next tick.
const LARGE: usize = 32 * 1024;
/// How long a pipe may take to accept a write.
const PIPE_PATIENCE: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Output {
    destination: AuditFile,
    file: File,
    length: u64,
    is_pipe: bool,
    torn: bool,
}

/// All destinations, and what waits for them.
#[derive(Debug)]
pub struct Sink {
    outputs: Vec<Output>,
    waiting: Vec<u8>,
    /// Lines ever added; each line's number is its ticket.
    added: u64,
    /// Of these, lines that were written or lost.
    flushed: u64,
    /// The last line of the last flush that failed.
    failed: u64,
}

/// A flush that failed.
#[derive(Debug)]
pub struct Lost {
    /// Why.
    pub error: io::Error,
    /// Lines that are lost with it.
    pub lines: u64,
}

impl Sink {
    /// Opens every destination.
    pub fn open(destinations: &[AuditFile]) -> io::Result<Self> {
        let outputs = destinations.iter().cloned().map(Output::open).collect::<io::Result<_>>()?;
        Ok(Sink { outputs, waiting: Vec::with_capacity(LARGE), added: 0, flushed: 0, failed: 0 })
    }

    /// Adds a whole line, to be written at the next flush; its ticket asks for its [`Sink::outcome`].
    pub(super) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> u64 {
        write(&mut self.waiting);
        self.added += 1;
        self.added
    }

    /// Whether a line was written; `None` while it waits. A line that was written shortly before others were lost may be
    /// taken for lost, never the other way round.
    pub(super) fn outcome(&self, ticket: u64) -> Option<bool> {
        (ticket <= self.flushed).then_some(ticket > self.failed)
    }

    /// Writes what waits to every destination. What could not be written is given up.
    pub fn flush(&mut self) -> Result<(), Lost> {
        let lines = self.added - self.flushed;
        if lines == 0 {
            return Ok(());
        }
        self.flushed = self.added;
        let mut result = Ok(());
        for output in &mut self.outputs {
            if let Err(error) = output.write(&self.waiting) {
                self.failed = self.added;
                result = Err(Lost { error, lines });
            }
        }
        self.waiting.clear();
        result
    }

    /// Writes if much waits.
    pub fn flush_if_large(&mut self) -> Result<(), Lost> {
        if self.waiting.len() < LARGE { Ok(()) } else { self.flush() }
    }

    /// Opens every file anew, as log rotation expects on SIGHUP.
    pub fn reopen(&mut self) -> io::Result<()> {
        let flushed = self.flush();
        for output in &mut self.outputs {
            *output = Output::open(output.destination.clone())?;
        }
        flushed.map_err(|lost| lost.error)
    }
}

impl Output {
    fn open(destination: AuditFile) -> io::Result<Self> {
        let file = open_file(&destination.sink).map_err(|error| {
            let name = match &destination.sink {
                AuditSink::Stdout => Path::new("-"),
                AuditSink::File(path) => path,
            };
            io::Error::new(error.kind(), format!("audit file {}: {error}", name.display()))
        })?;
        let metadata = file.metadata()?;
        let kind = metadata.file_type();
        let is_pipe = kind.is_fifo() || kind.is_socket() || kind.is_char_device();
        let torn = match &destination.sink {
            AuditSink::File(path) if kind.is_file() && metadata.len() > 0 => !ends_a_line(path),
            AuditSink::File(_) | AuditSink::Stdout => false,
        };
        Ok(Output { destination, file, length: metadata.len(), is_pipe, torn })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.rotate_if_due()?;
        if self.torn {
            self.write_whole(b"\n")?;
            self.torn = false;
        }
        self.write_whole(lines)?;
        if self.destination.durable && !self.is_pipe {
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn write_whole(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let whole = bytes.len();
        while !bytes.is_empty() {
            let mut piece = bytes;
            if self.is_pipe {
                // A pipe that polls writable takes PIPE_BUF bytes without blocking (POSIX).
                self.wait_writable()?;
                piece = bytes.get(..4096).unwrap_or(bytes);
            }
            match self.file.write(piece) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.length += n as u64;
                    bytes = bytes.get(n..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.torn |= bytes.len() < whole;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn wait_writable(&self) -> io::Result<()> {
        let mut fds = [PollFd::from_borrowed_fd(self.file.as_fd(), PollFlags::OUT)];
        let patience = Timespec { tv_sec: 0, tv_nsec: i64::from(PIPE_PATIENCE.subsec_nanos()) };
        match poll(&mut fds, Some(&patience)) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn rotate_if_due(&mut self) -> io::Result<()> {
        let Some(max) = self.destination.max_bytes else { return Ok(()) };
        let AuditSink::File(path) = &self.destination.sink else { return Ok(()) };
        if self.is_pipe || self.length < max {
            return Ok(());
        }
        let moved = |n: usize| {
            let mut name = path.clone().into_os_string();
            name.push(format!(".{n}"));
            PathBuf::from(name)
        };
        for n in (1..self.destination.keep.max(1)).rev() {
            match std::fs::rename(moved(n), moved(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(path, moved(1))?;
        *self = Output::open(self.destination.clone())?;
        Ok(())
    }
}

/// Whether the last line of a file is whole. Where that can't be seen it is taken to be cut: an empty line does less harm
/// than a record that nobody can read.
fn ends_a_line(path: &Path) -> bool {
    let last = || -> io::Result<[u8; 1]> {
        let mut file = File::open(path)?;
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        Ok(last)
    };
    last().is_ok_and(|last| last == *b"\n")
}

fn open_file(sink: &AuditSink) -> io::Result<File> {
    match sink {
        AuditSink::Stdout => Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
        AuditSink::File(path) => {
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            OpenOptions::new().create(true).append(true).mode(0o600).open(path)
        }
    }
}
