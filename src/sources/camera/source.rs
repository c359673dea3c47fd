//! A camera as a source: the newest frame that is due, and a watchdog that gets a lost camera back.

use std::collections::VecDeque;
use std::sync::Arc;

use super::capture::{Clock, Counts, Link, Phase, Starter};
use super::device::{CameraError, label};
use super::limits::CameraLimits;
use super::pixels::{Format, Mounting, decode};
use super::ring::RawFrame;
use crate::error::{Error, Result};
use crate::sources::sampler::Sampler;
use crate::stream::{Content, Frame, Input, Live, LookBack, Poll, Source, SourceState};
use crate::units::{FrameIdx, MediaTime};

/// Most devices that may hang while they are opened or closed; each leaves a thread behind.
const HANGING_MAX: usize = 4;
/// How many ticks of `at` a second has. Milliseconds are the ticks of a recorded video too, so that
/// both give the same frames.
const TICKS_PER_S: f64 = 1000.0;

enum State {
    /// A device is open, or has been opening since that time.
    Linked { link: Arc<Link>, since_s: f64 },
    /// The next try is at that time.
    Waiting { until_s: f64 },
    /// The person pauses: no device is open.
    Paused,
}

/// Inputs that wait to be taken, and the time of the last one.
#[derive(Default)]
struct Telling {
    queue: VecDeque<Input>,
    last: MediaTime,
}

impl Telling {
    fn push(&mut self, at: MediaTime, input: impl FnOnce(MediaTime) -> Input) {
        // Times never decrease, whatever a driver's clock says.
        self.last = if at < self.last { self.last } else { at };
        self.queue.push_back(input(self.last));
    }
}

/// A camera.
pub struct CameraSource {
    starter: Box<dyn Starter>,
    clock: Clock,
    watch: CameraLimits,
    mounting: Mounting,
    sampler: Sampler,
    state: State,
    /// Devices that were told to close and have not closed yet.
    closing: Vec<Arc<Link>>,
    /// Since when no frames have come, by the clock.
    lost_since_s: Option<f64>,
    /// The loss was reported.
    lost_told: bool,
    /// When the camera was last looked at, by the clock.
    looked_s: Option<f64>,
    /// Time before the next try, in seconds.
    rest_s: f64,
    why: Option<CameraError>,
    /// What the clock showed at time 0, which is that of the first frame.
    zero_s: Option<f64>,
    /// How long the sessions before this one took.
    offset_s: f64,
    /// For the present link, the number of the last frame that was seen.
    seen: u64,
    /// For the present link, how many corrupt buffers were reported.
    corrupt_told: u64,
    last_slot: Option<u64>,
    last_clock_s: Option<f64>,
    /// Frames that came while the engine was busy with its memory. They are given before newer
    /// ones.
    behind: VecDeque<Arc<RawFrame>>,
    next_idx: FrameIdx,
    telling: Telling,
    counts: Counts,
}

impl CameraSource {
    /// Begins to open a camera, of which `fps` frames a second are looked at.
    ///
    /// # Errors
    /// The rate or one of the limits is out of range.
    pub fn new(
        starter: Box<dyn Starter>,
        fps: f64,
        watch: CameraLimits,
        mounting: Mounting,
        clock: Clock,
    ) -> Result<Self> {
        watch.check()?;
        let mut source = Self {
            starter,
            watch,
            mounting,
            sampler: Sampler::new(fps)?,
            state: State::Paused,
            closing: Vec::new(),
            lost_since_s: None,
            lost_told: false,
            looked_s: None,
            rest_s: watch.retry_first_s,
            why: None,
            zero_s: None,
            offset_s: 0.0,
            seen: 0,
            corrupt_told: 0,
            last_slot: None,
            last_clock_s: None,
            behind: VecDeque::new(),
            next_idx: FrameIdx(0),
            telling: Telling::default(),
            counts: Counts::default(),
            clock,
        };
        source.connect((source.clock)());
        Ok(source)
    }

    /// Goes on after an earlier session: times and numbers follow the last ones there.
    #[must_use]
    pub fn going_on(mut self, last_at: MediaTime, next_idx: FrameIdx) -> Self {
        // One tick later, so that no two frames have the same time.
        self.offset_s = last_at.seconds().max(0.0) + 1.0 / TICKS_PER_S;
        self.next_idx = next_idx;
        self.telling.last = last_at;
        self
    }

    /// The format that the device is set to; `None` until it is open.
    pub fn format(&self) -> Option<Format> {
        match &self.state {
            State::Linked { link, .. } => match link.phase() {
                Phase::Streaming(format) => Some(format),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the device opened, and in which format; `None` while it is still opening.
    ///
    /// # Errors
    /// The device cannot be opened.
    pub fn first_word(&self) -> Option<Result<Format, CameraError>> {
        let State::Linked { link, since_s } = &self.state else {
            return self.why.clone().map(Err);
        };
        match link.phase() {
            Phase::Opening if (self.clock)() - since_s > self.watch.open_limit_s => {
                Some(Err(CameraError::Driver(format!(
                    "the camera did not open within {} s",
                    self.watch.open_limit_s
                ))))
            }
            Phase::Opening => None,
            Phase::Streaming(format) => Some(Ok(format)),
            Phase::Closed(error) => Some(Err(
                error.unwrap_or_else(|| CameraError::Driver("closed".into()))
            )),
        }
    }

    /// The frames of all devices that were opened so far.
    pub fn counts(&self) -> Counts {
        let mut counts = self.counts.clone();
        if let State::Linked { link, .. } = &self.state {
            add(&mut counts, link.counts());
        }
        counts
    }

    fn at(&self, clock_s: f64) -> MediaTime {
        at(clock_s, self.zero_s.unwrap_or(clock_s), self.offset_s)
    }

    fn connect(&mut self, now_s: f64) {
        self.closing
            .retain(|link| !matches!(link.phase(), Phase::Closed(_)));
        // The last device has to be closed first, or it would be busy.
        if let Some(hanging) = self
            .closing
            .last()
            .filter(|_| self.closing.len() < HANGING_MAX)
        {
            hanging.stop();
        }
        if self.closing.len() >= HANGING_MAX {
            self.fail(now_s, CameraError::Driver("the driver hangs".into()));
            return;
        }
        match self.starter.start() {
            Ok(link) => {
                (self.seen, self.corrupt_told) = (0, 0);
                self.state = State::Linked {
                    link,
                    since_s: now_s,
                };
            }
            Err(error) => self.fail(now_s, error),
        }
    }

    /// Closes the present device.
    fn disconnect(&mut self) {
        self.behind.clear();
        if let State::Linked { link, .. } = std::mem::replace(&mut self.state, State::Paused) {
            link.stop();
            add(&mut self.counts, link.counts());
            self.closing.push(link);
        }
    }

    /// Reports once that no frames come, and plans the next try.
    fn fail(&mut self, now_s: f64, error: CameraError) {
        self.disconnect();
        let since = *self.lost_since_s.get_or_insert(now_s);
        if !self.lost_told {
            self.lost_told = true;
            tracing::warn!("camera lost: {error}");
            let at = self.at(since);
            self.telling.push(at, |at| Input::Source {
                at,
                state: SourceState::Lost,
            });
        } else if self.why.as_ref() != Some(&error) {
            tracing::warn!("camera: {error}");
        }
        self.why = Some(error);
        self.state = State::Waiting {
            until_s: now_s + self.rest_s,
        };
        self.rest_s = (self.rest_s * 2.0).min(self.watch.retry_max_s);
    }

    /// Looks at the device once, and does what its state asks for.
    fn look(&mut self, now_s: f64) -> Result<()> {
        let away_s = self
            .looked_s
            .replace(now_s)
            .map_or(0.0, |looked| now_s - looked);
        if away_s > self.watch.silence_s {
            // The machine slept or the process was stopped, and nobody looked for the camera.
            self.lost_since_s = self.lost_since_s.map(|since| since + away_s);
        }
        if let Some(since) = self
            .lost_since_s
            .filter(|since| now_s - since >= self.watch.lost_limit_s)
        {
            let why = self
                .why
                .as_ref()
                .map_or_else(String::new, |why| format!(": {why}"));
            return Err(Error::Source(format!(
                "the camera has been away for {:.0} s{why}",
                now_s - since
            )));
        }
        let (link, since_s) = match &self.state {
            State::Paused => return Ok(()),
            State::Waiting { until_s } => {
                if now_s >= *until_s {
                    self.connect(now_s);
                }
                return Ok(());
            }
            State::Linked { link, since_s } => (link.clone(), *since_s),
        };
        match link.phase() {
            Phase::Opening if now_s - since_s > self.watch.open_limit_s => {
                let limit = self.watch.open_limit_s;
                self.fail(
                    now_s,
                    CameraError::Driver(format!("the camera did not open within {limit} s")),
                );
            }
            Phase::Opening => {}
            Phase::Closed(error) => self.fail(
                now_s,
                error.unwrap_or_else(|| CameraError::Driver("the camera was closed".into())),
            ),
            Phase::Streaming(format) => self.take_newest(now_s, &link, &format),
        }
        Ok(())
    }

    fn take_newest(&mut self, now_s: f64, link: &Arc<Link>, format: &Format) {
        let counts = link.counts();
        if counts.corrupt > self.corrupt_told {
            tracing::warn!(
                "camera: a frame cannot be used: {}",
                counts.why.unwrap_or_default()
            );
            let (at, count) = (self.at(now_s), counts.corrupt - self.corrupt_told);
            self.corrupt_told = counts.corrupt;
            self.telling.push(at, |at| Input::Dropped { at, count });
        }
        let newest = link.newest();
        let State::Linked { since_s, .. } = &self.state else {
            return;
        };
        let (last_s, limit_s) = match &newest {
            Some(shot) => (shot.clock_s, self.watch.silence_s),
            None => (*since_s, self.watch.first_frame_s()),
        };
        let silent_s = now_s - last_s;
        if silent_s > limit_s {
            self.fail(now_s, CameraError::silent(silent_s));
            return;
        }
        while let Some(shot) = self
            .behind
            .pop_front()
            .or_else(|| newest.clone())
            .filter(|shot| shot.number > self.seen)
        {
            self.take(link, format, &shot);
            if !self.telling.queue.is_empty() || self.behind.is_empty() {
                break;
            }
        }
    }

    /// Takes a frame that was not seen before, and gives it if it is due.
    fn take(&mut self, link: &Link, format: &Format, shot: &RawFrame) {
        let zero_s = *self.zero_s.get_or_insert(shot.clock_s);
        let unseen = shot.number - self.seen - 1;
        if std::mem::take(&mut self.lost_told) {
            if let Some(camera) = link.camera() {
                tracing::info!("camera restored: {}", label(&camera));
            }
            let at = self.at(shot.clock_s);
            self.telling.push(at, |at| Input::Source {
                at,
                state: SourceState::Restored,
            });
        }
        if let (0, Some(camera)) = (self.seen, link.camera()) {
            self.starter.settle_on(camera);
        }
        (self.lost_since_s, self.why, self.rest_s) = (None, None, self.watch.retry_first_s);
        let since_zero = at(shot.clock_s, zero_s, self.offset_s).seconds();
        if !self.sampler.take(since_zero) {
            // It came in time and was not due, so that it does not count as missed later.
            self.seen = shot.number;
            return;
        }
        self.count_missed(since_zero, unseen);
        self.seen = shot.number;
        self.last_clock_s = Some(shot.clock_s);
        match decode(format, &shot.bytes) {
            Ok(picture) => {
                let (idx, picture) = (self.next_idx, Arc::new(self.mounting.upright(picture)));
                self.next_idx = FrameIdx(idx.0 + 1);
                self.telling.push(MediaTime(since_zero), |at| {
                    Input::Frame(Frame {
                        idx,
                        at,
                        content: Content::Picture(picture),
                    })
                });
            }
            Err(why) => {
                tracing::warn!("camera: a frame cannot be decoded: {why}");
                self.telling
                    .push(MediaTime(since_zero), |at| Input::Dropped { at, count: 1 });
            }
        }
    }

    /// Reports the frames that have been due since the last one and were not looked at.
    fn count_missed(&mut self, at_s: f64, unseen: u64) {
        let slot = self.sampler.slot(at_s);
        let missed = self
            .last_slot
            .map_or(0, |last| (slot - last).saturating_sub(1))
            .min(unseen);
        self.last_slot = Some(slot);
        if missed > 0 {
            self.telling
                .push(MediaTime(at_s), |at| Input::Dropped { at, count: missed });
        }
    }
}

/// Whole ticks since the session began.
fn at(clock_s: f64, zero_s: f64, offset_s: f64) -> MediaTime {
    MediaTime((((clock_s - zero_s).max(0.0) + offset_s) * TICKS_PER_S).round() / TICKS_PER_S)
}

fn add(sum: &mut Counts, more: Counts) {
    sum.captured += more.captured;
    sum.overwritten += more.overwritten;
    sum.corrupt += more.corrupt;
    sum.why = more.why.or(sum.why.take());
}

impl Source for CameraSource {
    fn next(&mut self) -> Result<Poll> {
        if self.telling.queue.is_empty() {
            self.look((self.clock)())?;
        }
        Ok(self
            .telling
            .queue
            .pop_front()
            .map_or(Poll::Pending, Poll::Ready))
    }

    fn live(&mut self) -> Option<&mut dyn Live> {
        Some(self)
    }
}

impl Live for CameraSource {
    fn pause(&mut self, paused: bool) {
        match (paused, matches!(self.state, State::Paused)) {
            (true, false) => {
                self.disconnect();
                self.state = State::Paused;
                // A pause is no loss, and what was lost before it no longer counts.
                (self.lost_since_s, self.last_slot) = (None, None);
            }
            (false, true) => self.connect((self.clock)()),
            _ => {}
        }
        // Threads that began to wait just after they were woken are woken again.
        self.closing
            .retain(|link| !matches!(link.phase(), Phase::Closed(_)));
        self.closing.iter().for_each(|link| link.stop());
    }

    fn catch_up(&mut self) {
        if let State::Linked { link, .. } = &self.state {
            self.behind = link
                .held()
                .into_iter()
                .filter(|shot| shot.number > self.seen)
                .collect();
        }
    }

    fn look_back(&self) -> Option<LookBack> {
        let State::Linked { link, .. } = &self.state else {
            return None;
        };
        let (format, zero_s) = (self.format()?, self.zero_s?);
        let (offset_s, mounting) = (self.offset_s, self.mounting);
        let upright = move |shot: Arc<RawFrame>| {
            let picture = decode(&format, &shot.bytes).ok()?;
            Some((
                at(shot.clock_s, zero_s, offset_s),
                mounting.upright(picture),
            ))
        };
        Some(Box::new(link.held().into_iter().filter_map(upright)))
    }

    fn frame_age_s(&self) -> Option<f64> {
        self.last_clock_s
            .map(|captured| ((self.clock)() - captured).max(0.0))
    }
}

impl Drop for CameraSource {
    fn drop(&mut self) {
        self.disconnect();
    }
}
