//! Tokens of a GraphQL document (GraphQL specification, September 2025, §2.1), read strictly.
//!
//! Outside of strings and comments only ASCII is taken, and of its control characters only tab, line feed and carriage
//! return: readers differ about the others, and about where a comment ends. A byte order mark is refused.

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'d> {
    Name(&'d str),
    /// `! $ & ( ) : = @ [ ] { | }`
    Sign(u8),
    /// `...`
    Spread,
    Number,
    Text,
    End,
}

/// Reads tokens one after the other.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'d> {
    text: &'d str,
    at: usize,
    left: usize,
}

impl<'d> Lexer<'d> {
    pub(super) fn new(text: &'d str) -> Lexer<'d> {
        Lexer { text, at: 0, left: MOST_TOKENS }
    }

    /// The next token; [`Token::End`] again and again at the end.
    pub(super) fn next(&mut self) -> Result<Token<'d>, &'static str> {
        self.skip()?;
        self.left = self.left.checked_sub(1).ok_or("it has too many tokens")?;
        let Some(first) = self.byte(0) else { return Ok(Token::End) };
        match first {
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|' | b'}' => {
                self.at += 1;
                Ok(Token::Sign(first))
            }
            b'.' if self.rest().starts_with("...") => {
                self.at += 3;
                Ok(Token::Spread)
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => {
                let from = self.at;
                while self.byte(0).is_some_and(is_name) {
                    self.at += 1;
                }
                Ok(Token::Name(self.text.get(from..self.at).unwrap_or_default()))
            }
            b'-' | b'0'..=b'9' => self.number(),
            b'"' if self.rest().starts_with("\"\"\"") => self.block(),
            b'"' => self.string(),
            _ => Err("it has a character that may not stand there"),
        }
    }

    fn rest(&self) -> &'d str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    /// Space, commas and comments.
    fn skip(&mut self) -> Result<(), &'static str> {
        while let Some(byte) = self.byte(0) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b',' => self.at += 1,
                b'#' => {
                    while let Some(byte) = self.byte(0).filter(|byte| !matches!(byte, b'\n' | b'\r')) {
                        if is_control(byte) {
                            return Err("it has a control character");
                        }
                        self.at += 1;
                    }
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Token<'d>, &'static str> {
        const WRONG: &str = "it has a malformed number";
        if self.byte(0) == Some(b'-') {
            self.at += 1;
        }
        if self.byte(0) == Some(b'0') {
            self.at += 1;
        } else {
            self.digits().ok_or(WRONG)?;
        }
        if self.byte(0) == Some(b'.') {
            self.at += 1;
            self.digits().ok_or(WRONG)?;
        }
        if matches!(self.byte(0), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(0), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits().ok_or(WRONG)?;
        }
        match self.byte(0) {
            Some(byte) if is_name(byte) || byte == b'.' => Err(WRONG),
            _ => Ok(Token::Number),
        }
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let from = self.at;
        while self.byte(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }

    fn string(&mut self) -> Result<Token<'d>, &'static str> {
        self.at += 1;
        loop {
            match self.byte(0) {
                None | Some(b'\n' | b'\r') => return Err("it has a string without an end"),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Token::Text);
                }
                Some(b'\\') => self.escape()?,
                Some(byte) if is_control(byte) => return Err("it has a control character"),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), &'static str> {
        const WRONG: &str = "it has an escape that is not known";
        match self.byte(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            // Four digits: not all servers know `\u{…}`.
            Some(b'u') if (2..6).all(|at| self.byte(at).is_some_and(|byte| byte.is_ascii_hexdigit())) => self.at += 6,
            _ => return Err(WRONG),
        }
        Ok(())
    }

    /// `"""…"""`, in which only `\"""` is an escape.
    fn block(&mut self) -> Result<Token<'d>, &'static str> {
        self.at += 3;
        loop {
            let rest = self.rest();
            if rest.starts_with("\"\"\"") {
                self.at += 3;
                // A fourth quote is the beginning of a string to some, and part of this one to others.
                return if self.byte(0) == Some(b'"') {
                    Err("it has a block string with a quote at its end")
                } else {
                    Ok(Token::Text)
                };
            }
            match self.byte(0) {
                None => return Err("it has a string without an end"),
                Some(b'\\') if rest.starts_with("\\\"\"\"") => self.at += 4,
                Some(byte) if is_control(byte) => return Err("it has a control character"),
                Some(_) => self.at += 1,
            }
        }
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_control(byte: u8) -> bool {
    (byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) || byte == 0x7f
}

/// Tokens of one document.
const MOST_TOKENS: usize = 50_000;
