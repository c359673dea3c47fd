//! Appliances and the stove.

use std::f32::consts::{PI, TAU};

use super::{Act, THING_SIZE, steam};
use crate::synth::canvas::{Ink, Pen};
use crate::synth::hands::Grip;
use crate::synth::lexicon::{Shape, Tool, Vessel};
use crate::synth::things;
use crate::synth::vessels::{self, State};
use crate::synth::words::{Action, Form};

const AT: (f32, f32) = (-0.12, 0.02);

pub(super) fn draw(act: &Act, pen: &mut Pen) {
    match act.look.action {
        Action::Microwave => microwave(act, pen),
        Action::Heat | Action::Cook => cook(act, pen),
        Action::Boil => boil(act, pen),
        Action::Flip => flip(act, pen),
        Action::Knob => knob(act, pen),
        Action::Lift => lift(act, pen),
        Action::Check => check(act, pen),
        _ => blend(act, pen),
    }
}

fn microwave(act: &Act, pen: &mut Pen) {
    let (x, y) = (0.0, -0.05);
    // The hand is at the door first and last; it runs in between.
    let running = act.away < 0.5 && act.brought > 0.9;
    act.vessel(
        pen,
        Vessel::Microwave,
        x,
        y,
        1.05,
        State {
            running,
            ..State::default()
        },
    );
    act.inside(pen, Vessel::Microwave, x, y, 1.05, |p| {
        let mut q = p.at(0.06 * act.swing(3.0), 0.02, 0.72, 0.0);
        vessels::draw(&mut q, act.look.target, State::default());
        if let Some(thing) = act.look.thing {
            let mut r = q.at(0.0, 0.0, 0.55, act.clock_s);
            things::draw(&mut r, &thing, act.look.form);
        }
        if act.look.covered {
            q.disc(0.0, 0.0, 0.46, Ink::hex(0xB9D3DF).fade(0.6));
            q.disc(0.0, 0.0, 0.08, Ink::hex(0x22262A));
        }
    });
    let press = 0.03 * act.swing(0.8);
    act.right(pen, 0.86, 0.16 + press, Grip::Pinch);
}

/// A pan on the fire: sizzling, stirred if the words say so, shaken at its handle.
fn cook(act: &Act, pen: &mut Pen) {
    let (x, y) = AT;
    let vessel = if matches!(
        act.look.vessel,
        Vessel::Bowl | Vessel::Plate | Vessel::Worktop
    ) {
        Vessel::Pan
    } else {
        act.look.vessel
    };
    let jolt = 0.02 * act.swing(0.9);
    act.vessel(
        pen,
        vessel,
        x + jolt,
        y,
        1.1,
        State {
            flame: act.look.flame,
            ..State::default()
        },
    );
    let heat = act.look.action == Action::Heat;
    act.inside(pen, vessel, x + jolt, y, 1.1, |p| {
        let browned = act.thing().main.blend(Ink::hex(0x6B3A14), 0.4 * act.done);
        match act.look.thing {
            Some(thing) if heat => {
                // Melts or gets hot: a shimmering film.
                let film = 0.12 + 0.28 * act.done;
                p.disc(0.0, 0.0, film, thing.main.fade(0.9));
                p.ring(0.05, 0.0, film * 0.6, 0.03, thing.second);
                let mut q = p.at(
                    -0.05,
                    -0.02,
                    0.6 * (1.0 - 0.8 * act.done),
                    act.clock_s * 0.3,
                );
                things::draw(&mut q, &thing, Form::Whole);
            }
            Some(thing) => {
                let cooked = crate::synth::lexicon::Thing {
                    main: browned,
                    ..thing
                };
                for i in 0..4 {
                    let (s, c) = (i as f32 * TAU / 4.0
                        + 0.5
                        + if act.look.stirred {
                            act.clock_s * 0.8
                        } else {
                            0.0
                        })
                    .sin_cos();
                    let hop = 0.012 * (act.clock_s * 23.0 + i as f32).sin();
                    let mut q = p.at(0.23 * c + hop, 0.23 * s - hop, 0.42, i as f32);
                    things::draw(&mut q, &cooked, act.look.form);
                }
            }
            None => {
                p.disc(
                    0.0,
                    0.0,
                    0.34,
                    Ink::hex(0xB9803A)
                        .blend(Ink::hex(0x7A4A1A), act.done)
                        .fade(0.85),
                );
                p.ring(0.0, 0.0, 0.2, 0.04, Ink::hex(0xD8A85A));
            }
        }
        for i in 0..9 {
            let t = (act.clock_s * 2.3 + i as f32 * 0.37).fract();
            let (s, c) = (i as f32 * 2.4).sin_cos();
            p.ring(
                0.36 * c,
                0.34 * s,
                0.02 + 0.035 * t,
                0.014,
                Ink::hex(0xFFF6DC).fade(1.0 - t),
            );
        }
    });
    if act.look.covered {
        act.inside(pen, vessel, x + jolt, y, 1.1, |p| {
            p.disc(0.0, 0.0, 0.56, Ink::hex(0xB9D3DF).fade(0.55));
            p.disc(0.0, 0.0, 0.08, Ink::hex(0x22262A));
        });
    }
    if act.away < 0.6 {
        steam(pen, x, y - 0.2, if heat { 0.35 } else { 0.8 }, act.clock_s);
    }
    if heat {
        act.left(pen, -0.55, 0.72 + 0.03 * act.swing(1.0), Grip::Pinch);
    }
    if act.look.stirred || act.look.tool == Tool::Spatula {
        let (s, c) = (act.phase(1.4) * TAU).sin_cos();
        let tip = (x + 0.22 * c, y + 0.18 * s);
        let kind = act.tool_or(Tool::Spoon);
        act.tool(pen, kind, (0.55 + 0.1 * c, 0.22 + 0.08 * s), tip, None);
        act.right(pen, 0.57 + 0.1 * c, 0.22 + 0.08 * s, Grip::Fist);
    } else {
        act.right(pen, x + jolt + 1.1, y + 0.52, Grip::Fist);
    }
}

fn boil(act: &Act, pen: &mut Pen) {
    let (x, y) = AT;
    let vessel = if act.look.vessel == Vessel::Pot {
        Vessel::Pot
    } else {
        Vessel::Kettle
    };
    act.vessel(
        pen,
        vessel,
        x,
        y + 0.1,
        1.15,
        State {
            flame: 1.0,
            ..State::default()
        },
    );
    if act.away < 0.6 {
        steam(
            pen,
            x + if vessel == Vessel::Kettle { 0.75 } else { 0.0 },
            y - 0.35,
            1.0,
            act.clock_s,
        );
        steam(pen, x, y - 0.3, 0.8, act.clock_s + 0.3);
    }
    act.right(pen, 0.86, 0.55 + 0.04 * act.swing(1.6), Grip::Open);
}

/// The thing leaps from the pan, turns over and falls back.
fn flip(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (x, y) = (-0.12, 0.2);
    act.vessel(
        pen,
        Vessel::Pan,
        x,
        y,
        1.0,
        State {
            flame: act.look.flame,
            ..State::default()
        },
    );
    let phase = act.phase(1.7);
    let air = (phase * PI).sin() * (1.0 - act.away);
    let turn = (phase * TAU).cos();
    let face = if turn > 0.0 {
        thing.main
    } else {
        thing.main.blend(Ink::hex(0x6B3A14), 0.5)
    };
    let wide = 0.36;
    let cy = y - 0.72 * air + act.downward();
    pen.ellipse(
        x,
        y + 0.02,
        0.3 * (1.0 - 0.5 * air),
        0.1,
        0.0,
        Ink::hex(0).fade(0.35),
    );
    if thing.shape == Shape::Flat || thing.shape == Shape::Puddle || act.look.thing.is_none() {
        pen.ellipse(
            x,
            cy + 0.04,
            wide,
            wide * turn.abs().max(0.12),
            0.2,
            thing.second.lit(0.7),
        );
        pen.ellipse(x, cy, wide, wide * turn.abs().max(0.1), 0.2, face);
    } else {
        let mut p = pen.at(x, cy, THING_SIZE * 1.1, phase * TAU * (1.0 - act.away));
        things::draw(
            &mut p,
            &crate::synth::lexicon::Thing {
                main: face,
                ..thing
            },
            act.look.form,
        );
    }
    let tip = (x + 0.22, y - 0.3 * air + 0.06);
    let kind = act.tool_or(Tool::Spatula);
    act.tool(pen, kind, (0.72, 0.32 - 0.2 * air), tip, None);
    act.right(pen, 0.74, 0.34 - 0.2 * air, Grip::Fist);
    act.left(pen, -0.85, 0.45, Grip::Fist);
}

/// The hand turns a big knob; the flame above follows.
fn knob(act: &Act, pen: &mut Pen) {
    let dx = act.leftward();
    {
        let mut p = pen.at(-0.5 + dx, -0.28, 0.85, 0.0);
        vessels::stove(
            &mut p,
            State {
                flame: act.look.flame * act.done.max(0.2),
                clock_s: act.clock_s,
                running: true,
            },
        );
        p.disc(0.0, 0.0, 0.44, Ink::hex(0x17181A));
    }
    pen.rect(0.05 + dx, 0.52, 1.15, 0.36, 0.06, 0.0, Ink::hex(0xB9BEC4));
    let turn = -2.2
        + 4.4 * act.look.flame * (0.4 + 0.6 * act.done)
        + 0.25 * act.swing(0.9) * (1.0 - act.away);
    let (s, c) = turn.sin_cos();
    let (kx, ky) = (0.3 + dx, 0.42);
    pen.disc(kx, ky, 0.37, Ink::hex(0x17181A));
    pen.disc(kx, ky, 0.31, Ink::hex(0x3A3D42));
    pen.line(
        (kx, ky),
        (kx + 0.28 * s, ky - 0.28 * c),
        0.04,
        Ink::hex(0xF2F2F2),
    );
    for i in 0..5 {
        let (ts, tc) = (-2.2f32 + 1.1 * i as f32).sin_cos();
        pen.disc(kx + 0.44 * ts, ky - 0.44 * tc, 0.03, Ink::hex(0xE0452E));
    }
    act.right(pen, kx + 0.12 + 0.06 * s, ky + 0.05, Grip::Fist);
}

/// The vessel is lifted from the fire, which goes out, and set aside.
fn lift(act: &Act, pen: &mut Pen) {
    let vessel = act.look.vessel;
    let hot = matches!(vessel, Vessel::Pan | Vessel::Pot | Vessel::Kettle);
    let far = (act.done * 1.4).min(1.0);
    let (x, y) = (-0.45 + 0.55 * far, 0.1 - 0.2 * (far * PI).sin());
    if hot {
        let mut p = pen.at(-0.5 + act.leftward(), 0.05, 1.2, 0.0);
        vessels::stove(
            &mut p,
            State {
                flame: 0.15,
                clock_s: act.clock_s,
                running: false,
            },
        );
        p.disc(0.0, 0.0, 0.3, Ink::hex(0x8A2A1A));
    }
    let mut p = pen.at(x + act.leftward(), y + 0.03 * act.swing(1.2), 1.0, 0.12);
    if hot {
        p.line((0.4, 0.2), (0.95, 0.5), 0.065, Ink::hex(0x191A1C));
        p.disc(0.03, 0.1, 0.5, Ink::hex(0).fade(0.3));
        p.disc(0.0, 0.0, 0.5, Ink::hex(0x191A1C));
        p.disc(0.0, 0.0, 0.43, Ink::hex(0x2C2E33));
    } else {
        vessels::draw(&mut p, vessel, State::default());
    }
    if let Some(thing) = act.look.thing {
        let mut q = p.at(0.0, 0.0, 0.65, 0.0);
        things::draw(&mut q, &thing, act.look.form);
    }
    act.right(pen, x + if hot { 0.85 } else { 0.55 }, y + 0.38, Grip::Fist);
    if !hot {
        act.left(pen, x - 0.55, y + 0.25, Grip::Fist);
    }
}

fn check(act: &Act, pen: &mut Pen) {
    let (x, y) = (-0.2, 0.18);
    let vessel = if act.look.vessel == Vessel::Bowl {
        Vessel::Pot
    } else {
        act.look.vessel
    };
    act.vessel(pen, vessel, x, y, 1.05, State::default());
    if let Some(thing) = act.look.thing {
        act.inside(pen, vessel, x, y, 1.05, |p| {
            p.disc(0.0, 0.0, 0.44, thing.main.fade(0.9))
        });
    }
    let dip = 0.06 * act.swing(1.5);
    act.tool(
        pen,
        Tool::Thermometer,
        (0.55, -0.5 + dip),
        (x + 0.1, y + dip),
        None,
    );
    act.right(pen, 0.68, -0.4 + dip, Grip::Pinch);
    act.left(pen, -0.85, 0.45, Grip::Fist);
}

/// Blender and grinder: contents whirl, the hand holds the top or turns the crank.
fn blend(act: &Act, pen: &mut Pen) {
    let grinding = act.look.action == Action::Grind;
    let vessel = if grinding {
        Vessel::Grinder
    } else {
        Vessel::Blender
    };
    let (x, y) = (-0.1, 0.0);
    let running = act.away < 0.5 && act.brought > 0.9;
    act.vessel(
        pen,
        vessel,
        x,
        y,
        1.0,
        State {
            running,
            ..State::default()
        },
    );
    let thing = act.thing();
    if grinding {
        act.inside(pen, vessel, x, y, 1.0, |p| {
            things::draw(p, &thing, Form::Whole)
        });
        let (s, c) = (act.phase(0.9) * TAU).sin_cos();
        let end = (x + 0.42 * c, -0.5 + 0.16 * s);
        pen.line(
            (x + act.leftward(), -0.42),
            (end.0 + act.leftward(), end.1),
            0.05,
            Ink::hex(0x8A9096),
        );
        act.right(pen, end.0 + 0.04, end.1 - 0.02, Grip::Fist);
        for i in 0..(act.done * 14.0) as usize {
            pen.disc(
                x - 0.5 + 0.07 * i as f32 + act.leftward(),
                0.78,
                0.045,
                thing.main.lit(0.8),
            );
        }
    } else {
        act.inside(pen, vessel, x, y, 1.0, |p| {
            let ink = thing.main.blend(Ink::hex(0xF1DFB0), 0.4);
            p.ellipse(0.0, 0.12, 0.42, 0.42, 0.0, ink);
            for i in 0..4 {
                let angle = act.clock_s * 14.0 + i as f32 * TAU / 4.0;
                p.ellipse(
                    0.12 * angle.cos(),
                    0.1 + 0.1 * (i as f32 - 1.5),
                    0.3,
                    0.06,
                    0.3 * angle.sin(),
                    ink.lit(if i % 2 == 0 { 1.25 } else { 0.75 }),
                );
            }
        });
        act.right(pen, x + 0.12, -0.72 + 0.015 * act.swing(0.15), Grip::Open);
        act.left(pen, x - 0.42, 0.72, Grip::Pinch);
    }
}
