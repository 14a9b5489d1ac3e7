//! A response's body on its way back to the agent.
//!
//! Pulled by whoever writes it to the agent; each pull also moves what is left of the request's body. It ends with the
//! connection given back to the pool and the record written, or with an error that the agent sees as a body cut short.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use stubgate_policy::Reason;

use super::h1::Upload;
use super::pool::{Abandoned, Key, UpstreamH1};
use crate::appliance::Appliance;
use crate::body::Passed;
use crate::budget::Limit;
use crate::deadline::Deadline;
use crate::live::{Underway, Watch};
use crate::respond;
use crate::scrub::{Inspector, Withheld};
use crate::transaction::{Outcome, Transaction};

/// A body from an origin.
pub struct Relay {
    source: Source,
    length: Option<u64>,
    /// Looks for credentials in what passes, where there are any.
    inspector: Option<Box<Inspector>>,
    underway: Underway,
    transaction: Option<Transaction>,
    is_grpc: bool,
}

enum Source {
    H1(Arc<Appliance>, Option<SourceH1>),
    H2(hyper::body::Incoming, Deadline, UploadH2),
}

/// An HTTP/1.1 exchange whose response is being read.
pub(super) struct SourceH1 {
    /// The connection.
    pub upstream: Box<UpstreamH1>,
    /// What is left to send.
    pub upload: Upload,
    /// Where the connection goes afterwards.
    pub key: Key,
    /// Whether the origin keeps it open.
    pub keeps: bool,
}

impl SourceH1 {
    /// Gives the connection back, if both sides agree that the exchange is over and that it stays open.
    pub(super) fn finish(self, appliance: &Appliance) {
        if self.keeps && self.upload.is_done() && !self.upstream.conn.has_unread() {
            appliance.pool.give_back(self.key, self.upstream);
        }
    }
}

/// The request's body of an HTTP/2 exchange, which hyper sends by itself.
pub(super) struct UploadH2 {
    /// The body and what passed of it.
    pub passed: Arc<Passed>,
    /// To be told where it is left unfinished.
    pub abandoned: Abandoned,
    /// Bytes of it that were noticed.
    noticed: u64,
}

impl UploadH2 {
    pub(super) fn new(passed: Arc<Passed>, abandoned: Abandoned) -> Self {
        UploadH2 { passed, abandoned, noticed: 0 }
    }

    /// Whether something of it went out since this was asked last.
    fn has_moved(&mut self) -> bool {
        let before = std::mem::replace(&mut self.noticed, self.passed.bytes.load(Ordering::Relaxed));
        self.noticed != before
    }

    /// Nothing more of it goes out.
    pub(super) fn end(&self) {
        self.passed.end();
        if !self.passed.is_whole() {
            self.abandoned.add(&self.passed);
        }
    }
}

/// Why a response ended early.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Policy changed.
    #[error("cut because policy changed")]
    Cut,
    /// Nothing moved for too long.
    #[error("the origin stopped sending")]
    TimedOut,
    /// The request's body failed: the agent's fault.
    #[error("the request's body failed")]
    Request,
    /// The response's body failed: the origin's fault.
    #[error("the response's body failed")]
    Response,
    /// The response's body can't be decoded: the origin's fault.
    #[error("the response's body can't be inspected")]
    NotInspectable,
    /// The response's body shows a credential that may not pass.
    #[error("the response's body shows a credential")]
    Shown,
    /// The agent's share of memory does not hold what decoding needs.
    #[error("no memory is left to the agent for the response")]
    NoRoom,
}

impl Relay {
    pub(super) fn h1(
        appliance: Arc<Appliance>,
        source: SourceH1,
        length: Option<u64>,
        underway: Underway,
        transaction: Transaction,
    ) -> Self {
        let source = Source::H1(appliance, Some(source));
        Relay { source, length, inspector: None, underway, transaction: Some(transaction), is_grpc: false }
    }

    pub(super) fn h2(
        body: hyper::body::Incoming,
        deadline: Deadline,
        upload: UploadH2,
        underway: Underway,
        transaction: Transaction,
    ) -> Self {
        let length = body.size_hint().exact();
        let source = Source::H2(body, deadline, upload);
        Relay { source, length, inspector: None, underway, transaction: Some(transaction), is_grpc: false }
    }

    /// Has what passes inspected.
    pub(super) fn inspected(mut self, mut inspector: Option<Box<Inspector>>) -> Self {
        if let Some(inspector) = &mut inspector {
            if inspector.decodes() {
                self.length = None;
            }
            inspector.announce(self.length);
        }
        self.inspector = inspector;
        self
    }

    /// A gRPC call's, which ends early with a status instead of a reset.
    pub(super) fn of_grpc(mut self, is_grpc: bool) -> Self {
        self.is_grpc = is_grpc;
        self
    }

    /// What the agent gets of an early end.
    fn failed(&self, error: RelayError) -> Option<Result<Frame<Bytes>, RelayError>> {
        if !self.is_grpc {
            return Some(Err(error));
        }
        let reason = match error {
            RelayError::Cut => Reason::PolicyChanged,
            RelayError::TimedOut => Reason::UpstreamTimeout,
            RelayError::Request => Reason::BadRequest,
            RelayError::NotInspectable => Reason::ResponseNotInspectable,
            RelayError::NoRoom => Reason::LimitReached,
            RelayError::Shown => Reason::CredentialInResponse,
            RelayError::Response => Reason::UpstreamUnreachable,
        };
        Some(Ok(Frame::trailers(respond::grpc_trailers(reason))))
    }

    /// Ready, and the end recorded, once policy took the permission away.
    pub(crate) fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let cut = self.underway.poll_cut(cx);
        if cut.is_ready() {
            self.end(Outcome::Cut);
        }
        cut
    }

    /// What passes of the request's body meanwhile.
    pub(crate) fn passed(&self) -> Option<Arc<Passed>> {
        match &self.source {
            Source::H1(_, source) => source.as_ref().map(|source| source.upload.passed()),
            Source::H2(_, _, upload) => Some(Arc::clone(&upload.passed)),
        }
    }

    /// A second place to wait for the cut of this, in the same task.
    pub(crate) fn watch(&self) -> Watch {
        self.underway.watch()
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(transaction) = self.transaction.take() {
            transaction.end(outcome);
        }
        match &mut self.source {
            Source::H1(appliance, source) => {
                if let Some(source) = source.take()
                    && outcome == Outcome::Complete
                {
                    source.finish(appliance);
                }
            }
            Source::H2(_, _, upload) => upload.end(),
        }
    }

    /// The next frame for the agent: what comes from the source, as the inspector lets it through.
    fn poll_inspected(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        loop {
            let Some(inspector) = &mut self.inspector else { return self.poll_source(cx) };
            let pulled = inspector.pull();
            note(self.transaction.as_mut(), inspector);
            match pulled {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(None) => {}
                Err(withheld) => return self.withheld(withheld),
            }
            if inspector.is_ended() {
                return Poll::Ready(inspector.take_trailers().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let polled = self.poll_source(cx);
            let Some(inspector) = &mut self.inspector else { return polled };
            let taken = match polled {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        inspector.push(data);
                        Ok(())
                    }
                    Err(frame) => inspector.finish(frame.into_trailers().ok()),
                },
                Poll::Ready(None) => inspector.finish(None),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => {
                    inspector.pause(cx);
                    note(self.transaction.as_mut(), inspector);
                    match inspector.pull() {
                        Ok(Some(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                        Ok(None) => return Poll::Pending,
                        Err(error) => Err(error),
                    }
                }
            };
            if let Err(withheld) = taken {
                note(self.transaction.as_mut(), inspector);
                return self.withheld(withheld);
            }
        }
    }

    fn withheld(&mut self, withheld: Withheld) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let (reason, error) = match withheld {
            Withheld::NotInspectable => (Reason::ResponseNotInspectable, RelayError::NotInspectable),
            Withheld::NoRoom => (Reason::LimitReached, RelayError::NoRoom),
            Withheld::Shown => (Reason::CredentialInResponse, RelayError::Shown),
        };
        if let Some(transaction) = &mut self.transaction {
            transaction.failed(reason);
        }
        Poll::Ready(Some(Err(error)))
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        match &mut self.source {
            Source::H1(_, None) => Poll::Ready(None),
            Source::H1(_, Some(source)) => {
                let SourceH1 { upstream, upload, .. } = source;
                match upload.poll(&mut upstream.conn, cx) {
                    Ok(true) => upstream.deadline.touch(),
                    Ok(false) => {}
                    Err(_) => return Poll::Ready(Some(Err(RelayError::Request))),
                }
                match upstream.conn.poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        upstream.deadline.touch();
                        Poll::Ready(Some(Ok(frame)))
                    }
                    Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(RelayError::Response))),
                    Poll::Ready(None) => Poll::Ready(None),
                    Poll::Pending => upstream.deadline.poll(cx).map(|()| Some(Err(RelayError::TimedOut))),
                }
            }
            Source::H2(body, deadline, upload) => match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    deadline.touch();
                    Poll::Ready(Some(Ok(frame)))
                }
                Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(RelayError::Response))),
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => {
                    if upload.has_moved() {
                        deadline.touch();
                    }
                    deadline.poll(cx).map(|()| Some(Err(RelayError::TimedOut)))
                }
            },
        }
    }
}

/// Notes what was found.
fn note(transaction: Option<&mut Transaction>, inspector: &mut Inspector) {
    if let Some(transaction) = transaction {
        transaction.scrubbed(&inspector.take_tally());
        let (seen, act) = inspector.take_seen();
        transaction.shown(&seen, act);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end(if self.underway.is_cut() { Outcome::Cut } else { Outcome::Aborted });
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let this = self.get_mut();
        if this.transaction.is_none() {
            return Poll::Ready(None);
        }
        if this.poll_cut(cx).is_ready() {
            return Poll::Ready(this.failed(RelayError::Cut));
        }
        let polled = this.poll_inspected(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(data), Some(transaction)) = (frame.data_ref(), &mut this.transaction) {
                    transaction.bytes_out += data.len() as u64;
                    if let Some(left) = &mut this.length {
                        *left = left.saturating_sub(data.len() as u64);
                    }
                }
            }
            Poll::Ready(Some(Err(error))) => {
                if let (RelayError::TimedOut, Some(transaction)) = (error, &this.transaction) {
                    transaction.timed_out(Limit::BodyIdle);
                }
                this.end(Outcome::Aborted);
            }
            Poll::Ready(None) => this.end(Outcome::Complete),
            Poll::Pending => {}
        }
        polled.map(|polled| match polled {
            Some(Err(error)) => this.failed(error),
            other => other,
        })
    }

    fn is_end_stream(&self) -> bool {
        // The end must be pulled, so that the record is written and the connection given back.
        self.transaction.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
