//! Citizens of Portugal who turn into scotsmen: a district, a count, a time.

use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, SchemaRef};

use super::{StreamKind, schema, timestamp_type, timestamps};
use crate::distribution::{Alias, Poisson};
use crate::error::Result;
use crate::seed::{Draws, Seed};

/// Conversions in a row, on average.
const MEAN_CONVERSIONS: f64 = 5.0;

/// The districts of Portugal with their residents (census of 2021).
const CENSUS: &str = include_str!("../../data/portugal_district_population_census2021.csv");

/// Conversions: districts as often as people live there, Poisson counts.
#[derive(Debug)]
pub struct Scotsmen {
    seed: Seed,
}

/// What is the same for every stream of the kind.
#[derive(Debug)]
pub(super) struct Districts {
    names: Vec<&'static str>,
    /// The names, each padded to [`Districts::WIDTH`] bytes.
    padded: Vec<[u8; Districts::WIDTH]>,
    by_population: Alias,
    conversions: Poisson,
}

impl Districts {
    const WIDTH: usize = 32;

    pub(super) fn get() -> &'static Districts {
        static DISTRICTS: OnceLock<Districts> = OnceLock::new();
        DISTRICTS.get_or_init(|| {
            let lines: Vec<(&str, &str)> = CENSUS.lines().skip(1).filter_map(|line| line.split_once(',')).collect();
            let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
            let people: Vec<f64> = lines
                .iter()
                .map(|(_, people)| {
                    people
                        .trim()
                        .parse()
                        .expect("the census file holds a number for each district")
                })
                .collect();
            let pad = |name: &&str| {
                let mut padded = [0; Districts::WIDTH];
                padded[..name.len()].copy_from_slice(name.as_bytes());
                padded
            };
            Districts {
                padded: names.iter().map(pad).collect(),
                names,
                by_population: Alias::new(&people),
                conversions: Poisson::new(MEAN_CONVERSIONS),
            }
        })
    }
}

impl Scotsmen {
    /// Conversions with the stream's own seed.
    pub fn new(seed: Seed) -> Scotsmen {
        Scotsmen { seed }
    }

    /// The districts of these rows.
    pub(super) fn districts(&self, rows: &[u64]) -> ArrayRef {
        const WIDTH: usize = Districts::WIDTH;
        let districts = Districts::get();
        let mut draws = self.seed.draws("district");
        // Every name is copied at full width and the next one written over the padding: no length decides a branch.
        let mut text = vec![0u8; rows.len() * 12 + WIDTH];
        let mut end = 0;
        let mut offsets = Vec::with_capacity(rows.len() + 1);
        offsets.push(0i32);
        for &row in rows {
            let district = districts.by_population.pick(draws.at(row));
            if end + WIDTH > text.len() {
                text.resize(text.len() * 2, 0);
            }
            text[end..end + WIDTH].copy_from_slice(&districts.padded[district]);
            end += districts.names[district].len();
            offsets.push(end as i32);
        }
        text.truncate(end);
        Arc::new(StringArray::new(
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Buffer::from_vec(text),
            None,
        ))
    }

    /// The draws that [`Scotsmen::conversions`] turns into counts.
    pub(super) fn conversion_draws(&self) -> Draws {
        self.seed.draws("new_scotsmen")
    }

    /// The count these bits stand for.
    pub(super) fn conversions(bits: u64) -> i32 {
        Districts::get().conversions.count(bits) as i32
    }
}

impl StreamKind for Scotsmen {
    fn schema(&self) -> SchemaRef {
        static SCHEMA: OnceLock<SchemaRef> = OnceLock::new();
        let columns = [
            ("district", DataType::Utf8),
            ("new_scotsmen", DataType::Int32),
            ("timestamp", timestamp_type()),
        ];
        SCHEMA.get_or_init(|| schema(&columns)).clone()
    }

    fn time_column(&self) -> Option<usize> {
        Some(2)
    }

    fn rows(&self, rows: &[u64], event_times: &[i64]) -> Result<RecordBatch> {
        let poisson = &Districts::get().conversions;
        let mut draws = self.conversion_draws();
        let counts: Vec<i32> = rows.iter().map(|&row| poisson.count(draws.at(row)) as i32).collect();
        let columns = vec![
            self.districts(rows),
            Arc::new(Int32Array::from(counts)),
            timestamps(event_times),
        ];
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int32Type;

    use super::*;

    fn batch(count: u64) -> RecordBatch {
        let rows: Vec<u64> = (0..count).collect();
        Scotsmen::new(Seed::new(1)).rows(&rows, &vec![0; rows.len()]).unwrap()
    }

    #[test]
    fn districts_come_as_often_as_people_live_there() {
        let batch = batch(100_000);
        let districts = batch.column(0).as_string::<i32>();
        let lisbon = districts.iter().filter(|name| *name == Some("Lisboa")).count() as f64 / 1e5;
        assert!((lisbon - 2_275_385.0 / 10_343_066.0).abs() < 0.01, "{lisbon}");
        assert!(districts.iter().any(|name| name == Some("Viana do Castelo")));
    }

    #[test]
    fn conversions_have_the_mean_of_their_poisson_distribution() {
        let batch = batch(100_000);
        let sum: i64 = batch
            .column(1)
            .as_primitive::<Int32Type>()
            .values()
            .iter()
            .map(|count| i64::from(*count))
            .sum();
        assert!((sum as f64 / 1e5 - MEAN_CONVERSIONS).abs() < 0.05, "{sum}");
    }
}
