//! Asks the terminal whether it can draw pixels, and how large its letters are.
//!
//! ratatui-image can ask by itself, but where no answer comes it leaves a thread behind that
//! swallows the next keys and changes the terminal's mode when it wakes up. Here reading ends
//! when the time is over.

use ratatui_image::FontSize;
use ratatui_image::picker::{Picker, ProtocolType};

/// What is known about a terminal's pictures before it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hint {
    /// Nothing.
    #[default]
    None,
    /// The environment says that it draws iTerm2's pictures; the other protocols that it may offer
    /// work less well.
    Iterm2,
}

/// Half blocks unless the terminal says that it can do better. `interrupted` is called when Ctrl-C
/// is typed meanwhile.
#[cfg(unix)]
pub(super) fn ask(hint: Hint, interrupted: impl FnMut()) -> Picker {
    match asking::answers(hint, interrupted) {
        Ok((protocol, Some(font))) => picker(protocol, font),
        // Without the size of a letter, nobody can tell how large a picture gets.
        _ => Picker::halfblocks(),
    }
}

/// Half blocks: there is no way to ask.
#[cfg(not(unix))]
pub(super) fn ask(_: Hint, _: impl FnMut()) -> Picker {
    Picker::halfblocks()
}

fn picker(protocol: ProtocolType, font: FontSize) -> Picker {
    // Deprecated in favour of asking by ratatui-image's own way.
    #[expect(deprecated)]
    let mut picker = Picker::from_fontsize(font);
    picker.set_protocol_type(protocol);
    picker
}

#[cfg(unix)]
mod asking {
    use std::io;
    use std::time::{Duration, Instant};

    use ratatui_image::FontSize;
    use ratatui_image::picker::ProtocolType;
    use ratatui_image::picker::cap_parser::{Parser, QueryStdioOptions, Response};
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::Hint;
    use crate::tui::terminal;

    /// How long a terminal may take to answer.
    const ANSWER_MAX: Duration = Duration::from_millis(500);
    /// In raw mode Ctrl-C is a byte like any other.
    const CTRL_C: u8 = 3;
    /// Bytes of an answer at most; what sends more is no terminal.
    const BYTES_MAX: usize = 1 << 12;

    /// The best way to draw, and the size of a letter.
    pub fn answers(
        hint: Hint,
        mut interrupted: impl FnMut(),
    ) -> io::Result<(ProtocolType, Option<FontSize>)> {
        // The last question is one that every terminal answers.
        terminal::tell(Parser::query(false, QueryStdioOptions::default()).as_bytes());
        if !terminal::settle() {
            return Ok((ProtocolType::Halfblocks, None));
        }
        let until = Instant::now() + ANSWER_MAX;
        let (mut parser, mut heard, mut bytes) = (Parser::new(), Vec::new(), 0);
        while let Some(block) = read(until.saturating_duration_since(Instant::now()))? {
            bytes += block.len();
            for byte in block {
                if byte == CTRL_C {
                    interrupted();
                    return Ok((ProtocolType::Halfblocks, None));
                }
                heard.extend(parser.push(char::from(byte)));
            }
            if heard.contains(&Response::Status) || bytes > BYTES_MAX {
                break;
            }
        }
        Ok((best(&heard, hint), font(&heard).or_else(font_of_the_window)))
    }

    fn best(heard: &[Response], hint: Hint) -> ProtocolType {
        let can = |what: Response| heard.contains(&what);
        match hint {
            Hint::Iterm2 => ProtocolType::Iterm2,
            Hint::None if can(Response::Kitty) => ProtocolType::Kitty,
            Hint::None if can(Response::Sixel) => ProtocolType::Sixel,
            Hint::None => ProtocolType::Halfblocks,
        }
    }

    fn font(heard: &[Response]) -> Option<FontSize> {
        heard.iter().find_map(|response| match response {
            Response::CellSize(Some((width, height))) => Some(FontSize::new(*width, *height)),
            _ => None,
        })
    }

    /// From the window's size in pixels, where the system knows it.
    fn font_of_the_window() -> Option<FontSize> {
        let size = crossterm::terminal::window_size().ok()?;
        let side = |pixels: u16, cells: u16| pixels.checked_div(cells).filter(|side| *side > 0);
        Some(FontSize::new(
            side(size.width, size.columns)?,
            side(size.height, size.rows)?,
        ))
    }

    /// What comes within that time; `None` when nothing does.
    fn read(at_most: Duration) -> io::Result<Option<Vec<u8>>> {
        let stdin = io::stdin();
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        let time = Timespec {
            tv_sec: 0,
            tv_nsec: at_most.subsec_nanos().into(),
        };
        match poll(&mut fds, Some(&time)) {
            Ok(0) => return Ok(None),
            Ok(_) if fds[0].revents().contains(PollFlags::IN) => {}
            Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(rustix::io::Errno::INTR) => return Ok(Some(Vec::new())),
            Err(why) => return Err(why.into()),
        }
        let mut block = [0; 256];
        let n = rustix::io::read(&stdin, &mut block)?;
        if n == 0 {
            Err(io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(Some(block[..n].to_vec()))
        }
    }
}
