//! The video of a snapshot: the last seconds of a live camera, at its own rate, as MP4.
//!
//! A thread of its own decodes and writes them, so that the engine goes on meanwhile. Only one
//! video is written at a time, because each holds on to the camera's ring.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::snapshot;
use super::video::VideoWriter;
use crate::error::{Error, Result};
use crate::stream::LookBack;
use crate::tui::Board;

/// Rate that the encoder plans for; each frame has its own time.
const FPS: f64 = 30.0;

/// Writes the videos of snapshots, and waits for the last one when it is dropped.
#[derive(Default)]
pub struct SnapshotVideos(Option<JoinHandle<()>>);

impl SnapshotVideos {
    /// Begins to write the last seconds to a new file. The board says when the file is whole, or
    /// why it cannot be written.
    pub fn keep(&mut self, board: &Arc<Board>, seen: LookBack) {
        if self
            .0
            .as_ref()
            .is_some_and(|writing| !writing.is_finished())
        {
            board.note("! the video of the last snapshot is still being written");
            return;
        }
        let started = snapshot::create(&board.snapshot(), "mp4").and_then(|(file, path)| {
            let theirs = board.clone();
            let work = move || {
                theirs.note(match write(file, &path, seen) {
                    Ok(seconds) => format!("written: {}, the last {seconds:.1} s", path.display()),
                    Err(why) => format!("! {why}"),
                });
            };
            std::thread::Builder::new()
                .name("snapshot video".into())
                .spawn(work)
                .map_err(|e| Error::Sink(format!("no thread for a video: {e}")))
        });
        match started {
            Ok(writing) => self.0 = Some(writing),
            Err(why) => board.note(format!("! {why}")),
        }
    }
}

impl Drop for SnapshotVideos {
    fn drop(&mut self) {
        if let Some(writing) = self.0.take() {
            // It has told its own end.
            let _ = writing.join();
        }
    }
}

/// Writes the pictures, the first at time 0, and gives the seconds that they span.
///
/// # Errors
/// There is no picture, it has a size that cannot be encoded, or the system refuses the write.
fn write(file: File, path: &Path, seen: LookBack) -> Result<f64> {
    let mut writer = VideoWriter::new(file, path, FPS);
    let mut first_s = None;
    let mut span_s = 0.0;
    for (at, picture) in seen {
        span_s = at.seconds() - *first_s.get_or_insert(at.seconds());
        writer.push((span_s * 1000.0).round() as u64, &picture)?;
    }
    match first_s {
        Some(_) => Ok(span_s),
        None => Err(Error::format(path, "the camera has sent no picture yet")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::OpenOptions;
    use crate::stream::{Input, Picture, Poll};
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
        let path = folder.path().join("snapshot.mp4");
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
    fn one_video_is_written_at_a_time_and_leaving_waits_for_it() {
        let board = Board::new();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let slow = seen(&[0.0, 0.1]).inspect(move |_| _ = wait.recv());
        let mut videos = SnapshotVideos(None);
        // Started by hand: the file of a key press stands in the working folder.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot.mp4");
        let (file, theirs) = (File::create(&path).unwrap(), path.clone());
        videos.0 = Some(std::thread::spawn(move || {
            assert!(write(file, &theirs, Box::new(slow)).is_ok())
        }));
        videos.keep(&board, seen(&[]));
        assert!(
            board
                .snapshot()
                .log
                .iter()
                .any(|line| line.text.contains("still being written"))
        );
        drop(go);
        drop(videos);
        assert!(std::fs::metadata(&path).unwrap().len() > 500);
    }
}
