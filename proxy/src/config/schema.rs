//! JSON Schema of stubgate.yaml, for editors: made from the lists of keys that the reader takes, so that none is
//! forgotten. It says less than `stubgate config check`: what fits together is for that.

use serde_json::{Map, Value, json};
use stubgate_policy::schema::document;

use super::compile::{AUDIT_KEYS, DNS_KEYS, KEYS};
use super::upstream::{FORWARD_KEYS, GRANT_KEYS};
use super::{Limits, Timeouts, audit, ca, escrow, kubernetes, listen, process, stubs, upstream};

/// Of stubgate.yaml.
pub fn schema() -> Value {
    document("stubgate.yaml", map(KEYS, &["listen", "policy"], root))
}

type Described = Option<(&'static str, Value)>;

/// A map with these keys and no others. A key without a description is left out, which a test finds.
fn map(keys: &[&str], required: &[&str], describe: impl Fn(&str) -> Described) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let Some((about, Value::Object(mut schema))) = describe(key) else { continue };
        schema.insert("description".into(), json!(about));
        properties.insert((*key).to_owned(), Value::Object(schema));
    }
    let mut whole = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if let (false, Some(whole)) = (required.is_empty(), whole.as_object_mut()) {
        whole.insert("required".into(), json!(required));
    }
    whole
}

fn text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items, "uniqueItems": true })
}

fn full_list(items: &Value) -> Value {
    json!({ "type": "array", "items": items, "uniqueItems": true, "minItems": 1 })
}

/// An IP address and a port.
fn address() -> Value {
    json!({ "type": "string", "pattern": "^([0-9.]+|\\[[0-9A-Fa-f:.%]+\\]):[0-9]{1,5}$" })
}

fn number(low: u64, high: u64) -> Value {
    json!({ "type": "integer", "minimum": low, "maximum": high })
}

fn root(key: &str) -> Described {
    Some(match key {
        "listen" => ("Where to accept connections and queries.", map(listen::KEYS, &[], door)),
        "advertise" => ("The addresses under which agents reach stubgate: what DNS answers with.", list(&text())),
        "policy" => (
            "Policy files, and folders of which every *.yaml is read, without leading dot and not recursed; merged.",
            full_list(&text()),
        ),
        "state_dir" => ("What must survive a restart lies here. Default /var/lib/stubgate.", text()),
        "ca" => ("The operator's own certificate authority; left out, one is made in state_dir.", ca()),
        "dns" => ("Zones whose questions go to other servers.", map(DNS_KEYS, &[], dns)),
        "limits" => ("How much of everything.", numbers(Limits::KEYS, Limits::ABOUT)),
        "timeouts" => ("How long for everything, in whole seconds.", numbers(Timeouts::KEYS, Timeouts::ABOUT)),
        "upstream" => ("How origins are found, reached and trusted.", map(upstream::KEYS, &[], origin)),
        "audit" => ("Where records of decisions go.", map(AUDIT_KEYS, &[], records)),
        "escrow" => {
            ("Where OAuth logins are kept, and the key that they are sealed with.", map(escrow::KEYS, &[], kept))
        }
        "kubernetes" => (
            "The cluster whose pods agents are known by; `{}` asks as the own service account.",
            map(kubernetes::KEYS, &[], cluster),
        ),
        "stubs" => ("What stubs are minted with, for several replicas; left out, it is in state_dir.", own_stubs()),
        "process" => ("As whom the appliance runs, and what it must be locked down to.", map(process::KEYS, &[], own)),
        _ => return None,
    })
}

fn door(key: &str) -> Described {
    let about = match key {
        "dns" => "DNS over UDP and TCP, such as 0.0.0.0:53.",
        "http" => "Plain HTTP, such as 0.0.0.0:80.",
        "https" => "TLS; the name comes from the ClientHello. Such as 0.0.0.0:443.",
        "proxy" => "CONNECT, absolute-form and SOCKS5 on one port, such as 0.0.0.0:3128.",
        "transparent" => return Some((REDIRECTED, list(&redirected()))),
        "admin" => "/metrics, /healthz and /readyz; keep it from agents. Default 127.0.0.1:9090.",
        _ => return None,
    };
    Some((about, list(&address())))
}

const REDIRECTED: &str = "Connections that the system redirects, TLS or plain HTTP: an address for REDIRECT, such as \
                          0.0.0.0:15001, or { tproxy: address }. The original destination is recorded, never dialled.";

fn redirected() -> Value {
    let key = listen::TPROXY;
    let mut either =
        map(&[key], &[key], |_| Some(("Where TPROXY hands connections over; takes CAP_NET_ADMIN.", address())));
    if let (Some(either), Value::Object(address)) = (either.as_object_mut(), address()) {
        // What is said of texts and what is said of maps do not meet.
        either.extend(address);
        either.insert("type".into(), json!(["string", "object"]));
    }
    either
}

fn ca() -> Value {
    map(ca::KEYS, &[], |key| {
        Some(match key {
            "certificate_file" => ("PEM, the issuing certificate first.", text()),
            "key_file" => ("PEM, readable by nobody else.", text()),
            "name_constraints" => (
                "Names, each with all below it, that a CA which is made may sign for, and no addresses. Default: any.",
                full_list(&text()),
            ),
            "bundle_file" => ("Where the certificates that agents must trust are kept, for others to mount.", text()),
            "overlap_seconds" => ("The new CA signs after this, whoever was not seen. Default 86400.", seconds()),
            "overlap_least_seconds" => ("The new CA signs no earlier than this. Default 900.", seconds()),
            _ => return None,
        })
    })
}

fn seconds() -> Value {
    let (low, high) = ca::OVERLAP;
    json!({ "type": "integer", "minimum": low, "maximum": high })
}

fn own_stubs() -> Value {
    map(stubs::KEYS, &[], |key| {
        Some(match key {
            "key_file" => ("64 hexadecimal digits, readable by nobody else. Default: stub.key in state_dir.", text()),
            "revoked_file" => ("Stubs that were called back. Default: stubs/revoked in state_dir.", text()),
            _ => return None,
        })
    })
}

fn dns(key: &str) -> Described {
    let entry = map(FORWARD_KEYS, FORWARD_KEYS, |key| {
        Some(match key {
            "zones" => ("Zones without wildcards, none in two entries.", full_list(&text())),
            "to" => ("Servers, asked in this order.", full_list(&address())),
            _ => return None,
        })
    });
    let about = "Only says where questions go; who may ask what stands in policy, under `dns`.";
    (key == "forward").then(|| (about, json!({ "type": "array", "items": entry })))
}

fn numbers(keys: &[&str], about: &'static [(&str, &str, u64, u64, u64)]) -> Value {
    map(keys, &[], |key| {
        let (_, about, low, default, high) = about.iter().find(|(name, ..)| *name == key)?;
        let mut schema = number(*low, *high);
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("default".into(), json!(default));
        }
        Some((about.trim(), schema))
    })
}

fn origin(key: &str) -> Described {
    Some(match key {
        "nameservers" => ("Servers for names outside the forwarded zones. Default: the system's.", list(&address())),
        "ca_files" => ("PEM files of roots that are trusted besides the system's.", list(&text())),
        "connect_to" => (
            "HOST:PORT, and the address that is dialled in its place, as curl's --connect-to.",
            json!({ "type": "object", "additionalProperties": address() }),
        ),
        "allow_private" => ("Hosts that may be at private addresses.", json!({ "type": "array", "items": grant() })),
        _ => return None,
    })
}

fn grant() -> Value {
    map(GRANT_KEYS, GRANT_KEYS, |key| {
        Some(match key {
            "hosts" => ("Exact names or addresses, without scheme and port.", full_list(&text())),
            "networks" => ("Parts of the private ranges, such as 10.1.2.0/24.", full_list(&text())),
            _ => return None,
        })
    })
}

fn records(key: &str) -> Described {
    let entry = map(audit::KEYS, &["path"], |key| {
        Some(match key {
            "path" => ("A file, or `-` for standard output. JSON, one record a line.", text()),
            "max_bytes" => ("The file is exchanged for a new one at this size.", number(65_536, 1 << 50)),
            "keep" => ("Old files kept, with max_bytes. Default 5.", number(1, 10_000)),
            "durable" => (
                "Whether a record counts as written only after fdatasync. Default false.",
                json!({ "type": "boolean" }),
            ),
            _ => return None,
        })
    });
    (key == "files").then(|| ("Default: standard output.", full_list(&entry)))
}

fn cluster(key: &str) -> Described {
    let (least, default, most) = kubernetes::STALE_AFTER;
    Some(match key {
        "kubeconfig" => ("How the API server is reached. Default: as the service account of the own pod.", text()),
        "context" => ("Which context of `kubeconfig`. Default: the current one.", text()),
        "namespaces" => ("Where pods are watched. Default: in all namespaces.", full_list(&text())),
        "stale_after_seconds" => {
            let mut seconds = number(least, most);
            if let Some(seconds) = seconds.as_object_mut() {
                seconds.insert("default".into(), json!(default));
            }
            ("How long agents are known by pods that can't be watched; then they are refused.", seconds)
        }
        _ => return None,
    })
}

fn own(key: &str) -> Described {
    Some(match key {
        "user" => (
            "Whom it becomes once its sockets are open, where it starts as root: a name, or numbers such as 65532:65532.",
            text(),
        ),
        "require_lockdown" => (
            "Whether it refuses to start where a part of the lock-down is not to be had. Default false.",
            json!({ "type": "boolean" }),
        ),
        "credential_folders" => (
            "Folders that later policies may read credentials from, besides those of the policy at the start.",
            list(&text()),
        ),
        _ => return None,
    })
}

fn kept(key: &str) -> Described {
    Some(match key {
        "store" => ("`sqlite` (the default, in state_dir), or a PostgreSQL that several replicas share.", store()),
        "key" => {
            let mut key = map(escrow::SOURCES, &[], sealing);
            if let Some(key) = key.as_object_mut() {
                key.insert("minProperties".into(), json!(1));
                key.insert("maxProperties".into(), json!(1));
            }
            ("32 bytes, raw or in base64. Default: made in state_dir.", key)
        }
        _ => return None,
    })
}

fn store() -> Value {
    let mut either = map(escrow::STORES, escrow::STORES, |_| {
        Some(("A database: url_file, or host, database and user.", map(escrow::POSTGRES, &[], database)))
    });
    if let Some(either) = either.as_object_mut() {
        // What is said of texts and what is said of maps do not meet.
        either.insert("type".into(), json!(["string", "object"]));
        either.insert("pattern".into(), json!("^sqlite$"));
    }
    either
}

fn database(key: &str) -> Described {
    Some(match key {
        "url_file" => ("A file with postgres://USER:PASSWORD@HOST:PORT/DATABASE.", text()),
        "host" => ("Its name or address.", text()),
        "port" => ("Its port. Default 5432.", number(1, 65_535)),
        "database" => ("The database's name.", text()),
        "user" => ("Who stubgate is there.", text()),
        "password_file" => ("The file with the password; read anew for each connection.", text()),
        "ca_file" => {
            ("PEM of who its certificate is verified by, besides the roots that are trusted for origins.", text())
        }
        _ => return None,
    })
}

fn sealing(key: &str) -> Described {
    Some(match key {
        "file" => ("A file with the key: a Kubernetes Secret, a systemd credential.", text()),
        "exec" => (
            "A program that writes the key to its standard output; run once at the start, without a shell.",
            json!({ "type": "array", "items": text(), "minItems": 1 }),
        ),
        "passphrase_file" => {
            ("A file with a passphrase of 16 bytes or more, stretched with scrypt. For one machine.", text())
        }
        _ => return None,
    })
}
