//! What the person wants of the engine besides pausing and leaving: a bounded queue of requests.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::stream::{GateName, Hand};
use crate::units::MediaTime;

/// Requests that may wait. More are thrown away, since nobody presses keys that fast on purpose.
const REQUESTS_MAX: usize = 256;

/// One thing to do between two frames.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Words for the assistant; it answers at the next frame.
    Say(String),
    /// A hand on the task's state.
    Hand(Hand),
    /// Moves a gate's threshold by so many steps.
    Threshold(GateName, i32),
    /// Goes forward by so many seconds of a recording, or back when they are below zero.
    SeekBy(f64),
    /// Goes to a place in a recording.
    SeekTo(MediaTime),
    /// Runs on without waiting until something happens.
    NextEvent,
    /// Speaks the last sentence again.
    Repeat,
    /// Follows another task.
    Task(PathBuf),
    /// Keeps the screen and the picture in files.
    Snapshot,
    /// Writes what was said as subtitles.
    Subtitles,
}

/// The queue between the screen and the engine.
#[derive(Debug, Default)]
pub struct Requests(Mutex<VecDeque<Request>>);

impl Requests {
    /// Adds a request. One that continues the request before it is joined with that: a held key
    /// must not make the engine open a recording a hundred times.
    pub fn push(&self, request: Request) {
        let mut queue = self.lock();
        let room = queue.len() < REQUESTS_MAX;
        match (queue.back_mut(), &request) {
            (Some(Request::SeekBy(waiting)), Request::SeekBy(more)) => *waiting += more,
            (Some(Request::SeekTo(waiting)), Request::SeekTo(to)) => *waiting = *to,
            (Some(Request::Threshold(gate, waiting)), Request::Threshold(same, more))
                if gate == same =>
            {
                *waiting += more
            }
            _ if room => queue.push_back(request),
            _ => {}
        }
    }

    /// The oldest request.
    pub fn take(&self) -> Option<Request> {
        self.lock().pop_front()
    }

    /// Nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Request>> {
        // A panic elsewhere leaves nothing half-done in here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_key_is_one_request_and_the_queue_has_a_bound() {
        let requests = Requests::default();
        (0..100).for_each(|_| requests.push(Request::SeekBy(-5.0)));
        requests.push(Request::Threshold(GateName::Speak, 1));
        requests.push(Request::Threshold(GateName::Speak, 1));
        requests.push(Request::Threshold(GateName::DstUpdate, 1));
        (0..1000).for_each(|_| requests.push(Request::Snapshot));
        assert_eq!(requests.take(), Some(Request::SeekBy(-500.0)));
        assert_eq!(
            requests.take(),
            Some(Request::Threshold(GateName::Speak, 2))
        );
        assert_eq!(
            requests.take(),
            Some(Request::Threshold(GateName::DstUpdate, 1))
        );
        let mut rest = 0;
        while requests.take().is_some() {
            rest += 1;
        }
        assert_eq!(rest, REQUESTS_MAX - 3);
        assert!(requests.is_empty());
    }
}
