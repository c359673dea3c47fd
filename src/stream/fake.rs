//! A live source for tests, which writes down what is asked of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::{Input, Live, LookBack, Poll, Source};
use crate::error::Result;
use crate::units::MediaTime;

/// What was asked of a source besides its inputs, in order.
pub type Asked = Arc<Mutex<Vec<String>>>;

/// Gives its inputs, then ends.
pub struct FakeLive {
    inputs: VecDeque<Input>,
    asked: Asked,
}

impl FakeLive {
    /// A source of these inputs, and where it writes down what is asked of it.
    pub fn new(inputs: impl IntoIterator<Item = Input>) -> (Box<Self>, Asked) {
        let asked = Asked::default();
        let source = Self {
            inputs: inputs.into_iter().collect(),
            asked: asked.clone(),
        };
        (Box::new(source), asked)
    }

    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

impl Source for FakeLive {
    fn next(&mut self) -> Result<Poll> {
        Ok(self.inputs.pop_front().map_or(Poll::End, Poll::Ready))
    }

    fn duration(&mut self) -> Option<MediaTime> {
        Some(MediaTime(7.0))
    }

    fn skip_to(&mut self, at: MediaTime) {
        self.note(format!("skip to {}", at.0));
    }

    fn live(&mut self) -> Option<&mut dyn Live> {
        Some(self)
    }
}

impl Live for FakeLive {
    fn pause(&mut self, paused: bool) {
        self.note(format!("pause: {paused}"));
    }

    fn catch_up(&mut self) {
        self.note("catch up".into());
    }

    fn look_back(&self) -> Option<LookBack> {
        Some(Box::new(std::iter::empty()))
    }

    fn frame_age_s(&self) -> Option<f64> {
        Some(0.25)
    }
}

/// Checks that a source which wraps another one hands on whatever is asked of it.
pub fn assert_forwards(wrap: impl FnOnce(Box<dyn Source>) -> Box<dyn Source>) {
    let (inner, asked) = FakeLive::new([]);
    let mut source = wrap(inner);
    asked.lock().unwrap().clear();
    assert_eq!(source.duration(), Some(MediaTime(7.0)));
    source.skip_to(MediaTime(3.0));
    let live = source.live().expect("its inner source is live");
    live.pause(true);
    live.catch_up();
    assert!(live.look_back().is_some());
    assert_eq!(live.frame_age_s(), Some(0.25));
    assert_eq!(
        *asked.lock().unwrap(),
        ["skip to 3", "pause: true", "catch up"]
    );
}
