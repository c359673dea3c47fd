//! Draws vessels and appliances: a bowl is one unit across, around the pen's origin.

use std::f32::consts::TAU;

use super::canvas::{Ink, Pen};
use super::lexicon::Vessel;

const SHADOW: Ink = Ink {
    rgb: [0.0, 0.0, 0.0],
    alpha: 0.3,
};
const STEEL: Ink = Ink::hex(0xA9B1B8);
const IRON: Ink = Ink::hex(0x2C2E33);
const WHITE: Ink = Ink::hex(0xF2F2EE);
const WOOD: Ink = Ink::hex(0xC79A62);
const GLOW: Ink = Ink::hex(0xFFC83A);

/// How a vessel is at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    /// Runs: lit window, turning blades.
    pub running: bool,
    /// Fire under it, 0 (none) to 1.
    pub flame: f32,
    /// Seconds, for what moves by itself.
    pub clock_s: f32,
}

/// Radius within which contents may lie.
pub fn inner_radius(vessel: Vessel) -> f32 {
    match vessel {
        Vessel::Bowl | Vessel::Pan => 0.4,
        Vessel::Pot | Vessel::Plate | Vessel::Platter => 0.38,
        Vessel::Mug | Vessel::Sieve => 0.31,
        Vessel::Ramekin => 0.3,
        Vessel::Board | Vessel::Worktop => 0.42,
        _ => 0.26,
    }
}

/// Draws a vessel without its contents.
pub fn draw(pen: &mut Pen, vessel: Vessel, state: State) {
    match vessel {
        Vessel::Bowl
        | Vessel::Mug
        | Vessel::Ramekin
        | Vessel::Plate
        | Vessel::Platter
        | Vessel::Board
        | Vessel::Worktop => tableware(pen, vessel),
        Vessel::Pan | Vessel::Pot => on_fire(pen, vessel, state),
        Vessel::Microwave
        | Vessel::Blender
        | Vessel::Kettle
        | Vessel::Oven
        | Vessel::Grinder
        | Vessel::Scale => appliance(pen, vessel, state),
        _ => gear(pen, vessel, state),
    }
}

fn tableware(pen: &mut Pen, vessel: Vessel) {
    match vessel {
        Vessel::Bowl => {
            pen.disc(0.03, 0.05, 0.51, SHADOW);
            pen.disc(0.0, 0.0, 0.5, Ink::hex(0x5F8FC4));
            pen.disc(0.0, 0.0, 0.455, Ink::hex(0x88B0DC));
            pen.disc(0.0, 0.02, 0.42, Ink::hex(0xDDE9F4));
        }
        Vessel::Mug => {
            pen.ellipse(0.03, 0.05, 0.42, 0.42, 0.0, SHADOW);
            pen.ring(0.42, 0.05, 0.15, 0.08, Ink::hex(0xB03A4A));
            pen.disc(0.0, 0.0, 0.4, Ink::hex(0xB03A4A));
            pen.disc(0.0, 0.0, 0.345, Ink::hex(0xD9636F));
            pen.disc(0.0, 0.01, 0.32, Ink::hex(0xF4E9E4));
        }
        Vessel::Ramekin => {
            pen.disc(0.03, 0.05, 0.42, SHADOW);
            for i in 0..18 {
                let (s, c) = (i as f32 * TAU / 18.0).sin_cos();
                pen.disc(0.37 * c, 0.37 * s, 0.065, Ink::hex(0xE8E0CF));
            }
            pen.disc(0.0, 0.0, 0.38, Ink::hex(0xE8E0CF));
            pen.disc(0.0, 0.01, 0.31, Ink::hex(0xFAF6EC));
        }
        Vessel::Plate => {
            pen.disc(0.02, 0.04, 0.56, SHADOW);
            pen.disc(0.0, 0.0, 0.56, WHITE);
            pen.ring(0.0, 0.0, 0.49, 0.035, Ink::hex(0x3FA39A));
            pen.disc(0.0, 0.0, 0.4, Ink::hex(0xE6E6E0));
        }
        Vessel::Platter => {
            pen.ellipse(0.02, 0.05, 0.66, 0.46, 0.0, SHADOW);
            pen.ellipse(0.0, 0.0, 0.66, 0.46, 0.0, Ink::hex(0xE9D9A8));
            pen.ellipse(0.0, 0.0, 0.58, 0.385, 0.0, Ink::hex(0xD0B76F));
            pen.ellipse(0.0, 0.0, 0.55, 0.36, 0.0, Ink::hex(0xF4EACB));
        }
        Vessel::Board => {
            pen.rect(0.02, 0.04, 0.66, 0.47, 0.06, 0.0, SHADOW);
            pen.rect(0.0, 0.0, 0.66, 0.47, 0.06, 0.0, WOOD.lit(0.8));
            pen.rect(0.0, -0.01, 0.64, 0.45, 0.05, 0.0, WOOD);
            for i in 0..5 {
                pen.rect(
                    0.0,
                    -0.36 + 0.18 * i as f32,
                    0.62,
                    0.01,
                    0.0,
                    0.0,
                    WOOD.lit(0.88),
                );
            }
            pen.disc(0.57, -0.36, 0.045, WOOD.lit(0.5));
        }
        _ => {}
    }
}

fn on_fire(pen: &mut Pen, vessel: Vessel, state: State) {
    stove(pen, state);
    if vessel == Vessel::Pan {
        pen.line((0.4, 0.2), (0.95, 0.5), 0.065, Ink::hex(0x191A1C));
        pen.disc(0.0, 0.0, 0.5, Ink::hex(0x191A1C));
        pen.disc(0.0, 0.0, 0.46, IRON.lit(1.3));
        pen.disc(0.0, 0.01, 0.42, IRON);
        pen.ring(0.0, 0.01, 0.36, 0.015, IRON.lit(1.25));
    } else {
        pen.line((-0.58, 0.0), (0.58, 0.0), 0.06, IRON);
        pen.disc(0.0, 0.0, 0.48, STEEL.lit(0.75));
        pen.disc(0.0, 0.0, 0.44, STEEL.lit(1.15));
        pen.disc(0.0, 0.02, 0.4, STEEL.lit(0.9));
    }
}

/// A hob's ring with flames around it.
pub fn stove(pen: &mut Pen, state: State) {
    pen.rect(0.0, 0.02, 0.68, 0.64, 0.08, 0.0, Ink::hex(0x3A3C42));
    if state.flame > 0.0 {
        for i in 0..14 {
            let (s, c) = (i as f32 * TAU / 14.0).sin_cos();
            let flicker = 1.0 + 0.35 * (state.clock_s * 11.0 + i as f32 * 2.3).sin();
            let reach = 0.5 + (0.05 + 0.12 * state.flame) * flicker;
            pen.line(
                (0.46 * c, 0.46 * s),
                (reach * c, reach * s),
                0.05,
                Ink::hex(0x2F7BFF),
            );
            pen.line(
                (0.46 * c, 0.46 * s),
                ((reach - 0.05) * c, (reach - 0.05) * s),
                0.026,
                Ink::hex(0xFF9A2A),
            );
        }
    }
}

fn appliance(pen: &mut Pen, vessel: Vessel, state: State) {
    let shake = if state.running {
        0.012 * (state.clock_s * 40.0).sin()
    } else {
        0.0
    };
    match vessel {
        Vessel::Microwave | Vessel::Oven => {
            let body = if vessel == Vessel::Oven {
                Ink::hex(0x7A3030)
            } else {
                Ink::hex(0xC9CDD1)
            };
            pen.rect(0.03, 0.06, 0.85, 0.52, 0.05, 0.0, SHADOW);
            pen.rect(0.0, 0.0, 0.85, 0.52, 0.05, 0.0, body);
            pen.rect(-0.17, 0.0, 0.6, 0.43, 0.05, 0.0, Ink::hex(0x1B1D20));
            let window = if state.running {
                GLOW.lit(0.92 + 0.08 * (state.clock_s * 17.0).sin())
            } else {
                Ink::hex(0x3A4148)
            };
            pen.rect(-0.17, 0.0, 0.52, 0.36, 0.03, 0.0, window);
            pen.rect(0.64, -0.31, 0.14, 0.08, 0.02, 0.0, Ink::hex(0x0E1510));
            if state.running {
                let digit = (state.clock_s.max(0.0) as u32 % 3) as f32;
                for i in 0..3 {
                    pen.rect(
                        0.56 + 0.075 * i as f32,
                        -0.31,
                        0.024,
                        0.045 - 0.01 * digit * (i % 2) as f32,
                        0.0,
                        0.0,
                        Ink::hex(0x49F06A),
                    );
                }
            }
            for i in 0..6 {
                pen.disc(
                    0.58 + 0.12 * (i % 2) as f32,
                    -0.12 + 0.13 * (i / 2) as f32,
                    0.04,
                    body.lit(0.7),
                );
            }
            pen.rect(0.46, 0.0, 0.025, 0.36, 0.02, 0.0, Ink::hex(0x8A9096));
        }
        Vessel::Blender => {
            pen.rect(0.03, 0.62, 0.34, 0.16, 0.06, 0.0, SHADOW);
            pen.poly(
                &[(-0.22, 0.42), (0.22, 0.42), (0.34, 0.74), (-0.34, 0.74)],
                Ink::hex(0x33363C),
            );
            pen.disc(
                0.0,
                0.6,
                0.07,
                if state.running {
                    Ink::hex(0xFF4030)
                } else {
                    STEEL
                },
            );
            pen.poly(
                &[
                    (-0.38 + shake, -0.58),
                    (0.38 + shake, -0.58),
                    (0.24 + shake, 0.42),
                    (-0.24 + shake, 0.42),
                ],
                Ink::hex(0xBFD6DE),
            );
            pen.poly(
                &[
                    (-0.34 + shake, -0.54),
                    (0.34 + shake, -0.54),
                    (0.21 + shake, 0.39),
                    (-0.21 + shake, 0.39),
                ],
                Ink::hex(0xE4F1F5),
            );
            pen.line((0.38, -0.4), (0.5, -0.3), 0.045, Ink::hex(0x33363C));
            pen.line((0.5, -0.3), (0.36, 0.2), 0.045, Ink::hex(0x33363C));
        }
        Vessel::Kettle => {
            stove(pen, state);
            pen.line((0.35, -0.05), (0.66, -0.3), 0.08, STEEL.lit(0.85));
            pen.ellipse(0.0, 0.05, 0.46, 0.42, 0.0, STEEL.lit(0.7));
            pen.ellipse(-0.02, 0.03, 0.42, 0.38, 0.0, STEEL.lit(1.15));
            pen.ring(0.0, -0.22, 0.3, 0.07, Ink::hex(0x1E1E20));
            pen.ellipse(0.0, -0.08, 0.27, 0.14, 0.0, STEEL.lit(0.8));
            pen.disc(0.0, -0.12, 0.06, Ink::hex(0x1E1E20));
        }
        Vessel::Grinder => {
            pen.rect(0.03, 0.1, 0.28, 0.52, 0.06, 0.0, SHADOW);
            pen.rect(shake, 0.22, 0.27, 0.36, 0.05, 0.0, Ink::hex(0x6B4A32));
            pen.rect(shake, 0.34, 0.16, 0.1, 0.02, 0.0, Ink::hex(0x8C6647));
            pen.ellipse(shake, -0.2, 0.34, 0.2, 0.0, STEEL);
            pen.ellipse(shake, -0.22, 0.28, 0.15, 0.0, IRON);
        }
        _ => {
            pen.rect(0.03, 0.06, 0.5, 0.46, 0.07, 0.0, SHADOW);
            pen.rect(0.0, 0.0, 0.5, 0.46, 0.07, 0.0, Ink::hex(0x51616E));
            pen.disc(0.0, -0.08, 0.36, STEEL.lit(1.2));
            pen.disc(0.0, -0.08, 0.32, STEEL.lit(1.05));
            pen.rect(0.0, 0.37, 0.2, 0.065, 0.02, 0.0, Ink::hex(0x9FE0B0));
            let shown = (state.clock_s.max(0.0) * 2.0) as usize % 4;
            for i in 0..=shown {
                pen.rect(
                    -0.12 + 0.08 * i as f32,
                    0.37,
                    0.022,
                    0.045,
                    0.0,
                    0.0,
                    Ink::hex(0x123018),
                );
            }
        }
    }
}

fn gear(pen: &mut Pen, vessel: Vessel, state: State) {
    match vessel {
        Vessel::Dripper => {
            pen.ellipse(0.03, 0.62, 0.36, 0.14, 0.0, SHADOW);
            pen.ring(0.34, 0.45, 0.13, 0.06, Ink::hex(0xB03A4A));
            pen.rect(0.0, 0.43, 0.3, 0.26, 0.06, 0.0, Ink::hex(0xB03A4A));
            pen.rect(0.0, 0.14, 0.4, 0.04, 0.03, 0.0, Ink::hex(0xE8E4DA));
            pen.poly(
                &[(-0.46, -0.42), (0.46, -0.42), (0.14, 0.12), (-0.14, 0.12)],
                WHITE,
            );
            pen.poly(
                &[(0.1, -0.42), (0.46, -0.42), (0.14, 0.12), (0.02, 0.12)],
                WHITE.lit(0.85),
            );
            pen.ellipse(0.0, -0.42, 0.46, 0.16, 0.0, Ink::hex(0xD8D2C4));
            pen.ellipse(0.0, -0.41, 0.4, 0.125, 0.0, Ink::hex(0x8C7A66));
        }
        Vessel::Sieve => {
            pen.line((0.35, 0.1), (0.9, 0.35), 0.05, IRON);
            pen.disc(0.0, 0.0, 0.44, STEEL.lit(0.8));
            pen.disc(0.0, 0.0, 0.39, STEEL.lit(1.2));
            for i in 0..5 {
                let x = -0.26 + 0.13 * i as f32;
                let h = (0.38f32.powi(2) - x * x).max(0.0).sqrt();
                pen.line((x, -h), (x, h), 0.012, STEEL.lit(0.65));
                pen.line((-h, x), (h, x), 0.012, STEEL.lit(0.65));
            }
        }
        Vessel::Sink => {
            pen.rect(0.0, 0.0, 0.72, 0.52, 0.12, 0.0, STEEL.lit(1.15));
            pen.rect(0.0, 0.02, 0.64, 0.44, 0.12, 0.0, STEEL.lit(0.72));
            pen.disc(0.0, 0.22, 0.08, IRON);
            pen.rect(0.0, -0.6, 0.07, 0.3, 0.03, 0.0, STEEL.lit(1.3));
            pen.disc(0.0, -0.32, 0.1, STEEL.lit(0.9));
        }
        Vessel::Bin => {
            pen.poly(
                &[(-0.46, -0.3), (0.46, -0.3), (0.34, 0.7), (-0.34, 0.7)],
                Ink::hex(0x3C4A3E),
            );
            pen.ellipse(0.0, -0.3, 0.48, 0.2, 0.0, Ink::hex(0x55685A));
            pen.ellipse(0.0, -0.29, 0.41, 0.155, 0.0, Ink::hex(0x10130F));
            pen.ring(0.0, 0.22, 0.14, 0.04, Ink::hex(0x9FD6A8));
        }
        Vessel::Measure => {
            pen.rect(0.03, 0.08, 0.38, 0.5, 0.06, 0.0, SHADOW);
            pen.ring(0.44, 0.05, 0.2, 0.07, Ink::hex(0xC4DCE6));
            pen.rect(0.0, 0.02, 0.38, 0.5, 0.06, 0.0, Ink::hex(0xC4DCE6));
            pen.rect(0.0, 0.02, 0.33, 0.46, 0.05, 0.0, Ink::hex(0xEAF5F9));
        }
        Vessel::Bag => {
            pen.rect(0.02, 0.04, 0.4, 0.5, 0.06, 0.0, SHADOW);
            pen.rect(0.0, 0.0, 0.4, 0.5, 0.06, 0.0, Ink::hex(0xD6E6F2));
            pen.rect(0.0, 0.03, 0.35, 0.42, 0.06, 0.0, Ink::hex(0xEDF5FB));
            pen.rect(0.0, -0.43, 0.38, 0.035, 0.0, 0.0, Ink::hex(0x2F6FE0));
        }
        Vessel::Spiralizer => {
            pen.rect(0.02, 0.1, 0.62, 0.24, 0.05, 0.0, SHADOW);
            pen.rect(0.0, 0.06, 0.62, 0.22, 0.05, 0.0, Ink::hex(0xF0F3EE));
            pen.rect(-0.3, -0.1, 0.06, 0.3, 0.02, 0.0, Ink::hex(0x67B04A));
            pen.disc(-0.3, -0.1, 0.16, Ink::hex(0x67B04A));
            let (s, c) = (state.clock_s * 6.0).sin_cos();
            pen.line(
                (0.45, -0.1),
                (0.45 + 0.16 * c, -0.1 + 0.16 * s),
                0.035,
                IRON,
            );
        }
        _ => {}
    }
}
