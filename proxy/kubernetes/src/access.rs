//! How the API server is reached: as the pod's own service account, or by a kubeconfig.
//!
//! Tokens and the cluster's CA are read again while it runs, by the client itself about every minute, and at once after the
//! server refused them. What a kubeconfig would run to get a token is not run where the appliance is locked down.

use std::path::{Path, PathBuf};
use std::time::Duration;

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
    pub(crate) async fn client(&self) -> Result<Client, Error> {
        let refused = |error: &dyn std::error::Error| Error::Access(chain(error));
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
        config.connect_timeout = Some(CONNECT);
        config.write_timeout = Some(CONNECT);
        // Watches have deadlines of their own.
        config.read_timeout = None;
        config.default_retry = false;
        Client::try_from(config).map_err(|error| refused(&error))
    }
}

/// An error with what is behind it, once each.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
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
