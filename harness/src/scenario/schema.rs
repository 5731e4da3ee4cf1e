//! A schema as people write it: `district STRING, new_scotsmen INT, timestamp TIMESTAMP`.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use skirl_engine::sql::{parse_schema_ddl, spark_type_name};

/// What is wrong in a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {help}")]
pub struct WrongSchema {
    /// What was found and what was wanted.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// The schema `ddl` says, in Spark's types; every column may be NULL.
///
/// # Errors
/// What is no schema in Spark's words, or names a column twice.
pub fn parse_schema(ddl: &str) -> Result<SchemaRef, WrongSchema> {
    let schema = parse_schema_ddl(ddl).map_err(|error| WrongSchema {
        message: format!("`{ddl}` is no schema: {error}"),
        help: "write `name TYPE` for each column, of STRING, INT, BIGINT, DOUBLE, BOOLEAN, TIMESTAMP, DATE, \
               DECIMAL(10, 2) and Spark's other types"
            .to_string(),
    })?;
    let names: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| field.name().to_lowercase())
        .collect();
    match names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)) {
        None => Ok(Arc::new(schema)),
        Some((_, name)) => Err(WrongSchema {
            message: format!("column `{name}` is there twice"),
            help: "give each column a name of its own".to_string(),
        }),
    }
}

/// `schema` as [`parse_schema`] reads it.
pub fn format_schema(schema: &Schema) -> String {
    let columns = schema
        .fields()
        .iter()
        .map(|field| format!("`{}` {}", field.name(), spark_type_name(field.data_type())));
    columns.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_written_as_it_is_read() {
        let ddl =
            "`district` string, `pop` int, `t` timestamp, `price` decimal(10,2), `w` struct<a:int,b:array<string>>";
        assert_eq!(format_schema(&parse_schema(ddl).unwrap()), ddl);
    }

    #[test]
    fn a_wrong_schema_says_what_to_write() {
        let wrong = parse_schema("district STRNG").unwrap_err();
        assert!(wrong.message.starts_with("`district STRNG` is no schema"), "{wrong}");
        assert_eq!(
            parse_schema("a INT, A INT").unwrap_err().message,
            "column `a` is there twice"
        );
    }
}
