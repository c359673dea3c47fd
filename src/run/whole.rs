//! The simple way in: a session of an opened model, and a source played through it to its end.
//! There is no clock, no screen and no file.

use std::sync::Arc;
use std::thread::sleep;

use super::drive::PENDING_NAP;
use super::settings::Settings;
use crate::dialogue::task::Task;
use crate::error::Result;
use crate::model::assistant::Assistant;
use crate::model::open::OpenModel;
use crate::model::siglip::Siglip;
use crate::model::{Backbone, Perceiver};
use crate::session::{Flow, Session, SessionConfig};
use crate::stream::{Poll, Sink, Source};

/// A session of an opened model. The settings change what the model's own file says; without a task
/// the assistant only speaks.
///
/// # Errors
/// As [`Session::new`].
pub fn session(
    model: OpenModel,
    settings: &Settings,
    task: Option<Task>,
) -> Result<Session<Siglip, Assistant>> {
    let mut config = SessionConfig {
        model_sha256: model.sha256,
        ..settings.session_config(model.assistant.config())
    };
    let vision = model.vision.map(|vision| {
        config.vision_sha256 = vision.sha256;
        Arc::new(vision.towers)
    });
    let (assistant, codec) = (Arc::new(model.assistant), Arc::new(model.codec));
    Session::new(vision, assistant, codec, task, config)
}

/// Plays the whole source into the session, as fast as the machine goes. The session is finished in
/// any case, also after an error of the source; closing the sink is the caller's.
///
/// # Errors
/// The source is lost for good, the arithmetic failed, or the sink could not take an event.
pub fn play<P: Perceiver, B: Backbone>(
    source: &mut dyn Source,
    session: &mut Session<P, B>,
    sink: &mut dyn Sink,
) -> Result<()> {
    let played = feed_all(source, session, sink);
    session.finish(sink)?;
    played
}

fn feed_all<P: Perceiver, B: Backbone>(
    source: &mut dyn Source,
    session: &mut Session<P, B>,
    sink: &mut dyn Sink,
) -> Result<()> {
    loop {
        while session.advance(sink)? != Flow::Idle {}
        match source.next()? {
            Poll::Ready(input) => session.feed(input)?,
            Poll::Pending => sleep(PENDING_NAP),
            Poll::End => return Ok(()),
        }
    }
}
