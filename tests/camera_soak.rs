//! Eight hours of camera by a clock that the test turns: drop-outs, broken frames and unplugging
//! every few minutes. Memory does not grow, no event is lost or out of order, the task's state is
//! what it should be.

#[path = "session/fake.rs"]
mod fake;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fake::{Fake, FakeEyes, Scene};
use proact::dialogue::layout::Bytes;
use proact::dialogue::task::{StepState, Task};
use proact::error::Result;
use proact::session::{Flow, Session, SessionConfig};
use proact::sources::camera::{
    CameraError, CameraLimits, CameraSource, Clock, Format, Link, ListedCamera, Mounting, Phase,
    PixelLayout, Starter,
};
use proact::stream::{Event, Poll, Sink, Source, SourceState};
use proact::units::{FrameIdx, MediaTime};

/// Counts the bytes that are held.
struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const HOURS: u64 = 8;
/// Milliseconds between two frames: 30 a second, nearly.
const FRAME_MS: u64 = 33;
const FPS: f64 = 2.0;
const FORMAT: Format = Format {
    width: 32,
    height: 24,
    pixels: PixelLayout::Rgb,
    fps: 30,
};

/// The camera: what it does follows from the time alone.
#[derive(Clone, Default)]
struct World {
    millis: Arc<AtomicU64>,
    link: Arc<Mutex<Option<Arc<Link>>>>,
    /// Buffers of a wrong length that were handed out.
    broken: Arc<AtomicU64>,
    /// Slots in which a whole frame came, counted as the source should.
    slots: Arc<Mutex<Slots>>,
}

#[derive(Default)]
struct Slots {
    zero_ms: Option<u64>,
    last: Option<u64>,
    count: u64,
}

impl Starter for World {
    fn start(&mut self) -> Result<Arc<Link>, CameraError> {
        let link = Link::new(4.0);
        *self.link.lock().unwrap() = Some(link.clone());
        Ok(link)
    }

    fn settle_on(&mut self, camera: ListedCamera) {
        assert_eq!(camera.name, "soak");
    }
}

/// Where minute `m` of the recording stands in the script. Minutes 7, 14, …: unplugged for 20 s.
/// Minutes 5, 10, …: silent for 2 s, which is no loss, and in every other of them for 6 s, which is
/// one. Minutes 3, 6, …: ten broken frames.
fn is_unplugged(ms: u64) -> bool {
    (ms / 60_000).is_multiple_of(7) && ms > 60_000 && (20_000..40_000).contains(&(ms % 60_000))
}

fn is_silent(ms: u64) -> bool {
    let minute = ms / 60_000;
    let length = if minute.is_multiple_of(10) {
        6_000
    } else {
        2_000
    };
    minute.is_multiple_of(5)
        && !minute.is_multiple_of(7)
        && minute > 0
        && (10_000..10_000 + length).contains(&(ms % 60_000))
}

fn is_broken(ms: u64) -> bool {
    (ms / 60_000).is_multiple_of(3) && (50_000..50_000 + 10 * FRAME_MS).contains(&(ms % 60_000))
}

/// The number that the fake model sees: what happens in its script there. Seen for one slot of the
/// sampler.
fn shown(ms: u64) -> u8 {
    const EVENTS: [(u64, u8); 4] = [
        (45, 1),
        (47 * 60 + 45, 2),
        (3 * 3600 + 45, 3),
        (5 * 3600 + 45, 4),
    ];
    EVENTS
        .iter()
        .find(|(at_s, _)| (at_s * 1000..at_s * 1000 + 500).contains(&ms))
        .map_or(0, |(_, n)| *n)
}

impl World {
    /// What the camera does at its next tick.
    fn tick(&self, ms: u64) {
        self.millis.store(ms, Ordering::Relaxed);
        let Some(link) = self.link.lock().unwrap().clone() else {
            return;
        };
        let camera = ListedCamera {
            name: "soak".into(),
            id: "usb".into(),
            ..ListedCamera::default()
        };
        match link.phase() {
            _ if link.stopping() => link.closed(None),
            Phase::Opening if is_unplugged(ms) => {
                link.closed(Some(CameraError::Missing("soak is not there".into())))
            }
            Phase::Opening => link.opened(&camera, FORMAT, 4.0),
            Phase::Streaming(_) if is_unplugged(ms) => {
                link.closed(Some(CameraError::Missing("soak is not there".into())))
            }
            Phase::Streaming(_) if is_silent(ms) => {}
            Phase::Streaming(_) if is_broken(ms) => {
                link.push(ms as f64 / 1000.0, &[0; 100]);
                self.broken.fetch_add(1, Ordering::Relaxed);
            }
            Phase::Streaming(_) => {
                link.push(ms as f64 / 1000.0, &[shown(ms); 32 * 24 * 3]);
                let mut slots = self.slots.lock().unwrap();
                let zero_ms = *slots.zero_ms.get_or_insert(ms);
                // The sampler lets a frame be 2 ms early.
                let slot = Some((ms - zero_ms + 2) / 500);
                slots.count += u64::from(slot > slots.last);
                slots.last = slot;
            }
            Phase::Closed(_) => {}
        }
    }
}

/// Checks the events as they come, and keeps none.
#[derive(Default)]
struct Check {
    last_at: MediaTime,
    frames: u64,
    dropped: u64,
    lost: u64,
    restored: u64,
    transitions: Vec<String>,
    rejected: u64,
    end: Option<Vec<StepState>>,
}

impl Check {
    fn at(&mut self, at: MediaTime) {
        assert!(at >= self.last_at, "{at:?} after {:?}", self.last_at);
        self.last_at = at;
    }
}

impl Sink for Check {
    fn emit(&mut self, event: &Event) -> Result<()> {
        assert!(self.end.is_none(), "{event:?} behind the end");
        match event {
            Event::Frame { frame, at, .. } => {
                self.at(*at);
                assert_eq!(*frame, FrameIdx(self.frames));
                self.frames += 1;
            }
            Event::Dropped { at, count } => {
                self.at(*at);
                self.dropped += count;
            }
            Event::Source { at, state } => {
                self.at(*at);
                match state {
                    SourceState::Lost => self.lost += 1,
                    SourceState::Restored => self.restored += 1,
                }
                assert!(
                    self.lost == self.restored || self.lost == self.restored + 1,
                    "lost and restored in turn"
                );
            }
            Event::Transition {
                at,
                step,
                transition,
                ..
            } => {
                self.at(*at);
                self.transitions.push(format!("{step} {transition:?}"));
            }
            Event::Rejected { .. } => self.rejected += 1,
            Event::End { steps, .. } => {
                self.end = Some(steps.iter().map(|step| step.state).collect())
            }
            Event::Context { at, .. } => self.at(*at),
            Event::Session { .. } => {}
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

#[test]
fn eight_hours_of_a_bad_camera() {
    let world = World::default();
    let millis = world.millis.clone();
    let clock: Clock = Arc::new(move || millis.load(Ordering::Relaxed) as f64 / 1000.0);
    let mut source = CameraSource::new(
        Box::new(world.clone()),
        FPS,
        CameraLimits::default(),
        Mounting::default(),
        clock,
    )
    .unwrap();
    let task = Task::parse("goal = \"Tea\"\n[[step]]\nname = \"Boil\"\n[[step]]\nname = \"Pour\"\n[[step]]\nname = \"Drink\"\n").unwrap();
    let script = vec![
        Scene::default(),
        Scene::new(&["S1->start"], ""),
        Scene::new(&["S1->complete", "S2->start"], ""),
        Scene::new(&["S2->complete"], ""),
        Scene::new(&["S3->start"], ""),
    ];
    // The fake's memory grows until it is full, a real model's is allocated once: it is full within
    // the first minute.
    let model = Arc::new(Fake::new(400, script));
    let limits = SessionConfig {
        user_tokens_max: 16,
        utterance_tokens_max: 8,
        updates_per_frame_max: 3,
        ..SessionConfig::default()
    };
    let config = SessionConfig {
        tokens_per_frame: 2,
        ..limits
    };
    let mut session = Session::new(
        Some(Arc::new(FakeEyes)),
        model.clone(),
        Arc::new(Bytes),
        Some(task),
        config,
    )
    .unwrap();
    let mut check = Check::default();
    let (mut after_a_minute, mut most) = (0, 0);
    for ms in (0..HOURS * 3_600_000).step_by(FRAME_MS as usize) {
        world.tick(ms);
        while let Poll::Ready(input) = source.next().unwrap() {
            session.feed(input).unwrap();
            while session.advance(&mut check).unwrap() != Flow::Idle {}
        }
        // Compared where the camera has been well for a while: the ring is full then.
        if ms % 60_000 >= 60_000 - FRAME_MS {
            // The fake notes every call; a real model does not.
            *model.evidence.lock().unwrap() = Vec::new();
            *model.heads_read.lock().unwrap() = Vec::new();
            let held = HELD.load(Ordering::Relaxed);
            match after_a_minute {
                0 => after_a_minute = held,
                _ => most = most.max(held),
            }
        }
    }
    let counts = source.counts();
    session.finish(&mut check).unwrap();
    let grown = (most - after_a_minute) as f64 / after_a_minute as f64;
    println!(
        "{} frames of {} captured, {} dropped, {} times lost; {after_a_minute} bytes held after a minute, {most} at most after that ({:+.2} %)",
        check.frames,
        counts.captured,
        check.dropped,
        check.lost,
        grown * 100.0
    );
    assert!(grown < 0.01, "memory grew by {:.1} %", grown * 100.0);
    assert_eq!(
        check.frames,
        world.slots.lock().unwrap().count,
        "every slot with a frame has one event"
    );
    assert_eq!(
        check.dropped,
        world.broken.load(Ordering::Relaxed),
        "every broken frame is told"
    );
    // 480 minutes: 68 of them unplugged, 47 silent for long less those that are both.
    assert_eq!((check.lost, check.restored), (68 + 41, 68 + 41));
    assert_eq!(
        check.transitions,
        [
            "S1 Start",
            "S1 Complete",
            "S2 Start",
            "S2 Complete",
            "S3 Start"
        ]
    );
    assert_eq!(check.rejected, 0);
    assert_eq!(
        check.end.unwrap(),
        [
            StepState::Completed,
            StepState::Completed,
            StepState::InProgress
        ]
    );
}
