//! Plays a source in real time: no input comes before its time, and frames that are too late are
//! dropped.

use crate::error::Result;
use crate::stream::{Input, Poll, Source};
use crate::units::MediaTime;

/// Most frames that are dropped in a row. Decoding them takes time as well, and the screen has to
/// show something.
const DROPS_IN_A_ROW_MAX: u64 = 64;

/// A source held to a clock.
///
/// The clock is a function that returns seconds since any fixed moment and never goes back. Time 0
/// of the recording is the moment at which the first input was asked for. A clock that stands still
/// pauses the source.
pub struct Paced<C> {
    source: Box<dyn Source>,
    clock: C,
    late_s: f64,
    start_s: Option<f64>,
    held: Option<Input>,
    /// Frames that were dropped and not reported yet, and when the first of them was due.
    dropped: Option<(MediaTime, u64)>,
    /// Frames that were dropped since one was last let through.
    in_a_row: u64,
}

impl<C: FnMut() -> f64 + Send> Paced<C> {
    /// Paces `source`. A frame that is at least `late_s` seconds late is dropped if a later one is
    /// there.
    pub fn new(source: Box<dyn Source>, late_s: f64, clock: C) -> Self {
        Self {
            source,
            clock,
            late_s,
            start_s: None,
            held: None,
            dropped: None,
            in_a_row: 0,
        }
    }

    fn now_s(&mut self) -> f64 {
        let now = (self.clock)();
        now - *self.start_s.get_or_insert(now)
    }

    /// Fills `held`. Returns an answer where that cannot be done: the source has nothing yet, or
    /// nothing more.
    fn fetch(&mut self) -> Result<Option<Poll>> {
        if self.held.is_none() {
            match self.source.next()? {
                Poll::Ready(input) => self.held = Some(input),
                other => return Ok(Some(other)),
            }
        }
        Ok(None)
    }

    fn tell_dropped(&mut self) -> Option<Poll> {
        let (at, count) = self.dropped.take()?;
        Some(Poll::Ready(Input::Dropped { at, count }))
    }
}

impl<C: FnMut() -> f64 + Send> Source for Paced<C> {
    fn next(&mut self) -> Result<Poll> {
        loop {
            if let Some(answer) = self.fetch()? {
                return Ok(self.tell_dropped().unwrap_or(answer));
            }
            let now_s = self.now_s();
            let Some(input) = self.held.take() else {
                continue;
            };
            let due_s = input.at().0;
            if due_s > now_s {
                self.held = Some(input);
                return Ok(self.tell_dropped().unwrap_or(Poll::Pending));
            }
            let is_frame = matches!(input, Input::Frame(_));
            if is_frame && now_s - due_s >= self.late_s && self.in_a_row < DROPS_IN_A_ROW_MAX {
                let (first, count) = self.dropped.unwrap_or((input.at(), 0));
                self.dropped = Some((first, count + 1));
                self.in_a_row += 1;
                continue;
            }
            if let Some(told) = self.tell_dropped() {
                self.held = Some(input);
                return Ok(told);
            }
            if is_frame {
                self.in_a_row = 0;
            }
            return Ok(Poll::Ready(input));
        }
    }

    fn inner(&mut self) -> Option<&mut dyn Source> {
        Some(&mut *self.source)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::script::ScriptSource;
    use super::*;
    use crate::stream::{Content, Frame};
    use crate::units::FrameIdx;

    fn paced(inputs: Vec<Input>) -> (Paced<impl FnMut() -> f64 + Send>, impl Fn(f64)) {
        let millis = Arc::new(AtomicU64::new(5_000));
        let clock = millis.clone();
        let source = Paced::new(Box::new(ScriptSource::new(inputs)), 1.0, move || {
            clock.load(Ordering::Relaxed) as f64 / 1000.0
        });
        (source, move |s| {
            millis.store(5_000 + (s * 1000.0) as u64, Ordering::Relaxed)
        })
    }

    fn frames(n: u64) -> Vec<Input> {
        let content = || Content::Features([].into());
        (0..n)
            .map(|k| {
                Input::Frame(Frame {
                    idx: FrameIdx(k),
                    at: MediaTime(k as f64 / 2.0),
                    content: content(),
                })
            })
            .collect()
    }

    fn show(poll: Poll) -> String {
        match poll {
            Poll::Ready(Input::Frame(f)) => format!("frame {}", f.idx.0),
            Poll::Ready(Input::Dropped { at, count }) => format!("dropped {count} at {}", at.0),
            Poll::Ready(Input::User { .. }) => "user".into(),
            Poll::Pending => "pending".into(),
            Poll::End => "end".into(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn nothing_comes_before_its_time() {
        let (mut source, set) = paced(frames(3));
        let mut at = |s: f64| {
            set(s);
            show(source.next().unwrap())
        };
        assert_eq!(at(0.0), "frame 0");
        assert_eq!(at(0.0), "pending");
        assert_eq!(at(0.499), "pending");
        assert_eq!(at(0.5), "frame 1");
        assert_eq!(at(1.9), "frame 2");
        assert_eq!(at(1.9), "end");
    }

    #[test]
    fn late_frames_are_dropped_and_told_but_words_are_not() {
        let mut inputs = frames(12);
        inputs.insert(
            6,
            Input::User {
                at: MediaTime(2.6),
                text: "x".into(),
            },
        );
        let (mut source, set) = paced(inputs);
        let mut at = |s: f64| {
            set(s);
            show(source.next().unwrap())
        };
        assert_eq!(at(0.0), "frame 0");
        assert_eq!(at(4.2), "dropped 5 at 0.5");
        assert_eq!(at(4.2), "user");
        assert_eq!(at(4.2), "dropped 1 at 3");
        assert_eq!(at(4.2), "frame 7");
        assert_eq!(at(4.2), "frame 8");
        assert_eq!(at(4.2), "pending");
        assert_eq!(at(100.0), "dropped 3 at 4.5");
        assert_eq!(at(100.0), "end");
    }

    #[test]
    fn a_source_that_is_always_late_still_shows_something() {
        let (mut source, set) = paced(frames(500));
        source.next().unwrap();
        set(10_000.0);
        assert_eq!(show(source.next().unwrap()), "dropped 64 at 0.5");
        assert_eq!(show(source.next().unwrap()), "frame 65");
    }
}
