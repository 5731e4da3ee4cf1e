//! What a stream is to be: the table `[streams.NAME]` of a scenario file.
//!
//! Reading never stops at the first mistake: [`StreamSpec::check`] gives all of them, each with the bytes of the TOML
//! text it is about (read with [`toml::from_str`], or there are no places to give).

mod quantity;
mod reader;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer};
use toml::Spanned;

pub(crate) use quantity::parse_date;
pub use quantity::{Micros, Share, Time, parse_rows};
pub use reader::SpecError;
pub(crate) use reader::{Node, Read, Table, listed, suggestion};

use crate::lateness::{self, LayerSpec};
use crate::pace::PaceSpec;
use crate::stream::ColumnSpec;

/// The most rows a stream may have: row numbers share their draws' positions with copies.
pub const ROWS_MAX: u64 = 1 << 44;

/// The micro-batch size when a specification names none.
pub const BATCH_ROWS_DEFAULT: u64 = 1_000;

/// A stream as a scenario file describes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamSpec {
    /// What its rows are.
    pub kind: Kind,
    /// How many rows happen (before any are lost or repeated).
    pub rows: u64,
    /// Cut a micro-batch for every such span of arrival time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<Micros>,
    /// Cut a micro-batch for every so many arrivals; not together with `batch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_rows: Option<u64>,
    /// Arrival time at which micro-batch 0 begins when cutting by time; the stream's `start` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batches_from: Option<Time>,
    /// Empty micro-batches after the last row.
    #[serde(skip_serializing_if = "is_zero")]
    pub trailing_batches: u64,
    /// Event time of the first row.
    pub start: Time,
    /// How fast rows happen.
    pub pace: PaceSpec,
    /// For `bagpipe`: the name of the scotsmen stream whose conversions are followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follows: Option<String>,
    /// How rows arrive; none arrives late when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lateness: Vec<LayerSpec>,
    /// For `custom`: the columns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnSpec>,
    #[serde(skip)]
    mistakes: Vec<SpecError>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What the rows of a stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Citizens turning into scotsmen, by district.
    Scotsmen,
    /// Bagpipe sales that follow conversions.
    Bagpipe,
    /// Temperatures and rain.
    Weather,
    /// Columns a user describes.
    Custom,
}

impl Kind {
    /// All kinds by the names a specification uses.
    pub const NAMES: [(&'static str, Kind); 4] = [
        ("scotsmen", Kind::Scotsmen),
        ("bagpipe", Kind::Bagpipe),
        ("weather", Kind::Weather),
        ("custom", Kind::Custom),
    ];

    /// The kind of this name.
    ///
    /// # Errors
    /// A sentence that lists the kinds.
    pub fn parse(name: &str) -> Result<Kind, String> {
        let names = Kind::NAMES.map(|(name, _)| name);
        let found = Kind::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, kind)| *kind);
        found.ok_or_else(|| {
            format!(
                "unknown kind of stream `{name}`{}; the kinds are {}",
                suggestion(name, &names),
                listed(&names)
            )
        })
    }
}

impl Read for Kind {
    fn read(node: &Node) -> Result<Kind, String> {
        Kind::parse(&String::read(node)?)
    }
}

/// Where micro-batches end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// After every such span of arrival time.
    Every(Micros),
    /// After so many arrivals.
    Rows(u64),
}

impl Cut {
    /// Reads a span, `90s` or `5m`, or a number of rows, `2000`, `50k` or `1M`: a small `m` is minutes, as everywhere.
    ///
    /// # Errors
    /// A sentence that says what was found and what to write instead.
    pub fn parse(text: &str) -> Result<Cut, String> {
        match parse_rows(text) {
            Ok(0) => Err("a micro-batch of 0 rows would hold none".into()),
            Ok(rows) if !text.trim().ends_with('m') => Ok(Cut::Rows(rows)),
            _ => match Micros::parse(text) {
                Ok(span) if span.0 > 0 => Ok(Cut::Every(span)),
                Ok(_) => Err(format!("`{text}` is not longer than nothing")),
                Err(_) => Err(format!(
                    "`{text}` is neither a span of time such as 90s or 5m nor a number of rows such as 2000, 50k or 1M"
                )),
            },
        }
    }
}

impl StreamSpec {
    /// A stream of `rows` rows with everything else at its default: one row a second from 2024-01-01T00:00:00Z (weather:
    /// one a day), nothing late, a micro-batch for every [`BATCH_ROWS_DEFAULT`] rows.
    pub fn new(kind: Kind, rows: u64) -> StreamSpec {
        StreamSpec {
            kind,
            rows,
            batch: None,
            batch_rows: None,
            batches_from: None,
            trailing_batches: 0,
            start: Time(1_704_067_200_000_000),
            pace: PaceSpec::default_of(kind),
            follows: None,
            lateness: vec![],
            columns: vec![],
            mistakes: vec![],
        }
    }

    /// Reads the table of one stream, for example `kind = "scotsmen"` and `rows = 100`.
    ///
    /// # Errors
    /// Every mistake in it, or the one that makes it no TOML at all.
    pub fn from_toml(text: &str) -> Result<StreamSpec, Vec<SpecError>> {
        let spec: StreamSpec = toml::from_str(text).map_err(|error| {
            vec![SpecError {
                span: error.span(),
                message: error.message().to_owned(),
            }]
        })?;
        let mistakes = spec.check("stream");
        if mistakes.is_empty() { Ok(spec) } else { Err(mistakes) }
    }

    /// Every mistake in the specification of the stream `name`.
    pub fn check(&self, name: &str) -> Vec<SpecError> {
        let mut mistakes = if self.mistakes.is_empty() {
            self.read_again()
        } else {
            self.mistakes.clone()
        };
        if let Some(message) = wrong_name(name) {
            mistakes.push(SpecError { span: None, message });
        }
        mistakes
    }

    /// Where the stream's micro-batches end.
    pub fn cut(&self) -> Cut {
        match (self.batch, self.batch_rows) {
            (Some(span), _) => Cut::Every(span),
            (None, rows) => Cut::Rows(rows.unwrap_or(BATCH_ROWS_DEFAULT)),
        }
    }

    /// A specification made by hand is held to the same rules as a written one.
    fn read_again(&self) -> Vec<SpecError> {
        let failed = |message: String| vec![SpecError { span: None, message }];
        let text = match toml::to_string(self) {
            Ok(text) => text,
            Err(error) => return failed(format!("the specification cannot be written as TOML: {error}")),
        };
        match toml::from_str::<StreamSpec>(&text) {
            Ok(spec) => spec
                .mistakes
                .into_iter()
                .map(|mistake| SpecError { span: None, ..mistake })
                .collect(),
            Err(error) => failed(error.message().to_owned()),
        }
    }

    fn read(node: &Spanned<Node>) -> StreamSpec {
        let mut table = Table::new("a stream", node);
        let kind = table.required("kind", "\"scotsmen\"", Kind::Scotsmen);
        let mut spec = StreamSpec::new(kind, table.required("rows", "2_000", 0));
        spec.batch = table.optional("batch");
        spec.batch_rows = table.optional("batch_rows");
        spec.batches_from = table.optional("batches_from");
        spec.trailing_batches = table.or("trailing_batches", 0);
        spec.start = table.or("start", spec.start);
        if let Some(node) = table.node("pace") {
            spec.pace = table.absorb(PaceSpec::read(node));
        }
        if let Some(node) = table.node("lateness") {
            spec.lateness = table.absorb(lateness::read(node));
        }
        spec.follows = table.optional("follows");
        spec.columns = read_columns(&mut table);
        spec.demand_sense(&mut table);
        spec.mistakes = table.finish();
        spec
    }

    /// Notes what is wrong with fields taken together.
    fn demand_sense(&self, table: &mut Table) {
        let both = self.batch.is_some() && self.batch_rows.is_some();
        table.demand(!both, "batch_rows", || {
            "`batch` cuts micro-batches by arrival time and `batch_rows` by count; keep one of them".into()
        });
        table.demand(self.batch.is_none_or(|span| span.0 > 0), "batch", || {
            "`batch` must be longer than nothing, such as \"5s\"".into()
        });
        table.demand(self.batch_rows != Some(0), "batch_rows", || {
            "`batch_rows` must be at least 1".into()
        });
        table.demand(self.rows <= ROWS_MAX, "rows", || {
            format!("`rows` may be at most {ROWS_MAX}")
        });
        table.demand(
            self.batches_from.is_none_or(|from| from <= self.start),
            "batches_from",
            || {
                "`batches_from` is after `start`: rows would arrive before the first micro-batch; make it earlier"
                    .into()
            },
        );
        table.demand(
            self.batches_from.is_none() || self.batch.is_some(),
            "batches_from",
            || "`batches_from` says when micro-batches by time begin; give `batch` too".into(),
        );
        table.demand(self.follows.is_none() || self.kind == Kind::Bagpipe, "follows", || {
            "only a stream of kind `bagpipe` follows another".into()
        });
        table.demand(self.columns.is_empty() || self.kind == Kind::Custom, "columns", || {
            "only a stream of kind `custom` has `columns`; the other kinds have their own".into()
        });
        table.demand(!self.columns.is_empty() || self.kind != Kind::Custom, "columns", || {
            "a stream of kind `custom` needs columns; write for example \
             `columns = [{ name = \"user\", type = \"string\", template = \"user-{row}\" }]`"
                .into()
        });
        for (key, message) in lateness::misfits(self)
            .into_iter()
            .chain(ColumnSpec::misfits(&self.columns))
        {
            table.wrong(key, message);
        }
    }
}

impl<'de> Deserialize<'de> for StreamSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StreamSpec, D::Error> {
        Ok(StreamSpec::read(&Spanned::<Node>::deserialize(deserializer)?))
    }
}

fn read_columns(table: &mut Table) -> Vec<ColumnSpec> {
    let Some(node) = table.node("columns") else {
        return vec![];
    };
    match node.get_ref() {
        Node::List(nodes) => nodes.iter().map(|node| table.absorb(ColumnSpec::read(node))).collect(),
        other => {
            table.wrong(
                "columns",
                format!("found {other}, wanted a list of columns such as `[{{ name = \"n\", ... }}]`"),
            );
            vec![]
        }
    }
}

/// Stream names become directories and SQL names.
fn wrong_name(name: &str) -> Option<String> {
    let fine = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    (!fine).then(|| format!("`{name}` cannot name a stream; use letters, digits, `_` and `-`"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A scenario file as far as this crate knows it.
    #[derive(serde::Deserialize)]
    struct Scenario {
        streams: BTreeMap<String, StreamSpec>,
    }

    /// The mistakes of stream `a` with the text they point at.
    fn mistakes(text: &str) -> String {
        let scenario: Scenario = toml::from_str(text).unwrap();
        let told = scenario.streams["a"].check("a").into_iter().map(|mistake| {
            let place = mistake
                .span
                .map_or("(nowhere)", |span| text[span].lines().next().unwrap_or_default());
            format!("{place}\n  {}", mistake.message)
        });
        told.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn micro_batches_end_after_a_span_or_after_so_many_rows() {
        let minutes = |minutes: i64| Ok(Cut::Every(Micros::seconds(minutes * 60)));
        for (text, wanted) in [
            ("1m", minutes(1)),
            ("5 m", minutes(5)),
            ("1h30m", minutes(90)),
            ("90s", Ok(Cut::Every(Micros::seconds(90)))),
            ("2000", Ok(Cut::Rows(2_000))),
            ("50k", Ok(Cut::Rows(50_000))),
            ("1M", Ok(Cut::Rows(1_000_000))),
        ] {
            assert_eq!(Cut::parse(text), wanted, "{text}");
        }
        for text in ["0", "0s", "-3s", "many", "0.5"] {
            assert!(Cut::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_their_places() {
        insta::assert_snapshot!(mistakes(
            r#"
            [streams.a]
            kind = "scotsman"
            rows = -5
            batch = 5
            batch_row = 3
            pace = { model = "poison", rate = 3 }
            lateness = [
                { model = "pareto", share = 5, max = "1 parsec" },
                { model = "uniform", min = "5s", max = "2s" },
                { model = "constant", delay = "-2s" },
            ]
            "#
        ), @r#"
        "scotsman"
          `kind`: unknown kind of stream `scotsman` (did you mean `scotsmen`?); the kinds are `scotsmen`, `bagpipe`, `weather`, `custom`
        -5
          `rows`: found -5, wanted a whole number from 0 up
        5
          `batch`: found 5, wanted a duration such as "10s", with its unit and in quotes
        "poison"
          unknown pace `poison` (did you mean `poisson`?); the paces are `constant`, `poisson`, `daily`, `bursts`, `ramp`, `steps`
        5
          `share`: a share lies between 0 and 1 (or "0%" and "100%"), found 5
        "1 parsec"
          `max`: `1 parsec` is not a duration; write for example "10s", "2m", "1h30m" or "250ms"
        "2s"
          no delay lies between 5s and `max` = 2s; make `max` longer
        "-2s"
          `delay` cannot be negative, found -2s: no row arrives before it happened
        3
          a stream has no field `batch_row` (did you mean `batch_rows`?); it has `kind`, `rows`, `batch`, `batch_rows`, `batches_from`, `trailing_batches`, `start`, `pace`, `lateness`, `follows`, `columns`
        "#);
    }

    #[test]
    fn a_custom_stream_is_checked_column_by_column() {
        insta::assert_snapshot!(mistakes(
            r#"
            [streams.a]
            kind = "custom"
            rows = 5
            [[streams.a.columns]]
            name = "x"
            type = "float"
            model = "poisson"
            mean = -1
            [[streams.a.columns]]
            name = "x"
            type = "int"
            model = "choice"
            values = [1, "two"]
            weights = [1]
            [[streams.a.columns]]
            name = "z"
            type = "date"
            "#
        ), @r#"
        "float"
          `type`: unknown type `float`; the types are `string`, `int`, `bigint`, `double`, `boolean`, `timestamp`, `date`, `decimal(p,s)`
        -1
          the mean of a Poisson distribution lies above 0 and up to 1000000, found -1
        [1, "two"]
          found "two", wanted a value of type int such as 42
        [1]
          `weights` needs 2 numbers from 0 up that are not all 0
        [[streams.a.columns]]
          the column `z` has no model; the models are `constant`, `choice`, `uniform`, `normal`, `poisson`, `zipf`, `sequence`, `template`, `event-time`, `key`
        [[streams.a.columns]]
          two columns are named `x`; rename one
        "#);
    }

    #[test]
    fn a_specification_made_by_hand_is_held_to_the_same_rules() {
        let mut spec = StreamSpec::new(Kind::Scotsmen, 5);
        assert_eq!(spec.check("a"), []);
        spec.batch = Some(Micros(0));
        insta::assert_snapshot!(spec.check("a b").iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"), @r#"
        `batch` must be longer than nothing, such as "5s"
        `a b` cannot name a stream; use letters, digits, `_` and `-`
        "#);
    }

    #[test]
    fn a_specification_reads_back_from_its_own_text() {
        let text = r#"
            kind = "custom"
            rows = "2k"
            batch = "30 seconds"
            batches_from = 2023-12-31T23:59:00Z
            start = 2024-01-01T00:00:00Z
            trailing_batches = 1
            pace = { model = "bursts", burst_rate = 50, every = "1m", lasts = "3s" }
            lateness = [
                { model = "empirical", share = "50%", points = [[0, "0s"], [0.5, "1s"], [1, "1m"]] },
                { model = "clock", steps = [["1m", "-3s"]] },
                { model = "schedule", changes = [{ at = "1m", lateness = "loss,share=3% + spikes,pause=2s" }] },
                { model = "boundary", window = "10s", slide = "5s", delay = "1m" },
                { model = "corrupt", kinds = ["null", "bad-utf8"] },
            ]
            columns = [
                { name = "d", type = "decimal(5,1)", model = "uniform", min = "0.5", max = 9 },
                { name = "t", type = "timestamp", model = "sequence", start = 2024-01-01T00:00:00Z, step = "1s" },
                { name = "e", type = "timestamp", model = "event-time" },
            ]
        "#;
        let spec = StreamSpec::from_toml(text).unwrap();
        let again = StreamSpec::from_toml(&toml::to_string(&spec).unwrap()).unwrap();
        assert_eq!(again, spec);
    }
}
