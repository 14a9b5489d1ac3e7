//! The client's terminal: what it writes goes to the parsed screen and to every viewer, what viewers type goes to it. The console
//! outlives the client, so that viewers stay while it is started again. It blocks on nobody: not on a viewer, not on a client
//! that reads nothing.

pub(crate) mod listen;
pub(crate) mod viewer;
pub(crate) mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pty_process::{OwnedReadPty, OwnedWritePty, Pty, Size};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tracing::{info, warn};

use crate::agent::file::Log;
use crate::clean;
use crate::screen::Screen;
use crate::screen::dialog::{Guard, Verdict};
use crate::state::State;

use super::health::is_input_empty;
use viewer::{Event, Outbox};

/// Before any viewer said how large its terminal is.
const ROWS: u16 = 50;
const COLUMNS: u16 = 220;
/// Output has been quiet for so long before the screen is looked at.
const QUIET: Duration = Duration::from_millis(300);
/// A terminal is one row smaller for so long, so that the client paints all of it again.
const NUDGE: Duration = Duration::from_millis(100);
/// The line end of a typed text comes so much later: in one piece the client takes both for pasted.
const ENTER: Duration = Duration::from_millis(300);
/// Bytes that wait for a client which reads nothing at most.
const MOST_TYPED: usize = 64 * 1024;
/// Viewers at most.
const MOST_VIEWERS: usize = 16;
/// Output that is still taken in after the client's end.
const MOST_LAST_WORDS: usize = 256 * 1024;

/// What the rest of the supervisor wants of the console.
pub(crate) enum Order {
    /// A client is started on this terminal.
    Open(Pty, oneshot::Sender<()>),
    /// It ended: viewers are shown the notice. Answered with the last screen.
    Close(String, oneshot::Sender<String>),
    /// The client's version is known.
    Version(String),
    /// Type this and press Enter, if nothing else is in the way. Answered with whether it was typed.
    Prompt(String, oneshot::Sender<bool>),
}

/// Where orders go, and when something last went through the terminal.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    orders: mpsc::Sender<Order>,
    moved: Arc<std::sync::Mutex<Instant>>,
}

impl Handle {
    /// Its size is set when this returns.
    pub(crate) async fn open(&self, pty: Pty) {
        let (answer, opened) = oneshot::channel();
        let _ = self.orders.send(Order::Open(pty, answer)).await;
        let _ = opened.await;
    }

    /// The last screen of the client that ended.
    pub(crate) async fn close(&self, notice: String) -> String {
        let (answer, screen) = oneshot::channel();
        let _ = self.orders.send(Order::Close(notice, answer)).await;
        screen.await.unwrap_or_default()
    }

    pub(crate) async fn version(&self, version: String) {
        let _ = self.orders.send(Order::Version(version)).await;
    }

    /// Whether it was typed.
    pub(crate) async fn prompt(&self, text: String) -> bool {
        let (answer, typed) = oneshot::channel();
        let _ = self.orders.send(Order::Prompt(text, answer)).await;
        typed.await.unwrap_or(false)
    }

    /// For how long nothing was written or typed.
    pub(crate) fn idle(&self) -> Duration {
        self.moved.lock().map(|moved| moved.elapsed()).unwrap_or_default()
    }
}

/// The console.
pub(crate) struct Console {
    state: State,
    guard: Guard,
    log: Log,
    masked: Vec<String>,
    listener: UnixListener,
    orders: mpsc::Receiver<Order>,
    moved: Arc<std::sync::Mutex<Instant>>,
    screen: Screen,
    size: (u16, u16),
    reader: Option<OwnedReadPty>,
    writer: Option<OwnedWritePty>,
    typed: VecDeque<u8>,
    viewers: BTreeMap<u64, Arc<Outbox>>,
    last_viewer: u64,
    quiet_at: Option<Instant>,
    whole_at: Option<Instant>,
    enter_at: Option<Instant>,
    is_blocked: bool,
}

impl Console {
    /// With this guard of dialogs; viewers come in through the listener.
    pub(crate) fn new(
        state: State,
        guard: Guard,
        log: Log,
        masked: Vec<String>,
        listener: UnixListener,
    ) -> (Self, Handle) {
        let (sender, orders) = mpsc::channel(8);
        let moved = Arc::new(std::sync::Mutex::new(Instant::now()));
        let handle = Handle { orders: sender, moved: Arc::clone(&moved) };
        let console = Console {
            state,
            guard,
            log,
            masked,
            listener,
            orders,
            moved,
            screen: Screen::new(ROWS, COLUMNS),
            size: (ROWS, COLUMNS),
            reader: None,
            writer: None,
            typed: VecDeque::new(),
            viewers: BTreeMap::new(),
            last_viewer: 0,
            quiet_at: None,
            whole_at: None,
            enter_at: None,
            is_blocked: false,
        };
        (console, handle)
    }

    /// Serves everybody until nobody is left who could give an order.
    pub(crate) async fn keep(mut self) {
        let (sender, mut events) = mpsc::channel(16);
        let mut connections = JoinSet::new();
        let mut buffer = vec![0; 16 * 1024];
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let takes_typed = self.writer.is_none() || self.typed.len() < MOST_TYPED;
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order, &mut buffer).await,
                    None => return,
                },
                read = read(&mut self.reader, &mut buffer) => match read {
                    0 => self.reader = None,
                    length => self.take(buffer.get(..length).unwrap_or_default()),
                },
                written = write(&mut self.writer, &self.typed) => {
                    self.typed.drain(..written.min(self.typed.len()));
                }
                Some(event) = events.recv(), if takes_typed => self.hear(event),
                Ok((stream, _)) = self.listener.accept() => {
                    if self.viewers.len() < MOST_VIEWERS {
                        let (number, outbox) = self.join();
                        connections.spawn(viewer::serve(number, stream, outbox, sender.clone()));
                    }
                }
                Some(_) = connections.join_next() => {}
                () = at(self.quiet_at) => {
                    self.quiet_at = None;
                    self.look();
                }
                () = at(self.whole_at) => {
                    self.whole_at = None;
                    self.resize_terminal(self.size);
                }
                () = at(self.enter_at) => {
                    self.enter_at = None;
                    self.typed.push_back(b'\r');
                }
                _ = second.tick(), if self.log == Log::Screen => self.log_settled(),
            }
        }
    }

    async fn obey(&mut self, order: Order, buffer: &mut [u8]) {
        match order {
            Order::Open(pty, answer) => {
                self.open(pty);
                let _ = answer.send(());
            }
            Order::Close(notice, answer) => {
                self.take_last_words(buffer).await;
                let _ = answer.send(self.screen.text());
                self.close(&notice);
            }
            Order::Version(version) => self.guard.set_version(&version),
            Order::Prompt(text, answer) => {
                let is_free = self.writer.is_some()
                    && self.quiet_at.is_none()
                    && self.typed.is_empty()
                    && !self.is_blocked
                    && is_input_empty(&self.screen.text());
                if is_free {
                    self.typed.extend(text.into_bytes());
                    self.enter_at = Some(Instant::now() + ENTER);
                    self.has_moved();
                }
                let _ = answer.send(is_free);
            }
        }
    }

    fn open(&mut self, pty: Pty) {
        let (rows, columns) = self.size;
        let _ = pty.resize(Size::new(rows, columns));
        let (reader, writer) = pty.into_split();
        self.reader = Some(reader);
        self.writer = Some(writer);
        self.typed.clear();
        self.screen = Screen::new(rows, columns);
        self.guard.restarted();
        self.has_moved();
        for outbox in self.viewers.values() {
            outbox.repaint(b"\x1bc".to_vec());
        }
    }

    /// What the client wrote before it ended is still in the terminal; others may hold the terminal open for ever.
    async fn take_last_words(&mut self, buffer: &mut [u8]) {
        let mut taken = 0;
        while taken < MOST_LAST_WORDS {
            let read = timeout(Duration::from_millis(20), read(&mut self.reader, buffer)).await;
            match read {
                Ok(length) if length > 0 => {
                    taken += length;
                    let chunk = buffer.get(..length).unwrap_or_default().to_vec();
                    self.take(&chunk);
                }
                _ => break,
            }
        }
    }

    fn close(&mut self, notice: &str) {
        self.reader = None;
        self.writer = None;
        self.typed.clear();
        (self.quiet_at, self.whole_at, self.enter_at) = (None, None, None);
        self.is_blocked = false;
        self.state.change(|facts| facts.dialog = None);
        if self.log == Log::Screen {
            // Those that never came to rest settle at the second look.
            self.log_settled();
            self.log_settled();
        }
        // Out of the alternate screen and whatever the client switched on.
        let text = format!("\x18\x1b[?1049l\x1b[0m\x1b[?25h\r\n\r\n[stubgate-agent] {notice}\r\n");
        self.show(text.as_bytes());
    }

    /// Output of the client.
    fn take(&mut self, bytes: &[u8]) {
        self.show(bytes);
        self.has_moved();
        self.quiet_at = Some(Instant::now() + QUIET);
    }

    fn show(&mut self, bytes: &[u8]) {
        self.screen.feed(bytes);
        if !self.viewers.is_empty() {
            let chunk = Bytes::copy_from_slice(bytes);
            self.viewers.values().for_each(|outbox| outbox.put(chunk.clone()));
        }
    }

    fn join(&mut self) -> (u64, Arc<Outbox>) {
        self.last_viewer += 1;
        let outbox = Arc::new(Outbox::default());
        outbox.repaint(self.screen.repaint());
        self.viewers.insert(self.last_viewer, Arc::clone(&outbox));
        info!(viewer = self.last_viewer, "a viewer came");
        (self.last_viewer, outbox)
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Input(bytes) => {
                // Between two clients nobody is there to read it, and the next one must not find it.
                if self.writer.is_some() {
                    self.typed.extend(bytes);
                    self.has_moved();
                }
            }
            Event::Size(_, 0, _) | Event::Size(_, _, 0) => {}
            Event::Size(number, rows, columns) => {
                if self.size == (rows, columns) {
                    // The client is made to paint again for who came.
                    self.resize_terminal((rows.saturating_sub(1).max(1), columns));
                    self.whole_at = Some(Instant::now() + NUDGE);
                } else {
                    self.size = (rows, columns);
                    self.whole_at = None;
                    self.screen.resize(rows, columns);
                    self.resize_terminal(self.size);
                }
                if self.writer.is_none() {
                    self.repaint(number);
                }
            }
            Event::Missed(number) => self.repaint(number),
            Event::Gone(number) => {
                self.viewers.remove(&number);
                info!(viewer = number, "a viewer went");
            }
        }
    }

    fn repaint(&self, number: u64) {
        if let Some(outbox) = self.viewers.get(&number) {
            outbox.repaint(self.screen.repaint());
        }
    }

    fn resize_terminal(&self, (rows, columns): (u16, u16)) {
        if let Some(writer) = &self.writer {
            let _ = writer.resize(Size::new(rows, columns));
        }
    }

    fn has_moved(&self) {
        if let Ok(mut moved) = self.moved.lock() {
            *moved = Instant::now();
        }
    }

    fn look(&mut self) {
        let verdict = self.guard.look(&self.screen);
        if self.guard.looks_again() {
            self.quiet_at = Some(Instant::now() + QUIET);
        }
        let was_blocked = self.is_blocked;
        self.is_blocked = verdict.is_some();
        match verdict {
            None => {
                if was_blocked {
                    self.state.change(|facts| facts.dialog = None);
                }
            }
            Some(Verdict::Press { dialog, keys }) => {
                // Arrows come first, and Enter once the screen shows what they did.
                let is_answered = keys == b"\r";
                info!(dialog, is_answered, "keys were pressed in a dialog");
                self.typed.extend(keys);
                self.state.change(|facts| {
                    facts.dialogs_answered += u64::from(is_answered);
                    facts.dialog = None;
                });
            }
            Some(Verdict::Blocked { text }) => {
                let text = clean::masked(&text, &self.masked);
                let is_new = self.state.facts().dialog.as_ref() != Some(&text);
                if is_new {
                    warn!(dialog = clean::line(&text), "blocked: dialog");
                    self.state.change(|facts| {
                        facts.dialogs_blocked += u64::from(facts.dialog.is_none());
                        facts.dialog = Some(text);
                    });
                }
            }
        }
    }

    fn log_settled(&mut self) {
        for line in self.screen.settled() {
            let line = clean::told(&line, &self.masked);
            if !line.is_empty() {
                info!(line, "screen");
            }
        }
    }
}

/// The next output; 0 at its end, which is an error of the terminal on Linux. Never, if there is no client.
async fn read(reader: &mut Option<OwnedReadPty>, buffer: &mut [u8]) -> usize {
    match reader {
        Some(reader) => reader.read(buffer).await.unwrap_or(0),
        None => pending().await,
    }
}

/// How many typed bytes the client's terminal took. Never, if there are none or there is no client.
async fn write(writer: &mut Option<OwnedWritePty>, typed: &VecDeque<u8>) -> usize {
    let (bytes, _) = typed.as_slices();
    match writer {
        // A terminal that takes no more bytes has lost them.
        Some(writer) if !bytes.is_empty() => writer.write(bytes).await.unwrap_or(bytes.len()),
        _ => pending().await,
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
