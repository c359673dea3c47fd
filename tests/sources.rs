//! Video files through the public door: against ffmpeg's own decoding, refused kinds, hostile
//! bytes.
//!
//! The clips are made by `tests/data/video/make_video.sh`.

use std::path::{Path, PathBuf};

use proact::error::Error;
use proact::sources::video::{FfmpegSource, VideoSource};
use proact::sources::{OpenOptions, StartingAt, open};
use proact::stream::{Content, Input, Picture, Poll, Source};
use proact::units::MediaTime;

/// A flat cell may be rounded the other way in one colour: mean of a cell, in steps of 255.
const MEAN_TOLERANCE: f64 = 0.6;
const GRID: usize = 4;

fn clip(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/video")
        .join(name)
}

/// Everything a source gives, told shortly.
#[derive(Debug, Default)]
struct Played {
    frames: Vec<(f64, std::sync::Arc<Picture>)>,
    dropped: u64,
}

fn play(source: &mut dyn Source) -> Result<Played, Error> {
    let mut played = Played::default();
    let mut last = f64::NEG_INFINITY;
    loop {
        let at = match source.next()? {
            Poll::Ready(Input::Frame(frame)) => {
                assert_eq!(frame.idx.0 as usize, played.frames.len());
                let Content::Picture(picture) = frame.content else {
                    panic!("no picture")
                };
                assert_eq!(
                    picture.rgb.len(),
                    picture.width as usize * picture.height as usize * 3
                );
                played.frames.push((frame.at.0, picture));
                frame.at.0
            }
            Poll::Ready(Input::Dropped { at, count }) => {
                assert!(count > 0);
                played.dropped += count;
                at.0
            }
            Poll::End => return Ok(played),
            other => panic!("{other:?}"),
        };
        assert!(at >= last, "{at} after {last}");
        last = at;
    }
}

fn play_native(path: &Path) -> Result<Played, Error> {
    play(&mut VideoSource::in_process(path, 2.0)?)
}

/// Mean of each colour in each cell.
fn means(picture: &Picture) -> Vec<f64> {
    let (w, h) = (picture.width as usize, picture.height as usize);
    let mut out = Vec::new();
    for (gy, gx) in (0..GRID).flat_map(|y| (0..GRID).map(move |x| (y, x))) {
        let (rows, columns) = (
            gy * h / GRID..(gy + 1) * h / GRID,
            gx * w / GRID..(gx + 1) * w / GRID,
        );
        for c in 0..3 {
            let cell = rows
                .clone()
                .flat_map(|y| columns.clone().map(move |x| (y * w + x) * 3 + c));
            let (n, sum) = cell.fold((0.0, 0.0), |(n, sum), i| {
                (n + 1.0, sum + f64::from(picture.rgb[i]))
            });
            out.push(sum / n);
        }
    }
    out
}

#[test]
fn pictures_and_times_are_those_of_ffmpeg() {
    for name in [
        "bframes",
        "baseline",
        "oddsize",
        "bt709",
        "vfr",
        "edited",
        "rotated90",
        "rotated180",
        "rotated270",
        "fragmented",
        "sound",
    ] {
        let played = play_native(&clip(&format!("{name}.mp4"))).unwrap();
        let expected = std::fs::read_to_string(clip(&format!("{name}.expected.txt"))).unwrap();
        assert_eq!(played.dropped, 0, "{name}");
        assert_eq!(played.frames.len(), expected.lines().count(), "{name}");
        for ((at, picture), line) in played.frames.iter().zip(expected.lines()) {
            let mut words = line.split(' ');
            let expected_at: f64 = words.next().unwrap().parse().unwrap();
            assert!(
                (at - expected_at).abs() < 1e-3,
                "{name}: {at} for {expected_at}"
            );
            assert_eq!(
                format!("{}x{}", picture.width, picture.height),
                words.next().unwrap(),
                "{name}"
            );
            let worst = means(picture)
                .iter()
                .zip(words)
                .map(|(a, b)| (a - b.parse::<f64>().unwrap()).abs())
                .fold(0.0, f64::max);
            assert!(worst < MEAN_TOLERANCE, "{name} at {at}: {worst}");
        }
    }
}

#[test]
fn other_kinds_are_refused_by_name() {
    for (name, word) in [
        ("interlaced", "interlaced"),
        ("tenbit", "8 bits"),
        ("chroma444", "4:4:4"),
        ("hevc", "HEVC"),
    ] {
        let why = play_native(&clip(&format!("{name}.mp4")))
            .unwrap_err()
            .to_string();
        assert!(why.contains(word) && why.contains(name), "{why}");
    }
    let why = play_native(&clip("matroska.mkv")).unwrap_err().to_string();
    assert!(why.contains("matroska.mkv"), "{why}");
}

/// A copy of a clip with its bytes changed.
fn damaged(dir: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join("damaged.mp4");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_file_cut_short_is_an_error_or_ends_with_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["sound.mp4", "fragmented.mp4", "bframes.mp4"] {
        let whole = std::fs::read(clip(name)).unwrap();
        let all = play_native(&clip(name)).unwrap().frames.len() as u64;
        let mut sound = 0;
        for n in (0..whole.len()).step_by(97) {
            if let Ok(played) = play_native(&damaged(&dir, &whole[..n])) {
                assert!(
                    played.frames.len() as u64 + played.dropped <= all,
                    "{name} cut at {n}"
                );
                sound += 1;
            }
        }
        // `bframes` has its header at the end, so every cut takes it away; the others play on.
        assert_eq!(sound > 20, name != "bframes.mp4", "{name}: {sound}");
    }
}

#[test]
fn flipped_bytes_are_an_error_or_dropped_frames() {
    let dir = tempfile::tempdir().unwrap();
    let mut outcomes = [0u32; 3];
    for name in ["bframes.mp4", "fragmented.mp4", "edited.mp4"] {
        let whole = std::fs::read(clip(name)).unwrap();
        for i in (0..whole.len()).step_by(13) {
            let mut bytes = whole.clone();
            bytes[i] ^= [0x01, 0x80, 0xff, 0x10][i % 4];
            match play_native(&damaged(&dir, &bytes)) {
                Ok(played) if played.dropped == 0 => outcomes[0] += 1,
                Ok(_) => outcomes[1] += 1,
                Err(_) => outcomes[2] += 1,
            }
        }
    }
    assert!(
        outcomes.iter().all(|n| *n > 20),
        "sound, dropped, error: {outcomes:?}"
    );
}

#[test]
fn after_a_corrupt_picture_frames_come_again_at_the_next_key_picture() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(clip("baseline.mp4")).unwrap();
    // Key pictures stand every 30 pictures. The media data comes right after the 40 bytes of
    // header: break the first key picture.
    bytes[48 + 700..48 + 760].fill(0xff);
    let played = play_native(&damaged(&dir, &bytes)).unwrap();
    assert_eq!(played.dropped, 3, "{played:?}");
    let times: Vec<f64> = played.frames.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [1.52, 2.0, 2.52]);
}

#[test]
fn at_a_high_rate_every_picture_comes_once() {
    for (name, pictures) in [
        ("bframes.mp4", 75),
        ("baseline.mp4", 75),
        ("oddsize.mp4", 90),
        ("fragmented.mp4", 75),
    ] {
        let played = play(&mut VideoSource::in_process(&clip(name), 240.0).unwrap()).unwrap();
        assert_eq!(
            (played.frames.len(), played.dropped),
            (pictures, 0),
            "{name}"
        );
    }
}

#[test]
fn the_header_tells_size_and_length() {
    for (name, size) in [
        ("oddsize.mp4", (70, 54)),
        ("rotated90.mp4", (48, 64)),
        ("rotated180.mp4", (64, 48)),
    ] {
        let mut source = VideoSource::in_process(&clip(name), 2.0).unwrap();
        assert_eq!(source.size(), Some(size), "{name}");
        assert_eq!(source.expected_frames(), 6);
        assert!((source.duration().unwrap().0 - 3.0).abs() < 0.01, "{name}");
    }
}

#[test]
fn what_is_not_decoded_here_goes_through_ffmpeg_or_says_so() {
    let has_ffmpeg = FfmpegSource::open(&clip("matroska.mkv"), 2.0)
        .unwrap()
        .is_some();
    for (name, frames) in [("matroska.mkv", 4), ("hevc.mp4", 1), ("tenbit.mp4", 1)] {
        let opened = open(&clip(name), &OpenOptions::default());
        if !has_ffmpeg {
            let why = opened.err().unwrap().to_string();
            assert!(
                why.contains("install ffmpeg") && why.contains(name),
                "{why}"
            );
            continue;
        }
        let played = play(opened.unwrap().as_mut()).unwrap();
        assert_eq!(played.frames.len(), frames, "{name}");
        assert!(
            played
                .frames
                .iter()
                .enumerate()
                .all(|(k, (at, p))| *at == k as f64 / 2.0 && (p.width, p.height) == (64, 48))
        );
    }
}

#[test]
fn from_any_place_on_the_same_pictures_come_with_the_same_numbers() {
    for name in ["baseline.mp4", "bframes.mp4", "vfr.mp4", "fragmented.mp4"] {
        let whole = play_native(&clip(name)).unwrap().frames;
        for first in 0..=whole.len() {
            let from = whole.get(first).map_or(1e6, |(at, _)| *at);
            let mut source = StartingAt::new(
                Box::new(VideoSource::in_process(&clip(name), 2.0).unwrap()),
                MediaTime(from),
            );
            for (i, (at, picture)) in whole.iter().enumerate().skip(first) {
                let Poll::Ready(Input::Frame(frame)) = source.next().unwrap() else {
                    panic!("{name}: no frame {i}")
                };
                let Content::Picture(found) = frame.content else {
                    panic!("no picture")
                };
                assert_eq!(
                    (frame.idx.0 as usize, frame.at.0),
                    (i, *at),
                    "{name} from {from}"
                );
                assert!(
                    found.rgb == picture.rgb,
                    "{name} from {from}: frame {i} looks different"
                );
            }
            assert!(
                matches!(source.next().unwrap(), Poll::End),
                "{name} from {from}"
            );
        }
    }
}
