//! Asked by dig, as people do.

use std::process::Command;

use crate::setup::{DEVBOT, Origin, STRANGER, Server, answer, forwarding};

fn dig(server: &Server, from: std::net::Ipv4Addr, arguments: &[&str]) -> String {
    let port = server.at.port().to_string();
    let from = from.to_string();
    let output = Command::new("dig")
        .args(["@127.0.0.1", "-p", &port, "-b", &from, "+tries=1", "+timeout=5"])
        .args(arguments)
        .output()
        .expect("these tests need dig (bind9-dnsutils)");
    String::from_utf8(output.stdout).unwrap()
}

fn server() -> Server {
    let origin = Origin::start(|_, asked| vec![answer(asked, &["10.42.0.7"], 5).to_vec().unwrap()]);
    Server::start(forwarding(&[origin.at]))
}

#[test]
fn dig_gets_our_address_over_udp_and_tcp() {
    let server = server();
    for transport in ["+notcp", "+tcp"] {
        for edns in ["+edns", "+noedns"] {
            assert_eq!(dig(&server, DEVBOT, &["+short", transport, edns, "API.github.com", "A"]), "192.0.2.53\n");
        }
        assert_eq!(dig(&server, DEVBOT, &["+short", transport, "api.github.com", "AAAA"]), "2001:db8::53\n");
        assert_eq!(dig(&server, DEVBOT, &["+short", transport, "db.ns.svc.cluster.local"]), "10.42.0.7\n");
    }
}

#[test]
fn dig_shows_why_a_name_is_denied_without_a_warning() {
    let text = dig(&server(), DEVBOT, &["evil.test"]);
    assert!(text.contains("status: NXDOMAIN"), "{text}");
    assert!(text.contains("EDE: 15 (Blocked): (not allowed by policy)"), "{text}");
    assert!(text.contains("SOA"), "{text}");
    assert!(!text.contains("WARNING") && !text.contains("malformed"), "{text}");
    let text = dig(&server(), STRANGER, &["api.github.com"]);
    assert!(text.contains("status: REFUSED") && text.contains("EDE: 18 (Prohibited)"), "{text}");
}

#[test]
fn dig_reads_every_kind_of_answer_without_a_warning() {
    let server = server();
    for (arguments, status) in [
        (&["api.github.com", "HTTPS"][..], "NOERROR"),
        (&["api.github.com", "TXT"], "NOERROR"),
        (&["api.github.com", "ANY", "+notcp"], "NOERROR"),
        (&["github.com", "A"], "NOERROR"),
        (&[".", "NS"], "NOERROR"),
        (&["-x", "10.0.0.1"], "NXDOMAIN"),
        (&["api.github.com", "CH", "TXT"], "REFUSED"),
        (&["api.github.com", "+opcode=NOTIFY", "+noedns"], "NOTIMP"),
        (&["api.github.com", "+edns=1", "+noednsneg"], "BADVERS"),
        (&["api.github.com", "+ednsopt=100:00112233", "+padding=128", "+nsid", "+subnet=192.0.2.0/24"], "NOERROR"),
        (&["api.github.com", "+bufsize=65535"], "NOERROR"),
    ] {
        let text = dig(&server, DEVBOT, arguments);
        assert!(text.contains(&format!("status: {status}")), "{arguments:?}: {text}");
        assert!(!text.contains("WARNING") && !text.contains("malformed"), "{arguments:?}: {text}");
    }
    let text = dig(&server, DEVBOT, &["api.github.com", "AXFR"]);
    assert!(text.contains("Transfer failed"), "{text}");
}
