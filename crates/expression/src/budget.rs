//! How much an evaluation may do: steps against endless work, bytes against data that grows without end.

use crate::error::EvalError;

/// Steps that one rule's evaluation may take by default: some 25 milliseconds.
pub const DEFAULT_STEPS: u64 = 1_000_000;
/// Bytes that one rule's evaluation may build by default, all its results together.
pub const DEFAULT_BYTES: usize = 16 * 1024 * 1024;

/// How many bytes of text cost one step: reading text is fast, but not free.
const BYTES_PER_STEP: usize = 64;

/// What is left to spend. One budget is shared by all expressions of an evaluation.
#[derive(Clone, Debug)]
pub struct Budget {
    steps: u64,
    bytes: usize,
}

// === impl Budget ===

impl Budget {
    /// A budget of so many steps and bytes.
    pub fn new(steps: u64, bytes: usize) -> Self {
        Self { steps, bytes }
    }

    /// The steps that are left.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The bytes that are left.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Spends one step.
    pub fn step(&mut self) -> Result<(), EvalError> {
        self.spend(1)
    }

    /// Spends the steps for reading so many bytes of text.
    pub fn read(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.spend((bytes / BYTES_PER_STEP) as u64)
    }

    /// Spends steps.
    pub fn spend(&mut self, steps: u64) -> Result<(), EvalError> {
        if let Some(left) = self.steps.checked_sub(steps) {
            self.steps = left;
            Ok(())
        } else {
            self.steps = 0;
            Err(EvalError::FuelExhausted)
        }
    }

    /// Spends bytes, before they are allocated where their number is known before.
    pub fn allocate(&mut self, bytes: usize) -> Result<(), EvalError> {
        if let Some(left) = self.bytes.checked_sub(bytes) {
            self.bytes = left;
            Ok(())
        } else {
            self.bytes = 0;
            Err(EvalError::AllocationExhausted)
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(DEFAULT_STEPS, DEFAULT_BYTES)
    }
}
