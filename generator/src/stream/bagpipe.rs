//! Bagpipe sales: each follows a conversion of the same district by some minutes.
//!
//! Sale n follows conversion n of the stream that is followed. It is made from that stream's seed, not from its rows, so
//! the two can be generated apart; give both the same start and pace, and the conversions are really there.

use std::sync::{Arc, OnceLock};

use arrow::array::{Int32Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};

use super::{Scotsmen, StreamKind, schema, timestamp_type, timestamps};
use crate::arrival::Shift;
use crate::distribution::{Poisson, exponential_quantile};
use crate::error::Result;
use crate::seed::Seed;

/// From a conversion to its sale: exponential with this mean in microseconds, cut at [`LAG_MAX`].
const LAG_MEAN: f64 = 90e6;
/// The longest time from a conversion to its sale, in microseconds.
const LAG_MAX: f64 = 300e6;
/// Bagpipes that each new scotsman adds to a sale, on average.
const SALES_PER_CONVERSION: f64 = 0.4;
/// More conversions than this in a row do not happen in practice; the tables of sales end there.
const CONVERSIONS_MAX: usize = 63;

/// Sales that follow the conversions of another stream.
#[derive(Debug)]
pub struct Bagpipe {
    seed: Seed,
    followed: Scotsmen,
}

impl Bagpipe {
    /// Sales with the stream's own seed, after the conversions of `followed`.
    pub fn new(seed: Seed, followed: Scotsmen) -> Bagpipe {
        Bagpipe { seed, followed }
    }
}

/// Further sales for each number of conversions.
fn further_sales() -> &'static [Poisson] {
    static TABLES: OnceLock<Vec<Poisson>> = OnceLock::new();
    let table = |conversions: usize| Poisson::new((conversions as f64 * SALES_PER_CONVERSION).max(0.05));
    TABLES.get_or_init(|| (0..=CONVERSIONS_MAX).map(table).collect())
}

impl StreamKind for Bagpipe {
    fn schema(&self) -> SchemaRef {
        static SCHEMA: OnceLock<SchemaRef> = OnceLock::new();
        let columns = [
            ("district", DataType::Utf8),
            ("bagpipe_sales", DataType::Int32),
            ("timestamp", timestamp_type()),
        ];
        SCHEMA.get_or_init(|| schema(&columns)).clone()
    }

    fn time_column(&self) -> Option<usize> {
        Some(2)
    }

    fn rows(&self, rows: &[u64], event_times: &[i64]) -> Result<RecordBatch> {
        let mut conversions = self.followed.conversion_draws();
        let mut sales = self.seed.draws("bagpipe_sales");
        let tables = further_sales();
        let sold = rows.iter().map(|&row| {
            let converted = Scotsmen::conversions(conversions.at(row)) as usize;
            1 + tables[converted.min(CONVERSIONS_MAX)].count(sales.at(row)) as i32
        });
        let sold: Int32Array = sold.collect::<Vec<i32>>().into();
        let columns = vec![self.followed.districts(rows), Arc::new(sold), timestamps(event_times)];
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }

    fn shift(&self) -> Option<Shift> {
        let mut draws = self.seed.draws("lag");
        let reach = -libm::expm1(-LAG_MAX / LAG_MEAN);
        Some(Box::new(move |arrivals| {
            for arrival in arrivals {
                let lag = (LAG_MEAN * exponential_quantile(draws.unit_at(arrival.row) * reach)) as i64;
                arrival.event_time += lag;
                arrival.stamp += lag;
                arrival.time += lag;
            }
        }))
    }
}
