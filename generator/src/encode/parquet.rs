//! Parquet as Spark reads it: timestamps in microseconds, adjusted to UTC.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::error::Result;

/// Writes rows of one schema as Parquet files.
#[derive(Debug)]
pub struct ParquetEncoder {
    schema: SchemaRef,
    properties: WriterProperties,
}

impl ParquetEncoder {
    /// An encoder for rows of this schema.
    pub fn new(schema: &SchemaRef) -> ParquetEncoder {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            // Named here because the default names the library's version, and bytes should not change with it.
            .set_created_by("skirl".to_owned());
        for field in schema.fields().iter().filter(|field| field.data_type().is_temporal()) {
            // Event times hardly repeat: a dictionary would be built only to be given up.
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(field.name().as_str()), false);
        }
        ParquetEncoder {
            schema: schema.clone(),
            properties: properties.build(),
        }
    }

    /// Appends a whole Parquet file.
    ///
    /// # Errors
    /// When the library cannot encode a column.
    pub fn encode(&self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let mut writer = ArrowWriter::try_new(out, self.schema.clone(), Some(self.properties.clone()))?;
        if rows.num_rows() > 0 {
            writer.write(rows)?;
        }
        writer.close()?;
        Ok(())
    }
}
