//! Hyper-parameters as GGUF metadata: llama.cpp's key names, typed values, strict reading.
//!
//! The GGUF reader hands a look-up function in, the writer takes the list of pairs; neither is
//! known here.

mod assistant;
#[cfg(test)]
mod tests;
mod vision;

use crate::error::{Error, Result};
use crate::units::TokenId;

/// `general.architecture` of the assistant file.
pub const ASSISTANT_ARCHITECTURE: &str = "dstproact";
/// `general.architecture` of the vision file.
pub const VISION_ARCHITECTURE: &str = "clip";

/// A value of GGUF metadata, with the type it has in the file.
#[derive(Clone, Debug, PartialEq)]
pub enum MetaValue {
    /// 8 bits, unsigned.
    U8(u8),
    /// 8 bits, signed.
    I8(i8),
    /// 16 bits, unsigned.
    U16(u16),
    /// 16 bits, signed.
    I16(i16),
    /// 32 bits, unsigned: the type of most sizes.
    U32(u32),
    /// 32 bits, signed.
    I32(i32),
    /// 64 bits, unsigned.
    U64(u64),
    /// 64 bits, signed.
    I64(i64),
    /// Single precision.
    F32(f32),
    /// Double precision.
    F64(f64),
    /// Yes or no.
    Bool(bool),
    /// UTF-8.
    String(String),
    /// Values of one type.
    Array(Vec<MetaValue>),
}

impl MetaValue {
    /// What the value is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::U8(_) | Self::U16(_) | Self::U32(_) | Self::U64(_) => "an unsigned integer",
            Self::I8(_) | Self::I16(_) | Self::I32(_) | Self::I64(_) => "an integer",
            Self::F32(_) | Self::F64(_) => "a float",
            Self::Bool(_) => "a bool",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
        }
    }

    /// Any integer type that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(v) => Some(v.into()),
            Self::U16(v) => Some(v.into()),
            Self::U32(v) => Some(v.into()),
            Self::U64(v) => Some(v),
            Self::I8(v) => v.try_into().ok(),
            Self::I16(v) => v.try_into().ok(),
            Self::I32(v) => v.try_into().ok(),
            Self::I64(v) => v.try_into().ok(),
            _ => None,
        }
    }

    /// Either float type.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            // Through the shortest decimal, so that 1e-6 stored as f32 is 1e-6 again.
            Self::F32(v) => v.to_string().parse().ok(),
            Self::F64(v) => Some(v),
            _ => None,
        }
    }
}

/// Reads typed values by key; each failure names the key and the expectation.
struct Reader<'a> {
    look_up: &'a dyn Fn(&str) -> Option<MetaValue>,
    prefix: &'static str,
}

impl Reader<'_> {
    fn wrong(key: &str, found: Option<&MetaValue>, expected: &str) -> Error {
        let found = found.map_or("nothing", MetaValue::kind);
        Error::Model(format!(
            "metadata key {key}: found {found}, expected {expected}"
        ))
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn size_at(&self, key: &str) -> Result<usize> {
        let value = (self.look_up)(key);
        value
            .as_ref()
            .and_then(MetaValue::as_u64)
            .and_then(|v| usize::try_from(v).ok())
            .ok_or_else(|| Self::wrong(key, value.as_ref(), "an integer that is not negative"))
    }

    fn size(&self, name: &str) -> Result<usize> {
        self.size_at(&self.key(name))
    }

    fn token_at(&self, key: &str) -> Result<TokenId> {
        u32::try_from(self.size_at(key)?).map(TokenId).map_err(|_| {
            Error::Model(format!(
                "metadata key {key}: expected a token id of 32 bits"
            ))
        })
    }

    fn float(&self, name: &str) -> Result<f64> {
        let key = self.key(name);
        let value = (self.look_up)(&key);
        value
            .as_ref()
            .and_then(MetaValue::as_f64)
            .ok_or_else(|| Self::wrong(&key, value.as_ref(), "a float"))
    }

    fn flag(&self, name: &str) -> Result<bool> {
        let key = self.key(name);
        match (self.look_up)(&key) {
            Some(MetaValue::Bool(v)) => Ok(v),
            other => Err(Self::wrong(&key, other.as_ref(), "a bool")),
        }
    }

    fn text(&self, name: &str) -> Result<String> {
        let key = self.key(name);
        match (self.look_up)(&key) {
            Some(MetaValue::String(v)) => Ok(v),
            other => Err(Self::wrong(&key, other.as_ref(), "a string")),
        }
    }

    /// A word of a fixed set.
    fn word<T: Copy>(&self, name: &str, values: &[T], word: fn(T) -> &'static str) -> Result<T> {
        let found = self.text(name)?;
        values
            .iter()
            .copied()
            .find(|value| word(*value) == found)
            .ok_or_else(|| {
                let all: Vec<&str> = values.iter().map(|value| word(*value)).collect();
                Error::Model(format!(
                    "metadata key {}: found {found:?}, expected one of {all:?}",
                    self.key(name)
                ))
            })
    }

    fn array(&self, name: &str) -> Result<Vec<MetaValue>> {
        let key = self.key(name);
        match (self.look_up)(&key) {
            Some(MetaValue::Array(v)) => Ok(v),
            other => Err(Self::wrong(&key, other.as_ref(), "an array")),
        }
    }

    fn rgb(&self, name: &str) -> Result<[f32; 3]> {
        let wrong = || {
            Error::Model(format!(
                "metadata key {}: expected an array of 3 floats",
                self.key(name)
            ))
        };
        let values: Option<Vec<f32>> = self
            .array(name)?
            .iter()
            .map(|v| v.as_f64().map(|v| v as f32))
            .collect();
        values.and_then(|v| v.try_into().ok()).ok_or_else(wrong)
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let wrong = || {
            Error::Model(format!(
                "metadata key {}: expected an array of floats",
                self.key(name)
            ))
        };
        self.array(name)?
            .iter()
            .map(|v| v.as_f64().map(|v| v as f32))
            .collect::<Option<_>>()
            .ok_or_else(wrong)
    }

    fn sizes(&self, name: &str) -> Result<Vec<usize>> {
        let wrong = || {
            Error::Model(format!(
                "metadata key {}: expected an array of integers that are not negative",
                self.key(name)
            ))
        };
        let to_size = |v: &MetaValue| v.as_u64().and_then(|v| usize::try_from(v).ok());
        self.array(name)?
            .iter()
            .map(to_size)
            .collect::<Option<_>>()
            .ok_or_else(wrong)
    }
}

/// The architecture is the expected one.
fn architecture(look_up: &dyn Fn(&str) -> Option<MetaValue>, expected: &str) -> Result<()> {
    match look_up("general.architecture") {
        Some(MetaValue::String(found)) if found == expected => Ok(()),
        other => Err(Error::Model(format!(
            "metadata key general.architecture: found {other:?}, expected {expected:?}"
        ))),
    }
}

/// A size as llama.cpp stores it.
fn u32_of(key: &str, value: usize) -> Result<MetaValue> {
    u32::try_from(value)
        .map(MetaValue::U32)
        .map_err(|_| Error::Model(format!("metadata key {key}: {value} does not fit 32 bits")))
}

type Pairs = Vec<(String, MetaValue)>;

/// Appends sizes under a prefix.
fn push_sizes(pairs: &mut Pairs, prefix: &str, sizes: &[(&str, usize)]) -> Result<()> {
    for &(name, value) in sizes {
        let key = format!("{prefix}.{name}");
        let value = u32_of(&key, value)?;
        pairs.push((key, value));
    }
    Ok(())
}

fn push(pairs: &mut Pairs, prefix: &str, name: &str, value: MetaValue) {
    pairs.push((format!("{prefix}.{name}"), value));
}
