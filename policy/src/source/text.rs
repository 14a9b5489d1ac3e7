//! What may not stand in a file at all, whatever YAML makes of it.

use super::SourceFile;
use crate::diagnostic::{Diagnostic, codes};

/// Largest file in bytes.
pub(crate) const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Hidden characters reported for one file.
const MAX_FINDINGS: usize = 20;

/// Size, byte order mark, control and bidirectional characters, and tabs that indent: YAML takes some of those, and not
/// for the depth that they show.
pub(crate) fn check(file: usize, source: &SourceFile) -> Vec<Diagnostic> {
    let text = &source.text;
    if text.len() > MAX_BYTES {
        let diagnostic = Diagnostic::error(codes::TOO_LARGE, format!("the file has more than {MAX_BYTES} bytes"));
        return vec![diagnostic.at(file, 0..0, "").help("split it into several files")];
    }
    let mut found: Vec<Diagnostic> = tab(file, text).into_iter().collect();
    let hidden = text.char_indices().filter(|(_, char)| is_hidden(*char) && !matches!(char, '\n' | '\r' | '\t'));
    found.extend(hidden.take(MAX_FINDINGS).map(|(at, char)| {
        Diagnostic::error(codes::HIDDEN_CHARACTER, format!("hidden character U+{:04X}", u32::from(char)))
            .at(file, at..at + char.len_utf8(), name(char))
            .help("remove it")
    }));
    found
}

/// The first tab before the text of a line.
fn tab(file: usize, text: &str) -> Option<Diagnostic> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let indented = line.trim_start_matches([' ', '\t']);
        let indentation = line.get(..line.len() - indented.len()).unwrap_or_default();
        if let Some(tab) = indentation.find('\t').filter(|_| !indented.trim_end().is_empty()) {
            let at = start + tab..start + indentation.trim_end_matches(' ').len();
            let diagnostic = Diagnostic::error(codes::SYNTAX, "a tab stands in the indentation").at(file, at, "");
            return Some(diagnostic.help("indent with spaces"));
        }
        start += line.len();
    }
    None
}

/// Characters that a reader doesn't see, or that show other text than is read (Trojan Source, CVE-2021-42574).
pub(crate) fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
            | '\u{00a0}')
}

fn name(char: char) -> &'static str {
    match char {
        '\u{feff}' => "byte order mark",
        '\0' => "NUL",
        '\u{00a0}' => "no-break space",
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}' => {
            "changes the direction of text"
        }
        char if char.is_control() => "control character",
        _ => "takes no space",
    }
}
