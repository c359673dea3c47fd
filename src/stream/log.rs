//! Reads event logs. A log is untrusted: each line is checked against what the log itself said
//! before.
//!
//! One log is one session. A session that was broken off goes on in the same log behind a `resume`
//! event; the state it names has to be the one that the lines before it lead to.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::{Event, StepInfo, update_of};
use crate::dialogue::policy::Gates;
use crate::dialogue::task::{STEPS_MAX, StepState, Transition, Update};
use crate::error::{Error, Result};
use crate::units::{FrameIdx, MediaTime, Prob, StepId};

/// The version of the event log that is read here.
pub const SCHEMA: u32 = 1;
/// A longer line is not an event; it keeps a hostile file from filling the memory.
pub const LINE_BYTES_MAX: u64 = 1 << 20;
/// Longest text in an event: far more than a model may write or a person may say at once.
pub const TEXT_BYTES_MAX: usize = 64 << 10;
/// Latest time in a log: a year. A session that lasts longer is a mistake, or an attempt to make a
/// player wait.
pub const AT_S_MAX: f64 = 366.0 * 86_400.0;

/// What to do with a last line that is no event and has no line end, as a process leaves it that
/// was stopped while it wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// An error, like any other line that is no event.
    Refuse,
    /// It is left out, and [`Extent`] says so.
    Drop,
}

/// How far a log can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Bytes up to the end of the last whole event.
    pub bytes: u64,
    /// The last whole event has its line end.
    pub line_ended: bool,
    /// Part of a line stands behind it.
    pub cut: bool,
}

/// Reads a log file, event by event.
///
/// # Errors
/// Unreadable file; a line that is no event, or that contradicts an earlier one (the message names
/// the line); no `session` event at all.
pub fn read(path: &Path, tail: Tail, mut take: impl FnMut(Event)) -> Result<Extent> {
    let mut reader = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let mut check = Check::default();
    let mut extent = Extent {
        line_ended: true,
        ..Extent::default()
    };
    let (mut line, mut bytes) = (Vec::new(), 0);
    for number in 1.. {
        line.clear();
        let n = reader
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .map_err(Error::io(path))? as u64;
        if n == 0 {
            break;
        }
        bytes += n;
        let bad = |why: String| Error::format(path, format!("line {number}: {why}"));
        let line_ended = line.last() == Some(&b'\n');
        if n == LINE_BYTES_MAX && !line_ended {
            return Err(bad(format!(
                "longer than {LINE_BYTES_MAX} bytes; expected one event a line"
            )));
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let event: Event = match serde_json::from_slice(&line) {
            Ok(event) => event,
            Err(_) if tail == Tail::Drop && !line_ended => {
                extent.cut = true;
                break;
            }
            Err(e) => return Err(bad(format!("no event: {e}"))),
        };
        check.push(&event).map_err(bad)?;
        (extent.bytes, extent.line_ended) = (bytes, line_ended);
        take(event);
    }
    check.finish().map_err(|why| Error::format(path, why))?;
    Ok(extent)
}

/// A log so far: the state that it says the task is in, and what may come next.
#[derive(Clone, Debug, Default)]
pub struct Check {
    begun: bool,
    ended: bool,
    states: Vec<StepState>,
    last_s: f64,
    last_frame: Option<FrameIdx>,
}

impl Check {
    /// Checks the next event against those before it.
    ///
    /// # Errors
    /// What is wrong with it, in words. The log is then refused, and this checks no further event.
    pub fn push(&mut self, event: &Event) -> Result<(), String> {
        if let Event::Session {
            schema,
            goal,
            steps,
            fps,
            gates,
            ..
        } = event
        {
            return self.begin(*schema, goal, steps, *fps, gates);
        }
        if !self.begun {
            return Err("the first event must be `session`".into());
        }
        if let Event::Resume {
            at, gates, steps, ..
        } = event
        {
            self.advance(*at)?;
            check_gates(gates)?;
            self.ended = false;
            return self.agree("resume", steps);
        }
        // The person may go back after the end.
        if let Event::Seek { at, to, steps } = event {
            self.advance(*at)?;
            self.last_s = 0.0;
            self.advance(*to)?;
            self.last_frame = None;
            self.ended = false;
            return self.go_to(steps);
        }
        if self.ended {
            return Err("an event after `end`; only `resume` or `seek` may follow it".into());
        }
        match event {
            Event::Frame {
                frame,
                at,
                speak,
                dst_update,
            } => {
                self.advance(*at)?;
                if let Some(last) = self.last_frame.filter(|last| frame <= last) {
                    return Err(format!(
                        "frame {} after frame {}; numbers must increase",
                        frame.0, last.0
                    ));
                }
                self.last_frame = Some(*frame);
                check_prob("speak", *speak)?;
                check_prob("dst_update", *dst_update)
            }
            Event::Transition { at, step, prob, .. } => {
                self.advance(*at)?;
                check_prob("prob", *prob)?;
                let Some((_, update)) = update_of(event) else {
                    return Ok(());
                };
                self.set(*step, after(self.state_of(*step)?, update)?);
                Ok(())
            }
            Event::Mark { at, step, state } => {
                self.advance(*at)?;
                self.state_of(*step)?;
                self.set(*step, *state);
                Ok(())
            }
            Event::Threshold { at, threshold, .. } => {
                self.advance(*at)?;
                check_prob("threshold", Prob(threshold.0))
            }
            Event::Task { at, goal, steps } => {
                self.advance(*at)?;
                self.follow(goal, steps)
            }
            Event::Utterance { at, text, prob, .. } => {
                self.advance(*at)?;
                check_prob("prob", *prob)?;
                check_text("text", text)
            }
            Event::Warning {
                at, step, missing, ..
            } => {
                self.advance(*at)?;
                if missing.len() > self.states.len() {
                    return Err(format!(
                        "missing: {} steps of {}",
                        missing.len(),
                        self.states.len()
                    ));
                }
                missing
                    .iter()
                    .chain([step])
                    .try_for_each(|step| self.state_of(*step).map(|_| ()))
            }
            Event::Rejected { at, text, why, .. } => {
                self.advance(*at)?;
                check_text("text", text)?;
                check_text("why", why)
            }
            Event::User { at, text } => {
                self.advance(*at)?;
                check_text("text", text)
            }
            Event::Dropped { at, .. } | Event::Context { at, .. } | Event::Source { at, .. } => {
                self.advance(*at)
            }
            Event::End { steps, .. } => {
                self.ended = true;
                self.agree("end", steps)
            }
            Event::Session { .. } | Event::Resume { .. } | Event::Seek { .. } => Ok(()),
        }
    }

    /// State of a step after the events so far.
    ///
    /// # Errors
    /// In words, when the task has no such step.
    pub fn state_of(&self, step: StepId) -> Result<StepState, String> {
        self.states
            .get(usize::from(step.0))
            .copied()
            .ok_or_else(|| {
                format!(
                    "step {step}, but the `session` event lists {} steps",
                    self.states.len()
                )
            })
    }

    /// Number of the newest frame; `None` where the person has moved since.
    pub fn last_frame(&self) -> Option<FrameIdx> {
        self.last_frame
    }

    /// Time of the newest event.
    pub fn last_at(&self) -> MediaTime {
        MediaTime(self.last_s)
    }

    /// Checks that there was a session at all.
    ///
    /// # Errors
    /// In words, when there was none.
    pub fn finish(&self) -> Result<(), String> {
        if self.begun {
            Ok(())
        } else {
            Err("empty; expected an event log that begins with `session`".into())
        }
    }

    fn begin(
        &mut self,
        schema: u32,
        goal: &str,
        steps: &[StepInfo],
        fps: f64,
        gates: &Gates,
    ) -> Result<(), String> {
        if self.begun {
            return Err("a second `session`; a log holds one session".into());
        }
        if schema != SCHEMA {
            return Err(format!("schema {schema}, expected {SCHEMA}"));
        }
        if !(fps.is_finite() && fps > 0.0) {
            return Err(format!("fps is {fps}, expected more than 0"));
        }
        check_gates(gates)?;
        self.follow(goal, steps)?;
        self.begun = true;
        Ok(())
    }

    /// A task begins, with these states.
    fn follow(&mut self, goal: &str, steps: &[StepInfo]) -> Result<(), String> {
        if steps.len() > STEPS_MAX {
            return Err(format!("{} steps; at most {STEPS_MAX}", steps.len()));
        }
        check_text("goal", goal)?;
        for (i, info) in steps.iter().enumerate() {
            if usize::from(info.id.0) != i {
                return Err(format!(
                    "steps[{i}].id is {}, expected ids S1, S2, … in order",
                    info.id
                ));
            }
            check_text("name", info.name.as_deref().unwrap_or_default())?;
        }
        self.states = steps.iter().map(|s| s.state).collect();
        Ok(())
    }

    /// Takes over the states at another place of the recording; only the session knows them.
    fn go_to(&mut self, steps: &[StepInfo]) -> Result<(), String> {
        if steps.len() != self.states.len() {
            return Err(format!(
                "`seek` lists {} steps of {}",
                steps.len(),
                self.states.len()
            ));
        }
        for info in steps {
            self.state_of(info.id)?;
            self.set(info.id, info.state);
        }
        Ok(())
    }

    fn advance(&mut self, at: MediaTime) -> Result<(), String> {
        let at = at.seconds();
        if !(0.0..=AT_S_MAX).contains(&at) {
            return Err(format!(
                "at is {at}, expected seconds since the start of the recording, at most {AT_S_MAX}"
            ));
        }
        if at < self.last_s {
            return Err(format!(
                "at is {at}, but an earlier line has {}; times must not decrease",
                self.last_s
            ));
        }
        self.last_s = at;
        Ok(())
    }

    fn set(&mut self, step: StepId, state: StepState) {
        if let Some(now) = self.states.get_mut(usize::from(step.0)) {
            *now = state;
        }
    }

    /// Checks that the states that an event names are those that the log leads to.
    fn agree(&self, name: &str, steps: &[StepInfo]) -> Result<(), String> {
        for info in steps {
            let (said, now) = (info.state, self.state_of(info.id)?);
            if now != said {
                let (id, said, now) = (info.id, said.word(), now.word());
                return Err(format!(
                    "`{name}` says {id} is {said}, but the transitions lead to {now}"
                ));
            }
        }
        Ok(())
    }
}

/// State of a step after an update.
///
/// # Errors
/// The reason, in words, when the step is not in the state that the update leaves.
pub fn after(now: StepState, update: Update) -> Result<StepState, String> {
    match (now, update.transition) {
        (StepState::NotStarted, Transition::Start) => Ok(StepState::InProgress),
        (StepState::InProgress, Transition::Complete) => Ok(StepState::Completed),
        (now, _) => Err(format!("{update}, but {} is {}", update.step, now.word())),
    }
}

fn check_prob(name: &str, Prob(prob): Prob) -> Result<(), String> {
    if (0.0..=1.0).contains(&prob) {
        Ok(())
    } else {
        Err(format!("{name} is {prob}, expected 0 to 1"))
    }
}

fn check_gates(gates: &Gates) -> Result<(), String> {
    for (name, gate) in [("speak", &gates.speak), ("dst_update", &gates.dst_update)] {
        if !((0.0..=1.0).contains(&gate.threshold.0)
            && gate.hysteresis.is_finite()
            && gate.refractory_s.is_finite())
        {
            return Err(format!(
                "gates.{name}: expected a threshold from 0 to 1 and finite numbers"
            ));
        }
    }
    Ok(())
}

fn check_text(name: &str, text: &str) -> Result<(), String> {
    if text.len() <= TEXT_BYTES_MAX {
        Ok(())
    } else {
        Err(format!(
            "{name}: {} bytes; at most {TEXT_BYTES_MAX}",
            text.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"type":"session","schema":1,"model":"m","vision":"","goal":"tea","steps":[{"id":"S1","name":"Boil water","state":"not_started"},{"id":"S2","name":"Pour","state":"not_started"}],"fps":2.0,"gates":{"speak":{"kind":"head","threshold":0.5,"hysteresis":0.0,"refractory_s":0.0},"dst_update":{"kind":"head","threshold":0.5,"hysteresis":0.0,"refractory_s":0.0}},"context":"refresh"}"#;
    const FRAME: &str = r#"{"type":"frame","frame":2,"at":1.0,"speak":0.1,"dst_update":0.9}"#;
    const START: &str =
        r#"{"type":"transition","frame":2,"at":1.0,"step":"S1","transition":"start","prob":0.9}"#;
    const END: &str = r#"{"type":"end","frames":1,"steps":[{"id":"S1","state":"in_progress"}]}"#;

    fn resume(state: &str) -> String {
        let gates = &HEAD[HEAD.find("\"gates\"").unwrap()..HEAD.find(",\"context\"").unwrap()];
        format!(
            "{{\"type\":\"resume\",\"at\":1.0,\"frames\":1,\"model\":\"m\",\"vision\":\"\",{gates},\"context\":\"refresh\",\
             \"steps\":[{{\"id\":\"S1\",\"state\":\"{state}\"}}]}}"
        )
    }

    fn told(text: &[u8], tail: Tail) -> Result<(Vec<Event>, Extent)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut events = Vec::new();
        let extent = read(&path, tail, |event| events.push(event))?;
        Ok((events, extent))
    }

    fn why(text: &str) -> String {
        told(text.as_bytes(), Tail::Refuse).unwrap_err().to_string()
    }

    #[test]
    fn a_bad_line_is_an_error_that_names_it() {
        let said = r#"{"type":"utterance","frame":2,"at":1.0,"text":"TEXT","prob":0.9}"#;
        let warning = r#"{"type":"warning","frame":2,"at":1.0,"kind":"missed","step":"S1","missing":["S1","S1","S1"]}"#;
        let many: Vec<String> = (1..=100)
            .map(|i| format!("{{\"id\":\"S{i}\",\"state\":\"not_started\"}}"))
            .collect();
        let (steps_at, steps_end) = (
            HEAD.find("[{\"id\"").unwrap(),
            HEAD.find("],\"fps\"").unwrap() + 1,
        );
        let cases: [(String, &str); 23] = [
            (String::new(), "empty"),
            (
                START.to_owned(),
                "line 1: the first event must be `session`",
            ),
            (format!("{HEAD}\n{HEAD}"), "line 2: a second"),
            (
                HEAD.replace("\"schema\":1", "\"schema\":2"),
                "line 1: schema 2",
            ),
            (HEAD.replace("\"fps\":2.0", "\"fps\":0"), "line 1: fps is 0"),
            (
                HEAD.replace("\"threshold\":0.5", "\"threshold\":7"),
                "line 1: gates.speak",
            ),
            (
                HEAD.replace("\"id\":\"S2\"", "\"id\":\"S3\""),
                "line 1: steps[1].id is S3",
            ),
            (
                format!(
                    "{}[{}]{}",
                    &HEAD[..steps_at],
                    many.join(","),
                    &HEAD[steps_end..]
                ),
                "line 1: 100 steps",
            ),
            (format!("{HEAD}\nnot json"), "line 2: no event"),
            (
                format!("{HEAD}\n{{\"type\":\"dance\"}}"),
                "line 2: no event",
            ),
            (
                format!("{HEAD}\n{}", START.replace("1.0", "-1.0")),
                "line 2: at is -1",
            ),
            (
                format!("{HEAD}\n{}", START.replace("1.0", "1e999")),
                "line 2: no event",
            ),
            (
                format!("{HEAD}\n{}", START.replace("1.0", "1e300")),
                "line 2: at is 1",
            ),
            (
                format!("{HEAD}\n{}", START.replace("0.9", "9.0")),
                "line 2: prob is 9",
            ),
            (
                format!("{HEAD}\n{}", START.replace("S1", "S9")),
                "line 2: step S9",
            ),
            (
                format!("{HEAD}\n{START}\n{START}"),
                "line 3: S1->start, but S1 is in_progress",
            ),
            (
                format!("{HEAD}\n{FRAME}\n{FRAME}"),
                "line 3: frame 2 after frame 2",
            ),
            (
                format!(
                    "{HEAD}\n{}",
                    said.replace("TEXT", &"x".repeat(TEXT_BYTES_MAX + 1))
                ),
                "line 2: text: 65537 bytes",
            ),
            (
                format!("{HEAD}\n{warning}"),
                "line 2: missing: 3 steps of 2",
            ),
            (
                format!("{HEAD}\n{}", END),
                "line 2: `end` says S1 is in_progress",
            ),
            (
                format!("{HEAD}\n{START}\n{END}\n{FRAME}"),
                "line 4: an event after",
            ),
            (
                format!("{HEAD}\n{}", resume("completed")),
                "line 2: `resume` says S1 is completed",
            ),
            (
                format!(
                    "{HEAD}\n{START}\n{}",
                    START.replace("1.0", "0.5").replace("S1", "S2")
                ),
                "line 3: at is 0.5",
            ),
        ];
        for (text, word) in cases {
            let why = why(&text);
            assert!(why.contains(word), "{why} does not say {word}");
        }
        let long = "x".repeat(LINE_BYTES_MAX as usize + 10);
        assert!(why(&format!("{HEAD}\n{long}")).contains("line 2: longer"));
    }

    #[test]
    fn a_session_goes_on_behind_its_end_and_behind_a_break() {
        for before in [
            format!("{HEAD}\n{FRAME}\n{START}\n"),
            format!("{HEAD}\n{FRAME}\n{START}\n{END}\n"),
        ] {
            let more = FRAME.replace("\"frame\":2", "\"frame\":3");
            let text = format!("{before}{}\n{more}\n{END}\n", resume("in_progress"));
            let (events, extent) = told(text.as_bytes(), Tail::Refuse).unwrap();
            assert_eq!(events.len(), text.lines().count());
            assert_eq!(
                extent,
                Extent {
                    bytes: text.len() as u64,
                    line_ended: true,
                    cut: false
                }
            );
        }
    }

    #[test]
    fn the_person_may_go_back_also_behind_the_end_and_times_follow() {
        let seek = r#"{"type":"seek","at":1.0,"to":0.5,"steps":[{"id":"S1","state":"not_started"},{"id":"S2","state":"not_started"}]}"#;
        let again = FRAME
            .replace("\"frame\":2", "\"frame\":1")
            .replace("1.0", "0.5");
        for end in ["", END] {
            let text =
                format!("{HEAD}\n{FRAME}\n{START}\n{end}\n{seek}\n{again}\n{START}\n{END}\n");
            told(text.as_bytes(), Tail::Refuse).unwrap();
        }
        let before = format!("{HEAD}\n{FRAME}\n{START}\n");
        assert!(why(&format!("{before}{again}")).contains("line 4: at is 0.5"));
        assert!(
            why(&format!("{before}{}", seek.replace("0.5", "-0.5"))).contains("line 4: at is -0.5")
        );
        assert!(why(&format!("{before}{}", seek.replace("S2", "S3"))).contains("line 4: step S3"));
        assert!(
            why(&format!("{before}{seek}\n{}", again.replace("0.5", "0.25")))
                .contains("line 5: at is 0.25")
        );
        let threshold = r#"{"type":"threshold","at":1.0,"gate":"speak","threshold":7}"#;
        assert!(why(&format!("{before}{threshold}")).contains("line 4: threshold is 7"));
        let task = r#"{"type":"task","at":1.0,"goal":"soup","steps":[{"id":"S1","name":"Boil","state":"not_started"}]}"#;
        assert!(
            why(&format!("{before}{task}\n{}", START.replace("S1", "S2")))
                .contains("line 5: step S2")
        );
    }

    #[test]
    fn a_cut_log_can_be_read_up_to_the_cut_wherever_it_is() {
        let text = format!("{HEAD}\n{FRAME}\n{START}\n{END}\n");
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        for cut in ends[0]..=text.len() {
            let (events, extent) = told(&text.as_bytes()[..cut], Tail::Drop).unwrap();
            // An event is whole with its last brace, line end or not.
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(events.len(), whole, "cut at {cut}");
            let rest = cut - extent.bytes as usize;
            assert_eq!(extent.cut, rest > 0, "cut at {cut}");
            assert_eq!(extent.line_ended, !ends.contains(&cut), "cut at {cut}");
        }
        // The same in front of other lines is no cut.
        assert!(
            told(
                format!("{HEAD}\n{}\n{FRAME}\n", &START[..20]).as_bytes(),
                Tail::Drop
            )
            .is_err()
        );
        assert!(
            told(&HEAD.as_bytes()[..50], Tail::Drop)
                .unwrap_err()
                .to_string()
                .contains("empty")
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_log_or_an_error(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        ) {
            let text = [HEAD.as_bytes(), b"\n", &bytes].concat();
            let blank = bytes.iter().all(u8::is_ascii_whitespace);
            proptest::prop_assert_eq!(told(&text, Tail::Refuse).is_ok(), blank);
            if !bytes.contains(&b'\n') {
                let (events, extent) = told(&text, Tail::Drop).unwrap();
                proptest::prop_assert_eq!((events.len(), extent.cut), (1, !blank));
            }
        }
    }
}
