//! To text, as Spark prints values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Date32Array, Decimal128Array, Float64Array, ListArray, MapArray,
    PrimitiveArray, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, DurationMicrosecondType, Float32Type};

use crate::Result;
use crate::format::number::{write_decimal, write_double, write_float};
use crate::format::time::{write_date, write_timestamp};
use crate::sql::interval::day_time;
use crate::sql::parse::ast::Unit;
use crate::sql::types::*;

/// Writes every value as Spark prints it.
pub fn to_text(array: &ArrayRef) -> Result<ArrayRef> {
    if is_integral(array.data_type()) || *array.data_type() == DataType::Boolean {
        return Ok(cast(array, &DataType::Utf8)?);
    }
    if let Some(texts) = array.as_binary_opt::<i32>().and_then(bytes_as_text) {
        return Ok(Arc::new(texts));
    }
    let writer = Writer::new(array)?;
    let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 16);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        writer.write(row, &mut text);
        texts.append_value(&text);
    }
    Ok(Arc::new(texts.finish()))
}

/// Bytes as text without a copy, if all of them are UTF-8.
fn bytes_as_text(bytes: &BinaryArray) -> Option<StringArray> {
    let offsets = bytes.offsets();
    // A slice of a larger array is looked at alone.
    let (first, last) = (*offsets.first()?, *offsets.last()?);
    let values = bytes
        .values()
        .slice_with_length(first as usize, (last - first) as usize);
    let offsets = match first {
        0 => offsets.clone(),
        _ => OffsetBuffer::new(offsets.iter().map(|offset| offset - first).collect()),
    };
    StringArray::try_new(offsets, values, bytes.nulls().cloned()).ok()
}

/// Writes one value of an array as text.
enum Writer<'a> {
    Plain(StringArray),
    Double(&'a Float64Array),
    Single(&'a PrimitiveArray<Float32Type>),
    Decimal(&'a Decimal128Array),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray),
    Duration(&'a PrimitiveArray<DurationMicrosecondType>),
    Binary(&'a BinaryArray),
    Struct(&'a StructArray, Vec<Writer<'a>>),
    List(&'a ListArray, Box<Writer<'a>>),
    Map(&'a MapArray, Box<Writer<'a>>, Box<Writer<'a>>),
}

impl<'a> Writer<'a> {
    fn new(array: &'a ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Float64 => Writer::Double(array.as_primitive()),
            DataType::Float32 => Writer::Single(array.as_primitive()),
            DataType::Decimal128(..) => Writer::Decimal(array.as_primitive()),
            DataType::Date32 => Writer::Date(array.as_primitive()),
            DataType::Timestamp(..) => Writer::Timestamp(array.as_primitive()),
            DataType::Duration(_) => Writer::Duration(array.as_primitive()),
            DataType::Binary => Writer::Binary(array.as_binary()),
            DataType::Struct(_) => {
                let columns = array
                    .as_struct()
                    .columns()
                    .iter()
                    .map(Writer::new)
                    .collect::<Result<_>>()?;
                Writer::Struct(array.as_struct(), columns)
            }
            DataType::List(_) => {
                let list: &ListArray = array.as_list();
                Writer::List(list, Box::new(Writer::new(list.values())?))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                Writer::Map(
                    map,
                    Box::new(Writer::new(map.keys())?),
                    Box::new(Writer::new(map.values())?),
                )
            }
            _ => Writer::Plain(cast(array, &DataType::Utf8)?.as_string::<i32>().clone()),
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Writer::Plain(a) => a.is_null(row),
            Writer::Double(a) => a.is_null(row),
            Writer::Single(a) => a.is_null(row),
            Writer::Decimal(a) => a.is_null(row),
            Writer::Date(a) => a.is_null(row),
            Writer::Timestamp(a) => a.is_null(row),
            Writer::Duration(a) => a.is_null(row),
            Writer::Binary(a) => a.is_null(row),
            Writer::Struct(a, _) => a.is_null(row),
            Writer::List(a, _) => a.is_null(row),
            Writer::Map(a, ..) => a.is_null(row),
        }
    }

    fn write_nullable(&self, row: usize, out: &mut String) {
        if self.is_null(row) {
            out.push_str("null")
        } else {
            self.write(row, out)
        }
    }

    fn write(&self, row: usize, out: &mut String) {
        match self {
            Writer::Plain(a) => out.push_str(a.value(row)),
            Writer::Double(a) => write_double(a.value(row), out),
            Writer::Single(a) => write_float(a.value(row), out),
            Writer::Decimal(a) => write_decimal(a.value(row), a.scale(), out),
            Writer::Date(a) => write_date(a.value(row), out),
            Writer::Timestamp(a) => write_timestamp(a.value(row), out),
            Writer::Duration(a) => {
                let text = day_time(a.value(row), Unit::Day, Unit::Second);
                out.push_str(&format!("INTERVAL '{text}' DAY TO SECOND"));
            }
            Writer::Binary(a) => out.push_str(&String::from_utf8_lossy(a.value(row))),
            Writer::Struct(_, columns) => {
                out.push('{');
                for (i, column) in columns.iter().enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    column.write_nullable(row, out);
                }
                out.push('}');
            }
            Writer::List(a, values) => {
                out.push('[');
                for (i, item) in range(a.value_offsets(), row).enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    values.write_nullable(item, out);
                }
                out.push(']');
            }
            Writer::Map(a, keys, values) => {
                out.push('{');
                for (i, entry) in range(a.value_offsets(), row).enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    keys.write_nullable(entry, out);
                    out.push_str(" -> ");
                    values.write_nullable(entry, out);
                }
                out.push('}');
            }
        }
    }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}
