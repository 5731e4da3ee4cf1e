//! Device clocks that are wrong: rows arrive in time, but say another event time.

use serde::Serialize;

use super::{Layer, Scene, source_of};
use crate::arrival::Arrival;
use crate::seed::{Draws, unit};
use crate::spec::{Micros, Node, Read, Share, Table};

/// A share of the devices has a clock with an offset, a drift and steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Clock {
    /// Devices the rows come from.
    pub devices: u64,
    /// Devices whose clock is wrong.
    pub share: Share,
    /// What a wrong clock is ahead from the start; negative is behind.
    pub offset: Micros,
    /// What a wrong clock gains in an hour.
    pub drift: Micros,
    /// Sudden corrections, each adding to the ones before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<ClockStep>,
}

/// From `at` after the start on, the clock is `by` further ahead; written `["10m", "-5s"]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClockStep(pub Micros, pub Micros);

impl Read for ClockStep {
    fn read(node: &Node) -> Result<ClockStep, String> {
        <(Micros, Micros)>::read(node).map(|(at, by)| ClockStep(at, by))
    }
}

impl Clock {
    pub(super) fn read(table: &mut Table) -> Clock {
        let devices = table.or("devices", 100);
        table.demand(devices > 0, "devices", || "`devices` must be at least 1".into());
        Clock {
            devices,
            share: table.or("share", Share::ALL),
            offset: table.or("offset", Micros(0)),
            drift: table.or("drift", Micros(0)),
            steps: table.or("steps", vec![]),
        }
    }

    pub(super) fn layer(&self, scene: &Scene) -> Box<dyn Layer> {
        Box::new(WrongClock {
            spec: self.clone(),
            start: scene.start,
            device: scene.source_draws("device"),
            wrong: scene.seed.draws("wrong"),
        })
    }

    /// What a wrong clock is ahead `since_start` microseconds after the start.
    fn ahead(&self, since_start: i64) -> i64 {
        let drift = (i128::from(self.drift.0) * i128::from(since_start) / 3_600_000_000) as i64;
        let steps: i64 = self
            .steps
            .iter()
            .filter(|step| step.0.0 <= since_start)
            .map(|step| step.1.0)
            .sum();
        self.offset.0 + drift + steps
    }
}

#[derive(Debug)]
struct WrongClock {
    spec: Clock,
    start: i64,
    device: Draws,
    wrong: Draws,
}

impl Layer for WrongClock {
    fn apply(&mut self, arrivals: &mut Vec<Arrival>) {
        for arrival in arrivals {
            let device = source_of(self.device.at(arrival.row), self.spec.devices);
            if self.spec.share == Share::ALL || unit(self.wrong.at(device)) < self.spec.share.0 {
                arrival.stamp += self.spec.ahead(arrival.event_time - self.start);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_ahead_by_offset_drift_and_steps() {
        let clock = Clock {
            devices: 1,
            share: Share::ALL,
            offset: Micros(10),
            drift: Micros(3_600),
            steps: vec![ClockStep(Micros::seconds(60), Micros(-5))],
        };
        for (seconds, ahead) in [(0, 10), (59, 69), (60, 65), (3_600, 3_605)] {
            assert_eq!(clock.ahead(seconds * 1_000_000), ahead, "after {seconds} s");
        }
    }
}
