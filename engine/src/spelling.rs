//! What a misspelt word may mean.

/// The word among `known` that `word` may be a misspelling of: at most every third letter is wrong.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let by_distance = known
        .into_iter()
        .map(|name| (distance(&word, &name.to_lowercase()), name));
    by_distance
        .min()
        .filter(|(wrong, name)| *wrong <= name.len().max(word.len()).div_ceil(3))
        .map(|(_, name)| name)
}

/// How many letters must be added, removed or replaced to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter_a) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, letter_b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter_a != *letter_b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_recognised() {
        for (word, wanted) in [
            ("watermrk", Some("watermark")),
            ("titel", Some("title")),
            ("TITLE", Some("title")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(closest(word, ["title", "watermark"]), wanted, "{word}");
        }
    }
}
