//! Recordings as training examples: slots to embed, text to predict, heads to answer, and the step
//! in view.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::train::harder::{faint, shuffled};
use crate::train::history::{self, History, Truth};
use proact::dialogue::annotation::{Recording, Turn, TurnKind};
use proact::dialogue::layout::{Clip, ClipOptions, Layout, Script, Slot, Target};
use proact::dialogue::note::Note;
use proact::dialogue::task::{StepState, Task, TaskState, Transition, Update};
use proact::error::{Error, Result};
use proact::model::Evidence;
use proact::model::evidence::Steps;
use proact::model::sequence::Sequence;
use proact::rng::Rng;
use proact::units::{MediaTime, StepId, TokenId};

/// Two times closer than this are the same, as the layout has it.
pub(crate) const TIME_TOLERANCE_S: f64 = 1e-6;

/// A recording with its features, ready to be cut into clips.
#[derive(Clone)]
pub struct Source {
    /// Annotation.
    pub recording: Recording,
    /// Its task.
    pub task: Task,
    /// States of the task's steps when it begins.
    pub start: TaskState,
    /// Times of the sampled frames.
    pub frames: Vec<MediaTime>,
    /// Features `[T, V*Dv]`, row-major.
    pub features: Arc<[f32]>,
    /// V * Dv.
    pub frame_width: usize,
    /// Cosines `[T, S+1]` of the frames with the steps' words, row-major; empty for a model that
    /// does without.
    pub cosines: Arc<[f32]>,
    /// Cosines `[S*S]` of the steps' words with each other, row-major; empty for a model that does
    /// without.
    pub likeness: Arc<[f32]>,
}

impl Source {
    /// The recording with what led to its start before all else, as an evaluation reads it.
    pub fn from_the_start(&self) -> Recording {
        let reached = |(step, state): (StepId, StepState)| {
            let update = |transition| Update { step, transition };
            let done = (state == StepState::Completed).then_some(update(Transition::Complete));
            (state != StepState::NotStarted)
                .then_some(update(Transition::Start))
                .into_iter()
                .chain(done)
        };
        let updates: Vec<Update> = self.start.iter().flat_map(reached).collect();
        let mut recording = self.recording.clone();
        if !updates.is_empty() {
            recording.turns.insert(
                0,
                Turn {
                    at: Some(MediaTime(0.0)),
                    kind: TurnKind::Dst(updates),
                },
            );
        }
        recording
    }

    /// Time between two frames in seconds; 0 for less than two.
    pub fn period_s(&self) -> f64 {
        match self.frames.as_slice() {
            [a, b, ..] => b.0 - a.0,
            _ => 0.0,
        }
    }
}

/// How examples are made. The fields repeat keys of
/// [`AssistantTraining`](crate::train::assistant::AssistantTraining) on purpose: validation sets
/// them otherwise than the training file.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExampleOptions {
    /// How recordings are cut.
    pub clip: ClipOptions,
    /// Share of events that the dialogue reacts to late, so that the model learns to catch up.
    pub late_share: f32,
    /// A late event is up to this many frames late.
    pub late_frames_max: usize,
    /// Share of events that the dialogue takes for done too early: the head learns not to, and from
    /// all that follows, so that a wrong update does not lead to the next one.
    pub early_share: f32,
    /// An early event is up to this many frames early.
    pub early_frames_max: usize,
    /// Share of recordings whose steps are listed in a random order, in silence: which step is in
    /// view must then be told from its words, not from its place in the list or from what was said
    /// to come next. Only steps with words that are alike keep their order.
    pub shuffled_share: f32,
    /// Share of steps whose words fit their pictures, and all others, less than they do: of words
    /// that the towers never learnt they know as little. What goes on must then be told from the
    /// picture, the task's order and what else it cannot be.
    pub faint_share: f32,
    /// Share of recordings in which what the person says is left out: a replay has no microphone.
    pub silent_user_share: f32,
    /// Frames this long before an event are no negatives: what announces it may be in view.
    pub ambiguous_before_s: f64,
    /// Behind a free run's own history: an update that the model has failed to make is made for it
    /// after a time drawn up to this, in seconds, mostly far below.
    pub patience_s_max: f64,
}

/// One sequence to learn from.
pub struct Example {
    /// What the backbone reads.
    pub sequence: Sequence,
    /// Positions that predict update text, and the tokens they predict.
    pub dst_text: (Vec<u32>, Vec<u32>),
    /// Positions that predict spoken text, and the tokens they predict.
    pub speech_text: (Vec<u32>, Vec<u32>),
    /// Positions where the dst head is read, and the answers.
    pub dst_reads: Vec<(u32, bool)>,
    /// Those of them at which an update was made that nothing asked for: negatives that are never
    /// left out.
    pub temptations: BTreeSet<u32>,
    /// Positions where the speak head is read, and the answers.
    pub speak_reads: Vec<(u32, bool)>,
    /// The steps of the task.
    pub steps: Arc<Steps>,
    /// Last image slot of each new frame with the step in view: 0 none, i + 1 step i.
    pub in_view: Vec<(u32, u32)>,
}

/// The examples of a recording, in the dialogue that the annotation has. `draw` decides which
/// events are late or early; the same draws give the same examples.
///
/// # Errors
/// The annotation does not fit the task or the frames.
pub fn examples(
    source: &Source,
    layout: &Layout<'_>,
    options: &ExampleOptions,
    draw: &mut Rng,
) -> Result<Vec<Example>> {
    let displaced = |source: &Source, draw: &mut Rng| History {
        turns: history::displaced(source, options, draw),
        ..History::default()
    };
    let faint = faint(source, options.faint_share, draw);
    let source = faint.as_ref().unwrap_or(source);
    if draw.unit() >= options.shuffled_share {
        return cut(source, layout, options, &displaced(source, draw));
    }
    let source = shuffled(source, draw);
    let mut made = cut(&source, layout, options, &displaced(&source, draw))?;
    made.iter_mut()
        .for_each(|example| example.speak_reads.clear());
    Ok(made)
}

/// The examples of a recording behind what the model itself wrote in a free run over it.
///
/// # Errors
/// As [`examples`].
pub fn own_examples(
    source: &Source,
    wrote: &[Turn],
    layout: &Layout<'_>,
    options: &ExampleOptions,
    draw: &mut Rng,
) -> Result<Vec<Example>> {
    let faint = faint(source, options.faint_share, draw);
    let source = faint.as_ref().unwrap_or(source);
    cut(
        source,
        layout,
        options,
        &history::own(source, wrote, options.patience_s_max, draw),
    )
}

/// The clips of a recording with a history in memory, answered by what the recording asks for from
/// the states reached.
fn cut(
    source: &Source,
    layout: &Layout<'_>,
    options: &ExampleOptions,
    history: &History,
) -> Result<Vec<Example>> {
    let start = &source.start;
    let (clips, faults) = layout.clips(
        Some(&source.task),
        start,
        &source.frames,
        &history.turns,
        &options.clip,
    )?;
    // Turns behind the last frame happen when a video ends with its last step; anything else is a
    // broken annotation.
    if let Some(fault) = faults.iter().find(|f| f.frame.is_some()) {
        return Err(Error::Invalid(format!(
            "recording {}: {}",
            source.recording.id, fault.why
        )));
    }
    let script = Script::new(start, &source.frames, &history.turns)?;
    let truth = Truth::new(&source.recording);
    let answers = |clip| answers(source, options, clip, &script, &truth, &history.own_words);
    clips
        .iter()
        .map(|clip| example(source, layout, clip, &script, &answers(clip)))
        .collect()
}

/// What should be answered in a clip.
#[derive(Default)]
struct Answers {
    dst_reads: Vec<(u32, bool)>,
    temptations: BTreeSet<u32>,
    speak_reads: Vec<(u32, bool)>,
    /// (frame of the clip, number of the update within it) of updates that the recording does not
    /// ask for then.
    wrong: BTreeSet<(usize, usize)>,
    /// Frames of the clip whose words are not learnt.
    untaught: BTreeSet<usize>,
}

/// An update is right when it is the first that is due, or that will be within
/// `ambiguous_before_s`; between "due" and "not for a while" the head may say what it likes.
fn answers(
    source: &Source,
    options: &ExampleOptions,
    clip: &Clip,
    script: &Script,
    truth: &Truth,
    own_words: &[MediaTime],
) -> Answers {
    let mut answers = Answers::default();
    let mut state = clip.start.clone();
    let mut before = state.clone();
    let mut place = (usize::MAX, 0);
    for read in &clip.episode.heads {
        place = if place.0 == read.frame {
            (read.frame, place.1 + 1)
        } else {
            (read.frame, 0)
        };
        if place.1 == 0 {
            before = state.clone();
        }
        let frame = clip.frames.start + read.frame;
        let at = source.frames[frame];
        let soon_at = MediaTime(at.0 + options.ambiguous_before_s);
        let first = |at| truth.due(&state, at).next().map(|(_, update)| update);
        let (due, soon) = (first(at), first(soon_at));
        let written = script.frames[frame].updates.get(place.1).copied();
        let slot = read.slot as u32;
        let on_image = matches!(clip.episode.slots[read.slot], Slot::Image { .. });
        // Without steps the session asks for no updates.
        let tracks = !source.task.steps.is_empty();
        if tracks && read.dst_update.is_some() && !(due.is_none() && on_image && soon.is_some()) {
            answers.dst_reads.push((slot, due.is_some()));
        }
        if let Some(update) = written {
            if soon != Some(update) {
                answers.wrong.insert(place);
            }
            if due.is_none() {
                answers.temptations.insert(slot);
            }
            // The layout has applied it before: it fits.
            let _ = state.apply(update);
        }
        // What is said upon a wrong update is neither right nor wrong.
        let spoilt = answers.wrong.iter().any(|(frame, _)| *frame == read.frame);
        let own = own_words.contains(&at);
        let strange = || {
            names_another_step(
                &source.task,
                &script.frames[frame].speech,
                Note::new(&source.task, &before, &state),
            )
        };
        if spoilt || own || read.speak == Some(true) && strange() {
            answers.untaught.insert(read.frame);
        }
        if let (Some(speak), false) = (read.speak, spoilt)
            && (speak && !own || !(on_image && soon.is_some()))
        {
            answers.speak_reads.push((slot, speak && !own));
        }
    }
    answers
}

/// Whether words are about a step, but not about the one that the state reached calls for. Such
/// words belong to another state, and a model that learns them learns to disregard the note.
fn names_another_step(task: &Task, words: &[String], note: Note) -> bool {
    let words = words.join(" ");
    let called_for = note
        .step()
        .map(|step| task.steps[usize::from(step.0)].name.as_str());
    // A name can be part of another.
    let named = task
        .steps
        .iter()
        .map(|step| step.name.as_str())
        .filter(|name| words.contains(name))
        .max_by_key(|name| name.len());
    named.is_some() && named != called_for
}

fn example(
    source: &Source,
    layout: &Layout<'_>,
    clip: &Clip,
    script: &Script,
    answers: &Answers,
) -> Result<Example> {
    let ids = source
        .task
        .iter()
        .map(|(id, _)| layout.id_tokens(id))
        .collect::<Result<Vec<_>>>()?;
    let after = source.task.steps.iter().map(|step| step.after.clone());
    let steps = Arc::new(Steps {
        ids,
        likeness: source.likeness.to_vec(),
        after: after.collect(),
    });
    Ok(Example {
        sequence: sequence(source, layout, clip, script, &steps)?,
        dst_text: texts(
            clip,
            Target::Dst,
            &|place| !answers.wrong.contains(&place),
            layout.special().dst,
        ),
        speech_text: texts(
            clip,
            Target::Speech,
            &|(frame, _)| !answers.untaught.contains(&frame),
            layout.special().dst,
        ),
        dst_reads: answers.dst_reads.clone(),
        temptations: answers.temptations.clone(),
        speak_reads: answers.speak_reads.clone(),
        in_view: in_view(source, clip),
        steps,
    })
}

/// A clip's slots with their features and evidence. Follows the task's state through the clip as
/// the session does: a frame comes with the states before its own updates, `[DST]` and `[ASST]`
/// with those reached by then, an update's `<eot>` with those behind it.
fn sequence(
    source: &Source,
    layout: &Layout<'_>,
    clip: &Clip,
    script: &Script,
    steps: &Arc<Steps>,
) -> Result<Sequence> {
    let (width, columns) = (source.frame_width, steps.ids.len() + 1);
    let per_frame = layout.tokens_per_frame();
    let eot = layout.special().eot;
    let mut sequence = Sequence::new(per_frame, width / per_frame.max(1));
    let mut state = clip.start.clone();
    let evidence =
        |at: usize, state: &TaskState| match source.cosines.get(at * columns..(at + 1) * columns) {
            None => Evidence::default(),
            Some(cosines) => Evidence {
                steps: Arc::clone(steps),
                cosines: cosines.into(),
                states: state.states().into(),
            },
        };
    let (mut now, mut updates): (Option<usize>, &[Update]) = (None, &[]);
    for slot in &clip.episode.slots {
        match *slot {
            Slot::Token(token) => sequence.push_token(token),
            Slot::Marker(token) => {
                if token == eot
                    && let [update, rest @ ..] = updates
                {
                    // The layout has applied it before: it fits.
                    let _ = state.apply(*update);
                    updates = rest;
                }
                let evidence = now.map_or_else(Evidence::default, |at| evidence(at, &state));
                sequence.push_marker(token, &evidence)?;
            }
            Slot::Image { frame, part: 0 } => {
                let at = clip.frames.start + frame;
                now = Some(at);
                // Frames kept from before have no turns.
                updates = if at >= clip.first_new {
                    &script.frames[at].updates
                } else {
                    &[]
                };
                let features = source.features.get(at * width..(at + 1) * width);
                let features = features.ok_or_else(|| {
                    Error::Invalid(format!(
                        "recording {}: {} frames, but fewer features",
                        source.recording.id,
                        source.frames.len()
                    ))
                })?;
                sequence.push_frame(features, &evidence(at, &state))?;
            }
            // The frame's first slot stands for all of them.
            Slot::Image { .. } => {}
        }
    }
    Ok(sequence)
}

/// Positions that predict text of a kind, and its tokens; `wanted` is asked with the frame and the
/// number of the last update begun in it.
fn texts(
    clip: &Clip,
    kind: Target,
    wanted: &dyn Fn((usize, usize)) -> bool,
    dst: TokenId,
) -> (Vec<u32>, Vec<u32>) {
    let mut places = (Vec::new(), Vec::new());
    let (mut frame, mut begun) = (None, 0usize);
    for (p, (slot, target)) in clip
        .episode
        .slots
        .iter()
        .zip(&clip.episode.targets)
        .enumerate()
    {
        match slot {
            Slot::Image { frame: at, .. } => (frame, begun) = (Some(*at), 0),
            Slot::Token(t) | Slot::Marker(t) => {
                begun += usize::from(*t == dst);
                if *target == kind
                    && p > 0
                    && frame.is_none_or(|f| wanted((f, begun.saturating_sub(1))))
                {
                    places.0.push(p as u32 - 1);
                    places.1.push(t.0);
                }
            }
        }
    }
    places
}

/// Last image slot of each new frame with the step in view.
fn in_view(source: &Source, clip: &Clip) -> Vec<(u32, u32)> {
    let mut places = Vec::new();
    let mut frames_done = None;
    for read in clip
        .episode
        .heads
        .iter()
        .filter(|r| matches!(clip.episode.slots[r.slot], Slot::Image { .. }))
    {
        if frames_done == Some(read.frame) {
            continue;
        }
        frames_done = Some(read.frame);
        let at = source.frames[clip.frames.start + read.frame];
        places.push((
            read.slot as u32,
            step_in_view(&source.recording, &source.start, at).map_or(0, |s| u32::from(s.0) + 1),
        ));
    }
    places
}

/// The step that the person is at, by the annotation: the last one started and not completed.
pub fn step_in_view(recording: &Recording, start: &TaskState, at: MediaTime) -> Option<StepId> {
    steps_open(recording, start, at).pop()
}

/// The steps started and not completed, the last one started last.
pub fn steps_open(recording: &Recording, start: &TaskState, at: MediaTime) -> Vec<StepId> {
    let begun = start
        .iter()
        .filter(|(_, state)| *state == StepState::InProgress);
    let mut open: Vec<StepId> = begun.map(|(step, _)| step).collect();
    for (_, update) in recording
        .transitions()
        .into_iter()
        .take_while(|(t, _)| *t <= at)
    {
        match update.transition {
            Transition::Start => open.push(update.step),
            Transition::Complete => open.retain(|s| *s != update.step),
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_another_step_than_the_note_has_are_strange_and_others_are_not() {
        let step = |name: &str| format!("[[step]]\nname = \"{name}\"\n");
        let task = Task::parse(&format!(
            "goal = \"t\"\n{}{}",
            step("Stir"),
            step("Stir the soup")
        ))
        .unwrap();
        let strange = |text: &str, note| names_another_step(&task, &[text.to_owned()], note);
        assert!(
            !strange("Great. Next: Stir the soup.", Note::Next(StepId(1))),
            "the longer name is meant"
        );
        assert!(strange(
            "Great. Next: Stir the soup.",
            Note::Next(StepId(0))
        ));
        assert!(!strange("Great. Now: Stir.", Note::Now(StepId(0))));
        assert!(strange("Great. Now: Stir.", Note::Done));
        assert!(!strange("Well done!", Note::Now(StepId(0))));
    }
}
