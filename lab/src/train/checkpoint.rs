//! Checkpoints: one safetensors file with weights, optimizer state and the step, replaced
//! atomically.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use proact::error::{Error, Result};
use proact::files;

/// Where a training run stands.
pub struct Checkpoint {
    /// Steps done.
    pub step: usize,
    /// Everything by name.
    pub tensors: HashMap<String, Tensor>,
}

const STEP_KEY: &str = "step";

/// Writes tensors as a safetensors file in one step, in a folder that is made if it is missing.
///
/// # Errors
/// The disk refused it; what stood at `path` before is then untouched.
pub fn write_tensors(
    path: &Path,
    tensors: &[(String, Tensor)],
    metadata: HashMap<String, String>,
) -> Result<()> {
    let contiguous: Vec<(String, Tensor)> = tensors
        .iter()
        .map(|(n, t)| Ok((n.clone(), t.to_device(&Device::Cpu)?.contiguous()?)))
        .collect::<Result<_>>()?;
    let bytes = safetensors::serialize(
        contiguous.iter().map(|(n, t)| (n.as_str(), t)),
        Some(metadata),
    )
    .map_err(|e| Error::format(path, e.to_string()))?;
    files::create_parent(path)?;
    files::write_atomic(path, &bytes)
}

impl Checkpoint {
    /// Saves the state after `step` steps.
    ///
    /// # Errors
    /// The disk refused it.
    pub fn save(path: &Path, step: usize, tensors: &[(String, Tensor)]) -> Result<()> {
        write_tensors(
            path,
            tensors,
            HashMap::from([(STEP_KEY.to_owned(), step.to_string())]),
        )
    }

    /// Loads a checkpoint; `None` when there is none yet.
    ///
    /// # Errors
    /// The file cannot be read or is no checkpoint.
    pub fn load(path: &Path, device: &Device) -> Result<Option<Self>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path)(e)),
        };
        let bad = |e: safetensors::SafeTensorError| Error::format(path, e.to_string());
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).map_err(bad)?;
        let step = header
            .metadata()
            .as_ref()
            .and_then(|m| m.get(STEP_KEY))
            .and_then(|s| s.parse().ok());
        let step = step.ok_or_else(|| {
            Error::format(
                path,
                "no training step in its metadata: not a checkpoint of `proact train`",
            )
        })?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, device)?;
        Ok(Some(Self { step, tensors }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_to_the_bit_and_a_torn_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/c.safetensors");
        assert!(Checkpoint::load(&path, &Device::Cpu).unwrap().is_none());
        let t = Tensor::from_slice(&[1.0f32, -0.0, f32::MIN_POSITIVE], 3, &Device::Cpu).unwrap();
        Checkpoint::save(&path, 7, &[("w".into(), t.clone())]).unwrap();
        let back = Checkpoint::load(&path, &Device::Cpu).unwrap().unwrap();
        assert_eq!(back.step, 7);
        let bits = |t: &Tensor| {
            t.to_vec1::<f32>()
                .unwrap()
                .iter()
                .map(|v| v.to_bits())
                .collect::<Vec<_>>()
        };
        assert_eq!(bits(&back.tensors["w"]), bits(&t));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        assert!(Checkpoint::load(&path, &Device::Cpu).is_err());
    }
}
