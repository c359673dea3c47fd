//! Opens a path as a source by what is in it, not by its name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::features::FeatureSource;
use super::ffmpeg::{self, FfmpegSource};
use super::images::ImageSource;
use super::mp4::Fault;
use super::video::VideoSource;
use crate::error::{Error, Result};
use crate::features::{TokenLayout, kind};
use crate::stream::Source;

/// Bytes at the start of a file that tell what it is.
const HEAD_BYTES: usize = 16;
/// Boxes that a file of the MP4 family can open with.
const MP4_OPENINGS: [&[u8; 4]; 6] = [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"];

/// How to open a source.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// Frames looked at per second of the recording.
    pub fps: f64,
    /// Rate at which a folder's or frame file's pictures were taken, and of feature files that do
    /// not name theirs; `None`: `fps`, so that every picture is looked at.
    pub images_fps: Option<f64>,
    /// Tokens a frame of a feature file: 1, 5, 10 or 26.
    pub tokens_per_frame: usize,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            fps: 2.0,
            images_fps: None,
            tokens_per_frame: 1,
        }
    }
}

/// What a path holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    Mp4,
    Features,
    Picture,
    Other,
}

/// Opens a video, a folder of pictures, or a feature file.
///
/// # Errors
/// Unreadable; broken; of a kind that needs ffmpeg where there is none (the error says what to do).
pub fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn Source>> {
    let rate = options.images_fps.unwrap_or(options.fps);
    Ok(match kind_of(path)? {
        Kind::Folder | Kind::Picture => Box::new(ImageSource::open(path, options.fps, rate)?),
        Kind::Features => {
            let layout = TokenLayout::from_tokens(options.tokens_per_frame)?;
            Box::new(FeatureSource::open(path, options.fps, layout)?)
        }
        Kind::Mp4 => match VideoSource::open(path, options.fps)? {
            Ok(video) => Box::new(video),
            Err(Fault::Broken(why)) => {
                return Err(Error::format(path, format!("broken MP4: {why}")));
            }
            Err(Fault::Unsupported(what)) => through_ffmpeg(path, options.fps, &what)?,
        },
        Kind::Other => through_ffmpeg(path, options.fps, "no MP4, picture or feature file")?,
    })
}

fn through_ffmpeg(path: &Path, fps: f64, what: &str) -> Result<Box<dyn Source>> {
    match FfmpegSource::open(path, fps)? {
        Some(source) => Ok(Box::new(source)),
        None => Err(Error::format(path, needs_ffmpeg(path, what))),
    }
}

fn needs_ffmpeg(path: &Path, what: &str) -> String {
    format!(
        "{what}: this is not decoded in process, and there is no `ffmpeg` on the PATH. Either {}, or convert the file where there is one: {}",
        ffmpeg::INSTALL,
        ffmpeg::convert_command(path)
    )
}

fn kind_of(path: &Path) -> Result<Kind> {
    let metadata = std::fs::metadata(path).map_err(Error::io(path))?;
    if metadata.is_dir() {
        return Ok(Kind::Folder);
    }
    if !metadata.is_file() {
        return Err(Error::format(path, "neither a file nor a folder"));
    }
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(HEAD_BYTES as u64)
        .read_to_end(&mut head)
        .map_err(Error::io(path))?;
    if head.is_empty() {
        return Err(Error::format(path, "the file is empty"));
    }
    Ok(kind_of_head(&head))
}

fn kind_of_head(head: &[u8]) -> Kind {
    match head {
        // `ftyp` opens MP4 and its relatives; old QuickTime files open with one of the others.
        [_, _, _, _, name @ ..]
            if MP4_OPENINGS
                .iter()
                .any(|opening| name.starts_with(opening.as_slice())) =>
        {
            Kind::Mp4
        }
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] => Kind::Picture,
        _ if kind(head).is_some() => Kind::Features,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides() {
        assert_eq!(kind_of_head(b"\0\0\0\x20ftypisom\0\0\0\0"), Kind::Mp4);
        assert_eq!(kind_of_head(b"\x89PNG\r\n\x1a\n"), Kind::Picture);
        assert_eq!(kind_of_head(&[0xff, 0xd8, 0xff, 0xe0]), Kind::Picture);
        assert_eq!(kind_of_head(b"\x40\0\0\0\0\0\0\0{\"cls\":"), Kind::Features);
        assert_eq!(
            kind_of_head(b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0"),
            Kind::Features
        );
        assert_eq!(kind_of_head(b"\x1a\x45\xdf\xa3\0\0\0\0"), Kind::Other);
        assert_eq!(kind_of_head(b"RIFF"), Kind::Other);
        assert_eq!(kind_of_head(b""), Kind::Other);
    }

    #[test]
    fn paths_that_hold_nothing_are_named_errors() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.mp4");
        std::fs::write(&empty, "").unwrap();
        for path in [empty.as_path(), &dir.path().join("none"), dir.path()] {
            let why = open(path, &OpenOptions::default())
                .err()
                .unwrap()
                .to_string();
            assert!(why.contains(&path.display().to_string()), "{why}");
        }
    }

    #[test]
    fn without_ffmpeg_the_error_says_what_to_do() {
        let why = needs_ffmpeg(Path::new("a.mkv"), "H.265 (HEVC) video");
        for word in ["HEVC", "apt install ffmpeg", "libx264", "'a.mkv'"] {
            assert!(why.contains(word), "{why}");
        }
    }
}
