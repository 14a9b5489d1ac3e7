//! gRPC end to end: a real client in the pod and a real server out there, each of Python's `grpcio`, with a stub in the
//! metadata of every call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use stubgate_tests::builder::fresh_secret;
use stubgate_tests::lab::WAYS;
use stubgate_tests::origin::Grpc;
use stubgate_tests::program::Program;
use stubgate_tests::{Lab, Shared, Way};

const POLICY: &str = r#"version: 1
agents:
  pod: { sources: ["10.99.0.2/32"] }
credentials:
  calls:
    stub: proxy-token-calls
    slots: [bearer]
    hosts: [calls.example, silent.example]
    source: { file: "@SECRETS@/calls" }
rules:
  - name: calls
    agents: [pod]
    hosts: [calls.example, silent.example]
    methods: [POST]
    paths: ["/lab.Calls/*"]
    credentials: [calls]
"#;

struct World {
    lab: Lab,
    calls: Grpc,
}

impl AsRef<Lab> for World {
    fn as_ref(&self) -> &Lab {
        &self.lab
    }
}

static WORLD: Shared<World> = Shared::new(|| {
    let secret = fresh_secret("calls");
    let calls = Grpc::calls("calls.example", &secret);
    let builder = Lab::new().origin(calls.clone()).credential("calls", &secret).policy(POLICY).without_capture();
    // Short enough for a test, long enough for all that is not about them.
    let builder = builder.configuration("timeouts: { upstream_header_seconds: 5, body_idle_seconds: 5 }\n");
    World { lab: builder.start(), calls }
});

impl World {
    fn client(&self, way: Way, call: &str) -> Program {
        let client = self.lab.client(way);
        let program = client.python("grpc_calls.py", "GRPC_BUNDLE").env("GRPC_DNS_RESOLVER", "native");
        program.args(["calls.example", &client.token("calls"), call])
    }

    /// What a call comes to, by each way.
    #[track_caller]
    fn says(&self, call: &str, expected: &str) {
        for way in WAYS {
            let said = self.client(way, call).run().success();
            assert_eq!(said.trim(), expected, "{call} by {way:?}");
        }
    }
}

#[test]
fn a_call_is_answered_with_the_credential_swapped_in() {
    WORLD.test(|world| {
        world.says("unary", "hello");
        // Without the swap it is not.
        let wrong =
            world.lab.client(Way::Dns).python("grpc_calls.py", "GRPC_BUNDLE").env("GRPC_DNS_RESOLVER", "native");
        let said = wrong.args(["calls.example", "proxy-token-other", "unary"]).run().success();
        assert!(said.starts_with("PERMISSION_DENIED | stubgate: "), "a foreign credential: {said}");
    });
}

#[test]
fn messages_of_20_mib_pass() {
    WORLD.test(|world| world.says("large", "True"));
}

#[test]
fn a_thousand_calls_share_a_connection() {
    WORLD.test(|world| world.says("many", "True"));
}

#[test]
fn deadlines_travel() {
    WORLD.test(|world| {
        world.says("deadline", "True");
        world.says("no-deadline", "none");
    });
}

#[test]
fn servers_stream() {
    WORLD.test(|world| world.says("server-stream", "10000"));
}

#[test]
fn clients_stream() {
    WORLD.test(|world| world.says("client-stream", "10000000"));
}

#[test]
fn both_stream_in_turns_and_at_once() {
    WORLD.test(|world| world.says("bidi", "(100, 32768000)"));
}

#[test]
fn a_status_comes_back_with_its_details_and_trailers() {
    WORLD.test(|world| world.says("fail", "NOT_FOUND | no such thing | 42"));
}

#[test]
fn a_status_before_the_requests_have_ended_comes_back() {
    WORLD.test(|world| world.says("early", "RESOURCE_EXHAUSTED | enough |"));
}

#[test]
fn a_call_that_is_given_up_is_given_up_at_the_origin_and_harms_no_other() {
    WORLD.test(|world| {
        for way in WAYS {
            let before = world.calls.given_up();
            assert_eq!(world.client(way, "give-up").run().success().trim(), "hello");
            world.lab.appliance().until("the origin hears of it", || world.calls.given_up() > before);
            let said = world.client(way, "silent").run().success();
            assert!(said.starts_with("DEADLINE_EXCEEDED"), "the client's own deadline: {said}");
            world.lab.appliance().until("the origin hears of that", || world.calls.given_up() > before + 1);
        }
    });
}

/// In metadata before and after the message, and in the message.
#[test]
fn what_a_server_shows_of_the_credential_is_the_stub() {
    WORLD.test(|world| {
        let length = world.lab.secret("calls").len();
        let shown = format!("Bearer {:*<length$}", "proxy-token-calls");
        world.says("reflect", &format!("('{shown}', '{shown} and {shown}', '{shown}')"));
    });
}

/// Its answer is a status, since a client would take an HTTP status for a broken server.
#[test]
fn our_own_deadlines_are_told_as_deadline_exceeded() {
    WORLD.test(|world| {
        let before = world.calls.given_up();
        world.says("wait", "DEADLINE_EXCEEDED | stubgate: the host took too long |");
        world.says("stalls", "DEADLINE_EXCEEDED | stubgate: the host took too long |");
        world.lab.appliance().until("the origin hears of it", || world.calls.given_up() >= before + 4);
    });
}

#[test]
fn refusals_are_told_as_a_status() {
    WORLD.test(|world| {
        world.says("elsewhere", "PERMISSION_DENIED | stubgate: policy does not allow this path; don't retry |");
        // Nothing listens there.
        world.lab.names().set("silent.example", &[[20, 0, 255, 1].into()]);
        let client = world.lab.client(Way::Dns);
        let program = client.python("grpc_calls.py", "GRPC_BUNDLE").env("GRPC_DNS_RESOLVER", "native");
        let said = program.args(["silent.example", &client.token("calls"), "unary"]).run().success();
        assert!(said.starts_with("UNAVAILABLE | stubgate: "), "{said}");
    });
}

#[test]
fn a_call_under_way_is_ended_with_a_status_when_policy_takes_it_away() {
    WORLD.test(|world| {
        let running = world.client(Way::Dns, "drip").spawn();
        assert_eq!(running.line(Duration::from_secs(10)).as_deref(), Some("drop"), "{}", running.errors());
        world.lab.appliance().policy(&POLICY.replace("/lab.Calls/*", "/lab.Calls/Unary"));
        let mut last = String::new();
        while let Some(line) = running.line(Duration::from_secs(10)) {
            last = line;
        }
        world.lab.appliance().policy(POLICY);
        assert_eq!(last.trim(), "PERMISSION_DENIED | stubgate: policy no longer allows this |");
    });
}
