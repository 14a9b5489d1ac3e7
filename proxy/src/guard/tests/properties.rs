use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::{authority, ip, plain};

/// Written down apart from the tables under test, as first and last address, from IANA's registries.
const NOT_PUBLIC_V4: [(&str, &str); 16] = [
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("168.63.129.16", "168.63.129.16"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.88.99.0", "192.88.99.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("224.0.0.0", "239.255.255.255"),
    ("240.0.0.0", "255.255.255.255"),
];

const NOT_PUBLIC_V6: [(&str, &str); 7] = [
    ("::", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("64:ff9b::1:0:0", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
];

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4
            .iter()
            .any(|(first, last)| (first.parse::<Ipv4Addr>().unwrap()..=last.parse().unwrap()).contains(&address)),
        IpAddr::V6(address) => !NOT_PUBLIC_V6
            .iter()
            .any(|(first, last)| (first.parse::<Ipv6Addr>().unwrap()..=last.parse().unwrap()).contains(&address)),
    }
}

/// Addresses near the borders of ranges and inside embeddings, where mistakes are; and anything.
fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = prop_oneof![
        any::<u32>().prop_map(Ipv4Addr::from),
        (proptest::sample::select(&NOT_PUBLIC_V4[..]), any::<bool>(), -2i64..3).prop_map(|(range, end, step)| {
            let edge: Ipv4Addr = if end { range.1 } else { range.0 }.parse().unwrap();
            let moved = i64::from(u32::from(edge)) + step;
            Ipv4Addr::from(u32::try_from(moved.clamp(0, i64::from(u32::MAX))).unwrap())
        }),
    ];
    let prefix = proptest::sample::select(vec![
        "::",
        "::ffff:0:0",
        "::ffff:0:0:0",
        "64:ff9b::",
        "64:ff9b:1::",
        "2a00::5efe:0:0",
        "2a00::200:5efe:0:0",
        "fe80::5efe:0:0",
        "fd00::5efe:0:0",
        "2002::",
        "2001::",
        "2600::",
    ]);
    prop_oneof![
        v4.clone().prop_map(IpAddr::V4),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
        any::<u128>().prop_map(|bits| IpAddr::V6((bits >> 3 | 1 << 125).into())),
        (prefix, v4).prop_map(|(prefix, v4)| {
            let prefix = u128::from(prefix.parse::<Ipv6Addr>().unwrap());
            IpAddr::V6((prefix | u128::from(u32::from(v4))).into())
        }),
        (proptest::sample::select(&NOT_PUBLIC_V6[..]), any::<bool>(), 0u128..3).prop_map(|(range, end, step)| {
            let edge = u128::from(if end { range.1 } else { range.0 }.parse::<Ipv6Addr>().unwrap());
            IpAddr::V6(if end { edge.saturating_add(step) } else { edge.saturating_sub(step) }.into())
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn nothing_vetted_is_in_a_special_range(address in address()) {
        if let Ok(vetted) = plain().vet(&authority("api.github.com"), &[address]) {
            for vetted in vetted {
                let dialled = vetted.get().ip();
                prop_assert!(is_public(dialled), "{dialled}");
                prop_assert_eq!(dialled.to_canonical(), dialled);
                if let IpAddr::V6(v6) = dialled {
                    let segments = v6.segments();
                    let embeds = segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0]
                        || segments[5] == 0x5efe && matches!(segments[4], 0 | 0x100 | 0x200 | 0x300);
                    let tail = Ipv4Addr::from(u32::from(segments[6]) << 16 | u32::from(segments[7]));
                    prop_assert!(!embeds || is_public(tail.into()), "{dialled}");
                }
            }
        }
    }

    #[test]
    fn plain_public_addresses_are_not_refused(address in any::<u32>().prop_map(Ipv4Addr::from)) {
        let address = IpAddr::V4(address);
        let own = address == ip("198.41.0.4");
        let vetted = plain().vet(&authority("api.github.com"), &[address]).is_ok();
        prop_assert_eq!(vetted, is_public(address) && !own);
    }
}
