//! Run again, cut off, without room, without leave to write: no half of a file, and the next run goes on.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use stubgate_agent::setup::step::Step;

use crate::world::{World, is_root, ran};

/// An agent with something in every step that needs nobody else.
fn world() -> World {
    let world = World::new();
    world.agent_file(
        "devbot/agent.yaml",
        "matrix: { homeserver: 'http://127.0.0.1:1', user: '@a:b', stub: s }\nhook: { command: 'true' }\n",
    );
    world.agent_file("devbot/mcp.json", r#"{"mcpServers":{"a":{"command":"a"}}}"#);
    world.agent_file("devbot/settings.json", r#"{"model":"opus"}"#);
    world.agent_file("devbot/subagents/review.md", "review");
    world
}

/// What was written, with the folder of the test taken out of it.
fn written(world: &World) -> BTreeMap<PathBuf, String> {
    let folder = world.folder.path();
    let text = folder.display().to_string();
    world
        .snapshot()
        .into_iter()
        .filter(|(path, _)| !path.ends_with("java/cacerts"))
        .map(|(path, (mode, _, content))| {
            let content = String::from_utf8(content).unwrap().replace(&text, "");
            (path.strip_prefix(folder).unwrap().to_owned(), format!("{mode:o} {content}"))
        })
        .collect()
}

#[test]
fn a_second_run_changes_nothing() {
    let world = world();
    assert_eq!(world.setup().code, Some(0));
    let before = world.snapshot();
    let run = world.setup();
    assert_eq!(world.snapshot(), before, "{}", run.text);
    for step in Step::ALL {
        let told = run.step(step.name());
        let is_same = told.starts_with("unchanged") || told.starts_with("skipped");
        assert!(is_same || matches!(step, Step::Hook | Step::Managed), "{}: {told}", step.name());
    }
}

#[test]
fn a_run_that_is_killed_after_any_step_is_made_whole_by_the_next() {
    let whole = world();
    whole.setup();
    let expected = written(&whole);
    for steps in 1..Step::ALL.len() {
        let world = world();
        let mut child = world.command().stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.take(steps).count(), steps);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(world.setup().code, Some(0));
        let mut found = written(&world);
        // One name beside a file may be left of the process that was killed.
        found.retain(|path, _| path.extension().is_none_or(|end| end != "new"));
        assert_eq!(found, expected, "after {steps} steps");
    }
}

#[test]
fn a_folder_that_can_not_be_written_fails_its_step_and_blocks_nothing() {
    let world = world();
    // A file where a folder should be: nobody can write below it, not even root.
    world.file("home/.claude/agents", "");
    world.file("home/.config", "");
    let run = world.setup();
    assert_eq!(run.code, Some(0));
    for step in ["subagents", "git"] {
        assert!(run.step(step).starts_with("failed"), "{}", run.text);
    }
    assert!(run.step("client").starts_with("done"), "{}", run.text);
}

#[test]
fn trust_that_can_not_be_written_is_required() {
    let world = world();
    fs::remove_dir(world.path("trust")).unwrap();
    world.file("trust", "");
    let run = world.setup();
    assert_eq!(run.code, Some(1));
    assert!(run.step("trust").contains("mount a writable folder there"), "{}", run.text);
}

#[test]
fn a_full_disk_leaves_the_old_files_and_a_run_with_room_goes_on() {
    if !is_root() {
        return;
    }
    let world = world();
    // In a mount namespace of its own: a home of 64 KiB, run, filled up, changed, run again, emptied, run a last time.
    let script = r#"
set -eu
mount -t tmpfs -o size=64k none "$HOME"
"$@" >/dev/null
cp "$HOME/.claude/settings.json" "$WORLD/before"
dd if=/dev/zero of="$HOME/filler" 2>/dev/null || true
echo '{"model":"another","filler":"'$(head -c 9000 /dev/zero | tr '\0' x)'"}' > "$STUBGATE_AGENTS/devbot/settings.json"
status=0; "$@" || status=$?
echo "status $status"
cmp "$HOME/.claude/settings.json" "$WORLD/before"
rm "$HOME/filler"
"$@" >/dev/null
grep -q another "$HOME/.claude/settings.json"
find "$HOME" -name '*.new' | grep . && exit 9
echo whole
"#;
    let inner = world.command();
    let mut command = Command::new("unshare");
    world.put_in_place(&mut command);
    command.args(["--mount", "sh", "-c", script, "sh"]).env("WORLD", world.folder.path());
    let run = ran(command.arg(inner.get_program()).args(inner.get_args()).output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.text);
    assert!(run.text.contains("status 1") && run.text.trim_end().ends_with("whole"), "{}", run.text);
    assert!(run.step("home").contains("mount a volume with free space"), "{}", run.text);
}

#[test]
fn the_agents_own_command_has_its_time_and_no_more() {
    let world = World::new();
    world.agent_file("devbot/agent.yaml", "hook: { command: 'echo $SSL_CERT_FILE > told; false | true' }\n");
    let run = world.setup();
    assert_eq!(run.code, Some(0));
    assert_eq!(run.step("hook"), "failed: exit status: 1");
    assert_eq!(world.text("home/told").trim(), world.path("trust/ca-certificates.crt").display().to_string());

    world.agent_file("devbot/agent.yaml", "hook: { command: 'sleep 600 & sleep 600', timeout_seconds: 1 }\n");
    let run = world.setup();
    assert_eq!(run.code, Some(0));
    assert_eq!(run.step("hook"), "failed: killed after 1 s");
}

#[test]
fn a_login_that_is_mounted_read_only_is_taken_if_it_is_a_stub_and_told_if_it_is_not() {
    if !is_root() {
        return;
    }
    let world = world();
    world.setup();
    let login = world.text("home/.claude/.credentials.json");
    let inner = world.command();
    for (text, code) in [(login.clone(), Some(0)), (login.replace("access-token-stub", "another"), Some(1))] {
        world.file("mounted", &text);
        let script = r#"
set -eu
mount --bind "$WORLD/mounted" "$HOME/.claude/.credentials.json"
mount -o remount,bind,ro "$HOME/.claude/.credentials.json"
exec "$@"
"#;
        let mut command = Command::new("unshare");
        world.put_in_place(&mut command);
        command.args(["--mount", "sh", "-c", script, "sh"]).env("WORLD", world.folder.path());
        let run = ran(command.arg(inner.get_program()).args(inner.get_args()).output().unwrap());
        assert_eq!(run.code, code, "{}", run.text);
        match code {
            Some(0) => assert_eq!(run.step("login"), "unchanged: stubs"),
            _ => assert!(run.step("login").contains("something else than the stubs"), "{}", run.text),
        }
    }
}

#[test]
fn a_run_that_is_told_to_end_takes_what_it_started_with_it() {
    let world = World::new();
    // The hook says its number once it runs, and holds standard output open for as long as it does.
    world.agent_file("devbot/agent.yaml", "hook: { command: 'echo started; sleep 600 & wait' }\n");
    let mut child = world.command().stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "started"));
    let process = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    // The end of the output comes when nobody holds it any more.
    assert_eq!(lines.count(), 0);
}
