//! Rows whose event time is NULL.

use serde::Serialize;

use super::{Layer, Scene};
use crate::arrival::{Arrival, NULL_TIME};
use crate::seed::Draws;
use crate::spec::{Share, Table};

/// A share of the rows has no event time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NullTime {
    /// Rows without an event time.
    pub share: Share,
}

impl NullTime {
    pub(super) fn read(table: &mut Table) -> NullTime {
        NullTime {
            share: table.or("share", Share(0.01)),
        }
    }

    pub(super) fn layer(&self, scene: &Scene) -> Box<dyn Layer> {
        Box::new(Forgetful {
            share: self.share.0,
            draws: scene.seed.draws("share"),
        })
    }
}

#[derive(Debug)]
struct Forgetful {
    share: f64,
    draws: Draws,
}

impl Layer for Forgetful {
    fn apply(&mut self, arrivals: &mut Vec<Arrival>) {
        for arrival in arrivals {
            if self.draws.unit_at(arrival.row) < self.share {
                arrival.stamp = NULL_TIME;
            }
        }
    }
}
