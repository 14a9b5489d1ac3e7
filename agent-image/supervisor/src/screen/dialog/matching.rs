//! Whether a dialog of the table stands on the screen as a whole, and the keys that answer it.
//!
//! Nothing is found in a text here: the words are all of what is drawn from where the dialog begins to the end of the screen, in
//! their order; the options are all that is listed; and which one is highlighted is told by the marker, the cursor and the colour
//! together.

use std::cmp::Ordering;
use std::ops::Range;

use vt100::Color;

use super::super::Screen;
use super::super::layout::View;
use super::table::{Begins, Entry};

const UP: &[u8] = b"\x1b[A";
const DOWN: &[u8] = b"\x1b[B";
/// Takes what is highlighted.
pub(super) const ENTER: &[u8] = b"\r";

/// Characters that `{any}` stands for at most.
const ANY: usize = 40;

/// The keys to press now, if it stands: arrows as long as another option than the one wanted is highlighted, else Enter.
pub(super) fn keys(
    entry: &Entry,
    screen: &Screen,
    view: &View,
    version: &str,
    folder: Option<&str>,
) -> Option<Vec<u8>> {
    let start = match entry.begins {
        Begins::Rule => view.after_rule()?,
        Begins::Welcome => view.after_welcome(version)?,
    };
    let all = start..view.end();
    if entry.options.is_empty() {
        let is_last = view.cursor.0 + 1 >= all.end;
        let is_marked = view.part(all.clone()).iter().any(|row| row.contains('❯'));
        return (is_last && !is_marked && is_text(entry, view, all, folder)).then(|| ENTER.to_vec());
    }
    let (marked, column) = view.cursor;
    let listed = view.block(marked);
    if listed.start < start || !is_text(entry, view, start..listed.start, folder) {
        return None;
    }
    if words(view.part(listed.end..all.end)) != one_blank(&entry.below) {
        return None;
    }
    let options = options(view, listed.clone(), column)?;
    let is_whole = options.len() == entry.options.len() && entry.options.iter().all(|option| options.contains(option));
    if !is_whole || !is_highlighted(screen, view, listed.clone(), column) {
        return None;
    }
    let wanted = listed.start + options.iter().position(|option| entry.choose.as_ref() == Some(option))?;
    Some(match wanted.cmp(&marked) {
        Ordering::Less => UP.repeat(marked - wanted),
        Ordering::Equal => ENTER.to_vec(),
        Ordering::Greater => DOWN.repeat(wanted - marked),
    })
}

/// The options that are listed in these rows, the marker being in this column of one of them.
fn options(view: &View, listed: Range<usize>, column: usize) -> Option<Vec<String>> {
    let mut options = Vec::new();
    let (mut marks, mut numbers) = (0, 0);
    for at in listed.clone() {
        let mut letters = view.row(at).chars();
        let before: String = letters.by_ref().take(column).collect();
        let mark = letters.next()?;
        if !before.trim().is_empty() || letters.next()? != ' ' || (mark != '❯' && mark != ' ') {
            return None;
        }
        marks += usize::from(mark == '❯');
        let rest: String = letters.collect();
        // A check stands before or after what was chosen earlier.
        let label = rest.strip_prefix("✔ ").or_else(|| rest.strip_prefix("  ")).unwrap_or(&rest);
        let number = format!("{}. ", at - listed.start + 1);
        let label = match label.strip_prefix(&number) {
            Some(label) => {
                numbers += 1;
                label
            }
            None => label,
        };
        options.push(label.strip_suffix(" ✔").unwrap_or(label).to_owned());
    }
    (marks == 1 && (numbers == 0 || numbers == listed.len())).then_some(options)
}

/// Whether the marker is in a colour, and the marked option in one that no other option has.
fn is_highlighted(screen: &Screen, view: &View, listed: Range<usize>, column: usize) -> bool {
    let (marked, _) = view.cursor;
    let label = |at: usize| {
        let (column, _) =
            view.row(at).chars().enumerate().skip(column + 1).find(|(_, letter)| letter.is_alphabetic())?;
        screen.color(at, column)
    };
    let is_other = |at: usize| at == marked || label(at) != label(marked);
    screen.color(marked, column).is_some_and(|color| color != Color::Default) && listed.clone().all(is_other)
}

/// Whether these rows are the entry's text, and nothing else.
fn is_text(entry: &Entry, view: &View, rows: Range<usize>, folder: Option<&str>) -> bool {
    let mut expected = one_blank(&entry.text);
    if expected.contains("{folder}") {
        // A name with anything odd in it is for a person to read.
        let Some(folder) = folder.filter(|folder| folder.chars().all(is_plain)) else { return false };
        if !view.part(rows.clone()).iter().any(|row| row.trim_start() == folder) {
            return false;
        }
        expected = expected.replace("{folder}", folder);
    }
    fits(&words(view.part(rows)), &expected)
}

fn is_plain(letter: char) -> bool {
    letter.is_alphanumeric() || "/._-+@~".contains(letter)
}

/// Whether a text is the expected one, `{any}` standing for the little that differs.
fn fits(text: &str, expected: &str) -> bool {
    let mut parts = expected.split("{any}");
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        let end = if is_last && part.is_empty() { Some(rest.len()) } else { rest.find(part) };
        let Some(end) = end else { return false };
        let (any, after) = rest.split_at(end);
        if any.is_empty() || any.len() > ANY || !any.chars().all(|letter| is_plain(letter) || letter == ' ') {
            return false;
        }
        rest = after.get(part.len()..).unwrap_or_default();
    }
    rest.is_empty()
}

/// All words of rows, one blank between them; rows that are only drawn count for nothing.
fn words(rows: &[String]) -> String {
    let rows = rows.iter().filter(|row| !row.chars().all(|letter| matches!(letter, '╌' | ' ')));
    one_blank(&rows.cloned().collect::<Vec<_>>().join(" "))
}

fn one_blank(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_short_and_plain() {
        let expected = "This is {any} old and {any} tokens.";
        assert!(fits("This is 3h 1m old and 250k tokens.", expected));
        assert!(!fits("This is  old and 250k tokens.", "This is {any}old"));
        for text in [
            "This is 3h old and 250k tokens. More",
            "Oh: This is 3h old and 250k tokens.",
            "This is ❯ old and 250k tokens.",
            "This is 3h old and 250k",
            "This is 3h 3h 3h 3h 3h 3h 3h 3h 3h 3h 3h 3h 3h 3h 3h 3h old and 250k tokens.",
        ] {
            assert!(!fits(text, expected), "{text}");
        }
        assert!(fits("plain", "plain") && !fits("plainer", "plain") && !fits("", "plain"));
    }
}
