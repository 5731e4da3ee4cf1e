//! Kafka's programs: the server, and the tool that prepares the directory it keeps its data in.
//!
//! Java is given a file of arguments: no password stands in the list of processes, and no class path either.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::cache::Cache;
use super::classes::{self, Classes};
use super::error::{Error, Result};
use super::jars;
use super::java::Java;
use super::layout::{Layout, Seat, write_private};
use super::leash::Leashed;

/// What a node says goes here.
pub(super) const LOG: &str = "log.txt";
/// Arguments with passwords, which are gone once they are read.
const FORMAT_ARGUMENTS: &str = "format.args";
/// How much of it an error shows.
const LINES_SHOWN: usize = 20;
/// Has Java compile once and lightly, which halves the processor time of a start.
const QUICK: &str = "-XX:TieredStopAtLevel=1";

/// Kafka and the Java that runs it.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    pub java: Java,
    pub jars: Vec<PathBuf>,
    pub classes: Classes,
}

impl Programs {
    /// Finds Java, and Kafka in the cache or at Maven Central; `say` hears of what takes time, once.
    pub fn find(cache: &Cache, say: &mut dyn FnMut(&str)) -> Result<Self> {
        let mut programs = Programs {
            java: Java::find()?,
            jars: jars::fetch(cache, say)?,
            classes: Classes::Loaded,
        };
        programs.classes = classes::find(cache, &programs, say)?;
        Ok(programs)
    }

    /// Prepares the data directories of all nodes.
    pub fn format(&self, layout: &Layout) -> Result<()> {
        let tools = layout
            .seats
            .iter()
            .map(|seat| self.start_format(seat, layout))
            .collect::<Result<Vec<_>>>()?;
        let mut outcome = Ok(());
        for (seat, tool) in layout.seats.iter().zip(tools) {
            let output = tool
                .wait_with_output()
                .map_err(Error::io("wait for the storage tool"))?;
            let arguments = seat.dir.join(FORMAT_ARGUMENTS);
            fs::remove_file(&arguments).map_err(Error::path("remove", &arguments))?;
            outcome = outcome.and(check_format(seat, layout, &output));
        }
        outcome
    }

    fn start_format(&self, seat: &Seat, layout: &Layout) -> Result<Child> {
        let mut arguments = self.arguments(&[QUICK], "kafka.tools.StorageTool");
        let controllers: Vec<String> = layout
            .seats
            .iter()
            .map(|seat| format!("{}@{}:{}", seat.id, seat.controller.address(), seat.directory_id))
            .collect();
        let controllers = controllers.join(",");
        let command = [
            "format",
            "-t",
            &layout.cluster_id,
            "-c",
            "server.properties",
            "--initial-controllers",
            &controllers,
        ];
        arguments.extend(command.map(str::to_owned));
        for user in &layout.options.users {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                arguments.push("--add-scram".to_owned());
                arguments.push(format!("{mechanism}=[name={},password={}]", user.name, user.password));
            }
        }
        write_private(&seat.dir.join(FORMAT_ARGUMENTS), &argument_file(&arguments))?;
        let mut tool = Command::new(&self.java.program);
        tool.arg(format!("@{FORMAT_ARGUMENTS}"))
            .current_dir(&seat.dir)
            .stdin(Stdio::null());
        // It prints salts and keys: what it says is kept from every log.
        tool.stdout(Stdio::piped()).stderr(Stdio::piped());
        tool.spawn().map_err(Error::path("run", &self.java.program))
    }

    /// Starts the server of the node in `seat`.
    pub fn serve(&self, seat: &Seat, layout: &Layout) -> Result<Leashed> {
        let heap = if layout.seats.len() == 1 {
            "-Xmx512m"
        } else {
            "-Xmx384m"
        };
        let mut options = vec![
            "-Xms64m",
            heap,
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",
        ];
        if !layout.options.throughput {
            options.push(QUICK);
        }
        let mut arguments = self.arguments(&options, "kafka.Kafka");
        arguments.push("server.properties".to_owned());
        write_private(&seat.dir.join("kafka.args"), &argument_file(&arguments))?;
        Leashed::spawn(&self.java.program, &["@kafka.args"], &seat.dir, &seat.dir.join(LOG))
            .map_err(Error::path("run", &self.java.program))
    }

    /// Java's arguments up to the program's own.
    fn arguments(&self, options: &[&str], main: &str) -> Vec<String> {
        let jars: Vec<_> = self.jars.iter().map(|jar| jar.to_string_lossy()).collect();
        let log = "-Dorg.slf4j.simpleLogger";
        let mut arguments: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        arguments.extend(self.classes.option());
        arguments.extend([
            format!("{log}.defaultLogLevel=warn"),
            format!("{log}.showDateTime=true"),
            format!("{log}.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS"),
            "-cp".to_owned(),
            jars.join(":"),
            main.to_owned(),
        ]);
        arguments
    }
}

/// An error, if the storage tool did not do it, with what it said less what must not be told.
fn check_format(seat: &Seat, layout: &Layout, output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let said = [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat();
    let passwords: Vec<&str> = layout.options.users.iter().map(|user| user.password.as_str()).collect();
    let is_secret = |line: &&str| line.contains("salt") || passwords.iter().any(|password| line.contains(password));
    let lines: Vec<&str> = said.lines().filter(|line| !is_secret(line)).collect();
    Err(Error::Node {
        node: seat.id,
        what: format!("could not be formatted ({})", output.status),
        log: last_lines(&lines),
    })
}

/// The last lines of the log at `path`; nothing if there is none.
pub(super) fn tail(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    last_lines(&text.lines().collect::<Vec<_>>())
}

fn last_lines(lines: &[&str]) -> String {
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

/// Arguments as Java reads them from a file: quoted, one a line.
fn argument_file(arguments: &[String]) -> String {
    let quoted = |argument: &String| format!("\"{}\"\n", argument.replace('\\', "\\\\").replace('"', "\\\""));
    arguments.iter().map(quoted).collect()
}
