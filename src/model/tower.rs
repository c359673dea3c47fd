//! SigLIP's pre-norm transformer, one text for pictures and for words: every position sees every
//! other.

use candle_core::Tensor;

use super::nn::ops::{self, Mask};
use super::nn::{LayerNorm, Linear};
use super::weights::Weights;
use crate::error::Result;

/// Sizes of a tower.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub width: usize,
    pub hidden: usize,
    pub heads: usize,
    pub blocks: usize,
    pub eps: f64,
}

impl Sizes {
    /// Keeps the sum of the residual branches near the size of one (Radford et al., GPT-2, section
    /// 2.3).
    fn residual_gain(&self) -> f64 {
        (2.0 * self.blocks as f64).sqrt().recip()
    }
}

/// Multi-head attention with biases; queries may be others than keys.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    heads: usize,
}

impl Attention {
    pub fn new(prefix: &str, sizes: &Sizes, weights: &Weights) -> Result<Self> {
        let (square, weights) = ((sizes.width, sizes.width), weights.expanded());
        Ok(Self {
            q: weights.linear_bias(&format!("{prefix}.attn_q"), square, 1.0)?,
            k: weights.linear_bias(&format!("{prefix}.attn_k"), square, 1.0)?,
            v: weights.linear_bias(&format!("{prefix}.attn_v"), square, 1.0)?,
            out: weights.linear_bias(
                &format!("{prefix}.attn_out"),
                square,
                sizes.residual_gain(),
            )?,
            heads: sizes.heads,
        })
    }

    /// `[B,T,Dv] -> [B,H,T,Hd]`.
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let (b, t, d) = x.dims3()?;
        Ok(x.reshape((b, t, self.heads, d / self.heads))?
            .transpose(1, 2)?
            .contiguous()?)
    }

    /// Queries from `[B,T,Dv]`, keys and values from `[B,S,Dv]`; result `[B,T,Dv]`.
    pub fn forward(&self, queries: &Tensor, keys: &Tensor) -> Result<Tensor> {
        let q = self.split(&self.q.forward(queries)?)?;
        let k = self.split(&self.k.forward(keys)?)?;
        let v = self.split(&self.v.forward(keys)?)?;
        let y = ops::attention(&q, &k, &v, Mask::All)?;
        self.out
            .forward(&y.transpose(1, 2)?.contiguous()?.reshape(queries.shape())?)
    }
}

/// The feed-forward: `ffn_up` is SigLIP's fc1 `[hidden, width]`, `ffn_down` its fc2 `[width,
/// hidden]`.
#[derive(Clone, Debug)]
pub(super) struct Mlp {
    up: Linear,
    down: Linear,
}

impl Mlp {
    /// Early llama.cpp vision files have `ffn_up` and `ffn_down` the other way round (see
    /// `clip.cpp`, "fix ffn swap"); the shapes tell, so such files are read as well.
    pub fn new(prefix: &str, sizes: &Sizes, weights: &Weights) -> Result<Self> {
        let weights = weights.expanded();
        let (mut up, mut down) = (format!("{prefix}.ffn_up"), format!("{prefix}.ffn_down"));
        let swapped = [sizes.width, sizes.hidden];
        if sizes.width != sizes.hidden
            && weights
                .shape(&format!("{up}.weight"))
                .is_some_and(|s| s == swapped)
        {
            std::mem::swap(&mut up, &mut down);
        }
        Ok(Self {
            up: weights.linear_bias(&up, (sizes.hidden, sizes.width), 1.0)?,
            down: weights.linear_bias(&down, (sizes.width, sizes.hidden), sizes.residual_gain())?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down.forward(&ops::gelu_tanh(&self.up.forward(x)?)?)
    }
}

/// One pre-norm block.
#[derive(Clone, Debug)]
struct Block {
    ln1: LayerNorm,
    attention: Attention,
    ln2: LayerNorm,
    mlp: Mlp,
}

impl Block {
    fn new(prefix: &str, sizes: &Sizes, weights: &Weights) -> Result<Self> {
        Ok(Self {
            ln1: weights.layer_norm(&format!("{prefix}.ln1"), sizes.width, sizes.eps)?,
            attention: Attention::new(prefix, sizes, weights)?,
            ln2: weights.layer_norm(&format!("{prefix}.ln2"), sizes.width, sizes.eps)?,
            mlp: Mlp::new(prefix, sizes, weights)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let normal = self.ln1.forward(x)?;
        let x = (x + self.attention.forward(&normal, &normal)?)?;
        Ok((&x + self.mlp.forward(&self.ln2.forward(&x)?)?)?)
    }
}

/// The blocks of a tower, and its last norm.
#[derive(Clone, Debug)]
pub(super) struct Tower {
    blocks: Vec<Block>,
    post_ln: LayerNorm,
}

impl Tower {
    /// Names `{prefix}.blk.N.…` and `{prefix}.post_ln`.
    pub fn new(prefix: &str, sizes: &Sizes, weights: &Weights) -> Result<Self> {
        let block = |n| Block::new(&format!("{prefix}.blk.{n}"), sizes, weights);
        Ok(Self {
            blocks: (0..sizes.blocks).map(block).collect::<Result<_>>()?,
            post_ln: weights.layer_norm(&format!("{prefix}.post_ln"), sizes.width, sizes.eps)?,
        })
    }

    /// `[B,T,Dv] -> [B,T,Dv]`, after the last norm; `watch` sees each block's output.
    pub fn forward(&self, x: Tensor, watch: &mut dyn FnMut(usize, &Tensor)) -> Result<Tensor> {
        let mut x = x;
        for (n, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x)?;
            watch(n, &x);
        }
        self.post_ln.forward(&x)
    }
}
