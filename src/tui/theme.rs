//! Looks of the screen: dark by default, and without any colour when the person asks for none.
//!
//! Colour never carries information alone: each state also has its mark and its word.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Padding};

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
    /// For dark terminals; it also reads on light ones, since it sets no background but the current step's.
    pub fn dark() -> Self {
        let fg = |colour| Style::new().fg(colour);
        Self {
            colour: true,
            text: Style::new(),
            dim: fg(Color::DarkGray),
            title: fg(Color::Gray).add_modifier(Modifier::BOLD),
            accent: fg(Color::Cyan).add_modifier(Modifier::BOLD),
            done: fg(Color::Green),
            current: Style::new().bg(Color::Yellow).fg(Color::Black).add_modifier(Modifier::BOLD),
            warning: fg(Color::LightRed).add_modifier(Modifier::BOLD),
            speak: fg(Color::LightMagenta),
            user: fg(Color::LightBlue).add_modifier(Modifier::BOLD),
            dst_update: fg(Color::LightCyan),
            threshold: fg(Color::DarkGray),
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

    /// The theme for a terminal: `no_color` as in <https://no-color.org>.
    pub fn pick(no_color: bool) -> Self {
        if no_color { Self::monochrome() } else { Self::dark() }
    }

    /// A panel's frame with its name.
    pub fn panel<'a>(&self, title: impl Into<String>) -> Block<'a> {
        Block::bordered()
            .border_set(border::ROUNDED)
            .border_style(self.dim)
            .title(Line::from(Span::styled(format!(" {} ", title.into()), self.title)))
            .padding(Padding::horizontal(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_means_none_at_all() {
        let t = Theme::pick(true);
        for style in [t.text, t.dim, t.title, t.accent, t.done, t.current, t.warning, t.speak, t.user, t.dst_update, t.threshold] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}
