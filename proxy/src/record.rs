//! Phase *record* (law 8): one line of JSON for every decision, written before the answer is sent.
//!
//! - [`Line`] is the record itself; what came from the wire is escaped and bounded when it is written.
//! - [`Audit`] writes lines: at once for decisions and the `begin` of a forwarded request, with the next ones for
//!   outcomes (`end`), which nothing waits for.
//! - An agent's refusals above a rate become one `suppressed` line a second ([`suppress`]), and so does what the appliance
//!   answers by itself. What is allowed is recorded one by one, and takes of the agent's requests a minute.
//!
//! A sink that can't be written is an error for the caller, who refuses requests with a credential (law 5), and is
//! counted and told in a `gap` line once it works again.

mod line;
mod sink;
pub mod suppress;
mod timestamp;
mod unfinished;

use std::future::poll_fn;
use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Instant;

pub use line::{Event, Layer, Line, PolicyFile, Wire};
pub use sink::Sink;
pub(crate) use timestamp::rfc3339;

use crate::config::AuditFile;
use crate::metrics::Metrics;
use suppress::{Admission, Suppressor};
use unfinished::Unfinished;

/// Writes records.
pub struct Audit {
    sink: Mutex<Sink>,
    suppressor: Mutex<Suppressor>,
    sequence: AtomicU64,
    dropped: AtomicU64,
    metrics: Metrics,
}

/// A record could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the audit record could not be written")]
pub struct AuditFull;

impl Audit {
    /// Records go to `destinations`, of an agent at most `refusals_per_second` refusals one by one.
    pub fn open(destinations: &[AuditFile], refusals_per_second: u32, metrics: Metrics) -> io::Result<Self> {
        let unfinished = unfinished::find(destinations);
        let audit = Audit {
            sink: Mutex::new(Sink::open(destinations)?),
            suppressor: Mutex::new(Suppressor::new(refusals_per_second)),
            sequence: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            metrics,
        };
        audit.tell_unfinished(&unfinished);
        Ok(audit)
    }

    /// The `end` of what a process before this one had begun.
    fn tell_unfinished(&self, all: &[Unfinished]) {
        let lines: Vec<Line<'_>> = all
            .iter()
            .map(|begun| Line {
                id: Some(&begun.id),
                agent: begun.agent.as_deref(),
                credential: begun.credential.as_deref(),
                credential_version: begun.version,
                outcome: Some("unknown"),
                note: Some("the process that began it was ended before it was over"),
                ..Line::new(Event::End, Layer::Http)
            })
            .collect();
        if !lines.is_empty() {
            let requests = lines.len();
            tracing::warn!(requests, "the process before was ended in the middle of requests; their records say so");
            // Lost ones are counted.
            let _ = self.write_all(&lines);
        }
    }

    /// Writes a record before anything that follows from it happens.
    pub fn write(&self, line: &Line<'_>) -> Result<(), AuditFull> {
        self.write_all(std::slice::from_ref(line))
    }

    /// Writes a record before anything that follows from it happens, with those of the requests that are ready at the same
    /// time: one write for all of them.
    pub async fn write_with_others(&self, line: &Line<'_>) -> Result<(), AuditFull> {
        let ticket = self.lock().add(|out| self.number(line, out));
        let mut others_had_their_turn = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut others_had_their_turn, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let outcome = self.lock().outcome(ticket);
        match outcome {
            Some(true) => Ok(()),
            Some(false) => Err(AuditFull),
            None => self.append(&[], true),
        }
    }

    /// Writes several records with one write.
    pub fn write_all(&self, lines: &[Line<'_>]) -> Result<(), AuditFull> {
        self.append(lines, true)
    }

    /// Takes a record that may be written with the next ones, at the latest within a tick.
    pub fn write_later(&self, line: &Line<'_>) {
        // Counted as dropped in `append`; nobody waits for an outcome.
        let _ = self.append(std::slice::from_ref(line), false);
    }

    /// Writes a refusal, or what the appliance answers by itself (an agent asks for it as often as it likes); or counts it
    /// when the agent has had its share of this second.
    pub fn refuse(&self, line: &Line<'_>) -> Result<Admission, AuditFull> {
        let admission = self.admit(line, Instant::now());
        match admission {
            Admission::Write => self.write(line)?,
            Admission::Count => self.metrics.audit_suppressed.inc(),
        }
        Ok(admission)
    }

    /// Whether a refusal is written by itself; one that is not is counted here.
    pub fn admit(&self, line: &Line<'_>, now: Instant) -> Admission {
        let mut suppressor = self.suppressor.lock().unwrap_or_else(PoisonError::into_inner);
        suppressor.admit(line.agent, line.layer, line.reason, now)
    }

    /// Writes what waits: outcomes, and `suppressed` lines for the seconds that have passed. Called every tick.
    pub fn tick(&self, now: Instant) {
        let due = self.suppressor.lock().unwrap_or_else(PoisonError::into_inner).take_due(now);
        for counted in due {
            let line = Line {
                agent: counted.agent.as_deref(),
                // A refused request has its reason.
                decision: (counted.layer == Layer::Http && counted.reason.is_none()).then_some("answer"),
                reason: counted.reason,
                count: Some(counted.count),
                ..Line::new(Event::Suppressed, counted.layer)
            };
            let _ = self.write(&line);
        }
        self.flush();
    }

    /// Writes the outcomes that wait.
    pub fn flush(&self) {
        // Counted as dropped in `append`; nobody waits for an outcome.
        let _ = self.append(&[], true);
    }

    /// Whether records were lost and none could be written since: requests with a credential are refused. It is tried again
    /// every tick.
    pub fn is_failing(&self) -> bool {
        self.dropped.load(Ordering::Relaxed) > 0
    }

    /// Opens the files anew, after they were moved away.
    pub fn reopen(&self) -> io::Result<()> {
        self.lock().reopen()
    }

    fn append(&self, lines: &[Line<'_>], now: bool) -> Result<(), AuditFull> {
        let mut sink = self.lock();
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 && now {
            let gap = Line { count: Some(dropped), ..Line::new(Event::Gap, Layer::Audit) };
            sink.add(|out| self.number(&gap, out));
        }
        for line in lines {
            sink.add(|out| self.number(line, out));
        }
        let done = if now { sink.flush() } else { sink.flush_if_large() };
        drop(sink);
        match done {
            Ok(()) => {
                if dropped > 0 && now {
                    self.dropped.fetch_sub(dropped, Ordering::Relaxed);
                    tracing::warn!(records = dropped, "audit records were lost; the sink works again");
                }
                Ok(())
            }
            Err(lost) => {
                // The line that would have told the gap is no record of its own.
                let lines = lost.lines - u64::from(dropped > 0 && now);
                if self.dropped.fetch_add(lines, Ordering::Relaxed) == 0 {
                    let error = lost.error;
                    tracing::error!(%error, "audit records not written; requests with credentials are refused until they can be");
                }
                self.metrics.audit_dropped.inc_by(lines);
                Err(AuditFull)
            }
        }
    }

    fn number(&self, line: &Line<'_>, out: &mut Vec<u8>) {
        line.write_to(out, self.sequence.fetch_add(1, Ordering::Relaxed));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
