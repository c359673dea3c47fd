//! The task as the session tracks it: the state, what the model knows of it, what can be taken
//! back, what is amiss.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::beginnings::Beginnings;
use super::config::SessionConfig;
use super::glimpses::Glimpses;
use super::sightings::Sightings;
use crate::dialogue::task::{StepState, Task, TaskState, Transition, Update};
use crate::error::{Error, Result};
use crate::stream::{Hand, StepInfo, WarningKind};
use crate::units::{MediaTime, Prob, StepId};

/// Changes that can be taken back at most: more than the updates of any task.
const UNDO_DEPTH_MAX: usize = 256;

/// A step is told as left out only when nothing has changed for this long, in seconds: a person
/// who goes back for it does so at once.
const SETTLED_S: f64 = 5.0;

/// Something odd about the order of steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Amiss {
    pub(super) kind: WarningKind,
    pub(super) step: StepId,
    pub(super) missing: Vec<StepId>,
}

/// The state of the task through the session.
#[derive(Clone, Debug)]
pub(super) struct Tracker {
    task: Option<Task>,
    state: TaskState,
    /// The state as prompt, updates and notes have told the model.
    known: TaskState,
    /// The state as the prompt alone tells it.
    prompted: TaskState,
    /// When each change was made and the states before it, the oldest first.
    history: VecDeque<(MediaTime, TaskState)>,
    /// Steps that have been told as left out: once each.
    told: BTreeSet<StepId>,
    /// When a step changed last.
    changed_at: Option<MediaTime>,
    /// What was seen and not noted.
    sightings: Sightings,
    /// What was seen last.
    glimpses: Glimpses,
    /// What was seen when steps began.
    beginnings: Beginnings,
}

impl Tracker {
    pub(super) fn new(task: Option<Task>, config: &SessionConfig) -> Self {
        let state = task.as_ref().map(TaskState::new).unwrap_or_default();
        Self {
            task,
            known: state.clone(),
            prompted: state.clone(),
            state,
            history: VecDeque::new(),
            told: BTreeSet::new(),
            changed_at: None,
            sightings: Sightings::new(config.missing_seen_s_max),
            glimpses: Glimpses::new(config.start_cosine_gap_max),
            beginnings: Beginnings::new(config.same_picture_cosine_min),
        }
    }

    /// Sees a frame: its features `[V*Dv]` and cosines `[S+1]` with the steps' words, empty where
    /// nothing compares them.
    pub(super) fn see(&mut self, at: MediaTime, features: &Arc<[f32]>, cosines: &[f32]) {
        self.sightings.add(at, cosines, &self.state);
        self.glimpses.add(at, cosines);
        self.beginnings.see(features);
    }

    pub(super) fn task(&self) -> Option<&Task> {
        self.task.as_ref()
    }

    pub(super) fn state(&self) -> &TaskState {
        &self.state
    }

    /// The steps' states as the model takes them.
    pub(super) fn states(&self) -> Arc<[StepState]> {
        self.state.states().into()
    }

    /// The same behind an update; as they are if it does not fit.
    pub(super) fn states_behind(&self, update: Update) -> Arc<[StepState]> {
        let mut state = self.state.clone();
        let _ = state.apply(update);
        state.states().into()
    }

    /// Steps with their states, with or without their names.
    pub(super) fn steps(&self, named: bool) -> Vec<StepInfo> {
        let name = |step: StepId| {
            Some(
                self.task
                    .as_ref()?
                    .steps
                    .get(usize::from(step.0))?
                    .name
                    .clone(),
            )
        };
        let info = |(id, state)| StepInfo {
            id,
            name: if named { name(id) } else { None },
            state,
        };
        self.state.iter().map(info).collect()
    }

    /// Why an update that the state allows is not believed: a step that nothing in view looks like,
    /// or one before its turn, begun with a picture that began another.
    pub(super) fn doubt(&mut self, at: MediaTime, update: Update) -> Option<String> {
        let task = self
            .task
            .as_ref()
            .filter(|_| update.transition == Transition::Start)?;
        if self.glimpses.lack(update.step) && !self.sightings.was_seen(update.step) {
            self.glimpses.refuse(at, update.step);
            return Some(format!(
                "nothing in the last seconds looked like {}",
                update.step
            ));
        }
        if self.state.missing_before(task, update.step).is_empty() {
            return None;
        }
        let of = self.beginnings.of_this_picture(update.step, &self.state)?;
        Some(format!(
            "{} before its turn, and the picture is still like that in which {of} began",
            update.step
        ))
    }

    /// Takes the update gate's probability at a frame; gives a start that was refused as
    /// [`Tracker::doubt`] does, and that the model insists on.
    pub(super) fn insisted(&mut self, at: MediaTime, prob: Prob) -> Option<Update> {
        self.glimpses.hear(at, prob).map(|step| Update {
            step,
            transition: Transition::Start,
        })
    }

    /// Applies what the model wrote, and tells what is amiss with it.
    pub(super) fn apply(&mut self, at: MediaTime, update: Update) -> Result<Vec<Amiss>, String> {
        let before = self.state.clone();
        self.state.apply(update)?;
        self.remember(at, before);
        if update.transition == Transition::Start {
            self.beginnings.add(at, update.step);
        }
        if let Some(state) = self.state.get(update.step) {
            self.known.set(update.step, state);
        }
        let Some(task) = &self.task else {
            return Ok(Vec::new());
        };
        Ok(match update.transition {
            Transition::Start => {
                let mut missing = self.state.missing_before(task, update.step);
                missing.retain(|step| {
                    self.state.get(*step) == Some(StepState::InProgress)
                        || !self.sightings.was_seen(*step)
                });
                let amiss = Amiss {
                    kind: WarningKind::OutOfOrder,
                    step: update.step,
                    missing,
                };
                if amiss.missing.is_empty() {
                    Vec::new()
                } else {
                    vec![amiss]
                }
            }
            // What it lacks may still come; `left_out` tells of it when it does not.
            Transition::Complete => Vec::new(),
        })
    }

    /// Checks that a hand can act at all.
    pub(super) fn check_hand(&self, hand: Hand) -> Result<()> {
        let Some(task) = &self.task else {
            return Err(Error::Invalid(
                "a hand on the task's state, but there is no task".into(),
            ));
        };
        match hand {
            Hand::Mark(step, _) | Hand::Jump(step) if self.state.get(step).is_none() => Err(
                Error::Invalid(format!("{step}: the task has {} steps", task.steps.len())),
            ),
            _ => Ok(()),
        }
    }

    /// Does what the hand says; gives the steps set, or why nothing can be done.
    pub(super) fn hand(
        &mut self,
        at: MediaTime,
        hand: Hand,
    ) -> Result<Vec<(StepId, StepState)>, String> {
        let before = self.state.clone();
        match hand {
            Hand::Mark(step, state) => {
                self.state.set(step, state);
                if state == StepState::NotStarted {
                    self.sightings.forget(step);
                }
                if self.state != before {
                    self.remember(at, before);
                }
                return Ok(vec![(step, state)]);
            }
            Hand::Jump(to) => {
                for step in (0..to.0).map(StepId) {
                    self.state.set(step, StepState::Completed);
                }
                self.state.set(to, StepState::InProgress);
                if self.state != before {
                    self.remember(at, before.clone());
                }
            }
            Hand::Undo => {
                (_, self.state) = self
                    .history
                    .pop_back()
                    .ok_or("there is nothing to take back")?;
                self.glimpses.settle();
            }
        }
        Ok(difference(&before, &self.state))
    }

    /// Takes back every change made at `to` or later: the states as they were on the way there.
    /// Changes that were undone stay undone, and those that are too old to be undone stay.
    pub(super) fn go_back(&mut self, to: MediaTime) {
        self.sightings.go_back(to);
        self.glimpses.go_back(to);
        self.beginnings.go_back(to);
        while self.history.back().is_some_and(|(at, _)| *at >= to) {
            if let Some((_, before)) = self.history.pop_back() {
                self.state = before;
                // What is missing may be missed again.
                self.told.clear();
            }
        }
    }

    /// States that the model has not been told.
    pub(super) fn untold(&self) -> Vec<(StepId, StepState)> {
        difference(&self.known, &self.state)
    }

    /// The model has been told all.
    pub(super) fn tell_all(&mut self) {
        self.known = self.state.clone();
    }

    /// The model has been told all, by a new prompt.
    pub(super) fn tell_in_prompt(&mut self) {
        self.prompted = self.state.clone();
        self.tell_all();
    }

    /// What the model was told since its prompt has been dropped.
    pub(super) fn forget_told(&mut self) {
        self.known = self.prompted.clone();
    }

    /// Steps that were never begun though the task is over: its final steps (those that no other
    /// needs) are all completed, nothing is being done, and it has stayed so for [`SETTLED_S`].
    pub(super) fn left_out(&mut self, at: MediaTime) -> Vec<Amiss> {
        let Some(task) = &self.task else {
            return Vec::new();
        };
        let settled = self
            .changed_at
            .is_some_and(|last| at.0 - last.0 >= SETTLED_S);
        let idle = self
            .state
            .iter()
            .all(|(_, state)| state != StepState::InProgress);
        let finals: Vec<StepId> = finals(task).collect();
        let done = |step: &StepId| self.state.get(*step) == Some(StepState::Completed);
        let over = settled && idle && !finals.is_empty() && finals.iter().all(done);
        if over {
            self.missed(|_| true)
        } else {
            Vec::new()
        }
    }

    /// Steps that were never begun when the session ends: all of them if a final step or half of
    /// the steps were begun, for then the task was meant to be done; else those that something
    /// which was begun needs.
    pub(super) fn amiss_at_end(&mut self) -> Vec<Amiss> {
        let Some(task) = &self.task else {
            return Vec::new();
        };
        let begun = |step| {
            self.state
                .get(step)
                .is_some_and(|state| state != StepState::NotStarted)
        };
        let steps_begun = task.iter().filter(|(step, _)| begun(*step)).count();
        let finals: Vec<StepId> = finals(task).collect();
        if !finals.is_empty()
            && (2 * steps_begun >= task.steps.len() || finals.into_iter().any(begun))
        {
            return self.missed(|_| true);
        }
        let mut needed = BTreeSet::new();
        let mut open: Vec<StepId> = task
            .iter()
            .map(|(step, _)| step)
            .filter(|step| begun(*step))
            .collect();
        while let Some(next) = open.pop() {
            let before = task
                .steps
                .get(usize::from(next.0))
                .map_or(&[][..], |step| &step.after);
            open.extend(
                before
                    .iter()
                    .copied()
                    .filter(|before| needed.insert(*before)),
            );
        }
        self.missed(|step| needed.contains(&step))
    }

    /// A resumed session has told this before.
    pub(super) fn was_told(&mut self, missing: &[StepId]) {
        self.told.extend(missing);
    }

    /// Steps of a kind that were never begun nor seen and have not been told yet, a warning each.
    fn missed(&mut self, of: impl Fn(StepId) -> bool) -> Vec<Amiss> {
        let never = self
            .state
            .iter()
            .filter(|(step, state)| *state == StepState::NotStarted && of(*step));
        let new: Vec<StepId> = never
            .map(|(step, _)| step)
            .filter(|step| !self.told.contains(step) && !self.sightings.was_seen(*step))
            .collect();
        self.told.extend(&new);
        new.into_iter()
            .map(|step| Amiss {
                kind: WarningKind::Missed,
                step,
                missing: vec![step],
            })
            .collect()
    }

    fn remember(&mut self, at: MediaTime, before: TaskState) {
        self.glimpses.settle();
        self.changed_at = Some(at);
        if self.history.len() == UNDO_DEPTH_MAX {
            self.history.pop_front();
        }
        self.history.push_back((at, before));
    }
}

/// Steps that no other step needs. A task that names no prerequisites at all says nothing about
/// order, and has none.
fn finals(task: &Task) -> impl Iterator<Item = StepId> + '_ {
    let ordered = task.steps.iter().any(|step| !step.after.is_empty());
    let needed = |id: StepId| task.steps.iter().any(|step| step.after.contains(&id));
    task.iter()
        .map(|(step, _)| step)
        .filter(move |step| ordered && !needed(*step))
}

fn difference(from: &TaskState, to: &TaskState) -> Vec<(StepId, StepState)> {
    to.iter()
        .filter(|(step, state)| from.get(*step) != Some(*state))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker() -> Tracker {
        let task = "goal = \"g\"\n[[step]]\nname = \"a\"\n[[step]]\nname = \"b\"\nafter = [\"S1\"]\n\
                    [[step]]\nname = \"c\"\nafter = [\"S2\"]\n[[step]]\nname = \"d\"\nafter = [\"S2\"]\n";
        Tracker::new(Some(Task::parse(task).unwrap()), &SessionConfig::default())
    }

    fn go(tracker: &mut Tracker, text: &str) -> Vec<String> {
        let amiss = tracker
            .apply(MediaTime(1.0), Update::parse(text).unwrap())
            .unwrap();
        amiss.iter().map(tell).collect()
    }

    fn tell(amiss: &Amiss) -> String {
        let missing: Vec<String> = amiss.missing.iter().map(StepId::to_string).collect();
        format!("{:?} {} {}", amiss.kind, amiss.step, missing.join(","))
    }

    fn told(amiss: &[Amiss]) -> Vec<String> {
        amiss.iter().map(tell).collect()
    }

    /// Features of a frame without a picture.
    const NOTHING: [f32; 2] = [0.0, 0.0];

    #[test]
    fn a_step_before_its_turn_is_doubted_while_the_picture_is_that_in_which_another_began() {
        let (mut t, doubt) = (tracker(), |t: &mut Tracker, text: &str| {
            t.doubt(MediaTime(9.0), Update::parse(text).unwrap())
        });
        t.see(MediaTime(0.0), &[1.0, 0.0].into(), &[]);
        go(&mut t, "S1->start");
        t.see(MediaTime(0.5), &[1.0, 0.1].into(), &[]);
        let why = doubt(&mut t, "S3->start").unwrap();
        assert!(
            why.contains("S3 before its turn") && why.contains("S1 began"),
            "{why}"
        );
        assert_eq!(
            doubt(&mut t, "S1->complete"),
            None,
            "what ends may look as it began"
        );
        t.see(MediaTime(1.0), &[0.5, 1.0].into(), &[]);
        assert_eq!(doubt(&mut t, "S3->start"), None, "another picture");
        t.see(MediaTime(1.5), &[1.0, 0.1].into(), &[]);
        go(&mut t, "S1->complete");
        assert_eq!(
            ["S2->start", "S3->start"].map(|text| doubt(&mut t, text)),
            [None, None],
            "S1 is no longer being done"
        );
        go(&mut t, "S2->start");
        go(&mut t, "S2->complete");
        go(&mut t, "S4->start");
        assert_eq!(doubt(&mut t, "S3->start"), None, "it is its turn");
        assert_eq!(
            Tracker::new(None, &SessionConfig::default())
                .doubt(MediaTime(0.0), Update::parse("S1->start").unwrap()),
            None
        );
    }

    #[test]
    fn what_begins_too_early_is_told_at_once_and_what_was_left_out_when_the_task_is_over() {
        let mut t = tracker();
        assert_eq!(go(&mut t, "S3->start"), ["OutOfOrder S3 S2"]);
        assert_eq!(
            go(&mut t, "S3->complete"),
            [""; 0],
            "S1 and S2 may still come"
        );
        assert_eq!(go(&mut t, "S4->start"), ["OutOfOrder S4 S2"]);
        assert_eq!(t.left_out(MediaTime(60.0)), [], "S4 is being done");
        assert_eq!(go(&mut t, "S4->complete"), [""; 0]);
        assert_eq!(
            t.left_out(MediaTime(1.0 + SETTLED_S - 0.1)),
            [],
            "the wearer may just be going back for it"
        );
        assert_eq!(
            told(&t.left_out(MediaTime(1.0 + SETTLED_S))),
            ["Missed S1 S1", "Missed S2 S2"]
        );
        assert_eq!(t.left_out(MediaTime(99.0)), [], "once each");
        assert_eq!(t.amiss_at_end(), []);
    }

    #[test]
    fn what_comes_late_was_not_left_out() {
        let mut t = tracker();
        for text in [
            "S3->start",
            "S3->complete",
            "S4->start",
            "S4->complete",
            "S2->start",
        ] {
            go(&mut t, text);
        }
        assert_eq!(t.left_out(MediaTime(60.0)), [], "S2 is being done");
        go(&mut t, "S2->complete");
        assert_eq!(told(&t.left_out(MediaTime(60.0))), ["Missed S1 S1"]);
    }

    #[test]
    fn what_was_seen_is_not_missing_though_it_was_never_noted() {
        // Frames that fit the words of S2 best, or of no step.
        let saw = |frames: usize| {
            let mut t = tracker();
            for frame in 0..=frames {
                t.see(
                    MediaTime(frame as f64 / 2.0),
                    &NOTHING.into(),
                    &if frame == 0 {
                        [0.0, 0.0, 0.0, 0.0, 1.0]
                    } else {
                        [0.0, 1.0, 0.0, 0.0, 0.0]
                    },
                );
            }
            t
        };
        for (frames, missing) in [(2, vec!["OutOfOrder S3 S2"]), (3, vec![])] {
            assert_eq!(
                go(&mut saw(frames), "S3->start"),
                missing,
                "{frames} frames"
            );
        }
        let mut t = saw(4);
        t.hand(MediaTime(9.0), Hand::Mark(StepId(1), StepState::NotStarted))
            .unwrap();
        assert_eq!(
            go(&mut t, "S3->start"),
            ["OutOfOrder S3 S2"],
            "a person knows better"
        );
        let mut t = saw(4);
        go(&mut t, "S3->start");
        go(&mut t, "S3->complete");
        assert_eq!(told(&t.amiss_at_end()), ["Missed S1 S1", "Missed S4 S4"]);
        let mut t = saw(4);
        go(&mut t, "S2->start");
        assert_eq!(
            go(&mut t, "S3->start"),
            ["OutOfOrder S3 S2"],
            "it is known to go on"
        );
    }

    #[test]
    fn at_the_end_it_depends_on_how_far_the_task_went() {
        let mut t = tracker();
        go(&mut t, "S2->start");
        assert_eq!(
            told(&t.amiss_at_end()),
            ["Missed S1 S1"],
            "S3 and S4 were not come to"
        );
        assert_eq!(t.amiss_at_end(), []);
        let mut t = tracker();
        for text in [
            "S1->start",
            "S1->complete",
            "S2->start",
            "S2->complete",
            "S4->start",
        ] {
            go(&mut t, text);
        }
        assert_eq!(
            told(&t.amiss_at_end()),
            ["Missed S3 S3"],
            "S4 ends the task"
        );
        let mut t = tracker();
        for text in ["S1->start", "S1->complete", "S2->start"] {
            go(&mut t, text);
        }
        assert_eq!(
            told(&t.amiss_at_end()),
            ["Missed S3 S3", "Missed S4 S4"],
            "half of it was begun"
        );
        let mut t = tracker();
        t.was_told(&[StepId(0)]);
        go(&mut t, "S2->start");
        assert_eq!(t.amiss_at_end(), []);
        // Without a word about the order nothing is known to be left out.
        let mut t = Tracker::new(
            Some(
                Task::parse("goal = \"g\"\n[[step]]\nname = \"a\"\n[[step]]\nname = \"b\"\n")
                    .unwrap(),
            ),
            &SessionConfig::default(),
        );
        go(&mut t, "S2->start");
        go(&mut t, "S2->complete");
        assert_eq!(
            (t.left_out(MediaTime(60.0)), t.amiss_at_end()),
            (vec![], vec![])
        );
    }

    #[test]
    fn hands_change_the_state_and_the_model_has_to_be_told() {
        let mut t = tracker();
        go(&mut t, "S1->start");
        assert_eq!(t.untold(), []);
        let jumped = t.hand(MediaTime(2.0), Hand::Jump(StepId(2))).unwrap();
        let done = StepState::Completed;
        assert_eq!(
            jumped,
            [
                (StepId(0), done),
                (StepId(1), done),
                (StepId(2), StepState::InProgress)
            ]
        );
        assert_eq!(t.untold(), jumped);
        t.tell_all();
        assert_eq!(t.hand(MediaTime(2.0), Hand::Undo).unwrap().len(), 3);
        assert_eq!(t.state().get(StepId(0)), Some(StepState::InProgress));
        assert_eq!(
            t.hand(MediaTime(2.0), Hand::Undo).unwrap(),
            [(StepId(0), StepState::NotStarted)]
        );
        assert!(t.hand(MediaTime(2.0), Hand::Undo).is_err());
        assert_eq!(
            t.hand(MediaTime(2.0), Hand::Mark(StepId(3), StepState::NotStarted))
                .unwrap()
                .len(),
            1
        );
        assert!(
            t.hand(MediaTime(2.0), Hand::Undo).is_err(),
            "marking what is so already is no change"
        );
    }

    #[test]
    fn going_back_takes_back_what_came_later_and_not_what_was_undone() {
        let mut t = tracker();
        t.apply(MediaTime(1.0), Update::parse("S1->start").unwrap())
            .unwrap();
        t.hand(MediaTime(2.0), Hand::Mark(StepId(3), StepState::Completed))
            .unwrap();
        t.hand(MediaTime(3.0), Hand::Undo).unwrap();
        t.apply(MediaTime(4.0), Update::parse("S1->complete").unwrap())
            .unwrap();
        t.go_back(MediaTime(9.0));
        assert_eq!(t.state().get(StepId(0)), Some(StepState::Completed));
        t.go_back(MediaTime(4.0));
        assert_eq!(
            t.state().get(StepId(0)),
            Some(StepState::InProgress),
            "the frame there is looked at again"
        );
        t.go_back(MediaTime(2.5));
        assert_eq!(t.state().get(StepId(3)), Some(StepState::NotStarted));
        t.go_back(MediaTime(0.0));
        assert_eq!(t.state().get(StepId(0)), Some(StepState::NotStarted));
        assert!(t.hand(MediaTime(0.0), Hand::Undo).is_err());
    }

    #[test]
    fn hands_need_a_task_and_a_step() {
        assert!(tracker().check_hand(Hand::Jump(StepId(3))).is_ok());
        assert!(tracker().check_hand(Hand::Jump(StepId(4))).is_err());
        assert!(
            tracker()
                .check_hand(Hand::Mark(StepId(9), StepState::Completed))
                .is_err()
        );
        assert!(
            Tracker::new(None, &SessionConfig::default())
                .check_hand(Hand::Undo)
                .is_err()
        );
    }
}
