//! The pods that `stubgate policy check --cluster` looks at: of a file, or of the cluster that this machine is set up for.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use stubgate_kubernetes::{Access, ListedPod, list, read};
use stubgate_policy::pods::cluster::ClusterPod;

/// The pods that a file lists; `-` is standard input. Without a file, all that the API server lists.
///
/// # Errors
/// It can't be read, is too long, or lists something else; the API server does not say. The sentence names which.
pub(super) fn pods(file: Option<&Path>) -> Result<Vec<ClusterPod>, String> {
    let pods = match file {
        Some(path) => listed(path),
        None => current(),
    };
    Ok(pods?.into_iter().map(of_the_cluster).collect())
}

fn listed(path: &Path) -> Result<Vec<ListedPod>, String> {
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = if path == Path::new("-") { whole(io::stdin().lock()) } else { File::open(path).and_then(whole) };
    read(&text.map_err(|error| said(&error))?).map_err(|error| said(&error))
}

fn whole(from: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if from.take(MOST_BYTES + 1).read_to_end(&mut text)? as u64 > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {} MiB", MOST_BYTES >> 20)));
    }
    Ok(text)
}

fn current() -> Result<Vec<ListedPod>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(list(&access(), &[])).map_err(|error| error.to_string())
}

/// As kubectl finds it: the first file of `KUBECONFIG`, the one in the home folder, and in a pod its own service account.
fn access() -> Access {
    let named = env::var_os("KUBECONFIG").and_then(|files| env::split_paths(&files).find(|file| file.exists()));
    let at_home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
    match named.or_else(|| at_home().filter(|file| file.exists())) {
        Some(file) => Access::Kubeconfig { file, context: None },
        None => Access::ServiceAccount,
    }
}

fn of_the_cluster(pod: ListedPod) -> ClusterPod {
    ClusterPod {
        name: pod.name.into(),
        namespace: pod.namespace.into(),
        service_account: pod.service_account.into(),
        labels: pod.labels.into_iter().collect(),
        addresses: pod.addresses,
        host_network: pod.host_network,
        ended: pod.ended,
    }
}

/// Ten thousand pods are some hundred mebibytes.
const MOST_BYTES: u64 = 1 << 30;
