//! Whether the brokers have room for a run's rows: asked before the first is sent, since a full disk stops a broker for
//! everybody.
//!
//! A topic with `retention.bytes` keeps more than that: the segment that is being written stays, what has come since the
//! broker last looked for old segments (`log.retention.check.interval.ms`) stays, and so does what it has deleted until
//! `file.delete.delay.ms` is over.

use std::path::Path;

use skirl_kafka::Admin;

use super::error::{Error, Result};
use super::figure::{shown_bytes, shown_short};

/// What Kafka adds to a row in the log, at most: its header included.
pub const ROW_OVERHEAD: u64 = 80;
/// The share of a disk's free space that is left alone.
const LEFT_FREE: f64 = 0.1;

/// What a run puts on disks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// Rows per second.
    pub rows_per_second: f64,
    /// Seconds of sending, warm-up included.
    pub seconds: f64,
    /// Bytes of a row with its overhead, before any compression.
    pub bytes_per_row: u64,
    /// Partitions of all topics.
    pub partitions: u64,
    /// Brokers that hold each.
    pub replicas: u64,
    /// Brokers there are.
    pub brokers: u64,
    /// `retention.bytes` of a partition; `None` for no bound.
    pub retention_bytes: Option<u64>,
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// How long rows beyond the retention stay, in seconds.
    pub deleted_after: f64,
}

impl Demand {
    /// Bytes that are written on each broker, if the partitions are spread evenly.
    pub fn written(&self) -> f64 {
        self.of_broker(self.rows_per_second * self.seconds * self.bytes_per_row as f64)
    }

    /// Bytes that are kept on each broker at a time, at most.
    pub fn kept(&self) -> f64 {
        let Some(retention) = self.retention_bytes else {
            return self.written();
        };
        let segments = self.partitions as f64 * (retention + self.segment_bytes) as f64;
        let not_yet_deleted = self.rows_per_second * self.deleted_after * self.bytes_per_row as f64;
        self.of_broker(segments + not_yet_deleted).min(self.written())
    }

    fn of_broker(&self, bytes: f64) -> f64 {
        bytes * self.replicas.max(1) as f64 / self.brokers.max(1) as f64
    }

    /// Refuses a run that does not fit into `free` bytes of a broker's disk, called `disk`.
    ///
    /// # Errors
    /// The numbers, and what to change.
    pub fn check(&self, disk: &str, free: f64) -> Result<()> {
        let (kept, usable) = (self.kept(), free * (1.0 - LEFT_FREE));
        if kept <= usable {
            return Ok(());
        }
        let bound = match self.retention_bytes {
            Some(bytes) => format!(
                "`retention.bytes` of {} for each of {} partitions, and what comes in the {:.0} s before it is deleted",
                shown_bytes(bytes as f64),
                self.partitions,
                self.deleted_after
            ),
            None => format!(
                "{} rows/s for {:.0} s, since the topic has no `retention.bytes`",
                shown_short(self.rows_per_second),
                self.seconds
            ),
        };
        Err(Error::Disk(format!(
            "the rows may take {} on {disk}, and {} are free, of which {:.0} % are left alone: {bound}, {} a row, on {} of {} \
             brokers; send fewer or for less time, or lower `--retention`",
            shown_bytes(kept),
            shown_bytes(free),
            LEFT_FREE * 100.0,
            shown_bytes(self.bytes_per_row as f64),
            self.replicas,
            self.brokers
        )))
    }
}

/// A broker's directory of rows that can be seen from here, with the bytes that are free there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDir {
    /// Where it is.
    pub path: String,
    /// Bytes that are free.
    pub free: u64,
}

/// The directories of brokers that run on this machine; empty for brokers elsewhere, or behind a container's walls.
///
/// # Errors
/// No answer.
pub fn visible_log_dirs(admin: &Admin) -> Result<Vec<LogDir>> {
    let mut dirs = Vec::new();
    for broker in admin.brokers()? {
        let settings = admin.broker_settings(broker)?;
        let named = settings
            .get("log.dirs")
            .filter(|dirs| !dirs.is_empty())
            .or(settings.get("log.dir"));
        for path in named.into_iter().flat_map(|dirs| dirs.split(',')).map(str::trim) {
            if is_of_broker(Path::new(path), broker)
                && let Some(free) = free_bytes(Path::new(path))
            {
                dirs.push(LogDir {
                    path: path.to_string(),
                    free,
                });
            }
        }
    }
    Ok(dirs)
}

/// Whether a directory here is that broker's: it says so itself.
fn is_of_broker(path: &Path, broker: i32) -> bool {
    let said = std::fs::read_to_string(path.join("meta.properties")).unwrap_or_default();
    said.lines()
        .any(|line| line.trim() == format!("node.id={broker}") || line.trim() == format!("broker.id={broker}"))
}

#[cfg(unix)]
fn free_bytes(path: &Path) -> Option<u64> {
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    #[allow(clippy::unnecessary_cast, reason = "its width differs between systems")]
    Some(stat.blocks_available() as u64 * stat.fragment_size() as u64)
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMAND: Demand = Demand {
        rows_per_second: 1_600_000.0,
        seconds: 60.0,
        bytes_per_row: 100,
        partitions: 4,
        replicas: 1,
        brokers: 1,
        retention_bytes: None,
        segment_bytes: 16 << 20,
        deleted_after: 300.0,
    };

    #[test]
    fn without_retention_everything_is_kept() {
        assert_eq!((DEMAND.written(), DEMAND.kept()), (9.6e9, 9.6e9));
    }

    #[test]
    fn retention_bounds_what_is_kept_once_the_broker_looks() {
        let bounded = Demand {
            retention_bytes: Some(64 << 20),
            ..DEMAND
        };
        assert_eq!(bounded.kept(), 9.6e9, "a minute is over before the broker looks");
        let soon = Demand {
            deleted_after: 5.0,
            ..bounded
        };
        assert_eq!(soon.kept(), 4.0 * f64::from(80 << 20) + 0.8e9);
    }

    #[test]
    fn replicas_are_spread_over_brokers() {
        let spread = Demand {
            replicas: 2,
            brokers: 3,
            ..DEMAND
        };
        assert_eq!(spread.kept(), 6.4e9);
    }

    #[test]
    fn a_run_that_does_not_fit_is_refused_with_the_numbers() {
        assert!(DEMAND.check("/data", 11e9).is_ok());
        let unbounded = DEMAND.check("/data", 10e9).unwrap_err().to_string();
        let bounded = Demand {
            retention_bytes: Some(1 << 30),
            deleted_after: 5.0,
            ..DEMAND
        };
        let bounded = bounded.check("/data", 3e9).unwrap_err().to_string();
        insta::assert_snapshot!(format!("{unbounded}\n{bounded}"), @r#"
        the rows may take 9.6 GB on /data, and 10.0 GB are free, of which 10 % are left alone: 1.60 M rows/s for 60 s, since the topic has no `retention.bytes`, 100 B a row, on 1 of 1 brokers; send fewer or for less time, or lower `--retention`
        the rows may take 5.2 GB on /data, and 3.0 GB are free, of which 10 % are left alone: `retention.bytes` of 1.1 GB for each of 4 partitions, and what comes in the 5 s before it is deleted, 100 B a row, on 1 of 1 brokers; send fewer or for less time, or lower `--retention`
        "#);
    }

    #[cfg(unix)]
    #[test]
    fn only_a_directory_that_names_the_broker_is_taken_for_its_own() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_of_broker(dir.path(), 1));
        std::fs::write(dir.path().join("meta.properties"), "version=1\nnode.id=1\n").unwrap();
        assert!(is_of_broker(dir.path(), 1) && !is_of_broker(dir.path(), 11));
        assert!(free_bytes(dir.path()).is_some_and(|free| free > 0));
    }
}
