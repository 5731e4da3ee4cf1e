//! Weather: temperatures and rain with seasons and a memory of days.
//!
//! The memory is a weighted sum over the days before, each with its own draw: warm days follow warm days and rain comes
//! in spells, and yet any row can be made without the rows before it. Weather belongs to the day, so streams of any pace
//! agree about it.

use std::sync::{Arc, OnceLock};

use arrow::array::{Float64Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};

use super::{StreamKind, schema, timestamp_type, timestamps};
use crate::distribution::normal_quantile;
use crate::error::Result;
use crate::seed::{Draws, Seed, unit};

/// What of a day's anomaly is left on the next day.
const MEMORY: f64 = 0.75;
/// Days remembered; after 24 days a thousandth is left.
const DAYS_REMEMBERED: u64 = 24;
const DAY: i64 = 86_400_000_000;
/// Days are numbered from here for their draws, so that days before 1970 have numbers too.
const FIRST_DAY: i64 = -10_000_000;

/// Weather as in the middle of Portugal.
#[derive(Debug)]
pub struct Weather {
    seed: Seed,
}

impl Weather {
    /// Weather with the stream's own seed.
    pub fn new(seed: Seed) -> Weather {
        Weather { seed }
    }
}

/// One day's weather; temperatures in degrees Celsius, rain in millimetres.
#[derive(Debug, Clone, Copy)]
struct Day {
    number: i64,
    mean: f64,
    half_range: f64,
    rain: f64,
}

/// The draws behind the days.
struct Sky {
    warmth: Draws,
    wetness: Draws,
}

impl Sky {
    fn day(&mut self, number: i64) -> Day {
        // The year's wave peaks in late July (day 205).
        let season = libm::cos((number as f64 - 205.0) / 365.2425 * core::f64::consts::TAU);
        let warmth = remembered(&mut self.warmth, number);
        let wetness = remembered(&mut self.wetness, number);
        // A wet day in three in winter, one in twenty in summer.
        let excess = wetness - (1.0 + 0.6 * season);
        let rain = if excess > 0.0 { 0.5 + 9.0 * excess } else { 0.0 };
        let clouds = (wetness * 0.25).clamp(-0.5, 0.5);
        Day {
            number,
            mean: 15.5 + 6.5 * season + 2.5 * warmth,
            half_range: (4.5 + 1.5 * season) * (1.0 - clouds),
            rain,
        }
    }
}

/// A standard normal anomaly that remembers the days before.
fn remembered(draws: &mut Draws, day: i64) -> f64 {
    let scale = libm::sqrt(1.0 - MEMORY * MEMORY);
    let last = (day - FIRST_DAY) as u64;
    let mut weight = scale;
    let mut sum = 0.0;
    for back in 0..DAYS_REMEMBERED {
        sum += weight * normal_quantile(unit(draws.at(last - back)));
        weight *= MEMORY;
    }
    sum
}

/// Tenths, as instruments report them.
fn tenths(value: f64) -> f64 {
    libm::round(value * 10.0) / 10.0
}

impl StreamKind for Weather {
    fn schema(&self) -> SchemaRef {
        static SCHEMA: OnceLock<SchemaRef> = OnceLock::new();
        let columns = [
            ("timestamp", timestamp_type()),
            ("min_temperature", DataType::Float64),
            ("max_temperature", DataType::Float64),
            ("precipitation", DataType::Float64),
        ];
        SCHEMA.get_or_init(|| schema(&columns)).clone()
    }

    fn time_column(&self) -> Option<usize> {
        Some(0)
    }

    fn rows(&self, rows: &[u64], event_times: &[i64]) -> Result<RecordBatch> {
        let mut sky = Sky {
            warmth: self.seed.draws("warmth"),
            wetness: self.seed.draws("wetness"),
        };
        let mut station = self.seed.draws("station");
        let mut day: Option<Day> = None;
        let (mut coldest, mut warmest, mut rain) = (vec![], vec![], vec![]);
        for (&row, &time) in rows.iter().zip(event_times) {
            let number = time.div_euclid(DAY);
            let today = match day {
                Some(known) if known.number == number => known,
                _ => *day.insert(sky.day(number)),
            };
            // Stations of one day differ a little.
            let bits = station.at(row);
            let part = |shift: u32| f64::from((bits >> shift) as u16) / 65_536.0;
            let middle = today.mean + 0.6 * (part(0) - 0.5);
            let half_range = today.half_range * (0.9 + 0.2 * part(16));
            coldest.push(tenths(middle - half_range));
            warmest.push(tenths(middle + half_range));
            rain.push(tenths(today.rain * (0.7 + 0.6 * part(32))));
        }
        let columns: Vec<arrow::array::ArrayRef> = vec![
            timestamps(event_times),
            Arc::new(Float64Array::from(coldest)),
            Arc::new(Float64Array::from(warmest)),
            Arc::new(Float64Array::from(rain)),
        ];
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Float64Type;
    use proptest::prelude::*;

    use super::*;

    fn days(first: i64, count: i64) -> RecordBatch {
        let rows: Vec<u64> = (0..count as u64).collect();
        let times: Vec<i64> = (first..first + count).map(|day| day * DAY).collect();
        Weather::new(Seed::new(1)).rows(&rows, &times).unwrap()
    }

    fn column(batch: &RecordBatch, index: usize) -> &[f64] {
        batch.column(index).as_primitive::<Float64Type>().values()
    }

    #[test]
    fn summers_are_warmer_and_dryer_than_winters() {
        // 19,723 is 2024-01-01.
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (winter, summer) = (days(19_723, 60), days(19_723 + 182, 60));
        assert!(mean(column(&summer, 2)) > mean(column(&winter, 2)) + 8.0);
        assert!(mean(column(&summer, 3)) < mean(column(&winter, 3)));
    }

    #[test]
    fn days_remember_the_day_before() {
        let batch = days(0, 2_000);
        let lows = column(&batch, 1);
        let steps: f64 = lows.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum::<f64>() / lows.len() as f64;
        let mean = lows.iter().sum::<f64>() / lows.len() as f64;
        let variance = lows.iter().map(|low| (low - mean).powi(2)).sum::<f64>() / lows.len() as f64;
        assert!(steps < 0.7 * variance, "steps {steps}, variance {variance}");
    }

    proptest! {
        /// The coldest is never above the warmest, and rain never negative.
        #[test]
        fn lows_stay_below_highs(first in -100_000i64..100_000) {
            let batch = days(first, 50);
            for row in 0..50 {
                prop_assert!(column(&batch, 1)[row] <= column(&batch, 2)[row]);
                prop_assert!(column(&batch, 3)[row] >= 0.0);
            }
        }
    }
}
