//! Programs that give credentials: what they are run with, what becomes of those that misbehave, and of who runs them.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::memory::until;
use crate::site::{Agent, Running, Site, admin};

const SECRET: &str = "real-secret-of-api-0123456789";

/// A site whose credential comes from this script.
fn site(script: &str, more: &str) -> Site {
    let site = Site::with(SECRET, "process: { require_lockdown: true }");
    let script = script.replace("SECRET", &site.path("secrets/api").display().to_string());
    let program = site.write_program("get-token", &script.replace("FOLDER", &site.folder.path().display().to_string()));
    site.write_source(&format!("{{ exec: [\"{program}\", \"an argument; true\"]{more} }}"));
    site
}

/// The process that runs programs.
fn helper(running: &mut Running) -> i32 {
    running.said("programs for credentials can be run")["process"].as_i64().unwrap().try_into().unwrap()
}

/// Processes that this one started or was given, with whether they have ended and nobody has waited for them.
fn children(of: i32) -> Vec<(i32, bool)> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    let stat = |pid| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let found = numbers.filter_map(|pid| {
        let stat = stat(pid);
        let (state, rest) = stat.rsplit_once(") ")?.1.split_once(' ')?;
        (rest.split(' ').next()?.parse() == Ok(of)).then_some((pid, state == "Z"))
    });
    found.collect()
}

/// Whether there is such a process that has not ended.
fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[test]
fn a_program_is_run_without_a_shell_with_an_empty_environment_and_nothing_open() {
    // It may be run more than once; what it leaves is whole at any time.
    let script = "ls /proc/$$/fd > FOLDER/open.$$; { env; echo args: $# $1; echo cwd: $(pwd); \
                  grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; cat; } > FOLDER/seen.$$; \
                  mv FOLDER/open.$$ FOLDER/open; mv FOLDER/seen.$$ FOLDER/seen; cat SECRET";
    let site = site(script, "");
    // What stubgate was started with is nobody's business.
    let left_open = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 77).unwrap();
    rustix::io::fcntl_setfd(&left_open, rustix::io::FdFlags::empty()).unwrap();
    let mut program = site.program();
    program.env("AWS_SECRET_ACCESS_KEY", "of-the-operator");
    let mut running = Running::start(program);
    let helper = helper(&mut running);
    let (proxy, operators) = running.serving();
    running.said("credential has a new value");
    assert_eq!(Agent::connect(proxy, &site.client()).unwrap().get().unwrap(), 200);
    assert_eq!(site.origin.shown.lock().unwrap().last().unwrap(), SECRET);
    let seen = fs::read_to_string(site.path("seen")).unwrap();
    let mut variables: Vec<_> = seen.lines().filter(|line| line.contains('=')).collect();
    variables.sort_unstable();
    // The shell of the script sets PWD and the like by itself.
    variables.retain(|line| !["PWD=", "OLDPWD=", "SHLVL=", "_="].iter().any(|own| line.starts_with(own)));
    assert_eq!(variables, ["LANG=C.UTF-8", "PATH=/usr/bin:/bin"]);
    for line in ["args: 1 an argument; true", "cwd: /", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(seen.lines().any(|seen| seen == line), "{line}: {seen}");
    }
    let open = fs::read_to_string(site.path("open")).unwrap();
    // From 10 on, a few are the shell's own.
    let is_known = |fd: u32| fd < 3 || (10..20).contains(&fd);
    assert!(open.lines().all(|fd| is_known(fd.parse().unwrap())), "{open}");
    assert!(admin(operators, "/readyz").1.contains("\nprograms: in force\n"));
    // Who runs it is locked down too, as far as it can be.
    let status = fs::read_to_string(format!("/proc/{helper}/status")).unwrap();
    for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.lines().any(|seen| seen == line), "{line}: {status}");
    }
    let environment = fs::read(format!("/proc/{helper}/environ")).unwrap_or_default();
    assert!(!environment.windows(3).any(|three| three == b"AWS"));
}

#[test]
fn a_policy_that_runs_a_new_program_or_an_old_one_in_a_new_way_is_not_taken() {
    let site = site("cat SECRET", "");
    let mut running = site.start();
    running.serving();
    running.said("credential has a new value");
    let program = site.path("get-token").display().to_string();
    for source in [format!("{{ exec: [\"{program}\", other] }}"), "{ exec: [/bin/cat, /etc/passwd] }".to_owned()] {
        site.write_source(&source);
        let said = running.said("policy not taken; the last good one stays in force");
        let text = said["message"].as_str().unwrap();
        assert!(text.contains("which stubgate was not started with in this way: restart"), "{text}");
    }
}

#[test]
fn a_program_that_does_not_end_is_killed_with_all_that_it_started() {
    let site = site(
        "sleep 1000 & echo $! > FOLDER/new.$$; mv FOLDER/new.$$ FOLDER/child; echo $$ > FOLDER/new.$$; \
         mv FOLDER/new.$$ FOLDER/itself; sleep 1000",
        ", timeout_seconds: 3",
    );
    let mut running = site.start();
    let (_, operators) = running.serving();
    let said = running.said("credential api: program ");
    let text = said["message"].as_str().unwrap();
    assert!(text.ends_with("did not end in its time, and was killed; requests that need it are refused"), "{text}");
    let (status, body) = admin(operators, "/readyz");
    assert!(status == 200 && body.contains("\ncredential api: no value\n"), "{body}");
    for file in ["child", "itself"] {
        until("it was started", || site.path(file).exists());
        // Of the next attempt, perhaps, whose time ends too.
        let pid = fs::read_to_string(site.path(file)).unwrap().trim().parse().unwrap();
        until("it is gone", || !is_alive(pid));
    }
}

#[test]
fn where_the_appliance_is_the_first_process_nothing_stays_of_what_programs_leave_behind() {
    if !rustix::process::geteuid().is_root() {
        println!("not looked at: only root makes namespaces without more");
        return;
    }
    // One is killed with its group, one has left that and ends by itself, and one is killed because it takes too long.
    let script = "echo x >> FOLDER/runs; exec 3>&1 >/dev/null 2>&1; sleep 1000 3>&- & (setsid sleep 0.2 3>&- &); \
                  [ $(($(wc -l < FOLDER/runs) % 3)) -gt 0 ] || sleep 1000; cat SECRET >&3";
    let site = site(script, ", timeout_seconds: 1, ttl_seconds: 1");
    let stubgate = site.program();
    let mut program = Command::new("unshare");
    program.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    program.arg(stubgate.get_program()).args(stubgate.get_args());
    let mut running = Running::start(program);
    running.serving();
    let runs = || fs::read_to_string(site.path("runs")).unwrap_or_default().lines().count();
    until("it ran five times", || runs() >= 5);
    let (first, _) = children(i32::try_from(running.child.id()).unwrap())[0];
    let (helper, _) = children(first)[0];
    let left = |of| children(of).into_iter().filter(|(_, has_ended)| *has_ended).count();
    until("all of them were waited for", || left(first) == 0 && left(helper) == 0);
}

#[test]
fn a_program_that_fails_or_writes_too_much_is_said_without_a_byte_of_what_it_wrote() {
    for (script, expected) in [
        ("echo the-secret-is-real-secret >&2; exit 3", "ended with status 3, after 26 bytes on its standard error"),
        ("kill -9 $$", "ended with signal 9, after 0 bytes"),
        ("yes real-secret", "wrote more than 65536 bytes, and was killed"),
        ("echo real-secret of two words", "has a byte that is not visible ASCII at offset 11"),
        ("chmod a-x FOLDER/get-token; exit 1", "ended with status 1"),
    ] {
        let site = site(script, "");
        let mut running = site.start();
        running.serving();
        let said = running.said("credential api: program ");
        let text = said["message"].as_str().unwrap();
        assert!(text.contains(expected) && !text.contains("real-secret"), "{text}");
    }
}

#[test]
fn without_who_runs_programs_the_last_good_value_stays_and_everybody_is_told() {
    let site = site("cat SECRET", "");
    let mut running = site.start();
    let helper = helper(&mut running);
    let (proxy, operators) = running.serving();
    running.said("credential has a new value");
    kill_process(Pid::from_raw(helper).unwrap(), Signal::KILL).unwrap();
    running.said("the process that runs programs for credentials has ended; restart stubgate");
    running.signal(Signal::HUP);
    let said = running.said("credential api: program ");
    let text = said["message"].as_str().unwrap();
    assert!(text.ends_with("has ended; restart stubgate; the last good value stays in use"), "{text}");
    assert_eq!(Agent::connect(proxy, &site.client()).unwrap().get().unwrap(), 200);
    assert!(admin(operators, "/readyz").1.contains("\nprograms: missing (the process that runs them has ended"));
}

#[test]
fn who_runs_programs_and_what_it_runs_end_with_the_appliance_however_that_ends() {
    for signal in [Signal::KILL, Signal::TERM] {
        let site = site("echo $$ > FOLDER/itself; sleep 1000", ", timeout_seconds: 60");
        let mut running = site.start();
        let helper = helper(&mut running);
        running.serving();
        until("it runs", || fs::read_to_string(site.path("itself")).is_ok_and(|text| text.ends_with('\n')));
        let itself = fs::read_to_string(site.path("itself")).unwrap().trim().parse().unwrap();
        assert!(is_alive(helper) && is_alive(itself));
        running.signal(signal);
        let begun = Instant::now();
        until("both are gone", || !is_alive(helper) && !is_alive(itself));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_signal_to_all_processes_of_a_service_leaves_who_runs_programs_to_the_end() {
    let site = site("cat SECRET", "");
    let mut running = site.start();
    let helper = helper(&mut running);
    running.serving();
    running.said("credential has a new value");
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(Pid::from_raw(helper).unwrap(), signal).unwrap();
    }
    site.write_secret("another-secret-0123456789");
    running.signal(Signal::HUP);
    running.said("credential has a new value");
    assert!(is_alive(helper));
}
