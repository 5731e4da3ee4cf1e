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
