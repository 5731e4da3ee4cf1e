//! Devices that go offline: they keep their rows, then send them in a burst.

use serde::Serialize;

use super::{Layer, Scene, source_of};
use crate::arrival::Arrival;
use crate::seed::Draws;
use crate::spec::{Micros, Table};

/// Devices are on and off in turn, each at its own phase.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Device {
    /// Devices the rows come from.
    pub devices: u64,
    /// Time online.
    pub on: Micros,
    /// Time offline.
    pub off: Micros,
    /// Rows a second that a device sends of what it kept; all at once if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flush_rate: Option<f64>,
    /// Rows older than this when they could be sent are thrown away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Micros>,
}

impl Device {
    pub(super) fn read(table: &mut Table) -> Device {
        let device = Device {
            devices: table.or("devices", 10),
            on: table.required("on", "\"5m\"", Micros(1)),
            off: table.required("off", "\"1m\"", Micros(1)),
            flush_rate: table.optional("flush_rate"),
            max_age: table.optional("max_age"),
        };
        table.demand((1..=10_000_000).contains(&device.devices), "devices", || {
            format!("`devices` lies between 1 and 10000000, found {}", device.devices)
        });
        table.demand(device.on.0 > 0, "on", || {
            "`on` must be longer than nothing, or no row would arrive".into()
        });
        table.demand(device.off.0 >= 0, "off", || "`off` cannot be negative".into());
        table.demand(
            device.flush_rate.is_none_or(|rate| rate > 0.0 && rate <= 1e9),
            "flush_rate",
            || "`flush_rate` lies above 0 and up to 1e9 rows a second".into(),
        );
        table.demand(device.max_age.is_none_or(|age| age.0 >= 0), "max_age", || {
            "`max_age` cannot be negative".into()
        });
        device
    }

    pub(super) fn layer(&self, scene: &Scene) -> Box<dyn Layer> {
        let mut phases = scene.seed.draws("phase");
        let cycle = (self.on.0 + self.off.0) as u64;
        Box::new(Devices {
            spec: self.clone(),
            start: scene.start,
            device: scene.source_draws("device"),
            phases: (0..self.devices)
                .map(|device| source_of(phases.at(device), cycle) as i64)
                .collect(),
            next_slots: vec![i64::MIN; self.devices as usize],
        })
    }
}

#[derive(Debug)]
struct Devices {
    spec: Device,
    start: i64,
    device: Draws,
    phases: Vec<i64>,
    /// When each device can send its next kept row.
    next_slots: Vec<i64>,
}

impl Devices {
    /// When a row sent at `time` by `device` goes out.
    fn sent(&mut self, device: usize, time: i64) -> i64 {
        let cycle = self.spec.on.0 + self.spec.off.0;
        let in_cycle = (time - self.start + self.phases[device]).rem_euclid(cycle);
        if in_cycle < self.spec.on.0 {
            return time;
        }
        let online_again = time + cycle - in_cycle;
        let Some(rate) = self.spec.flush_rate else {
            return online_again;
        };
        let slot = online_again.max(self.next_slots[device]);
        self.next_slots[device] = slot + (1e6 / rate) as i64;
        slot
    }
}

impl Layer for Devices {
    fn apply(&mut self, arrivals: &mut Vec<Arrival>) {
        arrivals.retain_mut(|arrival| {
            let device = source_of(self.device.at(arrival.row), self.spec.devices) as usize;
            let sent = self.sent(device, arrival.time);
            let age = sent - arrival.time;
            arrival.time = sent;
            self.spec.max_age.is_none_or(|oldest| age <= oldest.0)
        });
    }
}
