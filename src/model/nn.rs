//! Layers: the ONLY place that knows dense from quantized weights, and fused from differentiable
//! arithmetic.
//!
//! Candle's fused operations and its quantized product give no gradients, silently. So each
//! operation is one function of [`ops`] that asks its tensors whether they learn, and every model
//! text above this file has no branch for training.

mod bound;
pub mod ops;
mod packed;

use candle_core::quantized::{GgmlDType, QMatMul};
use candle_core::{DType, Device, Module, Tensor};

use self::packed::Packed;
use super::weights::Stored;
use crate::error::{Error, Result};

/// A matrix `[out, in]`.
#[derive(Clone, Debug)]
enum Matrix {
    Dense(Tensor),
    Quantized(QMatMul),
    Packed(Packed),
}

/// Is this a float type that GGUF stores without blocks?
fn is_plain(dtype: GgmlDType) -> bool {
    matches!(dtype, GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16)
}

impl Matrix {
    fn new(stored: Stored) -> Result<Self> {
        Ok(match stored {
            Stored::Dense(weight) => Self::Dense(weight),
            Stored::Quantized(weight) if is_plain(weight.dtype()) => {
                Self::Dense(weight.dequantize(&weight.device())?)
            }
            Stored::Quantized(weight) => match Packed::of(&weight) {
                Some(packed) => Self::Packed(packed),
                None => Self::Quantized(QMatMul::from_arc(weight)?),
            },
        })
    }

    /// `[N, in] -> [N, out]`.
    fn times(&self, rows: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Quantized(weight) => weight.forward(rows)?,
            Self::Packed(weight) => weight.times(rows)?,
            Self::Dense(weight) => rows.matmul(&weight.t()?)?,
        })
    }
}

/// `y = x W^T + b` with W `[out, in]`, dense or quantized.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Matrix,
    bias: Option<Tensor>,
}

impl Linear {
    /// A layer from a weight `[out, in]` and a bias `[out]`.
    ///
    /// # Errors
    /// The weight's blocks could not be read.
    pub fn new(weight: Stored, bias: Option<Tensor>) -> Result<Self> {
        Ok(Self {
            weight: Matrix::new(weight)?,
            bias,
        })
    }

    /// The layer whose weight is an embedding's table: tied output.
    ///
    /// # Errors
    /// The table's blocks could not be read.
    pub fn tied(embedding: &Embedding) -> Result<Self> {
        Self::new(embedding.table.clone(), None)
    }

    /// `[…, in] -> […, out]`.
    ///
    /// # Errors
    /// The last dimension is not the layer's.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (lead, width) = split_last(x)?;
        let rows = x.reshape(((), width))?;
        let mut y = self.weight.times(&rows)?;
        if let Some(bias) = &self.bias {
            y = y.broadcast_add(bias)?;
        }
        let out = y.dim(1)?;
        Ok(y.reshape([lead, &[out]].concat())?)
    }
}

/// Leading dimensions and the last one.
fn split_last(x: &Tensor) -> Result<(&[usize], usize)> {
    match x.dims() {
        [lead @ .., last] => Ok((lead, *last)),
        [] => Err(Error::Tensor("a scalar has no rows".into())),
    }
}

/// A table `[rows, width]` of which single rows are read; a quantized one is never expanded as a
/// whole.
#[derive(Clone, Debug)]
pub struct Embedding {
    table: Stored,
    rows: usize,
}

impl Embedding {
    /// A table `[rows, width]`.
    ///
    /// # Errors
    /// It is no matrix.
    pub fn new(table: Stored) -> Result<Self> {
        let rows = match &table {
            Stored::Dense(t) => t.dims2()?.0,
            Stored::Quantized(t) => t.shape().dims2()?.0,
        };
        Ok(Self { table, rows })
    }

    /// `ids [N] -> [N, width]` in f32.
    ///
    /// # Errors
    /// An id has no row.
    pub fn lookup(&self, ids: &[u32]) -> Result<Tensor> {
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.rows) {
            return Err(Error::Invalid(format!(
                "token {id}: the vocabulary has {} rows",
                self.rows
            )));
        }
        Ok(match &self.table {
            Stored::Dense(table) => {
                let ids = Tensor::new(ids, table.device())?;
                // index_select sends its gradient back row by row.
                table.index_select(&ids, 0)?.to_dtype(DType::F32)?
            }
            Stored::Quantized(table) => table.embedding(&Tensor::new(ids, &table.device())?)?,
        })
    }
}

/// Root-mean-square norm over the last dimension.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// A norm with a weight `[width]`.
    pub fn new(weight: Tensor, eps: f64) -> Self {
        Self { weight, eps }
    }

    /// `[…, width] -> […, width]`.
    ///
    /// # Errors
    /// The last dimension is not the weight's.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::rms_norm(x, &self.weight, self.eps)
    }
}

/// Mean-and-variance norm over the last dimension.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// A norm with weight and bias `[width]`.
    pub fn new(weight: Tensor, bias: Tensor, eps: f64) -> Self {
        Self { weight, bias, eps }
    }

    /// `[…, width] -> […, width]`.
    ///
    /// # Errors
    /// The last dimension is not the weight's.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}

/// The rotary frequencies of a head, in radians a position: `[Hd/2]`.
#[derive(Clone, Debug)]
pub struct Rope {
    frequencies: Vec<f64>,
    device: Device,
}

/// Cosines and sines of some positions, each `[T, Hd/2]`.
#[derive(Clone, Debug)]
pub struct RopeTable {
    /// Cosines.
    pub cos: Tensor,
    /// Sines.
    pub sin: Tensor,
}

impl Rope {
    /// `base^(-2i / Hd)`, each divided by its factor (Llama-3 scaling) where there are factors
    /// `[Hd/2]`.
    ///
    /// # Errors
    /// The number of factors is not Hd/2, or one is not positive.
    pub fn new(
        head_width: usize,
        base: f64,
        factors: Option<&[f32]>,
        device: &Device,
    ) -> Result<Self> {
        let half = head_width / 2;
        let factors = factors.map_or_else(|| vec![1.0; half], <[f32]>::to_vec);
        if factors.len() != half || factors.iter().any(|f| !f.is_finite() || *f <= 0.0) {
            return Err(Error::Model(format!(
                "rope_freqs.weight: expected {half} positive factors, found {factors:?}"
            )));
        }
        let frequency = |(i, factor): (usize, &f32)| {
            base.powf(-2.0 * i as f64 / head_width as f64) / f64::from(*factor)
        };
        Ok(Self {
            frequencies: factors.iter().enumerate().map(frequency).collect(),
            device: device.clone(),
        })
    }

    /// The table of `count` positions from `start`.
    ///
    /// # Errors
    /// The device refused the tensor.
    pub fn table(&self, start: usize, count: usize) -> Result<RopeTable> {
        self.table_of((start..start + count).map(|p| p as f64))
    }

    /// The table that turns `count` rows back by `distance` positions, for keys that move forward
    /// in memory.
    ///
    /// # Errors
    /// The device refused the tensor.
    pub fn table_back(&self, distance: usize, count: usize) -> Result<RopeTable> {
        self.table_of(std::iter::repeat_n(-(distance as f64), count))
    }

    fn table_of(&self, positions: impl ExactSizeIterator<Item = f64>) -> Result<RopeTable> {
        let shape = (positions.len(), self.frequencies.len());
        let (mut cos, mut sin) = (
            Vec::with_capacity(shape.0 * shape.1),
            Vec::with_capacity(shape.0 * shape.1),
        );
        for position in positions {
            for frequency in &self.frequencies {
                let (s, c) = (position * frequency).sin_cos();
                sin.push(s as f32);
                cos.push(c as f32);
            }
        }
        Ok(RopeTable {
            cos: Tensor::from_vec(cos, shape, &self.device)?,
            sin: Tensor::from_vec(sin, shape, &self.device)?,
        })
    }
}

/// Llama-3's frequency scaling, as Hugging Face configurations state it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Scaling {
    /// How far low frequencies are slowed.
    pub factor: f64,
    /// Waves longer than `original_context / low_freq_factor` are slowed in full.
    pub low_freq_factor: f64,
    /// Waves shorter than `original_context / high_freq_factor` are left alone.
    pub high_freq_factor: f64,
    /// Context before the extension, in positions.
    pub original_context: usize,
}

impl Llama3Scaling {
    /// The factors `[Hd/2]` that divide the rotary frequencies: the tensor `rope_freqs.weight`
    /// (llama.cpp, `convert_hf_to_gguf.py`, `LlamaModel.generate_extra_tensors`).
    pub fn factors(&self, head_width: usize, base: f64) -> Vec<f32> {
        let context = self.original_context as f64;
        let long = context / self.low_freq_factor;
        let short = context / self.high_freq_factor;
        let factor = |i: usize| {
            let wave = std::f64::consts::TAU * base.powf(2.0 * i as f64 / head_width as f64);
            if wave < short {
                return 1.0;
            }
            if wave > long {
                return self.factor;
            }
            let smooth = (context / wave - self.low_freq_factor)
                / (self.high_freq_factor - self.low_freq_factor);
            1.0 / ((1.0 - smooth) / self.factor + smooth)
        };
        (0..head_width / 2).map(|i| factor(i) as f32).collect()
    }
}

/// The dense form of what was stored, in f32 on its device.
///
/// # Errors
/// The blocks could not be read.
pub(super) fn to_dense(stored: Stored) -> Result<Tensor> {
    Ok(match stored {
        Stored::Dense(t) => t.to_dtype(DType::F32)?,
        Stored::Quantized(t) => t.dequantize(&t.device())?,
    })
}
