//! A flag that asks for an end: whoever works looks at it between two pieces of work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks a run or a training to end in good order; it cannot be taken back.
#[derive(Debug, Default)]
pub struct Stop {
    asked: AtomicBool,
    interrupted: AtomicBool,
}

impl Stop {
    /// A flag that nobody has raised yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Asks for the end.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
    }

    /// Asks for the end because a signal, or the key that stands for it, said so.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
        self.ask();
    }

    /// Whether to end.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Whether a signal, or the key that stands for it, asked for the end.
    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Acquire)
    }
}
