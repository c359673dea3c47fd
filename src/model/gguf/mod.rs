//! A GGUF file, memory-mapped: the strict header pass first, then tensors straight from the mapped
//! bytes.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::{QStorage, QTensor};
use candle_core::{Device, Tensor};

pub use super::metadata::MetaValue;
use super::weights::{Stored, TensorSource};
use crate::error::{Error, Result};
use crate::files;

mod broken_rule;
pub mod header;
mod reader;
pub mod types;

pub use header::{Header, TensorInfo};
pub use types::{GgmlType, Storage};

/// An open GGUF file. Its header holds to every rule of [`header`].
///
/// The weights stay in the mapping until they are loaded: the system reads what is touched and may
/// drop it again. The price of a mapping: when another program shortens the file while it is open,
/// touching a lost page ends this process (SIGBUS on Unix). Files written by this project are
/// replaced by renaming, which does no harm to an open one.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    map: memmap2::Mmap,
    header: Header,
    keys: HashMap<String, usize>,
    names: HashMap<String, usize>,
}

impl GgufFile {
    /// Maps a file and checks its header.
    ///
    /// # Errors
    /// The system refuses the file; the header breaks a rule (the message names it, and key or
    /// tensor).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(Error::io(path))?;
        if file.metadata().map_err(Error::io(path))?.len() == 0 {
            return Err(Error::format(
                path,
                "magic: found an empty file, expected \"GGUF\"",
            ));
        }
        // SAFETY: the mapping is private and read-only. What it needs is that nobody shortens or
        // rewrites the file in place while it is open; the type's documentation says so, and a copy
        // of all weights would be the alternative.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path))?;
        let header = Header::parse(&map).map_err(|fault| Error::format(path, fault.to_string()))?;
        let keys = header
            .metadata
            .iter()
            .enumerate()
            .map(|(i, (key, _))| (key.clone(), i))
            .collect();
        let names = header
            .tensors
            .iter()
            .enumerate()
            .map(|(i, t)| (t.name.clone(), i))
            .collect();
        Ok(Self {
            path: path.to_path_buf(),
            map,
            header,
            keys,
            names,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checked header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes of the whole file.
    pub fn byte_len(&self) -> usize {
        self.map.len()
    }

    /// The value of a key.
    pub fn metadata(&self, key: &str) -> Option<&MetaValue> {
        self.keys.get(key).map(|&i| &self.header.metadata[i].1)
    }

    /// All tensors, in the file's order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.header.tensors
    }

    /// One tensor's record.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.names.get(name).map(|&i| &self.header.tensors[i])
    }

    /// A tensor's blocks as they stand in the file.
    ///
    /// # Errors
    /// There is no tensor of this name.
    pub fn bytes(&self, name: &str) -> Result<(&TensorInfo, &[u8])> {
        let info = self.tensor(name).ok_or_else(|| self.missing(name))?;
        Ok((info, &self.map[info.start..][..info.len]))
    }

    /// SHA-256 of the whole file, in hexadecimal, read through the mapping piece by piece.
    pub fn sha256(&self) -> String {
        files::sha256_of_bytes(&self.map)
    }

    /// A tensor on the CPU, as it is stored: F32, F16 and BF16 dense, the block formats quantized.
    ///
    /// # Errors
    /// There is no tensor of this name; this program cannot compute with its block format.
    pub fn load(&self, name: &str) -> Result<Stored> {
        let (info, bytes) = self.bytes(name)?;
        let device = Device::Cpu;
        match info.ty.storage() {
            Some(Storage::Dense(dtype)) => Ok(Stored::Dense(Tensor::from_raw_buffer(
                bytes,
                dtype,
                &info.shape,
                &device,
            )?)),
            Some(Storage::Quantized(dtype)) => {
                // candle asserts whole blocks and their alignment (2 bytes): the header pass has
                // seen to both.
                let storage = QStorage::from_data(bytes.into(), &device, dtype)?;
                Ok(Stored::Quantized(Arc::new(QTensor::new(
                    storage,
                    info.shape.clone(),
                )?)))
            }
            None => Err(Error::format(
                &self.path,
                format!(
                    "tensor `{name}`: found type {}, expected one of F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K",
                    info.ty
                ),
            )),
        }
    }

    fn missing(&self, name: &str) -> Error {
        Error::format(
            &self.path,
            format!("tensor `{name}`: found none, expected one"),
        )
    }
}

impl TensorSource for GgufFile {
    fn names(&self) -> Vec<String> {
        self.tensors().iter().map(|t| t.name.clone()).collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensor(name).map(|t| t.shape.clone())
    }

    fn load(&self, name: &str) -> Result<Stored> {
        GgufFile::load(self, name)
    }
}

/// `true` when a file begins like a GGUF file; nothing else of it is looked at.
pub fn has_magic(bytes: &[u8]) -> bool {
    bytes.starts_with(&header::MAGIC)
}
