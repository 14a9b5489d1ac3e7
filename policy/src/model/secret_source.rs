//! Where a credential's secret comes from, as a policy says it. Nothing is read here, and no secret is ever in these types:
//! what must be kept secret to reach a source is named by the file that it stands in.

use std::path::Path as FilePath;
use std::time::Duration;

use super::Authority;

/// A source, and what is taken of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    /// Where the secret comes from.
    pub source: Source,
    /// The secret is the text at this key of a JSON object; `a.b` is `b` inside of `a`. Without it, the secret is all that
    /// the source gives.
    pub json_key: Option<Box<str>>,
    /// After how long a value is read again, in place of what the source's kind does by itself.
    pub ttl: Option<Duration>,
}

impl Reading {
    /// Whether both mean the same value, however often each reads it.
    #[must_use]
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.source == other.source && self.json_key == other.json_key
    }
}

impl From<Source> for Reading {
    fn from(source: Source) -> Self {
        Reading { source, json_key: None, ttl: None }
    }
}

/// Where a secret is read from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An absolute path.
    File(Box<FilePath>),
    /// A variable of the appliance's own environment.
    Env(Box<str>),
    /// What a program writes to its standard output.
    Exec(Box<Exec>),
    /// A key of a secret in HashiCorp Vault or OpenBao, KV version 2.
    Vault(Box<Vault>),
    /// A secret in Infisical.
    Infisical(Box<Infisical>),
    /// Installation tokens of a GitHub App, minted with its private key.
    GithubApp(Box<GithubApp>),
    /// The access token of an OAuth login that is in escrow.
    Oauth(Box<Oauth>),
}

impl Source {
    /// Its kind, as policy writes it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Source::File(_) => "file",
            Source::Env(_) => "env",
            Source::Exec(_) => "exec",
            Source::Vault(_) => "vault",
            Source::Infisical(_) => "infisical",
            Source::GithubApp(_) => "github_app",
            Source::Oauth(_) => "oauth",
        }
    }

    /// Every file that has to be read to reach it, in no order that means anything; what a program reads is not known.
    pub fn files(&self) -> Vec<&FilePath> {
        match self {
            Source::File(path) => vec![path],
            Source::Env(_) | Source::Exec(_) => Vec::new(),
            Source::Vault(vault) => match &vault.auth {
                VaultAuth::Token { file } => vec![file],
                VaultAuth::AppRole { mount: _, role_id_file, secret_id_file } => vec![role_id_file, secret_id_file],
                VaultAuth::Kubernetes { mount: _, role: _, token_file } => vec![token_file],
            },
            Source::Infisical(secret) => vec![&secret.client_id_file, &secret.client_secret_file],
            Source::GithubApp(app) => app.private_key.source.files(),
            Source::Oauth(oauth) => oauth.provider.client_secret_file.as_deref().into_iter().collect(),
        }
    }

    /// Every program that has to be run to reach it.
    pub fn programs(&self) -> Vec<&FilePath> {
        match self {
            Source::Exec(exec) => vec![&exec.program],
            Source::GithubApp(app) => app.private_key.source.programs(),
            Source::File(_) | Source::Env(_) | Source::Vault(_) | Source::Infisical(_) | Source::Oauth(_) => Vec::new(),
        }
    }

    /// Every variable of the appliance's environment that has to be read to reach it.
    pub fn variables(&self) -> Vec<&str> {
        match self {
            Source::Env(name) => vec![name],
            Source::GithubApp(app) => app.private_key.source.variables(),
            Source::File(_) | Source::Exec(_) | Source::Vault(_) | Source::Infisical(_) | Source::Oauth(_) => {
                Vec::new()
            }
        }
    }

    /// What agents hold instead of the refresh token of a login.
    pub fn refresh_stub(&self) -> Option<&str> {
        match self {
            Source::Oauth(oauth) => oauth.refresh_stub.as_deref(),
            _ => None,
        }
    }
}

/// A program that writes a secret to its standard output. It is started as it stands here, never by a shell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Exec {
    /// An absolute path.
    pub program: Box<FilePath>,
    /// What it is given.
    pub arguments: Box<[Box<str>]>,
    /// How long it may run.
    pub timeout: Duration,
}

/// A secret of Vault's KV version 2: `GET /v1/{mount}/data/{path}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Vault {
    /// Its server, https.
    pub server: Authority,
    /// The namespace, where there are any.
    pub namespace: Option<Box<str>>,
    /// Where the engine is mounted: `secret`.
    pub mount: Box<str>,
    /// The secret's path below it.
    pub path: Box<str>,
    /// The key of the secret's data.
    pub key: Box<str>,
    /// How we log in there.
    pub auth: VaultAuth,
}

/// How we log in to Vault. What is secret in it stands in a file, which is read for each login.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VaultAuth {
    /// With the token in a file, as Vault's agent leaves it.
    Token {
        /// The file.
        file: Box<FilePath>,
    },
    /// As a role of the engine that is mounted there.
    AppRole {
        /// Where the engine is mounted: `approle`.
        mount: Box<str>,
        /// The file with the role's identifier.
        role_id_file: Box<FilePath>,
        /// The file with the secret identifier.
        secret_id_file: Box<FilePath>,
    },
    /// With the token of a Kubernetes service account.
    Kubernetes {
        /// Where the engine is mounted: `kubernetes`.
        mount: Box<str>,
        /// The role that is asked for.
        role: Box<str>,
        /// The file with the service account's token.
        token_file: Box<FilePath>,
    },
}

/// A secret of Infisical, read as a machine identity with universal auth.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Infisical {
    /// Its server, https.
    pub server: Authority,
    /// The project's identifier.
    pub project: Box<str>,
    /// The environment's slug: `prod`.
    pub environment: Box<str>,
    /// The folder: `/`.
    pub path: Box<str>,
    /// The secret's name.
    pub name: Box<str>,
    /// The file with the identity's client identifier.
    pub client_id_file: Box<FilePath>,
    /// The file with the identity's client secret.
    pub client_secret_file: Box<FilePath>,
}

/// A GitHub App whose installation tokens are narrowed to what stands here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GithubApp {
    /// GitHub's API, https.
    pub server: Authority,
    /// What stands before the API's paths: nothing at github.com, `/api/v3` on a server of one's own.
    pub base_path: Box<str>,
    /// The app's identifier, or its client identifier: the issuer of the JWT.
    pub app_id: Box<str>,
    /// Its private key, PEM.
    pub private_key: Box<Reading>,
    /// The installation's identifier.
    pub installation: u64,
    /// Names of repositories, without their owner; empty where all of the installation are meant.
    pub repositories: Box<[Box<str>]>,
    /// Permissions and their level (`contents`, `write`), sorted by name; empty where all of the installation are meant.
    pub permissions: Box<[(Box<str>, Box<str>)]>,
}

/// A login that stubgate alone owns and refreshes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Oauth {
    /// The login's name in escrow: `stubgate login PROVIDER --name NAME`. By default the credential's.
    pub login: Box<str>,
    /// Who issued it.
    pub provider: OauthProvider,
    /// What agents hold instead of the refresh token.
    pub refresh_stub: Option<Box<str>>,
}

/// An OAuth 2 provider, as far as refreshing a login takes it (RFC 6749).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OauthProvider {
    /// `claude`, or the name of the operator's own.
    pub name: Box<str>,
    /// Where tokens are refreshed; the first one is asked, and the others are where agents may ask for the same.
    pub token_endpoints: Box<[Endpoint]>,
    /// Where a person gives consent, for the login from a terminal.
    pub authorization_url: Option<Box<str>>,
    /// Where a device code is had (RFC 8628).
    pub device_endpoint: Option<Endpoint>,
    /// Where the person is sent back to.
    pub redirect_uri: Option<Box<str>>,
    /// The public client's identifier.
    pub client_id: Box<str>,
    /// The file with the client's secret, where it has one.
    pub client_secret_file: Option<Box<FilePath>>,
    /// What is asked for.
    pub scopes: Box<[Box<str>]>,
    /// How requests to the token endpoint are written.
    pub body: OauthBody,
}

impl OauthProvider {
    /// The names that mean one provider each, whatever a policy says: no other provider can have one.
    pub const BUILT_IN: &[&str] = &["claude"];
}

/// A place of an HTTPS server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The server, https.
    pub server: Authority,
    /// Its path, with the leading slash.
    pub path: Box<str>,
}

/// How a provider wants its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OauthBody {
    /// `application/x-www-form-urlencoded`, as RFC 6749 says.
    Form,
    /// JSON.
    Json,
}
