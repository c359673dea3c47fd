//! The Llama: grouped-query attention, rotary positions in llama.cpp's order, gated feed-forward,
//! tied or own output.

use candle_core::{D, Device, Tensor};

use super::Memory as _;
use super::config::BackboneConfig;
use super::memory::{KvMemory, MemorySizes};
use super::nn::ops::{self, Mask};
use super::nn::{Embedding, Linear, RmsNorm, Rope, RopeTable};
use super::weights::{Init, Weights};
use crate::error::{Error, Result};

/// One block.
#[derive(Clone, Debug)]
struct Block {
    attn_norm: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    ffn_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Block {
    fn new(n: usize, c: &BackboneConfig, weights: &Weights) -> Result<Self> {
        let name = |part: &str| format!("blk.{n}.{part}");
        let (d, f) = (c.embedding_length, c.feed_forward_length);
        let (queries, keys) = (c.head_count * c.key_length, c.head_count_kv * c.key_length);
        // Keeps the sum of the residual branches near the size of one (Radford et al., GPT-2,
        // section 2.3).
        let residual_gain = (2.0 * c.block_count as f64).sqrt().recip();
        Ok(Self {
            attn_norm: weights.rms_norm(&name("attn_norm"), d, c.rms_eps)?,
            q: weights.linear(&name("attn_q"), (queries, d), 1.0)?,
            k: weights.linear(&name("attn_k"), (keys, d), 1.0)?,
            v: weights.linear(&name("attn_v"), (keys, d), 1.0)?,
            out: weights.linear(&name("attn_output"), (d, queries), residual_gain)?,
            ffn_norm: weights.rms_norm(&name("ffn_norm"), d, c.rms_eps)?,
            gate: weights.linear(&name("ffn_gate"), (f, d), 1.0)?,
            up: weights.linear(&name("ffn_up"), (f, d), 1.0)?,
            down: weights.linear(&name("ffn_down"), (d, f), residual_gain)?,
        })
    }
}

/// Where a block's earlier keys and values lie.
enum Cache<'a> {
    /// There are none: the whole sequence is given at once.
    None,
    /// In memory.
    Memory(&'a mut KvMemory),
}

/// The backbone with its weights; what it has read lies in a [`KvMemory`].
#[derive(Clone, Debug)]
pub struct Llama {
    config: BackboneConfig,
    tokens: Embedding,
    blocks: Vec<Block>,
    norm: RmsNorm,
    output: Linear,
    rope: Rope,
    device: Device,
}

impl Llama {
    /// Takes its tensors (`token_embd`, `rope_freqs`, `blk.N.…`, `output_norm`, `output`) from
    /// `weights`, in this order.
    ///
    /// # Errors
    /// The configuration is not valid; a tensor is missing or has another shape.
    pub fn new(config: &BackboneConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let c = config;
        let table = Init::Normal((c.embedding_length as f64).sqrt().recip());
        let tokens = weights.embedding("token_embd", c.vocab_size, c.embedding_length, table)?;
        let factors = match c.rope_factors {
            true => Some(
                weights
                    .constant("rope_freqs.weight", &[c.key_length / 2])?
                    .to_vec1::<f32>()?,
            ),
            false => None,
        };
        Ok(Self {
            blocks: (0..c.block_count)
                .map(|n| Block::new(n, c, weights))
                .collect::<Result<_>>()?,
            norm: weights.rms_norm("output_norm", c.embedding_length, c.rms_eps)?,
            output: match c.tied_output {
                true => Linear::tied(&tokens)?,
                false => weights.linear("output", (c.vocab_size, c.embedding_length), 1.0)?,
            },
            tokens,
            rope: Rope::new(
                c.key_length,
                c.rope_freq_base,
                factors.as_deref(),
                weights.device(),
            )?,
            device: weights.device().clone(),
            config: config.clone(),
        })
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// An empty memory of `capacity` positions.
    ///
    /// # Errors
    /// The allocation failed.
    pub fn memory(&self, capacity: usize) -> Result<KvMemory> {
        KvMemory::new(self.memory_sizes(capacity), self.rope.clone(), &self.device)
    }

    fn memory_sizes(&self, capacity: usize) -> MemorySizes {
        let c = &self.config;
        MemorySizes {
            blocks: c.block_count,
            heads: c.head_count_kv,
            head_width: c.key_length,
            capacity,
        }
    }

    /// Rows of the token table: ids `[N] -> [N,D]`.
    ///
    /// # Errors
    /// An id has no row.
    pub fn embed_tokens(&self, ids: &[u32]) -> Result<Tensor> {
        self.tokens.lookup(ids)
    }

    /// Scores of every token: hidden `[…,D] -> […,vocab]`.
    ///
    /// # Errors
    /// The width is not D.
    pub fn lm_head(&self, hidden: &Tensor) -> Result<Tensor> {
        self.output.forward(hidden)
    }

    /// The whole sequence at once, each position seeing itself and those before it: embeds
    /// `[B,T,D]` -> hidden `[B,T,D]` after the final norm. Padding belongs at the right, where
    /// nothing sees it.
    ///
    /// # Errors
    /// The shape does not fit.
    pub fn forward(&self, embeds: &Tensor) -> Result<Tensor> {
        self.forward_watched(embeds, &mut |_, _| {})
    }

    /// As [`Llama::forward`]; `watch` sees each block's number and output `[B,T,D]`.
    ///
    /// # Errors
    /// The shape does not fit.
    pub fn forward_watched(
        &self,
        embeds: &Tensor,
        watch: &mut dyn FnMut(usize, &Tensor),
    ) -> Result<Tensor> {
        self.check(embeds)?;
        let table = self.rope.table(0, embeds.dim(1)?)?;
        let mut x = embeds.clone();
        for (n, block) in self.blocks.iter().enumerate() {
            x = self.block(n, block, &x, &table, &mut Cache::None)?;
            watch(n, &x);
        }
        self.norm.forward(&x)
    }

    /// Reads embeds `[1,T,D]` behind what memory holds and gives the hidden state `[1,D]` of the
    /// last position, after the final norm. After an error memory is as it was.
    ///
    /// # Errors
    /// The shape does not fit; memory is another backbone's; [`Error::MemoryFull`].
    pub fn extend_embeds(&self, embeds: &Tensor, memory: &mut KvMemory) -> Result<Tensor> {
        let t = self.check(embeds)?;
        if embeds.dim(0)? != 1 || memory.sizes() != self.memory_sizes(memory.capacity()) {
            return Err(Error::Invalid(format!(
                "memory of sizes {:?} does not fit a batch of {} for this backbone",
                memory.sizes(),
                embeds.dim(0)?
            )));
        }
        memory.reserve(t)?;
        let table = self.rope.table(memory.len(), t)?;
        let mut x = embeds.clone();
        for (n, block) in self.blocks.iter().enumerate() {
            x = self.block(n, block, &x, &table, &mut Cache::Memory(memory))?;
        }
        memory.advance(t);
        self.norm.forward(&x.narrow(1, t - 1, 1)?.squeeze(1)?)
    }

    /// The embeds are `[B,T,D]` with T of at least 1; gives T.
    fn check(&self, embeds: &Tensor) -> Result<usize> {
        let (b, t, d) = embeds.dims3()?;
        if b == 0 || t == 0 || d != self.config.embedding_length {
            return Err(Error::Invalid(format!(
                "embeds of {b}x{t}x{d}: expected at least one position of width {}",
                self.config.embedding_length
            )));
        }
        Ok(t)
    }

    fn block(
        &self,
        n: usize,
        block: &Block,
        x: &Tensor,
        table: &RopeTable,
        cache: &mut Cache<'_>,
    ) -> Result<Tensor> {
        let x = (x + self.attention(n, block, &block.attn_norm.forward(x)?, table, cache)?)?;
        let normal = block.ffn_norm.forward(&x)?;
        let gated = ops::silu_gate(&block.gate.forward(&normal)?, &block.up.forward(&normal)?)?;
        Ok((&x + block.down.forward(&gated)?)?)
    }

    /// `[B,T,D] -> [B,T,D]`.
    fn attention(
        &self,
        n: usize,
        block: &Block,
        x: &Tensor,
        table: &RopeTable,
        cache: &mut Cache<'_>,
    ) -> Result<Tensor> {
        let c = &self.config;
        let (b, t, _) = x.dims3()?;
        // [B,T,H*Hd] -> [B,H,T,Hd]
        let split = |y: Tensor, heads: usize| -> Result<Tensor> {
            Ok(y.reshape((b, t, heads, c.key_length))?
                .transpose(1, 2)?
                .contiguous()?)
        };
        let q = ops::rope(&split(block.q.forward(x)?, c.head_count)?, table)?;
        let k = ops::rope(&split(block.k.forward(x)?, c.head_count_kv)?, table)?;
        let v = split(block.v.forward(x)?, c.head_count_kv)?;
        let (k, v) = match cache {
            Cache::None => (k, v),
            Cache::Memory(memory) => memory.write(n, &k, &v)?,
        };
        let mask = Mask::Causal {
            past: k.dim(2)? - t,
        };
        let y = ops::attention(&q, &k, &v, mask)?;
        block
            .out
            .forward(&y.transpose(1, 2)?.contiguous()?.flatten_from(D::Minus2)?)
    }
}
