//! One table of keys: what each does, and the words that the help shows. Nothing else reads keys.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Leave.
    Quit,
    /// Leave as if by a signal: in raw mode the terminal sends a key instead.
    Interrupt,
    /// Stop or go on taking frames in.
    Pause,
    /// Show or hide the help.
    Help,
    /// Older dialogue, one line.
    ScrollUp,
    /// Newer dialogue, one line.
    ScrollDown,
    /// Older dialogue, one page.
    PageUp,
    /// Newer dialogue, one page.
    PageDown,
    /// Newest dialogue.
    ScrollEnd,
    /// Stop or go on speaking aloud.
    Mute,
    /// Play faster.
    Faster,
    /// Play slower.
    Slower,
    /// Draw everything again.
    Redraw,
}

/// One row of the table.
pub struct Binding {
    /// Keys that trigger it.
    pub keys: &'static [(KeyCode, KeyModifiers)],
    /// How the help writes them.
    pub label: &'static str,
    /// What it does.
    pub command: Command,
    /// The help's words.
    pub help: &'static str,
}

const NONE: KeyModifiers = KeyModifiers::NONE;
const CTRL: KeyModifiers = KeyModifiers::CONTROL;

/// Every key that does something, in the order of the help.
pub const KEYS: &[Binding] = &[
    Binding {
        keys: &[(KeyCode::Char('q'), NONE), (KeyCode::Esc, NONE)],
        label: "q  Esc",
        command: Command::Quit,
        help: "quit (Esc closes this help first)",
    },
    Binding {
        keys: &[(KeyCode::Char('c'), CTRL)],
        label: "Ctrl-C",
        command: Command::Interrupt,
        help: "quit with exit code 130",
    },
    Binding {
        keys: &[(KeyCode::Char(' '), NONE)],
        label: "space",
        command: Command::Pause,
        help: "pause: no frame is taken in until pressed again",
    },
    Binding {
        keys: &[(KeyCode::Char('+'), NONE), (KeyCode::Char('='), NONE)],
        label: "+",
        command: Command::Faster,
        help: "play twice as fast (recordings)",
    },
    Binding {
        keys: &[(KeyCode::Char('-'), NONE)],
        label: "-",
        command: Command::Slower,
        help: "play half as fast (recordings)",
    },
    Binding {
        keys: &[(KeyCode::Up, NONE), (KeyCode::Char('k'), NONE)],
        label: "Up  k",
        command: Command::ScrollUp,
        help: "older dialogue",
    },
    Binding {
        keys: &[(KeyCode::Down, NONE), (KeyCode::Char('j'), NONE)],
        label: "Down  j",
        command: Command::ScrollDown,
        help: "newer dialogue",
    },
    Binding { keys: &[(KeyCode::PageUp, NONE)], label: "PgUp", command: Command::PageUp, help: "a page older" },
    Binding { keys: &[(KeyCode::PageDown, NONE)], label: "PgDn", command: Command::PageDown, help: "a page newer" },
    Binding {
        keys: &[(KeyCode::End, NONE), (KeyCode::Char('G'), NONE)],
        label: "End  G",
        command: Command::ScrollEnd,
        help: "newest dialogue, and follow it",
    },
    Binding {
        keys: &[(KeyCode::Char('m'), NONE)],
        label: "m",
        command: Command::Mute,
        help: "mute: no sentence is spoken aloud",
    },
    Binding {
        keys: &[(KeyCode::Char('l'), CTRL)],
        label: "Ctrl-L",
        command: Command::Redraw,
        help: "draw the screen again",
    },
    Binding {
        keys: &[(KeyCode::Char('?'), NONE), (KeyCode::Char('h'), NONE)],
        label: "?  h",
        command: Command::Help,
        help: "show or hide this help",
    },
];

/// The command of a key, if it has one. Shift is part of the character, so it is not compared.
pub fn command(key: KeyEvent) -> Option<Command> {
    let modifiers = key.modifiers - KeyModifiers::SHIFT;
    KEYS.iter().find(|b| b.keys.contains(&(key.code, modifiers))).map(|b| b.command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_does_two_things() {
        let all: Vec<_> = KEYS.iter().flat_map(|b| b.keys).collect();
        for (i, key) in all.iter().enumerate() {
            assert!(!all[..i].contains(key), "{key:?} stands twice");
        }
    }

    #[test]
    fn keys_are_found_whatever_shift_says_and_ctrl_is_told_apart() {
        let key = |code, modifiers| command(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('c'), CTRL), Some(Command::Interrupt));
        assert_eq!(key(KeyCode::Char('c'), NONE), None);
        assert_eq!(key(KeyCode::Char('?'), KeyModifiers::SHIFT), Some(Command::Help));
        assert_eq!(key(KeyCode::Char('G'), KeyModifiers::SHIFT), Some(Command::ScrollEnd));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::ALT), None);
    }
}
