//! Looks of the screen: for dark terminals, for light ones, and without any colour.
//!
//! Colour never carries information alone: each state also has its mark and its word.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Padding};

// Colours of the light theme from the terminal's 256, whose first 16 people change to their taste:
// contrast of 4.5 and more on white, by the definition of WCAG 2.
const BLACK: u8 = 16;
const WHITE: u8 = 231;
const GREY: u8 = 241;
const BLUE: u8 = 25;
const TEAL: u8 = 23;
const GREEN: u8 = 22;
const RED: u8 = 124;
const PURPLE: u8 = 90;

/// The looks by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThemeName {
    /// For dark terminals.
    #[default]
    Dark,
    /// For light terminals.
    Light,
    /// Bold, dim and reversed only.
    None,
}

impl ThemeName {
    /// All of them, in the order in which the key goes through them.
    pub const ALL: [Self; 3] = [Self::Dark, Self::Light, Self::None];

    /// The word in flags and files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::None => "none",
        }
    }

    /// The one after this.
    pub fn next(self) -> Self {
        match self {
            Self::Dark => Self::Light,
            Self::Light => Self::None,
            Self::None => Self::Dark,
        }
    }
}

/// One style for each role on the screen.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// Whether colours are used at all.
    pub colour: bool,
    /// Plain words.
    pub text: Style,
    /// What may be overlooked: borders, units, what has not begun.
    pub dim: Style,
    /// Names of panels.
    pub title: Style,
    /// The program's badge and the progress bar.
    pub accent: Style,
    /// Done.
    pub done: Style,
    /// Being done: must be found at a glance.
    pub current: Style,
    /// Needs attention.
    pub warning: Style,
    /// The assistant's name, and the speak gate.
    pub speak: Style,
    /// The person's name.
    pub user: Style,
    /// The state-update gate.
    pub dst_update: Style,
    /// A threshold line.
    pub threshold: Style,
}

impl Theme {
    /// For dark terminals.
    pub fn dark() -> Self {
        let fg = |colour| Style::new().fg(colour);
        Self {
            colour: true,
            text: Style::new(),
            dim: fg(Color::DarkGray),
            title: fg(Color::Gray).add_modifier(Modifier::BOLD),
            accent: fg(Color::Cyan).add_modifier(Modifier::BOLD),
            done: fg(Color::Green),
            current: Style::new()
                .bg(Color::Yellow)
                .fg(Color::Black)
                .add_modifier(Modifier::BOLD),
            warning: fg(Color::LightRed).add_modifier(Modifier::BOLD),
            speak: fg(Color::LightMagenta),
            user: fg(Color::LightBlue).add_modifier(Modifier::BOLD),
            dst_update: fg(Color::LightCyan),
            threshold: fg(Color::DarkGray),
        }
    }

    /// For light terminals: deep colours, since the bright ones vanish on white.
    pub fn light() -> Self {
        let fg = |index| Style::new().fg(Color::Indexed(index));
        Self {
            colour: true,
            text: fg(BLACK),
            dim: fg(GREY),
            title: fg(BLACK).add_modifier(Modifier::BOLD),
            accent: fg(TEAL).add_modifier(Modifier::BOLD),
            done: fg(GREEN),
            current: Style::new()
                .bg(Color::Indexed(BLUE))
                .fg(Color::Indexed(WHITE))
                .add_modifier(Modifier::BOLD),
            warning: fg(RED).add_modifier(Modifier::BOLD),
            speak: fg(PURPLE),
            user: fg(BLUE).add_modifier(Modifier::BOLD),
            dst_update: fg(TEAL),
            threshold: fg(GREY),
        }
    }

    /// Bold, dim and reversed only.
    pub fn monochrome() -> Self {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        let dim = plain.add_modifier(Modifier::DIM);
        Self {
            colour: false,
            text: plain,
            dim,
            title: bold,
            accent: bold,
            done: plain,
            current: bold.add_modifier(Modifier::REVERSED),
            warning: bold,
            speak: bold,
            user: bold,
            dst_update: bold,
            threshold: dim,
        }
    }

    /// The theme of a name.
    pub fn of(name: ThemeName) -> Self {
        match name {
            ThemeName::Dark => Self::dark(),
            ThemeName::Light => Self::light(),
            ThemeName::None => Self::monochrome(),
        }
    }

    /// A panel's frame with its name.
    pub fn panel<'a>(&self, title: impl Into<String>) -> Block<'a> {
        Block::bordered()
            .border_set(border::ROUNDED)
            .border_style(self.dim)
            .title(Line::from(Span::styled(
                format!(" {} ", title.into()),
                self.title,
            )))
            .padding(Padding::horizontal(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_goes_through_all_themes() {
        let mut name = ThemeName::default();
        for expected in ThemeName::ALL {
            assert_eq!(name, expected);
            name = name.next();
        }
        assert_eq!(name, ThemeName::default());
    }

    #[test]
    fn no_color_means_none_at_all() {
        let t = Theme::of(ThemeName::None);
        for style in [
            t.text,
            t.dim,
            t.title,
            t.accent,
            t.done,
            t.current,
            t.warning,
            t.speak,
            t.user,
            t.dst_update,
            t.threshold,
        ] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}
