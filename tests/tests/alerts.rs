//! A real Prometheus with the real alerting rules scrapes the appliance, and a person would be told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use stubgate_tests::builder::fresh_secret;
use stubgate_tests::origin::Double;
use stubgate_tests::program::Running;
use stubgate_tests::{Lab, Shared, Way};

static WATCHED: Shared<Watched> = Shared::new(Watched::start);

const POLICY: &str = r#"version: 1
agents:
  pod: { sources: ["10.99.0.2/32"] }
credentials:
  github:
    stub: proxy-token-github
    slots: [bearer]
    hosts: [api.github.com]
    source: { file: "@SECRETS@/github" }
rules:
  - { name: api, agents: [pod], hosts: [api.github.com], methods: [GET], credentials: [github] }
  - { name: other, agents: [pod], hosts: [other.example], methods: [GET] }
"#;

/// A minute and a half at most with Prometheus' defaults; here it looks every second.
const TOLD: Duration = Duration::from_secs(15);

/// An appliance that a Prometheus on its machine watches.
struct Watched {
    lab: Lab,
    other: Double,
    _prometheus: Mutex<Running>,
}

impl AsRef<Lab> for Watched {
    fn as_ref(&self) -> &Lab {
        &self.lab
    }
}

impl Watched {
    fn start() -> Watched {
        let secret = fresh_secret("github");
        let other = Double::open("other.example");
        let lab = Lab::new()
            .origin(Double::demanding("api.github.com", &secret))
            .origin(other.clone())
            .credential("github", &secret)
            .policy(POLICY)
            .start();
        let dir = lab.pod().dir().join("prometheus");
        std::fs::create_dir_all(&dir).expect("folder");
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus/alerts.yaml");
        let rules = rules.canonicalize().expect("the rules that users install");
        let configuration = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs:\n  - job_name: stubgate\n    static_configs: [{{ targets: [\"127.0.0.1:9090\"] }}]\n",
            rules.display()
        );
        std::fs::write(dir.join("prometheus.yml"), configuration).expect("write");
        let prometheus = lab.appliance().program("prometheus").dir(&dir).args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:9191",
            "--log.level=warn",
        ]);
        let watched = Watched { other, _prometheus: Mutex::new(prometheus.spawn()), lab };
        watched.until("a scrape and an evaluation of every rule", || {
            let groups = watched.ask("/api/v1/rules");
            let groups = groups["data"]["groups"].as_array().cloned().unwrap_or_default();
            let rules: Vec<Value> =
                groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
            let up = watched.ask("/api/v1/query?query=up==1");
            !rules.is_empty()
                && rules.iter().all(|rule| rule["health"] == "ok")
                && up["data"]["result"].as_array().is_some_and(|found| found.len() == 1)
        });
        watched
    }

    /// What Prometheus' API answers; null while nobody does.
    fn ask(&self, path: &str) -> Value {
        let curl = self.lab.appliance().program("curl").args(["-sS", "--globoff", "--max-time", "5"]);
        let ran = curl.arg(format!("http://127.0.0.1:9191{path}")).run();
        serde_json::from_slice(&ran.stdout).unwrap_or_default()
    }

    /// The alerts in a state, by name.
    fn alerts(&self, state: &str) -> Vec<(String, Value)> {
        let alerts = self.ask("/api/v1/alerts");
        let alerts = alerts["data"]["alerts"].as_array().expect("Prometheus answers").clone();
        let in_state = alerts.into_iter().filter(|alert| alert["state"] == state);
        in_state.map(|alert| (alert["labels"]["alertname"].as_str().unwrap().to_owned(), alert)).collect()
    }

    fn names(&self, state: &str) -> Vec<String> {
        self.alerts(state).into_iter().map(|(name, _)| name).collect()
    }

    #[track_caller]
    fn until(&self, what: &str, so: impl Fn() -> bool) {
        let deadline = Instant::now() + TOLD;
        while !so() {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn a_tripwire_fires_the_alert_that_users_install() {
    WATCHED.test(|watched| {
        let client = watched.lab.client(Way::Dns);
        let honest = client.curl_status().args(["-H", "Authorization: Bearer proxy-token-github"]);
        assert_eq!(honest.arg("https://api.github.com/").run().success(), "200");
        let scrapes = || watched.ask("/api/v1/query?query=count_over_time(up[1m])>=2");
        watched.until("two scrapes of a quiet appliance", || {
            scrapes()["data"]["result"].as_array().is_some_and(|found| !found.is_empty())
        });
        let firing = watched.names("firing");
        assert!(firing.is_empty(), "nothing has happened: {firing:?}");

        let stolen = client.curl_status().args(["-H", "Authorization: Bearer proxy-token-github"]);
        assert_eq!(stolen.arg("https://other.example/collect").run().success(), "403");
        watched.until("the alert", || watched.names("firing") == ["StubgateTripwire"]);
        let (_, alert) = watched.alerts("firing").remove(0);
        assert_eq!(alert["labels"]["severity"], "critical");
        assert_eq!(alert["labels"]["reason"], "stub_wrong_host");
        let told = &alert["annotations"];
        assert_eq!(told["summary"], "A tripwire fired at stubgate 127.0.0.1:9090: stub_wrong_host.");
        let runbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(told["runbook_url"].as_str().unwrap());
        assert!(runbook.is_file(), "{}", runbook.display());
        assert!(!watched.other.memory.saw("proxy-token-github"), "and nothing left");
    });
}

#[test]
fn a_broken_policy_waits_for_its_time_and_goes_when_it_is_mended() {
    WATCHED.test(|watched| {
        let name = "StubgatePolicyNotTaken".to_owned();
        watched.lab.appliance().write_policy("version: 1\nrulez: []\n");
        watched.until("the alert to be pending", || watched.names("pending").contains(&name));
        assert!(!watched.names("firing").contains(&name), "somebody may be at it: two minutes first");
        watched.lab.appliance().policy(POLICY);
        watched.until("the alert to go", || !watched.names("pending").contains(&name));
    });
}
