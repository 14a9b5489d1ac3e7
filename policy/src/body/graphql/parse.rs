//! Executable documents: operations and fragments, of which only the roots are kept (GraphQL specification, September
//! 2025, §2.2 to §2.12). Definitions of types, and syntax that only some servers know, are refused.

use std::collections::BTreeMap;

use super::lex::{Lexer, Token};

type Result<T> = std::result::Result<T, &'static str>;

/// Whether something reads, changes or listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Query,
    Mutation,
    Subscription,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Kind::Query => "query",
            Kind::Mutation => "mutation",
            Kind::Subscription => "subscription",
        }
    }
}

/// What stands at a root; inline fragments are part of what holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selection<'d> {
    /// By its real name, not its alias.
    Field(&'d str),
    /// A named fragment.
    Spread(&'d str),
}

/// A fragment.
#[derive(Debug, Default)]
pub(super) struct Fragment<'d> {
    pub(super) root: Vec<Selection<'d>>,
    /// The fragments that it names, at whatever depth.
    named: Vec<&'d str>,
}

/// A document.
#[derive(Debug, Default)]
pub(super) struct Document<'d> {
    pub(super) operations: Vec<(Kind, Vec<Selection<'d>>)>,
    fragments: BTreeMap<&'d str, Fragment<'d>>,
    /// The fragments that operations name, at whatever depth.
    named: Vec<&'d str>,
}

impl<'d> Document<'d> {
    pub(super) fn parse(text: &'d str) -> Result<Document<'d>> {
        let mut lexer = Lexer::new(text);
        let ahead = lexer.next()?;
        Parser { lexer, ahead, depth: 0, named: Vec::new() }.document()
    }

    pub(super) fn fragment(&self, name: &str) -> Option<&Fragment<'d>> {
        self.fragments.get(name)
    }

    /// Every fragment that is named must be there, and none may hold itself (§5.5.2).
    pub(super) fn check_fragments(&self) -> Result<()> {
        let all = self.fragments.values().flat_map(|fragment| &fragment.named).chain(&self.named);
        for name in all {
            if !self.fragments.contains_key(name) {
                return Err("a fragment is not defined");
            }
        }
        // Takes away what names nothing that is left; what stays is a circle.
        let mut waits: BTreeMap<&str, usize> = BTreeMap::new();
        let mut named_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, fragment) in &self.fragments {
            waits.insert(name, fragment.named.len());
            fragment.named.iter().for_each(|other| named_by.entry(other).or_default().push(name));
        }
        let mut free: Vec<&str> = waits.iter().filter(|(_, waits)| **waits == 0).map(|(name, _)| *name).collect();
        let mut done = 0;
        while let Some(name) = free.pop() {
            done += 1;
            for other in named_by.get(name).into_iter().flatten() {
                let left = waits.entry(other).or_default();
                *left = left.saturating_sub(1);
                if *left == 0 {
                    free.push(other);
                }
            }
        }
        if done < self.fragments.len() { Err("a fragment holds itself") } else { Ok(()) }
    }
}

struct Parser<'d> {
    lexer: Lexer<'d>,
    ahead: Token<'d>,
    depth: usize,
    named: Vec<&'d str>,
}

impl<'d> Parser<'d> {
    fn document(mut self) -> Result<Document<'d>> {
        let mut document = Document::default();
        let mut names: Vec<&str> = Vec::new();
        let mut anonymous = false;
        loop {
            let kind = match self.ahead {
                Token::End => break,
                Token::Sign(b'{') => {
                    anonymous = true;
                    let root = self.selections()?;
                    document.named.append(&mut self.named);
                    document.operations.push((Kind::Query, root));
                    continue;
                }
                Token::Name("query") => Kind::Query,
                Token::Name("mutation") => Kind::Mutation,
                Token::Name("subscription") => Kind::Subscription,
                Token::Name("fragment") => {
                    let (name, fragment) = self.fragment()?;
                    if document.fragments.insert(name, fragment).is_some() {
                        return Err("two fragments have one name");
                    }
                    continue;
                }
                _ => return Err("it defines something else than operations and fragments"),
            };
            self.advance()?;
            if let Token::Name(name) = self.ahead {
                if names.contains(&name) {
                    return Err("two operations have one name");
                }
                names.push(name);
                self.advance()?;
            } else {
                anonymous = true;
            }
            if names.len() > MOST_OPERATIONS {
                return Err("it has too many operations");
            }
            if self.ahead == Token::Sign(b'(') {
                self.variables()?;
            }
            self.directives()?;
            let root = self.selections()?;
            document.named.append(&mut self.named);
            document.operations.push((kind, root));
        }
        match document.operations.len() {
            0 => Err("it has no operation"),
            // §5.2.3.1
            1.. if anonymous && document.operations.len() > 1 => Err("an operation without a name is not alone"),
            _ => Ok(document),
        }
    }

    fn advance(&mut self) -> Result<Token<'d>> {
        let token = self.ahead;
        self.ahead = self.lexer.next()?;
        Ok(token)
    }

    fn sign(&mut self, sign: u8) -> Result<()> {
        if self.advance()? == Token::Sign(sign) { Ok(()) } else { Err("a sign is missing") }
    }

    fn name(&mut self) -> Result<&'d str> {
        match self.advance()? {
            Token::Name(name) => Ok(name),
            _ => Err("a name is missing"),
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MOST_LEVELS {
            return Err("it is nested too deep");
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn fragment(&mut self) -> Result<(&'d str, Fragment<'d>)> {
        self.advance()?;
        let name = self.name()?;
        if name == "on" || self.name()? != "on" {
            return Err("a fragment is malformed");
        }
        self.name()?;
        self.directives()?;
        let root = self.selections()?;
        Ok((name, Fragment { root, named: std::mem::take(&mut self.named) }))
    }

    /// `{ … }`: what stands at its root.
    fn selections(&mut self) -> Result<Vec<Selection<'d>>> {
        self.deeper(|parser| {
            parser.sign(b'{')?;
            let mut all = Vec::new();
            while parser.ahead != Token::Sign(b'}') {
                parser.selection(&mut all)?;
            }
            if all.is_empty() {
                return Err("it has braces with nothing in them");
            }
            parser.sign(b'}')?;
            Ok(all)
        })
    }

    fn selection(&mut self, all: &mut Vec<Selection<'d>>) -> Result<()> {
        if self.ahead == Token::Spread {
            self.advance()?;
            match self.ahead {
                Token::Name("on") => {
                    self.advance()?;
                    self.name()?;
                }
                Token::Name(name) => {
                    self.advance()?;
                    self.directives()?;
                    self.named.push(name);
                    all.push(Selection::Spread(name));
                    return Ok(());
                }
                _ => {}
            }
            self.directives()?;
            all.extend(self.selections()?);
            return Ok(());
        }
        let mut name = self.name()?;
        if self.ahead == Token::Sign(b':') {
            self.advance()?;
            name = self.name()?;
        }
        all.push(Selection::Field(name));
        self.arguments(false)?;
        self.directives()?;
        if self.ahead == Token::Sign(b'{') {
            self.selections()?;
        }
        Ok(())
    }

    fn arguments(&mut self, constant: bool) -> Result<()> {
        if self.ahead != Token::Sign(b'(') {
            return Ok(());
        }
        self.advance()?;
        while self.ahead != Token::Sign(b')') {
            self.name()?;
            self.sign(b':')?;
            self.value(constant)?;
        }
        self.sign(b')')
    }

    fn directives(&mut self) -> Result<()> {
        while self.ahead == Token::Sign(b'@') {
            self.advance()?;
            self.name()?;
            self.arguments(false)?;
        }
        Ok(())
    }

    fn variables(&mut self) -> Result<()> {
        self.sign(b'(')?;
        while self.ahead != Token::Sign(b')') {
            self.sign(b'$')?;
            self.name()?;
            self.sign(b':')?;
            self.kind()?;
            if self.ahead == Token::Sign(b'=') {
                self.advance()?;
                self.value(true)?;
            }
            self.directives()?;
        }
        self.sign(b')')
    }

    fn kind(&mut self) -> Result<()> {
        self.deeper(|parser| {
            if parser.ahead == Token::Sign(b'[') {
                parser.advance()?;
                parser.kind()?;
                parser.sign(b']')?;
            } else {
                parser.name()?;
            }
            if parser.ahead == Token::Sign(b'!') {
                parser.advance()?;
            }
            Ok(())
        })
    }

    fn value(&mut self, constant: bool) -> Result<()> {
        self.deeper(|parser| match parser.advance()? {
            Token::Name(_) | Token::Number | Token::Text => Ok(()),
            Token::Sign(b'$') if !constant => parser.name().map(drop),
            Token::Sign(b'[') => {
                while parser.ahead != Token::Sign(b']') {
                    parser.value(constant)?;
                }
                parser.sign(b']')
            }
            Token::Sign(b'{') => {
                while parser.ahead != Token::Sign(b'}') {
                    parser.name()?;
                    parser.sign(b':')?;
                    parser.value(constant)?;
                }
                parser.sign(b'}')
            }
            _ => Err("a value is missing"),
        })
    }
}

/// Levels of braces, brackets and values.
const MOST_LEVELS: usize = 64;
/// Operations with a name in one document.
const MOST_OPERATIONS: usize = 64;
