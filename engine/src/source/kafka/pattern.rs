//! Which topics a pattern means.
//!
//! Spark looks for a Java regular expression anywhere in a topic's name. Names are letters, digits, `.`, `_` and `-`, and
//! over those the two kinds of expression agree on nearly everything; what Java reads otherwise, or not at all, is refused.

use regex::Regex;

use crate::{Error, Result};

/// A pattern of topic names.
#[derive(Debug, Clone)]
pub(super) struct TopicPattern {
    text: String,
    regex: Regex,
}

impl TopicPattern {
    /// Reads a Java regular expression.
    ///
    /// # Errors
    /// One that is none, or that means something else here than in Java.
    pub(super) fn new(text: &str) -> Result<TopicPattern> {
        let refused = |why: &str| {
            Error::Invalid(format!(
                "`subscribePattern` is `{text}`: {why}; write it with what both take, such as `scotsmen|bagpipe` or \
                 `^logs-.*`"
            ))
        };
        if let Some(why) = difference(text) {
            return Err(refused(why));
        }
        let regex = Regex::new(text).map_err(|error| {
            let reason = error.to_string();
            refused(
                reason
                    .lines()
                    .last()
                    .unwrap_or("it is no pattern")
                    .trim_start_matches("error: "),
            )
        })?;
        Ok(TopicPattern {
            text: text.to_string(),
            regex,
        })
    }

    /// Whether the pattern is found in a name.
    pub(super) fn is_in(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// What Java and this engine read differently, if the pattern has it. What only Java knows (lookaround, references back)
/// is an error of the engine's own.
fn difference(text: &str) -> Option<&'static str> {
    let mut chars = text.chars().peekable();
    let mut in_class = 0;
    let mut after_quantifier = false;
    while let Some(c) = chars.next() {
        let was_quantifier = std::mem::replace(&mut after_quantifier, false);
        match c {
            '\\' => match chars.next() {
                Some('Q' | 'E') => return Some("`\\Q...\\E` quotes in Java only"),
                Some('h' | 'R' | 'X' | 'Z' | 'G' | 'c' | 'e' | 'N' | 'k') => return Some("this escape is Java's only"),
                Some('p' | 'P') => return Some("classes such as `\\p{Alpha}` have other names in Java"),
                _ => {}
            },
            '[' => in_class += 1,
            ']' if in_class > 0 => in_class -= 1,
            '-' | '~' if in_class > 0 && chars.peek() == Some(&c) => {
                return Some("`--` and `~~` in a class are characters in Java and set operations here");
            }
            '+' if was_quantifier => return Some("a possessive quantifier (`++`, `*+`) is Java's only"),
            '*' | '+' | '?' | '}' if in_class == 0 => after_quantifier = true,
            '(' if in_class == 0 && chars.peek() == Some(&'?') => {
                let flags: String = chars.clone().skip(1).take_while(char::is_ascii_alphabetic).collect();
                if flags.contains(['U', 'd', 'u', 'R']) {
                    return Some("the flags `U`, `d`, `u` and `R` mean something else in Java");
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_looked_for_anywhere_in_a_name() {
        for (pattern, name, found) in [
            ("scotsmen|bagpipe", "scotsmen", true),
            ("scot", "scotsmen", true),
            ("^scot$", "scotsmen", false),
            ("topic-\\d+", "topic-12", true),
            ("(?i)SCOT", "scotsmen", true),
            ("a.c", "abc", true),
            ("[a-c]{2,}?", "xab", true),
        ] {
            assert_eq!(
                TopicPattern::new(pattern).unwrap().is_in(name),
                found,
                "{pattern} in {name}"
            );
        }
    }

    #[test]
    fn what_java_reads_otherwise_is_refused() {
        for pattern in [
            "a++",
            "a*+",
            "a?+",
            "a{2}+",
            "\\Qa.b\\E",
            "\\p{Alpha}",
            "[a--b]",
            "(?U)a",
            "\\ha",
            "(?=a)b",
            "(a)\\1",
            "(?>a)",
            "(",
        ] {
            let message = TopicPattern::new(pattern).unwrap_err().to_string();
            assert!(message.contains("write it with what both take"), "{pattern}: {message}");
        }
        insta::assert_snapshot!(TopicPattern::new("a++").unwrap_err(), @"`subscribePattern` is `a++`: a possessive quantifier (`++`, `*+`) is Java's only; write it with what both take, such as `scotsmen|bagpipe` or `^logs-.*`");
    }
}
