//! The one event stream: what happened, as facts. One JSON object a line in the event log.

use serde::{Deserialize, Serialize};

use crate::dialogue::task::{StepState, Transition};
use crate::units::{FrameIdx, MediaTime, Prob, StepId, Threshold};

/// A step as the session starts or ends with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepInfo {
    /// Its id.
    pub id: StepId,
    /// Its name; absent in the `end` event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its state.
    pub state: StepState,
}

/// How a gate decides, for the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateInfo {
    /// `head`, `token` or `off`.
    pub kind: String,
    /// Fires at or above this.
    pub threshold: Threshold,
    /// Has to fall this far below the threshold before it can fire again.
    pub hysteresis: f32,
    /// Seconds of MediaTime between two firings.
    pub refractory_s: f64,
}

/// Both gates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GatesInfo {
    /// Speak now?
    pub speak: GateInfo,
    /// Update the task state now?
    pub dst_update: GateInfo,
}

/// What to drop when memory is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextPolicyName {
    /// Prompt rebuilt from goal, steps and current state, plus the last frames.
    #[default]
    Refresh,
    /// Everything but the prompt.
    DropAll,
    /// The oldest part of the stream; positions re-rotated.
    DropMiddle,
    /// Nothing: stops with an error.
    None,
}

/// What is odd about the order of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// A step began although a prerequisite is not completed; `missing` names it.
    OutOfOrder,
    /// A prerequisite was never started when what depends on it was completed, or at the end.
    Missed,
}

/// Whether frames come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// No frames any more.
    Lost,
    /// They come again.
    Restored,
}

/// Something that happened in a session. Keys are written in the order of the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// First event: what this session is.
    Session {
        /// Version of this format: 1.
        schema: u32,
        /// SHA-256 of the assistant file, in hex.
        model: String,
        /// SHA-256 of the vision file, in hex; empty when features were given.
        vision: String,
        /// Goal of the task; empty without a task file.
        goal: String,
        /// Steps and their states at the start.
        steps: Vec<StepInfo>,
        /// Frames looked at per second of the recording.
        fps: f64,
        /// The gates as used.
        gates: GatesInfo,
        /// The context policy as used.
        context: ContextPolicyName,
    },
    /// A frame was decided on.
    Frame {
        /// Its number.
        frame: FrameIdx,
        /// Its time.
        at: MediaTime,
        /// Probability of speaking.
        speak: Prob,
        /// Probability of a state update.
        dst_update: Prob,
    },
    /// The task state changed.
    Transition {
        /// At this frame.
        frame: FrameIdx,
        /// Its time.
        at: MediaTime,
        /// Which step.
        step: StepId,
        /// Start or complete.
        transition: Transition,
        /// Probability of the gate that let it through.
        prob: Prob,
    },
    /// The model wrote an update that cannot be applied; memory was rewound.
    Rejected {
        /// At this frame.
        frame: FrameIdx,
        /// Its time.
        at: MediaTime,
        /// What it wrote.
        text: String,
        /// Why it was refused.
        why: String,
    },
    /// Something about the order of steps that the person should know.
    Warning {
        /// At this frame.
        frame: FrameIdx,
        /// Its time.
        at: MediaTime,
        /// Out of order, or missed.
        kind: WarningKind,
        /// The step it is about.
        step: StepId,
        /// The prerequisites that are missing.
        missing: Vec<StepId>,
    },
    /// The assistant said something.
    Utterance {
        /// At this frame.
        frame: FrameIdx,
        /// Its time.
        at: MediaTime,
        /// What it said.
        text: String,
        /// Probability of the speak gate.
        prob: Prob,
    },
    /// The person said something.
    User {
        /// When.
        at: MediaTime,
        /// What.
        text: String,
    },
    /// The person set the state of a step by hand (`undo` and `jump` are told step by step).
    Mark {
        /// When.
        at: MediaTime,
        /// Which step.
        step: StepId,
        /// Its state from now on.
        state: StepState,
    },
    /// Frames were lost before they could be looked at.
    Dropped {
        /// When.
        at: MediaTime,
        /// How many.
        count: u64,
    },
    /// Memory was full and the policy acted.
    Context {
        /// When.
        at: MediaTime,
        /// Which policy.
        policy: ContextPolicyName,
        /// Tokens held before.
        tokens_before: usize,
        /// Tokens held after.
        tokens_after: usize,
    },
    /// The source of frames went away or came back.
    Source {
        /// When.
        at: MediaTime,
        /// Lost or restored.
        state: SourceState,
    },
    /// Last event.
    End {
        /// Frames decided on.
        frames: u64,
        /// Final states.
        steps: Vec<StepInfo>,
    },
}
