use std::net::IpAddr;

use stubgate_policy::{Authority, Host, Scheme};

use super::*;

fn authority(text: &str) -> Authority {
    Authority::parse(Scheme::Https, text.as_bytes()).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

fn plain() -> Guard {
    Guard::new(ips(&["203.0.113.9", "198.41.0.4", "2600::9"]), Vec::new(), [])
}

/// Grants everything that can be granted, to `corp.example`.
fn generous() -> Guard {
    let networks = PRIVATE_V4.iter().copied().map(IpNet::V4).chain(PRIVATE_V6.iter().copied().map(IpNet::V6)).collect();
    let grant = PrivateGrant { hosts: vec![Host::parse(b"corp.example").unwrap()], networks };
    Guard::new(ips(&["10.9.9.9", "fd00::9"]), vec![grant], [])
}

fn outcome(guard: &Guard, host: &str, addresses: &[&str]) -> String {
    match guard.vet(&authority(host), &ips(addresses)) {
        Ok(vetted) => vetted.iter().map(|address| address.get().ip().to_string()).collect::<Vec<_>>().join(" "),
        Err(denial) => denial.why.as_str().to_owned(),
    }
}

#[test]
fn dials_global_unicast() {
    for address in ["140.82.121.4", "1.1.1.1", "8.8.8.8", "2606:50c0:8000::153", "2a00:1450:4001::200e", "2400::1"] {
        assert_eq!(outcome(&plain(), "api.github.com", &[address]), address);
    }
}

#[test]
fn dials_the_port_of_the_authority() {
    let vetted = plain().vet(&authority("api.github.com:8443"), &ips(&["1.1.1.1", "2400::1"])).unwrap();
    let dialled: Vec<String> = vetted.iter().map(ToString::to_string).collect();
    assert_eq!(dialled, ["1.1.1.1:8443", "[2400::1]:8443"]);
}

#[test]
fn ip01_ip02_refuses_this_machine_in_every_spelling() {
    for address in ["127.0.0.1", "127.255.255.254", "::1", "0.0.0.0", "0.1.2.3", "::"] {
        assert_eq!(outcome(&plain(), "api.github.com", &[address]), "special_address", "{address}");
        assert_eq!(outcome(&generous(), "corp.example", &[address]), "special_address", "{address}");
    }
}

#[test]
fn ip03_refuses_metadata_services_also_under_a_grant() {
    for address in [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
        "::ffff:100.100.100.200",
        "64:ff9b::169.254.169.254",
        "64:ff9b::168.63.129.16",
    ] {
        for guard in [plain(), generous()] {
            assert_eq!(outcome(&guard, "corp.example", &[address]), "metadata_address", "{address}");
        }
    }
}

#[test]
fn ip04_unwraps_every_form_of_ipv4_in_ipv6() {
    for (address, expected) in [
        // mapped: dialled as what it is
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("::ffff:127.0.0.1", "special_address"),
        ("::ffff:10.0.0.1", "private_address"),
        // compatible
        ("::127.0.0.1", "special_address"),
        ("::8.8.8.8", "special_address"),
        // translated (RFC 2765)
        ("::ffff:0:127.0.0.1", "special_address"),
        ("::ffff:0:8.8.8.8", "special_address"),
        // NAT64
        ("64:ff9b::8.8.8.8", "64:ff9b::808:808"),
        ("64:ff9b::127.0.0.1", "special_address"),
        ("64:ff9b::10.0.0.1", "special_address"),
        ("64:ff9b::0.0.0.0", "special_address"),
        ("64:ff9b:1::8.8.8.8", "special_address"),
        ("64:ff9b:1:7f00:0:100::", "special_address"),
        // 6to4
        ("2002:7f00:1::", "special_address"),
        ("2002:808:808::1", "special_address"),
        // Teredo
        ("2001::1", "special_address"),
        ("2001:0:808:808:0:0:80ff:fffe", "special_address"),
        // ISATAP, with and without the universal bit
        ("2a00:1450::5efe:10.0.0.1", "special_address"),
        ("2a00:1450::200:5efe:10.0.0.1", "special_address"),
        ("2a00:1450::100:5efe:127.0.0.1", "special_address"),
        ("2a00:1450::5efe:169.254.169.254", "metadata_address"),
        ("2a00:1450::200:5efe:8.8.8.8", "2a00:1450::200:5efe:808:808"),
        ("fe80::5efe:8.8.8.8", "special_address"),
    ] {
        assert_eq!(outcome(&plain(), "api.github.com", &[address]), expected, "{address}");
    }
}

#[test]
fn no_grant_reaches_a_private_address_in_disguise() {
    for address in
        ["64:ff9b::10.0.0.1", "fd00::5efe:10.0.0.1", "2002:a00:1::1", "2a00:1450::5efe:10.0.0.1", "::10.0.0.1"]
    {
        assert_eq!(outcome(&generous(), "corp.example", &[address]), "special_address", "{address}");
    }
    assert_eq!(outcome(&generous(), "corp.example", &["::ffff:10.0.0.1"]), "10.0.0.1", "mapped is plain IPv4");
}

#[test]
fn ip06_refuses_ranges_that_are_not_public() {
    for address in [
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.254",
        "192.168.1.1",
        "100.64.0.1",
        "100.127.255.254",
        "198.18.0.1",
        "198.19.255.254",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "fc00::1",
        "fdff::1",
        "2001:db8::1",
        "3fff::1",
    ] {
        assert_eq!(outcome(&plain(), "api.github.com", &[address]), "private_address", "{address}");
        assert_eq!(outcome(&generous(), "api.github.com", &[address]), "private_address", "{address}: another host");
        assert_eq!(outcome(&generous(), "corp.example", &[address]), address);
    }
    for address in [
        "169.254.1.1",
        "192.0.0.1",
        "192.88.99.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "100::1",
        "100:0:0:1::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:1ff::1",
        "5f00::1",
        "4000::1",
        "1::1",
        "e000::1",
    ] {
        for guard in [plain(), generous()] {
            assert_eq!(outcome(&guard, "corp.example", &[address]), "special_address", "{address}");
        }
    }
}

#[test]
fn a_grant_needs_host_and_network() {
    let grant = PrivateGrant {
        hosts: vec![Host::parse(b"registry.corp.example").unwrap(), Host::parse(b"10.1.2.9").unwrap()],
        networks: vec!["10.1.2.0/24".parse().unwrap()],
    };
    let guard = Guard::new(Vec::new(), vec![grant], []);
    for (host, address, expected) in [
        ("registry.corp.example", "10.1.2.3", "10.1.2.3"),
        ("registry.corp.example:5000", "10.1.2.3", "10.1.2.3"),
        ("10.1.2.9:8006", "10.1.2.9", "10.1.2.9"),
        ("registry.corp.example", "10.1.3.3", "private_address"),
        ("registry.corp.example", "192.168.0.1", "private_address"),
        ("x.registry.corp.example", "10.1.2.3", "private_address"),
        ("corp.example", "10.1.2.3", "private_address"),
        ("10.1.2.8:8006", "10.1.2.8", "private_address"),
    ] {
        assert_eq!(outcome(&guard, host, &[address]), expected, "{host} {address}");
    }
}

#[test]
fn ip12_refuses_own_addresses_also_under_a_grant_and_in_disguise() {
    for address in ["198.41.0.4", "2600::9", "::ffff:198.41.0.4", "64:ff9b::198.41.0.4", "2a00::5efe:198.41.0.4"] {
        assert_eq!(outcome(&plain(), "api.github.com", &[address]), "own_address", "{address}");
    }
    for address in ["10.9.9.9", "fd00::9", "::ffff:10.9.9.9"] {
        assert_eq!(outcome(&generous(), "corp.example", &[address]), "own_address", "{address}");
    }
}

#[test]
fn own_addresses_are_unmapped_first() {
    let guard = Guard::new(ips(&["::ffff:198.41.0.4"]), Vec::new(), []);
    assert_eq!(outcome(&guard, "api.github.com", &["198.41.0.4"]), "own_address");
}

#[test]
fn dn09_one_bad_address_refuses_the_name() {
    for answer in [
        &["8.8.8.8", "127.0.0.1"][..],
        &["127.0.0.1", "8.8.8.8"],
        &["8.8.8.8", "1.1.1.1", "fe80::1"],
        &["2400::1", "::ffff:127.0.0.1"],
    ] {
        assert_eq!(outcome(&plain(), "api.github.com", answer), "special_address", "{answer:?}");
    }
    assert_eq!(outcome(&plain(), "api.github.com", &[]), "no_address");
    assert_eq!(outcome(&plain(), "api.github.com", &["8.8.8.8", "1.1.1.1"]), "8.8.8.8 1.1.1.1");
}

#[test]
fn connect_to_is_dialled_as_it_is_for_exactly_that_host_and_port() {
    let key = (Host::parse(b"api.github.com").unwrap(), 443);
    let guard = Guard::new(ips(&["127.0.0.1"]), Vec::new(), [(key, "127.0.0.1:8443".parse().unwrap())]);
    let target = authority("api.github.com");
    let expected: SocketAddr = "127.0.0.1:8443".parse().unwrap();
    assert_eq!(guard.fixed(&target).map(VettedAddr::get), Some(expected));
    for resolved in [&["8.8.8.8"][..], &["10.0.0.1"], &[]] {
        let vetted = guard.vet(&target, &ips(resolved)).unwrap();
        assert_eq!(vetted.iter().map(|address| address.get()).collect::<Vec<_>>(), [expected]);
    }
    for other in ["api.github.com:8443", "github.com"] {
        assert_eq!(guard.fixed(&authority(other)), None);
        assert_eq!(outcome(&guard, other, &["127.0.0.1"]), "own_address");
    }
}

#[test]
fn grants_can_name_parts_of_private_ranges_only() {
    for (network, expected) in [
        ("10.1.2.0/24", Some("10.0.0.0/8")),
        ("10.0.0.0/8", Some("10.0.0.0/8")),
        ("fd12::/16", Some("fc00::/7")),
        ("0.0.0.0/0", None),
        ("8.0.0.0/7", None),
        ("8.8.8.0/24", None),
        ("127.0.0.0/8", None),
        ("169.254.0.0/16", None),
        ("::/0", None),
        ("::1/128", None),
    ] {
        let range = private_range(&network.parse().unwrap()).map(|range| range.to_string());
        assert_eq!(range.as_deref(), expected, "{network}");
    }
}

mod properties;
