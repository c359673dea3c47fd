//! First values of trainable tensors: a pure function of seed and name, so that no order of loading
//! changes them.

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::rng::Rng;

/// How a new tensor is filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// The same number everywhere: 1 for norms, 0 for biases.
    Constant(f64),
    /// Normal with this standard deviation.
    Normal(f64),
    /// Normal with standard deviation `gain / sqrt(fan in)`; fan in is the product of all but the
    /// first dimension.
    FanIn(f64),
}

/// A new tensor.
///
/// # Errors
/// The device refused it.
pub fn fresh(
    seed: u64,
    name: &str,
    shape: &[usize],
    init: Init,
    device: &Device,
) -> Result<Tensor> {
    let count: usize = shape.iter().product();
    let std = match init {
        Init::Constant(value) => {
            return Ok(Tensor::from_vec(vec![value as f32; count], shape, device)?);
        }
        Init::Normal(std) => std,
        Init::FanIn(gain) => gain / (shape.iter().skip(1).product::<usize>().max(1) as f64).sqrt(),
    };
    let mut rng = Rng::of_tensor(seed, name);
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let (a, b) = rng.normal_pair();
        values.push((a * std) as f32);
        values.push((b * std) as f32);
    }
    values.truncate(count);
    Ok(Tensor::from_vec(values, shape, device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_follow_from_seed_and_name_alone() -> Result<()> {
        let draw = |seed, name| -> Result<Vec<f32>> {
            Ok(
                fresh(seed, name, &[64, 65], Init::Normal(0.5), &Device::Cpu)?
                    .flatten_all()?
                    .to_vec1()?,
            )
        };
        let a = draw(1, "blk.0.attn_q.weight")?;
        assert_eq!(a, draw(1, "blk.0.attn_q.weight")?);
        assert_ne!(a, draw(2, "blk.0.attn_q.weight")?);
        assert_ne!(a, draw(1, "blk.1.attn_q.weight")?);
        let mean = a.iter().sum::<f32>() / a.len() as f32;
        let std = (a.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / a.len() as f32).sqrt();
        assert!(
            mean.abs() < 0.03 && (std - 0.5).abs() < 0.02,
            "mean {mean}, std {std}"
        );
        Ok(())
    }
}
