//! The event log: one JSON object a line, byte for byte the same for the same events.

use super::output::Output;
use crate::error::{Error, Result};
use crate::stream::{Event, Sink};

/// Writes every event as one line of JSON, keys in the order of the event's fields.
///
/// A line goes out whole as soon as its event comes; a log that was cut off has at most its last
/// line broken.
#[derive(Debug)]
pub struct JsonlSink {
    out: Output,
}

impl JsonlSink {
    /// Logs to `out`.
    pub fn new(out: Output) -> Self {
        Self { out }
    }
}

impl Sink for JsonlSink {
    fn emit(&mut self, event: &Event) -> Result<()> {
        let mut line =
            serde_json::to_string(event).map_err(|e| Error::Sink(format!("event log: {e}")))?;
        line.push('\n');
        self.out.write(&line)
    }

    fn close(&mut self) -> Result<()> {
        self.out.close()
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::tests::Page;
    use super::*;
    use crate::dialogue::policy::{GateConfig, GateKind, Gates};
    use crate::stream::{
        ContextPolicyName, SourceState, StepInfo, StepState, Transition, WarningKind,
    };
    use crate::units::{FrameIdx, MediaTime, Prob, StepId, Threshold};

    /// One event of each kind.
    fn events() -> Vec<Event> {
        let (frame, at, prob) = (FrameIdx(12), MediaTime(6.0), Prob(0.91));
        let step = |n: u16, name: Option<&str>, state| StepInfo {
            id: StepId(n),
            name: name.map(Into::into),
            state,
        };
        let gate = || GateConfig {
            kind: GateKind::Head,
            threshold: Threshold(0.5),
            hysteresis: 0.1,
            refractory_s: 1.0,
        };
        vec![
            Event::Session {
                schema: 1,
                model: "aa".into(),
                vision: "bb".into(),
                goal: "Make tea".into(),
                steps: vec![
                    step(0, Some("Boil\u{1b} water"), StepState::NotStarted),
                    step(1, Some("Pour"), StepState::InProgress),
                ],
                fps: 2.0,
                gates: Gates {
                    speak: gate(),
                    dst_update: gate(),
                },
                context: ContextPolicyName::Refresh,
            },
            Event::Frame {
                frame,
                at,
                speak: Prob(0.031),
                dst_update: Prob(0.912),
            },
            Event::Transition {
                frame,
                at,
                step: StepId(0),
                transition: Transition::Start,
                prob,
            },
            Event::Rejected {
                frame,
                at,
                text: "S9->start".into(),
                why: "the task has no step S9".into(),
            },
            Event::Warning {
                frame,
                at,
                kind: WarningKind::OutOfOrder,
                step: StepId(1),
                missing: vec![StepId(0)],
            },
            Event::Utterance {
                frame,
                at,
                text: "Now <pour>\nit & stir --> slowly.".into(),
                prob,
            },
            Event::User {
                at,
                text: "What next?".into(),
            },
            Event::Mark {
                at,
                step: StepId(1),
                state: StepState::Completed,
            },
            Event::Dropped { at, count: 2 },
            Event::Context {
                at,
                policy: ContextPolicyName::DropMiddle,
                tokens_before: 3584,
                tokens_after: 212,
                summary: None,
            },
            Event::Source {
                at,
                state: SourceState::Lost,
            },
            Event::Source {
                at,
                state: SourceState::Restored,
            },
            Event::End {
                frames: 13,
                steps: vec![
                    step(0, None, StepState::Completed),
                    step(1, None, StepState::Completed),
                ],
            },
        ]
    }

    #[test]
    fn every_line_is_one_object_and_a_log_is_the_same_every_time() {
        let log = || {
            let page = Page::default();
            let mut sink = JsonlSink::new(Output::to(page.clone(), "log"));
            events().iter().for_each(|e| sink.emit(e).unwrap());
            sink.close().unwrap();
            page.text()
        };
        let text = log();
        assert_eq!(text, log());
        assert_eq!(text.lines().count(), events().len());
        for line in text.lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(line.starts_with("{\"type\":\""), "{line}");
            assert_eq!(object.to_string(), line);
        }
        let frame = text.lines().find(|l| l.contains("\"frame\",")).unwrap();
        assert_eq!(
            frame,
            r#"{"type":"frame","frame":12,"at":6.0,"speak":0.031,"dst_update":0.912}"#
        );
    }

    #[test]
    fn lines_are_there_before_the_sink_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        std::fs::write(&path, "an older log").unwrap();
        let mut sink = JsonlSink::new(Output::create(&path).unwrap());
        for (n, event) in events().iter().enumerate() {
            sink.emit(event).unwrap();
            assert_eq!(
                std::fs::read_to_string(&path).unwrap().lines().count(),
                n + 1
            );
        }
        sink.close().unwrap();
    }

    #[test]
    fn a_full_disk_is_told() {
        let mut sink = JsonlSink::new(Output::to(
            Page {
                room: Some(100),
                ..Page::default()
            },
            "log",
        ));
        let results: Vec<_> = events().iter().map(|e| sink.emit(e).is_ok()).collect();
        assert!(results.contains(&false));
    }
}
