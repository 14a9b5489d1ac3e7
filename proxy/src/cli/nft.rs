//! `stubgate nft`.

use std::path::PathBuf;
use std::process::ExitCode;

use ipnet::IpNet;

use super::say::put;
use super::{WRONG, check, fail};
use crate::config::Config;
use crate::nft::{Doors, Fence, Interface, NoFence, Place};

/// What of the help stands below the options.
pub(super) const NOTES: &str = "\
Prints; loads nothing. As root:
  stubgate nft --config FILE --bridge NAME >RULES && nft --file RULES
Loading it again replaces it; `nft delete table inet stubgate_NAME` and `… bridge stubgate_NAME` take it away.

Exit status: 0 printed; 1 the configuration is wrong, or nothing could be let through; 2 usage, or a path that can't be read";

#[derive(Debug, clap::Args)]
pub(super) struct Nft {
    /// Configuration of the appliance, which says where it listens
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A bridge whose ports are containers; may be given several times
    #[arg(long, value_name = "NAME", required_unless_present = "interface")]
    bridge: Vec<String>,
    /// Any other interface behind which containers are, or a bridge whose ports are kept apart by other means; may be given
    /// several times
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
    /// Addresses that the containers may have; what has another one is dropped. May be given several times
    #[arg(long, value_name = "CIDR")]
    subnet: Vec<IpNet>,
    /// stubgate is itself a container on the bridge, at the addresses of `advertise`
    #[arg(long)]
    beside: bool,
}

pub(super) fn main(asked: &Nft) -> ExitCode {
    let config = match Config::read(&asked.config) {
        Ok(config) => config,
        Err(problem) => return check::refuse(&problem),
    };
    match rules(asked, &config) {
        Ok(rules) => {
            put(format_args!("{rules}"));
            ExitCode::SUCCESS
        }
        Err(error) => fail(WRONG, error),
    }
}

fn rules(asked: &Nft, config: &Config) -> Result<String, NoFence> {
    let bridges = asked.bridge.iter().map(|name| Interface::bridge(name));
    let others = asked.interface.iter().map(|name| Interface::plain(name));
    let fence = Fence {
        interfaces: bridges.chain(others).collect::<Result<_, _>>()?,
        subnets: asked.subnet.clone(),
        place: if asked.beside { Place::Bridge } else { Place::Host },
        doors: Doors::of(&config.listen, &config.advertise)?,
    };
    fence.rules()
}
