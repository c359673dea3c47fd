//! `--resume DIR`: opens a recorded session, and finds the place where its source goes on.

use std::collections::VecDeque;

use super::engine::SourceId;
use super::recording::{FileIdentity, RecordedSession, Recorder};
use super::settings::Settings;
use super::stop::{Interrupted, Usage};
use crate::error::{Error, Result};
use crate::stream::{Event, Frame, Input, Poll, Source};
use crate::tui::Controls;
use crate::units::{FrameIdx, MediaTime};

/// A recorded session that goes on.
pub struct ResumedSession {
    /// Writes the rest of it.
    pub recorder: Recorder,
    /// The part that is recorded already.
    pub recorded: RecordedSession,
}

impl ResumedSession {
    /// Opens the folder for this run. The settings take over the session's own rate, because its
    /// frames are numbered by that.
    ///
    /// # Errors
    /// There is no recorded session, it has another source, or another rate is asked for.
    pub fn open(
        folder: &std::path::Path,
        source: &SourceId,
        save_frames: bool,
        fps_flag: Option<f64>,
        settings: &mut Settings,
    ) -> anyhow::Result<Self> {
        let (recorder, recorded) = Recorder::reopen(folder, save_frames)?;
        let (found, wanted) = (source.identity()?, &recorded.about.source);
        if found.sha256 != wanted.sha256 {
            let named = |used: &FileIdentity| match used.sha256.as_str() {
                "" => format!("the camera `{}`", used.name),
                sha256 => format!("`{}` with SHA-256 {sha256}", used.name),
            };
            let why = format!(
                "the session was recorded from {}, not from {}",
                named(wanted),
                named(&found)
            );
            return Err(Error::format(folder, why).into());
        }
        let fps = recorded.fps();
        if let Some(asked) = fps_flag.filter(|asked| *asked != fps) {
            return Err(Usage(format!(
                "--fps {asked}: the session was recorded at {fps} frames a second"
            ))
            .into());
        }
        settings.fps = fps;
        Ok(Self { recorder, recorded })
    }

    /// Where a camera's frames go on: the time of the last event, and the number of the next frame.
    pub fn behind(&self) -> (MediaTime, FrameIdx) {
        let (last_frame, last_at) = last(&self.recorded.events);
        (
            last_at,
            last_frame.map_or(FrameIdx(0), |last| FrameIdx(last.0 + 1)),
        )
    }

    /// The rest of the source, and the last frames before it, `kept` at most.
    ///
    /// # Errors
    /// The source is broken, or the person has left meanwhile ([`Interrupted`]).
    pub fn rest_of(
        &self,
        source: Box<dyn Source>,
        kept: usize,
        controls: &Controls,
    ) -> anyhow::Result<(Rest, Vec<Frame>)> {
        Rest::behind(last(&self.recorded.events), source, kept, controls)
    }
}

/// Number of the last frame and time of the last event.
fn last(events: &[Event]) -> (Option<FrameIdx>, MediaTime) {
    let mut check = crate::stream::log::Check::default();
    for event in events {
        // They were checked when they were read.
        let _ = check.push(event);
    }
    (check.last_frame(), check.last_at())
}

/// A source without its beginning.
pub struct Rest {
    held: Option<Input>,
    source: Box<dyn Source>,
}

impl Rest {
    fn behind(
        (last_frame, last_at): (Option<FrameIdx>, MediaTime),
        mut source: Box<dyn Source>,
        kept: usize,
        controls: &Controls,
    ) -> anyhow::Result<(Self, Vec<Frame>)> {
        let mut seen = VecDeque::new();
        let held = loop {
            // Decoding hours of video takes minutes; a person who leaves does not wait for it.
            if controls.stop.asked() {
                return Err(Interrupted.into());
            }
            match source.next()? {
                Poll::Ready(Input::Frame(frame))
                    if frame.at < last_at || last_frame.is_some_and(|last| frame.idx <= last) =>
                {
                    seen.push_back(frame);
                    if seen.len() > kept {
                        seen.pop_front();
                    }
                }
                // Words and hands up to the break stand in the log.
                Poll::Ready(input)
                    if !matches!(input, Input::Frame(_)) && input.at() <= last_at => {}
                Poll::Pending => {}
                Poll::Ready(input) => break Some(input),
                Poll::End => break None,
            }
        };
        Ok((Self { held, source }, seen.into()))
    }
}

impl Source for Rest {
    fn next(&mut self) -> Result<Poll> {
        match self.held.take() {
            Some(input) => Ok(Poll::Ready(input)),
            None => self.source.next(),
        }
    }

    fn inner(&mut self) -> Option<&mut dyn Source> {
        Some(&mut *self.source)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::stream::Content;

    /// Frames without end, one a second; somebody leaves at the hundredth.
    struct Endless(u64, Arc<Controls>);

    impl Source for Endless {
        fn next(&mut self) -> Result<Poll> {
            self.0 += 1;
            if self.0 == 100 {
                self.1.stop.interrupt();
            }
            Ok(Poll::Ready(Input::Frame(Frame {
                idx: FrameIdx(self.0),
                at: MediaTime(self.0 as f64),
                content: Content::Features([].into()),
            })))
        }
    }

    #[test]
    fn the_rest_of_a_source_forwards_everything() {
        crate::stream::fake::assert_forwards(|source| Box::new(Rest { held: None, source }));
    }

    #[test]
    fn a_person_who_leaves_does_not_wait_for_the_place() {
        let behind = |last_at: f64| {
            let controls = Controls::new();
            let source = Box::new(Endless(0, controls.clone()));
            Rest::behind(
                (Some(FrameIdx(last_at as u64)), MediaTime(last_at)),
                source,
                3,
                &controls,
            )
        };
        let (mut rest, seen) = behind(50.0).unwrap();
        assert_eq!(
            seen.iter().map(|f| f.idx.0).collect::<Vec<_>>(),
            [48, 49, 50]
        );
        assert!(
            matches!(rest.next().unwrap(), Poll::Ready(Input::Frame(frame)) if frame.idx.0 == 51)
        );
        assert!(behind(1e9).is_err_and(|why| why.is::<Interrupted>()));
    }
}
