//! A small software rasterizer: antialiased discs, ellipses, capsules, boxes and convex polygons.
//!
//! Shapes are signed distance functions (Quilez, "2D distance functions") evaluated inside their
//! bounding box. Coordinates go through a [`Pen`], a similarity, so the camera moves what is drawn
//! instead of warping what was drawn.

use proact::stream::Picture;

/// A colour with opacity; channels from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ink {
    /// Red, green, blue.
    pub rgb: [f32; 3],
    /// Opacity.
    pub alpha: f32,
}

impl Ink {
    /// Opaque, from `0xRRGGBB`.
    pub const fn hex(value: u32) -> Self {
        Self {
            rgb: [
                ((value >> 16) & 0xFF) as f32 / 255.0,
                ((value >> 8) & 0xFF) as f32 / 255.0,
                (value & 0xFF) as f32 / 255.0,
            ],
            alpha: 1.0,
        }
    }

    /// The same colour with this opacity.
    pub fn fade(self, alpha: f32) -> Self {
        Self {
            alpha: self.alpha * alpha,
            ..self
        }
    }

    /// Brighter (above 1) or darker.
    pub fn lit(self, factor: f32) -> Self {
        Self {
            rgb: self.rgb.map(|c| (c * factor).clamp(0.0, 1.0)),
            ..self
        }
    }

    /// A mixture: 0 is `self`, 1 is `other`.
    pub fn blend(self, other: Self, part: f32) -> Self {
        let at = |i: usize| self.rgb[i] + (other.rgb[i] - self.rgb[i]) * part;
        Self {
            rgb: [at(0), at(1), at(2)],
            alpha: self.alpha + (other.alpha - self.alpha) * part,
        }
    }
}

/// The picture being drawn, rows from the top.
pub struct Canvas {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

/// Extent of a shape on the canvas, in pixels, clipped.
struct Extent {
    x: std::ops::Range<usize>,
    y: std::ops::Range<usize>,
}

impl Canvas {
    /// A black canvas.
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            rgb: vec![0; width * height * 3],
        }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// `[height, width, 3]`, to be worked on as a whole.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.rgb
    }

    /// The finished picture.
    pub fn into_picture(self) -> Picture {
        Picture {
            width: self.width as u32,
            height: self.height as u32,
            rgb: self.rgb,
        }
    }

    fn extent(&self, x: f32, y: f32, reach_x: f32, reach_y: f32) -> Extent {
        let clip = |low: f32, high: f32, size: usize| {
            // Casts saturate: far outside is clipped, NaN is empty.
            let low = low.floor().max(0.0) as usize;
            let high = (high.ceil() + 1.0).max(0.0) as usize;
            low.min(size)..high.min(size)
        };
        Extent {
            x: clip(x - reach_x - 1.0, x + reach_x + 1.0, self.width),
            y: clip(y - reach_y - 1.0, y + reach_y + 1.0, self.height),
        }
    }

    /// Fills where `distance(x, y)`, in pixels, is below zero, with one pixel of soft edge.
    #[inline(always)]
    fn fill(&mut self, extent: Extent, ink: Ink, distance: impl Fn(f32, f32) -> f32) {
        if ink.alpha <= 0.0 {
            return;
        }
        let colour = ink.rgb.map(|c| (c * 255.0) as i32);
        let full = (ink.alpha.min(1.0) * 256.0) as i32;
        for y in extent.y {
            let row = y * self.width;
            let py = y as f32 + 0.5;
            let pixels = &mut self.rgb
                [(row + extent.x.start) * 3..(row + extent.x.end.max(extent.x.start)) * 3];
            for (i, pixel) in pixels.chunks_exact_mut(3).enumerate() {
                let d = distance((extent.x.start + i) as f32 + 0.5, py);
                if d >= 0.5 {
                    continue;
                }
                let cover = if d <= -0.5 {
                    full
                } else {
                    ((0.5 - d) * full as f32) as i32
                };
                for (value, target) in pixel.iter_mut().zip(colour) {
                    let old = i32::from(*value);
                    *value = (old + (((target - old) * cover) >> 8)) as u8;
                }
            }
        }
    }
}

/// Draws on a canvas in its own coordinates: moved, scaled and turned, never sheared.
pub struct Pen<'a> {
    canvas: &'a mut Canvas,
    x: f32,
    y: f32,
    scale: f32,
    cos: f32,
    sin: f32,
    angle: f32,
}

impl<'a> Pen<'a> {
    /// A pen whose origin stands at pixel (x, y), one unit being `scale` pixels, turned by `angle`
    /// (radians).
    pub fn new(canvas: &'a mut Canvas, x: f32, y: f32, scale: f32, angle: f32) -> Self {
        Self {
            canvas,
            x,
            y,
            scale,
            cos: angle.cos(),
            sin: angle.sin(),
            angle,
        }
    }

    /// A pen with its origin at (x, y) of this one, `scale` times as large, turned by `angle`.
    pub fn at(&mut self, x: f32, y: f32, scale: f32, angle: f32) -> Pen<'_> {
        let (px, py) = self.map(x, y);
        let (scale, angle) = (self.scale * scale, self.angle + angle);
        Pen {
            canvas: self.canvas,
            x: px,
            y: py,
            scale,
            cos: angle.cos(),
            sin: angle.sin(),
            angle,
        }
    }

    fn map(&self, x: f32, y: f32) -> (f32, f32) {
        (
            self.x + (x * self.cos - y * self.sin) * self.scale,
            self.y + (x * self.sin + y * self.cos) * self.scale,
        )
    }

    /// A filled disc.
    pub fn disc(&mut self, x: f32, y: f32, radius: f32, ink: Ink) {
        let (cx, cy) = self.map(x, y);
        let r = radius * self.scale;
        let inner = (r - 0.5).max(0.0).powi(2);
        let outer = (r + 0.5).powi(2);
        let extent = self.canvas.extent(cx, cy, r, r);
        self.canvas.fill(extent, ink, |px, py| {
            let d2 = (px - cx).powi(2) + (py - cy).powi(2);
            beyond(d2, r, inner, outer)
        });
    }

    /// A circle's line of this width.
    pub fn ring(&mut self, x: f32, y: f32, radius: f32, width: f32, ink: Ink) {
        let (cx, cy) = self.map(x, y);
        let (r, half) = (radius * self.scale, width * self.scale * 0.5);
        let extent = self.canvas.extent(cx, cy, r + half, r + half);
        self.canvas.fill(extent, ink, |px, py| {
            (((px - cx).powi(2) + (py - cy).powi(2)).sqrt() - r).abs() - half
        });
    }

    /// A filled ellipse with half axes `rx` and `ry`, turned by `angle`.
    pub fn ellipse(&mut self, x: f32, y: f32, rx: f32, ry: f32, angle: f32, ink: Ink) {
        let (cx, cy) = self.map(x, y);
        let (cos, sin) = ((self.angle + angle).cos(), (self.angle + angle).sin());
        let (rx, ry) = (
            (rx * self.scale).abs().max(0.3),
            (ry * self.scale).abs().max(0.3),
        );
        let reach_x = ((rx * cos).powi(2) + (ry * sin).powi(2)).sqrt();
        let reach_y = ((rx * sin).powi(2) + (ry * cos).powi(2)).sqrt();
        let (ix, iy) = (1.0 / rx, 1.0 / ry);
        // Inside this the edge is at least a pixel away.
        let inner = (1.0 - 1.0 / rx.min(ry)).max(0.0).powi(2);
        let extent = self.canvas.extent(cx, cy, reach_x, reach_y);
        self.canvas.fill(extent, ink, |px, py| {
            let (dx, dy) = (px - cx, py - cy);
            let u = (dx * cos + dy * sin) * ix;
            let v = (dy * cos - dx * sin) * iy;
            let q = u * u + v * v;
            if q <= inner {
                return -1.0;
            }
            // First-order distance: value over length of the gradient.
            let slope = 2.0 * ((u * ix).powi(2) + (v * iy).powi(2)).sqrt();
            (q - 1.0) / slope.max(1e-6)
        });
    }

    /// A line with round ends and this radius.
    pub fn line(&mut self, from: (f32, f32), to: (f32, f32), radius: f32, ink: Ink) {
        let (ax, ay) = self.map(from.0, from.1);
        let (bx, by) = self.map(to.0, to.1);
        let r = (radius * self.scale).max(0.35);
        let (dx, dy) = (bx - ax, by - ay);
        let inverse = 1.0 / (dx * dx + dy * dy).max(1e-6);
        let extent = self.canvas.extent(
            (ax + bx) * 0.5,
            (ay + by) * 0.5,
            dx.abs() * 0.5 + r,
            dy.abs() * 0.5 + r,
        );
        let (inner, outer) = ((r - 0.5).max(0.0).powi(2), (r + 0.5).powi(2));
        self.canvas.fill(extent, ink, |px, py| {
            let along = (((px - ax) * dx + (py - ay) * dy) * inverse).clamp(0.0, 1.0);
            let d2 = (px - ax - dx * along).powi(2) + (py - ay - dy * along).powi(2);
            beyond(d2, r, inner, outer)
        });
    }

    /// A box with half sides and round corners, turned by `angle`.
    #[allow(clippy::too_many_arguments, reason = "a shape is its numbers")]
    pub fn rect(
        &mut self,
        x: f32,
        y: f32,
        half_w: f32,
        half_h: f32,
        round: f32,
        angle: f32,
        ink: Ink,
    ) {
        let (cx, cy) = self.map(x, y);
        let (cos, sin) = ((self.angle + angle).cos(), (self.angle + angle).sin());
        let (hw, hh) = (half_w.abs() * self.scale, half_h.abs() * self.scale);
        let round = (round * self.scale).min(hw).min(hh);
        let reach_x = (hw * cos).abs() + (hh * sin).abs();
        let reach_y = (hw * sin).abs() + (hh * cos).abs();
        let extent = self.canvas.extent(cx, cy, reach_x, reach_y);
        self.canvas.fill(extent, ink, |px, py| {
            let (dx, dy) = (px - cx, py - cy);
            let u = (dx * cos + dy * sin).abs() - hw + round;
            let v = (dy * cos - dx * sin).abs() - hh + round;
            if u <= 0.0 || v <= 0.0 {
                return u.max(v) - round;
            }
            (u * u + v * v).sqrt() - round
        });
    }

    /// A convex polygon; corners in either turning sense.
    pub fn poly(&mut self, corners: &[(f32, f32)], ink: Ink) {
        const CORNERS_MAX: usize = 8;
        let count = corners.len().min(CORNERS_MAX);
        if count < 3 {
            return;
        }
        let mut points = [(0.0f32, 0.0f32); CORNERS_MAX];
        let mut area = 0.0;
        let (mut low, mut high) = ((f32::MAX, f32::MAX), (f32::MIN, f32::MIN));
        for (point, corner) in points.iter_mut().zip(corners) {
            *point = self.map(corner.0, corner.1);
            low = (low.0.min(point.0), low.1.min(point.1));
            high = (high.0.max(point.0), high.1.max(point.1));
        }
        for i in 0..count {
            let (a, b) = (points[i], points[(i + 1) % count]);
            area += a.0 * b.1 - b.0 * a.1;
        }
        let sense = if area < 0.0 { -1.0 } else { 1.0 };
        // Each side as a half plane: normal and offset.
        let mut sides = [(0.0f32, 0.0f32, 0.0f32); CORNERS_MAX];
        for i in 0..count {
            let (a, b) = (points[i], points[(i + 1) % count]);
            let length = (b.0 - a.0).hypot(b.1 - a.1).max(1e-6);
            let (nx, ny) = ((b.1 - a.1) / length * sense, (a.0 - b.0) / length * sense);
            sides[i] = (nx, ny, nx * a.0 + ny * a.1);
        }
        let extent = self.canvas.extent(
            (low.0 + high.0) * 0.5,
            (low.1 + high.1) * 0.5,
            (high.0 - low.0) * 0.5,
            (high.1 - low.1) * 0.5,
        );
        self.canvas.fill(extent, ink, |px, py| {
            sides[..count].iter().fold(f32::MIN, |d, (nx, ny, offset)| {
                d.max(nx * px + ny * py - offset)
            })
        });
    }
}

/// Distance beyond a radius from the square of a distance, cut to [-1, 1]: a root is taken only
/// between the squares `inner` and `outer`, half a pixel before and behind the radius.
#[inline(always)]
fn beyond(d2: f32, radius: f32, inner: f32, outer: f32) -> f32 {
    if d2 <= inner {
        -1.0
    } else if d2 >= outer {
        1.0
    } else {
        d2.sqrt() - radius
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn white(draw: impl Fn(&mut Pen)) -> Vec<u8> {
        let mut canvas = Canvas::new(40, 40);
        draw(&mut Pen::new(&mut canvas, 20.0, 20.0, 10.0, 0.0));
        canvas.rgb.chunks(3).map(|p| p[0]).collect()
    }

    fn area(picture: &[u8]) -> f32 {
        picture.iter().map(|v| f32::from(*v) / 255.0).sum()
    }

    #[test]
    fn areas_are_those_of_geometry() {
        let ink = Ink::hex(0xFFFFFF);
        let pi = std::f32::consts::PI;
        let cases: [(f32, Vec<u8>); 6] = [
            (pi * 100.0, white(|p| p.disc(0.0, 0.0, 1.0, ink))),
            (
                pi * 50.0,
                white(|p| p.ellipse(0.0, 0.0, 1.0, 0.5, 0.7, ink)),
            ),
            (200.0, white(|p| p.rect(0.0, 0.0, 1.0, 0.5, 0.0, 0.4, ink))),
            (
                pi * 9.0 + 6.0 * 10.0,
                white(|p| p.line((-0.5, 0.0), (0.5, 0.0), 0.3, ink)),
            ),
            (
                50.0,
                white(|p| p.poly(&[(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)], ink)),
            ),
            (
                2.0 * pi * 10.0 * 2.0,
                white(|p| p.ring(0.0, 0.0, 1.0, 0.2, ink)),
            ),
        ];
        for (i, (expected, picture)) in cases.iter().enumerate() {
            let got = area(picture);
            assert!(
                (got - expected).abs() / expected < 0.04,
                "{i}: {got}, expected {expected}"
            );
        }
    }

    #[test]
    fn the_turning_sense_of_a_polygon_does_not_matter() {
        let ink = Ink::hex(0xFFFFFF);
        let one = white(|p| p.poly(&[(-1.0, -1.0), (1.0, -1.0), (0.0, 1.0)], ink));
        let other = white(|p| p.poly(&[(0.0, 1.0), (1.0, -1.0), (-1.0, -1.0)], ink));
        assert!(area(&one) > 150.0);
        assert_eq!(one, other);
    }

    #[test]
    fn far_outside_and_not_a_number_draw_nothing() {
        let ink = Ink::hex(0xFFFFFF);
        for bad in [1e9, -1e9, f32::NAN, f32::INFINITY] {
            let picture = white(|p| {
                p.disc(bad, 0.0, 1.0, ink);
                p.ellipse(0.0, bad, 1.0, 2.0, 0.3, ink);
                p.rect(bad, bad, 1.0, 2.0, 0.1, 0.3, ink);
                p.poly(&[(bad, 0.0), (bad + 1.0, 1.0), (bad, 1.0)], ink);
            });
            assert_eq!(area(&picture), 0.0, "{bad}");
        }
    }

    #[test]
    fn a_pen_at_moves_scales_and_turns() {
        let ink = Ink::hex(0xFFFFFF);
        let direct = white(|p| p.disc(0.5, 1.0, 0.4, ink));
        let turned = white(|p| {
            let mut q = p.at(0.5, 0.5, 0.5, std::f32::consts::FRAC_PI_2);
            q.disc(1.0, 0.0, 0.8, ink);
        });
        assert!(direct.iter().zip(&turned).all(|(a, b)| a.abs_diff(*b) <= 8));
    }
}
