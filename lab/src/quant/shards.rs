//! The tensors of a folder by name: one `model.safetensors`, shards with an index, or PyTorch's
//! `pytorch_model.bin`.
//!
//! Values are read from the file a piece at a time, so that a checkpoint larger than the memory can
//! be converted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::pickle;
use proact::error::{Error, Result};

/// Bytes of the length that a safetensors file begins with.
const LENGTH_BYTES: usize = 8;

/// All tensors of one or more files, by name.
#[derive(Debug)]
pub struct Shards {
    files: Vec<Shard>,
    /// Sorted, so that every walk has one order.
    places: BTreeMap<String, Place>,
}

/// Where a tensor lies.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    /// Which of the files.
    pub file: usize,
    /// Row-major.
    pub shape: Vec<usize>,
    pub dtype: Dtype,
    /// First byte in the file.
    pub start: u64,
    pub bytes: u64,
}

/// An open file that many threads read pieces of.
#[derive(Debug)]
pub(super) struct Shard {
    pub path: PathBuf,
    file: Mutex<File>,
}

/// `model.safetensors.index.json` or `pytorch_model.bin.index.json`.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Shards {
    /// Opens what a folder has: `STEM.safetensors`, or the files that `STEM.safetensors.index.json`
    /// names, or the same with `.bin`, where PyTorch's stem for `model` is `pytorch_model`.
    ///
    /// # Errors
    /// None is there; a file is not what its name says; two files have a tensor of one name.
    pub fn open(folder: &Path, stem: &str) -> Result<Self> {
        let pickled = if stem == "model" {
            "pytorch_model"
        } else {
            stem
        };
        for name in [format!("{stem}.safetensors"), format!("{pickled}.bin")] {
            let (single, index) = (
                folder.join(&name),
                folder.join(format!("{name}.index.json")),
            );
            if single.exists() {
                return Self::of_files(vec![single]);
            }
            if index.exists() {
                return Self::of_files(files_of(folder, &index)?);
            }
        }
        Self::of_files(vec![folder.join(format!("{stem}.safetensors"))])
    }

    fn of_files(paths: Vec<PathBuf>) -> Result<Self> {
        let mut shards = Self {
            files: Vec::new(),
            places: BTreeMap::new(),
        };
        for path in paths {
            let places = match path.extension().is_some_and(|e| e == "bin") {
                true => pickle::read(&path)?,
                false => places_of(&path)?,
            };
            for (name, place) in places {
                if shards
                    .places
                    .insert(
                        name.clone(),
                        Place {
                            file: shards.files.len(),
                            ..place
                        },
                    )
                    .is_some()
                {
                    return Err(Error::format(
                        &path,
                        format!("tensor `{name}`: also in another shard"),
                    ));
                }
            }
            shards.files.push(Shard::open(&path)?);
        }
        Ok(shards)
    }

    /// The first file, for messages.
    pub fn path(&self) -> &Path {
        self.files
            .first()
            .map_or(Path::new(""), |shard| &shard.path)
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Row-major shape and type of a tensor.
    pub fn info(&self, name: &str) -> Option<(&[usize], Dtype)> {
        self.places
            .get(name)
            .map(|place| (place.shape.as_slice(), place.dtype))
    }

    /// `count` values of a tensor from `first` on, in row-major order.
    ///
    /// # Errors
    /// There is none of this name or not so many; it does not hold floats; the system refuses.
    pub fn values(&self, name: &str, first: usize, count: usize) -> Result<Vec<f32>> {
        let Some(place) = self.places.get(name) else {
            return Err(Error::format(
                self.path(),
                format!("tensor `{name}`: found none, expected one"),
            ));
        };
        let shard = &self.files[place.file];
        let size = place.dtype.bitsize() as u64 / 8;
        let (start, bytes) = (first as u64 * size, count as u64 * size);
        if start + bytes > place.bytes {
            return Err(Error::format(
                &shard.path,
                format!("tensor `{name}`: has fewer values than {}", first + count),
            ));
        }
        let bytes = shard.read(place.start + start, bytes as usize)?;
        floats(&bytes, place.dtype).ok_or_else(|| {
            let why = format!(
                "tensor `{name}`: found type {:?}, expected F32, F16, BF16 or F64",
                place.dtype
            );
            Error::format(&shard.path, why)
        })
    }

    /// All values of a tensor.
    ///
    /// # Errors
    /// As [`Shards::values`].
    pub fn whole(&self, name: &str) -> Result<Vec<f32>> {
        let count = self
            .info(name)
            .map_or(0, |(shape, _)| shape.iter().product());
        self.values(name, 0, count)
    }

    /// Two tensors hold the same bytes.
    ///
    /// # Errors
    /// The system refuses to read them.
    pub fn same(&self, a: &str, b: &str) -> Result<bool> {
        let (Some(a), Some(b)) = (self.places.get(a), self.places.get(b)) else {
            return Ok(false);
        };
        if (&a.shape, a.dtype, a.bytes) != (&b.shape, b.dtype, b.bytes) {
            return Ok(false);
        }
        const PIECE: u64 = 16 << 20;
        for at in (0..a.bytes).step_by(PIECE as usize) {
            let count = PIECE.min(a.bytes - at) as usize;
            if self.files[a.file].read(a.start + at, count)?
                != self.files[b.file].read(b.start + at, count)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn files_of(folder: &Path, index: &Path) -> Result<Vec<PathBuf>> {
    let text = std::fs::read_to_string(index).map_err(Error::io(index))?;
    let parsed: Index =
        serde_json::from_str(&text).map_err(|e| Error::format(index, e.to_string()))?;
    let mut names: Vec<&String> = parsed.weight_map.values().collect();
    names.sort();
    names.dedup();
    if let Some(bad) = names
        .iter()
        .find(|name| Path::new(name).file_name() != Some(name.as_ref()))
    {
        return Err(Error::format(
            index,
            format!("weight_map: found `{bad}`, expected a bare file name"),
        ));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// The header of a safetensors file.
fn places_of(path: &Path) -> Result<BTreeMap<String, Place>> {
    let file = File::open(path).map_err(Error::io(path))?;
    // SAFETY: private and read-only, and gone when this returns; nobody must shorten the file
    // meanwhile. Only the header of it is touched, the rest is looked at for its length.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path))?;
    let (header, metadata) = SafeTensors::read_metadata(&map)
        .map_err(|e| Error::format(path, format!("safetensors: {e}")))?;
    // `read_metadata` has checked every range against the length of the file.
    let data = (LENGTH_BYTES + header) as u64;
    let places = metadata.tensors().into_iter().map(|(name, info)| {
        let (first, last) = info.data_offsets;
        let (start, bytes) = (data + first as u64, (last - first) as u64);
        (
            name,
            Place {
                file: 0,
                shape: info.shape.clone(),
                dtype: info.dtype,
                start,
                bytes,
            },
        )
    });
    Ok(places.collect())
}

impl Shard {
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        Ok(Self {
            path: path.to_path_buf(),
            file: Mutex::new(file),
        })
    }

    /// `count` bytes from `start` on. Read and not mapped: pages of a mapping would count as this
    /// process's memory.
    pub fn read(&self, start: u64, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        let mut file = self
            .file
            .lock()
            .map_err(|_| Error::format(&self.path, "an earlier read panicked"))?;
        file.seek(SeekFrom::Start(start))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(Error::io(&self.path))?;
        Ok(bytes)
    }
}

/// Little-endian floats of any width; `None` for other types.
fn floats(bytes: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|&b| f32::from_le_bytes(b))
            .collect(),
        Dtype::F16 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|&b| f16::from_le_bytes(b).to_f32())
            .collect(),
        Dtype::BF16 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|&b| bf16::from_le_bytes(b).to_f32())
            .collect(),
        Dtype::F64 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|&b| f64::from_le_bytes(b) as f32)
            .collect(),
        _ => return None,
    })
}
