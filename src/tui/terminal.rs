//! The terminal on loan: raw, alternate screen, no cursor; given back exactly once, whatever happens.
//!
//! Three ways out lead to the same [`restore`]: the guard's drop (a normal end and every `?`), the panic
//! hook (before the panic's words are printed, so that they are readable), and a signal handler.

use std::io::{self, Write, stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, Show};
use crossterm::event::DisableMouseCapture;
use crossterm::execute;
use crossterm::style::ResetColor;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

/// The terminal is ours at the moment. The one that flips it back is the one that restores.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back when it goes out of scope.
pub struct Guard(());

impl Guard {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// There is no terminal, or it refused; it is then as it was before.
    pub fn take() -> io::Result<Self> {
        install_panic_hook();
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let guard = Self(());
        execute!(stdout(), EnterAlternateScreen, Hide)?;
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back if it is taken; otherwise does nothing. May be called from any thread, any
/// number of times. Each part is tried even when another failed: there is nobody left to tell.
pub fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = stdout();
    let _ = execute!(out, DisableMouseCapture, ResetColor, Show, LeaveAlternateScreen);
    let _ = disable_raw_mode();
    let _ = out.flush();
}

/// Whether the terminal is still ours: a panic elsewhere or a second signal may have given it back.
pub fn is_taken() -> bool {
    TAKEN.load(Ordering::SeqCst)
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
        // Nothing observable but the flag: an escape sequence here would garble the test's own output.
        restore();
        assert!(!is_taken());
    }
}
