//! Claims about the front end as a whole. What Spark answers was asked of Spark 4.3.0.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::Extension;

use super::function::cast::{Mode, convert};
use super::*;

/// Tables `t` (of many types), `u` and `e`; streams `scotsmen` and `bagpipes`.
fn catalog(ansi: bool) -> Catalog {
    let conf = BTreeMap::from([("spark.sql.ansi.enabled".to_string(), ansi.to_string())]);
    let mut catalog = Catalog::new(conf);
    for (name, values) in [
        (
            "t",
            "('Porto', 3, 30L, 1.5D, 12.34BD, TIMESTAMP'2024-12-03 10:00:00.123456', DATE'2024-02-29', true), \
             ('faro', -4, -30L, -1.5D, -0.05BD, TIMESTAMP'1969-12-31 23:59:59.5', DATE'1969-12-31', false), \
             (null, null, null, double('nan'), null, null, null, null) AS t(district, n, l, d, dec, ts, dt, b)",
        ),
        ("u", "(1, 'a'), (2, 'b'), (2, null) AS u(k, v)"),
        ("e", "(1, 10), (2, 20) AS e(k, w)"),
    ] {
        let rows = catalog.query_table(&format!("SELECT * FROM VALUES {values}")).unwrap();
        catalog.add_table(name, rows).unwrap();
    }
    for (name, ddl) in [
        ("scotsmen", "district STRING, new_scotsmen INT, timestamp TIMESTAMP"),
        ("bagpipes", "district STRING, bagpipe_sales INT, timestamp TIMESTAMP"),
    ] {
        catalog
            .add_stream(name, Arc::new(parse_schema_ddl(ddl).unwrap()))
            .unwrap();
    }
    catalog
}

/// Items of a SELECT over `t`, and whole queries, as `name type, ...`.
#[track_caller]
fn columns(sql: &str) -> String {
    let plan = catalog(true)
        .plan(&query(sql))
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let types = plan.schema().fields().iter().map(|f| spark_type_name(f.data_type()));
    let each = output_names(&plan)
        .into_iter()
        .zip(types)
        .map(|(name, data_type)| format!("{name} {data_type}"));
    each.collect::<Vec<_>>().join(", ")
}

/// The condition a query is refused or fails with.
#[track_caller]
fn condition(ansi: bool, sql: &str) -> String {
    match catalog(ansi).query_table(&query(sql)) {
        Ok(_) => panic!("{sql}: no error"),
        Err(error) => error.condition().unwrap_or("none").to_string(),
    }
}

/// The rows of a query as text, sorted.
#[track_caller]
fn rows(ansi: bool, sql: &str) -> String {
    let catalog = catalog(ansi);
    catalog.batch_time().set(1_733_220_000_000);
    let batch = catalog
        .query_table(&query(sql))
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|c| convert(c, &DataType::Utf8, Mode::Ansi).unwrap())
        .collect();
    let value = |c: &ArrayRef, row| {
        if c.is_null(row) {
            "NULL"
        } else {
            c.as_string::<i32>().value(row)
        }
        .to_string()
    };
    let row = |row| columns.iter().map(|c| value(c, row)).collect::<Vec<_>>().join(" ");
    let mut rows: Vec<String> = (0..batch.num_rows()).map(row).collect();
    if !sql.contains("ORDER BY") {
        rows.sort();
    }
    rows.join(", ")
}

fn query(sql: &str) -> String {
    let whole = ["SELECT", "WITH", "VALUES", "FROM", "SELEC"]
        .iter()
        .any(|word| sql.starts_with(word));
    if whole {
        sql.to_string()
    } else {
        format!("SELECT {sql} FROM t")
    }
}

#[test]
fn columns_are_named_and_typed_as_in_spark() {
    for (sql, wanted) in [
        (
            "(SELECT count(*) FROM u) AS a, (SELECT max(l) AS b FROM t) AS c, n AS d",
            "a bigint, c bigint, d int",
        ),
        (
            "count(*), sum(n), avg(n), sum(dec), avg(dec)",
            "count(1) bigint, sum(n) bigint, avg(n) double, sum(dec) decimal(14,2), avg(dec) decimal(8,6)",
        ),
        (
            "n + 1, n * 2 + 1, -n, n / 2, n div 2, n % 2",
            "(n + 1) int, ((n * 2) + 1) int, (- n) int, (n / 2) double, (n div 2) bigint, (n % 2) int",
        ),
        (
            "n + l, n + d, n + 1.5, dec * dec, dec / dec",
            "(n + l) bigint, (n + d) double, (n + 1.5) decimal(12,1), (dec * dec) decimal(9,4), (dec / dec) decimal(11,7)",
        ),
        (
            "1.5, 1.5D, 5L, 1e3, 'it''s', \"x\", null",
            "1.5 decimal(2,1), 1.5 double, 5 bigint, 1000.0 double, it's string, x string, NULL void",
        ),
        (
            "n = 3, n != 3, n <=> null, n IS NOT NULL",
            "(n = 3) boolean, (NOT (n = 3)) boolean, (n <=> NULL) boolean, (n IS NOT NULL) boolean",
        ),
        (
            "n IN (1, 2), n BETWEEN 1 AND 3, district LIKE 'P%'",
            "(n IN (1, 2)) boolean, between(n, 1, 3) boolean, district LIKE P% boolean",
        ),
        (
            "CASE WHEN n > 3 THEN 'many' ELSE 'few' END",
            "CASE WHEN (n > 3) THEN many ELSE few END string",
        ),
        (
            "CAST(n AS STRING), CAST(n + 1 AS BIGINT), string(n), n::double",
            "n string, CAST((n + 1) AS BIGINT) bigint, n string, n double",
        ),
        (
            "upper(district), substr(district, 2), district || n",
            "upper(district) string, substr(district, 2, 2147483647) string, concat(district, n) string",
        ),
        (
            "ts - INTERVAL 2 MINUTES, ts - ts, dt + 1",
            "ts - INTERVAL '02' MINUTE timestamp, (ts - ts) interval day to second, date_add(dt, 1) date",
        ),
        (
            "if(n > 1, 1, 2.5), coalesce(n, l), ceil(d), round(d)",
            "(IF((n > 1), 1, 2.5)) decimal(11,1), coalesce(n, l) bigint, CEIL(d) bigint, round(d, 0) double",
        ),
        ("DISTRICT, T.District", "DISTRICT string, District string"),
        ("sum(n) FILTER (WHERE n > 0)", "sum(n) FILTER (WHERE (n > 0)) bigint"),
        ("n + 1 AS x, x + 1 AS y", "x int, y int"),
        ("SELECT * FROM u JOIN e ON u.k = e.k", "k int, v string, k int, w int"),
        ("SELECT * FROM u JOIN e USING (k)", "k int, v string, w int"),
        ("SELECT k, k FROM u", "k int, k int"),
        ("SELECT v FROM u UNION ALL SELECT w FROM e", "v bigint"),
        ("SELECT q.* FROM (SELECT k, k FROM u) q", "k int, k int"),
        ("VALUES (1, 'a'), (2.5, null)", "col1 decimal(11,1), col2 string"),
        (
            "SELECT window, count(*) FROM t GROUP BY window(ts, '5 minutes')",
            "window struct<start:timestamp,end:timestamp>, count(1) bigint",
        ),
        (
            "SELECT window.start, window.end AS e FROM t GROUP BY window(ts, '5 minutes')",
            "start timestamp, e timestamp",
        ),
        ("SELECT window(ts, '5 minutes').start FROM t", "window.start timestamp"),
    ] {
        assert_eq!(columns(sql), wanted, "{sql}");
    }
}

#[test]
fn queries_are_refused_with_sparks_conditions() {
    for (sql, wanted) in [
        ("SELEC * FROM t", "PARSE_SYNTAX_ERROR"),
        ("SELECT (n FROM t", "PARSE_SYNTAX_ERROR"),
        ("SELECT n, FROM t", "TRAILING_COMMA_IN_SELECT"),
        ("SELECT * FROM nowhere", "TABLE_OR_VIEW_NOT_FOUND"),
        ("nosuch", "UNRESOLVED_COLUMN.WITH_SUGGESTION"),
        ("nosuch(n)", "UNRESOLVED_ROUTINE"),
        ("length()", "WRONG_NUM_ARGS.WITHOUT_SUGGESTION"),
        ("district, sum(n)", "MISSING_GROUP_BY"),
        ("SELECT district, n FROM t GROUP BY district", "MISSING_AGGREGATION"),
        ("SELECT n FROM t GROUP BY 3", "GROUP_BY_POS_OUT_OF_RANGE"),
        ("SELECT sum(n) FROM t GROUP BY 1", "GROUP_BY_POS_AGGREGATE"),
        ("SELECT n FROM t ORDER BY 3", "ORDER_BY_POS_OUT_OF_RANGE"),
        ("SELECT n FROM t WHERE sum(n) > 1", "INVALID_WHERE_CONDITION"),
        ("SELECT n FROM t WHERE n", "DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN"),
        ("sum(sum(n))", "NESTED_AGGREGATE_FUNCTION"),
        ("SELECT k FROM u JOIN e ON u.k = e.k", "AMBIGUOUS_REFERENCE"),
        ("SELECT u.k FROM u JOIN u ON true", "AMBIGUOUS_REFERENCE"),
        (
            "SELECT * FROM u JOIN e ON rand() < 2",
            "INVALID_NON_DETERMINISTIC_EXPRESSIONS",
        ),
        ("SELECT k, v FROM u UNION ALL SELECT w FROM e", "NUM_COLUMNS_MISMATCH"),
        ("SELECT ts FROM t UNION ALL SELECT k FROM e", "INCOMPATIBLE_COLUMN_TYPE"),
        ("b = 1", "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES"),
        ("NOT n", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("greatest(n, '10')", "DATATYPE_MISMATCH.DATA_DIFF_TYPES"),
        ("CAST(dt AS INT)", "DATATYPE_MISMATCH.CAST_WITH_FUNC_SUGGESTION"),
        ("TIMESTAMP'bad'", "INVALID_TYPED_LITERAL"),
        ("SELECT n FROM t LIMIT -1", "INVALID_LIMIT_LIKE_EXPRESSION.IS_NEGATIVE"),
        (
            "SELECT k, (SELECT w, k FROM e) FROM u",
            "INVALID_SUBQUERY_EXPRESSION.SCALAR_SUBQUERY_RETURN_MORE_THAN_ONE_OUTPUT_COLUMN",
        ),
        (
            "SELECT (SELECT max(bagpipe_sales) FROM bagpipes) FROM scotsmen",
            "INVALID_SUBQUERY_EXPRESSION.STREAMING_QUERY",
        ),
        (
            "SELECT district FROM scotsmen INTERSECT SELECT district FROM bagpipes",
            "_LEGACY_ERROR_TEMP_3102",
        ),
    ] {
        assert_eq!(condition(true, sql), wanted, "{sql}");
    }
}

#[test]
fn windows_are_refused_as_spark_refuses_them() {
    for (window, wanted) in [
        ("window(n, '5 minutes')", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("window(ts, '0 seconds')", "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE"),
        (
            "window(ts, '5 minutes', '10 minutes')",
            "DATATYPE_MISMATCH.PARAMETER_CONSTRAINT_VIOLATION",
        ),
        (
            "window(ts, '5 minutes', '5 minutes', '-6 minutes')",
            "DATATYPE_MISMATCH.PARAMETER_CONSTRAINT_VIOLATION",
        ),
        ("window(ts, '5m')", "CANNOT_PARSE_INTERVAL"),
        ("window(ts, '1 month')", "_LEGACY_ERROR_TEMP_3231"),
        ("window(ts, district)", "_LEGACY_ERROR_TEMP_1207"),
        ("window(ts)", "WRONG_NUM_ARGS.WITHOUT_SUGGESTION"),
        (
            "window(ts, '5 minutes'), window(ts, '10 minutes')",
            "_LEGACY_ERROR_TEMP_1039",
        ),
        (
            "session_window(ts, '5 minutes'), window(ts, '5 minutes')",
            "_LEGACY_ERROR_TEMP_1039",
        ),
        ("session_window(ts, '5 minutes')", "SKIRL_UNSUPPORTED"),
    ] {
        assert_eq!(
            condition(true, &format!("SELECT count(*) FROM t GROUP BY {window}")),
            wanted,
            "{window}"
        );
    }
    for clause in [
        "GROUP BY window(ts, '0 seconds')",
        "GROUP BY window(ts, '5 minutes') HAVING window(ts, '5 minutes').end > ts",
        "GROUP BY window(ts, '5 minutes') ORDER BY window(ts, '5 minutes')",
    ] {
        let sql = format!("SELECT window.start FROM t {clause}");
        assert_eq!(condition(true, &sql), "UNRESOLVED_COLUMN.WITH_SUGGESTION", "{clause}");
    }
}

#[test]
fn values_are_sparks() {
    for (sql, wanted) in [
        ("n / 2, n % 2, n div 2", "-2.0 0 -2, 1.5 1 1, NULL NULL NULL"),
        (
            "dec / n, dec * dec, n + 1.5",
            "0.0125000000000 0.0025 -2.5, 4.1133333333333 152.2756 4.5, NULL NULL NULL",
        ),
        (
            "ts + INTERVAL 5 MINUTES",
            "1970-01-01 00:04:59.5, 2024-12-03 10:05:00.123456, NULL",
        ),
        (
            "dt - INTERVAL 1 MONTH, dt + 1",
            "1969-11-30 1970-01-01, 2024-01-29 2024-03-01, NULL NULL",
        ),
        (
            "CAST(ts AS BIGINT), CAST(ts AS DOUBLE), CAST(ts AS DATE)",
            "-1 -0.5 1969-12-31, 1733220000 1.733220000123456E9 2024-12-03, NULL NULL NULL",
        ),
        (
            "date_trunc('WEEK', ts), date_trunc('bad', ts)",
            "1969-12-29 00:00:00 NULL, 2024-12-02 00:00:00 NULL, NULL NULL",
        ),
        (
            "date_format(ts, 'yyyy-MM-dd HH:mm:ss.SSS')",
            "1969-12-31 23:59:59.500, 2024-12-03 10:00:00.123, NULL",
        ),
        (
            "SELECT 7 % -3, -7 % 3, pmod(-7, 3), round(2.5), bround(2.5), round(1.005D, 2)",
            "1 -1 2 3 2 1.01",
        ),
        (
            "SELECT double('nan') = double('nan'), double('nan') > 1e300, -0.0D = 0.0D",
            "true true true",
        ),
        ("d = double('nan'), greatest(d, 0D)", "false 0.0, false 1.5, true NaN"),
        (
            "upper(district), length(district), concat_ws('-', district, n)",
            "FARO 4 faro--4, NULL NULL , PORTO 5 Porto-3",
        ),
        (
            "SELECT count(*), count(n), sum(n), avg(n), max(district) FROM t",
            "3 2 -1 -0.5 faro",
        ),
        (
            "SELECT * FROM u WHERE k IN (SELECT k FROM e WHERE w > 10)",
            "2 NULL, 2 b",
        ),
        ("SELECT * FROM u WHERE k NOT IN (SELECT k FROM e WHERE w > 10)", "1 a"),
        ("SELECT k FROM u WHERE v NOT IN (SELECT v FROM u)", ""),
        (
            "SELECT * FROM u WHERE k IN (SELECT k FROM e WHERE w > 10) OR v = 'a'",
            "1 a, 2 NULL, 2 b",
        ),
        (
            "SELECT * FROM u WHERE NOT EXISTS (SELECT 1 FROM e WHERE e.k = u.k AND w > 10)",
            "1 a",
        ),
        (
            "SELECT k, (SELECT count(*) FROM e WHERE e.k = u.k + 1) FROM u",
            "1 1, 2 0, 2 0",
        ),
        ("SELECT k, (SELECT max(w) FROM e) AS m FROM u", "1 20, 2 20, 2 20"),
        ("SELECT k FROM u INTERSECT SELECT k FROM e", "1, 2"),
        ("SELECT k FROM u UNION SELECT w FROM e", "1, 10, 2, 20"),
        ("SELECT n FROM t ORDER BY n", "NULL, -4, 3"),
        ("SELECT n FROM t ORDER BY l DESC LIMIT 2", "3, -4"),
        ("SELECT DISTINCT k FROM u", "1, 2"),
        ("SELECT * FROM u FULL JOIN e USING (k) WHERE v IS NULL", "2 NULL 20"),
        (
            "SELECT window.start, count(*) FROM t GROUP BY window(ts, '5 minutes')",
            "1969-12-31 23:55:00 1, 2024-12-03 10:00:00 1",
        ),
        (
            "SELECT window.start FROM (SELECT window(TIMESTAMP'2024-12-03 12:05:00', '12 minutes', '5 minutes', '2 minutes'))",
            "2024-12-03 11:57:00, 2024-12-03 12:02:00",
        ),
        (
            "SELECT try_add(2147483647, 1), try_divide(1, 0), try_cast('x' AS INT)",
            "NULL NULL NULL",
        ),
        (
            "SELECT CAST(1 AS BIGINT) / 3.0, date_format(ts, 'EEE Q') FROM t WHERE n = 3",
            "0.333333 Tue 4",
        ),
        (
            "SELECT current_timestamp(), current_date()",
            "2024-12-03 10:00:00 2024-12-03",
        ),
        ("SELECT x.a FROM (SELECT from_json('{\"a\": 5}', 'a INT') AS x)", "5"),
        ("to_json(named_struct('a', n))", "{\"a\":-4}, {\"a\":3}, {}"),
    ] {
        assert_eq!(rows(true, sql), wanted, "{sql}");
    }
}

#[test]
fn ansi_makes_errors_of_what_java_lets_pass() {
    for (sql, error, legacy) in [
        ("SELECT 1 / 0", "DIVIDE_BY_ZERO", "NULL"),
        ("SELECT 5 % 0", "REMAINDER_BY_ZERO", "NULL"),
        ("SELECT 2147483647 + 1", "ARITHMETIC_OVERFLOW", "-2147483648"),
        ("SELECT -(-2147483648)", "ARITHMETIC_OVERFLOW", "-2147483648"),
        ("SELECT CAST('abc' AS INT)", "CAST_INVALID_INPUT", "NULL"),
        ("SELECT CAST('1.5' AS INT)", "CAST_INVALID_INPUT", "1"),
        ("SELECT CAST(3e9 AS INT)", "CAST_OVERFLOW", "2147483647"),
        ("SELECT CAST(300 AS TINYINT)", "CAST_OVERFLOW", "44"),
        (
            "SELECT CAST(12345 AS DECIMAL(4,1))",
            "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
            "NULL",
        ),
        ("SELECT 'a' = 1", "CAST_INVALID_INPUT", "NULL"),
        ("SELECT array(1, 2)[5]", "INVALID_ARRAY_INDEX", "NULL"),
        ("SELECT (SELECT k FROM u)", "SCALAR_SUBQUERY_TOO_MANY_ROWS", ""),
    ] {
        assert_eq!(condition(true, sql), error, "{sql}");
        if !legacy.is_empty() {
            assert_eq!(rows(false, sql), legacy, "{sql}");
        }
    }
}

#[test]
fn rows_spark_does_not_evaluate_raise_nothing() {
    for (sql, wanted) in [
        ("SELECT count(*) FROM u WHERE k <> 1 AND 10 / (k - 1) > 1", "2"),
        ("SELECT count(*) FROM u WHERE k = 1 OR 10 / (k - 1) > 1", "3"),
        (
            "CASE WHEN district = 'Porto' THEN 0 ELSE n / (n - 3) END",
            "0.0, 0.5714285714285714, NULL",
        ),
        (
            "SELECT coalesce(v, CAST('x' AS INT)) FROM u WHERE v IS NOT NULL AND false",
            "",
        ),
        ("SELECT if(k = 1, 0, 1 / (k - 1)) FROM u", "0.0, 1.0, 1.0"),
        ("SELECT false AND 1 / 0 > 1", "false"),
        ("SELECT null / 0", "NULL"),
    ] {
        assert_eq!(rows(true, sql), wanted, "{sql}");
    }
}

#[test]
fn a_window_is_one_node_below_its_select() {
    let catalog = catalog(true);
    let sql = "SELECT window.start, district, count(*) FROM scotsmen \
               GROUP BY window(timestamp, '3 minutes'), district HAVING window.start IS NOT NULL ORDER BY window.end";
    let plan = catalog.plan(sql).unwrap();
    let mut windows = 0;
    plan.apply(|node| {
        if let LogicalPlan::Extension(Extension { node }) = node {
            let window = node.as_any().downcast_ref::<TimeWindowNode>().unwrap();
            assert_eq!(
                (window.duration_us, window.slide_us, window.start_us),
                (180_000_000, 180_000_000, 0)
            );
            assert_eq!(window.window_column().to_string(), "window");
            windows += 1;
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    })
    .unwrap();
    assert_eq!(windows, 1);
    assert!(is_streaming(&plan));
}

#[test]
fn a_watermark_stands_on_a_timestamp_of_its_view() {
    let watermark = |column: &str, delay: &str| WatermarkSpec {
        column: column.into(),
        delay: delay.into(),
    };
    let mut catalog = catalog(true);
    for (column, delay, condition, message) in [
        (
            "district",
            "1 minute",
            Some("EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE"),
            "The event time `district` has the invalid type \"STRING\", but expected \"TIMESTAMP\".",
        ),
        (
            "timestamp",
            "-1 minute",
            None,
            "requirement failed: delay threshold (-1 minute) should not be negative.",
        ),
        ("nowhere", "1 minute", Some("UNRESOLVED_COLUMN.WITH_SUGGESTION"), ""),
        ("timestamp", "soon", Some("CANNOT_PARSE_INTERVAL"), ""),
    ] {
        let error = catalog
            .create_view("s", "SELECT * FROM scotsmen", Some(&watermark(column, delay)))
            .unwrap_err();
        assert_eq!(error.condition(), condition, "{column}, {delay}");
        assert!(error.to_string().starts_with(message), "{error}");
    }
    catalog
        .create_view("s", "SELECT * FROM scotsmen", Some(&watermark("Timestamp", "1 minute")))
        .unwrap();
    let plan = catalog.plan("SELECT * FROM s").unwrap();
    assert!(
        plan.display_indent()
            .to_string()
            .contains("EventTimeWatermark: scotsmen.timestamp, delay 60000 ms")
    );
    let clause = "SELECT * FROM scotsmen WATERMARK timestamp DELAY OF INTERVAL 1 MINUTE";
    assert!(
        catalog
            .plan(clause)
            .unwrap()
            .display_indent()
            .to_string()
            .contains("delay 60000 ms")
    );
}

#[test]
fn a_condition_stays_splittable_until_it_is_made_physical() {
    let catalog = catalog(true);
    let plan = catalog
        .plan("SELECT * FROM scotsmen WHERE new_scotsmen <> 0 AND 10 / new_scotsmen > 1")
        .unwrap();
    let LogicalPlan::Projection(projection) = &plan else {
        panic!("{plan}")
    };
    let LogicalPlan::Filter(filter) = projection.input.as_ref() else {
        panic!("{plan}")
    };
    assert_eq!(
        datafusion::logical_expr::utils::split_conjunction(&filter.predicate).len(),
        2
    );
    let physical = physical_expr(&filter.predicate, filter.input.schema()).unwrap();
    assert!(physical.to_string().contains("CASE"), "{physical}");
    assert!(physical_expr(&filter.predicate, &DFSchema::empty()).is_err());
}

#[test]
fn a_stream_is_no_table() {
    let catalog = catalog(true);
    assert!(catalog.query_table("SELECT * FROM e").is_ok());
    assert!(catalog.query_table("SELECT * FROM scotsmen").is_err());
}

/// How planning `sql` over views that read each other ends, on a stack of the size that a command has.
fn planned(sql: String, views: usize) -> Result<(), String> {
    let plan = move || {
        let mut catalog = catalog(true);
        for view in 0..views {
            let below = if view == 0 { "u" } else { &format!("v{}", view - 1) };
            catalog.create_view(&format!("v{view}"), &format!("SELECT * FROM {below}"), None)?;
        }
        catalog.plan(&sql)
    };
    let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(move || {
        let planned = plan().map(drop);
        planned.map_err(|error| error.condition().unwrap_or_default().to_string())
    });
    thread.unwrap().join().expect("the stack is large enough")
}

#[test]
fn long_chains_are_too_complex_and_those_of_a_few_hundred_are_not() {
    let chain = |count: usize, one: &str, operator: &str| vec![one; count].join(operator);
    let from = |items: String| format!("SELECT {items} FROM u");
    type Long<'a> = &'a dyn Fn(usize) -> String;
    let long: [(&str, Long); 9] = [
        ("sum", &|n| from(chain(n, "1", " + "))),
        ("concatenation", &|n| from(chain(n, "v", " || "))),
        ("condition", &|n| {
            format!(
                "SELECT k FROM u WHERE {} OR {}",
                chain(n / 2, "k = 1", " AND "),
                chain(n / 2, "k = 1", " OR ")
            )
        }),
        ("predicates", &|n| from(format!("k{}", " IS NULL".repeat(n)))),
        ("words", &|n| from(format!("v{}", " LIKE 'a'".repeat(n)))),
        ("casts", &|n| from(format!("k{}", "::BIGINT".repeat(n)))),
        ("union", &|n| chain(n, "SELECT k FROM u", " UNION ALL ")),
        ("comma", &|n| {
            let tables: Vec<String> = (0..n).map(|number| format!("u AS u{number}")).collect();
            format!("SELECT 1 FROM {}", tables.join(", "))
        }),
        ("type", &|n| {
            from(format!("CAST(k AS {}INT{})", "ARRAY<".repeat(n), ">".repeat(n)))
        }),
    ];
    for (name, sql) in long {
        let refused = planned(sql(3000), 0);
        assert_eq!(refused, Err("FAILED_TO_PARSE_TOO_COMPLEX".to_string()), "{name}");
        if !["comma", "type"].contains(&name) {
            assert_ne!(planned(sql(400), 0), refused, "{name}");
        }
    }
    // Terms side by side are no chain, and a long operand of a long chain is taller by that chain only.
    let wide = chain(300, "(1 + k + 1 = 2)", " OR ");
    assert_eq!(
        planned(format!("SELECT {0}, {0}, {0} FROM u WHERE {0}", wide), 0),
        Ok(())
    );
    assert_eq!(planned("SELECT * FROM v249".into(), 250), Ok(()));
    let refused = planned("SELECT * FROM v1999".into(), 2000);
    assert_eq!(refused, Err("FAILED_TO_PARSE_TOO_COMPLEX".to_string()));
}

#[test]
fn a_row_has_at_most_a_million_windows() {
    let windows = |sizes: &str| format!("SELECT count(*) FROM scotsmen GROUP BY window(timestamp, {sizes})");
    let catalog = catalog(true);
    for most in [
        "'1 day', '1 second'",
        "'1 second', '1 microsecond'",
        "'10 seconds', '3 seconds'",
    ] {
        assert!(catalog.plan(&windows(most)).is_ok(), "{most}");
    }
    let error = catalog.plan(&windows("'3 minutes', '1 microsecond'")).unwrap_err();
    assert_eq!(error.condition(), Some(crate::error::SKIRL_UNSUPPORTED));
    assert_eq!(
        error.to_string(),
        "each row would be in 180000000 windows, since one begins every 1 us and lasts 180000000 us; Skirl makes at most \
         1000000 windows of a row: slide further, or make windows shorter"
    );
}
