//! Reads the folder of a recorded session. Nothing in it is trusted: sizes, links, contents.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{EVENTS, SCHEMA, SESSION, SessionFile, TASK, TIMING, frame_path};
use crate::dialogue::task::Task;
use crate::error::{Error, Result};
use crate::run::timing::{Record, Stages};
use crate::stream::log::{self, Extent, Tail};
use crate::stream::{Event, Picture};
use crate::units::FrameIdx;

/// Largest log or timing file that is held in memory: days at two frames a second.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Largest `session.json` and task.
const SMALL_BYTES_MAX: u64 = 1 << 20;
/// Largest side of a kept picture, in pixels, and the memory for decoding one.
const SIDE_MAX: u32 = 8192;
const PICTURE_BYTES_MAX: u64 = 256 << 20;

/// A recorded session.
pub struct RecordedSession {
    folder: PathBuf,
    /// The facts about what ran.
    pub about: SessionFile,
    /// The events of its log, checked.
    pub events: Vec<Event>,
    /// How far the log can be read.
    pub extent: Extent,
    /// The task, if there was one.
    pub task: Option<Task>,
    /// Times by frame.
    pub timing: HashMap<FrameIdx, (Record, Stages)>,
}

/// Settings of earlier versions that a recording may still name. What they decided stands in its
/// events, and a resumed session decides by the settings of the new run.
const GONE: [&str; 3] = ["update_mass_min", "update_prob_min", "update_patience_s"];

fn read_session_file(path: &Path) -> Result<SessionFile> {
    let wrong = |e: serde_json::Error| Error::format(path, e.to_string());
    let mut json: serde_json::Value = serde_json::from_str(&read_text(path)?).map_err(wrong)?;
    let session = json.get_mut("session").and_then(|s| s.as_object_mut());
    if let Some(session) = session {
        session.retain(|key, _| !GONE.contains(&key.as_str()));
    }
    serde_json::from_value(json).map_err(wrong)
}

impl RecordedSession {
    /// Reads the folder. A last line that was cut off is left out.
    ///
    /// # Errors
    /// A file is missing, too large, a link, or not of its format; the log contradicts itself.
    /// Names file and line.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(SESSION);
        if !path.exists() {
            return Err(Error::format(
                folder,
                format!("no recorded session: it has no {SESSION}"),
            ));
        }
        let about = read_session_file(&path)?;
        if about.schema != SCHEMA {
            return Err(Error::format(
                &path,
                format!("schema {}, expected {SCHEMA}", about.schema),
            ));
        }
        about
            .session
            .check()
            .map_err(|e| Error::format(&path, e.to_string()))?;
        let path = folder.join(TASK);
        let task = match fs::symlink_metadata(&path) {
            Ok(_) => {
                Some(Task::parse(&read_text(&path)?).map_err(|why| Error::format(&path, why))?)
            }
            Err(_) => None,
        };
        let path = folder.join(EVENTS);
        check_size(&path, FILE_BYTES_MAX)?;
        let mut events = Vec::new();
        let extent = log::read(&path, Tail::Drop, |event| events.push(event))?;
        Ok(Self {
            about,
            events,
            extent,
            task,
            timing: read_timing(&folder.join(TIMING))?,
            folder: folder.to_path_buf(),
        })
    }

    /// Whether the session came to its end.
    pub fn ended(&self) -> bool {
        matches!(self.events.last(), Some(Event::End { .. }))
    }

    /// Frames looked at per second.
    pub fn fps(&self) -> f64 {
        self.events
            .iter()
            .find_map(|e| {
                if let Event::Session { fps, .. } = e {
                    Some(*fps)
                } else {
                    None
                }
            })
            .unwrap_or_default()
    }

    /// The picture of a frame, if it was kept and is readable.
    pub fn picture(&self, frame: FrameIdx) -> Option<Arc<Picture>> {
        let path = frame_path(&self.folder, frame);
        check_size(&path, PICTURE_BYTES_MAX).ok()?;
        let mut reader = image::ImageReader::with_format(
            BufReader::new(File::open(path).ok()?),
            image::ImageFormat::Jpeg,
        );
        let mut limits = image::Limits::default();
        (limits.max_image_width, limits.max_image_height) = (Some(SIDE_MAX), Some(SIDE_MAX));
        limits.max_alloc = Some(PICTURE_BYTES_MAX);
        reader.limits(limits);
        let rgb = reader.decode().ok()?.into_rgb8();
        Some(Arc::new(Picture {
            width: rgb.width(),
            height: rgb.height(),
            rgb: rgb.into_raw(),
        }))
    }
}

fn read_timing(path: &Path) -> Result<HashMap<FrameIdx, (Record, Stages)>> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(HashMap::new());
    }
    let bytes = read_bounded(path)?;
    let whole = bytes
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    let mut timing = HashMap::new();
    for (i, line) in bytes[..whole]
        .split(|b| *b == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
    {
        let bad = |why: String| Error::format(path, format!("line {}: {why}", i + 1));
        let record: Record = serde_json::from_slice(line).map_err(|e| bad(e.to_string()))?;
        timing.insert(record.frame, (record, record.stages().map_err(bad)?));
    }
    Ok(timing)
}

fn read_text(path: &Path) -> Result<String> {
    check_size(path, SMALL_BYTES_MAX)?;
    fs::read_to_string(path).map_err(Error::io(path))
}

/// Reads the whole of a plain file that is not too large.
///
/// # Errors
/// The file is unreadable, a link, or too large.
pub fn read_bounded(path: &Path) -> Result<Vec<u8>> {
    check_size(path, FILE_BYTES_MAX)?;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(Error::io(path))?;
    Ok(bytes)
}

fn check_size(path: &Path, bytes_max: u64) -> Result<()> {
    let bytes = check_plain(path)?;
    if bytes > bytes_max {
        return Err(Error::format(
            path,
            format!("{bytes} bytes; at most {bytes_max}"),
        ));
    }
    Ok(())
}

/// The size of a plain file in bytes.
///
/// # Errors
/// The file is missing, or is a link, a folder or a pipe.
pub fn check_plain(path: &Path) -> Result<u64> {
    let metadata = fs::symlink_metadata(path).map_err(Error::io(path))?;
    if metadata.is_file() {
        Ok(metadata.len())
    } else {
        Err(Error::format(path, "no plain file"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FRAMES, FileIdentity, Recorder};
    use super::*;
    use crate::dialogue::policy::Gates;
    use crate::session::SessionConfig;
    use crate::stream::Sink;
    use crate::units::{MediaTime, Prob};

    fn about() -> SessionFile {
        let used = |name: &str| FileIdentity {
            name: name.into(),
            sha256: "ab".into(),
        };
        SessionFile {
            schema: SCHEMA,
            proact: "0".into(),
            source: used("clip.mp4"),
            duration_s: Some(3.0),
            model: used("m.gguf"),
            vision_sha256: String::new(),
            memory_capacity: 512,
            memory_reset: 500,
            device: String::new(),
            quantization: String::new(),
            session: SessionConfig::default(),
        }
    }

    fn events() -> Vec<Event> {
        let session = Event::Session {
            schema: 1,
            model: String::new(),
            vision: String::new(),
            goal: String::new(),
            steps: vec![],
            fps: 2.0,
            gates: Gates::default(),
            context: Default::default(),
        };
        let frame = |i| Event::Frame {
            frame: FrameIdx(i),
            at: MediaTime(i as f64),
            speak: Prob(0.1),
            dst_update: Prob(0.1),
        };
        vec![
            session,
            frame(0),
            frame(1),
            Event::End {
                frames: 2,
                steps: vec![],
            },
        ]
    }

    fn recorded() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("s");
        let recorder = Recorder::create(&folder, &about(), None, false).unwrap();
        let mut sink = recorder.events().unwrap();
        events().iter().for_each(|e| sink.emit(e).unwrap());
        (dir, folder)
    }

    #[test]
    fn what_is_recorded_is_read_back_and_nothing_is_overwritten() {
        let (_dir, folder) = recorded();
        let found = RecordedSession::open(&folder).unwrap();
        assert_eq!(
            (found.about, found.events, found.extent.cut),
            (about(), events(), false)
        );
        let why = Recorder::create(&folder, &about(), None, false)
            .err()
            .unwrap()
            .to_string();
        assert!(why.contains("not empty"), "{why}");
    }

    #[test]
    fn two_processes_do_not_record_one_session() {
        let (_dir, folder) = recorded();
        let first = Recorder::reopen(&folder, false).unwrap();
        let why = Recorder::reopen(&folder, false).err().unwrap().to_string();
        assert!(why.contains("another process"), "{why}");
        drop(first);
        Recorder::reopen(&folder, false).unwrap();
    }

    #[test]
    fn what_was_cut_goes_away_when_the_session_goes_on() {
        let (_dir, folder) = recorded();
        let (log, timing) = (folder.join(EVENTS), folder.join(TIMING));
        let whole = fs::read(&log).unwrap();
        fs::write(&timing, b"{\"frame\":0,\"at\"").unwrap();
        // In the middle of the last event; behind its brace, without a line end.
        for cut in [whole.len() - 8, whole.len() - 1] {
            fs::write(&log, &whole[..cut]).unwrap();
            let (recorder, found) = Recorder::reopen(&folder, false).unwrap();
            let kept = found.events.len();
            recorder.events().unwrap().emit(&events()[3]).ok();
            drop(recorder);
            let text = fs::read_to_string(&log).unwrap();
            assert_eq!(text.lines().count(), kept + 1, "{text}");
            assert!(text.ends_with('\n'));
            assert_eq!(fs::metadata(&timing).unwrap().len(), 0);
        }
    }

    #[test]
    fn a_folder_made_to_harm_is_a_named_error() {
        let case = |harm: &dyn Fn(&Path), word: &str| {
            let (_dir, folder) = recorded();
            harm(&folder);
            let why = RecordedSession::open(&folder)
                .err()
                .expect(word)
                .to_string();
            assert!(why.contains(word), "{why} does not say {word}");
        };
        let write = |name: &'static str, text: &'static [u8]| {
            move |folder: &Path| fs::write(folder.join(name), text).unwrap()
        };
        case(
            &|folder| fs::remove_file(folder.join(SESSION)).unwrap(),
            "no recorded session",
        );
        case(&write(SESSION, b"{}"), "missing field");
        case(&write(SESSION, b"\xff"), SESSION);
        case(&write(EVENTS, b""), "empty");
        case(&write(EVENTS, b"{\"type\":\"end\"}\n"), "line 1");
        case(&write(TIMING, b"{\"frame\":1}\n"), "line 1");
        let times = br#"{"frame":1,"at":0.5,"decode_ms":1e21,"encode_ms":0,"extend_ms":0,"generate_ms":0,"total_ms":0,"clock_s":0,"lag_s":0,"memory_tokens":0}
"#;
        case(&write(TIMING, times), "line 1: decode_ms is");
        case(&write(TASK, b"goal = 1"), TASK);
        case(
            &|f| {
                fs::write(
                    f.join(SESSION),
                    serde_json::to_string(&SessionFile {
                        schema: 9,
                        ..about()
                    })
                    .unwrap(),
                )
                .unwrap()
            },
            "schema 9",
        );
        let bad = SessionFile {
            session: SessionConfig {
                fps: -1.0,
                ..SessionConfig::default()
            },
            ..about()
        };
        case(
            &|f| fs::write(f.join(SESSION), serde_json::to_string(&bad).unwrap()).unwrap(),
            "fps",
        );
        case(
            &|f| {
                File::create(f.join(EVENTS))
                    .unwrap()
                    .set_len(FILE_BYTES_MAX + 1)
                    .unwrap()
            },
            "at most",
        );
        #[cfg(unix)]
        case(
            &|f| {
                fs::remove_file(f.join(TIMING)).unwrap();
                std::os::unix::fs::symlink(f.join(EVENTS), f.join(TIMING)).unwrap();
            },
            "no plain file",
        );
    }

    #[test]
    fn a_picture_that_is_none_is_left_out() {
        let (_dir, folder) = recorded();
        fs::create_dir(folder.join(FRAMES)).unwrap();
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new(&mut bytes)
            .encode(&[9; 12], 2, 2, image::ExtendedColorType::Rgb8)
            .unwrap();
        fs::write(frame_path(&folder, FrameIdx(0)), &bytes).unwrap();
        fs::write(frame_path(&folder, FrameIdx(1)), &bytes[..bytes.len() / 2]).unwrap();
        let found = RecordedSession::open(&folder).unwrap();
        assert_eq!(found.picture(FrameIdx(0)).unwrap().rgb.len(), 12);
        assert!(found.picture(FrameIdx(2)).is_none());
        // A cut JPEG may still be decoded in part; it must not fail in any other way.
        let _ = found.picture(FrameIdx(1));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_in_any_file_are_a_session_or_an_error(
            which in 0usize..4,
            at in 0usize..4000,
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
        ) {
            let (_dir, folder) = recorded();
            let path = folder.join([SESSION, EVENTS, TIMING, TASK][which]);
            let mut old = fs::read(&path).unwrap_or_default();
            let at = at.min(old.len());
            let end = (at + bytes.len()).min(old.len());
            old.splice(at..end, bytes);
            fs::write(&path, old).unwrap();
            if let Ok(found) = RecordedSession::open(&folder) {
                proptest::prop_assert!(!found.events.is_empty());
            }
        }
    }
}
