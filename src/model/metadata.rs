//! Hyper-parameters as GGUF metadata: llama.cpp's key names, typed values, strict reading.
//!
//! The GGUF reader hands a look-up function in, the writer takes the list of pairs; neither is known here.

use super::config::{
    AssistantConfig, BackboneConfig, GateConfig, GateKind, Gates, HeadKind, TextConfig, TokenIds, VisionConfig, VisionRef,
};
use crate::error::{Error, Result};
use crate::units::{Threshold, TokenId};

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
        Error::Model(format!("metadata key {key}: found {found}, expected {expected}"))
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
        u32::try_from(self.size_at(key)?)
            .map(TokenId)
            .map_err(|_| Error::Model(format!("metadata key {key}: expected a token id of 32 bits")))
    }

    fn float(&self, name: &str) -> Result<f64> {
        let key = self.key(name);
        let value = (self.look_up)(&key);
        value.as_ref().and_then(MetaValue::as_f64).ok_or_else(|| Self::wrong(&key, value.as_ref(), "a float"))
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
    fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<T> {
        let found = self.text(name)?;
        words.iter().find(|(word, _)| *word == found).map(|&(_, value)| value).ok_or_else(|| {
            let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Error::Model(format!("metadata key {}: found {found:?}, expected one of {all:?}", self.key(name)))
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
        let wrong = || Error::Model(format!("metadata key {}: expected an array of 3 floats", self.key(name)));
        let values: Option<Vec<f32>> = self.array(name)?.iter().map(|v| v.as_f64().map(|v| v as f32)).collect();
        values.and_then(|v| v.try_into().ok()).ok_or_else(wrong)
    }

    fn sizes(&self, name: &str) -> Result<Vec<usize>> {
        let wrong = || Error::Model(format!("metadata key {}: expected an array of integers that are not negative", self.key(name)));
        let to_size = |v: &MetaValue| v.as_u64().and_then(|v| usize::try_from(v).ok());
        self.array(name)?.iter().map(to_size).collect::<Option<_>>().ok_or_else(wrong)
    }
}

/// The architecture is the expected one.
fn architecture(look_up: &dyn Fn(&str) -> Option<MetaValue>, expected: &str) -> Result<()> {
    match look_up("general.architecture") {
        Some(MetaValue::String(found)) if found == expected => Ok(()),
        other => Err(Error::Model(format!("metadata key general.architecture: found {other:?}, expected {expected:?}"))),
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

const HEAD_KINDS: [(&str, HeadKind); 3] = [("linear", HeadKind::Linear), ("mlp", HeadKind::Mlp), ("none", HeadKind::None)];
const GATE_KINDS: [(&str, GateKind); 2] = [("head", GateKind::Head), ("token", GateKind::Token)];

/// The word that stands for a value of a fixed set.
fn word_of<T: PartialEq + Copy>(words: &[(&str, T)], value: T) -> MetaValue {
    let word = words.iter().find(|(_, v)| *v == value).map_or("", |(word, _)| word);
    MetaValue::String(word.to_owned())
}

impl BackboneConfig {
    fn read(r: &Reader<'_>) -> Result<Self> {
        let config = Self {
            block_count: r.size("block_count")?,
            embedding_length: r.size("embedding_length")?,
            feed_forward_length: r.size("feed_forward_length")?,
            head_count: r.size("attention.head_count")?,
            head_count_kv: r.size("attention.head_count_kv")?,
            key_length: r.size("attention.key_length")?,
            context_length: r.size("context_length")?,
            rope_freq_base: r.float("rope.freq_base")?,
            rope_factors: r.flag("rope.frequency_factors")?,
            rms_eps: r.float("attention.layer_norm_rms_epsilon")?,
            vocab_size: r.size("vocab_size")?,
            tied_output: r.flag("tied_output")?,
        };
        for name in ["attention.value_length", "rope.dimension_count"] {
            let found = r.size(name)?;
            if found != config.key_length {
                return Err(Error::Model(format!("metadata key {}: found {found}, expected attention.key_length = {}", r.key(name), config.key_length)));
            }
        }
        Ok(config)
    }

    /// Appends its keys under a prefix: `dstproact`, or `llama` for a Llama alone.
    pub(crate) fn write(&self, pairs: &mut Pairs, prefix: &str) -> Result<()> {
        push_sizes(pairs, prefix, &[
            ("block_count", self.block_count),
            ("context_length", self.context_length),
            ("embedding_length", self.embedding_length),
            ("feed_forward_length", self.feed_forward_length),
            ("attention.head_count", self.head_count),
            ("attention.head_count_kv", self.head_count_kv),
            ("attention.key_length", self.key_length),
            ("attention.value_length", self.key_length),
            ("rope.dimension_count", self.key_length),
            ("vocab_size", self.vocab_size),
        ])?;
        push(pairs, prefix, "attention.layer_norm_rms_epsilon", MetaValue::F32(self.rms_eps as f32));
        push(pairs, prefix, "rope.freq_base", MetaValue::F32(self.rope_freq_base as f32));
        push(pairs, prefix, "rope.frequency_factors", MetaValue::Bool(self.rope_factors));
        push(pairs, prefix, "tied_output", MetaValue::Bool(self.tied_output));
        Ok(())
    }
}

impl GateConfig {
    fn read(r: &Reader<'_>, gate: &str) -> Result<Self> {
        Ok(Self {
            kind: r.word(&format!("gate.{gate}.kind"), &GATE_KINDS)?,
            threshold: Threshold(r.float(&format!("gate.{gate}.threshold"))? as f32),
            hysteresis: r.float(&format!("gate.{gate}.hysteresis"))? as f32,
            refractory_s: r.float(&format!("gate.{gate}.refractory_s"))?,
        })
    }

    fn write(&self, pairs: &mut Pairs, prefix: &str, gate: &str) {
        push(pairs, prefix, &format!("gate.{gate}.kind"), word_of(&GATE_KINDS, self.kind));
        push(pairs, prefix, &format!("gate.{gate}.threshold"), MetaValue::F32(self.threshold.0));
        push(pairs, prefix, &format!("gate.{gate}.hysteresis"), MetaValue::F32(self.hysteresis));
        push(pairs, prefix, &format!("gate.{gate}.refractory_s"), MetaValue::F64(self.refractory_s));
    }
}

/// Key of the start token: llama.cpp's own.
const BOS_KEY: &str = "tokenizer.ggml.bos_token_id";
/// Key of the end of a turn: llama.cpp's own.
const EOT_KEY: &str = "tokenizer.ggml.eot_token_id";

impl AssistantConfig {
    /// Reads the hyper-parameters of an assistant file and checks them.
    ///
    /// # Errors
    /// A missing key, a value of another type or out of its range; the message names key and expectation.
    pub fn from_metadata(look_up: &dyn Fn(&str) -> Option<MetaValue>) -> Result<Self> {
        architecture(look_up, ASSISTANT_ARCHITECTURE)?;
        let r = Reader { look_up, prefix: ASSISTANT_ARCHITECTURE };
        let vision = match (look_up("dstproact.vision.file"), look_up("dstproact.vision.sha256")) {
            (None, None) => None,
            _ => Some(VisionRef { file: r.text("vision.file")?, sha256: r.text("vision.sha256")? }),
        };
        let config = Self {
            backbone: BackboneConfig::read(&r)?,
            vision_length: r.size("vision.embedding_length")?,
            tokens_per_frame: r.size("vision.tokens_per_frame")?,
            projector_length: r.size("projector.feed_forward_length")?,
            heads: r.word("heads", &HEAD_KINDS)?,
            gates: Gates { speak: GateConfig::read(&r, "speak")?, dst_update: GateConfig::read(&r, "dst_update")? },
            tokens: TokenIds {
                bos: look_up(BOS_KEY).map(|_| r.token_at(BOS_KEY)).transpose()?,
                eot: r.token_at(EOT_KEY)?,
                image: r.token_at("dstproact.token.image")?,
                dst: r.token_at("dstproact.token.dst")?,
                asst: r.token_at("dstproact.token.asst")?,
            },
            layout: r.text("layout")?,
            // Upstream's models and those of before have none.
            step_evidence: match look_up("dstproact.step_evidence") {
                None => false,
                Some(_) => r.flag("step_evidence")?,
            },
            speech_note: match look_up("dstproact.speech_note") {
                None => false,
                Some(_) => r.flag("speech_note")?,
            },
            update_prob_min: match look_up("dstproact.update_prob_min") {
                None => 0.0,
                Some(_) => r.float("update_prob_min")? as f32,
            },
            update_patience_s: match look_up("dstproact.update_patience_s") {
                None => None,
                Some(_) => Some(r.float("update_patience_s")? as f32),
            },
            vision,
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
        let prefix = ASSISTANT_ARCHITECTURE;
        let mut pairs = vec![("general.architecture".to_owned(), MetaValue::String(prefix.to_owned()))];
        self.backbone.write(&mut pairs, prefix)?;
        push_sizes(&mut pairs, prefix, &[
            ("vision.embedding_length", self.vision_length),
            ("vision.tokens_per_frame", self.tokens_per_frame),
            ("projector.feed_forward_length", self.projector_length),
        ])?;
        push(&mut pairs, prefix, "heads", word_of(&HEAD_KINDS, self.heads));
        self.gates.speak.write(&mut pairs, prefix, "speak");
        self.gates.dst_update.write(&mut pairs, prefix, "dst_update");
        for (name, id) in [("image", self.tokens.image), ("dst", self.tokens.dst), ("asst", self.tokens.asst)] {
            push(&mut pairs, prefix, &format!("token.{name}"), MetaValue::U32(id.0));
        }
        if let Some(bos) = self.tokens.bos {
            pairs.push((BOS_KEY.to_owned(), MetaValue::U32(bos.0)));
        }
        pairs.push((EOT_KEY.to_owned(), MetaValue::U32(self.tokens.eot.0)));
        push(&mut pairs, prefix, "layout", MetaValue::String(self.layout.clone()));
        push(&mut pairs, prefix, "step_evidence", MetaValue::Bool(self.step_evidence));
        push(&mut pairs, prefix, "speech_note", MetaValue::Bool(self.speech_note));
        push(&mut pairs, prefix, "update_prob_min", MetaValue::F32(self.update_prob_min));
        if let Some(patience_s) = self.update_patience_s {
            push(&mut pairs, prefix, "update_patience_s", MetaValue::F32(patience_s));
        }
        if let Some(vision) = &self.vision {
            push(&mut pairs, prefix, "vision.file", MetaValue::String(vision.file.clone()));
            push(&mut pairs, prefix, "vision.sha256", MetaValue::String(vision.sha256.clone()));
        }
        Ok(pairs)
    }
}

impl VisionConfig {
    /// Reads the hyper-parameters of a vision file (llama.cpp's mmproj) and checks them.
    ///
    /// # Errors
    /// A missing key, a value of another type or out of its range; the message names key and expectation.
    pub fn from_metadata(look_up: &dyn Fn(&str) -> Option<MetaValue>) -> Result<Self> {
        architecture(look_up, VISION_ARCHITECTURE)?;
        let clip = Reader { look_up, prefix: VISION_ARCHITECTURE };
        if !clip.flag("has_vision_encoder")? {
            return Err(Error::Model("metadata key clip.has_vision_encoder: found false, expected true".into()));
        }
        if !clip.flag("use_gelu")? {
            return Err(Error::Model("metadata key clip.use_gelu: found false, expected true (SigLIP)".into()));
        }
        let r = Reader { look_up, prefix: "clip.vision" };
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
        let mut pairs = vec![("general.architecture".to_owned(), MetaValue::String(VISION_ARCHITECTURE.to_owned()))];
        push(&mut pairs, "clip", "has_vision_encoder", MetaValue::Bool(true));
        push(&mut pairs, "clip", "use_gelu", MetaValue::Bool(true));
        push_sizes(&mut pairs, prefix, &[
            ("image_size", self.image_size),
            ("patch_size", self.patch_size),
            ("embedding_length", self.embedding_length),
            ("feed_forward_length", self.feed_forward_length),
            ("block_count", self.block_count),
            ("attention.head_count", self.head_count),
        ])?;
        push(&mut pairs, prefix, "attention.layer_norm_epsilon", MetaValue::F32(self.layer_norm_eps as f32));
        let floats = |values: &[f32; 3]| MetaValue::Array(values.iter().map(|&v| MetaValue::F32(v)).collect());
        push(&mut pairs, prefix, "image_mean", floats(&self.mean));
        push(&mut pairs, prefix, "image_std", floats(&self.std));
        push(&mut pairs, prefix, "pool_head", MetaValue::Bool(self.pool_head));
        let grids: Result<Vec<_>> = self.patch_grids.iter().map(|&n| u32_of("clip.vision.patch_grids", n)).collect();
        if !self.patch_grids.is_empty() {
            push(&mut pairs, prefix, "patch_grids", MetaValue::Array(grids?));
        }
        Ok(pairs)
    }
}

impl TextConfig {
    /// Reads the hyper-parameters of a vision file's text tower and checks them; `None` when the file has no such tower.
    ///
    /// # Errors
    /// A missing key, a value of another type or out of its range; the message names key and expectation.
    pub fn from_metadata(look_up: &dyn Fn(&str) -> Option<MetaValue>) -> Result<Option<Self>> {
        let clip = Reader { look_up, prefix: VISION_ARCHITECTURE };
        // llama.cpp's files without a text tower may leave the key out.
        if look_up("clip.has_text_encoder").is_none() || !clip.flag("has_text_encoder")? {
            return Ok(None);
        }
        let r = Reader { look_up, prefix: "clip.text" };
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

    /// The pairs that a vision file has besides [`VisionConfig::to_metadata`], with llama.cpp's names where it has any.
    ///
    /// # Errors
    /// The configuration is not valid.
    pub fn to_metadata(&self) -> Result<Vec<(String, MetaValue)>> {
        self.validate()?;
        let prefix = "clip.text";
        let mut pairs = Vec::new();
        push(&mut pairs, "clip", "has_text_encoder", MetaValue::Bool(true));
        push_sizes(&mut pairs, prefix, &[
            ("vocab_size", self.vocab_size),
            ("context_length", self.context_length),
            ("embedding_length", self.embedding_length),
            ("feed_forward_length", self.feed_forward_length),
            ("block_count", self.block_count),
            ("attention.head_count", self.head_count),
            ("projection_dim", self.projection_length),
        ])?;
        push(&mut pairs, prefix, "attention.layer_norm_epsilon", MetaValue::F32(self.layer_norm_eps as f32));
        push(&mut pairs, prefix, "mean_pool", MetaValue::Bool(self.mean_pool));
        push(&mut pairs, prefix, "pad_token_id", MetaValue::U32(self.pad_token.0));
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn gate(threshold: f32) -> GateConfig {
        GateConfig { kind: GateKind::Head, threshold: Threshold(threshold), hysteresis: 0.05, refractory_s: 1.5 }
    }

    fn assistant() -> AssistantConfig {
        AssistantConfig {
            backbone: BackboneConfig {
                block_count: 6,
                embedding_length: 192,
                feed_forward_length: 512,
                head_count: 6,
                head_count_kv: 2,
                key_length: 32,
                context_length: 4096,
                rope_freq_base: 500_000.0,
                rope_factors: true,
                rms_eps: 1e-5,
                vocab_size: 2048,
                tied_output: false,
            },
            vision_length: 160,
            tokens_per_frame: 5,
            projector_length: 256,
            heads: HeadKind::Mlp,
            gates: Gates { speak: gate(0.37), dst_update: GateConfig { kind: GateKind::Token, ..gate(0.6) } },
            tokens: TokenIds { bos: Some(TokenId(0)), eot: TokenId(1), image: TokenId(2), dst: TokenId(3), asst: TokenId(4) },
            layout: "dstproact".into(),
            step_evidence: true,
            speech_note: true,
            update_patience_s: Some(2.0),
            update_prob_min: 0.5,
            vision: Some(VisionRef { file: "vision.gguf".into(), sha256: "0f".repeat(32) }),
        }
    }

    fn vision() -> VisionConfig {
        VisionConfig {
            image_size: 96,
            patch_size: 12,
            embedding_length: 160,
            feed_forward_length: 640,
            block_count: 5,
            head_count: 5,
            layer_norm_eps: 1e-6,
            mean: [0.5; 3],
            std: [0.5; 3],
            pool_head: true,
            patch_grids: vec![2],
        }
    }

    fn said<T>(result: Result<T>) -> String {
        result.err().map_or_else(|| "accepted".into(), |e| e.to_string())
    }

    type Map = HashMap<String, MetaValue>;

    fn read_assistant(map: &Map) -> Result<AssistantConfig> {
        AssistantConfig::from_metadata(&|key| map.get(key).cloned())
    }

    fn text() -> TextConfig {
        TextConfig {
            vocab_size: 2048,
            context_length: 24,
            embedding_length: 96,
            feed_forward_length: 384,
            block_count: 1,
            head_count: 4,
            layer_norm_eps: 1e-6,
            projection_length: 160,
            mean_pool: true,
            pad_token: TokenId(7),
        }
    }

    fn read_text(map: &Map) -> Result<Option<TextConfig>> {
        TextConfig::from_metadata(&|key| map.get(key).cloned())
    }

    fn read_vision(map: &Map) -> Result<VisionConfig> {
        VisionConfig::from_metadata(&|key| map.get(key).cloned())
    }

    #[test]
    fn json_and_metadata_give_back_what_was_written() -> Result<()> {
        let mut bare = assistant();
        bare.vision = None;
        bare.tokens.bos = None;
        for config in [assistant(), bare] {
            assert_eq!(AssistantConfig::from_json(&config.to_json()?)?, config);
            assert_eq!(read_assistant(&config.to_metadata()?.into_iter().collect())?, config);
        }
        for grids in [vec![], vec![2, 3, 5]] {
            let config = VisionConfig { patch_grids: grids, ..vision() };
            assert_eq!(read_vision(&config.to_metadata()?.into_iter().collect())?, config);
        }
        assert_eq!(VisionConfig { patch_grids: vec![2, 3, 5], ..vision() }.tokens_per_frame(), 39);
        assert_eq!(read_text(&text().to_metadata()?.into_iter().collect())?, Some(text()));
        assert_eq!(read_text(&vision().to_metadata()?.into_iter().collect())?, None, "a file without a text tower");
        Ok(())
    }

    #[test]
    fn each_key_is_needed_and_has_a_type() -> Result<()> {
        // Absent, these mean "no start token", "no vision file yet" (both keys), "no grids", "no text tower", "no
        // evidence of steps" and "no update is too unsure".
        let optional = ["tokenizer.ggml.bos_token_id", "clip.vision.patch_grids", "clip.has_text_encoder", "dstproact.step_evidence", "dstproact.speech_note", "dstproact.update_prob_min", "dstproact.update_patience_s"];
        let check = |pairs: Vec<(String, MetaValue)>, read: &dyn Fn(&Map) -> Option<String>| {
            let whole: Map = pairs.into_iter().collect();
            assert_eq!(read(&whole), None);
            for key in whole.keys() {
                let mut map = whole.clone();
                map.remove(key);
                if !optional.contains(&key.as_str()) {
                    let text = read(&map).unwrap_or_default();
                    assert!(text.contains(key.as_str()), "without {key}: {text:?}");
                }
                map.insert(key.clone(), MetaValue::Array(vec![MetaValue::Bool(true)]));
                let text = read(&map).unwrap_or_default();
                assert!(text.contains(key.as_str()) && text.contains("expected"), "{key} of another type: {text:?}");
            }
        };
        check(assistant().to_metadata()?, &|map| read_assistant(map).err().map(|e| e.to_string()));
        check(vision().to_metadata()?, &|map| read_vision(map).err().map(|e| e.to_string()));
        check(text().to_metadata()?, &|map| read_text(map).err().map(|e| e.to_string()));
        Ok(())
    }

    #[test]
    fn values_out_of_range_are_named() {
        type Change = fn(&mut AssistantConfig);
        let cases: [(&str, Change); 24] = [
            ("head_count_kv", |c| c.backbone.head_count_kv = 4),
            ("head_count_kv", |c| c.backbone.head_count_kv = 0),
            ("head_count_kv", |c| c.backbone.head_count_kv = 12),
            ("head_count", |c| c.backbone.head_count = 0),
            ("key_length", |c| c.backbone.key_length = 33),
            ("key_length", |c| c.backbone.key_length = 0),
            ("key_length", |c| c.backbone.key_length = usize::MAX - 1),
            ("block_count", |c| c.backbone.block_count = 1 << 40),
            ("embedding_length", |c| c.backbone.embedding_length = 0),
            ("feed_forward_length", |c| c.backbone.feed_forward_length = usize::MAX),
            ("context_length", |c| c.backbone.context_length = 0),
            ("vocab_size", |c| c.backbone.vocab_size = usize::MAX),
            ("rms_epsilon", |c| c.backbone.rms_eps = f64::NAN),
            ("rope.freq_base", |c| c.backbone.rope_freq_base = 0.0),
            ("rope.freq_base", |c| c.backbone.rope_freq_base = f64::INFINITY),
            ("tokens_per_frame", |c| c.tokens_per_frame = 0),
            ("gate.speak.threshold", |c| c.gates.speak.threshold = Threshold(1.5)),
            ("gate.dst_update.threshold", |c| c.gates.dst_update.threshold = Threshold(f32::NAN)),
            ("gate.speak.refractory_s", |c| c.gates.speak.refractory_s = -1.0),
            ("token.image", |c| c.tokens.image = TokenId(2048)),
            ("different ids", |c| c.tokens.image = c.tokens.dst),
            ("layout", |c| c.layout = "chat".into()),
            ("vision.file", |c| c.vision = Some(VisionRef { file: "../vision.gguf".into(), sha256: "0f".repeat(32) })),
            ("vision.sha256", |c| c.vision = Some(VisionRef { file: "v.gguf".into(), sha256: "0F".repeat(32) })),
        ];
        for (key, change) in cases {
            let mut config = assistant();
            change(&mut config);
            let text = said(config.validate());
            assert!(text.contains(key) && text.contains("expected"), "{key}: {text:?}");
            assert!(config.to_metadata().is_err() && config.to_json().is_err(), "{key}: written");
        }
        type See = fn(&mut VisionConfig);
        let cases: [(&str, See); 9] = [
            ("patch_size", |c| c.patch_size = 97),
            ("patch_size", |c| c.patch_size = 0),
            ("head_count", |c| c.head_count = 7),
            ("image_size", |c| c.image_size = 1 << 30),
            ("image_std", |c| c.std[1] = 0.0),
            ("image_mean", |c| c.mean[2] = f32::NAN),
            ("patch_grids", |c| c.patch_grids = vec![9]),
            ("patch_grids", |c| c.patch_grids = vec![0]),
            ("tokens per frame", |c| (c.pool_head, c.patch_grids) = (false, vec![])),
        ];
        for (key, change) in cases {
            let mut config = vision();
            change(&mut config);
            let text = said(config.validate());
            assert!(text.contains(key) && text.contains("expected"), "{key}: {text:?}");
        }
    }

    #[test]
    fn unknown_json_keys_are_refused() -> Result<()> {
        let text = assistant().to_json()?.replacen("\"layout\"", "\"speed\": 3, \"layout\"", 1);
        assert!(said(AssistantConfig::from_json(&text)).contains("speed"));
        Ok(())
    }
}
