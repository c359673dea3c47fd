//! Events in words, for the dialogue, the log panel and the reasons of a sentence: each fact has
//! one wording.

use super::app::LogLine;
use crate::dialogue::task::{StepState, Transition};
use crate::stream::{ContextPolicyName, Event, GateName, SourceState, WarningKind};
use crate::units::{MediaTime, StepId, Threshold};

/// A line of the log panel; `None` for frames, which the gates show, and for words, which the
/// dialogue shows.
pub(super) fn log_line(event: &Event, now: MediaTime) -> Option<LogLine> {
    let (at, text, worry) = match event {
        Event::Session { .. } | Event::Frame { .. } => return None,
        Event::Transition {
            at,
            step,
            transition,
            prob,
            ..
        } => (
            *at,
            format!(
                "{}, gate {:.2}",
                self::transition(*step, *transition),
                prob.0
            ),
            false,
        ),
        Event::Rejected { at, text, why, .. } => (*at, refused(text, why), false),
        Event::Warning {
            at,
            kind,
            step,
            missing,
            ..
        } => (*at, warning(*kind, *step, &steps(missing)), true),
        Event::Utterance { at, prob, .. } => (*at, format!("spoke, gate {:.2}", prob.0), false),
        Event::User { at, .. } => (*at, "you spoke".into(), false),
        Event::Mark { at, step, state } => (*at, mark(*step, *state), false),
        Event::Threshold {
            at,
            gate,
            threshold,
        } => (*at, self::threshold(*gate, *threshold), false),
        Event::Seek { at, to, .. } => (*at, format!("moved to {to}"), false),
        Event::Task { at, goal, .. } => (*at, format!("another task: {goal}"), false),
        Event::Dropped { at, count } => (*at, format!("{count} frames dropped"), true),
        Event::Context {
            at,
            policy,
            tokens_before,
            tokens_after,
            ..
        } => (*at, context(*policy, *tokens_before, *tokens_after), false),
        Event::Source { at, state } => (*at, source(*state).into(), *state == SourceState::Lost),
        Event::Resume { at, frames, .. } => (*at, resume(*frames), false),
        Event::End { frames, .. } => (now, format!("end, {frames} frames"), false),
    };
    Some(LogLine {
        at: Some(at),
        text,
        worry,
    })
}

/// Why a sentence was said: what happened at its frame, and what the gate gave against its
/// threshold.
pub(super) fn reason(happened: &[String], speak: f32, threshold: f32) -> String {
    let fires = speak >= threshold;
    let because = match (happened, fires) {
        ([], true) => "its gate fired".to_owned(),
        ([], false) => "an answer was due".to_owned(),
        (happened, _) => happened.join(", "),
    };
    format!(
        "because {because}: speak {speak:.2} {} {threshold:.2}",
        if fires { "≥" } else { "<" }
    )
}

pub(super) fn transition(step: StepId, transition: Transition) -> String {
    match transition {
        Transition::Start => format!("{step} begun"),
        Transition::Complete => format!("{step} done"),
    }
}

pub(super) fn refused(text: &str, why: &str) -> String {
    format!("refused `{text}`: {why}")
}

pub(super) fn mark(step: StepId, state: StepState) -> String {
    format!("{step} set to {} by hand", state_words(state))
}

/// A state as people say it.
pub fn state_words(state: StepState) -> &'static str {
    match state {
        StepState::NotStarted => "not started",
        StepState::InProgress => "in progress",
        StepState::Completed => "completed",
    }
}

pub(super) fn threshold(gate: GateName, Threshold(threshold): Threshold) -> String {
    let name = match gate {
        GateName::Speak => "speak",
        GateName::DstUpdate => "update",
    };
    format!("{name} threshold set to {threshold:.2} by hand")
}

pub(super) fn warning(kind: WarningKind, step: StepId, missing: &str) -> String {
    match kind {
        WarningKind::OutOfOrder => format!("{step} began before {missing} was done"),
        WarningKind::Missed => format!("{missing} was left out"),
    }
}

pub(super) fn resume(frames: u64) -> String {
    format!("the session goes on after a break, {frames} frames so far")
}

pub(super) fn steps(steps: &[StepId]) -> String {
    steps
        .iter()
        .map(StepId::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

pub(super) fn context(policy: ContextPolicyName, before: usize, after: usize) -> String {
    let policy = match policy {
        ContextPolicyName::Refresh => "refreshed",
        ContextPolicyName::DropAll => "dropped all",
        ContextPolicyName::DropMiddle => "dropped the middle",
        ContextPolicyName::SummarizeAndDrop | ContextPolicyName::SummarizeWithDst => "summarized",
        ContextPolicyName::None => "stopped",
    };
    format!("memory full: {policy}, {before} -> {after} tokens")
}

pub(super) fn source(state: SourceState) -> &'static str {
    match state {
        SourceState::Lost => "no frames come from the source",
        SourceState::Restored => "frames come again",
    }
}
