//! Ctrl-C and its relatives: the first asks for an orderly end, the second does not wait for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::exit;
use proact::stop::Stop;
use proact::tui::terminal;

/// Signals this close are one: a terminal that goes away sends SIGHUP through the shell, and again
/// through the system.
const ONE_SIGNAL: Duration = Duration::from_millis(500);

/// From now on SIGINT, SIGTERM and SIGHUP ask the run to end; it then flushes and exits with 130.
/// A second signal ends the process at once. The terminal is restored in either case.
///
/// # Errors
/// A handler is already installed, or the system refused one.
pub fn watch(stop: &Arc<Stop>) -> anyhow::Result<()> {
    let stop = stop.clone();
    let mut first: Option<Instant> = None;
    ctrlc::set_handler(move || {
        if first.get_or_insert_with(Instant::now).elapsed() > ONE_SIGNAL {
            terminal::restore();
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
        stop.interrupt();
    })?;
    Ok(())
}
