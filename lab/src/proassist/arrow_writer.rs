//! Writes ProAssist's feature files: an Arrow IPC stream, one row a frame, `list<list<f16>>`
//! columns.
//!
//! As Hugging Face's `ArrowWriter` lays out what `encode_frames.py` gives it. Where the features
//! come from stands in the schema's metadata, which upstream's loader passes by.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{Float16Builder, ListBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{Field, Schema};
use half::f16;

use proact::error::{Error, Result};
use proact::features::{ENCODER, FPS, FeatureFile, PREPROCESS};
use proact::files;

/// Frames in one record batch, as Hugging Face's writer has it.
const BATCH_FRAMES: usize = 1000;

/// Writes a feature file as ProAssist's Arrow stream, values as f16; whole or not at all. It has no
/// place for frame times: upstream reads frame `k` as at `k / fps`.
///
/// # Errors
/// Sizes that do not fit each other, a value that f16 cannot hold, a file that cannot be written.
pub fn write(file: &FeatureFile, path: &Path) -> Result<()> {
    let bytes = serialize(file).map_err(|why| Error::format(path, why))?;
    files::write_atomic(path, &bytes)
}

fn serialize(file: &FeatureFile) -> Result<Vec<u8>, String> {
    file.check()?;
    let batches: Vec<Vec<(&str, ArrayRef)>> = (0..file.frames().max(1))
        .step_by(BATCH_FRAMES)
        .map(|from| {
            let frames = from..(from + BATCH_FRAMES).min(file.frames());
            file.columns()
                .map(|(name, vectors, values)| {
                    Ok((
                        name,
                        column(name, values, vectors, file.dim, frames.clone())?,
                    ))
                })
                .collect()
        })
        .collect::<Result<_, String>>()?;
    let fields: Vec<Field> = batches[0]
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let metadata = HashMap::from([
        (ENCODER.to_owned(), file.encoder_sha256.clone()),
        (PREPROCESS.to_owned(), file.preprocess.clone()),
        (FPS.to_owned(), file.fps.to_string()),
    ]);
    let schema = Arc::new(Schema::new(fields).with_metadata(metadata));
    let failed = |e: arrow_schema::ArrowError| e.to_string();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(failed)?;
    for batch in batches {
        let columns = batch.into_iter().map(|(_, array)| array).collect();
        writer
            .write(&RecordBatch::try_new(schema.clone(), columns).map_err(failed)?)
            .map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    writer.into_inner().map_err(failed)
}

/// Rows of a column, each `[vectors, dim]`.
fn column(
    name: &str,
    values: &[f32],
    vectors: usize,
    dim: usize,
    frames: std::ops::Range<usize>,
) -> Result<ArrayRef, String> {
    let mut rows = ListBuilder::new(ListBuilder::new(Float16Builder::new()));
    for frame in frames {
        for vector in values[frame * vectors * dim..(frame + 1) * vectors * dim].chunks_exact(dim) {
            for value in vector {
                let half = f16::from_f32(*value);
                if !half.is_finite() {
                    return Err(format!("{name}: frame {frame}: {value} does not fit f16"));
                }
                rows.values().values().append_value(half);
            }
            rows.values().append(true);
        }
        rows.append(true);
    }
    Ok(Arc::new(rows.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proassist::arrow::{columns, read};
    use proact::features::Grid;

    #[test]
    fn what_is_written_is_read_back_with_where_it_is_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.arrow");
        let ramp = |vectors: usize| {
            (0..1003 * vectors * 3)
                .map(|i| (i % 61) as f32 / 4.0)
                .collect::<Vec<_>>()
        };
        let file = FeatureFile {
            encoder_sha256: "ab".repeat(32),
            preprocess: "proassist-cover-crop".into(),
            fps: 2.5,
            at: None,
            dim: 3,
            cls: ramp(1),
            grids: [(Grid::Two, ramp(4)), (Grid::Five, ramp(25))].into(),
        };
        write(&file, &path).unwrap();
        assert_eq!(read(&path, 2.0).unwrap(), file);
        assert_eq!(columns(&path).unwrap(), ["cls", "2x2", "5x5"]);
        let far = FeatureFile {
            cls: vec![1e6; 3],
            dim: 3,
            fps: 2.0,
            ..FeatureFile::default()
        };
        assert!(write(&far, &path).unwrap_err().to_string().contains("f16"));
        let empty = FeatureFile {
            dim: 3,
            fps: 2.0,
            ..FeatureFile::default()
        };
        assert!(write(&empty, &path).is_ok(), "no frames is no panic");
    }
}
