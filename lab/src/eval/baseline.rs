//! Trivial assistants that write the same event log as the model: what a score is worth is told by
//! them.
//!
//! `silent` does nothing. `clock` moves the steps by the average times of training recordings and
//! never looks. `change` moves them in the same order whenever the picture changes much.
//! `reference` is no baseline but the other end: the annotation's own words and changes at their
//! own times, which shows what a perfect run scores.

use std::collections::BTreeMap;

use super::reference::Reference;
use super::speech::FRAMES_MAX;
use proact::dialogue::policy::{GateConfig, GateKind, Gates};
use proact::dialogue::task::{StepState, Task, Transition, Update};
use proact::error::{Error, Result};
use proact::stream::{ContextPolicyName, Event, StepInfo, log};
use proact::units::{FrameIdx, MediaTime, Prob, StepId, Threshold};

/// What a baseline is told about a recording: no picture, and no reference beyond where it begins.
#[derive(Clone, Copy, Debug)]
pub struct Clip<'a> {
    /// The task.
    pub task: &'a Task,
    /// State of the steps at the start.
    pub initial: &'a [StepState],
    /// First frame's time.
    pub start: MediaTime,
    /// End of the clip.
    pub end: MediaTime,
    /// Frames a second.
    pub fps: f64,
    /// Times faster than life, 1 if not known.
    pub speed: f64,
}

impl<'a> From<&'a Reference> for Clip<'a> {
    fn from(r: &'a Reference) -> Self {
        let speed = r.speed.unwrap_or(1.0);
        Self {
            task: &r.task,
            initial: &r.initial,
            start: r.start,
            end: r.end,
            fps: r.fps,
            speed,
        }
    }
}

/// Says nothing and moves nothing.
///
/// # Errors
/// A clip of too many frames.
pub fn silent(clip: &Clip) -> Result<Vec<Event>> {
    play("baseline:silent", clip, &[], false)
}

/// Says and moves what the reference has, at its times.
///
/// # Errors
/// A clip of too many frames.
pub fn reference(reference: &Reference) -> Result<Vec<Event>> {
    let clip = Clip::from(reference);
    let mut events = play(
        "reference",
        &Clip {
            end: clip.start,
            ..clip
        },
        &[],
        false,
    )?;
    events.pop();
    let frame_of = |at: MediaTime| FrameIdx(super::speech::frame_of(reference, at) as u64);
    let sure = Prob(1.0);
    let changes = reference.transitions.iter().map(|(at, update)| {
        let Update { step, transition } = *update;
        (
            *at,
            Event::Transition {
                frame: frame_of(*at),
                at: *at,
                step,
                transition,
                prob: sure,
            },
        )
    });
    let words = reference
        .utterances
        .iter()
        .filter(|(_, text)| !text.trim().is_empty());
    let words = words.map(|(at, text)| {
        (
            *at,
            Event::Utterance {
                frame: frame_of(*at),
                at: *at,
                text: text.clone(),
                prob: sure,
            },
        )
    });
    // A stable sort: at one time the changes stand before the words, as in a session.
    let mut told: Vec<(MediaTime, Event)> = changes.chain(words).collect();
    told.sort_by(|a, b| a.0.0.total_cmp(&b.0.0));
    events.extend(told.into_iter().map(|(_, event)| event));
    let state = reference.state_at(f64::INFINITY);
    let steps = state
        .iter()
        .enumerate()
        .map(|(i, s)| StepInfo {
            id: StepId(i as u16),
            name: None,
            state: *s,
        })
        .collect();
    let frames = ((clip.end.seconds() - clip.start.seconds()) * clip.fps).ceil() as u64;
    events.push(Event::End { frames, steps });
    Ok(events)
}

/// Moves the steps in the task's order by average times, and says the next one at each completion.
///
/// # Errors
/// A clip of too many frames.
pub fn clock(clip: &Clip, averages: &Averages) -> Result<Vec<Event>> {
    let goal = clip.task.goal.as_str();
    let mut at_s = clip.start.seconds();
    if clip.initial.iter().all(|s| *s == StepState::NotStarted) {
        at_s += averages.lead_s(goal) / clip.speed;
    }
    let mut plan = Vec::new();
    for (step, state) in unfinished(clip) {
        let name = &clip.task.steps[usize::from(step.0)].name;
        let done_s = at_s + averages.duration_s(goal, name) / clip.speed;
        if state == StepState::NotStarted {
            plan.push((
                at_s,
                Update {
                    step,
                    transition: Transition::Start,
                },
            ));
        }
        plan.push((
            done_s,
            Update {
                step,
                transition: Transition::Complete,
            },
        ));
        at_s = (done_s + averages.gap_s(goal) / clip.speed).max(at_s);
    }
    plan.sort_by(|a, b| a.0.total_cmp(&b.0));
    play("baseline:clock", clip, &plan, true)
}

/// Completes the step in progress and starts the next at each of the moments, in the task's order.
///
/// # Errors
/// A clip of too many frames.
pub fn change(clip: &Clip, moments: &[MediaTime]) -> Result<Vec<Event>> {
    let mut open: Option<StepId> = None;
    let mut waiting = std::collections::VecDeque::new();
    for (step, state) in unfinished(clip) {
        if state == StepState::InProgress && open.is_none() {
            open = Some(step)
        } else {
            waiting.push_back(step)
        }
    }
    let mut plan = Vec::new();
    for at in moments {
        let completed = open.take().map(|step| Update {
            step,
            transition: Transition::Complete,
        });
        open = waiting.pop_front();
        let started = open.map(|step| Update {
            step,
            transition: Transition::Start,
        });
        plan.extend(
            completed
                .into_iter()
                .chain(started)
                .map(|update| (at.seconds(), update)),
        );
    }
    play("baseline:change", clip, &plan, true)
}

fn unfinished<'a>(clip: &'a Clip) -> impl Iterator<Item = (StepId, StepState)> + 'a {
    let all = clip
        .initial
        .iter()
        .enumerate()
        .map(|(i, s)| (StepId(i as u16), *s));
    all.filter(|(_, s)| *s != StepState::Completed)
}

/// The log of a plan. A change happens at the first frame at or after its time; what the state does
/// not allow (a step that is in progress at the start is not started again) is left out.
fn play(name: &str, clip: &Clip, plan: &[(f64, Update)], speaks: bool) -> Result<Vec<Event>> {
    let frames = (clip.end.seconds() - clip.start.seconds()) * clip.fps;
    if !(clip.fps > 0.0 && (0.0..=FRAMES_MAX).contains(&frames)) {
        return Err(Error::Invalid(format!(
            "clip of {frames} frames: expected 0 to {FRAMES_MAX}"
        )));
    }
    let mut state: Vec<StepState> = clip.initial.to_vec();
    let mut events = vec![session(name, clip)];
    let mut plan = plan.iter().peekable();
    let frames = frames.ceil() as u64;
    for k in 0..frames {
        let (frame, at) = (
            FrameIdx(k),
            MediaTime(clip.start.seconds() + k as f64 / clip.fps),
        );
        let due = std::iter::from_fn(|| plan.next_if(|(t, _)| *t <= at.seconds() + TIME_SLACK_S));
        let mut moved = Vec::new();
        for (_, update) in due {
            let now = &mut state[usize::from(update.step.0)];
            if let Ok(next) = log::after(*now, *update) {
                *now = next;
                moved.push(*update);
            }
        }
        let words = if speaks {
            words_at(clip.task, &state, k == 0, &moved)
        } else {
            None
        };
        let sure = |yes: bool| Prob(f32::from(u8::from(yes)));
        events.push(Event::Frame {
            frame,
            at,
            speak: sure(words.is_some()),
            dst_update: sure(!moved.is_empty()),
        });
        for Update { step, transition } in moved {
            events.push(Event::Transition {
                frame,
                at,
                step,
                transition,
                prob: sure(true),
            });
        }
        events.extend(words.map(|text| Event::Utterance {
            frame,
            at,
            text,
            prob: sure(true),
        }));
    }
    let steps = state.iter().enumerate().map(|(i, s)| StepInfo {
        id: StepId(i as u16),
        name: None,
        state: *s,
    });
    events.push(Event::End {
        frames,
        steps: steps.collect(),
    });
    Ok(events)
}

/// Rounding that a planned time may carry.
const TIME_SLACK_S: f64 = 1e-9;

/// The first instruction at the first frame; the next one at each completion.
fn words_at(task: &Task, state: &[StepState], first: bool, moved: &[Update]) -> Option<String> {
    let completed = moved.iter().any(|u| u.transition == Transition::Complete);
    let started = moved
        .iter()
        .rev()
        .find(|u| u.transition == Transition::Start)
        .map(|u| usize::from(u.step.0));
    let open =
        |s: &StepState| *s == StepState::NotStarted || (first && *s == StepState::InProgress);
    let next = started.or_else(|| state.iter().position(open));
    match (next.and_then(|i| task.steps.get(i)), first, completed) {
        (Some(step), true, _) => Some(format!("First: {}.", step.name)),
        (Some(step), false, true) => Some(format!("Well done. Next: {}.", step.name)),
        (None, _, true) => Some(format!(
            "Well done. That was the last step, enjoy your {}!",
            task.goal
        )),
        _ => None,
    }
}

fn session(name: &str, clip: &Clip) -> Event {
    let off = GateConfig {
        kind: GateKind::Off,
        threshold: Threshold(1.0),
        hysteresis: 0.0,
        refractory_s: 0.0,
    };
    let steps = clip.task.iter().zip(clip.initial);
    Event::Session {
        schema: log::SCHEMA,
        model: name.into(),
        vision: String::new(),
        goal: clip.task.goal.clone(),
        steps: steps
            .map(|((id, s), state)| StepInfo {
                id,
                name: Some(s.name.clone()),
                state: *state,
            })
            .collect(),
        fps: clip.fps,
        gates: Gates {
            speak: off,
            dst_update: off,
        },
        context: ContextPolicyName::None,
    }
}

/// A mean that is being taken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mean {
    sum: f64,
    n: usize,
}

impl Mean {
    fn take(&mut self, value: f64) {
        self.sum += value;
        self.n += 1;
    }

    fn get(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Times {
    lead: Mean,
    duration: Mean,
    gap: Mean,
}

/// Average times of training recordings, in seconds of life (video seconds times speed).
///
/// `lead`: start of the recording to the first start of a step; `duration`: start to completion of
/// a step; `gap`: completion of a step to the start of the one that was started next (negative
/// where they overlap).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Averages {
    all: Times,
    goals: BTreeMap<String, Times>,
    steps: BTreeMap<(String, String), Mean>,
}

impl Averages {
    /// Takes the averages. Steps that were not completed count for the lead and the gap before them
    /// only.
    ///
    /// # Errors
    /// No completed step in any of the recordings.
    pub fn learn<'a>(training: impl IntoIterator<Item = &'a Reference>) -> Result<Self> {
        let mut out = Self::default();
        for reference in training {
            out.take(reference);
        }
        if out.all.duration.n == 0 {
            return Err(Error::Invalid(
                "no completed step in the training recordings; the clock cannot be set".into(),
            ));
        }
        Ok(out)
    }

    fn take(&mut self, reference: &Reference) {
        let speed = reference.speed.unwrap_or(1.0);
        let goal = reference.task.goal.clone();
        let when = |step: StepId, transition: Transition| {
            let wanted = Update { step, transition };
            reference
                .transitions
                .iter()
                .find(|(_, u)| *u == wanted)
                .map(|(at, _)| at.seconds() * speed)
        };
        let mut each = |of: fn(&mut Times) -> &mut Mean, value: f64| {
            of(&mut self.all).take(value);
            of(self.goals.entry(goal.clone()).or_default()).take(value);
        };
        let mut before: Option<f64> = None;
        let mut first = true;
        for (at, update) in reference
            .transitions
            .iter()
            .filter(|(_, u)| u.transition == Transition::Start)
        {
            let start_s = at.seconds() * speed;
            if std::mem::take(&mut first) {
                each(|t| &mut t.lead, start_s - reference.start.seconds() * speed);
            }
            if let Some(before_s) = before {
                each(|t| &mut t.gap, start_s - before_s);
            }
            before = when(update.step, Transition::Complete);
            if let Some(done_s) = before {
                each(|t| &mut t.duration, done_s - start_s);
                let name = reference.task.steps[usize::from(update.step.0)]
                    .name
                    .clone();
                self.steps
                    .entry((goal.clone(), name))
                    .or_default()
                    .take(done_s - start_s);
            }
        }
    }

    /// Time of the goal if it was seen, else of all, else 0.
    fn of(&self, goal: &str, time: fn(&Times) -> &Mean) -> f64 {
        self.goals
            .get(goal)
            .and_then(|t| time(t).get())
            .or_else(|| time(&self.all).get())
            .unwrap_or(0.0)
    }

    /// Seconds of life before the first step.
    pub fn lead_s(&self, goal: &str) -> f64 {
        self.of(goal, |t| &t.lead)
    }

    /// Seconds of life between steps.
    pub fn gap_s(&self, goal: &str) -> f64 {
        self.of(goal, |t| &t.gap)
    }

    /// Seconds of life that a step takes: that step in that goal, else any of the goal, else any.
    pub fn duration_s(&self, goal: &str, step: &str) -> f64 {
        let own = self
            .steps
            .get(&(goal.to_owned(), step.to_owned()))
            .and_then(Mean::get);
        own.unwrap_or_else(|| self.of(goal, |t| &t.duration))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Log;
    use super::super::reference::sample;
    use super::*;

    fn told(events: &[Event]) -> Vec<(f64, String)> {
        let one = |e: &Event| match e {
            Event::Transition {
                at,
                step,
                transition,
                ..
            } => Some((
                at.seconds(),
                Update {
                    step: *step,
                    transition: *transition,
                }
                .to_string(),
            )),
            Event::Utterance { at, text, .. } => Some((at.seconds(), text.clone())),
            _ => None,
        };
        events.iter().filter_map(one).collect()
    }

    fn training() -> Reference {
        // Lead 4; a: 10 s; gap 2; b: 20 s.
        let updates = [
            (4.0, "S1->start"),
            (14.0, "S1->complete"),
            (16.0, "S2->start"),
            (36.0, "S2->complete"),
        ];
        sample(&["a", "b"], 50.0, &updates, &[])
    }

    #[test]
    fn silent_only_counts_frames() {
        let reference = training();
        let log = Log::from_events(&silent(&Clip::from(&reference)).unwrap()).unwrap();
        assert!(log.transitions.is_empty() && log.utterances.is_empty() && log.ended);
        assert_eq!(log.frames.len(), 100);
    }

    #[test]
    fn the_clock_runs_on_averages() {
        let averages = Averages::learn([&training()]).unwrap();
        let reference = training();
        let events = clock(&Clip::from(&reference), &averages).unwrap();
        let expected = [
            (0.0, "First: a."),
            (4.0, "S1->start"),
            (14.0, "S1->complete"),
            (14.0, "Well done. Next: b."),
            (16.0, "S2->start"),
            (36.0, "S2->complete"),
            (36.0, "Well done. That was the last step, enjoy your test!"),
        ];
        assert_eq!(told(&events), expected.map(|(t, s)| (t, s.to_owned())));
        Log::from_events(&events).unwrap();
        // Another goal at double speed: the mean duration 15, all times halved, on the next frame
        // of 2 a second.
        let mut other = training();
        other.task.goal = "unseen".into();
        other.speed = Some(2.0);
        let times: Vec<f64> = told(&clock(&Clip::from(&other), &averages).unwrap())
            .iter()
            .map(|e| e.0)
            .collect();
        assert_eq!(times, [0.0, 2.0, 9.5, 9.5, 10.5, 18.0, 18.0]);
        assert!(Averages::learn([]).is_err());
    }

    #[test]
    fn averages_are_in_seconds_of_life() {
        let mut fast = training();
        fast.speed = Some(4.0);
        let averages = Averages::learn([&training(), &fast]).unwrap();
        // a: (10 + 40) / 2; unseen step of the goal: (10 + 20 + 40 + 80) / 4.
        assert_eq!(averages.duration_s("test", "a"), 25.0);
        assert_eq!(averages.duration_s("test", "z"), 37.5);
        assert_eq!((averages.lead_s("x"), averages.gap_s("x")), (10.0, 5.0));
    }

    #[test]
    fn changes_move_one_step_on() {
        let reference = training();
        let at = [5.2, 20.0, 30.0, 40.0].map(MediaTime);
        let expected = [
            (0.0, "First: a."),
            (5.5, "S1->start"),
            (20.0, "S1->complete"),
            (20.0, "S2->start"),
            (20.0, "Well done. Next: b."),
            (30.0, "S2->complete"),
            (30.0, "Well done. That was the last step, enjoy your test!"),
        ];
        assert_eq!(
            told(&change(&Clip::from(&reference), &at).unwrap()),
            expected.map(|(t, s)| (t, s.to_owned()))
        );
    }

    #[test]
    fn a_clip_that_begins_in_the_middle_goes_on_from_there() {
        let mut reference = training();
        reference.initial = vec![StepState::InProgress, StepState::NotStarted];
        let events = change(&Clip::from(&reference), &[MediaTime(6.0)]).unwrap();
        Log::from_events(&events).unwrap();
        assert_eq!(
            told(&events)[1..3],
            [
                (6.0, "S1->complete".to_owned()),
                (6.0, "S2->start".to_owned())
            ]
        );
        let averages = Averages::learn([&training()]).unwrap();
        let events = clock(&Clip::from(&reference), &averages).unwrap();
        Log::from_events(&events).unwrap();
        assert_eq!(told(&events)[1], (10.0, "S1->complete".to_owned()));
        let too_fast = Clip {
            fps: 1e12,
            ..Clip::from(&reference)
        };
        assert!(silent(&too_fast).is_err());
    }
}
