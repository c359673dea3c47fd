//! The latest events, held for a screen that looks when it likes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::stream::{Event, Sink};

/// The sink's end: takes events and forgets the oldest when full.
#[derive(Debug)]
pub struct LatestSink {
    window: Latest,
}

/// The screen's end; can be cloned and sent to another thread.
#[derive(Clone, Debug)]
pub struct Latest {
    shared: Arc<Mutex<Window>>,
}

#[derive(Debug)]
struct Window {
    events: VecDeque<Event>,
    capacity: usize,
    /// Number of the next event, from 0.
    next: u64,
    closed: bool,
}

/// Events since the last look.
#[derive(Clone, Debug, PartialEq)]
pub struct Since {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// How many were forgotten before they could be seen.
    pub missed: u64,
    /// What to ask for next time.
    pub next: u64,
    /// Nothing will come any more.
    pub closed: bool,
}

impl LatestSink {
    /// Holds at most `capacity` events (at least 1).
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let window = Window {
            events: VecDeque::with_capacity(capacity),
            capacity,
            next: 0,
            closed: false,
        };
        Self {
            window: Latest {
                shared: Arc::new(Mutex::new(window)),
            },
        }
    }

    /// The screen's end.
    pub fn view(&self) -> Latest {
        self.window.clone()
    }
}

impl Latest {
    /// Events from number `next` on; start with 0 and go on with what comes back.
    pub fn since(&self, next: u64) -> Since {
        let window = self.lock();
        let oldest = window.next - window.events.len() as u64;
        let from = next.clamp(oldest, window.next);
        let events = window
            .events
            .iter()
            .skip((from - oldest) as usize)
            .cloned()
            .collect();
        Since {
            events,
            missed: from.saturating_sub(next),
            next: window.next,
            closed: window.closed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        // Nothing in here is left half-done by a panic.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for LatestSink {
    fn emit(&mut self, event: &Event) -> Result<()> {
        let mut window = self.window.lock();
        if window.events.len() == window.capacity {
            window.events.pop_front();
        }
        window.events.push_back(event.clone());
        window.next += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.window.lock().closed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::MediaTime;

    fn event(n: u64) -> Event {
        Event::Dropped {
            at: MediaTime(0.0),
            count: n,
        }
    }

    #[test]
    fn a_look_gives_what_is_new_and_tells_what_was_missed() {
        let mut sink = LatestSink::new(3);
        let view = sink.view();
        assert_eq!(
            view.since(0),
            Since {
                events: vec![],
                missed: 0,
                next: 0,
                closed: false
            }
        );
        (0..2).for_each(|n| sink.emit(&event(n)).unwrap());
        assert_eq!(
            view.since(0),
            Since {
                events: vec![event(0), event(1)],
                missed: 0,
                next: 2,
                closed: false
            }
        );
        (2..7).for_each(|n| sink.emit(&event(n)).unwrap());
        sink.close().unwrap();
        let seen = std::thread::spawn(move || view.since(2)).join().unwrap();
        assert_eq!(
            seen,
            Since {
                events: vec![event(4), event(5), event(6)],
                missed: 2,
                next: 7,
                closed: true
            }
        );
        assert_eq!(sink.view().since(7).events, []);
        assert_eq!(sink.view().since(99).next, 7);
    }
}
