//! The screen as plain text, for files: what a terminal of that size without colours would show.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui_image::picker::Picker;

use super::app::App;
use super::layout::draw;
use super::theme::ThemeName;
use super::view::View;

/// The screen of `columns` by `rows` as lines of text.
pub fn as_text(app: &App, columns: u16, rows: u16) -> String {
    // Drawing to memory cannot fail.
    let Ok(mut terminal) = Terminal::new(TestBackend::new(columns, rows));
    let mut view = View::new(ThemeName::None, Picker::halfblocks());
    let Ok(_) = terminal.draw(|canvas| draw(canvas, app, &mut view));
    text_of(terminal.backend().buffer())
}

/// The characters of a drawing, a line a row, without blanks at the ends.
pub(super) fn text_of(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut text = String::new();
    for y in area.top()..area.bottom() {
        let line: String = (area.left()..area.right())
            .map(|x| buffer[(x, y)].symbol())
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
