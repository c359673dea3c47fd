//! The source and its watchdog: by a clock that the test turns, and with a fake camera on a real
//! thread.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::capture::{CameraThreads, Clock, Link, Starter};
use super::device::{CameraError, CameraRequest, ListedCamera};
use super::fake::{Act, FORMAT, Fake, Opening};
use super::limits::CameraLimits;
use super::pixels::{Format, Mounting, PixelLayout};
use super::source::CameraSource;
use crate::error::Error;
use crate::stream::{Content, Frame, Input, Live, Poll, Source, SourceState};
use crate::units::{FrameIdx, MediaTime};

const TINY: Format = Format {
    width: 2,
    height: 2,
    pixels: PixelLayout::Gray,
    fps: 10,
};

/// Links that the test opens, fills and closes by hand.
#[derive(Clone, Default)]
struct Bench {
    millis: Arc<AtomicU64>,
    links: Arc<Mutex<Vec<Arc<Link>>>>,
    settled: Arc<Mutex<Vec<ListedCamera>>>,
}

impl Starter for Bench {
    fn start(&mut self) -> Result<Arc<Link>, CameraError> {
        let link = Link::new(4.0);
        self.links.lock().unwrap().push(link.clone());
        Ok(link)
    }

    fn settle_on(&mut self, camera: ListedCamera) {
        self.settled.lock().unwrap().push(camera);
    }
}

impl Bench {
    fn source(&self, fps: f64) -> CameraSource {
        let millis = self.millis.clone();
        let clock: Clock = Arc::new(move || millis.load(Ordering::Relaxed) as f64 / 1000.0);
        let watch = CameraLimits {
            lost_limit_s: 60.0,
            ..CameraLimits::default()
        };
        CameraSource::new(
            Box::new(self.clone()),
            fps,
            watch,
            Mounting::default(),
            clock,
        )
        .unwrap()
    }

    fn set(&self, seconds: f64) {
        self.millis
            .store((seconds * 1000.0).round() as u64, Ordering::Relaxed);
    }

    fn now(&self) -> f64 {
        self.millis.load(Ordering::Relaxed) as f64 / 1000.0
    }

    fn started(&self) -> usize {
        self.links.lock().unwrap().len()
    }

    fn link(&self) -> Arc<Link> {
        self.links.lock().unwrap().last().unwrap().clone()
    }

    fn open(&self) {
        self.link().opened(
            &ListedCamera {
                name: "cam".into(),
                ..ListedCamera::default()
            },
            TINY,
            4.0,
        );
    }

    /// A frame of one brightness at a time.
    fn shoot(&self, seconds: f64, y: u8) {
        self.set(seconds);
        self.link().push(seconds, &[y; 4]);
    }
}

fn told(source: &mut CameraSource) -> Vec<String> {
    let mut told = Vec::new();
    while let Poll::Ready(input) = source.next().unwrap() {
        told.push(match input {
            Input::Frame(frame) => {
                let Content::Picture(picture) = frame.content else {
                    panic!("a picture")
                };
                format!("{} at {}: {}", frame.idx.0, frame.at.0, picture.rgb[0])
            }
            Input::Dropped { at, count } => format!("dropped {count} at {}", at.0),
            Input::Source { at, state } => format!("{state:?} at {}", at.0).to_lowercase(),
            other => format!("{other:?}"),
        });
    }
    told
}

#[test]
fn the_newest_frame_that_is_due_is_taken_and_its_time_is_that_of_its_capture() {
    let bench = Bench::default();
    let mut source = bench.source(2.0);
    assert!(told(&mut source).is_empty());
    bench.open();
    bench.shoot(7.0, 1);
    bench.set(7.05);
    assert_eq!(told(&mut source), ["0 at 0: 1"]);
    assert!((source.frame_age_s().unwrap() - 0.05).abs() < 1e-9);
    for k in 1..5 {
        bench.shoot(7.0 + f64::from(k) * 0.1, 10);
        assert!(told(&mut source).is_empty(), "no slot has begun");
    }
    bench.shoot(7.5123, 20);
    assert_eq!(told(&mut source), ["1 at 0.512: 20"]);
    // The engine was busy: three are there, the newest counts, and no slot was missed.
    (0..3).for_each(|k| bench.shoot(8.0 + f64::from(k) * 0.1, 30 + k as u8));
    assert_eq!(told(&mut source), ["2 at 1.2: 32"]);
}

#[test]
fn frames_that_nobody_had_time_for_are_counted_and_nothing_grows() {
    let bench = Bench::default();
    let mut source = bench.source(2.0);
    bench.open();
    bench.shoot(0.0, 1);
    assert_eq!(told(&mut source), ["0 at 0: 1"]);
    (1..1000).for_each(|k| bench.shoot(f64::from(k) * 0.1, 2));
    assert_eq!(told(&mut source), ["dropped 198 at 99.9", "1 at 99.9: 2"]);
    assert!(bench.link().held().len() <= 41);
    let counts = source.counts();
    assert_eq!(
        (counts.captured, counts.overwritten),
        (1000, 1000 - bench.link().held().len() as u64)
    );
    // A camera slower than the rate loses nothing.
    bench.shoot(102.0, 3);
    assert_eq!(told(&mut source), ["2 at 102: 3"]);
}

#[test]
fn a_corrupt_frame_is_an_event_and_no_end() {
    let bench = Bench::default();
    let mut source = bench.source(2.0);
    bench.open();
    bench.shoot(0.0, 1);
    assert_eq!(told(&mut source).len(), 1);
    bench.set(0.5);
    bench.link().push(0.5, &[0; 3]);
    assert_eq!(told(&mut source), ["dropped 1 at 0.5"]);
    bench.shoot(0.6, 2);
    assert_eq!(told(&mut source), ["1 at 0.6: 2"]);
}

#[test]
fn silence_is_a_loss_and_the_next_frame_the_return() {
    let bench = Bench::default();
    let mut source = bench.source(2.0);
    bench.open();
    bench.shoot(0.0, 1);
    told(&mut source);
    bench.set(3.0);
    assert!(told(&mut source).is_empty());
    bench.set(3.1);
    assert_eq!(told(&mut source), ["lost at 3.1"]);
    assert!(bench.link().stopping(), "the silent device is let go of");
    // Nothing is opened before the rest is over; then it is tried again and again, ever more
    // seldom.
    let mut tries = Vec::new();
    while bench.now() < 40.0 {
        bench.set(bench.now() + 0.1);
        let before = bench.started();
        assert!(told(&mut source).is_empty(), "told once");
        if bench.started() > before {
            tries.push(bench.now());
            bench
                .link()
                .closed(Some(CameraError::Missing("gone".into())));
        }
    }
    let gaps: Vec<f64> = tries.windows(2).map(|t| t[1] - t[0]).collect();
    assert!((tries[0] - 3.6).abs() < 0.2, "{tries:?}");
    assert!(
        gaps.windows(2).all(|g| g[1] >= g[0] - 0.11) && gaps.iter().all(|g| *g < 10.5),
        "{gaps:?}"
    );
    while bench.link().phase() != super::capture::Phase::Opening {
        bench.set(bench.now() + 0.1);
        told(&mut source);
    }
    bench.open();
    assert!(
        told(&mut source).is_empty(),
        "a device that is open has no frames yet"
    );
    let back = (bench.now() + 1.0).ceil();
    bench.shoot(back, 9);
    assert_eq!(
        told(&mut source),
        [format!("restored at {back}"), format!("1 at {back}: 9")]
    );
    assert_eq!(bench.settled.lock().unwrap().len(), 2);
}

#[test]
fn a_device_that_does_not_open_is_given_up_and_one_that_is_away_for_long_is_the_end() {
    let bench = Bench::default();
    let mut source = bench.source(2.0);
    bench.set(9.0);
    assert!(told(&mut source).is_empty() && source.first_word().is_none());
    bench.set(10.5);
    assert!(
        source
            .first_word()
            .unwrap()
            .unwrap_err()
            .to_string()
            .contains("did not open within 10 s")
    );
    assert_eq!(told(&mut source), ["lost at 0"]);
    let end = loop {
        bench.set(bench.now() + 0.5);
        match source.next() {
            Ok(Poll::Pending) => {}
            Ok(other) => panic!("{other:?}"),
            Err(end) => break end,
        }
    };
    assert!((bench.now() - 70.5).abs() < 0.6, "{}", bench.now());
    assert!(
        matches!(&end, Error::Source(why) if why.contains("away for 60 s")),
        "{end}"
    );
    assert!(
        bench.started() <= 5,
        "a hanging driver is left alone after some tries: {}",
        bench.started()
    );
}

#[test]
fn a_camera_may_take_as_long_for_its_first_frame_as_for_opening() {
    let bench = Bench::default();
    let mut source = bench.source(2.0);
    bench.set(2.5);
    bench.open();
    bench.set(5.0);
    assert!(
        told(&mut source).is_empty(),
        "longer than a silence between frames may be"
    );
    bench.shoot(6.0, 1);
    assert_eq!(told(&mut source), ["0 at 0: 1"]);
    // From then on a silence is one.
    bench.set(9.2);
    assert_eq!(told(&mut source).len(), 1);
    assert!(bench.link().stopping());

    let bench = Bench::default();
    let mut source = bench.source(2.0);
    bench.open();
    bench.set(10.2);
    assert_eq!(told(&mut source), ["lost at 0"]);
}

#[test]
fn a_pause_closes_the_device_and_is_no_loss() {
    let bench = Bench::default();
    let mut source = bench.source(2.0);
    bench.open();
    bench.shoot(0.0, 1);
    told(&mut source);
    source.pause(true);
    assert!(bench.link().stopping());
    bench.link().closed(None);
    bench.set(1000.0);
    source.pause(true);
    assert!(told(&mut source).is_empty() && bench.started() == 1);
    source.pause(false);
    assert_eq!(bench.started(), 2);
    bench.open();
    bench.shoot(1001.0, 2);
    assert_eq!(told(&mut source), ["1 at 1001: 2"]);
}

#[test]
fn times_and_numbers_go_on_behind_an_earlier_session() {
    let bench = Bench::default();
    let mut source = bench.source(2.0).going_on(MediaTime(61.25), FrameIdx(123));
    bench.open();
    bench.shoot(5.0, 1);
    bench.shoot(5.0, 1);
    assert_eq!(told(&mut source), ["123 at 61.251: 1"]);
}

#[test]
fn what_came_while_memory_was_made_anew_is_looked_at_afterwards() {
    let bench = Bench::default();
    let mut source = bench.source(2.0);
    bench.open();
    bench.shoot(0.0, 0);
    told(&mut source);
    (1..=22).for_each(|k| bench.shoot(f64::from(k) * 0.1, k as u8));
    source.catch_up();
    assert_eq!(
        told(&mut source),
        ["1 at 0.5: 5", "2 at 1: 10", "3 at 1.5: 15", "4 at 2: 20"]
    );
    // Only what the ring still holds, the last 4 s, can be caught up with.
    (23..=122).for_each(|k| bench.shoot(f64::from(k) * 0.1, k as u8));
    source.catch_up();
    let told_then = told(&mut source);
    assert_eq!(told_then[..2], ["dropped 11 at 8.2", "5 at 8.2: 82"]);
    assert_eq!(told_then.len(), 10, "{told_then:?}");
    // Then the newest again.
    (123..=152).for_each(|k| bench.shoot(f64::from(k) * 0.1, k as u8));
    assert_eq!(told(&mut source), ["dropped 5 at 15.2", "14 at 15.2: 152"]);
}

#[test]
fn the_last_seconds_are_there_whether_or_not_they_were_due() {
    let bench = Bench::default();
    let mut source = bench.source(2.0);
    assert!(source.look_back().is_none());
    bench.open();
    (0..100).for_each(|k| {
        bench.shoot(1.0 + f64::from(k) * 0.1, k as u8);
        told(&mut source);
    });
    let seen: Vec<(f64, u8)> = source
        .look_back()
        .unwrap()
        .map(|(at, picture)| (at.0, picture.rgb[0]))
        .collect();
    assert_eq!((seen.len(), seen[0], seen[40]), (41, (5.9, 59), (9.9, 99)));
    source.pause(true);
    assert!(
        source.look_back().is_none(),
        "a paused camera holds nothing"
    );
}

#[test]
fn a_machine_that_slept_looks_for_its_camera_anew_and_as_long_as_ever() {
    let bench = Bench::default();
    let mut source = bench.source(2.0);
    bench.open();
    bench.shoot(0.0, 1);
    told(&mut source);
    bench.set(3600.0);
    assert_eq!(told(&mut source), ["lost at 3600"]);
    assert!(bench.link().stopping());
    bench.set(3601.0);
    told(&mut source);
    bench
        .link()
        .closed(Some(CameraError::Missing("gone".into())));
    told(&mut source);
    // Asleep again while the camera is away: an hour does not count, 60 s do.
    bench.set(7200.0);
    told(&mut source);
    bench.open();
    bench.shoot(7201.0, 2);
    assert_eq!(told(&mut source), ["restored at 7201", "1 at 7201: 2"]);
    bench
        .link()
        .closed(Some(CameraError::Missing("gone".into())));
    let end = loop {
        bench.set(bench.now() + 0.5);
        match source.next() {
            Ok(_) => bench
                .link()
                .closed(Some(CameraError::Missing("gone".into()))),
            Err(end) => break end,
        }
    };
    assert!(
        end.to_string().contains("away for 60 s") && (7261.0..7263.0).contains(&bench.now()),
        "{end}, {}",
        bench.now()
    );
}

/// Polls until something that `wanted` accepts comes.
fn wait_for(source: &mut CameraSource, wanted: impl Fn(&Input) -> bool) -> Input {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        match source.next().unwrap() {
            Poll::Ready(input) if wanted(&input) => return input,
            Poll::Ready(_) => {}
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    panic!("it did not come within a minute");
}

fn on_a_thread(openings: Vec<Opening>) -> (CameraSource, Arc<Fake>) {
    let start = Instant::now();
    with_clock(
        Fake::new(openings),
        Arc::new(move || start.elapsed().as_secs_f64()),
    )
}

fn with_clock(fake: Arc<Fake>, clock: Clock) -> (CameraSource, Arc<Fake>) {
    let watch = CameraLimits {
        retry_first_s: 0.01,
        retry_max_s: 0.05,
        look_back_s: 0.2,
        ..CameraLimits::default()
    };
    let threads = CameraThreads::new(
        fake.clone(),
        CameraRequest {
            fps: FORMAT.fps,
            ..CameraRequest::default()
        },
        watch,
        clock.clone(),
    );
    (
        CameraSource::new(Box::new(threads), 100.0, watch, Mounting::default(), clock).unwrap(),
        fake,
    )
}

fn is_frame(input: &Input) -> bool {
    matches!(input, Input::Frame(_))
}

fn open_now(open: &AtomicUsize, wanted: usize) {
    let begun = Instant::now();
    while open.load(Ordering::Relaxed) != wanted {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{wanted} open devices expected"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn an_unplugged_camera_comes_back_under_another_number() {
    let unplugged = vec![
        Act::Gray(1),
        Act::Gray(1),
        Act::Error("No such device (os error 19)"),
    ];
    let back = CameraError::Busy("Fake Cam".into());
    let (mut source, fake) = on_a_thread(vec![
        Opening::Gives(unplugged),
        Opening::Fails(back),
        Opening::Gives(vec![Act::Gray(7)]),
    ]);
    wait_for(&mut source, is_frame);
    wait_for(&mut source, |input| {
        matches!(
            input,
            Input::Source {
                state: SourceState::Lost,
                ..
            }
        )
    });
    wait_for(&mut source, |input| {
        matches!(
            input,
            Input::Source {
                state: SourceState::Restored,
                ..
            }
        )
    });
    wait_for(&mut source, is_frame);
    assert_eq!(fake.opened.load(Ordering::Relaxed), 3);
    drop(source);
    open_now(&fake.open, 0);
}

#[test]
fn a_frame_from_before_a_sleep_is_not_taken_for_a_new_one() {
    let slept_s = Arc::new(AtomicU64::new(0));
    let (start, theirs) = (Instant::now(), slept_s.clone());
    let clock: Clock =
        Arc::new(move || start.elapsed().as_secs_f64() + theirs.load(Ordering::Relaxed) as f64);
    let fake = Fake::new(vec![
        Opening::Gives(vec![Act::Gray(1)]),
        Opening::Gives(vec![Act::Gray(2)]),
    ]);
    let (mut source, _) = with_clock(fake, clock);
    wait_for(&mut source, is_frame);
    slept_s.store(3600, Ordering::Relaxed);
    let lost = wait_for(&mut source, |input| input.at() >= MediaTime(3600.0));
    assert!(
        matches!(
            lost,
            Input::Source {
                state: SourceState::Lost,
                ..
            }
        ),
        "{lost:?}"
    );
    wait_for(&mut source, |input| {
        matches!(
            input,
            Input::Source {
                state: SourceState::Restored,
                ..
            }
        )
    });
    let Input::Frame(Frame {
        content: Content::Picture(picture),
        ..
    }) = wait_for(&mut source, is_frame)
    else {
        panic!()
    };
    assert_eq!(picture.rgb[0], 2, "of the device that was opened anew");
}

#[test]
fn a_thread_waits_longer_for_the_first_frame_than_for_others() {
    let ticks = Arc::new(AtomicU64::new(0));
    let theirs = ticks.clone();
    // Looked at before and behind each read: 5 s pass for the first frame, and for the second.
    let clock: Clock = Arc::new(move || theirs.fetch_add(1, Ordering::Relaxed) as f64 * 5.0);
    let fake = Fake::new(vec![Opening::Gives(vec![Act::Gray(1)])]);
    let mut threads = CameraThreads::new(
        fake.clone(),
        CameraRequest {
            fps: FORMAT.fps,
            ..CameraRequest::default()
        },
        CameraLimits::default(),
        clock,
    );
    let link = threads.start().unwrap();
    let begun = Instant::now();
    while !matches!(link.phase(), super::capture::Phase::Closed(_)) {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(link.counts().captured, 1);
    assert_eq!(
        link.phase(),
        super::capture::Phase::Closed(Some(CameraError::silent(5.0)))
    );
}

#[test]
fn garbage_between_frames_is_passed_by() {
    let (mut source, _) = on_a_thread(vec![Opening::Gives(vec![
        Act::Bytes(vec![1, 2, 3]),
        Act::Gray(5),
    ])]);
    wait_for(&mut source, |input| {
        matches!(input, Input::Dropped { count: 1, .. })
    });
    wait_for(&mut source, is_frame);
}

#[test]
fn a_pause_closes_a_device_that_waits_for_a_frame() {
    let (mut source, fake) = on_a_thread(vec![
        Opening::Gives(vec![Act::Gray(1), Act::Hang]),
        Opening::Gives(vec![Act::Gray(2)]),
    ]);
    wait_for(&mut source, is_frame);
    source.pause(true);
    open_now(&fake.open, 0);
    assert!(matches!(source.next().unwrap(), Poll::Pending));
    source.pause(false);
    wait_for(&mut source, is_frame);
}

#[test]
fn a_camera_that_cannot_be_opened_says_why() {
    let (source, _) = on_a_thread(vec![Opening::Fails(CameraError::Denied("Fake Cam".into()))]);
    let begun = Instant::now();
    let why = loop {
        match source.first_word() {
            Some(word) => break word.unwrap_err().to_string(),
            None => assert!(begun.elapsed() < Duration::from_secs(60)),
        }
    };
    assert!(why.contains("Fake Cam: not allowed"), "{why}");
    let (source, _) = on_a_thread(vec![Opening::Hangs]);
    assert!(source.first_word().is_none());
}
