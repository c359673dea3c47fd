//! What memory is asked before it forgets, and how the answer stands behind the new prompt (layout
//! `dstproact`).

use super::{Layout, proassist::SUMMARY_REQUEST};
use crate::dialogue::task::{StepState, Task, TaskState};
use crate::error::Result;
use crate::units::TokenId;

impl Layout<'_> {
    /// Asks for a summary, in a closed system turn; with a task it is guided by how far the steps
    /// are.
    ///
    /// # Errors
    /// The codec refused the text, or it contains a special token.
    pub fn summary_request(&self, guide: Option<(&Task, &TaskState)>) -> Result<Vec<TokenId>> {
        let guide = guide
            .map(|(task, state)| progress_of(task, state))
            .unwrap_or_default();
        self.turn("system", &format!("{guide}{SUMMARY_REQUEST}"))
    }

    /// What was summarized, as a closed system turn behind the prompt.
    ///
    /// # Errors
    /// The codec refused the text, or it contains a special token.
    pub fn progress(&self, summary: &str) -> Result<Vec<TokenId>> {
        self.turn("system", &format!("Progress: {}", summary.trim()))
    }
}

/// "Completed: …; …. In progress: …. Next: …. ", each part where there is something to tell.
fn progress_of(task: &Task, state: &TaskState) -> String {
    let names = |wanted: StepState| -> Vec<&str> {
        let of = |step: crate::units::StepId| state.get(step).unwrap_or_default() == wanted;
        task.iter()
            .filter(|(id, _)| of(*id))
            .map(|(_, step)| step.name.as_str())
            .collect()
    };
    let next = names(StepState::NotStarted).into_iter().take(1).collect();
    let parts = [
        ("Completed", names(StepState::Completed)),
        ("In progress", names(StepState::InProgress)),
        ("Next", next),
    ];
    let told = parts.iter().filter(|(_, names)| !names.is_empty());
    told.map(|(word, names)| format!("{word}: {}. ", names.join("; ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Bytes, Slot};
    use super::*;
    use crate::dialogue::task::Update;

    #[test]
    fn the_request_is_guided_by_the_state() {
        let task = Task::parse("goal = \"tea\"\n[[step]]\nname = \"Boil\"\n[[step]]\nname = \"Pour\"\n[[step]]\nname = \"Sip\"\n").unwrap();
        let mut state = TaskState::new(&task);
        let layout = Layout::new(&Bytes, 1);
        let text = |tokens: Vec<TokenId>| {
            Bytes.render(&tokens.into_iter().map(Slot::Token).collect::<Vec<_>>())
        };
        let ask = |state: &TaskState| text(layout.summary_request(Some((&task, state))).unwrap());
        assert_eq!(
            ask(&state),
            "{system}Next: Boil. Please summarize the progress.<eot>"
        );
        for update in ["S1->start", "S1->complete", "S2->start"] {
            state.apply(Update::parse(update).unwrap()).unwrap();
        }
        let told = "{system}Completed: Boil. In progress: Pour. Next: Sip. Please summarize the progress.<eot>";
        assert_eq!(ask(&state), told);
        assert_eq!(
            text(layout.summary_request(None).unwrap()),
            "{system}Please summarize the progress.<eot>"
        );
        assert_eq!(
            text(layout.progress(" It boils.\n").unwrap()),
            "{system}Progress: It boils.<eot>"
        );
    }
}
