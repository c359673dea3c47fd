//! The safetensors files of a folder, memory-mapped: one `model.safetensors`, or shards with an index.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::error::{Error, Result};

/// Bytes of the length that a safetensors file begins with.
const LENGTH_BYTES: usize = 8;

/// All tensors of one or more files, by name.
#[derive(Debug)]
pub struct Shards {
    files: Vec<Shard>,
    /// Tensor name -> file; sorted, so that every walk has one order.
    places: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    map: memmap2::Mmap,
    /// Where the tensors' bytes begin.
    data: usize,
    metadata: Metadata,
}

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Shards {
    /// Opens what a folder has: `STEM.safetensors`, or the files that `STEM.safetensors.index.json` names.
    ///
    /// # Errors
    /// Neither is there; a file is no safetensors file; two files have a tensor of one name.
    pub fn open(folder: &Path, stem: &str) -> Result<Self> {
        let single = folder.join(format!("{stem}.safetensors"));
        let index = folder.join(format!("{stem}.safetensors.index.json"));
        if single.exists() || !index.exists() {
            return Self::of_files(vec![single]);
        }
        let text = std::fs::read_to_string(&index).map_err(Error::io(&index))?;
        let parsed: Index = serde_json::from_str(&text).map_err(|e| Error::format(&index, e.to_string()))?;
        let mut names: Vec<&String> = parsed.weight_map.values().collect();
        names.sort();
        names.dedup();
        if let Some(bad) = names.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref())) {
            return Err(Error::format(&index, format!("weight_map: found `{bad}`, expected a bare file name")));
        }
        Self::of_files(names.into_iter().map(|name| folder.join(name)).collect())
    }

    fn of_files(paths: Vec<PathBuf>) -> Result<Self> {
        let mut shards = Self { files: Vec::new(), places: BTreeMap::new() };
        for path in paths {
            let shard = Shard::open(path)?;
            for name in shard.metadata.tensors().into_keys() {
                if shards.places.insert(name.clone(), shards.files.len()).is_some() {
                    return Err(Error::format(&shard.path, format!("tensor `{name}`: also in another shard")));
                }
            }
            shards.files.push(shard);
        }
        Ok(shards)
    }

    /// The first file, for messages.
    pub fn path(&self) -> &Path {
        self.files.first().map_or(Path::new(""), |shard| &shard.path)
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Row-major shape and type of a tensor.
    pub fn info(&self, name: &str) -> Option<(&[usize], Dtype)> {
        let shard = &self.files[*self.places.get(name)?];
        shard.metadata.info(name).map(|info| (info.shape.as_slice(), info.dtype))
    }

    /// A tensor's values.
    ///
    /// # Errors
    /// There is none of this name; it does not hold floats.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        let shard = self.places.get(name).map(|&i| &self.files[i]);
        let found = shard.and_then(|shard| Some((shard, shard.metadata.info(name)?)));
        let Some((shard, info)) = found else {
            return Err(Error::format(self.path(), format!("tensor `{name}`: found none, expected one")));
        };
        // `read_metadata` has checked every range against the length of the file.
        let (first, last) = info.data_offsets;
        let bytes = &shard.map[shard.data + first..shard.data + last];
        floats(bytes, info.dtype).ok_or_else(|| {
            let why = format!("tensor `{name}`: found type {:?}, expected F32, F16, BF16 or F64", info.dtype);
            Error::format(&shard.path, why)
        })
    }
}

impl Shard {
    fn open(path: PathBuf) -> Result<Self> {
        let file = File::open(&path).map_err(Error::io(&path))?;
        // SAFETY: private and read-only; the caller of `quantize` must not let the file be shortened while it runs.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(&path))?;
        let (header, metadata) =
            SafeTensors::read_metadata(&map).map_err(|e| Error::format(&path, format!("safetensors: {e}")))?;
        Ok(Self { path, data: LENGTH_BYTES + header, map, metadata })
    }
}

/// Little-endian floats of any width; `None` for other types.
fn floats(bytes: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
        Dtype::F64 => bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32).collect(),
        _ => return None,
    })
}
