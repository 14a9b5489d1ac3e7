//! `stubgate credential status|test`.

mod status;
mod table;
mod test;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Credential {
    /// Say how each credential of the running appliance stands: its state, its end, what failed
    #[command(after_help = STATUS_NOTES)]
    Status(Status),
    /// Try a credential once where it is known to be taken, and say what the answer means
    #[command(after_help = TEST_NOTES)]
    Test(Test),
}

#[derive(Debug, clap::Args)]
pub(super) struct Status {
    /// Configuration of the appliance, which says where its admin endpoint is
    #[arg(long, value_name = "FILE", default_value = "/etc/stubgate/stubgate.yaml")]
    config: PathBuf,
    /// The admin endpoint, instead of the configuration's
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
    /// JSON, as the admin endpoint gives it
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Test {
    /// The credential, as policy names it
    #[arg(value_name = "NAME")]
    name: String,
    /// Configuration of the appliance, which says where policy is and how origins are reached
    #[arg(long, value_name = "FILE", default_value = "/etc/stubgate/stubgate.yaml")]
    config: PathBuf,
}

const STATUS_NOTES: &str = "\
Exit status: 0 each credential has the value that its source gave; 1 one has none, or one that its source no longer gives, or \
there is no usable policy; 2 usage, or no appliance answers";

const TEST_NOTES: &str = "\
The value is read from its source as the appliance reads it, once, and sent to the credential's check (policy: `check:`; some \
services are known), over verified TLS, by the appliance's own rules for addresses. Of the answer only the status is looked at. A \
login in escrow is never refreshed by this.

Exit status: 0 the answer is the one expected; 1 it is another, or there is none; 2 usage, or a path that can't be read";

pub(super) fn main(command: &Credential) -> ExitCode {
    match command {
        Credential::Status(asked) => status::main(asked),
        Credential::Test(asked) => test::main(asked),
    }
}
