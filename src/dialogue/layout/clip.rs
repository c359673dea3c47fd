//! Cuts a long recording into training clips that begin as the session begins again after
//! `refresh`.

use std::ops::Range;

use super::Layout;
use super::episode::{Episode, Fault, Script};
use crate::dialogue::annotation::Turn;
use crate::dialogue::task::{Task, TaskState};
use crate::error::{Error, Result};
use crate::units::MediaTime;

/// Choices in cutting clips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClipOptions {
    /// Slots in a clip at most.
    pub tokens_max: usize,
    /// Frames that a later clip sees again behind its prompt: K of the context policy `refresh`.
    pub frames_kept: usize,
}

/// One clip of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    /// Its sequence; frame 0 of the episode is `frames.start` of the recording. Its faults are
    /// empty: they are told once for the recording.
    pub episode: Episode,
    /// Frames of the recording in it, those seen again included.
    pub frames: Range<usize>,
    /// The first frame that is new in this clip; heads are supervised from here on.
    pub first_new: usize,
    /// State in its prompt.
    pub start: TaskState,
}

impl Layout<'_> {
    /// The clips of a recording, in order, and what of its annotation could not be used. Each frame
    /// is new in exactly one clip. A clip behind the first starts with the prompt for the state at
    /// that time and the last K frames before it, as the session's memory looks after `refresh`.
    ///
    /// # Errors
    /// As [`Layout::episode`]; or a clip's prompt, kept frames and one frame do not fit
    /// `tokens_max`.
    pub fn clips(
        &self,
        task: Option<&Task>,
        start: &TaskState,
        frames: &[MediaTime],
        turns: &[Turn],
        options: &ClipOptions,
    ) -> Result<(Vec<Clip>, Vec<Fault>)> {
        let script = Script::new(start, frames, turns)?;
        let mut clips = Vec::new();
        let mut clip = self.begin(task, start, 0, options)?;
        for (i, frame) in script.frames.iter().enumerate() {
            let before = clip.episode.lengths();
            let state = clip.episode.state.clone();
            let place = i - clip.frames.start;
            self.append_frame(&mut clip.episode, place, frame, task)?;
            if clip.episode.slots.len() > options.tokens_max && clip.first_new < i {
                clip.episode.truncate(before, state.clone());
                clips.push(clip);
                clip = self.begin(task, &state, i, options)?;
                let place = i - clip.frames.start;
                self.append_frame(&mut clip.episode, place, frame, task)?;
            }
            if clip.episode.slots.len() > options.tokens_max {
                return Err(Error::Invalid(format!(
                    "tokens_max = {}: the prompt, {} kept frames and frame {i} with its turns take {} tokens",
                    options.tokens_max,
                    clip.first_new - clip.frames.start,
                    clip.episode.slots.len(),
                )));
            }
            clip.frames.end = i + 1;
        }
        if !clip.frames.is_empty() {
            clips.push(clip);
        }
        Ok((clips, script.faults))
    }

    /// A clip whose first new frame is `first_new`, without any new frame yet.
    fn begin(
        &self,
        task: Option<&Task>,
        state: &TaskState,
        first_new: usize,
        options: &ClipOptions,
    ) -> Result<Clip> {
        let first = first_new.saturating_sub(options.frames_kept);
        let mut episode = self.opening(task, state)?;
        for place in 0..first_new - first {
            self.append_seen(&mut episode, place);
        }
        Ok(Clip {
            episode,
            frames: first..first_new,
            first_new,
            start: state.clone(),
        })
    }
}

/// Lengths of an episode's lists: where to cut it back to.
#[derive(Clone, Copy)]
struct Lengths {
    slots: usize,
    heads: usize,
}

impl Episode {
    fn lengths(&self) -> Lengths {
        Lengths {
            slots: self.slots.len(),
            heads: self.heads.len(),
        }
    }

    fn truncate(&mut self, to: Lengths, state: TaskState) {
        self.slots.truncate(to.slots);
        self.targets.truncate(to.slots);
        self.heads.truncate(to.heads);
        self.state = state;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Bytes, HeadRead, Slot, Target};
    use super::*;
    use crate::dialogue::annotation::TurnKind;
    use crate::dialogue::task::Update;

    fn tea() -> Task {
        Task::parse("goal = \"tea\"\n[[step]]\nname = \"Boil\"\n[[step]]\nname = \"Pour\"\n")
            .unwrap()
    }

    fn turns() -> Vec<Turn> {
        let dst = |at: f64, text: &str| Turn {
            at: Some(MediaTime(at)),
            kind: TurnKind::Dst(vec![Update::parse(text).unwrap()]),
        };
        let says = |at: f64, text: &str| Turn {
            at: Some(MediaTime(at)),
            kind: TurnKind::Assistant {
                text: text.into(),
                labels: String::new(),
            },
        };
        vec![
            dst(2.0, "S1->start"),
            says(2.0, "Boil it."),
            dst(5.0, "S1->complete"),
            dst(7.0, "S2->start"),
            says(8.0, "Pour."),
        ]
    }

    fn cut(
        tokens_max: usize,
        frames_kept: usize,
        frames: usize,
    ) -> Result<(Vec<Clip>, Vec<Fault>)> {
        let task = tea();
        let times: Vec<MediaTime> = (0..frames).map(|i| MediaTime(i as f64)).collect();
        let options = ClipOptions {
            tokens_max,
            frames_kept,
        };
        Layout::new(&Bytes, 2).clips(
            Some(&task),
            &TaskState::new(&task),
            &times,
            &turns(),
            &options,
        )
    }

    fn prompt_len() -> usize {
        let task = tea();
        Layout::new(&Bytes, 2)
            .prompt(Some(&task), &TaskState::new(&task))
            .unwrap()
            .len()
    }

    #[test]
    fn a_later_clip_starts_with_the_state_and_the_last_frames() {
        let (clips, faults) = cut(prompt_len() + 40, 2, 10).unwrap();
        assert_eq!(faults, []);
        let second = &clips[1];
        let text = Bytes.render(&second.episode.slots);
        assert!(text.contains("S1 [in_progress] Boil"), "{text}");
        let stream = text.split_once("<eot>").unwrap().1;
        assert!(
            stream.starts_with("<0.0><0.1><1.0><1.1><2.0><2.1>"),
            "{stream}"
        );
        assert_eq!(second.first_new, second.frames.start + 2);
        assert!(
            second.episode.heads.iter().all(|h| h.frame >= 2),
            "kept frames are not supervised"
        );
    }

    #[test]
    fn too_little_room_is_an_error_that_says_how_much_is_needed() {
        let why = cut(prompt_len() + 10, 2, 10).unwrap_err().to_string();
        assert!(
            why.contains("tokens_max") && why.contains("frame 2"),
            "{why}"
        );
        assert!(cut(0, 0, 1).is_err());
        assert_eq!(cut(0, 0, 0).unwrap().0, []);
    }

    proptest! {
        /// However the recording is cut: each frame is new once, and what is supervised is the
        /// same.
        #[test]
        fn cutting_loses_and_doubles_nothing(
            room in 40usize..400,
            kept in 0usize..4,
            frames in 1usize..40,
        ) {
            let (clips, _) = cut(prompt_len() + room, kept, frames).unwrap();
            let (whole, _) = cut(usize::MAX, kept, frames).unwrap();
            prop_assert_eq!(whole.len(), 1);
            let mut next = 0;
            let mut reads: Vec<(usize, Option<bool>, Option<bool>)> = Vec::new();
            let mut spoken: Vec<Slot> = Vec::new();
            for clip in &clips {
                prop_assert!(clip.episode.slots.len() <= prompt_len() + room + 20);
                prop_assert_eq!(clip.first_new, next);
                next = clip.frames.end;
                let of = |h: &HeadRead| (h.frame + clip.frames.start, h.dst_update, h.speak);
                reads.extend(clip.episode.heads.iter().map(of));
                spoken.extend(supervised(&clip.episode));
            }
            prop_assert_eq!(next, frames);
            let heads = &whole[0].episode.heads;
            let all: Vec<_> = heads.iter().map(|h| (h.frame, h.dst_update, h.speak)).collect();
            prop_assert_eq!(reads, all);
            prop_assert_eq!(spoken, supervised(&whole[0].episode));
            prop_assert_eq!(&clips.last().unwrap().episode.state, &whole[0].episode.state);
        }
    }

    fn supervised(episode: &Episode) -> Vec<Slot> {
        let pairs = episode.slots.iter().zip(&episode.targets);
        pairs
            .filter(|(_, t)| **t != Target::None)
            .map(|(s, _)| *s)
            .collect()
    }
}
