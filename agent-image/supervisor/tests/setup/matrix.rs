//! The Matrix channel, with a double of its homeserver.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::server::{Server, answer};
use crate::world::World;

fn world(homeserver: &str) -> World {
    let world = World::new();
    world.agent_file(
        "devbot/agent.yaml",
        &format!(
            "matrix:\n  homeserver: {homeserver}\n  user: '@devbot:x.test'\n  stub: matrix-stub\n  allowed_users: ['@op:x.test']\n  \
             rooms: ['#dev/ops:x.test', '!closed:x.test']\n  ack_reaction: '👀'\n"
        ),
    );
    world
}

#[test]
fn the_channel_is_told_who_it_is_and_whom_to_hear() {
    let world = world("https://x.test");
    world.file("home/.claude/channels/matrix/access.json", r#"{"allowedUsers":["@evil:x.test"],"quiet":{"a":1}}"#);
    world.setup();
    let text = world.text("home/.claude/channels/matrix/.env");
    assert_eq!(
        text,
        "MATRIX_HOMESERVER_URL=https://x.test\nMATRIX_ACCESS_TOKEN=matrix-stub\nMATRIX_BOT_USER_ID=@devbot:x.test\n"
    );
    let access = world.json("home/.claude/channels/matrix/access.json");
    assert_eq!(access, json!({ "allowedUsers": ["@op:x.test"], "ackReaction": "👀", "quiet": { "a": 1 } }));
    for name in [".env", "access.json"] {
        let mode = world.home(".claude/channels/matrix").join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(world.setup().step("matrix").starts_with("unchanged"));
}

#[test]
fn rooms_are_joined_over_the_trust_that_was_just_written_and_a_refusal_is_told() {
    let server = Server::tls(|head| match head.starts_with("POST /_matrix/client/v3/join/%23dev%2Fops%3Ax.test ") {
        true => answer("200 OK", "", r#"{"room_id":"!a:x.test"}"#),
        false => answer("403 Forbidden", "", r#"{"errcode":"M_FORBIDDEN","error":"no"}"#),
    });
    let world = world(&format!("https://localhost:{}", server.address.port()));
    let run = world.setup();
    assert_eq!(run.code, Some(0));
    let told = "failed: #dev/ops:x.test: 200 OK; !closed:x.test: 403 Forbidden (M_FORBIDDEN)";
    assert_eq!(run.step("rooms"), told);
    for head in server.heads() {
        assert!(head.to_lowercase().contains("authorization: bearer matrix-stub"), "{head}");
    }
}

#[test]
fn a_homeserver_that_is_away_blocks_nothing() {
    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = world(&format!("http://{away}"));
    let run = world.setup();
    assert_eq!(run.code, Some(0));
    assert!(run.step("rooms").starts_with("failed: #dev/ops:x.test: "), "{}", run.text);
}
