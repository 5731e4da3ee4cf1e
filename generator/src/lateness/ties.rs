//! Ties: several rows at exactly one event time.

use serde::Serialize;

use super::{Layer, Scene};
use crate::arrival::Arrival;
use crate::seed::Draws;
use crate::spec::{Share, Table};

/// A share of the rows takes the event time of the row before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ties {
    /// Rows that tie with the row before.
    pub share: Share,
}

impl Ties {
    pub(super) fn read(table: &mut Table) -> Ties {
        Ties {
            share: table.or("share", Share(0.1)),
        }
    }

    pub(super) fn layer(&self, scene: &Scene) -> Box<dyn Layer> {
        Box::new(Tying {
            share: self.share.0,
            draws: scene.seed.draws("share"),
            last: None,
        })
    }
}

#[derive(Debug)]
struct Tying {
    share: f64,
    draws: Draws,
    last: Option<i64>,
}

impl Layer for Tying {
    fn apply(&mut self, arrivals: &mut Vec<Arrival>) {
        for arrival in arrivals {
            if let Some(last) = self.last
                && self.draws.unit_at(arrival.row) < self.share
            {
                arrival.stamp = last;
            }
            self.last = Some(arrival.stamp);
        }
    }
}
