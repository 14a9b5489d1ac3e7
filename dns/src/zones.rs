//! Which servers know a name: the entry with the longest zone. Used for forwarding and by the appliance's own resolver.

use std::collections::HashMap;

use stubgate_policy::Name;

/// A value for each zone.
#[derive(Debug)]
pub(crate) struct Zones<T> {
    by_name: HashMap<Box<str>, T>,
}

impl<T> Zones<T> {
    pub(crate) fn new(zones: impl IntoIterator<Item = (Name, T)>) -> Zones<T> {
        Zones { by_name: zones.into_iter().map(|(name, value)| (name.as_str().into(), value)).collect() }
    }

    /// What the longest zone that `name` lies in says.
    pub(crate) fn find(&self, name: &Name) -> Option<&T> {
        let mut rest = name.as_str();
        loop {
            if let Some(value) = self.by_name.get(rest) {
                return Some(value);
            }
            (_, rest) = rest.split_once('.')?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_zone_wins_at_label_borders() {
        let name = |text: &str| Name::parse(text.as_bytes()).unwrap();
        let zones = Zones::new([(name("local"), 1), (name("cluster.local"), 2)]);
        for (asked, found) in [
            ("cluster.local", Some(2)),
            ("a.b.CLUSTER.local", Some(2)),
            ("other.local", Some(1)),
            ("evilcluster.local", Some(1)),
            ("cluster.local.evil.test", None),
            ("local.test", None),
        ] {
            assert_eq!(zones.find(&name(asked)).copied(), found, "{asked}");
        }
    }
}
