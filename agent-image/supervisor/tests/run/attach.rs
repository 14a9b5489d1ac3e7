//! Viewers.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::time::Instant;

use nix::sys::signal::Signal;
use pty_process::Size;
use pty_process::blocking::{Pty, open};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, tcgetattr};

use crate::supervisor::{DEADLINE, Home, content, send, until};

/// A viewer on a terminal of its own.
struct Viewer {
    child: Child,
    pty: Pty,
    shown: String,
}

impl Viewer {
    fn new(home: &Home, arguments: &[&str], rows: u16, columns: u16) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let plain = home.command(arguments);
        let mut command = pty_process::blocking::Command::new(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            command = match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let child = command.env("TERM", "xterm-256color").spawn(pts).unwrap();
        Viewer { child, pty, shown: String::new() }
    }

    /// Waits until this was shown since the last text that was waited for.
    fn sees(&mut self, text: &str) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.shown.find(text) {
                self.shown.drain(..at + text.len());
                return;
            }
            let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).unwrap();
            let ready = poll(&mut [PollFd::new(&self.pty, PollFlags::IN)], Some(&left)).unwrap();
            assert!(ready > 0, "no {text:?} in {:?}", self.shown);
            let mut buffer = [0; 4096];
            let length =
                self.pty.read(&mut buffer).unwrap_or_else(|error| panic!("{error} before {text:?}: {:?}", self.shown));
            self.shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }

    fn types(&mut self, text: &str) {
        self.pty.write_all(text.as_bytes()).unwrap();
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.pty).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    fn ended(&mut self) -> Option<i32> {
        until("the viewer ended", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers each line, and tells how large its terminal is.
const ANSWERS: &str =
    "trap 'echo size=$(stty size)' WINCH\necho ready\nwhile :; do read line && echo \"[$line]\"; done";

#[test]
fn a_viewer_sees_types_and_leaves_while_the_client_goes_on() {
    let home = Home::new(ANSWERS);
    let mut supervisor = home.run("20", &["--headless"]);
    supervisor.client();
    let mut viewer = Viewer::new(&home, &["attach"], 30, 90);
    viewer.sees("ready");
    assert!(viewer.is_raw());
    viewer.types("hello\r");
    viewer.sees("[hello]");
    viewer.types("\x1d");
    viewer.sees("left; the client goes on");
    assert_eq!(viewer.ended(), Some(0));
    assert!(!viewer.is_raw());

    // What it wrote before is painted for who comes later.
    let mut later = Viewer::new(&home, &["attach"], 30, 90);
    later.sees("[hello]");
    assert!(!supervisor.log().contains("the client ended"));
    assert!(supervisor.stop().success());
}

#[test]
fn the_terminal_has_the_size_of_the_last_viewer_that_resized() {
    let home = Home::new(ANSWERS);
    let mut supervisor = home.run("20", &["--headless"]);
    supervisor.client();
    let mut first = Viewer::new(&home, &["attach"], 30, 90);
    first.sees("ready");
    first.types("\r");
    first.sees("size=30 90");
    let mut second = Viewer::new(&home, &["attach"], 20, 70);
    second.sees("size=20 70");
    first.pty.resize(Size::new(33, 101)).unwrap();
    first.sees("size=33 101");
    second.sees("size=33 101");
    assert!(supervisor.stop().success());
}

#[test]
fn a_signal_puts_the_terminal_back() {
    let home = Home::new(ANSWERS);
    let mut supervisor = home.run("20", &["--headless"]);
    supervisor.client();
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129), (Signal::SIGINT, 130)] {
        let mut viewer = Viewer::new(&home, &["attach"], 30, 90);
        viewer.sees("ready");
        assert!(viewer.is_raw());
        send(i32::try_from(viewer.child.id()).unwrap(), signal);
        assert_eq!(viewer.ended(), Some(code));
        assert!(!viewer.is_raw());
    }
    assert!(supervisor.stop().success());
}

#[test]
fn a_viewer_stays_while_the_client_is_started_again_and_ends_with_the_supervisor() {
    let home = Home::new(ANSWERS);
    let mut supervisor = home.run("20", &["--headless"]);
    let pid = supervisor.client();
    let mut viewer = Viewer::new(&home, &["attach"], 30, 90);
    viewer.sees("ready");
    send(pid, Signal::SIGKILL);
    viewer.sees("was killed by SIGKILL");
    viewer.sees("ready");
    assert!(supervisor.stop().success());
    viewer.sees("the supervisor is gone");
    assert_eq!(viewer.ended(), Some(1));
    assert!(!viewer.is_raw());
}

#[test]
fn a_script_types_and_leaves_after_its_end() {
    let home = Home::new(ANSWERS);
    let mut supervisor = home.run("20", &["--headless"]);
    supervisor.client();
    let mut viewer =
        home.command(&["attach", "--grace", "1"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    viewer.stdin.take().unwrap().write_all(b"from a script\r").unwrap();
    let output = viewer.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("[from a script]"), "{text:?}");
    assert!(supervisor.stop().success());
}

#[test]
fn the_console_is_for_the_user_only_and_ends_who_speaks_otherwise() {
    let home = Home::new(ANSWERS);
    let mut supervisor = home.run("20", &["--headless"]);
    supervisor.client();
    let path = home.path("run/console.sock");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stranger = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stranger.set_read_timeout(Some(DEADLINE)).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut painted = Vec::new();
    let ended = stranger.read_to_end(&mut painted);
    // What it still had to say is lost with the connection.
    let is_end = ended.is_ok() || ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
    assert!(is_end, "{ended:?}");
    supervisor.line("a viewer went");
    assert!(supervisor.stop().success());
}

#[test]
fn a_viewer_without_a_supervisor_says_so() {
    let home = Home::new("");
    let output = home.command(&["attach"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is `stubgate-agent run` at work?"));
}

#[test]
fn what_is_typed_between_two_clients_is_not_found_by_the_next() {
    let home = Home::new("echo started; read line; echo \"$line\" >>\"$HOME/heard\"; exit 1");
    let mut supervisor = home.run("20", &["--headless"]);
    supervisor.client();
    let mut viewer = Viewer::new(&home, &["attach"], 30, 90);
    viewer.sees("started");
    viewer.types("first\rsecond\r");
    viewer.sees("ended with code 1");
    viewer.sees("started");
    viewer.types("third\r");
    assert_eq!(content(&home.path("home/heard"), "third"), "first\nthird\n");
    assert!(supervisor.stop().success());
}
