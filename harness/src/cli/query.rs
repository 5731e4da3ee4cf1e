//! `skirl query`: a streaming query on directories, sockets or topics, as a notebook would run it.

mod execute;
mod refusal;
mod request;
mod topic;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use skirl_engine::sql::WatermarkSpec;
use skirl_kafka::address::shown;

use crate::cli::kafka::{KafkaArgs, address_of, path_of};
use crate::job::{OutputMode, SinkFormat, Trigger, View};
use crate::scenario::{parse_duration_ms, parse_schema, suggestion};
pub use request::{Request, SinkPlace, SinkRequest, SourceRequest, StreamRequest, TableRequest, TableSource};

/// A query on the command line.
#[derive(Args)]
pub struct Query {
    /// Spark's SQL over the streams, tables and views.
    sql: String,

    /// A stream: a directory of files, a socket of lines, or a topic of Kafka.
    #[arg(
        long,
        value_name = "NAME=DIR|NAME=socket://HOST:PORT|NAME=kafka://HOST:PORT/TOPIC",
        required = true
    )]
    stream: Vec<String>,

    /// The columns of a stream; without, they are inferred from its files and shown. Of a topic: those of the JSON objects
    /// that are its values; without, the stream has Kafka's columns.
    #[arg(long, value_name = "NAME=DDL")]
    schema: Vec<String>,

    /// The format of a stream's files; without, their extension says it.
    #[arg(long, value_name = "NAME=FORMAT")]
    format: Vec<String>,

    /// A watermark on a stream or a view.
    #[arg(long, value_name = "NAME=COLUMN,DELAY")]
    watermark: Vec<String>,

    /// A static table from a file, or from what a topic of Kafka holds at the start.
    #[arg(long, value_name = "NAME=FILE|NAME=kafka://HOST:PORT/TOPIC")]
    table: Vec<String>,

    /// A view, which later views and the query may read.
    #[arg(long, value_name = "NAME=SQL")]
    view: Vec<String>,

    /// What a batch emits: append, update or complete.
    #[arg(long, value_name = "MODE", default_value = "append")]
    output_mode: String,

    /// When a batch runs: once, available-now or an interval such as '10 seconds'; without, as soon as there are rows.
    #[arg(long, value_name = "TRIGGER", allow_hyphen_values = true)]
    trigger: Option<String>,

    /// Where rows go: console, memory, noop (nowhere), json:DIR, csv:DIR, parquet:DIR or kafka://HOST:PORT/TOPIC.
    #[arg(long, value_name = "SINK", default_value = "console")]
    sink: String,

    /// Where progress and state are kept, so that the query can go on after a stop.
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,

    #[command(flatten)]
    kafka: KafkaArgs,

    /// An option of a stream's source, of a table of Kafka's, or of the sink (as `sink.KEY`), by Spark's name.
    #[arg(long, value_name = "NAME.KEY=VALUE")]
    option: Vec<String>,

    /// A setting of Spark's that changes results.
    #[arg(long, value_name = "KEY=VALUE")]
    conf: Vec<String>,

    /// The query's name; a memory table has it.
    #[arg(long)]
    name: Option<String>,
}

/// Arguments may hold passwords.
impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Query").finish_non_exhaustive()
    }
}

impl Query {
    /// Runs the query until its trigger is done or it is interrupted.
    pub fn execute(self) -> Result<ExitCode> {
        execute::execute(&self.into_request()?)
    }

    /// What the arguments ask for, all of it checked.
    fn into_request(self) -> Result<Request> {
        let mut streams = streams_of(&self.stream)?;
        let mut views = self.view.iter().map(|view| view_of(view)).collect::<Result<Vec<_>>>()?;
        let mut sink = sink_of(&self.sink)?;
        let mut tables = self
            .table
            .iter()
            .map(|table| table_of(table))
            .collect::<Result<Vec<_>>>()?;
        set_schemas(&mut streams, &mut tables, &self.schema)?;
        set_formats(&mut streams, &self.format)?;
        set_watermarks(&mut streams, &mut views, &self.watermark)?;
        set_options(&mut streams, &mut tables, &mut sink, &self.option)?;
        check_sink(&sink.place, self.name.as_deref(), self.checkpoint.as_deref())?;
        Ok(Request {
            tables,
            kafka: self.kafka,
            conf: self
                .conf
                .iter()
                .map(|conf| split("--conf", conf, "spark.sql.ansi.enabled=false"))
                .collect::<Result<_>>()?,
            output_mode: mode_of(&self.output_mode)?,
            trigger: self.trigger.as_deref().map(trigger_of).transpose()?,
            sql: self.sql,
            streams,
            views,
            sink,
            checkpoint: self.checkpoint,
            name: self.name,
        })
    }
}

/// `name=rest` of an argument.
fn split(option: &str, argument: &str, example: &str) -> Result<(String, String)> {
    match argument.split_once('=') {
        Some((name, rest)) if !name.is_empty() && !rest.is_empty() => Ok((name.to_string(), rest.to_string())),
        _ => bail!(
            "`{option} {}` has no name and value; write `{option} {example}`",
            shown(argument)
        ),
    }
}

fn streams_of(arguments: &[String]) -> Result<Vec<StreamRequest>> {
    let mut streams: Vec<StreamRequest> = Vec::new();
    for argument in arguments {
        let (name, place) = split("--stream", argument, "weather=data/weather")?;
        if streams.iter().any(|known| known.name.eq_ignore_ascii_case(&name)) {
            bail!("two streams are called `{name}`; give each a name of its own");
        }
        streams.push(StreamRequest {
            name,
            source: source_of(&place)?,
            schema: None,
            format: None,
            watermark: None,
            options: BTreeMap::new(),
        });
    }
    Ok(streams)
}

fn view_of(argument: &str) -> Result<View> {
    let example = "warm='SELECT * FROM weather WHERE max_temperature > 25'";
    let (name, sql) = split("--view", argument, example)?;
    Ok(View {
        name,
        sql,
        watermark: None,
        drop_duplicates: None,
    })
}

/// What the sink needs beside its place.
fn check_sink(place: &SinkPlace, query_name: Option<&str>, checkpoint: Option<&Path>) -> Result<()> {
    if *place == SinkPlace::Memory && query_name.is_none() {
        bail!("a memory sink needs `--name`: its table has it");
    }
    let whose_batches = match place {
        SinkPlace::Files(format, _) => Some((format.name(), "the files have")),
        SinkPlace::Topic(_) => Some(("kafka", "are written")),
        SinkPlace::Console | SinkPlace::Memory | SinkPlace::Noop => None,
    };
    if let (Some((name, batches)), None) = (whose_batches, checkpoint) {
        bail!("a {name} sink needs `--checkpoint DIR`: it tells which batches {batches}, also after a stop");
    }
    Ok(())
}

fn table_of(argument: &str) -> Result<TableRequest> {
    let (name, place) = split("--table", argument, "population=population.csv")?;
    let source = match address_of(&place)? {
        Some(address) => TableSource::Topic(address),
        None => TableSource::File(path_of(&place)?),
    };
    Ok(TableRequest {
        name,
        source,
        schema: None,
        options: BTreeMap::new(),
    })
}

fn source_of(place: &str) -> Result<SourceRequest> {
    if let Some(address) = address_of(place)? {
        return Ok(SourceRequest::Topic(address));
    }
    let Some(address) = place.strip_prefix("socket://") else {
        if place.starts_with("socket:") {
            bail!("`{place}` is no socket; write `socket://localhost:9999`");
        }
        return Ok(SourceRequest::Directory(path_of(place)?));
    };
    let parts = address
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host.to_string(), port.parse().ok()?)));
    match parts {
        Some((host, port)) if !host.is_empty() => Ok(SourceRequest::Socket { host, port }),
        _ => bail!("`{place}` is no socket; write `socket://localhost:9999`"),
    }
}

fn sink_of(text: &str) -> Result<SinkRequest> {
    let place = match address_of(text)? {
        Some(address) => SinkPlace::Topic(address),
        None => place_of(text)?,
    };
    Ok(SinkRequest {
        place,
        options: BTreeMap::new(),
    })
}

fn place_of(text: &str) -> Result<SinkPlace> {
    let (name, dir) = match text.split_once(':') {
        Some((name, dir)) => (name, Some(PathBuf::from(dir))),
        None => (text, None),
    };
    if name == "kafka" {
        bail!("the kafka sink needs brokers; write `--sink kafka://localhost:9092/topic`");
    }
    if text == "noop" {
        return Ok(SinkPlace::Noop);
    }
    let known: Vec<(&str, SinkFormat)> = SinkFormat::ALL
        .iter()
        .copied()
        .filter(|(_, format)| *format != SinkFormat::ForeachBatch)
        .collect();
    let Some((_, format)) = known.iter().find(|(known, _)| *known == name) else {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).chain(["noop", "kafka"]).collect();
        bail!("`{name}` is no sink; {}", suggestion(name, &names))
    };
    match (format, dir) {
        (SinkFormat::Memory, None) => Ok(SinkPlace::Memory),
        (format, Some(dir)) if format.is_files() => Ok(SinkPlace::Files(*format, dir)),
        (format, None) if format.is_files() => bail!("the {name} sink needs a directory; write `--sink {name}:out/`"),
        (_, None) => Ok(SinkPlace::Console),
        (_, Some(_)) => bail!("the {name} sink has no directory; write `--sink {name}`"),
    }
}

fn mode_of(text: &str) -> Result<OutputMode> {
    let modes = [OutputMode::Append, OutputMode::Update, OutputMode::Complete];
    let found = modes.into_iter().find(|mode| mode.name().eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        anyhow!(
            "`{text}` is no output mode; {}",
            suggestion(text, &modes.map(OutputMode::name))
        )
    })
}

fn trigger_of(text: &str) -> Result<Trigger> {
    match text {
        "once" => Ok(Trigger::Once),
        "available-now" => Ok(Trigger::AvailableNow),
        interval => match parse_duration_ms(interval) {
            Some(ms) => Ok(Trigger::ProcessingTime(Duration::from_millis(ms.unsigned_abs()))),
            None => bail!("`{text}` is no trigger; write `once`, `available-now` or an interval such as `10 seconds`"),
        },
    }
}

fn set_schemas(streams: &mut [StreamRequest], tables: &mut [TableRequest], schemas: &[String]) -> Result<()> {
    for schema in schemas {
        let (name, ddl) = split(
            "--schema",
            schema,
            "weather='timestamp TIMESTAMP, max_temperature DOUBLE'",
        )?;
        let parsed = parse_schema(&ddl).map_err(|wrong| {
            anyhow!(
                "schema of `{name}`: {}; {}",
                wrong.message.trim_end_matches('.'),
                wrong.help
            )
        })?;
        match topic_table_of(tables, &name) {
            Some(table) => table.schema = Some(parsed),
            None => stream_of(streams, &name, "--schema")?.schema = Some(parsed),
        }
    }
    Ok(())
}

/// Formats whose files can be read.
const FORMATS: &[&str] = &["csv", "json", "parquet", "text"];

fn set_formats(streams: &mut [StreamRequest], formats: &[String]) -> Result<()> {
    for format in formats {
        let (name, format) = split("--format", format, "weather=csv")?;
        if !FORMATS.contains(&format.as_str()) {
            bail!("`{format}` is no format of files; {}", suggestion(&format, FORMATS));
        }
        stream_of(streams, &name, "--format")?.format = Some(format);
    }
    Ok(())
}

fn set_watermarks(streams: &mut [StreamRequest], views: &mut [View], watermarks: &[String]) -> Result<()> {
    for watermark in watermarks {
        let (name, rest) = split("--watermark", watermark, "weather='timestamp,30 seconds'")?;
        let Some((column, delay)) = rest.split_once(',') else {
            if let Some((name, column)) = name.split_once('.') {
                bail!("`--watermark {watermark}`: no comma; write `--watermark {name}='{column},{rest}'`");
            }
            bail!("`--watermark {watermark}` has no delay; write `--watermark {name}='{rest},30 seconds'`");
        };
        let spec = WatermarkSpec {
            column: column.trim().to_string(),
            delay: delay.trim().to_string(),
        };
        match views.iter_mut().find(|view| view.name.eq_ignore_ascii_case(&name)) {
            Some(view) => view.watermark = Some(spec),
            None => stream_of(streams, &name, "--watermark")?.watermark = Some(spec),
        }
    }
    Ok(())
}

/// An option is never repeated in a message as it was written: its value may be a password.
fn set_options(
    streams: &mut [StreamRequest],
    tables: &mut [TableRequest],
    sink: &mut SinkRequest,
    options: &[String],
) -> Result<()> {
    for option in options {
        let Some((name, value)) = option.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            bail!("an `--option` has no name and value; write `--option weather.header=true`");
        };
        let Some((owner, key)) = name.split_once('.') else {
            bail!(
                "`--option {name}=...` names no stream; write `--option {}.{name}=...`",
                streams[0].name
            );
        };
        let options = if owner == "sink" {
            &mut sink.options
        } else if let Some(table) = topic_table_of(tables, owner) {
            &mut table.options
        } else {
            &mut stream_of(streams, owner, "--option")?.options
        };
        options.insert(key.to_string(), value.to_string());
    }
    Ok(())
}

/// The table of a name, if its rows come from Kafka: others have neither options nor a schema of their own.
fn topic_table_of<'a>(tables: &'a mut [TableRequest], name: &str) -> Option<&'a mut TableRequest> {
    let is_it = |table: &&mut TableRequest| {
        matches!(table.source, TableSource::Topic(_)) && table.name.eq_ignore_ascii_case(name)
    };
    tables.iter_mut().find(is_it)
}

fn stream_of<'a>(streams: &'a mut [StreamRequest], name: &str, option: &str) -> Result<&'a mut StreamRequest> {
    let names: Vec<String> = streams.iter().map(|stream| stream.name.clone()).collect();
    let found = streams.iter_mut().find(|stream| stream.name.eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        anyhow!("`{option} {name}=...` names no stream; {}", suggestion(name, &known))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use skirl_kafka::Address;

    use super::*;

    #[test]
    fn arguments_become_a_request() {
        let request = request(&[
            "SELECT * FROM warm",
            "--stream=weather=data/weather",
            "--stream=lines=socket://localhost:9999",
            "--schema=weather=timestamp TIMESTAMP, max_temperature DOUBLE",
            "--option=weather.header=true",
            "--option=sink.truncate=false",
            "--view=warm=SELECT * FROM weather WHERE max_temperature > 25",
            "--watermark=warm=timestamp, 30 seconds",
            "--trigger=10 seconds",
        ])
        .unwrap();
        assert_eq!(request.streams[0].options["header"], "true");
        assert_eq!(
            request.streams[1].source,
            SourceRequest::Socket {
                host: "localhost".into(),
                port: 9999
            }
        );
        assert_eq!(request.views[0].watermark.as_ref().unwrap().delay, "30 seconds");
        assert_eq!(request.trigger, Some(Trigger::ProcessingTime(Duration::from_secs(10))));
        assert_eq!(request.sink.options["truncate"], "false");
    }

    #[test]
    fn streams_tables_and_the_sink_may_be_topics() {
        let request = request(&[
            "SELECT 1",
            "--stream=s=kafka://h:1/scotsmen",
            "--table=p=kafka://h:1/population",
            "--schema=p=district STRING, pop INT",
            "--sink=kafka://h:1,i:2/out",
            "--option=s.startingOffsets=earliest",
            "--option=p.endingOffsets={\"population\":{\"0\":3}}",
            "--option=sink.deliveryGuarantee=exactly-once",
            "--checkpoint=c",
        ])
        .unwrap();
        let address: Address = "kafka://h:1/scotsmen".parse().unwrap();
        assert_eq!(request.streams[0].source, SourceRequest::Topic(address));
        assert_eq!(request.streams[0].options["startingOffsets"], "earliest");
        assert_eq!(request.tables[0].schema.as_ref().unwrap().fields().len(), 2);
        assert_eq!(request.tables[0].options["endingOffsets"], "{\"population\":{\"0\":3}}");
        assert_eq!(
            request.sink.place,
            SinkPlace::Topic("kafka://h:1,i:2/out".parse().unwrap())
        );
        assert_eq!(request.sink.options["deliveryGuarantee"], "exactly-once");
    }

    #[test]
    fn wrong_arguments_say_what_to_write() {
        let messages: Vec<String> = [
            vec!["--stream=weather"],
            vec!["--stream=w=d", "--schema=x=a INT"],
            vec!["--stream=w=d", "--schema=w=a INTT"],
            vec!["--stream=w=d", "--sink=consol"],
            vec!["--stream=w=d", "--sink=json"],
            vec!["--stream=w=d", "--sink=memory"],
            vec!["--stream=w=d", "--sink=json:out"],
            vec!["--stream=w=d", "--stream=W=e"],
            vec!["--stream=w=d", "--output-mode=apend"],
            vec!["--stream=w=d", "--trigger=soon"],
            vec!["--stream=w=d", "--trigger", "-5 seconds"],
            vec!["--stream=w=d", "--watermark=w=t"],
            vec!["--stream=w=d", "--watermark=w.t=30 seconds"],
            vec!["--stream=w=d", "--option=header=true"],
            vec!["--stream=w=socket://nowhere"],
            vec!["--stream=w=kafka://nowhere/t"],
            vec!["--stream=w=kafak://alice:secret@h:1/t"],
            vec!["--stream=kafka://alice:secret@h:1/t"],
            vec!["--stream=w=d", "--sink=kafak://alice:secret@h:1/t"],
            vec!["--stream=w=d", "--sink=kafka"],
            vec!["--stream=w=d", "--option=kafka.sasl.password:secret"],
            vec!["--stream=w=socket:/localhost:9999"],
        ]
        .into_iter()
        .map(|arguments| {
            let refused = request(&[&["SELECT 1"], arguments.as_slice()].concat()).map(|_| ());
            refused.unwrap_err().to_string()
        })
        .collect();
        insta::assert_snapshot!(messages.join("\n"), @r#"
        `--stream weather` has no name and value; write `--stream weather=data/weather`
        `--schema x=...` names no stream; did you mean `w`?
        schema of `w`: `a INTT` is no schema: Unsupported data type "INTT"; write `name TYPE` for each column, of STRING, INT, BIGINT, DOUBLE, BOOLEAN, TIMESTAMP, DATE, DECIMAL(10, 2) and Spark's other types
        `consol` is no sink; did you mean `console`?
        the json sink needs a directory; write `--sink json:out/`
        a memory sink needs `--name`: its table has it
        a json sink needs `--checkpoint DIR`: it tells which batches the files have, also after a stop
        two streams are called `W`; give each a name of its own
        `apend` is no output mode; did you mean `append`?
        `soon` is no trigger; write `once`, `available-now` or an interval such as `10 seconds`
        `-5 seconds` is no trigger; write `once`, `available-now` or an interval such as `10 seconds`
        `--watermark w=t` has no delay; write `--watermark w='t,30 seconds'`
        `--watermark w.t=30 seconds`: no comma; write `--watermark w='t,30 seconds'`
        `--option header=...` names no stream; write `--option w.header=...`
        `socket://nowhere` is no socket; write `socket://localhost:9999`
        `nowhere` in `kafka://nowhere/t` has no host and port; write `kafka://host:port/topic`
        `kafak://...@h:1/t` is no path and no Kafka address; write `kafka://host:port/topic`
        `--stream kafka://...@h:1/t` has no name and value; write `--stream weather=data/weather`
        `kafak` is no sink; did you mean `kafka`?
        the kafka sink needs brokers; write `--sink kafka://localhost:9092/topic`
        an `--option` has no name and value; write `--option weather.header=true`
        `socket:/localhost:9999` is no socket; write `socket://localhost:9999`
        "#);
    }

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        query: Query,
    }

    fn request(arguments: &[&str]) -> Result<Request> {
        Command::parse_from(std::iter::once(&"query").chain(arguments))
            .query
            .into_request()
    }
}
