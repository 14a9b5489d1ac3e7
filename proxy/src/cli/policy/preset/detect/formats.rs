//! As much of each tool's format as names a registry. What is not understood is passed over: a person reviews the list.

/// `registry=URL` and `@scope:registry=URL`.
pub(super) fn npmrc(text: &str) -> Vec<String> {
    let pairs = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])).filter_map(pair);
    let registries = pairs.filter(|(key, _)| *key == "registry" || key.starts_with('@') && key.ends_with(":registry"));
    registries.map(|(_, value)| value.to_owned()).collect()
}

/// `index-url` and `extra-index-url` of any section; the second may go on over indented lines.
pub(super) fn pip_conf(text: &str) -> Vec<String> {
    let mut urls = Vec::new();
    let mut within = false;
    for line in text.lines().filter(|line| !line.trim_start().starts_with(['#', ';'])) {
        if line.starts_with([' ', '\t']) {
            if within {
                urls.extend(line.split_whitespace().map(str::to_owned));
            }
            continue;
        }
        let is_index = |key: &str| matches!(key.replace('_', "-").as_str(), "index-url" | "extra-index-url");
        let found = pair(line).filter(|(key, _)| is_index(key));
        within = found.is_some();
        urls.extend(found.into_iter().flat_map(|(_, value)| value.split_whitespace().map(str::to_owned)));
    }
    urls
}

/// `registry` of `[source.…]`, `index` of `[registries.…]`, also in dotted keys and inline tables.
pub(super) fn cargo_config(text: &str) -> Vec<String> {
    let mut urls = Vec::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.split(']').next().unwrap_or_default().trim().to_owned();
            continue;
        }
        let whole = format!("{section}.{line}");
        let whole = whole.trim_start_matches('.');
        let key = match whole.split(['.', ' ', '=']).next() {
            Some("source") => "registry",
            Some("registries") => "index",
            Some(_) | None => continue,
        };
        urls.extend(string_of(line, key));
    }
    urls
}

/// The quoted text after `key =` somewhere in a line.
fn string_of(line: &str, key: &str) -> Option<String> {
    let from = line.match_indices(key).find_map(|(at, _)| {
        let before = line.get(..at)?.chars().next_back();
        let after = line.get(at + key.len()..)?.trim_start().strip_prefix('=')?.trim_start();
        before.is_none_or(|before| matches!(before, '.' | '{' | ',' | ' ')).then_some(after)
    })?;
    let quote = from.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let (text, _) = from.get(1..)?.split_once(quote)?;
    Some(text.to_owned())
}

/// `deb [options] URI suite …`, one a line.
pub(super) fn sources_list(text: &str) -> Vec<String> {
    let uri = |line: &str| {
        let line = line.split('#').next()?.trim();
        let rest = line.strip_prefix("deb-src").or_else(|| line.strip_prefix("deb"))?;
        let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
        let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
        rest.split_whitespace().next().map(str::to_owned)
    };
    text.lines().filter_map(uri).collect()
}

/// Stanzas with `URIs:`, which may go on over indented lines; those with `Enabled: no` are off.
pub(super) fn deb822(text: &str) -> Vec<String> {
    let mut urls = Vec::new();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for stanza in lines.split(|line| line.trim().is_empty()) {
        let mut found = Vec::new();
        let mut key = String::new();
        let mut enabled = true;
        for line in stanza {
            let value = if line.starts_with([' ', '\t']) {
                line
            } else if let Some((name, value)) = line.split_once(':') {
                key = name.trim().to_ascii_lowercase();
                value
            } else {
                continue;
            };
            let value = value.trim();
            match key.as_str() {
                "uris" => found.extend(value.split_whitespace().map(str::to_owned)),
                "enabled" => enabled = !["no", "false", "0", "off"].contains(&&*value.to_ascii_lowercase()),
                _ => {}
            }
        }
        if enabled {
            urls.append(&mut found);
        }
    }
    urls
}

/// `key = value`, the value with or without quotes.
fn pair(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    Some((key.trim(), value.trim().trim_matches('"')))
}
