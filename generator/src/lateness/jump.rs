//! Time jumps: single rows far ahead of or behind their time, as one broken sensor sends them.

use serde::Serialize;

use super::{Layer, Scene};
use crate::arrival::Arrival;
use crate::seed::Draws;
use crate::spec::{Micros, Share, Table};

/// A share of the rows says an event time that is off by a fixed span.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Jump {
    /// Rows that jump.
    pub share: Share,
    /// How far; negative is into the past.
    pub by: Micros,
}

impl Jump {
    pub(super) fn read(table: &mut Table) -> Jump {
        Jump {
            share: table.or("share", Share(0.001)),
            by: table.required("by", "\"1h\"", Micros(0)),
        }
    }

    pub(super) fn layer(&self, scene: &Scene) -> Box<dyn Layer> {
        Box::new(Jumping {
            spec: self.clone(),
            draws: scene.seed.draws("share"),
        })
    }
}

#[derive(Debug)]
struct Jumping {
    spec: Jump,
    draws: Draws,
}

impl Layer for Jumping {
    fn apply(&mut self, arrivals: &mut Vec<Arrival>) {
        for arrival in arrivals {
            if self.draws.unit_at(arrival.row) < self.spec.share.0 {
                arrival.stamp += self.spec.by.0;
            }
        }
    }
}
