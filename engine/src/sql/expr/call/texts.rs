//! Functions of text.

use super::*;

impl Exprs<'_> {
    /// Functions of text. None if there is none of that name.
    pub(super) fn text_call(&self, call: &Args) -> Result<Option<Typed>> {
        let (name, args, text) = (call.name, call.args, call.text.to_string());
        let shown = shown_name(name);
        let typed = |expr: Expr, data_type: DataType| Ok(Some(Typed::new(expr, data_type, text.clone())));
        use DataType::{Boolean, Int32, Utf8};
        use Want::{Int, Text};
        match name {
            "upper" | "ucase" => typed(string::map("upper", str::to_uppercase).call(call.take(&[Text])?), Utf8),
            "lower" | "lcase" => typed(string::map("lower", str::to_lowercase).call(call.take(&[Text])?), Utf8),
            "initcap" => typed(string::map("initcap", string::initcap).call(call.take(&[Text])?), Utf8),
            "reverse" => match args.first().map(|a| &a.data_type) {
                Some(DataType::List(_)) => Err(Error::unsupported("reverse of an array is not supported yet")),
                _ => typed(string::map("reverse", string::reverse).call(call.take(&[Text])?), Utf8),
            },
            "length" | "char_length" | "character_length" | "len" => typed(
                string::count("length", |s| s.chars().count() as i32).call(call.take(&[Text])?),
                Int32,
            ),
            "octet_length" => typed(
                string::count("octet_length", |s| s.len() as i32).call(call.take(&[Text])?),
                Int32,
            ),
            "bit_length" => typed(
                string::count("bit_length", |s| s.len() as i32 * 8).call(call.take(&[Text])?),
                Int32,
            ),
            "ascii" => typed(
                string::count("ascii", |s| s.chars().next().map_or(0, |c| c as i32)).call(call.take(&[Text])?),
                Int32,
            ),
            "substring" | "substr" => {
                let mut values = call.take_some(&[Text, Int, Int], 2)?;
                let mut text = text.clone();
                if values.len() == 2 {
                    values.push(lit(i32::MAX));
                    text = format!("{shown}({}, {}, {})", args[0].name, args[1].name, i32::MAX);
                }
                Ok(Some(Typed::new(string::substring().call(values), Utf8, text)))
            }
            "left" => typed(string::left().call(call.take(&[Text, Int])?), Utf8),
            "right" => typed(string::right().call(call.take(&[Text, Int])?), Utf8),
            "trim" | "ltrim" | "rtrim" | "btrim" => self.trim(call, shown),
            "concat" => self.concat(args.to_vec()).map(Some),
            "concat_ws" => {
                if args.is_empty() {
                    return Err(wrong_count(name, "> 0", 0));
                }
                let values = args.iter().map(|a| call.text(a)).collect::<Result<_>>()?;
                typed(string::concat_ws().call(values), Utf8)
            }
            "replace" => {
                let mut values = call.take_some(&[Text, Text, Text], 2)?;
                if values.len() == 2 {
                    values.push(lit(""));
                }
                typed(string::replace().call(values), Utf8)
            }
            "translate" => typed(string::translate().call(call.take(&[Text, Text, Text])?), Utf8),
            "repeat" => typed(string::repeat().call(call.take(&[Text, Int])?), Utf8),
            "lpad" | "rpad" => {
                let mut values = call.take_some(&[Text, Int, Text], 2)?;
                let mut text = text.clone();
                if values.len() == 2 {
                    values.push(lit(" "));
                    text = format!("{name}({}, {},  )", args[0].name, args[1].name);
                }
                Ok(Some(Typed::new(string::pad(name == "lpad").call(values), Utf8, text)))
            }
            "instr" => typed(string::instr().call(call.take(&[Text, Text])?), Int32),
            "locate" | "position" | "charindex" => {
                let values = call.take_some(&[Text, Text, Int], 2)?;
                let start = values.get(2).cloned().unwrap_or(lit(1i32));
                let shown_start = args.get(2).map_or("1", |a| a.name.as_str());
                let text = format!("{shown}({}, {}, {shown_start})", args[0].name, args[1].name);
                let values = vec![values[1].clone(), values[0].clone(), start];
                Ok(Some(Typed::new(string::locate().call(values), Int32, text)))
            }
            "startswith" => typed(
                string::test("startswith", |s, t| s.starts_with(t)).call(call.take(&[Text, Text])?),
                Boolean,
            ),
            "endswith" => typed(
                string::test("endswith", |s, t| s.ends_with(t)).call(call.take(&[Text, Text])?),
                Boolean,
            ),
            "contains" => typed(
                string::test("contains", |s, t| s.contains(t)).call(call.take(&[Text, Text])?),
                Boolean,
            ),
            "split" => {
                let values = call.take_some(&[Text, Text, Int], 2)?;
                let limit = values.get(2).cloned().unwrap_or(lit(-1i32));
                let shown_limit = args.get(2).map_or("-1", |a| a.name.as_str());
                let text = format!("split({}, {}, {shown_limit})", args[0].name, args[1].name);
                let values = vec![values[0].clone(), values[1].clone(), limit];
                Ok(Some(Typed::new(
                    pattern::split().call(values),
                    collection::list_of(Utf8),
                    text,
                )))
            }
            "regexp_replace" => {
                let values = call.take_some(&[Text, Text, Text, Int], 3)?;
                let text = if args.len() == 3 {
                    format!("{}, 1)", &text[..text.len() - 1])
                } else {
                    text.clone()
                };
                Ok(Some(Typed::new(
                    pattern::replace().call(values[..3].to_vec()),
                    Utf8,
                    text,
                )))
            }
            "regexp_extract" => {
                let mut values = call.take_some(&[Text, Text, Int], 2)?;
                let text = if args.len() == 2 {
                    format!("{}, 1)", &text[..text.len() - 1])
                } else {
                    text.clone()
                };
                if values.len() == 2 {
                    values.push(lit(1i32));
                }
                Ok(Some(Typed::new(pattern::extract().call(values), Utf8, text)))
            }
            "regexp_like" | "regexp" | "rlike" => {
                let values = call.take(&[Text, Text])?;
                let like = pattern::like(parse::ast::LikeKind::RLike, '\\').call(values);
                Ok(Some(Typed::new(
                    like,
                    Boolean,
                    format!("{}({}, {})", name.to_uppercase(), args[0].name, args[1].name),
                )))
            }
            _ => Ok(None),
        }
    }

    pub(in crate::sql::expr) fn concat(&self, args: Vec<Typed>) -> Result<Typed> {
        let names: Vec<_> = args.iter().map(|a| a.name.as_str()).collect();
        let text = format!("concat({})", names.join(", "));
        if args.iter().any(|a| matches!(a.data_type, DataType::List(_))) {
            return Err(Error::unsupported("concat of arrays is not supported yet"));
        }
        let call = Args {
            exprs: self,
            name: "concat",
            args: &args,
            text: &text,
        };
        let values: Vec<Expr> = args.iter().map(|a| call.text(a)).collect::<Result<_>>()?;
        let expr = if values.is_empty() {
            lit("")
        } else {
            string::concat().call(values)
        };
        Ok(Typed::new(expr, DataType::Utf8, text))
    }

    fn trim(&self, call: &Args, shown: &str) -> Result<Option<Typed>> {
        let values = call.take_some(&[Want::Text, Want::Text], 1)?;
        let (name, side) = match call.name {
            "ltrim" => ("ltrim", "LEADING"),
            "rtrim" => ("rtrim", "TRAILING"),
            _ => ("trim", "BOTH"),
        };
        // `trim(characters, text)`: the text comes last; `btrim(text, characters)`: first.
        let (text, values) = match values.as_slice() {
            [text] => (format!("{shown}({})", call.args[0].name), vec![text.clone()]),
            _ if call.name == "btrim" => (call.text.to_string(), values),
            [characters, text] => {
                let shown = format!("TRIM({side} {} FROM {})", call.args[0].name, call.args[1].name);
                (shown, vec![text.clone(), characters.clone()])
            }
            _ => (call.text.to_string(), values),
        };
        Ok(Some(Typed::new(string::trim(name).call(values), DataType::Utf8, text)))
    }
}
