//! Draws the person: hands with sleeves, and the tools they hold. Stage coordinates: y from -1
//! (far) to 1 (near).

use super::canvas::{Ink, Pen};
use super::lexicon::Tool;
use proact::rng::Rng;

const STEEL: Ink = Ink::hex(0xD5DADE);
const DARK: Ink = Ink::hex(0x26272B);
const WOOD: Ink = Ink::hex(0xA9713B);
/// How far hands go down to be out of sight.
const AWAY_Y: f32 = 1.7;

const SKINS: [u32; 7] = [
    0xF0C7A4, 0xE2AC84, 0xC98E62, 0xA9714A, 0x85552F, 0x5E3A20, 0xF3D3BC,
];
const SLEEVES: [u32; 9] = [
    0x2E4A7D, 0x7D2E3A, 0x3B3B3F, 0xC9C5BC, 0x2F6B4F, 0x8A5FA8, 0xD98E2B, 0x4FA3B5, 0x93745A,
];

/// The person before the camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Person {
    /// Colour of the skin.
    pub skin: Ink,
    /// Colour of the sleeves.
    pub sleeve: Ink,
    /// How far up the sleeves are, 0 to 1.
    pub rolled: f32,
    /// Size of the hands.
    pub size: f32,
}

impl Person {
    /// The person of this number, dressed by chance.
    pub fn new(number: u64, rng: &mut Rng) -> Self {
        let mut own = Rng::new(number, "person");
        let skin = Ink::hex(SKINS[own.remainder(SKINS.len())]).lit(rng.range(0.95, 1.05));
        let sleeve = Ink::hex(SLEEVES[rng.remainder(SLEEVES.len())]).lit(rng.range(0.85, 1.15));
        Self {
            skin,
            sleeve,
            rolled: rng.range(0.15, 0.75),
            size: own.range(0.92, 1.1),
        }
    }
}

/// How a hand is held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Grip {
    /// Fingers stretched.
    Open,
    /// Around something.
    Fist,
    /// Thumb and fingertips together.
    Pinch,
}

/// Which hand, and how far it is drawn back: 0 here, 1 out of sight.
#[derive(Clone, Copy, Debug)]
pub struct Hand {
    /// 1 right, -1 left.
    pub side: f32,
    /// How far drawn back.
    pub away: f32,
}

/// Draws a hand with its arm; (x, y) is where the fingers are.
pub fn hand(pen: &mut Pen, person: &Person, hand: Hand, x: f32, y: f32, grip: Grip) {
    if hand.away >= 1.0 {
        return;
    }
    let y = y + hand.away * AWAY_Y;
    let side = hand.side;
    let size = person.size;
    let wrist = (x + 0.1 * side, y + 0.24 * size);
    let elbow = (x * 0.35 + 0.85 * side, y + 1.25);
    let cuff = (
        wrist.0 + (elbow.0 - wrist.0) * person.rolled,
        wrist.1 + (elbow.1 - wrist.1) * person.rolled,
    );
    let skin = person.skin;
    pen.line(
        (wrist.0 + 0.03, wrist.1 + 0.05),
        (elbow.0 + 0.03, elbow.1 + 0.05),
        0.12 * size,
        Ink::hex(0).fade(0.2),
    );
    pen.line(wrist, elbow, 0.085 * size, skin.lit(0.9));
    pen.line(cuff, elbow, 0.135 * size, person.sleeve);
    pen.line(
        cuff,
        (
            cuff.0 + (elbow.0 - cuff.0) * 0.04,
            cuff.1 + (elbow.1 - cuff.1) * 0.04,
        ),
        0.14 * size,
        person.sleeve.lit(0.75),
    );
    let mut p = pen.at(x, y, size, side * -0.25);
    p.ellipse(0.03 * side, 0.13, 0.125, 0.14, 0.0, skin.lit(0.82));
    p.ellipse(0.03 * side, 0.12, 0.115, 0.13, 0.0, skin);
    let finger = |p: &mut Pen, from: (f32, f32), to: (f32, f32)| {
        p.line(from, to, 0.04, skin.lit(0.78));
        p.line(from, to, 0.033, skin.lit(1.03));
    };
    match grip {
        Grip::Open => {
            for i in 0..4 {
                let t = i as f32 - 1.5;
                finger(
                    &mut p,
                    (0.055 * t + 0.03 * side, 0.06),
                    (0.075 * t + 0.02 * side, -0.1 + 0.02 * t.abs()),
                );
            }
            finger(&mut p, (-0.07 * side, 0.12), (-0.17 * side, 0.02));
        }
        Grip::Fist => {
            for i in 0..4 {
                let t = i as f32 - 1.5;
                finger(
                    &mut p,
                    (0.055 * t + 0.03 * side, 0.05),
                    (0.05 * t - 0.01 * side, 0.0),
                );
            }
            finger(&mut p, (-0.06 * side, 0.13), (-0.09 * side, 0.0));
        }
        Grip::Pinch => {
            for i in 0..4 {
                let t = i as f32 - 1.5;
                finger(&mut p, (0.055 * t + 0.03 * side, 0.07), (0.02 * t, -0.04));
            }
            finger(&mut p, (-0.07 * side, 0.12), (-0.015 * side, -0.03));
        }
    }
}

/// Draws a tool from the hand to its tip; `fill` is what lies in or on it.
pub fn tool(pen: &mut Pen, tool: Tool, from: (f32, f32), tip: (f32, f32), fill: Option<Ink>) {
    let (dx, dy) = (from.0 - tip.0, from.1 - tip.1);
    let length = dx.hypot(dy).max(0.05);
    // A pen at the tip whose x axis runs along the handle.
    let mut p = pen.at(tip.0, tip.1, 1.0, dy.atan2(dx));
    let grip = (length, 0.0);
    match tool {
        Tool::Hand => {
            if let Some(ink) = fill {
                p.disc(0.0, 0.0, 0.06, ink);
            }
        }
        Tool::Spoon | Tool::MeasuringSpoon => {
            let wide = if tool == Tool::Spoon { 0.14 } else { 0.115 };
            let stem = if tool == Tool::Spoon {
                WOOD
            } else {
                Ink::hex(0xD23A3A)
            };
            p.line((0.05, 0.0), grip, 0.032, stem.lit(0.8));
            p.ellipse(0.0, 0.0, wide * 1.25, wide, 0.0, stem.lit(0.75));
            p.ellipse(0.0, 0.0, wide * 1.05, wide * 0.8, 0.0, fill.unwrap_or(stem));
        }
        Tool::MeasuringCup => {
            p.line((0.1, 0.0), grip, 0.035, STEEL.lit(0.8));
            p.disc(0.0, 0.0, 0.2, STEEL.lit(0.7));
            p.disc(0.0, 0.0, 0.165, fill.unwrap_or(STEEL));
        }
        Tool::Whisk => {
            p.line((0.15, 0.0), grip, 0.035, STEEL.lit(0.7));
            for ry in [0.13, 0.07] {
                for k in 0..10 {
                    let (a, b) = (k as f32 * 0.628, (k + 1) as f32 * 0.628);
                    p.line(
                        (0.02 + 0.18 * a.cos(), ry * a.sin()),
                        (0.02 + 0.18 * b.cos(), ry * b.sin()),
                        0.014,
                        STEEL,
                    );
                }
            }
        }
        Tool::Fork => {
            p.line((0.1, 0.0), grip, 0.03, STEEL.lit(0.8));
            for y in [-0.07, -0.023, 0.023, 0.07] {
                p.line((-0.12, y), (0.05, y), 0.014, STEEL);
            }
            p.line((0.06, -0.07), (0.06, 0.07), 0.03, STEEL);
        }
        Tool::Spatula => {
            p.line((0.1, 0.0), grip, 0.034, DARK);
            p.rect(0.0, 0.0, 0.16, 0.13, 0.03, 0.0, Ink::hex(0x3A3D44));
            for y in [-0.06, 0.0, 0.06] {
                p.line((-0.09, y), (0.09, y), 0.014, STEEL);
            }
        }
        Tool::Tongs => {
            p.line((0.0, -0.07), grip, 0.028, STEEL);
            p.line((0.0, 0.07), grip, 0.028, STEEL.lit(0.8));
            p.disc(0.0, -0.07, 0.05, Ink::hex(0xD23A3A));
            p.disc(0.0, 0.07, 0.05, Ink::hex(0xD23A3A));
        }
        _ => blade(&mut p, tool, length, fill),
    }
}

fn blade(p: &mut Pen, tool: Tool, length: f32, fill: Option<Ink>) {
    let grip = (length, 0.0);
    match tool {
        Tool::Knife => {
            p.line((length * 0.7, 0.0), grip, 0.05, DARK);
            p.poly(
                &[
                    (-0.05, 0.06),
                    (0.1, -0.07),
                    (length * 0.72, -0.07),
                    (length * 0.72, 0.07),
                ],
                STEEL.lit(0.72),
            );
            p.poly(
                &[
                    (-0.02, 0.05),
                    (0.12, -0.05),
                    (length * 0.7, -0.05),
                    (length * 0.7, 0.035),
                ],
                STEEL.lit(1.08),
            );
        }
        Tool::Brush => {
            p.line((0.12, 0.0), grip, 0.035, Ink::hex(0x2F6FC0));
            p.rect(0.1, 0.0, 0.04, 0.1, 0.01, 0.0, STEEL.lit(0.7));
            p.rect(
                -0.02,
                0.0,
                0.1,
                0.11,
                0.03,
                0.0,
                fill.unwrap_or(Ink::hex(0xE8D9B0)),
            );
        }
        Tool::Peeler => {
            p.line((0.12, 0.0), grip, 0.045, Ink::hex(0x1F9A57));
            p.rect(0.02, 0.0, 0.1, 0.09, 0.03, 0.0, STEEL.lit(0.75));
            p.rect(0.02, 0.0, 0.06, 0.02, 0.0, 0.0, DARK);
        }
        Tool::Grater => {
            p.rect(0.0, 0.0, 0.3, 0.2, 0.03, 0.0, STEEL);
            for i in 0..12 {
                p.disc(
                    -0.2 + 0.12 * (i % 4) as f32,
                    -0.1 + 0.1 * (i / 4) as f32,
                    0.03,
                    STEEL.lit(0.5),
                );
            }
            p.line((0.3, 0.0), grip, 0.05, DARK);
        }
        Tool::Scissors => {
            p.line((-0.1, 0.07), (length, -0.1), 0.035, STEEL);
            p.line((-0.1, -0.07), (length, 0.1), 0.035, STEEL.lit(0.75));
            p.ring(length, -0.12, 0.08, 0.05, Ink::hex(0xE0452E));
            p.ring(length, 0.12, 0.08, 0.05, Ink::hex(0xE0452E));
        }
        Tool::Thermometer => {
            p.line((-0.05, 0.0), (length * 0.7, 0.0), 0.035, Ink::hex(0xF5F5F5));
            p.line((-0.05, 0.0), (length * 0.5, 0.0), 0.016, Ink::hex(0xE01F1F));
            p.disc(length * 0.85, 0.0, 0.15, STEEL.lit(0.75));
            p.disc(length * 0.85, 0.0, 0.12, Ink::hex(0xFDFDFD));
            p.line(
                (length * 0.85, 0.0),
                (length * 0.85 + 0.08, -0.05),
                0.02,
                Ink::hex(0xE01F1F),
            );
        }
        Tool::Toothpick => p.line((-0.1, 0.0), (length * 0.9, 0.0), 0.024, Ink::hex(0xE8CC94)),
        Tool::Towel => {
            p.rect(0.0, 0.0, 0.32, 0.27, 0.08, 0.0, Ink::hex(0xF3F3F0));
            for x in [-0.18, 0.0, 0.18] {
                p.rect(x, 0.0, 0.035, 0.26, 0.0, 0.0, Ink::hex(0x3F8FD0));
            }
        }
        Tool::Screwdriver => {
            p.line((0.0, 0.0), (length * 0.6, 0.0), 0.026, STEEL);
            p.line((length * 0.55, 0.0), grip, 0.07, Ink::hex(0xE07A1F));
        }
        _ => {
            p.line((0.05, 0.0), grip, 0.035, Ink::hex(0x2F4FB0));
            p.line((-0.02, 0.0), (0.06, 0.0), 0.018, DARK);
        }
    }
}
