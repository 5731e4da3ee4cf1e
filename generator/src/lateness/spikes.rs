//! Spikes: now and then everything pauses, as when a collector collects its garbage.

use serde::Serialize;

use super::{Layer, Scene};
use crate::arrival::Arrival;
use crate::seed::Draws;
use crate::spec::{Micros, Share, Table};

/// With a small probability a row meets a pause, and every row behind it waits for the pause to end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spikes {
    /// Rows that begin a pause.
    pub share: Share,
    /// Length of a pause.
    pub pause: Micros,
}

impl Spikes {
    pub(super) fn read(table: &mut Table) -> Spikes {
        let pause = table.required("pause", "\"5s\"", Micros(0));
        table.demand(pause.0 >= 0, "pause", || "`pause` cannot be negative".into());
        Spikes {
            share: table.or("share", Share(0.001)),
            pause,
        }
    }

    pub(super) fn layer(&self, scene: &Scene) -> Box<dyn Layer> {
        Box::new(Pauses {
            spec: self.clone(),
            draws: scene.seed.draws("share"),
            over: i64::MIN,
        })
    }
}

#[derive(Debug)]
struct Pauses {
    spec: Spikes,
    draws: Draws,
    /// When the last pause is over.
    over: i64,
}

impl Layer for Pauses {
    fn apply(&mut self, arrivals: &mut Vec<Arrival>) {
        for arrival in arrivals {
            if self.draws.unit_at(arrival.row) < self.spec.share.0 {
                self.over = self.over.max(arrival.event_time + self.spec.pause.0);
            }
            // Only rows sent during the pause wait; a delayed one comes when it comes.
            arrival.time = arrival.time.max(if arrival.event_time <= self.over {
                self.over
            } else {
                i64::MIN
            });
        }
    }
}
