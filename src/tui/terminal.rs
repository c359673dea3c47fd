//! The terminal on loan: raw, alternate screen, no cursor; given back exactly once, whatever
//! happens.
//!
//! All ways out lead to the same [`restore`]: the guard's drop (a normal end and every `?`), the
//! panic hook (before the panic's words are printed, so that they are readable), a signal handler,
//! and being suspended. None of them waits longer than a second for a terminal that does not read.

use std::io::{self, Write, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableMouseCapture};
use crossterm::queue;
use crossterm::style::ResetColor;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use super::outlet::{Outlet, Pen};

/// How long a terminal may take to read what gives it back.
const RESTORE_MAX: Duration = Duration::from_secs(1);

/// The terminal is ours at the moment. The one that flips it back is the one that restores.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// The terminal did not take the bytes that give it back.
static STUCK: AtomicBool = AtomicBool::new(false);
/// The way to the terminal; one for the whole process.
static OUTLET: OnceLock<Outlet> = OnceLock::new();

/// Gives the terminal back when it goes out of scope.
pub struct Guard {
    mouse: bool,
}

impl Guard {
    /// Takes the terminal over, with its mouse if that is wanted.
    ///
    /// # Errors
    /// There is no terminal, or it refused; it is then as it was before.
    pub fn take(mouse: bool) -> io::Result<Self> {
        install_panic_hook();
        let outlet = outlet()?;
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let guard = Self { mouse };
        let mut bytes = Vec::new();
        queue!(bytes, EnterAlternateScreen, Hide)?;
        if mouse {
            queue!(bytes, EnableMouseCapture)?;
        }
        outlet.open(&bytes);
        Ok(guard)
    }

    /// Takes it over again, after this process was stopped: the shell may have made anything of it
    /// meanwhile.
    ///
    /// # Errors
    /// As [`Guard::take`].
    pub fn take_again(&mut self) -> io::Result<()> {
        restore();
        std::mem::forget(Self::take(self.mouse)?);
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

/// What the screen is drawn with; nothing is written once the terminal has been given back.
///
/// # Errors
/// There is no terminal.
pub fn pen() -> io::Result<Pen> {
    Ok(outlet()?.pen())
}

/// Whether the terminal has taken everything so far; only then does a drawing make sense.
pub fn is_idle() -> bool {
    OUTLET.get().is_none_or(Outlet::is_idle)
}

/// Sends bytes that are no drawing.
pub(super) fn tell(bytes: &[u8]) {
    if let Some(outlet) = OUTLET.get() {
        outlet.send(bytes, None);
    }
}

/// Waits a moment until everything so far has gone out.
pub fn settle() -> bool {
    OUTLET.get().is_none_or(|outlet| outlet.drain(RESTORE_MAX))
}

/// Gives the terminal back if it is taken; otherwise does nothing. May be called from any thread,
/// any number of times. Each part is tried even when another failed: there is nobody left to tell.
pub fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    if let Some(outlet) = OUTLET.get() {
        let mut bytes = Vec::new();
        // Writing to memory does not fail.
        let _ = queue!(
            bytes,
            DisableMouseCapture,
            DisableBracketedPaste,
            ResetColor,
            Show,
            LeaveAlternateScreen
        );
        outlet.close(&bytes);
        STUCK.store(
            !outlet.drain(RESTORE_MAX) || outlet.has_failed(),
            Ordering::SeqCst,
        );
    }
    let _ = disable_raw_mode();
}

/// Whether the terminal is still ours: a panic elsewhere or a second signal may have given it back.
pub fn is_taken() -> bool {
    TAKEN.load(Ordering::SeqCst)
}

/// Whether the terminal takes nothing any more, or is gone: whoever writes to it would wait for
/// ever, or fail.
pub fn is_stuck() -> bool {
    STUCK.load(Ordering::SeqCst)
}

/// The outlet has a handle of its own, so that it never holds the lock of standard output while it
/// waits.
fn outlet() -> io::Result<&'static Outlet> {
    if let Some(outlet) = OUTLET.get() {
        return Ok(outlet);
    }
    let outlet = Outlet::new(own_stdout()?)?;
    Ok(OUTLET.get_or_init(|| outlet))
}

#[cfg(unix)]
fn own_stdout() -> io::Result<impl Write + Send + 'static> {
    use std::os::fd::AsFd;
    Ok(std::fs::File::from(stdout().as_fd().try_clone_to_owned()?))
}

#[cfg(not(unix))]
fn own_stdout() -> io::Result<impl Write + Send + 'static> {
    Ok(stdout())
}

/// A panic on any thread gives the terminal back first and then says its words as it always did.
fn install_panic_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            previous(info);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restoring_what_was_never_taken_writes_nothing() {
        // Nothing observable but the flags: an escape sequence here would garble the test's own
        // output.
        restore();
        assert!(!is_taken() && !is_stuck() && is_idle());
    }
}
