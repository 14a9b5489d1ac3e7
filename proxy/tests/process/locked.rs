//! What a running appliance shows of its lock-down, and what becomes of a policy that would need more.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::site::{Agent, Site, admin};

const SECRET: &str = "real-secret-of-api-0123456789";

/// A field of `/proc/PID/status` for every thread.
fn of_every_thread(pid: u32, field: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let read = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        Some(line.trim().to_owned())
    };
    tasks.flatten().filter_map(read).collect()
}

#[test]
fn every_thread_is_locked_down_and_the_appliance_says_so() {
    let site = Site::with(SECRET, "process: { require_lockdown: true }");
    let mut running = site.start();
    let said = running.said("locked down");
    for part in ["landlock", "seccomp", "capabilities", "no_new_privileges", "not_dumpable", "locked_memory"] {
        assert!(said[part].as_str().unwrap().starts_with("in force"), "{said}");
    }
    let (proxy, operators) = running.serving();
    assert_eq!(Agent::connect(proxy, &site.client()).unwrap().get().unwrap(), 200);
    let pid = running.child.id();
    for (field, expected) in
        [("Seccomp", "2"), ("NoNewPrivs", "1"), ("CapEff", "0000000000000000"), ("CapPrm", "0000000000000000")]
    {
        let threads = of_every_thread(pid, field);
        assert!(threads.len() > 1 && threads.iter().all(|value| value == expected), "{field}: {threads:?}");
    }
    assert!(of_every_thread(pid, "VmLck").iter().all(|size| size != "0 kB"), "its credential is in locked memory");
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"));
    if let Ok(limits) = limits {
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert!(core.split_whitespace().nth(4) == Some("0"), "{core}");
    }
    let (status, body) = admin(operators, "/readyz");
    assert_eq!((status, body.lines().next()), (200, Some("ready")));
    assert!(body.contains("\nseccomp: in force\n") && body.contains("\nlandlock: in force (ABI "), "{body}");
    let (_, metrics) = admin(operators, "/metrics");
    for part in ["landlock", "seccomp", "capabilities", "no_new_privileges", "not_dumpable", "locked_memory"] {
        assert!(metrics.contains(&format!("stubgate_lockdown{{part=\"{part}\"}} 1\n")), "{metrics}");
    }
}

#[test]
fn a_policy_that_reads_from_a_new_folder_is_not_taken_and_the_last_good_one_stays() {
    let site = Site::with(SECRET, "process: { credential_folders: [../foreseen] }");
    for folder in ["foreseen", "elsewhere"] {
        fs::create_dir_all(site.path(folder)).unwrap();
        fs::write(site.path(folder).join("api"), "another-secret-0123456789").unwrap();
    }
    let mut running = site.start();
    let (proxy, operators) = running.serving();
    let client = site.client();
    site.write_policy("elsewhere");
    let failed = running.said("policy not taken; the last good one stays in force");
    let text = failed["message"].as_str().unwrap();
    assert!(text.contains("credential api is read from ") && text.contains("elsewhere/api"), "{text}");
    assert!(text.contains("restart to read from a new folder"), "{text}");
    assert!(admin(operators, "/metrics").1.contains("stubgate_policy_last_reload_ok 0"));
    assert_eq!(Agent::connect(proxy, &client).unwrap().get().unwrap(), 200);
    assert_eq!(site.origin.shown.lock().unwrap().last().unwrap(), SECRET);

    site.write_policy("foreseen");
    running.said("policy taken");
    assert_eq!(Agent::connect(proxy, &client).unwrap().get().unwrap(), 200);
    assert_eq!(site.origin.shown.lock().unwrap().last().unwrap(), "another-secret-0123456789");
}

#[test]
fn a_policy_folder_that_is_exchanged_as_a_whole_is_read() {
    let site = Site::new(SECRET);
    let mut running = site.start();
    running.serving();
    fs::create_dir(site.path("etc/policy.new")).unwrap();
    let text = fs::read_to_string(site.path("etc/policy/policy.yaml")).unwrap();
    fs::write(site.path("etc/policy.new/other.yaml"), text + "# another\n").unwrap();
    fs::rename(site.path("etc/policy"), site.path("etc/policy.old")).unwrap();
    fs::rename(site.path("etc/policy.new"), site.path("etc/policy")).unwrap();
    running.signal(rustix::process::Signal::HUP);
    assert_eq!(running.said("policy taken")["generation"], 2);
}

#[test]
fn audit_files_are_rotated_from_inside_and_from_outside() {
    let site = Site::with(SECRET, "");
    let config = fs::read_to_string(site.path("etc/stubgate.yaml")).unwrap();
    let small = config.replace("path: ../log/audit.jsonl", "path: ../log/audit.jsonl, max_bytes: 65536, keep: 2");
    fs::write(site.path("etc/stubgate.yaml"), small).unwrap();
    let mut running = site.start();
    let (proxy, operators) = running.serving();
    let mut agent = Agent::connect(proxy, &site.client()).unwrap();
    while !site.path("log/audit.jsonl.2").exists() {
        assert_eq!(agent.get().unwrap(), 200);
    }
    fs::rename(site.path("log/audit.jsonl"), site.path("log/moved")).unwrap();
    running.signal(rustix::process::Signal::HUP);
    running.said("policy taken");
    assert_eq!(agent.get().unwrap(), 200);
    assert!(site.path("log/audit.jsonl").exists());
    assert!(admin(operators, "/metrics").1.contains("stubgate_audit_dropped_total 0"));
}

#[test]
fn started_as_root_it_becomes_the_user_that_is_named_and_what_it_writes_is_that_users() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else can become another user; then it says so instead of staying who it is.
        let site = Site::with(SECRET, "process: { user: \"65534\" }");
        let (status, said) = site.start().ended();
        assert!(status == Some(1) && said.contains("may not change that"), "{said}");
        return;
    }
    let site = Site::with(SECRET, "process: { user: \"65534\" }");
    let open = |path: &str, mode| {
        fs::set_permissions(site.path(path), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    open("", 0o755);
    open("secrets/api", 0o644);
    let mut running = site.start();
    let (proxy, _) = running.serving();
    assert_eq!(Agent::connect(proxy, &site.client()).unwrap().get().unwrap(), 200);
    let users = of_every_thread(running.child.id(), "Uid");
    assert!(users.len() > 1 && users.iter().all(|user| user == "65534\t65534\t65534\t65534"), "{users:?}");
    let groups = of_every_thread(running.child.id(), "Groups");
    assert!(groups.iter().all(String::is_empty), "{groups:?}");
    for path in ["state/ca/key.pem", "log/audit.jsonl"] {
        let found = fs::metadata(site.path(path)).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (65534, 65534, 0o600), "{path}");
    }
    fs::rename(site.path("log/audit.jsonl"), site.path("log/moved")).unwrap();
    running.signal(rustix::process::Signal::HUP);
    running.said("policy taken");
    assert!(site.path("log/audit.jsonl").exists(), "and it is opened anew by that user");
    // What only root can read now can't be read later either, so it is said at once.
    open("secrets/api", 0o600);
    running.signal(rustix::process::Signal::HUP);
    running.said("credential api: ");
}

#[test]
fn a_policy_that_every_user_can_write_is_not_taken() {
    let site = Site::new(SECRET);
    let policy = site.path("etc/policy/policy.yaml");
    let set = |mode| fs::set_permissions(&policy, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    set(0o666);
    let mut running = site.start();
    let said = running.said("no usable policy");
    assert!(said["message"].as_str().unwrap().contains("policy.yaml: run chmod o-w on it"), "{said}");
    let (_, operators) = running.serving();
    assert_eq!(admin(operators, "/readyz").0, 503);
    set(0o644);
    running.signal(rustix::process::Signal::HUP);
    running.said("policy taken");
    assert_eq!(admin(operators, "/readyz").0, 200);
}
