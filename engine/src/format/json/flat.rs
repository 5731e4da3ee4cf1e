//! The quick way through rows as most producers write them: a flat object, its names in the order of the schema, its
//! values plain.
//!
//! It takes what it can prove to mean what the full reader makes of it: a name may be missing, a value `null`, a blank may
//! stand where one usually does. At anything else (an escape, another order, a number that does not fit) it gives up, and
//! the full reader reads the row from its beginning.

use arrow::datatypes::{DataType, Fields, TimeUnit};

use super::JsonOptions;
use super::token::{plain_length, simple_double};
use crate::format::column::{Column, Values};
use crate::format::time::parse_iso;

/// Digits a number may have to fit whatever they are.
const INT_DIGITS: usize = 9;
const LONG_DIGITS: usize = 18;

/// The names of a schema as they are written in a row: `"district":`.
#[derive(Debug)]
pub(super) struct Flat {
    names: Vec<Vec<u8>>,
}

impl Flat {
    /// The quick way for a schema; none where a column or an option needs more than plain values.
    pub fn of(fields: &Fields, options: &JsonOptions) -> Option<Flat> {
        let mut names: Vec<Vec<u8>> = Vec::with_capacity(fields.len());
        for field in fields {
            let name = format!("\"{}\":", field.name()).into_bytes();
            let is_plain_name = plain_length(&name[1..]) == field.name().len();
            if !is_plain(field.data_type(), options) || !is_plain_name || names.contains(&name) {
                return None;
            }
            names.push(name);
        }
        (!names.is_empty()).then_some(Flat { names })
    }

    /// Appends the row `text` means to `columns`; `None` if it takes the full reader to say. Some columns may then have a
    /// value more than others.
    #[inline]
    pub fn read(&self, text: &[u8], columns: &mut [Column]) -> Option<()> {
        let mut rest = without_blank(text.strip_prefix(b"{")?);
        let mut next = 0;
        loop {
            // Fields that are NULL are often left out.
            while !rest.starts_with(self.names.get(next)?) {
                columns[next].push_null();
                next += 1;
            }
            rest = without_blank(&rest[self.names[next].len()..]);
            rest = without_blank(read_value(rest, &mut columns[next])?);
            next += 1;
            match rest.first()? {
                b',' => rest = without_blank(&rest[1..]),
                b'}' => break,
                _ => return None,
            }
        }
        columns[next..].iter_mut().for_each(Column::push_null);
        Some(())
    }
}

/// Whether values of a type are read here.
fn is_plain(data_type: &DataType, options: &JsonOptions) -> bool {
    match data_type {
        DataType::Utf8 | DataType::Int32 | DataType::Int64 | DataType::Float64 | DataType::Boolean => true,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => options.timestamp_format.is_none(),
        _ => false,
    }
}

#[inline]
fn without_blank(text: &[u8]) -> &[u8] {
    match text {
        [b' ', rest @ ..] => rest,
        _ => text,
    }
}

/// Appends a value; what stands behind it.
#[inline]
fn read_value<'a>(text: &'a [u8], column: &mut Column) -> Option<&'a [u8]> {
    let rest = match &mut column.values {
        Values::Bytes(bytes, true) if text.first() == Some(&b'"') => {
            let (word, rest) = read_word(text)?;
            bytes.data.extend_from_slice(word);
            bytes.end().ok()?;
            rest
        }
        Values::Int32(values) if text.first() != Some(&b'n') => {
            let (value, rest) = read_integer(text, INT_DIGITS)?;
            values.push(value as i32);
            rest
        }
        Values::Int64(values) if text.first() != Some(&b'n') => {
            let (value, rest) = read_integer(text, LONG_DIGITS)?;
            values.push(value);
            rest
        }
        Values::Float64(values) if text.first() != Some(&b'n') => {
            let (value, rest) = read_double(text)?;
            values.push(value);
            rest
        }
        Values::Boolean(values) if text.first() != Some(&b'n') => {
            let (value, rest) = match text {
                [b't', b'r', b'u', b'e', rest @ ..] => (true, rest),
                [b'f', b'a', b'l', b's', b'e', rest @ ..] => (false, rest),
                _ => return None,
            };
            values.push(value);
            rest
        }
        Values::Timestamp(values, true) if text.first() == Some(&b'"') => {
            let (word, rest) = read_word(text)?;
            values.push(parse_iso(word)?);
            rest
        }
        _ => {
            let rest = text.strip_prefix(b"null")?;
            column.push_null();
            return Some(rest);
        }
    };
    column.push_valid();
    Some(rest)
}

/// A string without escapes, which begins here.
#[inline]
fn read_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = &text[1..];
    let length = plain_length(inner);
    (inner.get(length) == Some(&b'"')).then(|| (&inner[..length], &inner[length + 1..]))
}

/// A whole number of up to `digits_max` digits, ended by what ends a value.
#[inline]
fn read_integer(text: &[u8], digits_max: usize) -> Option<(i64, &[u8])> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut value = 0i64;
    let mut length = 0;
    while let Some(digit) = digits
        .get(length)
        .map(|byte| byte.wrapping_sub(b'0'))
        .filter(|d| *d <= 9)
    {
        if length == digits_max {
            return None;
        }
        value = value * 10 + i64::from(digit);
        length += 1;
    }
    let is_number = length == 1 || (length > 1 && digits[0] != b'0');
    let ends = matches!(digits.get(length), Some(b',' | b'}' | b' '));
    (is_number && ends).then(|| (if negative { -value } else { value }, &digits[length..]))
}

/// A number with or without a point, and no exponent.
#[inline]
fn read_double(text: &[u8]) -> Option<(f64, &[u8])> {
    let digits = |from: &[u8]| from.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(text.first() == Some(&b'-'));
    let whole = digits(&text[sign..]);
    let mut length = sign + whole;
    if whole == 0 || (whole > 1 && text[sign] == b'0') {
        return None;
    }
    if text.get(length) == Some(&b'.') {
        let fraction = digits(&text[length + 1..]);
        if fraction == 0 {
            return None;
        }
        length += 1 + fraction;
    }
    let ends = matches!(text.get(length), Some(b',' | b'}' | b' '));
    let value = simple_double(&text[..length]).filter(|_| ends)?;
    Some((value, &text[length..]))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, StringArray, StructArray};
    use arrow::datatypes::Field;
    use proptest::prelude::*;

    use super::*;
    use crate::format::json::from_json;

    fn fields(names: &[&str]) -> Fields {
        let types = [
            DataType::Utf8,
            DataType::Int32,
            DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            DataType::Int64,
            DataType::Float64,
            DataType::Boolean,
        ];
        let fields = names
            .iter()
            .zip(types)
            .map(|(name, kind)| Field::new(*name, kind, true));
        fields.collect::<Vec<_>>().into()
    }

    const NAMES: [&str; 6] = ["district", "n", "timestamp", "l", "d", "b"];

    /// What the full reader makes of a row: a column the quick way does not know makes it unavailable.
    fn read_in_full(text: &str) -> StructArray {
        let mut fields: Vec<_> = fields(&NAMES).iter().cloned().collect();
        fields.push(Arc::new(Field::new("not there", DataType::Date32, true)));
        let schema = DataType::Struct(fields.into());
        assert!(Flat::of(children(&schema), &JsonOptions::default()).is_none());
        let rows = from_json(&StringArray::from(vec![text]), &schema, &JsonOptions::default()).unwrap();
        rows.as_any().downcast_ref::<StructArray>().unwrap().clone()
    }

    fn children(schema: &DataType) -> &Fields {
        match schema {
            DataType::Struct(fields) => fields,
            _ => panic!("a struct"),
        }
    }

    fn agrees(text: &str) -> Result<bool, TestCaseError> {
        let fields = fields(&NAMES);
        let mut columns = Column::for_fields(&fields, 1).unwrap();
        let flat = Flat::of(&fields, &JsonOptions::default()).expect("these are plain columns");
        if flat.read(text.as_bytes(), &mut columns).is_none() {
            return Ok(false);
        }
        let full = read_in_full(text);
        prop_assert!(full.is_valid(0), "{text}");
        for (column, expected) in columns.into_iter().zip(full.columns()) {
            let column = column.finish().unwrap();
            prop_assert_eq!(&column, expected, "{}", text);
        }
        Ok(true)
    }

    #[test]
    fn the_seed_s_rows_take_the_quick_way() {
        for text in [
            r#"{"district":"Porto","n":3,"timestamp":"2024-12-03T10:00:00.000Z"}"#,
            r#"{"district": "Évora", "n": -3, "timestamp": "2024-12-03T10:00:00Z"}"#,
            r#"{ "n":0,"l":123456789012345678,"d":-0.25,"b":false }"#,
            r#"{"district":null,"n":null,"d":15}, and whatever follows"#,
        ] {
            assert!(agrees(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_full_reader() {
        for text in [
            "",
            "{}",
            "[]",
            "{\"district\":\"a\tb\"}",
            r#"{"district":"a\"b"}"#,
            r#"{"n":3,"district":"Porto"}"#,
            r#"{"n":3,"n":4}"#,
            r#"{"n":1.5}"#,
            r#"{"n":1e2}"#,
            r#"{"n":01}"#,
            r#"{"n":2147483648}"#,
            r#"{"n":"3"}"#,
            r#"{"n":3"#,
            r#"{"district":"Porto"#,
            r#"{"district":5}"#,
            r#"{"timestamp":"soon"}"#,
            r#"{"d":.5}"#,
            r#"{"d":1.}"#,
            r#"{"b":truely}"#,
            r#"{"clan":"MacDonald","n":1}"#,
        ] {
            assert!(!agrees(text).unwrap(), "{text}");
        }
    }

    proptest! {
        /// Where the quick way gives an answer, it is the full reader's, whatever was done to the row.
        #[test]
        fn the_quick_way_agrees_with_the_full_reader(
            district in "[ -~éç]{0,20}",
            numbers in (-3_000_000_000i64..3_000_000_000, any::<i64>(), -1e6f64..1e6),
            time in "2[0-9]{3}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{0,7})?Z?",
            kept in proptest::collection::vec(any::<bool>(), 6),
            spoilt in proptest::option::of((0usize..120, 0x20u8..0x7f)),
        ) {
            let (n, l, d) = numbers;
            let members = [
                format!("\"district\":\"{district}\""),
                format!("\"n\":{n}"),
                format!("\"timestamp\": \"{time}\""),
                format!("\"l\":{l}"),
                format!("\"d\":{d:.3}"),
                "\"b\":true".to_owned(),
            ];
            let members: Vec<String> = members.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(m, _)| m).collect();
            let mut text = format!("{{{}}}", members.join(","));
            if let Some((at, byte)) = spoilt && text.is_char_boundary(at) && text.is_char_boundary(at + 1) && at < text.len() {
                text.replace_range(at..at + 1, std::str::from_utf8(&[byte]).unwrap());
            }
            agrees(&text)?;
        }
    }
}
