use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;

/// Listeners, as stubgate.yaml writes them.
fn listen(dns: &[&str], https: &[&str], transparent: &[&str]) -> Listen {
    let of = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
    Listen { dns: of(dns), https: of(https), transparent: of(transparent), ..Listen::default() }
}

fn advertise(addresses: &[&str]) -> Advertise {
    let mut advertise = Advertise::default();
    for address in addresses {
        match address.parse().unwrap() {
            IpAddr::V4(address) => advertise.v4.push(address),
            IpAddr::V6(address) => advertise.v6.push(address),
        }
    }
    advertise
}

fn fence(listen: &Listen, told: &[&str], place: Place, subnets: &[&str]) -> Fence {
    Fence {
        interfaces: vec![Interface::bridge("agents0").unwrap()],
        subnets: subnets.iter().map(|subnet| subnet.parse().unwrap()).collect(),
        place,
        doors: Doors::of(listen, &advertise(told)).unwrap(),
    }
}

/// Every kind of rules that there is.
fn all_kinds() -> Vec<(&'static str, String)> {
    let both = listen(&["10.42.0.1:53", "[fd42::1]:53"], &["10.42.0.1:443", "[fd42::1]:443"], &[]);
    let any = listen(&["0.0.0.0:53", "[::]:53"], &["0.0.0.0:443", "[::]:443"], &["0.0.0.0:15001", "[::]:15001"]);
    let subnets = ["10.42.0.0/24", "fd42::/64"];
    let plain = Fence {
        interfaces: vec![Interface::plain("veth-a.1").unwrap(), Interface::bridge("br-0_1").unwrap()],
        ..fence(&both, &[], Place::Host, &[])
    };
    let rules = |fence: Fence| fence.rules().unwrap();
    vec![
        ("host, both families", rules(fence(&both, &[], Place::Host, &subnets))),
        ("host, any address", rules(fence(&any, &[], Place::Host, &subnets[..1]))),
        ("host, advertised", rules(fence(&any, &["10.42.0.1"], Place::Host, &[]))),
        ("beside, both families", rules(fence(&both, &[], Place::Bridge, &subnets))),
        ("beside, advertised", rules(fence(&any, &["10.42.0.2", "fd42::2"], Place::Bridge, &[]))),
        ("two interfaces", rules(plain)),
    ]
}

#[test]
fn nft_takes_every_kind_of_rules_twice() {
    for (what, rules) in all_kinds() {
        // In a namespace of its own, so that nothing of this machine is looked at; loaded twice, so that it replaces itself.
        // A kernel without NFT_BRIDGE_META does not know of which bridge a port is; the rest of the rules is tried all the same.
        let line = "nft 'add table bridge probe; add chain bridge probe it; add rule bridge probe it meta ibrname lo' 2>/dev/null \
                    || sed -i 's/meta ibrname/iifname/' \"$0\"; nft flush ruleset; \
                    nft --check --file \"$0\" && nft --file \"$0\" && nft list ruleset >once && nft --file \"$0\" \
                    && nft list ruleset | diff once - && grep -c 'table inet stubgate_' once";
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules.nft");
        std::fs::File::create(&file).unwrap().write_all(rules.as_bytes()).unwrap();
        let run = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", "--", "sh", "-ec", line])
            .arg(&file)
            .current_dir(folder.path())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .output()
            .expect("unshare(1) of util-linux");
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.success(), "{what}: {said}{}\n{rules}", String::from_utf8_lossy(&run.stdout));
    }
}

#[test]
fn only_listeners_for_agents_are_let_through() {
    let all = Listen {
        dns: vec!["10.42.0.1:53".parse().unwrap()],
        http: vec!["10.42.0.1:80".parse().unwrap()],
        https: vec!["10.42.0.1:443".parse().unwrap()],
        proxy: vec!["10.42.0.1:3128".parse().unwrap(), "127.0.0.1:3128".parse().unwrap()],
        admin: vec!["10.42.0.1:9090".parse().unwrap()],
        ..Listen::default()
    };
    let rules = fence(&all, &[], Place::Host, &[]).rules().unwrap();
    let accepted: Vec<&str> = rules.lines().map(str::trim).filter(|line| line.contains("dport")).collect();
    assert_eq!(
        accepted,
        ["ip daddr 10.42.0.1 tcp dport { 53, 80, 443, 3128 } accept", "ip daddr 10.42.0.1 udp dport { 53 } accept"]
    );
    assert!(!rules.contains("9090") && !rules.contains("127.0.0.1") && !rules.contains("icmpv6"), "{rules}");
}

#[test]
fn any_address_is_what_is_advertised_or_the_bridges_own() {
    let any = listen(&["0.0.0.0:53"], &["0.0.0.0:443"], &[]);
    let told = fence(&any, &["10.42.0.1", "fd42::1"], Place::Host, &[]).rules().unwrap();
    assert!(told.contains("ip daddr 10.42.0.1 tcp dport { 53, 443 } accept") && !told.contains("fd42"), "{told}");
    let own = fence(&any, &[], Place::Host, &[]).rules().unwrap();
    assert!(own.contains("meta nfproto ipv4 fib daddr . iif type local tcp dport { 53, 443 } accept"), "{own}");
}

#[test]
fn every_chain_ends_by_refusing() {
    for (what, rules) in all_kinds() {
        for chain in rules.split("    chain ").skip(1) {
            let (name, body) = chain.split_once(" {\n").unwrap();
            let last = body.split("\n    }").next().unwrap().lines().last().unwrap().trim().to_owned();
            let ends = match name {
                "agents" => "counter reject with icmpx admin-prohibited",
                "forward" => "counter drop",
                // What comes by other interfaces is not ours to judge.
                "input" | "redirected" => continue,
                other => panic!("{other}"),
            };
            assert_eq!(last, ends, "{what}: {name}");
        }
    }
}

#[test]
fn what_a_container_is_without_an_address_is_refused() {
    let any = listen(&["0.0.0.0:53"], &[], &[]);
    assert_eq!(fence(&any, &[], Place::Bridge, &[]).rules(), Err(NoFence::NoAddress));
    let known = listen(&["10.42.0.2:53"], &[], &[]);
    let plain =
        Fence { interfaces: vec![Interface::plain("veth0").unwrap()], ..fence(&known, &[], Place::Bridge, &[]) };
    assert_eq!(plain.rules(), Err(NoFence::NoBridge));
    let redirected = listen(&[], &[], &["0.0.0.0:15001"]);
    assert_eq!(fence(&redirected, &[], Place::Bridge, &[]).rules(), Err(NoFence::NothingOpen));
}

#[test]
fn listeners_that_no_container_reaches_make_no_rules() {
    let nobody = Advertise::default();
    assert_eq!(Doors::of(&listen(&["127.0.0.1:53", "[::1]:53"], &[], &[]), &nobody), Err(NoFence::NothingOpen));
    assert_eq!(Doors::of(&listen(&[], &["10.42.0.1:0"], &[]), &nobody), Err(NoFence::NoPort));
}

#[test]
fn names_that_could_end_a_quote_are_no_interfaces() {
    for name in ["", "-a", ".", "..", "a b", "a\"", "a;b", "a\n", "a*", "br{0}", "0123456789abcdef", "ä"] {
        assert_eq!(Interface::bridge(name), Err(NoFence::Name(name.to_owned())));
    }
    for name in ["docker0", "br-0123456789ab", "a", "_x", "eth0.7", "0123456789abcde"] {
        assert!(Interface::plain(name).is_ok(), "{name}");
    }
}
