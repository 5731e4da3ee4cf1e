//! The schema a file suggests, as Spark infers it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use super::csv::{CsvFile, CsvOptions};
use super::encoding::decoded;
use super::json::{JsonOptions, Number, Parse, Tokens};
use super::number::{parse_double, parse_integer};
use super::options::ParseMode;
use super::text::lines;
use super::time::{parse_date, parse_timestamp_lenient};
use crate::sql::timestamp_type;
use crate::{Error, Result};

/// The schema of CSV files: names from the header or `_c0`, `_c1`, ..., types from the values if `inferSchema` is set,
/// else STRING. The first file that has lines says the names.
///
/// # Errors
/// No file has a line.
pub fn infer_csv(files: &[Cow<[u8]>], options: &CsvOptions) -> Result<SchemaRef> {
    let mut names: Option<Vec<String>> = None;
    let mut types: Vec<Guess> = Vec::new();
    for bytes in files {
        let file = CsvFile::new(bytes, options)?;
        let mut records = file.records();
        if names.is_none() {
            let Some((_, first)) = records.next() else { continue };
            let values = file.values(first);
            types = vec![Guess::Nothing; values.len()];
            if options.header {
                names = Some(unique_names(&values));
            } else {
                names = Some((0..values.len()).map(|index| format!("_c{index}")).collect());
                learn(&mut types, &values, options);
            }
        } else if options.header {
            records.next();
        }
        if options.infer_schema {
            records.for_each(|(_, record)| learn(&mut types, &file.values(record), options));
        }
    }
    let names = names.ok_or_else(|| cannot_infer("CSV"))?;
    let types = types.into_iter().map(|guess| {
        if options.infer_schema {
            guess.data_type()
        } else {
            DataType::Utf8
        }
    });
    Ok(schema(names.into_iter().zip(types)))
}

fn schema(columns: impl Iterator<Item = (String, DataType)>) -> SchemaRef {
    Arc::new(Schema::new(
        columns
            .map(|(name, data_type)| Field::new(name, data_type, true))
            .collect::<Vec<_>>(),
    ))
}

fn cannot_infer(format: &str) -> Error {
    Error::spark(
        "UNABLE_TO_INFER_SCHEMA",
        format!("unable to infer schema for {format}: there are no rows; it must be specified manually"),
    )
}

/// Empty names become `_c2`; names that come twice get their position.
fn unique_names(values: &[Option<String>]) -> Vec<String> {
    let lower: Vec<String> = values
        .iter()
        .map(|name| name.as_deref().unwrap_or("").to_lowercase())
        .collect();
    let twice = |name: &String| lower.iter().filter(|other| *other == name).count() > 1;
    values
        .iter()
        .enumerate()
        .map(|(index, name)| match name {
            None => format!("_c{index}"),
            Some(name) if twice(&name.to_lowercase()) => format!("{name}{index}"),
            Some(name) => name.clone(),
        })
        .collect()
}

fn learn(types: &mut [Guess], values: &[Option<String>], options: &CsvOptions) {
    for (guess, value) in types.iter_mut().zip(values) {
        if let Some(text) = value.as_ref().filter(|text| **text != options.null_value) {
            *guess = guess.with(text, options);
        }
    }
}

/// What a column of text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guess {
    Nothing,
    Int,
    Long,
    /// Whole numbers of so many digits.
    Decimal(u8),
    Double,
    Date,
    Timestamp,
    Boolean,
    Text,
}

impl Guess {
    /// What the column may be with one more value; only types not narrower than this one are tried.
    fn with(self, text: &str, options: &CsvOptions) -> Guess {
        const ORDER: [Guess; 7] = [
            Guess::Int,
            Guess::Long,
            Guess::Decimal(0),
            Guess::Double,
            Guess::Date,
            Guess::Timestamp,
            Guess::Boolean,
        ];
        let same_kind = |guess: &Guess| std::mem::discriminant(guess) == std::mem::discriminant(&self);
        let start = match self {
            Guess::Text => return Guess::Text,
            Guess::Nothing => 0,
            _ => ORDER
                .iter()
                .position(same_kind)
                .expect("every other guess is in the order"),
        };
        let found = ORDER[start..]
            .iter()
            .find_map(|guess| guess.tried(text, options))
            .unwrap_or(Guess::Text);
        self.merged(found)
    }

    /// The guess, if the text may be such a value.
    fn tried(self, text: &str, options: &CsvOptions) -> Option<Guess> {
        let bytes = text.as_bytes();
        let special = || {
            [&options.nan_value, &options.positive_inf, &options.negative_inf]
                .iter()
                .any(|s| *s == text)
        };
        let fits = match self {
            Guess::Int => parse_integer(bytes).is_some_and(|value| i32::try_from(value).is_ok()),
            Guess::Long => parse_integer(bytes).is_some(),
            Guess::Decimal(_) => {
                let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
                let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                return (whole && digits.len() <= 38).then_some(Guess::Decimal(digits.len() as u8));
            }
            Guess::Double => special() || parse_double(bytes).is_some(),
            Guess::Date => options.prefer_date && is_date(text, options),
            Guess::Timestamp => match &options.timestamp_format {
                Some(format) => format.parse_timestamp(bytes).is_some(),
                None => parse_timestamp_lenient(bytes, options.today).is_some(),
            },
            Guess::Boolean => text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false"),
            Guess::Nothing | Guess::Text => false,
        };
        fits.then_some(self)
    }

    fn merged(self, found: Guess) -> Guess {
        match (self, found) {
            (Guess::Nothing, found) => found,
            (left, right) if left == right => left,
            (Guess::Decimal(left), Guess::Decimal(right)) => Guess::Decimal(left.max(right)),
            (Guess::Int, Guess::Long) | (Guess::Long, Guess::Int) => Guess::Long,
            (Guess::Int | Guess::Long, Guess::Decimal(digits)) => Guess::Decimal(digits.max(20)),
            (Guess::Int | Guess::Long | Guess::Decimal(_), Guess::Double) => Guess::Double,
            (Guess::Date, Guess::Timestamp) => Guess::Timestamp,
            _ => Guess::Text,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Guess::Int => DataType::Int32,
            Guess::Long => DataType::Int64,
            Guess::Decimal(digits) => DataType::Decimal128(digits, 0),
            Guess::Double => DataType::Float64,
            Guess::Date => DataType::Date32,
            Guess::Timestamp => timestamp_type(),
            Guess::Boolean => DataType::Boolean,
            Guess::Nothing | Guess::Text => DataType::Utf8,
        }
    }
}

/// A date has to be written in full to be taken for one.
fn is_date(text: &str, options: &CsvOptions) -> bool {
    match &options.date_format {
        Some(format) => format.parse_date(text.as_bytes()).is_some(),
        None => text.len() == 10 && text.as_bytes()[4] == b'-' && parse_date(text.as_bytes()).is_some(),
    }
}

fn is_timestamp(text: &[u8], options: &JsonOptions) -> bool {
    match &options.timestamp_format {
        Some(format) => format.parse_timestamp(text).is_some(),
        None => parse_timestamp_lenient(text, options.today).is_some(),
    }
}

/// The schema of JSON files: columns in the order of their names, whole numbers BIGINT, conflicts STRING.
///
/// # Errors
/// No file has a row, or one that is no JSON in FAILFAST mode.
pub fn infer_json(files: &[Cow<[u8]>], options: &JsonOptions) -> Result<SchemaRef> {
    let mut found = Shape::Nothing;
    let mut corrupt = false;
    for bytes in files {
        let bytes = decoded(bytes, options.encoding, options.multi_line)?;
        let bytes = bytes.as_ref();
        let all = [bytes];
        let records: Box<dyn Iterator<Item = &[u8]>> = match options.multi_line {
            true => Box::new(all.into_iter()),
            false => Box::new(lines(bytes, options.line_separator.as_deref())),
        };
        for (index, record) in records
            .enumerate()
            .filter(|(_, record)| record.iter().any(|b| *b > b' '))
        {
            match rows_of(record, options) {
                Some(rows) => rows.into_iter().for_each(|row| found.learn(row)),
                None if options.mode == ParseMode::FailFast => {
                    let text = String::from_utf8_lossy(record);
                    return Err(super::malformed::malformed(&format!("{text} in line {}", index + 1)));
                }
                None => corrupt = options.mode == ParseMode::Permissive || corrupt,
            }
        }
    }
    let mut columns = match found {
        Shape::Object(fields) => fields,
        _ if corrupt => BTreeMap::new(),
        _ => return Err(cannot_infer("JSON")),
    };
    if corrupt {
        columns.insert(options.corrupt_column.clone(), Shape::Text);
    }
    Ok(schema(
        columns.into_iter().map(|(name, shape)| (name, shape.data_type())),
    ))
}

/// The objects of a record; `None` if it is something else.
fn rows_of(record: &[u8], options: &JsonOptions) -> Option<Vec<Shape>> {
    // What stands behind the first value is ignored, as by the reader.
    let mut tokens = Tokens::new(record, options.lenient);
    let mut rows = Vec::new();
    match tokens.peek().ok()?? {
        b'{' => rows.push(Shape::read(&mut tokens, options).ok()?),
        b'[' => {
            tokens.enter().ok()?;
            while tokens.next_element(rows.is_empty()).ok()? {
                rows.push(Shape::read(&mut tokens, options).ok()?);
            }
        }
        _ => return None,
    }
    rows.iter().all(|row| matches!(row, Shape::Object(_))).then_some(rows)
}

/// What a JSON value may be.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Nothing,
    Boolean,
    Long,
    Decimal(u8),
    Double,
    Timestamp,
    Text,
    List(Box<Shape>),
    Object(BTreeMap<String, Shape>),
}

impl Shape {
    fn learn(&mut self, seen: Shape) {
        *self = std::mem::replace(self, Shape::Nothing).merged(seen);
    }

    /// The shape of the value that starts here.
    fn read(tokens: &mut Tokens, options: &JsonOptions) -> Parse<Shape> {
        let next = tokens.peek_some()?;
        Ok(match next {
            b'{' => Shape::read_object(tokens, options)?,
            b'[' => {
                tokens.enter()?;
                let mut element = Shape::Nothing;
                let mut first = true;
                while tokens.next_element(first)? {
                    element.learn(Shape::read(tokens, options)?);
                    first = false;
                }
                tokens.leave();
                Shape::List(Box::new(element))
            }
            b'"' | b'\'' => {
                let text = tokens.string_or_stop()?;
                let timestamp = options.infer_timestamp && is_timestamp(&text, options);
                if timestamp { Shape::Timestamp } else { Shape::Text }
            }
            b'n' => {
                tokens.literal(b"null")?;
                Shape::Nothing
            }
            b't' | b'f' => {
                tokens.skip_value()?;
                if options.primitives_as_string {
                    Shape::Text
                } else {
                    Shape::Boolean
                }
            }
            _ => {
                let start = tokens.at;
                let number = tokens.number()?;
                let digits = tokens.text[start..tokens.at]
                    .iter()
                    .filter(|b| b.is_ascii_digit())
                    .count();
                match number {
                    _ if options.primitives_as_string => Shape::Text,
                    Number::Small(_) => Shape::Long,
                    Number::Big => Shape::Decimal(digits.min(255) as u8),
                    Number::Fraction | Number::NotFinite(_) => Shape::Double,
                }
            }
        })
    }

    fn read_object(tokens: &mut Tokens, options: &JsonOptions) -> Parse<Shape> {
        tokens.enter()?;
        let mut members = BTreeMap::new();
        let mut first = true;
        while let Some(name) = tokens.next_name(first)? {
            first = false;
            let name = String::from_utf8_lossy(&name).into_owned();
            members
                .entry(name)
                .or_insert(Shape::Nothing)
                .learn(Shape::read(tokens, options)?);
        }
        tokens.leave();
        Ok(Shape::Object(members))
    }

    fn merged(self, other: Shape) -> Shape {
        match (self, other) {
            (Shape::Nothing, shape) | (shape, Shape::Nothing) => shape,
            (left, right) if left == right => left,
            (Shape::Long, Shape::Double) | (Shape::Double, Shape::Long) => Shape::Double,
            (Shape::Decimal(_), Shape::Double) | (Shape::Double, Shape::Decimal(_)) => Shape::Double,
            (Shape::Long, Shape::Decimal(digits)) | (Shape::Decimal(digits), Shape::Long) => {
                Shape::Decimal(digits.max(20))
            }
            (Shape::Decimal(left), Shape::Decimal(right)) => Shape::Decimal(left.max(right)),
            (Shape::List(left), Shape::List(right)) => Shape::List(Box::new(left.merged(*right))),
            (Shape::Object(mut left), Shape::Object(right)) => {
                for (name, shape) in right {
                    let known = left.remove(&name).unwrap_or(Shape::Nothing);
                    left.insert(name, known.merged(shape));
                }
                Shape::Object(left)
            }
            _ => Shape::Text,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Shape::Boolean => DataType::Boolean,
            Shape::Long => DataType::Int64,
            Shape::Decimal(digits) if digits <= 38 => DataType::Decimal128(digits, 0),
            Shape::Decimal(_) | Shape::Double => DataType::Float64,
            Shape::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            Shape::Nothing | Shape::Text => DataType::Utf8,
            Shape::List(element) => DataType::List(Arc::new(Field::new("element", element.data_type(), true))),
            Shape::Object(members) => {
                let fields = members
                    .into_iter()
                    .map(|(name, shape)| Field::new(name, shape.data_type(), true));
                DataType::Struct(Fields::from_iter(fields))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(schema: &SchemaRef) -> String {
        let fields = schema
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()));
        fields.collect::<Vec<_>>().join(", ")
    }

    fn csv(text: &str, options: &[(&str, &str)]) -> String {
        let given = options
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        let options = CsvOptions::new(&given, 0).unwrap();
        printed(&infer_csv(&[Cow::Borrowed(text.as_bytes())], &options).unwrap())
    }

    #[test]
    fn csv_types_are_the_narrowest_that_hold_every_value() {
        let infer = [("header", "true"), ("inferSchema", "true")];
        let text = "a,b,c,d,e,f,g,h,i,j,k\n\
            1,1.5,x,true,2024-01-01,2024-01-01 10:00:00,2147483648,,1e3,99999999999999999999,10:00\n\
            2,2,y,FALSE,2024-01-02,2024-01-01,5,,NaN,1,11:00\n";
        insta::assert_snapshot!(csv(text, &infer), @r#"a Int32, b Float64, c Utf8, d Boolean, e Date32, f Timestamp(µs, "+00:00"), g Int64, h Utf8, i Float64, j Decimal128(20, 0), k Timestamp(µs, "+00:00")"#);
        insta::assert_snapshot!(csv("a,b,,a,B\n1,2024,3,1,Inf\n,2025-01,4,true,1\n", &infer), @"a0 Int32, b1 Utf8, _c2 Int32, a3 Utf8, B4 Float64");
        insta::assert_snapshot!(csv("1,2\n3,x,5\n", &[("inferSchema", "true")]), @"_c0 Int32, _c1 Utf8");
        insta::assert_snapshot!(csv("a,b\n1,2\n", &[("header", "true")]), @"a Utf8, b Utf8");
    }

    #[test]
    fn json_types_follow_spark() {
        let text = r#"{"b":1,"a":1.5,"d":true,"e":null,"f":[1,2.5],"g":{"y":1,"x":2},"i":99999999999999999999}
            {"b":2.5,"d":"x","f":[null],"z":[]}
            bad"#;
        let schema = infer_json(&[Cow::Borrowed(text.as_bytes())], &JsonOptions::default()).unwrap();
        insta::assert_snapshot!(printed(&schema), @r#"_corrupt_record Utf8, a Float64, b Float64, d Utf8, e Utf8, f List(Float64, field: 'element'), g Struct("x": Int64, "y": Int64), i Decimal128(20, 0), z List(Utf8, field: 'element')"#);
        let nothing = infer_json(&[Cow::Borrowed(b"")], &JsonOptions::default()).unwrap_err();
        assert_eq!(nothing.condition(), Some("UNABLE_TO_INFER_SCHEMA"));
    }
}
