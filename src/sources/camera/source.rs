//! A camera as a source: the newest frame that is due, and a watchdog that gets a lost camera back.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::capture::{Clock, Counts, Link, Phase, Starter};
use super::device::{Fault, label};
use super::pixels::{Format, Mounting, decode};
use super::ring::Shot;
use crate::error::{Error, Result};
use crate::sources::sampler::Sampler;
use crate::stream::{Content, Frame, Input, LookBack, Poll, Source, SourceState};
use crate::units::{FrameIdx, MediaTime};

/// Devices that hang while they are opened or closed, at most; a thread each is left behind.
const HANGING_MAX: usize = 4;
/// Ticks of `at` in a second: milliseconds, as in a recorded video, so that both give the same
/// frames.
const TICKS_PER_S: f64 = 1000.0;

/// When a camera counts as lost, and how hard it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Watch {
    /// Opening, up to the first frame, may take so long, in seconds.
    pub open_limit_s: f64,
    /// Without a frame for so long it is lost, in seconds.
    pub silence_s: f64,
    /// Lost for so long it is lost for good, in seconds; while the machine sleeps they do not
    /// count.
    pub lost_limit_s: f64,
    /// Rest before the first try to open it again, in seconds; doubled with each try.
    pub retry_first_s: f64,
    /// Rest between two tries at most, in seconds.
    pub retry_max_s: f64,
    /// The ring holds the frames of so many seconds.
    pub look_back_s: f64,
}

impl Default for Watch {
    fn default() -> Self {
        // A webcam opens in one to three seconds, and some take as long again for a first frame;
        // its frames come at least every half second, even in the dark.
        Self {
            open_limit_s: 10.0,
            silence_s: 3.0,
            lost_limit_s: 300.0,
            retry_first_s: 0.5,
            retry_max_s: 10.0,
            look_back_s: 4.0,
        }
    }
}

impl Watch {
    /// From the first try to open it, its first frame may take so long, in seconds.
    pub fn first_frame_s(&self) -> f64 {
        self.open_limit_s.max(self.silence_s)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the key, its value and what is expected.
    pub fn check(&self) -> Result<()> {
        let Self {
            open_limit_s,
            silence_s,
            lost_limit_s,
            retry_first_s,
            retry_max_s,
            look_back_s,
        } = *self;
        let times = [
            ("open_limit_s", open_limit_s),
            ("silence_s", silence_s),
            ("lost_limit_s", lost_limit_s),
            ("retry_first_s", retry_first_s),
            ("retry_max_s", retry_max_s),
            ("look_back_s", look_back_s),
        ];
        match times
            .into_iter()
            .find(|(_, s)| !(s.is_finite() && *s > 0.0))
        {
            Some((key, value)) => Err(Error::Invalid(format!(
                "camera: {key} = {value}, expected a number above 0"
            ))),
            None => Ok(()),
        }
    }
}

enum State {
    /// A device is open, or being opened since then.
    Linked { link: Arc<Link>, since_s: f64 },
    /// The next try is at that time.
    Waiting { until_s: f64 },
    /// The person pauses: no device is open.
    Resting,
}

/// What was told and not taken yet, and what is told when.
#[derive(Default)]
struct Telling {
    queue: VecDeque<Input>,
    last: MediaTime,
}

impl Telling {
    fn push(&mut self, at: MediaTime, input: impl FnOnce(MediaTime) -> Input) {
        // Times never decrease, whatever the clock of a driver says.
        self.last = if at < self.last { self.last } else { at };
        self.queue.push_back(input(self.last));
    }
}

/// A camera.
pub struct CameraSource {
    starter: Box<dyn Starter>,
    clock: Clock,
    watch: Watch,
    mounting: Mounting,
    sampler: Sampler,
    state: State,
    /// Devices that were told to close, and have not yet.
    closing: Vec<Arc<Link>>,
    /// Since when there are no frames, of the clock.
    lost_since_s: Option<f64>,
    /// It has been told.
    lost_told: bool,
    /// When the camera was last looked at, of the clock.
    looked_s: Option<f64>,
    /// Rest before the next try.
    rest_s: f64,
    why: Option<Fault>,
    /// Clock at time 0: the first frame.
    zero_s: Option<f64>,
    /// Time that sessions before this one took.
    offset_s: f64,
    /// Of the link at hand: number of the last frame seen, buffers told as corrupt.
    seen: u64,
    corrupt_told: u64,
    last_slot: Option<u64>,
    last_clock_s: Option<f64>,
    /// Frames that came while the engine was busy with its memory; before newer ones.
    behind: VecDeque<Arc<Shot>>,
    next_idx: FrameIdx,
    telling: Telling,
    counts: Counts,
}

impl CameraSource {
    /// A camera that is being opened; `fps` frames a second are looked at.
    ///
    /// # Errors
    /// A rate or a time out of range.
    pub fn new(
        starter: Box<dyn Starter>,
        fps: f64,
        watch: Watch,
        mounting: Mounting,
        clock: Clock,
    ) -> Result<Self> {
        watch.check()?;
        let mut source = Self {
            starter,
            watch,
            mounting,
            sampler: Sampler::new(fps)?,
            state: State::Resting,
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

    /// Goes on behind an earlier session: times and numbers follow its last.
    #[must_use]
    pub fn going_on(mut self, last_at: MediaTime, next_idx: FrameIdx) -> Self {
        // One tick later, so that no frame stands twice.
        self.offset_s = last_at.seconds().max(0.0) + 1.0 / TICKS_PER_S;
        self.next_idx = next_idx;
        self.telling.last = last_at;
        self
    }

    /// What the device is set to; `None` until it is open.
    pub fn format(&self) -> Option<Format> {
        match &self.state {
            State::Linked { link, .. } => match link.phase() {
                Phase::Streaming(format) => Some(format),
                _ => None,
            },
            _ => None,
        }
    }

    /// The first answer of the device: open, or why not. `None` while it takes its time.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn first_word(&self) -> Option<Result<Format, Fault>> {
        let State::Linked { link, since_s } = &self.state else {
            return self.why.clone().map(Err);
        };
        match link.phase() {
            Phase::Opening if (self.clock)() - since_s > self.watch.open_limit_s => {
                Some(Err(Fault::Driver(format!(
                    "the camera did not open within {} s",
                    self.watch.open_limit_s
                ))))
            }
            Phase::Opening => None,
            Phase::Streaming(format) => Some(Ok(format)),
            Phase::Closed(fault) => {
                Some(Err(fault.unwrap_or_else(|| Fault::Driver("closed".into()))))
            }
        }
    }

    /// Frames of all devices so far.
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
        // The last device has to be let go of first, or it would be busy.
        if let Some(hanging) = self
            .closing
            .last()
            .filter(|_| self.closing.len() < HANGING_MAX)
        {
            hanging.stop();
        }
        if self.closing.len() >= HANGING_MAX {
            self.fail(now_s, Fault::Driver("the driver hangs".into()));
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
            Err(fault) => self.fail(now_s, fault),
        }
    }

    /// Lets go of the device at hand.
    fn disconnect(&mut self) {
        self.behind.clear();
        if let State::Linked { link, .. } = std::mem::replace(&mut self.state, State::Resting) {
            link.stop();
            add(&mut self.counts, link.counts());
            self.closing.push(link);
        }
    }

    /// No frames come: told once, then tried again and again.
    fn fail(&mut self, now_s: f64, fault: Fault) {
        self.disconnect();
        let since = *self.lost_since_s.get_or_insert(now_s);
        if !self.lost_told {
            self.lost_told = true;
            tracing::warn!("camera lost: {fault}");
            let at = self.at(since);
            self.telling.push(at, |at| Input::Source {
                at,
                state: SourceState::Lost,
            });
        } else if self.why.as_ref() != Some(&fault) {
            tracing::warn!("camera: {fault}");
        }
        self.why = Some(fault);
        self.state = State::Waiting {
            until_s: now_s + self.rest_s,
        };
        self.rest_s = (self.rest_s * 2.0).min(self.watch.retry_max_s);
    }

    /// One look at the state of things.
    fn look(&mut self, now_s: f64) -> Result<()> {
        let away_s = self
            .looked_s
            .replace(now_s)
            .map_or(0.0, |looked| now_s - looked);
        if away_s > self.watch.silence_s {
            // The machine slept, or the process was stopped: nobody looked for the camera.
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
            State::Resting => return Ok(()),
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
                    Fault::Driver(format!("the camera did not open within {limit} s")),
                );
            }
            Phase::Opening => {}
            Phase::Closed(fault) => self.fail(
                now_s,
                fault.unwrap_or_else(|| Fault::Driver("the camera was closed".into())),
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
            self.fail(now_s, Fault::silent(silent_s));
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

    /// A frame that was not seen before: told if it is due.
    fn take(&mut self, link: &Link, format: &Format, shot: &Shot) {
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
            // It was there in time, and not due: it is not missed later.
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

    /// Frames that were due since the last one, and that nobody had time for.
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

    fn rest(&mut self, resting: bool) {
        match (resting, matches!(self.state, State::Resting)) {
            (true, false) => {
                self.disconnect();
                self.state = State::Resting;
                // A pause is no loss, and time lost before it does not count on.
                (self.lost_since_s, self.last_slot) = (None, None);
            }
            (false, true) => self.connect((self.clock)()),
            _ => {}
        }
        // A thread that was about to wait when it was woken is woken again.
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
        let upright = move |shot: Arc<Shot>| {
            let picture = decode(&format, &shot.bytes).ok()?;
            Some((
                at(shot.clock_s, zero_s, offset_s),
                mounting.upright(picture),
            ))
        };
        Some(Box::new(link.held().into_iter().filter_map(upright)))
    }

    fn behind_s(&self) -> Option<f64> {
        self.last_clock_s
            .map(|captured| ((self.clock)() - captured).max(0.0))
    }
}

impl Drop for CameraSource {
    fn drop(&mut self) {
        self.disconnect();
    }
}
