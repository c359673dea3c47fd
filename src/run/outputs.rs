//! Opens the sinks of a run: the files that its options name, the voice, and the face (the screen
//! or lines of text).

use std::io::Write;
use std::sync::Arc;

use super::options::RunOptions;
use super::plain::Plain;
use super::recording::Recorder;
use crate::error::Result;
use crate::sinks::{JsonlSink, Output, Speaker, SpeechSink, SubtitleFormat, SubtitleSink, Tee};
use crate::stream::{Event, Sink};
use crate::tui::{App, Controls, ScreenSink};

/// The part of a run that the person sees.
pub enum Face<W: Write> {
    /// Lines of text.
    Lines(Box<Plain<W>>),
    /// The screen.
    Screen(ScreenSink),
}

impl<W: Write> Face<W> {
    /// The state of the screen, or of what the lines have told.
    pub fn into_app(self) -> App {
        match self {
            Face::Lines(plain) => plain.into_app(),
            Face::Screen(screen) => screen.0.snapshot(),
        }
    }
}

/// The face is lent to the sinks, because the summary needs it again.
impl<W: Write> Sink for &mut Face<W> {
    fn emit(&mut self, event: &Event) -> Result<()> {
        match self {
            Face::Lines(plain) => plain.emit(event),
            Face::Screen(screen) => screen.emit(event),
        }
    }

    fn close(&mut self) -> Result<()> {
        match self {
            Face::Lines(plain) => plain.close(),
            Face::Screen(screen) => screen.close(),
        }
    }
}

/// Opens every sink of a run, and the voice if there is one. The face comes last, so that
/// everything it shows is already logged. The events of a resumed session (`past`) go to all sinks
/// but its recording, which has them, and the voice.
///
/// # Errors
/// A file cannot be created, or the voice's command cannot be understood.
pub fn open<'a, W: Write>(
    options: &RunOptions,
    recorder: Option<&Recorder>,
    past: &[Event],
    mut face: &'a mut Face<W>,
    controls: &Arc<Controls>,
) -> Result<(Tee<'a>, Option<Speaker>)> {
    let mut tee = Tee::new();
    let mut speaker = None;
    if let Some(path) = &options.events {
        tee.push(JsonlSink::new(Output::create(path)?));
    }
    for (path, format) in [
        (&options.vtt, SubtitleFormat::WebVtt),
        (&options.srt, SubtitleFormat::Srt),
    ] {
        if let Some(path) = path {
            tee.push(SubtitleSink::new(Output::create(path)?, format)?);
        }
    }
    for event in past {
        tee.emit(event)?;
        face.emit(event)?;
    }
    if let Some(recorder) = recorder {
        tee.push(recorder.events()?);
    }
    if let Some(command) = &options.speak_cmd {
        let speech = SpeechSink::new(command)?;
        speaker = Some(speech.speaker());
        tee.push(Voice {
            speech,
            controls: controls.clone(),
        });
    }
    tee.push(face);
    Ok((tee, speaker))
}

/// A voice that the person can mute, and that reports sentences it could not speak.
struct Voice {
    speech: SpeechSink,
    controls: Arc<Controls>,
}

impl Sink for Voice {
    fn emit(&mut self, event: &Event) -> Result<()> {
        if matches!(event, Event::Utterance { .. }) && self.controls.muted() {
            return Ok(());
        }
        self.speech.emit(event)
    }

    fn close(&mut self) -> Result<()> {
        let closed = self.speech.close();
        let report = self.speech.report();
        if report.failed > 0 {
            tracing::warn!("--speak-cmd failed for {} of the sentences", report.failed);
        }
        closed
    }
}
