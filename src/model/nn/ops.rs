//! Every operation that exists twice, fused and differentiable: one function each, so that either
//! can be replaced by a kernel without touching a model text. The tensors tell which is needed.

use candle_core::{D, DType, Tensor};

use super::{RopeTable, bound};
use crate::error::Result;

/// Query rows that attention looks at in one go: bounds the scores to `H x 128 x S` floats, and
/// leaves out the half that no query may look at.
const QUERY_ROWS: usize = 128;

/// `true` when a gradient has to come back through one of these: candle's fused operations would
/// stop it, silently.
fn learns(tensors: &[&Tensor]) -> bool {
    tensors.iter().any(|tensor| tensor.track_op())
}

/// `x / sqrt(mean(x^2) + eps) * weight` over the last dimension.
///
/// # Errors
/// The weight has another width.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    if bound::fits(x) {
        return Ok(bound::rms_norm(x, weight, eps as f32)?);
    }
    if learns(&[x, weight]) {
        let mean_square = x.sqr()?.mean_keepdim(D::Minus1)?;
        return Ok(x
            .broadcast_div(&(mean_square + eps)?.sqrt()?)?
            .broadcast_mul(weight)?);
    }
    let x = x.contiguous()?;
    Ok(candle_nn::ops::rms_norm(&x, weight, eps as f32)?)
}

/// `(x - mean) / sqrt(variance + eps) * weight + bias` over the last dimension.
///
/// # Errors
/// Weight or bias have another width.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    if bound::fits(x) {
        return Ok(bound::layer_norm(x, weight, bias, eps as f32)?);
    }
    if learns(&[x, weight, bias]) {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let normal = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
        return Ok(normal.broadcast_mul(weight)?.broadcast_add(bias)?);
    }
    let x = x.contiguous()?;
    Ok(candle_nn::ops::layer_norm(&x, weight, bias, eps as f32)?)
}

/// GELU in its tanh form (SigLIP). Candle's has a gradient.
///
/// # Errors
/// The arithmetic failed.
pub fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    if bound::fits(x) {
        return Ok(bound::gelu_tanh(x)?);
    }
    Ok(x.gelu()?)
}

/// GELU by the error function (projector and heads). Candle's has a gradient.
///
/// # Errors
/// The arithmetic failed.
pub fn gelu_erf(x: &Tensor) -> Result<Tensor> {
    Ok(x.gelu_erf()?)
}

/// `silu(gate) * up`. Candle's has a gradient.
///
/// # Errors
/// The shapes differ.
pub fn silu_gate(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if bound::fits(gate) {
        return Ok(bound::silu_gate(gate, up)?);
    }
    Ok((gate.silu()? * up)?)
}

/// Rotates neighbouring pairs `(2i, 2i+1)` of each head, llama.cpp's order: x `[B,H,T,Hd]`, table
/// of T positions.
///
/// # Errors
/// The table has another width or fewer rows.
pub fn rope(x: &Tensor, table: &RopeTable) -> Result<Tensor> {
    if bound::fits(x) {
        return Ok(bound::rope(x, &table.cos, &table.sin)?);
    }
    let RopeTable { cos, sin } = table;
    if learns(&[x]) {
        return Ok(candle_nn::rotary_emb::rope_i_slow(x, cos, sin)?);
    }
    Ok(candle_nn::rotary_emb::rope_i(&x.contiguous()?, cos, sin)?)
}

/// Softmax over the last dimension.
///
/// # Errors
/// The arithmetic failed.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    if learns(&[x]) {
        // Softmax does not change with a shift, so the maximum needs no gradient.
        let top = x.max_keepdim(D::Minus1)?.detach();
        let powers = x.broadcast_sub(&top)?.exp()?;
        return Ok(powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?);
    }
    Ok(candle_nn::ops::softmax_last_dim(x)?)
}

/// Which keys a query may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// All of them.
    All,
    /// Query t looks at keys 0 to `past + t`.
    Causal {
        /// Keys in front of the first query.
        past: usize,
    },
}

/// Softmax attention: q `[B,H,T,Hd]`; k, v `[B,Hkv,S,Hd]`, which may be views with gaps; result
/// `[B,H,T,Hd]`. Query head h reads key head `h / (H / Hkv)`.
///
/// # Errors
/// The shapes do not fit.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: Mask) -> Result<Tensor> {
    let t = q.dim(2)?;
    match mask {
        Mask::Causal { past } if t > QUERY_ROWS => {
            let part = |start: usize| {
                let rows = QUERY_ROWS.min(t - start);
                let seen = past + start + rows;
                let q = q.narrow(2, start, rows)?;
                let (k, v) = (k.narrow(2, 0, seen)?, v.narrow(2, 0, seen)?);
                attend(&q, &k, &v, Mask::Causal { past: past + start })
            };
            let parts: Result<Vec<_>> = (0..t).step_by(QUERY_ROWS).map(part).collect();
            Ok(Tensor::cat(&parts?, 2)?)
        }
        _ => attend(q, k, v, mask),
    }
}

fn attend(q: &Tensor, k: &Tensor, v: &Tensor, mask: Mask) -> Result<Tensor> {
    let (b, h, t, hd) = q.dims4()?;
    let (_, hkv, s, _) = k.dims4()?;
    let group = h / hkv.max(1);
    let scale = (hd as f64).powf(-0.5);
    // The query heads of one key head stand behind each other: [B,H,T,Hd] -> [B,Hkv,group*T,Hd].
    let q = q.contiguous()?.reshape((b, hkv, group * t, hd))?;
    let mut scores = q.matmul(&k.t()?)?;
    if bound::fits(&scores) {
        let causal = matches!(mask, Mask::Causal { .. });
        let weights = bound::softmax(&scores.reshape((b, h, t, s))?, scale as f32, causal)?;
        return Ok(weights
            .reshape((b, hkv, group * t, s))?
            .matmul(v)?
            .reshape((b, h, t, hd))?);
    }
    scores = (scores * scale)?;
    if let Mask::Causal { past } = mask
        && t > 1
    {
        let mask = causal_mask(t, s, past, &scores)?;
        scores = scores
            .reshape((b, h, t, s))?
            .broadcast_add(&mask)?
            .reshape((b, hkv, group * t, s))?;
    }
    Ok(softmax(&scores)?.matmul(v)?.reshape((b, h, t, hd))?)
}

/// `[T,S]`: 0 where query t may look, minus infinity elsewhere.
fn causal_mask(t: usize, s: usize, past: usize, like: &Tensor) -> Result<Tensor> {
    let cell = |i: usize| {
        if i % s > past + i / s {
            f32::NEG_INFINITY
        } else {
            0.0
        }
    };
    let mask: Vec<f32> = (0..t * s).map(cell).collect();
    Ok(
        Tensor::from_vec(mask, (t, s), like.device())?.to_dtype(match like.dtype() {
            DType::F16 => DType::F16,
            other => other,
        })?,
    )
}
