//! SigLIP's picture tower: a picture to one attention-pooled token, and to pooled patch tokens
//! where asked for.

use candle_core::{Device, Tensor};

use super::config::VisionConfig;
use super::nn::{LayerNorm, Linear};
use super::preprocess::{self, Preprocess};
use super::tower::{Attention, Mlp, Sizes, Tower};
use super::weights::{Init, Stored, Weights};
use crate::error::{Error, Result};

/// Colour channels.
const CHANNELS: usize = 3;

/// SigLIP's attention-pooling head: one learned query looks at all patches.
#[derive(Clone, Debug)]
struct PoolHead {
    probe: Tensor,
    attention: Attention,
    ln: LayerNorm,
    mlp: Mlp,
}

impl PoolHead {
    fn new(sizes: &Sizes, weights: &Weights) -> Result<Self> {
        Ok(Self {
            probe: weights.tensor("v.head.probe.weight", &[sizes.width], Init::Normal(1.0))?,
            attention: Attention::new("v.head", sizes, weights)?,
            ln: weights.layer_norm("v.head.ln", sizes.width, sizes.eps)?,
            mlp: Mlp::new("v.head", sizes, weights)?,
        })
    }

    /// `[B,P,Dv] -> [B,1,Dv]`.
    fn forward(&self, patches: &Tensor) -> Result<Tensor> {
        let (b, _, d) = patches.dims3()?;
        let probe = self
            .probe
            .reshape((1, 1, d))?
            .broadcast_as((b, 1, d))?
            .contiguous()?;
        let pooled = self.attention.forward(&probe, patches)?;
        Ok((&pooled + self.mlp.forward(&self.ln.forward(&pooled)?)?)?)
    }
}

/// The picture tower with its weights.
#[derive(Clone, Debug)]
pub struct Vision {
    config: VisionConfig,
    /// The patch convolution, `[Dv,3,p,p]` and `[Dv]`.
    kernel: Tensor,
    kernel_bias: Tensor,
    position: Tensor,
    tower: Tower,
    head: Option<PoolHead>,
    /// One matrix `[n*n, P]` a grid.
    grids: Vec<Tensor>,
    preprocess: Preprocess,
    device: Device,
}

impl Vision {
    /// Takes its tensors (`v.…`) from `weights`.
    ///
    /// # Errors
    /// The configuration is not valid; a tensor is missing or has another shape.
    pub fn new(config: &VisionConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let (width, p) = (config.embedding_length, config.patch_size);
        let sizes = Sizes {
            width,
            hidden: config.feed_forward_length,
            heads: config.head_count,
            blocks: config.block_count,
            eps: config.layer_norm_eps,
        };
        let position_std = (width as f64).sqrt().recip();
        let grid = |&n: &usize| adaptive_pool(config.grid(), n, weights.device());
        Ok(Self {
            kernel: weights.tensor(
                "v.patch_embd.weight",
                &[width, CHANNELS, p, p],
                Init::FanIn(1.0),
            )?,
            kernel_bias: weights.tensor("v.patch_embd.bias", &[width], Init::Constant(0.0))?,
            position: weights.tensor(
                "v.position_embd.weight",
                &[config.patches(), width],
                Init::Normal(position_std),
            )?,
            tower: Tower::new("v", &sizes, weights)?,
            head: config
                .pool_head
                .then(|| PoolHead::new(&sizes, weights))
                .transpose()?,
            grids: config.patch_grids.iter().map(grid).collect::<Result<_>>()?,
            preprocess: Preprocess::default(),
            config: config.clone(),
            device: weights.device().clone(),
        })
    }

    /// Makes pictures square in another way.
    #[must_use]
    pub fn with_preprocess(mut self, preprocess: Preprocess) -> Self {
        self.preprocess = preprocess;
        self
    }

    /// Gives these grids of pooled patches, whatever its file says.
    ///
    /// # Errors
    /// A grid that is finer than the patches, or too many.
    pub fn with_patch_grids(mut self, grids: Vec<usize>) -> Result<Self> {
        self.config.patch_grids = grids;
        self.config.validate()?;
        let side = self.config.grid();
        self.grids = self
            .config
            .patch_grids
            .iter()
            .map(|&n| adaptive_pool(side, n, &self.device))
            .collect::<Result<_>>()?;
        Ok(self)
    }

    /// Its hyper-parameters.
    pub fn config(&self) -> &VisionConfig {
        &self.config
    }

    /// How it makes pictures square.
    pub fn preprocess(&self) -> Preprocess {
        self.preprocess
    }

    /// Cuts pixels `[B,3,S,S]` into rows `[B,P,3*p*p]`: the patch convolution becomes one product.
    fn unfold(&self, pixels: &Tensor) -> Result<Tensor> {
        let (b, c, h, w) = pixels.dims4()?;
        let (side, p, g) = (
            self.config.image_size,
            self.config.patch_size,
            self.config.grid(),
        );
        if (c, h, w) != (CHANNELS, side, side) {
            return Err(Error::Invalid(format!(
                "pixels of {c}x{h}x{w}: expected {CHANNELS}x{side}x{side}"
            )));
        }
        let whole = pixels.narrow(2, 0, g * p)?.narrow(3, 0, g * p)?;
        // [B,3,g,p,g,p] -> [B,g,g,3,p,p] -> [B,P,3pp]
        let cells = whole
            .contiguous()?
            .reshape(vec![b, c, g, p, g, p])?
            .permute(vec![0, 2, 4, 1, 3, 5])?;
        Ok(cells.contiguous()?.reshape((b, g * g, c * p * p))?)
    }

    /// Patch tokens after the last norm: pixels `[B,3,S,S] -> [B,P,Dv]`.
    ///
    /// # Errors
    /// The pixels have another shape.
    pub fn patches(&self, pixels: &Tensor) -> Result<Tensor> {
        self.patches_watched(pixels, &mut |_, _| {})
    }

    /// As [`Vision::patches`]; `watch` sees each block's number and output `[B,P,Dv]`.
    ///
    /// # Errors
    /// The pixels have another shape.
    pub fn patches_watched(
        &self,
        pixels: &Tensor,
        watch: &mut dyn FnMut(usize, &Tensor),
    ) -> Result<Tensor> {
        // Reshaped here, not when loaded: the product then follows a variable that training
        // changes.
        let patch = Linear::new(
            Stored::Dense(self.kernel.flatten_from(1)?),
            Some(self.kernel_bias.clone()),
        )?;
        let x = patch
            .forward(&self.unfold(pixels)?)?
            .broadcast_add(&self.position)?;
        self.tower.forward(x, watch)
    }

    /// The tokens of a frame from its patches: `[B,P,Dv] -> [B,V,Dv]`, the attention-pooled one
    /// first, then each grid's row by row.
    ///
    /// # Errors
    /// The arithmetic failed.
    pub fn tokens(&self, patches: &Tensor) -> Result<Tensor> {
        let mut tokens = Vec::with_capacity(1 + self.grids.len());
        if let Some(head) = &self.head {
            tokens.push(head.forward(patches)?);
        }
        for grid in &self.grids {
            let pool = grid.broadcast_left(patches.dim(0)?)?;
            tokens.push(pool.contiguous()?.matmul(patches)?);
        }
        Ok(if tokens.len() == 1 {
            tokens.remove(0)
        } else {
            Tensor::cat(&tokens, 1)?
        })
    }

    /// Pixels `[B,3,S,S] -> [B,V,Dv]`.
    ///
    /// # Errors
    /// The pixels have another shape.
    pub fn forward_tensor(&self, pixels: &Tensor) -> Result<Tensor> {
        self.tokens(&self.patches(pixels)?)
    }

    /// Pixels `[1,3,S,S]` of an upright RGB8 picture `[height, width, 3]`.
    ///
    /// # Errors
    /// The buffer is no such picture.
    pub fn pixels(&self, rgb: &[u8], width: u32, height: u32) -> Result<Tensor> {
        let side = self.config.image_size;
        let pixels = preprocess::pixels(rgb, width, height, &self.config, self.preprocess)?;
        Ok(Tensor::from_vec(
            pixels,
            (1, CHANNELS, side, side),
            &self.device,
        )?)
    }

    /// Features `[B, V, Dv]` of as many upright RGB8 pictures (bytes, width, height), in one pass.
    ///
    /// # Errors
    /// No pictures, or a buffer that is none.
    pub fn encode_batch(&self, pictures: &[(&[u8], u32, u32)]) -> Result<Vec<f32>> {
        let pixels: Vec<Tensor> = pictures
            .iter()
            .map(|(rgb, width, height)| self.pixels(rgb, *width, *height))
            .collect::<Result<_>>()?;
        Ok(self
            .forward_tensor(&Tensor::cat(&pixels, 0)?)?
            .flatten_all()?
            .to_vec1()?)
    }

    /// Features `[V, Dv]` of an upright RGB8 picture `[height, width, 3]`.
    ///
    /// # Errors
    /// The buffer is no such picture.
    pub fn encode(&self, rgb: &[u8], width: u32, height: u32) -> Result<Vec<f32>> {
        Ok(self
            .forward_tensor(&self.pixels(rgb, width, height)?)?
            .flatten_all()?
            .to_vec1()?)
    }
}

/// Adaptive average pooling of a `side x side` grid to `n x n` as a matrix `[n*n, side*side]`. As
/// in torch, cell i averages rows `floor(i*side/n)` to `ceil((i+1)*side/n)`, so cells overlap where
/// n does not divide the side.
fn adaptive_pool(side: usize, n: usize, device: &Device) -> Result<Tensor> {
    let span = |i: usize| (i * side / n)..((i + 1) * side).div_ceil(n);
    let mut matrix = vec![0f32; n * n * side * side];
    for cell in 0..n * n {
        let (rows, columns) = (span(cell / n), span(cell % n));
        let share = 1.0 / (rows.len() * columns.len()) as f32;
        for row in rows {
            for column in columns.clone() {
                matrix[cell * side * side + row * side + column] = share;
            }
        }
    }
    Ok(Tensor::from_vec(matrix, (n * n, side * side), device)?)
}
