//! A schema as people write it: `district STRING, new_scotsmen INT, timestamp TIMESTAMP`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use skirl_engine::sql::timestamp_type;

use super::mistake::suggestion;

/// What is wrong in a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongSchema {
    /// What was found and what was wanted.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// The schema `ddl` says, in Spark's types; every column may be NULL.
pub fn parse_schema(ddl: &str) -> Result<SchemaRef, WrongSchema> {
    let mut fields: Vec<Field> = Vec::new();
    for column in split_columns(ddl) {
        let field = parse_column(column.trim())?;
        if fields.iter().any(|other| other.name().eq_ignore_ascii_case(field.name())) {
            return Err(WrongSchema {
                message: format!("column `{}` is there twice", field.name()),
                help: "give each column a name of its own".to_string(),
            });
        }
        fields.push(field);
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// `schema` as [`parse_schema`] reads it.
pub fn format_schema(schema: &Schema) -> String {
    let columns = schema.fields().iter().map(|field| format!("`{}` {}", field.name(), type_name(field.data_type())));
    columns.collect::<Vec<_>>().join(", ")
}

/// Spark's name of a type, as people write it in a schema.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Timestamp(_, None) => "TIMESTAMP_NTZ".to_string(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP".to_string(),
        other => match TYPES.iter().find(|(_, data_type)| data_type == other) {
            Some((name, _)) => name.to_string(),
            None => other.to_string(),
        },
    }
}

/// Types without parameters; the first name of a type is the one we write.
const TYPES: &[(&str, DataType)] = &[
    ("STRING", DataType::Utf8),
    ("BOOLEAN", DataType::Boolean),
    ("TINYINT", DataType::Int8),
    ("BYTE", DataType::Int8),
    ("SMALLINT", DataType::Int16),
    ("SHORT", DataType::Int16),
    ("INT", DataType::Int32),
    ("INTEGER", DataType::Int32),
    ("BIGINT", DataType::Int64),
    ("LONG", DataType::Int64),
    ("FLOAT", DataType::Float32),
    ("REAL", DataType::Float32),
    ("DOUBLE", DataType::Float64),
    ("DATE", DataType::Date32),
    ("BINARY", DataType::Binary),
    ("TIMESTAMP_NTZ", DataType::Timestamp(TimeUnit::Microsecond, None)),
];

/// Parts between commas that stand in no brackets.
fn split_columns(ddl: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0i32);
    for (at, letter) in ddl.char_indices() {
        match letter {
            '(' | '<' => depth += 1,
            ')' | '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&ddl[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&ddl[start..]);
    parts
}

fn parse_column(column: &str) -> Result<Field, WrongSchema> {
    let (name, data_type) = match column.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
        Some((name, rest)) => (name, rest),
        None => column.split_once(|c: char| c.is_whitespace() || c == ':').unwrap_or((column, "")),
    };
    let data_type = data_type.trim().trim_start_matches(':').trim();
    if name.is_empty() || data_type.is_empty() {
        return Err(WrongSchema {
            message: format!("`{column}` is no column"),
            help: "write `name TYPE` for each column, with commas between: `district STRING, pop INT`".to_string(),
        });
    }
    Ok(Field::new(name, parse_type(data_type)?, true))
}

fn parse_type(written: &str) -> Result<DataType, WrongSchema> {
    let upper = written.to_ascii_uppercase();
    let decimal = ["DECIMAL", "DEC", "NUMERIC"].iter().find_map(|name| upper.strip_prefix(name));
    if let Some(sizes) = decimal {
        return parse_decimal(sizes.trim()).ok_or_else(|| WrongSchema {
            message: format!("`{written}` is no type"),
            help: "write DECIMAL(precision, scale) with a precision of 1 to 38 and a scale of 0 to the precision".into(),
        });
    }
    if upper == "TIMESTAMP" || upper == "TIMESTAMP_LTZ" {
        return Ok(timestamp_type());
    }
    match TYPES.iter().find(|(name, _)| *name == upper) {
        Some((_, data_type)) => Ok(data_type.clone()),
        None => {
            let mut names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
            names.extend(["TIMESTAMP", "DECIMAL(10, 2)"]);
            Err(WrongSchema { message: format!("`{written}` is no type"), help: suggestion(&upper, &names) })
        }
    }
}

fn parse_decimal(sizes: &str) -> Option<DataType> {
    if sizes.is_empty() {
        return Some(DataType::Decimal128(10, 0));
    }
    let sizes = sizes.strip_prefix('(')?.strip_suffix(')')?;
    let (precision, scale) = sizes.split_once(',').unwrap_or((sizes, "0"));
    let (precision, scale): (u8, i8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    let sound = (1..=38).contains(&precision) && scale >= 0 && scale as u8 <= precision;
    sound.then_some(DataType::Decimal128(precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_written_as_it_is_read() {
        let ddl = "`district` STRING, `pop` INT, `t` TIMESTAMP, `price` DECIMAL(10, 2), `day` DATE";
        assert_eq!(format_schema(&parse_schema(ddl).unwrap()), ddl);
        assert_eq!(parse_schema("district string,pop integer , t timestamp, price numeric(10,2), day date").unwrap(),
            parse_schema(ddl).unwrap());
    }

    #[test]
    fn a_wrong_schema_says_what_to_write() {
        for (ddl, message, help) in [
            ("district", "`district` is no column", "write `name TYPE`"),
            ("district STRNG", "`STRNG` is no type", "did you mean `STRING`?"),
            ("price DECIMAL(40, 2)", "`DECIMAL(40, 2)` is no type", "write DECIMAL(precision, scale)"),
            ("a INT, A INT", "column `A` is there twice", "give each column a name of its own"),
        ] {
            let wrong = parse_schema(ddl).unwrap_err();
            assert_eq!(wrong.message, message);
            assert!(wrong.help.starts_with(help), "{}", wrong.help);
        }
    }
}
