//! `source:` of a credential as it was written: one kind, and what stands beside it.

use super::given::{Lenient, lenient};
use super::{Entries, Given, Number, Text, Unknown};
use crate::schema::Limit;
use crate::source::tree;

/// An absolute path of a file.
const FILE: &str = "^/.*[^/]$";
/// The form of an address of a server.
pub(super) const HTTPS: &str = "^https://[^/?#@]+";
/// The form of a path below something.
const BELOW: &str = "^[^/].*[^/]$|^[^/]$";
/// Something, whatever it is.
const SOME: &str = ".";
/// The form of a JSON key.
const JSON_KEY: &str = "^[^.]+([.][^.]+)*$";
/// Seconds of a value's life that may be written, from and to.
pub(crate) const TTL: (u64, u64) = (1, 86_400);
/// Seconds that a program may run that may be written, from and to.
pub(crate) const TIMEOUT: (u64, u64) = (1, 60);
/// The kinds of source, as their keys.
pub(crate) const KINDS: &[&str] = &["file", "env", "exec", "vault", "infisical", "github_app", "oauth"];
/// Those of them that read a secret as it lies there, and mint none.
pub(crate) const READ_KINDS: &[&str] = &["file", "env", "exec", "vault", "infisical"];
/// The ways to log in to Vault, as their keys.
pub(crate) const LOGINS: &[&str] = &["token_file", "approle", "kubernetes"];
/// The levels of a permission.
pub(crate) const LEVELS: &[&str] = &["read", "write", "admin"];

lenient! {
    /// Exactly one kind, and what is taken of it.
    pub(crate) struct SecretSource {
        /// An absolute path; a newline at the end is trimmed.
        file: Text = Limit::NONE.pattern(FILE),
        /// A variable of the appliance's environment.
        env: Text = Limit::NONE.pattern("^[A-Za-z_][A-Za-z0-9_]*$"),
        /// A program, by its absolute path, and what it is given; it writes the secret to its standard output. Never a shell.
        exec: Command,
        /// How long the program may run. Default 10.
        timeout_seconds: Number = Limit::NONE.least(TIMEOUT.0).most(TIMEOUT.1),
        /// A key of a secret in HashiCorp Vault or OpenBao, KV version 2.
        vault: Vault,
        /// A secret in Infisical, read with universal auth.
        infisical: Infisical,
        /// Installation tokens of a GitHub App, narrowed to what is written.
        github_app: GithubApp,
        /// The access token of a login that is in escrow.
        oauth: Oauth,
        /// The secret is the text at this key of the JSON object that is read; `a.b` is `b` inside of `a`.
        json_key: Text = Limit::NONE.pattern(JSON_KEY),
        /// After how long the secret is read again.
        ttl_seconds: Number = Limit::NONE.least(TTL.0).most(TTL.1),
    }
}

lenient! {
    /// A source of a key with which tokens are minted: it can't be minted itself.
    pub(crate) struct KeySource {
        /// An absolute path.
        file: Text = Limit::NONE.pattern(FILE),
        /// A variable of the appliance's environment.
        env: Text = Limit::NONE.pattern("^[A-Za-z_][A-Za-z0-9_]*$"),
        /// A program, by its absolute path, and what it is given; it writes the key to its standard output. Never a shell.
        exec: Command,
        /// How long the program may run. Default 10.
        timeout_seconds: Number = Limit::NONE.least(TIMEOUT.0).most(TIMEOUT.1),
        /// A key of a secret in HashiCorp Vault or OpenBao, KV version 2.
        vault: Vault,
        /// A secret in Infisical, read with universal auth.
        infisical: Infisical,
        /// The private key is the text at this key of the JSON object that is read.
        json_key: Text = Limit::NONE.pattern(JSON_KEY),
        /// After how long the private key is read again.
        ttl_seconds: Number = Limit::NONE.least(TTL.0).most(TTL.1),
    }
}

lenient! {
    /// `vault: { … }`
    pub(crate) struct Vault {
        /// Its server: `https://vault.corp.example:8200`.
        address: Text = Limit::required().pattern(HTTPS),
        /// The namespace, where there are any.
        namespace: Text = Limit::NONE.pattern(BELOW),
        /// Where the engine is mounted. Default `secret`.
        mount: Text = Limit::NONE.pattern(BELOW),
        /// The secret's path below the mount, without `data/`.
        path: Text = Limit::required().pattern(BELOW),
        /// The key of the secret's data.
        key: Text = Limit::required().pattern(SOME),
        /// How stubgate logs in there; exactly one way.
        auth: VaultAuth = Limit::required().one_of(LOGINS),
    }
}

lenient! {
    /// `auth: { … }` of Vault.
    pub(crate) struct VaultAuth {
        /// The file with a token, as Vault's agent leaves it.
        token_file: Text = Limit::NONE.pattern(FILE),
        /// As a role of AppRole.
        approle: AppRole,
        /// With the token of a Kubernetes service account.
        kubernetes: Kubernetes,
    }
}

lenient! {
    /// `approle: { … }`
    pub(crate) struct AppRole {
        /// Where it is mounted. Default `approle`.
        mount: Text = Limit::NONE.pattern(BELOW),
        /// The file with the role's identifier.
        role_id_file: Text = Limit::required().pattern(FILE),
        /// The file with the secret identifier.
        secret_id_file: Text = Limit::required().pattern(FILE),
    }
}

lenient! {
    /// `kubernetes: { … }`
    pub(crate) struct Kubernetes {
        /// Where it is mounted. Default `kubernetes`.
        mount: Text = Limit::NONE.pattern(BELOW),
        /// The role that is asked for.
        role: Text = Limit::required().pattern(SOME),
        /// The file with the service account's token.
        token_file: Text = Limit::required().pattern(FILE),
    }
}

lenient! {
    /// `infisical: { … }`
    pub(crate) struct Infisical {
        /// Its server. Default `https://app.infisical.com`.
        address: Text = Limit::NONE.pattern(HTTPS),
        /// The project's identifier.
        project: Text = Limit::required().pattern(SOME),
        /// The environment's slug, such as `prod`.
        environment: Text = Limit::required().pattern(SOME),
        /// The folder. Default `/`.
        path: Text = Limit::NONE.pattern("^/"),
        /// The secret's name.
        name: Text = Limit::required().pattern(SOME),
        /// The file with the client identifier of the machine identity.
        client_id_file: Text = Limit::required().pattern(FILE),
        /// The file with its client secret.
        client_secret_file: Text = Limit::required().pattern(FILE),
    }
}

lenient! {
    /// `github_app: { … }`
    pub(crate) struct GithubApp {
        /// The app's identifier, or its client identifier.
        app_id: Identifier = Limit::required(),
        /// Where its private key (PEM) is read from; exactly one kind, and none that mints.
        private_key: KeySource = Limit::required().one_of(READ_KINDS),
        /// The installation's identifier.
        installation: Number = Limit::required().least(1),
        /// Names of repositories, without their owner. Default: all of the installation.
        repositories: Vec<Given<Text>> = Limit::NONE.each("^[A-Za-z0-9._-]+$"),
        /// Permissions and their level. Default: all of the installation.
        permissions: Entries<Text> = Limit::NONE.each("^(read|write|admin)$"),
        /// GitHub's API. Default `https://api.github.com`; on a server of one's own `https://HOST/api/v3`.
        address: Text = Limit::NONE.pattern(HTTPS),
    }
}

lenient! {
    /// `oauth: { … }`
    pub(crate) struct Oauth {
        /// Who issued the login: `claude`, or a provider of one's own.
        provider: Provider = Limit::required(),
        /// What agents hold instead of the refresh token; of the same form as a stub.
        refresh_stub: Text = Limit::NONE.pattern("^[A-Za-z0-9._~-]{8,512}$"),
        /// The login's name in escrow, as `stubgate login --name` has it. Default: the credential's name.
        login: Text = Limit::NONE.pattern(Limit::NAME),
    }
}

lenient! {
    /// `provider: { … }`
    pub(crate) struct OwnProvider {
        /// Its name, for `stubgate login`.
        name: Text = Limit::required().pattern(Limit::NAME),
        /// Where tokens are refreshed.
        token_url: Text = Limit::required().pattern(HTTPS),
        /// Where a person gives consent.
        authorization_url: Text = Limit::NONE.pattern(HTTPS),
        /// Where a device code is had (RFC 8628).
        device_url: Text = Limit::NONE.pattern(HTTPS),
        /// Where the person is sent back to.
        redirect_uri: Text = Limit::NONE.pattern("^https?://"),
        /// The client's identifier.
        client_id: Text = Limit::required().pattern(SOME),
        /// The file with the client's secret, where it has one.
        client_secret_file: Text = Limit::NONE.pattern(FILE),
        /// What is asked for.
        scopes: Vec<Given<Text>> = Limit::NONE.each("^[!#-\\[\\]-~]+$"),
        /// How requests to `token_url` are written. Default `form`.
        body: Text = Limit::NONE.choice(&["form", "json"]),
    }
}

/// A program and its arguments: texts in order, of which one may stand twice.
#[derive(Clone, Debug)]
pub(crate) struct Command(pub(crate) Vec<Given<Text>>);

impl Lenient for Command {
    fn take(written: tree::Shape) -> Option<Self> {
        Vec::take(written).map(Command)
    }
}

/// A number, or a text: what stands in the place of the other is no mistake here.
#[derive(Clone, Debug)]
pub(crate) struct Identifier(pub(crate) String);

impl Lenient for Identifier {
    fn take(written: tree::Shape) -> Option<Self> {
        match written {
            tree::Shape::Text(text) => Some(Identifier(text)),
            tree::Shape::Number { whole, .. } => whole.map(|number| Identifier(number.to_string())),
            _ => None,
        }
    }
}

/// Who issued a login.
#[derive(Clone, Debug)]
pub(crate) enum Provider {
    /// By its name.
    Known(String),
    /// The operator's own.
    Own(Box<OwnProvider>),
}

impl Lenient for Provider {
    fn take(written: tree::Shape) -> Option<Self> {
        match written {
            tree::Shape::Text(name) => Some(Provider::Known(name)),
            other => OwnProvider::take(other).map(|own| Provider::Own(Box::new(own))),
        }
    }
}
