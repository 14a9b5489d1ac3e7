//! The first process of a container.

use std::fs;

use nix::sys::signal::Signal;

use crate::supervisor::{Home, content, is_alive, send, until};

#[test]
fn takes_in_orphans_hands_signals_on_and_ends_as_the_supervisor_does() {
    // The orphan ends only when it is told to, so that it is seen alive first.
    let home = Home::new("(sh -c 'echo $$ >\"$HOME/orphan\"; read line <\"$HOME/pipe\"' &) ; exec cat");
    let pipe = home.path("home/pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut init = home.run("20", &["--headless", "--init"]);
    let client = init.client();
    let orphan: i32 = content(&home.path("home/orphan"), "\n").trim().parse().unwrap();
    let parent = || {
        let stat = fs::read_to_string(format!("/proc/{orphan}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    until("the orphan is the init process's", || parent().filter(|parent| *parent == init.child.id()));
    fs::write(&pipe, "go\n").unwrap();
    until("the orphan is gone", || (!std::path::Path::new(&format!("/proc/{orphan}")).exists()).then_some(()));

    init.tell(Signal::SIGUSR1);
    init.line("a new start was asked for");
    let second = init.client();
    assert_ne!(client, second);
    init.tell(Signal::SIGTERM);
    init.line("told to end");
    assert!(init.ended().success());
    assert!(!is_alive(second));
}

#[test]
fn ends_with_the_code_of_a_supervisor_that_can_not_start() {
    let home = Home::new("exec cat");
    home.configure("nonsense: 1\n");
    let mut init = home.run("20", &["--headless", "--init"]);
    init.line("nonsense");
    assert_eq!(init.ended().code(), Some(1));
}

#[test]
fn ends_when_the_supervisor_is_killed() {
    let home = Home::new("exec cat");
    let mut init = home.run("20", &["--headless", "--init"]);
    let client = init.client();
    let children = format!("/proc/{0}/task/{0}/children", init.child.id());
    let supervisor: i32 = fs::read_to_string(children).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    send(supervisor, Signal::SIGKILL);
    assert_eq!(init.ended().code(), Some(128 + 9));
    until("the client went with its terminal", || (!is_alive(client)).then_some(()));
}
