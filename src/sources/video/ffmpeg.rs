//! Every other kind of video, through the command `ffmpeg` where it is on the PATH.
//!
//! ffmpeg decodes, turns and resamples (`-vf fps=…`) the video and writes PPM pictures into a pipe;
//! frame `k` is at `k / fps`. Resampling repeats pictures across gaps, which the decoder in this
//! process does not. Only local files are opened: the protocols are limited to `file` and `pipe`,
//! so that a playlist cannot reach the network.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::error::{Error, Result};
use crate::sources::sampler::Sampler;
use crate::stream::{Content, Frame, Input, Picture, Poll, Source};
use crate::units::{FrameIdx, MediaTime};

/// How many bytes of what ffmpeg last wrote to its standard error are kept.
const LAST_WORDS_BYTES: usize = 2048;
/// Longest side of a picture, in pixels.
const SIDE_MAX: u32 = 16_384;
/// Largest picture, in bytes.
const PICTURE_BYTES_MAX: u64 = 512 << 20;

/// Says what to do where there is no ffmpeg.
pub(in crate::sources) const INSTALL: &str = "install ffmpeg so that it is on the PATH \
    (Debian, Ubuntu: `apt install ffmpeg`; macOS: `brew install ffmpeg`; \
    Windows: `winget install ffmpeg`)";

/// The command that converts a video so that it plays without ffmpeg.
pub(in crate::sources) fn convert_command(path: &Path) -> String {
    format!(
        "ffmpeg -i '{}' -an -vf format=yuv420p -c:v libx264 converted.mp4",
        path.display()
    )
}

/// A running ffmpeg. It is killed and reaped when this is dropped.
#[derive(Debug)]
pub struct FfmpegSource {
    child: Child,
    pictures: BufReader<ChildStdout>,
    last_words: Option<JoinHandle<Vec<u8>>>,
    path: std::path::PathBuf,
    fps: f64,
    frames: u64,
    duration: Option<MediaTime>,
    ended: bool,
}

impl FfmpegSource {
    /// Starts ffmpeg on a file. Returns `None` where there is no ffmpeg on the PATH.
    ///
    /// # Errors
    /// The rate is out of range, or ffmpeg is there and does not start.
    pub fn open(path: &Path, fps: f64) -> Result<Option<Self>> {
        Self::open_with("ffmpeg", path, fps)
    }

    fn open_with(program: &str, path: &Path, fps: f64) -> Result<Option<Self>> {
        Sampler::new(fps)?;
        let mut input = std::ffi::OsString::from("file:");
        input.push(path);
        let spawned = Command::new(program)
            .args([
                "-nostdin",
                "-hide_banner",
                "-v",
                "error",
                "-protocol_whitelist",
                "file,pipe",
                "-i",
            ])
            .arg(&input)
            .args(["-map", "0:v:0", "-an", "-sn", "-dn", "-vf"])
            .arg(format!("fps=fps={fps}:start_time=0,format=rgb24"))
            .args(["-f", "image2pipe", "-c:v", "ppm", "pipe:1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::Source(format!("{program} does not start: {e}"))),
        };
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Error::Source(format!("{program}: no pipe")));
        };
        let last_words = std::thread::spawn(move || tail(stderr));
        Ok(Some(Self {
            child,
            pictures: BufReader::with_capacity(1 << 16, stdout),
            last_words: Some(last_words),
            path: path.to_path_buf(),
            fps,
            frames: 0,
            duration: probe_duration(&input),
            ended: false,
        }))
    }

    /// Finds out, after ffmpeg closed its output, whether it succeeded.
    fn finish(&mut self) -> Result<Poll> {
        self.ended = true;
        let status = self
            .child
            .wait()
            .map_err(|e| Error::Source(format!("ffmpeg: {e}")))?;
        let said = self
            .last_words
            .take()
            .and_then(|t| t.join().ok())
            .unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        if !status.success() || self.frames == 0 {
            return Err(Error::format(
                &self.path,
                format!("ffmpeg could not read it ({status}): {}", said.trim()),
            ));
        }
        if !said.trim().is_empty() {
            tracing::warn!(file = %self.path.display(), "ffmpeg: {}", said.trim());
        }
        Ok(Poll::End)
    }
}

impl Source for FfmpegSource {
    fn next(&mut self) -> Result<Poll> {
        if self.ended {
            return Ok(Poll::End);
        }
        match read_ppm(&mut self.pictures) {
            Ok(Some(picture)) => {
                let at = MediaTime(self.frames as f64 / self.fps);
                let frame = Frame {
                    idx: FrameIdx(self.frames),
                    at,
                    content: Content::Picture(Arc::new(picture)),
                };
                self.frames += 1;
                Ok(Poll::Ready(Input::Frame(frame)))
            }
            Ok(None) => self.finish(),
            Err(why) => {
                self.ended = true;
                Err(Error::Source(format!(
                    "{}: from ffmpeg: {why}",
                    self.path.display()
                )))
            }
        }
    }

    fn duration(&mut self) -> Option<MediaTime> {
        self.duration
    }
}

impl Drop for FfmpegSource {
    fn drop(&mut self) {
        // This fails only where the child has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The length of the file by `ffprobe`, which comes with ffmpeg. It only serves to show progress.
fn probe_duration(input: &std::ffi::OsStr) -> Option<MediaTime> {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-protocol_whitelist",
            "file,pipe",
            "-show_entries",
            "format=duration",
            "-of",
            "csv=p=0",
            "-i",
        ])
        .arg(input)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let seconds: f64 = std::str::from_utf8(&output.stdout)
        .ok()?
        .trim()
        .parse()
        .ok()?;
    (seconds.is_finite() && seconds > 0.0).then_some(MediaTime(seconds))
}

/// Reads to the end and returns the last bytes.
fn tail(mut from: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut chunk = [0u8; 1024];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return kept,
            Ok(n) => kept.extend(&chunk[..n]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return kept,
        }
        kept.drain(..kept.len().saturating_sub(LAST_WORDS_BYTES));
    }
}

/// Reads one binary PPM picture. Returns `None` at the end.
fn read_ppm(from: &mut impl BufRead) -> Result<Option<Picture>, String> {
    if from.fill_buf().map_err(|e| e.to_string())?.is_empty() {
        return Ok(None);
    }
    let mut word = || -> Result<String, String> {
        let mut word = Vec::new();
        let mut byte = [0u8];
        while word.len() < 16 {
            from.read_exact(&mut byte).map_err(|e| e.to_string())?;
            if byte[0].is_ascii_whitespace() {
                return String::from_utf8(word).map_err(|_| "not a PPM picture".into());
            }
            word.push(byte[0]);
        }
        Err("not a PPM picture".into())
    };
    if word()? != "P6" {
        return Err("not a PPM picture".into());
    }
    let mut number = || {
        word()?
            .parse::<u32>()
            .map_err(|_| "not a PPM picture".to_owned())
    };
    let (width, height, depth) = (number()?, number()?, number()?);
    let bytes = u64::from(width) * u64::from(height) * 3;
    if depth != 255
        || width == 0
        || height == 0
        || width.max(height) > SIDE_MAX
        || bytes > PICTURE_BYTES_MAX
    {
        return Err(format!("a picture of {width}x{height} with {depth} levels"));
    }
    let mut rgb = vec![0; bytes as usize];
    from.read_exact(&mut rgb).map_err(|e| e.to_string())?;
    Ok(Some(Picture { width, height, rgb }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_read_from_a_pipe() {
        let mut bytes: &[u8] = b"P6\n2 1\n255\nabcdefP6\n1 1\n255\nxyz";
        let first = read_ppm(&mut bytes).unwrap().unwrap();
        assert_eq!(
            (first.width, first.height, &first.rgb[..]),
            (2, 1, &b"abcdef"[..])
        );
        assert_eq!(read_ppm(&mut bytes).unwrap().unwrap().rgb, b"xyz");
        assert!(read_ppm(&mut bytes).unwrap().is_none());
        for bad in [
            &b"P5\n1 1\n255\nx"[..],
            b"P6\n1 1\n255\nxy",
            b"P6\n0 1\n255\n",
            b"P6\n99999 99999\n255\n",
            b"P6\n1",
            b"\xff\xff\xff",
            b"P6\n1 1\n65535\nxxxxxx",
        ] {
            assert!(read_ppm(&mut &bad[..]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_missing_program_is_not_an_error_here() {
        assert!(
            FfmpegSource::open_with("proact-no-such-program", Path::new("x.mkv"), 2.0)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn the_last_words_are_bounded() {
        let said = [b"x".repeat(10_000), b"the end".to_vec()].concat();
        let kept = tail(&said[..]);
        assert!(kept.len() <= LAST_WORDS_BYTES && kept.ends_with(b"the end"));
    }

    /// A stand-in for ffmpeg, which tests cannot count on.
    #[cfg(unix)]
    fn stand_in(dir: &tempfile::TempDir, script: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.path().join("ffmpeg");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Starts it; another test's fork may hold the fresh script open for a moment.
    #[cfg(unix)]
    fn start(program: &str) -> FfmpegSource {
        for _ in 0..100 {
            match FfmpegSource::open_with(program, Path::new("clip.mkv"), 2.0) {
                Err(e) if e.to_string().contains("busy") => {
                    std::thread::sleep(std::time::Duration::from_millis(20))
                }
                other => return other.unwrap().unwrap(),
            }
        }
        panic!("stays busy");
    }

    #[cfg(unix)]
    #[test]
    fn what_ffmpeg_last_said_is_in_the_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = start(&stand_in(&dir, "echo 'moov atom not found' >&2; exit 1"));
        let why = source.next().unwrap_err().to_string();
        assert!(
            why.contains("clip.mkv") && why.contains("moov atom not found"),
            "{why}"
        );
        assert!(matches!(source.next(), Ok(Poll::End)), "it stays ended");
        let mut cut = start(&stand_in(&dir, "printf 'P6\\n2 2\\n255\\nabc'"));
        assert!(cut.next().is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_failure_after_good_pictures_is_still_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = start(&stand_in(&dir, "printf 'P6\\n1 1\\n255\\nabc'; exit 3"));
        assert!(matches!(source.next(), Ok(Poll::Ready(Input::Frame(_)))));
        assert!(source.next().is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_dropped_source_leaves_no_process_behind() {
        let dir = tempfile::tempdir().unwrap();
        let source = start(&stand_in(&dir, "exec sleep 1000"));
        let process = std::path::PathBuf::from(format!("/proc/{}", source.child.id()));
        assert!(process.exists());
        drop(source);
        assert!(!process.exists());
    }
}
