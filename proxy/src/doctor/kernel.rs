//! What this kernel, and this machine's limits, let the appliance lock itself down to. It is tried, on threads that end
//! with the try: what a running appliance has is in its `/readyz`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use rustix::process::{Resource, getrlimit};

use super::{Finding, Setting};
use crate::lockdown::{self, Part, State};

/// Kibibytes of locked memory that a few hundred credentials take.
const LOCKED_KIB: u64 = 8192;

pub(super) fn look(setting: &Setting) -> Vec<Finding> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut found = vec![Finding::ok("kernel", release.trim())];
    for (part, state) in lockdown::probe() {
        let check = match part {
            Part::Landlock => "kernel.landlock",
            _ => "kernel.seccomp",
        };
        found.push(match state {
            State::InForce(note) if note.is_empty() => Finding::ok(check, "it can be had"),
            State::InForce(note) => Finding::ok(check, note),
            State::Missing(why) => {
                let advice =
                    "docs/hardening.md says what goes without it; process.require_lockdown refuses to start without it";
                Finding::warn(check, format!("it can't be had: {why}")).advise(advice)
            }
        });
    }
    let memlock = getrlimit(Resource::Memlock);
    found.push(match memlock.maximum.or(memlock.current) {
        Some(bytes) if bytes < LOCKED_KIB * 1024 => {
            let what = format!("{} KiB of memory can be locked here", bytes / 1024);
            let advice = "raise RLIMIT_MEMLOCK of the service (LimitMEMLOCK=, or a container's ulimit): each credential takes a page or two";
            Finding::warn("kernel.memlock", what).advise(advice)
        }
        Some(bytes) => Finding::ok("kernel.memlock", format!("{} KiB of memory can be locked here", bytes / 1024)),
        None => Finding::ok("kernel.memlock", "as much memory as there is can be locked here"),
    });
    let files = getrlimit(Resource::Nofile);
    let wanted = crate::listen::descriptors_wanted(setting.config.limits.connections);
    found.push(match files.maximum {
        Some(most) if most < wanted => {
            let what = format!("{most} files can be open here, and limits.connections may need {wanted}");
            Finding::warn("kernel.open_files", what)
                .advise("raise the limit of the service (LimitNOFILE=), or lower limits.connections")
        }
        most => Finding::ok(
            "kernel.open_files",
            most.map_or("any number".to_owned(), |most| format!("{most} files can be open here")),
        ),
    });
    found.extend(source_nat(setting));
    found
}

/// Where agents' packets come through a gateway that writes its own address on them, all of them are one.
fn source_nat(setting: &Setting) -> Option<Finding> {
    let routes = fs::read_to_string("/proc/net/route").ok()?;
    let gateways = gateways(&routes);
    let policy = setting.policy()?;
    let named = gateways.iter().find_map(|gateway| {
        let agent = policy.identify(IpAddr::V4(*gateway))?;
        Some((gateway, policy.agent(agent).name()))
    });
    Some(match named {
        None => Finding::ok("identity", "no gateway of this machine is an agent"),
        Some((gateway, agent)) => {
            let what = format!(
                "the gateway {gateway} of this machine is among the sources of {agent}: whoever comes through it is that agent"
            );
            Finding::warn("identity", what).advise("name the agents' own addresses, and turn source NAT off on the way (externalTrafficPolicy: Local, no masquerade)")
        }
    })
}

/// Of `/proc/net/route`: the third field, in the processor's order of bytes.
fn gateways(routes: &str) -> Vec<Ipv4Addr> {
    let fields = routes.lines().skip(1).filter_map(|line| line.split_whitespace().nth(2));
    let numbers = fields.filter_map(|field| u32::from_str_radix(field, 16).ok()).filter(|number| *number != 0);
    numbers.map(|number| Ipv4Addr::from(number.to_ne_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_read_from_the_kernels_table() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                     eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\nodd\n";
        let expected = u32::from_str_radix("010011AC", 16).unwrap().to_ne_bytes();
        assert_eq!(gateways(table), [Ipv4Addr::from(expected)]);
        #[cfg(target_endian = "little")]
        assert_eq!(gateways(table), [Ipv4Addr::new(172, 17, 0, 1)]);
        assert!(gateways("").is_empty());
    }
}
