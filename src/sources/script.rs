//! Words and hands at given times, read from a file (`--input`) and merged into any source; and a
//! source that plays a script.
//!
//! Each line is a JSON object. Times are seconds of the recording and do not decrease:
//!
//! ```text
//! {"at":3.5,"user":"What is next?"}
//! {"at":8,"mark":"S3","state":"completed"}
//! {"at":9,"undo":true}
//! {"at":12.25,"jump":"S4"}
//! ```

use std::collections::VecDeque;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::stream::{Hand, Input, Poll, Source, StepState};
use crate::units::{MediaTime, StepId};

/// Largest input file, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Longest text that a person can say at once, in bytes.
const WORDS_BYTES_MAX: usize = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: f64,
    user: Option<String>,
    mark: Option<StepId>,
    state: Option<StepState>,
    undo: Option<bool>,
    jump: Option<StepId>,
}

impl Line {
    fn into_input(self) -> Result<Input, String> {
        if !(self.at.is_finite() && self.at >= 0.0) {
            return Err(format!(
                "at is {}: expected seconds since the start",
                self.at
            ));
        }
        let at = MediaTime(self.at);
        match (self.user, self.mark, self.state, self.undo, self.jump) {
            (Some(text), None, None, None, None) => match text.trim() {
                "" => Err("user: nothing was said".into()),
                text if text.len() > WORDS_BYTES_MAX => Err(format!(
                    "user: {} bytes; at most {WORDS_BYTES_MAX}",
                    text.len()
                )),
                text => Ok(Input::User {
                    at,
                    text: text.to_owned(),
                }),
            },
            (None, Some(step), Some(state), None, None) => Ok(Input::Hand {
                at,
                hand: Hand::Mark(step, state),
            }),
            (None, None, None, Some(true), None) => Ok(Input::Hand {
                at,
                hand: Hand::Undo,
            }),
            (None, None, None, None, Some(step)) => Ok(Input::Hand {
                at,
                hand: Hand::Jump(step),
            }),
            _ => Err(
                "expected `at` and one of: `user`; `mark` with `state`; `undo`: true; `jump`"
                    .into(),
            ),
        }
    }
}

/// Reads a file of timed words and hands.
///
/// # Errors
/// The file cannot be read, or a line has none of the forms or goes back in time. The error names
/// the line.
pub fn read_inputs(path: &Path) -> Result<Vec<Input>> {
    let bytes = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(Error::format(
            path,
            format!("{bytes} bytes; at most {FILE_BYTES_MAX}"),
        ));
    }
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    parse_inputs(&text).map_err(|why| Error::format(path, why))
}

/// Reads timed words and hands from text.
///
/// # Errors
/// Those of [`read_inputs`], without the name of the file.
pub fn parse_inputs(text: &str) -> Result<Vec<Input>, String> {
    let mut inputs: Vec<Input> = Vec::new();
    for (n, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let input = serde_json::from_str::<Line>(line)
            .map_err(|e| e.to_string())
            .and_then(Line::into_input);
        let input = input.map_err(|why| format!("line {}: {why}", n + 1))?;
        if inputs.last().is_some_and(|last| last.at() > input.at()) {
            return Err(format!(
                "line {}: goes back in time to {}",
                n + 1,
                input.at()
            ));
        }
        inputs.push(input);
    }
    Ok(inputs)
}

/// A source that plays the inputs that it was given, for tests and recorded sessions.
#[derive(Debug, Default)]
pub struct ScriptSource {
    polls: VecDeque<Poll>,
    duration: Option<MediaTime>,
}

impl ScriptSource {
    /// Plays these inputs, then ends.
    pub fn new(inputs: impl IntoIterator<Item = Input>) -> Self {
        Self::of_polls(inputs.into_iter().map(Poll::Ready))
    }

    /// Plays these answers, then ends.
    pub fn of_polls(polls: impl IntoIterator<Item = Poll>) -> Self {
        Self {
            polls: polls.into_iter().collect(),
            duration: None,
        }
    }

    /// The same source with a known length.
    #[must_use]
    pub fn lasting(mut self, duration: MediaTime) -> Self {
        self.duration = Some(duration);
        self
    }
}

impl Source for ScriptSource {
    fn next(&mut self) -> Result<Poll> {
        Ok(self.polls.pop_front().unwrap_or(Poll::End))
    }

    fn duration(&mut self) -> Option<MediaTime> {
        self.duration
    }
}

/// Another source's inputs, with timed words and hands among them.
///
/// Words at time `t` come after every frame up to and at `t`, and before the first frame after it.
/// Words after the last frame come at the end.
pub struct Merged {
    source: Box<dyn Source>,
    script: VecDeque<Input>,
    held: Option<Input>,
    ended: bool,
}

impl Merged {
    /// Merges `script`, whose times do not decrease, into `source`.
    pub fn new(source: Box<dyn Source>, script: Vec<Input>) -> Self {
        Self {
            source,
            script: script.into(),
            held: None,
            ended: false,
        }
    }
}

impl Source for Merged {
    fn next(&mut self) -> Result<Poll> {
        if self.held.is_none() && !self.ended {
            match self.source.next()? {
                Poll::Ready(input) => self.held = Some(input),
                Poll::Pending => return Ok(Poll::Pending),
                Poll::End => self.ended = true,
            }
        }
        let script_first = match (self.script.front(), &self.held) {
            (Some(words), Some(held)) => words.at() < held.at(),
            (Some(_), None) => true,
            (None, _) => false,
        };
        let input = if script_first {
            self.script.pop_front()
        } else {
            self.held.take()
        };
        Ok(input.map_or(Poll::End, Poll::Ready))
    }

    fn inner(&mut self) -> Option<&mut dyn Source> {
        Some(&mut *self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Content, Frame};
    use crate::units::FrameIdx;

    fn frame(idx: u64, at: f64) -> Input {
        Input::Frame(Frame {
            idx: FrameIdx(idx),
            at: MediaTime(at),
            content: Content::Features([].into()),
        })
    }

    #[test]
    fn every_form_is_read() {
        let text = "{\"at\":1,\"user\":\" hi \"}\n\n{\"at\":1,\"mark\":\"S3\",\"state\":\"completed\"}\n{\"at\":2,\"undo\":true}\n{\"at\":2.5,\"jump\":\"S4\"}\n";
        let got = parse_inputs(text).unwrap();
        assert!(matches!(&got[0], Input::User { at, text } if at.0 == 1.0 && text == "hi"));
        assert!(matches!(
            got[1],
            Input::Hand {
                hand: Hand::Mark(StepId(2), StepState::Completed),
                ..
            }
        ));
        assert!(matches!(
            got[2],
            Input::Hand {
                hand: Hand::Undo,
                ..
            }
        ));
        assert!(matches!(got[3], Input::Hand { hand: Hand::Jump(StepId(3)), at } if at.0 == 2.5));
    }

    #[test]
    fn anything_else_is_an_error_that_names_the_line() {
        for bad in [
            "{\"at\":1}",
            "{\"at\":-1,\"user\":\"x\"}",
            "{\"user\":\"x\"}",
            "{\"at\":1,\"user\":\" \"}",
            "{\"at\":1,\"user\":\"x\",\"undo\":true}",
            "{\"at\":1,\"undo\":false}",
            "{\"at\":1,\"mark\":\"S0\",\"state\":\"completed\"}",
            "{\"at\":1,\"mark\":\"S1\"}",
            "{\"at\":1,\"mark\":\"S1\",\"state\":\"done\"}",
            "{\"at\":1,\"say\":\"x\"}",
            "{\"at\":0,\"user\":\"back in time\"}",
            "hello",
        ] {
            let why = parse_inputs(&format!("{{\"at\":0.5,\"user\":\"ok\"}}\n{bad}")).unwrap_err();
            assert!(why.starts_with("line 2: "), "{bad}: {why}");
        }
    }

    #[test]
    fn words_come_after_the_frames_up_to_their_time() {
        let script = parse_inputs(
            "{\"at\":0.5,\"user\":\"a\"}\n{\"at\":0.7,\"undo\":true}\n{\"at\":9,\"user\":\"b\"}",
        )
        .unwrap();
        let mut polls: Vec<Poll> = vec![
            Poll::Ready(frame(0, 0.0)),
            Poll::Ready(frame(1, 0.5)),
            Poll::Pending,
        ];
        polls.push(Poll::Ready(frame(2, 1.0)));
        let mut merged = Merged::new(
            Box::new(ScriptSource::of_polls(polls).lasting(MediaTime(1.5))),
            script,
        );
        assert_eq!(merged.duration(), Some(MediaTime(1.5)));
        let mut seen = Vec::new();
        loop {
            match merged.next().unwrap() {
                Poll::Ready(input) => seen.push(format!(
                    "{:.1}{}",
                    input.at().0,
                    if matches!(input, Input::Frame(_)) {
                        "f"
                    } else {
                        ""
                    }
                )),
                Poll::Pending => seen.push("wait".into()),
                Poll::End => break,
            }
        }
        assert_eq!(seen, ["0.0f", "0.5f", "wait", "0.5", "0.7", "1.0f", "9.0"]);
    }
}
