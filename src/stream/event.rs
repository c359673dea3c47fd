//! The one event stream: what happened, as facts. One JSON object a line in the event log.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Error as _, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, forward_to_deserialize_any};
use serde_json::Value;

use crate::dialogue::policy::Gates;
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
    /// Everything; the model's summary of it stands in the new prompt.
    SummarizeAndDrop,
    /// The same, but the model is told the steps' states when it is asked for the summary.
    SummarizeWithDst,
    /// Nothing: the session stops with an error.
    None,
}

/// What is odd about the order of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// A step began although a prerequisite is not completed; `missing` names it.
    OutOfOrder,
    /// A step was never begun and the task is over; `step` and `missing` both name it. (In older
    /// logs, `missing` names what was never begun, and `step` a completed step that needs it.)
    Missed,
}

/// Whether frames come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// Frames no longer come.
    Lost,
    /// They come again.
    Restored,
}

/// One of the two gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateName {
    /// Speak now?
    Speak,
    /// Update the task state now?
    DstUpdate,
}

/// Something that happened in a session. Keys are written in the order of the fields.
///
/// `remote = "Self"` makes the derived code inherent, so that reading can go through
/// `PlainNumbers`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", remote = "Self")]
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
        gates: Gates,
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
        /// The steps that are missing.
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
    /// The person moved a gate's threshold; from now on it decides by the new one.
    Threshold {
        /// When.
        at: MediaTime,
        /// Which gate.
        gate: GateName,
        /// Fires at or above this.
        threshold: Threshold,
    },
    /// The person moved to another place of the recording, also after `end`. Times and frame
    /// numbers go on from `to`; the model's memory begins anew with the goal and these states.
    Seek {
        /// When.
        at: MediaTime,
        /// Where it goes on.
        to: MediaTime,
        /// The states there: as they were at that time, or as they are when it lies ahead.
        steps: Vec<StepInfo>,
    },
    /// The person chose another task.
    Task {
        /// When.
        at: MediaTime,
        /// Its goal.
        goal: String,
        /// Its steps, none of them begun.
        steps: Vec<StepInfo>,
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
        /// What the model said of what it held, where the policy asks it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<String>,
    },
    /// The source of frames went away or came back.
    Source {
        /// When.
        at: MediaTime,
        /// Lost or restored.
        state: SourceState,
    },
    /// The session goes on after a break, in the same log; its memory was built anew from the
    /// state.
    Resume {
        /// Time of the last event before the break.
        at: MediaTime,
        /// Frames decided on before it.
        frames: u64,
        /// SHA-256 of the assistant file from now on, in hex.
        model: String,
        /// SHA-256 of the vision file from now on, in hex.
        vision: String,
        /// The gates from now on.
        gates: Gates,
        /// The context policy from now on.
        context: ContextPolicyName,
        /// The states that it goes on from.
        steps: Vec<StepInfo>,
    },
    /// Last event; only [`Event::Resume`] and [`Event::Seek`] may follow.
    End {
        /// Frames decided on.
        frames: u64,
        /// Final states.
        steps: Vec<StepInfo>,
    },
}

impl Event {
    /// Whether a person would look for this event in a session: a changed step, a sentence,
    /// something amiss.
    pub fn is_news(&self) -> bool {
        matches!(
            self,
            Self::Transition { .. }
                | Self::Utterance { .. }
                | Self::Warning { .. }
                | Self::Rejected { .. }
        )
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The inherent function that the derive made.
        Event::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Event::deserialize(PlainNumbers(value)).map_err(D::Error::custom)
    }
}

/// A JSON value whose numbers are plain numbers.
///
/// With serde_json's `arbitrary_precision`, serde hands each number of an internally tagged enum on
/// as a map, which nothing reads back as a number.
struct PlainNumbers(Value);

impl<'de> Deserializer<'de> for PlainNumbers {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(b),
            Value::String(s) => visitor.visit_string(s),
            Value::Array(items) => {
                visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(PlainNumbers)))
            }
            Value::Object(map) => visitor.visit_map(MapDeserializer::new(
                map.into_iter()
                    .map(|(key, value)| (key, PlainNumbers(value))),
            )),
            Value::Number(n) => {
                if let Some(whole) = n.as_u64() {
                    visitor.visit_u64(whole)
                } else if let Some(whole) = n.as_i64() {
                    visitor.visit_i64(whole)
                } else if let Some(number) = n.as_f64().filter(|f| f.is_finite()) {
                    visitor.visit_f64(number)
                } else {
                    Err(Self::Error::custom(format!("number {n} is out of range")))
                }
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        option unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

impl IntoDeserializer<'_, serde::de::value::Error> for PlainNumbers {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let lines = [
            r#"{"type":"session","schema":1,"model":"ab","vision":"","goal":"tea","steps":[{"id":"S1","name":"Boil","state":"not_started"}],"fps":2.0,"gates":{"speak":{"kind":"head","threshold":0.5,"hysteresis":0.1,"refractory_s":0.0},"dst_update":{"kind":"off","threshold":1.0,"hysteresis":0.0,"refractory_s":1.5}},"context":"drop_middle"}"#,
            r#"{"type":"frame","frame":12,"at":6.0,"speak":0.031,"dst_update":0.912}"#,
            r#"{"type":"transition","frame":12,"at":6.0,"step":"S1","transition":"complete","prob":0.91}"#,
            r#"{"type":"rejected","frame":12,"at":6.5,"text":"S9->start","why":"no step S9"}"#,
            r#"{"type":"warning","frame":12,"at":6.0,"kind":"out_of_order","step":"S4","missing":["S3"]}"#,
            r#"{"type":"utterance","frame":12,"at":6.0,"text":"\"Well\" done","prob":0.84}"#,
            r#"{"type":"user","at":0.1,"text":"hm"}"#,
            r#"{"type":"mark","at":2.0,"step":"S1","state":"in_progress"}"#,
            r#"{"type":"threshold","at":2.0,"gate":"dst_update","threshold":0.55}"#,
            r#"{"type":"seek","at":6.0,"to":2.5,"steps":[{"id":"S1","state":"not_started"}]}"#,
            r#"{"type":"task","at":6.0,"goal":"tea","steps":[{"id":"S1","name":"Boil","state":"not_started"}]}"#,
            r#"{"type":"dropped","at":6.0,"count":2}"#,
            r#"{"type":"context","at":6.0,"policy":"refresh","tokens_before":3584,"tokens_after":212}"#,
            r#"{"type":"context","at":6.0,"policy":"summarize_with_dst","tokens_before":3584,"tokens_after":212,"summary":"It boils."}"#,
            r#"{"type":"source","at":6.0,"state":"lost"}"#,
            r#"{"type":"end","frames":12,"steps":[{"id":"S1","state":"completed"}]}"#,
            r#"{"type":"resume","at":6.0,"frames":12,"model":"ab","vision":"","gates":{"speak":{"kind":"head","threshold":0.5,"hysteresis":0.1,"refractory_s":0.0},"dst_update":{"kind":"off","threshold":1.0,"hysteresis":0.0,"refractory_s":1.5}},"context":"refresh","steps":[{"id":"S1","state":"completed"}]}"#,
        ];
        for line in lines {
            let event: Event = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
            assert_eq!(serde_json::to_string(&event).unwrap(), line);
        }
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for bad in [
            "12",
            "{}",
            r#"{"type":"dance"}"#,
            r#"{"type":"user","at":"1","text":"hm"}"#,
            r#"{"type":"user","at":1e999,"text":"hm"}"#,
            r#"{"type":"user","at":1.0}"#,
            r#"{"type":"dropped","at":1.0,"count":-1}"#,
            r#"{"type":"dropped","at":1.0,"count":1.5}"#,
        ] {
            assert!(serde_json::from_str::<Event>(bad).is_err(), "{bad}");
        }
    }
}
