//! Boundary rows: exactly on, one millisecond before and one after window ends and watermarks.
//!
//! Most wrong answers of stream processors sit on exact borders, where random lateness hardly ever lands. The watermark is
//! the one a query would have whose micro-batches are the stream's own: the largest event time of the earlier
//! micro-batches, in milliseconds, less the delay.

use serde::Serialize;

use super::{Layer, Scene};
use crate::arrival::{Arrival, NULL_TIME};
use crate::spec::{Micros, Table};

/// Which borders rows are put on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Boundary {
    /// Length of the windows; their ends are multiples of `slide` (of `window`, if not given) after `offset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Micros>,
    /// From the start of a window to the start of the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slide: Option<Micros>,
    /// Start of a window since 1970.
    pub offset: Micros,
    /// Delay of the watermark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Micros>,
}

/// Where the rows of a border are put, relative to it.
const AROUND: [i64; 3] = [-1_000, 0, 1_000];

impl Boundary {
    pub(super) fn read(table: &mut Table) -> Boundary {
        let boundary = Boundary {
            window: table.optional("window"),
            slide: table.optional("slide"),
            offset: table.or("offset", Micros(0)),
            delay: table.optional("delay"),
        };
        table.demand(boundary.window.is_some() || boundary.delay.is_some(), "window", || {
            "the layer `boundary` needs `window = \"3m\"` (rows on window ends), \
             `delay = \"30s\"` (rows on watermarks), or both"
                .into()
        });
        for (key, span) in [("window", boundary.window), ("slide", boundary.slide)] {
            table.demand(span.is_none_or(|span| span.0 > 0), key, || {
                format!("`{key}` must be longer than nothing")
            });
        }
        table.demand(boundary.delay.is_none_or(|delay| delay.0 >= 0), "delay", || {
            "`delay` cannot be negative".into()
        });
        table.demand(boundary.slide.is_none() || boundary.window.is_some(), "slide", || {
            "`slide` without `window` says nothing; give `window` too".into()
        });
        boundary
    }

    pub(super) fn layer(&self, _scene: &Scene) -> Box<dyn Layer> {
        let ends = self.window.map(|window| {
            let step = self.slide.unwrap_or(window).0;
            WindowEnds {
                step,
                phase: (self.offset.0 + window.0).rem_euclid(step),
                last_end: None,
                left: 0,
            }
        });
        let watermark = self.delay.map(|delay| Watermark {
            delay: delay.0,
            seen: None,
            evict: None,
            late: None,
            turn: 0,
        });
        Box::new(Borders { ends, watermark })
    }
}

#[derive(Debug)]
struct Borders {
    ends: Option<WindowEnds>,
    watermark: Option<Watermark>,
}

impl Layer for Borders {
    fn apply(&mut self, arrivals: &mut Vec<Arrival>) {
        if let Some(ends) = &mut self.ends {
            arrivals.iter_mut().for_each(|arrival| ends.place(arrival));
        }
    }

    fn at_cut(&mut self, micro_batch: &mut [Arrival]) {
        if let Some(watermark) = &mut self.watermark {
            watermark.place(micro_batch);
        }
    }
}

/// The three rows that happen first after a window's end are put around it.
#[derive(Debug)]
struct WindowEnds {
    step: i64,
    phase: i64,
    last_end: Option<i64>,
    /// Rows still to be put around the last end.
    left: usize,
}

impl WindowEnds {
    fn place(&mut self, arrival: &mut Arrival) {
        let end = arrival.event_time - (arrival.event_time - self.phase).rem_euclid(self.step);
        match self.last_end {
            None => self.last_end = Some(end),
            Some(last) if end > last => {
                self.last_end = Some(end);
                self.left = AROUND.len();
            }
            Some(_) => {}
        }
        if self.left > 0 {
            arrival.stamp = self.last_end.unwrap_or(end) + AROUND[AROUND.len() - self.left];
            self.left -= 1;
        }
    }
}

/// Rows of each micro-batch are put around the watermark that judges late rows there and the one that evicts.
#[derive(Debug)]
struct Watermark {
    delay: i64,
    /// The largest event time of the earlier micro-batches.
    seen: Option<i64>,
    /// The watermark of this micro-batch, and of the one before it, which judges lateness.
    evict: Option<i64>,
    late: Option<i64>,
    /// The border whose turn it is, so that small micro-batches meet all of them one after another.
    turn: usize,
}

impl Watermark {
    fn place(&mut self, micro_batch: &mut [Arrival]) {
        self.late = self.evict;
        self.evict = self.seen.map(|seen| seen.div_euclid(1_000) * 1_000 - self.delay);
        let borders: Vec<i64> = [self.late, self.evict]
            .into_iter()
            .flatten()
            .flat_map(|border| AROUND.map(|away| border + away))
            .collect();
        // At most half of the rows, or event time would stand still.
        let count = borders.len().min(micro_batch.len() / 2);
        let timed = micro_batch
            .iter_mut()
            .filter(|arrival| arrival.stamp != NULL_TIME && arrival.copy == 0);
        for arrival in timed.take(count) {
            arrival.stamp = borders[self.turn % borders.len()];
            self.turn += 1;
        }
        let latest = micro_batch.iter().filter_map(Arrival::seen_time).max();
        self.seen = self.seen.max(latest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(row: u64, time: i64) -> Arrival {
        Arrival::of(row, time)
    }

    #[test]
    fn three_rows_stand_around_every_window_end() {
        let mut ends = WindowEnds {
            step: 60_000_000,
            phase: 0,
            last_end: None,
            left: 0,
        };
        let mut rows: Vec<Arrival> = (0..60).map(|n| row(n, n as i64 * 3_500_000)).collect();
        rows.iter_mut().for_each(|arrival| ends.place(arrival));
        for end in [60_000_000, 120_000_000, 180_000_000] {
            for away in AROUND {
                assert!(
                    rows.iter().any(|arrival| arrival.stamp == end + away),
                    "no row at {end} {away:+}"
                );
            }
        }
    }

    #[test]
    fn rows_stand_around_both_watermarks() {
        let mut watermark = Watermark {
            delay: 10_000_000,
            seen: None,
            evict: None,
            late: None,
            turn: 0,
        };
        let mut latest = vec![];
        for batch in 0..3 {
            let mut rows: Vec<Arrival> = (0..20)
                .map(|n| row(n, batch * 20_000_000 + n as i64 * 1_000_000))
                .collect();
            watermark.place(&mut rows);
            latest = rows.iter().map(|arrival| arrival.stamp).collect();
        }
        for border in [19_000_000 - 10_000_000, 39_000_000 - 10_000_000] {
            for away in AROUND {
                assert!(
                    latest.contains(&(border + away)),
                    "no row at {border} {away:+}: {latest:?}"
                );
            }
        }
    }
}
