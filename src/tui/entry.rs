//! One line of text that the person types: a message, or the name of a task file.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Characters of a line at most; a message has to fit before one frame anyway.
const CHARS_MAX: usize = 500;

/// What the line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Words for the assistant.
    Message,
    /// A task file.
    Task,
}

/// A line being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is for.
    pub purpose: Purpose,
    text: Vec<char>,
    /// Characters in front of the cursor.
    cursor: usize,
}

/// What a key has made of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// It is still being typed.
    Open,
    /// The person gave it up.
    Dropped,
    /// It is done.
    Done(String),
}

impl Entry {
    /// An empty line.
    pub fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            text: Vec::new(),
            cursor: 0,
        }
    }

    /// The text in front of the cursor, and behind it.
    pub fn parts(&self) -> (String, String) {
        let (before, behind) = self.text.split_at(self.cursor);
        (before.iter().collect(), behind.iter().collect())
    }

    /// Does what a key does to a line.
    pub fn press(&mut self, key: KeyEvent) -> Typed {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => return Typed::Dropped,
            KeyCode::Enter => {
                let text: String = self.text.iter().collect();
                let text = text.trim();
                return if text.is_empty() {
                    Typed::Dropped
                } else {
                    Typed::Done(text.to_owned())
                };
            }
            KeyCode::Char('u') if ctrl => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('w') if ctrl => self.delete_word(),
            KeyCode::Char('a') if ctrl => self.cursor = 0,
            KeyCode::Char('e') if ctrl => self.cursor = self.text.len(),
            KeyCode::Char(c) if !ctrl && !c.is_control() && self.text.len() < CHARS_MAX => {
                self.text.insert(self.cursor, c);
                self.cursor += 1;
            }
            KeyCode::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.text.remove(self.cursor);
            }
            KeyCode::Delete if self.cursor < self.text.len() => {
                self.text.remove(self.cursor);
            }
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(self.text.len()),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            _ => {}
        }
        Typed::Open
    }

    fn delete_word(&mut self) {
        let end = self.cursor;
        while self.cursor > 0 && self.text[self.cursor - 1].is_whitespace() {
            self.cursor -= 1;
        }
        while self.cursor > 0 && !self.text[self.cursor - 1].is_whitespace() {
            self.cursor -= 1;
        }
        self.text.drain(self.cursor..end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[KeyCode]) -> (Entry, Typed) {
        let mut entry = Entry::new(Purpose::Message);
        let mut last = Typed::Open;
        for code in keys {
            last = entry.press(KeyEvent::from(*code));
        }
        (entry, last)
    }

    #[test]
    fn a_line_is_typed_corrected_and_sent() {
        use KeyCode::{Backspace, Char, Delete, End, Enter, Home, Left};
        let keys = [
            Char('a'),
            Char('ü'),
            Char('日'),
            Left,
            Backspace,
            Home,
            Char('x'),
            End,
            Char(' '),
            Enter,
        ];
        assert_eq!(typed(&keys).1, Typed::Done("xa日".into()));
        assert_eq!(
            typed(&[Char('a'), Home, Delete, Delete, Char(' '), Enter]).1,
            Typed::Dropped,
            "nothing was said"
        );
        assert_eq!(typed(&[Char('a'), KeyCode::Esc]).1, Typed::Dropped);
        assert_eq!(
            typed(&[Char('a'), Char('b'), Left]).0.parts(),
            ("a".into(), "b".into())
        );
    }

    #[test]
    fn words_and_lines_are_deleted_and_the_length_has_a_bound() {
        let mut entry = Entry::new(Purpose::Task);
        "one two"
            .chars()
            .for_each(|c| _ = entry.press(KeyEvent::from(KeyCode::Char(c))));
        let ctrl = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
        entry.press(ctrl('w'));
        assert_eq!(entry.parts().0, "one ");
        entry.press(ctrl('u'));
        assert_eq!(entry.parts().0, "");
        (0..CHARS_MAX + 9).for_each(|_| _ = entry.press(KeyEvent::from(KeyCode::Char('y'))));
        assert_eq!(entry.parts().0.len(), CHARS_MAX);
    }
}
