//! Values to blocks of a GGML type, and what the blocks say the values are.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};

use proact::error::{Error, Result};
use proact::model::gguf::{GgmlType, Storage};

/// Blocks of a tensor and the values that a reader will get from them.
pub struct Encoded {
    /// As they stand in the file.
    pub blocks: Vec<u8>,
    /// What a reader will compute with, row-major.
    pub values: Vec<f32>,
}

/// Packs values `shape` (row-major) into blocks.
///
/// # Errors
/// A value is not finite, or too large for the type; rows are not whole blocks; this program cannot
/// write the type.
pub fn encode(name: &str, values: &[f32], shape: &[usize], ty: GgmlType) -> Result<Encoded> {
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        return Err(Error::Model(format!(
            "tensor `{name}`: weight {at} is {}, expected a finite number",
            values[at]
        )));
    }
    let encoded = match ty.storage() {
        Some(Storage::Dense(DType::F32)) => Encoded {
            blocks: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            values: values.to_vec(),
        },
        Some(Storage::Dense(DType::F16)) => {
            let halves: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
            Encoded {
                blocks: halves.iter().flat_map(|v| v.to_le_bytes()).collect(),
                values: halves.iter().map(|v| v.to_f32()).collect(),
            }
        }
        Some(Storage::Dense(DType::BF16)) => {
            let halves: Vec<bf16> = values.iter().map(|&v| bf16::from_f32(v)).collect();
            Encoded {
                blocks: halves.iter().flat_map(|v| v.to_le_bytes()).collect(),
                values: halves.iter().map(|v| v.to_f32()).collect(),
            }
        }
        Some(Storage::Quantized(dtype)) => quantized(values, shape, dtype)?,
        _ => {
            return Err(Error::Invalid(format!(
                "tensor `{name}`: cannot write type {ty}"
            )));
        }
    };
    if let Some(at) = encoded.values.iter().position(|v| !v.is_finite()) {
        return Err(Error::Model(format!(
            "tensor `{name}`: weight {at} is too large for {ty}; keep it F32 in the recipe"
        )));
    }
    Ok(encoded)
}

fn quantized(values: &[f32], shape: &[usize], dtype: GgmlDType) -> Result<Encoded> {
    let device = Device::Cpu;
    let blocks = QTensor::quantize(&Tensor::from_slice(values, shape, &device)?, dtype)?;
    let values = blocks.dequantize(&device)?.flatten_all()?.to_vec1()?;
    Ok(Encoded {
        blocks: blocks.data()?.into_owned(),
        values,
    })
}
