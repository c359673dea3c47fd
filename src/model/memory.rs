//! The KV cache: keys and values of every block, allocated once, written in place and read as
//! views.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};

use super::nn::{Rope, ops};
use super::{Mark, Memory};
use crate::error::{Error, Result};

/// Sizes of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySizes {
    /// Blocks of the backbone.
    pub blocks: usize,
    /// Key and value heads.
    pub heads: usize,
    /// Width of a head: Hd, even.
    pub head_width: usize,
    /// Positions at most: C.
    pub capacity: usize,
}

/// Keys (rotated) and values of one block, each `[1,Hkv,C,Hd]`.
#[derive(Debug)]
struct Layer {
    keys: Tensor,
    values: Tensor,
}

/// What a backbone has read.
#[derive(Debug)]
pub struct KvMemory {
    layers: Vec<Layer>,
    sizes: MemorySizes,
    rope: Rope,
    len: usize,
}

impl KvMemory {
    /// An empty cache; `rope` must be the backbone's own, it moves keys when a range is evicted.
    ///
    /// # Errors
    /// The allocation failed.
    pub fn new(sizes: MemorySizes, rope: Rope, device: &Device) -> Result<Self> {
        let shape = (1, sizes.heads, sizes.capacity, sizes.head_width);
        let layer = |_| -> Result<Layer> {
            Ok(Layer {
                keys: Tensor::zeros(shape, DType::F32, device)?,
                values: Tensor::zeros(shape, DType::F32, device)?,
            })
        };
        Ok(Self {
            layers: (0..sizes.blocks).map(layer).collect::<Result<_>>()?,
            sizes,
            rope,
            len: 0,
        })
    }

    /// Its sizes.
    pub fn sizes(&self) -> MemorySizes {
        self.sizes
    }

    /// There is room for `needed` positions more.
    ///
    /// # Errors
    /// [`Error::MemoryFull`].
    pub(super) fn reserve(&self, needed: usize) -> Result<()> {
        if needed <= self.sizes.capacity - self.len {
            return Ok(());
        }
        Err(Error::MemoryFull {
            tokens: self.len,
            needed,
            capacity: self.sizes.capacity,
        })
    }

    /// Writes one block's keys and values `[1,Hkv,T,Hd]` behind the end and gives views
    /// `[1,Hkv,len+T,Hd]` of everything. The end moves with [`KvMemory::advance`], so a failure
    /// half-way leaves it as it was.
    pub(super) fn write(
        &mut self,
        block: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let layer = self
            .layers
            .get(block)
            .ok_or_else(|| Error::Model(format!("memory has no block {block}")))?;
        layer.keys.slice_set(&keys.contiguous()?, 2, self.len)?;
        layer.values.slice_set(&values.contiguous()?, 2, self.len)?;
        let end = self.len + keys.dim(2)?;
        Ok((
            layer.keys.narrow(2, 0, end)?,
            layer.values.narrow(2, 0, end)?,
        ))
    }

    /// Moves the end behind what was written.
    pub(super) fn advance(&mut self, count: usize) {
        self.len += count;
    }

    /// Keys and values `[1,Hkv,len,Hd]` of a block, as copies: for tests and inspection.
    ///
    /// # Errors
    /// There is no such block.
    pub fn block(&self, block: usize) -> Result<(Tensor, Tensor)> {
        let layer = self
            .layers
            .get(block)
            .ok_or_else(|| Error::Model(format!("memory has no block {block}")))?;
        Ok((
            layer.keys.narrow(2, 0, self.len)?.copy()?,
            layer.values.narrow(2, 0, self.len)?.copy()?,
        ))
    }
}

impl Memory for KvMemory {
    fn len(&self) -> usize {
        self.len
    }

    fn capacity(&self) -> usize {
        self.sizes.capacity
    }

    fn rewind(&mut self, mark: Mark) -> Result<()> {
        if mark.0 > self.len {
            return Err(Error::Invalid(format!(
                "mark {} lies behind the end of memory at {}",
                mark.0, self.len
            )));
        }
        self.len = mark.0;
        Ok(())
    }

    /// Keys behind the range are turned back by its length: exact, for rotations add up. What they
    /// contain is unchanged: above the first block they remember what has been evicted, so they
    /// differ from a fresh reading of the shortened sequence. The first block's are the same.
    fn evict(&mut self, range: Range<usize>) -> Result<()> {
        if range.start > range.end || range.end > self.len {
            return Err(Error::Invalid(format!(
                "range {range:?} does not lie within the {} positions of memory",
                self.len
            )));
        }
        let (gone, kept) = (range.len(), self.len - range.end);
        if gone > 0 && kept > 0 {
            let back = self.rope.table_back(gone, kept)?;
            for layer in &self.layers {
                let keys = layer.keys.narrow(2, range.end, kept)?.copy()?;
                let values = layer.values.narrow(2, range.end, kept)?.copy()?;
                layer
                    .keys
                    .slice_set(&ops::rope(&keys, &back)?, 2, range.start)?;
                layer
                    .values
                    .slice_set(&values.contiguous()?, 2, range.start)?;
            }
        }
        self.len -= gone;
        Ok(())
    }
}
