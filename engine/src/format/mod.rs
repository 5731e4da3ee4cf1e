//! Rows as text and bytes, read and written as Spark does.
