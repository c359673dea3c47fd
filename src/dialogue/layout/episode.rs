//! Training's side of the layout: a timed dialogue becomes slots, targets and head readings.
//!
//! Order within a frame, exactly as the session behaves: the person's words, the frame's V image
//! slots, its updates, its utterance. The dst head is read at the last image slot and again at the
//! `<eot>` of each update; the speak head once, at the last image slot or at the last update's
//! `<eot>`.

use super::{Layout, Slot};
use crate::dialogue::annotation::{Turn, TurnKind};
use crate::dialogue::task::{Task, TaskState, Update};
use crate::error::{Error, Result};
use crate::units::{MediaTime, TokenId};

/// Two times closer than this are the same: annotations carry rounded decimals.
pub const TIME_TOLERANCE_S: f64 = 1e-6;

/// Whether a slot's token is to be predicted from the slot before it, and for which loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Not predicted.
    #[default]
    None,
    /// Text of an update, or the `<eot>` that closes it.
    Dst,
    /// Text of an utterance, or the `<eot>` that closes it.
    Speech,
}

/// A slot where the session reads the heads, and what they should say there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadRead {
    /// Index into [`Episode::slots`].
    pub slot: usize,
    /// Frame within the episode.
    pub frame: usize,
    /// Another update now? `None`: not read here, or the annotation does not say.
    pub dst_update: Option<bool>,
    /// Speak now? `None`: not read here.
    pub speak: Option<bool>,
}

/// A piece of annotation that cannot be used, and why. Never dropped without being told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Frame of the recording (index into `frames`); `None` behind the last frame.
    pub frame: Option<usize>,
    /// What and why, in words.
    pub why: String,
}

/// A training sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Episode {
    /// What the backbone reads.
    pub slots: Vec<Slot>,
    /// One a slot: is its token predicted from the slot before?
    pub targets: Vec<Target>,
    /// Where the heads are read, in order of slots.
    pub heads: Vec<HeadRead>,
    /// What of the annotation could not be used.
    pub faults: Vec<Fault>,
    /// The task state behind the last slot.
    pub state: TaskState,
}

/// What happens at one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameScript {
    /// What the person says before the frame is seen.
    pub user: Vec<String>,
    /// Updates of the task state, in order.
    pub updates: Vec<Update>,
    /// What the assistant says, joined into one utterance.
    pub speech: Vec<String>,
    /// Part of the frame's annotation was at fault: the last dst reading is not supervised.
    pub faulty: bool,
}

/// A dialogue laid over the frames of its recording: one [`FrameScript`] a frame, updates checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// One a frame.
    pub frames: Vec<FrameScript>,
    /// What could not be used.
    pub faults: Vec<Fault>,
}

impl Script {
    /// Lays timed turns over frames: a turn belongs to the first frame at or after its time; a turn
    /// without a time stands with the turn before it. System turns are replaced by the layout's own
    /// prompt. Updates that the state does not allow and turns behind the last frame are faults.
    ///
    /// # Errors
    /// Times of frames or turns that are not finite or go backwards.
    pub fn new(start: &TaskState, frames: &[MediaTime], turns: &[Turn]) -> Result<Self> {
        check_times("frame", frames.iter().copied())?;
        let mut script = Self {
            frames: vec![FrameScript::default(); frames.len()],
            faults: Vec::new(),
        };
        let mut now = frames.first().copied().unwrap_or_default();
        let mut timed: Vec<(MediaTime, &TurnKind)> = Vec::with_capacity(turns.len());
        for turn in turns {
            now = turn.at.unwrap_or(now);
            timed.push((now, &turn.kind));
        }
        check_times("turn", timed.iter().map(|(at, _)| *at))?;
        let mut state = start.clone();
        for (at, kind) in timed {
            let frame = frames.partition_point(|f| f.0 + TIME_TOLERANCE_S < at.0);
            script.place(frame, at, kind, &mut state);
        }
        Ok(script)
    }

    fn place(&mut self, frame: usize, at: MediaTime, kind: &TurnKind, state: &mut TaskState) {
        let fault = |frame, why| Fault { frame, why };
        let Some(here) = self.frames.get_mut(frame) else {
            if !matches!(kind, TurnKind::System(_)) {
                self.faults.push(fault(
                    None,
                    format!("turn at {} s stands behind the last frame", at.0),
                ));
            }
            return;
        };
        match kind {
            TurnKind::User(text) if !text.trim().is_empty() => {
                here.user.push(text.trim().to_owned())
            }
            TurnKind::Assistant { text, .. } if !text.trim().is_empty() => {
                here.speech.push(text.trim().to_owned())
            }
            TurnKind::User(_) | TurnKind::Assistant { .. } => {
                self.faults.push(fault(
                    Some(frame),
                    format!("turn at {} s has no words", at.0),
                ));
            }
            TurnKind::Dst(updates) => {
                for update in updates {
                    match state.apply(*update) {
                        Ok(()) => here.updates.push(*update),
                        Err(why) => {
                            here.faulty = true;
                            self.faults
                                .push(fault(Some(frame), format!("{update} at {} s: {why}", at.0)));
                        }
                    }
                }
            }
            TurnKind::System(_) => {}
        }
    }
}

fn check_times(what: &str, times: impl Iterator<Item = MediaTime>) -> Result<()> {
    let mut last = MediaTime(f64::NEG_INFINITY);
    for at in times {
        if !at.0.is_finite() || at < last {
            return Err(Error::Invalid(format!(
                "{what} at {} s after {} s: times must be finite and not decrease",
                at.0, last.0
            )));
        }
        last = at;
    }
    Ok(())
}

impl Layout<'_> {
    /// The training sequence of a whole dialogue: the prompt for the state at its start, then each
    /// frame.
    ///
    /// `frames` are the times of the sampled frames, `turns` the timed dialogue. Without a task the
    /// dst head is not supervised.
    ///
    /// # Errors
    /// Times that are not finite or go backwards; the codec refused a text.
    pub fn episode(
        &self,
        task: Option<&Task>,
        start: &TaskState,
        frames: &[MediaTime],
        turns: &[Turn],
    ) -> Result<Episode> {
        let script = Script::new(start, frames, turns)?;
        let mut episode = self.opening(task, start)?;
        for (i, frame) in script.frames.iter().enumerate() {
            self.append_frame(&mut episode, i, frame, task)?;
        }
        episode.faults = script.faults;
        Ok(episode)
    }

    /// An episode that holds the prompt alone.
    pub(super) fn opening(&self, task: Option<&Task>, state: &TaskState) -> Result<Episode> {
        let mut episode = Episode {
            state: state.clone(),
            ..Episode::default()
        };
        episode.push_tokens(&self.prompt(task, state)?);
        Ok(episode)
    }

    /// Appends a frame that is only seen, as the context policy does: no head is read.
    pub(super) fn append_seen(&self, episode: &mut Episode, frame: usize) {
        episode.slots.extend(self.frame(frame));
        episode.targets.resize(episode.slots.len(), Target::None);
    }

    /// Appends a frame with all that happens at it.
    pub(super) fn append_frame(
        &self,
        episode: &mut Episode,
        frame: usize,
        script: &FrameScript,
        task: Option<&Task>,
    ) -> Result<()> {
        for words in &script.user {
            episode.push_tokens(&self.user_turn(words)?);
        }
        self.append_seen(episode, frame);
        let before = episode.state.clone();
        let speaks = !script.speech.is_empty();
        let updates = script.updates.len();
        for read in 0..=updates {
            let last = read == updates;
            // Behind the last update the annotation says "no more", unless it was at fault there.
            let dst_update = (task.is_some() && !(last && script.faulty)).then_some(!last);
            let slot = episode.slots.len() - 1;
            episode.heads.push(HeadRead {
                slot,
                frame,
                dst_update,
                speak: last.then_some(speaks),
            });
            if let Some(update) = script.updates.get(read) {
                episode.state.apply(*update).map_err(Error::Invalid)?;
                episode.push_turn(&self.update(*update)?, &[], Target::Dst);
            }
        }
        if speaks {
            let note = self.note(task, &before, &episode.state)?;
            episode.push_turn(
                &self.utterance(&script.speech.join(" "))?,
                &note,
                Target::Speech,
            );
        }
        Ok(())
    }
}

impl Episode {
    fn push_slots(&mut self, slots: &[Slot]) {
        self.slots.extend_from_slice(slots);
        self.targets.resize(self.slots.len(), Target::None);
    }

    fn push_tokens(&mut self, tokens: &[TokenId]) {
        self.slots.extend(tokens.iter().map(|t| Slot::Token(*t)));
        self.targets.resize(self.slots.len(), Target::None);
    }

    /// A turn with a note behind its opening. Both are given: a gate opens the turn.
    fn push_turn(&mut self, turn: &[Slot], note: &[TokenId], target: Target) {
        let (open, words) = turn.split_at(turn.len().min(1));
        self.push_slots(open);
        self.push_tokens(note);
        self.push_slots(words);
        let first = self.targets.len() - words.len();
        self.targets[first..].fill(target);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bytes;
    use super::*;

    fn tea() -> Task {
        Task::parse("goal = \"tea\"\n[[step]]\nname = \"Boil\"\n[[step]]\nname = \"Pour\"\n")
            .unwrap()
    }

    fn times(n: usize) -> Vec<MediaTime> {
        (0..n).map(|i| MediaTime(i as f64 / 2.0)).collect()
    }

    fn dst(at: f64, updates: &[&str]) -> Turn {
        let updates = updates.iter().map(|u| Update::parse(u).unwrap()).collect();
        Turn {
            at: Some(MediaTime(at)),
            kind: TurnKind::Dst(updates),
        }
    }

    fn says(at: f64, text: &str) -> Turn {
        Turn {
            at: Some(MediaTime(at)),
            kind: TurnKind::Assistant {
                text: text.into(),
                labels: String::new(),
            },
        }
    }

    fn asks(at: f64, text: &str) -> Turn {
        Turn {
            at: Some(MediaTime(at)),
            kind: TurnKind::User(text.into()),
        }
    }

    fn episode(turns: &[Turn], frames: usize) -> Episode {
        let task = tea();
        Layout::new(&Bytes, 2)
            .episode(Some(&task), &TaskState::new(&task), &times(frames), turns)
            .unwrap()
    }

    /// The stream behind the prompt: `^d?s?` before a slot where the dst / speak head is read,
    /// upper case for "act".
    fn show(episode: &Episode) -> String {
        let mut text = String::new();
        for (i, slot) in episode.slots.iter().enumerate() {
            text.push_str(&Bytes.render(&[*slot]));
            for read in episode.heads.iter().filter(|h| h.slot == i) {
                text.push_str(match (read.dst_update, read.speak) {
                    (Some(true), None) => "^D",
                    (Some(true), Some(true)) => "^DS",
                    (Some(true), Some(false)) => "^Ds",
                    (Some(false), None) => "^d",
                    (Some(false), Some(true)) => "^dS",
                    (Some(false), Some(false)) => "^ds",
                    (None, Some(true)) => "^S",
                    (None, Some(false)) => "^s",
                    (None, None) => "^?",
                });
            }
        }
        text.split_once("<eot>").unwrap().1.to_owned()
    }

    #[test]
    fn turns_stand_behind_the_frames_up_to_their_time() {
        let turns = [
            Turn {
                at: None,
                kind: TurnKind::System("Another persona.".into()),
            },
            asks(0.0, "Tea, please"),
            says(0.1, "Boil water."),
            dst(0.5, &["S1->start"]),
            asks(0.75, "Hm?"),
            dst(1.0, &["S1->complete", "S2->start"]),
            says(0.9999999 + 1e-7, "Well"),
            says(1.0, "done."),
        ];
        let episode = episode(&turns, 4);
        assert_eq!(
            show(&episode),
            "{user}Tea, please<eot><0.0><0.1>^ds\
             <1.0><1.1>^D[DST]S1->start<eot>^dS[ASST]Boil water.<eot>\
             {user}Hm?<eot><2.0><2.1>^D[DST]S1->complete<eot>^D[DST]S2->start<eot>^dS[ASST]Well done.<eot>\
             <3.0><3.1>^ds"
        );
        assert_eq!(episode.faults, []);
        assert_eq!(episode.targets.len(), episode.slots.len());
    }

    #[test]
    fn text_and_eot_are_targets_and_the_opening_is_not() {
        let task = tea();
        let turns = [dst(0.0, &["S1->start"]), says(0.0, "Go.")];
        let layout = Layout::new(&Bytes, 1);
        let episode = layout
            .episode(Some(&task), &TaskState::new(&task), &times(1), &turns)
            .unwrap();
        let of = |target| {
            let slots = episode.slots.iter().zip(&episode.targets);
            Bytes.render(
                &slots
                    .filter(|(_, t)| **t == target)
                    .map(|(s, _)| *s)
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(of(Target::Dst), "S1->start<eot>");
        assert_eq!(of(Target::Speech), "Go.<eot>");
    }

    #[test]
    fn what_cannot_be_used_is_a_fault_and_not_supervised() {
        let turns = [
            dst(0.0, &["S2->complete"]),
            dst(0.5, &["S1->start", "S1->start"]),
            dst(1.0, &["S9->start", "S1->complete"]),
            says(1.0, "  "),
            says(9.0, "Bye."),
        ];
        let episode = episode(&turns, 3);
        assert_eq!(
            show(&episode),
            "<0.0><0.1>^s<1.0><1.1>^D[DST]S1->start<eot>^s<2.0><2.1>^D[DST]S1->complete<eot>^s"
        );
        let faults: Vec<String> = episode
            .faults
            .iter()
            .map(|f| format!("{:?} {}", f.frame, f.why))
            .collect();
        assert_eq!(
            faults,
            [
                "Some(0) S2->complete at 0 s: S2 is not_started",
                "Some(1) S1->start at 0.5 s: S1 is in_progress",
                "Some(2) S9->start at 1 s: the task has no step S9",
                "Some(2) turn at 1 s has no words",
                "None turn at 9 s stands behind the last frame",
            ]
        );
    }

    #[test]
    fn without_a_task_only_speech_is_supervised() {
        let layout = Layout::new(&Bytes, 1);
        let turns = [dst(0.0, &["S1->start"]), says(0.0, "Hi.")];
        let episode = layout
            .episode(None, &TaskState::default(), &times(2), &turns)
            .unwrap();
        assert_eq!(show(&episode), "<0.0>^S[ASST]Hi.<eot><1.0>^s");
        assert_eq!(episode.faults.len(), 1);
    }

    #[test]
    fn times_that_go_backwards_are_refused() {
        let task = tea();
        let state = TaskState::new(&task);
        let layout = Layout::new(&Bytes, 1);
        let run = |frames: &[f64], turns: &[Turn]| {
            let frames: Vec<MediaTime> = frames.iter().map(|t| MediaTime(*t)).collect();
            layout.episode(Some(&task), &state, &frames, turns)
        };
        assert!(run(&[0.0, 1.0, 0.5], &[]).is_err());
        assert!(run(&[0.0, f64::NAN], &[]).is_err());
        assert!(run(&[0.0, 1.0], &[says(1.0, "a"), says(0.0, "b")]).is_err());
        assert!(run(&[0.0, 1.0], &[says(f64::INFINITY, "a")]).is_err());
        assert!(run(&[], &[says(1.0, "a")]).unwrap().heads.is_empty());
    }
}
