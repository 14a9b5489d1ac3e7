//! Files that people mount: plain, and as a ConfigMap does.

use std::fs;
use std::os::unix::fs::symlink;

use crate::world::World;

/// A folder as the kubelet writes a ConfigMap: every key a link into `..data`, which is a link to the folder of a version.
fn mount(world: &World, folder: &str, files: &[(&str, &str)]) {
    let folder = world.path(folder);
    let version = folder.join("..2026_11_21_19_00_00.1");
    fs::create_dir_all(&version).unwrap();
    symlink("..2026_11_21_19_00_00.1", folder.join("..data")).unwrap();
    for (name, text) in files {
        fs::write(version.join(name), text).unwrap();
        symlink(format!("..data/{name}"), folder.join(name)).unwrap();
    }
}

#[test]
fn config_maps_are_read_as_folders_are() {
    let world = World::bare();
    world.file("bundle.pem", &crate::server::authority().1);
    mount(
        &world,
        "agents/_shared",
        &[("CLAUDE.md", "For all.\n"), ("subagents.review.md", "shared"), ("subagents.plan.md", "plan")],
    );
    mount(
        &world,
        "agents/devbot",
        &[
            ("CLAUDE.md", "You are devbot.\n"),
            ("agent.yaml", "git: { name: Dev }\n"),
            ("subagents.review.md", "own"),
            ("mcp.json", r#"{"mcpServers":{"a":{"command":"a"}}}"#),
            ("settings.json", r#"{"model":"opus"}"#),
        ],
    );
    let run = world.setup();
    assert_eq!(run.code, Some(0), "{}", run.text);
    assert_eq!(run.step("subagents"), "done: plan.md, review.md");
    assert_eq!(world.text("home/.claude/agents/review.md"), "own");
    let text = world.text("home/.claude/CLAUDE.md");
    let (image, rest) = text.split_once("\n\nFor all.").unwrap();
    assert!(image.starts_with("# Where you are"), "{text}");
    assert_eq!(rest, "\n\nYou are devbot.\n");
    assert_eq!(world.json("home/.claude.json")["mcpServers"]["a"]["command"], "a");
    assert_eq!(world.json("home/.claude/settings.json")["model"], "opus");
}

#[test]
fn a_subagent_that_is_gone_from_the_sources_goes_and_anybody_elses_stays() {
    let world = World::new();
    world.agent_file("devbot/subagents/review.md", "review");
    world.agent_file("_shared/subagents/plan.md", "plan");
    world.file("home/.claude/agents/own.md", "own");
    assert_eq!(world.setup().step("subagents"), "done: plan.md, review.md");
    fs::remove_file(world.path("agents/devbot/subagents/review.md")).unwrap();
    assert_eq!(world.setup().step("subagents"), "done: plan.md");
    assert!(!world.home(".claude/agents/review.md").exists());
    assert_eq!(world.text("home/.claude/agents/own.md"), "own");
}

#[test]
fn one_broken_file_fails_its_own_step_alone() {
    let world = World::new();
    world.agent_file("devbot/mcp.json", "{");
    let run = world.setup();
    assert_eq!(run.code, Some(0));
    assert!(run.step("client").contains("devbot/mcp.json"), "{}", run.text);
    assert!(run.step("settings").starts_with("done"), "{}", run.text);
}
