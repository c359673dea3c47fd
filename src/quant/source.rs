//! Where weights come from: a list of tensors under their names in the GGUF file, each with the way to get its values.
//!
//! The formats differ only in how the list is made (`checkpoint`, `llama`, `siglip`, `adapter`); reading is here.

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};

use super::shards::Shards;
use crate::error::{Error, Result};
use crate::model::gguf::{GgmlType, GgufFile, MetaValue, TensorInfo};
use crate::model::weights::{Stored, hf_permute};

/// Everything that a GGUF file is made from.
#[derive(Debug)]
pub struct Source {
    /// Folder or file.
    pub path: PathBuf,
    /// Metadata, `general.architecture` first.
    pub metadata: Vec<(String, MetaValue)>,
    /// Tensors in the order in which they are written.
    pub entries: Vec<Entry>,
    pub(super) store: Store,
}

/// What holds the values.
#[derive(Debug)]
pub(super) enum Store {
    Shards(Box<Shards>),
    Adapted { base: Box<Shards>, adapter: Box<Shards> },
    Gguf(Box<GgufFile>),
}

/// One tensor of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name in the GGUF file.
    pub name: String,
    /// Its row-major shape in the GGUF file.
    pub shape: Vec<usize>,
    /// Type in the source, by the source's name for it.
    pub stored_as: String,
    pub(super) origin: Origin,
}

/// How an entry's values come about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Origin {
    /// Tensor of the source, changed.
    Read { name: String, change: Change },
    /// Tensor of the source plus `scale * B A`, then changed.
    Merged { name: String, lora: Lora, change: Change },
    /// Tensor that only the adapter has.
    Adapter { name: String, change: Change },
    /// Computed.
    Made(Vec<f32>),
}

/// A low-rank addition: `W + scale * B A` with A `[r, in]` and B `[out, r]`, tensors of the adapter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lora {
    pub a: String,
    pub b: String,
    pub scale: f32,
}

/// What happens to the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    Keep,
    /// Rows of each head from halves to pairs, see [`hf_permute`].
    Permute { heads: usize },
    /// One of `parts` equal pieces along the first dimension.
    Part { index: usize, parts: usize },
}

impl Source {
    /// The block format an entry already has; only a GGUF file has any.
    pub(super) fn blocks(&self, entry: &Entry) -> Option<(GgmlType, &[u8])> {
        let Store::Gguf(file) = &self.store else { return None };
        let (info, bytes) = file.bytes(&entry.name).ok()?;
        Some((info.ty, bytes))
    }

    /// An entry's values, row-major.
    ///
    /// # Errors
    /// The tensor is missing or of a type that cannot be read; the system refuses.
    pub fn values(&self, entry: &Entry) -> Result<Vec<f32>> {
        let values = match &entry.origin {
            Origin::Made(values) => values.clone(),
            Origin::Read { name, change } => change.apply(self.read(name)?, &entry.shape)?,
            Origin::Adapter { name, change } => change.apply(self.adapter()?.values(name)?, &entry.shape)?,
            Origin::Merged { name, lora, change } => {
                let mut values = self.read(name)?;
                merge(&mut values, self.adapter()?, lora)?;
                change.apply(values, &entry.shape)?
            }
        };
        let expected: usize = entry.shape.iter().product();
        if values.len() != expected {
            let why = format!("tensor `{}`: {} values, expected {expected}", entry.name, values.len());
            return Err(Error::format(&self.path, why));
        }
        Ok(values)
    }

    fn read(&self, name: &str) -> Result<Vec<f32>> {
        match &self.store {
            Store::Shards(shards) | Store::Adapted { base: shards, .. } => shards.values(name),
            Store::Gguf(file) => {
                let tensor = match GgufFile::load(file, name)? {
                    Stored::Dense(tensor) => tensor.to_dtype(DType::F32)?,
                    Stored::Quantized(blocks) => blocks.dequantize(&Device::Cpu)?,
                };
                Ok(tensor.flatten_all()?.to_vec1()?)
            }
        }
    }

    fn adapter(&self) -> Result<&Shards> {
        match &self.store {
            Store::Adapted { adapter, .. } => Ok(adapter),
            _ => Err(Error::format(&self.path, "no adapter")),
        }
    }

    /// A GGUF file, to be quantized anew.
    pub(super) fn of_gguf(file: GgufFile) -> Self {
        let entry = |t: &TensorInfo| Entry {
            name: t.name.clone(),
            shape: t.shape.clone(),
            stored_as: t.ty.to_string(),
            origin: Origin::Read { name: t.name.clone(), change: Change::Keep },
        };
        Self {
            path: file.path().to_path_buf(),
            metadata: file.header().metadata.clone(),
            entries: file.tensors().iter().map(entry).collect(),
            store: Store::Gguf(Box::new(file)),
        }
    }
}

impl Change {
    /// Values after the change; `shape` is the one after it.
    fn apply(self, values: Vec<f32>, shape: &[usize]) -> Result<Vec<f32>> {
        Ok(match self {
            Self::Keep => values,
            Self::Permute { heads } => {
                let weight = Tensor::from_vec(values, shape, &Device::Cpu)?;
                hf_permute(&weight, heads)?.flatten_all()?.to_vec1()?
            }
            Self::Part { index, parts } => {
                let length = values.len() / parts;
                values[index * length..][..length].to_vec()
            }
        })
    }
}

/// `values += scale * B A`.
fn merge(values: &mut [f32], adapter: &Shards, lora: &Lora) -> Result<()> {
    let shape_of = |name: &str| match adapter.info(name) {
        Some(([rows, columns], _)) => Ok((*rows, *columns)),
        _ => Err(Error::format(adapter.path(), format!("tensor `{name}`: found none, expected a matrix"))),
    };
    let ((rank, columns), (rows, rank_b)) = (shape_of(&lora.a)?, shape_of(&lora.b)?);
    if rank != rank_b || rows * columns != values.len() {
        let why = format!(
            "tensors `{}` [{rank}, {columns}] and `{}` [{rows}, {rank_b}] do not fit a weight of {} values",
            lora.a,
            lora.b,
            values.len()
        );
        return Err(Error::format(adapter.path(), why));
    }
    let device = Device::Cpu;
    let a = Tensor::from_vec(adapter.values(&lora.a)?, (rank, columns), &device)?;
    let b = Tensor::from_vec(adapter.values(&lora.b)?, (rows, rank), &device)?;
    let product: Vec<f32> = b.matmul(&a)?.flatten_all()?.to_vec1()?;
    values.iter_mut().zip(product).for_each(|(value, p)| *value += lora.scale * p);
    Ok(())
}
