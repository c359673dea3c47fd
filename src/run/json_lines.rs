//! A file of JSON records, one a line.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};

/// Writes records of JSON. A line goes out whole, so that a process that is killed leaves whole
/// lines.
pub struct JsonLines {
    path: PathBuf,
    out: File,
}

impl JsonLines {
    /// Creates the file.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self::of_file(
            File::create(path).map_err(Error::io(path))?,
            path,
        ))
    }

    /// A file that is open already; writing goes on where it stands.
    pub fn of_file(file: File, path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            out: file,
        }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, record: &impl Serialize) -> Result<()> {
        let fail = |source: std::io::Error| Error::Io {
            path: self.path.clone(),
            source,
        };
        let mut line = serde_json::to_vec(record).map_err(|e| fail(e.into()))?;
        line.push(b'\n');
        self.out.write_all(&line).map_err(fail)
    }
}
