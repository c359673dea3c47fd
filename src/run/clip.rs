//! What the snapshot key keeps of a live run besides the screen: the last seconds of the camera, at
//! its own rate, as MP4.
//!
//! They are decoded and written on a thread of their own, so that the engine goes on meanwhile; one
//! at a time, as each holds on to the camera's ring.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::keepsake;
use crate::error::{Error, Result};
use crate::sources::video::{FragmentWriter, PictureEncoder, nals};
use crate::stream::{LookBack, Picture};
use crate::tui::Board;

/// Rate that the encoder plans for; each frame has its own time.
const FPS: f64 = 30.0;

/// Writes clips; waits for the last one when it is dropped.
#[derive(Default)]
pub struct Clips(Option<JoinHandle<()>>);

impl Clips {
    /// Begins to write what was seen last to a new file; the board tells when it is there, or why
    /// not.
    pub fn keep(&mut self, board: &Arc<Board>, seen: LookBack) {
        if self
            .0
            .as_ref()
            .is_some_and(|writing| !writing.is_finished())
        {
            board.note("! the video of the last snapshot is still being written");
            return;
        }
        let started = keepsake::create(&board.snapshot(), "mp4").and_then(|(file, path)| {
            let theirs = board.clone();
            let work = move || {
                theirs.note(match write(file, &path, seen) {
                    Ok(seconds) => format!("written: {}, the last {seconds:.1} s", path.display()),
                    Err(why) => format!("! {why}"),
                });
            };
            std::thread::Builder::new()
                .name("clip".into())
                .spawn(work)
                .map_err(|e| Error::Sink(format!("no thread for a video: {e}")))
        });
        match started {
            Ok(writing) => self.0 = Some(writing),
            Err(why) => board.note(format!("! {why}")),
        }
    }
}

impl Drop for Clips {
    fn drop(&mut self) {
        if let Some(writing) = self.0.take() {
            // It has told its own end.
            let _ = writing.join();
        }
    }
}

/// Writes pictures of one size, the first at time 0; gives the seconds that they span.
///
/// # Errors
/// No picture, a size that cannot be encoded or that changes, or the operating system's refusal.
fn write(mut file: File, path: &Path, seen: LookBack) -> Result<f64> {
    let mut video: Option<(PictureEncoder, FragmentWriter, f64)> = None;
    let mut span_s = 0.0;
    for (at, picture) in seen {
        let picture = even(&picture);
        let (encoder, fragments, first_s) = match &mut video {
            Some(video) => video,
            None => {
                let encoder = PictureEncoder::new(picture.width, picture.height, FPS)?;
                // In range: the encoder has checked it.
                let fragments = FragmentWriter::new(
                    picture.width as u16,
                    picture.height as u16,
                    (1000.0 / FPS) as u32,
                );
                video.insert((encoder, fragments, at.seconds()))
            }
        };
        span_s = at.seconds() - *first_s;
        let at_ms = (span_s * 1000.0).round() as u64;
        let stream = encoder.encode(&picture, at_ms)?;
        file.write_all(&fragments.push(nals(&stream), at_ms)?)
            .map_err(Error::io(path))?;
    }
    if video.is_none() {
        return Err(Error::format(path, "the camera has sent no picture yet"));
    }
    Ok(span_s)
}

/// Without its last row or column where that makes an odd number: colour comes in pairs.
pub(super) fn even(picture: &Picture) -> Picture {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::OpenOptions;
    use crate::stream::{Input, Poll};
    use crate::units::MediaTime;

    fn seen(at_s: &[f64]) -> LookBack {
        let one = |(k, at): (usize, &f64)| {
            (
                MediaTime(*at),
                Picture {
                    width: 65,
                    height: 48,
                    rgb: vec![k as u8 * 40; 65 * 48 * 3],
                },
            )
        };
        Box::new(
            at_s.iter()
                .enumerate()
                .map(one)
                .collect::<Vec<_>>()
                .into_iter(),
        )
    }

    #[test]
    fn the_last_seconds_play_from_their_first_frame() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        let seconds = write(
            File::create(&path).unwrap(),
            &path,
            seen(&[61.3, 61.333, 61.9, 62.35]),
        )
        .unwrap();
        assert!((seconds - 1.05).abs() < 1e-9);
        let mut source = crate::sources::open(
            &path,
            &OpenOptions {
                fps: 240.0,
                ..OpenOptions::default()
            },
        )
        .unwrap();
        let mut at_s = Vec::new();
        while let Poll::Ready(Input::Frame(frame)) = source.next().unwrap() {
            at_s.push(frame.at.0);
        }
        assert_eq!(at_s, [0.0, 0.033, 0.6, 1.05]);
    }

    #[test]
    fn one_clip_is_written_at_a_time_and_leaving_waits_for_it() {
        let board = Board::new();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let slow = seen(&[0.0, 0.1]).inspect(move |_| _ = wait.recv());
        let mut clips = Clips(None);
        // Started by hand: the file of a key press stands in the working folder.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        let (file, theirs) = (File::create(&path).unwrap(), path.clone());
        clips.0 = Some(std::thread::spawn(move || {
            assert!(write(file, &theirs, Box::new(slow)).is_ok())
        }));
        clips.keep(&board, seen(&[]));
        assert!(
            board
                .snapshot()
                .log
                .iter()
                .any(|line| line.text.contains("still being written"))
        );
        drop(go);
        drop(clips);
        assert!(std::fs::metadata(&path).unwrap().len() > 500);
    }
}
