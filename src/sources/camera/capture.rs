//! The capture thread opens the camera, keeps its last frames in a ring, and closes it when asked.
//!
//! A [`Link`] is one connection to a device, from opening to closing. The source looks at links and
//! never at devices, so that a driver that hangs in the middle of a call holds up only its own
//! thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::device::{Backend, CameraError, CameraRequest, Choice, Device, ListedCamera, again};
use super::limits::CameraLimits;
use super::pixels::{Format, frame_of};
use super::ring::{RawFrame, Ring};

/// Seconds since any fixed moment. They never go back.
pub type Clock = Arc<dyn Fn() -> f64 + Send + Sync>;

/// What a device is doing.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// It is being opened.
    Opening,
    /// It is open, and frames should come.
    Streaming(Format),
    /// It is closed, as asked or because of an error.
    Closed(Option<CameraError>),
}

struct Life {
    phase: Phase,
    camera: Option<ListedCamera>,
    ring: Ring,
    /// How many buffers could not be a picture, and why the last of them could not.
    corrupt: u64,
    why: Option<String>,
}

/// A connection to a device, shared between its thread and the source.
pub struct Link {
    life: Mutex<Life>,
    stop: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How many frames have come through a link so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The frames that came.
    pub captured: u64,
    /// The frames that were overwritten in the ring.
    pub overwritten: u64,
    /// The buffers that cannot be a frame.
    pub corrupt: u64,
    /// Why the last of those buffers cannot.
    pub why: Option<String>,
}

impl Link {
    /// A device that is about to be opened. Its ring will hold each frame for `look_back_s`
    /// seconds.
    pub fn new(look_back_s: f64) -> Arc<Self> {
        let life = Life {
            phase: Phase::Opening,
            camera: None,
            ring: Ring::new(look_back_s, 1),
            corrupt: 0,
            why: None,
        };
        Arc::new(Self {
            life: Mutex::new(life),
            stop: AtomicBool::new(false),
            thread: Mutex::new(None),
        })
    }

    /// Locks also after a panic elsewhere, which leaves nothing half-done in here.
    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the device is open.
    pub fn opened(&self, camera: &ListedCamera, format: Format, look_back_s: f64) {
        let mut life = self.life();
        life.ring = Ring::new(look_back_s, format.fps);
        life.camera = Some(camera.clone());
        life.phase = Phase::Streaming(format);
    }

    /// Takes a buffer that came, cut to the frame in it and not decoded.
    pub fn push(&self, clock_s: f64, buffer: &[u8]) {
        let mut life = self.life();
        let Phase::Streaming(format) = life.phase else {
            return;
        };
        match frame_of(&format, buffer) {
            Ok(frame) => life.ring.push(clock_s, frame),
            Err(why) => {
                life.corrupt += 1;
                life.why = Some(why);
            }
        }
    }

    /// Notes that the device is closed.
    pub fn closed(&self, error: Option<CameraError>) {
        self.life().phase = Phase::Closed(error);
    }

    /// Asks the thread to close the device, also while it waits for a frame.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .filter(|t| !t.is_finished())
        {
            wake(thread);
        }
    }

    /// Whether the thread was asked to close the device.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// What the device is doing.
    pub fn phase(&self) -> Phase {
        self.life().phase.clone()
    }

    /// The camera that was opened.
    pub fn camera(&self) -> Option<ListedCamera> {
        self.life().camera.clone()
    }

    /// The newest frame.
    pub fn newest(&self) -> Option<Arc<RawFrame>> {
        self.life().ring.newest()
    }

    /// The frames of the last seconds, the oldest first.
    pub fn held(&self) -> Vec<Arc<RawFrame>> {
        self.life().ring.held().cloned().collect()
    }

    /// How many frames came so far.
    pub fn counts(&self) -> Counts {
        let life = self.life();
        let (captured, overwritten) = life.ring.counts();
        Counts {
            captured,
            overwritten,
            corrupt: life.corrupt,
            why: life.why.clone(),
        }
    }
}

/// Opens one camera as often as needed.
pub trait Starter: Send {
    /// Begins to open the camera, and returns without waiting for it.
    ///
    /// # Errors
    /// The system has no more threads.
    fn start(&mut self) -> Result<Arc<Link>, CameraError>;

    /// From now on looks for this camera, which has given frames.
    fn settle_on(&mut self, camera: ListedCamera);
}

/// Opens the camera on a thread of its own each time.
pub struct CameraThreads {
    backend: Arc<dyn Backend>,
    wanted: CameraRequest,
    known: Option<ListedCamera>,
    watch: CameraLimits,
    clock: Clock,
}

impl CameraThreads {
    /// For the camera that is asked for.
    pub fn new(
        backend: Arc<dyn Backend>,
        wanted: CameraRequest,
        watch: CameraLimits,
        clock: Clock,
    ) -> Self {
        Self {
            backend,
            wanted,
            known: None,
            watch,
            clock,
        }
    }
}

impl Starter for CameraThreads {
    fn start(&mut self) -> Result<Arc<Link>, CameraError> {
        let link = Link::new(self.watch.look_back_s);
        let (backend, wanted, known) = (
            self.backend.clone(),
            self.wanted.clone(),
            self.known.clone(),
        );
        let (theirs, clock, watch) = (link.clone(), self.clock.clone(), self.watch);
        let work = move || {
            let _closed = ClosedOnPanic(&theirs);
            let ended = match open(&*backend, &wanted, known.as_ref()) {
                Ok((camera, device)) => {
                    theirs.opened(&camera, device.format(), watch.look_back_s);
                    read(device, &theirs, &clock, &watch)
                }
                Err(error) => Some(error),
            };
            theirs.closed(ended);
        };
        let mut slot = link.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = std::thread::Builder::new()
            .name("camera".into())
            .spawn(work);
        *slot = Some(
            thread.map_err(|e| CameraError::Driver(format!("no thread for the camera: {e}")))?,
        );
        drop(slot);
        Ok(link)
    }

    fn settle_on(&mut self, camera: ListedCamera) {
        self.known = Some(camera);
    }
}

/// Finds the camera (the same one as before, if there was one) and opens it.
fn open(
    backend: &dyn Backend,
    wanted: &CameraRequest,
    known: Option<&ListedCamera>,
) -> Result<(ListedCamera, Box<dyn Device>), CameraError> {
    let found = backend.list()?;
    if let Some(known) = known {
        let camera = again(known, &found)
            .ok_or_else(|| CameraError::Missing(format!("{} is not there", known.name)))?;
        return Ok((camera.clone(), backend.open_wanted(camera, wanted)?));
    }
    let mut first_error = None;
    for camera in wanted.choice.among(&found)? {
        match backend.open_wanted(camera, wanted) {
            Ok(device) => return Ok((camera.clone(), device)),
            // Some files of a camera send no pictures. A camera that the person chose by number is
            // not replaced by another.
            Err(error) if matches!(wanted.choice, Choice::First | Choice::Name(_)) => {
                _ = first_error.get_or_insert(error)
            }
            Err(error) => return Err(error),
        }
    }
    Err(first_error.unwrap_or_else(|| CameraError::Missing("no camera".into())))
}

/// Reads until asked to stop, until a read fails, or until a frame comes too late: after the
/// process or the machine slept, the driver hands out what it captured before, and the time of such
/// a frame would be wrong.
fn read(
    mut device: Box<dyn Device>,
    link: &Link,
    clock: &Clock,
    watch: &CameraLimits,
) -> Option<CameraError> {
    let mut last_s = clock();
    let mut limit_s = watch.first_frame_s();
    while !link.stopping() {
        let mut silent_s = 0.0;
        let read = device.read(&mut |buffer| {
            let now_s = clock();
            silent_s = now_s - std::mem::replace(&mut last_s, now_s);
            if silent_s <= limit_s {
                link.push(now_s, buffer);
            }
        });
        let error = read
            .err()
            .or_else(|| (silent_s > limit_s).then(|| CameraError::silent(silent_s)));
        if error.is_some() {
            return error.filter(|_| !link.stopping());
        }
        limit_s = watch.silence_s;
    }
    None
}

/// Notes a driver that panics as one that failed.
struct ClosedOnPanic<'a>(&'a Link);

impl Drop for ClosedOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.closed(Some(CameraError::Driver(
                "the camera's driver code panicked".into(),
            )));
        }
    }
}

/// Interrupts the call in which a thread waits for a frame, as waiting in V4L2 has no time limit.
#[cfg(all(target_os = "linux", feature = "camera"))]
fn wake(thread: &JoinHandle<()>) {
    use std::os::unix::thread::JoinHandleExt;
    static HANDLER: std::sync::Once = std::sync::Once::new();
    // The handler does nothing; without one the signal is ignored and interrupts nothing.
    HANDLER.call_once(|| _ = signal_hook::flag::register(libc::SIGURG, Arc::default()));
    // SAFETY: the handle is neither joined nor detached, so the identifier is that of this thread,
    // and the signal has a handler that is async-signal-safe.
    unsafe { libc::pthread_kill(thread.as_pthread_t(), libc::SIGURG) };
}

#[cfg(not(all(target_os = "linux", feature = "camera")))]
fn wake(_thread: &JoinHandle<()>) {}
