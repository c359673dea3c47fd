//! Writes diagnostics to stderr. While the screen is up it holds them back, so that they do not
//! garble the screen.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use proact::tui::Board;

/// Most bytes that are held back; later ones are counted and lost.
const HELD_BYTES_MAX: usize = 256 << 10;

/// Starts logging at the given level, or by `target=level,…`.
///
/// # Errors
/// The level cannot be understood.
pub fn start(level: &str, hold: bool) -> anyhow::Result<Held> {
    let filter = EnvFilter::try_new(level)
        .with_context(|| format!("--log {level}: expected a level such as `info`"))?;
    let held = Held(Arc::new(Mutex::new(Store {
        hold,
        ..Store::default()
    })));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .without_time()
        .with_ansi(false);
    // A second start in one process (tests) keeps the first subscriber: nothing depends on it.
    let _ = builder.with_writer(held.clone()).try_init();
    Ok(held)
}

#[derive(Default)]
struct Store {
    hold: bool,
    bytes: Vec<u8>,
    lost: usize,
    board: Option<Arc<Board>>,
}

/// The diagnostics that were held back.
#[derive(Clone)]
pub struct Held(Arc<Mutex<Store>>);

impl Held {
    /// From now on whole lines are also shown on the screen's log panel.
    pub fn show_on(&self, board: &Arc<Board>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).board = Some(board.clone());
    }

    /// The screen is gone: prints what was held back, and holds nothing back any more.
    pub fn release(&self) {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        store.hold = false;
        store.board = None;
        let bytes = std::mem::take(&mut store.bytes);
        // stderr is the last resort; when it is gone there is nobody to tell.
        let _ = io::stderr().write_all(&bytes);
        if store.lost > 0 {
            let _ = writeln!(
                io::stderr(),
                "({} bytes of log were lost while the screen was up)",
                store.lost
            );
            store.lost = 0;
        }
    }
}

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !store.hold {
            return io::stderr().write(bytes);
        }
        if let Some(board) = &store.board {
            // A record comes in one piece.
            String::from_utf8_lossy(bytes)
                .lines()
                .for_each(|line| board.note(line.trim()));
        }
        if store.bytes.len() + bytes.len() > HELD_BYTES_MAX {
            store.lost += bytes.len();
        } else {
            store.bytes.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Held {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded() {
        let mut held = Held(Arc::new(Mutex::new(Store {
            hold: true,
            ..Store::default()
        })));
        for _ in 0..100 {
            held.write_all(&[b'x'; 4096]).unwrap();
        }
        let store = held.0.lock().unwrap();
        assert!(store.bytes.len() <= HELD_BYTES_MAX);
        assert_eq!(store.bytes.len() + store.lost, 100 * 4096);
    }
}
