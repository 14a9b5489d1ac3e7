//! A fleet whose agents work with a login in escrow: a strict double of Anthropic, and one PostgreSQL for both replicas.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::builder::fresh_secret;
use crate::database::{self, Database, HOST};
use crate::fleet::Fleet;
use crate::lab::{Lab, Way};
use crate::leak::Search;
use crate::origin::Anthropic;
use crate::origin::anthropic::{Family, SCOPES};

/// The way that each pod goes.
pub const WAYS: [Way; 3] = [Way::Dns, Way::Proxy, Way::Dns];
/// The login of all agents; of the credential `claude`.
pub const TEAM: &str = "team";

const POLICY: &str = r#"version: 1
agents:
  one: { sources: ["10.99.0.2/32"] }
  two: { sources: ["10.99.1.2/32"] }
  three: { sources: ["10.99.2.2/32"] }
credentials:
  claude:
    stub: access-token-stub
    slots: [bearer]
    hosts: [api.anthropic.com]
    source: { oauth: { provider: claude, refresh_stub: refresh-token-stub, login: team } }
  early:
    stub: early-access-stub
    slots: [bearer]
    hosts: [api.anthropic.com]
    source: { oauth: { provider: claude, refresh_stub: early-refresh-stub, login: early } }
  late:
    stub: late-access-stub
    slots: [bearer]
    hosts: [api.anthropic.com]
    source: { oauth: { provider: claude, refresh_stub: late-refresh-stub, login: late } }
rules:
  - name: others
    agents: [one]
    hosts: [api.anthropic.com]
    methods: [GET]
    paths: ["/lab/*"]
    credentials: [early, late]
include:
  - { preset: claude-code@1, agents: [one, two, three], credentials: { anthropic: claude } }
"#;

/// The fleet, its provider and its database.
#[derive(Debug)]
pub struct Escrowed {
    /// Agents and replicas, both in service.
    pub fleet: Fleet,
    /// The provider.
    pub double: Anthropic,
    /// The store.
    pub database: Database,
    team: Mutex<Option<Family>>,
}

impl AsRef<Lab> for Escrowed {
    fn as_ref(&self) -> &Lab {
        &self.fleet.lab
    }
}

/// How a request of an agent ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider's answer.
    Answered(String),
    /// The connection ended, as it does when a replica dies; clients ask again.
    Broken(String),
    /// 503: no good token at the moment; clients ask again.
    Unready,
}

impl Escrowed {
    /// Both replicas, with nobody logged in. The database comes up after the first replica.
    pub fn start() -> Escrowed {
        let double = Anthropic::default();
        let password = fresh_secret("password");
        let key = STANDARD.encode(fresh_secret("key").as_bytes().last_chunk::<32>().expect("long enough"));
        // Each replica is told in another way where the database is.
        let parts = format!("host: {HOST}, database: postgres, user: stubgate, password_file: \"@SECRETS@/database\"");
        let percent: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let url = format!("postgres://stubgate:{percent}@{HOST}/postgres");
        let builder = Lab::new().origin(double.clone()).host(HOST, database::ADDRESS.into()).policy(POLICY);
        let builder = builder.credential("database", &password).credential("database-url", &url);
        let builder = builder.credential("escrow", &key);
        let escrow = |place: &str| {
            format!("escrow: {{ store: {{ postgres: {{ {place} }} }}, key: {{ file: \"@SECRETS@/escrow\" }} }}")
        };
        let lab = builder.configuration(&escrow(&parts)).start();
        let database = Database::start(&lab, &password);
        let fleet = Fleet::around(lab, POLICY, &escrow("url_file: \"@SECRETS@/database-url\""));
        fleet.replica(1).start();
        fleet.serve(1, true);
        Escrowed { fleet, double, database, team: Mutex::default() }
    }

    /// Puts a fresh login in escrow, whose access tokens live so long, and waits until both replicas have it.
    pub fn log_in(&self, login: &str, life: Duration) -> Family {
        let (family, file) = self.double.log_in(life);
        let path = self.fleet.lab.pod().dir().join(format!("{login}.json"));
        std::fs::write(&path, file).expect("write");
        let appliance = self.fleet.replica(0);
        let command = ["login", "claude", "--config", "stubgate.yaml", "--name", login, "--import"];
        let said = appliance.command(command).arg(&path).run().success();
        assert!(said.contains("is in escrow"), "{said}");
        if login == TEAM {
            *self.team.lock().unwrap_or_else(PoisonError::into_inner) = Some(family);
        }
        let credential = if login == TEAM { "claude" } else { login };
        for replica in 0..2 {
            within(20, "the login at both replicas", || self.has(replica, credential));
        }
        family
    }

    /// The login of the team that was made last.
    pub fn team(&self) -> Family {
        self.team.lock().unwrap_or_else(PoisonError::into_inner).expect("somebody who logged in")
    }

    /// Whether a replica runs and has a value for a credential.
    pub fn has(&self, replica: usize, credential: &str) -> bool {
        let ready = self.fleet.replica(replica).get("/readyz");
        ready.is_ok_and(|(status, text)| status == 200 && !text.contains(&format!("credential {credential}: no value")))
    }

    /// A turn with the model as the smallest client has it. A 401 ends the test, and so does any answer but the double's.
    pub fn turn(&self, pod: usize) -> Outcome {
        let body = json!({ "model": "m", "max_tokens": 8, "stream": true, "messages": [{ "role": "user", "content": "ping" }] });
        let args = ["-H", "Content-Type: application/json", "-d", &body.to_string()];
        let outcome = self.ask(pod, "access-token-stub", &args, "https://api.anthropic.com/v1/messages");
        if let Outcome::Answered(text) = &outcome {
            // The double says which token it was shown.
            assert!(text.contains("pong, access-token-stub"), "{text}");
            assert!(text.contains("message_stop"), "{text}");
        }
        outcome
    }

    /// A request with this stub.
    pub fn ask(&self, pod: usize, stub: &str, args: &[&str], url: &str) -> Outcome {
        let bearer = format!("Authorization: Bearer {stub}");
        let curl = self.fleet.client(pod, WAYS[pod]).curl().args(["-N", "-w", "\n%{http_code}", "-H", &bearer]);
        let ran = curl.args(args).arg(url).run();
        let text = ran.text();
        let (text, status) = text.rsplit_once('\n').unwrap_or_default();
        match (ran.status.success(), status) {
            (true, "200") => Outcome::Answered(text.to_owned()),
            (true, "503") => Outcome::Unready,
            (true, _) => panic!("{url} answered {status}: {text}"),
            (false, _) => Outcome::Broken(ran.errors()),
        }
    }

    /// The stubs of a credential, in the home of a Claude Code that never ran; they end at that time.
    pub fn lay_out_home(home: &Path, expires_at: u64) {
        let folder = home.join(".claude");
        std::fs::create_dir_all(&folder).expect("folder");
        let login = json!({ "claudeAiOauth": {
            "accessToken": "access-token-stub", "refreshToken": "refresh-token-stub", "expiresAt": expires_at,
            "scopes": SCOPES, "subscriptionType": "max", "rateLimitTier": "default_claude_max_5x",
        }});
        let file = folder.join(".credentials.json");
        std::fs::write(&file, login.to_string()).expect("write");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("mode");
        std::fs::write(home.join(".claude.json"), r#"{"hasCompletedOnboarding":true}"#).expect("write");
    }

    /// What Claude Code keeps of its login.
    pub fn login_in(home: &Path) -> Value {
        let text = std::fs::read_to_string(home.join(".claude/.credentials.json")).expect("the file");
        let mut file: Value = serde_json::from_str(&text).expect("JSON");
        file["claudeAiOauth"].take()
    }

    /// No token that was ever given is in a pod, on its link, in what the replicas wrote, or readable in the database.
    #[track_caller]
    pub fn nothing_real(&self) {
        let search = Search::new(&self.double.issued());
        let mut found = self.fleet.leaks(&search);
        found.extend(search.path(self.database.dir()));
        assert!(found.is_empty(), "{}", found.join("\n"));
        self.fleet.replica(1).audit();
    }

    /// Everybody who asked for tokens was a replica: no agent's exchange got through.
    #[track_caller]
    pub fn only_replicas_asked(&self) {
        let askers = self.double.decided().askers;
        assert!(askers.iter().all(|asker| asker.starts_with("stubgate/")), "{askers:?}");
    }
}

/// Waits until something is so.
#[track_caller]
pub fn within(seconds: u64, what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(50));
    }
}
