//! The picture that the model sees: real pixels where the terminal can, half blocks where it
//! cannot.

use std::sync::Arc;

use fast_image_resize::images::ImageRef;
use fast_image_resize::{PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, RgbImage};
use ratatui::Frame as Canvas;
use ratatui::layout::{Constraint, Rect, Size};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use ratatui_image::picker::{Picker, ProtocolType};
use ratatui_image::protocol::Protocol;
use ratatui_image::protocol::halfblocks::Halfblocks;
use ratatui_image::{FilterType, Image, Resize};

use crate::stream::Picture;
use crate::tui::app::App;
use crate::tui::theme::Theme;
use crate::tui::vitals::SourceKind;

/// From dark to bright, for terminals without colour.
const RAMP: &[u8] = b" .:-=+*#%@";

/// A cell is about twice as high as wide.
const CELL_ASPECT: f64 = 2.0;

/// The last picture as encoded for the terminal; encoding is done once a picture and size.
pub struct Encoder {
    picker: Picker,
    last: Option<(Arc<Picture>, Size, Protocol)>,
    /// Number of the picture that a terminal with kitty's protocol holds.
    held: Option<String>,
}

impl Encoder {
    /// Encodes pictures for what the terminal was found able to draw.
    pub fn new(picker: Picker) -> Self {
        Self {
            picker,
            last: None,
            held: None,
        }
    }

    /// Forgets the last picture: the terminal no longer shows it.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// With kitty's protocol a terminal keeps each picture until it is told not to; without that a
    /// long run fills it.
    fn drop_held(&mut self, symbol: &str) -> Option<String> {
        let (_, rest) = symbol.strip_prefix("\u{1b}_G")?.split_once("i=")?;
        let id = &rest[..rest.find(|c: char| !c.is_ascii_digit())?];
        let sent = symbol.rfind("\u{1b}\\")? + 2;
        let old = self.held.replace(id.to_owned())?;
        Some(format!(
            "{}\u{1b}_Gq=2,a=d,d=I,i={old}\u{1b}\\{}",
            &symbol[..sent],
            &symbol[sent..]
        ))
    }

    fn encode(&mut self, picture: &Arc<Picture>, size: Size) -> Option<&Protocol> {
        let same =
            |(p, s, _): &(Arc<Picture>, Size, Protocol)| Arc::ptr_eq(p, picture) && *s == size;
        if !self.last.as_ref().is_some_and(same) {
            let protocol = match self.picker.protocol_type() {
                ProtocolType::Halfblocks => half_blocks(picture, size)?,
                _ => {
                    let image =
                        RgbImage::from_raw(picture.width, picture.height, picture.rgb.clone())?;
                    let resize = Resize::Scale(Some(FilterType::Triangle));
                    self.picker
                        .new_protocol(DynamicImage::ImageRgb8(image), size, resize)
                        .ok()?
                }
            };
            self.last = Some((picture.clone(), size, protocol));
        }
        self.last.as_ref().map(|(_, _, protocol)| protocol)
    }
}

/// Two pixels a cell, by way of exactly as many pixels: ratatui-image would first scale to the
/// pixels of a guessed font, which takes several times as long and is thrown away.
fn half_blocks(picture: &Picture, size: Size) -> Option<Protocol> {
    let (columns, rows) = fitting(picture, size);
    let (width, height) = (u32::from(columns), u32::from(rows) * 2);
    let source =
        ImageRef::new(picture.width, picture.height, &picture.rgb, PixelType::U8x3).ok()?;
    let mut target = fast_image_resize::images::Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(
        fast_image_resize::FilterType::Bilinear,
    ));
    Resizer::new().resize(&source, &mut target, &options).ok()?;
    let image = RgbImage::from_raw(width, height, target.into_vec())?;
    Some(Protocol::Halfblocks(
        Halfblocks::new(DynamicImage::ImageRgb8(image), Size::new(columns, rows)).ok()?,
    ))
}

/// Most cells within `size` that have the picture's own proportions; at least one.
fn fitting(picture: &Picture, size: Size) -> (u16, u16) {
    let (w, h) = (f64::from(picture.width), f64::from(picture.height));
    let scale = (f64::from(size.width) / w).min(f64::from(size.height) * CELL_ASPECT / h);
    (
        ((w * scale) as u16).max(1),
        ((h * scale / CELL_ASPECT) as u16).max(1),
    )
}

/// Draws the newest picture, centred and with its own proportions.
pub fn draw(canvas: &mut Canvas, area: Rect, app: &App, encoder: &mut Encoder, theme: &Theme) {
    let block = theme
        .panel("Picture")
        .padding(ratatui::widgets::Padding::ZERO);
    let inner = block.inner(area);
    canvas.render_widget(block, area);
    let Some(picture) = app.picture.as_ref().filter(|p| p.width > 0 && p.height > 0) else {
        let words = match app.vitals.source_kind {
            _ if app.frames == 0 => "no frame yet",
            SourceKind::Recorded => "no picture: no frame was kept (--save-frames)",
            _ => "no picture: the source gives features",
        };
        let middle = inner.centered_vertically(Constraint::Length(1));
        canvas.render_widget(
            Paragraph::new(Span::styled(words, theme.dim)).centered(),
            middle,
        );
        return;
    };
    if inner.is_empty() {
        return;
    }
    if !theme.colour {
        canvas.render_widget(
            Paragraph::new(in_characters(picture, inner)).centered(),
            inner,
        );
        return;
    }
    if let Some(protocol) = encoder.encode(picture, inner.as_size()) {
        let size = protocol.size();
        let place = inner.centered(
            Constraint::Length(size.width),
            Constraint::Length(size.height),
        );
        canvas.render_widget(Image::new(protocol), place);
        if let Some(cell) = canvas.buffer_mut().cell_mut(place.as_position())
            && let Some(symbol) = encoder.drop_held(cell.symbol())
        {
            cell.set_symbol(&symbol);
        }
    }
}

/// The picture by brightness alone.
fn in_characters(picture: &Picture, area: Rect) -> Vec<Line<'static>> {
    let (columns, rows) = fitting(picture, area.as_size());
    let (columns, rows) = (u32::from(columns), u32::from(rows));
    let line = |row: u32| {
        let text: String = (0..columns)
            .map(|column| shade(picture, column, row, columns, rows))
            .collect();
        Line::from(text)
    };
    (0..rows).map(line).collect()
}

/// Mean brightness of the pixels under one cell, as a character.
fn shade(picture: &Picture, column: u32, row: u32, columns: u32, rows: u32) -> char {
    let span = |i: u32, cells: u32, pixels: u32| {
        let at = |i: u32| (u64::from(i) * u64::from(pixels) / u64::from(cells)) as u32;
        at(i)..at(i + 1).max(at(i) + 1).min(pixels)
    };
    let (mut sum, mut count) = (0u64, 0u64);
    for y in span(row, rows, picture.height) {
        for x in span(column, columns, picture.width) {
            let at = (y as usize * picture.width as usize + x as usize) * 3;
            let Some([r, g, b]) = picture.rgb.get(at..at + 3) else {
                continue;
            };
            // ITU-R BT.601 luma, in thousandths.
            sum += (299 * u64::from(*r) + 587 * u64::from(*g) + 114 * u64::from(*b)) / 1000;
            count += 1;
        }
    }
    let mean = sum.checked_div(count).unwrap_or(0).min(255) as usize;
    char::from(RAMP[mean * (RAMP.len() - 1) / 255])
}
