//! A task and where the person is in it: steps, their states, what may change, what is amiss.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::units::StepId;

/// Most steps in a task: ids must fit the prompt, and a task file is untrusted.
pub const STEPS_MAX: usize = 99;

/// State of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Nothing done yet.
    #[default]
    NotStarted,
    /// Being done.
    InProgress,
    /// Done.
    Completed,
}

impl StepState {
    /// Every state, in the order in which a step goes through them.
    pub const ALL: [Self; 3] = [Self::NotStarted, Self::InProgress, Self::Completed];

    /// The word that stands in the prompt and in files.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
        }
    }
}

/// A change of a step's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// not_started -> in_progress.
    Start,
    /// in_progress -> completed.
    Complete,
}

impl Transition {
    /// The word in `S3->complete`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Complete => "complete",
        }
    }
}

/// One update of the task state, written `S3->complete`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Update {
    /// Which step.
    pub step: StepId,
    /// What happened to it.
    pub transition: Transition,
}

impl std::fmt::Display for Update {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}->{}", self.step, self.transition.word())
    }
}

impl Update {
    /// Reads exactly what `Display` writes; anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let (step, transition) = text.split_once("->")?;
        let transition = match transition {
            "start" => Transition::Start,
            "complete" => Transition::Complete,
            _ => return None,
        };
        Some(Self {
            step: StepId::parse(step)?,
            transition,
        })
    }
}

/// A step of the task file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What to do, in words.
    pub name: String,
    /// Steps that have to be completed before.
    pub after: Vec<StepId>,
    /// The same in other words: the towers learn from them, all else goes by the name.
    pub paraphrases: Vec<String>,
}

impl Step {
    /// A step without paraphrases.
    pub fn new(name: impl Into<String>, after: Vec<StepId>) -> Self {
        Self {
            name: name.into(),
            after,
            paraphrases: Vec::new(),
        }
    }

    /// All sentences for it: paraphrases and name.
    pub fn wordings(&self) -> impl Iterator<Item = &String> {
        self.paraphrases.iter().chain([&self.name])
    }
}

/// What the person wants to do: the task file (TOML).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// The goal, in words.
    pub goal: String,
    /// Anything the assistant should know, in words.
    pub knowledge: Option<String>,
    /// Steps in their usual order; `StepId(i)` is `steps[i]`.
    pub steps: Vec<Step>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskFile {
    goal: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    knowledge: Option<String>,
    #[serde(default)]
    step: Vec<StepEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<StepId>,
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    after: Vec<StepId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    paraphrases: Vec<String>,
}

impl Task {
    /// Reads a task file.
    ///
    /// # Errors
    /// Unreadable file, unknown keys, ids out of order, unknown or circular prerequisites, too many
    /// steps.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Self::parse(&text).map_err(|why| Error::format(path, why))
    }

    /// Reads a task from TOML.
    ///
    /// # Errors
    /// The reason, in words, without the file's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: TaskFile = toml::from_str(text).map_err(|e| e.to_string())?;
        let mut steps = Vec::with_capacity(file.step.len());
        for (i, entry) in file.step.into_iter().enumerate() {
            let id = StepId(u16::try_from(i).map_err(|_| "too many steps".to_owned())?);
            if entry.id.is_some_and(|given| given != id) {
                let given = entry.id.unwrap_or(id);
                return Err(format!(
                    "[[step]] number {}: id is {given}, expected {id} (ids are S1, S2, … in order)",
                    i + 1
                ));
            }
            let line = |key: &str, text: &str| -> Result<String, String> {
                let text = text.trim();
                let whole = !text.is_empty() && !text.contains(['\n', '\r']);
                whole
                    .then(|| text.to_owned())
                    .ok_or_else(|| format!("{id}: {key} must be one line of words"))
            };
            let paraphrases = entry
                .paraphrases
                .iter()
                .map(|text| line("each of paraphrases", text))
                .collect::<Result<_, _>>()?;
            steps.push(Step {
                name: line("name", &entry.name)?,
                after: entry.after,
                paraphrases,
            });
        }
        let task = Self {
            goal: file.goal.trim().to_owned(),
            knowledge: file.knowledge,
            steps,
        };
        task.check()?;
        Ok(task)
    }

    /// The task as the TOML that [`Task::parse`] reads.
    pub fn to_toml(&self) -> String {
        let step = self.steps.iter().enumerate().map(|(i, s)| StepEntry {
            id: Some(StepId(i as u16)),
            name: s.name.clone(),
            after: s.after.clone(),
            paraphrases: s.paraphrases.clone(),
        });
        let file = TaskFile {
            goal: self.goal.clone(),
            knowledge: self.knowledge.clone(),
            step: step.collect(),
        };
        toml::to_string(&file).expect("a task is plain TOML")
    }

    /// Ids with their steps, in order.
    pub fn iter(&self) -> impl Iterator<Item = (StepId, &Step)> {
        self.steps
            .iter()
            .enumerate()
            .map(|(i, s)| (StepId(i as u16), s))
    }

    fn check(&self) -> Result<(), String> {
        if self.goal.is_empty() {
            return Err("goal is empty; say in words what the person wants to do".into());
        }
        if self.steps.len() > STEPS_MAX {
            return Err(format!("{} steps; at most {STEPS_MAX}", self.steps.len()));
        }
        for (id, step) in self.iter() {
            for before in &step.after {
                if usize::from(before.0) >= self.steps.len() {
                    return Err(format!(
                        "{id}: after names {before}, but the task has {} steps",
                        self.steps.len()
                    ));
                }
            }
        }
        // Kahn's algorithm: what cannot be peeled off stands on a circle.
        let mut open: Vec<StepId> = self.iter().map(|(id, _)| id).collect();
        loop {
            let still: Vec<StepId> = open
                .iter()
                .copied()
                .filter(|id| {
                    self.steps[usize::from(id.0)]
                        .after
                        .iter()
                        .any(|b| open.contains(b))
                })
                .collect();
            if still.is_empty() {
                return Ok(());
            }
            if still.len() == open.len() {
                return Err(format!(
                    "{}: its prerequisites (`after`) form a circle",
                    still[0]
                ));
            }
            open = still;
        }
    }
}

/// Where the person is in a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskState {
    states: Vec<StepState>,
}

impl TaskState {
    /// Every step not started.
    pub fn new(task: &Task) -> Self {
        Self::uniform(task, StepState::NotStarted)
    }

    /// Every step in the same state.
    pub fn uniform(task: &Task, state: StepState) -> Self {
        Self {
            states: vec![state; task.steps.len()],
        }
    }

    /// State of a step; `None` when the task has no such step.
    pub fn get(&self, step: StepId) -> Option<StepState> {
        self.states.get(usize::from(step.0)).copied()
    }

    /// Sets a step by hand. `false` when the task has no such step.
    pub fn set(&mut self, step: StepId, state: StepState) -> bool {
        self.states
            .get_mut(usize::from(step.0))
            .map(|s| *s = state)
            .is_some()
    }

    /// Ids with their states, in order.
    pub fn iter(&self) -> impl Iterator<Item = (StepId, StepState)> + '_ {
        self.states
            .iter()
            .enumerate()
            .map(|(i, s)| (StepId(i as u16), *s))
    }

    /// The states in the steps' order.
    pub fn states(&self) -> &[StepState] {
        &self.states
    }

    /// Updates that the state allows now: start what is not started, complete what is in progress.
    pub fn allowed(&self) -> Vec<Update> {
        self.iter()
            .filter_map(|(step, state)| match state {
                StepState::NotStarted => Some(Update {
                    step,
                    transition: Transition::Start,
                }),
                StepState::InProgress => Some(Update {
                    step,
                    transition: Transition::Complete,
                }),
                StepState::Completed => None,
            })
            .collect()
    }

    /// Applies an update.
    ///
    /// # Errors
    /// The reason, in words, when the state does not allow it; the state is then unchanged.
    pub fn apply(&mut self, update: Update) -> Result<(), String> {
        let Some(state) = self.states.get_mut(usize::from(update.step.0)) else {
            return Err(format!("the task has no step {}", update.step));
        };
        *state = match (*state, update.transition) {
            (StepState::NotStarted, Transition::Start) => StepState::InProgress,
            (StepState::InProgress, Transition::Complete) => StepState::Completed,
            (now, _) => return Err(format!("{} is {}", update.step, now.word())),
        };
        Ok(())
    }

    /// Prerequisites of `step` that are not completed: why starting it now is out of order.
    pub fn missing_before(&self, task: &Task, step: StepId) -> Vec<StepId> {
        let Some(entry) = task.steps.get(usize::from(step.0)) else {
            return Vec::new();
        };
        entry
            .after
            .iter()
            .copied()
            .filter(|b| self.get(*b) != Some(StepState::Completed))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "goal = \"tea\"\n[[step]]\nname = \"Boil water\"\n[[step]]\nid = \"S2\"\nname = \"Pour\"\nafter = [\"S1\"]\n";

    #[test]
    fn a_task_round_trips() {
        let task = Task::parse(TASK).unwrap();
        assert_eq!(task.steps[1].after, [StepId(0)]);
        assert_eq!(Task::parse(&task.to_toml()).unwrap(), task);
        let said = Task::parse("goal = \"g\"\n[[step]]\nname = \"Stir\"\nparaphrases = [\" Stir well \", \"Keep stirring\"]\n").unwrap();
        assert_eq!(said.steps[0].paraphrases, ["Stir well", "Keep stirring"]);
        assert_eq!(Task::parse(&said.to_toml()).unwrap(), said);
        let why = Task::parse("goal = \"g\"\n[[step]]\nname = \"Stir\"\nparaphrases = [\"\"]\n")
            .unwrap_err();
        assert!(why.contains("S1") && why.contains("paraphrases"), "{why}");
    }

    #[test]
    fn a_bad_task_is_an_error_that_names_the_key() {
        let cases = [
            ("goal = \"\"", "goal is empty"),
            ("goal = \"x\"\nfoo = 1", "foo"),
            (
                "goal = \"x\"\n[[step]]\nid = \"S2\"\nname = \"a\"",
                "expected S1",
            ),
            (
                "goal = \"x\"\n[[step]]\nname = \"a\"\nafter = [\"S9\"]",
                "S9",
            ),
            (
                "goal = \"x\"\n[[step]]\nname = \"a\"\nafter = [\"S2\"]\n[[step]]\nname = \"b\"\nafter = [\"S1\"]",
                "circle",
            ),
            ("goal = \"x\"\n[[step]]\nname = \" \"", "name"),
        ];
        for (text, word) in cases {
            let why = Task::parse(text).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }

    #[test]
    fn only_the_two_transitions_are_allowed_and_each_once() {
        let task = Task::parse(TASK).unwrap();
        let mut state = TaskState::new(&task);
        let start = Update::parse("S2->start").unwrap();
        let complete = Update::parse("S2->complete").unwrap();
        assert!(state.apply(complete).is_err());
        assert_eq!(state.missing_before(&task, StepId(1)), [StepId(0)]);
        state.apply(start).unwrap();
        assert!(state.apply(start).is_err());
        assert_eq!(
            state.allowed(),
            [Update::parse("S1->start").unwrap(), complete]
        );
        state.apply(complete).unwrap();
        assert!(state.apply(complete).is_err());
        assert!(state.apply(Update::parse("S3->start").unwrap()).is_err());
    }

    #[test]
    fn update_text_is_exact() {
        for bad in [
            "S1-> start",
            "S1->done",
            "s1->start",
            "S1→start",
            "S1->start ",
            "->start",
            "S1->",
        ] {
            assert_eq!(Update::parse(bad), None, "{bad:?}");
        }
    }
}
