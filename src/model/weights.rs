//! Where tensors come from: a checkpoint, a GGUF file, or fresh trainable variables. Three ways,
//! one request.
//!
//! A request states name and shape; another shape or a missing tensor is an error that names it,
//! and [`Weights::finish`] refuses tensors that nobody asked for. Names are llama.cpp's.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Tensor, Var};

pub use super::init::{Init, fresh};
use super::nn::{Embedding, LayerNorm, Linear, Mode, RmsNorm, Rows, to_dense};
use crate::error::{Error, Result};

/// A tensor as its file keeps it.
#[derive(Clone, Debug)]
pub enum Stored {
    /// Plain floats.
    Dense(Tensor),
    /// Blocks of a GGML type; shape `[out, in]`, row-major.
    Quantized(Arc<QTensor>),
}

impl Stored {
    /// Its shape, row-major.
    pub fn dims(&self) -> &[usize] {
        match self {
            Self::Dense(t) => t.dims(),
            Self::Quantized(t) => t.shape().dims(),
        }
    }
}

/// A file, or anything else that has named tensors. Shapes are row-major: `[out, in]`.
pub trait TensorSource {
    /// Every name.
    fn names(&self) -> Vec<String>;
    /// Shape of a tensor, without reading it.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;
    /// The tensor.
    ///
    /// # Errors
    /// There is none of this name, or its bytes could not be read.
    fn load(&self, name: &str) -> Result<Stored>;
}

impl TensorSource for HashMap<String, Stored> {
    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.get(name).map(|t| t.dims().to_vec())
    }

    fn load(&self, name: &str) -> Result<Stored> {
        self.get(name).cloned().ok_or_else(|| missing(name))
    }
}

impl TensorSource for HashMap<String, Tensor> {
    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.get(name).map(|t| t.dims().to_vec())
    }

    fn load(&self, name: &str) -> Result<Stored> {
        self.get(name)
            .cloned()
            .map(Stored::Dense)
            .ok_or_else(|| missing(name))
    }
}

fn missing(name: &str) -> Error {
    Error::Model(format!("tensor {name}: missing"))
}

/// Safetensors files, memory-mapped.
pub struct SafetensorsSource {
    tensors: MmapedSafetensors,
    path: PathBuf,
    device: Device,
}

impl SafetensorsSource {
    /// Opens one file.
    ///
    /// # Errors
    /// It cannot be opened, or is no safetensors file.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        std::fs::File::open(path).map_err(Error::io(path))?;
        // SAFETY: a map is only sound while nobody truncates the file; that is asked of the user
        // for every model file, as with llama.cpp.
        let tensors = unsafe { MmapedSafetensors::new(path) }
            .map_err(|e| Error::format(path, e.to_string()))?;
        Ok(Self {
            tensors,
            path: path.to_path_buf(),
            device: device.clone(),
        })
    }
}

impl TensorSource for SafetensorsSource {
    fn names(&self) -> Vec<String> {
        self.tensors
            .tensors()
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors
            .get(name)
            .ok()
            .map(|view| view.shape().to_vec())
    }

    fn load(&self, name: &str) -> Result<Stored> {
        let tensor = self.tensors.load(name, &self.device);
        tensor
            .map(Stored::Dense)
            .map_err(|e| Error::format(&self.path, format!("tensor {name}: {e}")))
    }
}

/// What to do when a trainable tensor is not in the checkpoint that training starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// An error: the checkpoint must be whole.
    Refuse,
    /// Fill it by its initialisation: new heads on an old backbone.
    Create,
}

/// Makes variables instead of plain tensors.
struct Training {
    seed: u64,
    absent: Absent,
    frozen: Vec<String>,
}

/// The loader that every part of the model takes its tensors from.
pub struct Weights {
    source: Box<dyn TensorSource>,
    training: Option<Training>,
    device: Device,
    dtype: DType,
    taken: RefCell<BTreeMap<String, Taken>>,
}

/// What was handed out.
#[derive(Clone)]
enum Taken {
    Plain(Stored),
    Var(Var),
}

impl Weights {
    /// Tensors of a file or map, without gradients.
    pub fn new(source: impl TensorSource + 'static, device: &Device) -> Self {
        Self {
            source: Box::new(source),
            training: None,
            device: device.clone(),
            dtype: DType::F32,
            taken: RefCell::new(BTreeMap::new()),
        }
    }

    /// A safetensors checkpoint, without gradients.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        Ok(Self::new(SafetensorsSource::open(path, device)?, device))
    }

    /// New variables, each filled from seed and name on its first request.
    pub fn trainable(seed: u64, device: &Device) -> Self {
        Self::trainable_from(
            HashMap::<String, Tensor>::new(),
            Absent::Create,
            seed,
            device,
        )
    }

    /// Variables that start from a checkpoint's tensors.
    pub fn trainable_from(
        source: impl TensorSource + 'static,
        absent: Absent,
        seed: u64,
        device: &Device,
    ) -> Self {
        let training = Some(Training {
            seed,
            absent,
            frozen: Vec::new(),
        });
        Self {
            training,
            ..Self::new(source, device)
        }
    }

    /// Tensors whose names begin with one of these prefixes get no gradient.
    #[must_use]
    pub fn frozen(mut self, prefixes: &[&str]) -> Self {
        if let Some(training) = &mut self.training {
            training
                .frozen
                .extend(prefixes.iter().map(|&p| p.to_owned()));
        }
        self
    }

    /// Keeps dense matrices in this float type (default f32); norms and biases stay f32. The CPU
    /// knows no bf16 product, so bf16 means f32 there.
    #[must_use]
    pub fn dense_as(mut self, dtype: DType) -> Self {
        self.dtype = if dtype == DType::BF16 && self.device.is_cpu() {
            DType::F32
        } else {
            dtype
        };
        self
    }

    /// Fused, or differentiable for trainable weights.
    pub fn mode(&self) -> Mode {
        if self.training.is_some() {
            Mode::Differentiable
        } else {
            Mode::Fused
        }
    }

    /// Where tensors go.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The source has this tensor.
    pub fn contains(&self, name: &str) -> bool {
        self.source.shape(name).is_some()
    }

    /// Shape of the source's tensor.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.source.shape(name)
    }

    /// Reads a tensor of the source after its shape was checked; `None` when it is absent.
    fn read(&self, name: &str, shape: &[usize]) -> Result<Option<Stored>> {
        let Some(found) = self.source.shape(name) else {
            return Ok(None);
        };
        if found != shape {
            return Err(Error::Model(format!(
                "tensor {name}: found shape {found:?}, expected {shape:?}"
            )));
        }
        let stored = match self.source.load(name)? {
            Stored::Dense(t) => Stored::Dense(t.to_device(&self.device)?),
            quantized => quantized,
        };
        if stored.dims() != shape {
            return Err(Error::Model(format!(
                "tensor {name}: its source promised {shape:?} and gave {:?}",
                stored.dims()
            )));
        }
        Ok(Some(stored))
    }

    /// A variable, or a plain tensor when it is frozen.
    fn train(&self, training: &Training, name: &str, shape: &[usize], init: Init) -> Result<Taken> {
        let first = match (self.read(name, shape)?, training.absent) {
            (Some(stored), _) => to_dense(stored)?,
            (None, Absent::Create) => fresh(training.seed, name, shape, init, &self.device)?,
            (None, Absent::Refuse) => return Err(missing(name)),
        };
        if training
            .frozen
            .iter()
            .any(|prefix| name.starts_with(prefix.as_str()))
        {
            return Ok(Taken::Plain(Stored::Dense(first.detach())));
        }
        Ok(Taken::Var(Var::from_tensor(&first)?))
    }

    /// A weight as it is stored; dense ones in the type of [`Weights::dense_as`].
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn stored(&self, name: &str, shape: &[usize], init: Init) -> Result<Stored> {
        self.take(name, shape, init, self.dtype)
    }

    /// A tensor; of the plain floats, dense ones in `dtype`.
    fn take(&self, name: &str, shape: &[usize], init: Init, dtype: DType) -> Result<Stored> {
        if let Some(taken) = self.taken.borrow().get(name) {
            return again(taken, name, shape);
        }
        let taken = match &self.training {
            Some(training) => self.train(training, name, shape, init)?,
            None => Taken::Plain(
                match self.read(name, shape)?.ok_or_else(|| missing(name))? {
                    Stored::Dense(t) => Stored::Dense(t.to_dtype(dtype)?),
                    quantized => quantized,
                },
            ),
        };
        self.taken
            .borrow_mut()
            .insert(name.to_owned(), taken.clone());
        again(&taken, name, shape)
    }

    /// A tensor in f32: norms, biases, positions.
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn tensor(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        // Of f32 already, it stays the variable itself: gradients find it.
        to_dense(self.take(name, shape, init, DType::F32)?)
    }

    /// A tensor in f32 that is never trained and never created.
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn constant(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let stored = self.read(name, shape)?.ok_or_else(|| missing(name))?;
        let tensor = to_dense(stored)?.detach();
        self.taken
            .borrow_mut()
            .insert(name.to_owned(), Taken::Plain(Stored::Dense(tensor.clone())));
        Ok(tensor)
    }

    /// `{name}.weight` `[out, in]` without bias.
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn linear(
        &self,
        name: &str,
        shape: (usize, usize),
        gain: f64,
        rows: Rows,
    ) -> Result<Linear> {
        let weight = self.stored(
            &format!("{name}.weight"),
            &[shape.0, shape.1],
            Init::FanIn(gain),
        )?;
        Linear::new(weight, None, rows)
    }

    /// `{name}.weight` `[out, in]` and `{name}.bias` `[out]`.
    ///
    /// # Errors
    /// One is missing or has another shape.
    pub fn linear_bias(
        &self,
        name: &str,
        shape: (usize, usize),
        gain: f64,
        rows: Rows,
    ) -> Result<Linear> {
        let weight = self.stored(
            &format!("{name}.weight"),
            &[shape.0, shape.1],
            Init::FanIn(gain),
        )?;
        let bias = self.tensor(&format!("{name}.bias"), &[shape.0], Init::Constant(0.0))?;
        Linear::new(weight, Some(bias), rows)
    }

    /// `{name}.weight` `[rows, width]`.
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn embedding(
        &self,
        name: &str,
        rows: usize,
        width: usize,
        init: Init,
    ) -> Result<Embedding> {
        Embedding::new(self.stored(&format!("{name}.weight"), &[rows, width], init)?)
    }

    /// `{name}.weight` `[width]`.
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn rms_norm(&self, name: &str, width: usize, eps: f64) -> Result<RmsNorm> {
        let weight = self.tensor(&format!("{name}.weight"), &[width], Init::Constant(1.0))?;
        Ok(RmsNorm::new(weight, eps, self.mode()))
    }

    /// `{name}.weight` and `{name}.bias` `[width]`.
    ///
    /// # Errors
    /// One is missing or has another shape.
    pub fn layer_norm(&self, name: &str, width: usize, eps: f64) -> Result<LayerNorm> {
        let weight = self.tensor(&format!("{name}.weight"), &[width], Init::Constant(1.0))?;
        let bias = self.tensor(&format!("{name}.bias"), &[width], Init::Constant(0.0))?;
        Ok(LayerNorm::new(weight, bias, eps, self.mode()))
    }

    /// Refuses tensors of the source that nobody asked for, but for names with these prefixes.
    ///
    /// # Errors
    /// Names the tensors that are left over.
    pub fn finish_except(&self, prefixes: &[&str]) -> Result<()> {
        let taken = self.taken.borrow();
        let left: BTreeSet<String> = self
            .source
            .names()
            .into_iter()
            .filter(|name| {
                !taken.contains_key(name) && !prefixes.iter().any(|p| name.starts_with(p))
            })
            .collect();
        match left.first() {
            None => Ok(()),
            Some(first) => Err(Error::Model(format!(
                "tensor {first}: not part of this model ({} such tensors)",
                left.len()
            ))),
        }
    }

    /// Refuses tensors of the source that nobody asked for.
    ///
    /// # Errors
    /// Names the tensors that are left over.
    pub fn finish(&self) -> Result<()> {
        self.finish_except(&[])
    }

    /// The variables, sorted by name.
    pub fn vars(&self) -> Vec<(String, Var)> {
        let var = |(name, taken): (&String, &Taken)| match taken {
            Taken::Var(var) => Some((name.clone(), var.clone())),
            Taken::Plain(_) => None,
        };
        self.taken.borrow().iter().filter_map(var).collect()
    }

    /// Everything handed out, sorted by name: what a checkpoint must hold.
    pub fn taken(&self) -> Vec<(String, Stored)> {
        let stored = |(name, taken): (&String, &Taken)| match taken {
            Taken::Var(var) => (name.clone(), Stored::Dense(var.as_detached_tensor())),
            Taken::Plain(stored) => (name.clone(), stored.clone()),
        };
        self.taken.borrow().iter().map(stored).collect()
    }
}

/// The second request of a name gives the same tensor.
fn again(taken: &Taken, name: &str, shape: &[usize]) -> Result<Stored> {
    let stored = match taken {
        Taken::Var(var) => Stored::Dense(var.as_tensor().clone()),
        Taken::Plain(stored) => stored.clone(),
    };
    if stored.dims() != shape {
        return Err(Error::Model(format!(
            "tensor {name}: found shape {:?}, expected {shape:?}",
            stored.dims()
        )));
    }
    Ok(stored)
}

/// Rows of a query or key weight `[heads * Hd, in]` from Hugging Face's order (first all first
/// halves of the rotary pairs, then the second halves) to llama.cpp's (each pair side by side). As
/// `permute` in llama.cpp's `convert_hf_to_gguf.py`.
///
/// # Errors
/// The rows are no multiple of twice the heads.
pub fn hf_permute(weight: &Tensor, heads: usize) -> Result<Tensor> {
    let (rows, width) = weight.dims2()?;
    if heads == 0 || !rows.is_multiple_of(2 * heads) {
        return Err(Error::Model(format!(
            "query or key weight of {rows} rows: expected a multiple of 2 x {heads} heads"
        )));
    }
    let half = rows / heads / 2;
    Ok(weight
        .reshape((heads, 2, half, width))?
        .transpose(1, 2)?
        .contiguous()?
        .reshape((rows, width))?)
}
