//! Feature files as safetensors.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{FeatureFile, Grid};
use crate::error::{Error, Result};
use crate::files;

/// Key of the hash of the vision file that made the features.
pub const ENCODER: &str = "encoder_sha256";
/// Key of the preprocessing's name.
pub const PREPROCESS: &str = "preprocess";
/// Key of the recording's frames a second.
pub const FPS: &str = "fps";
const AT: &str = "at";

pub(super) fn read(path: &Path) -> Result<FeatureFile> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    parse(&bytes).map_err(|why| Error::format(path, why))
}

fn parse(bytes: &[u8]) -> Result<FeatureFile, String> {
    let (_, header) = SafeTensors::read_metadata(bytes)
        .map_err(|e| format!("not a sound safetensors file: {e}"))?;
    let tensors = SafeTensors::deserialize(bytes)
        .map_err(|e| format!("not a sound safetensors file: {e}"))?;
    let metadata = header.metadata().as_ref();
    let word = |key: &str| metadata.and_then(|m| m.get(key)).cloned();
    let fps = word(FPS).ok_or("metadata `fps` is missing: not a feature file of proact")?;
    let mut file = FeatureFile {
        encoder_sha256: word(ENCODER).unwrap_or_default(),
        preprocess: word(PREPROCESS).unwrap_or_default(),
        fps: fps
            .parse()
            .map_err(|_| format!("metadata `fps` is `{fps}`: expected a number"))?,
        ..FeatureFile::default()
    };
    let mut frames = None;
    for (name, tensor) in tensors.iter() {
        match (name, Grid::ALL.into_iter().find(|g| g.name() == name)) {
            ("cls", _) => {
                let (shape, values) = numbers(name, &tensor, 1)?;
                (frames, file.dim, file.cls) = (Some(shape[0]), shape[2], values);
            }
            (_, Some(grid)) => drop(
                file.grids
                    .insert(grid, numbers(name, &tensor, grid.vectors())?.1),
            ),
            (AT, _) => file.at = Some(times(&tensor)?),
            _ => {
                return Err(format!(
                    "unknown tensor `{name}`: expected cls, 2x2, 3x3, 5x5, at"
                ));
            }
        }
    }
    if frames.is_none() {
        return Err("tensor `cls` is missing".into());
    }
    file.check()?;
    Ok(file)
}

/// Values of a `[T,vectors,Dv]` tensor.
fn numbers(
    name: &str,
    tensor: &TensorView<'_>,
    vectors: usize,
) -> Result<(Vec<usize>, Vec<f32>), String> {
    let shape = tensor.shape();
    if shape.len() != 3 || shape[1] != vectors {
        return Err(format!(
            "{name}: shape {shape:?}, expected [T,{vectors},Dv]"
        ));
    }
    let values = match tensor.dtype() {
        Dtype::F16 => tensor
            .data()
            .as_chunks::<2>()
            .0
            .iter()
            .map(|b| f16::from_le_bytes(*b).to_f32())
            .collect(),
        Dtype::F32 => tensor
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect(),
        other => return Err(format!("{name}: type {other:?}, expected F16 or F32")),
    };
    Ok((shape.to_vec(), values))
}

fn times(tensor: &TensorView<'_>) -> Result<Vec<f64>, String> {
    if tensor.dtype() != Dtype::F64 || tensor.shape().len() != 1 {
        return Err(format!(
            "{AT}: type {:?} and shape {:?}, expected F64 and [T]",
            tensor.dtype(),
            tensor.shape()
        ));
    }
    Ok(tensor
        .data()
        .as_chunks::<8>()
        .0
        .iter()
        .map(|b| f64::from_le_bytes(*b))
        .collect())
}

pub(super) fn write(file: &FeatureFile, path: &Path) -> Result<()> {
    let bytes = serialize(file).map_err(|why| Error::format(path, why))?;
    files::write_atomic(path, &bytes)
}

fn serialize(file: &FeatureFile) -> Result<Vec<u8>, String> {
    file.check()?;
    let frames = file.frames();
    let mut data: BTreeMap<&str, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (name, vectors, values) in file.columns() {
        let mut bytes = Vec::with_capacity(values.len() * 2);
        for (i, value) in values.iter().enumerate() {
            let half = f16::from_f32(*value);
            if !half.is_finite() {
                return Err(format!(
                    "{name}: frame {}: {value} does not fit f16",
                    i / (vectors * file.dim)
                ));
            }
            bytes.extend(half.to_le_bytes());
        }
        data.insert(name, (Dtype::F16, vec![frames, vectors, file.dim], bytes));
    }
    if let Some(at) = &file.at {
        data.insert(
            AT,
            (
                Dtype::F64,
                vec![frames],
                at.iter().flat_map(|t| t.to_le_bytes()).collect(),
            ),
        );
    }
    let views: Result<BTreeMap<_, _>, _> = data
        .iter()
        .map(|(name, (dtype, shape, bytes))| {
            Ok((*name, TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect();
    let views = views.map_err(|e: safetensors::SafeTensorError| e.to_string())?;
    let metadata = HashMap::from([
        (ENCODER.to_owned(), file.encoder_sha256.clone()),
        (PREPROCESS.to_owned(), file.preprocess.clone()),
        (FPS.to_owned(), file.fps.to_string()),
    ]);
    safetensors::serialize(views, Some(metadata)).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::TokenLayout;
    use super::*;

    pub(in crate::features) fn sample(frames: usize, dim: usize) -> FeatureFile {
        let ramp = |vectors: usize, seed: usize| {
            (0..frames * vectors * dim)
                .map(|i| ((i * 7 + seed) % 64) as f32 / 8.0 - 4.0)
                .collect()
        };
        FeatureFile {
            encoder_sha256: "ab".repeat(32),
            preprocess: "siglip".into(),
            fps: 2.0,
            at: Some((0..frames).map(|k| k as f64 / 2.0 + 0.001).collect()),
            dim,
            cls: ramp(1, 0),
            grids: [(Grid::Two, ramp(4, 1)), (Grid::Five, ramp(25, 2))].into(),
        }
    }

    #[test]
    fn a_file_round_trips_and_gives_its_tokens() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        let file = sample(5, 8);
        file.write(&path).unwrap();
        let back = FeatureFile::read(&path).unwrap();
        assert_eq!(back, file);
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no leftovers"
        );
        let tokens = back
            .tokens(3, TokenLayout::from_tokens(5).unwrap())
            .unwrap();
        assert_eq!(tokens.len(), 5 * 8);
        assert_eq!(tokens[..8], file.cls[24..32]);
        assert_eq!(tokens[8..], file.grids[&Grid::Two][3 * 32..4 * 32]);
        assert!(back.tokens(5, TokenLayout::default()).is_err());
        let why = back
            .tokens(0, TokenLayout::from_tokens(10).unwrap())
            .unwrap_err()
            .to_string();
        assert!(why.contains("3x3") && why.contains("2x2 5x5"), "{why}");
        assert!(TokenLayout::from_tokens(4).is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        type Break = fn(&mut FeatureFile);
        let breaks: [(&str, Break); 7] = [
            ("f16", |f| f.cls[3] = 1e6),
            ("NaN", |f| f.cls[3] = f32::NAN),
            ("2x2", |f| f.grids.get_mut(&Grid::Two).unwrap().truncate(79)),
            ("fps", |f| f.fps = 0.0),
            ("at", |f| f.at.as_mut().unwrap()[2] = 0.0),
            ("at", |f| f.at.as_mut().unwrap().truncate(4)),
            ("vectors", |f| f.dim = 0),
        ];
        for (word, break_it) in breaks {
            let mut file = sample(5, 8);
            break_it(&mut file);
            let why = file.write(&path).unwrap_err().to_string();
            assert!(why.contains(word), "{why}");
            assert!(!path.exists());
        }
        assert!(
            sample(1, 2)
                .write(&dir.path().join("no/such/dir/x"))
                .is_err()
        );
    }

    #[test]
    fn hostile_bytes_are_errors() {
        let good = serialize(&sample(3, 4)).unwrap();
        assert!(parse(&good).is_ok());
        for n in 0..good.len() {
            assert!(parse(&good[..n]).is_err(), "cut at {n}");
        }
        let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        for i in 0..header {
            for flip in [0x01, 0x10, 0x80] {
                let mut bytes = good.clone();
                bytes[i] ^= flip;
                // Must not panic; most are errors, a changed hash or name is not.
                if let Ok(file) = parse(&bytes) {
                    assert!(file.check().is_ok());
                }
            }
        }
    }

    #[test]
    fn other_tensors_and_missing_keys_are_named() {
        let data = [0u8; 8];
        let view = |shape: &[usize], dtype| TensorView::new(dtype, shape.to_vec(), &data).unwrap();
        let fps = || Some(HashMap::from([(FPS.to_owned(), "2".to_owned())]));
        for (name, shape, dtype, metadata, word) in [
            ("foo", vec![4], Dtype::F16, fps(), "foo"),
            ("cls", vec![4], Dtype::F16, fps(), "[T,1,Dv]"),
            ("cls", vec![2, 2, 1], Dtype::F16, fps(), "[T,1,Dv]"),
            ("cls", vec![1, 1, 8], Dtype::I8, fps(), "F16"),
            ("cls", vec![1, 1, 4], Dtype::F16, None, "fps"),
            ("2x2", vec![1, 4, 1], Dtype::F16, fps(), "`cls`"),
        ] {
            let bytes = safetensors::serialize([(name, view(&shape, dtype))], metadata).unwrap();
            let why = parse(&bytes).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
