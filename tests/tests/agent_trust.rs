//! The trust matrix: after `stubgate-agent setup`, every program makes a request through interception, with its stub, and with
//! nothing on its command line or in its environment about trust but what setup wrote. Origins demand the real credential, and
//! their own root is nowhere in the pod: an answer shows that the appliance was trusted and that it swapped.
//!
//! The same programs in a container that was not set up are refused by themselves: without that, a success would say nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;

use stubgate_tests::container::{self, Container};
use stubgate_tests::origin::Nginx;
use stubgate_tests::program::Program;
use stubgate_tests::toolbox::toolbox;
use stubgate_tests::{Shared, World, world};

/// Sources of modules of Go and of crates, open to whoever comes by the appliance.
const SOURCES: &str = r#"  - name: sources
    agents: [pod]
    hosts: [modules.go.example, crates.example]
    methods: [GET]
"#;

/// An agent in both of its containers, and one that has not been set up.
struct Agents {
    world: World,
    image: Container,
    toolbox: Container,
    untrusting: [Container; 2],
}

impl AsRef<stubgate_tests::Lab> for Agents {
    fn as_ref(&self) -> &stubgate_tests::Lab {
        &self.world.lab
    }
}

static AGENTS: Shared<Agents> = Shared::new(|| {
    let world = World::build(|builder| {
        let policy = format!("{}{SOURCES}", world::POLICY);
        builder.origin(files("modules.go.example", &MODULES)).origin(files("crates.example", &CRATES)).policy(&policy)
    });
    let pod = world.lab.pod();
    let files = [("_shared/CLAUDE.md", "Work.\n"), ("devbot/CLAUDE.md", "You are devbot.\n")];
    let agents = container::lay_out(pod, "agents", &files);
    let image = pod.container("devbot").bundle(world.lab.bundle()).agents(&agents).idle();
    image.exec("stubgate-agent").arg("setup").run().success();
    let toolbox_of = |name| toolbox(pod, name).idle();
    let (toolbox, untrusting) = (toolbox_of("devbot"), [pod.container("newbot").idle(), toolbox_of("newbot")]);
    Agents { image, toolbox, untrusting, world }
});

const MODULES: [(&str, &str); 3] = [
    ("/lab.example/module/@v/list", "v1.2.3\n"),
    ("/lab.example/module/@v/v1.2.3.info", r#"{ "Version": "v1.2.3", "Time": "2026-01-01T00:00:00Z" }"#),
    ("/lab.example/module/@v/v1.2.3.mod", "module lab.example/module\n"),
];
const CRATES: [(&str, &str); 2] = [
    ("/index/config.json", r#"{ "dl": "https://crates.example/dl", "api": "https://crates.example" }"#),
    (
        "/api/v1/crates",
        r#"{ "crates": [{ "name": "labcrate", "max_version": "1.2.3", "description": "of the lab" }], "meta": { "total": 1 } }"#,
    ),
];

/// An origin that serves these files to everyone.
fn files(name: &str, files: &'static [(&str, &str)]) -> Nginx {
    Nginx::new(name, move |place| {
        for (path, content) in files {
            let file = place.dir.join("files").join(path.trim_start_matches('/'));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        (format!("location / {{ root {}/files; }}", place.dir.display()), Vec::new())
    })
}

/// Which container has a program.
#[derive(Clone, Copy)]
enum Where {
    Image,
    Toolbox,
}

/// Makes one program's request in the container that was set up, and in the one that was not.
fn trusts(at: Where, program: &str, expected: &str, with: impl Fn(Program) -> Program) {
    let with = |program: Program| with(program.seconds(90));
    AGENTS.test(|agents| {
        let (set_up, other) = match at {
            Where::Image => (&agents.image, &agents.untrusting[0]),
            Where::Toolbox => (&agents.toolbox, &agents.untrusting[1]),
        };
        let said = with(set_up.exec_set_up(program)).run().success();
        assert!(said.contains(expected), "{program}: {said}");
        let refused = with(other.exec(program)).run().failure();
        let refused = refused.to_lowercase();
        assert!(
            ["certificate", "cert", "pkix", "issuer"].iter().any(|word| refused.contains(word)),
            "{program}: {refused}"
        );
    });
}

const API: &str = "https://api.github.com";
const STUB: &str = "proxy-token-github";
const BEARER: &str = "Authorization: Bearer proxy-token-github";

#[test]
fn git_in_the_image() {
    trusts(Where::Image, "git", "refs/heads/main", |git| git.args(["ls-remote", "https://github.com/acme/site.git"]));
}

#[test]
fn gh_in_the_image() {
    trusts(Where::Image, "gh", "lab", |gh| gh.env("GH_TOKEN", STUB).args(["api", "user", "--jq", ".login"]));
}

#[test]
fn curl_in_the_image() {
    trusts(Where::Image, "curl", "\"login\":\"lab\"", |curl| {
        curl.args(["-sS", "-H", BEARER]).arg(format!("{API}/user"))
    });
}

#[test]
fn python_of_the_bridges() {
    let script = "import sys, urllib.request\n\
                  ask = urllib.request.Request(sys.argv[1] + '/user', headers={'Authorization': 'Bearer ' + sys.argv[2]})\n\
                  print(urllib.request.urlopen(ask, timeout=20).read().decode())";
    let python = "/opt/bridges/bin/python";
    trusts(Where::Image, python, "\"login\":\"lab\"", |python| python.args(["-c", script, API, STUB]));
}

#[test]
fn httpx_of_the_bridges() {
    let script = "import sys, httpx\n\
                  ask = httpx.get(sys.argv[1] + '/user', headers={'Authorization': 'Bearer ' + sys.argv[2]}, timeout=20)\n\
                  print(ask.status_code, ask.text)";
    let python = "/opt/bridges/bin/python";
    trusts(Where::Image, python, "\"login\":\"lab\"", |python| python.args(["-c", script, API, STUB]));
}

#[test]
fn pip_of_the_bridges() {
    let args =
        ["-m", "pip", "install", "--no-deps", "--retries", "0", "--no-cache-dir", "--target", "/tmp/pip", "labpkg"];
    trusts(Where::Image, "/opt/bridges/bin/python", "labpkg", |pip| pip.env("PIP_INDEX_URL", index()).args(args));
}

#[test]
fn python_requests() {
    trusts(Where::Toolbox, "python", "lab lab", |python| python.args(["/opt/clients/requests_get.py", API, STUB]));
}

#[test]
fn python_httpx() {
    trusts(Where::Toolbox, "python", "HTTP/2 50", |python| python.args(["/opt/clients/httpx_h2.py", API, STUB]));
}

#[test]
fn pip() {
    let args =
        ["-m", "pip", "install", "--no-deps", "--retries", "0", "--no-cache-dir", "--target", "/tmp/pip", "labpkg"];
    trusts(Where::Toolbox, "python", "labpkg", |pip| pip.env("PIP_INDEX_URL", index()).args(args));
}

#[test]
fn uv() {
    let args = ["-c", "uv pip install --no-deps --no-cache --target /tmp/uv labpkg 2>&1"];
    trusts(Where::Toolbox, "sh", "+ labpkg", |uv| {
        uv.env("UV_DEFAULT_INDEX", index()).env("UV_HTTP_RETRIES", "0").args(args)
    });
}

#[test]
fn node_fetch() {
    trusts(Where::Toolbox, "node", "200 lab", |node| node.args(["/opt/clients/fetch.mjs", API, STUB]));
}

#[test]
fn npm() {
    let settings = "printf 'registry=https://registry.node.example/\\n//registry.node.example/:_authToken=proxy-token-registry\\n' \
                    >~/.npmrc; cd /tmp && npm view --fetch-retries 0 labpkg name version";
    trusts(Where::Toolbox, "sh", "labpkg", |npm| npm.args(["-c", settings]));
}

#[test]
fn bun() {
    trusts(Where::Toolbox, "bun", "200 lab", |bun| bun.args(["/opt/clients/fetch.mjs", API, STUB]));
}

#[test]
fn deno() {
    // A word of its own permissions, none of trust.
    let fetch = ["run", "--allow-net", "--allow-env", "/opt/clients/fetch.mjs", API, STUB];
    trusts(Where::Toolbox, "deno", "200 lab", |deno| deno.env("DENO_DIR", "/tmp/deno").args(fetch));
}

#[test]
fn java() {
    trusts(Where::Toolbox, "java", "\"login\":\"lab\"", |java| java.args(["/opt/clients/Fetch.java", API, STUB]));
}

#[test]
fn go() {
    trusts(Where::Toolbox, "go", "v1.2.3", |go| {
        let go = go.env("GOPROXY", "https://modules.go.example").env("GOSUMDB", "off").env("GOTOOLCHAIN", "local");
        go.env("GOFLAGS", "-mod=mod").dir("/tmp").args(["list", "-m", "-versions", "lab.example/module"])
    });
}

#[test]
fn cargo() {
    trusts(Where::Toolbox, "cargo", "labcrate", |cargo| {
        let index = "sparse+https://crates.example/index/";
        let cargo = cargo.env("CARGO_REGISTRIES_LAB_INDEX", index).env("CARGO_NET_RETRY", "0");
        cargo.args(["search", "--registry", "lab", "labcrate"])
    });
}

/// What `stubgate-agent bridge` begins with; Debian's pip wants to see the authorities before anything else.
#[test]
fn an_environment_of_python_can_be_made() {
    AGENTS.test(|agents| {
        let environment = "/home/agent/environment";
        agents.image.exec_set_up("python3").args(["-m", "venv", environment]).run().success();
        let pip = agents.image.exec_set_up(format!("{environment}/bin/python")).env("PIP_INDEX_URL", index());
        pip.args(["-m", "pip", "install", "--no-cache-dir", "--retries", "0", "labpkg"]).run().success();
    });
}

#[test]
fn nothing_real_is_in_the_containers() {
    AGENTS.test(|agents| {
        let names = ["github", "index", "registry"];
        let secrets: Vec<_> = names.iter().map(|name| ((*name).to_owned(), agents.world.lab.secret(name))).collect();
        assert_eq!(agents.image.search(&secrets), Vec::<String>::new());
    });
}

fn index() -> String {
    "https://__token__:proxy-token-index@index.python.example/simple".to_owned()
}
