//! The contract between the rooms: frames and words go in, events come out. Free of candle.
//!
//! A [`Source`] is polled for [`Input`]s, the session turns them into [`Event`]s, and each
//! [`Sink`] (log, text, subtitles, speech, screen) reads the same events.

mod event;
pub mod log;

use std::sync::Arc;

pub use event::{ContextPolicyName, Event, GateName, SourceState, StepInfo, WarningKind};

pub use crate::dialogue::task::{StepState, Transition};

use crate::dialogue::task::Update;
use crate::error::Result;
use crate::units::{FrameIdx, MediaTime, StepId};

/// An upright picture of 8-bit RGB, rows from the top, no padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `[height, width, 3]`, row-major.
    pub rgb: Vec<u8>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({}x{})", self.width, self.height)
    }
}

/// What a source knows of a frame: the picture itself, or features computed earlier.
#[derive(Clone, Debug)]
pub enum Content {
    /// A picture that the encoder will look at.
    Picture(Arc<Picture>),
    /// Encoder output `[V, Dv]`, row-major; enters after the encoder.
    Features(Arc<[f32]>),
}

/// One sampled frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its number in the session.
    pub idx: FrameIdx,
    /// Its own time stamp.
    pub at: MediaTime,
    /// What it shows.
    pub content: Content,
}

/// A hand on the task state, by the person instead of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// Set one step's state.
    Mark(StepId, StepState),
    /// Take the last change of the state back.
    Undo,
    /// Everything before the step is completed, the step itself is in progress.
    Jump(StepId),
}

/// What can enter a session.
#[derive(Clone, Debug)]
pub enum Input {
    /// A frame.
    Frame(Frame),
    /// Words of the person; they enter the stream as a user turn.
    User {
        /// When they were said.
        at: MediaTime,
        /// What was said.
        text: String,
    },
    /// A hand on the state.
    Hand {
        /// When.
        at: MediaTime,
        /// What to change.
        hand: Hand,
    },
    /// Frames that were lost before they could be looked at.
    Dropped {
        /// When.
        at: MediaTime,
        /// How many.
        count: u64,
    },
    /// The source went away or came back.
    Source {
        /// When.
        at: MediaTime,
        /// Lost or restored.
        state: SourceState,
    },
}

/// Pictures with their times, the oldest first, decoded as they are asked for.
pub type LookBack = Box<dyn Iterator<Item = (MediaTime, Picture)> + Send>;

/// Answer of a source to "what is next?".
#[derive(Clone, Debug)]
pub enum Poll {
    /// Something has come.
    Ready(Input),
    /// Nothing yet; ask again later (live sources only).
    Pending,
    /// Nothing will come any more.
    End,
}

/// Where inputs come from. Times do not decrease.
pub trait Source: Send {
    /// The next input, or word that there is none yet or no more.
    ///
    /// # Errors
    /// The source is broken for good; what can be recovered is an [`Input`] instead.
    fn next(&mut self) -> Result<Poll>;

    /// Length of the recording where it is known, for progress.
    fn duration(&self) -> Option<MediaTime> {
        None
    }

    /// Tells a source that nothing was asked of yet: what stands before `at` will be thrown away.
    /// It may save the work; it may also give it all the same.
    fn skip_to(&mut self, _at: MediaTime) {}

    /// Tells a live source whether anybody wants its frames: while nobody does, its device is
    /// closed.
    fn rest(&mut self, _resting: bool) {}

    /// Tells a live source that the engine was busy with its own memory instead of the frames:
    /// those that were due since the last one, and are still held, are given before newer ones.
    fn catch_up(&mut self) {}

    /// What a live source holds of the last seconds, whether or not it was due; `None` where
    /// nothing is held.
    fn look_back(&self) -> Option<LookBack> {
        None
    }

    /// Seconds of the clock since the last frame was captured; `None` for a recording.
    fn behind_s(&self) -> Option<f64> {
        None
    }
}

/// Where events go.
pub trait Sink {
    /// Takes one event.
    ///
    /// # Errors
    /// The event could not be kept (disk full, pipe closed).
    fn emit(&mut self, event: &Event) -> Result<()>;

    /// Called once after the last event: flush, finish the file.
    ///
    /// # Errors
    /// What was kept so far could not be made durable.
    fn close(&mut self) -> Result<()>;
}

/// Keeps events in memory; for tests and for scoring.
impl Sink for Vec<Event> {
    fn emit(&mut self, event: &Event) -> Result<()> {
        self.push(event.clone());
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The state change of an [`Event::Transition`], if it is one.
pub fn update_of(event: &Event) -> Option<(MediaTime, Update)> {
    match event {
        Event::Transition {
            at,
            step,
            transition,
            ..
        } => Some((
            *at,
            Update {
                step: *step,
                transition: *transition,
            },
        )),
        _ => None,
    }
}
