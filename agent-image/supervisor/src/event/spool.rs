//! Events on disk until their server has taken them: one file each, whole or not there, in the order in which they were said.
//!
//! Whoever adds, removes or sets aside holds the lock `.lock` for that moment; whoever sends holds `.sending` all the while. Both
//! end with their process. It is bounded: what does not fit is refused, aloud, and nothing that is in it gives way.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use super::message::{LARGEST, Message, is_id};
use crate::agent::{Agent, file::Events};
use crate::files;

/// The folder.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
    most_events: usize,
    most_bytes: u64,
}

/// The name of a spooled event: its place in the order, and its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    number: u64,
    /// The event's id.
    pub id: String,
}

/// What its file holds.
#[derive(Debug, Deserialize, Serialize)]
pub struct Kept {
    /// The name of its type.
    pub kind: String,
    /// The event itself.
    pub event: Box<RawValue>,
    /// How often its server refused it.
    #[serde(default)]
    pub refused: u32,
    /// Since when it refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why it did, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Why an event is not spooled.
#[derive(Debug, Error)]
pub enum Full {
    /// It would not fit.
    #[error(
        "the spool is full: {events} events of {most_events}, {bytes} bytes of {most_bytes}, {aside} of them put aside \
         (stubgate-agent event list)"
    )]
    Full {
        /// How many are in it.
        events: usize,
        /// How many may be.
        most_events: usize,
        /// How long they are together.
        bytes: u64,
        /// How long they may be.
        most_bytes: u64,
        /// How many of them were put aside.
        aside: usize,
    },
    /// The disk.
    #[error("{}: {source}", folder.display())]
    Disk {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How long somebody who only adds or removes may hold the lock.
const PATIENCE: Duration = Duration::from_secs(5);

impl Spool {
    /// The agent's.
    pub fn of(agent: &Agent, events: &Events) -> Self {
        let folder = agent.place.kept().join("spool");
        Spool { folder, most_events: events.spool_events, most_bytes: events.spool_bytes }
    }

    /// Puts an event at the end. `false` if one of its id waits already.
    ///
    /// # Errors
    ///
    /// It does not fit, or can't be written.
    pub fn add(&self, message: &Message) -> Result<bool, Full> {
        let disk = |source| Full::Disk { folder: self.folder.clone(), source };
        let event = RawValue::from_string(message.json().to_owned()).map_err(|error| disk(error.into()))?;
        let kept = Kept { kind: message.kind().into(), event, refused: 0, since: None, why: None };
        let text = serde_json::to_vec(&kept).map_err(|error| disk(error.into()))?;
        let _lock = self.lock().map_err(disk)?;
        self.sweep().map_err(disk)?;
        let waiting = self.waiting().map_err(disk)?;
        if waiting.iter().any(|entry| entry.id == message.id()) {
            return Ok(false);
        }
        let aside = self.aside().map_err(disk)?.len();
        let events = waiting.len() + aside;
        let bytes = self.bytes().map_err(disk)?;
        if events >= self.most_events || bytes.saturating_add(text.len() as u64) > self.most_bytes {
            let (most_events, most_bytes) = (self.most_events, self.most_bytes);
            return Err(Full::Full { events, most_events, bytes, most_bytes, aside });
        }
        let number = waiting.last().map_or(0, |last| last.number).saturating_add(1);
        let entry = Entry { number, id: message.id().into() };
        files::replace(&self.path(&entry), &text, 0o600).map_err(disk)?;
        Ok(true)
    }

    /// What waits, the oldest first.
    ///
    /// # Errors
    ///
    /// The folder can't be read.
    pub fn waiting(&self) -> io::Result<Vec<Entry>> {
        entries(&self.folder, self.most_events)
    }

    /// What was put aside.
    ///
    /// # Errors
    ///
    /// The folder can't be read.
    pub fn aside(&self) -> io::Result<Vec<Entry>> {
        entries(&self.folder.join("aside"), self.most_events)
    }

    /// What the file of an event that waits holds; nothing if it is gone.
    ///
    /// # Errors
    ///
    /// It can't be read, or is none of ours.
    pub fn read(&self, entry: &Entry) -> io::Result<Option<Kept>> {
        kept(&self.path(entry))
    }

    /// The same of one that was put aside.
    ///
    /// # Errors
    ///
    /// As of [`read`](Self::read).
    pub fn read_aside(&self, entry: &Entry) -> io::Result<Option<Kept>> {
        kept(&self.path_aside(entry))
    }

    /// Takes out what was taken.
    ///
    /// # Errors
    ///
    /// The disk.
    pub fn remove(&self, entry: &Entry) -> io::Result<()> {
        let _lock = self.lock()?;
        gone_is_fine(fs::remove_file(self.path(entry)))?;
        File::open(&self.folder)?.sync_all()
    }

    /// Writes down that an event was refused.
    ///
    /// # Errors
    ///
    /// The disk.
    pub fn refused(&self, entry: &Entry, kept: &Kept) -> io::Result<()> {
        let text = serde_json::to_vec(kept)?;
        let _lock = self.lock()?;
        if self.path(entry).exists() {
            files::replace(&self.path(entry), &text, 0o600)?;
        }
        Ok(())
    }

    /// Puts an event out of the way of those behind it.
    ///
    /// # Errors
    ///
    /// The disk.
    pub fn put_aside(&self, entry: &Entry) -> io::Result<()> {
        let _lock = self.lock()?;
        let to = self.path_aside(entry);
        fs::create_dir_all(self.folder.join("aside"))?;
        gone_is_fine(fs::rename(self.path(entry), &to))?;
        File::open(self.folder.join("aside"))?.sync_all()?;
        File::open(&self.folder)?.sync_all()
    }

    /// Puts what was put aside at the end again, with its refusals forgotten. How many these are.
    ///
    /// # Errors
    ///
    /// The disk.
    pub fn take_back(&self) -> io::Result<usize> {
        let _lock = self.lock()?;
        let mut number = self.waiting()?.last().map_or(0, |last| last.number);
        let aside = self.aside()?;
        for entry in &aside {
            number = number.saturating_add(1);
            let path = self.path_aside(entry);
            let fresh = kept(&path).ok().flatten().map(|old| Kept { refused: 0, since: None, why: None, ..old });
            if let Some(fresh) = fresh {
                files::replace(&path, &serde_json::to_vec(&fresh)?, 0o600)?;
                gone_is_fine(fs::rename(&path, self.path(&Entry { number, id: entry.id.clone() })))?;
            }
        }
        if !aside.is_empty() {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(aside.len())
    }

    /// Takes an event out without it having been taken. Whether there was one.
    ///
    /// # Errors
    ///
    /// The disk.
    pub fn drop_event(&self, id: &str) -> io::Result<bool> {
        let _lock = self.lock()?;
        let paths = self.waiting()?.into_iter().map(|entry| (self.path(&entry), entry.id));
        let aside = self.aside()?.into_iter().map(|entry| (self.path_aside(&entry), entry.id));
        let mut found = false;
        for (path, _) in paths.chain(aside).filter(|(_, has)| has == id) {
            gone_is_fine(fs::remove_file(path))?;
            found = true;
        }
        Ok(found)
    }

    /// The right to send: nobody else does while this lives. `None` if somebody does.
    ///
    /// # Errors
    ///
    /// The disk.
    pub fn sending(&self) -> io::Result<Option<Lock>> {
        try_lock(self.lock_file(".sending")?)
    }

    /// Whether the file of this event is still there.
    pub fn has(&self, id: &str) -> bool {
        self.waiting().is_ok_and(|waiting| waiting.iter().any(|entry| entry.id == id))
    }

    fn path(&self, entry: &Entry) -> PathBuf {
        self.folder.join(entry.file())
    }

    fn path_aside(&self, entry: &Entry) -> PathBuf {
        self.folder.join("aside").join(entry.file())
    }

    fn lock_file(&self, name: &str) -> io::Result<File> {
        fs::create_dir_all(&self.folder)?;
        files::to_lock(&self.folder.join(name))
    }

    fn lock(&self) -> io::Result<Lock> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(lock) = try_lock(self.lock_file(".lock")?)? {
                return Ok(lock);
            }
            if Instant::now() >= until {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "another process holds the spool's lock"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Removes halves of files, of processes that were killed. Under the lock, so that none is being written.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(".new")) {
                gone_is_fine(fs::remove_file(entry.path()))?;
            }
        }
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        let mut bytes = 0_u64;
        for folder in [self.folder.clone(), self.folder.join("aside")] {
            let Ok(found) = fs::read_dir(folder) else { continue };
            for entry in found {
                // One that was just removed has no length.
                bytes = bytes
                    .saturating_add(entry?.metadata().map_or(0, |about| if about.is_file() { about.len() } else { 0 }));
            }
        }
        Ok(bytes)
    }
}

impl Entry {
    fn file(&self) -> String {
        format!("{:020}-{}.json", self.number, self.id)
    }

    fn of_file(name: &str) -> Option<Entry> {
        let (number, id) = name.strip_suffix(".json")?.split_once('-')?;
        // It becomes a header, and anybody can put a file here.
        is_id(id).then_some(Entry { number: number.parse().ok()?, id: id.to_owned() })
    }
}

/// Held until it is dropped, or its process ends.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

fn try_lock(file: File) -> io::Result<Option<Lock>> {
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

fn entries(folder: &Path, most: usize) -> io::Result<Vec<Entry>> {
    let found = match fs::read_dir(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut entries = Vec::new();
    for entry in found {
        entries.extend(entry?.file_name().to_str().and_then(Entry::of_file));
        // More than any spool holds were put there by somebody else; the oldest are kept, and the memory is not filled.
        if entries.len() > most.saturating_mul(2) {
            entries.sort();
            entries.truncate(most);
        }
    }
    entries.sort();
    entries.truncate(most);
    Ok(entries)
}

fn kept(path: &Path) -> io::Result<Option<Kept>> {
    let about = match fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !about.is_file() || about.len() > 2 * LARGEST as u64 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no spooled event"));
    }
    match files::read_bounded(path, 2 * LARGEST as u64) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn gone_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests;
