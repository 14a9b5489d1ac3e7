//! How the client lays its screen out: what was said above, then either the input box or a dialog.

/// The rows of what was said: those above the input box, or above nothing.
pub(super) fn said(rows: &[String]) -> &[String] {
    let end = input_box(rows).unwrap_or(rows.len());
    rows.get(..end).unwrap_or_default()
}

/// The row where the input box begins: a rule, a line that begins with `❯` or `>`, and a rule. The last one, if several look so.
pub(super) fn input_box(rows: &[String]) -> Option<usize> {
    let rules: Vec<usize> = (0..rows.len()).filter(|&at| rows.get(at).is_some_and(|row| is_rule(row))).collect();
    rules.windows(2).rev().find_map(|pair| {
        let [above, below] = *pair else { return None };
        let first = rows.get(above + 1)?;
        (below > above + 1 && first.starts_with(['❯', '>'])).then_some(above)
    })
}

/// A row of nothing but `─`, with room for a label.
pub(super) fn is_rule(row: &str) -> bool {
    row.chars().filter(|&letter| letter == '─').count() >= 20 && row.starts_with('─')
}

/// A line that says nothing: empty, or a spinner with its timer.
pub(super) fn is_furniture(line: &str) -> bool {
    let is_spinner = line.starts_with(['·', '✢', '✳', '✶', '✻', '✽', '*', '∗']) && line.contains('…');
    line.is_empty() || is_rule(line) || is_spinner
}
