//! What wakes a session: a message in a channel. First a double of a channel, then all of it: a message in a room of a real Matrix
//! homeserver, a turn of the real client, an event on a real JetStream, and the answer in the room. All of it goes through stubgate
//! with stubs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stubgate_tests::agent::{Agent, Desk, Office};
use stubgate_tests::builder::fresh_secret;
use stubgate_tests::client::source;
use stubgate_tests::origin::anthropic::{Asked, Say, Script};
use stubgate_tests::origin::{Nats, Synapse};
use stubgate_tests::{Lab, Shared, Way, container};

const HOMESERVER: &str = "matrix.example";

const POLICY: &str = r#"version: 1
agents:
  pod: { sources: ["10.99.0.2/32"] }
credentials:
  claude:
    stub: access-token-stub
    slots: [bearer]
    hosts: [api.anthropic.com]
    source: { oauth: { provider: claude, refresh_stub: refresh-token-stub, login: team } }
  chat:
    stub: matrix-token-stub
    slots: [bearer]
    hosts: [matrix.example]
    source: { file: "@SECRETS@/chat" }
  bus:
    stub: nats-token-stub
    slots: [bearer]
    hosts: [bus.example]
    source: { file: "@SECRETS@/bus" }
rules:
  - { name: bus, agents: [pod], hosts: [bus.example], methods: [WEBSOCKET], paths: ["/"], credentials: [bus] }
include:
  - { preset: claude-code@1, agents: [pod], credentials: { anthropic: claude } }
  - { preset: matrix@1, agents: [pod], credentials: { matrix: chat }, with: { homeserver: matrix.example } }
"#;

struct World {
    office: Office,
    synapse: Synapse,
    /// The access token of whoever works with the agent.
    person: String,
    /// The room of both.
    room: String,
}

impl AsRef<Lab> for World {
    fn as_ref(&self) -> &Lab {
        &self.office.lab
    }
}

static WORLD: Shared<World> = Shared::new(|| {
    let synapse = Synapse::new(HOMESERVER);
    let bus = fresh_secret("bus").chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let mut office = Office::build(|builder| {
        let builder =
            builder.origin(synapse.clone()).origin(Nats::streams("bus.example", &bus)).credential("bus", &bus);
        builder.policy(POLICY)
    });
    let (bot, person) = (synapse.account("bot"), synapse.account("person"));
    office.lab.learn("chat", &bot);
    let wanted = json!({ "preset": "public_chat", "name": "dev" });
    let made = synapse.ask("POST", "/_matrix/client/v3/createRoom", &person, &wanted);
    let room = made["room_id"].as_str().expect("a room").to_owned();
    World { office, synapse, person, room }
});

/// A marketplace of plugins, each with one MCP server of one file beside `channel.py`.
fn marketplace(lab: &Lab) -> PathBuf {
    let read = |name: &str| fs::read_to_string(source("clients/channel").join(name)).unwrap();
    let plugins = ["channel", "matrix"];
    let listed: Vec<Value> =
        plugins.iter().map(|name| json!({ "name": name, "source": format!("./{name}") })).collect();
    let listed = json!({ "name": "lab", "owner": { "name": "lab" }, "plugins": listed }).to_string();
    let mut files = vec![(".claude-plugin/marketplace.json".to_owned(), listed)];
    for name in plugins {
        let program = format!("${{CLAUDE_PLUGIN_ROOT}}/{name}.py");
        let server = json!({ "command": "python3", "args": [program] });
        let plugin = json!({ "name": name, "version": "1.0.0", "mcpServers": { name: server } });
        files.push((format!("{name}/.claude-plugin/plugin.json"), plugin.to_string()));
        files.push((format!("{name}/channel.py"), read("channel.py")));
        files.push((format!("{name}/{name}.py"), read(&format!("{name}.py"))));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    container::lay_out(lab.pod(), "marketplace", &files)
}

/// What an administrator mounts so that channels of that marketplace are heard, and nothing is asked of anybody.
fn managed(lab: &Lab) -> PathBuf {
    let plugins = ["channel", "matrix"].map(|plugin| json!({ "marketplace": "lab", "plugin": plugin }));
    let settings = json!({
        "skipDangerousModePermissionPrompt": true, "channelsEnabled": true, "allowedChannelPlugins": plugins,
    });
    container::lay_out(lab.pod(), "managed", &[("managed-settings.json", &settings.to_string())])
}

/// The agent's settings with one plugin of the marketplace.
fn settings(plugin: &str) -> String {
    let from = json!({ "source": { "source": "directory", "path": "/opt/marketplace" } });
    json!({ "extraKnownMarketplaces": { "lab": from }, "enabledPlugins": { format!("{plugin}@lab"): true } })
        .to_string()
}

fn desk<'a>(office: &'a Office, name: &'static str, plugin: &str, file: &str) -> Desk<'a> {
    let (settings, places) = (settings(plugin), [format!("{name}/settings.json"), format!("{name}/agent.yaml")]);
    let desk = office.desk(name, &[(&places[0], &settings), (&places[1], file)]);
    let desk = desk.mount(marketplace(&office.lab), "/opt/marketplace");
    desk.mount(managed(&office.lab).join("managed-settings.json"), "/etc/claude-code/managed-settings.json")
}

/// The reply into the room that a message came from.
fn reply(plugin: &str, room: &str, text: &str) -> Say {
    Say::Call(format!("mcp__plugin_{plugin}_{plugin}__reply"), json!({ "room": room, "text": text }))
}

#[test]
fn a_message_of_a_channel_wakes_the_session() {
    WORLD.test(|world| {
        let office = &world.office;
        office.model.follow(Script::new(|asked| match asked {
            Asked { results, .. } if !results.is_empty() => vec![Say::Text("I have answered".into())],
            Asked { text, .. } if text.contains("<channel ") => vec![reply("channel", "dev", "here I am")],
            _ => vec![Say::Text("nobody called".into())],
        }));
        let file = "client:\n  channels: [\"plugin:channel@lab\"]\n  environment: { CHANNEL_IN: /workspace/in, \
                    CHANNEL_OUT: /workspace/out }\nlisten: 127.0.0.1:9091\n";
        let desk = desk(office, "woken", "channel", file);
        desk.set_up();
        let agent = desk.run(&[]);
        let recording = agent.record();
        agent.until_prompt();
        agent.until(TURN, "the channel", |agent| agent.container.path("/workspace/in").exists());
        let begun = Instant::now();
        let place = "echo 'are you there?' >/workspace/.in && mv /workspace/.in /workspace/in/1";
        agent.container.exec("sh").args(["-c", place]).run().success();
        let written = |agent: &Agent| fs::read_to_string(agent.container.path("/workspace/out")).unwrap_or_default();
        agent.until(TURN, "a reply", |agent| written(agent) == "dev: here I am\n");
        println!("a message of a channel was answered after {:?}", begun.elapsed());
        agent.until(TURN, "the end of the turn", |agent| agent.transcript().contains("I have answered"));
        let asked = office.model.decided().asked;
        let woken: Vec<_> = asked.iter().filter(|asked| asked.text.contains("are you there?")).collect();
        assert!(!woken.is_empty(), "{asked:?}");
        assert!(woken[0].text.contains("<channel ") && woken[0].text.contains("room=\"dev\""), "{woken:?}");
        quiet(&agent);
        recording.no_dialog();
        agent.nothing_real();
    });
}

#[test]
fn a_message_in_a_room_becomes_a_turn_an_event_and_an_answer() {
    WORLD.test(|world| {
        let (office, room) = (&world.office, world.room.clone());
        office.model.follow(Script::new(move |asked| {
            let all = asked.results.join("");
            if asked.text.contains("<channel ") {
                let event = "stubgate-agent event publish task_done --task 'sweep the lab' --summary 'it is swept'";
                vec![Say::Text("I sweep.".into()), Say::shell(&format!("{event} && echo published"))]
            } else if all.contains("published") {
                vec![reply("matrix", &room, "it is swept")]
            } else {
                vec![Say::Text("done".into())]
            }
        }));
        let consumer = |what: &str| {
            let client = world.office.lab.client(Way::Dns).python("jetstream.py", "SSL_CERT_FILE");
            client.args(["wss://bus.example/", "nats-token-stub", what]).run()
        };
        consumer("make").success();
        let file = format!(
            "client:\n  channels: [\"plugin:matrix@lab\"]\n\
             matrix:\n  homeserver: https://{HOMESERVER}\n  user: \"@bot:{HOMESERVER}\"\n  stub: matrix-token-stub\n  \
             allowed_users: [\"@person:{HOMESERVER}\"]\n  rooms: [\"{}\"]\n\
             events: {{ server: \"wss://bus.example\", stub: nats-token-stub }}\nlisten: 127.0.0.1:9091\n",
            world.room
        );
        let desk = desk(office, "sweeper", "matrix", &file);
        println!("{}", desk.set_up());
        let joined = world.members();
        assert!(joined.contains(&format!("@bot:{HOMESERVER}")), "setup did not join the room: {joined:?}");
        let agent = desk.run(&["--headless"]);
        agent.until_prompt();
        // What is said before the channel listens was said before.
        let listens = "/home/agent/.claude/channels/matrix/listening";
        agent.until(TURN, "the channel", |agent| agent.container.path(listens).exists());
        let begun = Instant::now();
        world.say("please sweep the lab");
        agent.until(TURN * 2, "the answer in the room", |_| world.said().contains(&"it is swept".to_owned()));
        println!("a message in the room was answered after {:?}", begun.elapsed());
        let taken: Value = serde_json::from_str(&consumer("take").success()).unwrap();
        println!("{taken}");
        assert!(taken["subject"].as_str().unwrap().starts_with("swarm.events."), "{taken}");
        assert!(taken["headers"]["Nats-Msg-Id"].is_string(), "{taken}");
        let event = &taken["event"];
        assert_eq!(event["type"], "task_done", "{taken}");
        assert_eq!(event["agent"], "sweeper", "{taken}");
        assert_eq!(event["task"], "sweep the lab", "{taken}");
        assert_eq!(event["summary"], "it is swept", "{taken}");
        quiet(&agent);
        agent.nothing_real();
    });
}

/// How long a turn takes at most.
const TURN: Duration = Duration::from_secs(30);

/// No dialog was met, and nobody had to answer one.
fn quiet(agent: &Agent) {
    let status = agent.status();
    for count in ["dialogs_answered", "dialogs_blocked"] {
        assert_eq!(status["session"][count], 0, "{status}");
    }
}

impl World {
    /// Says something in the room, as the person.
    fn say(&self, text: &str) {
        let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/{}", self.path(), text.len());
        let said = self.synapse.ask("PUT", &path, &self.person, &json!({ "msgtype": "m.text", "body": text }));
        assert!(said["event_id"].is_string(), "{said}");
    }

    /// What the agent's account said in the room, as the person reads it.
    fn said(&self) -> Vec<String> {
        let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=20", self.path());
        let read = self.synapse.ask("GET", &path, &self.person, &Value::Null);
        let all = read["chunk"].as_array().cloned().unwrap_or_default();
        let of_bot = all.iter().filter(|event| event["sender"] == format!("@bot:{HOMESERVER}"));
        of_bot.filter_map(|event| event["content"]["body"].as_str()).map(str::to_owned).collect()
    }

    fn members(&self) -> Vec<String> {
        let path = format!("/_matrix/client/v3/rooms/{}/joined_members", self.path());
        let read = self.synapse.ask("GET", &path, &self.person, &Value::Null);
        read["joined"].as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default()
    }

    fn path(&self) -> String {
        self.room.replace('!', "%21").replace(':', "%3A")
    }
}
