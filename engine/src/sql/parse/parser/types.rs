//! Types and schemas as DDL writes them.

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use super::Parser;
use crate::sql::parse::lexer::Kind;
use crate::sql::timestamp_type;
use crate::{Error, Result};

impl Parser<'_> {
    /// A type, checked here, kept as text.
    pub(super) fn type_text(&mut self) -> Result<String> {
        let start = self.tokens[self.at].start;
        self.data_type()?;
        Ok(self.sql[start..self.tokens[self.at - 1].end].to_string())
    }

    pub(super) fn data_type(&mut self) -> Result<DataType> {
        self.deeper(Self::named_type)
    }

    fn named_type(&mut self) -> Result<DataType> {
        let word = self.name()?;
        let upper = word.to_ascii_uppercase();
        Ok(match upper.as_str() {
            "BOOLEAN" => DataType::Boolean,
            "TINYINT" | "BYTE" => DataType::Int8,
            "SMALLINT" | "SHORT" => DataType::Int16,
            "INT" | "INTEGER" => DataType::Int32,
            "BIGINT" | "LONG" => DataType::Int64,
            "FLOAT" | "REAL" => DataType::Float32,
            "DOUBLE" => DataType::Float64,
            "DATE" => DataType::Date32,
            "TIMESTAMP" | "TIMESTAMP_LTZ" => timestamp_type(),
            "TIMESTAMP_NTZ" => DataType::Timestamp(TimeUnit::Microsecond, None),
            "STRING" => DataType::Utf8,
            "VARCHAR" | "CHAR" | "CHARACTER" => {
                self.lengths()?;
                DataType::Utf8
            }
            "BINARY" => DataType::Binary,
            "VOID" => DataType::Null,
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal()?,
            "INTERVAL" => {
                while self.is_any(&["DAY", "HOUR", "MINUTE", "SECOND", "TO"]) {
                    self.advance();
                }
                DataType::Duration(TimeUnit::Microsecond)
            }
            "ARRAY" => {
                self.expect("<")?;
                let element = self.data_type()?;
                self.close_angle()?;
                DataType::List(Field::new_list_field(element, true).into())
            }
            "MAP" => self.map_type()?,
            "STRUCT" => {
                self.expect("<")?;
                let fields = if self.is(">") || self.is(">>") {
                    Fields::empty()
                } else {
                    self.fields(Kind::Symbol(">"))?
                };
                self.close_angle()?;
                DataType::Struct(fields)
            }
            _ => {
                return Err(Error::spark(
                    "UNSUPPORTED_DATATYPE",
                    format!("Unsupported data type \"{upper}\"."),
                ));
            }
        })
    }

    fn lengths(&mut self) -> Result<Vec<u32>> {
        if !self.accept("(") {
            return Ok(vec![]);
        }
        let lengths = self.comma_list(|parser| {
            let length = match parser.kind() {
                Kind::Number(number) => number.parse().ok(),
                _ => None,
            };
            let Some(length) = length else { return parser.error() };
            parser.advance();
            Ok(length)
        })?;
        self.expect(")")?;
        Ok(lengths)
    }

    fn decimal(&mut self) -> Result<DataType> {
        let (precision, scale) = match self.lengths()?.as_slice() {
            [] => (10, 0),
            [precision] => (*precision, 0),
            [precision, scale] => (*precision, *scale),
            _ => return self.error(),
        };
        if scale > precision {
            return Err(Error::spark(
                "DECIMAL_SCALE_EXCEEDS_PRECISION",
                format!("Decimal scale ({scale}) cannot be greater than precision ({precision})."),
            ));
        }
        if precision > 38 {
            return Err(Error::spark(
                "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
                format!("Decimal precision {precision} exceeds max precision 38."),
            ));
        }
        Ok(DataType::Decimal128(precision as u8, scale as i8))
    }

    fn map_type(&mut self) -> Result<DataType> {
        self.expect("<")?;
        let key = self.data_type()?;
        self.expect(",")?;
        let value = self.data_type()?;
        self.close_angle()?;
        Ok(crate::sql::types::map_of(key, value))
    }

    /// `>`; of `>>` the half.
    fn close_angle(&mut self) -> Result<()> {
        if self.is(">>") {
            self.tokens[self.at].kind = Kind::Symbol(">");
            self.tokens[self.at].start += 1;
            return Ok(());
        }
        self.expect(">")
    }

    pub(super) fn fields(&mut self, end: Kind) -> Result<Fields> {
        let fields = self.comma_list(|parser| {
            let name = parser.name()?;
            parser.accept(":");
            let data_type = parser.data_type()?;
            let nullable = !parser.accept_words(&["NOT", "NULL"]);
            if parser.accept_word("COMMENT") {
                parser.text();
            }
            Ok(Field::new(name, data_type, nullable))
        })?;
        let closes = *self.kind() == end || end == Kind::Symbol(">") && self.is(">>");
        if closes { Ok(fields.into()) } else { self.error() }
    }
}
