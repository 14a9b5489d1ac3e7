//! An appliance for one agent, on listeners that were opened inside of its sandbox: who connects is that agent, whatever address
//! the connection comes from.

use std::sync::Arc;

use anyhow::Context;
use stubgate_dns::DnsServer;
use stubgate_sandbox::{ADDRESS, Listeners};

use super::sockets::{Sockets, dns_config};
use super::{Started, start_on, zones};
use crate::client::Stamp;
use crate::config::Config;
use crate::metrics::Listener;

/// The only agent that has listeners.
const FIRST: u16 = 0;

/// As [`super::start`], on these listeners and no others: `listen` is not looked at.
///
/// # Errors
/// What could not be opened, by name.
pub fn start_for(mut config: Config, agent: &str, listeners: Listeners) -> anyhow::Result<Started> {
    config.advertise.v4 = vec![ADDRESS];
    config.advertise.v6 = Vec::new();
    let Listeners { dns_udp, dns_tcp, http, https, proxy } = listeners;
    let names = dns_config(&config, zones(&config));
    let names = DnsServer::given(names, dns_udp, dns_tcp).context("DNS of the sandbox")?;
    let agents = vec![(Listener::Http, http), (Listener::Https, https), (Listener::Proxy, proxy)];
    let stamp = Some(Stamp::Listener(FIRST));
    let sockets = Sockets { agents, admin: Vec::new(), dns: Some(names.stamped(FIRST)), all_handed: false, stamp };
    start_on(config, sockets, vec![Arc::from(agent)])
}
