//! Free runs: the model decides over frames that lie in memory, as a session does, with nobody
//! speaking to it.

use std::sync::Arc;

use proact::dialogue::task::{StepState, Task, TaskState};
use proact::error::Result;
use proact::model::{Backbone, Perceiver};
use proact::run;
use proact::session::{Session, SessionConfig, SharedCodec};
use proact::sources::ScriptSource;
use proact::stream::{Event, Frame, Hand, Input};
use proact::units::MediaTime;

/// The parts of a model that a session takes.
pub struct Parts<'a, P, B> {
    /// Reads the steps' words, for a model that compares frames with them; the frames' features are
    /// given.
    pub eyes: Option<&'a Arc<P>>,
    /// Decides and writes.
    pub backbone: &'a Arc<B>,
    /// Words to tokens and back.
    pub codec: &'a SharedCodec,
}

/// Events of a free run over a recording's frames: what `proact replay` would log. What a clip
/// begins with is marked in the state by hand, before the first frame.
///
/// # Errors
/// The session failed.
pub fn events<P: Perceiver, B: Backbone>(
    parts: &Parts<'_, P, B>,
    task: Option<&Task>,
    start: &TaskState,
    frames: impl IntoIterator<Item = Frame>,
    config: SessionConfig,
) -> Result<Vec<Event>> {
    let (eyes, backbone) = (parts.eyes.cloned(), Arc::clone(parts.backbone));
    let mut session = Session::new(
        eyes,
        backbone,
        Arc::clone(parts.codec),
        task.cloned(),
        config,
    )?;
    let mut frames = frames.into_iter().peekable();
    let at = frames
        .peek()
        .map_or_else(MediaTime::default, |frame| frame.at);
    let marks = start
        .iter()
        .filter(|(_, state)| *state != StepState::NotStarted)
        .map(|(step, state)| Input::Hand {
            at,
            hand: Hand::Mark(step, state),
        });
    let mut source = ScriptSource::new(marks.chain(frames.map(Input::Frame)));
    let mut events: Vec<Event> = Vec::new();
    run::play(&mut source, &mut session, &mut events)?;
    Ok(events)
}
