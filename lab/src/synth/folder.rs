//! An episode as a folder: `ID/{video.mp4, annotation.jsonl, task.toml}`, there in full or not at
//! all.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::episode::Episode;
use super::scene::Scene;
use super::script::script;
use proact::dialogue::annotation;
use proact::error::{Error, Result};
use proact::sources::video::{VideoSource, VideoWriter};

/// Names of the files.
pub const VIDEO: &str = "video.mp4";
/// The dialogue with the state's changes.
pub const ANNOTATION: &str = "annotation.jsonl";
/// The task.
pub const TASK: &str = "task.toml";

/// Raised whenever pictures of the same episode change: folders of another version are not taken
/// for complete.
pub const RENDERER_VERSION: u32 = 4;
/// Where the `ftyp` box has the version.
const VERSION_AT: std::ops::Range<usize> = 12..16;
/// Added to the version where the camera stands still, where it hangs, and in low light.
const FIXED_CAMERA: u32 = 1 << 16;
const HANGS: u32 = 1 << 17;
const LOW_LIGHT: u32 = 1 << 18;

/// Format of the video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Format {
    /// Columns; even.
    pub width: u32,
    /// Rows; even.
    pub height: u32,
    /// Frames a second.
    pub fps: f64,
}

/// What became of an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has been written.
    Written,
    /// It was there already.
    Kept,
    /// It was stopped; nothing of it is left.
    Stopped,
}

/// The version of an episode's pictures: whatever changes them and is not in the files' own words.
fn version(episode: &Episode) -> u32 {
    let is = [
        (episode.fixed_camera, FIXED_CAMERA),
        (!episode.hardships.hangs.is_empty(), HANGS),
        (episode.hardships.light < 1.0, LOW_LIGHT),
    ];
    is.iter()
        .filter(|(is, _)| *is)
        .fold(RENDERER_VERSION, |version, (_, flag)| version | flag)
}

/// Frames that an episode's video has.
pub fn frames(episode: &Episode, format: Format) -> u64 {
    (episode.length_s * format.fps).floor() as u64
}

/// Writes an episode into `folder/ID`, unless it is there with the same content and format.
/// `stop` is looked at before each frame, `tick` called after each.
///
/// # Errors
/// A folder of that name that holds something else, or the operating system's refusal.
pub fn write(
    folder: &Path,
    episode: &Episode,
    format: Format,
    stop: &AtomicBool,
    tick: &(dyn Fn() + Sync),
) -> Result<Outcome> {
    let target = folder.join(&episode.id);
    let recording = script(episode)?;
    let line = format!("{}\n", annotation::to_line(&recording));
    let task = episode.task.to_toml();
    if target.exists() {
        return if same(&target, episode, format, &line, &task) {
            Ok(Outcome::Kept)
        } else {
            Err(Error::format(
                &target,
                "is there already, with other content or settings; choose another folder or remove it",
            ))
        };
    }
    let partial = folder.join(format!(".{}.partial", episode.id));
    remove(&partial)?;
    std::fs::create_dir_all(&partial).map_err(Error::io(&partial))?;
    let made = fill(&partial, episode, format, &line, &task, stop, tick);
    match made {
        Ok(true) => {
            std::fs::rename(&partial, &target).map_err(Error::io(&target))?;
            Ok(Outcome::Written)
        }
        Ok(false) => remove(&partial).map(|()| Outcome::Stopped),
        Err(error) => {
            // The first error is the one to tell.
            let _ = remove(&partial);
            Err(error)
        }
    }
}

fn remove(partial: &Path) -> Result<()> {
    match std::fs::remove_dir_all(partial) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(partial)(e)),
        _ => Ok(()),
    }
}

/// `false` when it was stopped.
fn fill(
    partial: &Path,
    episode: &Episode,
    format: Format,
    line: &str,
    task: &str,
    stop: &AtomicBool,
    tick: &(dyn Fn() + Sync),
) -> Result<bool> {
    let scene = Scene::new(episode);
    let mut video = VideoWriter::new(format.width, format.height, format.fps, version(episode))?;
    for frame in 0..frames(episode, format) {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        video.push(&scene.render(frame as f64 / format.fps, format.width, format.height))?;
        tick();
    }
    let files = [
        (VIDEO, video.finish()?),
        (ANNOTATION, line.into()),
        (TASK, task.into()),
    ];
    for (name, bytes) in files {
        let path = partial.join(name);
        std::fs::write(&path, bytes).map_err(Error::io(&path))?;
    }
    Ok(true)
}

/// Whether the folder holds this very episode in this format.
fn same(target: &Path, episode: &Episode, format: Format, line: &str, task: &str) -> bool {
    let read = |name: &str| std::fs::read(target.join(name)).ok();
    if read(ANNOTATION).as_deref() != Some(line.as_bytes())
        || read(TASK).as_deref() != Some(task.as_bytes())
    {
        return false;
    }
    let drawn_by = read(VIDEO).and_then(|bytes| bytes.get(VERSION_AT).map(<[u8]>::to_vec));
    if drawn_by.as_deref() != Some(&version(episode).to_be_bytes()[..]) {
        return false;
    }
    let Ok(video) = VideoSource::in_process(&target.join(VIDEO), format.fps) else {
        return false;
    };
    video.size() == Some((format.width, format.height))
        && video.whole_pictures() as u64 == frames(episode, format)
}

#[cfg(test)]
mod tests {
    use super::super::conditions::Hardships;
    use super::super::episode::tests::tea;
    use super::*;

    const SMALL: Format = Format {
        width: 64,
        height: 48,
        fps: 2.0,
    };

    #[test]
    fn an_episode_is_written_once_the_same_each_time_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let go = AtomicBool::new(false);
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        for path in [&a, &b] {
            assert_eq!(
                write(path, &tea(), SMALL, &go, &|| ()).unwrap(),
                Outcome::Written
            );
        }
        for name in [VIDEO, ANNOTATION, TASK] {
            let read = |root: &Path| std::fs::read(root.join("tea").join(name)).unwrap();
            assert_eq!(read(&a), read(&b), "{name}");
        }
        assert_eq!(
            write(&a, &tea(), SMALL, &go, &|| ()).unwrap(),
            Outcome::Kept
        );
        let task = proact::dialogue::task::Task::read(&a.join("tea").join(TASK)).unwrap();
        assert_eq!(task, tea().task);
        let recordings = annotation::read(&a.join("tea").join(ANNOTATION)).unwrap();
        assert_eq!(recordings, [script(&tea()).unwrap()]);
        let other = Format { fps: 3.0, ..SMALL };
        assert!(
            write(&a, &tea(), other, &go, &|| ()).is_err(),
            "other settings are told, not skipped"
        );
        let file = a.join("tea").join(VIDEO);
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        assert!(
            write(&a, &tea(), SMALL, &go, &|| ()).is_err(),
            "a video that was cut short is not taken for the whole one"
        );
        std::fs::write(&file, whole).unwrap();
        let still = Episode {
            fixed_camera: true,
            ..tea()
        };
        assert!(write(&a, &still, SMALL, &go, &|| ()).is_err());
        let dark = Hardships {
            light: 0.3,
            ..Hardships::default()
        };
        assert!(
            write(
                &a,
                &Episode {
                    hardships: dark,
                    ..tea()
                },
                SMALL,
                &go,
                &|| ()
            )
            .is_err()
        );
    }

    #[test]
    fn a_stopped_episode_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let outcome = write(folder.path(), &tea(), SMALL, &stop, &|| {
            stop.store(true, Ordering::Relaxed)
        })
        .unwrap();
        assert_eq!(outcome, Outcome::Stopped);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
