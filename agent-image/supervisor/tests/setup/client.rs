//! Files that the client writes too.

use std::fs;

use serde_json::json;

use crate::world::World;

#[test]
fn a_fresh_home_has_been_through_its_first_run() {
    let world = World::new();
    world.agent_file("devbot/agent.yaml", "workspace: { repositories: ['/none/site'] }\n");
    world.setup();
    let memory = world.json("home/.claude.json");
    assert_eq!(memory["hasCompletedOnboarding"], true);
    assert_eq!(memory["resumeReturnDismissed"], true);
    for folder in ["workspace", "workspace/site"] {
        let folder = world.path(folder).display().to_string();
        assert_eq!(memory["projects"][&folder]["hasTrustDialogAccepted"], true, "{folder}");
    }
    assert_eq!(world.json("home/.claude/settings.json")["skipDangerousModePermissionPrompt"], true);
}

#[test]
fn the_clients_own_keys_stay() {
    let world = World::new();
    let workspace = world.path("workspace").display().to_string();
    let memory = json!({
        "numStartups": 7,
        "lastFrame": 7.937_987_560_000_407_5,
        "projects": { &workspace: { "lastCost": 1.5, "hasTrustDialogAccepted": false }, "/other": { "a": 1 } },
        "mcpServers": { "its-own": { "command": "x" } },
        "cachedGrowthBookFeatures": { "tengu_harbor": true },
    });
    world.file("home/.claude.json", &memory.to_string());
    world.agent_file("_shared/mcp.json", r#"{"mcpServers":{"a":{"command":"a","args":["1"]},"b":{"command":"b"}}}"#);
    world.agent_file("devbot/mcp.json", r#"{"mcpServers":{"a":{"command":"other","args":["2"]}}}"#);
    assert_eq!(world.setup().step("client"), "done: MCP servers: a, b");
    let now = world.json("home/.claude.json");
    assert_eq!(now["numStartups"], 7);
    assert!(world.text("home/.claude.json").contains("7.9379875600004075"), "numbers are those of the client");
    assert_eq!(now["projects"][&workspace]["lastCost"], 1.5);
    assert_eq!(now["projects"][&workspace]["hasTrustDialogAccepted"], true);
    assert_eq!(now["projects"]["/other"], json!({ "a": 1 }));
    assert_eq!(now["cachedGrowthBookFeatures"]["tengu_harbor"], true);
    let servers =
        json!({ "its-own": { "command": "x" }, "a": { "command": "other", "args": ["2"] }, "b": { "command": "b" } });
    assert_eq!(now["mcpServers"], servers);

    fs::remove_file(world.path("agents/_shared/mcp.json")).unwrap();
    world.setup();
    let servers = json!({ "its-own": { "command": "x" }, "a": { "command": "other", "args": ["2"] } });
    assert_eq!(world.json("home/.claude.json")["mcpServers"], servers);
}

#[test]
fn a_broken_memory_is_kept_aside_and_told() {
    let world = World::new();
    world.file("home/.claude.json", "{\"numStartups\": 7, ");
    let run = world.setup();
    assert!(run.step("client").contains(".claude.json.broken"), "{}", run.text);
    assert_eq!(world.text("home/.claude.json.broken"), "{\"numStartups\": 7, ");
    assert_eq!(world.json("home/.claude.json")["hasCompletedOnboarding"], true);
}

#[test]
fn settings_of_the_sources_come_and_go_and_the_clients_own_stay() {
    let world = World::new();
    world.agent_file("_shared/settings.json", r#"{"permissions":{"deny":["Bash(kubectl delete*)"]},"model":"a"}"#);
    world.agent_file("devbot/settings.json", r#"{"permissions":{"deny":["Bash(git push origin main*)"]}}"#);
    world.setup();
    let mut settings = world.json("home/.claude/settings.json");
    assert_eq!(settings["permissions"]["deny"], json!(["Bash(kubectl delete*)", "Bash(git push origin main*)"]));
    settings["enabledPlugins"] = json!({ "chan@market": true });
    // The client writes the same with other blanks.
    world.file("home/.claude/settings.json", &settings.to_string());
    assert_eq!(world.setup().step("settings"), "unchanged");
    world.agent_file("_shared/settings.json", "{}");
    world.setup();
    let settings = world.json("home/.claude/settings.json");
    assert_eq!(settings["permissions"]["deny"], json!(["Bash(git push origin main*)"]));
    assert_eq!(settings.get("model"), None);
    assert_eq!(settings["enabledPlugins"]["chan@market"], true);
}

#[test]
fn a_plugin_that_is_neither_on_nor_off_is_refused_before_the_client_throws_all_settings_away() {
    let world = World::new();
    world.agent_file("devbot/settings.json", r#"{"enabledPlugins":{"chan@market":{"version":"1"}}}"#);
    let run = world.setup();
    assert_eq!(run.code, Some(0));
    assert!(run.step("settings").contains("true and false only"), "{}", run.text);
}

#[test]
fn pull_requests_are_watched_where_repositories_are_named() {
    let world = World::new();
    world.agent_file("devbot/agent.yaml", "pr_comments: { repositories: [acme/site] }\n");
    world.setup();
    let hook = &world.json("home/.claude/settings.json")["hooks"]["Stop"][0]["hooks"][0];
    assert_eq!((&hook["command"], &hook["asyncRewake"]), (&json!("stubgate-agent hook pr-comments"), &json!(true)));
}

#[test]
fn managed_settings_that_are_missing_or_lack_a_channel_are_told_with_what_would_happen() {
    let world = World::new();
    world.agent_file("devbot/agent.yaml", "client: { channels: ['plugin:chan@market', 'server:own'] }\n");
    assert!(world.setup().step("managed").starts_with("failed: "));
    world.file("managed.json", include_str!("../../../defaults/managed-settings.json"));
    let run = world.setup();
    assert_eq!(run.code, Some(0));
    let told = run.step("managed");
    assert!(told.contains("lacks plugin:chan@market: the client says `not on the approved channels"), "{told}");
    assert!(told.contains("server:own is no plugin") && told.contains("Loading development channels"), "{told}");

    let entry = json!([{ "marketplace": "market", "plugin": "chan" }]);
    world.file("managed.json", &json!({ "channelsEnabled": true, "allowedChannelPlugins": entry }).to_string());
    world.agent_file("devbot/agent.yaml", "client: { channels: ['plugin:chan@market'] }\n");
    assert!(world.setup().step("managed").starts_with("unchanged"));
}

#[test]
fn bridges_are_servers_beside_those_of_the_clients_own_format() {
    let world = World::new();
    world.agent_file("devbot/mcp.json", r#"{"mcpServers":{"a":{"command":"a"},"tickets":{"command":"b"}}}"#);
    world.agent_file(
        "devbot/bridges.yaml",
        "bridges:\n  tickets: { remote: { url: 'https://tickets.example.com/mcp', stub: tickets-stub } }\n",
    );
    let run = world.setup();
    assert_eq!(run.step("client"), "done: MCP servers: a, tickets");
    let tickets = &world.json("home/.claude.json")["mcpServers"]["tickets"];
    assert_eq!(tickets["url"], "https://tickets.example.com/mcp", "{tickets}");
}

#[test]
fn quiet_hours_are_told_to_every_process() {
    let world = World::new();
    world.agent_file("devbot/agent.yaml", "quiet_hours: { window: '22:00-07:00', time_zone: Europe/Vienna }\n");
    let run = world.setup();
    assert!(run.step("quiet").starts_with("done"), "{}", run.text);
    let text = world.text("trust/environment");
    assert!(text.contains("QUIET_HOURS=22:00-07:00\nQUIET_HOURS_TZ=Europe/Vienna\n"), "{text}");
}
