//! A pod of a cluster with a real CoreDNS behind `dns.forward`: what its resolvers find with the search list of a pod and
//! `ndots:5`, and that the cluster is asked only for what a `dns:` entry of policy names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use stubgate_tests::client::source;
use stubgate_tests::coredns::CoreDns;
use stubgate_tests::origin::Double;
use stubgate_tests::world::POLICY;
use stubgate_tests::{Lab, Shared, Way, World};

/// Where a cluster has its name server.
const CLUSTER: Ipv4Addr = Ipv4Addr::new(10, 43, 0, 10);
/// The address of a service that a rule names; only the cluster's name server knows it.
const VAULT: Ipv4Addr = Ipv4Addr::new(10, 43, 7, 7);

/// What the pod, of the namespace `agents`, may do in the cluster.
const DNS: &str = r#"dns:
  - agents: [pod]
    names: [db.agents.svc.cluster.local, "*.db.agents.svc.cluster.local", many.agents.svc.cluster.local]
    types: [A, AAAA]
  - agents: [pod]
    names: [registry.tools.svc.cluster.local]
    types: [A]
  - agents: [pod]
    names: [_postgres._tcp.db.agents.svc.cluster.local]
    types: [SRV]
  - agents: [pod]
    names: [alias.agents.svc.cluster.local, abroad.agents.svc.cluster.local, metadata.agents.svc.cluster.local]
    types: [A, AAAA, CNAME]
"#;
const RULE: &str = "  - name: vault
    agents: [pod]
    hosts: [vault.tools.svc.cluster.local]
    methods: [GET]
";

/// A service without an address of its own has those of its pods.
const DB: [&str; 3] = ["10.42.1.1", "10.42.1.2", "10.42.1.3"];

fn zone(db: &[&str]) -> String {
    let mut zone = format!(
        "kubernetes.default.svc A 10.43.0.1\n_https._tcp.kubernetes.default.svc SRV 0 100 443 kubernetes.default.svc\n\
         dns-version TXT \"1.1.0\"\nregistry.tools.svc A 10.43.7.6\nvault.tools.svc A {VAULT}\n\
         secrets.vault.svc A 10.43.7.9\nalias.agents.svc CNAME db.agents.svc\nabroad.agents.svc CNAME forbidden.example.\n\
         metadata.agents.svc A 169.254.169.254\n_postgres._tcp.db.agents.svc SRV 0 33 5432 db-0.db.agents.svc\n"
    );
    for (at, address) in db.iter().enumerate() {
        write!(zone, "db.agents.svc A {address}\ndb-{at}.db.agents.svc A {address}\n").unwrap();
    }
    for last in 1..=120 {
        writeln!(zone, "many.agents.svc A 10.42.2.{last}").unwrap();
    }
    zone
}

#[derive(Debug)]
struct Cluster {
    world: World,
    vault: Double,
    names: CoreDns,
    /// One program, of glibc and of musl.
    lookups: [PathBuf; 2],
}

impl AsRef<Lab> for Cluster {
    fn as_ref(&self) -> &Lab {
        &self.world.lab
    }
}

impl Cluster {
    fn new() -> Cluster {
        let policy = format!("{POLICY}{RULE}{DNS}");
        let forward = format!("dns:\n  forward:\n    - zones: [\"cluster.local\"]\n      to: [\"{CLUSTER}:53\"]");
        let vault = Double::open("vault.tools.svc.cluster.local");
        let world = World::build(|builder| {
            let addresses = [IpAddr::V4(CLUSTER), IpAddr::V4(VAULT)];
            builder.addresses(&addresses).origin(vault.clone()).policy(&policy).configuration(&forward)
        });
        let lab = &world.lab;
        let names = CoreDns::start(lab.internet(), CLUSTER.into(), &zone(&DB));
        // A service's address leads to its pod, as kube-proxy has it.
        let dig = lab.internet().program("dig").args(["+short", "@20.0.0.53", "vault.tools.svc.cluster.local"]);
        let pod = dig.run().success();
        let table = format!(
            "table ip services {{ chain svc {{ type nat hook prerouting priority dstnat; \
             ip daddr {VAULT} tcp dport 443 dnat to {}; }}; }}\n",
            pod.trim()
        );
        let file = lab.internet().dir().join("services.nft");
        std::fs::write(&file, table).unwrap();
        lab.internet().plumb(&format!("nft -f {}", file.display()));
        // Addresses of services are private: reaching them is the operator's to allow.
        let appliance = lab.appliance();
        let path = appliance.dir().join("stubgate.yaml");
        let private =
            "upstream:\n  allow_private: [{ hosts: [vault.tools.svc.cluster.local], networks: [10.43.0.0/16] }]\n";
        let text = std::fs::read_to_string(&path).unwrap().replace("upstream:\n", private);
        std::fs::write(&path, text).unwrap();
        appliance.kill();
        appliance.start();
        let lookups = ["cc", "musl-gcc"].map(|compiler| {
            let out = lab.pod().dir().join(format!("lookup-{compiler}"));
            let mut build = Command::new(compiler);
            build.arg("-O1").arg(source("clients/lookup.c")).arg("-o").arg(&out);
            if compiler == "musl-gcc" {
                build.arg("-static");
            }
            assert!(build.status().expect("a C compiler").success(), "{compiler}");
            out
        });
        Cluster { world, vault, names, lookups }
    }

    fn dig(&self, args: &[&str]) -> String {
        self.world.lab.pod().program("dig").args(["+tries=1", "+time=5"]).args(args).run().success()
    }

    /// What every resolver of the pod finds for names, in their order, by resolver: sorted, and empty for none.
    fn found(&self, names: &[&str]) -> Vec<(&'static str, Vec<Vec<String>>)> {
        let pod = self.world.lab.pod();
        let script = "
import socket, sys
for name in sys.argv[1:]:
    try:
        print(name, *{found[4][0] for found in socket.getaddrinfo(name, 443)})
    except socket.gaierror:
        print(name, 'none')
";
        let lines = |text: String| {
            let line = |line: &str| -> Vec<String> {
                let found: BTreeSet<&str> = line.split(' ').skip(1).filter(|word| *word != "none").collect();
                found.into_iter().map(str::to_owned).collect()
            };
            text.lines().map(line).collect::<Vec<_>>()
        };
        let [glibc, musl] = &self.lookups;
        let getent = |name: &str| -> Vec<String> {
            let ran = pod.program("getent").args(["ahosts", name]).run();
            let found: BTreeSet<String> =
                ran.text().lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect();
            found.into_iter().collect()
        };
        vec![
            ("glibc", lines(pod.program(glibc).args(names).run().success())),
            ("musl", lines(pod.program(musl).args(names).run().success())),
            ("python", lines(pod.program("/usr/bin/python3").args(["-c", script]).args(names).run().success())),
            ("getent", names.iter().map(|name| getent(name)).collect()),
        ]
    }

    /// The names that the cluster was asked for.
    fn asked(&self) -> BTreeSet<String> {
        self.names.questions().iter().filter_map(|asked| Some(asked.split_once(' ')?.1.to_owned())).collect()
    }
}

static CLUSTER_LAB: Shared<Cluster> = Shared::new(Cluster::new);

#[test]
fn short_names_of_granted_services_are_found_by_the_search_list() {
    CLUSTER_LAB.test(|cluster| {
        cluster.names.forget();
        let forms = [
            "db",
            "db.agents",
            "db.agents.svc",
            "db.agents.svc.cluster.local",
            "db.agents.svc.cluster.local.",
            "DB.Agents",
        ];
        for (resolver, found) in cluster.found(&forms) {
            assert!(found.iter().all(|found| *found == DB), "{resolver}: {found:?}");
        }
        for (resolver, found) in cluster.found(&["db-1.db", "registry.tools", "registry.tools.svc.cluster.local"]) {
            assert_eq!(found, [["10.42.1.2"], ["10.43.7.6"], ["10.43.7.6"]], "{resolver}");
        }
        let granted =
            ["db.agents.svc.cluster.local", "db-1.db.agents.svc.cluster.local", "registry.tools.svc.cluster.local"];
        assert_eq!(
            cluster.asked(),
            BTreeSet::from(granted.map(str::to_owned)),
            "the search list is walked by the appliance alone"
        );
        let questions = cluster.names.questions();
        assert!(!questions.contains(&"AAAA registry.tools.svc.cluster.local".into()), "a type that no entry names");
    });
}

#[test]
fn names_of_the_world_are_answered_past_the_search_list_without_asking_the_cluster() {
    CLUSTER_LAB.test(|cluster| {
        cluster.names.forget();
        let begun = Instant::now();
        for (resolver, found) in
            cluster.found(&["api.github.com", "github.com", "forbidden.example", "api.github.com."])
        {
            let advertised: &[&str] = &["10.99.0.1"];
            assert_eq!(found, [advertised, advertised, &[], advertised], "{resolver}");
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(cluster.names.questions(), Vec::<String>::new());
        let status = cluster.world.lab.client(Way::Dns).curl_status().arg("https://other.example/");
        assert_eq!(status.run().success(), "200");
        assert_eq!(cluster.names.questions(), Vec::<String>::new());
    });
}

#[test]
fn what_no_entry_names_is_not_asked_of_the_cluster() {
    CLUSTER_LAB.test(|cluster| {
        cluster.names.forget();
        let outside = cluster.world.lab.names().questions().len();
        for transport in ["+notcp", "+tcp"] {
            for (name, kind) in [
                ("kubernetes.default.svc.cluster.local", "A"),
                ("_https._tcp.kubernetes.default.svc.cluster.local", "SRV"),
                ("dns-version.cluster.local", "TXT"),
                ("cluster.local", "NS"),
                ("cluster.local", "SOA"),
                ("any.any.svc.cluster.local", "SRV"),
                ("*.agents.svc.cluster.local", "A"),
                ("secrets.vault.svc.cluster.local", "A"),
                ("stolen-words.agents.svc.cluster.local", "A"),
                ("two.labels.db.agents.svc.cluster.local", "A"),
                ("db.agents.svc.cluster.local", "TXT"),
                ("db.agents.svc.cluster.local", "SRV"),
                ("db.agents.svc.cluster.local", "HTTPS"),
                ("registry.tools.svc.cluster.local", "AAAA"),
                ("db.agents.svc.cluster.local.evil.example", "A"),
                ("xcluster.local", "A"),
                ("1.0.43.10.in-addr.arpa", "PTR"),
                ("10.0.43.10.in-addr.arpa", "PTR"),
            ] {
                let answer = cluster.dig(&[transport, name, kind]);
                assert!(answer.contains("ANSWER: 0"), "{name} {kind}: {answer}");
                assert!(answer.contains("NXDOMAIN") || answer.contains("NOERROR"), "{name} {kind}: {answer}");
            }
        }
        for (resolver, found) in
            cluster.found(&["kubernetes.default", "kubernetes.default.svc", "secrets.vault", "words"])
        {
            assert!(found.iter().all(Vec::is_empty), "{resolver}: {found:?}");
        }
        let reverse = "import socket\ntry: print(socket.gethostbyaddr('10.43.0.1'))\nexcept OSError: print('none')\n";
        let python = cluster.world.lab.pod().program("/usr/bin/python3").args(["-c", reverse]);
        assert_eq!(python.run().success().trim(), "none");
        let transfer = cluster.world.lab.pod().program("dig").args(["+tries=1", "cluster.local", "AXFR"]);
        assert!(transfer.run().text().contains("ransfer failed"));
        assert_eq!(cluster.names.questions(), Vec::<String>::new());
        assert_eq!(cluster.world.lab.names().questions().len(), outside, "nor the world");
    });
}

#[test]
fn a_granted_type_is_answered_whole_whatever_its_size() {
    CLUSTER_LAB.test(|cluster| {
        let service = cluster.dig(&["+short", "_postgres._tcp.db.agents.svc.cluster.local", "SRV"]);
        assert_eq!(service.trim(), "0 33 5432 db-0.db.agents.svc.cluster.local.");
        let cut = cluster.dig(&["+notcp", "+ignore", "many.agents.svc.cluster.local"]);
        assert!(cut.lines().any(|line| line.contains("flags:") && line.contains(" tc")), "{cut}");
        let whole = cluster.dig(&["+short", "many.agents.svc.cluster.local"]);
        assert_eq!(whole.lines().count(), 120);
        for (resolver, found) in cluster.found(&["many"]) {
            // musl asks again over TCP from 1.2.4 on.
            assert!(found[0].len() == 120 || resolver == "musl", "{resolver}: {}", found[0].len());
        }
    });
}

/// Its servers are trusted with their zone and no more, whoever wrote a record there.
#[test]
fn an_answer_that_leads_out_of_the_cluster_is_refused() {
    CLUSTER_LAB.test(|cluster| {
        assert_eq!(cluster.dig(&["+short", "alias.agents.svc.cluster.local"]).lines().count(), 1 + DB.len());
        for name in ["abroad.agents.svc.cluster.local", "metadata.agents.svc.cluster.local"] {
            let answer = cluster.dig(&[name]);
            assert!(answer.contains("SERVFAIL") && answer.contains("ANSWER: 0"), "{answer}");
        }
        for (resolver, found) in cluster.found(&["alias", "abroad"]) {
            assert_eq!(found, [&DB[..], &[]], "{resolver}");
        }
    });
}

#[test]
fn a_service_that_a_rule_names_is_reached_through_the_appliance_alone() {
    CLUSTER_LAB.test(|cluster| {
        let (lab, name) = (&cluster.world.lab, "vault.tools.svc.cluster.local");
        cluster.names.forget();
        for form in ["vault.tools", "vault.tools.svc", name] {
            for (resolver, found) in cluster.found(&[form]) {
                assert_eq!(found, [["10.99.0.1"]], "{resolver} {form}");
            }
        }
        assert_eq!(cluster.names.questions(), Vec::<String>::new(), "asked before a request was allowed");
        let curl = |url: &str| lab.client(Way::Dns).curl_status().arg(url).run().text();
        assert_eq!(curl(&format!("https://{name}/")), "200");
        assert_eq!(cluster.asked(), BTreeSet::from([name.to_owned()]), "dialled by the zone's own server");
        let world = lab.names().questions();
        // Once, by the lab itself, which looked for the pod of the service.
        assert_eq!(world.iter().filter(|asked| asked.name == name).count(), 1);
        cluster.vault.memory.forget();
        // The name in TLS is the one that was written, and no rule has it.
        assert_eq!(curl("https://vault.tools/"), "000");
        assert!(cluster.vault.memory.recall().requests.is_empty());
        let proxied = lab.client(Way::Proxy).curl_status().arg(format!("https://{name}/"));
        assert_eq!(proxied.run().success(), "200");
    });
}

#[test]
fn pods_that_come_and_go_are_seen_as_the_cluster_says() {
    CLUSTER_LAB.test(|cluster| {
        let gone = cluster.dig(&["db-7.db.agents.svc.cluster.local"]);
        assert!(gone.contains("status: NXDOMAIN") && gone.contains("SOA"), "{gone}");
        cluster.names.zone(&zone(&["10.42.3.9"]));
        let found = |name: &str| cluster.dig(&["+short", name]).trim().to_owned();
        cluster.world.lab.appliance().until("the new pod", || found("db.agents.svc.cluster.local") == "10.42.3.9");
        assert_eq!(found("db-2.db.agents.svc.cluster.local"), "");
        cluster.names.zone(&zone(&DB));
        let all = || found("db.agents.svc.cluster.local").lines().count() == DB.len();
        cluster.world.lab.appliance().until("the old pods", all);
    });
}

#[test]
fn without_the_clusters_dns_the_world_is_found_as_fast() {
    CLUSTER_LAB.test(|cluster| {
        cluster.names.stop();
        let begun = Instant::now();
        for (resolver, found) in cluster.found(&["api.github.com", "github.com"]) {
            assert_eq!(found, [["10.99.0.1"], ["10.99.0.1"]], "{resolver}");
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let answer = cluster.dig(&["db.agents.svc.cluster.local"]);
        assert!(answer.contains("status: SERVFAIL"), "{answer}");
        cluster.names.resume();
        for (resolver, found) in cluster.found(&["db"]) {
            assert_eq!(found, [DB], "{resolver}");
        }
    });
}
