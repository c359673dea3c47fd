//! Opens a file or folder as a source, by its content and not by its name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::features::FeatureSource;
use super::images::ImageSource;
use super::video::{FfmpegSource, Unplayable, VideoSource, ffmpeg};
use crate::error::{Error, Result};
use crate::features::{TokenLayout, file_format};
use crate::stream::Source;

/// How many bytes at the start of a file show what it is.
const HEAD_BYTES: usize = 16;
/// The boxes with which a file of the MP4 family can begin.
const MP4_OPENINGS: [&[u8; 4]; 6] = [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"];

/// How to open a source.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// How many frames are looked at in a second of the recording.
    pub fps: f64,
    /// The rate, in pictures a second, at which the pictures of a folder or frame file were taken,
    /// and that of a feature file which does not name its own. `None` stands for `fps`, so that
    /// every picture is looked at.
    pub images_fps: Option<f64>,
    /// How many tokens a frame of a feature file has: 1, 5, 10 or 26.
    pub tokens_per_frame: usize,
}

impl OpenOptions {
    /// The defaults, at another number of frames a second.
    pub fn at(fps: f64) -> Self {
        Self {
            fps,
            ..Self::default()
        }
    }
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

/// What is in a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathKind {
    Folder,
    Mp4,
    Features,
    Picture,
    Other,
}

/// Opens a video, a folder of pictures, or a feature file.
///
/// # Errors
/// The path cannot be read, is broken, or needs ffmpeg where there is none (the error then says
/// what to do).
pub fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn Source>> {
    let rate = options.images_fps.unwrap_or(options.fps);
    Ok(match kind_of(path)? {
        PathKind::Folder | PathKind::Picture => {
            Box::new(ImageSource::open(path, options.fps, rate)?)
        }
        PathKind::Features => {
            let layout = TokenLayout::from_tokens(options.tokens_per_frame)?;
            Box::new(FeatureSource::open(path, options.fps, layout)?)
        }
        PathKind::Mp4 => match VideoSource::open(path, options.fps)? {
            Ok(video) => Box::new(video),
            Err(Unplayable::Broken(why)) => {
                return Err(Error::format(path, format!("broken MP4: {why}")));
            }
            Err(Unplayable::Unsupported(what)) => through_ffmpeg(path, options.fps, &what)?,
        },
        PathKind::Other => through_ffmpeg(path, options.fps, "no MP4, picture or feature file")?,
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
        "{what}: this is not decoded in process, and there is no `ffmpeg` on the PATH. \
         Either {}, or convert the file where there is one: {}",
        ffmpeg::INSTALL,
        ffmpeg::convert_command(path)
    )
}

fn kind_of(path: &Path) -> Result<PathKind> {
    let metadata = std::fs::metadata(path).map_err(Error::io(path))?;
    if metadata.is_dir() {
        return Ok(PathKind::Folder);
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

fn kind_of_head(head: &[u8]) -> PathKind {
    match head {
        // MP4 and its relatives begin with `ftyp`; old QuickTime files begin with one of the
        // others.
        [_, _, _, _, name @ ..]
            if MP4_OPENINGS
                .iter()
                .any(|opening| name.starts_with(opening.as_slice())) =>
        {
            PathKind::Mp4
        }
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] => PathKind::Picture,
        _ if file_format(head).is_some() => PathKind::Features,
        _ => PathKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides() {
        assert_eq!(kind_of_head(b"\0\0\0\x20ftypisom\0\0\0\0"), PathKind::Mp4);
        assert_eq!(kind_of_head(b"\x89PNG\r\n\x1a\n"), PathKind::Picture);
        assert_eq!(kind_of_head(&[0xff, 0xd8, 0xff, 0xe0]), PathKind::Picture);
        assert_eq!(
            kind_of_head(b"\x40\0\0\0\0\0\0\0{\"cls\":"),
            PathKind::Features
        );
        assert_eq!(
            kind_of_head(b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0"),
            PathKind::Features
        );
        assert_eq!(kind_of_head(b"\x1a\x45\xdf\xa3\0\0\0\0"), PathKind::Other);
        assert_eq!(kind_of_head(b"RIFF"), PathKind::Other);
        assert_eq!(kind_of_head(b""), PathKind::Other);
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
