//! `proact demo --gif FILE --still FILE`: pictures for people of a real run, with nothing drawn by
//! hand.
//!
//! The demo runs as always; the screen is drawn after frames that were decided on, as many as a
//! small film can hold at equal distances, and becomes pixels.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use color_quant::NeuQuant;
use gif::{DisposalMethod, Encoder, Frame, Repeat};
use image::RgbImage;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::pixels::Painter;
use proact::error::{Error, Result};
use proact::tui::Board;
use proact::tui::layout::draw;
use proact::tui::view::View;

/// Size of the screen that is filmed, in cells.
const COLUMNS: u16 = 120;
const ROWS: u16 = 36;
/// The film has at most twice as many screens, whatever the length of the run: a README's picture
/// has to stay small.
const SCREENS: usize = 24;
/// A screen stands this long, in hundredths of a second: long enough to read a sentence.
const FRAME_CS: u16 = 100;
/// The last one stands longer.
const LAST_CS: u16 = 400;
/// Where in the film the still is taken.
const STILL_AT: f64 = 0.55;
/// Colours that occur most keep exactly as they are; the others share the rest of a GIF's 256, one
/// of which is "as before".
const EXACT_COLOURS: usize = 96;
const COLOURS: usize = 255;
const AS_BEFORE: u8 = 255;
/// Frames from which the colours are chosen.
const SAMPLE_FRAMES: usize = 12;
/// Every how many pixels one is looked at for that; 1 is the most thorough, 30 the fastest.
const SAMPLE_FACTION: i32 = 5;

/// Screens of a run.
pub struct Film {
    view: View,
    terminal: Terminal<TestBackend>,
    screens: Vec<Buffer>,
    /// One of so many frames is kept.
    every: usize,
    frames: usize,
}

impl Film {
    /// An empty film.
    pub fn new() -> Self {
        // Drawing on memory cannot fail, and its error type has no value.
        let terminal =
            Terminal::new(TestBackend::new(COLUMNS, ROWS)).unwrap_or_else(|never| match never {});
        Self {
            view: View::in_colour(),
            terminal,
            screens: Vec::new(),
            every: 1,
            frames: 0,
        }
    }

    /// Draws what the board shows now, if its turn has come.
    pub fn shoot(&mut self, board: &Board) {
        self.frames += 1;
        if !(self.frames - 1).is_multiple_of(self.every) {
            return;
        }
        if self.screens.len() == 2 * SCREENS {
            let mut place = 0..;
            self.screens
                .retain(|_| place.next().is_some_and(|i| i % 2 == 0));
            self.every *= 2;
        }
        let app = board.snapshot();
        let view = &mut self.view;
        let drawn = self
            .terminal
            .draw(|canvas| draw(canvas, &app, view))
            .unwrap_or_else(|never| match never {});
        self.screens.push(drawn.buffer.clone());
    }

    /// Writes a still out of the middle as PNG.
    ///
    /// # Errors
    /// Nothing was filmed; the file cannot be written.
    pub fn still(&self, path: &Path) -> Result<()> {
        let at = (self.screens.len() as f64 * STILL_AT) as usize;
        let screen = self
            .screens
            .get(at)
            .ok_or_else(|| Error::Invalid("nothing was filmed".into()))?;
        Painter::new()?
            .paint(screen)
            .save_with_format(path, image::ImageFormat::Png)
            .map_err(|e| Error::format(path, e.to_string()))
    }

    /// Writes the film as an animated GIF: of each screen only what changed.
    ///
    /// # Errors
    /// Nothing was filmed; the file cannot be written.
    pub fn gif(&self, path: &Path) -> Result<()> {
        if self.screens.is_empty() {
            return Err(Error::Invalid("nothing was filmed".into()));
        }
        let fail = |e: gif::EncodingError| Error::format(path, e.to_string());
        let mut painter = Painter::new()?;
        let mut colours = self.colours(&mut painter);
        let first = painter.paint(&self.screens[0]);
        let (width, height) = (first.width() as u16, first.height() as u16);
        let out = BufWriter::new(File::create(path).map_err(Error::io(path))?);
        let mut encoder = Encoder::new(out, width, height, &colours.table).map_err(fail)?;
        encoder.set_repeat(Repeat::Infinite).map_err(fail)?;
        let mut shown: Option<Vec<u8>> = None;
        for (i, screen) in self.screens.iter().enumerate() {
            let now = colours.of(&painter.paint(screen));
            let delay = if i + 1 == self.screens.len() {
                LAST_CS
            } else {
                FRAME_CS
            };
            let frame = changed(&now, shown.as_deref(), usize::from(width), delay);
            encoder.write_frame(&frame).map_err(fail)?;
            shown = Some(now);
        }
        Ok(())
    }

    /// One table of colours for the whole film, so that what stands still does not flicker.
    fn colours(&self, painter: &mut Painter) -> Colours {
        let every = (self.screens.len() / SAMPLE_FRAMES).max(1);
        let mut counts: HashMap<[u8; 3], u64> = HashMap::new();
        for screen in self.screens.iter().step_by(every) {
            for pixel in painter.paint(screen).pixels() {
                *counts.entry(pixel.0).or_default() += 1;
            }
        }
        let mut by_count: Vec<([u8; 3], u64)> = counts.into_iter().collect();
        by_count.sort_by_key(|(colour, count)| (std::cmp::Reverse(*count), *colour));
        let (exact, rest) = by_count.split_at(by_count.len().min(EXACT_COLOURS));
        let mut table: Vec<u8> = exact.iter().flat_map(|(colour, _)| *colour).collect();
        // A colour counts as often as its digits say: many seldom ones must not be outvoted.
        let sample: Vec<u8> = rest
            .iter()
            .flat_map(|([r, g, b], count)| {
                std::iter::repeat_n([*r, *g, *b, 255], 1 + count.ilog2() as usize).flatten()
            })
            .collect();
        if !sample.is_empty() {
            table.extend(
                NeuQuant::new(SAMPLE_FACTION, COLOURS - exact.len(), &sample).color_map_rgb(),
            );
        }
        table.truncate(COLOURS * 3);
        table.resize((COLOURS + 1) * 3, 0);
        Colours {
            table,
            known: HashMap::new(),
        }
    }
}

/// A table of colours, and where in it each colour was found to be.
struct Colours {
    /// `[256, 3]`; the last one is never shown.
    table: Vec<u8>,
    known: HashMap<[u8; 3], u8>,
}

impl Colours {
    fn of(&mut self, image: &RgbImage) -> Vec<u8> {
        image
            .pixels()
            .map(|pixel| {
                *self
                    .known
                    .entry(pixel.0)
                    .or_insert_with(|| nearest(&self.table, pixel.0))
            })
            .collect()
    }
}

fn nearest(table: &[u8], colour: [u8; 3]) -> u8 {
    let far = |entry: &[u8]| -> i32 {
        entry
            .iter()
            .zip(colour)
            .map(|(a, b)| (i32::from(*a) - i32::from(b)).pow(2))
            .sum()
    };
    let best = table
        .chunks_exact(3)
        .take(COLOURS)
        .enumerate()
        .min_by_key(|(_, entry)| far(entry));
    best.map_or(0, |(i, _)| i as u8)
}

/// The smallest rectangle with all changes in it; what is as before in it is left out.
fn changed<'a>(now: &[u8], shown: Option<&[u8]>, width: usize, delay: u16) -> Frame<'a> {
    let height = now.len() / width;
    let differs =
        |x: usize, y: usize| shown.is_none_or(|shown| shown[y * width + x] != now[y * width + x]);
    let rows: Vec<usize> = (0..height)
        .filter(|y| (0..width).any(|x| differs(x, *y)))
        .collect();
    let columns: Vec<usize> = (0..width)
        .filter(|x| rows.iter().any(|y| differs(*x, *y)))
        .collect();
    let span = |places: &[usize]| {
        places.first().map_or((0, 1), |first| {
            (*first, places[places.len() - 1] + 1 - first)
        })
    };
    let ((top, h), (left, w)) = (span(&rows), span(&columns));
    let pixel = |y: usize, x: usize| {
        if differs(x, y) {
            now[y * width + x]
        } else {
            AS_BEFORE
        }
    };
    let buffer: Vec<u8> = (top..top + h)
        .flat_map(|y| (left..left + w).map(move |x| (y, x)))
        .map(|(y, x)| pixel(y, x))
        .collect();
    Frame {
        delay,
        dispose: DisposalMethod::Keep,
        transparent: Some(AS_BEFORE),
        top: top as u16,
        left: left as u16,
        width: w as u16,
        height: h as u16,
        buffer: buffer.into(),
        ..Frame::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_stored() {
        let before = vec![1u8; 6 * 4];
        let mut now = before.clone();
        (now[6 + 2], now[2 * 6 + 4]) = (7, 8);
        let frame = changed(&now, Some(&before), 6, 5);
        assert_eq!(
            (frame.left, frame.top, frame.width, frame.height),
            (2, 1, 3, 2)
        );
        assert_eq!(&frame.buffer[..], [7, 255, 255, 255, 255, 8]);
        let whole = changed(&now, None, 6, 5);
        assert_eq!(&whole.buffer[..], now);
        assert_eq!(
            changed(&now, Some(&now), 6, 5).buffer.len(),
            1,
            "a frame is never empty"
        );
    }

    #[test]
    fn a_long_run_makes_no_longer_film() {
        let (mut film, board) = (Film::new(), Board::new());
        for _ in 0..10 * SCREENS {
            film.shoot(&board);
        }
        assert_eq!((film.screens.len(), film.every), (30, 8));
    }

    #[test]
    fn a_film_becomes_a_gif_and_a_still() {
        let dir = tempfile::tempdir().unwrap();
        let (gif, still) = (dir.path().join("a.gif"), dir.path().join("a.png"));
        let mut film = Film::new();
        assert!(film.gif(&gif).is_err() && film.still(&still).is_err());
        let board = Board::new();
        for i in 0..3 {
            board.status(proact::tui::Status {
                source: format!("clip {i}"),
                ..Default::default()
            });
            film.shoot(&board);
        }
        film.gif(&gif).unwrap();
        film.still(&still).unwrap();
        let mut reader = gif::DecodeOptions::new()
            .read_info(File::open(&gif).unwrap())
            .unwrap();
        assert_eq!(
            (u32::from(reader.width()), u32::from(reader.height())),
            image::image_dimensions(&still).unwrap()
        );
        let mut frames = 0;
        while reader.read_next_frame().unwrap().is_some() {
            frames += 1;
        }
        assert_eq!(frames, film.screens.len());
    }
}
