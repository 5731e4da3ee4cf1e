//! Duplicates: rows that arrive again, as after a retry.

use serde::Serialize;

use super::{Layer, Scene};
use crate::arrival::Arrival;
use crate::seed::Draws;
use crate::spec::{Micros, Share, Table};

/// A share of the rows arrives a second time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Duplicate {
    /// Rows that arrive again.
    pub share: Share,
    /// The longest time between the two; each gap is drawn evenly up to it.
    pub gap: Micros,
}

impl Duplicate {
    pub(super) fn read(table: &mut Table) -> Duplicate {
        let gap = table.or("gap", Micros::seconds(5));
        table.demand(gap.0 >= 0, "gap", || "`gap` cannot be negative".into());
        Duplicate {
            share: table.or("share", Share(0.01)),
            gap,
        }
    }

    pub(super) fn layer(&self, scene: &Scene) -> Box<dyn Layer> {
        Box::new(Repeats {
            spec: self.clone(),
            share: scene.seed.draws("share"),
            gap: scene.seed.draws("gap"),
        })
    }
}

#[derive(Debug)]
struct Repeats {
    spec: Duplicate,
    share: Draws,
    gap: Draws,
}

impl Layer for Repeats {
    fn apply(&mut self, arrivals: &mut Vec<Arrival>) {
        for index in 0..arrivals.len() {
            let first = arrivals[index];
            if crate::seed::unit(self.share.turn_at(first.row, first.copy)) < self.spec.share.0 {
                let gap = crate::seed::unit(self.gap.turn_at(first.row, first.copy)) * self.spec.gap.0 as f64;
                arrivals.push(Arrival {
                    time: first.time + gap as i64,
                    copy: 2 * first.copy + 1,
                    ..first
                });
            }
        }
    }
}
