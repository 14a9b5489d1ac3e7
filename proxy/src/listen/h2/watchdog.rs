//! Ends streams whose agent does not read.
//!
//! hyper asks a response's body for more only while the agent's window is open, so a body can't notice by itself that
//! policy changed or that nothing has moved for too long. Each stream is a task of its own; here the task is watched
//! instead, and dropping it resets the stream (laws 5 and 7).

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;

use super::Active;
use crate::body::Passed;
use crate::deadline::Deadline;
use crate::live::Watch;
use crate::respond::{ResponseBody, ResponseError};

tokio::task_local! {
    static STREAM: Arc<Stream>;
}

/// What a stream's task knows of its response.
#[derive(Default)]
struct Stream {
    relayed: Mutex<Relayed>,
}

#[derive(Default)]
struct Relayed {
    /// Whether there is a response: from an origin, or ours.
    is_begun: bool,
    watch: Option<Watch>,
    /// The request's body, which moves without this task, and how many of its bytes were noticed.
    upload: Option<(Arc<Passed>, u64)>,
    has_moved: bool,
}

impl Relayed {
    fn upload_moved(&mut self) -> bool {
        let Some((passed, noticed)) = &mut self.upload else { return false };
        let before = std::mem::replace(noticed, passed.bytes.load(Ordering::Relaxed));
        *noticed != before
    }
}

/// Spawns streams, each watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    /// How long a body may stand still.
    pub(super) idle: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let watched = Watched { task: Box::pin(stream), stream: Arc::default(), deadline: Deadline::new(self.idle) };
        tokio::spawn(watched);
    }
}

struct Watched<F> {
    task: Pin<Box<F>>,
    stream: Arc<Stream>,
    deadline: Deadline,
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let stream = Arc::clone(&this.stream);
        if STREAM.sync_scope(Arc::clone(&stream), || this.task.as_mut().poll(cx)).is_ready() {
            return Poll::Ready(());
        }
        let mut relayed = stream.relayed.lock().unwrap_or_else(PoisonError::into_inner);
        if !relayed.is_begun {
            return Poll::Pending;
        }
        if relayed.watch.as_ref().is_some_and(|watch| watch.poll_cut(cx).is_ready()) {
            return Poll::Ready(());
        }
        if std::mem::take(&mut relayed.has_moved) | relayed.upload_moved() {
            this.deadline.touch();
        }
        this.deadline.poll(cx)
    }
}

/// A response's body that tells its stream's watchdog of every pull, and counts as long as it is there.
pub(super) struct Watchful {
    body: ResponseBody,
    stream: Option<Arc<Stream>>,
    _active: Active,
}

impl Watchful {
    /// For the stream whose task this is called in.
    pub(super) fn new(body: ResponseBody, active: Active) -> Self {
        let stream = STREAM.try_with(Arc::clone).ok();
        if let Some(stream) = &stream {
            let mut relayed = stream.relayed.lock().unwrap_or_else(PoisonError::into_inner);
            relayed.is_begun = true;
            relayed.has_moved = true;
            if let ResponseBody::Relay(relay) = &body {
                relayed.watch = Some(relay.watch());
                relayed.upload = relay.passed().map(|passed| (passed, 0));
            }
        }
        Watchful { body, stream, _active: active }
    }
}

impl Body for Watchful {
    type Data = Bytes;
    type Error = ResponseError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let (Poll::Ready(_), Some(stream)) = (&polled, &this.stream) {
            stream.relayed.lock().unwrap_or_else(PoisonError::into_inner).has_moved = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
