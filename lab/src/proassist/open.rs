//! Opens what the runtime opens, and ProAssist's Arrow streams besides.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::arrow;
use super::frame_file::{COLUMN, FrameFileSource};
use proact::error::{Error, Result};
use proact::features::{FeatureFile, FileFormat, TokenLayout, file_format};
use proact::sources::{self, FeatureSource, OpenOptions};
use proact::stream::Source;

/// Opens a path as a source, as [`proact::sources::open`] does; of Arrow streams the columns tell
/// whether they hold frames or features.
///
/// # Errors
/// As [`proact::sources::open`]; a broken Arrow stream.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn Source>> {
    if !is_arrow(path) {
        return sources::open(path, options);
    }
    let rate = options.images_fps.unwrap_or(options.fps);
    if arrow::columns(path)?.iter().any(|name| name == COLUMN) {
        return Ok(Box::new(FrameFileSource::open(path, options.fps, rate)?));
    }
    let layout = TokenLayout::from_tokens(options.tokens_per_frame)?;
    let file = arrow::read(path, rate)?;
    Ok(Box::new(FeatureSource::new(file, options.fps, layout)?))
}

/// Reads a feature file, safetensors or Arrow stream. `default_fps` stands in for Arrow files,
/// which do not name their rate (ProAssist's is 2).
///
/// # Errors
/// Unreadable; not one of the formats; sizes, types or values that do not fit; named by key.
pub fn read_features(path: &Path, default_fps: f64) -> Result<FeatureFile> {
    if is_arrow(path) {
        let bytes = std::fs::metadata(path).map_err(Error::io(path))?.len();
        let most = proact::features::BYTES_MAX;
        if bytes > most {
            return Err(Error::format(
                path,
                format!("{bytes} bytes; at most {most}"),
            ));
        }
        return arrow::read(path, default_fps);
    }
    FeatureFile::read(path)
}

/// What cannot be read is no Arrow stream: whoever opens it next says why.
fn is_arrow(path: &Path) -> bool {
    let mut head = [0u8; 8];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && file_format(&head) == Some(FileFormat::Arrow)
}
