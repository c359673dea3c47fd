//! The one frame-feature file: what the vision encoder said of each frame, to be used without it.
//!
//! On disk a safetensors file: `cls` `[T,1,Dv]` and, optionally, pooled patch grids `2x2`
//! `[T,4,Dv]`, `3x3` `[T,9,Dv]`, `5x5` `[T,25,Dv]`, all f16 (f32 is read too), frame times `at`
//! `[T]` in f64 seconds, and the metadata `encoder_sha256`, `preprocess`, `fps`. ProAssist's Arrow
//! stream files are read and written by `proact-lab`.

mod safetensors_file;

pub use safetensors_file::{ENCODER, FPS, PREPROCESS};

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// Most frames in one file: 38 hours at 2 frames per second.
pub const FRAMES_MAX: usize = 1 << 18;
/// Widest feature vector.
pub const DIM_MAX: usize = 1 << 14;
/// Most bytes of one file, and most bytes of features held in memory.
pub const BYTES_MAX: u64 = 16 << 30;

/// What the error says about an Arrow stream, which only `proact-lab` reads.
const ARROW: &str =
    "an Arrow stream, as ProAssist writes it: `proact export` makes safetensors of it";

/// A grid that the encoder's patches are pooled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grid {
    /// 2x2: 4 vectors.
    Two,
    /// 3x3: 9 vectors.
    Three,
    /// 5x5: 25 vectors.
    Five,
}

impl Grid {
    /// Every grid, from coarse to fine.
    pub const ALL: [Self; 3] = [Self::Two, Self::Three, Self::Five];

    /// Name of its tensor or column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Two => "2x2",
            Self::Three => "3x3",
            Self::Five => "5x5",
        }
    }

    /// Cells along one side.
    pub fn side(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Three => 3,
            Self::Five => 5,
        }
    }

    /// Vectors a frame.
    pub fn vectors(self) -> usize {
        self.side() * self.side()
    }
}

/// Which vectors of a frame the backbone sees: `cls` alone, or `cls` and then one grid, row by row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenLayout(
    /// The grid after `cls`, if any.
    pub Option<Grid>,
);

impl TokenLayout {
    /// The layout with that many tokens a frame: 1, 5, 10 or 26.
    ///
    /// # Errors
    /// Any other number.
    pub fn from_tokens(tokens: usize) -> Result<Self> {
        [None, Some(Grid::Two), Some(Grid::Three), Some(Grid::Five)]
            .into_iter()
            .map(Self)
            .find(|layout| layout.tokens() == tokens)
            .ok_or_else(|| {
                Error::Invalid(format!("{tokens} tokens a frame: expected 1, 5, 10 or 26"))
            })
    }

    /// Tokens a frame, `V`.
    pub fn tokens(self) -> usize {
        1 + self.0.map_or(0, Grid::vectors)
    }
}

/// Features of one recording, in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureFile {
    /// SHA-256 of the vision file that made them, in hex; empty when unknown.
    pub encoder_sha256: String,
    /// Name of the preprocessing; empty when unknown.
    pub preprocess: String,
    /// Frames per second of the recording.
    pub fps: f64,
    /// Time of each frame in seconds, not decreasing; without it frame `k` is at `k / fps`.
    pub at: Option<Vec<f64>>,
    /// Width of a vector, `Dv`.
    pub dim: usize,
    /// The pooled vector of each frame, `[T,1,Dv]`.
    pub cls: Vec<f32>,
    /// Pooled patch grids, each `[T,side*side,Dv]`.
    pub grids: BTreeMap<Grid, Vec<f32>>,
}

impl FeatureFile {
    /// Reads a feature file.
    ///
    /// # Errors
    /// Unreadable; another format; sizes, types or values that do not fit; named by key.
    pub fn read(path: &Path) -> Result<Self> {
        let mut head = [0u8; 8];
        let mut file = std::fs::File::open(path).map_err(Error::io(path))?;
        let bytes = file.metadata().map_err(Error::io(path))?.len();
        if bytes > BYTES_MAX {
            return Err(Error::format(
                path,
                format!("{bytes} bytes; at most {BYTES_MAX}"),
            ));
        }
        file.read_exact(&mut head)
            .map_err(|_| Error::format(path, "too short for a feature file"))?;
        match file_format(&head) {
            Some(FileFormat::Arrow) => Err(Error::format(path, ARROW)),
            Some(FileFormat::Safetensors) => safetensors_file::read(path),
            None => Err(Error::format(
                path,
                "expected a feature file: safetensors, or an Arrow stream as ProAssist writes it",
            )),
        }
    }

    /// Writes the safetensors file, values as f16; whole or not at all.
    ///
    /// # Errors
    /// Sizes that do not fit each other, a value that f16 cannot hold, a file that cannot be
    /// written.
    pub fn write(&self, path: &Path) -> Result<()> {
        safetensors_file::write(self, path)
    }

    /// Number of frames, `T`.
    pub fn frames(&self) -> usize {
        self.cls.len().checked_div(self.dim).unwrap_or(0)
    }

    /// Time of a frame in seconds.
    pub fn at_s(&self, frame: usize) -> f64 {
        match &self.at {
            Some(at) => at.get(frame).copied().unwrap_or(f64::INFINITY),
            None => frame as f64 / self.fps,
        }
    }

    /// Vectors of one frame, `[V,Dv]` row-major: `cls`, then the layout's grid row by row.
    ///
    /// # Errors
    /// The file lacks that grid or that frame.
    pub fn tokens(&self, frame: usize, layout: TokenLayout) -> Result<Vec<f32>> {
        let row = |values: &[f32], vectors: usize, out: &mut Vec<f32>| {
            let width = vectors * self.dim;
            let start = frame.checked_mul(width);
            match start.and_then(|start| values.get(start..start.checked_add(width)?)) {
                Some(row) if self.dim > 0 => {
                    out.extend_from_slice(row);
                    Ok(())
                }
                _ => Err(Error::Invalid(format!(
                    "frame {frame} of {} in the feature file",
                    self.frames()
                ))),
            }
        };
        let mut out = Vec::with_capacity(layout.tokens() * self.dim);
        row(&self.cls, 1, &mut out)?;
        if let Some(grid) = layout.0 {
            let Some(values) = self.grids.get(&grid) else {
                let held: Vec<_> = self.grids.keys().map(|g| g.name()).collect();
                return Err(Error::Invalid(format!(
                    "the feature file has no grid `{}` (it has: cls {})",
                    grid.name(),
                    held.join(" ")
                )));
            };
            row(values, grid.vectors(), &mut out)?;
        }
        Ok(out)
    }

    /// Checks that everything fits together; the reason why not, in words.
    ///
    /// # Errors
    /// In words: what does not fit.
    pub fn check(&self) -> Result<(), String> {
        if !(self.fps.is_finite() && self.fps > 0.0) {
            return Err(format!("fps is {}: expected a number above 0", self.fps));
        }
        if self.dim == 0 || self.dim > DIM_MAX {
            return Err(format!(
                "vectors of {} numbers: expected 1 to {DIM_MAX}",
                self.dim
            ));
        }
        let frames = self.frames();
        if self.cls.len() != frames * self.dim || frames > FRAMES_MAX {
            return Err(format!(
                "cls: {} numbers are not at most {FRAMES_MAX} frames of {}",
                self.cls.len(),
                self.dim
            ));
        }
        for (name, vectors, values) in self.columns() {
            if values.len() != frames * vectors * self.dim {
                return Err(format!(
                    "{name}: expected [{frames},{vectors},{}], found {} numbers",
                    self.dim,
                    values.len()
                ));
            }
            if let Some(i) = values.iter().position(|v| !v.is_finite()) {
                return Err(format!(
                    "{name}: frame {} holds {}",
                    i / (vectors * self.dim),
                    values[i]
                ));
            }
        }
        let Some(at) = &self.at else { return Ok(()) };
        if at.len() != frames {
            return Err(format!("at: {} times for {frames} frames", at.len()));
        }
        match at
            .iter()
            .position(|t| !t.is_finite())
            .or_else(|| at.windows(2).position(|w| w[1] < w[0]))
        {
            Some(i) => Err(format!(
                "at: time {} of frame {i} is not a number or goes back",
                at[i]
            )),
            None => Ok(()),
        }
    }

    /// Name, vectors a frame and values of `cls` and each grid.
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, usize, &Vec<f32>)> {
        std::iter::once(("cls", 1, &self.cls))
            .chain(self.grids.iter().map(|(g, v)| (g.name(), g.vectors(), v)))
    }
}

/// Which of the formats a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// Safetensors.
    Safetensors,
    /// Arrow IPC stream.
    Arrow,
}

/// Tells a feature file by its first 8 bytes or more.
pub fn file_format(head: &[u8]) -> Option<FileFormat> {
    // Safetensors: length of the header, little-endian; it is JSON and small. Arrow: 0xFFFFFFFF,
    // then a length.
    const HEADER_BYTES_MAX: u64 = 100_000_000;
    let length = u64::from_le_bytes(head.get(..8)?.try_into().ok()?);
    if head.starts_with(&[0xff; 4]) {
        return Some(FileFormat::Arrow);
    }
    let json = head.get(8).is_none_or(|b| *b == b'{');
    (json && length > 1 && length <= HEADER_BYTES_MAX).then_some(FileFormat::Safetensors)
}
