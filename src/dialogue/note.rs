//! The note before a sentence: the one step that the state says it should be about.
//!
//! A small model copies what stands right before its sentence, and hardly what stands in a list
//! hundreds of tokens back. So the layout opens an utterance with a line of its own, `[next] Slice
//! the tomato`, from states that the session knows and a recording's dialogue implies. The model
//! still decides when to speak and how.

use super::task::{StepState, Task, TaskState};
use crate::units::StepId;

/// What a sentence should be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A step has just begun that needs this one first.
    Before(StepId),
    /// This step is in progress.
    Now(StepId),
    /// Nothing is in progress; this one comes next.
    Next(StepId),
    /// All steps are completed.
    Done,
}

impl Note {
    /// The note of a frame with the states `before` its updates and those reached `now`. What a
    /// step that began in it needs comes first; then what is in progress, what was so before it
    /// first; then the first of the list that is not started.
    pub fn new(task: &Task, before: &TaskState, now: &TaskState) -> Self {
        let of = |wanted: StepState| {
            now.iter()
                .filter(move |(_, state)| *state == wanted)
                .map(|(step, _)| step)
        };
        let was = |step: &StepId, state: StepState| before.get(*step) == Some(state);
        let open = || of(StepState::InProgress);
        let begun = open().filter(|step| was(step, StepState::NotStarted));
        if let Some(missing) = begun
            .filter_map(|step| now.missing_before(task, step).first().copied())
            .last()
        {
            return Self::Before(missing);
        }
        if let Some(step) = open()
            .find(|step| was(step, StepState::InProgress))
            .or_else(|| open().next())
        {
            return Self::Now(step);
        }
        of(StepState::NotStarted)
            .next()
            .map_or(Self::Done, Self::Next)
    }

    /// The step that it names.
    pub fn step(self) -> Option<StepId> {
        match self {
            Self::Before(step) | Self::Now(step) | Self::Next(step) => Some(step),
            Self::Done => None,
        }
    }

    /// Its line.
    pub fn text(self, task: &Task) -> String {
        let name = self
            .step()
            .and_then(|step| task.steps.get(usize::from(step.0)))
            .map_or("", |step| step.name.as_str());
        match self {
            Self::Before(_) => format!("[before] {name}\n"),
            Self::Now(_) => format!("[now] {name}\n"),
            Self::Next(_) => format!("[next] {name}\n"),
            Self::Done => "[done]\n".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::task::Update;

    #[test]
    fn the_note_names_what_is_missing_then_what_is_going_on_then_what_comes() {
        let steps = "[[step]]\nname = \"a\"\n[[step]]\nname = \"b\"\n[[step]]\nname = \"c\"\nafter = [\"S1\"]\n";
        let task = Task::parse(&format!("goal = \"t\"\n{steps}")).unwrap();
        let mut state = TaskState::new(&task);
        let mut note = |updates: &[&str]| {
            let before = state.clone();
            for update in updates {
                state.apply(Update::parse(update).unwrap()).unwrap();
            }
            Note::new(&task, &before, &state).text(&task)
        };
        assert_eq!(note(&[]), "[next] a\n");
        assert_eq!(note(&["S3->start"]), "[before] a\n");
        assert_eq!(note(&[]), "[now] c\n", "told once");
        assert_eq!(
            note(&["S1->start"]),
            "[now] c\n",
            "what was going on before"
        );
        assert_eq!(note(&["S3->complete"]), "[now] a\n");
        assert_eq!(note(&["S1->complete"]), "[next] b\n");
        assert_eq!(note(&["S2->start"]), "[now] b\n");
        assert_eq!(note(&["S2->complete"]), "[done]\n");
    }
}
