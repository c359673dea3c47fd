//! Writes the folder of a recorded session.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::reader::{self, RecordedSession};
use super::{EVENTS, FRAMES, SESSION, SessionFile, TASK, TIMING, frame_path};
use crate::dialogue::task::Task;
use crate::error::{Error, Result};
use crate::files::{self, Draft};
use crate::run::json_lines::JsonLines;
use crate::sinks::{JsonlSink, Output};
use crate::stream::{Content, Frame};

/// Quality of the kept frames, 1 to 100; at 90 a picture of hands and bowls shows no blocks.
const JPEG_QUALITY: u8 = 90;

/// A session being recorded.
pub struct Recorder {
    folder: PathBuf,
    events: File,
    timing: File,
    save_frames: bool,
}

/// Checks that a session can be recorded there, before anything is loaded.
///
/// # Errors
/// Something is there already; it is not overwritten.
pub fn check_free(folder: &Path) -> Result<()> {
    let taken = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => fs::symlink_metadata(folder).is_ok(),
    };
    if taken {
        let why = "is there and not empty; name a new folder, or go on with a session by --resume";
        return Err(Error::format(folder, why));
    }
    Ok(())
}

impl Recorder {
    /// Begins a recording in a new or empty folder.
    ///
    /// # Errors
    /// The folder has something in it, or cannot be written.
    pub fn create(
        folder: &Path,
        about: &SessionFile,
        task: Option<&Task>,
        save_frames: bool,
    ) -> Result<Self> {
        check_free(folder)?;
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent).map_err(Error::io(parent))?;
        }
        private_folder(folder)?;
        let text = serde_json::to_string_pretty(about)
            .map_err(|e| Error::format(folder.join(SESSION), e.to_string()))?;
        files::create_private(&folder.join(SESSION))?
            .write_all(text.as_bytes())
            .map_err(Error::io(folder.join(SESSION)))?;
        let path = folder.join(EVENTS);
        let events = files::create_private(&path)?;
        lock(&events, &path)?;
        let recorder = Self {
            folder: folder.to_path_buf(),
            events,
            timing: files::create_private(&folder.join(TIMING))?,
            save_frames,
        };
        task.map_or(Ok(()), |task| recorder.task(task))?;
        recorder.make_frames_folder()?;
        Ok(recorder)
    }

    /// Opens a recorded session to go on with it. A line that was cut off at its end is removed.
    ///
    /// # Errors
    /// As [`RecordedSession::open`]; another process is recording there.
    pub fn reopen(folder: &Path, save_frames: bool) -> Result<(Self, RecordedSession)> {
        let (path, mut events) = old_file(&folder.join(EVENTS))?;
        lock(&events, &path)?;
        let recorded = RecordedSession::open(folder)?;
        let extent = recorded.extent;
        events
            .set_len(extent.bytes)
            .and_then(|()| events.seek(SeekFrom::End(0)))
            .map_err(Error::io(&path))?;
        if !extent.line_ended {
            events.write_all(b"\n").map_err(Error::io(&path))?;
        }
        let (path, mut timing) = match folder.join(TIMING) {
            path if path.exists() => old_file(&path)?,
            path => (path.clone(), files::create_private(&path)?),
        };
        let whole = reader::read_bounded(&path)?
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at as u64 + 1);
        timing
            .set_len(whole)
            .and_then(|()| timing.seek(SeekFrom::End(0)))
            .map_err(Error::io(&path))?;
        let recorder = Self {
            folder: folder.to_path_buf(),
            events,
            timing,
            save_frames,
        };
        recorder.make_frames_folder()?;
        Ok((recorder, recorded))
    }

    /// The sink of the events.
    ///
    /// # Errors
    /// The system has no more file handles.
    pub fn events(&self) -> Result<JsonlSink> {
        let path = self.folder.join(EVENTS);
        Ok(JsonlSink::new(Output::of_file(
            self.events.try_clone().map_err(Error::io(&path))?,
            &path,
        )))
    }

    /// The file of the times.
    ///
    /// # Errors
    /// The system has no more file handles.
    pub fn timing(&self) -> Result<JsonLines> {
        let path = self.folder.join(TIMING);
        Ok(JsonLines::of_file(
            self.timing.try_clone().map_err(Error::io(&path))?,
            &path,
        ))
    }

    /// Keeps another task in the place of the one before, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn task(&self, task: &Task) -> Result<()> {
        let mut draft = Draft::create_private(&self.folder.join(TASK))?;
        draft.write(task.to_toml().as_bytes())?;
        draft.publish()
    }

    /// Keeps the picture of a frame, if the session keeps frames and the frame has one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn frame(&self, frame: &Frame) -> Result<()> {
        let (true, Content::Picture(picture)) = (self.save_frames, &frame.content) else {
            return Ok(());
        };
        let path = frame_path(&self.folder, frame.idx);
        let mut bytes = Vec::new();
        let mut encoder =
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
        encoder
            .encode(
                &picture.rgb,
                picture.width,
                picture.height,
                image::ExtendedColorType::Rgb8,
            )
            .map_err(|e| Error::format(&path, e.to_string()))?;
        // A picture of an earlier try at this frame gives way.
        files::remove(&path)?;
        files::create_private(&path)?
            .write_all(&bytes)
            .map_err(Error::io(&path))
    }

    fn make_frames_folder(&self) -> Result<()> {
        let path = self.folder.join(FRAMES);
        if !self.save_frames {
            return Ok(());
        }
        if fs::symlink_metadata(&path).is_ok_and(|there| !there.is_dir()) {
            return Err(Error::format(&path, "no plain folder"));
        }
        private_folder(&path)
    }
}

/// SHA-256 of a file, or of a folder's names and contents in the order of the names; in hex.
///
/// # Errors
/// It cannot be read.
pub fn source_sha256(path: &Path) -> Result<String> {
    if !path.is_dir() {
        return files::sha256_of(path);
    }
    let entries = fs::read_dir(path).map_err(Error::io(path))?;
    let mut entries: Vec<PathBuf> = entries
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()
        .map_err(Error::io(path))?;
    entries.retain(|file| file.is_file());
    entries.sort();
    let mut hash = Sha256::new();
    for file in entries {
        hash.update(file.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update([0]);
        hash.update(files::sha256_of(&file)?);
    }
    Ok(files::hex(hash))
}

fn lock(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::format(
            path,
            "another process is recording this session",
        )),
        Err(TryLockError::Error(e)) => Err(Error::io(path)(e)),
    }
}

/// Makes a folder that only its owner can enter; one that is there already is made private.
fn private_folder(path: &Path) -> Result<()> {
    if !path.is_dir() {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(Error::io(path))?;
    }
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .map_err(Error::io(path))?;
    Ok(())
}

/// Opens a file of a folder that somebody else may have made. Links are refused: one could lead to
/// any file.
fn old_file(path: &Path) -> Result<(PathBuf, File)> {
    reader::check_plain(path)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(Error::io(path))?;
    Ok((path.to_path_buf(), file))
}
