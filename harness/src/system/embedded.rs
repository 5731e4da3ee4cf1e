//! The embedded engine as a system under test.

use arrow::array::RecordBatch;
use skirl_engine::error::SKIRL_UNSUPPORTED;

use super::{Drained, Promises, Question, Result, System};
use crate::job::Job;
use crate::run::Failure;
use crate::trace::MicroBatch;

/// The engine in this process.
#[derive(Debug, Default)]
pub struct Embedded;

impl System for Embedded {
    fn start(&mut self, _job: &Job) -> Result<()> {
        Err(Failure { condition: Some(SKIRL_UNSUPPORTED.to_string()), message: "the engine is not wired in yet".to_string() })
    }
    fn feed(&mut self, _batch: &MicroBatch) -> Result<()> {
        Ok(())
    }
    fn drain(&mut self) -> Drained {
        Drained::default()
    }
    fn stop(&mut self) -> Result<()> {
        Ok(())
    }
    fn kill(&mut self) -> Result<()> {
        Ok(())
    }
    fn promises(&self) -> Promises {
        Promises { steps_exactly: true, exactly_once: true }
    }
    fn ask(&mut self, _question: &Question) -> Result<RecordBatch> {
        Err(Failure { condition: None, message: "no query fills a memory table".to_string() })
    }
}
