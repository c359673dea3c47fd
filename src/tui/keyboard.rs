//! Keys, mouse and changes of size, read by a thread of its own.
//!
//! crossterm's reader never comes back from a terminal that is gone (tmux killed, a connection
//! lost): it takes the end of the file for "nothing yet" and asks again without a rest. So it is
//! only asked while the terminal is there, and not by the thread that has to end the run.

use std::cell::Cell;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyCode, KeyModifiers};

/// Keys that may wait; further ones wait in the terminal.
const WAITING_MAX: usize = 256;
/// Time in which the keys of one answer arrive; no hand types that fast.
const ANSWER_MAX: Duration = Duration::from_millis(100);
/// For one look at what is there; at zero crossterm does not look at all, and below a millisecond
/// it does not rest.
const GLANCE: Duration = Duration::from_micros(50);
/// How long it takes at most until a change of size is seen.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// What comes from the terminal, until it goes out of scope.
pub struct Keyboard {
    events: Receiver<Event>,
    _listening: Arc<()>,
    /// Until when keys may belong to a late answer.
    answer: Cell<Option<Instant>>,
}

impl Keyboard {
    /// Reads the terminal from now on.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn listen() -> io::Result<Self> {
        let (tell, events) = sync_channel(WAITING_MAX);
        let listening = Arc::new(());
        let heard = Arc::downgrade(&listening);
        // When the thread can read no more, its end of the channel closes, and `next` says so.
        thread::Builder::new()
            .name("keys".into())
            .spawn(move || drop(read(&tell, &heard)))?;
        Ok(Self {
            events,
            _listening: listening,
            answer: Cell::new(None),
        })
    }

    /// The next that waits, if one does.
    ///
    /// # Errors
    /// The terminal is gone, or cannot be read.
    pub fn next(&self) -> io::Result<Option<Event>> {
        match self.events.try_recv() {
            Ok(event) if self.is_answer(&event) => self.next(),
            Ok(event) => Ok(Some(event)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Keyboard {
    /// Whether a key belongs to a late answer about pictures, `ESC _ G … ESC \\`, which crossterm
    /// takes for keys, those at both ends with Alt. It makes no keys of other answers.
    fn is_answer(&self, event: &Event) -> bool {
        let Event::Key(key) = event else { return false };
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        let open = self
            .answer
            .get()
            .is_some_and(|until| Instant::now() < until);
        let next = match key.code {
            KeyCode::Char('_') if alt && !open => Some(Instant::now() + ANSWER_MAX),
            KeyCode::Char('\\') if alt => None,
            _ => self.answer.get().filter(|_| open),
        };
        self.answer.set(next);
        open || next.is_some()
    }
}

fn read(tell: &SyncSender<Event>, heard: &Weak<()>) -> io::Result<()> {
    while heard.strong_count() > 0 {
        if is_gone()? {
            return Ok(());
        }
        while event::poll(GLANCE)? {
            tell.send(event::read()?).map_err(io::Error::other)?;
        }
    }
    Ok(())
}

/// Waits a moment for something to read. `true` when the other end of the terminal was closed.
#[cfg(unix)]
fn is_gone() -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let at_most = Timespec {
        tv_sec: 0,
        tv_nsec: LOOK_EVERY.subsec_nanos().into(),
    };
    match poll(&mut fds, Some(&at_most)) {
        Ok(_) => Ok(fds[0]
            .revents()
            .intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(why) => Err(why.into()),
    }
}

#[cfg(not(unix))]
fn is_gone() -> io::Result<bool> {
    event::poll(LOOK_EVERY).map(|_| false)
}
