//! The published images as a real runtime runs them: runc, the root read-only, no capability, no new privileges, the user that each
//! image names. `make images-test` builds them and runs this; without `STUBGATE_IMAGE` and `STUBGATE_AGENT_IMAGE` nothing of it can run,
//! and it is left out where it is not asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use stubgate_tests::agent::Office;
use stubgate_tests::builder::{ROOT, fresh_secret};
use stubgate_tests::container::runc::{Contained, Image, bind};
use stubgate_tests::lab::APPLIANCE;
use stubgate_tests::origin::Double;
use stubgate_tests::{Lab, Way};

const POLICY: &str = r#"version: 1
agents:
  pod: { sources: ["10.99.0.2/32"] }
credentials:
  github: { stub: proxy-token-github, slots: [bearer], hosts: [api.github.com], source: { file: "@SECRETS@/github" } }
rules:
  - { name: github, agents: [pod], hosts: [api.github.com], methods: [GET], credentials: [github] }
"#;

/// From the start of the container to readiness at most. Both are some tens of milliseconds and the client's own time on an idle
/// machine; the figures are printed.
const READY: Duration = Duration::from_secs(5);
const AGENT_READY: Duration = Duration::from_secs(60);

fn image(variable: &str, lab: &Lab) -> Image {
    let archive =
        std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names no OCI archive: make images-test"));
    Image::unpack(Path::new(&archive), &lab.pod().dir().join(variable))
}

/// What every container of ours must be: a user of its own, without a right, on a root that nobody can write to.
fn is_confined(container: &Contained, user: u32) {
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(container.status(set), "0000000000000000", "{set}");
    }
    assert_eq!(container.status("NoNewPrivs"), "1");
    assert_eq!(
        container.status("Uid"),
        [user.to_string(), user.to_string(), user.to_string(), user.to_string()].join(" ")
    );
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", container.pid())).unwrap();
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
    assert!(root.split(' ').nth(5).unwrap().split(',').any(|option| option == "ro"), "{root}");
}

/// A folder that belongs to the image's user.
fn give(folder: &Path, user: u32, mode: u32) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    chown(folder, Some(user), Some(user)).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    folder.to_owned()
}

#[test]
#[ignore = "takes the built images: make images-test"]
fn the_appliance_is_ready_soon_and_serves_names_and_requests() {
    let token = fresh_secret("github");
    let api = Double::demanding("api.github.com", &token);
    let lab = Lab::new().origin(api.clone()).credential("github", &token).policy(POLICY).start();
    let machine = lab.appliance().node().clone();
    // The container takes the place of the lab's own, whose authority the pod trusts already.
    lab.appliance().with_process(|process| {
        process.terminate();
        assert!(process.ended(Duration::from_secs(60)).is_some(), "it does not end");
    });
    let image = image("STUBGATE_IMAGE", &lab);
    let (user, _) = image.user();
    assert_ne!(user, 0);
    let dir = lab.pod().dir().join("imaged");
    let configuration = give(&dir.join("etc"), user, 0o755);
    let policy = give(&dir.join("etc/policy"), user, 0o755);
    let secrets = give(&dir.join("secrets"), user, 0o700);
    let state = give(&dir.join("state"), user, 0o700);
    let ca = give(&state.join("ca"), user, 0o700);
    for name in ["certificate.pem", "key.pem"] {
        fs::copy(lab.appliance().dir().join("state/ca").join(name), ca.join(name)).unwrap();
        chown(ca.join(name), Some(user), Some(user)).unwrap();
    }
    fs::write(secrets.join("github"), &token).unwrap();
    chown(secrets.join("github"), Some(user), Some(user)).unwrap();
    fs::copy(lab.pod().dir().join(ROOT), configuration.join("root.pem")).unwrap();
    fs::write(policy.join("policy.yaml"), POLICY.replace("@SECRETS@", "/run/secrets/stubgate")).unwrap();
    fs::write(
        configuration.join("stubgate.yaml"),
        format!(
            "listen:\n  dns: [\"0.0.0.0:53\"]\n  http: [\"0.0.0.0:80\"]\n  https: [\"0.0.0.0:443\"]\n  \
             proxy: [\"0.0.0.0:3128\"]\n  admin: [\"127.0.0.1:9090\"]\nadvertise: [\"{APPLIANCE}\"]\n\
             policy: [\"/etc/stubgate/policy\"]\nupstream:\n  ca_files: [\"/etc/stubgate/root.pem\"]\n\
             process: {{ require_lockdown: true }}\n"
        ),
    )
    .unwrap();
    // As `securityContext.sysctls` says it: ports below 1024 take no capability.
    machine.plumb("echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let resolver = Path::new("/etc/resolv.conf");
    let mounts = [
        bind(&configuration, "/etc/stubgate", false),
        bind(&secrets, "/run/secrets/stubgate", false),
        bind(&state, "/var/lib/stubgate", true),
        bind(resolver, "/etc/resolv.conf", false),
    ];
    let mut container = machine.run_image(&image, None, &[], &mounts);
    let ready = || lab.appliance().get("/readyz").is_ok_and(|(status, _)| status == 200);
    let took = container.until(READY, "readiness", ready);
    println!("the appliance was ready {took:?} after runc was asked to start it");

    is_confined(&container, user);
    assert_eq!(container.status("Seccomp"), "2");
    // Nothing but the program, and what it trusts.
    let files: Vec<_> = fs::read_dir(image.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        files.iter().all(|name| !["bin", "usr", "lib", "sbin", "root"].map(Into::into).contains(name)),
        "{files:?}"
    );
    let roots = fs::read_to_string(image.root().join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    assert!(roots.matches("BEGIN CERTIFICATE").count() > 100);

    let dig = |name: &str| {
        lab.pod().program("dig").args(["+short", "+tries=1", name, &format!("@{APPLIANCE}")]).run().success()
    };
    assert_eq!(dig("api.github.com").trim(), APPLIANCE.to_string());
    assert_eq!(dig("elsewhere.example").trim(), "");
    let curl = |url: &str| {
        let curl = lab.client(Way::Dns).curl_status();
        curl.args(["-H", "Authorization: Bearer proxy-token-github", url]).run()
    };
    assert_eq!(curl("https://api.github.com/user").success(), "200");
    assert!(api.memory.saw(&token), "the origin was asked without the credential");
    curl("https://elsewhere.example/").failure();

    container.signal(Signal::TERM);
    let status = container.ended(Duration::from_secs(40)).expect("it ends");
    assert!(status.success(), "{status}: {}", container.said());
    lab.oracles();
}

#[test]
#[ignore = "takes the built images: make images-test"]
fn an_agent_is_set_up_and_ready_on_its_published_image() {
    let office = Office::open();
    let image = image("STUBGATE_AGENT_IMAGE", &office.lab);
    let (user, _) = image.user();
    assert_eq!(user, stubgate_tests::container::USER);
    let desk = office.desk("imaged", &[]);
    let mut setup = desk.recipe().by_runc(&image, &["setup"]);
    let status = setup.ended(Duration::from_secs(60)).expect("setup ends");
    assert!(status.success(), "{status}: {}", setup.said());
    drop(setup);

    let mut agent = desk.recipe().by_runc(&image, &["run"]);
    let probe = |path: &str| {
        let curl = office.lab.pod().program("curl");
        let url = format!("http://127.0.0.1:9091{path}");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "2", &url]).run().text()
    };
    let alive = agent.until(READY, "the supervisor", || probe("/healthz") == "200");
    let ready = agent.until(AGENT_READY, "readiness", || probe("/readyz") == "200");
    println!("the supervisor answered {alive:?}, and its agent was ready {ready:?} after runc was asked to start it");
    is_confined(&agent, user);
    agent.signal(Signal::TERM);
    assert!(agent.ended(Duration::from_secs(60)).is_some(), "{}", agent.said());
    office.lab.oracles();
}
