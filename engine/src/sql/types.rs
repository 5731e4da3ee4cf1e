//! Spark's type names, and which type two types have in common.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, Schema, TimeUnit};

use super::{parse, timestamp_type};
use crate::Result;

/// The widest decimal.
pub const DECIMAL_PRECISION_MAX: u8 = 38;

/// The name of a type as Spark's `simpleString`: `bigint`, `decimal(10,2)`, `struct<start:timestamp,end:timestamp>`.
pub fn spark_type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|f| format!("{}:{}", f.name(), spark_type_name(f.data_type())))
                .collect();
            format!("struct<{}>", fields.join(","))
        }
        DataType::List(element) => format!("array<{}>", spark_type_name(element.data_type())),
        DataType::Map(entries, _) => {
            let (key, value) = key_and_value(entries.data_type());
            format!("map<{},{}>", spark_type_name(&key), spark_type_name(&value))
        }
        other => plain_name(other),
    }
}

/// The name of a type in Spark's messages: `"BIGINT"`, `"STRUCT<x: INT>"`.
pub fn message_type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(fields) => {
            let one = |f: &Arc<Field>| {
                let nullable = if f.is_nullable() { "" } else { " NOT NULL" };
                format!("{}: {}{nullable}", f.name(), message_type_name(f.data_type()))
            };
            format!("STRUCT<{}>", fields.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        DataType::List(element) => format!("ARRAY<{}>", message_type_name(element.data_type())),
        DataType::Map(entries, _) => {
            let (key, value) = key_and_value(entries.data_type());
            format!("MAP<{}, {}>", message_type_name(&key), message_type_name(&value))
        }
        other => plain_name(other).to_uppercase(),
    }
}

fn plain_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "void".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => "tinyint".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp".into(),
        DataType::Timestamp(_, None) => "timestamp_ntz".into(),
        DataType::Duration(_) => "interval day to second".into(),
        DataType::Interval(IntervalUnit::YearMonth) => "interval year to month".into(),
        other => other.to_string().to_lowercase(),
    }
}

/// Parses a schema as DDL writes it: `district STRING, new_scotsmen INT, timestamp TIMESTAMP`; all columns nullable.
///
/// # Errors
/// `PARSE_SYNTAX_ERROR` with the position, `UNSUPPORTED_DATATYPE` for a type Spark does not have.
pub fn parse_schema_ddl(ddl: &str) -> Result<Schema> {
    parse::parse_schema(ddl)
}

/// `map<key, value>` in arrow.
pub fn map_of(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// Key and value of a map's entries.
pub fn key_and_value(entries: &DataType) -> (DataType, DataType) {
    match entries {
        DataType::Struct(fields) if fields.len() == 2 => (fields[0].data_type().clone(), fields[1].data_type().clone()),
        _ => (DataType::Null, DataType::Null),
    }
}

pub fn is_integral(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64
    )
}

pub fn is_floating(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

pub fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..))
}

pub fn is_numeric(data_type: &DataType) -> bool {
    is_integral(data_type) || is_floating(data_type) || is_decimal(data_type)
}

pub fn is_timestamp(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..))
}

pub fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Duration(_) | DataType::Interval(_))
}

/// The decimal that holds every value of an integral type, as (precision, scale).
pub fn decimal_of(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((20, 0)),
        DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// A decimal type of at most 38 digits: beyond, the scale gives way, but keeps six digits.
pub fn adjusted_decimal(precision: i32, scale: i32) -> DataType {
    if precision <= 38 {
        return DataType::Decimal128(precision as u8, scale as i8);
    }
    let integral = precision - scale;
    let scale = (38 - integral).max(scale.min(6));
    DataType::Decimal128(DECIMAL_PRECISION_MAX, scale as i8)
}

/// The decimal that holds both.
fn wider_decimal((p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> DataType {
    let scale = s1.max(s2) as i32;
    let integral = (p1 as i32 - s1 as i32).max(p2 as i32 - s2 as i32);
    if integral + scale > 38 {
        return DataType::Decimal128(DECIMAL_PRECISION_MAX, (38 - integral).max(0) as i8);
    }
    DataType::Decimal128((integral + scale) as u8, scale as i8)
}

/// Which rules apply where types meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meeting {
    /// `greatest`: strings meet only strings.
    Strict,
    /// CASE, coalesce, IN, UNION.
    Value,
    /// `=`, `<` and their like.
    Comparison,
}

/// The type both can be cast to without a word, or None where Spark refuses.
pub fn common_type(left: &DataType, right: &DataType, ansi: bool, meeting: Meeting) -> Option<DataType> {
    use DataType::*;
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (Null, other) | (other, Null) => Some(other.clone()),
        _ if is_numeric(left) && is_numeric(right) => Some(common_number(left, right)),
        (Date32, t @ Timestamp(..)) | (t @ Timestamp(..), Date32) => Some(t.clone()),
        (Timestamp(..), Timestamp(..)) => Some(timestamp_type()),
        (Utf8, other) | (other, Utf8) if meeting != Meeting::Strict => string_meets(other, ansi, meeting),
        (List(l), List(r)) => {
            let element = common_type(l.data_type(), r.data_type(), ansi, meeting)?;
            Some(List(Field::new_list_field(element, true).into()))
        }
        (Struct(l), Struct(r)) => common_struct(l, r, ansi, meeting),
        (Map(l, _), Map(r, _)) => {
            let ((lk, lv), (rk, rv)) = (key_and_value(l.data_type()), key_and_value(r.data_type()));
            Some(map_of(
                common_type(&lk, &rk, ansi, meeting)?,
                common_type(&lv, &rv, ansi, meeting)?,
            ))
        }
        _ => None,
    }
}

fn common_number(left: &DataType, right: &DataType) -> DataType {
    use DataType::*;
    match (decimal_of(left), decimal_of(right)) {
        (Some(l), Some(r)) if is_decimal(left) || is_decimal(right) => wider_decimal(l, r),
        (Some(_), Some(_)) => {
            let order = [Int8, Int16, Int32, Int64];
            let rank = |t: &DataType| order.iter().position(|o| o == t);
            if rank(left) >= rank(right) {
                left.clone()
            } else {
                right.clone()
            }
        }
        // Float alone meets float; with anything else the answer is double.
        _ => Float64,
    }
}

fn string_meets(other: &DataType, ansi: bool, meeting: Meeting) -> Option<DataType> {
    use DataType::*;
    match other {
        Boolean | Date32 | Timestamp(..) | Binary if ansi || meeting == Meeting::Comparison => Some(other.clone()),
        t if ansi && is_integral(t) => Some(Int64),
        t if ansi && is_numeric(t) => Some(Float64),
        t if is_numeric(t) && meeting == Meeting::Comparison => Some(t.clone()),
        t if !ansi && !t.is_nested() && !is_interval(t) && *t != Binary && *t != Boolean => Some(Utf8),
        _ => None,
    }
}

fn common_struct(left: &Fields, right: &Fields, ansi: bool, meeting: Meeting) -> Option<DataType> {
    if left.len() != right.len() {
        return None;
    }
    // Structs of the same types meet whatever their fields are called.
    if left
        .iter()
        .zip(right)
        .all(|(l, r)| same_but_names(l.data_type(), r.data_type()))
    {
        return Some(DataType::Struct(left.clone()));
    }
    let both = left.iter().zip(right).map(|(l, r)| {
        let same_name = l.name().eq_ignore_ascii_case(r.name());
        let data_type = common_type(l.data_type(), r.data_type(), ansi, meeting)?;
        same_name.then(|| Field::new(l.name(), data_type, l.is_nullable() || r.is_nullable()))
    });
    Some(DataType::Struct(both.collect::<Option<Vec<_>>>()?.into()))
}

/// Whether two types differ at most in the names of fields, and in what may be NULL.
fn same_but_names(left: &DataType, right: &DataType) -> bool {
    match (left, right) {
        (DataType::Struct(l), DataType::Struct(r)) => {
            l.len() == r.len()
                && l.iter()
                    .zip(r)
                    .all(|(l, r)| same_but_names(l.data_type(), r.data_type()))
        }
        (DataType::List(l), DataType::List(r)) => same_but_names(l.data_type(), r.data_type()),
        (DataType::Map(l, _), DataType::Map(r, _)) => same_but_names(l.data_type(), r.data_type()),
        _ => left == right,
    }
}

/// The same type with everything in it nullable, so that two plans of one struct type agree.
pub fn nullable(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|f| Field::new(f.name(), nullable(f.data_type()), true))
                .collect::<Vec<_>>()
                .into(),
        ),
        DataType::List(element) => DataType::List(Field::new_list_field(nullable(element.data_type()), true).into()),
        DataType::Map(entries, _) => {
            let (key, value) = key_and_value(entries.data_type());
            map_of(nullable(&key), nullable(&value))
        }
        other => other.clone(),
    }
}

/// The day-time interval type.
pub fn duration_type() -> DataType {
    DataType::Duration(TimeUnit::Microsecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_in_ddl_reads_back_as_spark_names_its_types() {
        for (ddl, name) in [
            (
                "district STRING, new_scotsmen INT, timestamp TIMESTAMP",
                "struct<district:string,new_scotsmen:int,timestamp:timestamp>",
            ),
            (
                "a decimal(10, 2), `b c` array<struct<x: int, y: string>>",
                "struct<a:decimal(10,2),b c:array<struct<x:int,y:string>>>",
            ),
            (
                "m MAP<STRING, ARRAY<INT>> NOT NULL COMMENT 'x', d DECIMAL",
                "struct<m:map<string,array<int>>,d:decimal(10,0)>",
            ),
            (
                "t tinyint, s smallint, l long, f float, n timestamp_ntz, b binary",
                "struct<t:tinyint,s:smallint,l:bigint,f:float,n:timestamp_ntz,b:binary>",
            ),
        ] {
            let schema = parse_schema_ddl(ddl).unwrap();
            assert_eq!(spark_type_name(&DataType::Struct(schema.fields)), name);
        }
    }

    #[test]
    fn a_broken_schema_says_where() {
        let error = parse_schema_ddl("a INT,, b INT").unwrap_err();
        assert_eq!(error.to_string(), "Syntax error at or near ',' (line 1, pos 6)");
    }

    #[test]
    fn types_meet_as_in_spark() {
        use DataType::*;
        let dec = |p, s| Decimal128(p, s);
        for (left, right, wanted) in [
            (Int32, Int64, Some(Int64)),
            (Int32, Float32, Some(Float64)),
            (Int32, dec(2, 1), Some(dec(11, 1))),
            (Utf8, Int32, Some(Int64)),
            (Utf8, dec(2, 1), Some(Float64)),
            (Utf8, Date32, Some(Date32)),
            (Date32, timestamp_type(), Some(timestamp_type())),
            (Boolean, Int32, None),
            (Int32, timestamp_type(), None),
        ] {
            assert_eq!(
                common_type(&left, &right, true, Meeting::Value),
                wanted,
                "{left} and {right}"
            );
        }
    }
}
