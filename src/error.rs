//! The one error type of the library: what was wrong, where, and what was expected there.

use std::path::{Path, PathBuf};

/// Result of every fallible function in the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong. A message names the file, the key and the expectation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// A file was read and its content is not what the format demands.
    #[error("{}: {why}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Key, found value and expectation.
        why: String,
    },
    /// A model's weights or hyper-parameters do not fit together.
    #[error("model: {0}")]
    Model(String),
    /// A value given by the caller or a configuration is out of its range.
    #[error("{0}")]
    Invalid(String),
    /// A source of frames is gone and will not come back.
    #[error("source: {0}")]
    Source(String),
    /// A sink could not take an event.
    #[error("sink: {0}")]
    Sink(String),
    /// Memory is full and the context policy does not allow anything to be dropped.
    #[error(
        "memory is full: {tokens} tokens held, {needed} more needed, {capacity} at most; choose another context policy than `none`"
    )]
    MemoryFull {
        /// Tokens held.
        tokens: usize,
        /// Tokens wanted on top.
        needed: usize,
        /// Tokens at most.
        capacity: usize,
    },
    /// Arithmetic on tensors failed: a shape, a type, a device.
    #[error("tensor: {0}")]
    Tensor(String),
}

impl Error {
    /// Wraps an I/O error with the file that it happened on.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// A file whose content breaks its format.
    pub fn format(path: impl AsRef<Path>, why: impl Into<String>) -> Self {
        Self::Format {
            path: path.as_ref().to_path_buf(),
            why: why.into(),
        }
    }
}
