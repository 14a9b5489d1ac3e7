//! A difference in words: for a terminal, for the comment on a change, and short for a log.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{Aspect, Change, Diff, Direction, RuleText, Witness};

impl Diff {
    /// For people, on a terminal.
    pub fn human(&self, colour: bool) -> String {
        let mut text = String::new();
        for change in &self.changes {
            let (on, off) = if colour { (change.direction.colour(), "\u{1b}[0m") } else { ("", "") };
            // Writing to memory can't fail.
            let _ =
                writeln!(text, "{on}{:<9}{off}{}", change.direction.verb(1), change.headline(|name| name.to_owned()));
            for (label, value) in change.lines(|item| item.to_owned()) {
                let _ = writeln!(text, "  {label:<13}{value}");
            }
            text.push('\n');
        }
        let _ = writeln!(text, "{}", self.summary());
        text
    }

    /// For the comment on a change.
    pub fn markdown(&self) -> String {
        let mut text = format!("**Policy: {}**\n", self.summary());
        // Nothing that a policy says may end its quotation.
        let code = |item: &str| format!("`{}`", item.replace('`', "'"));
        for change in &self.changes {
            let _ = write!(text, "\n- **{}**: {}\n", change.direction.verb(1), change.headline(code));
            for (label, value) in change.lines(code) {
                let _ = writeln!(text, "  - {label}: {value}");
            }
        }
        text
    }

    /// In one line, without its end.
    pub fn summary(&self) -> String {
        let counts = [Direction::Widens, Direction::Narrows, Direction::Note].map(|direction| {
            let count = self.count(direction);
            (count > 0).then(|| match direction {
                Direction::Note => format!("{count} {}", if count == 1 { "note" } else { "notes" }),
                direction => {
                    format!("{count} {} {}", if count == 1 { "change" } else { "changes" }, direction.verb(count))
                }
            })
        });
        let counts: Vec<String> = counts.into_iter().flatten().collect();
        if counts.is_empty() { "old and new allow the same".into() } else { counts.join(", ") }
    }
}

impl Direction {
    fn verb(self, count: usize) -> &'static str {
        match (self, count) {
            (Direction::Widens, 1) => "widens",
            (Direction::Widens, _) => "widen",
            (Direction::Narrows, 1) => "narrows",
            (Direction::Narrows, _) => "narrow",
            (Direction::Note, _) => "note",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Direction::Widens => "\u{1b}[1;31m",
            Direction::Narrows => "\u{1b}[1;32m",
            Direction::Note => "\u{1b}[1;36m",
        }
    }
}

impl Change {
    /// What is different, in a few words.
    fn headline(&self, code: impl Fn(&str) -> String) -> String {
        let wide = self.direction == Direction::Widens;
        let rule = |other: &str| match &self.rule {
            Some(RuleText { name, .. }) => format!("the rule {}", code(name)),
            None => other.to_owned(),
        };
        let allowed_by = self.allowed_by.as_deref().map_or_else(|| "other rules".into(), &code);
        let denies = self.rule.as_ref().is_some_and(|rule| rule.effect == "deny");
        match self.aspect {
            Aspect::Reach if denies && wide => format!("{} no longer denies what {allowed_by} allows", rule("a rule")),
            Aspect::Reach if denies => format!("{} denies what {allowed_by} allowed", rule("a rule")),
            Aspect::Reach if wide => format!("{} allows what was denied", rule("a rule")),
            Aspect::Reach => format!("what {} allowed is denied", rule("a rule")),
            Aspect::Credential if wide => format!("{} swaps what was not swapped", rule("a rule")),
            Aspect::Credential => format!("what {} swapped is no longer swapped", rule("a rule")),
            Aspect::WithoutCredential if wide => format!("{} allows requests without a credential", rule("a rule")),
            Aspect::WithoutCredential => format!("what {} allowed needs a credential", rule("a rule")),
            Aspect::ForeignCredential if wide => format!("{} lets credentials pass that are no stubs", rule("a rule")),
            Aspect::ForeignCredential => {
                format!("credentials that are no stubs are refused where {} let them pass", rule("a rule"))
            }
            Aspect::ForeignPlace if wide => {
                format!("{} lets credentials pass that are no stubs, where none is looked for now", rule("a rule"))
            }
            Aspect::ForeignPlace => {
                format!(
                    "credentials that are no stubs are looked for in more places where {} lets pass",
                    rule("a rule")
                )
            }
            Aspect::Ranges if wide => format!("{} lets ranges be asked for with a credential", rule("a rule")),
            Aspect::Ranges => format!("ranges are stripped that {} let pass with a credential", rule("a rule")),
            Aspect::StubInBody if wide => format!("stubs in bodies pass that {} refused", rule("a rule")),
            Aspect::StubInBody => format!("{} refuses stubs in bodies", rule("a rule")),
            Aspect::CredentialInResponse if wide => {
                format!("credentials in responses may pass that were refused or replaced: see {}", rule("the rules"))
            }
            Aspect::CredentialInResponse => {
                format!("credentials in responses are refused or replaced that passed: see {}", rule("the rules"))
            }
            Aspect::Body if wide => format!("{} lets bodies pass that were refused, or may", rule("a rule")),
            Aspect::Body => format!("bodies are refused that {} let pass, or may be", rule("a rule")),
            Aspect::Dns if wide => "names may be asked of their zone's servers".into(),
            Aspect::Dns => "names may no longer be asked of their zone's servers".into(),
            Aspect::Limits if wide => "agents may do more".into(),
            Aspect::Limits => "agents may do less".into(),
            Aspect::Unclear => "this may widen: it is too complex to compare; split it, or read it with care".into(),
            Aspect::Observed => format!("{} observes what is denied: names resolve, heads are read", rule("a rule")),
            Aspect::NotObserved => format!("{} no longer observes what is denied", rule("a rule")),
            Aspect::Connect => "connections are let through, and every request on them is denied".into(),
            Aspect::NoConnect => "connections are refused on which every request was denied".into(),
            Aspect::Stub => "a stub that was none: refused wherever it has no business".into(),
            Aspect::NoStub => "no longer a stub: passes as any other text".into(),
        }
    }

    /// What it is about, with a label each.
    fn lines(&self, code: impl Fn(&str) -> String) -> Vec<(&'static str, String)> {
        let list = |items: &[String]| {
            // Whoever approves what widens must see all of it.
            let most = if self.direction == Direction::Widens { usize::MAX } else { MOST_ITEMS };
            let shown: Vec<String> = items.iter().take(most).map(|item| code(item)).collect();
            let more = items.len().saturating_sub(most);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            shown.join(", ") + &more
        };
        let in_part = |part: bool| if part { " (in part)" } else { "" };
        let except = if self.methods_except.is_empty() {
            String::new()
        } else {
            format!(" except {}", list(&self.methods_except))
        };
        let types: Vec<String> = self.types.iter().map(|number| kind(*number)).collect();
        let paths: Vec<String> =
            self.paths.iter().map(|path| if path == "odd" { ODD.into() } else { path.clone() }).collect();
        let mut lines = vec![
            ("agents", list(&self.agents)),
            ("hosts", list(&self.hosts)),
            ("methods", list(&self.methods)),
            ("paths", list(&paths)),
            ("types", list(&types)),
            ("credentials", list(&self.credentials)),
            ("stubs", list(&self.stubs)),
            ("slots", list(&self.slots)),
            ("limits", list(&self.limits)),
        ];
        lines.retain(|(_, value)| !value.is_empty());
        for (label, value) in &mut lines {
            match *label {
                "hosts" => value.push_str(in_part(self.hosts_in_part)),
                "methods" => value.push_str(&except),
                "paths" => value.push_str(in_part(self.paths_in_part)),
                _ => {}
            }
        }
        lines.extend(self.witness.iter().map(|witness| ("for example", code(&witness.to_string()))));
        lines
    }
}

/// In one line, for a log.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.direction.verb(1), self.headline(|name| name.to_owned()))?;
        self.lines(|item| item.to_owned()).iter().try_for_each(|(label, value)| write!(f, "; {label} {value}"))
    }
}

impl Serialize for Witness {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = 5 + usize::from(self.pod.is_some()) + if self.beside.is_some() { 2 } else { 0 };
        let mut object = serializer.serialize_struct("Witness", fields)?;
        object.serialize_field("agent", &self.agent)?;
        object.serialize_field("peer", &self.peer)?;
        if let Some(pod) = &self.pod {
            object.serialize_field("pod", &pod.to_string())?;
        }
        let host = self.authority.host_header();
        let request = format!("{} {}://{host}{}", self.method, self.authority.scheme(), self.target.as_str());
        object.serialize_field("request", &request)?;
        object.serialize_field("token", &self.token.as_ref().map(|(_, text)| text))?;
        object.serialize_field("slot", &self.token.as_ref().map(|(slot, _)| slot.to_string()))?;
        if let Some((slot, text)) = &self.beside {
            object.serialize_field("beside", text)?;
            object.serialize_field("beside_slot", &slot.to_string())?;
        }
        object.end()
    }
}

/// A type of DNS records by its name, if it has a common one (RFC 3597 §5 else).
fn kind(number: u16) -> String {
    match number {
        1 => "A".into(),
        5 => "CNAME".into(),
        12 => "PTR".into(),
        15 => "MX".into(),
        16 => "TXT".into(),
        28 => "AAAA".into(),
        33 => "SRV".into(),
        number => format!("TYPE{number}"),
    }
}

/// Paths without a canonical form.
const ODD: &str = "odd spellings such as //";
/// Most items of one list that are shown, of what doesn't widen.
const MOST_ITEMS: usize = 12;
