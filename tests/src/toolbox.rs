//! A second container of an agent, with runtimes that its image does not have: the image's `/etc`, the same user, the same
//! places, the same variables, but the machine's `/usr`, and what `tests/setup` fetched. It shows what setup does for a runtime
//! that a bridge or the agent itself brings along.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::{python, source};
use crate::container::{self, Recipe};
use crate::node::Node;

/// Where the runtimes are in it, in the order of `PATH`.
const PATH: &str = "/opt/lab/bin:/opt/runtimes:/opt/rust/bin:/usr/local/go/bin:/usr/bin:/bin";

/// A toolbox for the agent of this name.
pub fn toolbox(node: &Node, name: &str) -> Recipe {
    let root = lay_out(node, name);
    let virtual_environment = python().parent().and_then(Path::parent).expect("the environment").to_owned();
    let runtimes = virtual_environment.with_file_name("lab-runtimes");
    assert!(runtimes.join("bun").exists(), "no {}: run tests/setup", runtimes.display());
    let mut recipe = node
        .container(name)
        .root(root)
        .mount("/usr", "/usr")
        .mount(virtual_environment, "/opt/lab")
        .mount(runtimes, "/opt/runtimes")
        .mount(sysroot(), "/opt/rust")
        .mount(source("clients"), "/opt/clients")
        .env("PATH", PATH);
    // What programs of /usr need of the machine's /etc: which of several, and Java's own settings.
    let settings = std::fs::read_dir("/etc").expect("/etc").map_while(Result::ok).map(|entry| entry.path());
    for path in settings.filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == "alternatives" || name.starts_with("java-") {
            recipe = recipe.mount(&path, &format!("/etc/{name}"));
        }
    }
    recipe
}

/// A root whose `/usr` is mounted: links into it, empty folders, and the image's `/etc`, without a public authority as there.
fn lay_out(node: &Node, name: &str) -> PathBuf {
    let root = node.dir().join("toolboxes").join(name);
    let script = "mkdir -p \"$0\" && cd \"$0\" && cp -a \"$1/etc\" . && chmod -R u+w etc && rm -rf etc/alternatives && \
                  mkdir -p usr opt proc dev tmp home/agent workspace var/lib/stubgate-agent/trust run/stubgate-agent && \
                  for name in bin sbin lib lib64; do [ ! -e \"/$name\" ] || ln -sfn \"usr/$name\" \"$name\"; done";
    let made = Command::new("sh").args(["-ec", script]).arg(&root).arg(container::root()).status();
    assert!(made.expect("sh").success(), "the root of a toolbox");
    root
}

/// The toolchain that builds this, with its cargo.
fn sysroot() -> PathBuf {
    let asked = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc");
    PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim())
}
