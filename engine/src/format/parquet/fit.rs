//! What Spark reads of a column into which type, and how the stored values become those of the schema.
//!
//! Spark goes by how a value is stored: every kind of 32-bit number is read as one where the schema says so, a day as
//! well as a small decimal, and is cut to fit SMALLINT and TINYINT. These rules are Spark 4.3's vectorised reader's.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Int32Array, ListArray, MapArray, PrimitiveArray, StringArray, StructArray,
    new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Field, FieldRef, Fields, Float16Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimeUnit,
};
use parquet::basic::Type as Physical;
use parquet::schema::types::Type as Stored;

use crate::sql::message_type_name;
use crate::{Error, Result};

/// Why a column cannot be read as the schema says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// Its values are of another type.
    Type,
    /// It has fields, elements or entries where the schema has none, or others.
    Shape,
    /// Two fields of it have one name, in whatever case.
    Ambiguous,
}

/// Whether a column that Arrow reads as `found` can be read into one of type `wanted`.
pub(super) fn check(stored: &Stored, found: &DataType, wanted: &DataType) -> Result<(), Misfit> {
    match (found, wanted) {
        (DataType::Struct(fields), DataType::Struct(wanted)) => {
            wanted
                .iter()
                .try_for_each(|field| match place_of(fields.iter().map(|f| f.name()), field.name())? {
                    Some(at) => check(&stored.get_fields()[at], fields[at].data_type(), field.data_type()),
                    None => Ok(()),
                })
        }
        (DataType::List(element), DataType::List(wanted)) => {
            check(element_of(stored), element.data_type(), wanted.data_type())
        }
        (DataType::Map(entries, _), DataType::Map(wanted, _)) => {
            let (pair, wanted) = (entry_fields(entries), entry_fields(wanted));
            let stored = entries_of(stored);
            (0..2).try_for_each(|at| check(&stored[at], pair[at].data_type(), wanted[at].data_type()))
        }
        (found, wanted) if found.is_nested() || matches!(wanted, DataType::Struct(_)) => Err(Misfit::Shape),
        (found, wanted) => match fits(stored.get_physical_type(), found, wanted) {
            true => Ok(()),
            false => Err(Misfit::Type),
        },
    }
}

/// The place of a name among names, whatever their case.
pub(super) fn place_of<'a>(mut names: impl Iterator<Item = &'a String>, wanted: &str) -> Result<Option<usize>, Misfit> {
    let Some(first) = names.by_ref().position(|name| name.eq_ignore_ascii_case(wanted)) else {
        return Ok(None);
    };
    match names.any(|name| name.eq_ignore_ascii_case(wanted)) {
        true => Err(Misfit::Ambiguous),
        false => Ok(Some(first)),
    }
}

fn fits(physical: Physical, found: &DataType, wanted: &DataType) -> bool {
    use DataType::*;
    match (physical, found, wanted) {
        (_, Decimal128(precision, scale), Decimal128(wanted_precision, wanted_scale)) => {
            scale <= wanted_scale && digits(*precision, *scale) <= digits(*wanted_precision, *wanted_scale)
        }
        (Physical::BOOLEAN, _, Boolean) => true,
        (Physical::INT32, UInt32, wanted) => *wanted == Int64,
        (Physical::INT32, _, Int8 | Int16 | Int32 | Int64 | Float64 | Date32) => true,
        (Physical::INT32, Date32, Timestamp(TimeUnit::Microsecond, None)) => true,
        (Physical::INT32, Int8 | Int16 | Int32, Decimal128(precision, scale)) => digits(*precision, *scale) >= 10,
        (Physical::INT64, UInt64, wanted) => *wanted == Decimal128(20, 0),
        (Physical::INT64, _, Int64) => true,
        (Physical::INT64, Int64, Decimal128(precision, scale)) => digits(*precision, *scale) >= 20,
        (Physical::INT64, Timestamp(unit, _), Timestamp(TimeUnit::Microsecond, _)) => *unit != TimeUnit::Nanosecond,
        (Physical::INT96, _, Timestamp(TimeUnit::Microsecond, _)) => true,
        (Physical::FLOAT, _, Float32 | Float64) | (Physical::DOUBLE, _, Float64) => true,
        (Physical::BYTE_ARRAY, Utf8 | Binary, Utf8 | Binary) => true,
        (Physical::FIXED_LEN_BYTE_ARRAY, FixedSizeBinary(_) | Decimal128(..) | Float16, Binary) => true,
        _ => false,
    }
}

/// Digits before the point.
fn digits(precision: u8, scale: i8) -> i16 {
    i16::from(precision) - i16::from(scale)
}

/// The values of a column that passed [`check`], in the type of the schema.
///
/// # Errors
/// None that a checked column has.
pub(super) fn convert(stored: &Stored, array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    if array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), wanted) {
        (DataType::Struct(_), DataType::Struct(fields)) => convert_struct(stored, array.as_struct(), fields),
        (DataType::List(_), DataType::List(element)) => convert_list(stored, array.as_list(), element),
        (DataType::Map(..), DataType::Map(entries, _)) => convert_map(stored, array.as_map(), entries),
        _ => convert_values(stored, array, wanted),
    }
}

fn convert_struct(stored: &Stored, array: &StructArray, fields: &Fields) -> Result<ArrayRef> {
    let found = array.fields();
    let column = |field: &FieldRef| match place_of(found.iter().map(|f| f.name()), field.name()) {
        Ok(Some(at)) => convert(&stored.get_fields()[at], array.column(at), field.data_type()),
        _ => Ok(new_null_array(field.data_type(), array.len())),
    };
    let columns = fields.iter().map(column).collect::<Result<Vec<_>>>()?;
    let nulls = array.nulls().cloned();
    Ok(Arc::new(StructArray::try_new_with_length(
        fields.clone(),
        columns,
        nulls,
        array.len(),
    )?))
}

fn convert_list(stored: &Stored, array: &ListArray, element: &FieldRef) -> Result<ArrayRef> {
    let values = convert(element_of(stored), array.values(), element.data_type())?;
    let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(element),
        offsets,
        values,
        nulls,
    )?))
}

fn convert_map(stored: &Stored, array: &MapArray, entries: &FieldRef) -> Result<ArrayRef> {
    let wanted = entry_fields(entries);
    let stored = entries_of(stored);
    let sides = [array.keys(), array.values()];
    let columns = (0..2).map(|at| convert(&stored[at], sides[at], wanted[at].data_type()));
    let pairs = StructArray::try_new(wanted.clone(), columns.collect::<Result<Vec<_>>>()?, None)?;
    let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
    Ok(Arc::new(MapArray::try_new(
        Arc::clone(entries),
        offsets,
        pairs,
        nulls,
        false,
    )?))
}

fn convert_values(stored: &Stored, array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    use DataType::*;
    let physical = stored.get_physical_type();
    Ok(match (physical, array.data_type(), wanted) {
        (_, Null, _) => new_null_array(wanted, array.len()),
        (Physical::INT32, UInt32, _) => cast(array, wanted)?,
        (Physical::INT32, _, Int8 | Int16 | Int32 | Int64 | Float64 | Date32) => of_number(&number_of(array)?, wanted)?,
        (Physical::INT64, Decimal128(..), Int64) => unscaled::<Int64Type>(array, |value| value as i64),
        (_, Binary, Utf8) => lossy_text(array.as_binary()),
        (_, Decimal128(..), Binary) => decimal_bytes(stored, array.as_primitive()),
        (_, Float16, Binary) => {
            let values = array.as_primitive::<Float16Type>();
            Arc::new(BinaryArray::from_iter(
                values.iter().map(|value| value.map(|v| v.to_le_bytes())),
            ))
        }
        _ => cast(array, wanted)?,
    })
}

/// The 32-bit numbers that are stored.
fn number_of(array: &ArrayRef) -> Result<Int32Array> {
    Ok(match array.data_type() {
        DataType::Date32 => array.as_primitive::<Date32Type>().reinterpret_cast(),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().unary(|value| value as i32),
        _ => cast(array, &DataType::Int32)?.as_primitive::<Int32Type>().clone(),
    })
}

/// Numbers in a type that may be too small for them: what does not fit is cut off, as Spark does.
fn of_number(numbers: &Int32Array, wanted: &DataType) -> Result<ArrayRef> {
    Ok(match wanted {
        DataType::Int8 => Arc::new(numbers.unary::<_, Int8Type>(|value| value as i8)),
        DataType::Int16 => Arc::new(numbers.unary::<_, Int16Type>(|value| value as i16)),
        DataType::Date32 => Arc::new(numbers.reinterpret_cast::<Date32Type>()),
        _ => cast(numbers, wanted)?,
    })
}

fn unscaled<T: ArrowPrimitiveType>(array: &ArrayRef, of: impl Fn(i128) -> T::Native) -> ArrayRef {
    let values: PrimitiveArray<T> = array.as_primitive::<Decimal128Type>().unary(of);
    Arc::new(values)
}

/// Text of bytes; those that are no UTF-8 become replacement characters.
fn lossy_text(bytes: &BinaryArray) -> ArrayRef {
    let texts = bytes.iter().map(|value| value.map(String::from_utf8_lossy));
    Arc::new(texts.collect::<StringArray>())
}

/// The bytes a decimal is stored in.
fn decimal_bytes(stored: &Stored, values: &PrimitiveArray<Decimal128Type>) -> ArrayRef {
    let length = match stored {
        Stored::PrimitiveType { type_length, .. } => usize::try_from(*type_length).unwrap_or_default().min(16),
        Stored::GroupType { .. } => 16,
    };
    let bytes = |value: i128| value.to_be_bytes()[16 - length..].to_vec();
    Arc::new(BinaryArray::from_iter(values.iter().map(|value| value.map(bytes))))
}

/// The field as it is read: a column of old 96-bit timestamps in microseconds, whose range is larger than Arrow's
/// nanoseconds would allow.
pub(super) fn as_read(stored: &Stored, field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => {
            let inner = stored.get_fields().iter().zip(fields);
            DataType::Struct(inner.map(|(stored, field)| as_read(stored, field)).collect())
        }
        DataType::List(element) => DataType::List(Arc::new(as_read(element_of(stored), element))),
        DataType::Map(entries, sorted) => {
            let pair = entries_of(stored).iter().zip(entry_fields(entries));
            let pair: Fields = pair.map(|(stored, field)| as_read(stored, field)).collect();
            let entries = entries.as_ref().clone().with_data_type(DataType::Struct(pair));
            DataType::Map(Arc::new(entries), *sorted)
        }
        _ if is_int96(stored) => DataType::Timestamp(TimeUnit::Microsecond, None),
        other => other.clone(),
    };
    field.clone().with_data_type(data_type)
}

/// Whether values are stored as Parquet's old 96-bit timestamps, which always mean an instant.
pub(super) fn is_int96(stored: &Stored) -> bool {
    stored.is_primitive() && stored.get_physical_type() == Physical::INT96
}

/// The elements of a list, in Parquet's notation of three levels or in older ones.
pub(super) fn element_of(list: &Stored) -> &Stored {
    let Some(repeated) = list.get_fields().first() else {
        return list;
    };
    let is_wrapped = repeated.is_group() && repeated.get_fields().len() == 1;
    let is_old = repeated.name() == "array" || repeated.name() == format!("{}_tuple", list.name());
    match is_wrapped && !is_old {
        true => &repeated.get_fields()[0],
        false => repeated,
    }
}

/// Key and value of a map.
pub(super) fn entries_of(map: &Stored) -> &[Arc<Stored>] {
    map.get_fields().first().map_or(&[], |entries| entries.get_fields())
}

/// Key and value of Arrow's map.
pub(super) fn entry_fields(entries: &FieldRef) -> &Fields {
    match entries.data_type() {
        DataType::Struct(pair) => pair,
        _ => unreachable!("the entries of a map are pairs"),
    }
}

/// The error of a column that cannot be read as the schema says.
pub(super) fn error(misfit: Misfit, file: &str, column: &Field, found: Option<&DataType>) -> Error {
    let wanted = message_type_name(column.data_type());
    let (name, found) = (column.name(), found.map_or("something else".to_string(), found_name));
    match misfit {
        Misfit::Type => Error::spark(
            "FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH",
            format!(
                "{file}: column `{name}` is {found} in the file, but the schema says {wanted}; change the schema or cast in \
                 the query"
            ),
        ),
        Misfit::Shape => Error::spark(
            "FAILED_READ_FILE.NO_HINT",
            format!(
                "{file}: column `{name}` is {found} in the file, and no {wanted} can be read from it; change the schema"
            ),
        ),
        Misfit::Ambiguous => Error::spark(
            "FAILED_READ_FILE.NO_HINT",
            format!(
                "{file}: column `{name}` is there twice if upper and lower case are the same, as they are for Spark; \
                 rename one in the file"
            ),
        ),
    }
}

/// A type of a file in Spark's words, where Spark has some.
pub(super) fn found_name(found: &DataType) -> String {
    match found {
        DataType::UInt8 => "an unsigned 8-bit number".to_string(),
        DataType::UInt16 => "an unsigned 16-bit number".to_string(),
        DataType::UInt32 => "an unsigned 32-bit number".to_string(),
        DataType::UInt64 => "an unsigned 64-bit number".to_string(),
        DataType::Float16 => "a 16-bit floating-point number".to_string(),
        DataType::Time32(_) | DataType::Time64(_) => "a time of day".to_string(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => "a timestamp in nanoseconds".to_string(),
        DataType::FixedSizeBinary(length) => format!("BINARY of {length} bytes"),
        DataType::Null => "NULL".to_string(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP".to_string(),
        DataType::Timestamp(_, None) => "TIMESTAMP_NTZ".to_string(),
        other => message_type_name(other),
    }
}
