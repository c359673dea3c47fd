//! Products with weights whose block format candle has no vector code for: Q4_1, as in many small
//! GGUF files.
//!
//! Candle rounds the activations to 8 bits and multiplies without vector instructions; here both
//! meet as f32.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::kernels;

/// Rows of the matrix that a thread takes at a time.
const ROWS_AT_ONCE: usize = 64;

/// A matrix `[out, in]` in Q4_1 blocks.
#[derive(Clone, Debug)]
pub(super) struct Packed(Arc<QTensor>);

impl Packed {
    /// The matrix, if it is of this kind and on the CPU.
    pub fn of(weight: &Arc<QTensor>) -> Option<Self> {
        let fits =
            weight.dtype() == GgmlDType::Q4_1 && weight.device().is_cpu() && weight.rank() == 2;
        fits.then(|| Self(Arc::clone(weight)))
    }

    /// `[N, in] -> [N, out]`.
    pub fn times(&self, rows: &Tensor) -> Result<Tensor> {
        let (outs, cols) = self.0.shape().dims2()?;
        let (count, width) = rows.dims2()?;
        if width != cols {
            return Err(Error::Tensor(format!(
                "rows of {width} for a matrix [{outs}, {cols}]"
            )));
        }
        let x: Vec<f32> = rows.flatten_all()?.to_vec1()?;
        let blocks = self.0.data()?;
        let mut y = vec![0f32; outs * count];
        if count > 0 {
            let parts = blocks.par_chunks(ROWS_AT_ONCE * blocks.len() / outs);
            y.par_chunks_mut(ROWS_AT_ONCE * count)
                .zip(parts)
                .for_each(|(y, blocks)| kernels::q4_1_product(blocks, &x, cols, y));
        }
        Ok(Tensor::from_vec(y, (outs, count), &Device::Cpu)?
            .t()?
            .contiguous()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::nn::Linear;
    use crate::model::weights::Stored;

    #[test]
    fn a_layer_of_q4_1_gives_what_its_expanded_weights_give() {
        let weight = Tensor::randn(0f32, 0.5, (130, 96), &Device::Cpu).unwrap();
        let blocks = Arc::new(QTensor::quantize(&weight, GgmlDType::Q4_1).unwrap());
        let expanded = blocks.dequantize(&Device::Cpu).unwrap();
        let layer = Linear::new(Stored::Quantized(blocks), None).unwrap();
        for count in [1, 2, 7] {
            let x = Tensor::randn(0f32, 1.0, (count, 96), &Device::Cpu).unwrap();
            let (got, expected) = (
                layer.forward(&x).unwrap(),
                x.matmul(&expanded.t().unwrap()).unwrap(),
            );
            let worst = (got - expected)
                .unwrap()
                .abs()
                .unwrap()
                .max_all()
                .unwrap()
                .to_scalar::<f32>()
                .unwrap();
            assert!(worst < 1e-4, "{count} rows: {worst}");
        }
        let narrow = Tensor::zeros((1, 64), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(
            layer
                .forward(&narrow)
                .unwrap_err()
                .to_string()
                .contains("rows of 64")
        );
    }
}
