//! The batch oracle: expected rows of every micro-batch, derived from the trace alone, and a ledger of every input row.
