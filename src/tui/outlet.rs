//! Bytes on their way to the terminal. A thread of its own writes them, so that nobody else ever
//! waits for a terminal that has stopped reading: the screen skips pictures, keys and signals go on
//! working.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that may wait at most. Drawings are only made when nothing waits, so that this is one
/// drawing; a large picture in a pixel protocol takes a few million.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// Around a drawing: synchronized output, mode 2026.
const BEGIN_TOGETHER: &[u8] = b"\x1b[?2026h";
const END_TOGETHER: &[u8] = b"\x1b[?2026l";

/// The way to a terminal.
#[derive(Clone)]
pub struct Outlet(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// The thread is in a write.
    writing: bool,
    /// Drawings are let through.
    open: bool,
    failed: Option<io::ErrorKind>,
}

impl Outlet {
    /// Writes to `to` from now on; the thread lives as long as the process.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn new(to: impl Write + Send + 'static) -> io::Result<Self> {
        let outlet = Self(Arc::default());
        let shared = outlet.0.clone();
        thread::Builder::new()
            .name("terminal".into())
            .spawn(move || shared.pour(to))?;
        Ok(outlet)
    }

    /// Sends `bytes`, and lets drawings through from now on.
    pub fn open(&self, bytes: &[u8]) {
        self.send(bytes, Some(true));
    }

    /// Sends `bytes` behind what waits, and drops drawings from now on.
    pub fn close(&self, bytes: &[u8]) {
        self.send(bytes, Some(false));
    }

    /// Nothing waits and nothing is being written.
    pub fn is_idle(&self) -> bool {
        let state = self.0.lock();
        state.waiting.is_empty() && !state.writing
    }

    /// Waits until everything has gone out; `false` when it has not within that time.
    pub fn drain(&self, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        let mut state = self.0.lock();
        while !state.waiting.is_empty() || state.writing {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .0
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// The terminal refused what was written.
    pub fn has_failed(&self) -> bool {
        self.0.lock().failed.is_some()
    }

    /// What a drawing is written with: it goes out whole, when it is flushed.
    pub fn pen(&self) -> Pen {
        Pen {
            outlet: self.clone(),
            drawing: Vec::new(),
        }
    }

    /// Sends `bytes`; from now on drawings are let through, dropped, or treated as before.
    pub fn send(&self, bytes: &[u8], open: Option<bool>) {
        let mut state = self.0.lock();
        state.waiting.extend_from_slice(bytes);
        state.open = open.unwrap_or(state.open);
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here is left half-done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pour(&self, mut to: impl Write) {
        loop {
            let mut state = self.lock();
            while state.waiting.is_empty() {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let bytes = std::mem::take(&mut state.waiting);
            state.writing = true;
            drop(state);
            let done = to.write_all(&bytes).and_then(|()| to.flush());
            let mut state = self.lock();
            state.writing = false;
            if let Err(e) = done {
                state.failed = Some(e.kind());
            }
            self.changed.notify_all();
        }
    }
}

/// Collects one drawing.
pub struct Pen {
    outlet: Outlet,
    drawing: Vec<u8>,
}

impl Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.drawing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Sends the drawing off. When the terminal has been given back meanwhile, it is dropped.
    fn flush(&mut self) -> io::Result<()> {
        let mut state = self.outlet.0.lock();
        let drawing = std::mem::take(&mut self.drawing);
        if let Some(kind) = state.failed {
            return Err(kind.into());
        }
        if state.open && !drawing.is_empty() {
            if state.waiting.len() + drawing.len() > WAITING_BYTES_MAX {
                return Err(io::Error::other("the terminal does not keep up"));
            }
            // Shown at once when it is whole, by terminals that can; the others do not mind.
            state.waiting.extend_from_slice(BEGIN_TOGETHER);
            state.waiting.extend(drawing);
            state.waiting.extend_from_slice(END_TOGETHER);
            self.outlet.0.changed.notify_all();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Takes a piece only when somebody reads it.
    struct Slow(SyncSender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .send(bytes.to_vec())
                .map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Outlet, Receiver<Vec<u8>>) {
        let (to, from) = sync_channel(0);
        (Outlet::new(Slow(to)).unwrap(), from)
    }

    #[test]
    fn nobody_waits_for_a_terminal_that_does_not_read() {
        let (outlet, from) = slow();
        outlet.open(b"enter ");
        let mut pen = outlet.pen();
        pen.write_all(b"picture ").unwrap();
        pen.flush().unwrap();
        assert!(!outlet.is_idle() && !outlet.drain(Duration::from_millis(20)));
        outlet.close(b"leave");
        pen.write_all(b"too late").unwrap();
        pen.flush().unwrap();
        let mut all = Vec::new();
        let wanted = b"enter \x1b[?2026hpicture \x1b[?2026lleave";
        while all.len() < wanted.len() {
            all.extend(from.recv().unwrap());
        }
        assert_eq!(all, wanted);
        assert!(outlet.drain(Duration::from_secs(10)) && outlet.is_idle());
    }

    #[test]
    fn a_terminal_that_is_gone_is_told_with_the_next_drawing() {
        let (outlet, from) = slow();
        drop(from);
        outlet.open(b"enter");
        assert!(outlet.drain(Duration::from_secs(10)));
        let mut pen = outlet.pen();
        pen.write_all(b"picture").unwrap();
        assert_eq!(pen.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
