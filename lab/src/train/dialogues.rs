//! Dialogues whose frames have been encoded: ProAssist's prepared lines, or the clips of its
//! state-tracking extension, with their feature files as they are.

use crate::proassist::open::read_features;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::data::{Episode, Frames, Part};
use crate::train::config::Dialogues;
use crate::train::examples::TIME_TOLERANCE_S;
use proact::dialogue::annotation::{self, Recording, TurnKind};
use proact::dialogue::task::{Task, TaskState};
use proact::features::TokenLayout;
use proact::units::MediaTime;

/// What a feature file's name may end in: ProAssist's, and this project's.
const ENDINGS: [&str; 2] = ["arrow", "safetensors"];

/// A recording's part of a feature file.
pub struct Encoded {
    file: PathBuf,
    /// The file begins with the clip, as the extension's do, and not with the video, as ProAssist's
    /// do.
    of_clip: bool,
    tokens_per_frame: usize,
}

/// Reads the dialogues of one part with their tasks, and finds their feature files.
///
/// # Errors
/// A file cannot be read, a feature file is not there, or an update from before a clip does not fit
/// its task.
pub fn scan(config: &Dialogues, fps: f64, part: Part) -> anyhow::Result<Vec<Episode>> {
    let files = if part == Part::Train {
        &config.train
    } else {
        &config.validation
    };
    let mut all = Vec::new();
    for file in files {
        let recordings = annotation::read_with_tasks(file)?;
        let names = annotation::names(recordings.iter().map(|(recording, _)| recording));
        for ((mut recording, own), name) in recordings.into_iter().zip(names) {
            ensure!(
                recording.fps == fps,
                "{}: recording {name}: fps = {}, the training file has fps = {fps}",
                file.display(),
                recording.fps
            );
            let frames = Encoded {
                file: find(&config.features, &recording)?,
                of_clip: own.is_some(),
                tokens_per_frame: config.tokens_per_frame,
            };
            let task = own.unwrap_or_else(|| Task {
                goal: recording.goal.clone(),
                knowledge: recording.knowledge.clone().filter(|_| config.knowledge),
                steps: Vec::new(),
            });
            let start = begin(&mut recording, &task)
                .with_context(|| format!("{}: recording {name}", file.display()))?;
            recording.id = name;
            all.push(Episode {
                recording,
                task,
                start,
                part,
                frames: Frames::Encoded(frames),
            });
        }
    }
    if all.is_empty() {
        bail!(
            "dialogues.{}: no recording in it",
            if part == Part::Train {
                "train"
            } else {
                "validation"
            }
        );
    }
    Ok(all)
}

/// By the name of the frames' file, or else by the video's or the clip's own.
fn find(folder: &Path, recording: &Recording) -> anyhow::Result<PathBuf> {
    let frames = recording
        .frames_file
        .as_deref()
        .and_then(|file| Path::new(file).file_stem()?.to_str());
    let names: Vec<&str> = frames.into_iter().chain([recording.id.as_str()]).collect();
    let bare = |name: &&str| Path::new(name).file_name() == Some(name.as_ref());
    if let Some(bad) = names.iter().find(|name| !bare(name)) {
        bail!("recording {bad:?}: expected a name that a file can have");
    }
    let files = names
        .iter()
        .flat_map(|name| ENDINGS.map(|ending| folder.join(format!("{name}.{ending}"))));
    files.clone().find(|file| file.is_file()).with_context(|| {
        let looked: Vec<_> = files.map(|file| file.display().to_string()).collect();
        format!(
            "no features of recording {}: none of {}; make them with `proact encode`",
            recording.id,
            looked.join(", ")
        )
    })
}

/// Takes the turns from before the clip out of a recording; the state that their updates have led
/// to.
fn begin(recording: &mut Recording, task: &Task) -> proact::error::Result<TaskState> {
    let mut state = TaskState::new(task);
    let start_s = recording.start_s;
    for (at, update) in recording.transitions() {
        if at.0 + TIME_TOLERANCE_S < start_s {
            state.apply(update).map_err(|why| {
                proact::error::Error::Invalid(format!("{} s: {update}: {why}", at.0))
            })?;
        }
    }
    recording.turns.retain(|turn| match (turn.at, &turn.kind) {
        (None, kind) => matches!(kind, TurnKind::System(_)),
        (Some(at), _) => at.0 + TIME_TOLERANCE_S >= start_s,
    });
    Ok(state)
}

impl Encoded {
    /// Times `[T]`, features `[T, V*Dv]` row-major, and V*Dv, of the frames that a recording is
    /// about.
    ///
    /// # Errors
    /// The file cannot be read, lacks a grid that is asked for, or has no frame of the recording.
    pub fn read(&self, recording: &Recording) -> anyhow::Result<(Vec<MediaTime>, Vec<f32>, usize)> {
        let file = read_features(&self.file, recording.fps)?;
        let name = || self.file.display().to_string();
        ensure!(
            file.at.is_some() || file.fps == recording.fps,
            "{}: fps = {}, expected {}",
            name(),
            file.fps,
            recording.fps
        );
        let layout = TokenLayout::from_tokens(self.tokens_per_frame)?;
        let offset_s = if self.of_clip { recording.start_s } else { 0.0 };
        let (mut times, mut features) = (Vec::new(), Vec::new());
        for frame in 0..file.frames() {
            let at_s = file.at_s(frame) + offset_s;
            if at_s + TIME_TOLERANCE_S >= recording.start_s && at_s < recording.end_s {
                times.push(MediaTime(at_s));
                features.extend(file.tokens(frame, layout).with_context(name)?);
            }
        }
        ensure!(
            !times.is_empty(),
            "{}: {} frames, none of them between {} s and {} s",
            name(),
            file.frames(),
            recording.start_s,
            recording.end_s
        );
        Ok((times, features, self.tokens_per_frame * file.dim))
    }

    /// Width of a vision token, Dv.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn width(&self, fps: f64) -> anyhow::Result<usize> {
        Ok(read_features(&self.file, fps)?.dim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proact::dialogue::task::StepState;
    use proact::features::FeatureFile;

    fn sample(name: &str) -> PathBuf {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .join("tests/data/dialogues")
            .join(name)
    }

    /// A feature file in which frame k holds k twice.
    fn encode(folder: &Path, name: &str, frames: usize) {
        let cls = (0..frames).flat_map(|k| [k as f32; 2]).collect();
        let file = FeatureFile {
            fps: 2.0,
            dim: 2,
            cls,
            ..FeatureFile::default()
        };
        if name.ends_with(".arrow") {
            crate::proassist::write_arrow(&file, &folder.join(name))
        } else {
            file.write(&folder.join(name))
        }
        .unwrap();
    }

    fn dialogues(folder: &Path, file: &str) -> Dialogues {
        Dialogues {
            train: vec![sample(file)],
            validation: vec![],
            features: folder.into(),
            tokens_per_frame: 1,
            knowledge: true,
        }
    }

    fn read(episode: &Episode) -> (f64, f64, f32, usize) {
        let Frames::Encoded(encoded) = &episode.frames else {
            panic!("not encoded")
        };
        let (times, features, width) = encoded.read(&episode.recording).unwrap();
        assert_eq!((features.len(), width), (times.len() * 2, 2));
        (
            times[0].0,
            times[times.len() - 1].0,
            features[0],
            times.len(),
        )
    }

    #[test]
    fn prepared_dialogues_count_their_frames_from_the_video_and_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        encode(folder.path(), "T1.arrow", 25);
        let config = dialogues(folder.path(), "prepared.jsonl");
        let all = scan(&config, 2.0, Part::Train).unwrap();
        let ids: Vec<&str> = all.iter().map(|e| e.recording.id.as_str()).collect();
        assert_eq!(ids, ["tea_1.talk_some_0", "tea_1.no_talk_0"]);
        assert_eq!(
            read(&all[0]),
            (1.0, 9.5, 2.0, 18),
            "frame 2 of the video is the first of the clip"
        );
        assert_eq!(read(&all[1]), (0.0, 8.5, 0.0, 18));
        let task = &all[0].task;
        assert_eq!((task.goal.as_str(), task.steps.len()), ("make tea", 0));
        assert!(
            task.knowledge
                .as_ref()
                .is_some_and(|text| text.contains("2. Pour it"))
        );
        let silent = Dialogues {
            knowledge: false,
            ..config.clone()
        };
        assert_eq!(
            scan(&silent, 2.0, Part::Train).unwrap()[0].task.knowledge,
            None
        );
        let why = |result: anyhow::Result<Vec<Episode>>| format!("{:#}", result.err().unwrap());
        assert!(why(scan(&config, 2.0, Part::Validation)).contains("dialogues.validation"));
        assert!(why(scan(&config, 1.0, Part::Train)).contains("fps = 2"));
    }

    #[test]
    fn clips_bring_their_steps_and_states_and_count_their_frames_from_their_own_start() {
        let folder = tempfile::tempdir().unwrap();
        encode(folder.path(), "0b1f-0.arrow", 12);
        let config = dialogues(folder.path(), "clips.json");
        let why = format!("{:#}", scan(&config, 2.0, Part::Train).err().unwrap());
        assert!(
            why.contains("0b1f-1.arrow") && why.contains("0b1f-1.safetensors"),
            "{why}"
        );
        encode(folder.path(), "0b1f-1.safetensors", 12);
        let all = scan(&config, 2.0, Part::Train).unwrap();
        assert_eq!(read(&all[0]), (0.0, 5.5, 0.0, 12));
        assert_eq!(
            read(&all[1]),
            (6.0, 11.5, 0.0, 12),
            "its first frame is row 0 of its file"
        );
        let start: Vec<StepState> = all[1].start.iter().map(|(_, state)| state).collect();
        assert_eq!(start, [StepState::Completed, StepState::InProgress]);
        let told: Vec<String> = all[1]
            .recording
            .transitions()
            .iter()
            .map(|(at, u)| format!("{} {u}", at.0))
            .collect();
        assert_eq!(
            told,
            ["9 S2->complete"],
            "what came before the clip is in its state"
        );
    }

    #[test]
    fn features_that_do_not_reach_the_clip_are_named() {
        let folder = tempfile::tempdir().unwrap();
        encode(folder.path(), "T1.arrow", 2);
        let all = scan(
            &dialogues(folder.path(), "prepared.jsonl"),
            2.0,
            Part::Train,
        )
        .unwrap();
        let Frames::Encoded(encoded) = &all[0].frames else {
            panic!("not encoded")
        };
        let why = encoded.read(&all[0].recording).unwrap_err().to_string();
        assert!(
            why.contains("T1.arrow: 2 frames, none of them between 1 s and 10 s"),
            "{why}"
        );
        let grid = Dialogues {
            tokens_per_frame: 5,
            ..dialogues(folder.path(), "prepared.jsonl")
        };
        let all = scan(&grid, 2.0, Part::Train).unwrap();
        let Frames::Encoded(encoded) = &all[1].frames else {
            panic!("not encoded")
        };
        assert!(
            format!("{:#}", encoded.read(&all[1].recording).unwrap_err()).contains("no grid `2x2`")
        );
        let mut outside = all[0].recording.clone();
        outside.frames_file = None;
        outside.id = "../tea".into();
        assert!(
            find(folder.path(), &outside)
                .unwrap_err()
                .to_string()
                .contains("name that a file can have")
        );
    }
}
