//! The MP4 demuxer, for one H.264 track. It is strict about sizes and tolerates a file that was cut
//! short.
//!
//! It is our own because files are untrusted: every table is checked against the bytes that are
//! there before memory is allocated for it. Times follow the edit list: an empty edit delays the
//! start, and one media edit cuts both ends.

mod boxes;
mod fragments;
mod table;
mod track;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use self::boxes::show;
use self::table::Sample;
pub(crate) use self::track::TrackInfo;
use crate::error::{Error, Result};

/// Most bytes that the `moov` and `moof` boxes have together.
const HEADERS_BYTES_MAX: u64 = 256 << 20;
/// Largest access unit that is read, in bytes.
const SAMPLE_BYTES_MAX: u32 = 32 << 20;
/// Most boxes at the top level. A fragmented recording has about two for each second.
const BOXES_MAX: usize = 1 << 20;

/// Why a file cannot be played here.
#[derive(Debug, PartialEq)]
pub(crate) enum Unplayable {
    /// It is sound and of a kind that this decoder cannot decode; ffmpeg may be able to.
    Unsupported(String),
    /// It breaks the rules of its format.
    Broken(String),
}

impl From<String> for Unplayable {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

/// The boxes that describe the media, in memory.
#[derive(Default)]
struct Headers {
    moov: Option<Vec<u8>>,
    /// The fragments: where each `moof` box begins in the file, and its payload.
    moofs: Vec<(u64, Vec<u8>)>,
}

/// An opened H.264 track.
#[derive(Debug)]
pub(crate) struct Track {
    path: PathBuf,
    file: File,
    file_bytes: u64,
    /// What the headers say about the track.
    pub info: TrackInfo,
}

impl Track {
    /// Opens the first video track. The outer error comes from the system; the inner one is about
    /// the content.
    pub fn open(path: &Path) -> Result<Result<Self, Unplayable>> {
        let mut file = File::open(path).map_err(Error::io(path))?;
        let file_bytes = file.metadata().map_err(Error::io(path))?.len();
        let headers = read_headers(&mut file, file_bytes).map_err(Error::io(path))?;
        let info = headers.and_then(|h| track::parse(&h)).and_then(|info| {
            let whole = |s: &&Sample| s.size > 0 && s.ends_within(file_bytes);
            // The sum fits: there are at most 2^22 samples of less than 2^32 bytes each.
            match info
                .samples
                .iter()
                .filter(whole)
                .map(|s| u64::from(s.size))
                .sum::<u64>()
            {
                0 => Err(Unplayable::Broken(
                    "no picture lies inside the file; it was cut short".into(),
                )),
                bytes if bytes > file_bytes => Err(Unplayable::Broken(
                    "its samples are larger than the file: they overlap".into(),
                )),
                _ => Ok(info),
            }
        });
        Ok(info.map(|info| Self {
            path: path.to_path_buf(),
            file,
            file_bytes,
            info,
        }))
    }

    /// Whether a sample lies whole in the file and is no larger than an access unit can be.
    pub fn holds(&self, sample: &Sample) -> bool {
        sample.ends_within(self.file_bytes) && sample.size <= SAMPLE_BYTES_MAX
    }

    /// Reads the bytes of one sample into `into`. Returns `false` where the file does not
    /// [hold](Self::holds) it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&mut self, sample: usize, into: &mut Vec<u8>) -> Result<bool> {
        into.clear();
        let Some(s) = self.info.samples.get(sample) else {
            return Ok(false);
        };
        if !self.holds(s) {
            return Ok(false);
        }
        into.resize(s.size as usize, 0);
        self.file
            .seek(SeekFrom::Start(s.offset))
            .map_err(Error::io(&self.path))?;
        match self.file.read_exact(into) {
            Ok(()) => Ok(true),
            // The file shrank since it was opened.
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(Error::io(&self.path)(e)),
        }
    }
}

/// Reads the boxes `moov` and `moof` at the top level. A last box that was cut short is left out.
fn read_headers(file: &mut File, file_bytes: u64) -> std::io::Result<Result<Headers, Unplayable>> {
    let mut headers = Headers::default();
    let mut at = 0u64;
    let mut read_bytes = 0u64;
    for _ in 0..BOXES_MAX {
        if file_bytes.saturating_sub(at) < 8 {
            return Ok(Ok(headers));
        }
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0u8; 16];
        file.read_exact(&mut head[..8])?;
        let name = [head[4], head[5], head[6], head[7]];
        let (header_bytes, size) = match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
            0 => (8, file_bytes - at),
            1 if file_bytes - at >= 16 => {
                file.read_exact(&mut head[8..])?;
                (
                    16,
                    u64::from_be_bytes(head[8..].try_into().unwrap_or_default()),
                )
            }
            1 => return Ok(Ok(headers)),
            size => (8, u64::from(size)),
        };
        if size < header_bytes {
            return Ok(Err(Unplayable::Broken(format!(
                "box `{}` at byte {at} claims {size} bytes",
                show(name)
            ))));
        }
        let end = at.checked_add(size);
        let whole = end.is_some_and(|end| end <= file_bytes);
        if matches!(&name, b"moov" | b"moof") && whole {
            let payload_bytes = size - header_bytes;
            read_bytes = read_bytes.saturating_add(payload_bytes);
            if read_bytes > HEADERS_BYTES_MAX {
                return Ok(Err(Unplayable::Broken(format!(
                    "headers are larger than {HEADERS_BYTES_MAX} bytes"
                ))));
            }
            let mut payload = vec![0; payload_bytes as usize];
            file.read_exact(&mut payload)?;
            match &name {
                b"moov" if headers.moov.is_none() => headers.moov = Some(payload),
                b"moof" => headers.moofs.push((at, payload)),
                _ => {}
            }
        }
        match end {
            Some(end) if whole => at = end,
            _ => return Ok(Ok(headers)),
        }
    }
    Ok(Err(Unplayable::Broken(format!(
        "more than {BOXES_MAX} boxes"
    ))))
}
