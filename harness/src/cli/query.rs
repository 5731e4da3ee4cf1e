//! `skirl query`: a streaming query on directories or sockets, as a notebook would run it.

mod execute;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use arrow::datatypes::SchemaRef;
use clap::Args;
use skirl_engine::sql::WatermarkSpec;

use crate::job::{OutputMode, SinkFormat, Trigger, View};
use crate::scenario::{parse_duration_ms, parse_schema, suggestion};

/// Run a streaming query on directories or sockets and print its batches.
///
/// skirl query "SELECT max_temperature FROM weather" --stream weather=data/weather --option weather.header=true
#[derive(Debug, Args)]
pub struct Query {
    /// Spark's SQL over the streams, tables and views.
    sql: String,

    /// A stream: a directory of files, or a socket of lines.
    #[arg(long, value_name = "NAME=DIR|NAME=socket://HOST:PORT", required = true)]
    stream: Vec<String>,

    /// The columns of a stream; without, they are inferred from its files and shown.
    #[arg(long, value_name = "NAME=DDL")]
    schema: Vec<String>,

    /// The format of a stream's files; without, their extension says it.
    #[arg(long, value_name = "NAME=FORMAT")]
    format: Vec<String>,

    /// A watermark on a stream or a view.
    #[arg(long, value_name = "NAME=COLUMN,DELAY")]
    watermark: Vec<String>,

    /// A static table from a file.
    #[arg(long, value_name = "NAME=FILE")]
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

    /// Where rows go: console, memory, json:DIR, csv:DIR or parquet:DIR.
    #[arg(long, value_name = "SINK", default_value = "console")]
    sink: String,

    /// Where progress and state are kept, so that the query can go on after a stop.
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,

    /// An option of a stream's source, or of the sink (as `sink.KEY`), by Spark's name.
    #[arg(long, value_name = "NAME.KEY=VALUE")]
    option: Vec<String>,

    /// A setting of Spark's that changes results.
    #[arg(long, value_name = "KEY=VALUE")]
    conf: Vec<String>,

    /// The query's name; a memory table has it.
    #[arg(long)]
    name: Option<String>,
}

/// A query as the arguments ask for it, found sound.
#[derive(Debug, Clone)]
pub struct Request {
    /// Spark's SQL.
    pub sql: String,
    /// Streams in the order of the arguments.
    pub streams: Vec<StreamRequest>,
    /// Static tables by name, and their files.
    pub tables: Vec<(String, PathBuf)>,
    /// Views in the order of the arguments.
    pub views: Vec<View>,
    /// What a batch emits.
    pub output_mode: OutputMode,
    /// When a batch runs; `None`: as soon as there are rows.
    pub trigger: Option<Trigger>,
    /// Where rows go.
    pub sink: SinkRequest,
    /// Where progress and state are kept.
    pub checkpoint: Option<PathBuf>,
    /// Spark's settings.
    pub conf: BTreeMap<String, String>,
    /// The query's name.
    pub name: Option<String>,
}

/// A stream as the arguments describe it.
#[derive(Debug, Clone)]
pub struct StreamRequest {
    /// Its name in SQL.
    pub name: String,
    /// Where its rows come from.
    pub source: SourceRequest,
    /// Its columns; `None`: inferred from its files, or `value STRING` of a socket.
    pub schema: Option<SchemaRef>,
    /// The format of its files; `None`: their extension says it.
    pub format: Option<String>,
    /// A watermark on the stream itself.
    pub watermark: Option<WatermarkSpec>,
    /// Options of the source, by Spark's names.
    pub options: BTreeMap<String, String>,
}

/// Where the rows of a stream come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceRequest {
    /// The files of a directory.
    Directory(PathBuf),
    /// The lines a socket sends.
    Socket {
        /// The host to connect to.
        host: String,
        /// The port to connect to.
        port: u16,
    },
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkRequest {
    /// What kind of place.
    pub format: SinkFormat,
    /// The directory of a file sink.
    pub dir: Option<PathBuf>,
    /// Options of the sink, by Spark's names.
    pub options: BTreeMap<String, String>,
}

impl Query {
    /// Runs the query until its trigger is done or it is interrupted.
    pub fn execute(self) -> Result<ExitCode> {
        execute::execute(&self.into_request()?)
    }

    /// What the arguments ask for, all of it checked.
    fn into_request(self) -> Result<Request> {
        let mut streams = Vec::new();
        for stream in &self.stream {
            let (name, place) = split("--stream", stream, "weather=data/weather")?;
            if streams
                .iter()
                .any(|known: &StreamRequest| known.name.eq_ignore_ascii_case(&name))
            {
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
        let mut views = Vec::new();
        for view in &self.view {
            let (name, sql) = split(
                "--view",
                view,
                "warm='SELECT * FROM weather WHERE max_temperature > 25'",
            )?;
            views.push(View {
                name,
                sql,
                watermark: None,
                drop_duplicates: None,
            });
        }
        let mut sink = sink_of(&self.sink)?;
        set_schemas(&mut streams, &self.schema)?;
        set_formats(&mut streams, &self.format)?;
        set_watermarks(&mut streams, &mut views, &self.watermark)?;
        set_options(&mut streams, &mut sink, &self.option)?;
        if sink.format == SinkFormat::Memory && self.name.is_none() {
            bail!("a memory sink needs `--name`: its table has it");
        }
        if sink.format.is_files() && self.checkpoint.is_none() {
            bail!(
                "a {} sink needs `--checkpoint DIR`: it tells which batches the files have, also after a stop",
                sink.format.name()
            );
        }
        let tables = self.table.iter().map(|table| {
            let (name, file) = split("--table", table, "population=population.csv")?;
            Ok((name, PathBuf::from(file)))
        });
        Ok(Request {
            tables: tables.collect::<Result<_>>()?,
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
        _ => bail!("`{option} {argument}` has no name and value; write `{option} {example}`"),
    }
}

fn source_of(place: &str) -> Result<SourceRequest> {
    let Some(address) = place.strip_prefix("socket://") else {
        if place.starts_with("socket:") {
            bail!("`{place}` is no socket; write `socket://localhost:9999`");
        }
        return Ok(SourceRequest::Directory(PathBuf::from(place)));
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
    let (name, dir) = match text.split_once(':') {
        Some((name, dir)) => (name, Some(PathBuf::from(dir))),
        None => (text, None),
    };
    let known: Vec<&str> = SinkFormat::ALL
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| *name != "foreach-batch")
        .collect();
    let format = SinkFormat::ALL
        .iter()
        .find(|(known, _)| *known == name && name != "foreach-batch");
    let Some((_, format)) = format else {
        bail!("`{name}` is no sink; {}", suggestion(name, &known))
    };
    match (format.is_files(), &dir) {
        (true, None) => bail!("the {name} sink needs a directory; write `--sink {name}:out/`"),
        (false, Some(_)) => bail!("the {name} sink has no directory; write `--sink {name}`"),
        _ => Ok(SinkRequest {
            format: *format,
            dir,
            options: BTreeMap::new(),
        }),
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

fn set_schemas(streams: &mut [StreamRequest], schemas: &[String]) -> Result<()> {
    for schema in schemas {
        let (name, ddl) = split(
            "--schema",
            schema,
            "weather='timestamp TIMESTAMP, max_temperature DOUBLE'",
        )?;
        let parsed =
            parse_schema(&ddl).map_err(|wrong| anyhow!("schema of `{name}`: {}; {}", wrong.message, wrong.help))?;
        stream_of(streams, &name, "--schema")?.schema = Some(parsed);
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

fn set_options(streams: &mut [StreamRequest], sink: &mut SinkRequest, options: &[String]) -> Result<()> {
    for option in options {
        let (name, value) = split("--option", option, "weather.header=true")?;
        let Some((owner, key)) = name.split_once('.') else {
            bail!(
                "`--option {option}` names no stream; write `--option {}.{option}`",
                streams[0].name
            );
        };
        if owner == "sink" {
            sink.options.insert(key.to_string(), value);
        } else {
            stream_of(streams, owner, "--option")?
                .options
                .insert(key.to_string(), value);
        }
    }
    Ok(())
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
            vec!["--stream=w=d", "--option=header=true"],
            vec!["--stream=w=socket://nowhere"],
            vec!["--stream=w=socket:/localhost:9999"],
        ]
        .into_iter()
        .map(|arguments| {
            request(&[&["SELECT 1"], arguments.as_slice()].concat())
                .unwrap_err()
                .to_string()
        })
        .collect();
        insta::assert_snapshot!(messages.join("\n"), @r#"
        `--stream weather` has no name and value; write `--stream weather=data/weather`
        `--schema x=...` names no stream; did you mean `w`?
        schema of `w`: `a INTT` is no schema: Unsupported data type "INTT".; write `name TYPE` for each column, of STRING, INT, BIGINT, DOUBLE, BOOLEAN, TIMESTAMP, DATE, DECIMAL(10, 2) and Spark's other types
        `consol` is no sink; did you mean `console`?
        the json sink needs a directory; write `--sink json:out/`
        a memory sink needs `--name`: its table has it
        a json sink needs `--checkpoint DIR`: it tells which batches the files have, also after a stop
        two streams are called `W`; give each a name of its own
        `apend` is no output mode; did you mean `append`?
        `soon` is no trigger; write `once`, `available-now` or an interval such as `10 seconds`
        `-5 seconds` is no trigger; write `once`, `available-now` or an interval such as `10 seconds`
        `--watermark w=t` has no delay; write `--watermark w='t,30 seconds'`
        `--option header=true` names no stream; write `--option w.header=true`
        `socket://nowhere` is no socket; write `socket://localhost:9999`
        `socket:/localhost:9999` is no socket; write `socket://localhost:9999`
        "#);
    }

    #[derive(Debug, Parser)]
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
