//! Where tensors come from: a checkpoint, a GGUF file, or fresh trainable variables. Three ways,
//! one request.
//!
//! A request states name and shape; another shape or a missing tensor is an error that names it,
//! and [`Weights::finish`] refuses tensors that nobody asked for. Names are llama.cpp's.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Tensor, Var};

pub use super::init::{Init, fresh};
use super::nn::{Embedding, LayerNorm, Linear, RmsNorm, to_dense};
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

/// Where the values come from.
enum Values {
    /// A file or map; no gradients.
    Stored(Box<dyn TensorSource>),
    /// Variables that start from a file or map, which must be whole.
    Start(Box<dyn TensorSource>),
    /// New variables, each filled from seed and name.
    Fresh(u64),
    /// There are none: only names and shapes count.
    Shapes,
}

impl Values {
    fn source(&self) -> Option<&dyn TensorSource> {
        match self {
            Self::Stored(source) | Self::Start(source) => Some(source.as_ref()),
            Self::Fresh(_) | Self::Shapes => None,
        }
    }
}

/// The loader that every part of the model takes its tensors from.
pub struct Weights {
    shared: Rc<Shared>,
    /// Quantized blocks become plain floats when they are taken.
    expanded: bool,
}

struct Shared {
    values: Values,
    device: Device,
    taken: RefCell<BTreeMap<String, Taken>>,
    /// Names and shapes in the order of the requests.
    requests: RefCell<Vec<(String, Vec<usize>)>>,
}

/// What was handed out.
#[derive(Clone)]
enum Taken {
    Plain(Stored),
    Var(Var),
}

impl Weights {
    fn of(values: Values, device: &Device) -> Self {
        Self {
            shared: Rc::new(Shared {
                values,
                device: device.clone(),
                taken: RefCell::default(),
                requests: RefCell::default(),
            }),
            expanded: false,
        }
    }

    /// Tensors of a file or map, without gradients.
    pub fn new(source: impl TensorSource + 'static, device: &Device) -> Self {
        Self::of(Values::Stored(Box::new(source)), device)
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
        Self::of(Values::Fresh(seed), device)
    }

    /// Variables that start from a checkpoint's tensors.
    pub fn trainable_from(source: impl TensorSource + 'static, device: &Device) -> Self {
        Self::of(Values::Start(Box::new(source)), device)
    }

    /// Names and shapes of the tensors that a model asks for while it is loaded, in its order.
    /// Nothing is read, and no memory is taken for values.
    ///
    /// # Errors
    /// As `load`.
    pub fn requests(load: impl FnOnce(&Self) -> Result<()>) -> Result<Vec<(String, Vec<usize>)>> {
        let weights = Self::of(Values::Shapes, &Device::Cpu);
        load(&weights)?;
        Ok(weights.shared.requests.take())
    }

    /// The same tensors, for layers that see many rows at once, such as all patches of a picture:
    /// quantized blocks are expanded when they are taken, because candle's quantized product works
    /// row by row (on 64 rows and two cores five times slower than the dense one).
    #[must_use]
    pub fn expanded(&self) -> Self {
        Self {
            shared: Rc::clone(&self.shared),
            expanded: true,
        }
    }

    /// Where tensors go.
    pub fn device(&self) -> &Device {
        &self.shared.device
    }

    /// Shape of the source's tensor.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.shared.values.source()?.shape(name)
    }

    /// Reads a tensor of the source after its shape was checked.
    fn read(&self, source: &dyn TensorSource, name: &str, shape: &[usize]) -> Result<Stored> {
        let found = source.shape(name).ok_or_else(|| missing(name))?;
        if found != shape {
            return Err(Error::Model(format!(
                "tensor {name}: found shape {found:?}, expected {shape:?}"
            )));
        }
        let stored = match source.load(name)? {
            Stored::Dense(t) => Stored::Dense(t.to_device(self.device())?),
            quantized => quantized,
        };
        if stored.dims() != shape {
            return Err(Error::Model(format!(
                "tensor {name}: its source promised {shape:?} and gave {:?}",
                stored.dims()
            )));
        }
        Ok(stored)
    }

    /// A tensor as it is stored; dense ones in f32.
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn stored(&self, name: &str, shape: &[usize], init: Init) -> Result<Stored> {
        let taken = self.shared.taken.borrow().get(name).cloned();
        let taken = match taken {
            Some(taken) => taken,
            None => self.take(name, shape, init)?,
        };
        let stored = match taken {
            Taken::Var(var) => Stored::Dense(var.as_tensor().clone()),
            Taken::Plain(stored) => stored,
        };
        // The second request of a name gives the same tensor.
        if stored.dims() != shape {
            return Err(Error::Model(format!(
                "tensor {name}: found shape {:?}, expected {shape:?}",
                stored.dims()
            )));
        }
        Ok(match stored {
            Stored::Quantized(_) if self.expanded => Stored::Dense(to_dense(stored)?),
            stored => stored,
        })
    }

    /// The first request of a tensor.
    fn take(&self, name: &str, shape: &[usize], init: Init) -> Result<Taken> {
        let var = |start: Tensor| Ok::<_, Error>(Taken::Var(Var::from_tensor(&start)?));
        let taken = match &self.shared.values {
            Values::Stored(source) => {
                Taken::Plain(match self.read(source.as_ref(), name, shape)? {
                    Stored::Dense(t) => Stored::Dense(t.to_dtype(DType::F32)?),
                    quantized => quantized,
                })
            }
            Values::Start(source) => var(to_dense(self.read(source.as_ref(), name, shape)?)?)?,
            Values::Fresh(seed) => var(fresh(*seed, name, shape, init, self.device())?)?,
            Values::Shapes => Taken::Plain(Stored::Dense(self.placeholder(shape)?)),
        };
        self.keep(name, shape, taken.clone());
        Ok(taken)
    }

    fn keep(&self, name: &str, shape: &[usize], taken: Taken) {
        let mut requests = self.shared.requests.borrow_mut();
        requests.push((name.to_owned(), shape.to_vec()));
        let mut all = self.shared.taken.borrow_mut();
        all.insert(name.to_owned(), taken);
    }

    /// One number that stands at every place.
    fn placeholder(&self, shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::ones((), DType::F32, self.device())?.broadcast_as(shape)?)
    }

    /// A tensor in f32: norms, biases, positions.
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn tensor(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        // Of f32 already, it stays the variable itself: gradients find it.
        to_dense(self.stored(name, shape, init)?)
    }

    /// A tensor in f32 that is never trained and never created.
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn constant(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = match &self.shared.values {
            Values::Shapes => self.placeholder(shape)?,
            values => {
                let source = values.source().ok_or_else(|| missing(name))?;
                to_dense(self.read(source, name, shape)?)?.detach()
            }
        };
        self.keep(name, shape, Taken::Plain(Stored::Dense(tensor.clone())));
        Ok(tensor)
    }

    /// `{name}.weight` `[out, in]` without bias.
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn linear(&self, name: &str, shape: (usize, usize), gain: f64) -> Result<Linear> {
        let weight = self.stored(
            &format!("{name}.weight"),
            &[shape.0, shape.1],
            Init::FanIn(gain),
        )?;
        Linear::new(weight, None)
    }

    /// `{name}.weight` `[out, in]` and `{name}.bias` `[out]`.
    ///
    /// # Errors
    /// One is missing or has another shape.
    pub fn linear_bias(&self, name: &str, shape: (usize, usize), gain: f64) -> Result<Linear> {
        let weight = self.stored(
            &format!("{name}.weight"),
            &[shape.0, shape.1],
            Init::FanIn(gain),
        )?;
        let bias = self.tensor(&format!("{name}.bias"), &[shape.0], Init::Constant(0.0))?;
        Linear::new(weight, Some(bias))
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
        Ok(RmsNorm::new(weight, eps))
    }

    /// `{name}.weight` and `{name}.bias` `[width]`.
    ///
    /// # Errors
    /// One is missing or has another shape.
    pub fn layer_norm(&self, name: &str, width: usize, eps: f64) -> Result<LayerNorm> {
        let weight = self.tensor(&format!("{name}.weight"), &[width], Init::Constant(1.0))?;
        let bias = self.tensor(&format!("{name}.bias"), &[width], Init::Constant(0.0))?;
        Ok(LayerNorm::new(weight, bias, eps))
    }

    /// Refuses tensors of the source that nobody asked for.
    ///
    /// # Errors
    /// Names the tensors that are left over.
    pub fn finish(&self) -> Result<()> {
        let taken = self.shared.taken.borrow();
        let names = self.shared.values.source().map(TensorSource::names);
        let left: BTreeSet<String> = names
            .into_iter()
            .flatten()
            .filter(|name| !taken.contains_key(name))
            .collect();
        match left.first() {
            None => Ok(()),
            Some(first) => Err(Error::Model(format!(
                "tensor {first}: not part of this model ({} such tensors)",
                left.len()
            ))),
        }
    }

    /// The variables, sorted by name.
    pub fn vars(&self) -> Vec<(String, Var)> {
        let var = |(name, taken): (&String, &Taken)| match taken {
            Taken::Var(var) => Some((name.clone(), var.clone())),
            Taken::Plain(_) => None,
        };
        self.shared.taken.borrow().iter().filter_map(var).collect()
    }

    /// Everything handed out, sorted by name: what a checkpoint must hold.
    pub fn taken(&self) -> Vec<(String, Stored)> {
        let stored = |(name, taken): (&String, &Taken)| match taken {
            Taken::Var(var) => (name.clone(), Stored::Dense(var.as_detached_tensor())),
            Taken::Plain(stored) => (name.clone(), stored.clone()),
        };
        self.shared.taken.borrow().iter().map(stored).collect()
    }
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
