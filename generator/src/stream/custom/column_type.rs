//! The types a column may have, by Spark's names.

use arrow::datatypes::DataType;
use serde::{Serialize, Serializer};

use crate::spec::{Node, Read, listed, suggestion};
use crate::stream::timestamp_type;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Text.
    String,
    /// 32 bits.
    Int,
    /// 64 bits.
    Bigint,
    /// Floating point.
    Double,
    /// True or false.
    Boolean,
    /// An instant, in microseconds.
    Timestamp,
    /// A day.
    Date,
    /// Precision and scale.
    Decimal(u8, i8),
}

impl ColumnType {
    const NAMES: [&'static str; 8] = [
        "string",
        "int",
        "bigint",
        "double",
        "boolean",
        "timestamp",
        "date",
        "decimal(p,s)",
    ];

    /// The type of this name, such as `bigint` or `decimal(10,2)`.
    ///
    /// # Errors
    /// A sentence that lists the types.
    pub fn parse(text: &str) -> std::result::Result<ColumnType, String> {
        let wrong = || {
            let names = ColumnType::NAMES;
            format!(
                "unknown type `{text}`{}; the types are {}",
                suggestion(text, &names),
                listed(&names)
            )
        };
        Ok(match text.trim().to_lowercase().as_str() {
            "string" => ColumnType::String,
            "int" | "integer" => ColumnType::Int,
            "bigint" | "long" => ColumnType::Bigint,
            "double" => ColumnType::Double,
            "boolean" => ColumnType::Boolean,
            "timestamp" => ColumnType::Timestamp,
            "date" => ColumnType::Date,
            other => {
                let inside = other
                    .strip_prefix("decimal(")
                    .and_then(|rest| rest.strip_suffix(')'))
                    .ok_or_else(wrong)?;
                let (precision, scale) = inside.split_once(',').unwrap_or((inside, "0"));
                let precision: u8 = precision.trim().parse().map_err(|_| wrong())?;
                let scale: u8 = scale.trim().parse().map_err(|_| wrong())?;
                if precision == 0 || precision > 18 || scale > precision {
                    return Err(format!(
                        "found `{text}`, wanted decimal(p,s) with 1 <= p <= 18 and 0 <= s <= p"
                    ));
                }
                ColumnType::Decimal(precision, scale as i8)
            }
        })
    }

    /// The Arrow type.
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::String => DataType::Utf8,
            ColumnType::Int => DataType::Int32,
            ColumnType::Bigint => DataType::Int64,
            ColumnType::Double => DataType::Float64,
            ColumnType::Boolean => DataType::Boolean,
            ColumnType::Timestamp => timestamp_type(),
            ColumnType::Date => DataType::Date32,
            ColumnType::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
        }
    }
}

impl std::fmt::Display for ColumnType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ColumnType::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            ColumnType::String => f.write_str("string"),
            ColumnType::Int => f.write_str("int"),
            ColumnType::Bigint => f.write_str("bigint"),
            ColumnType::Double => f.write_str("double"),
            ColumnType::Boolean => f.write_str("boolean"),
            ColumnType::Timestamp => f.write_str("timestamp"),
            ColumnType::Date => f.write_str("date"),
        }
    }
}

impl Serialize for ColumnType {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Read for ColumnType {
    fn read(node: &Node) -> std::result::Result<ColumnType, String> {
        ColumnType::parse(&String::read(node)?)
    }
}
