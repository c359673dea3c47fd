//! Draws things: one unit across, around the pen's origin.

use std::f32::consts::{PI, TAU};

use super::canvas::{Ink, Pen};
use super::lexicon::{Shape, Thing};
use super::words::Form;
use proact::rng::mix;

const SHADOW: Ink = Ink {
    rgb: [0.0, 0.0, 0.0],
    alpha: 0.28,
};
const SHINE: Ink = Ink {
    rgb: [1.0, 1.0, 1.0],
    alpha: 0.35,
};
const EDGE: f32 = 0.72;

/// A number in [0, 1) that belongs to piece `i`.
fn scatter(i: usize, salt: u64) -> f32 {
    (mix(i as u64 ^ (salt << 32)) >> 40) as f32 / (1u64 << 24) as f32
}

/// Draws a thing as it is cut.
pub fn draw(pen: &mut Pen, thing: &Thing, form: Form) {
    match form {
        Form::Whole => whole(pen, thing),
        Form::Slices => slices(pen, thing, 5),
        Form::Pieces => pieces(pen, thing, 14, 0.42),
    }
}

/// Colour of what comes out of a thing: of its package's content, or its own.
pub fn content(thing: &Thing) -> Ink {
    let white = Ink::hex(0xFFFFFF);
    match thing.shape {
        Shape::Packet | Shape::Can | Shape::Carton => thing.main.blend(white, 0.5),
        // A pale shaker's label tells what is in it.
        Shape::Shaker if thing.main.rgb.iter().all(|c| *c > 0.75) => thing.second.blend(white, 0.5),
        _ => thing.main,
    }
}

/// Whether a thing is a package whose content is used.
pub fn is_package(thing: &Thing) -> bool {
    matches!(
        thing.shape,
        Shape::Packet
            | Shape::Can
            | Shape::Carton
            | Shape::Shaker
            | Shape::Jar
            | Shape::Bottle
            | Shape::Spray
    )
}

/// A pile of small pieces within `reach`.
pub fn pieces(pen: &mut Pen, thing: &Thing, count: usize, reach: f32) {
    let content = content(thing);
    let (one, other) = if is_package(thing) {
        (content, content.lit(0.9))
    } else {
        (thing.main, inside(thing))
    };
    for i in 0..count {
        // Sunflower spiral: even without order.
        let r = reach * ((i as f32 + 0.5) / count as f32).sqrt();
        let (s, c) = (i as f32 * 2.4 + scatter(i, 1)).sin_cos();
        let ink = if i % 3 == 2 {
            other
        } else {
            one.lit(0.85 + 0.3 * scatter(i, 2))
        };
        pen.rect(
            r * c + 0.01,
            r * s + 0.025,
            0.075,
            0.06,
            0.015,
            scatter(i, 3) * PI,
            SHADOW,
        );
        pen.rect(r * c, r * s, 0.075, 0.06, 0.015, scatter(i, 3) * PI, ink);
    }
}

/// A row of slices: the inside shows, with the skin around it.
pub fn slices(pen: &mut Pen, thing: &Thing, count: usize) {
    let step = 0.8 / count.max(1) as f32;
    for i in 0..count {
        let x = -0.4 + step * (i as f32 + 0.5);
        let y = 0.05 * (i as f32 * 1.7).sin();
        pen.ellipse(x + 0.02, y + 0.03, 0.15, 0.25, 0.15, SHADOW);
        pen.ellipse(x, y, 0.15, 0.25, 0.15, thing.main.lit(EDGE));
        pen.ellipse(x, y, 0.12, 0.215, 0.15, inside(thing));
    }
}

/// Colour of the cut face.
fn inside(thing: &Thing) -> Ink {
    match thing.shape {
        Shape::Ball | Shape::Balls | Shape::Pepper | Shape::Block | Shape::Bent | Shape::Berry => {
            thing.main.blend(Ink::hex(0xFFFFFF), 0.3)
        }
        _ => thing.second,
    }
}

fn whole(pen: &mut Pen, thing: &Thing) {
    match thing.shape {
        Shape::Ball
        | Shape::Bulb
        | Shape::Egg
        | Shape::Pepper
        | Shape::Berry
        | Shape::Half
        | Shape::Clove
        | Shape::Mushroom => fruit(pen, thing),
        Shape::Long | Shape::Bent | Shape::Stalk | Shape::Loaf | Shape::Roll => long(pen, thing),
        Shape::Leaf
        | Shape::Herb
        | Shape::Tree
        | Shape::Strands
        | Shape::Heap
        | Shape::Balls
        | Shape::Cubes => loose(pen, thing),
        Shape::Shaker
        | Shape::Bottle
        | Shape::Jar
        | Shape::Can
        | Shape::Packet
        | Shape::Carton
        | Shape::Spray => packed(pen, thing),
        Shape::Block
        | Shape::Slice
        | Shape::Bun
        | Shape::Flat
        | Shape::Puddle
        | Shape::Cone
        | Shape::Cup => flat(pen, thing),
    }
}

fn fruit(pen: &mut Pen, thing: &Thing) {
    let (a, b) = (thing.main, thing.second);
    match thing.shape {
        Shape::Ball => {
            pen.disc(0.03, 0.05, 0.45, SHADOW);
            pen.disc(0.0, 0.0, 0.45, a.lit(EDGE));
            pen.disc(-0.02, -0.02, 0.41, a);
            for k in 0..5 {
                let (s, c) = (k as f32 * TAU / 5.0).sin_cos();
                pen.line((0.0, -0.08), (0.17 * c, -0.08 + 0.17 * s), 0.035, b);
            }
            pen.disc(-0.2, -0.22, 0.08, SHINE);
        }
        Shape::Bulb => {
            pen.ellipse(0.03, 0.1, 0.45, 0.38, 0.0, SHADOW);
            pen.poly(
                &[(-0.14, -0.2), (-0.03, -0.49), (0.03, -0.49), (0.14, -0.2)],
                a.lit(0.9),
            );
            pen.ellipse(0.0, 0.05, 0.45, 0.38, 0.0, a.lit(EDGE));
            pen.ellipse(-0.01, 0.04, 0.42, 0.35, 0.0, a);
            for (x, wide) in [(-0.27, 0.05), (0.0, 0.06), (0.27, 0.05)] {
                pen.ellipse(x, 0.05, wide, 0.3, -x * 0.9, b.blend(a, 0.35));
            }
            pen.line((-0.06, 0.42), (0.06, 0.42), 0.03, b.lit(0.7));
        }
        Shape::Egg => {
            pen.ellipse(0.03, 0.05, 0.36, 0.46, 0.3, SHADOW);
            pen.ellipse(0.0, 0.0, 0.36, 0.46, 0.3, a.lit(0.8));
            pen.ellipse(-0.02, -0.02, 0.325, 0.425, 0.3, a);
            pen.ellipse(-0.1, -0.17, 0.09, 0.13, 0.3, SHINE);
        }
        Shape::Pepper => {
            pen.rect(0.03, 0.1, 0.34, 0.38, 0.2, 0.0, SHADOW);
            for x in [-0.19, 0.19, 0.0] {
                pen.ellipse(
                    x,
                    0.06,
                    0.2,
                    0.4,
                    0.0,
                    a.lit(if x == 0.0 { 1.0 } else { 0.82 }),
                );
            }
            pen.line((0.0, -0.3), (0.06, -0.47), 0.055, b);
            pen.ellipse(0.0, -0.3, 0.16, 0.07, 0.0, b);
            pen.ellipse(-0.06, -0.05, 0.05, 0.16, 0.0, SHINE);
        }
        Shape::Berry => {
            pen.poly(
                &[
                    (-0.36, -0.2),
                    (0.36, -0.2),
                    (0.22, 0.2),
                    (0.0, 0.47),
                    (-0.22, 0.2),
                ],
                a,
            );
            pen.ellipse(0.0, -0.16, 0.37, 0.2, 0.0, a);
            for i in 0..9 {
                pen.disc(
                    -0.2 + 0.2 * (i % 3) as f32,
                    -0.1 + 0.15 * (i / 3) as f32,
                    0.025,
                    Ink::hex(0xF9E79F),
                );
            }
            for x in [-0.25, -0.08, 0.1, 0.26] {
                pen.line((0.0, -0.36), (x, -0.26), 0.06, b);
            }
        }
        Shape::Half => {
            for (x, cut) in [(-0.22, true), (0.24, false)] {
                pen.ellipse(x + 0.03, 0.05, 0.24, 0.36, 0.1, SHADOW);
                pen.ellipse(x, 0.0, 0.24, 0.36, 0.1, a);
                if cut {
                    pen.ellipse(x, 0.0, 0.19, 0.31, 0.1, b);
                    pen.disc(x, 0.08, 0.09, a.lit(0.7));
                }
            }
        }
        Shape::Clove => {
            pen.ellipse(0.03, 0.12, 0.37, 0.33, 0.0, SHADOW);
            pen.poly(&[(-0.3, 0.0), (0.0, -0.48), (0.3, 0.0)], a);
            pen.ellipse(0.0, 0.1, 0.37, 0.34, 0.0, a.lit(0.86));
            pen.ellipse(0.0, 0.08, 0.33, 0.31, 0.0, a);
            for x in [-0.18, 0.0, 0.18] {
                pen.line((x * 0.2, -0.35), (x, 0.34), 0.018, b);
            }
        }
        _ => {
            pen.rect(0.0, 0.22, 0.13, 0.24, 0.08, 0.0, b);
            pen.ellipse(0.0, -0.08, 0.46, 0.33, 0.0, a.lit(EDGE));
            pen.ellipse(0.0, -0.11, 0.43, 0.29, 0.0, a);
            pen.rect(0.0, 0.13, 0.4, 0.05, 0.04, 0.0, b.lit(0.8));
            pen.ellipse(-0.14, -0.2, 0.12, 0.06, -0.4, SHINE);
        }
    }
}

fn long(pen: &mut Pen, thing: &Thing) {
    let (a, b) = (thing.main, thing.second);
    match thing.shape {
        Shape::Long => {
            pen.line((-0.4, 0.2), (0.4, -0.1), 0.15, SHADOW);
            pen.line((-0.4, 0.14), (0.4, -0.16), 0.15, a.lit(EDGE));
            pen.line((-0.4, 0.13), (0.4, -0.17), 0.12, a);
            pen.line((-0.38, 0.09), (0.38, -0.2), 0.025, a.lit(1.3));
            pen.disc(0.45, -0.19, 0.07, b);
            pen.disc(-0.45, 0.16, 0.07, b);
        }
        Shape::Bent => {
            for i in 0..9 {
                let t = i as f32 / 8.0 - 0.5;
                pen.disc(
                    t * 0.85,
                    0.55 * t * t * 2.0 - 0.12,
                    0.135 * (1.15 - 1.6 * t * t),
                    a.lit(if i % 8 == 0 { 0.8 } else { 1.0 }),
                );
            }
            pen.line((0.42, 0.12), (0.47, 0.02), 0.05, b);
            pen.line((-0.25, -0.02), (0.2, -0.06), 0.02, SHINE);
        }
        Shape::Stalk => {
            for k in -1..=1 {
                let y = 0.11 * k as f32;
                pen.line((-0.45, y), (0.1, y), 0.05, b);
                pen.line((0.05, y), (0.46, y * 2.2), 0.05, a);
            }
        }
        Shape::Loaf => {
            pen.line((-0.33, 0.2), (0.33, -0.06), 0.2, SHADOW);
            pen.line((-0.33, 0.13), (0.33, -0.13), 0.2, a.lit(EDGE));
            pen.line((-0.33, 0.11), (0.33, -0.15), 0.165, a);
            for i in 0..4 {
                let x = -0.3 + 0.2 * i as f32;
                pen.line(
                    (x - 0.05, -x * 0.4 - 0.12),
                    (x + 0.08, -x * 0.4 + 0.06),
                    0.03,
                    b,
                );
            }
        }
        _ => {
            pen.line((-0.33, 0.05), (0.33, 0.05), 0.2, SHADOW);
            pen.line((-0.33, 0.0), (0.33, 0.0), 0.2, a.lit(0.8));
            pen.line((-0.33, -0.02), (0.33, -0.02), 0.17, a);
            pen.disc(0.38, 0.0, 0.13, b);
            pen.ring(0.38, 0.0, 0.08, 0.03, a.lit(0.7));
        }
    }
}

fn loose(pen: &mut Pen, thing: &Thing) {
    let (a, b) = (thing.main, thing.second);
    match thing.shape {
        Shape::Leaf => {
            for (x, y, angle) in [(-0.18, 0.1, 0.7), (0.2, 0.08, -0.6), (0.0, -0.12, 0.0)] {
                pen.ellipse(x, y, 0.25, 0.33, angle, a.lit(0.75));
                pen.ellipse(x, y, 0.21, 0.29, angle, a);
                let (s, c) = angle.sin_cos();
                pen.line(
                    (x + 0.25 * s, y - 0.25 * c),
                    (x - 0.25 * s, y + 0.25 * c),
                    0.025,
                    b,
                );
            }
        }
        Shape::Herb => {
            for k in 0..5 {
                let angle = -0.7 + 0.35 * k as f32;
                let tip = (0.45 * angle.sin(), 0.4 - 0.8 * angle.cos());
                pen.line((0.0, 0.45), tip, 0.022, b.lit(0.8));
                for j in 1..4 {
                    let t = j as f32 / 3.0;
                    let (x, y) = (tip.0 * t, 0.45 + (tip.1 - 0.45) * t);
                    pen.disc(x - 0.06, y, 0.06, a);
                    pen.disc(x + 0.06, y - 0.02, 0.06, a.lit(1.2));
                }
            }
        }
        Shape::Tree => {
            pen.rect(0.0, 0.26, 0.1, 0.22, 0.05, 0.0, b);
            pen.line((-0.05, 0.2), (-0.25, 0.0), 0.07, b);
            pen.line((0.05, 0.2), (0.25, 0.0), 0.07, b);
            for (i, (x, y)) in [
                (-0.26, -0.06),
                (0.26, -0.06),
                (-0.13, -0.24),
                (0.13, -0.24),
                (0.0, -0.05),
            ]
            .into_iter()
            .enumerate()
            {
                pen.disc(x, y, 0.2, a.lit(if i % 2 == 0 { 0.8 } else { 1.0 }));
                pen.disc(x - 0.05, y - 0.07, 0.07, a.lit(1.35));
            }
        }
        Shape::Strands => {
            for k in 0..7 {
                let mut last = (-0.45, -0.3 + 0.1 * k as f32);
                for j in 1..=6 {
                    let x = -0.45 + 0.15 * j as f32;
                    let y = -0.3 + 0.1 * k as f32 + 0.07 * (j as f32 * 2.1 + k as f32).sin();
                    pen.line(
                        last,
                        (x, y),
                        0.033,
                        if k % 2 == 0 { a } else { b.blend(a, 0.4) },
                    );
                    last = (x, y);
                }
            }
        }
        Shape::Heap => {
            pen.ellipse(0.0, 0.06, 0.46, 0.36, 0.0, SHADOW);
            pen.ellipse(0.0, 0.02, 0.44, 0.34, 0.0, a.lit(EDGE));
            for i in 0..34 {
                let r = 0.4 * ((i as f32 + 0.5) / 34.0).sqrt();
                let (s, c) = (i as f32 * 2.4).sin_cos();
                pen.disc(r * c, 0.8 * r * s, 0.055, if i % 3 == 0 { b } else { a });
            }
        }
        Shape::Balls => {
            for (x, y) in [
                (-0.26, 0.1),
                (0.0, 0.2),
                (0.27, 0.08),
                (-0.13, -0.14),
                (0.15, -0.16),
            ] {
                pen.disc(x + 0.02, y + 0.03, 0.17, SHADOW);
                pen.disc(x, y, 0.17, a.lit(EDGE));
                pen.disc(x - 0.01, y - 0.01, 0.145, a);
                pen.disc(x - 0.05, y - 0.06, 0.05, b);
            }
        }
        _ => {
            for (x, y) in [
                (-0.25, 0.12),
                (0.02, 0.2),
                (0.28, 0.08),
                (-0.12, -0.16),
                (0.17, -0.18),
            ] {
                pen.rect(x + 0.02, y + 0.03, 0.13, 0.13, 0.02, 0.2, SHADOW);
                pen.rect(x, y, 0.13, 0.13, 0.02, 0.2, a.lit(EDGE));
                pen.rect(
                    x - 0.015,
                    y - 0.02,
                    0.11,
                    0.105,
                    0.02,
                    0.2,
                    if x > 0.1 { b } else { a },
                );
            }
        }
    }
}

fn packed(pen: &mut Pen, thing: &Thing) {
    let (a, b) = (thing.main, thing.second);
    match thing.shape {
        Shape::Shaker => {
            pen.rect(0.03, 0.08, 0.23, 0.36, 0.05, 0.0, SHADOW);
            pen.rect(0.0, 0.08, 0.23, 0.36, 0.05, 0.0, a);
            pen.rect(0.0, 0.14, 0.23, 0.13, 0.0, 0.0, b);
            pen.ellipse(0.0, -0.3, 0.24, 0.17, 0.0, Ink::hex(0xA8AEB4));
            for i in 0..5 {
                pen.disc(
                    -0.12 + 0.06 * i as f32,
                    -0.34 + 0.04 * (i % 2) as f32,
                    0.02,
                    Ink::hex(0x33363A),
                );
            }
            pen.rect(-0.15, 0.08, 0.03, 0.28, 0.02, 0.0, SHINE);
        }
        Shape::Bottle => {
            pen.rect(0.03, 0.17, 0.21, 0.32, 0.08, 0.0, SHADOW);
            pen.rect(0.0, -0.3, 0.075, 0.16, 0.02, 0.0, a.lit(0.9));
            pen.rect(0.0, 0.16, 0.21, 0.32, 0.09, 0.0, a);
            pen.rect(0.0, 0.2, 0.21, 0.13, 0.0, 0.0, b);
            pen.rect(0.0, -0.44, 0.09, 0.05, 0.02, 0.0, b.lit(0.75));
            pen.rect(-0.13, 0.0, 0.025, 0.12, 0.02, 0.0, SHINE);
        }
        Shape::Jar => {
            pen.rect(0.03, 0.12, 0.34, 0.34, 0.08, 0.0, SHADOW);
            pen.rect(0.0, 0.1, 0.34, 0.34, 0.08, 0.0, a);
            pen.rect(0.0, 0.15, 0.34, 0.13, 0.0, 0.0, b);
            pen.rect(0.0, 0.15, 0.16, 0.06, 0.02, 0.0, a.lit(0.8));
            pen.rect(0.0, -0.31, 0.3, 0.1, 0.03, 0.0, b.lit(0.7));
            pen.rect(-0.26, 0.05, 0.03, 0.24, 0.02, 0.0, SHINE);
        }
        Shape::Can => {
            pen.rect(0.03, 0.1, 0.37, 0.32, 0.04, 0.0, SHADOW);
            pen.rect(0.0, 0.08, 0.37, 0.3, 0.04, 0.0, a);
            pen.ellipse(0.0, 0.37, 0.37, 0.1, 0.0, a.lit(0.8));
            pen.ellipse(0.0, -0.22, 0.37, 0.14, 0.0, Ink::hex(0xC9CFD4));
            pen.ellipse(0.0, -0.22, 0.3, 0.1, 0.0, Ink::hex(0x9AA2A8));
            pen.rect(0.0, 0.12, 0.2, 0.12, 0.05, 0.0, b);
        }
        Shape::Packet => {
            pen.rect(0.03, 0.05, 0.34, 0.44, 0.04, 0.05, SHADOW);
            pen.rect(0.0, 0.0, 0.34, 0.44, 0.04, 0.05, a);
            pen.rect(0.0, 0.02, 0.34, 0.15, 0.0, 0.05, b);
            pen.rect(0.0, -0.38, 0.34, 0.05, 0.0, 0.05, a.lit(0.75));
            pen.disc(0.0, 0.02, 0.1, a);
        }
        Shape::Carton => {
            pen.rect(0.03, 0.13, 0.28, 0.34, 0.02, 0.0, SHADOW);
            pen.rect(0.0, 0.12, 0.28, 0.34, 0.02, 0.0, a);
            pen.poly(
                &[(-0.28, -0.21), (0.28, -0.21), (0.16, -0.44), (-0.16, -0.44)],
                b,
            );
            pen.rect(0.0, 0.16, 0.28, 0.1, 0.0, 0.0, b);
            pen.rect(0.0, -0.46, 0.17, 0.03, 0.0, 0.0, a.lit(0.8));
        }
        _ => {
            pen.rect(0.03, 0.14, 0.19, 0.34, 0.05, 0.0, SHADOW);
            pen.rect(0.0, 0.13, 0.19, 0.34, 0.05, 0.0, a);
            pen.rect(0.0, 0.18, 0.19, 0.14, 0.0, 0.0, b);
            pen.rect(0.0, -0.3, 0.13, 0.12, 0.06, 0.0, b.lit(1.1));
            pen.disc(-0.1, -0.36, 0.035, Ink::hex(0x222222));
        }
    }
}

fn flat(pen: &mut Pen, thing: &Thing) {
    let (a, b) = (thing.main, thing.second);
    match thing.shape {
        Shape::Block => {
            pen.poly(
                &[
                    (-0.42, 0.25),
                    (0.3, 0.25),
                    (0.46, 0.02),
                    (0.46, 0.3),
                    (0.32, 0.4),
                    (-0.42, 0.4),
                ],
                SHADOW,
            );
            pen.poly(
                &[(-0.42, -0.05), (-0.24, -0.28), (0.46, -0.28), (0.3, -0.05)],
                b,
            );
            pen.rect(-0.06, 0.13, 0.36, 0.19, 0.01, 0.0, a);
            pen.poly(
                &[(0.3, -0.05), (0.46, -0.28), (0.46, 0.1), (0.3, 0.32)],
                a.lit(EDGE),
            );
        }
        Shape::Slice => {
            pen.rect(0.03, 0.06, 0.38, 0.4, 0.08, 0.0, SHADOW);
            for (grow, ink) in [(0.0, b), (-0.055, a)] {
                pen.rect(0.0, 0.08, 0.36 + grow, 0.34 + grow, 0.05, 0.0, ink);
                pen.ellipse(-0.16, -0.2, 0.23 + grow, 0.2 + grow, 0.0, ink);
                pen.ellipse(0.16, -0.2, 0.23 + grow, 0.2 + grow, 0.0, ink);
            }
        }
        Shape::Bun => {
            pen.ellipse(0.02, 0.2, 0.45, 0.22, 0.0, SHADOW);
            pen.ellipse(0.0, 0.13, 0.44, 0.24, 0.0, a.lit(EDGE));
            pen.rect(0.0, 0.04, 0.42, 0.06, 0.05, 0.0, b);
            pen.ellipse(0.0, -0.1, 0.44, 0.27, 0.0, a);
            pen.ellipse(-0.12, -0.2, 0.16, 0.07, -0.2, SHINE);
        }
        Shape::Flat => {
            pen.disc(0.02, 0.03, 0.48, SHADOW);
            pen.disc(0.0, 0.0, 0.48, b);
            pen.disc(0.0, 0.0, 0.43, a);
            for i in 0..8 {
                let (s, c) = (i as f32 * 2.4).sin_cos();
                let r = 0.14 + 0.24 * scatter(i, 5);
                pen.disc(r * c, r * s, 0.04, b.blend(a, 0.35));
            }
        }
        Shape::Puddle => {
            for (x, y, r) in [
                (0.0, 0.0, 0.36),
                (0.26, 0.1, 0.19),
                (-0.27, 0.08, 0.2),
                (0.08, -0.22, 0.2),
                (-0.1, 0.24, 0.19),
            ] {
                pen.disc(x, y, r, a);
            }
            pen.ring(0.0, 0.0, 0.22, 0.05, b);
            pen.ellipse(-0.14, -0.14, 0.1, 0.05, -0.6, SHINE);
        }
        Shape::Cone => {
            pen.poly(
                &[(-0.45, -0.32), (0.45, -0.32), (0.06, 0.45), (-0.06, 0.45)],
                a,
            );
            pen.poly(
                &[(0.0, -0.32), (0.45, -0.32), (0.06, 0.45), (0.0, 0.45)],
                a.lit(0.86),
            );
            pen.ellipse(0.0, -0.32, 0.45, 0.12, 0.0, b);
            for x in [-0.3, -0.12, 0.12, 0.3] {
                pen.line((x, -0.22), (x * 0.15, 0.4), 0.012, b);
            }
        }
        Shape::Cup => {
            pen.poly(
                &[(-0.45, -0.25), (0.45, -0.25), (0.28, 0.38), (-0.28, 0.38)],
                a,
            );
            for i in 0..7 {
                let x = -0.39 + 0.13 * i as f32;
                pen.line((x, -0.22), (x * 0.65, 0.36), 0.02, b);
            }
            pen.ellipse(0.0, -0.25, 0.45, 0.12, 0.0, a.lit(0.8));
        }
        _ => {
            pen.rect(0.0, 0.0, 0.44, 0.36, 0.06, 0.1, a);
            for x in [-0.25, 0.0, 0.25] {
                pen.rect(x, 0.0, 0.04, 0.36, 0.0, 0.1, b);
            }
        }
    }
}

/// A dark blot under what stands on the worktop.
pub fn shadow(pen: &mut Pen, x: f32, y: f32, rx: f32, ry: f32) {
    pen.ellipse(x, y, rx, ry, 0.0, SHADOW);
}
