//! Where weights come from: a list of tensors under their names in the GGUF file, each with the way
//! to get its values.
//!
//! The formats differ only in how the list is made (`checkpoint`, `llama`, `siglip`, `adapter`);
//! reading is here.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;

use candle_core::quantized::{QStorage, QTensor};
use candle_core::{Device, Tensor};

use super::shards::{Shard, Shards};
use proact::error::{Error, Result};
use proact::model::gguf::{GgmlType, GgufFile, MetaValue, Storage, TensorInfo};
use proact::model::weights::{Init, fresh};

/// Rows of a table that are read at once for their mean.
const MEAN_ROWS: usize = 4096;

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
    Adapted {
        base: Box<Shards>,
        adapter: Box<Shards>,
    },
    /// The file's header, and the file to read pieces of.
    Gguf(Box<GgufFile>, Shard),
}

/// One tensor of a source.
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// Tensor of the source, changed.
    Read { name: String, change: Change },
    /// Tensor of the source, or of the adapter where that brings its own, plus `scale * B A`, then
    /// changed.
    Merged {
        name: String,
        in_adapter: bool,
        lora: Lora,
        change: Change,
    },
    /// Tensor that only the adapter has.
    Adapter { name: String, change: Change },
    /// Computed.
    Made(Vec<f32>),
    /// As training would begin: a function of the name alone.
    Fresh(Init),
    /// The source's rows, and behind them rows that are the mean of those: new tokens.
    Extended {
        name: String,
        rows: usize,
        mean: OnceLock<Vec<f32>>,
    },
}

/// A low-rank addition: `W + scale * B A` with A `[r, in]` and B `[out, r]`, tensors of the
/// adapter.
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

/// Seed of fresh tensors: the same source gives the same file.
const FRESH_SEED: u64 = 0;

impl Source {
    /// The block format an entry already has; only a GGUF file has any.
    pub(super) fn has_type(&self, entry: &Entry) -> Option<GgmlType> {
        let (
            Store::Gguf(file, _),
            Origin::Read {
                name,
                change: Change::Keep,
            }
            | Origin::Extended { name, .. },
        ) = (&self.store, &entry.origin)
        else {
            return None;
        };
        file.tensor(name).map(|info| info.ty)
    }

    /// The blocks of some rows as they stand in a GGUF file; `None` for rows that are not in it.
    pub(super) fn blocks(&self, entry: &Entry, rows: &Range<usize>) -> Result<Option<Vec<u8>>> {
        let (Store::Gguf(file, reader), Origin::Read { name, .. } | Origin::Extended { name, .. }) =
            (&self.store, &entry.origin)
        else {
            return Ok(None);
        };
        if let Origin::Extended { rows: stored, .. } = entry.origin
            && rows.end > stored
        {
            return Ok(None);
        }
        let (info, _) = file.bytes(name)?;
        let row = info.len / entry.shape_rows_of(info);
        reader
            .read((info.start + rows.start * row) as u64, rows.len() * row)
            .map(Some)
    }

    /// Values of some rows of an entry: slices of its first dimension, row-major.
    ///
    /// # Errors
    /// The tensor is missing or of a type that cannot be read; the system refuses.
    pub fn rows(&self, entry: &Entry, rows: Range<usize>) -> Result<Vec<f32>> {
        let width = entry.row_width();
        let values = match &entry.origin {
            Origin::Made(values) => values[rows.start * width..rows.end * width].to_vec(),
            Origin::Fresh(init) => {
                let all = fresh(FRESH_SEED, &entry.name, &entry.shape, *init, &Device::Cpu)?
                    .flatten_all()?;
                all.narrow(0, rows.start * width, rows.len() * width)?
                    .to_vec1()?
            }
            Origin::Read { name, change } => {
                self.changed(*change, entry, &rows, |from| self.read(name, width, from))?
            }
            Origin::Adapter { name, change } => self.changed(*change, entry, &rows, |from| {
                self.adapter()?
                    .values(name, from.start * width, from.len() * width)
            })?,
            Origin::Merged {
                name,
                in_adapter,
                lora,
                change,
            } => self.changed(*change, entry, &rows, |from| {
                let mut values = match in_adapter {
                    true => self
                        .adapter()?
                        .values(name, from.start * width, from.len() * width)?,
                    false => self.read(name, width, from.clone())?,
                };
                merge(&mut values, width, from, self.adapter()?, lora)?;
                Ok(values)
            })?,
            Origin::Extended {
                name,
                rows: stored,
                mean,
            } => {
                let mut values = match rows.start < *stored {
                    true => self.read(name, width, rows.start..rows.end.min(*stored))?,
                    false => Vec::new(),
                };
                while values.len() < rows.len() * width {
                    values.extend_from_slice(self.mean(name, *stored, width, mean)?);
                }
                values
            }
        };
        if values.len() != rows.len() * width {
            let why = format!(
                "tensor `{}`: {} values, expected {}",
                entry.name,
                values.len(),
                rows.len() * width
            );
            return Err(Error::format(&self.path, why));
        }
        Ok(values)
    }

    /// Rows after the change, from the rows before it.
    fn changed(
        &self,
        change: Change,
        entry: &Entry,
        rows: &Range<usize>,
        read: impl Fn(Range<usize>) -> Result<Vec<f32>>,
    ) -> Result<Vec<f32>> {
        let width = entry.row_width();
        match change {
            Change::Keep => read(rows.clone()),
            Change::Part { index, .. } => {
                let before = index * entry.row_count();
                read(before + rows.start..before + rows.end)
            }
            Change::Permute { heads } => {
                // Whole heads at a time, in the order that `hf_permute` gives.
                let head = entry.row_count() / heads;
                let first = rows.start / head * head;
                let source = read(first..rows.end.next_multiple_of(head))?;
                let mut out = Vec::with_capacity(rows.len() * width);
                for row in rows.clone() {
                    let (start, within) = (row / head * head, row % head);
                    let from = start + (within % 2) * (head / 2) + within / 2 - first;
                    out.extend_from_slice(&source[from * width..][..width]);
                }
                Ok(out)
            }
        }
    }

    /// Rows of a tensor of the source, each of `width` values.
    fn read(&self, name: &str, width: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        let (file, reader) = match &self.store {
            Store::Shards(shards) | Store::Adapted { base: shards, .. } => {
                return shards.values(name, rows.start * width, rows.len() * width);
            }
            Store::Gguf(file, reader) => (file, reader),
        };
        let (info, _) = file.bytes(name)?;
        let values: usize = info.shape.iter().product();
        let bytes = info.len / (values / width);
        let bytes = reader.read((info.start + rows.start * bytes) as u64, rows.len() * bytes)?;
        let last = info.shape.last().copied().unwrap_or(1);
        let shape = [rows.len() * width / last, last];
        let tensor = match info.ty.storage() {
            Some(Storage::Dense(dtype)) => {
                Tensor::from_raw_buffer(&bytes, dtype, &shape, &Device::Cpu)?
                    .to_dtype(candle_core::DType::F32)?
            }
            Some(Storage::Quantized(dtype)) => {
                let storage = QStorage::from_data(bytes.into(), &Device::Cpu, dtype)?;
                QTensor::new(storage, &shape)?.dequantize(&Device::Cpu)?
            }
            // The loader's message names the types that there are.
            None => return file.load(name).map(|_| Vec::new()),
        };
        Ok(tensor.flatten_all()?.to_vec1()?)
    }

    /// The mean of a table's rows.
    fn mean<'a>(
        &self,
        name: &str,
        rows: usize,
        width: usize,
        cell: &'a OnceLock<Vec<f32>>,
    ) -> Result<&'a [f32]> {
        if cell.get().is_none() {
            let mut sums = vec![0f64; width];
            for start in (0..rows).step_by(MEAN_ROWS) {
                let piece = self.read(name, width, start..rows.min(start + MEAN_ROWS))?;
                piece.chunks_exact(width).for_each(|row| {
                    sums.iter_mut()
                        .zip(row)
                        .for_each(|(sum, &v)| *sum += f64::from(v))
                });
            }
            let mean = sums
                .into_iter()
                .map(|sum| (sum / rows as f64) as f32)
                .collect();
            cell.get_or_init(|| mean);
        }
        Ok(cell.get().map_or(&[], Vec::as_slice))
    }

    fn adapter(&self) -> Result<&Shards> {
        match &self.store {
            Store::Adapted { adapter, .. } => Ok(adapter),
            _ => Err(Error::format(&self.path, "no adapter")),
        }
    }

    /// A GGUF file, to be quantized anew.
    pub(super) fn of_gguf(file: GgufFile) -> Result<Self> {
        let entries = file.tensors().iter().map(Entry::of_gguf).collect();
        let reader = Shard::open(file.path())?;
        Ok(Self {
            path: file.path().to_path_buf(),
            metadata: file.header().metadata.clone(),
            entries,
            store: Store::Gguf(Box::new(file), reader),
        })
    }
}

impl Entry {
    /// A tensor of a GGUF file as it is.
    pub(super) fn of_gguf(t: &TensorInfo) -> Self {
        Self {
            name: t.name.clone(),
            shape: t.shape.clone(),
            stored_as: t.ty.to_string(),
            origin: Origin::Read {
                name: t.name.clone(),
                change: Change::Keep,
            },
        }
    }

    /// A tensor as training would begin with it.
    pub(super) fn fresh(name: String, shape: Vec<usize>, init: Init) -> Self {
        Self {
            name,
            shape,
            stored_as: "new".into(),
            origin: Origin::Fresh(init),
        }
    }

    /// Rows behind which new ones begin: a piece is one or the other, so that what was there stays
    /// bit for bit.
    pub(super) fn boundary(&self) -> usize {
        match self.origin {
            Origin::Extended { rows, .. } => rows,
            _ => self.row_count(),
        }
    }

    /// Size of the first dimension.
    pub fn row_count(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Values of one slice of the first dimension.
    pub fn row_width(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Rows of this entry's width that its tensor in the file has.
    fn shape_rows_of(&self, info: &TensorInfo) -> usize {
        info.shape.iter().product::<usize>() / self.row_width()
    }
}

/// `values += scale * B A` for some rows of the weight.
fn merge(
    values: &mut [f32],
    width: usize,
    rows: Range<usize>,
    adapter: &Shards,
    lora: &Lora,
) -> Result<()> {
    let shape_of = |name: &str| match adapter.info(name) {
        Some(([rows, columns], _)) => Ok((*rows, *columns)),
        _ => Err(Error::format(
            adapter.path(),
            format!("tensor `{name}`: found none, expected a matrix"),
        )),
    };
    let ((rank, columns), (outputs, rank_b)) = (shape_of(&lora.a)?, shape_of(&lora.b)?);
    if rank != rank_b || columns != width || rows.end > outputs {
        let why = format!(
            "tensors `{}` [{rank}, {columns}] and `{}` [{outputs}, {rank_b}] do not fit a weight of rows of {width}",
            lora.a, lora.b
        );
        return Err(Error::format(adapter.path(), why));
    }
    let device = Device::Cpu;
    let a = Tensor::from_vec(adapter.whole(&lora.a)?, (rank, columns), &device)?;
    let b = adapter.values(&lora.b, rows.start * rank, rows.len() * rank)?;
    let b = Tensor::from_vec(b, (rows.len(), rank), &device)?;
    let product: Vec<f32> = b.matmul(&a)?.flatten_all()?.to_vec1()?;
    values
        .iter_mut()
        .zip(product)
        .for_each(|(value, p)| *value += lora.scale * p);
    Ok(())
}
