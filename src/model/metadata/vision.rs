//! The vision file's hyper-parameters as metadata: the picture tower in llama.cpp's mmproj keys,
//! and the text tower.

use super::{MetaValue, Reader, VISION_ARCHITECTURE, architecture, push, push_sizes, u32_of};
use crate::error::{Error, Result};
use crate::model::config::{TextConfig, VisionConfig};

impl VisionConfig {
    /// Reads the hyper-parameters of a vision file (llama.cpp's mmproj) and checks them.
    ///
    /// # Errors
    /// A missing key, a value of another type or out of its range; the message names key and
    /// expectation.
    pub fn from_metadata(look_up: &dyn Fn(&str) -> Option<MetaValue>) -> Result<Self> {
        architecture(look_up, VISION_ARCHITECTURE)?;
        let clip = Reader {
            look_up,
            prefix: VISION_ARCHITECTURE,
        };
        if !clip.flag("has_vision_encoder")? {
            return Err(Error::Model(
                "metadata key clip.has_vision_encoder: found false, expected true".into(),
            ));
        }
        if !clip.flag("use_gelu")? {
            return Err(Error::Model(
                "metadata key clip.use_gelu: found false, expected true (SigLIP)".into(),
            ));
        }
        let r = Reader {
            look_up,
            prefix: "clip.vision",
        };
        let config = Self {
            image_size: r.size("image_size")?,
            patch_size: r.size("patch_size")?,
            embedding_length: r.size("embedding_length")?,
            feed_forward_length: r.size("feed_forward_length")?,
            block_count: r.size("block_count")?,
            head_count: r.size("attention.head_count")?,
            layer_norm_eps: r.float("attention.layer_norm_epsilon")?,
            mean: r.rgb("image_mean")?,
            std: r.rgb("image_std")?,
            pool_head: r.flag("pool_head")?,
            // GGUF gives an empty array no element type, so none is written for no grids.
            patch_grids: match look_up("clip.vision.patch_grids") {
                None => Vec::new(),
                Some(_) => r.sizes("patch_grids")?,
            },
        };
        config.validate()?;
        Ok(config)
    }

    /// The pairs to write, `general.architecture` first, each with its type.
    ///
    /// # Errors
    /// The configuration is not valid.
    pub fn to_metadata(&self) -> Result<Vec<(String, MetaValue)>> {
        self.validate()?;
        let prefix = "clip.vision";
        let mut pairs = vec![(
            "general.architecture".to_owned(),
            MetaValue::String(VISION_ARCHITECTURE.to_owned()),
        )];
        push(
            &mut pairs,
            "clip",
            "has_vision_encoder",
            MetaValue::Bool(true),
        );
        push(&mut pairs, "clip", "use_gelu", MetaValue::Bool(true));
        push_sizes(
            &mut pairs,
            prefix,
            &[
                ("image_size", self.image_size),
                ("patch_size", self.patch_size),
                ("embedding_length", self.embedding_length),
                ("feed_forward_length", self.feed_forward_length),
                ("block_count", self.block_count),
                ("attention.head_count", self.head_count),
            ],
        )?;
        push(
            &mut pairs,
            prefix,
            "attention.layer_norm_epsilon",
            MetaValue::F32(self.layer_norm_eps as f32),
        );
        let floats = |values: &[f32; 3]| {
            MetaValue::Array(values.iter().map(|&v| MetaValue::F32(v)).collect())
        };
        push(&mut pairs, prefix, "image_mean", floats(&self.mean));
        push(&mut pairs, prefix, "image_std", floats(&self.std));
        push(
            &mut pairs,
            prefix,
            "pool_head",
            MetaValue::Bool(self.pool_head),
        );
        let grids: Result<Vec<_>> = self
            .patch_grids
            .iter()
            .map(|&n| u32_of("clip.vision.patch_grids", n))
            .collect();
        if !self.patch_grids.is_empty() {
            push(&mut pairs, prefix, "patch_grids", MetaValue::Array(grids?));
        }
        Ok(pairs)
    }
}

impl TextConfig {
    /// Reads the hyper-parameters of a vision file's text tower and checks them; `None` when the
    /// file has no such tower.
    ///
    /// # Errors
    /// A missing key, a value of another type or out of its range; the message names key and
    /// expectation.
    pub fn from_metadata(look_up: &dyn Fn(&str) -> Option<MetaValue>) -> Result<Option<Self>> {
        let clip = Reader {
            look_up,
            prefix: VISION_ARCHITECTURE,
        };
        // llama.cpp's files without a text tower may leave the key out.
        if look_up("clip.has_text_encoder").is_none() || !clip.flag("has_text_encoder")? {
            return Ok(None);
        }
        let r = Reader {
            look_up,
            prefix: "clip.text",
        };
        let config = Self {
            vocab_size: r.size("vocab_size")?,
            context_length: r.size("context_length")?,
            embedding_length: r.size("embedding_length")?,
            feed_forward_length: r.size("feed_forward_length")?,
            block_count: r.size("block_count")?,
            head_count: r.size("attention.head_count")?,
            layer_norm_eps: r.float("attention.layer_norm_epsilon")?,
            projection_length: r.size("projection_dim")?,
            mean_pool: r.flag("mean_pool")?,
            pad_token: r.token_at("clip.text.pad_token_id")?,
        };
        config.validate()?;
        Ok(Some(config))
    }

    /// The pairs that a vision file has besides [`VisionConfig::to_metadata`], with llama.cpp's
    /// names where it has any.
    ///
    /// # Errors
    /// The configuration is not valid.
    pub fn to_metadata(&self) -> Result<Vec<(String, MetaValue)>> {
        self.validate()?;
        let prefix = "clip.text";
        let mut pairs = Vec::new();
        push(
            &mut pairs,
            "clip",
            "has_text_encoder",
            MetaValue::Bool(true),
        );
        push_sizes(
            &mut pairs,
            prefix,
            &[
                ("vocab_size", self.vocab_size),
                ("context_length", self.context_length),
                ("embedding_length", self.embedding_length),
                ("feed_forward_length", self.feed_forward_length),
                ("block_count", self.block_count),
                ("attention.head_count", self.head_count),
                ("projection_dim", self.projection_length),
            ],
        )?;
        push(
            &mut pairs,
            prefix,
            "attention.layer_norm_epsilon",
            MetaValue::F32(self.layer_norm_eps as f32),
        );
        push(
            &mut pairs,
            prefix,
            "mean_pool",
            MetaValue::Bool(self.mean_pool),
        );
        push(
            &mut pairs,
            prefix,
            "pad_token_id",
            MetaValue::U32(self.pad_token.0),
        );
        Ok(pairs)
    }
}
