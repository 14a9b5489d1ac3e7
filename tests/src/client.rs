//! The programs that an agent uses, each trusting the bundle by its own variable and holding stubs only.

use std::path::{Path, PathBuf};

use crate::lab::{Lab, Way};
use crate::node::Node;
use crate::program::Program;

/// The lab's Python, with `requests`, `httpx`, `websockets` and `grpcio`; made by `tests/setup`.
pub fn python() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let python = workspace.join(target).join("lab-venv/bin/python");
    assert!(python.exists(), "no {}: run tests/setup", python.display());
    // Not resolved further: a virtual environment is known by the path of its interpreter.
    let folder = python.parent().and_then(|folder| folder.canonicalize().ok());
    folder.expect("the folder of the interpreter").join("python")
}

/// Claude Code; made by `tests/setup`.
pub fn claude() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let claude = workspace.join(target).join("lab-claude/claude");
    claude.canonicalize().unwrap_or_else(|_| panic!("no {}: run tests/setup", claude.display()))
}

/// A file of this crate.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// An agent's tools, all going the same way.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    lab: &'a Lab,
    pod: &'a Node,
    way: Way,
}

impl<'a> Client<'a> {
    /// The tools of the pod.
    pub fn new(lab: &'a Lab, way: Way) -> Client<'a> {
        Client::of(lab, lab.pod(), way)
    }

    /// The tools of another pod.
    pub fn of(lab: &'a Lab, pod: &'a Node, way: Way) -> Client<'a> {
        Client { lab, pod, way }
    }

    /// What the pod holds for a credential: the stub, or on the direct way the real one.
    pub fn token(&self, credential: &str) -> String {
        match self.way {
            Way::Direct => self.lab.secret(credential),
            Way::Dns | Way::Proxy | Way::Socks | Way::Redirect | Way::Tproxy => format!("proxy-token-{credential}"),
        }
    }

    /// Any program, told about the bundle by `trust`, and about the proxy where that is the way.
    pub fn program(&self, name: impl AsRef<std::ffi::OsStr>, trust: &str) -> Program {
        let program = match self.way {
            Way::Redirect | Way::Tproxy => self.elsewhere(name),
            Way::Direct | Way::Dns | Way::Proxy | Way::Socks => self.pod.program(name),
        };
        let program = program.env(trust, self.lab.bundle());
        let proxy = match self.way {
            Way::Direct | Way::Dns | Way::Redirect | Way::Tproxy => return program,
            Way::Proxy => "http://appliance:3128",
            Way::Socks => "socks5h://appliance:3128",
        };
        let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
        names.iter().fold(program, |program, name| program.env(name, proxy))
    }

    /// A program for which every name has the address of this way, as if some other name server had said so.
    fn elsewhere(&self, name: impl AsRef<std::ffi::OsStr>) -> Program {
        let names = self.lab.names().names().join(" ");
        let hosts = self.pod.dir().join(format!("hosts-{:?}", self.way));
        std::fs::write(&hosts, format!("127.0.0.1 localhost\n{} {names}\n", self.way.address())).expect("hosts");
        let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        self.pod.program("unshare").args(["--mount", "--", "sh", "-c", script]).arg(hosts).arg(name)
    }

    /// curl, quiet but for errors.
    pub fn curl(&self) -> Program {
        self.program("curl", "CURL_CA_BUNDLE").args(["-sS", "--max-time", "50"])
    }

    /// curl that prints the status and nothing else.
    pub fn curl_status(&self) -> Program {
        self.curl().args(["-o", "/dev/null", "-w", "%{http_code}"])
    }

    /// git with a helper that hands out the token of `github`.
    pub fn git(&self) -> Program {
        let token = self.token("github");
        let helper = format!("credential.helper=!f() {{ echo username=x-access-token; echo password={token}; }}; f");
        self.program("git", "GIT_SSL_CAINFO")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .args(["-c", &helper, "-c", "user.name=lab", "-c", "user.email=lab@lab.example"])
            .args(["-c", "init.defaultBranch=main"])
            .seconds(120)
    }

    /// The GitHub client.
    pub fn gh(&self) -> Program {
        self.program("gh", "SSL_CERT_FILE")
            .env("GH_TOKEN", self.token("github"))
            .env("GH_NO_UPDATE_NOTIFIER", "1")
            .env("NO_COLOR", "1")
    }

    /// Claude Code, with the stub of `claude`, in `home`.
    pub fn claude(&self, home: &Path) -> Program {
        self.program(claude(), "NODE_EXTRA_CA_CERTS")
            .env("HOME", home)
            .env("ANTHROPIC_AUTH_TOKEN", self.token("claude"))
            .env("DISABLE_AUTOUPDATER", "1")
            .dir(home)
    }

    /// Claude Code, with the login that it finds in the folder `.claude` of `home`. What it writes elsewhere is there too.
    pub fn claude_logged_in(&self, home: &Path) -> Program {
        let temporary = home.join("tmp");
        std::fs::create_dir_all(&temporary).expect("folder");
        let program = self.program(claude(), "NODE_EXTRA_CA_CERTS").env("HOME", home).env("TMPDIR", temporary);
        program.env("DISABLE_AUTOUPDATER", "1").dir(home).seconds(180)
    }

    /// One of the Python clients in `clients/`.
    pub fn python(&self, script: &str, trust: &str) -> Program {
        self.program(python(), trust).arg(source("clients").join(script))
    }

    /// One of the Node clients in `clients/`.
    pub fn node(&self, script: &str) -> Program {
        self.program("node", "NODE_EXTRA_CA_CERTS").arg(source("clients").join(script))
    }

    /// `pip install` from the lab's index into `target`.
    pub fn pip_install(&self, target: &Path) -> Program {
        let token: String = self.token("index").bytes().map(|byte| format!("%{byte:02X}")).collect();
        let index = format!("https://__token__:{token}@index.python.example/simple");
        self.program(python(), "PIP_CERT")
            .env("PIP_CONFIG_FILE", "/dev/null")
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .env("PIP_NO_CACHE_DIR", "1")
            .args(["-m", "pip", "install", "--no-deps", "--retries", "0", "--index-url", &index])
            .arg("--target")
            .arg(target)
    }

    /// `npm install` from the lab's registry, in `dir`.
    pub fn npm_install(&self, dir: &Path) -> Program {
        std::fs::create_dir_all(dir).expect("folder");
        let settings = format!(
            "registry=https://registry.node.example/\n\
             //registry.node.example/:_authToken={}\naudit=false\nfund=false\nfetch-retries=0\n",
            self.token("registry")
        );
        std::fs::write(dir.join(".npmrc"), settings).expect("npmrc");
        std::fs::write(dir.join("package.json"), "{\"name\":\"app\",\"version\":\"1.0.0\"}").expect("package.json");
        self.program("npm", "NODE_EXTRA_CA_CERTS")
            .env("npm_config_globalconfig", "/dev/null")
            .env("npm_config_update_notifier", "false")
            .env("npm_config_cache", dir.join("cache"))
            .dir(dir)
            .args(["install", "--no-progress"])
    }
}
