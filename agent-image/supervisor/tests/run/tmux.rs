//! The session that people attach to.

use std::path::PathBuf;
use std::process::Command;

use crate::supervisor::{Home, Supervisor, is_alive, until};

fn tmux(home: &Home, arguments: &[&str]) -> Option<String> {
    let socket: PathBuf = home.path("run").join(format!("tmux-{}", nix::unistd::getuid())).join("default");
    let output = Command::new("tmux").arg("-S").arg(socket).args(arguments).env_remove("TMUX").output().unwrap();
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn started(home: &Home) -> (Supervisor, i32) {
    // Must not be read.
    std::fs::write(home.path("home/.tmux.conf"), "set -g base-index 7\nset -g pane-base-index 7\nnonsense\n").unwrap();
    let mut supervisor = home.run("10", &[]);
    let client = supervisor.client();
    supervisor.line("tmux is ready");
    (supervisor, client)
}

fn shows(home: &Home, text: &str) {
    until(&format!("pane 0 shows {text}"), || {
        tmux(home, &["capture-pane", "-p", "-t", "main:claude.0"]).filter(|pane| pane.contains(text))
    });
}

#[test]
fn shows_the_client_and_a_shell_with_the_variables_of_setup() {
    let home = Home::new("echo here is the client; exec cat");
    std::fs::write(home.path("trust/environment"), "WRITTEN=by-setup\n").unwrap();
    let (supervisor, client) = started(&home);
    shows(&home, "here is the client");
    let panes = tmux(&home, &["list-panes", "-t", "main:claude", "-F", "#{pane_index}"]).unwrap();
    assert_eq!(panes, "0\n1\n");
    tmux(&home, &["send-keys", "-t", "main:claude.1", "echo \"<$WRITTEN>\" >\"$HOME/shell\"", "Enter"]).unwrap();
    crate::supervisor::content(&home.path("home/shell"), "<by-setup>");
    tmux(&home, &["send-keys", "-t", "main:claude.0", "typed in tmux", "Enter"]).unwrap();
    shows(&home, "typed in tmux\ntyped in tmux");
    assert!(is_alive(client));
    assert!(supervisor.stop().success());
    assert!(tmux(&home, &["list-sessions"]).is_none());
}

#[test]
fn is_made_again_when_it_is_killed_and_the_client_does_not_notice() {
    let home = Home::new("echo here is the client; exec cat");
    let (mut supervisor, client) = started(&home);
    tmux(&home, &["kill-server"]).unwrap();
    supervisor.line("tmux is gone");
    supervisor.line("tmux is ready");
    shows(&home, "here is the client");
    assert!(is_alive(client));
    assert!(!supervisor.log().contains("the client ended"));
    assert!(supervisor.stop().success());
}

#[test]
fn panes_window_and_session_are_made_again() {
    let home = Home::new("echo here is the client; exec cat");
    let (supervisor, client) = started(&home);
    let is_whole = || {
        let panes = tmux(&home, &["list-panes", "-t", "main:claude", "-F", "#{pane_start_command}"])?;
        (panes.lines().count() == 2 && panes.contains("attach --stay")).then_some(())
    };
    for lost in [
        &["kill-pane", "-t", "main:claude.0"][..],
        &["kill-pane", "-t", "main:claude.1"],
        &["kill-window", "-t", "main:claude"],
        &["kill-session", "-t", "main"],
    ] {
        until("both panes", is_whole);
        tmux(&home, lost).unwrap();
        assert!(is_whole().is_none(), "{lost:?} does something");
        until("both panes again", is_whole);
        shows(&home, "here is the client");
    }
    assert!(is_alive(client));
    assert!(supervisor.stop().success());
}
