//! Functions of text. Positions and lengths count characters, not bytes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Int32Type};

use super::{Kernel, SparkFn};
use crate::Result;

/// A function from text to text.
pub fn map(name: &'static str, change: fn(&str) -> String) -> SparkFn {
    SparkFn::owned(name, DataType::Utf8, move |_, arrays| {
        let texts = arrays[0].as_string::<i32>();
        let mut out = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
        for text in texts {
            out.append_option(text.map(change));
        }
        Ok(Arc::new(out.finish()))
    })
}

/// A function from text to a number.
pub fn count(name: &'static str, measure: fn(&str) -> i32) -> SparkFn {
    SparkFn::owned(name, DataType::Int32, move |_, arrays| {
        let texts = arrays[0].as_string::<i32>();
        Ok(Arc::new(
            texts.iter().map(|text| text.map(measure)).collect::<Int32Array>(),
        ))
    })
}

/// A question about two texts.
pub fn test(name: &'static str, ask: fn(&str, &str) -> bool) -> SparkFn {
    SparkFn::owned(name, DataType::Boolean, move |_, arrays| {
        let (left, right) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
        let answers = left.iter().zip(right).map(|(l, r)| Some(ask(l?, r?)));
        Ok(Arc::new(answers.collect::<BooleanArray>()))
    })
}

/// Every word with a capital first, the rest small; words are parted by blanks.
pub fn initcap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut first = true;
    for c in text.chars() {
        if first {
            out.extend(c.to_uppercase())
        } else {
            out.extend(c.to_lowercase())
        }
        first = c == ' ';
    }
    out
}

/// The characters from last to first.
pub fn reverse(text: &str) -> String {
    text.chars().rev().collect()
}

/// `substring(text, position, length)`: positions from 1, negative ones from the end, 0 as 1.
pub fn substring() -> SparkFn {
    SparkFn::new(
        "substring",
        DataType::Utf8,
        Kernel::Arrays(|_, arrays| {
            let (positions, lengths) = (
                arrays[1].as_primitive::<Int32Type>(),
                arrays[2].as_primitive::<Int32Type>(),
            );
            texts_and(arrays, |text, row, out| {
                if positions.is_null(row) || lengths.is_null(row) {
                    return false;
                }
                out.push_str(part(text, positions.value(row) as i64, lengths.value(row) as i64));
                true
            })
        }),
    )
}

/// The characters from `position` (as [`substring`] counts) on, `length` many.
fn part(text: &str, position: i64, length: i64) -> &str {
    let start = match position {
        1.. => position - 1,
        0 => 0,
        _ => text.chars().count() as i64 + position,
    };
    let end = start.saturating_add(length).max(0);
    let start = start.max(0);
    if end <= start {
        return "";
    }
    let byte = |index: i64| text.char_indices().nth(index as usize).map_or(text.len(), |(at, _)| at);
    let from = byte(start);
    let to = if end >= text.len() as i64 {
        text.len()
    } else {
        byte(end)
    };
    &text[from.min(to)..to]
}

/// `left(text, length)`.
pub fn left() -> SparkFn {
    SparkFn::new(
        "left",
        DataType::Utf8,
        Kernel::Arrays(|_, arrays| {
            let lengths = arrays[1].as_primitive::<Int32Type>();
            texts_and(arrays, |text, row, out| {
                out.push_str(part(text, 1, lengths.value(row) as i64));
                !lengths.is_null(row)
            })
        }),
    )
}

/// `right(text, length)`.
pub fn right() -> SparkFn {
    SparkFn::new(
        "right",
        DataType::Utf8,
        Kernel::Arrays(|_, arrays| {
            let lengths = arrays[1].as_primitive::<Int32Type>();
            texts_and(arrays, |text, row, out| {
                let (length, all) = (lengths.value(row) as i64, text.chars().count() as i64);
                if length > 0 {
                    out.push_str(part(text, (all - length).max(0) + 1, length));
                }
                !lengths.is_null(row)
            })
        }),
    )
}

/// `trim`, `ltrim`, `rtrim`: of blanks, or of the characters of the second text.
pub fn trim(name: &'static str) -> SparkFn {
    SparkFn::owned(name, DataType::Utf8, move |_, arrays| {
        let characters = arrays.get(1).map(|a| a.as_string::<i32>());
        texts_and(arrays, |text, row, out| {
            let of = match characters {
                Some(characters) if characters.is_null(row) => return false,
                Some(characters) => characters.value(row),
                None => " ",
            };
            let belongs = |c: char| of.contains(c);
            out.push_str(match name {
                "ltrim" => text.trim_start_matches(belongs),
                "rtrim" => text.trim_end_matches(belongs),
                _ => text.trim_matches(belongs),
            });
            true
        })
    })
}

/// `concat(a, b, ...)`: NULL if any is.
pub fn concat() -> SparkFn {
    SparkFn::new(
        "concat",
        DataType::Utf8,
        Kernel::Arrays(|_, arrays| {
            let texts: Vec<&StringArray> = arrays.iter().map(|a| a.as_string::<i32>()).collect();
            let bytes = texts.iter().map(|t| t.value_data().len()).sum();
            let mut out = StringBuilder::with_capacity(texts[0].len(), bytes);
            let mut row_text = String::new();
            for row in 0..texts[0].len() {
                if texts.iter().any(|t| t.is_null(row)) {
                    out.append_null();
                    continue;
                }
                row_text.clear();
                texts.iter().for_each(|t| row_text.push_str(t.value(row)));
                out.append_value(&row_text);
            }
            Ok(Arc::new(out.finish()))
        }),
    )
}

/// `concat_ws(separator, a, b, ...)`: NULLs are left out.
pub fn concat_ws() -> SparkFn {
    SparkFn::new(
        "concat_ws",
        DataType::Utf8,
        Kernel::Arrays(|_, arrays| {
            let texts: Vec<&StringArray> = arrays[1..].iter().map(|a| a.as_string::<i32>()).collect();
            texts_and(arrays, |separator, row, out| {
                let mut first = true;
                for text in texts.iter().filter(|t| !t.is_null(row)) {
                    if !first {
                        out.push_str(separator);
                    }
                    out.push_str(text.value(row));
                    first = false;
                }
                true
            })
        }),
    )
}

/// `replace(text, search, replacement)`.
pub fn replace() -> SparkFn {
    SparkFn::new(
        "replace",
        DataType::Utf8,
        Kernel::Arrays(|_, arrays| {
            let (search, by) = (arrays[1].as_string::<i32>(), arrays[2].as_string::<i32>());
            texts_and(arrays, |text, row, out| {
                if search.is_null(row) || by.is_null(row) {
                    return false;
                }
                let search = search.value(row);
                if search.is_empty() {
                    out.push_str(text)
                } else {
                    out.push_str(&text.replace(search, by.value(row)))
                }
                true
            })
        }),
    )
}

/// `translate(text, from, to)`: each character of `from` becomes the one of `to` at its place, or goes.
pub fn translate() -> SparkFn {
    SparkFn::new(
        "translate",
        DataType::Utf8,
        Kernel::Arrays(|_, arrays| {
            let (from, to) = (arrays[1].as_string::<i32>(), arrays[2].as_string::<i32>());
            texts_and(arrays, |text, row, out| {
                if from.is_null(row) || to.is_null(row) {
                    return false;
                }
                let (from, to): (Vec<char>, Vec<char>) =
                    (from.value(row).chars().collect(), to.value(row).chars().collect());
                for c in text.chars() {
                    match from.iter().position(|f| *f == c) {
                        Some(at) => out.extend(to.get(at)),
                        None => out.push(c),
                    }
                }
                true
            })
        }),
    )
}

/// `repeat(text, times)`.
pub fn repeat() -> SparkFn {
    SparkFn::new(
        "repeat",
        DataType::Utf8,
        Kernel::Arrays(|_, arrays| {
            let times = arrays[1].as_primitive::<Int32Type>();
            texts_and(arrays, |text, row, out| {
                (0..times.value(row)).for_each(|_| out.push_str(text));
                !times.is_null(row)
            })
        }),
    )
}

/// `lpad` and `rpad`: to exactly `length` characters.
pub fn pad(left: bool) -> SparkFn {
    let name = if left { "lpad" } else { "rpad" };
    SparkFn::owned(name, DataType::Utf8, move |_, arrays| {
        let (lengths, fill) = (arrays[1].as_primitive::<Int32Type>(), arrays[2].as_string::<i32>());
        texts_and(arrays, |text, row, out| {
            if lengths.is_null(row) || fill.is_null(row) {
                return false;
            }
            let (length, has) = (lengths.value(row).max(0) as usize, text.chars().count());
            let padding = fill.value(row).chars().cycle().take(length.saturating_sub(has));
            if left {
                out.extend(padding);
                out.push_str(part(text, 1, length as i64));
            } else {
                out.push_str(part(text, 1, length as i64));
                out.extend(padding);
            }
            true
        })
    })
}

/// `instr(text, wanted)`: the first position, 0 if there is none.
pub fn instr() -> SparkFn {
    SparkFn::new(
        "instr",
        DataType::Int32,
        Kernel::Arrays(|_, arrays| {
            let (texts, wanted) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
            let places = texts
                .iter()
                .zip(wanted)
                .map(|(text, wanted)| Some(position(text?, wanted?, 1)));
            Ok(Arc::new(places.collect::<Int32Array>()))
        }),
    )
}

/// `locate`, with the text first: the first position from `start` on.
pub fn locate() -> SparkFn {
    SparkFn::new(
        "locate",
        DataType::Int32,
        Kernel::Arrays(|_, arrays| {
            let (texts, wanted) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
            let starts = arrays[2].as_primitive::<Int32Type>();
            let places = texts
                .iter()
                .zip(wanted)
                .zip(starts)
                .map(|((text, wanted), start)| match start {
                    // A NULL start finds nothing, as in Spark.
                    None => Some(0),
                    Some(start) => Some(position(text?, wanted?, start)),
                });
            Ok(Arc::new(places.collect::<Int32Array>()))
        }),
    )
}

fn position(text: &str, wanted: &str, start: i32) -> i32 {
    if start < 1 {
        return 0;
    }
    let Some((offset, _)) = text.char_indices().chain([(text.len(), ' ')]).nth(start as usize - 1) else {
        return 0;
    };
    text[offset..]
        .find(wanted)
        .map_or(0, |at| text[..offset + at].chars().count() as i32 + 1)
}

/// Writes a text for each row whose first argument is a text; NULL where `write` says false.
fn texts_and(arrays: &[ArrayRef], mut write: impl FnMut(&str, usize, &mut String) -> bool) -> Result<ArrayRef> {
    let texts = arrays[0].as_string::<i32>();
    let mut out = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    let mut row_text = String::new();
    for row in 0..texts.len() {
        row_text.clear();
        if texts.is_valid(row) && write(texts.value(row), row, &mut row_text) {
            out.append_value(&row_text);
        } else {
            out.append_null();
        }
    }
    Ok(Arc::new(out.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substrings_count_as_sparks() {
        for (position, length, wanted) in [
            (2, i32::MAX, "orto"),
            (2, 2, "or"),
            (-2, i32::MAX, "to"),
            (0, 2, "Po"),
            (-10, 7, "Po"),
            (9, 1, ""),
            (1, -1, ""),
        ] {
            assert_eq!(part("Porto", position, length as i64), wanted, "{position}, {length}");
        }
    }
}
