//! Being stopped and going on: Ctrl-Z, `kill -TSTP`, `fg`. The terminal is given back before the
//! process stops.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The signals to stop and to go on that have come since the last look.
#[derive(Debug, Default)]
pub struct Suspend {
    stop: Arc<AtomicBool>,
    went_on: Arc<AtomicBool>,
}

impl Suspend {
    /// From now on a request to stop waits until the screen has been put away.
    ///
    /// # Errors
    /// The system refused a handler.
    pub fn watch() -> io::Result<Self> {
        let suspend = Self::default();
        #[cfg(unix)]
        {
            signal_hook::flag::register(signal_hook::consts::SIGTSTP, suspend.stop.clone())?;
            signal_hook::flag::register(signal_hook::consts::SIGCONT, suspend.went_on.clone())?;
        }
        Ok(suspend)
    }

    /// Asks the whole job to stop, as the terminal itself does on Ctrl-Z when it is not raw.
    pub fn ask() {
        #[cfg(unix)]
        // A job that cannot be signalled goes on; the key then does nothing.
        let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
    }

    /// Whether the process shall stop.
    pub fn is_asked(&self) -> bool {
        self.stop.swap(false, Ordering::SeqCst)
    }

    /// Stops the process here until it is told to go on.
    ///
    /// # Errors
    /// The system refused.
    pub fn stop(&self) -> io::Result<()> {
        #[cfg(unix)]
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
        Ok(())
    }

    /// Whether the process was stopped since the last look, here or by `kill -STOP`.
    pub fn went_on(&self) -> bool {
        self.went_on.swap(false, Ordering::SeqCst)
    }
}
