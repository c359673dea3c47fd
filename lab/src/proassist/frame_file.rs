//! ProAssist's frame files as a source: an Arrow stream whose column `frame` holds JPEG pictures in
//! base64.
//!
//! `extract_frames.py` writes them at 2 frames a second, cropped and resized already; frame `k` is
//! at `k / frames_fps`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_schema::DataType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use proact::error::{Error, Result};
use proact::sources::{Sampler, decode_picture};
use proact::stream::{Content, Frame, Input, Poll, Source};
use proact::units::{FrameIdx, MediaTime};

/// The column of pictures.
pub(crate) const COLUMN: &str = "frame";
/// Longest text of one picture.
const PICTURE_BYTES_MAX: usize = 64 << 20;

/// Pictures of a frame file; one record batch of them is in memory. It samples like the runtime's
/// `ImageSource` on purpose: files of ProAssist are read in the lab alone.
pub struct FrameFileSource {
    path: PathBuf,
    reader: StreamReader<BufReader<File>>,
    batch: Option<RecordBatch>,
    row: usize,
    frames_fps: f64,
    sampler: Sampler,
    next: usize,
    frames: u64,
}

impl FrameFileSource {
    /// Opens a frame file whose pictures were taken `frames_fps` times a second; they are sampled
    /// at `fps`.
    ///
    /// # Errors
    /// A rate out of range; no Arrow stream, or one without a column `frame` of text.
    pub fn open(path: &Path, fps: f64, frames_fps: f64) -> Result<Self> {
        let sampler = Sampler::new(fps)?;
        Sampler::new(frames_fps)?;
        super::arrow::columns(path)?;
        let file = BufReader::new(File::open(path).map_err(Error::io(path))?);
        let reader = StreamReader::try_new(file, None)
            .map_err(|e| Error::format(path, format!("not an Arrow stream: {e}")))?;
        let schema = reader.schema();
        match schema
            .column_with_name(COLUMN)
            .map(|(_, field)| field.data_type())
        {
            Some(DataType::Utf8 | DataType::LargeUtf8) => {}
            Some(other) => {
                return Err(Error::format(
                    path,
                    format!("column `{COLUMN}` is of type {other}: expected text (base64)"),
                ));
            }
            None => {
                return Err(Error::format(
                    path,
                    format!("column `{COLUMN}` is missing: not a frame file"),
                ));
            }
        }
        Ok(Self {
            path: path.to_path_buf(),
            reader,
            batch: None,
            row: 0,
            frames_fps,
            sampler,
            next: 0,
            frames: 0,
        })
    }

    /// The next picture's text; `None` at the end.
    fn text(&mut self) -> Result<Option<String>> {
        let broken = |path: &Path, why: String| Error::format(path, why);
        while self
            .batch
            .as_ref()
            .is_none_or(|batch| self.row >= batch.num_rows())
        {
            let Some(batch) = self.reader.next() else {
                return Ok(None);
            };
            self.batch =
                Some(batch.map_err(|e| broken(&self.path, format!("a broken record batch: {e}")))?);
            self.row = 0;
        }
        let Some(column) = self
            .batch
            .as_ref()
            .and_then(|batch| batch.column_by_name(COLUMN))
        else {
            return Ok(None);
        };
        let (row, frame) = (self.row, self.next);
        self.row += 1;
        if column.is_null(row) {
            return Err(broken(&self.path, format!("frame {frame}: no picture")));
        }
        let text = match column.data_type() {
            DataType::LargeUtf8 => column.as_string::<i64>().value(row),
            _ => column.as_string::<i32>().value(row),
        };
        if text.len() > PICTURE_BYTES_MAX {
            return Err(broken(
                &self.path,
                format!(
                    "frame {frame}: {} bytes, expected at most {PICTURE_BYTES_MAX}",
                    text.len()
                ),
            ));
        }
        Ok(Some(text.to_owned()))
    }
}

impl Source for FrameFileSource {
    fn next(&mut self) -> Result<Poll> {
        while let Some(text) = self.text()? {
            let (number, at_s) = (self.next, self.next as f64 / self.frames_fps);
            self.next += 1;
            if !self.sampler.take(at_s) {
                continue;
            }
            let bad = |why: String| Error::format(&self.path, format!("frame {number}: {why}"));
            let bytes = STANDARD
                .decode(text.trim())
                .map_err(|e| bad(format!("no base64: {e}")))?;
            let picture = decode_picture(&bytes).map_err(bad)?;
            let frame = Frame {
                idx: FrameIdx(self.frames),
                at: MediaTime(at_s),
                content: Content::Picture(Arc::new(picture)),
            };
            self.frames += 1;
            return Ok(Poll::Ready(Input::Frame(frame)));
        }
        Ok(Poll::End)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, StringArray};
    use arrow_ipc::writer::StreamWriter;
    use arrow_schema::{Field, Schema};
    use image::codecs::jpeg::JpegEncoder;

    use super::*;

    fn write(path: &Path, column: &str, texts: &[Option<String>]) {
        let array: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        let schema = Arc::new(Schema::new(vec![Field::new(column, DataType::Utf8, true)]));
        let mut writer = StreamWriter::try_new(File::create(path).unwrap(), &schema).unwrap();
        for from in (0..texts.len()).step_by(3) {
            let part = array.slice(from, 3.min(texts.len() - from));
            writer
                .write(&RecordBatch::try_new(schema.clone(), vec![part]).unwrap())
                .unwrap();
        }
        writer.finish().unwrap();
    }

    fn jpeg(grey: u8) -> Option<String> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 90)
            .encode(&[grey; 8 * 6 * 3], 8, 6, image::ExtendedColorType::Rgb8)
            .unwrap();
        Some(STANDARD.encode(bytes))
    }

    #[test]
    fn pictures_come_over_several_batches_at_their_times() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.arrow");
        write(
            &path,
            "frame",
            &(0..7).map(|i| jpeg(i * 30)).collect::<Vec<_>>(),
        );
        let mut source = FrameFileSource::open(&path, 1.0, 2.0).unwrap();
        let mut seen = Vec::new();
        while let Poll::Ready(Input::Frame(frame)) = source.next().unwrap() {
            let Content::Picture(picture) = &frame.content else {
                panic!("no picture")
            };
            seen.push((
                frame.at.0,
                picture.width,
                picture.height,
                picture.rgb[0] / 10,
            ));
        }
        assert_eq!(
            seen,
            [
                (0.0, 8, 6, 0),
                (1.0, 8, 6, 6),
                (2.0, 8, 6, 12),
                (3.0, 8, 6, 18)
            ]
        );
    }

    #[test]
    fn what_is_no_frame_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.arrow");
        for (texts, word) in [
            (vec![jpeg(0), None], "frame 1: no picture"),
            (vec![Some("!".into())], "frame 0: no base64"),
            (vec![Some(STANDARD.encode(b"no picture"))], "frame 0"),
        ] {
            write(&path, "frame", &texts);
            let mut source = FrameFileSource::open(&path, 2.0, 2.0).unwrap();
            let why = std::iter::from_fn(|| Some(source.next()))
                .find_map(std::result::Result::err)
                .unwrap()
                .to_string();
            assert!(why.contains(word) && why.contains("v.arrow"), "{why}");
        }
        write(&path, "picture", &[jpeg(0)]);
        assert!(
            FrameFileSource::open(&path, 2.0, 2.0)
                .err()
                .unwrap()
                .to_string()
                .contains("`frame` is missing")
        );
    }
}
