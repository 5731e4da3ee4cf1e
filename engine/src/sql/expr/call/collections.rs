//! Functions of structs, arrays, maps and JSON.

use super::*;

/// What makes a struct of `(a, b)`, which tells its fields in its name.
const TUPLE: &str = "tuple";

impl Exprs<'_> {
    /// Functions of structs, arrays, maps and JSON. None if there is none of that name.
    pub(super) fn collection_call(&self, call: &Args) -> Result<Option<Typed>> {
        let (name, args, text) = (call.name, call.args, call.text.to_string());
        let typed = |expr: Expr, data_type: DataType| Ok(Some(Typed::new(expr, data_type, text.clone())));
        use DataType::{Boolean, Int32, Int64, Utf8};
        match name {
            "array" => {
                let element = if args.is_empty() {
                    DataType::Null
                } else {
                    self.common_all(args, &text, "array")?
                };
                let values = args.iter().map(|a| self.cast(a, &element)).collect();
                let returns = collection::list_of(element);
                typed(collection::array(returns.clone()).call(values), returns)
            }
            "map" => self.make_map(call),
            "size" | "cardinality" | "array_size" => {
                let [value] = call.exactly()?;
                match value.data_type {
                    DataType::Null => typed(lit(ScalarValue::Int32(None)), Int32),
                    DataType::List(_) | DataType::Map(..) => typed(collection::size().call(vec![value.expr]), Int32),
                    _ => Err(unexpected(&text, "first", "ARRAY", &value)),
                }
            }
            "array_contains" => {
                let [list, item] = call.exactly()?;
                let DataType::List(element) = &list.data_type else {
                    return Err(unexpected(&text, "first", "ARRAY", &list));
                };
                if item.data_type == DataType::Null {
                    return Err(mismatch(
                        "NULL_TYPE",
                        &text,
                        format!("Null typed values cannot be used as arguments of `{name}`"),
                    ));
                }
                let Some(met) = self.common(element.data_type(), &item.data_type, Meeting::Strict) else {
                    let (list, item) = (message_type_name(&list.data_type), message_type_name(&item.data_type));
                    let reason = format!(
                        "Input to `{name}` should have been \"ARRAY\" followed by a value with same element type, but \
                         it's [\"{list}\", \"{item}\"]"
                    );
                    return Err(mismatch("ARRAY_FUNCTION_DIFF_TYPES", &text, reason));
                };
                let item = self.cast(&item, &met);
                let list = self.cast(&list, &collection::list_of(met));
                typed(collection::contains().call(vec![list, item]), Boolean)
            }
            "element_at" | "try_element_at" => {
                let [base, key] = call.exactly()?;
                match &base.data_type {
                    DataType::List(element) => {
                        let returns = element.data_type().clone();
                        let function = collection::element_at(returns.clone(), self.ansi() && name == "element_at");
                        typed(function.call(vec![base.expr.clone(), self.cast(&key, &Int64)]), returns)
                    }
                    DataType::Map(entries, _) => {
                        let (key_type, value_type) = key_and_value(entries.data_type());
                        let key = self.cast(&key, &key_type);
                        typed(
                            collection::value(value_type.clone()).call(vec![base.expr.clone(), key]),
                            value_type,
                        )
                    }
                    _ => Err(unexpected(&text, "first", "ARRAY", &base)),
                }
            }
            "from_json" => self.json_struct(call),
            "to_json" => {
                let value = args.first().cloned().ok_or_else(|| wrong_count(name, "[1, 2]", 0))?;
                if !value.data_type.is_nested() {
                    let found = message_type_name(&value.data_type);
                    return Err(mismatch(
                        "INVALID_JSON_SCHEMA",
                        &format!("to_json({})", value.name),
                        format!("Input schema \"{found}\" must be a struct, an array, a map or a variant"),
                    ));
                }
                let function = json::to_json(&options(args.get(1))?)?;
                Ok(Some(Typed::new(
                    function.call(vec![value.expr]),
                    Utf8,
                    format!("to_json({})", value.name),
                )))
            }
            "typeof" => {
                let [value] = call.exactly()?;
                typed(lit(spark_type_name(&value.data_type)), Utf8)
            }
            _ => Ok(None),
        }
    }

    /// `(a, b)`.
    pub(in crate::sql::expr) fn struct_of(&self, values: &[Ast]) -> Result<Typed> {
        self.make_struct(TUPLE, values)
    }

    pub(super) fn make_struct(&self, name: &str, args: &[Ast]) -> Result<Typed> {
        let mut fields = vec![];
        let mut shown = vec![];
        if name == "named_struct" {
            for pair in args.chunks(2) {
                let [key, value] = pair else {
                    return Err(wrong_count(name, "2n (n > 0)", args.len()));
                };
                let (key, value) = (self.plan(key)?, self.plan(value)?);
                let Expr::Literal(ScalarValue::Utf8(Some(field)), _) = &key.expr else {
                    return Err(mismatch(
                        "CREATE_NAMED_STRUCT_WITHOUT_FOLDABLE_STRING",
                        name,
                        "field names must be text literals",
                    ));
                };
                shown.push(format!("{}, {}", key.name, value.name));
                fields.push((field.clone(), value));
            }
        } else {
            for ast in args {
                match ast {
                    Ast::Star(qualifier) => {
                        for value in self.planner.star(self.scope, qualifier)? {
                            shown.push(value.name.clone());
                            fields.push((value.column_name().to_string(), value));
                        }
                    }
                    Ast::Named(inner, field) => {
                        let value = self.plan(inner)?;
                        shown.push(format!("{} AS {field}", value.name));
                        fields.push((field.clone(), value));
                    }
                    other => {
                        let value = self.plan(other)?;
                        let named = matches!(value.expr, Expr::Column(_)) || value.alias.is_some();
                        let field = if named {
                            value.column_name().into()
                        } else {
                            format!("col{}", fields.len() + 1)
                        };
                        shown.push(match name {
                            TUPLE => format!("{field}, {}", value.name),
                            _ => value.name.clone(),
                        });
                        fields.push((field, value));
                    }
                }
            }
        }
        let types: Fields = fields
            .iter()
            .map(|(name, v)| Field::new(name, v.data_type.clone(), true))
            .collect();
        let returns = DataType::Struct(types);
        let values = fields.into_iter().map(|(_, v)| v.expr).collect();
        Ok(Typed::new(
            collection::structure(returns.clone()).call(values),
            returns,
            format!(
                "{}({})",
                if name == TUPLE { "named_struct" } else { name },
                shown.join(", ")
            ),
        ))
    }

    fn make_map(&self, call: &Args) -> Result<Option<Typed>> {
        if call.args.len() % 2 == 1 {
            return Err(wrong_count("map", "2n (n > 0)", call.args.len()));
        }
        let side = |offset: usize| call.args.iter().skip(offset).step_by(2).cloned().collect::<Vec<_>>();
        let (keys, values) = (side(0), side(1));
        let none = || DataType::Null;
        let key = if keys.is_empty() {
            none()
        } else {
            self.common_all(&keys, call.text, "map")?
        };
        let value = if values.is_empty() {
            none()
        } else {
            self.common_all(&values, call.text, "map")?
        };
        let pairs = keys
            .iter()
            .zip(&values)
            .flat_map(|(k, v)| [self.cast(k, &key), self.cast(v, &value)]);
        let returns = map_of(key.clone(), value.clone());
        Ok(Some(Typed::new(
            collection::map(returns.clone()).call(pairs.collect()),
            returns,
            call.text,
        )))
    }

    /// `from_json(text, 'schema'[, map(options)])`.
    fn json_struct(&self, call: &Args) -> Result<Option<Typed>> {
        let value = call.args.first().ok_or_else(|| wrong_count("from_json", "[2, 3]", 0))?;
        let schema = match call.args.get(1).map(|a| &a.expr) {
            Some(Expr::Literal(ScalarValue::Utf8(Some(ddl)), _)) => json_schema(ddl)?,
            _ => {
                return Err(Error::spark(
                    "INVALID_SCHEMA.NON_STRING_LITERAL",
                    "The input expression must be string literal and not null.",
                ));
            }
        };
        let schema = nullable(&schema);
        let name = match schema {
            DataType::Map(..) => "entries".to_string(),
            _ => format!("from_json({})", value.name),
        };
        if !schema.is_nested() {
            let reason = format!(
                "Input schema \"{}\" must be a struct, an array, a map or a variant",
                message_type_name(&schema)
            );
            return Err(mismatch("INVALID_JSON_SCHEMA", &name, reason));
        }
        if !matches!(value.data_type, DataType::Utf8 | DataType::Null) {
            return Err(unexpected(&name, "first", "STRING", value));
        }
        let options = options(call.args.get(2))?;
        let text = self.cast(value, &DataType::Utf8);
        let function = json::from_json(schema.clone(), &options)?;
        Ok(Some(Typed::new(function.call(vec![text]), schema, name)))
    }
}

/// A type, or the columns of a struct. Of what is neither Spark tells why it is no type.
fn json_schema(ddl: &str) -> Result<DataType> {
    if ddl.trim().is_empty() {
        return Err(Error::spark(
            "PARSE_EMPTY_STATEMENT",
            "Syntax error, unexpected empty statement",
        ));
    }
    let error = match parse::parse_data_type(ddl) {
        Ok(data_type) => return Ok(data_type),
        Err(error) => error,
    };
    if let Ok(schema) = parse_schema_ddl(ddl) {
        return Ok(DataType::Struct(schema.fields));
    }
    // Words are told apart from types only once the syntax is right.
    let after_word = ddl
        .trim()
        .trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
        .trim_start();
    if after_word.is_empty() || after_word.starts_with(['<', '(']) {
        return Err(error);
    }
    let near = after_word.split_whitespace().next().unwrap_or(after_word);
    Err(Error::spark(
        "PARSE_SYNTAX_ERROR",
        format!("Syntax error at or near '{near}'"),
    ))
}

/// Options as `map('key', 'value', ...)` of literals.
fn options(arg: Option<&Typed>) -> Result<BTreeMap<String, String>> {
    let Some(arg) = arg else { return Ok(BTreeMap::new()) };
    let invalid = || {
        Error::spark(
            "INVALID_OPTIONS.NON_MAP_FUNCTION",
            "Must use the `map()` function for options.",
        )
    };
    let Expr::ScalarFunction(function) = &arg.expr else {
        return Err(invalid());
    };
    if function.func.name() != "map" {
        return Err(invalid());
    }
    let texts = function.args.iter().map(|e| match e {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Ok(text.clone()),
        _ => Err(invalid()),
    });
    let texts = texts.collect::<Result<Vec<_>>>()?;
    Ok(texts.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
}
