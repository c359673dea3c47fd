//! A drawn screen as pixels, as a terminal with a common font and dark colours shows it: for
//! pictures of a run.
//!
//! Letters come from DejaVu Sans Mono. What has to meet its neighbours without a seam (blocks,
//! lines, braille) is made of rectangles here, as terminals do.

use std::collections::HashMap;

use fontdue::{Font, FontSettings};
use image::{Rgb, RgbImage};
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use proact::error::{Error, Result};

/// Size of a cell, in pixels.
pub const CELL_WIDTH: u32 = 8;
/// Height of a cell, in pixels.
pub const CELL_HEIGHT: u32 = 16;

/// Size of the letters, in pixels: their advance is then the width of a cell.
const FONT_PX: f32 = 13.3;
/// Base line of the letters, in pixels from the top of the cell.
const BASELINE_PX: i32 = 12;

const FOREGROUND: [u8; 3] = [0xd4, 0xd7, 0xdd];
const BACKGROUND: [u8; 3] = [0x14, 0x17, 0x1d];
/// The terminal's own 16 colours.
const PALETTE: [[u8; 3]; 16] = [
    [0x1d, 0x21, 0x29],
    [0xe0, 0x5d, 0x5d],
    [0x6f, 0xc2, 0x76],
    [0xe5, 0xc0, 0x5c],
    [0x5b, 0x9b, 0xe6],
    [0xc0, 0x7f, 0xe0],
    [0x4f, 0xc1, 0xc9],
    [0xb4, 0xb9, 0xc4],
    [0x6b, 0x74, 0x84],
    [0xf4, 0x7f, 0x7f],
    [0x90, 0xdb, 0x94],
    [0xf5, 0xd5, 0x7d],
    [0x84, 0xb8, 0xf7],
    [0xd8, 0xa1, 0xf2],
    [0x79, 0xdc, 0xe2],
    [0xf2, 0xf4, 0xf8],
];

/// Draws screens; keeps the shapes of letters.
pub struct Painter {
    regular: Font,
    bold: Font,
    shapes: HashMap<(char, bool), Shape>,
}

/// How much of each pixel of a cell is covered, from 0 to 255; `[CELL_HEIGHT, CELL_WIDTH]`.
type Shape = Vec<u8>;

impl Painter {
    /// A painter with its fonts.
    ///
    /// # Errors
    /// The font that is built in cannot be read.
    pub fn new() -> Result<Self> {
        let font = |bytes: &[u8]| {
            Font::from_bytes(
                bytes,
                FontSettings {
                    scale: FONT_PX,
                    ..FontSettings::default()
                },
            )
            .map_err(|why| Error::Invalid(format!("the built-in font: {why}")))
        };
        let (regular, bold) = (
            font(dejavu::sans_mono::regular())?,
            font(dejavu::sans_mono::bold())?,
        );
        Ok(Self {
            regular,
            bold,
            shapes: HashMap::new(),
        })
    }

    /// The screen as a picture of `columns * CELL_WIDTH` by `rows * CELL_HEIGHT` pixels.
    pub fn paint(&mut self, screen: &Buffer) -> RgbImage {
        let area = screen.area;
        let mut image = RgbImage::new(
            u32::from(area.width) * CELL_WIDTH,
            u32::from(area.height) * CELL_HEIGHT,
        );
        for (i, cell) in screen.content.iter().enumerate() {
            let (column, row) = (
                i as u32 % u32::from(area.width.max(1)),
                i as u32 / u32::from(area.width.max(1)),
            );
            self.cell(&mut image, column * CELL_WIDTH, row * CELL_HEIGHT, cell);
        }
        image
    }

    fn cell(&mut self, image: &mut RgbImage, left: u32, top: u32, cell: &Cell) {
        let style = cell.modifier;
        let (mut fg, mut bg) = (rgb(cell.fg, FOREGROUND), rgb(cell.bg, BACKGROUND));
        if style.contains(Modifier::REVERSED) {
            std::mem::swap(&mut fg, &mut bg);
        }
        if style.contains(Modifier::DIM) {
            fg = blend(bg, fg, 150);
        }
        let sign = cell.symbol().chars().next().unwrap_or(' ');
        let shape = self.shape(sign, style.contains(Modifier::BOLD));
        for (i, cover) in shape.iter().enumerate() {
            let (x, y) = (i as u32 % CELL_WIDTH, i as u32 / CELL_WIDTH);
            let underlined = style.contains(Modifier::UNDERLINED) && y == CELL_HEIGHT - 2;
            let cover = if underlined { 255 } else { *cover };
            image.put_pixel(left + x, top + y, Rgb(blend(bg, fg, cover)));
        }
    }

    fn shape(&mut self, sign: char, bold: bool) -> &Shape {
        let font = if bold { &self.bold } else { &self.regular };
        self.shapes
            .entry((sign, bold))
            .or_insert_with(|| geometric(sign).unwrap_or_else(|| letter(font, sign)))
    }
}

/// A letter, with its pixels outside of the cell cut off.
fn letter(font: &Font, sign: char) -> Shape {
    let mut shape = blank();
    if sign == ' ' {
        return shape;
    }
    let (metrics, bitmap) = font.rasterize(sign, FONT_PX);
    let left = metrics.xmin + ((CELL_WIDTH as f32 - metrics.advance_width) / 2.0).round() as i32;
    let top = BASELINE_PX - metrics.ymin - metrics.height as i32;
    for (i, cover) in bitmap.iter().enumerate() {
        let (x, y) = (
            left + (i % metrics.width) as i32,
            top + (i / metrics.width) as i32,
        );
        if (0..CELL_WIDTH as i32).contains(&x) && (0..CELL_HEIGHT as i32).contains(&y) {
            shape[y as usize * CELL_WIDTH as usize + x as usize] = *cover;
        }
    }
    shape
}

fn blank() -> Shape {
    vec![0; (CELL_WIDTH * CELL_HEIGHT) as usize]
}

/// A sign that is made of rectangles.
fn geometric(sign: char) -> Option<Shape> {
    let (w, h) = (CELL_WIDTH, CELL_HEIGHT);
    let boxes: Vec<[u32; 4]> = match sign {
        '█' => vec![[0, 0, w, h]],
        '▀' => vec![[0, 0, w, h / 2]],
        // Lower eighths.
        '▁'..='▇' => vec![[0, h - h * (sign as u32 - '▀' as u32) / 8, w, h]],
        // Left eighths, from seven to one.
        '▉'..='▏' => vec![[0, 0, w * ('▐' as u32 - sign as u32) / 8, h]],
        '▐' => vec![[w / 2, 0, w, h]],
        '\u{2800}'..='\u{28ff}' => braille(sign as u32 - 0x2800),
        _ => return lines(sign),
    };
    Some(fill(&boxes))
}

/// Dots of a braille sign, two columns by four rows.
fn braille(bits: u32) -> Vec<[u32; 4]> {
    // Bit of each dot, row by row.
    const DOTS: [[u32; 2]; 4] = [[0, 3], [1, 4], [2, 5], [6, 7]];
    let dot = |row: usize, column: usize| {
        let (x, y) = (
            column as u32 * CELL_WIDTH / 2 + 1,
            row as u32 * CELL_HEIGHT / 4 + 1,
        );
        [x, y, x + 2, y + 2]
    };
    let places = (0..4).flat_map(|row| (0..2).map(move |column| (row, column)));
    places
        .filter(|(row, column)| bits >> DOTS[*row][*column] & 1 == 1)
        .map(|(row, column)| dot(row, column))
        .collect()
}

/// Lines from the middle of the cell: left, right, up, down; 1 is light, 2 is heavy.
fn lines(sign: char) -> Option<Shape> {
    let [left, right, up, down] = match sign {
        '─' => [1, 1, 0, 0],
        '━' => [2, 2, 0, 0],
        '│' => [0, 0, 1, 1],
        '┃' => [0, 0, 2, 2],
        '┌' | '╭' => [0, 1, 0, 1],
        '┐' | '╮' => [1, 0, 0, 1],
        '└' | '╰' => [0, 1, 1, 0],
        '┘' | '╯' => [1, 0, 1, 0],
        '├' => [0, 1, 1, 1],
        '┤' => [1, 0, 1, 1],
        '┬' => [1, 1, 0, 1],
        '┴' => [1, 1, 1, 0],
        '┼' => [1, 1, 1, 1],
        '╸' => [2, 0, 0, 0],
        '╺' => [0, 2, 0, 0],
        '╴' => [1, 0, 0, 0],
        '╶' => [0, 1, 0, 0],
        _ => return None,
    };
    let (w, h, x, y) = (CELL_WIDTH, CELL_HEIGHT, CELL_WIDTH / 2, CELL_HEIGHT / 2);
    let corner = matches!(sign, '╭' | '╮' | '╰' | '╯');
    // A rounded corner leaves its middle pixel out.
    let gap = u32::from(corner);
    let mut boxes = Vec::new();
    let mut stroke = |weight: u32, place: &dyn Fn(u32) -> [u32; 4]| {
        if weight > 0 {
            boxes.push(place(weight));
        }
    };
    stroke(left, &|t| [0, y, x + 1 - gap, y + t]);
    stroke(right, &|t| [x + gap, y, w, y + t]);
    stroke(up, &|t| [x, 0, x + t, y + 1 - gap]);
    stroke(down, &|t| [x, y + gap, x + t, h]);
    Some(fill(&boxes))
}

/// Rectangles `[left, top, right, bottom]`, the ends not included.
fn fill(boxes: &[[u32; 4]]) -> Shape {
    let mut shape = blank();
    for [left, top, right, bottom] in boxes {
        for y in *top..*bottom {
            for x in *left..*right {
                shape[(y * CELL_WIDTH + x) as usize] = 255;
            }
        }
    }
    shape
}

fn blend(from: [u8; 3], to: [u8; 3], share: u8) -> [u8; 3] {
    let share = u32::from(share);
    std::array::from_fn(|i| {
        ((u32::from(from[i]) * (255 - share) + u32::from(to[i]) * share + 127) / 255) as u8
    })
}

fn rgb(color: Color, reset: [u8; 3]) -> [u8; 3] {
    let named = |i: usize| PALETTE[i];
    match color {
        Color::Reset => reset,
        Color::Black => named(0),
        Color::Red => named(1),
        Color::Green => named(2),
        Color::Yellow => named(3),
        Color::Blue => named(4),
        Color::Magenta => named(5),
        Color::Cyan => named(6),
        Color::Gray => named(7),
        Color::DarkGray => named(8),
        Color::LightRed => named(9),
        Color::LightGreen => named(10),
        Color::LightYellow => named(11),
        Color::LightBlue => named(12),
        Color::LightMagenta => named(13),
        Color::LightCyan => named(14),
        Color::White => named(15),
        Color::Rgb(r, g, b) => [r, g, b],
        Color::Indexed(i) => indexed(i),
    }
}

/// The 256 colours of xterm: 16 of its own, a cube of 6 x 6 x 6, 24 greys.
fn indexed(i: u8) -> [u8; 3] {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    match i {
        0..=15 => PALETTE[usize::from(i)],
        16..=231 => {
            let i = usize::from(i) - 16;
            [STEPS[i / 36], STEPS[i / 6 % 6], STEPS[i % 6]]
        }
        232..=255 => [8 + 10 * (i - 232); 3],
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    fn painted(text: &str, style: Style) -> RgbImage {
        let mut screen = Buffer::empty(Rect::new(0, 0, text.chars().count() as u16, 1));
        screen.set_string(0, 0, text, style);
        Painter::new().unwrap().paint(&screen)
    }

    #[test]
    fn half_blocks_meet_without_a_seam_and_keep_both_colours() {
        let style = Style::new()
            .fg(Color::Rgb(200, 10, 10))
            .bg(Color::Rgb(10, 10, 200));
        let image = painted("▀▀", style);
        assert_eq!(image.dimensions(), (2 * CELL_WIDTH, CELL_HEIGHT));
        for (_, y, pixel) in image.enumerate_pixels() {
            assert_eq!(
                pixel.0,
                if y < CELL_HEIGHT / 2 {
                    [200, 10, 10]
                } else {
                    [10, 10, 200]
                }
            );
        }
    }

    #[test]
    fn lines_reach_the_edges_of_their_cells() {
        let image = painted("╭─╮", Style::new());
        let lit = |x, y| image.get_pixel(x, y).0 != BACKGROUND;
        let row = CELL_HEIGHT / 2;
        assert!((CELL_WIDTH..2 * CELL_WIDTH).all(|x| lit(x, row)));
        assert!(lit(CELL_WIDTH - 1, row) && lit(2 * CELL_WIDTH, row) && !lit(0, row));
        assert!(lit(CELL_WIDTH / 2, CELL_HEIGHT - 1));
    }

    #[test]
    fn every_sign_of_the_screen_has_a_shape() {
        let mut painter = Painter::new().unwrap();
        for sign in "Az09✓▶·◆!…–≥─━╭╮╰╯│▀▄█⣿⡇?".chars() {
            let font = &painter.regular;
            assert!(
                geometric(sign).is_some() || font.lookup_glyph_index(sign) != 0,
                "{sign} is not in the font"
            );
            assert!(
                painter.shape(sign, false).iter().any(|cover| *cover > 100),
                "{sign} is empty"
            );
        }
        assert!(painter.shape('⠀', false).iter().all(|cover| *cover == 0));
    }
}
