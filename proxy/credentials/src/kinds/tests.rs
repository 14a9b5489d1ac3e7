use bytes::Bytes;
use proptest::prelude::*;
use regex::bytes::Regex;
use stubgate_policy::OnCredential;

use super::*;
use crate::minted::base62::checksum;

/// Letters and digits that look drawn.
const DRAWN: &str = "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ7Gf2LmXe8Ua3Kv6Pw1Ib0Nt5Ry9Dh4Cq";

fn drawn(length: usize) -> String {
    DRAWN.chars().cycle().take(length).collect()
}

fn checked(prefix: &str, length: usize) -> String {
    let text = drawn(length - 6);
    format!("{prefix}{text}{}", checksum(text.as_bytes()))
}

/// One of each form.
fn examples() -> Vec<(Kind, String)> {
    vec![
        // As GitHub published it.
        (Kind::Github, "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".into()),
        (Kind::Github, checked("gho_", 36)),
        (Kind::Github, checked("ghu_", 36)),
        (Kind::Github, checked("ghs_", 251)),
        (Kind::Github, checked("ghr_", 76)),
        (Kind::GithubPat, format!("github_pat_{}_{}", drawn(22), drawn(59))),
        (Kind::Anthropic, format!("sk-ant-api03-{}-_AA", drawn(91))),
        (Kind::Anthropic, format!("sk-ant-admin01-{}AA", drawn(93))),
        (Kind::Anthropic, format!("sk-ant-oat01-{}-_", drawn(84))),
        (Kind::Anthropic, format!("sk-ant-ort01-{}AA", drawn(93))),
        (Kind::Openai, format!("sk-proj-{}T3BlbkFJ{}", drawn(74), drawn(74))),
        (Kind::Openai, format!("sk-proj-{}T3BlbkFJ{}", drawn(20), drawn(20))),
        (Kind::Npm, checked("npm_", 36)),
        (Kind::Pypi, format!("pypi-AgEIcHlwaS5vcmc{}", drawn(150))),
        (Kind::Pypi, format!("pypi-AgENdGVzdC5weXBpLm9yZw{}", drawn(150))),
        (Kind::Gitlab, format!("glpat-{}", drawn(20))),
        (Kind::Gitlab, format!("glpat-{}.011a2b3c4", drawn(30))),
        (Kind::Slack, format!("xoxb-123456789012-1234567890123-{}", drawn(24))),
        (Kind::Slack, format!("xoxp-12345678901-12345678901-1234567890123-{}", "0123456789abcdef".repeat(2))),
        (Kind::Slack, format!("xoxa-2-12345678901-12345678901-{}", drawn(24))),
    ]
}

fn nobody(_: &[u8]) -> bool {
    false
}

fn kinds_in(text: &str) -> Vec<Kind> {
    sights(text.as_bytes(), nobody).into_iter().map(|sight| sight.kind).collect()
}

#[test]
fn every_form_is_recognised_by_itself_and_in_what_surrounds_one() {
    for (kind, token) in examples() {
        for (before, after) in [
            ("", ""),
            ("{\"token\":\"", "\",\"expires_at\":null}"),
            ("export TOKEN=", "\n"),
            ("https://x:", "@github.com/acme/site.git"),
            ("first line\\n", "\\nlast line"),
            ("?access_token%3D", "&x=1"),
            ("\\u0022", "\\u0022"),
            ("Put ", ". Then"),
            ("a-", " b"),
        ] {
            let text = format!("{before}{token}{after}");
            let found = sights(text.as_bytes(), nobody);
            assert_eq!(found.len(), 1, "{kind} in {text}");
            assert_eq!((found[0].kind, &text[found[0].span.clone()]), (kind, &*token), "{text}");
        }
        assert!((SHORTEST..=LONGEST).contains(&token.len()), "{token}");
    }
}

#[test]
fn what_is_part_of_a_longer_word_is_none() {
    for (kind, token) in examples() {
        for text in [format!("x{token}"), format!("_{token}"), format!("0{token}"), format!("%41{token}")] {
            assert_eq!(kinds_in(&text), [], "{kind}: {text}");
        }
        // Others may be longer.
        let is_exact = matches!(kind, Kind::Github | Kind::GithubPat | Kind::Npm | Kind::Gitlab);
        if is_exact || token.starts_with("sk-ant-api03-") {
            assert_eq!(kinds_in(&format!("{token}x")), [], "{kind}");
            assert_eq!(kinds_in(&format!("{token}_x")), [], "{kind}");
        }
    }
}

#[test]
fn a_wrong_checksum_length_or_placeholder_is_none() {
    for text in [
        "ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "ghp_SGMxxxxxxxxx",
        "npm_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "npm_config_registry=https://registry.example",
        "glpat-xxxxxxxxxxxxxxxxxxxx",
        "glpat-your-token-goes-here",
        "glpat-1234567890123456789",
        "xoxb-your-token",
        "xoxb-123456789012-123456789012-xxxxxxxxxxxxxxxxxxxxxxxx",
        "sk-proj-0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghij",
        "sk-ant-api03-0123456789",
        "sk-ant-oat01-access-token-stub",
        "pypi-AgEIcHlwaS5vcmc",
        "AKIAIOSFODNN7EXAMPLE",
        "proxy-token-github",
    ] {
        assert_eq!(kinds_in(text), [], "{text}");
    }
}

#[test]
fn a_stub_is_none() {
    let (_, token) = examples().remove(0);
    assert!(sights(token.as_bytes(), |text| text == token.as_bytes()).is_empty());
}

#[test]
fn a_mask_has_the_length_of_what_it_covers_and_is_none() {
    for (kind, token) in examples() {
        let mut text = token.clone().into_bytes();
        let found = sights(&text, nobody);
        mask(&mut text, &found[0]);
        let text = String::from_utf8(text).unwrap();
        let shown = text.trim_end_matches('*');
        assert!(token.starts_with(shown) && shown.len() < 28 && !shown.contains('*'), "{text}");
        assert_eq!(text.len(), token.len());
        assert_eq!(kinds_in(&text), [], "{kind}");
    }
}

/// The forms as regular expressions, for places that are told apart by what they capture; what an expression can't say
/// (checksums, what looks drawn) is said of the captures.
struct Reference(Vec<(Kind, Regex, bool)>);

impl Reference {
    fn new() -> Self {
        const CHECKED: bool = true;
        let word = "A-Za-z0-9_";
        // What may stand before: a byte that is none of a word's, an escape of one, or nothing.
        let start = r"(?s-u:^|[^A-Za-z0-9_]|\\[nrtbf]|%(?:[0189a-fA-F][0-9a-fA-F]|2[0-9a-fA-F]|3[a-fA-F]|40|5[b-eB-E]|60|7[b-fB-F])|\\u00(?:[0189a-fA-F][0-9a-fA-F]|2[0-9a-fA-F]|3[a-fA-F]|40|5[b-eB-E]|60|7[b-fB-F]))";
        let forms = [
            (Kind::Github, r"gh[pousr]_([A-Za-z0-9]{36,251})".to_owned(), format!("[^{word}]"), CHECKED),
            (Kind::Npm, r"npm_([A-Za-z0-9]{36})".to_owned(), format!("[^{word}]"), CHECKED),
            (
                Kind::GithubPat,
                r"github_pat_[A-Za-z0-9]{22}_([A-Za-z0-9]{59})".to_owned(),
                format!("[^{word}]"),
                !CHECKED,
            ),
            (
                Kind::Anthropic,
                r"sk-ant-(?:api03|admin01)-([A-Za-z0-9_-]{93}AA)".to_owned(),
                format!("[^{word}-]"),
                !CHECKED,
            ),
            (Kind::Anthropic, r"sk-ant-o[ar]t01-([A-Za-z0-9_-]{80,200})".to_owned(), format!("[^{word}-]"), !CHECKED),
        ];
        Reference(
            forms
                .into_iter()
                .map(|(kind, form, end, is_checked)| {
                    let whole = format!("(?-u:(?:{start})(?<token>{form})(?:{end}|$))");
                    (kind, Regex::new(&whole).unwrap(), is_checked)
                })
                .collect(),
        )
    }

    /// Where those of the kinds that it knows stand, one after the other: what begins inside of another, or of one of
    /// `others`, is part of it.
    fn all(&self, text: &[u8], others: &[Range<usize>]) -> Vec<(Kind, Range<usize>)> {
        let mut found = Vec::new();
        for (kind, regex, is_checked) in &self.0 {
            let mut from = 0;
            while let Some(captures) = regex.captures_at(text, from) {
                let body = captures.get(2).unwrap();
                from = captures.get(0).unwrap().start() + 1;
                let bytes = body.as_bytes();
                let is = if *is_checked {
                    let (text, sum) = bytes.split_at(bytes.len() - 6);
                    checksum(text).as_bytes() == sum
                } else {
                    let different: std::collections::BTreeSet<_> = bytes.iter().collect();
                    different.len() >= 10 && bytes.iter().any(u8::is_ascii_digit)
                };
                let span = captures.name("token").unwrap().range();
                if is && !others.iter().any(|other| other.contains(&span.start)) {
                    found.push((*kind, span));
                }
            }
        }
        found.sort_by_key(|(_, span)| span.start);
        let mut end = 0;
        found.retain(|(_, span)| {
            let follows = span.start >= end;
            end = if follows { span.end } else { end };
            follows
        });
        found
    }
}

/// Texts of tokens, parts of them, and what stands between.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let tokens: Vec<String> = examples().into_iter().map(|(_, token)| token).collect();
    let token = prop::sample::select(tokens);
    let cut =
        (token.clone(), any::<prop::sample::Index>()).prop_map(|(token, at)| token[..at.index(token.len())].to_owned());
    let part = prop_oneof![
        4 => token.prop_map(String::into_bytes),
        2 => cut.prop_map(String::into_bytes),
        3 => prop::sample::select(vec![" ", "\"", "\\n", "%3D", "\\u0022", "%41", "\\u0041", "x", "_", "-", ".", "gh", "n", "%2", "\\"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..5),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

/// Sizes of pieces.
fn pieces<'t>(text: &'t [u8], sizes: &'t [usize]) -> impl Iterator<Item = &'t [u8]> {
    let mut rest = text;
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at((*sizes.next()?).min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// What leaves, how many were seen, and whether it ended early.
fn through(act: OnCredential, text: &[u8], sizes: &[usize], last_is_known: bool) -> (Vec<u8>, u64, bool) {
    let mut gate = Gate::new(act);
    let mut out = Vec::new();
    let all: Vec<&[u8]> = pieces(text, sizes).collect();
    for (at, piece) in all.iter().enumerate() {
        let piece = Bytes::copy_from_slice(piece);
        if last_is_known && at + 1 == all.len() {
            gate.push_last(piece, nobody);
        } else {
            gate.push(piece, nobody);
        }
        out.extend(std::iter::from_fn(|| gate.take()).flatten());
    }
    gate.push_last(Bytes::new(), nobody);
    out.extend(std::iter::from_fn(|| gate.take()).flatten());
    assert!(!gate.is_open());
    (out, gate.take_seen().total(), gate.is_shut())
}

proptest! {
    #[test]
    fn what_is_found_is_what_the_expressions_say(text in texts()) {
        let reference = Reference::new();
        let known = [Kind::Github, Kind::GithubPat, Kind::Anthropic, Kind::Npm];
        let (found, others): (Vec<Sight>, Vec<Sight>) =
            sights(&text, nobody).into_iter().partition(|sight| known.contains(&sight.kind));
        let found: Vec<(Kind, Range<usize>)> = found.into_iter().map(|sight| (sight.kind, sight.span)).collect();
        let others: Vec<Range<usize>> = others.into_iter().map(|sight| sight.span).collect();
        prop_assert_eq!(found, reference.all(&text, &others), "{}", text.escape_ascii());
    }

    #[test]
    fn the_same_leaves_in_whatever_pieces_it_comes(
        text in texts(),
        sizes in prop::collection::vec(1_usize..40, 1..6),
        last_is_known: bool,
    ) {
        let found = sights(&text, nobody);
        let count = found.len() as u64;
        prop_assert_eq!(through(OnCredential::Allow, &text, &sizes, last_is_known), (text.clone(), count, false));
        let mut masked = text.clone();
        found.iter().for_each(|sight| mask(&mut masked, sight));
        prop_assert_eq!(through(OnCredential::Replace, &text, &sizes, last_is_known), (masked, count, false));
        let (out, seen, is_shut) = through(OnCredential::Deny, &text, &sizes, last_is_known);
        prop_assert_eq!(out, &text[..found.first().map_or(text.len(), |sight| sight.span.start)]);
        prop_assert_eq!((seen > 0, is_shut), (count > 0, count > 0));
    }

    #[test]
    fn what_was_let_go_is_followed_by_no_more_of_a_credential(
        (kind, token) in prop::sample::select(examples()),
        at in any::<prop::sample::Index>(),
    ) {
        let text = format!("\"{token}\"").into_bytes();
        let at = 1 + at.index(token.len());
        for act in [OnCredential::Replace, OnCredential::Deny] {
            let mut gate = Gate::new(act);
            gate.push(Bytes::copy_from_slice(&text[..at]), nobody);
            gate.let_go();
            let shown: Vec<u8> = std::iter::from_fn(|| gate.take()).flatten().collect();
            prop_assert_eq!(&shown, &text[..at], "{}", kind);
            gate.push_last(Bytes::copy_from_slice(&text[at..]), nobody);
            let rest: Vec<u8> = std::iter::from_fn(|| gate.take()).flatten().collect();
            prop_assert_eq!(gate.is_shut(), act == OnCredential::Deny);
            prop_assert!(!rest.iter().any(u8::is_ascii_alphanumeric) || at < 30, "{}", rest.escape_ascii());
        }
    }
}

#[test]
fn text_that_only_begins_like_one_is_held_for_no_longer_than_a_pause() {
    let mut gate = Gate::new(OnCredential::Deny);
    gate.push(Bytes::from_static(b"data: going"), nobody);
    assert_eq!(gate.take().as_deref(), Some(&b"data: going"[..]), "`g` of `going` is inside of a word");
    gate.push(Bytes::from_static(b" g"), nobody);
    assert_eq!(gate.take().as_deref(), Some(&b" "[..]));
    assert!(!gate.pause());
    assert_eq!(gate.take().as_deref(), Some(&b"g"[..]));
    gate.push(Bytes::from_static(b" ghp_zQWB"), nobody);
    assert_eq!(gate.take().as_deref(), Some(&b" "[..]));
    assert!(gate.pause(), "eight bytes stay until they are let go");
    gate.let_go();
    assert_eq!(gate.take().as_deref(), Some(&b"ghp_zQWB"[..]));
}

#[test]
fn what_is_watched_only_leaves_at_once() {
    let mut gate = Gate::new(OnCredential::Allow);
    gate.push(Bytes::from_static(b"token: ghp_zQWBuTSOoRi4A9sp"), nobody);
    assert_eq!(gate.take().as_deref(), Some(&b"token: ghp_zQWBuTSOoRi4A9sp"[..]));
    assert!(!gate.pause());
    gate.push(Bytes::from_static(b"HcVY5ncnsDkxkJ0mLq17\n"), nobody);
    assert_eq!(gate.take_seen().iter().collect::<Vec<_>>(), [(Kind::Github, 1)]);
}

#[test]
fn no_prefix_meets_another() {
    for one in FORMS {
        assert!(one.prefix.len() <= form::LONGEST_PREFIX, "{}", one.prefix);
        for other in FORMS.iter().filter(|other| other.prefix != one.prefix) {
            let meets = (1..=other.prefix.len()).any(|length| one.prefix.ends_with(&other.prefix[..length]));
            assert!(!meets, "{} {}", one.prefix, other.prefix);
        }
    }
}
