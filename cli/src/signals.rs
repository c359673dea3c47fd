//! Ctrl-C and its relatives: the first asks for an orderly end, the second does not wait for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::exit;
use proact::tui::{Controls, terminal};

/// Signals this close are one: a terminal that goes away sends SIGHUP through the shell, and again
/// through the system.
const ONE_SIGNAL: Duration = Duration::from_millis(500);

/// From now on SIGINT, SIGTERM and SIGHUP ask the run to end. It then flushes and leaves with 130.
/// A second one leaves at once; the terminal is given back in any case.
///
/// # Errors
/// A handler is already installed, or the system refused one.
pub fn watch(controls: &Arc<Controls>) -> anyhow::Result<()> {
    let controls = controls.clone();
    let mut first: Option<Instant> = None;
    ctrlc::set_handler(move || {
        if first.get_or_insert_with(Instant::now).elapsed() > ONE_SIGNAL {
            terminal::restore();
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
        controls.interrupt();
    })?;
    Ok(())
}
