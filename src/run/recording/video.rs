//! Pictures as MP4: what a camera saw, written while it is seen.
//!
//! H.264 loses detail, so `--record-video FILE` shows the model each frame as it will be read back
//! from the file: a replay of the file sees the same pixels at the same times, and decides the
//! same. Each frame is a fragment; a process that is killed leaves a file that plays up to there.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::files;
use crate::sources::video::{FragmentWriter, PictureEncoder, ReadBack, nals};
use crate::stream::{Content, Input, Picture, Poll, Source};
use crate::units::MediaTime;

/// Writes pictures to an MP4 file, each with its own time. The first picture gives the video its
/// size.
pub(super) struct VideoWriter {
    path: PathBuf,
    out: File,
    fps: f64,
    video: Option<Video>,
}

struct Video {
    size: (u32, u32),
    encoder: PictureEncoder,
    fragments: FragmentWriter,
}

impl VideoWriter {
    /// Writes to a new file. The encoder plans for `fps` pictures a second.
    pub(super) fn new(out: File, path: &Path, fps: f64) -> Self {
        Self {
            path: path.to_path_buf(),
            out,
            fps,
            video: None,
        }
    }

    /// Adds a picture, and gives the stream that stands for it in the file.
    ///
    /// # Errors
    /// The picture has a size that cannot be encoded, or the system refuses the write.
    pub(super) fn push(&mut self, at_ms: u64, picture: &Picture) -> Result<Vec<u8>> {
        let mut picture = even(picture);
        let video = match &mut self.video {
            Some(video) => video,
            None => {
                let (width, height) = (picture.width, picture.height);
                let encoder = PictureEncoder::new(width, height, self.fps)?;
                let frame_ms = (1000.0 / self.fps).round() as u32;
                self.video.insert(Video {
                    size: (width, height),
                    encoder,
                    // In range: the encoder has checked it.
                    fragments: FragmentWriter::new(width as u16, height as u16, frame_ms),
                })
            }
        };
        if video.size != (picture.width, picture.height) {
            picture = scaled(picture, video.size)?;
        }
        let stream = video.encoder.encode(&picture, at_ms)?;
        let fragment = video.fragments.push(nals(&stream), at_ms)?;
        self.out
            .write_all(&fragment)
            .map_err(Error::io(&self.path))?;
        Ok(stream)
    }
}

/// Cuts off the last row or column where their number is odd: H.264 stores colour for pairs.
fn even(picture: &Picture) -> Picture {
    let (width, height) = (picture.width & !1, picture.height & !1);
    let rows = picture
        .rgb
        .chunks_exact(picture.width as usize * 3)
        .take(height as usize);
    Picture {
        width,
        height,
        rgb: rows
            .flat_map(|row| &row[..width as usize * 3])
            .copied()
            .collect(),
    }
}

/// Scales a picture to the size of the video: a camera can come back with another size.
fn scaled(picture: Picture, (width, height): (u32, u32)) -> Result<Picture> {
    let whole = || {
        Error::Invalid(format!(
            "a picture of {}x{} with {} bytes",
            picture.width,
            picture.height,
            picture.rgb.len()
        ))
    };
    let image = image::RgbImage::from_raw(picture.width, picture.height, picture.rgb.clone())
        .ok_or_else(whole)?;
    let rgb = image::imageops::resize(&image, width, height, image::imageops::FilterType::Triangle)
        .into_raw();
    Ok(Picture { width, height, rgb })
}

/// A source whose pictures are recorded on their way to the session.
pub struct RecordingSource {
    source: Box<dyn Source>,
    writer: VideoWriter,
    read_back: ReadBack,
}

impl RecordingSource {
    /// Records the pictures of `source`, which come `fps` times a second at most, in a new file
    /// that only its owner can read.
    ///
    /// # Errors
    /// The file is there already, or cannot be created.
    pub fn new(source: Box<dyn Source>, path: &Path, fps: f64) -> Result<Self> {
        let out = files::create_private(path)?;
        Ok(Self {
            source,
            writer: VideoWriter::new(out, path, fps),
            read_back: ReadBack::new()?,
        })
    }

    fn record(&mut self, at: MediaTime, picture: &Picture) -> Result<Picture> {
        let at_ms = (at.seconds() * 1000.0).round() as u64;
        let stream = self.writer.push(at_ms, picture)?;
        self.read_back.decode(&stream, nals(&stream))
    }
}

impl Source for RecordingSource {
    fn next(&mut self) -> Result<Poll> {
        let mut poll = self.source.next()?;
        if let Poll::Ready(Input::Frame(frame)) = &mut poll
            && let Content::Picture(picture) = &frame.content
        {
            frame.content = Content::Picture(Arc::new(self.record(frame.at, &picture.clone())?));
        }
        Ok(poll)
    }

    fn inner(&mut self) -> Option<&mut dyn Source> {
        Some(&mut *self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::{OpenOptions as SourceOptions, ScriptSource};
    use crate::stream::Frame;
    use crate::units::FrameIdx;

    fn picture(shift: usize) -> Picture {
        let (width, height) = (97u32, 65u32);
        let pixel = |i: usize| {
            if ((i + shift) / 11).is_multiple_of(2) {
                [200, 90, 30]
            } else {
                [(i % 251) as u8, 60, 170]
            }
        };
        Picture {
            width,
            height,
            rgb: (0..97 * 65).flat_map(pixel).collect(),
        }
    }

    /// Times of a camera: uneven, with a gap.
    const AT: [f64; 9] = [0.0, 0.508, 1.001, 1.533, 2.02, 64.2, 64.71, 65.25, 65.7];

    fn frames(mut source: Box<dyn Source>) -> Vec<(u64, f64, Arc<Picture>)> {
        let mut frames = Vec::new();
        while let Poll::Ready(input) = source.next().unwrap() {
            let Input::Frame(Frame {
                idx,
                at,
                content: Content::Picture(picture),
            }) = input
            else {
                panic!("{input:?}")
            };
            frames.push((idx.0, at.0, picture));
        }
        frames
    }

    fn live(frames: usize) -> Box<dyn Source> {
        let one = |k: usize| Frame {
            idx: FrameIdx(k as u64),
            at: MediaTime(AT[k]),
            content: Content::Picture(Arc::new(picture(k))),
        };
        Box::new(ScriptSource::new((0..frames).map(|k| Input::Frame(one(k)))))
    }

    #[test]
    fn a_recorded_source_forwards_everything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen.mp4");
        crate::stream::fake::assert_forwards(|source| {
            Box::new(RecordingSource::new(source, &path, 2.0).unwrap())
        });
    }

    #[test]
    fn a_replay_sees_the_same_pixels_at_the_same_times() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("live.mp4");
        let seen = frames(Box::new(
            RecordingSource::new(live(AT.len()), &path, 2.0).unwrap(),
        ));
        assert_eq!(seen.iter().map(|f| f.1).collect::<Vec<_>>(), AT);
        let again = frames(crate::sources::open(&path, &SourceOptions::default()).unwrap());
        assert_eq!(again.len(), seen.len());
        for (a, b) in again.iter().zip(&seen) {
            assert_eq!((a.0, a.1), (b.0, b.1));
            assert!(a.2 == b.2, "the picture at {} s differs", a.1);
        }
        assert_eq!((again[0].2.width, again[0].2.height), (96, 64));
    }

    #[test]
    fn a_camera_that_comes_back_with_another_size_is_recorded_in_the_first_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("live.mp4");
        let large = Picture {
            width: 194,
            height: 130,
            rgb: [200, 90, 30].repeat(194 * 130),
        };
        let input = |k: u64, picture| {
            Input::Frame(Frame {
                idx: FrameIdx(k),
                at: MediaTime(k as f64),
                content: Content::Picture(Arc::new(picture)),
            })
        };
        let source = ScriptSource::new([input(0, picture(0)), input(1, large)]);
        let seen = frames(Box::new(
            RecordingSource::new(Box::new(source), &path, 2.0).unwrap(),
        ));
        let again = frames(crate::sources::open(&path, &SourceOptions::default()).unwrap());
        assert!(again.len() == 2 && again.iter().zip(&seen).all(|(a, b)| a.2 == b.2));
        let (size, middle) = (
            (again[1].2.width, again[1].2.height),
            again[1].2.rgb[(32 * 96 + 48) * 3],
        );
        assert!(
            size == (96, 64) && middle.abs_diff(200) < 12,
            "{size:?}, {middle}"
        );
    }

    #[test]
    fn a_file_that_is_cut_off_plays_up_to_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("live.mp4");
        frames(Box::new(RecordingSource::new(live(6), &path, 2.0).unwrap()));
        let five = std::fs::metadata(&path).unwrap().len();
        let cut = dir.path().join("cut.mp4");
        frames(Box::new(RecordingSource::new(live(7), &cut, 2.0).unwrap()));
        File::options()
            .write(true)
            .open(&cut)
            .unwrap()
            .set_len(five)
            .unwrap();
        assert_eq!(
            frames(crate::sources::open(&cut, &SourceOptions::default()).unwrap()).len(),
            6
        );
    }

    #[test]
    fn nothing_is_overwritten_and_only_the_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("live.mp4");
        frames(Box::new(RecordingSource::new(live(1), &path, 2.0).unwrap()));
        assert!(RecordingSource::new(live(1), &path, 2.0).is_err());
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(
                &std::fs::metadata(&path).unwrap().permissions()
            ) & 0o777,
            0o600
        );
    }
}
