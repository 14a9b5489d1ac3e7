//! Which runtime trusts what: for each that is installed, the variables and stores that it reads, in its own order, and whether
//! what they lead to has every certificate of the bundle.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::Setting;
use super::report::Finding;
use crate::files;
use crate::setup;

/// Bytes of a store at most.
const LARGEST: u64 = 8 * 1024 * 1024;

/// The system's stores, below the root.
const SYSTEM: [&str; 3] = ["etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/cert.pem"];

/// Something that makes TLS connections in its own way.
struct Runtime {
    check: &'static str,
    /// Programs of which one must be installed for it to matter.
    programs: &'static [&'static str],
    /// What it reads: one that has all certificates suffices.
    stores: fn(&Setting) -> Vec<Store>,
}

/// Something that certificates are taken from.
struct Store {
    /// What leads there.
    via: &'static str,
    path: PathBuf,
}

const RUNTIMES: &[Runtime] = &[
    Runtime { check: "trust.git", programs: &["git"], stores: |setting| setting.first(&["GIT_SSL_CAINFO"], true) },
    Runtime {
        check: "trust.curl",
        programs: &["curl"],
        stores: |setting| setting.first(&["CURL_CA_BUNDLE", "SSL_CERT_FILE"], true),
    },
    Runtime { check: "trust.node", programs: &["node"], stores: node },
    Runtime { check: "trust.npm", programs: &["npm"], stores: npm },
    Runtime {
        check: "trust.python-requests",
        programs: &["python3", "python"],
        stores: |setting| setting.first(&["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"], false),
    },
    Runtime {
        check: "trust.python-httpx",
        programs: &["python3", "python"],
        stores: |setting| setting.first(&["SSL_CERT_FILE"], false),
    },
    Runtime {
        check: "trust.pip",
        programs: &["pip3", "pip"],
        stores: |setting| setting.first(&["PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"], false),
    },
    Runtime { check: "trust.uv", programs: &["uv"], stores: uv },
    Runtime { check: "trust.go", programs: &["go", "gh"], stores: |setting| setting.first(&["SSL_CERT_FILE"], true) },
    Runtime { check: "trust.java", programs: &["java"], stores: java },
    Runtime { check: "trust.deno", programs: &["deno"], stores: deno },
    Runtime {
        check: "trust.bun",
        programs: &["bun"],
        stores: |setting| setting.first(&["NODE_EXTRA_CA_CERTS"], false),
    },
    Runtime {
        check: "trust.cargo",
        programs: &["cargo"],
        stores: |setting| setting.first(&["CARGO_HTTP_CAINFO", "SSL_CERT_FILE"], true),
    },
    Runtime { check: "trust.claude", programs: &["claude"], stores: claude },
];

/// Looks at all of it.
pub(super) fn look(setting: &Setting) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Ok(agent) = &setting.agent {
        findings.push(match setup::trust::check(agent) {
            Ok(()) => Finding::ok("trust.setup", "what setup wrote is in order"),
            Err(why) => Finding::bad("trust.setup", why).advise("run `stubgate-agent setup`"),
        });
    }
    let bundle = match setting.bundle() {
        Ok(bundle) => bundle,
        Err(why) => {
            findings.push(Finding::bad("trust.bundle", why).advise("mount the bundle (`stubgate ca bundle`)"));
            return findings;
        }
    };
    findings.push(Finding::ok("trust.bundle", format!("{} certificates", bundle.len())));
    let installed = RUNTIMES.iter().filter(|runtime| setting.has_one_of(runtime.programs));
    findings.extend(installed.map(|runtime| judged(runtime, setting, &bundle)));
    findings
}

fn judged(runtime: &Runtime, setting: &Setting, bundle: &[CertificateDer<'static>]) -> Finding {
    let mut whys = Vec::new();
    for Store { via, path } in (runtime.stores)(setting) {
        match lacking(&path, bundle) {
            Ok(0) => return Finding::ok(runtime.check, format!("reads {} ({via})", path.display())),
            Ok(missing) => {
                let all = bundle.len();
                whys.push(format!("{} ({via}) lacks {missing} of {all} certificates", path.display()));
            }
            Err(why) => whys.push(format!("{} ({via}): {why}", path.display())),
        }
    }
    if whys.is_empty() {
        whys.push("no variable leads to the bundle, and it has certificates of its own".into());
    }
    Finding::bad(runtime.check, whys.join("; "))
        .advise("run `stubgate-agent setup`; give processes its environment file")
}

/// How many certificates of the bundle a store has not.
fn lacking(path: &Path, bundle: &[CertificateDer<'static>]) -> Result<usize, String> {
    let bytes = files::read_bounded(path, LARGEST).map_err(|error| error.to_string())?;
    if is_java(&bytes) {
        // Its certificates stand in it as they are; they are not encrypted.
        let has = |certificate: &CertificateDer<'_>| contains(&bytes, certificate);
        return Ok(bundle.iter().filter(|certificate| !has(certificate)).count());
    }
    let store = pem(&bytes)?;
    Ok(bundle.iter().filter(|certificate| !store.contains(certificate)).count())
}

/// A key store of Java: JKS, or PKCS #12.
fn is_java(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) || bytes.starts_with(&[0x30, 0x82]) || bytes.starts_with(&[0x30, 0x83])
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    let Some(begin) = part.get(..32) else { return false };
    let mut rest = bytes;
    while let Some(at) = rest.windows(begin.len()).position(|window| window == begin) {
        let Some(found) = rest.get(at..) else { return false };
        if found.starts_with(part) {
            return true;
        }
        rest = found.get(1..).unwrap_or_default();
    }
    false
}

/// The certificates of a file.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = files::read_bounded(path, LARGEST).map_err(|error| error.to_string())?;
    let found = pem(&bytes)?;
    if found.is_empty() { Err("it has no certificate".into()) } else { Ok(found) }
}

/// The certificates in a text, which may begin with something else.
pub(super) fn parsed(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    pem(bytes)
}

fn pem(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    all.map_err(|_| "it is no PEM".into())
}

impl Setting {
    /// The store that the first of these variables that is set leads to; the system's, where it reads that without them.
    fn first(&self, variables: &[&'static str], reads_system: bool) -> Vec<Store> {
        let set = variables.iter().find_map(|via| Some(Store { via, path: self.variable(via)?.into() }));
        set.or_else(|| reads_system.then(|| self.system()).flatten()).into_iter().collect()
    }

    fn system(&self) -> Option<Store> {
        let path = SYSTEM.iter().map(|path| self.root.join(path)).find(|path| path.exists())?;
        Some(Store { via: "the system's", path })
    }

    /// Whether a program of these is installed.
    pub(super) fn has_one_of(&self, programs: &[&str]) -> bool {
        programs.iter().any(|program| self.program(program).is_some())
    }

    /// Where a program is.
    pub(super) fn program(&self, program: &str) -> Option<PathBuf> {
        let folders = self.variable("PATH")?.split(':').filter(|folder| folder.starts_with('/'));
        folders.map(|folder| Path::new(folder).join(program)).find(|path| {
            fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
    }
}

fn node(setting: &Setting) -> Vec<Store> {
    let mut stores = setting.first(&["NODE_EXTRA_CA_CERTS"], false);
    let options = setting.variable("NODE_OPTIONS").unwrap_or_default();
    if options.contains("--use-system-ca") || options.contains("--use-openssl-ca") {
        stores.extend(setting.first(&["SSL_CERT_FILE"], true));
    }
    stores
}

fn npm(setting: &Setting) -> Vec<Store> {
    // Only this counts where it is set.
    let stores = setting.first(&["npm_config_cafile", "NPM_CONFIG_CAFILE"], false);
    if stores.is_empty() { node(setting) } else { stores }
}

fn uv(setting: &Setting) -> Vec<Store> {
    let is_on = |name| setting.variable(name).is_some_and(|value| matches!(value, "1" | "true" | "yes" | "on"));
    setting.first(&["SSL_CERT_FILE"], is_on("UV_NATIVE_TLS") || is_on("UV_SYSTEM_CERTS"))
}

fn java(setting: &Setting) -> Vec<Store> {
    const OPTION: &str = "-Djavax.net.ssl.trustStore=";
    let options = setting.variable("JAVA_TOOL_OPTIONS").unwrap_or_default();
    if let Some(path) = options.split_whitespace().find_map(|option| option.strip_prefix(OPTION)) {
        return vec![Store { via: "JAVA_TOOL_OPTIONS", path: path.into() }];
    }
    let home = setting.variable("JAVA_HOME").map(|home| Path::new(home).join("lib/security/cacerts"));
    let path = home.filter(|path| path.exists()).unwrap_or_else(|| setting.root.join("etc/ssl/certs/java/cacerts"));
    vec![Store { via: "Java's own", path }]
}

fn deno(setting: &Setting) -> Vec<Store> {
    let mut stores = setting.first(&["DENO_CERT"], false);
    if setting.variable("DENO_TLS_CA_STORE").is_some_and(|stores| stores.split(',').any(|store| store == "system")) {
        stores.extend(setting.first(&["SSL_CERT_FILE"], true));
    }
    stores
}

fn claude(setting: &Setting) -> Vec<Store> {
    let mut stores = setting.first(&["NODE_EXTRA_CA_CERTS"], false);
    stores.extend(setting.first(&["SSL_CERT_FILE"], false));
    if setting.variable("CLAUDE_CODE_CERT_STORE") != Some("bundled") {
        stores.extend(setting.system());
    }
    stores
}

#[cfg(test)]
mod tests;
