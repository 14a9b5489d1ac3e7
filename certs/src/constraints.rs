//! The names that a CA may sign for (RFC 5280 4.2.1.10), where its certificate says so.
//!
//! Clients refuse a leaf outside of them, each in its own words; so such a leaf is not signed in the first place, and who
//! asked is told why. A CA that is made here with constraints permits DNS subtrees only, and no IP address at all.

use std::net::IpAddr;

use rcgen::{CidrSubnet, GeneralSubtree};
use rustls_pki_types::DnsName;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::authority::CaError;
use crate::leaf::LeafName;

/// Subtrees at most: each client looks through all of them in each handshake.
pub const MOST_SUBTREES: usize = 1000;

/// DNS subtrees that a new CA is held to. Empty: none, it may sign for any name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subtrees(Vec<String>);

impl Subtrees {
    /// From names such as `github.com`, each of which stands for itself and everything below it. What a longer one adds
    /// nothing to is left out.
    ///
    /// # Errors
    /// The first that is no canonical name (ASCII lower case, no wildcard, no dot at either end, no IP address), or the
    /// first that is too many.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, String> {
        let mut all: Vec<String> = Vec::new();
        for name in names {
            let is_name =
                !name.starts_with('.') && DnsName::try_from(name).is_ok() && LeafName::Dns(name).is_canonical();
            if !is_name || all.len() >= MOST_SUBTREES {
                return Err(name.to_owned());
            }
            if !all.iter().any(|subtree| is_within(name, subtree)) {
                all.retain(|subtree| !is_within(subtree, name));
                all.push(name.to_owned());
            }
        }
        all.sort();
        Ok(Self(all))
    }

    /// Whether any name may be signed for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The subtrees, sorted.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    pub(crate) fn extension(&self) -> Option<rcgen::NameConstraints> {
        if self.0.is_empty() {
            return None;
        }
        Some(rcgen::NameConstraints {
            permitted_subtrees: self.0.iter().cloned().map(GeneralSubtree::DnsName).collect(),
            // Constraints on names say nothing about addresses, so that any of them could be signed for.
            excluded_subtrees: vec![
                GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
                GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
            ],
        })
    }
}

/// What a CA certificate permits and excludes, of the kinds of names that leaves have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Constraints {
    permitted: Kinds,
    excluded: Kinds,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kinds {
    names: Vec<String>,
    /// Address and mask, 8 or 32 bytes.
    networks: Vec<Box<[u8]>>,
}

impl Constraints {
    /// As the certificate has them.
    pub(crate) fn of(certificate: &X509Certificate<'_>) -> Result<Self, CaError> {
        let found = certificate.name_constraints().map_err(|_| CaError::Certificate)?;
        let Some(found) = found else { return Ok(Self::default()) };
        let kinds = |subtrees: Option<&Vec<x509_parser::extensions::GeneralSubtree<'_>>>| {
            let mut kinds = Kinds::default();
            for subtree in subtrees.into_iter().flatten() {
                match &subtree.base {
                    GeneralName::DNSName(name) => kinds.names.push(name.to_ascii_lowercase()),
                    GeneralName::IPAddress(network) => kinds.networks.push((*network).into()),
                    // Leaves have no names of other kinds.
                    _ => {}
                }
            }
            kinds
        };
        Ok(Self {
            permitted: kinds(found.value.permitted_subtrees.as_ref()),
            excluded: kinds(found.value.excluded_subtrees.as_ref()),
        })
    }

    /// Whether clients take a leaf for this name.
    pub(crate) fn admit(&self, name: &LeafName<'_>) -> bool {
        let lies_in = |kinds: &Kinds| match name {
            LeafName::Dns(name) => kinds.names.iter().any(|subtree| is_within(name, subtree)),
            LeafName::Ip(ip) => kinds.networks.iter().any(|network| holds(network, *ip)),
        };
        let is_bounded = match name {
            LeafName::Dns(_) => !self.permitted.names.is_empty(),
            LeafName::Ip(_) => !self.permitted.networks.is_empty(),
        };
        !lies_in(&self.excluded) && (!is_bounded || lies_in(&self.permitted))
    }

    /// The DNS subtrees that are permitted; empty where all are.
    pub(crate) fn names(&self) -> &[String] {
        &self.permitted.names
    }
}

/// Whether a name is the subtree's own or below it. `.x`, which some authorities write, is what is below `x`; nothing is all.
fn is_within(name: &str, subtree: &str) -> bool {
    match name.strip_suffix(subtree) {
        Some("") => true,
        Some(rest) => subtree.is_empty() || subtree.starts_with('.') || rest.ends_with('.'),
        None => false,
    }
}

fn holds(network: &[u8], ip: IpAddr) -> bool {
    let octets: &[u8] = match &ip {
        IpAddr::V4(ip) => &ip.octets(),
        IpAddr::V6(ip) => &ip.octets(),
    };
    let Some((address, mask)) = network.split_at_checked(octets.len()) else { return false };
    mask.len() == octets.len()
        && address.iter().zip(mask).zip(octets).all(|((address, mask), octet)| address & mask == octet & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtree_is_a_name_and_all_below_it() {
        for (name, subtree, expected) in [
            ("x.example", "x.example", true),
            ("a.x.example", "x.example", true),
            ("a.b.x.example", "x.example", true),
            ("ax.example", "x.example", false),
            ("example", "x.example", false),
            ("x.example.org", "x.example", false),
            ("a.x.example", ".x.example", true),
            ("x.example", ".x.example", false),
            ("anything.at.all", "", true),
        ] {
            assert_eq!(is_within(name, subtree), expected, "{name} {subtree}");
        }
    }

    #[test]
    fn names_that_add_nothing_are_left_out_and_what_is_no_name_is_refused() {
        let subtrees = Subtrees::new(["api.x.example", "b.example", "x.example", "x.example", "c.b.example"]).unwrap();
        assert_eq!(subtrees.names(), ["b.example", "x.example"]);
        for bad in ["", ".x.example", "*.x.example", "X.example", "x.example.", "10.0.0.1", "::1", "a b"] {
            assert_eq!(Subtrees::new(["y.example", bad]), Err(bad.to_owned()));
        }
        let many: Vec<String> = (0..=MOST_SUBTREES).map(|number| format!("n{number}.example")).collect();
        assert_eq!(Subtrees::new(many.iter().map(String::as_str)), Err(many[MOST_SUBTREES].clone()));
    }

    #[test]
    fn networks_of_an_operators_ca_are_kept() {
        let (ten, all): ([u8; 8], [u8; 8]) = ([10, 0, 0, 0, 255, 0, 0, 0], [0; 8]);
        let ip = |text: &str| LeafName::Ip(text.parse().unwrap());
        let kinds = |networks: &[&[u8]]| Kinds {
            networks: networks.iter().map(|network| Box::from(*network)).collect(),
            ..Kinds::default()
        };
        let of = |permitted: &[&[u8]], excluded: &[&[u8]]| Constraints {
            permitted: kinds(permitted),
            excluded: kinds(excluded),
        };
        assert!(of(&[], &[]).admit(&ip("192.0.2.1")) && of(&[], &[]).admit(&ip("2001:db8::1")));
        assert!(of(&[&ten], &[]).admit(&ip("10.1.2.3")) && !of(&[&ten], &[]).admit(&ip("192.0.2.1")));
        assert!(!of(&[&ten], &[]).admit(&ip("2001:db8::1")), "of another family than all that is permitted");
        assert!(!of(&[], &[&all]).admit(&ip("10.1.2.3")) && of(&[], &[&all]).admit(&ip("2001:db8::1")));
        assert!(of(&[&ten], &[&all]).admit(&LeafName::Dns("x.example")), "names are another matter");
    }
}
