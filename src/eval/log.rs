//! Reads event logs for scoring. A log is untrusted: each line is checked against what the log itself said before.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use crate::dialogue::task::{StepState, Update};
use crate::error::{Error, Result};
use crate::stream::{Event, StepInfo, WarningKind, update_of};
use crate::units::{MediaTime, StepId};

/// The version of the event log that is read here.
pub const SCHEMA: u32 = 1;
/// A longer line is not an event; it keeps a hostile file from filling the memory.
pub const LINE_BYTES_MAX: u64 = 1 << 20;

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
    pub warnings: Vec<(MediaTime, WarningKind, StepId)>,
    /// Number of frames decided on.
    pub frames: u64,
    /// The log has its last event; without it the session was cut off.
    pub ended: bool,
}

impl Log {
    /// Reads a log file.
    ///
    /// # Errors
    /// Unreadable file; a line that is no event, or that contradicts an earlier one. The message names the line.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let mut reader = BufReader::new(file);
        let mut check = Check::default();
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let n = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(Error::io(path))?;
            if n == 0 {
                break;
            }
            let bad = |why: String| Error::format(path, format!("line {number}: {why}"));
            if n as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
                return Err(bad(format!("longer than {LINE_BYTES_MAX} bytes; expected one event a line")));
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let event: Event = serde_json::from_slice(&line).map_err(|e| bad(format!("no event: {e}")))?;
            check.push(&event).map_err(bad)?;
        }
        check.finish().map_err(|why| Error::format(path, why))
    }

    /// The same from events in memory.
    ///
    /// # Errors
    /// An event that contradicts an earlier one, by its number from 1.
    pub fn from_events(events: &[Event]) -> Result<Self> {
        let mut check = Check::default();
        for (i, event) in events.iter().enumerate() {
            check.push(event).map_err(|why| Error::Invalid(format!("event {}: {why}", i + 1)))?;
        }
        check.finish().map_err(Error::Invalid)
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

/// The log so far, and the state that it says the task is in.
#[derive(Default)]
struct Check {
    log: Log,
    begun: bool,
    now: Vec<StepState>,
    last: f64,
}

impl Check {
    fn push(&mut self, event: &Event) -> Result<(), String> {
        if self.log.ended {
            return Err("an event after `end`; a log holds one session".into());
        }
        if let Event::Session { schema, goal, steps, .. } = event {
            return self.begin(*schema, goal, steps);
        }
        if !self.begun {
            return Err("the first event must be `session`".into());
        }
        match event {
            Event::Frame { at, .. } => {
                self.advance(*at)?;
                self.log.frames += 1;
            }
            Event::Transition { at, .. } => {
                self.advance(*at)?;
                let Some((at, update)) = update_of(event) else { return Ok(()) };
                let state = after(self.now_of(update.step)?, update)?;
                self.set(at, update.step, state);
                self.log.transitions.push((at, update));
            }
            Event::Mark { at, step, state } => {
                self.advance(*at)?;
                self.now_of(*step)?;
                self.set(*at, *step, *state);
            }
            Event::Utterance { at, text, .. } => {
                self.advance(*at)?;
                self.log.utterances.push((*at, text.clone()));
            }
            Event::Warning { at, kind, step, .. } => {
                self.advance(*at)?;
                self.now_of(*step)?;
                self.log.warnings.push((*at, *kind, *step));
            }
            Event::End { steps, .. } => {
                for info in steps {
                    let now = self.now_of(info.id)?;
                    if now != info.state {
                        return Err(format!(
                            "`end` says {} is {}, but the transitions lead to {}",
                            info.id,
                            info.state.word(),
                            now.word()
                        ));
                    }
                }
                self.log.ended = true;
            }
            // Scores are about one stream that was seen once, from its beginning to its end, with one task.
            Event::Seek { .. } => return Err("the person moved in the recording; such a run cannot be scored".into()),
            Event::Task { .. } => return Err("the person chose another task; such a run cannot be scored".into()),
            Event::Session { .. }
            | Event::Threshold { .. }
            | Event::Rejected { .. }
            | Event::User { .. }
            | Event::Dropped { .. }
            | Event::Context { .. }
            | Event::Source { .. } => {}
        }
        Ok(())
    }

    fn begin(&mut self, schema: u32, goal: &str, steps: &[StepInfo]) -> Result<(), String> {
        if self.begun {
            return Err("a second `session`; a log holds one session".into());
        }
        if schema != SCHEMA {
            return Err(format!("schema {schema}, expected {SCHEMA}"));
        }
        for (i, info) in steps.iter().enumerate() {
            if usize::from(info.id.0) != i {
                return Err(format!("steps[{i}].id is {}, expected ids S1, S2, … in order", info.id));
            }
        }
        self.begun = true;
        self.now = steps.iter().map(|s| s.state).collect();
        self.log.goal = goal.to_owned();
        self.log.steps = steps.to_vec();
        Ok(())
    }

    fn advance(&mut self, at: MediaTime) -> Result<(), String> {
        let at = at.seconds();
        if !(at.is_finite() && at >= 0.0) {
            return Err(format!("at is {at}, expected seconds since the start of the recording"));
        }
        if at < self.last {
            return Err(format!("at is {at}, but an earlier line has {}; times must not decrease", self.last));
        }
        self.last = at;
        Ok(())
    }

    fn now_of(&self, step: StepId) -> Result<StepState, String> {
        self.now.get(usize::from(step.0)).copied().ok_or_else(|| {
            format!("step {step}, but the `session` event lists {} steps", self.now.len())
        })
    }

    fn set(&mut self, at: MediaTime, step: StepId, state: StepState) {
        self.now[usize::from(step.0)] = state;
        self.log.states.push((at, step, state));
    }

    fn finish(self) -> Result<Log, String> {
        if !self.begun {
            return Err("empty; expected an event log that begins with `session`".into());
        }
        Ok(self.log)
    }
}

/// State of a step after an update.
///
/// # Errors
/// The reason, in words, when the step is not in the state that the update leaves.
pub(super) fn after(now: StepState, update: Update) -> Result<StepState, String> {
    use crate::dialogue::task::Transition::{Complete, Start};
    match (now, update.transition) {
        (StepState::NotStarted, Start) => Ok(StepState::InProgress),
        (StepState::InProgress, Complete) => Ok(StepState::Completed),
        (now, _) => Err(format!("{update}, but {} is {}", update.step, now.word())),
    }
}

/// A small log for this room's tests: number of steps, times with updates, times with words.
#[cfg(test)]
pub(super) fn tests_log(steps: u16, updates: &[(f64, &str)], said: &[(f64, &str)]) -> Log {
    let parsed: Vec<_> = updates.iter().map(|(t, u)| (MediaTime(*t), Update::parse(u).unwrap())).collect();
    Log {
        steps: (0..steps).map(|i| StepInfo { id: StepId(i), name: None, state: StepState::NotStarted }).collect(),
        states: parsed.iter().map(|(t, u)| (*t, u.step, super::reference::reached(*u))).collect(),
        transitions: parsed,
        utterances: said.iter().map(|(t, s)| (MediaTime(*t), (*s).to_owned())).collect(),
        ended: true,
        ..Log::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"type":"session","schema":1,"model":"m","vision":"","goal":"tea","steps":[{"id":"S1","name":"Boil water","state":"not_started"},{"id":"S2","name":"Pour","state":"not_started"}],"fps":2.0,"gates":{"speak":{"kind":"head","threshold":0.5,"hysteresis":0.0,"refractory_s":0.0},"dst_update":{"kind":"head","threshold":0.5,"hysteresis":0.0,"refractory_s":0.0}},"context":"refresh"}"#;
    const START: &str = r#"{"type":"transition","frame":2,"at":1.0,"step":"S1","transition":"start","prob":0.9}"#;

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
        assert_eq!(log.transitions, [(MediaTime(1.0), Update::parse("S1->start").unwrap())]);
        assert_eq!(log.states[1], (MediaTime(2.0), StepId(0), StepState::Completed));
        assert_eq!(log.utterances, [(MediaTime(2.5), "Next: Pour.".to_owned())]);
        assert!(log.ended);
    }

    #[test]
    fn a_bad_line_is_an_error_that_names_it() {
        let cases: [(String, &str); 14] = [
            (String::new(), "empty"),
            (START.to_owned(), "line 1: the first event must be `session`"),
            (format!("{HEAD}\n{HEAD}"), "line 2: a second"),
            (HEAD.replace("\"schema\":1", "\"schema\":2"), "line 1: schema 2"),
            (HEAD.replace("\"id\":\"S2\"", "\"id\":\"S3\""), "line 1: steps[1].id is S3"),
            (format!("{HEAD}\nnot json"), "line 2: no event"),
            (format!("{HEAD}\n{{\"type\":\"dance\"}}"), "line 2: no event"),
            (format!("{HEAD}\n{}", START.replace("1.0", "-1.0")), "line 2: at is -1"),
            (format!("{HEAD}\n{}", START.replace("1.0", "1e999")), "line 2: no event"),
            (format!("{HEAD}\n{}", START.replace("S1", "S9")), "line 2: step S9"),
            (format!("{HEAD}\n{START}\n{START}"), "line 3: S1->start, but S1 is in_progress"),
            (
                format!("{HEAD}\n{START}\n{}", START.replace("1.0", "0.5").replace("S1", "S2")),
                "line 3: at is 0.5",
            ),
            (
                format!("{HEAD}\n{{\"type\":\"end\",\"frames\":0,\"steps\":[{{\"id\":\"S1\",\"state\":\"completed\"}}]}}"),
                "line 2: `end` says S1 is completed",
            ),
            (format!("{HEAD}\n{{\"type\":\"end\",\"frames\":0,\"steps\":[]}}\n{START}"), "line 3: an event after"),
        ];
        for (text, word) in cases {
            let why = read(&text).unwrap_err().to_string();
            assert!(why.contains(word), "{why} does not say {word}");
        }
        let long = "x".repeat(LINE_BYTES_MAX as usize + 10);
        assert!(read(&format!("{HEAD}\n{long}")).unwrap_err().to_string().contains("line 2: longer"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let event: Event = serde_json::from_str(HEAD).unwrap();
        let start: Event = serde_json::from_str(START).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        write(&path, &[event.clone(), start.clone()]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{HEAD}\n{START}\n"));
        let log = Log::read(&path).unwrap();
        assert_eq!(log, Log::from_events(&[event, start]).unwrap());
        assert!(!log.ended);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_log_or_an_error(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.jsonl");
            let text = [HEAD.as_bytes(), b"\n", &bytes].concat();
            std::fs::write(&path, text).unwrap();
            let blank = bytes.iter().all(u8::is_ascii_whitespace);
            proptest::prop_assert_eq!(Log::read(&path).is_ok(), blank);
        }
    }
}
