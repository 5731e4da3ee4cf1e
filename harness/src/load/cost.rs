//! What the load test itself costs, so that nobody takes its limits for the broker's.
//!
//! Linux says how long each thread ran. The busiest thread, ours or librdkafka's, tells how much more the tool could do:
//! at 25 % of a core there is room for four times the load. On other systems only the run without a broker is known.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

/// The share of a core, or of what the tool does alone, from which on a run is near the tool's ceiling.
pub const NEAR_CEILING: f64 = 0.75;
/// The share of a machine's cores from which on its threads are kept waiting.
pub const MACHINE_BUSY: f64 = 0.9;

/// How long threads and cores have run, at one moment.
#[derive(Debug, Clone, Default)]
pub struct CpuTimes {
    /// By thread id: name and nanoseconds.
    threads: BTreeMap<u64, (String, u64)>,
    /// Of all cores: ticks in use, and all ticks.
    machine: Option<(u64, u64)>,
}

impl CpuTimes {
    /// Those of now; nothing where the system does not tell.
    pub fn now() -> CpuTimes {
        CpuTimes {
            threads: read_threads().unwrap_or_default(),
            machine: fs::read_to_string("/proc/stat")
                .ok()
                .and_then(|text| machine_ticks(&text)),
        }
    }

    /// What ran between an earlier moment and this one, `seconds` later.
    pub fn since(&self, earlier: &CpuTimes, seconds: f64) -> Cost {
        let ran = |(id, (name, now)): (&u64, &(String, u64))| {
            let before = earlier.threads.get(id).map_or(0, |(_, before)| *before);
            let cpu_seconds = now.saturating_sub(before) as f64 / 1e9;
            ThreadCost {
                name: name.clone(),
                cpu_seconds,
            }
        };
        let mut threads: Vec<ThreadCost> = self
            .threads
            .iter()
            .map(ran)
            .filter(|thread| thread.cpu_seconds > 0.0)
            .collect();
        threads.sort_by(|a, b| b.cpu_seconds.total_cmp(&a.cpu_seconds));
        let machine = self
            .machine
            .zip(earlier.machine)
            .filter(|(now, before)| now.1 > before.1);
        Cost {
            seconds,
            threads,
            machine_busy: machine.map(|(now, before)| (now.0 - before.0) as f64 / (now.1 - before.1) as f64),
        }
    }
}

fn read_threads() -> Option<BTreeMap<u64, (String, u64)>> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        let id = path.file_name()?.to_str()?.parse().ok()?;
        let name = fs::read_to_string(path.join("comm")).ok()?.trim().to_string();
        let ran = fs::read_to_string(path.join("schedstat")).ok()?;
        Some((id, (name, ran.split_whitespace().next()?.parse().ok()?)))
    };
    Some(fs::read_dir("/proc/self/task").ok()?.filter_map(read).collect())
}

/// Ticks in use and all ticks, from the first line of `/proc/stat`: user nice system idle iowait irq softirq steal.
fn machine_ticks(text: &str) -> Option<(u64, u64)> {
    let numbers = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let ticks: Vec<u64> = numbers.map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let all: u64 = ticks.iter().sum();
    Some((all - ticks.get(3)? - ticks.get(4)?, all))
}

/// What ran in a while.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// How long the while was.
    pub seconds: f64,
    /// The threads of the process, the busiest first; empty where the system does not tell.
    pub threads: Vec<ThreadCost>,
    /// The share of the machine's cores that was in use, by whomever.
    pub machine_busy: Option<f64>,
}

/// How long a thread ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThreadCost {
    /// Its name; librdkafka's begin with `rdk:`.
    pub name: String,
    /// Seconds on a core.
    pub cpu_seconds: f64,
}

impl Cost {
    /// The busiest thread, and the share of a core it took.
    pub fn busiest(&self) -> Option<(&str, f64)> {
        let busiest = self.threads.first().filter(|_| self.seconds > 0.0)?;
        Some((&busiest.name, busiest.cpu_seconds / self.seconds))
    }

    /// Seconds of all threads together.
    pub fn cpu_seconds(&self) -> f64 {
        self.threads.iter().map(|thread| thread.cpu_seconds).sum()
    }
}

/// What the tool can do, as one run shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// Rows per second that are made and stamped where nothing takes them: without any broker.
    pub alone: f64,
    /// What ran while rows were sent.
    pub cost: Cost,
    /// Rows that were sent meanwhile.
    pub rows: u64,
}

impl Ceiling {
    fn rate(&self) -> f64 {
        if self.cost.seconds > 0.0 {
            self.rows as f64 / self.cost.seconds
        } else {
            0.0
        }
    }

    /// How near the run came to what the tool can do: 1 is there.
    pub fn nearness(&self) -> f64 {
        let alone = if self.alone > 0.0 {
            self.rate() / self.alone
        } else {
            0.0
        };
        self.cost.busiest().map_or(alone, |(_, share)| share.max(alone))
    }

    /// Rows per second at which the busiest thread would take a whole core, if a row cost what it did. It costs less the
    /// more there are, so the ceiling is no lower than that.
    pub fn rows_per_second(&self) -> Option<f64> {
        let nearness = self.nearness();
        (nearness > 0.0 && self.rows > 0).then(|| self.rate() / nearness)
    }

    /// Microseconds of CPU a row, over all threads.
    pub fn cpu_us_per_row(&self) -> Option<f64> {
        let known = self.rows > 0 && !self.cost.threads.is_empty();
        known.then(|| self.cost.cpu_seconds() * 1e6 / self.rows as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ceiling(busiest: f64, rows: u64, alone: f64) -> Ceiling {
        let thread = |name: &str, cpu_seconds| ThreadCost {
            name: name.into(),
            cpu_seconds,
        };
        Ceiling {
            alone,
            rows,
            cost: Cost {
                seconds: 10.0,
                threads: vec![thread("rdk:broker1", busiest), thread("skirl-send", 1.0)],
                machine_busy: None,
            },
        }
    }

    #[test]
    fn the_busiest_thread_tells_the_ceiling() {
        let ceiling = ceiling(2.5, 1_000_000, 4e6);
        assert_eq!((ceiling.nearness(), ceiling.rows_per_second()), (0.25, Some(400_000.0)));
        assert_eq!(ceiling.cpu_us_per_row(), Some(3.5));
    }

    #[test]
    fn what_the_tool_does_alone_is_a_ceiling_too() {
        assert_eq!(ceiling(2.5, 1_000_000, 125_000.0).nearness(), 0.8);
        let unknown = Ceiling {
            alone: 125_000.0,
            rows: 1_000_000,
            cost: Cost {
                seconds: 10.0,
                ..Cost::default()
            },
        };
        assert_eq!((unknown.nearness(), unknown.cpu_us_per_row()), (0.8, None));
    }

    #[test]
    fn a_machine_is_busy_with_all_but_idle_and_waiting_time() {
        assert_eq!(
            machine_ticks("cpu  10 20 30 400 40 5 5 10 7 7\ncpu0 1\n"),
            Some((80, 520))
        );
        assert_eq!(machine_ticks("nothing of the kind"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_that_works_is_found_by_its_name() {
        let before = CpuTimes::now();
        let work = || {
            let sum: u64 = (0..20_000_000u64).map(std::hint::black_box).sum();
            (CpuTimes::now(), sum)
        };
        let thread = std::thread::Builder::new()
            .name("skirl-works".into())
            .spawn(work)
            .unwrap();
        let (after, _) = thread.join().unwrap();
        let cost = after.since(&before, 1.0);
        assert!(
            cost.threads.iter().any(|thread| thread.name == "skirl-works"),
            "{cost:?}"
        );
    }
}
