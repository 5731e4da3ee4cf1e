//! Loss: rows that never arrive.

use serde::Serialize;

use super::{Layer, Scene};
use crate::arrival::Arrival;
use crate::seed::{Draws, unit};
use crate::spec::{Share, Table};

/// A share of the arrivals is lost; of a row and its duplicate each by itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Loss {
    /// Lost arrivals.
    pub share: Share,
}

impl Loss {
    pub(super) fn read(table: &mut Table) -> Loss {
        Loss {
            share: table.or("share", Share(0.01)),
        }
    }

    pub(super) fn layer(&self, scene: &Scene) -> Box<dyn Layer> {
        Box::new(Lossy {
            share: self.share.0,
            draws: scene.seed.draws("share"),
        })
    }
}

#[derive(Debug)]
struct Lossy {
    share: f64,
    draws: Draws,
}

impl Layer for Lossy {
    fn apply(&mut self, arrivals: &mut Vec<Arrival>) {
        arrivals.retain(|arrival| unit(self.draws.turn_at(arrival.row, arrival.copy)) >= self.share);
    }
}
