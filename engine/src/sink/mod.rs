//! Where the rows of a batch go.
pub mod show;
