//! Plays a source from some time on, for going to a place in a recording.

use crate::error::Result;
use crate::stream::{Poll, Source};
use crate::units::MediaTime;

/// How many inputs are left out before the caller gets a chance to do other work: decoding them
/// takes time.
const SKIPPED_AT_ONCE: usize = 8;

/// A freshly opened source without the inputs before some time. Frames keep their numbers.
pub struct StartingAt {
    source: Box<dyn Source>,
    start: MediaTime,
}

impl StartingAt {
    /// Plays `source` from its first input at or after `start`.
    pub fn new(mut source: Box<dyn Source>, start: MediaTime) -> Self {
        source.skip_to(start);
        Self { source, start }
    }
}

impl Source for StartingAt {
    fn next(&mut self) -> Result<Poll> {
        for _ in 0..SKIPPED_AT_ONCE {
            match self.source.next()? {
                Poll::Ready(input) if input.at() < self.start => {}
                other => return Ok(other),
            }
        }
        Ok(Poll::Pending)
    }

    fn inner(&mut self) -> Option<&mut dyn Source> {
        Some(&mut *self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::ScriptSource;
    use super::*;
    use crate::stream::{Content, Frame, Input};
    use crate::units::FrameIdx;

    #[test]
    fn what_stands_before_is_thrown_away_and_numbers_stay() {
        let content = || Content::Features([].into());
        let frame = |k: u64| {
            Input::Frame(Frame {
                idx: FrameIdx(k),
                at: MediaTime(k as f64 / 2.0),
                content: content(),
            })
        };
        let mut inputs: Vec<Input> = (0..6).map(frame).collect();
        inputs.insert(
            3,
            Input::User {
                at: MediaTime(1.2),
                text: "x".into(),
            },
        );
        let mut source = StartingAt::new(
            Box::new(ScriptSource::new(inputs).lasting(MediaTime(3.0))),
            MediaTime(1.5),
        );
        assert_eq!(source.duration(), Some(MediaTime(3.0)));
        assert!(
            matches!(source.next().unwrap(), Poll::Ready(_)),
            "fewer than are left out at once"
        );
        for wanted in 4..6 {
            let Poll::Ready(Input::Frame(frame)) = source.next().unwrap() else {
                panic!("a frame")
            };
            assert_eq!(frame.idx, FrameIdx(wanted));
        }
        assert!(matches!(source.next().unwrap(), Poll::End));
    }

    #[test]
    fn a_long_beginning_is_left_out_piece_by_piece() {
        let word = |k: u64| Input::User {
            at: MediaTime(k as f64),
            text: "x".into(),
        };
        let mut source = StartingAt::new(
            Box::new(ScriptSource::new((0..100).map(word))),
            MediaTime(50.0),
        );
        let mut pending = 0;
        while matches!(source.next().unwrap(), Poll::Pending) {
            pending += 1;
        }
        assert_eq!(pending, 50 / SKIPPED_AT_ONCE);
        assert!(matches!(
            source.next().unwrap(),
            Poll::Ready(Input::User {
                at: MediaTime(51.0),
                ..
            })
        ));
    }
}
