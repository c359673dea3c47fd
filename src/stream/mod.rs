//! The contract between the rooms: frames and words go in, events come out. Free of candle.
//!
//! A [`Source`] is polled for [`Input`]s, the session turns them into [`Event`]s, and each
//! [`Sink`] (log, text, subtitles, speech, screen) reads the same events.

mod event;
#[cfg(test)]
pub(crate) mod fake;
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

impl Input {
    /// When it happened.
    pub fn at(&self) -> MediaTime {
        match self {
            Self::Frame(frame) => frame.at,
            Self::User { at, .. }
            | Self::Hand { at, .. }
            | Self::Dropped { at, .. }
            | Self::Source { at, .. } => *at,
        }
    }
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
///
/// Only [`next`](Source::next) has to be written. A source that wraps another one also names that
/// one as its [`inner`](Source::inner), which then answers everything that the wrapper does not
/// answer itself.
pub trait Source: Send {
    /// Returns the next input, or says that there is none yet or none any more.
    ///
    /// # Errors
    /// The source is broken for good. What can be recovered is an [`Input`] instead.
    fn next(&mut self) -> Result<Poll>;

    /// The source that this one wraps, if it wraps one.
    fn inner(&mut self) -> Option<&mut dyn Source> {
        None
    }

    /// Length of the recording where it is known, for showing progress.
    fn duration(&mut self) -> Option<MediaTime> {
        self.inner()?.duration()
    }

    /// Says, before the first input is asked for, that the caller will throw away what stands
    /// before `at`. The source may save that work, or give those inputs all the same.
    fn skip_to(&mut self, at: MediaTime) {
        if let Some(inner) = self.inner() {
            inner.skip_to(at);
        }
    }

    /// The live side of the source; `None` for a recording.
    fn live(&mut self) -> Option<&mut dyn Live> {
        self.inner()?.live()
    }
}

/// What only a live source, such as a camera, can do.
pub trait Live {
    /// Pauses the source or lets it go on. While it is paused its device is closed.
    fn pause(&mut self, paused: bool);

    /// Says that the engine was busy with its own memory and looked at no frames. Those that have
    /// been due since the last one, and are still held, are then given before newer ones.
    fn catch_up(&mut self);

    /// The pictures of the last seconds that are still held, whether or not they were due; `None`
    /// where none are held.
    fn look_back(&self) -> Option<LookBack>;

    /// Seconds of the clock since the last frame that was given was captured; `None` before the
    /// first.
    fn frame_age_s(&self) -> Option<f64>;
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
