//! The client is started, watched, stopped and started again.

use std::fs;
use std::io::Read;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::supervisor::{DEADLINE, Home, Supervisor, content, field, is_alive, send, until};

/// Waits for its terminal, as a client does.
const WAITS: &str = "echo ready; exec cat";

#[test]
fn a_client_that_ends_at_once_is_started_again_after_longer_and_longer_waits() {
    let home = Home::new("exit 3");
    let mut supervisor = home.run("100", &["--headless"]);
    let waits: Vec<u64> = (0..5)
        .map(|_| {
            let line = supervisor.line("the client ended");
            assert!(line.contains("ended with code 3"), "{line}");
            field(&line, "next_milliseconds").parse().unwrap()
        })
        .collect();
    // 10 ms and its doubles, of which chance takes a quarter at most.
    for (wait, most) in waits.iter().zip([10, 20, 40, 80, 160]) {
        assert!(*wait <= most && *wait + 1 >= most * 3 / 4, "{waits:?}");
    }
    assert!(supervisor.stop().success());
}

#[test]
fn a_killed_client_is_told_of_in_words_and_started_again() {
    let home = Home::new(WAITS);
    let mut supervisor = home.run("20", &["--headless"]);
    let first = supervisor.client();
    send(first, Signal::SIGKILL);
    supervisor.line("was killed by SIGKILL");
    let second = supervisor.client();
    assert_ne!(first, second);
    assert!(supervisor.stop().success());
    assert!(!is_alive(second));
}

#[test]
fn a_stopped_client_hangs_and_is_told_to_go_on() {
    let home = Home::new(WAITS);
    let mut supervisor = home.run("60", &["--headless"]);
    let pid = supervisor.client();
    send(pid, Signal::SIGSTOP);
    supervisor.line("the client hangs: it is stopped or asleep");
    supervisor.line("it is told to go on");
    supervisor.line("the client goes on");
    assert!(is_alive(pid));
    assert!(!supervisor.log().contains("the client ended"));
    assert!(supervisor.stop().success());
}

#[test]
fn a_stopped_client_can_be_ended() {
    let home = Home::new(WAITS);
    let mut supervisor = home.run("1", &["--headless"]);
    let pid = supervisor.client();
    send(pid, Signal::SIGSTOP);
    supervisor.line("the client hangs");
    supervisor.tell(Signal::SIGTERM);
    supervisor.line("was killed by SIGTERM");
    assert!(supervisor.ended().success());
    assert!(!is_alive(pid));
}

#[test]
fn a_client_that_ignores_sigterm_is_killed_in_time() {
    let home = Home::new("trap '' TERM HUP; echo ready >&2; echo $$ >\"$HOME/ready\"; while :; do read line; done");
    let mut supervisor = home.run("20", &["--headless"]);
    let pid = supervisor.client();
    content(&home.path("home/ready"), &pid.to_string());
    let told = Instant::now();
    supervisor.tell(Signal::SIGTERM);
    supervisor.line("does not end: it is killed");
    assert!(supervisor.ended().success());
    assert!(told.elapsed() < Duration::from_secs(15));
    assert!(!is_alive(pid));
}

#[test]
fn a_client_that_floods_its_terminal_costs_time_and_no_memory() {
    let home = Home::new(
        "head -c 100000000 /dev/zero | tr '\\0' 'x' | fold -w 100; echo the very end; echo done >\"$HOME/done\"; exec cat",
    );
    let mut supervisor = home.run("20", &["--headless"]);
    supervisor.client();
    // It takes nothing, and keeps nobody from working.
    let mut stuck =
        until("the console's socket", || std::os::unix::net::UnixStream::connect(home.path("run/console.sock")).ok());
    content(&home.path("home/done"), "done");
    // Now that it takes again it is shown how things are, and little of how they came to be.
    stuck.set_read_timeout(Some(DEADLINE)).unwrap();
    let (mut shown, mut buffer) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&shown).contains("the very end") {
        let length = stuck.read(&mut buffer).unwrap();
        assert!(length > 0 && shown.len() < 2_000_000);
        shown.extend_from_slice(&buffer[..length]);
    }
    let status = fs::read_to_string(format!("/proc/{}/status", supervisor.child.id())).unwrap();
    let peak: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
        .unwrap();
    assert!(peak < 40_000, "{peak} kB at most (of a build for tests)");
    assert!(supervisor.stop().success());
}

#[test]
fn half_an_escape_code_hurts_nobody() {
    let home = Home::new("printf 'before\\033['; exit 1");
    home.configure("log: screen\n");
    let mut supervisor = home.run("20", &["--headless"]);
    for _ in 0..3 {
        supervisor.line("ended with code 1");
    }
    assert!(!supervisor.log().contains('\u{1b}'));
    assert!(supervisor.stop().success());
}

#[test]
fn lines_of_the_screen_reach_the_log_without_stubs() {
    let home = Home::new("printf '\\033[31mthe stub is access-token-stub\\033[0m\\r\\nnothing else\\r\\n'; exec cat");
    home.configure("log: screen\n");
    let mut supervisor = home.run("20", &["--headless"]);
    let line = supervisor.line("the stub is");
    assert!(!line.contains("access-token-stub") && !line.contains('\u{1b}'), "{line}");
    assert!(supervisor.stop().success());
}

#[test]
fn a_session_is_continued_where_there_is_one_and_started_anew_where_it_is_refused() {
    let home = Home::new(
        "echo \"args=$*\" >>\"$HOME/args\"\ncase \"$*\" in *--continue*) echo 'No conversation found to continue'; exit 1;; esac\nexec cat",
    );
    let workspace = home.path("workspace").canonicalize().unwrap();
    let folder = stubgate_agent::transcript::folder(&home.path("home/.claude/projects"), &workspace);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("0.jsonl"), "{}\n").unwrap();
    let mut supervisor = home.run("20", &["--headless"]);
    supervisor.line("ended with code 1");
    supervisor.client();
    content(&home.path("home/args"), "args=--continue\nargs=\n");
    assert!(supervisor.stop().success());
}

#[test]
fn a_client_that_ends_soon_is_quoted_in_the_log() {
    let home = Home::new("echo 'can not be used with root privileges: access-token-stub'; exit 1");
    let mut supervisor = home.run("20", &["--headless"]);
    let line = supervisor.line("what the client showed before it ended");
    assert!(line.contains("can not be used with root privileges: [stub]"), "{line}");
    assert!(supervisor.stop().success());
}

#[test]
fn an_idle_session_is_asked_and_its_answer_is_waited_for() {
    let script = "stty -echo; printf '\\342\\235\\257 \\n'; while read line; do echo \"$line\" >>\"$HOME/asked\"; \
         [ -e \"$HOME/mute\" ] || echo '{\"type\":\"system\",\"subtype\":\"turn_duration\"}' >>\"$FOLDER/0.jsonl\"; done";
    let home = Home::new(script);
    let workspace = home.path("workspace").canonicalize().unwrap();
    let folder = stubgate_agent::transcript::folder(&home.path("home/.claude/projects"), &workspace);
    fs::create_dir_all(&folder).unwrap();
    fs::write(home.path("trust/environment"), format!("FOLDER={}\n", folder.display())).unwrap();
    home.configure("health_prompt: { every_minutes: 1, answer_within_seconds: 60 }\n");
    let mut supervisor = home.run("30", &["--headless"]);
    supervisor.line("the health check was typed");
    supervisor.line("the health check was answered");
    assert_eq!(
        content(&home.path("home/asked"), "\n"),
        "[stubgate-agent health check] Please answer with the single word: ok\n"
    );
    fs::write(home.path("home/mute"), "").unwrap();
    supervisor.line("the health check was typed");
    supervisor.line("the health check was not answered");
    assert!(supervisor.stop().success());
}

#[test]
fn a_client_that_is_not_there_is_told_of() {
    let home = Home::new("");
    fs::remove_file(home.path("client")).unwrap();
    let mut supervisor = home.run("50", &["--headless"]);
    supervisor.line("the client can't be started");
    supervisor.line("the client ended");
    assert!(supervisor.stop().success());
}

#[test]
fn it_stands_in_its_folder_with_the_variables_of_setup() {
    let home = Home::new(
        "printf '%s|%s|%s|%s|%s' \"$PWD\" \"$WRITTEN\" \"$TERM\" \"$(stty size)\" \"$ANTHROPIC_API_KEY\" >\"$HOME/seen\"; exec cat",
    );
    fs::write(home.path("trust/environment"), "WRITTEN=by setup\n").unwrap();
    let mut supervisor = home.run("20", &["--headless"]);
    supervisor.client();
    let expected =
        format!("{}|by setup|xterm-256color|50 220|", home.path("workspace").canonicalize().unwrap().display());
    content(&home.path("home/seen"), &expected);
    assert!(supervisor.stop().success());
}

#[test]
fn two_supervisors_do_not_share_a_home() {
    let home = Home::new(WAITS);
    let mut first = home.run("20", &["--headless"]);
    first.client();
    let mut second = home.run("20", &["--headless"]);
    second.line("another `stubgate-agent run` is at work here");
    assert_eq!(second.ended().code(), Some(1));
    assert!(first.stop().success());
}

#[test]
fn a_start_can_be_asked_for() {
    let home = Home::new(WAITS);
    let mut supervisor = home.run("20", &["--headless"]);
    let first = supervisor.client();
    supervisor.tell(Signal::SIGUSR1);
    supervisor.line("a new start was asked for");
    assert_ne!(supervisor.client(), first);
    assert!(supervisor.stop().success());
}

#[test]
fn the_login_is_put_right_while_the_client_runs() {
    let home = Home::new(WAITS);
    let mut supervisor = home.run("20", &["--headless"]);
    supervisor.client();
    let login = home.path("home/.claude/.credentials.json");
    content(&login, "access-token-stub");
    fs::write(&login, "{\"claudeAiOauth\":{\"accessToken\":\"sk-ant-oat01-real\",\"refreshToken\":\"\"}}").unwrap();
    supervisor.line("the client's login was not its stubs");
    content(&login, "access-token-stub");
    assert!(!supervisor.log().contains("sk-ant-oat01"));
    assert!(supervisor.stop().success());
}

#[test]
fn a_login_that_is_mounted_by_itself_is_put_right_where_it_is() {
    let home = Home::new(WAITS);
    let (outside, inside) = (home.path("login"), home.path("home/.claude/.credentials.json"));
    fs::write(&outside, "{}").unwrap();
    fs::write(&inside, "").unwrap();
    let run = home.command(&["run", "--headless"]);
    let mut command = std::process::Command::new("unshare");
    let is_root = nix::unistd::getuid().is_root();
    command.args(if is_root { &["--mount"][..] } else { &["--mount", "--map-root-user"] });
    command.args(["sh", "-c", "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"", "sh"]).args([&outside, &inside]);
    command.arg(run.get_program()).args(run.get_args());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut supervisor = Supervisor::start(command);
    supervisor.client();
    content(&outside, "access-token-stub");
    // Heard of at once, not at the next look.
    let written = Instant::now();
    fs::write(&outside, "{\"claudeAiOauth\":{\"accessToken\":\"\",\"refreshToken\":\"\"}}").unwrap();
    supervisor.line("the client's login was not its stubs");
    content(&outside, "access-token-stub");
    assert!(written.elapsed() < Duration::from_secs(20), "the next look comes after 30 s");
    assert_eq!(fs::read_to_string(&inside).unwrap(), "");
    assert!(supervisor.stop().success());
}
