//! One authority for every request, one framing for every message: what tries to be two things at
//! once, from either side, does not pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stubgate_tests::lab::{EVERY_WAY, TUNNELS};
use stubgate_tests::wire::{self, Wire};
use stubgate_tests::{Shared, Way, World};

static WORLD: Shared<World> = Shared::new(World::standard);

#[test]
fn a_host_is_the_one_of_the_server_name() {
    WORLD.test(|world| {
        world.forget();
        world.lab.nobody_is_called(|| {
            // Another port is another authority of the same name: no rule grants it.
            let odd = [
                ("api.github.com", 421),
                ("forbidden.example", 421),
                ("other.example:8443", 403),
                ("other.example@forbidden.example", 400),
            ];
            for (way, (host, status)) in EVERY_WAY.into_iter().flat_map(|way| odd.map(|odd| (way, odd))) {
                let mut wire = Wire::by(&world.lab, way, "other.example", "other.example").expect("an allowed name");
                wire.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
                let reply = wire.reply().expect("an answer");
                // A tunnel has its port already.
                let status = if way.is_tunnel() && status == 403 { 421 } else { status };
                assert_eq!(reply.status, status, "{way:?} {host}: {}", reply.head);
            }
            let answers = wire::h2(
                &world.lab,
                "other.example",
                &[("api.github.com", "/user"), ("forbidden.example", "/")],
                &[("authorization", "Bearer proxy-token-github")],
            );
            for answer in answers {
                assert_eq!(answer.expect("an answer").0, 421);
            }
            // Inside a tunnel its target binds too.
            for way in TUNNELS {
                assert!(Wire::by(&world.lab, way, "other.example", "api.github.com").is_err(), "{way:?}");
            }
        });
        assert_eq!(world.api.memory.recall().connections, 0);
    });
}

#[test]
fn a_second_request_on_a_connection_is_for_the_same_host() {
    WORLD.test(|world| {
        world.forget();
        for way in EVERY_WAY {
            let mut wire = Wire::by(&world.lab, way, "other.example", "other.example").expect("an allowed name");
            wire.send("GET /one HTTP/1.1\r\nHost: other.example\r\n\r\n");
            assert_eq!(wire.reply().expect("an answer").status, 200);
            wire.send(
                "GET /user HTTP/1.1\r\nHost: api.github.com\r\n\
                 Authorization: Bearer proxy-token-github\r\n\r\n",
            );
            assert_eq!(wire.reply().expect("an answer").status, 421);
        }
        let h2 = wire::h2(
            &world.lab,
            "other.example",
            &[("other.example", "/one"), ("api.github.com", "/user"), ("other.example", "/two")],
            &[],
        );
        let statuses: Vec<_> = h2.into_iter().map(|answer| answer.expect("an answer").0).collect();
        assert_eq!(statuses, [200, 421, 200]);
        // Both in one write: the second is decided by itself.
        let mut wire = Wire::tls(&world.lab, "other.example").expect("an allowed name");
        wire.send(
            "GET /one HTTP/1.1\r\nHost: other.example\r\n\r\n\
             GET /two HTTP/1.1\r\nHost: forbidden.example\r\n\r\n",
        );
        assert_eq!(wire.reply().expect("an answer").status, 200);
        assert_eq!(wire.reply().expect("an answer").status, 421);
        assert_eq!(world.api.memory.recall().connections, 0);
        assert_eq!(world.forbidden.memory.recall().connections, 0);
    });
}

#[test]
fn an_absolute_target_and_host_agree() {
    WORLD.test(|world| {
        world.lab.nobody_is_called(|| {
            let mut wire = Wire::plain(&world.lab, 3128);
            wire.send("GET http://other.example/ HTTP/1.1\r\nHost: forbidden.example\r\n\r\n");
            let reply = wire.reply().expect("an answer");
            assert!([400, 421].contains(&reply.status), "{}", reply.head);
            let mut wire = Wire::plain(&world.lab, 3128);
            wire.send("CONNECT other.example:443 HTTP/1.1\r\nHost: forbidden.example:443\r\n\r\n");
            let reply = wire.reply().expect("an answer");
            assert!([400, 421].contains(&reply.status), "{}", reply.head);
        });
    });
}

#[test]
fn an_upgrade_that_is_answered_200_is_no_tunnel() {
    WORLD.test(|world| {
        let paths = ["/upgrade-200", "/upgrade-wrong-accept"];
        for (way, path) in EVERY_WAY.into_iter().flat_map(|way| paths.map(|path| (way, path))) {
            world.forget();
            let mut wire = Wire::by(&world.lab, way, "hostile.example", "hostile.example").expect("an allowed name");
            wire.send(format!(
                "GET {path} HTTP/1.1\r\nHost: hostile.example\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ));
            let reply = wire.reply().expect("an answer");
            assert_ne!(reply.status, 101, "{path}: {}", reply.head);
            // What would be the tunnel's bytes, and what would be a request behind it.
            wire.send("TUNNELLED-BYTES\r\n\r\n");
            wire.send("GET /user HTTP/1.1\r\nHost: api.github.com\r\n\r\n");
            wire.rest().ok();
            assert!(world.hostile.memory.saw(path), "{path} never arrived");
            assert!(!world.hostile.memory.saw("TUNNELLED-BYTES"), "{path}");
            assert!(!world.hostile.memory.saw("api.github.com"), "{path}");
        }
    });
}

#[test]
fn an_upgrade_to_anything_but_websocket_is_refused() {
    WORLD.test(|world| {
        world.forget();
        let upgrades = ["h2c", "foo", "TLS/1.0", "websocket, foo"];
        for (way, upgrade) in EVERY_WAY.into_iter().flat_map(|way| upgrades.map(|upgrade| (way, upgrade))) {
            let mut wire = Wire::by(&world.lab, way, "hostile.example", "hostile.example").expect("an allowed name");
            wire.send(format!(
                "GET /plain HTTP/1.1\r\nHost: hostile.example\r\nConnection: Upgrade\r\n\
                 Upgrade: {upgrade}\r\n\r\n"
            ));
            let reply = wire.reply().expect("an answer");
            assert_ne!(reply.status, 101, "{upgrade}");
            assert!(!world.hostile.memory.saw(&format!("pgrade: {upgrade}")), "{upgrade} arrived");
        }
    });
}

#[test]
fn a_length_beside_a_transfer_coding_does_not_pass() {
    WORLD.test(|world| {
        world.forget();
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: other.example\r\n\r\n";
        let both = [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: +5",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding : chunked",
            "Content-Length : 5",
        ];
        world.lab.nobody_is_called(|| {
            for (way, framing) in EVERY_WAY.into_iter().flat_map(|way| both.map(|framing| (way, framing))) {
                let mut wire = Wire::by(&world.lab, way, "other.example", "other.example").expect("an allowed name");
                wire.send(format!("POST /a HTTP/1.1\r\nHost: other.example\r\n{framing}\r\n\r\n0\r\n\r\n{smuggled}"));
                let reply = wire.reply().expect("an answer");
                assert!([400, 501].contains(&reply.status), "{way:?} {framing}: {}", reply.head);
                let rest = wire.rest().expect("the end of the connection");
                assert!(rest.is_empty(), "{framing}: answered again: {rest:?}");
            }
        });
        assert!(!world.other.memory.saw("/smuggled"));
    });
}

#[test]
fn an_answer_that_breaks_the_framing_poisons_nobody() {
    WORLD.test(|world| {
        for path in ["/cl-and-te", "/two-lengths", "/extra", "/unasked-101", "/split"] {
            let mut wire = Wire::tls(&world.lab, "hostile.example").expect("an allowed name");
            wire.send(format!("GET {path} HTTP/1.1\r\nHost: hostile.example\r\n\r\n"));
            if let Ok(reply) = wire.reply() {
                assert_ne!(reply.status, 101, "{path}: {}", reply.head);
                assert!(!reply.head.to_lowercase().contains("\nx-injected"), "{path}: {}", reply.head);
                let text = reply.text();
                assert!(!text.contains("POISONED") && !text.contains("SMUGGLE"), "{path}: {text}");
            }
            // The next one, who may get a pooled connection, gets its own answer.
            let mut next = Wire::tls(&world.lab, "hostile.example").expect("an allowed name");
            next.send("GET /next HTTP/1.1\r\nHost: hostile.example\r\n\r\n");
            assert_eq!(next.reply().expect("an answer").text(), "fine", "after {path}");
        }
        for path in ["/bad-chunk", "/cut-short"] {
            let client = world.lab.client(Way::Dns);
            let url = format!("https://hostile.example{path}");
            client.curl().args(["--http1.1", &url]).run().failure();
            client.curl().args(["--http2", &url]).run().failure();
        }
    });
}
