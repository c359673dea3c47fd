//! What a camera costs. `cargo bench --bench camera`
//!
//! 1. Share of a core that capture and decoding of 1280x720 MJPEG at 30 frames a second take when 2
//!    are looked at, and when all are: in time of the processor, so that other work on the machine
//!    does not count.
//! 2. Time from a frame's capture to its decision, at 2 frames a second with the model that ships,
//!    by the clock.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proact::dialogue::task::Task;
use proact::model::assistant::Assistant;
use proact::model::open;
use proact::model::siglip::Siglip;
use proact::run::{self, settings::Settings};
use proact::session::{Flow, Session};
use proact::sources::camera::{
    Backend, CameraError, CameraLimits, CameraRequest, CameraSource, CameraThreads, Clock, Device,
    Format, Link, ListedCamera, Mounting, PixelLayout, Starter,
};
use proact::stream::{Event, Input, Live, Poll, Source};

const FORMAT: Format = Format {
    width: 1280,
    height: 720,
    pixels: PixelLayout::Mjpeg,
    fps: 30,
};
/// Seconds of camera in the first measurement, and of clock in the second.
const SECONDS: u64 = 20;

fn main() {
    // One thread, as the program itself uses for a small model. SAFETY: nobody else runs yet.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
    let frames = jpegs();
    let bytes = frames.iter().map(Vec::len).sum::<usize>() / frames.len();
    println!(
        "1280x720 MJPEG, {} KiB a frame, 30 frames a second",
        bytes >> 10
    );
    let few = share(&frames, 2.0);
    let all = share(&frames, 30.0);
    println!(
        "capture and decoding: {:.1} % of a core when 2 a second are looked at, {:.1} % when all are; ratio {:.3}",
        few * 100.0,
        all * 100.0,
        few / all
    );
    let mut lags_ms = lags_ms(frames);
    lags_ms.sort_by(f64::total_cmp);
    let at = |share: f64| lags_ms[((lags_ms.len() - 1) as f64 * share) as usize];
    println!(
        "capture to decision at 2 frames a second: median {:.1} ms, 90 % within {:.1} ms, at most {:.1} ms, of {} frames",
        at(0.5),
        at(0.9),
        at(1.0),
        lags_ms.len()
    );
}

/// A worktop, with the grain that a webcam's sensor has: it is what makes the files large.
fn jpegs() -> Vec<Vec<u8>> {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as i32 % 25 - 12
    };
    (0..8)
        .map(|k| {
            let pixel = |i: usize, grain: i32| {
                let (x, y) = (i % 1280, i / 1280);
                let base = if (x / 90 + y / 60 + k).is_multiple_of(3) {
                    [150, 120, 90]
                } else {
                    [90 + (x / 16) as i32, 100, 60 + (y / 8) as i32]
                };
                base.map(|v| (v + grain).clamp(0, 255) as u8)
            };
            let rgb: Vec<u8> = (0..1280 * 720).flat_map(|i| pixel(i, noise())).collect();
            let mut bytes = Vec::new();
            let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 75);
            encoder
                .encode(&rgb, 1280, 720, image::ExtendedColorType::Rgb8)
                .expect("a JPEG");
            bytes
        })
        .collect()
}

/// What a driver hands out: the frame at the start of a buffer for the largest one.
fn in_buffer(jpeg: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; 1280 * 720 * 2];
    buffer[..jpeg.len()].copy_from_slice(jpeg);
    buffer
}

#[derive(Clone, Default)]
struct ByHand(Arc<Mutex<Option<Arc<Link>>>>);

impl Starter for ByHand {
    fn start(&mut self) -> Result<Arc<Link>, CameraError> {
        let link = Link::new(4.0);
        *self.0.lock().unwrap() = Some(link.clone());
        Ok(link)
    }

    fn settle_on(&mut self, _: ListedCamera) {}
}

/// Processor time over the time that the frames stand for.
fn share(jpegs: &[Vec<u8>], fps: f64) -> f64 {
    let buffers: Vec<Vec<u8>> = jpegs.iter().map(|jpeg| in_buffer(jpeg)).collect();
    let millis = Arc::new(AtomicU64::new(0));
    let (by_hand, theirs) = (ByHand::default(), millis.clone());
    let clock: Clock = Arc::new(move || theirs.load(Ordering::Relaxed) as f64 / 1000.0);
    let mut source = CameraSource::new(
        Box::new(by_hand.clone()),
        fps,
        CameraLimits::default(),
        Mounting::default(),
        clock,
    )
    .unwrap();
    let link = by_hand.0.lock().unwrap().clone().unwrap();
    link.opened(&ListedCamera::default(), FORMAT, 4.0);
    let begun = processor_time();
    for k in 0..SECONDS * 30 {
        millis.store(k * 1000 / 30, Ordering::Relaxed);
        link.push(k as f64 / 30.0, &buffers[k as usize % buffers.len()]);
        while let Poll::Ready(input) = source.next().unwrap() {
            std::hint::black_box(input);
        }
    }
    (processor_time() - begun).as_secs_f64() / SECONDS as f64
}

/// Of this process; where the system does not tell, the clock's.
fn processor_time() -> Duration {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
    #[cfg(not(unix))]
    {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}

/// A camera that gives its frames by the clock.
struct Steady(Vec<Vec<u8>>);

struct SteadyDevice {
    buffers: Vec<Vec<u8>>,
    begun: Instant,
    next: u32,
}

impl Backend for Steady {
    fn list(&self) -> Result<Vec<ListedCamera>, CameraError> {
        Ok(vec![ListedCamera::default()])
    }
    fn formats(&self, _: &ListedCamera) -> Result<Vec<Format>, CameraError> {
        Ok(vec![FORMAT])
    }
    fn open(&self, _: &ListedCamera, _: &[Format]) -> Result<Box<dyn Device>, CameraError> {
        Ok(Box::new(SteadyDevice {
            buffers: self.0.iter().map(|jpeg| in_buffer(jpeg)).collect(),
            begun: Instant::now(),
            next: 0,
        }))
    }
}

impl Device for SteadyDevice {
    fn format(&self) -> Format {
        FORMAT
    }
    fn read(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<(), CameraError> {
        let due = self.begun + Duration::from_secs(1) * self.next / 30;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        take(&self.buffers[self.next as usize % self.buffers.len()]);
        self.next += 1;
        Ok(())
    }
}

/// Decides as the program does, and measures how old each frame is when that is done.
fn lags_ms(jpegs: Vec<Vec<u8>>) -> Vec<f64> {
    let mut session = session();
    let start = Instant::now();
    let clock: Clock = Arc::new(move || start.elapsed().as_secs_f64());
    let threads = CameraThreads::new(
        Arc::new(Steady(jpegs)),
        CameraRequest {
            size: (1280, 720),
            ..CameraRequest::default()
        },
        CameraLimits::default(),
        clock.clone(),
    );
    let mut source = CameraSource::new(
        Box::new(threads),
        2.0,
        CameraLimits::default(),
        Mounting::default(),
        clock,
    )
    .unwrap();
    let mut events: Vec<Event> = Vec::new();
    let mut lags = Vec::new();
    while start.elapsed() < Duration::from_secs(SECONDS) {
        match source.next().unwrap() {
            Poll::Ready(input) => {
                let is_frame = matches!(input, Input::Frame(_));
                session.feed(input).unwrap();
                while session.advance(&mut events).unwrap() != Flow::Idle {}
                if is_frame {
                    lags.extend(source.frame_age_s().map(|s| s * 1000.0));
                }
            }
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    lags
}

fn session() -> Session<Siglip, Assistant> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
    let model = open::open(&folder.join("assistant.gguf"), None).unwrap();
    let task = Task::read(&folder.join("task.toml")).unwrap();
    run::session(model, &Settings::default(), Some(task)).unwrap()
}
