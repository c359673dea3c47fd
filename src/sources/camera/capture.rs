//! The capture thread: opens the camera, keeps its last frames in a ring, and closes it when asked.
//!
//! One [`Link`] is one life of a device, from open to close. The source looks at links, never at
//! devices, so that a driver that hangs in the middle of a call can hold up nothing but its own
//! thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::device::{Backend, Choice, Device, Fault, Found, Wanted, again};
use super::pixels::{Format, frame_of};
use super::ring::{Ring, Shot};
use super::source::Watch;

/// Seconds since any fixed moment; does not go back.
pub type Clock = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Where a device is in its life.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Being opened.
    Opening,
    /// Frames come, or should.
    Streaming(Format),
    /// Closed: as asked, or because of a fault.
    Closed(Option<Fault>),
}

struct Life {
    phase: Phase,
    camera: Option<Found>,
    ring: Ring,
    /// Frames that were no pictures, by their bytes; and why the last of them was none.
    corrupt: u64,
    why: Option<String>,
}

/// One life of a device, shared between its thread and the source.
pub struct Link {
    life: Mutex<Life>,
    stop: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a link has had so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that came.
    pub captured: u64,
    /// Frames that were overwritten in the ring.
    pub overwritten: u64,
    /// Buffers that cannot be a frame.
    pub corrupt: u64,
    /// Why the last of those cannot.
    pub why: Option<String>,
}

impl Link {
    /// A device that is about to be opened; its ring will look back so far.
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

    /// A panic elsewhere leaves nothing half-done in here.
    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device is open.
    pub fn opened(&self, camera: &Found, format: Format, look_back_s: f64) {
        let mut life = self.life();
        life.ring = Ring::new(look_back_s, format.fps);
        life.camera = Some(camera.clone());
        life.phase = Phase::Streaming(format);
    }

    /// A buffer came. It is cut to the frame in it, and not decoded.
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

    /// The device is closed.
    pub fn closed(&self, fault: Option<Fault>) {
        self.life().phase = Phase::Closed(fault);
    }

    /// Asks the thread to close the device, also when it waits for a frame.
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

    /// Whether that was asked.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Where the device is.
    pub fn phase(&self) -> Phase {
        self.life().phase.clone()
    }

    /// Which camera was opened.
    pub fn camera(&self) -> Option<Found> {
        self.life().camera.clone()
    }

    /// The newest frame.
    pub fn newest(&self) -> Option<Arc<Shot>> {
        self.life().ring.newest()
    }

    /// The frames of the last seconds, the oldest first.
    pub fn held(&self) -> Vec<Arc<Shot>> {
        self.life().ring.held().cloned().collect()
    }

    /// What came so far.
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

/// Starts lives of one camera.
pub trait Starter: Send {
    /// Begins to open the camera; gives at once.
    ///
    /// # Errors
    /// The system has no more threads.
    fn start(&mut self) -> Result<Arc<Link>, Fault>;

    /// The camera of a link that had frames is the one to look for from now on.
    fn settle_on(&mut self, camera: Found);
}

/// Opens cameras on threads of their own.
pub struct Threads {
    backend: Arc<dyn Backend>,
    wanted: Wanted,
    known: Option<Found>,
    watch: Watch,
    clock: Clock,
}

impl Threads {
    /// For the camera that is wanted.
    pub fn new(backend: Arc<dyn Backend>, wanted: Wanted, watch: Watch, clock: Clock) -> Self {
        Self {
            backend,
            wanted,
            known: None,
            watch,
            clock,
        }
    }
}

impl Starter for Threads {
    fn start(&mut self) -> Result<Arc<Link>, Fault> {
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
                Err(fault) => Some(fault),
            };
            theirs.closed(ended);
        };
        let mut slot = link.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = std::thread::Builder::new()
            .name("camera".into())
            .spawn(work);
        *slot = Some(thread.map_err(|e| Fault::Driver(format!("no thread for the camera: {e}")))?);
        drop(slot);
        Ok(link)
    }

    fn settle_on(&mut self, camera: Found) {
        self.known = Some(camera);
    }
}

/// Finds the camera, the same one as before if there was one, and opens it.
fn open(
    backend: &dyn Backend,
    wanted: &Wanted,
    known: Option<&Found>,
) -> Result<(Found, Box<dyn Device>), Fault> {
    let found = backend.list()?;
    if let Some(known) = known {
        let camera = again(known, &found)
            .ok_or_else(|| Fault::Missing(format!("{} is not there", known.name)))?;
        return Ok((camera.clone(), backend.open_wanted(camera, wanted)?));
    }
    let mut first_fault = None;
    for camera in wanted.choice.among(&found)? {
        match backend.open_wanted(camera, wanted) {
            Ok(device) => return Ok((camera.clone(), device)),
            // A camera has files that send no pictures; what the person chose by number is not
            // replaced.
            Err(fault) if matches!(wanted.choice, Choice::First | Choice::Name(_)) => {
                _ = first_fault.get_or_insert(fault)
            }
            Err(fault) => return Err(fault),
        }
    }
    Err(first_fault.unwrap_or_else(|| Fault::Missing("no camera".into())))
}

/// Reads until asked to stop, until a read fails, or until a frame comes too late: behind a sleep
/// of the process or the machine the driver hands out what it had captured before, and its time
/// would not be true.
fn read(mut device: Box<dyn Device>, link: &Link, clock: &Clock, watch: &Watch) -> Option<Fault> {
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
        let fault = read
            .err()
            .or_else(|| (silent_s > limit_s).then(|| Fault::silent(silent_s)));
        if fault.is_some() {
            return fault.filter(|_| !link.stopping());
        }
        limit_s = watch.silence_s;
    }
    None
}

/// A driver that panics is a driver that failed.
struct ClosedOnPanic<'a>(&'a Link);

impl Drop for ClosedOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.closed(Some(Fault::Driver(
                "the camera's driver code panicked".into(),
            )));
        }
    }
}

/// Interrupts the call in which a thread waits for a frame: V4L2's wait has no time limit of its
/// own in nokhwa.
#[cfg(all(target_os = "linux", feature = "camera"))]
fn wake(thread: &JoinHandle<()>) {
    use std::os::unix::thread::JoinHandleExt;
    static HANDLER: std::sync::Once = std::sync::Once::new();
    // A handler that does nothing: with none, the signal is ignored and interrupts nothing.
    HANDLER.call_once(|| _ = signal_hook::flag::register(libc::SIGURG, Arc::default()));
    // SAFETY: the handle is neither joined nor detached, so the identifier is that of this thread,
    // and the signal has a handler that is async-signal-safe.
    unsafe { libc::pthread_kill(thread.as_pthread_t(), libc::SIGURG) };
}

#[cfg(not(all(target_os = "linux", feature = "camera")))]
fn wake(_thread: &JoinHandle<()>) {}
