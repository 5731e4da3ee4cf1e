//! Spark's SQL, from text to syntax tree: [`lexer`] cuts words, [`parser`] builds the [`ast`].
//!
//! A parser of our own, because Spark's grammar is its own: `1.5D`, `INTERVAL 5 MINUTES`, `"..."` as a string, almost
//! every keyword as a name, and syntax errors that say where.

pub(super) mod ast;
mod lexer;
mod parser;

pub(super) use parser::{parse_data_type, parse_expression, parse_query, parse_schema, too_complex};
