//! Recordings as training examples: slots to embed, text to predict, heads to answer, and the step in view.

use std::sync::Arc;

use crate::dialogue::annotation::{Recording, Turn, TurnKind};
use crate::dialogue::layout::{Clip, ClipOptions, Layout, Slot, Target};
use crate::dialogue::task::{Task, TaskState, Transition};
use crate::error::{Error, Result};
use crate::train::rng::Rng;
use crate::units::{MediaTime, StepId};

/// Two times closer than this are the same, as the layout has it.
const TIME_TOLERANCE_S: f64 = 1e-6;

/// A recording with its features, ready to be cut into clips.
pub struct Source {
    /// Annotation.
    pub recording: Recording,
    /// Its task.
    pub task: Task,
    /// Times of the sampled frames.
    pub frames: Vec<MediaTime>,
    /// Features `[T, V*Dv]`, row-major.
    pub features: Arc<[f32]>,
    /// V * Dv.
    pub frame_width: usize,
}

/// How examples are made.
#[derive(Clone, Copy, Debug)]
pub struct ExampleOptions {
    /// How recordings are cut.
    pub clip: ClipOptions,
    /// Share of events that the dialogue reacts to late, so that the model learns to catch up.
    pub late_share: f32,
    /// A late event is up to this many frames late.
    pub late_frames_max: usize,
    /// Share of events that the dialogue takes for done too early: nothing of them is learnt, but all that follows is,
    /// so that a wrong update does not lead to the next one.
    pub early_share: f32,
    /// An early event is up to this many frames early.
    pub early_frames_max: usize,
    /// Share of recordings whose steps are listed in a random order, in silence: which step is in view must then be told
    /// from its words, not from its place in the list or from what was said to come next.
    pub shuffled_share: f32,
    /// Share of recordings in which what the person says is left out: a replay has no microphone.
    pub silent_user_share: f32,
    /// Frames this long before an event are no negatives: what announces it may be in view.
    pub ambiguous_before_s: f64,
}

/// One sequence to learn from.
pub struct Example {
    /// Token ids in the order of the token slots.
    pub tokens: Vec<u32>,
    /// Features `[F, V*Dv]` of the frames in the clip.
    pub features: Vec<f32>,
    /// For each slot its row in `[tokens; V rows a frame]`.
    pub order: Vec<u32>,
    /// Positions that predict update text, and the tokens they predict.
    pub dst_text: (Vec<u32>, Vec<u32>),
    /// Positions that predict spoken text, and the tokens they predict.
    pub speech_text: (Vec<u32>, Vec<u32>),
    /// Positions where the dst head is read, and the answers.
    pub dst_reads: Vec<(u32, bool)>,
    /// Positions where the speak head is read, and the answers.
    pub speak_reads: Vec<(u32, bool)>,
    /// Positions of each step's line in the prompt (first, length); empty when they could not be told.
    pub lines: Vec<(u32, u32)>,
    /// Last image slot of each new frame with the step in view: 0 none, i + 1 step i.
    pub in_view: Vec<(u32, u32)>,
}

/// A group of turns that was moved in time.
enum Moved {
    /// It stands this many frames behind its time `from`.
    Late { from: f64, frames: usize },
    /// It stands at `to`, before its time.
    Early { to: f64 },
}

/// The examples of a recording. `draw` decides which events are late; the same draws give the same examples.
///
/// # Errors
/// The annotation does not fit the task or the frames.
pub fn examples(source: &Source, layout: &Layout<'_>, options: &ExampleOptions, draw: &mut Rng) -> Result<Vec<Example>> {
    if draw.unit() >= options.shuffled_share {
        return in_order(source, layout, options, draw);
    }
    let mut made = in_order(&shuffled(source, draw), layout, options, draw)?;
    made.iter_mut().for_each(|example| example.speak_reads.clear());
    Ok(made)
}

/// The recording with its steps in a random order, and nothing said by the assistant.
fn shuffled(source: &Source, draw: &mut Rng) -> Source {
    let mut order: Vec<usize> = (0..source.task.steps.len()).collect();
    draw.shuffle(&mut order);
    let mut place = vec![StepId(0); order.len()];
    for (new, old) in order.iter().enumerate() {
        place[*old] = StepId(new as u16);
    }
    let moved = |step: StepId| place.get(usize::from(step.0)).copied().unwrap_or(step);
    let mut task = source.task.clone();
    task.steps = order.iter().map(|old| source.task.steps[*old].clone()).collect();
    for step in &mut task.steps {
        step.after.iter_mut().for_each(|before| *before = moved(*before));
    }
    let mut recording = source.recording.clone();
    recording.turns.retain(|turn| !matches!(turn.kind, TurnKind::Assistant { .. }));
    for turn in &mut recording.turns {
        if let TurnKind::Dst(updates) = &mut turn.kind {
            updates.iter_mut().for_each(|update| update.step = moved(update.step));
        }
    }
    Source { recording, task, frames: source.frames.clone(), features: Arc::clone(&source.features), frame_width: source.frame_width }
}

fn in_order(source: &Source, layout: &Layout<'_>, options: &ExampleOptions, draw: &mut Rng) -> Result<Vec<Example>> {
    let start = TaskState::new(&source.task);
    let (turns, moved) = displaced(source, options, draw);
    let (clips, faults) = layout.clips(Some(&source.task), &start, &source.frames, &turns, &options.clip)?;
    // Turns behind the last frame happen when a video ends with its last step; anything else is a broken annotation.
    if let Some(fault) = faults.iter().find(|f| f.frame.is_some()) {
        return Err(Error::Invalid(format!("recording {}: {}", source.recording.id, fault.why)));
    }
    let events: Vec<f64> = source.recording.transitions().iter().map(|(at, _)| at.0).collect();
    clips.iter().map(|clip| example(source, layout, options, clip, &moved, &events)).collect()
}

/// The turns with some groups moved to other frames, and which.
fn displaced(source: &Source, options: &ExampleOptions, draw: &mut Rng) -> (Vec<Turn>, Vec<Moved>) {
    let mut turns: Vec<Turn> =
        source.recording.turns.iter().filter(|t| t.at.is_some() && !matches!(t.kind, TurnKind::System(_))).cloned().collect();
    if draw.unit() < options.silent_user_share {
        turns.retain(|t| !matches!(t.kind, TurnKind::User(_)));
    }
    let period = period(source);
    let mut moved = Vec::new();
    if period <= 0.0 {
        return (turns, moved);
    }
    let time = |turn: &Turn| turn.at.unwrap_or_default().0;
    let (mut i, mut before) = (0, f64::NEG_INFINITY);
    while i < turns.len() {
        let at = time(&turns[i]);
        let end = turns[i..].iter().position(|t| time(t) > at).map_or(turns.len(), |n| i + n);
        let moves_state = turns[i..end].iter().any(|t| matches!(t.kind, TurnKind::Dst(_)));
        let (fate, far) = (draw.unit(), draw.unit());
        // Never past the neighbouring turn: their order is part of the dialogue.
        let frames = |room: f64, most: usize| (far * most.min((room / period - 1.0).max(0.0) as usize) as f32).ceil();
        let after = turns.get(end).map_or(f64::INFINITY, time);
        let shift = match () {
            () if !moves_state => 0.0,
            () if fate < options.late_share => frames(after - at, options.late_frames_max),
            () if fate < options.late_share + options.early_share => -frames(at - before.max(0.0), options.early_frames_max),
            () => 0.0,
        };
        let to = at + f64::from(shift) * period;
        for turn in &mut turns[i..end] {
            turn.at = Some(MediaTime(to));
        }
        if shift > 0.0 {
            moved.push(Moved::Late { from: at, frames: shift as usize });
        } else if shift < 0.0 {
            moved.push(Moved::Early { to });
        }
        before = to;
        i = end;
    }
    (turns, moved)
}

fn example(
    source: &Source,
    layout: &Layout<'_>,
    options: &ExampleOptions,
    clip: &Clip,
    moved: &[Moved],
    events: &[f64],
) -> Result<Example> {
    let episode = &clip.episode;
    let spoilt = spoilt_frames(source, clip, moved);
    let tokens: Vec<u32> = episode.slots.iter().filter_map(|s| if let Slot::Token(t) = s { Some(t.0) } else { None }).collect();
    let per_frame = layout.tokens_per_frame();
    let mut seen = 0u32;
    let order = episode.slots.iter().map(|slot| match slot {
        Slot::Token(_) => {
            seen += 1;
            seen - 1
        }
        Slot::Image { frame, part } => (tokens.len() + frame * per_frame + part) as u32,
    });
    let order: Vec<u32> = order.collect();
    let width = source.frame_width;
    let features = source
        .features
        .get(clip.frames.start * width..clip.frames.end * width)
        .ok_or_else(|| Error::Invalid(format!("recording {}: {} frames, but fewer features", source.recording.id, source.frames.len())))?;
    let text = |kind: Target| -> (Vec<u32>, Vec<u32>) {
        let mut frame = None;
        let mut places = (Vec::new(), Vec::new());
        for (p, (slot, target)) in episode.slots.iter().zip(&episode.targets).enumerate() {
            match slot {
                Slot::Image { frame: at, .. } => frame = Some(*at),
                Slot::Token(t) if *target == kind && p > 0 && !frame.is_some_and(|f| spoilt.contains(&f)) => {
                    places.0.push(p as u32 - 1);
                    places.1.push(t.0);
                }
                Slot::Token(_) => {}
            }
        }
        places
    };
    let mut made = Example {
        features: features.to_vec(),
        dst_text: text(Target::Dst),
        speech_text: text(Target::Speech),
        dst_reads: Vec::new(),
        speak_reads: Vec::new(),
        lines: step_lines(layout, &source.task, &tokens)?,
        in_view: Vec::new(),
        tokens,
        order,
    };
    answers(&mut made, source, options, clip, moved, events, &spoilt);
    Ok(made)
}

/// Frames of the clip at which an event stands before its time.
fn spoilt_frames(source: &Source, clip: &Clip, moved: &[Moved]) -> Vec<usize> {
    let early = moved.iter().filter_map(|m| if let Moved::Early { to } = m { Some(*to) } else { None });
    let frame = |to: f64| source.frames.partition_point(|f| f.0 + TIME_TOLERANCE_S < to).checked_sub(clip.frames.start);
    early.filter_map(frame).collect()
}

/// Fills in what the heads should say and which step is in view.
fn answers(
    made: &mut Example,
    source: &Source,
    options: &ExampleOptions,
    clip: &Clip,
    moved: &[Moved],
    events: &[f64],
    spoilt: &[usize],
) {
    let waits = |at: f64| {
        moved.iter().any(|m| matches!(m, Moved::Late { from, frames } if *from <= at && at < from + *frames as f64 * period(source) - 1e-6))
    };
    for read in &clip.episode.heads {
        let at = source.frames[clip.frames.start + read.frame].0;
        let slot = read.slot as u32;
        let on_image = matches!(clip.episode.slots[read.slot], Slot::Image { .. });
        if spoilt.contains(&read.frame) {
            continue;
        }
        let overdue = on_image && waits(at);
        let announced = events.iter().any(|e| at < *e && *e <= at + options.ambiguous_before_s);
        match read.dst_update {
            Some(true) => made.dst_reads.push((slot, true)),
            Some(false) if overdue => made.dst_reads.push((slot, true)),
            Some(false) if on_image && announced => {}
            Some(false) => made.dst_reads.push((slot, false)),
            None => {}
        }
        match read.speak {
            Some(false) if overdue || (on_image && announced) => {}
            Some(speak) => made.speak_reads.push((slot, speak)),
            None => {}
        }
    }
    if made.lines.is_empty() {
        return;
    }
    let mut frames_done = None;
    for read in clip.episode.heads.iter().filter(|r| matches!(clip.episode.slots[r.slot], Slot::Image { .. })) {
        if frames_done == Some(read.frame) {
            continue;
        }
        frames_done = Some(read.frame);
        let at = source.frames[clip.frames.start + read.frame];
        let step = step_in_view(&source.recording, at).map_or(0, |s| u32::from(s.0) + 1);
        made.in_view.push((read.slot as u32, step));
    }
}

fn period(source: &Source) -> f64 {
    match source.frames.as_slice() {
        [a, b, ..] => b.0 - a.0,
        _ => 0.0,
    }
}

/// The step that the person is at, by the annotation: the last one started and not completed.
pub fn step_in_view(recording: &Recording, at: MediaTime) -> Option<StepId> {
    let mut open: Vec<StepId> = Vec::new();
    for (_, update) in recording.transitions().into_iter().take_while(|(t, _)| *t <= at) {
        match update.transition {
            Transition::Start => open.push(update.step),
            Transition::Complete => open.retain(|s| *s != update.step),
        }
    }
    open.last().copied()
}

/// Where each step's line stands among the prompt's tokens: from its id to the next id. Empty when the tokenizer does
/// not keep the ids apart.
fn step_lines(layout: &Layout<'_>, task: &Task, tokens: &[u32]) -> Result<Vec<(u32, u32)>> {
    let mut starts = Vec::with_capacity(task.steps.len() + 1);
    let mut from = 0;
    for (id, _) in task.iter() {
        let wanted = layout.codec().encode(&id.to_string(), false)?;
        let found = tokens[from..].windows(wanted.len()).position(|w| w.iter().zip(&wanted).all(|(a, b)| *a == b.0));
        let Some(found) = found else { return Ok(Vec::new()) };
        starts.push(from + found);
        from += found + wanted.len();
    }
    let eot = layout.special().eot.0;
    let end = tokens[from..].iter().position(|t| *t == eot).map_or(tokens.len(), |n| from + n);
    starts.push(end);
    Ok(starts.windows(2).map(|w| (w[0] as u32, (w[1] - w[0]) as u32)).collect())
}
