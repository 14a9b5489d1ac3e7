//! What an event may say. One table has every type and its fields; the flags of the command, the check of what comes from standard
//! input and the JSON Schema are made of it, so that they can't say different things.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Command, FromArgMatches, Subcommand};
use serde_json::{Map, Value, json};

/// A type of event.
#[derive(Debug)]
pub struct Kind {
    /// Its name, the last part of the subject.
    pub name: &'static str,
    about: &'static str,
    fields: &'static [Field],
}

#[derive(Debug)]
struct Field {
    name: &'static str,
    about: &'static str,
    shape: Shape,
    required: bool,
}

/// What a field may hold. Lengths are in characters.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// One line.
    Line(usize),
    /// Text with line ends and tabs.
    Text(usize),
    /// `owner/name`.
    Repository,
    /// A number of GitHub's.
    Number,
    /// https only.
    Address,
    /// A commit.
    Commit,
    OneOf(&'static [&'static str]),
}

const fn needed(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, about, shape, required: true }
}

const fn optional(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, about, shape, required: false }
}

/// Every type.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "pr_opened",
        about: "A pull request was opened",
        fields: &[
            needed("repository", Shape::Repository, "owner/name"),
            needed("number", Shape::Number, "The pull request's number"),
            needed("title", Shape::Line(256), "Its title"),
            optional("url", Shape::Address, "Its address"),
            optional("branch", Shape::Line(255), "The branch that it asks to merge"),
        ],
    },
    Kind {
        name: "pr_merged",
        about: "A pull request was merged",
        fields: &[
            needed("repository", Shape::Repository, "owner/name"),
            needed("number", Shape::Number, "The pull request's number"),
            needed("title", Shape::Line(256), "Its title"),
            optional("url", Shape::Address, "Its address"),
            optional("commit", Shape::Commit, "The commit that it became"),
        ],
    },
    Kind {
        name: "incident",
        about: "Something is wrong",
        fields: &[
            needed(
                "severity",
                Shape::OneOf(&["info", "warning", "critical"]),
                "How bad it is; critical wakes in quiet hours",
            ),
            needed("summary", Shape::Line(512), "What is wrong, in one line"),
            optional("detail", Shape::Text(16384), "What is known about it"),
            optional("affects", Shape::Line(256), "What it concerns: a host, a service, a repository"),
        ],
    },
    Kind {
        name: "task_done",
        about: "A task came to its end",
        fields: &[
            needed("task", Shape::Line(256), "Which task"),
            needed("summary", Shape::Line(512), "What came of it, in one line"),
            optional("outcome", Shape::OneOf(&["success", "partial", "failure"]), "How it ended"),
            optional("url", Shape::Address, "Where its result is"),
        ],
    },
];

impl Kind {
    /// The type of this name.
    pub fn named(name: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// What is wrong with these fields, in one sentence.
    ///
    /// # Errors
    ///
    /// A field that this type has not, one that is missing, or one whose value it can't have.
    pub(super) fn check(&self, fields: &BTreeMap<String, Value>) -> Result<(), String> {
        if let Some(name) = fields.keys().find(|name| !self.fields.iter().any(|field| field.name == *name)) {
            let known: Vec<&str> = self.fields.iter().map(|field| field.name).collect();
            return Err(format!("{} has no field {name:?}; it has {}", self.name, known.join(", ")));
        }
        for field in self.fields {
            match fields.get(field.name) {
                Some(value) => field.shape.check(value).map_err(|why| format!("{}: {why}", field.name))?,
                None if field.required => return Err(format!("{} needs {}", self.name, field.name)),
                None => {}
            }
        }
        Ok(())
    }

    fn schema(&self) -> Value {
        let mut properties: Map<String, Value> = common().into_iter().collect();
        properties.insert("type".into(), json!({ "const": self.name }));
        let mut required = vec!["id", "type", "agent", "at"];
        for field in self.fields {
            let mut schema = field.shape.schema();
            if let Value::Object(schema) = &mut schema {
                schema.insert("description".into(), field.about.into());
            }
            properties.insert(field.name.into(), schema);
            if field.required {
                required.push(field.name);
            }
        }
        json!({
            "title": self.name,
            "description": self.about,
            "type": "object",
            "additionalProperties": false,
            "required": required,
            "properties": properties,
        })
    }
}

/// What every event has, beside its type.
fn common() -> [(String, Value); 3] {
    let id = json!({
        "description": "The same for the same event, however often it arrives: of what it says, or given. The Nats-Msg-Id.",
        "type": "string",
        "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
    });
    let agent =
        json!({ "description": "Who says so", "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$" });
    let at = json!({ "description": "When, as in RFC 3339", "type": "string", "format": "date-time" });
    [("id".into(), id), ("agent".into(), agent), ("at".into(), at)]
}

/// The JSON Schema of an event.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event of stubgate-agent",
        "description": "Published to PREFIX.TYPE with its id as Nats-Msg-Id; 32768 bytes at most.",
        "oneOf": KINDS.iter().map(Kind::schema).collect::<Vec<_>>(),
    })
}

impl Shape {
    fn check(self, value: &Value) -> Result<(), String> {
        let text = match (self, value) {
            (Shape::Number, Value::Number(number)) => {
                let fits = number.as_u64().is_some_and(|number| (1..=MOST).contains(&number));
                return if fits { Ok(()) } else { Err(format!("a number from 1 to {MOST}")) };
            }
            (Shape::Number, _) => return Err(format!("a number from 1 to {MOST}")),
            (_, Value::String(text)) => text,
            (_, _) => return Err("a text".into()),
        };
        let length = text.chars().count();
        let fits = |most: usize| (1..=most).contains(&length);
        let printable = |more: &[char]| text.chars().all(|c| !c.is_control() || more.contains(&c));
        let is_right = match self {
            Shape::Line(most) => fits(most) && printable(&[]),
            Shape::Text(most) => fits(most) && printable(&['\n', '\t']),
            Shape::Repository => is_repository(text),
            Shape::Number => false,
            Shape::Address => {
                fits(2048)
                    && text.len() > 8
                    && text.starts_with("https://")
                    && text.bytes().all(|b| b.is_ascii_graphic())
            }
            Shape::Commit => (7..=64).contains(&length) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
            Shape::OneOf(words) => words.contains(&text.as_str()),
        };
        if is_right { Ok(()) } else { Err(self.wanted()) }
    }

    fn wanted(self) -> String {
        match self {
            Shape::Line(most) => format!("one line of 1 to {most} characters"),
            Shape::Text(most) => {
                format!("a text of 1 to {most} characters, with no control characters but line ends and tabs")
            }
            Shape::Repository => "a repository, as owner/name".into(),
            Shape::Number => format!("a number from 1 to {MOST}"),
            Shape::Address => "an address that begins with https://, 2048 characters at most".into(),
            Shape::Commit => "a commit, 7 to 64 digits of 0-9a-f".into(),
            Shape::OneOf(words) => format!("one of {}", words.join(", ")),
        }
    }

    fn schema(self) -> Value {
        match self {
            Shape::Line(most) => {
                json!({ "type": "string", "minLength": 1, "maxLength": most, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$" })
            }
            Shape::Text(most) => json!({
                "type": "string", "minLength": 1, "maxLength": most,
                "pattern": "^[^\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f]*$",
            }),
            Shape::Repository => {
                json!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$" })
            }
            Shape::Number => json!({ "type": "integer", "minimum": 1, "maximum": MOST }),
            Shape::Address => json!({ "type": "string", "maxLength": 2048, "pattern": "^https://[!-~]+$" }),
            Shape::Commit => json!({ "type": "string", "pattern": "^[0-9a-f]{7,64}$" }),
            Shape::OneOf(words) => json!({ "enum": words }),
        }
    }

    /// The value that a flag stands for.
    fn of(self, text: &str) -> Value {
        match self {
            Shape::Number => text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from),
            _ => Value::from(text),
        }
    }
}

/// The largest number of a pull request: what GitHub's own type holds.
const MOST: u64 = 2_147_483_647;

/// Whether this is an `owner/name` of GitHub's.
pub(crate) fn is_repository(text: &str) -> bool {
    let Some((owner, name)) = text.split_once('/') else { return false };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=39).contains(&owner.len())
        && !owner.starts_with('-')
        && owner.bytes().all(plain)
        && (1..=100).contains(&name.len())
        && name.bytes().all(|b| plain(b) || b == b'.' || b == b'_')
}

/// A type and its fields, as flags gave them: not checked yet.
#[derive(Clone, Debug)]
pub struct Given {
    /// The type's name.
    pub kind: &'static str,
    /// The fields.
    pub fields: BTreeMap<String, Value>,
}

impl Subcommand for Given {
    fn augment_subcommands(mut command: Command) -> Command {
        for kind in KINDS {
            let flags = kind.fields.iter().map(|field| {
                let help = match field.shape {
                    Shape::OneOf(words) => format!("{}: {}", field.about, words.join(", ")),
                    _ => field.about.to_owned(),
                };
                Arg::new(field.name).long(field.name).value_name("VALUE").help(help).required(field.required)
            });
            command = command.subcommand(Command::new(kind.name).about(kind.about).args(flags));
        }
        command
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        Kind::named(name).is_some()
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (name, matches) = matches.subcommand().ok_or_else(missing)?;
        let kind = Kind::named(name).ok_or_else(missing)?;
        let given = |field: &Field| Some((field.name.into(), field.shape.of(matches.get_one::<String>(field.name)?)));
        Ok(Given { kind: kind.name, fields: kind.fields.iter().filter_map(given).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
