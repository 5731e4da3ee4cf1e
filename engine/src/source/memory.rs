//! Rows a program hands over.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde_json::json;

use super::{Offset, ReadLimit, Source};
use crate::{Error, Result};

/// Rows in memory that can be added to while queries read them. Clones share the rows.
///
/// What one call of [`MemoryStream::add`] adds is a unit, as a file is to a directory.
#[derive(Debug, Clone)]
pub struct MemoryStream {
    schema: SchemaRef,
    units: Arc<Mutex<Vec<RecordBatch>>>,
}

impl MemoryStream {
    /// A stream without rows.
    pub fn new(schema: SchemaRef) -> Self {
        MemoryStream {
            schema,
            units: Arc::default(),
        }
    }

    /// Adds a unit; one without rows is new all the same, and makes an empty micro-batch.
    ///
    /// # Errors
    /// Columns that are not the stream's.
    pub fn add(&self, rows: RecordBatch) -> Result<()> {
        let types = |schema: &SchemaRef| -> Vec<String> {
            schema
                .fields()
                .iter()
                .map(|field| format!("{} {}", field.name(), field.data_type()))
                .collect()
        };
        let (found, wanted) = (types(rows.schema_ref()), types(&self.schema));
        if found != wanted {
            return Err(Error::Invalid(format!(
                "the rows have columns {}; the stream has {}",
                found.join(", "),
                wanted.join(", ")
            )));
        }
        self.units().push(rows.with_schema(Arc::clone(&self.schema))?);
        Ok(())
    }

    /// A source over the rows; each query needs its own.
    pub fn source(&self, max_units_per_trigger: Option<u64>) -> MemorySource {
        MemorySource {
            stream: self.clone(),
            max_units_per_trigger,
            available: None,
        }
    }

    fn units(&self) -> std::sync::MutexGuard<'_, Vec<RecordBatch>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a [`MemoryStream`]. An offset is the number of units read.
#[derive(Debug)]
pub struct MemorySource {
    stream: MemoryStream,
    max_units_per_trigger: Option<u64>,
    /// The units that were there when AvailableNow began.
    available: Option<u64>,
}

impl Source for MemorySource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.stream.schema)
    }

    fn latest_offset(&mut self, start: Option<&Offset>, limit: ReadLimit) -> Result<Option<Offset>> {
        let start = count_of(start)?;
        let mut end = self.stream.units().len() as u64;
        if let Some(available) = self.available {
            end = end.min(available);
        }
        if let (ReadLimit::Configured, Some(most)) = (limit, self.max_units_per_trigger) {
            end = end.min(start + most);
        }
        Ok((end > 0).then(|| Offset(json!(end.max(start)))))
    }

    fn read(&mut self, start: Option<&Offset>, end: &Offset) -> Result<Vec<RecordBatch>> {
        let (start, end) = (count_of(start)? as usize, count_of(Some(end))? as usize);
        let units = self.stream.units();
        let rows = units.get(start..end).ok_or_else(|| {
            Error::Invalid(format!(
                "units {start} to {end} of a memory stream are wanted; it has {}",
                units.len()
            ))
        })?;
        Ok(rows.to_vec())
    }

    fn prepare_available_now(&mut self) -> Result<()> {
        self.available = Some(self.stream.units().len() as u64);
        Ok(())
    }

    fn describe(&self) -> String {
        "MemoryStream".to_owned()
    }
}

/// The count an offset holds; 0 before the first.
pub(super) fn count_of(offset: Option<&Offset>) -> Result<u64> {
    match offset {
        None => Ok(0),
        Some(Offset(value)) => value.as_u64().ok_or_else(|| {
            Error::Invalid(format!(
                "an offset is a count here, found `{value}`; the checkpoint is of another source"
            ))
        }),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array};

    use super::*;

    fn rows(values: &[i32]) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(values.to_vec())) as ArrayRef)]).unwrap()
    }

    #[test]
    fn units_are_read_under_the_limit_and_again_for_the_same_offsets() {
        let stream = MemoryStream::new(rows(&[]).schema());
        let mut source = stream.source(Some(2));
        assert_eq!(source.latest_offset(None, ReadLimit::Configured).unwrap(), None);
        for unit in [&[1][..], &[], &[2, 3]] {
            stream.add(rows(unit)).unwrap();
        }
        let first = source.latest_offset(None, ReadLimit::Configured).unwrap().unwrap();
        assert_eq!(source.read(None, &first).unwrap(), [rows(&[1]), rows(&[])]);
        source.prepare_available_now().unwrap();
        stream.add(rows(&[4])).unwrap();
        let second = source
            .latest_offset(Some(&first), ReadLimit::Unlimited)
            .unwrap()
            .unwrap();
        assert_eq!(source.read(Some(&first), &second).unwrap(), [rows(&[2, 3])]);
        assert_eq!(
            source.latest_offset(Some(&second), ReadLimit::Configured).unwrap(),
            Some(second)
        );
        assert_eq!(source.read(None, &first).unwrap().len(), 2);
    }

    #[test]
    fn other_columns_are_refused() {
        let stream = MemoryStream::new(rows(&[]).schema());
        let other = RecordBatch::try_from_iter([("m", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]).unwrap();
        insta::assert_snapshot!(stream.add(other).unwrap_err(), @"the rows have columns m Int32; the stream has n Int32");
    }
}
