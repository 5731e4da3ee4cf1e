//! `window(...)` and `session_window(...)`: one node below the SELECT that calls them.

use super::*;

/// The window column a SELECT put below itself.
pub(in crate::sql) struct WindowColumn {
    pub attr: Attr,
    /// Whether the query groups, but not by a `window_time(...)`.
    pub groups_without_time: bool,
}

/// A call of `window` or `session_window`, understood.
#[derive(PartialEq)]
pub(super) enum WindowSpec {
    Window { time: Expr, sizes: (i64, i64, i64) },
    Session { time: Expr, gap: Expr },
}

impl WindowSpec {
    /// What the window column is called.
    fn name(&self) -> &'static str {
        match self {
            WindowSpec::Window { .. } => "window",
            WindowSpec::Session { .. } => "session_window",
        }
    }
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
        if calls.is_empty() {
            return Ok((rel, None));
        }
        let refused = |error, exprs: &Exprs| self.window_error(error, select, exprs);
        let (rel, attr) = self.window_below(rel, &calls, refused, env, outer)?;
        let mut by_time = false;
        let keys = keys(select);
        for key in keys {
            visit(key, &mut |ast| {
                by_time |=
                    matches!(ast, Ast::Call(call) if call.name.eq_ignore_ascii_case(window_function::WINDOW_TIME));
            });
        }
        let column = WindowColumn {
            attr,
            groups_without_time: !keys.is_empty() && !by_time,
        };
        Ok((rel, Some(column)))
    }

    /// Puts the window column of the `window(...)` calls in a WHERE below it. It stays, before all other columns.
    pub(super) fn filter_window(
        &self,
        rel: Rel,
        filter: &Ast,
        env: &Env,
        outer: Option<&Scope>,
    ) -> Result<(Rel, Option<WindowColumn>)> {
        let mut calls: Vec<&Call> = vec![];
        window_calls(filter, &mut calls);
        if calls.is_empty() {
            return Ok((rel, None));
        }
        let (mut rel, attr) = self.window_below(rel, &calls, |error, _| error, env, outer)?;
        let mut visible = rel.attrs.pop().expect("the window column is the last");
        if visible.reach == Reach::ByName {
            visible.reach = Reach::Everywhere;
        }
        rel.attrs.insert(0, visible);
        let column = WindowColumn {
            attr,
            groups_without_time: false,
        };
        Ok((rel, Some(column)))
    }

    /// A relation with the window column that `calls` ask for, the last of its columns.
    fn window_below(
        &self,
        rel: Rel,
        calls: &[&Call],
        refused: impl Fn(Error, &Exprs) -> Error,
        env: &Env,
        outer: Option<&Scope>,
    ) -> Result<(Rel, Attr)> {
        let scope = Scope::new(&rel, outer);
        let exprs = Exprs::new(self, env, &scope);
        let spec = match self.window_spec(calls[0], &exprs) {
            Ok(spec) => spec,
            Err(error) => return Err(refused(error, &exprs)),
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
        // The column has the name of the function, unless the input has one of that name.
        let shown = spec.name();
        self.windows.set(self.windows.get() + 1);
        let mut name = shown.to_string();
        while rel.plan.schema().fields().iter().any(|f| *f.name() == name) {
            name = format!("{shown}#{}", self.windows.get());
            self.windows.set(self.windows.get() + 1);
        }
        let input = rel.plan.clone();
        let (node, column): (Arc<dyn UserDefinedLogicalNode>, Column) = match spec {
            WindowSpec::Window { time, sizes } => {
                let node = TimeWindowNode::try_new(input, time, sizes, &name)?;
                let column = node.window_column();
                (Arc::new(node), column)
            }
            WindowSpec::Session { time, gap } => {
                let node = SessionWindowNode::try_new(input, time, gap, &name)?;
                let column = node.window_column();
                (Arc::new(node), column)
            }
        };
        // `*` does not see the column; its name does, unless the input has a column of that name.
        let mut others = rel.attrs.iter().filter(|other| other.is_everywhere());
        let reach = match others.any(|other| other.name.eq_ignore_ascii_case(shown)) {
            true => Reach::ByQualifier,
            false => Reach::ByName,
        };
        let attr = Attr {
            qualifier: None,
            name: shown.into(),
            column,
            data_type: TimeWindowNode::window_type(),
            reach,
        };
        let plan = LogicalPlan::Extension(Extension { node });
        let attrs = rel.attrs.iter().cloned().chain([attr.clone()]).collect();
        Ok((Rel { plan, attrs }, attr))
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

    /// What a call of `window` or `session_window` asks for.
    pub(super) fn window_spec(&self, call: &Call, exprs: &Exprs) -> Result<WindowSpec> {
        if call.name.eq_ignore_ascii_case("session_window") {
            return self.session_spec(call, exprs);
        }
        check_count(call, 2..=4, "[2, 3, 4]")?;
        let sizes = call.args[1..].iter().map(window_size).collect::<Result<Vec<_>>>()?;
        let time = exprs.plan(&call.args[0])?;
        let duration = sizes[0];
        let sizes = (
            duration,
            sizes.get(1).copied().unwrap_or(duration),
            sizes.get(2).copied().unwrap_or(0),
        );
        let text = format!("window({}, {}, {}, {})", time.name, sizes.0, sizes.1, sizes.2);
        let time = self.window_time(&time, &text)?;
        check_sizes(sizes, &text)?;
        Ok(WindowSpec::Window { time, sizes })
    }

    fn session_spec(&self, call: &Call, exprs: &Exprs) -> Result<WindowSpec> {
        check_count(call, 2..=2, "2")?;
        let (time, gap) = (exprs.plan(&call.args[0])?, exprs.plan(&call.args[1])?);
        if !matches!(gap.data_type, DataType::Utf8 | DataType::Null) {
            return Err(Error::spark(
                "_LEGACY_ERROR_TEMP_1040",
                format!(
                    "Gap duration expression used in session window must be CalendarIntervalType, but got {}.",
                    message_type_name(&gap.data_type)
                ),
            ));
        }
        let text = format!("sessionwindow({}, {})", time.name, gap.name);
        Ok(WindowSpec::Session {
            time: self.window_time(&time, &text)?,
            gap: gap.expr,
        })
    }

    /// The time of a window, as a timestamp.
    fn window_time(&self, time: &Typed, text: &str) -> Result<Expr> {
        match &time.data_type {
            DataType::Timestamp(_, Some(_)) => Ok(time.expr.clone()),
            // A window of times without a zone has times without one; in UTC they look the same.
            DataType::Date32 | DataType::Utf8 | DataType::Null | DataType::Timestamp(_, None) => {
                Ok(self.cast(time, &timestamp_type()))
            }
            DataType::Struct(_) if time.data_type == TimeWindowNode::window_type() => {
                Err(Error::unsupported("a window of a window is not supported yet"))
            }
            other => {
                let reason = format!(
                    "The first parameter requires the (\"(TIMESTAMP OR TIMESTAMP WITHOUT TIME ZONE)\" or \"STRUCT<start: \
                     TIMESTAMP, end: TIMESTAMP>\" or \"STRUCT<start: TIMESTAMP_NTZ, end: TIMESTAMP_NTZ>\") type, however \
                     \"{}\" has the type \"{}\"",
                    time.name,
                    message_type_name(other)
                );
                Err(crate::sql::expr::mismatch("UNEXPECTED_INPUT_TYPE", text, reason))
            }
        }
    }
}

/// A window in HAVING or ORDER BY is one of what the groups make, not of what they are made of.
pub(super) fn check_windows_above_groups(select: &Select, order_by: &[Order], items: &[Typed]) -> Result<()> {
    let attr = |item: &Typed| Attr {
        qualifier: None,
        name: item.column_name().to_string(),
        column: Column::new_unqualified(item.column_name()),
        data_type: item.data_type.clone(),
        reach: Reach::Everywhere,
    };
    let above = Rel {
        plan: LogicalPlan::default(),
        attrs: items.iter().map(attr).collect(),
    };
    let scope = Scope::new(&above, None);
    let mut calls = vec![];
    for ast in select.having.iter().chain(order_by.iter().map(|order| &order.expr)) {
        window_calls(ast, &mut calls);
    }
    let mut wrong = None;
    for arg in calls.iter().filter_map(|call| call.args.first()) {
        visit(arg, &mut |ast| {
            if let Ast::Name(parts) = ast {
                wrong = wrong.take().or_else(|| scope.resolve(parts).err());
            }
        });
    }
    wrong.map_or(Ok(()), Err)
}

fn check_count(call: &Call, wanted: std::ops::RangeInclusive<usize>, counts: &str) -> Result<()> {
    if wanted.contains(&call.args.len()) {
        return Ok(());
    }
    Err(Error::spark(
        "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
        format!(
            "The `{}` requires {counts} parameters but the actual number is {}.",
            call.name,
            call.args.len()
        ),
    ))
}

/// What a SELECT names in GROUP BY.
fn keys(select: &Select) -> &[Ast] {
    match &select.group_by {
        GroupBy::By(by) | GroupBy::Sets { by, .. } => by.as_slice(),
        GroupBy::None | GroupBy::All => &[],
    }
}

fn select_expressions<'s>(select: &'s Select, order_by: &'s [Order]) -> Vec<&'s Ast> {
    let items = select.items.iter().map(|item| &item.expr);
    items
        .chain(keys(select))
        .chain(&select.having)
        .chain(order_by.iter().map(|order| &order.expr))
        .collect()
}

/// The calls of `window` and `session_window` in an expression.
fn window_calls<'s>(ast: &'s Ast, calls: &mut Vec<&'s Call>) {
    visit(ast, &mut |ast| {
        if let Ast::Call(call) = ast
            && (call.name.eq_ignore_ascii_case("window") || call.name.eq_ignore_ascii_case("session_window"))
            && call.over.is_none()
        {
            calls.push(call);
        }
    });
}

/// A window over rows stands in a SELECT list only.
pub(super) fn refuse_rows_window(ast: &Ast, clause: &str) -> Result<()> {
    if has_rows_window(ast) {
        return Err(Error::spark(
            "WINDOW_FUNCTION_NOT_ALLOWED_IN_CLAUSE",
            format!("It is not allowed to use window functions inside {clause} clause."),
        ));
    }
    Ok(())
}

pub(super) fn has_rows_window(ast: &Ast) -> bool {
    let mut found = false;
    visit(ast, &mut |ast| {
        found |= matches!(ast, Ast::Call(call) if call.over.is_some());
    });
    found
}

/// What Spark's check of operators calls an aggregate or a window over rows where none can stand.
pub(super) fn unsupported_in(operator: &str) -> Error {
    Error::spark(
        "UNSUPPORTED_EXPR_FOR_OPERATOR",
        format!("The query operator {operator} contains one or more unsupported expressions."),
    )
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
fn window_size(ast: &Ast) -> Result<i64> {
    match ast {
        Ast::Text(text) => interval::parse_interval_us(text),
        Ast::Number(text) if microseconds(text).is_some() => Ok(microseconds(text).unwrap_or(0)),
        _ => Err(Error::spark(
            "_LEGACY_ERROR_TEMP_1207",
            "The duration and time inputs to window must be an integer, long or string literal.",
        )),
    }
}

/// A literal `int` or `bigint`.
fn microseconds(text: &str) -> Option<i64> {
    text.strip_suffix(['L', 'l']).unwrap_or(text).parse().ok()
}

/// Windows of a row, at most. Spark has no such limit: it plans a projection for each of them, and dies of so many.
const WINDOWS_MAX: i64 = 1_000_000;

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
    let windows = duration.div_euclid(slide) + i64::from(duration.rem_euclid(slide) > 0);
    if windows > WINDOWS_MAX {
        return Err(Error::unsupported(format!(
            "each row would be in {windows} windows, since one begins every {slide} us and lasts {duration} us; Skirl \
             makes at most {WINDOWS_MAX} windows of a row: slide further, or make windows shorter"
        )));
    }
    Ok(())
}
