//! Plugins, with a double of the client that keeps how it was called, and with the real one where it is there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{World, is_root, ran};

/// An agent with a plugin that is there already, and one that is not.
fn world(script: &str) -> World {
    let world = World::new();
    let program = world.path("claude");
    fs::write(&program, format!("#!/bin/sh\necho \"$*\" >> {}\n{script}\n", world.path("calls").display())).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    world.agent_file("devbot/agent.yaml", &format!("client: {{ program: {} }}\n", program.display()));
    world.agent_file(
        "devbot/settings.json",
        r#"{"extraKnownMarketplaces":{"market":{"source":{"source":"github","repo":"acme/market"}}},
            "enabledPlugins":{"old@market":true,"new@market":true,"off@market":false}}"#,
    );
    let installed = world.home(".claude/plugins/cache/market/old/1");
    fs::create_dir_all(&installed).unwrap();
    let file = format!(
        r#"{{"version":2,"plugins":{{"old@market":[{{"version":"1","installPath":"{}"}}]}}}}"#,
        installed.display()
    );
    world.file("home/.claude/plugins/installed_plugins.json", &file);
    world
}

#[test]
fn what_is_there_is_updated_and_what_is_not_is_installed() {
    let world = world("");
    let run = world.setup();
    assert_eq!(run.code, Some(0), "{}", run.text);
    let calls = world.text("calls");
    let expected = [
        "plugin marketplace add acme/market",
        "plugin marketplace update market",
        "plugin install new@market",
        "plugin update old@market",
    ];
    assert_eq!(calls.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_marketplace_that_can_not_be_reached_leaves_the_plugin_that_is_there() {
    let world = world("case \"$*\" in *marketplace*) echo 'no such host' >&2; exit 1;; esac");
    let run = world.setup();
    assert_eq!(run.code, Some(0));
    let told = run.step("plugins");
    assert!(told.contains("marketplace market: no such host"), "{told}");
    assert!(told.contains("old: its marketplace failed: left as it is"), "{told}");
    assert!(world.home(".claude/plugins/cache/market/old/1").is_dir());
    let calls = world.text("calls");
    assert!(!calls.contains("uninstall") && !calls.contains("install new"), "{calls}");
}

#[test]
fn a_client_that_is_not_there_blocks_nothing() {
    let world = world("");
    fs::remove_file(world.path("claude")).unwrap();
    let run = world.setup();
    assert_eq!(run.code, Some(0));
    assert!(run.step("plugins").contains("No such file"), "{}", run.text);
}

/// Where the lab's set-up puts it.
fn real_client() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_stubgate-agent")).parent()?.parent()?;
    let client = target.join("lab-claude/claude");
    if !client.exists() {
        eprintln!("NOT TRIED: there is no {}: run ./tests/setup", client.display());
    }
    client.exists().then_some(client)
}

#[test]
fn the_real_client_installs_updates_and_keeps_a_plugin_without_a_network() {
    let Some(client) = real_client() else { return };
    if !is_root() {
        return;
    }
    let world = World::new();
    let market = world.path("market");
    world.file(
        "market/.claude-plugin/marketplace.json",
        r#"{"name":"market","owner":{"name":"x"},"plugins":[{"name":"chan","source":"./chan","description":"d"}]}"#,
    );
    let plugin = |version: &str| {
        world.file(
            "market/chan/.claude-plugin/plugin.json",
            &format!(r#"{{"name":"chan","version":"{version}","description":"d"}}"#),
        )
    };
    plugin("1.0.0");
    world.agent_file("devbot/agent.yaml", &format!("client: {{ program: {} }}\n", client.display()));
    let settings = format!(
        r#"{{"extraKnownMarketplaces":{{"market":{{"source":{{"source":"directory","path":"{}"}}}}}},"enabledPlugins":{{"chan@market":true}}}}"#,
        market.display()
    );
    world.agent_file("devbot/settings.json", &settings);
    let setup = || {
        // A network of its own, without a way out.
        let inner = world.command();
        let mut command = Command::new("unshare");
        command.arg("--net").arg(inner.get_program()).args(inner.get_args());
        world.put_in_place(&mut command);
        ran(command.output().unwrap())
    };
    let run = setup();
    assert_eq!(run.step("plugins"), "done: chan 1.0.0", "{}", run.text);
    let run = setup();
    assert_eq!((run.step("settings"), run.step("plugins")), ("unchanged", "unchanged: chan 1.0.0"), "{}", run.text);
    plugin("1.1.0");
    assert_eq!(setup().step("plugins"), "done: chan 1.1.0");
    fs::rename(&market, world.path("elsewhere")).unwrap();
    let run = setup();
    assert_eq!(run.code, Some(0));
    assert!(run.step("plugins").contains("chan: its marketplace failed: left as it is"), "{}", run.text);
    assert_eq!(world.json("home/.claude/settings.json")["enabledPlugins"]["chan@market"], true);
}
