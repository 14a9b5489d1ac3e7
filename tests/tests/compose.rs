//! deploy/compose: the file keeps to its specification, its parts agree with each other, and what it builds lets the agent reach stubgate
//! and nothing else without any rule of a firewall. Docker is not needed: its internal network is a bridge without a route.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stubgate_tests::appliance::binary;
use stubgate_tests::dns::NameServer;
use stubgate_tests::harness::alone;
use stubgate_tests::node::{self, Node, Reaper};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/compose").canonicalize().expect("deploy/compose")
}

/// A program of the environment that checks what is deployed; made by `tests/setup`.
fn venv(program: &str) -> Command {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target).join("charts-venv/bin").join(program);
    assert!(program.exists(), "no {}: run tests/setup", program.display());
    Command::new(program)
}

fn yaml(file: &str) -> Value {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let output = venv("python").args(["-c", script]).arg(folder().join(file)).output().expect("python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_file_keeps_to_the_compose_specification() {
    let schema = ["--builtin-schema", "vendor.compose-spec"];
    let output =
        venv("check-jsonschema").args(schema).arg(folder().join("compose.yaml")).output().expect("check-jsonschema");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    // The check can fail.
    let wrong = std::env::temp_dir().join(format!("compose-{}.yaml", std::process::id()));
    std::fs::write(&wrong, "services: { a: { image: x, netwroks: [] } }\n").expect("write");
    let output = venv("check-jsonschema").args(schema).arg(&wrong).output().expect("check-jsonschema");
    std::fs::remove_file(&wrong).expect("remove");
    assert!(!output.status.success());
}

#[test]
fn the_agent_is_on_the_internal_network_alone_and_holds_nothing() {
    let compose = yaml("compose.yaml");
    let (stubgate, agent) = (&compose["services"]["stubgate"], &compose["services"]["devbot"]);
    let networks = |service: &Value| service["networks"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(networks(agent), ["agents"]);
    assert_eq!(networks(stubgate), ["agents", "outside"]);
    assert_eq!(compose["networks"]["agents"]["internal"], true);
    assert_eq!(compose["networks"]["agents"]["enable_ipv6"], false);
    for service in [stubgate, agent] {
        assert_eq!((&service["read_only"], &service["cap_drop"]), (&json!(true), &json!(["ALL"])));
        assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]));
        for key in ["privileged", "ports", "network_mode", "cap_add", "pid", "devices", "env_file", "extra_hosts"] {
            assert!(service[key].is_null(), "{key}");
        }
    }
    let mounts = |service: &Value| -> Vec<String> {
        let volumes = service["volumes"].as_array().unwrap().iter();
        volumes.map(|volume| volume.as_str().unwrap().split(':').next().unwrap().to_owned()).collect()
    };
    assert!(mounts(stubgate).contains(&"./secrets".to_owned()));
    assert!(
        mounts(agent)
            .iter()
            .all(|mount| !mount.contains("secret") && !mount.contains("docker.sock") && mount != "state")
    );
    let declared = compose["volumes"].as_object().unwrap();
    for mount in [mounts(stubgate), mounts(agent)].concat().iter().filter(|mount| !mount.starts_with("./")) {
        assert!(declared.contains_key(mount), "{mount}");
    }
    // Nothing that is made as one goes is to be committed.
    let ignored = std::fs::read_to_string(folder().join(".gitignore")).unwrap();
    for made in ["/.env", "/secrets/", "/bundle.pem", "/agents/", "/stubgate.nft"] {
        assert!(ignored.lines().any(|line| line == made), "{made}");
    }
}

#[test]
fn addresses_agree_between_compose_configuration_and_policy() {
    let (compose, configuration, policy) = (yaml("compose.yaml"), yaml("stubgate.yaml"), yaml("policy/agents.yaml"));
    let address = |service: &str| compose["services"][service]["networks"]["agents"]["ipv4_address"].clone();
    assert_eq!(configuration["advertise"], json!([address("stubgate")]));
    assert_eq!(compose["services"]["devbot"]["dns"], json!([address("stubgate")]));
    let source = format!("{}/32", address("devbot").as_str().unwrap());
    assert_eq!(policy["agents"]["devbot"]["sources"], json!([source]));
    assert_eq!(compose["services"]["devbot"]["environment"]["AGENT_NAME"], "devbot");
    assert_eq!(configuration["listen"]["admin"], json!(["127.0.0.1:9090"]), "not for agents");
    let run = |arguments: &[&str]| {
        let output = Command::new(binary()).args(arguments).current_dir(folder()).output().expect("stubgate");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run(&["config", "check", "stubgate.yaml"]);
    run(&["policy", "check", "policy"]);
    let bridge = &compose["networks"]["agents"]["driver_opts"]["com.docker.network.bridge.name"];
    let subnet = &compose["networks"]["agents"]["ipam"]["config"][0]["subnet"];
    let arguments = [
        "nft",
        "--config",
        "stubgate.yaml",
        "--bridge",
        bridge.as_str().unwrap(),
        "--beside",
        "--subnet",
        subnet.as_str().unwrap(),
    ];
    assert!(run(&arguments).contains("ip daddr 10.42.0.2 tcp dport { 53, 80, 443, 3128 } accept"));
    let guide = std::fs::read_to_string(folder().join("../../docs/install/compose.md")).unwrap();
    // With the program and the file as they are in the appliance's container.
    let asked = "/stubgate nft --config /etc/stubgate/stubgate.yaml --bridge agents0 --subnet 10.42.0.0/24 --beside";
    assert!(guide.contains(asked));
}

/// Agents reach every port of the appliance's container that is not on loopback, whoever listens there.
#[test]
fn what_shares_the_appliances_network_listens_on_loopback_alone() {
    let guide = std::fs::read_to_string(folder().join("../../docs/install/compose.md")).unwrap();
    let blocks: Vec<&str> = guide.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let sharing: Vec<&&str> = blocks.iter().filter(|block| block.contains("network_mode: service:stubgate")).collect();
    assert_eq!(sharing.len(), 1);
    let admin = yaml("stubgate.yaml")["listen"]["admin"][0].clone();
    for block in sharing {
        let place = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(place.path(), format!("services:\n{block}")).unwrap();
        let service = yaml(place.path().to_str().unwrap())["services"]["prometheus"].take();
        let words = service["command"].as_array().unwrap_or_else(|| panic!("listens on every address: {block}"));
        let listens = words.iter().filter_map(|word| word.as_str()?.strip_prefix("--web.listen-address="));
        let listens: Vec<SocketAddr> = listens.map(|address| address.parse().expect("an address")).collect();
        assert!(!listens.is_empty() && listens.iter().all(|address| address.ip().is_loopback()), "{block}");
        assert!(listens.iter().all(|address| json!(address.to_string()) != admin), "{block}");
    }
}

/// ```text
///  devbot 10.42.0.11 ── agents0 (no address, no route) ── 10.42.0.2 stubgate 20.0.0.2 ── 20.0.0.9 outside
/// ```
#[test]
fn the_agent_reaches_stubgate_and_has_no_other_way_without_any_firewall() {
    alone(|| {
        let compose = yaml("compose.yaml");
        let address = |service: &str| -> String {
            compose["services"][service]["networks"]["agents"]["ipv4_address"].as_str().unwrap().to_owned()
        };
        let dir = tempfile::Builder::new().prefix("stubgate-compose-").tempdir().expect("a folder").keep();
        let reaper = Arc::new(Reaper::open(&dir));
        let [host, devbot, appliance, outside] =
            ["host", "devbot", "appliance", "outside"].map(|name| Node::boot(name, &reaper));
        host.plumb("ip link add agents0 type bridge; ip link set agents0 up");
        for (node, port, name) in [(&devbot, "port1", "devbot"), (&appliance, "port2", "stubgate")] {
            node::join((&host, port, "192.0.2.1/32"), (node, "eth0", &format!("{}/24", address(name))));
            host.plumb(&format!("ip addr flush dev {port} && ip link set {port} master agents0"));
        }
        node::join((&appliance, "eth1", "20.0.0.2/24"), (&outside, "eth0", "20.0.0.9/24"));
        devbot.overlay(
            "/etc/resolv.conf",
            &format!("nameserver {}\n", compose["services"]["devbot"]["dns"][0].as_str().unwrap()),
        );
        appliance.overlay("/etc/resolv.conf", "nameserver 20.0.0.9\n");

        // It knows no name.
        let _names = NameServer::start(&outside, SocketAddr::from(([20, 0, 0, 9], 53)));

        // The files as they are, but for where they lie.
        let read = |file: &str| std::fs::read_to_string(folder().join(file)).expect("read");
        let here = |text: String| {
            let text = text.replace("/etc/stubgate/", &format!("{}/", dir.display()));
            text.replace("/var/lib/stubgate", &format!("{}/state", dir.display()))
        };
        for made in ["policy", "secrets"] {
            std::fs::create_dir_all(dir.join(made)).expect("folder");
        }
        std::fs::write(dir.join("secrets/github"), "a-real-value-of-github\n").expect("write");
        std::fs::write(dir.join("stubgate.yaml"), here(read("stubgate.yaml"))).expect("write");
        std::fs::write(dir.join("policy/agents.yaml"), here(read("policy/agents.yaml"))).expect("write");
        let stubgate = |arguments: &[&str]| appliance.program(binary()).dir(&dir).args(arguments);
        let _running = stubgate(&["run", "--config", "stubgate.yaml"]).spawn();
        let deadline = Instant::now() + Duration::from_secs(20);
        let ready =
            || appliance.program("curl").args(["-sf", "--max-time", "5", "http://127.0.0.1:9090/readyz"]).run().text();
        while !ready().starts_with("ready") {
            assert!(Instant::now() < deadline, "not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        let bundle = dir.join("bundle.pem");
        std::fs::write(&bundle, stubgate(&["ca", "bundle", "--config", "stubgate.yaml"]).run().success())
            .expect("write");

        let dig = |name: &str| devbot.program("dig").args(["+short", "+time=2", "+tries=1", name]).run().text();
        assert_eq!(dig("api.github.com").trim(), address("stubgate"), "an allowed name is stubgate");
        assert_eq!(dig("example.com").trim(), "", "and no other is anything");
        let curl = |arguments: &[&str]| {
            let curl = devbot.program("curl").args(["-sS", "--max-time", "20"]).env("CURL_CA_BUNDLE", &bundle);
            curl.args(arguments).run()
        };
        // No origin is out there: stubgate itself answers, over TLS that the agent trusts, and knows who asks.
        let answer = curl(&["https://api.github.com/user"]).success();
        assert!(answer.contains("unresolvable"), "{answer}");
        let refused = curl(&["https://api.github.com/gists"]).success();
        assert!(refused.contains("path_not_allowed") || refused.contains("denied_by_rule"), "{refused}");
        outside.start(|| {
            let listener = std::net::TcpListener::bind("20.0.0.9:443").expect("listen");
            let _ = listener.incoming().count();
        });
        let gateway = compose["networks"]["agents"]["ipam"]["config"][0]["gateway"].as_str().unwrap();
        for elsewhere in [
            "https://20.0.0.9/",
            "https://1.1.1.1/",
            "https://[2606:4700::1111]/",
            &format!("http://{}:9090/", address("stubgate")),
            &format!("http://{gateway}/"),
        ] {
            curl(&["--max-time", "3", elsewhere]).failure();
        }
        // Whoever makes stubgate its gateway finds that it routes nothing.
        devbot.plumb(&format!("ip route add default via {}", address("stubgate")));
        curl(&["--max-time", "3", "https://20.0.0.9/"]).failure();
    });
}
