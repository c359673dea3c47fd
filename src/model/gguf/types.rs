//! The block formats a GGUF tensor can have: how many values and bytes a block holds, and which of
//! them candle computes with.

use std::fmt;

use candle_core::DType;
use candle_core::quantized::GgmlDType;

/// A block format, by ggml's name for it.
///
/// All formats that ggml 2025 defines are listed, so that a foreign file can be inspected;
/// [`GgmlType::storage`] tells which of them can be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GgmlType(&'static Row);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Row {
    id: u32,
    name: &'static str,
    values: u64,
    bytes: u64,
}

/// How candle holds a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// One number after the other.
    Dense(DType),
    /// Blocks.
    Quantized(GgmlDType),
}

const fn row(id: u32, name: &'static str, values: u64, bytes: u64) -> Row {
    Row {
        id,
        name,
        values,
        bytes,
    }
}

/// Source: `GGML_QUANT_SIZES` of gguf-py 0.19 (`gguf/constants.py`).
static TABLE: &[Row] = &[
    row(0, "F32", 1, 4),
    row(1, "F16", 1, 2),
    row(2, "Q4_0", 32, 18),
    row(3, "Q4_1", 32, 20),
    row(6, "Q5_0", 32, 22),
    row(7, "Q5_1", 32, 24),
    row(8, "Q8_0", 32, 34),
    row(9, "Q8_1", 32, 40),
    row(10, "Q2_K", 256, 84),
    row(11, "Q3_K", 256, 110),
    row(12, "Q4_K", 256, 144),
    row(13, "Q5_K", 256, 176),
    row(14, "Q6_K", 256, 210),
    row(15, "Q8_K", 256, 292),
    row(16, "IQ2_XXS", 256, 66),
    row(17, "IQ2_XS", 256, 74),
    row(18, "IQ3_XXS", 256, 98),
    row(19, "IQ1_S", 256, 50),
    row(20, "IQ4_NL", 32, 18),
    row(21, "IQ3_S", 256, 110),
    row(22, "IQ2_S", 256, 82),
    row(23, "IQ4_XS", 256, 136),
    row(24, "I8", 1, 1),
    row(25, "I16", 1, 2),
    row(26, "I32", 1, 4),
    row(27, "I64", 1, 8),
    row(28, "F64", 1, 8),
    row(29, "IQ1_M", 256, 56),
    row(30, "BF16", 1, 2),
    row(34, "TQ1_0", 256, 54),
    row(35, "TQ2_0", 256, 66),
    row(39, "MXFP4", 32, 17),
];

macro_rules! named {
    ($($(#[$doc:meta])* $name:ident = $id:literal),* $(,)?) => {
        impl GgmlType {
            $($(#[$doc])* pub const $name: GgmlType = GgmlType(&TABLE[index_of($id)]);)*
        }
    };
}

const fn index_of(id: u32) -> usize {
    let mut i = 0;
    while TABLE[i].id != id {
        i += 1;
    }
    i
}

named! {
    /// 32-bit floats.
    F32 = 0,
    /// 16-bit floats.
    F16 = 1,
    /// bfloat16.
    BF16 = 30,
    /// 4 bits, a scale per 32 values.
    Q4_0 = 2,
    /// 4 bits, scale and minimum per 32 values.
    Q4_1 = 3,
    /// 5 bits, a scale per 32 values.
    Q5_0 = 6,
    /// 5 bits, scale and minimum per 32 values.
    Q5_1 = 7,
    /// 8 bits, a scale per 32 values.
    Q8_0 = 8,
    /// 4 bits, super-blocks of 256 values.
    Q4_K = 12,
    /// 5 bits, super-blocks of 256 values.
    Q5_K = 13,
    /// 6 bits, super-blocks of 256 values.
    Q6_K = 14,
}

impl GgmlType {
    /// The format with ggml's number; `None` for a number that is not (or no longer) in use.
    pub fn from_id(id: u32) -> Option<Self> {
        TABLE.iter().find(|row| row.id == id).map(GgmlType)
    }

    /// ggml's number.
    pub fn id(self) -> u32 {
        self.0.id
    }

    /// ggml's name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Values in a block; a row must be whole blocks.
    pub fn block_values(self) -> u64 {
        self.0.values
    }

    /// Bytes of a tensor; `None` when the number does not exist or the rows are not whole blocks.
    /// `shape` is row-major: the last number is the length of a row.
    pub fn byte_len(self, shape: &[u64]) -> Option<u64> {
        if !shape.last()?.is_multiple_of(self.0.values) {
            return None;
        }
        let count = shape
            .iter()
            .try_fold(1u64, |product, &d| product.checked_mul(d))?;
        (count / self.0.values).checked_mul(self.0.bytes)
    }

    /// How candle holds it; `None` when this program cannot compute with it.
    pub fn storage(self) -> Option<Storage> {
        Some(match self {
            Self::F32 => Storage::Dense(DType::F32),
            Self::F16 => Storage::Dense(DType::F16),
            Self::BF16 => Storage::Dense(DType::BF16),
            Self::Q4_0 => Storage::Quantized(GgmlDType::Q4_0),
            Self::Q4_1 => Storage::Quantized(GgmlDType::Q4_1),
            Self::Q5_0 => Storage::Quantized(GgmlDType::Q5_0),
            Self::Q5_1 => Storage::Quantized(GgmlDType::Q5_1),
            Self::Q8_0 => Storage::Quantized(GgmlDType::Q8_0),
            Self::Q4_K => Storage::Quantized(GgmlDType::Q4K),
            Self::Q5_K => Storage::Quantized(GgmlDType::Q5K),
            Self::Q6_K => Storage::Quantized(GgmlDType::Q6K),
            _ => return None,
        })
    }
}

impl fmt::Display for GgmlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_sizes_agree_with_candles() {
        let mut checked = 0;
        for row in TABLE {
            if let Some(Storage::Quantized(dtype)) = GgmlType(row).storage() {
                assert_eq!(row.values, dtype.block_size() as u64, "{}", row.name);
                assert_eq!(row.bytes, dtype.type_size() as u64, "{}", row.name);
                checked += 1;
            }
        }
        assert_eq!(checked, 8);
    }

    #[test]
    fn byte_len_needs_whole_blocks_and_existing_numbers() {
        assert_eq!(GgmlType::Q4_K.byte_len(&[3, 512]), Some(3 * 2 * 144));
        assert_eq!(GgmlType::Q4_K.byte_len(&[512, 32]), None, "row of 32");
        assert_eq!(
            GgmlType::F32.byte_len(&[1 << 33, 1 << 33]),
            None,
            "product wraps"
        );
        assert_eq!(GgmlType::F32.byte_len(&[1 << 62]), None, "bytes wrap");
        assert_eq!(GgmlType::F32.byte_len(&[]), None);
    }
}
