//! What the person wants of the engine besides pausing and leaving: a bounded queue of wishes.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::stream::{GateName, Hand};
use crate::units::MediaTime;

/// Wishes that may wait; more are thrown away: nobody presses keys that fast on purpose.
const WISHES_MAX: usize = 256;

/// One thing to do between two frames.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// Words for the assistant; it answers at the next frame.
    Say(String),
    /// A hand on the task's state.
    Hand(Hand),
    /// Moves a gate's threshold by so many steps.
    Threshold(GateName, i32),
    /// Goes so many seconds on (or back, below zero) in a recording.
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
pub struct Wishes(Mutex<VecDeque<Wish>>);

impl Wishes {
    /// Adds a wish. One that goes on from the wish before is joined with it: a held key must not
    /// make the engine open a recording a hundred times.
    pub fn push(&self, wish: Wish) {
        let mut queue = self.lock();
        let room = queue.len() < WISHES_MAX;
        match (queue.back_mut(), &wish) {
            (Some(Wish::SeekBy(waiting)), Wish::SeekBy(more)) => *waiting += more,
            (Some(Wish::SeekTo(waiting)), Wish::SeekTo(to)) => *waiting = *to,
            (Some(Wish::Threshold(gate, waiting)), Wish::Threshold(same, more)) if gate == same => {
                *waiting += more
            }
            _ if room => queue.push_back(wish),
            _ => {}
        }
    }

    /// The oldest wish.
    pub fn take(&self) -> Option<Wish> {
        self.lock().pop_front()
    }

    /// Nothing is wished for.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Wish>> {
        // A panic elsewhere leaves nothing half-done in here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_key_is_one_wish_and_the_queue_has_a_bound() {
        let wishes = Wishes::default();
        (0..100).for_each(|_| wishes.push(Wish::SeekBy(-5.0)));
        wishes.push(Wish::Threshold(GateName::Speak, 1));
        wishes.push(Wish::Threshold(GateName::Speak, 1));
        wishes.push(Wish::Threshold(GateName::DstUpdate, 1));
        (0..1000).for_each(|_| wishes.push(Wish::Snapshot));
        assert_eq!(wishes.take(), Some(Wish::SeekBy(-500.0)));
        assert_eq!(wishes.take(), Some(Wish::Threshold(GateName::Speak, 2)));
        assert_eq!(wishes.take(), Some(Wish::Threshold(GateName::DstUpdate, 1)));
        let mut rest = 0;
        while wishes.take().is_some() {
            rest += 1;
        }
        assert_eq!(rest, WISHES_MAX - 3);
        assert!(wishes.is_empty());
    }
}
