//! Free runs: the model decides over frames that lie in memory, as a session does, with nobody speaking to it.

use std::sync::Arc;

use crate::dialogue::task::Task;
use crate::error::Result;
use crate::model::{Backbone, Perceiver};
use crate::session::{Flow, Session, SessionConfig, SharedCodec};
use crate::stream::{Event, Frame, Input};

/// The parts of a model that a session takes.
pub struct Parts<'a, P, B> {
    /// Reads the steps' words; the frames' features are given.
    pub eyes: &'a Arc<P>,
    /// Decides and writes.
    pub backbone: &'a Arc<B>,
    /// Words to tokens and back.
    pub codec: &'a SharedCodec,
}

/// Events of a free run over a recording's frames: what `proact replay` would log.
///
/// # Errors
/// The session failed.
pub fn events<P: Perceiver, B: Backbone>(
    parts: &Parts<'_, P, B>,
    task: Option<&Task>,
    frames: impl IntoIterator<Item = Frame>,
    config: SessionConfig,
) -> Result<Vec<Event>> {
    let (eyes, backbone) = (Some(Arc::clone(parts.eyes)), Arc::clone(parts.backbone));
    let mut session = Session::new(eyes, backbone, Arc::clone(parts.codec), task.cloned(), config)?;
    let mut events: Vec<Event> = Vec::new();
    for frame in frames {
        session.feed(Input::Frame(frame))?;
        while session.advance(&mut events)? != Flow::Idle {}
    }
    session.finish(&mut events)?;
    Ok(events)
}
