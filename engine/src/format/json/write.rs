//! Columns as JSON text.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, RecordBatch, StringArray,
    StringBuilder, StructArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};

use super::JsonOptions;
use crate::format::number::{write_decimal_java, write_double, write_float};
use crate::format::time::{Pattern, write_date, write_timestamp_iso, write_timestamp_ntz_iso};
use crate::{Error, Result};

/// `to_json` of a column of structs, arrays or maps; NULL stays NULL.
///
/// # Errors
/// A type JSON has no form for.
pub fn to_json(column: &ArrayRef, options: &JsonOptions) -> Result<StringArray> {
    let encoder = Encoder::new(column.as_ref(), options)?;
    let mut builder = StringBuilder::with_capacity(column.len(), column.len() * 64);
    let mut text = String::new();
    for row in 0..column.len() {
        if column.is_null(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        encoder.write(row, &mut text);
        builder.append_value(&text);
    }
    Ok(builder.finish())
}

/// Appends a row a line, as Spark's JSON files have it: NULL fields are left out.
///
/// # Errors
/// A type JSON has no form for.
pub fn write_json_lines(rows: &RecordBatch, options: &JsonOptions, out: &mut Vec<u8>) -> Result<()> {
    let schema = rows.schema_ref();
    let encoder = Encoder::fields(
        schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .zip(rows.columns()),
        options,
    )?;
    let separator = options.line_separator.as_deref().unwrap_or("\n");
    let mut text = String::new();
    for row in 0..rows.num_rows() {
        text.clear();
        encoder.write(row, &mut text);
        text.push_str(separator);
        out.extend_from_slice(text.as_bytes());
    }
    Ok(())
}

/// Appends text in quotes, with escapes as Jackson writes them.
pub(super) fn escape_into(text: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(text);
    let mut escaped = String::with_capacity(text.len() + 2);
    escape(&text, &mut escaped);
    out.extend_from_slice(escaped.as_bytes());
}

fn escape(text: &str, out: &mut String) {
    out.push('"');
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[start..at]);
        start = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            8 => out.push_str("\\b"),
            12 => out.push_str("\\f"),
            control => out.push_str(&format!("\\u{control:04X}")),
        }
    }
    out.push_str(&text[start..]);
    out.push('"');
}

/// A column with what is needed to print its values, resolved once a batch.
enum Encoder<'a> {
    Boolean(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal(&'a PrimitiveArray<Decimal128Type>, i8),
    Date(&'a PrimitiveArray<Date32Type>, Option<&'a Pattern>),
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>, Option<&'a Pattern>),
    TimestampNtz(&'a PrimitiveArray<TimestampMicrosecondType>, Option<&'a Pattern>),
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Struct(Vec<Field<'a>>, bool),
    List(&'a ListArray, Box<Encoder<'a>>, &'a dyn Array),
    Map(&'a MapArray, Box<Key<'a>>, Box<Encoder<'a>>),
    Null,
}

/// A field of a struct: its name with quotes and colon, its values, where they are NULL.
struct Field<'a> {
    label: String,
    values: Encoder<'a>,
    array: &'a dyn Array,
}

/// The keys of a map, which JSON wants as text.
enum Key<'a> {
    Text(&'a StringArray),
    Other(Encoder<'a>),
    /// Spark prints times as the number they are stored as.
    Micros(&'a PrimitiveArray<TimestampMicrosecondType>),
    Days(&'a PrimitiveArray<Date32Type>),
}

impl<'a> Encoder<'a> {
    fn new(array: &'a dyn Array, options: &'a JsonOptions) -> Result<Encoder<'a>> {
        Ok(match array.data_type() {
            DataType::Boolean => Encoder::Boolean(array.as_boolean()),
            DataType::Int8 => Encoder::Int8(array.as_primitive()),
            DataType::Int16 => Encoder::Int16(array.as_primitive()),
            DataType::Int32 => Encoder::Int32(array.as_primitive()),
            DataType::Int64 => Encoder::Int64(array.as_primitive()),
            DataType::Float32 => Encoder::Float32(array.as_primitive()),
            DataType::Float64 => Encoder::Float64(array.as_primitive()),
            DataType::Decimal128(_, scale) => Encoder::Decimal(array.as_primitive(), *scale),
            DataType::Date32 => Encoder::Date(array.as_primitive(), options.date_pattern()),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                Encoder::Timestamp(array.as_primitive(), options.timestamp_pattern())
            }
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                Encoder::TimestampNtz(array.as_primitive(), options.timestamp_ntz_pattern())
            }
            DataType::Utf8 => Encoder::Text(array.as_string()),
            DataType::Binary => Encoder::Binary(array.as_binary()),
            DataType::Struct(fields) => {
                let structs: &StructArray = array.as_struct();
                Encoder::fields(
                    fields.iter().map(|field| field.name().as_str()).zip(structs.columns()),
                    options,
                )?
            }
            DataType::List(_) => {
                let lists: &ListArray = array.as_list();
                let elements = Box::new(Encoder::new(lists.values().as_ref(), options)?);
                Encoder::List(lists, elements, lists.values().as_ref())
            }
            DataType::Map(..) => {
                let maps: &MapArray = array.as_map();
                let keys = Box::new(Key::new(maps.keys().as_ref(), options)?);
                Encoder::Map(maps, keys, Box::new(Encoder::new(maps.values().as_ref(), options)?))
            }
            DataType::Null => Encoder::Null,
            other => return Err(Error::Invalid(format!("a value of type {other} has no form in JSON"))),
        })
    }

    fn fields(fields: impl Iterator<Item = (&'a str, &'a ArrayRef)>, options: &'a JsonOptions) -> Result<Encoder<'a>> {
        let fields = fields.map(|(name, array)| {
            let mut label = String::new();
            escape(name, &mut label);
            label.push(':');
            Ok(Field {
                label,
                values: Encoder::new(array.as_ref(), options)?,
                array: array.as_ref(),
            })
        });
        Ok(Encoder::Struct(
            fields.collect::<Result<Vec<_>>>()?,
            options.write_nulls,
        ))
    }

    /// Appends the value of a row, which is not NULL.
    fn write(&self, row: usize, out: &mut String) {
        let mut buffer = itoa::Buffer::new();
        match self {
            Encoder::Boolean(values) => out.push_str(if values.value(row) { "true" } else { "false" }),
            Encoder::Int8(values) => out.push_str(buffer.format(values.value(row))),
            Encoder::Int16(values) => out.push_str(buffer.format(values.value(row))),
            Encoder::Int32(values) => out.push_str(buffer.format(values.value(row))),
            Encoder::Int64(values) => out.push_str(buffer.format(values.value(row))),
            Encoder::Float32(values) => quote_unless(values.value(row).is_finite(), out, |out| {
                write_float(values.value(row), out);
            }),
            Encoder::Float64(values) => quote_unless(values.value(row).is_finite(), out, |out| {
                write_double(values.value(row), out);
            }),
            Encoder::Decimal(values, scale) => write_decimal_java(values.value(row), *scale, out),
            Encoder::Date(values, pattern) => quote_unless(false, out, |out| match pattern {
                Some(pattern) => pattern.write_date(values.value(row), out),
                None => write_date(values.value(row), out),
            }),
            Encoder::Timestamp(values, pattern) => quote_unless(false, out, |out| match pattern {
                Some(pattern) => pattern.write_timestamp(values.value(row), out),
                None => write_timestamp_iso(values.value(row), out),
            }),
            Encoder::TimestampNtz(values, pattern) => quote_unless(false, out, |out| match pattern {
                Some(pattern) => pattern.write_timestamp(values.value(row), out),
                None => write_timestamp_ntz_iso(values.value(row), out),
            }),
            Encoder::Text(values) => escape(values.value(row), out),
            Encoder::Binary(values) => quote_unless(false, out, |out| encode_base64(values.value(row), out)),
            Encoder::Struct(fields, nulls) => write_struct(fields, *nulls, row, out),
            Encoder::List(lists, elements, array) => {
                out.push('[');
                let range = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
                for (index, element) in range.enumerate() {
                    comma(index == 0, out);
                    elements.write_or_null(*array, element, out);
                }
                out.push(']');
            }
            Encoder::Map(maps, keys, values) => {
                out.push('{');
                let range = maps.value_offsets()[row] as usize..maps.value_offsets()[row + 1] as usize;
                for (index, entry) in range.enumerate() {
                    comma(index == 0, out);
                    keys.write(entry, out);
                    out.push(':');
                    values.write_or_null(maps.values().as_ref(), entry, out);
                }
                out.push('}');
            }
            Encoder::Null => out.push_str("null"),
        }
    }

    fn write_or_null(&self, array: &dyn Array, row: usize, out: &mut String) {
        if array.is_null(row) {
            out.push_str("null");
        } else {
            self.write(row, out);
        }
    }
}

fn write_struct(fields: &[Field], nulls: bool, row: usize, out: &mut String) {
    out.push('{');
    let mut first = true;
    for field in fields {
        let null = field.array.is_null(row) || matches!(field.values, Encoder::Null);
        if null && !nulls {
            continue;
        }
        comma(first, out);
        first = false;
        out.push_str(&field.label);
        field.values.write_or_null(field.array, row, out);
    }
    out.push('}');
}

impl<'a> Key<'a> {
    fn new(array: &'a dyn Array, options: &'a JsonOptions) -> Result<Key<'a>> {
        Ok(match array.data_type() {
            DataType::Utf8 => Key::Text(array.as_string()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Key::Micros(array.as_primitive()),
            DataType::Date32 => Key::Days(array.as_primitive()),
            _ => Key::Other(Encoder::new(array, options)?),
        })
    }

    fn write(&self, row: usize, out: &mut String) {
        let mut text = String::new();
        match self {
            Key::Text(values) => return escape(values.value(row), out),
            Key::Micros(values) => text.push_str(itoa::Buffer::new().format(values.value(row))),
            Key::Days(values) => text.push_str(itoa::Buffer::new().format(values.value(row))),
            Key::Other(values) => values.write(row, &mut text),
        }
        escape(text.trim_matches('"'), out);
    }
}

fn comma(first: bool, out: &mut String) {
    if !first {
        out.push(',');
    }
}

fn quote_unless(plain: bool, out: &mut String, write: impl FnOnce(&mut String)) {
    if plain {
        return write(out);
    }
    out.push('"');
    write(out);
    out.push('"');
}

fn encode_base64(bytes: &[u8], out: &mut String) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for index in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * index) & 63) as usize];
            out.push(if index <= group.len() { char::from(letter) } else { '=' });
        }
    }
}
