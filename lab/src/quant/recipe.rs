//! A recipe says which block format each tensor gets: TOML, `quantize/*.toml`.
//!
//! ```toml
//! description = "4 bits, the output a little finer"
//! fallback = ["Q8_0", "F16"]      # optional: where a row is not whole blocks of the wanted type, in this order
//!
//! [[tensor]]                      # the first pattern that fits a tensor's name decides
//! match = "token_embd.weight"     # `*` stands for any characters, `?` for one
//! type = "Q6_K"
//!
//! [[tensor]]
//! match = "*"
//! type = "Q4_K"
//! ```
//!
//! Tensors of one dimension (norms, biases, rope frequencies) and those on the `keep` list stay
//! F32: they are small, and an error in them reaches every value behind them. A recipe may bring
//! its own list: `keep = ["*.bias"]`.
//!
//! `same = true` leaves what the source has a type for in that type; the rules decide on new
//! tensors.
//!
//! Without `fallback`, Q4_K becomes Q4_0 (as small, a little coarser), Q5_K and Q6_K become Q8_0,
//! and what does not even fit blocks of 32 becomes F16.

use std::path::Path;

use serde::Deserialize;

use proact::error::{Error, Result};
use proact::model::gguf::GgmlType;

/// What stays F32 unless the recipe says otherwise: norms, biases, decision heads, position
/// embeddings, the pooling head's probe, rope frequencies.
const KEEP: &[&str] = &[
    "*norm.weight",
    "*.ln1.weight",
    "*.ln2.weight",
    "*_ln.weight",
    "*.ln.weight",
    "*.bias",
    "speaking_decision_head.*",
    "dst_update_head.*",
    "v.position_embd.weight",
    "v.head.probe",
    "rope_freqs.weight",
];

/// What the types of a recipe may be.
const TYPES: &[GgmlType] = &[
    GgmlType::F32,
    GgmlType::F16,
    GgmlType::Q8_0,
    GgmlType::Q6_K,
    GgmlType::Q5_K,
    GgmlType::Q4_K,
    GgmlType::Q4_0,
];

/// The recipes that come with the program.
const BUILT_IN: &[(&str, &str)] = &[
    ("f16", include_str!("../../../quantize/f16.toml")),
    ("q8_0", include_str!("../../../quantize/q8_0.toml")),
    ("q6_k", include_str!("../../../quantize/q6_k.toml")),
    ("q5_k", include_str!("../../../quantize/q5_k.toml")),
    ("q4_k", include_str!("../../../quantize/q4_k.toml")),
    ("q4_0", include_str!("../../../quantize/q4_0.toml")),
    ("same", include_str!("../../../quantize/same.toml")),
];

/// Which block format each tensor gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Name of the recipe: its file's stem.
    pub name: String,
    /// One line for people.
    pub description: String,
    rules: Vec<(String, GgmlType)>,
    keep: Vec<String>,
    fallback: Option<Vec<GgmlType>>,
    /// What the source has a type for keeps it.
    same: bool,
}

/// What a recipe decides for one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What the recipe asks for.
    pub wanted: GgmlType,
    /// What fits.
    pub ty: GgmlType,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecipeFile {
    description: String,
    #[serde(default)]
    keep: Option<Vec<String>>,
    #[serde(default)]
    same: bool,
    #[serde(default)]
    fallback: Option<Vec<String>>,
    tensor: Vec<RuleFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(rename = "match")]
    pattern: String,
    #[serde(rename = "type")]
    ty: String,
}

impl Recipe {
    /// Names of the recipes that come with the program.
    pub fn built_in() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// A recipe that comes with the program, or else a file.
    ///
    /// # Errors
    /// Neither exists; the file is no recipe.
    pub fn open(name_or_path: &str) -> Result<Self> {
        if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
            return Self::parse(name, text)
                .map_err(|why| Error::format(format!("quantize/{name}.toml"), why));
        }
        let path = Path::new(name_or_path);
        if path.extension().is_none() && !path.exists() {
            let known: Vec<_> = Self::built_in().collect();
            return Err(Error::Invalid(format!(
                "recipe `{name_or_path}`: expected one of {} or a TOML file",
                known.join(", ")
            )));
        }
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let name = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        Self::parse(&name, &text).map_err(|why| Error::format(path, why))
    }

    fn parse(name: &str, text: &str) -> Result<Self, String> {
        let file: RecipeFile = toml::from_str(text).map_err(|e| e.to_string())?;
        let rules = file
            .tensor
            .into_iter()
            .map(|rule| Ok((rule.pattern, parse_type(&rule.ty)?)));
        let rules = rules.collect::<Result<Vec<_>, String>>()?;
        let fallback = match file.fallback {
            Some(names) => Some(
                names
                    .iter()
                    .map(|name| parse_type(name))
                    .collect::<Result<_, _>>()?,
            ),
            None => None,
        };
        let keep = file
            .keep
            .unwrap_or_else(|| KEEP.iter().map(|&p| p.to_owned()).collect());
        Ok(Self {
            name: name.to_owned(),
            description: file.description,
            rules,
            keep,
            fallback,
            same: file.same,
        })
    }

    /// The block format for a tensor of this name and row-major shape, whose source stores it as
    /// `has`.
    ///
    /// # Errors
    /// No pattern fits the name; nothing of the fallback list fits the row.
    pub fn choose(&self, name: &str, shape: &[usize], has: Option<GgmlType>) -> Result<Choice> {
        if let Some(ty) = has.filter(|_| self.same) {
            return Ok(Choice { wanted: ty, ty });
        }
        if shape.len() < 2 || self.keep.iter().any(|pattern| glob(pattern, name)) {
            return Ok(Choice {
                wanted: GgmlType::F32,
                ty: GgmlType::F32,
            });
        }
        let rule = self.rules.iter().find(|(pattern, _)| glob(pattern, name));
        let Some(&(_, wanted)) = rule else {
            let why = format!(
                "recipe `{}`: no pattern fits tensor `{name}`; end it with `match = \"*\"`",
                self.name
            );
            return Err(Error::Invalid(why));
        };
        let row = shape.last().copied().unwrap_or(0) as u64;
        let fallback = self.fallback.as_deref().unwrap_or(fallback_of(wanted));
        let mut types = std::iter::once(wanted).chain(fallback.iter().copied());
        let Some(ty) = types.find(|ty| row.is_multiple_of(ty.block_values())) else {
            let why = format!(
                "recipe `{}`: tensor `{name}`: rows of {row} fit neither {wanted} nor its fallback; add \"F16\" to `fallback`",
                self.name
            );
            return Err(Error::Invalid(why));
        };
        Ok(Choice { wanted, ty })
    }
}

/// What a type becomes where a row is not whole blocks of it. Chosen among the types that candle
/// computes fast with.
fn fallback_of(wanted: GgmlType) -> &'static [GgmlType] {
    match wanted {
        GgmlType::Q4_K => &[GgmlType::Q4_0, GgmlType::F16],
        _ => &[GgmlType::Q8_0, GgmlType::F16],
    }
}

fn parse_type(name: &str) -> Result<GgmlType, String> {
    TYPES
        .iter()
        .copied()
        .find(|ty| ty.name() == name)
        .ok_or_else(|| {
            let known: Vec<_> = TYPES.iter().map(|ty| ty.name()).collect();
            format!("type `{name}`: expected one of {}", known.join(", "))
        })
}

/// `true` when the pattern fits the whole name: `*` stands for any characters, `?` for one.
fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where the last star stood, and how much of the name it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == name[n]) {
            p += 1;
            n += 1;
        } else if let Some((star_p, star_n)) = star {
            star = Some((star_p, star_n + 1));
            p = star_p + 1;
            n = star_n + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_fit_whole_names() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("*", "a.b", true),
            ("blk.*.attn_?.weight", "blk.12.attn_q.weight", true),
            ("blk.*.attn_?.weight", "blk.12.attn_out.weight", false),
            ("*.weight", "a.weight.bias", false),
            ("*.bias", "a.bias.bias", true),
            ("a", "ab", false),
            ("a**b", "ab", true),
            ("", "a", false),
            ("*aab", "aaaaab", true),
        ] {
            assert_eq!(glob(pattern, name), fits, "{pattern:?} {name:?}");
        }
    }

    #[test]
    fn every_built_in_recipe_covers_every_name() {
        for name in Recipe::built_in() {
            let recipe = Recipe::open(name).unwrap();
            assert!(!recipe.description.is_empty());
            if name == "same" {
                let kept = recipe
                    .choose("blk.0.ffn_up.weight", &[512, 256], Some(GgmlType::Q4_1))
                    .unwrap();
                assert_eq!(kept.ty, GgmlType::Q4_1);
            } else {
                let choice = recipe
                    .choose("blk.0.ffn_up.weight", &[512, 256], None)
                    .unwrap();
                assert_eq!(
                    choice.ty.name().to_lowercase(),
                    name,
                    "the main type gives the recipe its name"
                );
            }
            for kept in [
                "output_norm.weight",
                "v.blk.3.ln1.weight",
                "dst_update_head.weight",
                "rope_freqs.weight",
            ] {
                assert_eq!(
                    recipe.choose(kept, &[4, 256], None).unwrap().ty,
                    GgmlType::F32,
                    "{kept}"
                );
            }
        }
    }

    #[test]
    fn rows_that_are_not_whole_blocks_fall_back() {
        let recipe = Recipe::open("q4_k").unwrap();
        let ty = |row| {
            recipe
                .choose("v.blk.0.ffn_up.weight", &[8, row], None)
                .unwrap()
                .ty
        };
        assert_eq!(ty(512), GgmlType::Q4_K);
        assert_eq!(
            ty(1152),
            GgmlType::Q4_0,
            "SigLIP So400m: 4.5 blocks of 256, 36 of 32"
        );
        assert_eq!(
            ty(4304),
            GgmlType::F16,
            "its feed-forward: 134.5 blocks of 32"
        );
        let embedding = recipe
            .choose("token_embd.weight", &[8, 1152], None)
            .unwrap();
        assert_eq!(
            (embedding.wanted, embedding.ty),
            (GgmlType::Q6_K, GgmlType::Q8_0),
            "never coarser than 6 bits"
        );
        let own = "description='x'\nfallback=['Q8_0']\ntensor=[{match='*',type='Q4_K'}]";
        assert_eq!(
            Recipe::parse("t", own)
                .unwrap()
                .choose("a", &[8, 1152], None)
                .unwrap()
                .ty,
            GgmlType::Q8_0
        );
    }

    #[test]
    fn bad_recipes_are_told_apart() {
        for (text, part) in [
            (
                "description='x'\ntensor=[{match='*',type='Q9'}]",
                "type `Q9`: expected one of F32",
            ),
            (
                "description='x'\ntensor=[{match='*',type='Q4_1'}]",
                "type `Q4_1`",
            ),
            (
                "description='x'\ntensor=[{match='*',typ='Q8_0'}]",
                "unknown field `typ`",
            ),
            ("tensor=[]", "missing field `description`"),
            ("description='x'", "missing field `tensor`"),
        ] {
            let why = Recipe::parse("test", text).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        let empty = Recipe::parse("test", "description='x'\ntensor=[]").unwrap();
        assert!(
            empty
                .choose("a", &[2, 2], None)
                .unwrap_err()
                .to_string()
                .contains("no pattern fits tensor `a`")
        );
        let strict = Recipe::parse(
            "t",
            "description='x'\nfallback=[]\ntensor=[{match='*',type='Q8_0'}]",
        )
        .unwrap();
        assert!(
            strict
                .choose("a", &[2, 33], None)
                .unwrap_err()
                .to_string()
                .contains("rows of 33")
        );
        assert!(
            Recipe::open("q3")
                .unwrap_err()
                .to_string()
                .contains("f16, q8_0")
        );
    }
}
