//! `window(...)`: one node below the SELECT that calls it.

use super::*;

/// The window column a SELECT put below itself.
pub(in crate::sql) struct WindowColumn {
    pub attr: Attr,
}

/// A call of `window`, understood.
#[derive(PartialEq)]
pub(super) struct WindowSpec {
    time: Expr,
    sizes: (i64, i64, i64),
}

impl Planner<'_> {
    /// Puts the window column of this SELECT's `window(...)` calls below it.
    pub(super) fn time_window(
        &self,
        rel: Rel,
        select: &Select,
        order_by: &[Order],
        env: &Env,
        outer: Option<&Scope>,
    ) -> Result<(Rel, Option<WindowColumn>)> {
        let mut calls: Vec<&Call> = vec![];
        for ast in select_expressions(select, order_by) {
            window_calls(ast, &mut calls);
        }
        let Some(first) = calls.first() else {
            return Ok((rel, None));
        };
        let scope = Scope::new(&rel, outer);
        let exprs = Exprs::new(self, env, &scope);
        let spec = match self.window_spec(first, &exprs) {
            Ok(spec) => spec,
            Err(error) => return Err(self.window_error(error, select, &exprs)),
        };
        for call in &calls[1..] {
            if self.window_spec(call, &exprs)? != spec {
                return Err(Error::spark(
                    "_LEGACY_ERROR_TEMP_1039",
                    "Multiple time/session window expressions would result in a cartesian product of rows, therefore \
                     they are currently not supported.",
                ));
            }
        }
        let Some(spec) = spec else {
            return Err(Error::unsupported("session_window is not supported yet"));
        };
        // The column is called `window`, unless the input has one of that name.
        self.windows.set(self.windows.get() + 1);
        let mut name = "window".to_string();
        while rel.plan.schema().fields().iter().any(|f| *f.name() == name) {
            name = format!("window#{}", self.windows.get());
            self.windows.set(self.windows.get() + 1);
        }
        let node = TimeWindowNode::try_new(rel.plan.clone(), spec.time, spec.sizes, &name)?;
        let attr = Attr {
            qualifier: None,
            name: "window".into(),
            column: node.window_column(),
            data_type: TimeWindowNode::window_type(),
            // `*` does not see the column; its name does.
            reach: Reach::ByName,
        };
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        let attrs = rel.attrs.iter().cloned().chain([attr.clone()]).collect();
        Ok((Rel { plan, attrs }, Some(WindowColumn { attr })))
    }

    /// A window Spark's type check refuses is no column, so `window.start` is the first thing it cannot resolve.
    pub(super) fn window_error(&self, error: Error, select: &Select, exprs: &Exprs) -> Error {
        let analysis = error
            .condition()
            .is_some_and(|c| c.starts_with("DATATYPE_MISMATCH") || c.starts_with("UNRESOLVED_COLUMN"));
        if !analysis {
            return error;
        }
        let mut names = vec![];
        for item in &select.items {
            visit(&item.expr, &mut |ast| {
                if let Ast::Name(parts) = ast {
                    names.push(parts.clone());
                }
            });
        }
        names
            .iter()
            .find_map(|parts| exprs.scope.resolve(parts).err())
            .unwrap_or(error)
    }

    /// What a call of `window` asks for; None for `session_window`.
    pub(super) fn window_spec(&self, call: &Call, exprs: &Exprs) -> Result<Option<WindowSpec>> {
        let session = call.name.eq_ignore_ascii_case("session_window");
        let wanted = if session { 2..=2 } else { 2..=4 };
        if !wanted.contains(&call.args.len()) {
            let counts = if session { "2" } else { "[2, 3, 4]" };
            return Err(Error::spark(
                "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
                format!(
                    "The `{}` requires {counts} parameters but the actual number is {}.",
                    call.name,
                    call.args.len()
                ),
            ));
        }
        let sizes = call.args[1..]
            .iter()
            .map(|ast| window_size(ast, session))
            .collect::<Result<Vec<_>>>()?;
        let time = exprs.plan(&call.args[0])?;
        if session {
            return Ok(None);
        }
        let duration = sizes[0];
        let sizes = (
            duration,
            sizes.get(1).copied().unwrap_or(duration),
            sizes.get(2).copied().unwrap_or(0),
        );
        let text = format!("window({}, {}, {}, {})", time.name, sizes.0, sizes.1, sizes.2);
        let time = match &time.data_type {
            DataType::Timestamp(_, Some(_)) => time.expr,
            DataType::Date32 | DataType::Utf8 | DataType::Null => self.cast(&time, &timestamp_type()),
            DataType::Timestamp(_, None) => {
                return Err(Error::unsupported(
                    "a window over TIMESTAMP_NTZ is not supported yet; cast it to TIMESTAMP",
                ));
            }
            DataType::Struct(_) if time.data_type == TimeWindowNode::window_type() => {
                return Err(Error::unsupported("a window of a window is not supported yet"));
            }
            other => {
                let reason = format!(
                    "The first parameter requires the (\"(TIMESTAMP OR TIMESTAMP WITHOUT TIME ZONE)\" or \"STRUCT<start: \
                     TIMESTAMP, end: TIMESTAMP>\" or \"STRUCT<start: TIMESTAMP_NTZ, end: TIMESTAMP_NTZ>\") type, however \
                     \"{}\" has the type \"{}\"",
                    time.name,
                    message_type_name(other)
                );
                return Err(crate::sql::expr::mismatch("UNEXPECTED_INPUT_TYPE", &text, reason));
            }
        };
        check_sizes(sizes, &text)?;
        Ok(Some(WindowSpec { time, sizes }))
    }
}

fn select_expressions<'s>(select: &'s Select, order_by: &'s [Order]) -> Vec<&'s Ast> {
    let items = select.items.iter().map(|item| &item.expr);
    let keys = if let GroupBy::By(by) = &select.group_by {
        by.as_slice()
    } else {
        &[]
    };
    items
        .chain(keys)
        .chain(&select.having)
        .chain(order_by.iter().map(|order| &order.expr))
        .collect()
}

/// The calls of `window` and `session_window` in an expression.
fn window_calls<'s>(ast: &'s Ast, calls: &mut Vec<&'s Call>) {
    visit(ast, &mut |ast| {
        if let Ast::Call(call) = ast
            && (call.name.eq_ignore_ascii_case("window") || call.name.eq_ignore_ascii_case("session_window"))
            && !call.over
        {
            calls.push(call);
        }
    });
}

/// Visits an expression and its parts; not what is inside subqueries.
fn visit<'s>(ast: &'s Ast, seen: &mut impl FnMut(&'s Ast)) {
    seen(ast);
    match ast {
        Ast::Unary(_, a) | Ast::IsNull(a, _) | Ast::Field(a, _) | Ast::Named(a, _) | Ast::Extract(_, a) => {
            visit(a, seen)
        }
        Ast::InQuery(a, _) | Ast::Cast { expr: a, .. } => visit(a, seen),
        Ast::Binary(_, a, b)
        | Ast::Element(a, b)
        | Ast::Like {
            expr: a, pattern: b, ..
        } => {
            visit(a, seen);
            visit(b, seen);
        }
        Ast::Between(a, b, c) => [a, b, c].into_iter().for_each(|part| visit(part, seen)),
        Ast::In(a, list) => {
            visit(a, seen);
            list.iter().for_each(|item| visit(item, seen));
        }
        Ast::Tuple(list) => list.iter().for_each(|item| visit(item, seen)),
        Ast::Case {
            operand,
            whens,
            otherwise,
        } => {
            operand.iter().chain(otherwise).for_each(|part| visit(part, seen));
            for (when, then) in whens {
                visit(when, seen);
                visit(then, seen);
            }
        }
        Ast::Call(call) => call.args.iter().chain(&call.filter).for_each(|arg| visit(arg, seen)),
        Ast::Null | Ast::Bool(_) | Ast::Number(_) | Ast::Text(_) | Ast::Typed(..) | Ast::Interval(_) => {}
        Ast::Name(_) | Ast::Star(_) | Ast::Exists(_) | Ast::Scalar(_) => {}
    }
}

/// A duration, slide or offset of a window in microseconds: text, or a whole number of microseconds.
fn window_size(ast: &Ast, session: bool) -> Result<i64> {
    match ast {
        Ast::Text(text) => interval::parse_interval_us(text),
        Ast::Number(text) if text.parse::<i64>().is_ok() => Ok(text.parse().unwrap_or(0)),
        _ if session => Ok(0),
        _ => Err(Error::spark(
            "_LEGACY_ERROR_TEMP_1207",
            "The duration and time inputs to window must be an integer, long or string literal.",
        )),
    }
}

fn check_sizes((duration, slide, start): (i64, i64, i64), text: &str) -> Result<()> {
    let range = |name: &str, value: i64| {
        let reason = format!("The `{name}` must be between (0, 9223372036854775807] (current value = {value}L)");
        Err(crate::sql::expr::mismatch("VALUE_OUT_OF_RANGE", text, reason))
    };
    if duration <= 0 {
        return range("window_duration", duration);
    }
    if slide <= 0 {
        return range("slide_duration", slide);
    }
    let constraint = |reason: String| {
        Err(crate::sql::expr::mismatch(
            "PARAMETER_CONSTRAINT_VIOLATION",
            text,
            reason,
        ))
    };
    if slide > duration {
        return constraint(format!(
            "The `slide_duration`({slide}L) must be <= the `window_duration`({duration}L)"
        ));
    }
    if start.unsigned_abs() >= slide as u64 {
        let size = start.unsigned_abs();
        return constraint(format!(
            "The `abs(start_time)`({size}L) must be < the `slide_duration`({slide}L)"
        ));
    }
    Ok(())
}
