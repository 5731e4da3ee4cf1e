//! Patterns of file names: `*`, `?`, `[a-z]`, `{csv,json}`.

/// Whether a name fits a pattern.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    alternatives(pattern)
        .iter()
        .any(|pattern| matches(&pattern.chars().collect::<Vec<_>>(), &name))
}

/// Whether a text is a pattern rather than a name.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// The patterns without braces a pattern stands for.
fn alternatives(pattern: &str) -> Vec<String> {
    let Some(open) = pattern.find('{') else {
        return vec![pattern.to_owned()];
    };
    let Some(close) = pattern[open..].find('}').map(|at| open + at) else {
        return vec![pattern.to_owned()];
    };
    let (before, after) = (&pattern[..open], &pattern[close + 1..]);
    let choices = pattern[open + 1..close].split(',');
    choices
        .flat_map(|choice| alternatives(&format!("{before}{choice}{after}")))
        .collect()
}

fn matches(pattern: &[char], name: &[char]) -> bool {
    match pattern.first() {
        None => name.is_empty(),
        Some('*') => (0..=name.len()).any(|skipped| matches(&pattern[1..], &name[skipped..])),
        Some('?') => !name.is_empty() && matches(&pattern[1..], &name[1..]),
        Some('[') => {
            let Some(close) = pattern.iter().position(|c| *c == ']') else {
                return false;
            };
            let Some(first) = name.first() else { return false };
            in_class(&pattern[1..close], *first) && matches(&pattern[close + 1..], &name[1..])
        }
        Some('\\') if pattern.len() > 1 => name.first() == Some(&pattern[1]) && matches(&pattern[2..], &name[1..]),
        Some(letter) => name.first() == Some(letter) && matches(&pattern[1..], &name[1..]),
    }
}

fn in_class(class: &[char], letter: char) -> bool {
    let (negated, class) = match class.first() {
        Some('^' | '!') => (true, &class[1..]),
        _ => (false, class),
    };
    let mut rest = class;
    let mut found = false;
    while let Some(first) = rest.first() {
        if let [from, '-', to, ..] = rest {
            found |= (*from..=*to).contains(&letter);
            rest = &rest[3..];
        } else {
            found |= *first == letter;
            rest = &rest[1..];
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        for (pattern, name, wanted) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.json", false),
            ("part-?[0-9]*", "part-07.x", true),
            ("part-[!0]", "part-0", false),
            ("*.{csv,json}", "a.json", true),
            ("a", "ab", false),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{name} as {pattern}");
        }
    }
}
