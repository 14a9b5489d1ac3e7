//! From raw files to a checked [`Policy`]: every error of every file in one run.
//!
//! Names are given meaning across files: rules are a set, so that neither their order nor the file that they stand in
//! matters. Nothing that is doubtful is guessed; it is an error with a help. Law 5: either the whole policy is right,
//! or there is none.

mod agents;
mod bodies;
mod checks;
mod credentials;
mod forwards;
mod hosts;
mod include;
mod limits;
mod names;
mod pods;
mod presets;
pub(crate) mod reader;
pub(crate) mod record_types;
mod rules;
mod secret_sources;
mod stubs;

pub(crate) use credentials::is_slot;

use crate::diagnostic::{Diagnostic, Severity, codes};
use crate::lint;
use crate::model::policy::Parts;
use crate::model::{Effect, Policy};
use crate::raw;
use crate::source::{SourceFile, read_tolerant};
use names::Names;
pub(crate) use presets::read as read_preset;
use reader::Reader;
pub use secret_sources::built_in_provider;

/// A policy that can be used, and what a person should look at.
#[derive(Debug)]
pub struct Compiled {
    /// The policy.
    pub policy: Policy,
    /// Warnings, in the order of files and lines.
    pub warnings: Vec<Diagnostic>,
    /// Where the selectors of pods are written, in their order.
    pub(crate) selector_places: Vec<reader::Place>,
}

/// Checks policy files, merged.
///
/// # Errors
/// Every error of every file, in the order of files and lines, with the warnings among them.
pub fn compile(files: &[SourceFile]) -> Result<Compiled, Vec<Diagnostic>> {
    let mut draft = Draft::default();
    if files.is_empty() {
        let none = Diagnostic::error(codes::NO_FILES, "no policy file");
        return Err(vec![none.help("name a file, or a folder with *.yaml files in it")]);
    }
    let documents: Vec<(usize, raw::Document)> = files
        .iter()
        .enumerate()
        .filter_map(|(at, file)| read_document(at, file, &mut draft.found).map(|document| (at, document)))
        .collect();
    draft.complete = documents.len() == files.len();
    for (file, document) in &documents {
        check_head(&mut Reader::new(*file, &mut draft.found), document);
    }
    agents::check(&documents, &mut draft);
    credentials::check(&documents, &mut draft);
    rules::check(&documents, &mut draft);
    forwards::check(&documents, &mut draft);
    stubs::check(&mut draft);
    let mut compiled = draft.finish(files)?;
    lint::check(&compiled.policy, &documents, &mut compiled.warnings);
    sort(&mut compiled.warnings);
    Ok(compiled)
}

/// In the order of files and lines.
pub(crate) fn sort(found: &mut [Diagnostic]) {
    found.sort_by_key(|diagnostic| {
        let place = diagnostic.labels.first().map(|label| (label.file, label.span.start));
        (place, diagnostic.code, diagnostic.severity == Severity::Warning)
    });
}

/// What is known so far.
#[derive(Debug, Default)]
struct Draft {
    found: Vec<Diagnostic>,
    /// Whether every file could be read: else names may be missing that are defined.
    complete: bool,
    agents: Names,
    credentials: Names,
    /// Where stubs are written, by credential.
    stub_places: Vec<Option<reader::Place>>,
    /// Where refresh stubs are written, by credential.
    refresh_stub_places: Vec<Option<reader::Place>>,
    /// Where logins are named, by credential.
    login_places: Vec<Option<reader::Place>>,
    /// Where the selectors of pods are written, in their order.
    selector_places: Vec<reader::Place>,
    parts: Parts,
}

impl Draft {
    fn finish(mut self, files: &[SourceFile]) -> Result<Compiled, Vec<Diagnostic>> {
        let allows = self.parts.rules.iter().any(|rule| rule.effect == Effect::Allow);
        let failed = self.found.iter().any(Diagnostic::is_error);
        if !allows && !failed {
            let nothing =
                Diagnostic::warning(codes::GRANTS_NOTHING, "no rule allows anything: every request is denied");
            self.found.push(nothing);
        }
        sort(&mut self.found);
        if failed {
            return Err(self.found);
        }
        self.parts.fingerprint = fingerprint(files);
        let policy = Policy::new(self.parts);
        Ok(Compiled { policy, warnings: self.found, selector_places: self.selector_places })
    }
}

fn read_document(at: usize, file: &SourceFile, found: &mut Vec<Diagnostic>) -> Option<raw::Document> {
    let node = read_tolerant(at, file, found)?;
    Reader::new(at, found).shape(node.into())
}

fn check_head(reader: &mut Reader<'_>, document: &raw::Document) {
    reader.unknown(&document.unknown, raw::Document::KEYS);
    let Some(version) = reader.required(&document.version, "version", &(0..0)) else {
        return;
    };
    let raw::Number(number) = version.value;
    if *number != VERSION {
        let message = format!("version {number} of the format is not known");
        reader.report(
            Diagnostic::error(codes::VERSION, message),
            version.span,
            "",
            &format!("write `version: {VERSION}`"),
        );
    }
}

/// FNV-1a over the texts, whatever their order.
fn fingerprint(files: &[SourceFile]) -> u64 {
    let fnv = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
    };
    let mut each: Vec<u64> = files.iter().map(|file| fnv(file.text.as_bytes())).collect();
    each.sort_unstable();
    let all: Vec<u8> = each.into_iter().flat_map(u64::to_le_bytes).collect();
    fnv(&all)
}

/// Version of the format.
const VERSION: u64 = 1;
