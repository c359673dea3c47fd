//! Hands one event to several sinks, in order.

use crate::error::Result;
use crate::stream::{Event, Sink};

/// Hands every event to each of its sinks, even when one of them fails; returns the first error.
#[derive(Default)]
pub struct Tee<'a> {
    sinks: Vec<Box<dyn Sink + 'a>>,
}

impl<'a> Tee<'a> {
    /// A tee without sinks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sink after the others.
    pub fn push(&mut self, sink: impl Sink + 'a) {
        self.sinks.push(Box::new(sink));
    }

    fn each(&mut self, mut act: impl FnMut(&mut dyn Sink) -> Result<()>) -> Result<()> {
        let mut first = Ok(());
        for sink in &mut self.sinks {
            let result = act(sink.as_mut());
            first = first.and(result);
        }
        first
    }
}

impl Sink for Tee<'_> {
    fn emit(&mut self, event: &Event) -> Result<()> {
        self.each(|sink| sink.emit(event))
    }

    fn close(&mut self) -> Result<()> {
        self.each(|sink| sink.close())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::error::Error;
    use crate::units::MediaTime;

    struct Probe {
        name: char,
        fails: bool,
        seen: Rc<RefCell<String>>,
    }

    impl Probe {
        fn note(&mut self, what: char) -> Result<()> {
            self.seen.borrow_mut().extend([self.name, what]);
            if self.fails {
                Err(Error::Sink(format!("{} is full", self.name)))
            } else {
                Ok(())
            }
        }
    }

    impl Sink for Probe {
        fn emit(&mut self, _: &Event) -> Result<()> {
            self.note('e')
        }

        fn close(&mut self) -> Result<()> {
            self.note('c')
        }
    }

    #[test]
    fn all_get_everything_in_order_and_the_first_error_is_told() {
        let seen = Rc::new(RefCell::new(String::new()));
        let mut tee = Tee::new();
        for (name, fails) in [('1', false), ('2', true), ('3', true), ('4', false)] {
            tee.push(Probe {
                name,
                fails,
                seen: seen.clone(),
            });
        }
        let event = Event::Dropped {
            at: MediaTime(0.0),
            count: 1,
        };
        assert_eq!(tee.emit(&event).unwrap_err().to_string(), "sink: 2 is full");
        assert_eq!(tee.close().unwrap_err().to_string(), "sink: 2 is full");
        assert_eq!(*seen.borrow(), "1e2e3e4e1c2c3c4c");
        assert!(Tee::new().emit(&event).is_ok());
    }
}
