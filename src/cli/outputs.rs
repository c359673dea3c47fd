//! Where a run's events go: the files that the flags ask for, the voice, and the face (screen or lines).

use std::io::Write;
use std::sync::Arc;

use super::flags::RunFlags;
use super::plain::Plain;
use crate::error::Result;
use crate::sinks;
use crate::stream::{Event, Sink};
use crate::tui::{Controls, ScreenSink};

/// What the person sees.
pub enum Face<W: Write> {
    /// Lines of text.
    Lines(Plain<W>),
    /// The screen.
    Screen(ScreenSink),
}

impl<W: Write> Sink for Face<W> {
    fn emit(&mut self, event: &Event) -> Result<()> {
        match self {
            Self::Lines(plain) => plain.emit(event),
            Self::Screen(screen) => screen.emit(event),
        }
    }

    fn close(&mut self) -> Result<()> {
        match self {
            Self::Lines(plain) => plain.close(),
            Self::Screen(screen) => screen.close(),
        }
    }
}

/// Every sink of a run. An event reaches all of them, even when one fails; the first failure is told.
pub struct Outputs<'a> {
    sinks: Vec<Box<dyn Sink + 'a>>,
}

impl<'a> Outputs<'a> {
    /// Creates the files.
    ///
    /// # Errors
    /// A file cannot be created, or the voice's command cannot be understood.
    pub fn create<W: Write>(flags: &RunFlags, face: &'a mut Face<W>, controls: &Arc<Controls>) -> Result<Self> {
        let mut sinks: Vec<Box<dyn Sink + 'a>> = Vec::new();
        if let Some(path) = &flags.events {
            sinks.push(Box::new(sinks::JsonlSink::create(path)?));
        }
        if let Some(path) = &flags.vtt {
            sinks.push(Box::new(sinks::SubtitleSink::create(path, sinks::SubtitleFormat::WebVtt)?));
        }
        if let Some(path) = &flags.srt {
            sinks.push(Box::new(sinks::SubtitleSink::create(path, sinks::SubtitleFormat::SubRip)?));
        }
        if let Some(command) = &flags.speak_cmd {
            let voice = sinks::SpeechSink::new(command)?;
            sinks.push(Box::new(Mutable { voice, controls: controls.clone() }));
        }
        sinks.push(Box::new(face));
        Ok(Self { sinks })
    }

    fn each(&mut self, mut act: impl FnMut(&mut dyn Sink) -> Result<()>) -> Result<()> {
        let mut told = Ok(());
        for sink in &mut self.sinks {
            let result = act(&mut **sink);
            if told.is_ok() {
                told = result;
            }
        }
        told
    }
}

impl Sink for Outputs<'_> {
    fn emit(&mut self, event: &Event) -> Result<()> {
        self.each(|sink| sink.emit(event))
    }

    fn close(&mut self) -> Result<()> {
        self.each(|sink| sink.close())
    }
}

impl<W: Write> Sink for &mut Face<W> {
    fn emit(&mut self, event: &Event) -> Result<()> {
        (**self).emit(event)
    }

    fn close(&mut self) -> Result<()> {
        (**self).close()
    }
}

/// A voice that the person can silence.
struct Mutable<S> {
    voice: S,
    controls: Arc<Controls>,
}

impl<S: Sink> Sink for Mutable<S> {
    fn emit(&mut self, event: &Event) -> Result<()> {
        if matches!(event, Event::Utterance { .. }) && self.controls.muted() {
            return Ok(());
        }
        self.voice.emit(event)
    }

    fn close(&mut self) -> Result<()> {
        self.voice.close()
    }
}
