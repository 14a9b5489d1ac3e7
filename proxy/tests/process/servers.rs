//! A server of secrets beside the real program: the double of the tests of attacks, in a runtime of its own.

#[path = "../attacks/servers/asked.rs"]
#[allow(dead_code, reason = "shared with tests that ask for more of it")]
mod asked;
#[path = "../attacks/servers/double.rs"]
#[allow(dead_code, reason = "shared with tests that ask for more of it")]
mod double;
#[path = "../attacks/servers/vault.rs"]
#[allow(dead_code, reason = "shared with tests that ask for more of it")]
mod vault;

use std::fs;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::site::Site;
use double::{Authority, Double};
use vault::Vault;

/// A Vault that runs until this is dropped.
pub(crate) struct Server {
    _runtime: Runtime,
    vault: Vault,
    double: Double,
}

impl Server {
    /// A Vault with this value, from which the site's credential comes, asked for it every second.
    pub(crate) fn vault(site: &Site, value: &str) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (authority, vault) = (Authority::new(), Vault::default());
        let answering = vault.clone();
        let serving = authority.serve("vault.example.test", move |asked| answering.answer(asked));
        let double = runtime.block_on(serving);
        vault.state().value = value.to_owned();
        // Short enough to be renewed at each question that finds it a second old.
        vault.state().lease = Duration::from_secs(300);
        site.trust(&authority.pem(), "vault.example.test:8200", double.address);
        for (name, content) in [("role", "role-of-the-appliance\n"), ("secret", "secret-of-the-appliance\n")] {
            fs::write(site.path("secrets").join(name), content).unwrap();
        }
        let secrets = site.path("secrets").display().to_string();
        site.write_source(&format!(
            "{{ vault: {{ address: \"https://vault.example.test:8200\", namespace: team, path: agents/api, key: token, \
             auth: {{ approle: {{ role_id_file: {secrets}/role, secret_id_file: {secrets}/secret }} }} }}, ttl_seconds: 1 }}"
        ));
        Server { _runtime: runtime, vault, double }
    }

    /// Writes a new version of the secret.
    pub(crate) fn write(&self, value: &str) {
        value.clone_into(&mut self.vault.state().value);
    }

    /// Logins, renewals and reads so far.
    pub(crate) fn asked(&self) -> (usize, usize, usize) {
        let state = self.vault.state();
        (state.logins, state.renewals, state.reads)
    }

    /// Requests of any kind so far.
    pub(crate) fn requests(&self) -> usize {
        self.double.requests()
    }
}
