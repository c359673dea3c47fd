//! One table of keys: what each does, and the words that the help shows. Nothing else reads keys,
//! except a line of text being typed (`entry.rs`).

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
    /// A little back in the recording.
    Back,
    /// A little on in the recording.
    On,
    /// Far back in the recording.
    FarBack,
    /// Far on in the recording.
    FarOn,
    /// Go to the beginning of the recording.
    Start,
    /// Go back to where something happened last.
    PreviousEvent,
    /// Run on until something happens.
    NextEvent,
    /// Type a message.
    Message,
    /// The last sentence once more.
    Repeat,
    /// Choose the next step.
    ChooseNext,
    /// Choose the step before.
    ChoosePrevious,
    /// The chosen step is done.
    Done,
    /// The chosen step has not begun.
    NotDone,
    /// The person is at the chosen step.
    Jump,
    /// Take the last change back.
    Undo,
    /// Speak less readily.
    SpeakUp,
    /// Speak more readily.
    SpeakDown,
    /// Update less readily.
    UpdateUp,
    /// Update more readily.
    UpdateDown,
    /// Type the name of another task file.
    Task,
    /// Keep the screen and the picture.
    Snapshot,
    /// Write subtitles.
    Subtitles,
    /// The next panel in the place of the gates.
    Panel,
    /// The next theme.
    Theme,
    /// Give the terminal back and stop, until the shell says to go on.
    Suspend,
}

impl Command {
    /// Whether it changes what the session decides or holds, rather than how it is looked at.
    pub fn changes_the_session(self) -> bool {
        let steps = matches!(
            self,
            Self::Task | Self::Done | Self::NotDone | Self::Jump | Self::Undo
        );
        steps
            || matches!(
                self,
                Self::Message | Self::SpeakUp | Self::SpeakDown | Self::UpdateUp | Self::UpdateDown
            )
    }
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

const fn row(
    keys: &'static [(KeyCode, KeyModifiers)],
    label: &'static str,
    command: Command,
    help: &'static str,
) -> Binding {
    Binding {
        keys,
        label,
        command,
        help,
    }
}

const fn key(c: char) -> (KeyCode, KeyModifiers) {
    (KeyCode::Char(c), NONE)
}

/// Every key that does something, in the order of the help.
pub const KEYS: &[Binding] = &[
    row(
        &[key(' ')],
        "space",
        Command::Pause,
        "pause, or go on; no frame comes in meanwhile",
    ),
    row(
        &[(KeyCode::Left, NONE)],
        "Left",
        Command::Back,
        "5 s back: memory anew, steps as they were then",
    ),
    row(
        &[(KeyCode::Right, NONE)],
        "Right",
        Command::On,
        "5 s on: memory anew, steps as they are",
    ),
    row(&[key('{')], "{", Command::FarBack, "30 s back"),
    row(&[key('}')], "}", Command::FarOn, "30 s on"),
    row(
        &[(KeyCode::Home, NONE)],
        "Home",
        Command::Start,
        "to the beginning",
    ),
    row(
        &[key('[')],
        "[",
        Command::PreviousEvent,
        "back to where something happened last",
    ),
    row(
        &[key(']')],
        "]",
        Command::NextEvent,
        "run on fast until something happens",
    ),
    row(
        &[key('+'), key('=')],
        "+",
        Command::Faster,
        "play twice as fast",
    ),
    row(&[key('-')], "-", Command::Slower, "play half as fast"),
    row(
        &[key('i'), (KeyCode::Enter, NONE)],
        "i  Enter",
        Command::Message,
        "type a message; the next frame answers it",
    ),
    row(
        &[key('r')],
        "r",
        Command::Repeat,
        "say the last sentence again",
    ),
    row(
        &[key('m')],
        "m",
        Command::Mute,
        "mute: no sentence is spoken aloud",
    ),
    row(
        &[(KeyCode::Tab, NONE)],
        "Tab",
        Command::ChooseNext,
        "choose a step (or click it)",
    ),
    row(
        &[(KeyCode::BackTab, NONE)],
        "Shift-Tab",
        Command::ChoosePrevious,
        "choose the step before",
    ),
    row(
        &[key('d')],
        "d",
        Command::Done,
        "mark the step as done (logged as yours)",
    ),
    row(
        &[key('D')],
        "D",
        Command::NotDone,
        "mark the step as not begun",
    ),
    row(
        &[key('g')],
        "g",
        Command::Jump,
        "go on at the step: those before it are done",
    ),
    row(
        &[key('u')],
        "u",
        Command::Undo,
        "undo the last change of the steps",
    ),
    row(
        &[key('>')],
        ">",
        Command::SpeakUp,
        "speak threshold up: speaks less",
    ),
    row(
        &[key('<')],
        "<",
        Command::SpeakDown,
        "speak threshold down: speaks more",
    ),
    row(&[key('.')], ".", Command::UpdateUp, "update threshold up"),
    row(
        &[key(',')],
        ",",
        Command::UpdateDown,
        "update threshold down",
    ),
    row(&[key('o')], "o", Command::Task, "follow another task file"),
    row(
        &[key('s')],
        "s",
        Command::Snapshot,
        "save screen (text) and picture (PNG) here",
    ),
    row(
        &[key('e')],
        "e",
        Command::Subtitles,
        "write what was said as subtitles here",
    ),
    row(
        &[(KeyCode::Up, NONE), key('k')],
        "Up  k",
        Command::ScrollUp,
        "older dialogue (or the wheel)",
    ),
    row(
        &[(KeyCode::Down, NONE), key('j')],
        "Down  j",
        Command::ScrollDown,
        "newer dialogue",
    ),
    row(
        &[(KeyCode::PageUp, NONE)],
        "PgUp",
        Command::PageUp,
        "a page older",
    ),
    row(
        &[(KeyCode::PageDown, NONE)],
        "PgDn",
        Command::PageDown,
        "a page newer",
    ),
    row(
        &[(KeyCode::End, NONE), key('G')],
        "End  G",
        Command::ScrollEnd,
        "newest dialogue, and follow it",
    ),
    row(
        &[key('p')],
        "p",
        Command::Panel,
        "gates, pipeline or log in the lower left",
    ),
    row(
        &[key('t')],
        "t",
        Command::Theme,
        "theme: dark, light, without colour",
    ),
    row(
        &[(KeyCode::Char('l'), CTRL)],
        "Ctrl-L",
        Command::Redraw,
        "draw the screen again",
    ),
    row(
        &[(KeyCode::Char('z'), CTRL)],
        "Ctrl-Z",
        Command::Suspend,
        "stop and give the terminal back; fg goes on",
    ),
    row(
        &[key('?'), key('h')],
        "?  h",
        Command::Help,
        "show or hide this help",
    ),
    row(
        &[key('q'), (KeyCode::Esc, NONE)],
        "q  Esc",
        Command::Quit,
        "quit (Esc closes what is open first)",
    ),
    row(
        &[(KeyCode::Char('c'), CTRL)],
        "Ctrl-C",
        Command::Interrupt,
        "quit with exit code 130",
    ),
];

/// The command of a key, if it has one. Shift is part of the character, so it is not compared.
pub fn command(key: KeyEvent) -> Option<Command> {
    let modifiers = key.modifiers - KeyModifiers::SHIFT;
    KEYS.iter()
        .find(|b| b.keys.contains(&(key.code, modifiers)))
        .map(|b| b.command)
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
        assert_eq!(
            key(KeyCode::Char('?'), KeyModifiers::SHIFT),
            Some(Command::Help)
        );
        assert_eq!(
            key(KeyCode::Char('D'), KeyModifiers::SHIFT),
            Some(Command::NotDone)
        );
        assert_eq!(key(KeyCode::Char('d'), NONE), Some(Command::Done));
        assert_eq!(
            key(KeyCode::BackTab, KeyModifiers::SHIFT),
            Some(Command::ChoosePrevious)
        );
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::ALT), None);
    }
}
