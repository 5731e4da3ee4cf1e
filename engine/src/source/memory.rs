//! Rows from memory, for tests and for whoever drives the engine in process.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::{Offset, ReadLimit, Source};
use crate::{Error, Result};

/// Batches added by hand, each a unit as a file of a directory is. Clones share them.
#[derive(Debug, Clone)]
pub struct MemorySource {
    schema: SchemaRef,
    units: Arc<Mutex<Vec<RecordBatch>>>,
    units_per_trigger: Option<usize>,
    available: Option<usize>,
}

impl MemorySource {
    /// A source without rows.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema, units: Arc::default(), units_per_trigger: None, available: None }
    }

    /// At most so many units per micro-batch, at least one.
    pub fn with_units_per_trigger(mut self, units: usize) -> Self {
        self.units_per_trigger = Some(units.max(1));
        self
    }

    /// Adds a unit; an empty one is a new offset without rows.
    ///
    /// # Errors
    /// Rows of another schema.
    pub fn add(&self, rows: RecordBatch) -> Result<()> {
        if rows.schema().fields() != self.schema.fields() {
            return Err(Error::Invalid(format!("rows have columns {}, the source has {}", rows.schema(), self.schema)));
        }
        self.units().push(rows);
        Ok(())
    }

    fn units(&self) -> std::sync::MutexGuard<'_, Vec<RecordBatch>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An offset counts units.
fn position(offset: Option<&Offset>) -> Result<usize> {
    let Some(offset) = offset else { return Ok(0) };
    let units = offset.0.as_u64().and_then(|units| usize::try_from(units).ok());
    units.ok_or_else(|| Error::Invalid(format!("`{}` is no offset of a memory source", offset.0)))
}

impl Source for MemorySource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn latest_offset(&mut self, start: Option<&Offset>, limit: ReadLimit) -> Result<Option<Offset>> {
        let from = position(start)?;
        let there = self.units().len();
        let available = self.available.map_or(there, |units| units.min(there));
        let most = match limit {
            ReadLimit::Configured => self.units_per_trigger.unwrap_or(usize::MAX),
            ReadLimit::Unlimited => usize::MAX,
        };
        let to = available.min(from.saturating_add(most));
        Ok(if to > from { Some(Offset(to.into())) } else { start.cloned() })
    }

    fn read(&mut self, start: Option<&Offset>, end: &Offset) -> Result<Vec<RecordBatch>> {
        let (from, to) = (position(start)?, position(Some(end))?);
        let units = self.units();
        let rows = units.get(from..to).ok_or_else(|| {
            Error::Invalid(format!("units {from} to {to} are wanted, the memory source has {}", units.len()))
        })?;
        Ok(rows.to_vec())
    }

    fn prepare_available_now(&mut self) -> Result<()> {
        let available = self.units().len();
        self.available = Some(available);
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".into()
    }
}
