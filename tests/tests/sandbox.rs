//! `stubgate sandbox`: the one command of a laptop, with the programs that people run in it, and what must not get out of it. As
//! root and as a user without any right. What a sandbox is made of has its own tests, `proxy/sandbox/tests/escapes`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use stubgate_tests::appliance::binary;
use stubgate_tests::builder::{ROOT, fresh_secret};
use stubgate_tests::client::{claude, source};
use stubgate_tests::origin::{Double, Nginx};
use stubgate_tests::program::{Program, Ran};
use stubgate_tests::{Lab, Shared};

static SITE: Shared<Site> = Shared::new(Site::open);

/// What a person writes for a start.
const POLICY: &str = r#"version: 1
agents:
  sandbox: { sources: ["198.18.0.1/32"] }
  other: { sources: ["192.0.2.1/32"] }
credentials:
  github:
    stub: proxy-token-github
    slots: [bearer, basic]
    hosts: [api.github.com, github.com]
    source: { env: GITHUB_TOKEN }
  claude:
    stub: proxy-token-claude
    slots: [bearer]
    hosts: [api.anthropic.com]
    source: { file: "@FOLDER@/secrets/claude" }
include:
  - { preset: claude-code@1, agents: [sandbox], credentials: { anthropic: claude } }
rules:
  - { name: api, agents: [sandbox], hosts: [api.github.com], methods: [any], credentials: [github] }
  - { name: git, agents: [sandbox], hosts: [github.com], methods: [GET, POST], paths: ["/acme/**"], credentials: [github] }
  - { name: open, agents: ["*"], hosts: [other.example, "http://other.example"], methods: [any] }
  - { name: elsewhere, agents: [other], hosts: [forbidden.example], methods: [any] }
"#;

/// The internet, and a laptop on it, whose users are root and one without any right.
struct Site {
    lab: Lab,
    laptop: tempfile::TempDir,
    token: String,
    key: String,
    model: Double,
    forbidden: Double,
}

impl AsRef<Lab> for Site {
    fn as_ref(&self) -> &Lab {
        &self.lab
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum User {
    Root,
    Nobody,
}

const USERS: [User; 2] = [User::Root, User::Nobody];
const NOBODY: &str = "65534";

impl Site {
    fn open() -> Site {
        let (token, key) = (fresh_secret("github"), fresh_secret("claude"));
        let (model, forbidden) =
            (Double::demanding("api.anthropic.com", &key), Double::open("forbidden.example").and_plain());
        let lab = Lab::new()
            .origin(Double::demanding("api.github.com", &token))
            .origin(Nginx::git("github.com", &token))
            .origin(model.clone())
            .origin(Double::open("other.example").and_plain())
            .origin(forbidden.clone())
            .policy("version: 1\nagents: { pod: { sources: [\"10.99.0.2/32\"] } }\nrules:\n  - { name: open, agents: [pod], hosts: [other.example], methods: [GET] }\n")
            .start();
        let laptop = tempfile::Builder::new().prefix("stubgate-laptop-").tempdir().expect("a folder");
        fs::set_permissions(laptop.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(binary(), laptop.path().join("stubgate")).expect("stubgate");
        let root = fs::read(lab.pod().dir().join(ROOT)).expect("the internet's root");
        fs::write(laptop.path().join("internet.pem"), &root).unwrap();
        // What the system of the laptop trusts.
        let root = String::from_utf8(root).unwrap();
        lab.appliance().node().overlay("/etc/ssl/certs/ca-certificates.crt", &root);
        let site = Site { lab, laptop, token, key, model, forbidden };
        for user in USERS {
            let home = site.home(user);
            for name in ["project/policy", "secrets", ".ssh"] {
                fs::create_dir_all(home.join(name)).unwrap();
            }
            let policy = POLICY.replace("@FOLDER@", &home.display().to_string());
            fs::write(home.join("project/policy/policy.yaml"), policy).unwrap();
            fs::write(home.join("secrets/claude"), &site.key).unwrap();
            fs::write(home.join(".ssh/id_ed25519"), "real key").unwrap();
            fs::write(home.join(".bashrc"), "# mine\n").unwrap();
            if user == User::Nobody {
                let owner = format!("{NOBODY}:{NOBODY}");
                assert!(Command::new("chown").args(["-R", &owner]).arg(&home).status().unwrap().success());
            }
        }
        site
    }

    fn home(&self, user: User) -> PathBuf {
        self.laptop.path().join(format!("{user:?}").to_lowercase())
    }

    /// A program of the user, in the project.
    fn program(&self, user: User, program: &Path) -> Program {
        let node = self.lab.appliance().node();
        let home = self.home(user);
        let program = match user {
            User::Root => node.program(program),
            User::Nobody => {
                let rights = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"];
                node.program("setpriv").args(rights).arg(program)
            }
        };
        program
            .env("HOME", &home)
            .env("GITHUB_TOKEN", &self.token)
            .env("SSH_AUTH_SOCK", "/tmp/agent.sock")
            .dir(home.join("project"))
    }

    fn stubgate(&self, user: User) -> Program {
        self.program(user, &self.laptop.path().join("stubgate"))
    }

    /// The one command.
    fn sandbox(&self, user: User) -> Program {
        self.stubgate(user).args(["sandbox", "--policy", "policy", "--"])
    }

    fn shell(&self, user: User, script: &str) -> Ran {
        self.sandbox(user).args(["bash", "-c", script]).run()
    }

    fn python(&self, user: User, script: &str) -> String {
        self.sandbox(user).args(["/usr/bin/python3", "-c", script]).run().success()
    }

    /// Everything that the appliance of a user's sandboxes wrote.
    fn records(&self, user: User) -> String {
        fs::read_to_string(self.home(user).join(".local/state/stubgate/sandbox/audit.jsonl")).unwrap_or_default()
    }
}

#[test]
fn curl_git_dig_python_and_node_reach_what_policy_allows() {
    SITE.test(|site| {
        for user in USERS {
            let said = site.shell(
                user,
                r#"set -e
                curl -sS -w '%{http_code} ' -o /dev/null https://other.example/ -o /dev/null http://other.example/
                curl -sS -H "Authorization: Bearer $GITHUB_TOKEN" https://api.github.com/user
                echo; dig +short other.example; dig +short +tcp other.example
                dig forbidden.example | grep -o 'status: [A-Z]*'
                rm -rf clone
                git -c credential.helper='!f() { echo username=x-access-token; echo password=$GITHUB_TOKEN; }; f' clone -q https://github.com/acme/site.git clone
                cat clone/README
                /usr/bin/python3 -c 'import urllib.request as u; print(u.urlopen("https://other.example/").status)'
                node -e 'require("https").get("https://other.example/", r => { console.log("node", r.statusCode); process.exit() })'
                env"#,
            );
            let text = said.success();
            assert!(text.starts_with("200 200 "), "{text}");
            assert!(text.contains("\"login\":\"lab\""), "{text}");
            assert_eq!(text.matches("198.18.0.1\n").count(), 2, "{text}");
            assert!(text.contains("status: NXDOMAIN\nlab\n200\nnode 200\n"), "{text}");
            // What it holds is worthless, and it is told which.
            assert!(text.contains("GITHUB_TOKEN=proxy-token-github\n") && !text.contains(&site.token), "{text}");
            assert!(text.contains("ANTHROPIC_AUTH_TOKEN=proxy-token-claude\n") && !text.contains("SSH_AUTH_SOCK"), "{text}");
            let told = said.errors();
            assert!(told.contains("hold a stub: ANTHROPIC_AUTH_TOKEN, GH_TOKEN, GITHUB_TOKEN"), "{told}");
            assert!(told.contains("left out: SSH_AUTH_SOCK") && told.contains("/.ssh"), "{told}");
            let records = site.records(user);
            assert!(records.contains("\"agent\":\"sandbox\"") && !records.contains(&site.token), "{records}");
        }
    });
}

#[test]
fn claude_code_answers_in_it() {
    SITE.test(|site| {
        for user in USERS {
            site.model.memory.forget();
            let program =
                site.sandbox(user).arg(claude()).args(["-p", "hi"]).env("DISABLE_AUTOUPDATER", "1").seconds(90);
            let ran = program.run();
            assert_eq!(ran.success().trim(), "pong", "{}", ran.errors());
            let asked = site.model.memory.recall().requests;
            assert!(asked.iter().any(|request| request.target.starts_with("/v1/messages")));
        }
    });
}

#[test]
fn nothing_but_what_policy_allows_leaves_the_machine() {
    SITE.test(|site| {
        site.forbidden.memory.forget();
        let forbidden = site.lab.names().names();
        assert!(forbidden.iter().any(|name| name == "forbidden.example"));
        site.lab.nothing_leaves(|| {
            for user in USERS {
                let said = site.python(
                    user,
                    r#"
import socket, subprocess, urllib.request
def tried(f):
    try: f(); return 'did'
    except Exception as e: return type(e).__name__
def tcp(host, port): socket.create_connection((host, port), timeout=3)
def udp(host, port):
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'out', (host, port))
for last in range(100, 106): print(tried(lambda: tcp('20.0.0.%d' % last, 443)), end=' ')
for host, port in [('20.0.0.53', 53), ('10.99.0.1', 443), ('10.99.0.1', 53), ('10.99.0.2', 22), ('20.0.255.2', 9090), ('127.0.0.1', 9090), ('2001:db8::1', 443), ('::ffff:20.0.0.100', 443)]:
    print(tried(lambda: tcp(host, port)), tried(lambda: udp(host, port)) if not host.startswith('127') else '-', end=' ')
for proto in (socket.IPPROTO_ICMP, socket.IPPROTO_RAW, 47): print(tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, proto)), end=' ')
print(tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)), tried(lambda: socket.socket(40, 1)))
for url in ('https://forbidden.example/', 'http://forbidden.example/', 'https://xother.example/'):
    print(tried(lambda: urllib.request.urlopen(url, timeout=5)))
# By stubgate, but by an address or another's name.
def connect(target):
    s = socket.create_connection(('198.18.0.1', 3128), timeout=5); s.sendall(('CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n' % (target, target)).encode())
    return s.recv(100).split()[1].decode()
for target in ('forbidden.example:443', '20.0.0.104:443', '127.0.0.1:9090', '10.99.0.1:443', '198.18.0.1:443'): print('connect', connect(target))
for server in ('20.0.0.53', '10.99.0.1'):
    print('dig', subprocess.run(['dig', '+tries=1', '+time=1', '@' + server, 'other.example'], capture_output=True).returncode)
print('dig', 'NXDOMAIN' in subprocess.run(['dig', 'secret-data.forbidden.example', 'TXT'], capture_output=True, text=True).stdout)
"#,
                );
                assert!(!said.contains("did"), "{user:?}: {said}");
                assert_eq!(said.matches("connect 4").count(), 5, "{said}");
                assert!(said.ends_with("dig True\n") && !said.contains("dig 0"), "{said}");
            }
        });
        assert_eq!(site.forbidden.memory.recall().connections, 0);
    });
}

#[test]
fn the_command_reads_no_key_and_changes_no_policy() {
    SITE.test(|site| {
        for user in USERS {
            let home = site.home(user);
            let before = fs::read_to_string(home.join("project/policy/policy.yaml")).unwrap();
            let said = site.shell(
                user,
                r#"exec 2>/dev/null
                cat ../secrets/claude ../.ssh/* ../.local/state/stubgate/sandbox/ca/* /proc/1/environ /proc/*/environ | grep -a -c -e real -e 'PRIVATE KEY'
                ls -A ../.local/state/stubgate/sandbox ../.ssh | grep -v : | tr -d '\n'
                sed 's/agents: .other./agents: [sandbox]/' policy/policy.yaml > wide.yaml
                cp wide.yaml policy/policy.yaml && echo changed
                mv wide.yaml policy/policy.yaml && echo changed
                cp wide.yaml policy/more.yaml && echo changed
                mv policy elsewhere && mkdir policy && cp wide.yaml policy/policy.yaml && echo changed
                cd .. && mv project elsewhere && mkdir -p project/policy && cp elsewhere/wide.yaml project/policy/policy.yaml && echo changed
                echo evil >> .bashrc && echo changed
                sleep 2; curl -sS -o /dev/null -w '%{http_code}' https://forbidden.example/
                true"#,
            );
            let text = said.text();
            assert_eq!(text, "0\n000", "{user:?}");
            assert_eq!(fs::read_to_string(home.join("project/policy/policy.yaml")).unwrap(), before);
            assert_eq!(fs::read_to_string(home.join(".bashrc")).unwrap(), "# mine\n");
        }
    });
}

#[test]
fn a_policy_that_is_changed_outside_is_felt_inside() {
    SITE.test(|site| {
        let user = User::Nobody;
        let path = site.home(user).join("project/policy/policy.yaml");
        let before = fs::read_to_string(&path).unwrap();
        let script = "curl -sS -o /dev/null -w '%{http_code}\n' https://other.example/; while curl -sSf -o /dev/null \
                      https://other.example/ 2>/dev/null; do sleep 0.2; done; echo closed";
        let running = site.sandbox(user).args(["bash", "-c", script]).spawn();
        let wait = std::time::Duration::from_secs(20);
        assert_eq!(running.line(wait).as_deref(), Some("200"), "{}", running.errors());
        fs::write(&path, before.replace("other.example, \"http", "another.example, \"http")).unwrap();
        let closed = running.line(wait);
        fs::write(&path, before).unwrap();
        assert_eq!(closed.as_deref(), Some("closed"));
    });
}

#[test]
fn the_attacks_of_stubgate_itself_find_nothing_open() {
    SITE.test(|site| {
        let stubgate = site.laptop.path().join("stubgate");
        let attack = ["attack", "--host", "other.example", "--denied", "forbidden.example"];
        let ran = site.sandbox(User::Nobody).arg(stubgate).args(attack).seconds(100).run();
        let said = ran.text();
        assert!(said.contains(", 0 failed") && !said.contains("FAIL"), "{said}\n{}", ran.errors());
    });
}

#[test]
fn it_says_what_is_missing_and_runs_nothing_then() {
    SITE.test(|site| {
        let user = User::Nobody;
        let marker = site.home(user).join("project/ran");
        let ask = |arguments: &[&str]| {
            let ran = site.stubgate(user).arg("sandbox").args(arguments).args(["--", "touch", "ran"]).run();
            assert!(!marker.exists(), "{arguments:?}");
            (ran.status.code(), ran.errors())
        };
        let (status, said) = ask(&[]);
        assert!(status == Some(2) && said.contains("--policy PATH") && said.contains("tutorial"), "{said}");
        let (status, said) = ask(&["--policy", "policy", "--agent", "nobody"]);
        assert!(status == Some(1) && said.contains("It has: other, sandbox"), "{said}");
        let (status, said) = ask(&["--policy", "missing"]);
        assert!(status == Some(2) && said.contains("missing"), "{said}");
        fs::write(site.home(user).join("project/bad.yaml"), "version: 1\nrulez: []\n").unwrap();
        let (status, said) = ask(&["--policy", "bad.yaml"]);
        assert!(status == Some(1) && said.contains("rulez"), "{said}");
        fs::copy(site.home(user).join("project/policy/policy.yaml"), site.home(user).join("project/here.yaml"))
            .unwrap();
        let (status, said) = ask(&["--policy", "here.yaml"]);
        assert!(status == Some(2) && said.contains("a folder of its own"), "{said}");
        for option in ["--hide", "--show", "--writable"] {
            let (status, said) = ask(&["--policy", "policy", option, "no/such"]);
            assert!(status == Some(2) && said.contains(&format!("{option} no/such")), "{said}");
        }
        let (status, said) = ask(&["--policy", "policy", "--show", "policy"]);
        assert!(status == Some(2) && said.contains("hidden by custom"), "{said}");
        // Where user namespaces are switched off, as they may be by an administrator.
        let off = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"";
        let ran = site.program(User::Root, Path::new("unshare"));
        let ran =
            ran.args(["--user", "--map-root-user", "sh", "-c", off, "sh"]).arg(site.laptop.path().join("stubgate"));
        let ran = ran.args(["sandbox", "--policy", "policy", "--", "touch", "ran"]).run();
        let said = ran.errors();
        assert!(ran.status.code() == Some(125) && said.contains("user.max_user_namespaces=15000"), "{said}");
    });
}

#[test]
fn an_appliance_s_own_configuration_serves_too_and_the_example_of_the_guide_is_good() {
    SITE.test(|site| {
        let user = User::Nobody;
        let folder = site.home(user).join("project");
        let configuration = format!(
            "listen: {{ proxy: [\"192.0.2.1:3128\"] }}\npolicy: [\"{0}/policy\"]\nstate_dir: \"{0}/state\"\n\
             upstream: {{ ca_files: [\"{1}/internet.pem\"] }}\naudit: {{ files: [{{ path: \"{0}/log/records.jsonl\" }}] }}\n",
            folder.display(),
            site.laptop.path().display(),
        );
        fs::write(folder.join("stubgate.yaml"), configuration).unwrap();
        let script = "curl -sS -o /dev/null -w '%{http_code}\n' https://other.example/; ls -A state; ls -A log; echo x > stubgate.yaml";
        let ran = site.stubgate(user).args(["sandbox", "-q", "--config", "stubgate.yaml", "--", "bash", "-c", script]).run();
        assert_eq!(ran.text(), "200\n", "{}", ran.errors());
        assert!(ran.errors().contains("Read-only"), "{}", ran.errors());
        let records = fs::read_to_string(folder.join("log/records.jsonl")).unwrap();
        assert!(records.contains("other.example"), "{records}");
        // What the guide has a new user write.
        let guide = fs::read_to_string(source("../docs/install/laptop.md")).expect("the guide");
        let policy = guide.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a policy");
        fs::create_dir_all(folder.join("guide")).unwrap();
        fs::write(folder.join("guide/policy.yaml"), policy).unwrap();
        site.stubgate(user).args(["policy", "check", "guide"]).run().success();
        let ran = site.stubgate(user).args(["sandbox", "--policy", "guide", "--", "true"]).run();
        ran.success();
    });
}
