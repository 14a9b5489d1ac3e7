//! GraphQL over HTTP: one document in a JSON body, and every operation in it held against a rule.
//!
//! Which operation a server runs is its own affair (`operationName`), so that all of a document's operations count, and
//! all fields at their roots, whatever their aliases, through whatever fragments and under whatever directives. Persisted
//! queries and batches are refused: what they run can't be seen, or is not one request.

mod lex;
mod parse;

use std::collections::BTreeSet;

use super::json::{self, Hear, Key, Scalar, Stop};
use super::{Fault, shown};
use crate::model::body::GraphqlRule;
use parse::{Document, Kind, Selection};

/// Holds a body against a rule.
pub(super) fn check(rule: &GraphqlRule, bytes: &[u8]) -> Result<(), Fault> {
    let mut request = Request::default();
    json::read(bytes, &mut request)?;
    let text = request.document.ok_or_else(|| Fault::not_inspectable("the body has no `query`"))?;
    let document = Document::parse(&text).map_err(unreadable)?;
    for (kind, fields) in fields(&document).map_err(unreadable)? {
        operation(rule, kind, &fields)?;
    }
    Ok(())
}

fn unreadable(why: &'static str) -> Fault {
    Fault::not_inspectable(format!("the GraphQL document can't be read: {why}"))
}

fn operation(rule: &GraphqlRule, kind: Kind, fields: &BTreeSet<&str>) -> Result<(), Fault> {
    let open = match kind {
        Kind::Query => rule.query,
        Kind::Mutation => !rule.mutations.is_empty(),
        Kind::Subscription => rule.subscription,
    };
    if !open {
        return Err(Fault::not_allowed(format!("the GraphQL document has a {}", kind.as_str())));
    }
    let named = match kind {
        Kind::Mutation => Some(&rule.mutations),
        Kind::Query | Kind::Subscription => rule.fields.as_ref(),
    };
    let is_open = |field: &str| {
        field == TYPE_NAME || named.is_none_or(|named| named.binary_search_by(|known| (**known).cmp(field)).is_ok())
    };
    match fields.iter().find(|field| !is_open(field)) {
        None => Ok(()),
        Some(field) => {
            Err(Fault::not_allowed(format!("the GraphQL {} has the field `{}`", kind.as_str(), shown(field))))
        }
    }
}

/// The kind of each operation, and the fields at its root.
pub(super) fn roots(text: &str) -> Result<Vec<(&'static str, Vec<String>)>, Fault> {
    let document = Document::parse(text).map_err(unreadable)?;
    let fields = fields(&document).map_err(unreadable)?;
    let owned =
        |(kind, fields): (Kind, BTreeSet<&str>)| (kind.as_str(), fields.into_iter().map(str::to_owned).collect());
    Ok(fields.into_iter().map(owned).collect())
}

fn fields<'d>(document: &'d Document<'_>) -> Result<Vec<(Kind, BTreeSet<&'d str>)>, &'static str> {
    document.check_fragments()?;
    let of = |(kind, selections): &'d (Kind, Vec<Selection<'_>>)| {
        let mut fields = BTreeSet::new();
        let mut followed = BTreeSet::new();
        let mut left: Vec<&'d str> = Vec::new();
        let mut take = |selections: &'d [Selection<'_>], left: &mut Vec<&'d str>| {
            for selection in selections {
                match selection {
                    Selection::Field(name) => drop(fields.insert(*name)),
                    Selection::Spread(name) if followed.insert(*name) => left.push(name),
                    Selection::Spread(_) => {}
                }
            }
        };
        take(selections, &mut left);
        while let Some(name) = left.pop() {
            let fragment = document.fragment(name).ok_or("a fragment is not defined")?;
            take(&fragment.root, &mut left);
        }
        Ok((*kind, fields))
    };
    document.operations.iter().map(of).collect()
}

/// The body of a request: `query`, `variables` and `operationName`, and nothing else.
#[derive(Default)]
struct Request {
    way: Vec<Name>,
    levels: usize,
    document: Option<String>,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Query,
    Variables,
    Operation,
    Deeper,
}

impl Request {
    fn stop(&mut self, text: &str) -> Stop {
        self.fault.get_or_insert(Fault::not_inspectable(text));
        Stop
    }
}

impl Hear for Request {
    fn enter(&mut self, key: Key<'_>) -> Result<(), Stop> {
        let name = match (self.way.is_empty(), key) {
            (false, _) | (true, Key::Index(_)) => Name::Deeper,
            (true, Key::Name("query")) => Name::Query,
            (true, Key::Name("variables")) => Name::Variables,
            (true, Key::Name("operationName")) => Name::Operation,
            (true, Key::Name("extensions")) => {
                return Err(self.stop("the body has `extensions`; a persisted query can't be looked at: send its text"));
            }
            (true, Key::Name(other)) => {
                let text = format!("the body has the key `{}`, which no GraphQL request has", shown(other));
                return Err(self.stop(&text));
            }
        };
        self.way.push(name);
        Ok(())
    }

    fn leave(&mut self) {
        self.way.pop();
    }

    fn value(&mut self, value: Scalar<'_>) -> Result<(), Stop> {
        match (self.way.as_slice(), value) {
            ([], Scalar::Map) => Ok(()),
            ([], Scalar::List) => Err(self.stop("the body is a batch; send one GraphQL request at a time")),
            ([], _) => Err(self.stop("the body is no JSON object")),
            ([Name::Query], Scalar::Text(text)) => {
                self.document = Some(text.to_owned());
                Ok(())
            }
            ([Name::Query], _) => Err(self.stop("`query` is no text")),
            ([Name::Variables], Scalar::Map | Scalar::Null) => Ok(()),
            ([Name::Variables], _) => Err(self.stop("`variables` is no JSON object")),
            ([Name::Operation], Scalar::Text(_) | Scalar::Null) => Ok(()),
            ([Name::Operation], _) => Err(self.stop("`operationName` is no text")),
            _ => Ok(()),
        }
    }

    fn twice(&mut self, key: &str) -> Stop {
        let text = format!("the body has the key `{}` twice in one object", shown(key));
        self.stop(&text)
    }

    fn deep(&mut self) -> Stop {
        self.stop("the body is nested too deep")
    }

    fn fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    fn levels(&mut self) -> &mut usize {
        &mut self.levels
    }
}

/// Says only what the root itself is called.
const TYPE_NAME: &str = "__typename";
