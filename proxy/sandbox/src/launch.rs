//! The processes outside: the one that the user started, which has the terminal and nothing else, and the one that serves.

use std::fs;
use std::io;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{
    Pid, PidfdFlags, Signal, getegid, geteuid, kill_process, pidfd_open, set_parent_process_death_signal, setsid,
};

use crate::inside::{self, BROKEN, status_of};
use crate::refused::{self, Circumstances};
use crate::sys::{self, Side};
use crate::terminal::Relay;
use crate::wire::{self, End, Kind, Message};
use crate::{Plan, mounts, standard, trust};

/// Signals that are passed on to the command.
const PASSED_ON: [i32; 6] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// Those that end who does not await them, as nothing does before the command is there.
const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system does not allow it, or lacks something. The text says what to do.
    #[error("{0}")]
    Refused(String),
    /// The process that serves ended before it was ready. It has said why.
    #[error("stubgate did not start; nothing was run")]
    NotServed,
    /// This signal came before it was ready.
    #[error("ended by signal {0} before the command was run")]
    Ended(i32),
}

/// What the appliance accepts from.
#[derive(Debug)]
pub struct Listeners {
    /// DNS over UDP, port 53.
    pub dns_udp: UdpSocket,
    /// DNS over TCP, port 53.
    pub dns_tcp: TcpListener,
    /// Plain HTTP, port 80.
    pub http: TcpListener,
    /// TLS, port 443.
    pub https: TcpListener,
    /// CONNECT, absolute-form and SOCKS5, port 3128.
    pub proxy: TcpListener,
}

/// Lets the command start.
#[derive(Debug)]
pub struct Ready(io::PipeWriter);

impl Ready {
    /// Says that all is there, and which certificates are to be trusted, PEM.
    ///
    /// # Errors
    /// Where nobody waits for it any more.
    pub fn trusting(mut self, bundle: &[u8]) -> io::Result<()> {
        self.0.write_all(bundle)
    }
}

/// Runs a command in a sandbox, and `serve` in a process of its own outside of it, which must not return before it has been told to
/// stop (SIGTERM). Gives the status of the command. Must be called while the process has one thread.
///
/// # Errors
/// Where nothing was run.
pub fn run(plan: &Plan, serve: impl FnOnce(Listeners, Ready) -> u8) -> Result<u8, Error> {
    let signals = PASSED_ON.iter().copied().chain([libc::SIGCHLD, libc::SIGWINCH, libc::SIGPIPE]).collect::<Vec<_>>();
    standard::refuse_ways_out(plan).map_err(outside_says)?;
    mounts::refuse_to_work_in(&plan.folder).map_err(outside_says)?;
    let (ours, theirs) = wire::pair().map_err(outside)?;
    let waiter = match sys::fork().map_err(outside)? {
        Side::Child => {
            drop(ours);
            std::process::exit(inside::begin(plan, &theirs).into());
        }
        Side::Parent(waiter) => waiter,
    };
    drop(theirs);
    let guard = Guard(vec![waiter]);
    expect(&ours, Kind::Apart)?;
    map(waiter).map_err(|error| refusal(&format!("the user inside: {error}"), error.raw_os_error().unwrap_or(0)))?;
    ours.say(Kind::Mapped).map_err(outside)?;
    let listeners = listeners(expect(&ours, Kind::Listeners)?)?;
    // The inside learns of certificates only when there is somebody behind the listeners.
    let (mut bundle, ready) = io::pipe().map_err(outside)?;
    let appliance = match sys::fork().map_err(outside)? {
        Side::Child => {
            drop((ours, bundle));
            std::mem::forget(guard);
            std::process::exit(serve_apart(serve, listeners, Ready(ready)).into());
        }
        Side::Parent(appliance) => appliance,
    };
    let mut guard = guard;
    guard.0.push(appliance);
    drop((listeners, ready));
    let signals = sys::hear(&signals).map_err(outside)?;
    let text = wait_until_served(&mut bundle, &signals)?;
    if text.is_empty() {
        // It is still to say why.
        guard.0.pop();
        status_of(appliance);
        return Err(Error::NotServed);
    }
    give_trust(&ours, &text)?;
    let mut relay = None;
    loop {
        let message = any(&ours)?;
        match message.kind {
            Kind::Terminal => {
                let front =
                    message.descriptors.into_iter().next().ok_or_else(|| outside(io::ErrorKind::InvalidData))?;
                relay = Some(Relay::new(front, plan.terminals).map_err(outside)?);
            }
            Kind::Started => break,
            _ => {}
        }
    }
    let status = attend(&ours, &signals, relay, waiter, appliance)?;
    // It drains, and is waited for: what it records is on disk then.
    let _ = kill_process(appliance, Signal::TERM);
    status_of(appliance);
    guard.0.clear();
    Ok(status)
}

fn outside(error: impl Into<io::Error>) -> Error {
    outside_says(error.into())
}

fn outside_says(why: impl std::fmt::Display) -> Error {
    Error::Refused(format!("the sandbox could not be made: {why}"))
}

fn refusal(what: &str, number: i32) -> Error {
    Error::Refused(refused::explain(what, number, &Circumstances::look()))
}

/// Ends what is left where nothing is run.
struct Guard(Vec<Pid>);

impl Drop for Guard {
    fn drop(&mut self) {
        for &process in &self.0 {
            let _ = kill_process(process, Signal::KILL);
            status_of(process);
        }
    }
}

fn any(inside: &End) -> Result<Message, Error> {
    match inside.receive() {
        Some(message) if message.kind == Kind::Failed => {
            let text = String::from_utf8_lossy(&message.text).into_owned();
            let (number, what) = text.split_once(' ').unwrap_or(("0", &text));
            Err(refusal(what, number.parse().unwrap_or(0)))
        }
        Some(message) => Ok(message),
        None => Err(Error::Refused("the sandbox ended before the command was run".into())),
    }
}

fn expect(inside: &End, kind: Kind) -> Result<Message, Error> {
    let message = any(inside)?;
    if message.kind == kind { Ok(message) } else { Err(outside(io::ErrorKind::InvalidData)) }
}

/// Has users and groups inside be those outside: all of them for root, one's own for others.
fn map(waiter: Pid) -> io::Result<()> {
    let of = |name: &str| format!("/proc/{}/{name}", waiter.as_raw_nonzero());
    if geteuid().is_root() {
        for (ours, theirs) in [("uid_map", "uid_map"), ("gid_map", "gid_map")] {
            fs::write(of(theirs), same(&fs::read_to_string(format!("/proc/self/{ours}"))?))?;
        }
        return Ok(());
    }
    fs::write(of("setgroups"), "deny")?;
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    fs::write(of("uid_map"), format!("{user} {user} 1"))?;
    fs::write(of("gid_map"), format!("{group} {group} 1"))
}

/// A map that gives every number that there is to itself.
fn same(map: &str) -> String {
    let lines = map.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace();
        let (first, _, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
        Some(format!("{first} {first} {count}\n"))
    });
    lines.collect()
}

fn listeners(message: Message) -> Result<Listeners, Error> {
    let all: [OwnedFd; 5] = message.descriptors.try_into().map_err(|_| outside(io::ErrorKind::InvalidData))?;
    let [dns_udp, dns_tcp, http, https, proxy] = all;
    Ok(Listeners {
        dns_udp: dns_udp.into(),
        dns_tcp: dns_tcp.into(),
        http: http.into(),
        https: https.into(),
        proxy: proxy.into(),
    })
}

/// The process that serves, beside the user's session: keys of the terminal don't reach it, the end of its parent does.
fn serve_apart(serve: impl FnOnce(Listeners, Ready) -> u8, listeners: Listeners, ready: Ready) -> u8 {
    let begin = || -> io::Result<()> {
        setsid()?;
        set_parent_process_death_signal(Some(Signal::TERM))?;
        let nothing = fs::File::open("/dev/null")?;
        rustix::stdio::dup2_stdin(&nothing)?;
        Ok(())
    };
    match begin() {
        Ok(()) => serve(listeners, ready),
        Err(_) => BROKEN,
    }
}

/// The certificates to trust, once there is somebody behind the listeners; nothing where that process has ended. Keys and signals
/// that mean an end are one until then.
fn wait_until_served(bundle: &mut io::PipeReader, signals: &OwnedFd) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    loop {
        let (is_told, is_signalled) = {
            let mut ready = [PollFd::new(bundle, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
            if poll(&mut ready, None).is_err() {
                continue;
            }
            let [told, heard] = ready.map(|one| !one.revents().is_empty());
            (told, heard)
        };
        while is_signalled && let Some(signal) = sys::heard(signals.as_fd()) {
            if ENDING.contains(&signal) {
                return Err(Error::Ended(signal));
            }
        }
        if is_told {
            let mut piece = [0; 4096];
            match bundle.read(&mut piece).map_err(outside)? {
                0 => return Ok(text),
                length => text.extend(piece.iter().take(length)),
            }
        }
    }
}

fn give_trust(inside: &End, bundle: &[u8]) -> Result<(), Error> {
    // A bundle that is none is told here, where it can be told well.
    trust::forms(bundle).map_err(|why| outside(io::Error::other(why)))?;
    let file = memfd_create("bundle", MemfdFlags::CLOEXEC).map_err(outside)?;
    let mut file = fs::File::from(file);
    file.write_all(bundle).map_err(outside)?;
    inside.send(Kind::Trust, &[], &[file.as_fd()]).map_err(outside)
}

/// Passes on keys, output and signals until the command has ended; its status.
fn attend(inside: &End, signals: &OwnedFd, mut relay: Option<Relay>, waiter: Pid, appliance: Pid) -> Result<u8, Error> {
    let waiting = pidfd_open(waiter, PidfdFlags::empty()).map_err(outside)?;
    let serving = pidfd_open(appliance, PidfdFlags::empty()).map_err(outside)?;
    let mut is_served = true;
    loop {
        let (ended_inside, heard, gone, front, keys) = {
            let mut wanted = vec![
                PollFd::new(&waiting, PollFlags::IN),
                PollFd::new(signals, PollFlags::IN),
                PollFd::new(&serving, if is_served { PollFlags::IN } else { PollFlags::empty() }),
            ];
            let [front, keys] = relay.as_ref().map_or([None, None], Relay::wanted);
            let (has_front, has_keys) = (front.is_some(), keys.is_some());
            wanted.extend(front);
            wanted.extend(keys);
            if poll(&mut wanted, None).is_err() {
                continue;
            }
            let is = |at: usize| wanted.get(at).is_some_and(|one| !one.revents().is_empty());
            (is(0), is(1), is(2) && is_served, has_front && is(3), has_keys && is(3 + usize::from(has_front)))
        };
        if gone {
            is_served = false;
            eprintln!("stubgate: the process that serves has ended; nothing gets out of the sandbox any more\r");
        }
        while heard && let Some(signal) = sys::heard(signals.as_fd()) {
            match signal {
                libc::SIGWINCH => relay.iter().for_each(Relay::fit),
                libc::SIGCHLD | libc::SIGPIPE => {}
                // Where it has ended meanwhile, that is seen below.
                _ => drop(inside.send(Kind::Signal, &[byte(signal)], &[])),
            }
        }
        if let Some(relay) = &mut relay
            && relay.pass(front, keys)
        {
            let _ = inside.send(Kind::Signal, &[byte(libc::SIGHUP)], &[]);
        }
        if ended_inside {
            if let Some(relay) = &mut relay {
                relay.finish();
            }
            return Ok(status_of(waiter));
        }
    }
}

/// Signals have small numbers.
fn byte(signal: i32) -> u8 {
    u8::try_from(signal).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn roots_map_gives_every_number_that_there_is_to_itself() {
        assert_eq!(same("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(same("0 1000 1\n1 100000 65536\n"), "0 0 1\n1 1 65536\n");
    }
}
