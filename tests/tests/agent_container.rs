//! The agent's container as the image declares it, and the lab's search for what must not be in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::time::Duration;

use stubgate_tests::container::PLACES;
use stubgate_tests::{Shared, World};

static WORLD: Shared<World> = Shared::new(World::standard);

#[test]
fn the_agent_is_a_user_without_rights() {
    WORLD.test(|world| {
        let container = world.lab.pod().container("plain").idle();
        assert_eq!(container.exec("id").args(["-u"]).run().success().trim(), "10001");
        assert_eq!(container.exec("id").args(["-un"]).run().success().trim(), "agent");
        // Of process 1 and of what is started beside it.
        for process in ["/proc/1/status", "/proc/self/status"] {
            let status = container.exec("cat").arg(process).run().success();
            let value = |key: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(key));
                line.unwrap_or_else(|| panic!("no {key} in {status}")).trim().to_owned()
            };
            for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
                assert_eq!(value(set), "0000000000000000", "{process}, {set}");
            }
            assert_eq!(value("NoNewPrivs:"), "1", "{process}");
            assert!(value("Uid:").split_whitespace().all(|user| user == "10001"), "{process}");
        }
        let set_id = container.exec("find").args(["/usr", "/opt", "-xdev", "-perm", "/6000", "-type", "f"]);
        assert_eq!(set_id.run().success(), "");
    });
}

#[test]
fn nothing_can_be_written_but_the_declared_places() {
    WORLD.test(|world| {
        let container = world.lab.pod().container("plain").idle();
        let touch = |folder: &str| container.exec("touch").arg(format!("{folder}/it")).run();
        for folder in ["/", "/etc", "/etc/ssl/certs", "/usr/local/bin", "/opt/bridges", "/var", "/run", "/home"] {
            assert!(touch(folder).failure().contains("touch:"), "{folder}");
        }
        for place in PLACES {
            touch(place).success();
            assert!(container.place(place).join("it").exists(), "{place}");
        }
        touch("/tmp").success();
    });
}

#[test]
fn it_has_no_compiler_no_node_and_no_browser() {
    WORLD.test(|world| {
        let container = world.lab.pod().container("plain").idle();
        for program in ["cc", "gcc", "ld", "make", "node", "npm", "chromium", "firefox", "apt-get", "sudo"] {
            let found = container.exec("sh").args(["-c", "command -v \"$0\""]).arg(program).run();
            assert_eq!(found.text(), "", "{program}");
        }
        for program in ["git", "gh", "curl", "jq", "tmux", "ssh", "ps", "python3", "stubgate-agent", "claude"] {
            container.exec("sh").args(["-c", "command -v \"$0\""]).arg(program).run().success();
        }
        let version = fs::read_to_string(stubgate_tests::client::source("../agent-image/client-version")).unwrap();
        let said = container.exec("claude").arg("--version").run().success();
        assert_eq!(said.split_whitespace().next(), Some(version.trim()));
        container.exec("/opt/bridges/bin/python").args(["-c", "import mcp.server.fastmcp"]).run().success();
        // What `stubgate-agent bridge` begins with.
        container.exec("python3").args(["-m", "venv", "/home/agent/environment"]).run().success();
        container.exec("git").args(["init", "-q", "/workspace/new"]).run().success();
    });
}

#[test]
fn what_it_wrote_is_there_after_its_end_and_what_was_in_memory_is_not() {
    WORLD.test(|world| {
        let pod = world.lab.pod();
        let first =
            pod.container("kept").size("/workspace", 1 << 20).start(["sh", "-c", "echo kept >~/note; sleep 600"]);
        assert!(first.until(Duration::from_secs(5), |container| container.path("/home/agent/note").exists()));
        let full = first.exec("dd").args(["if=/dev/zero", "of=/workspace/big", "bs=64k", "count=100"]).run().failure();
        assert!(full.contains("No space left"), "{full}");
        let pid = first.pid();
        assert_eq!(first.find("sleep 600").len(), 2);
        drop(first);
        assert!(!std::path::Path::new(&format!("/proc/{pid}/root")).exists());
        let mut second = pod.container("kept").start(["sh", "-c", "cat ~/note; ls /workspace | wc -l"]);
        assert_eq!(second.main().line(Duration::from_secs(5)).as_deref(), Some("kept"));
        assert_eq!(second.main().line(Duration::from_secs(5)).as_deref(), Some("0"));
        assert!(second.main().ended(Duration::from_secs(5)).is_some_and(|status| status.success()));
    });
}

#[test]
fn a_credential_is_found_wherever_it_is_in_a_container() {
    WORLD.test(|world| {
        let secrets = [("planted".to_owned(), "s3cr3t+of/the~container".to_owned())];
        let container = world.lab.pod().container("searched").idle();
        assert_eq!(container.search(&secrets), Vec::<String>::new());
        let places = ["/home/agent/.config/file", "/tmp/file", "/dev/shm/file", "/run/stubgate-agent/file"];
        for place in places {
            let script =
                "mkdir -p \"$(dirname \"$0\")\" && printf 's3cr3t+of%s' '/the~container' >\"$0\"; chmod 0 \"$0\"";
            container.exec("sh").args(["-c", script, place]).run().success();
        }
        let sleeping = container.exec("sleep").arg("60").env("TOKEN", &secrets[0].1).spawn();
        assert!(container.until(Duration::from_secs(5), |container| !container.find("sleep 60").is_empty()));
        let found = container.search(&secrets);
        for place in places.into_iter().chain(["environ of [\"sleep\""]) {
            assert_eq!(found.iter().filter(|line| line.contains(place)).count(), 1, "{place}: {found:?}");
        }
        assert_eq!(found.len(), places.len() + 1, "{found:?}");
        drop(sleeping);
        assert!(container.until(Duration::from_secs(5), |container| container.find("sleep 60").is_empty()));
        container.exec("rm").arg("-f").args(places).run().success();
        assert_eq!(container.search(&secrets), Vec::<String>::new());
    });
}
