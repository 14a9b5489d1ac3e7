//! How the API server is reached: as the pod's own service account, or by a kubeconfig.
//!
//! Tokens and the cluster's CA are read again while it runs, by the client itself about every minute, and at once after the
//! server refused them. What a kubeconfig would run to get a token is run for commands of a person, and never beside agents:
//! it blocks without a deadline, in a process that may run nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::client::AuthError;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Where the kubelet puts what a service account needs.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Who it is towards the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// The service account of the pod that this runs in.
    #[default]
    ServiceAccount,
    /// What a file says.
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// Which of its contexts; none means the current one.
        context: Option<String>,
    },
}

/// What becomes of programs that a kubeconfig names for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Programs {
    /// They are run, as kubectl does.
    Run,
    /// A kubeconfig with one is refused.
    Refuse,
}

/// Why pods could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no usable way to the API server: a file is missing or can't be used.
    #[error("the way to the API server: {0}")]
    Access(String),
    /// The API server can't be reached, or the connection broke.
    #[error("the API server can't be reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("the API server did not answer in time")]
    Timeout,
    /// It said no: 401, 403 and others.
    #[error("the API server answered {code}{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Refused {
        /// The status.
        code: u16,
        /// The reason that it gave, a word.
        reason: String,
    },
    /// The version that was asked for is no longer known (410): all must be listed again.
    #[error("what was known is too old to go on from")]
    Expired,
    /// It sent more than is taken in at once.
    #[error("the API server sent too much at once")]
    TooLong,
    /// What it sent is not what the API says.
    #[error("what the API server sent can't be read: {0}")]
    Malformed(&'static str),
}

impl Error {
    /// Whether the same may well go better a moment later, with the same files.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Error::Unreachable(_) | Error::Timeout => true,
            Error::Refused { code, .. } => *code == 429 || *code >= 500,
            Error::Access(_) | Error::Expired | Error::TooLong | Error::Malformed(_) => false,
        }
    }
}

impl Access {
    /// The files and folders that are read for it, now and later.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Access::ServiceAccount => vec![Path::new(ACCOUNT)],
            Access::Kubeconfig { file, .. } => vec![file],
        }
    }

    /// A client, with what the files say now.
    pub(crate) async fn client(&self, programs: Programs) -> Result<Client, Error> {
        let refused = |error: &(dyn std::error::Error + 'static)| Error::Access(chain(error));
        let mut config = match self {
            Access::ServiceAccount => Config::incluster_env().map_err(|error| refused(&error))?,
            Access::Kubeconfig { file, context } => {
                // The parser quotes what stands around a fault, and that may be a token (law 4).
                let read = Kubeconfig::read_from(file).map_err(|error| match error {
                    KubeconfigError::ReadConfig(error, _) => {
                        Error::Access(format!("the kubeconfig can't be read: {}", error.kind()))
                    }
                    _ => Error::Access("the kubeconfig is none: kubectl config view says what is wrong".into()),
                })?;
                let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
                Config::from_custom_kubeconfig(read, &options).await.map_err(|_| {
                    Error::Access("the kubeconfig lacks a context, a cluster or a user that can be used".into())
                })?
            }
        };
        if config.cluster_url.scheme_str() != Some("https") || config.accept_invalid_certs {
            return Err(Error::Access("only https is spoken, and certificates are verified".into()));
        }
        let user = &config.auth_info;
        if programs == Programs::Refuse && (user.exec.is_some() || user.auth_provider.is_some()) {
            return Err(Error::Access(
                "the kubeconfig gets its token from a program or a provider (exec, auth-provider), which is not run here; \
                 name a file with a token instead (tokenFile)"
                    .into(),
            ));
        }
        config.connect_timeout = Some(CONNECT);
        config.write_timeout = Some(CONNECT);
        // Watches have deadlines of their own.
        config.read_timeout = None;
        config.default_retry = false;
        Client::try_from(config).map_err(|error| refused(&error))
    }
}

/// An error with what is behind it, once each. Of what gets a token it holds nothing that a program or a provider said,
/// which may be the token (law 4).
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(error) = auth(error) {
        return match error {
            AuthError::ReadTokenFile(error, _) => format!("the file with the token can't be read: {}", error.kind()),
            AuthError::AuthExecStart(error) => format!("the program for the token can't be run: {}", error.kind()),
            AuthError::AuthExecRun { out, .. } => format!("the program for the token failed: {}", out.status),
            _ => "a token can't be had as the kubeconfig says".to_owned(),
        };
    }
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        behind = error.source();
    }
    text
}

/// What went wrong about the token, where that is behind an error.
fn auth<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a AuthError> {
    let mut errors = std::iter::successors(Some(error), |error| error.source());
    errors.find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, user: &str) -> Access {
        let file = folder.join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{ name: c, cluster: {{ server: \"https://127.0.0.1:1\" }} }}]\n\
             users: [{{ name: u, user: {user} }}]\ncontexts: [{{ name: x, context: {{ cluster: c, user: u }} }}]\n\
             current-context: x\n"
        );
        std::fs::write(&file, text).unwrap();
        Access::Kubeconfig { file, context: None }
    }

    async fn error(access: &Access, programs: Programs) -> String {
        match access.client(programs).await {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn programs_of_a_kubeconfig_are_run_for_people_and_not_beside_agents() {
        let folder = tempfile::tempdir().unwrap();
        let ran = folder.path().join("ran");
        let user = format!(
            "{{ exec: {{ apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: touch, args: [\"{}\"] }} }}",
            ran.display()
        );
        let access = write(folder.path(), &user);
        let said = error(&access, Programs::Refuse).await;
        assert!(said.contains("tokenFile") && !ran.exists(), "{said}");
        error(&access, Programs::Run).await;
        assert!(ran.exists());
        let provider = "{ auth-provider: { name: gcp, config: { cmd-path: \"/bin/false\" } } }";
        assert!(error(&write(folder.path(), provider), Programs::Refuse).await.contains("tokenFile"));
        std::fs::write(folder.path().join("token"), "t").unwrap();
        let access = write(folder.path(), "{ tokenFile: token }");
        assert_eq!(error(&access, Programs::Refuse).await, "");
    }

    #[tokio::test]
    async fn what_a_program_printed_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let exec = |script: &str| {
            format!(
                "{{ exec: {{ apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: sh, args: [-c, \"{script}\"] }} }}"
            )
        };
        let gcp = "{ auth-provider: { name: gcp, config: { cmd-path: echo, cmd-args: tok-en, token-key: \"{.x}\" } } }";
        for user in [
            exec("echo tok-en; echo tok-en >&2; exit 3"),
            exec("echo '{ tok-en'"),
            exec("echo '{ kind: tok-en, status: { expirationTimestamp: tok-en, token: tok-en } }'"),
            gcp.to_owned(),
        ] {
            let said = error(&write(folder.path(), &user), Programs::Run).await;
            assert!(said.contains("token") && !said.contains("tok-en"), "{user}: {said}");
        }
        let said = error(&write(folder.path(), "{ tokenFile: none }"), Programs::Refuse).await;
        assert!(said.ends_with("the file with the token can't be read: entity not found"), "{said}");
    }
}
