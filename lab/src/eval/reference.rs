//! What a run is held against: one recording's annotation with its task, checked and in order.

use std::path::{Path, PathBuf};

use proact::dialogue::annotation::{self, Issue, Recording};
use proact::dialogue::task::{StepState, Task, TaskState, Update};
use proact::error::{Error, Result};
use proact::units::{MediaTime, StepId};

/// The annotation's name in a folder of an episode, beside [`TASK_FILE`].
pub const ANNOTATION_FILE: &str = "annotation.jsonl";
/// The video's name in a folder of an episode.
pub const VIDEO_FILE: &str = "video.mp4";
/// The task's name in a folder of an episode.
pub const TASK_FILE: &str = "task.toml";

/// The truth about one recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// The recording's name; a log of the same name belongs to it.
    pub id: String,
    /// Data set, for the speech window.
    pub dataset: String,
    /// The task; without a task file it has the goal and no steps.
    pub task: Task,
    /// First moment that is scored.
    pub start: MediaTime,
    /// Last moment that is scored.
    pub end: MediaTime,
    /// Frames a second, for the grid that utterances are matched on.
    pub fps: f64,
    /// How many times faster than life the video plays.
    pub speed: Option<f64>,
    /// State of each step at `start`.
    pub initial: Vec<StepState>,
    /// State changes from `start` on, in order; the state allows each of them.
    pub transitions: Vec<(MediaTime, Update)>,
    /// What the assistant should say from `start` on, in order.
    pub utterances: Vec<(MediaTime, String)>,
    /// What went wrong, as labelled.
    pub issues: Vec<Issue>,
    /// The video beside the annotation, if there is one.
    pub video: Option<PathBuf>,
}

impl Reference {
    /// Joins a recording with its task. Changes before the clip's start make its initial state.
    ///
    /// # Errors
    /// An update of a step that the task does not have, or that the state before it does not allow;
    /// an empty clip; updates without a task.
    pub fn new(recording: &Recording, task: Option<Task>) -> Result<Self> {
        let bad = |why: String| Error::Invalid(format!("recording `{}`: {why}", recording.id));
        let updates = recording.transitions();
        if task.is_none() && !updates.is_empty() {
            return Err(bad(format!(
                "it has state changes, but there is no {TASK_FILE} beside it that names the steps"
            )));
        }
        let length_s = recording.end_s - recording.start_s;
        if !length_s.is_finite() || length_s <= 0.0 {
            return Err(bad(format!(
                "from {} s to {} s; nothing to score",
                recording.start_s, recording.end_s
            )));
        }
        let task = task.unwrap_or_else(|| Task {
            goal: recording.goal.clone(),
            ..Task::default()
        });
        let (start, end) = (MediaTime(recording.start_s), MediaTime(recording.end_s));
        let mut state = TaskState::new(&task);
        let mut initial = None;
        let mut transitions = Vec::new();
        for (at, update) in updates {
            if at >= start && initial.is_none() {
                initial = Some(states(&state));
            }
            state
                .apply(update)
                .map_err(|why| bad(format!("{update} at {} s: {why}", at.seconds())))?;
            if at >= start {
                transitions.push((at, update));
            }
        }
        let said = recording.utterances();
        Ok(Self {
            id: recording.id.clone(),
            dataset: recording.dataset.clone(),
            initial: initial.unwrap_or_else(|| states(&state)),
            task,
            start,
            end,
            fps: recording.fps,
            speed: recording.speed,
            transitions,
            utterances: said
                .into_iter()
                .filter(|(at, _)| *at >= start)
                .map(|(at, t)| (at, t.to_owned()))
                .collect(),
            issues: recording.issues.clone(),
            video: None,
        })
    }

    /// Reads an annotation file, or the one in an episode's folder, or those in a folder of
    /// episodes (`DIR/ID/annotation.jsonl`, in order of their names). The task of a file is `task`,
    /// or the task file beside it.
    ///
    /// # Errors
    /// Unreadable or malformed files, no annotation at all, or what [`Reference::new`] refuses.
    pub fn read(path: &Path, task: Option<&Task>) -> Result<Vec<Self>> {
        if !path.is_dir() {
            return Self::read_file(path, task);
        }
        let own = path.join(ANNOTATION_FILE);
        if own.is_file() {
            return Self::read_file(&own, task);
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(Error::io(path))? {
            let file = entry.map_err(Error::io(path))?.path().join(ANNOTATION_FILE);
            if file.is_file() {
                files.push(file);
            }
        }
        if files.is_empty() {
            return Err(Error::format(
                path,
                format!("no {ANNOTATION_FILE} in it or in its folders"),
            ));
        }
        files.sort();
        let mut all = Vec::with_capacity(files.len());
        for file in files {
            all.extend(Self::read_file(&file, task)?);
        }
        Ok(all)
    }

    fn read_file(path: &Path, task: Option<&Task>) -> Result<Vec<Self>> {
        let beside = path.with_file_name(TASK_FILE);
        let task = match task {
            Some(task) => Some(task.clone()),
            None if beside.is_file() => Some(Task::read(&beside)?),
            None => None,
        };
        let mut recordings = annotation::read_with_tasks(path)?;
        if recordings.is_empty() {
            return Err(Error::format(
                path,
                "no recording in it; expected one a line",
            ));
        }
        let ids = annotation::names(recordings.iter().map(|(recording, _)| recording));
        for ((recording, _), id) in recordings.iter_mut().zip(ids) {
            recording.id = id;
        }
        let video = Some(path.with_file_name(VIDEO_FILE)).filter(|video| video.is_file());
        let one = |(recording, own): (Recording, Option<Task>)| {
            let reference = Self::new(&recording, own.or_else(|| task.clone()))
                .map_err(|e| Error::format(path, e.to_string()))?;
            Ok(Self {
                video: video.clone(),
                ..reference
            })
        };
        recordings.into_iter().map(one).collect()
    }

    /// Seconds that are scored.
    pub fn duration_s(&self) -> f64 {
        self.end.seconds() - self.start.seconds()
    }

    /// States of all steps when it begins.
    pub fn start_state(&self) -> TaskState {
        let mut state = TaskState::new(&self.task);
        for (i, initial) in self.initial.iter().enumerate() {
            state.set(StepId(i as u16), *initial);
        }
        state
    }

    /// States of all steps right after everything up to and including `at_s`.
    pub fn state_at(&self, at_s: f64) -> Vec<StepState> {
        let mut now = self.initial.clone();
        for (_, update) in self
            .transitions
            .iter()
            .take_while(|(t, _)| t.seconds() <= at_s)
        {
            now[usize::from(update.step.0)] = reached(*update);
        }
        now
    }
}

/// The state that an update leads to.
pub(super) fn reached(update: Update) -> StepState {
    match update.transition {
        proact::dialogue::task::Transition::Start => StepState::InProgress,
        proact::dialogue::task::Transition::Complete => StepState::Completed,
    }
}

fn states(state: &TaskState) -> Vec<StepState> {
    state.iter().map(|(_, s)| s).collect()
}

/// A small reference for this room's tests: times with updates, times with words.
#[cfg(test)]
pub(crate) fn sample(
    names: &[&str],
    end_s: f64,
    updates: &[(f64, &str)],
    said: &[(f64, &str)],
) -> Reference {
    use proact::dialogue::task::Step;
    let task = Task {
        goal: "test".into(),
        knowledge: None,
        steps: names.iter().map(|n| Step::new(*n, Vec::new())).collect(),
    };
    Reference {
        id: "r".into(),
        dataset: "synth".into(),
        initial: vec![StepState::NotStarted; names.len()],
        task,
        start: MediaTime(0.0),
        end: MediaTime(end_s),
        fps: 2.0,
        speed: None,
        transitions: updates
            .iter()
            .map(|(t, u)| (MediaTime(*t), Update::parse(u).unwrap()))
            .collect(),
        utterances: said
            .iter()
            .map(|(t, s)| (MediaTime(*t), (*s).to_owned()))
            .collect(),
        issues: Vec::new(),
        video: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proact::dialogue::annotation::{Turn, TurnKind};

    fn recording(updates: &[(f64, &str)]) -> Recording {
        Recording {
            id: "a".into(),
            fps: 2.0,
            start_s: 5.0,
            end_s: 60.0,
            turns: updates
                .iter()
                .map(|(t, u)| Turn {
                    at: Some(MediaTime(*t)),
                    kind: TurnKind::Dst(vec![Update::parse(u).unwrap()]),
                })
                .collect(),
            ..Recording::default()
        }
    }

    fn task() -> Task {
        Task::parse("goal = \"tea\"\n[[step]]\nname = \"Boil\"\n[[step]]\nname = \"Pour\"\n")
            .unwrap()
    }

    #[test]
    fn what_came_before_the_clip_is_its_initial_state() {
        let got = Reference::new(
            &recording(&[(2.0, "S1->start"), (8.0, "S1->complete")]),
            Some(task()),
        )
        .unwrap();
        assert_eq!(got.initial, [StepState::InProgress, StepState::NotStarted]);
        assert_eq!(
            got.transitions,
            [(MediaTime(8.0), Update::parse("S1->complete").unwrap())]
        );
        assert_eq!(got.state_at(7.9)[0], StepState::InProgress);
        assert_eq!(got.state_at(8.0)[0], StepState::Completed);
        // Only changes before the start: they are the state all along.
        let got = Reference::new(&recording(&[(2.0, "S2->start")]), Some(task())).unwrap();
        assert_eq!(got.initial, [StepState::NotStarted, StepState::InProgress]);
    }

    #[test]
    fn a_reference_that_contradicts_itself_is_an_error() {
        let cases = [
            (
                recording(&[(6.0, "S1->complete")]),
                Some(task()),
                "S1->complete at 6 s: S1 is not_started",
            ),
            (recording(&[(6.0, "S3->start")]), Some(task()), "no step S3"),
            (recording(&[(6.0, "S1->start")]), None, "no task.toml"),
            (
                Recording {
                    end_s: 5.0,
                    ..recording(&[])
                },
                None,
                "nothing to score",
            ),
        ];
        for (recording, task, word) in cases {
            let why = Reference::new(&recording, task).unwrap_err().to_string();
            assert!(why.contains(word), "{why}");
        }
    }

    #[test]
    fn episodes_are_read_from_a_folder_in_order() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            Reference::read(dir.path(), None)
                .unwrap_err()
                .to_string()
                .contains("no annotation.jsonl")
        );
        for id in ["b", "a"] {
            let episode = dir.path().join(id);
            std::fs::create_dir(&episode).unwrap();
            std::fs::write(episode.join(TASK_FILE), task().to_toml()).unwrap();
            let recording = Recording {
                id: id.into(),
                ..recording(&[(6.0, "S1->start")])
            };
            annotation::write(&episode.join(ANNOTATION_FILE), &[recording]).unwrap();
        }
        let ids = |path: &Path| {
            Reference::read(path, None)
                .unwrap()
                .iter()
                .map(|r| r.id.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(dir.path()), ["a", "b"]);
        assert_eq!(ids(&dir.path().join("b")), ["b"]);
        assert_eq!(ids(&dir.path().join("b").join(ANNOTATION_FILE)), ["b"]);
    }
}
