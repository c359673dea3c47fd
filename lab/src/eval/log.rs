//! Reads event logs for scoring. A log is untrusted: each line is checked against what the log
//! itself said before.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use proact::dialogue::policy::GateKind;
use proact::dialogue::task::{StepState, Update};
use proact::error::{Error, Result};
use proact::stream::log::{Check, Tail};
use proact::stream::{self, Event, StepInfo, WarningKind, update_of};
use proact::units::{MediaTime, Prob, StepId, Threshold};

/// What a session told, as far as scores need it. Times do not decrease within each list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// Goal of the task; empty without a task file.
    pub goal: String,
    /// Steps and their states at the start; empty without a task file.
    pub steps: Vec<StepInfo>,
    /// State changes that the assistant made.
    pub transitions: Vec<(MediaTime, Update)>,
    /// States after each change, by the assistant or by the person's hand.
    pub states: Vec<(MediaTime, StepId, StepState)>,
    /// What the assistant said.
    pub utterances: Vec<(MediaTime, String)>,
    /// Warnings about the order of steps.
    pub warnings: Vec<Warning>,
    /// What the gates read at each frame decided on.
    pub frames: Vec<GateReading>,
    /// Thresholds that the session began with: speak, update. None for a gate that was off, which
    /// has no probabilities.
    pub thresholds: [Option<Threshold>; 2],
    /// Texts that were refused, with why.
    pub rejected: Vec<(MediaTime, String, String)>,
    /// Moments at which memory was cut down.
    pub contexts: Vec<MediaTime>,
    /// The log has its last event; without it the session was cut off.
    pub ended: bool,
}

/// A warning about the order of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Warning {
    /// When.
    pub at: MediaTime,
    /// Begun too early, or never done.
    pub kind: WarningKind,
    /// The step it is about.
    pub step: StepId,
    /// The steps that are missing.
    pub missing: Vec<StepId>,
}

/// Probabilities of both gates at a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GateReading {
    /// When.
    pub at: MediaTime,
    /// Speak now?
    pub speak: Prob,
    /// Update the state now?
    pub dst_update: Prob,
}

impl Log {
    /// Reads a log file.
    ///
    /// # Errors
    /// As [`stream::log::read`]; a log that was cut off within a line is one of them.
    pub fn read(path: &Path) -> Result<Self> {
        let (mut log, mut unfit) = (Self::default(), None);
        let mut number = 0;
        stream::log::read(path, Tail::Refuse, |event| {
            number += 1;
            unfit = unfit
                .take()
                .or_else(|| why_unfit(&event).map(|why| format!("event {number}: {why}")));
            log.take(event);
        })?;
        match unfit {
            Some(why) => Err(Error::format(path, why)),
            None => Ok(log),
        }
    }

    /// The same from events in memory.
    ///
    /// # Errors
    /// An event that contradicts an earlier one, by its number from 1.
    pub fn from_events(events: &[Event]) -> Result<Self> {
        let (mut check, mut log) = (Check::default(), Self::default());
        for (i, event) in events.iter().enumerate() {
            let bad = |why: String| Error::Invalid(format!("event {}: {why}", i + 1));
            check.push(event).map_err(bad)?;
            why_unfit(event).map_or(Ok(()), |why| Err(bad(why.into())))?;
            log.take(event.clone());
        }
        check.finish().map_err(Error::Invalid)?;
        Ok(log)
    }

    /// Takes an event that was checked.
    fn take(&mut self, event: Event) {
        self.ended = matches!(event, Event::End { .. });
        if let Some((at, update)) = update_of(&event) {
            self.transitions.push((at, update));
            self.states
                .push((at, update.step, super::reference::reached(update)));
        }
        match event {
            Event::Session {
                goal, steps, gates, ..
            } => {
                self.thresholds = [gates.speak, gates.dst_update]
                    .map(|gate| (gate.kind != GateKind::Off).then_some(gate.threshold));
                (self.goal, self.steps) = (goal, steps);
            }
            Event::Frame {
                at,
                speak,
                dst_update,
                ..
            } => self.frames.push(GateReading {
                at,
                speak,
                dst_update,
            }),
            Event::Rejected { at, text, why, .. } => self.rejected.push((at, text, why)),
            Event::Context { at, .. } => self.contexts.push(at),
            Event::Mark { at, step, state } => self.states.push((at, step, state)),
            Event::Utterance { at, text, .. } => self.utterances.push((at, text)),
            Event::Warning {
                at,
                kind,
                step,
                missing,
                ..
            } => self.warnings.push(Warning {
                at,
                kind,
                step,
                missing,
            }),
            Event::Transition { .. }
            | Event::Threshold { .. }
            | Event::Seek { .. }
            | Event::Task { .. }
            | Event::User { .. }
            | Event::Dropped { .. }
            | Event::Source { .. }
            | Event::Resume { .. }
            | Event::End { .. } => {}
        }
    }
}

/// Scores are about one stream that was seen once, from its beginning to its end, with one task.
fn why_unfit(event: &Event) -> Option<&'static str> {
    match event {
        Event::Seek { .. } => {
            Some("the person moved in the recording; such a run cannot be scored")
        }
        Event::Task { .. } => Some("the person chose another task; such a run cannot be scored"),
        _ => None,
    }
}

/// Writes events as a log: one JSON object a line.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, events: &[Event]) -> Result<()> {
    let mut out = BufWriter::new(File::create(path).map_err(Error::io(path))?);
    for event in events {
        let line = serde_json::to_string(event).map_err(|e| Error::format(path, e.to_string()))?;
        writeln!(out, "{line}").map_err(Error::io(path))?;
    }
    out.flush().map_err(Error::io(path))
}

/// A small log for this room's tests: number of steps, times with updates, times with words.
#[cfg(test)]
pub(crate) fn tests_log(steps: u16, updates: &[(f64, &str)], said: &[(f64, &str)]) -> Log {
    let parsed: Vec<_> = updates
        .iter()
        .map(|(t, u)| (MediaTime(*t), Update::parse(u).unwrap()))
        .collect();
    Log {
        steps: (0..steps)
            .map(|i| StepInfo {
                id: StepId(i),
                name: None,
                state: StepState::NotStarted,
            })
            .collect(),
        states: parsed
            .iter()
            .map(|(t, u)| (*t, u.step, super::reference::reached(*u)))
            .collect(),
        transitions: parsed,
        utterances: said
            .iter()
            .map(|(t, s)| (MediaTime(*t), (*s).to_owned()))
            .collect(),
        ended: true,
        ..Log::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"type":"session","schema":1,"model":"m","vision":"","goal":"tea","steps":[{"id":"S1","name":"Boil water","state":"not_started"},{"id":"S2","name":"Pour","state":"not_started"}],"fps":2.0,"gates":{"speak":{"kind":"head","threshold":0.5,"hysteresis":0.0,"refractory_s":0.0},"dst_update":{"kind":"head","threshold":0.5,"hysteresis":0.0,"refractory_s":0.0}},"context":"refresh"}"#;
    const START: &str =
        r#"{"type":"transition","frame":2,"at":1.0,"step":"S1","transition":"start","prob":0.9}"#;

    fn read(text: &str) -> Result<Log> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        std::fs::write(&path, text).unwrap();
        Log::read(&path)
    }

    #[test]
    fn a_log_tells_transitions_marks_and_words() {
        let mark = r#"{"type":"mark","at":2.0,"step":"S1","state":"completed"}"#;
        let said = r#"{"type":"utterance","frame":5,"at":2.5,"text":"Next: Pour.","prob":0.7}"#;
        let end = r#"{"type":"end","frames":6,"steps":[{"id":"S1","state":"completed"},{"id":"S2","state":"not_started"}]}"#;
        let log = read(&format!("{HEAD}\n{START}\n\n{mark}\n{said}\n{end}\n")).unwrap();
        assert_eq!(
            log.transitions,
            [(MediaTime(1.0), Update::parse("S1->start").unwrap())]
        );
        assert_eq!(
            log.states[1],
            (MediaTime(2.0), StepId(0), StepState::Completed)
        );
        assert_eq!(log.utterances, [(MediaTime(2.5), "Next: Pour.".to_owned())]);
        assert!(log.ended);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let event: Event = serde_json::from_str(HEAD).unwrap();
        let start: Event = serde_json::from_str(START).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        write(&path, &[event.clone(), start.clone()]).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            format!("{HEAD}\n{START}\n")
        );
        let log = Log::read(&path).unwrap();
        assert_eq!(log, Log::from_events(&[event, start]).unwrap());
        assert!(!log.ended);
    }

    #[test]
    fn a_log_that_was_cut_off_is_not_scored() {
        let why = read(&format!("{HEAD}\n{}", &START[..30]))
            .unwrap_err()
            .to_string();
        assert!(why.contains("line 2: no event"), "{why}");
        assert!(Log::from_events(&[]).is_err());
    }

    #[test]
    fn a_run_in_which_the_person_moved_is_not_scored() {
        let seek =
            r#"{"type":"seek","at":1.0,"to":0.5,"steps":[{"id":"S1","state":"not_started"}]}"#
                .replace("}]}", "},{\"id\":\"S2\",\"state\":\"not_started\"}]}");
        let task = r#"{"type":"task","at":1.0,"goal":"soup","steps":[]}"#;
        for (line, word) in [(seek.as_str(), "moved"), (task, "another task")] {
            let why = read(&format!("{HEAD}\n\n{START}\n{line}\n"))
                .unwrap_err()
                .to_string();
            assert!(
                why.contains("event 3: the person") && why.contains(word),
                "{why}"
            );
            let events: Vec<Event> = [HEAD, START, line]
                .iter()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert!(
                Log::from_events(&events)
                    .unwrap_err()
                    .to_string()
                    .contains(word)
            );
        }
    }
}
