//! The task as the session tracks it: the state, what the model knows of it, what can be taken back, what is amiss.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::dialogue::task::{StepState, Task, TaskState, Transition, Update};
use crate::error::{Error, Result};
use crate::stream::{Hand, StepInfo, WarningKind};
use crate::units::{MediaTime, StepId};

/// Changes that can be taken back at most: more than the updates of any task.
const UNDO_DEPTH_MAX: usize = 256;

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
    /// Steps whose absence has been told: once each.
    told: BTreeSet<StepId>,
}

impl Tracker {
    pub(super) fn new(task: Option<Task>) -> Self {
        let state = task.as_ref().map(TaskState::new).unwrap_or_default();
        Self { task, known: state.clone(), prompted: state.clone(), state, history: VecDeque::new(), told: BTreeSet::new() }
    }

    pub(super) fn task(&self) -> Option<&Task> {
        self.task.as_ref()
    }

    pub(super) fn state(&self) -> &TaskState {
        &self.state
    }

    /// The steps' states as the model takes them.
    pub(super) fn codes(&self) -> Arc<[u8]> {
        self.state.codes().into()
    }

    /// The same behind an update; as they are if it does not fit.
    pub(super) fn codes_behind(&self, update: Update) -> Arc<[u8]> {
        let mut state = self.state.clone();
        let _ = state.apply(update);
        state.codes().into()
    }

    /// Steps with their states, with or without their names.
    pub(super) fn steps(&self, named: bool) -> Vec<StepInfo> {
        let name = |step: StepId| Some(self.task.as_ref()?.steps.get(usize::from(step.0))?.name.clone());
        let info = |(id, state)| StepInfo { id, name: if named { name(id) } else { None }, state };
        self.state.iter().map(info).collect()
    }

    /// Applies what the model wrote, and tells what is amiss with it.
    pub(super) fn apply(&mut self, at: MediaTime, update: Update) -> Result<Vec<Amiss>, String> {
        let before = self.state.clone();
        self.state.apply(update)?;
        self.remember(at, before);
        if let Some(state) = self.state.get(update.step) {
            self.known.set(update.step, state);
        }
        let Some(task) = &self.task else { return Ok(Vec::new()) };
        Ok(match update.transition {
            Transition::Start => {
                let missing = self.state.missing_before(task, update.step);
                let amiss = Amiss { kind: WarningKind::OutOfOrder, step: update.step, missing };
                if amiss.missing.is_empty() { Vec::new() } else { vec![amiss] }
            }
            Transition::Complete => self.missed(update.step).into_iter().collect(),
        })
    }

    /// Checks that a hand can act at all.
    pub(super) fn check_hand(&self, hand: Hand) -> Result<()> {
        let Some(task) = &self.task else {
            return Err(Error::Invalid("a hand on the task's state, but there is no task".into()));
        };
        match hand {
            Hand::Mark(step, _) | Hand::Jump(step) if self.state.get(step).is_none() => {
                Err(Error::Invalid(format!("{step}: the task has {} steps", task.steps.len())))
            }
            _ => Ok(()),
        }
    }

    /// Does what the hand says; gives the steps set, or why nothing can be done.
    pub(super) fn hand(&mut self, at: MediaTime, hand: Hand) -> Result<Vec<(StepId, StepState)>, String> {
        let before = self.state.clone();
        match hand {
            Hand::Mark(step, state) => {
                self.state.set(step, state);
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
            Hand::Undo => (_, self.state) = self.history.pop_back().ok_or("there is nothing to take back")?,
        }
        Ok(difference(&before, &self.state))
    }

    /// Takes back every change made at `to` or later: the states as they were on the way there. Changes that
    /// were undone stay undone, and those that are too old to be undone stay.
    pub(super) fn go_back(&mut self, to: MediaTime) {
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

    /// What was never started although something that needs it was.
    pub(super) fn amiss_at_end(&mut self) -> Vec<Amiss> {
        let begun: Vec<StepId> =
            self.state.iter().filter(|(_, state)| *state != StepState::NotStarted).map(|(step, _)| step).collect();
        begun.into_iter().filter_map(|step| self.missed(step)).collect()
    }

    /// Prerequisites of a step, near and far, that were never started and have not been told yet.
    fn missed(&mut self, step: StepId) -> Option<Amiss> {
        let task = self.task.as_ref()?;
        let mut missing = BTreeSet::new();
        let mut open = vec![step];
        while let Some(next) = open.pop() {
            for before in &task.steps.get(usize::from(next.0))?.after {
                if self.state.get(*before) == Some(StepState::NotStarted) && missing.insert(*before) {
                    open.push(*before);
                }
            }
        }
        let missing: Vec<StepId> = missing.into_iter().filter(|step| self.told.insert(*step)).collect();
        (!missing.is_empty()).then_some(Amiss { kind: WarningKind::Missed, step, missing })
    }

    fn remember(&mut self, at: MediaTime, before: TaskState) {
        if self.history.len() == UNDO_DEPTH_MAX {
            self.history.pop_front();
        }
        self.history.push_back((at, before));
    }
}

fn difference(from: &TaskState, to: &TaskState) -> Vec<(StepId, StepState)> {
    to.iter().filter(|(step, state)| from.get(*step) != Some(*state)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker() -> Tracker {
        let task = "goal = \"g\"\n[[step]]\nname = \"a\"\n[[step]]\nname = \"b\"\nafter = [\"S1\"]\n\
                    [[step]]\nname = \"c\"\nafter = [\"S2\"]\n[[step]]\nname = \"d\"\nafter = [\"S2\"]\n";
        Tracker::new(Some(Task::parse(task).unwrap()))
    }

    fn go(tracker: &mut Tracker, text: &str) -> Vec<String> {
        let amiss = tracker.apply(MediaTime(1.0), Update::parse(text).unwrap()).unwrap();
        amiss.iter().map(tell).collect()
    }

    fn tell(amiss: &Amiss) -> String {
        let missing: Vec<String> = amiss.missing.iter().map(StepId::to_string).collect();
        format!("{:?} {} {}", amiss.kind, amiss.step, missing.join(","))
    }

    #[test]
    fn out_of_order_and_missed_are_told_and_missed_only_once() {
        let mut t = tracker();
        assert_eq!(go(&mut t, "S3->start"), ["OutOfOrder S3 S2"]);
        assert_eq!(go(&mut t, "S3->complete"), ["Missed S3 S1,S2"]);
        assert_eq!(go(&mut t, "S4->start"), ["OutOfOrder S4 S2"]);
        assert_eq!(go(&mut t, "S4->complete"), [""; 0]);
        assert_eq!(t.amiss_at_end(), []);
    }

    #[test]
    fn a_step_begun_without_its_prerequisite_is_told_at_the_end() {
        let mut t = tracker();
        go(&mut t, "S2->start");
        assert_eq!(t.amiss_at_end().iter().map(tell).collect::<Vec<_>>(), ["Missed S2 S1"]);
        assert_eq!(t.amiss_at_end(), []);
    }

    #[test]
    fn hands_change_the_state_and_the_model_has_to_be_told() {
        let mut t = tracker();
        go(&mut t, "S1->start");
        assert_eq!(t.untold(), []);
        let jumped = t.hand(MediaTime(2.0), Hand::Jump(StepId(2))).unwrap();
        let done = StepState::Completed;
        assert_eq!(jumped, [(StepId(0), done), (StepId(1), done), (StepId(2), StepState::InProgress)]);
        assert_eq!(t.untold(), jumped);
        t.tell_all();
        assert_eq!(t.hand(MediaTime(2.0), Hand::Undo).unwrap().len(), 3);
        assert_eq!(t.state().get(StepId(0)), Some(StepState::InProgress));
        assert_eq!(t.hand(MediaTime(2.0), Hand::Undo).unwrap(), [(StepId(0), StepState::NotStarted)]);
        assert!(t.hand(MediaTime(2.0), Hand::Undo).is_err());
        assert_eq!(t.hand(MediaTime(2.0), Hand::Mark(StepId(3), StepState::NotStarted)).unwrap().len(), 1);
        assert!(t.hand(MediaTime(2.0), Hand::Undo).is_err(), "marking what is so already is no change");
    }

    #[test]
    fn going_back_takes_back_what_came_later_and_not_what_was_undone() {
        let mut t = tracker();
        t.apply(MediaTime(1.0), Update::parse("S1->start").unwrap()).unwrap();
        t.hand(MediaTime(2.0), Hand::Mark(StepId(3), StepState::Completed)).unwrap();
        t.hand(MediaTime(3.0), Hand::Undo).unwrap();
        t.apply(MediaTime(4.0), Update::parse("S1->complete").unwrap()).unwrap();
        t.go_back(MediaTime(9.0));
        assert_eq!(t.state().get(StepId(0)), Some(StepState::Completed));
        t.go_back(MediaTime(4.0));
        assert_eq!(t.state().get(StepId(0)), Some(StepState::InProgress), "the frame there is looked at again");
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
        assert!(tracker().check_hand(Hand::Mark(StepId(9), StepState::Completed)).is_err());
        assert!(Tracker::new(None).check_hand(Hand::Undo).is_err());
    }
}
