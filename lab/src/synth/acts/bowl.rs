//! Putting things into vessels, mixing them there, measuring them out.

use std::f32::consts::TAU;

use super::{Act, THING_SIZE, stream};
use crate::synth::canvas::{Ink, Pen};
use crate::synth::hands::Grip;
use crate::synth::lexicon::{Shape, Tool, Vessel};
use crate::synth::things;
use crate::synth::vessels::State;
use crate::synth::words::{Action, Form};

const AT: (f32, f32) = (-0.05, 0.02);

pub(super) fn draw(act: &Act, pen: &mut Pen) {
    match act.look.action {
        Action::Stir | Action::Whisk => stir(act, pen),
        Action::Pour | Action::Drizzle => pour(act, pen),
        Action::Place => place(act, pen),
        Action::Sprinkle => sprinkle(act, pen),
        Action::Crack => crack(act, pen),
        Action::Squeeze => squeeze(act, pen),
        Action::Spread => spread(act, pen),
        Action::Measure => measure(act, pen),
        Action::Weigh => weigh(act, pen),
        Action::Cover => cover(act, pen),
        _ => add(act, pen),
    }
}

fn running(act: &Act) -> State {
    let hot = matches!(act.look.vessel, Vessel::Pan | Vessel::Pot);
    State {
        flame: if hot { act.look.flame * 0.6 } else { 0.0 },
        ..State::default()
    }
}

fn stir(act: &Act, pen: &mut Pen) {
    let (x, y) = AT;
    let whisking = act.look.action == Action::Whisk;
    let vessel = act.look.vessel;
    act.vessel(pen, vessel, x, y, 1.1, running(act));
    let angle = act.phase(if whisking { 0.55 } else { 1.5 }) * TAU;
    act.inside(pen, vessel, x, y, 1.1, |p| {
        let thing = act.thing();
        let liquid = if whisking {
            thing.second.blend(thing.main, 0.5)
        } else {
            thing.main
        };
        p.disc(0.0, 0.0, 0.42, liquid.fade(0.85));
        for i in 0..3 {
            p.ring(
                0.0,
                0.0,
                0.12 + 0.11 * i as f32,
                0.03,
                liquid.lit(if i % 2 == 0 { 1.25 } else { 0.8 }),
            );
        }
        if act.look.thing.is_some() && !matches!(thing.shape, Shape::Puddle | Shape::Egg) {
            for i in 0..5 {
                let (s, c) = (angle * 0.6 + i as f32 * TAU / 5.0).sin_cos();
                let mut q = p.at(0.25 * c, 0.25 * s, 0.24, angle + i as f32);
                things::draw(
                    &mut q,
                    &thing,
                    if act.look.form == Form::Whole {
                        Form::Whole
                    } else {
                        Form::Pieces
                    },
                );
            }
        }
        if let Some(other) = act.look.other {
            for i in 0..4 {
                let (s, c) = (angle * 0.8 + i as f32 * 1.57).sin_cos();
                p.disc(0.3 * c, 0.3 * s, 0.06, other.main);
            }
        }
    });
    let reach = if vessel == Vessel::Mug || vessel == Vessel::Ramekin {
        0.16
    } else {
        0.26
    };
    let (s, c) = angle.sin_cos();
    let tip = (x + reach * c, y + reach * 0.8 * s);
    let hold = (0.52 + 0.5 * reach * c, 0.18 + 0.5 * reach * s);
    let kind = match act.look.tool {
        Tool::Whisk | Tool::Fork | Tool::Spatula => act.look.tool,
        _ if whisking => Tool::Whisk,
        _ => Tool::Spoon,
    };
    act.tool(pen, kind, hold, tip, None);
    act.right(pen, hold.0 + 0.02, hold.1, Grip::Fist);
    act.left(pen, -0.72, 0.32, Grip::Fist);
}

fn pour(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let content = things::content(&thing);
    let thin = act.look.action == Action::Drizzle;
    let (x, y) = (-0.2, 0.2);
    let vessel = if act.look.vessel == Vessel::Blender {
        Vessel::Pan
    } else {
        act.look.vessel
    };
    act.vessel(pen, vessel, x, y, 1.0, running(act));
    if let Some(other) = act.look.other {
        act.inside(pen, vessel, x, y, 1.0, |p| {
            let mut q = p.at(0.0, 0.0, 0.85, 0.0);
            things::draw(&mut q, &other, Form::Whole);
        });
    }
    let sway = if thin {
        0.3 * act.swing(1.3)
    } else {
        0.04 * act.swing(2.0)
    };
    act.inside(pen, vessel, x, y, 1.0, |p| {
        if thin {
            for i in 0..(act.done * 9.0) as usize {
                let at = |i: usize| (0.34 * (i as f32 * 2.2).sin(), -0.3 + 0.07 * i as f32);
                p.line(at(i), at(i + 1), 0.035, content);
            }
        } else {
            p.disc(0.0, 0.0, 0.12 + 0.32 * act.done.sqrt(), content.fade(0.92));
            p.ring(0.0, 0.0, 0.1 + 0.2 * act.phase(0.8), 0.02, thing.second);
        }
    });
    let lip = (0.16 + sway, -0.42);
    if act.away < 0.4 && act.brought > 0.8 {
        stream(
            pen,
            lip,
            (x + 0.1 + sway, y),
            if thin { 0.022 } else { 0.06 },
            content,
            act.clock_s,
        );
    }
    // The vessel it comes from, tilted: its own bottle or jar, or a jug in its colour.
    let tilt = -2.1 * (1.0 - 0.8 * act.away);
    let dy = act.downward() + act.away * 0.5;
    let mut p = pen.at(0.44 + sway, -0.46 + dy, THING_SIZE * 1.2, tilt);
    if matches!(thing.shape, Shape::Puddle | Shape::Flat | Shape::Strands) {
        p.poly(
            &[(-0.3, -0.4), (0.3, -0.4), (0.38, 0.42), (-0.38, 0.42)],
            Ink::hex(0xD8E2E8),
        );
        p.poly(
            &[(-0.24, -0.3), (0.24, -0.3), (0.33, 0.37), (-0.33, 0.37)],
            thing.main,
        );
        p.ring(0.42, 0.05, 0.17, 0.07, Ink::hex(0xD8E2E8));
    } else {
        things::draw(&mut p, &thing, Form::Whole);
    }
    act.right(pen, 0.62 + sway, -0.36, Grip::Fist);
    act.left(pen, -0.85, 0.5, Grip::Fist);
}

/// The hand carries portions from the right into the vessel; the thing itself stands at the left.
fn add(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (x, y) = (0.14, 0.02);
    let vessel = act.look.vessel;
    act.vessel(pen, vessel, x, y, 1.0, running(act));
    act.inside(pen, vessel, x, y, 1.0, |p| {
        if let Some(other) = act.look.other {
            let mut q = p.at(0.0, 0.0, 0.8, 0.0);
            things::draw(&mut q, &other, Form::Whole);
        }
        if act.done > 0.12 {
            let mut q = p.at(0.0, 0.06, 0.5 + 0.45 * act.done, 0.0);
            things::pieces(&mut q, &thing, 3 + (11.0 * act.done) as usize, 0.4);
        }
    });
    act.card(pen, &thing, act.look.form);
    let phase = act.phase(1.8);
    // Out, dip, back: the portion is gone on the way back.
    let near = (phase * TAU * 0.5).sin();
    let at = (0.86 - 0.56 * near, 0.22 - 0.36 * near);
    let full = phase < 0.7 && act.away < 0.5;
    let content = things::content(&thing);
    if matches!(
        act.look.tool,
        Tool::MeasuringSpoon | Tool::MeasuringCup | Tool::Spoon
    ) {
        let hold = (at.0 + 0.32, at.1 + 0.22);
        act.tool(pen, act.look.tool, hold, at, full.then_some(content));
        act.right(pen, hold.0, hold.1, Grip::Pinch);
    } else {
        if full {
            let mut p = pen.at(at.0, at.1 + act.downward() - 0.08, THING_SIZE * 0.85, 0.0);
            things::draw(&mut p, &thing, act.look.form);
        }
        act.right(pen, at.0 + 0.16, at.1 + 0.12, Grip::Pinch);
    }
    if !full && act.away < 0.5 {
        for i in 0..5 {
            let t = ((phase - 0.7) * 3.3 + 0.1 * i as f32).clamp(0.0, 1.0);
            pen.disc(
                x + 0.16 - 0.06 * i as f32,
                y - 0.25 + 0.35 * t,
                0.05,
                content.fade(1.0 - t),
            );
        }
    }
}

/// Both hands set the thing down, slowly, and turn it into place.
fn place(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (x, y) = AT;
    let vessel = act.look.vessel;
    act.vessel(pen, vessel, x, y, 1.05, running(act));
    if let Some(other) = act.look.other {
        act.inside(pen, vessel, x, y, 1.05, |p| {
            let mut q = p.at(0.0, 0.08, 0.95, 0.0);
            things::draw(&mut q, &other, Form::Whole);
        });
    }
    let low = (act.phase(2.4) * TAU * 0.5).sin() * (1.0 - act.away);
    let lift = -0.3 * low;
    let mut p = pen.at(
        x + 0.05,
        y + lift + act.downward(),
        THING_SIZE * 1.25 * (1.0 + 0.12 * low),
        0.12 * act.swing(2.4),
    );
    if low > 0.2 {
        things::shadow(&mut p, 0.05, 0.35 + 0.3 * low, 0.4, 0.12);
    }
    act.object(&mut p, &thing);
    act.left(pen, x - 0.36, y + lift + 0.12, Grip::Open);
    act.right(pen, x + 0.46, y + lift + 0.12, Grip::Open);
}

fn sprinkle(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let packed = things::is_package(&thing);
    let (x, y) = (if packed { -0.12 } else { 0.12 }, 0.22);
    let vessel = act.look.vessel;
    act.vessel(pen, vessel, x, y, 1.05, running(act));
    let (rain, other) = (things::content(&thing), act.look.other);
    act.inside(pen, vessel, x, y, 1.05, |p| {
        if let Some(other) = other {
            let mut q = p.at(0.0, 0.0, 0.9, 0.0);
            things::draw(&mut q, &other, Form::Slices);
        }
        for i in 0..(4 + (act.done * 26.0) as usize) {
            let r = 0.42 * ((i as f32 + 0.5) / 30.0).sqrt();
            let (s, c) = (i as f32 * 2.4).sin_cos();
            p.disc(r * c, r * s, 0.03, rain);
        }
    });
    let shake = 0.1 * act.swing(0.32);
    let hand_at = (x + 0.32 + shake + 0.2 * act.swing(2.3), -0.45);
    if act.away < 0.4 && act.brought > 0.8 {
        for i in 0..22 {
            let t = (act.clock_s * 1.6 + i as f32 * 0.137).fract();
            let spread = (i as f32 * 1.7).sin() * (0.06 + 0.24 * t);
            pen.disc(
                hand_at.0 - 0.08 + spread,
                hand_at.1 + 0.12 + 0.6 * t,
                0.024,
                rain,
            );
        }
    }
    if packed {
        let mut p = pen.at(
            hand_at.0,
            hand_at.1 - 0.05 + act.downward() + act.away * 0.6,
            THING_SIZE * 1.05,
            -2.5 * (1.0 - act.away),
        );
        things::draw(&mut p, &thing, Form::Whole);
        act.right(pen, hand_at.0 + 0.16, hand_at.1 + 0.02, Grip::Fist);
    } else {
        act.card(pen, &thing, act.look.form);
        let mut p = pen.at(
            hand_at.0 - 0.06,
            hand_at.1 + 0.04,
            0.2 * (1.0 - act.away),
            0.0,
        );
        things::pieces(&mut p, &thing, 6, 0.4);
        act.right(pen, hand_at.0, hand_at.1, Grip::Pinch);
    }
}

fn crack(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (x, y) = (-0.05, 0.22);
    act.vessel(pen, act.look.vessel, x, y, 1.0, running(act));
    act.inside(pen, act.look.vessel, x, y, 1.0, |p| {
        if act.done > 0.35 {
            p.ellipse(0.02, 0.02, 0.34, 0.28, 0.2, Ink::hex(0xFDFBEF).fade(0.85));
            p.disc(0.03, 0.02, 0.15, thing.second);
        }
    });
    let apart = if act.done > 0.3 {
        0.16 + 0.06 * act.swing(1.2)
    } else {
        0.0
    };
    let knock = if act.done > 0.3 {
        0.0
    } else {
        0.12 * act.swing(0.6)
    };
    for side in [-1.0f32, 1.0] {
        let mut p = pen.at(
            x + side * (0.13 + apart),
            -0.4 + knock + act.downward() + act.away * 1.6,
            THING_SIZE * 1.05,
            side * (0.25 + apart),
        );
        p.ellipse(0.0, 0.0, 0.25, 0.4, 0.0, thing.main.lit(0.8));
        p.ellipse(0.0, -0.01, 0.22, 0.37, 0.0, thing.main);
        if apart > 0.0 {
            p.ellipse(-0.1 * side, 0.1, 0.13, 0.3, 0.0, Ink::hex(0xFFFFFF));
        }
    }
    if act.done > 0.3 && act.away < 0.3 {
        pen.line((x, -0.32), (x, y), 0.05, Ink::hex(0xFDFBEF).fade(0.7));
        pen.disc(x, -0.25 + 0.45 * act.phase(1.3), 0.11, thing.second);
    }
    act.left(pen, x - 0.36 - apart, -0.26 + knock, Grip::Pinch);
    act.right(pen, x + 0.36 + apart, -0.26 + knock, Grip::Pinch);
}

fn squeeze(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (x, y) = (-0.05, 0.3);
    act.vessel(pen, act.look.vessel, x, y, 0.95, running(act));
    act.inside(pen, act.look.vessel, x, y, 0.95, |p| {
        for i in 0..(act.done * 8.0) as usize {
            let (s, c) = (i as f32 * TAU / 8.0).sin_cos();
            p.disc(0.3 * c, 0.3 * s, 0.09, thing.main);
        }
    });
    let press = act.swing(0.9) * 0.5 + 0.5;
    if act.away < 0.4 {
        for i in 0..4 {
            let t = (act.clock_s * 1.2 + i as f32 * 0.25).fract();
            pen.ellipse(
                x + 0.04 * (i as f32 - 1.5),
                -0.1 + 0.45 * t,
                0.035,
                0.05,
                0.0,
                thing.second.blend(thing.main, 0.4),
            );
        }
    }
    {
        let mut p = pen.at(
            x,
            -0.32 + act.downward() + act.away * 1.5,
            THING_SIZE * (1.25 - 0.12 * press),
            0.0,
        );
        things::draw(&mut p, &thing, Form::Whole);
    }
    act.left(pen, x - 0.3 + 0.1 * press, -0.2, Grip::Fist);
    act.right(pen, x + 0.3 - 0.1 * press, -0.2, Grip::Fist);
}

fn spread(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (x, y) = (0.14, 0.02);
    let vessel = act.look.vessel;
    act.vessel(pen, vessel, x, y, 1.05, State::default());
    act.inside(pen, vessel, x, y, 1.05, |p| {
        if let Some(other) = act.look.other {
            let mut q = p.at(0.0, 0.0, 1.1, 0.0);
            things::draw(&mut q, &other, Form::Whole);
        }
        for i in 0..(1 + (act.done * 6.0) as usize) {
            let sy = -0.24 + 0.09 * i as f32;
            p.line((-0.26, sy), (0.26, sy + 0.03), 0.045, thing.main.fade(0.75));
        }
    });
    act.card(pen, &thing, act.look.form);
    let tip = (x + 0.3 * act.swing(0.9), y - 0.2 + 0.5 * act.done.min(0.8));
    let hold = (tip.0 + 0.36, tip.1 + 0.2);
    let kind = act.tool_or(Tool::Brush);
    act.tool(pen, kind, hold, tip, Some(thing.main));
    act.right(pen, hold.0, hold.1, Grip::Pinch);
}

fn measure(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let content = things::content(&thing);
    let (x, y) = (-0.15, 0.12);
    act.vessel(pen, Vessel::Measure, x, y, 1.15, State::default());
    let level = 0.1 + 0.75 * act.done;
    {
        let mut p = pen.at(x + act.leftward(), y, 1.15 * 1.25, 0.0);
        p.rect(
            0.0,
            0.48 - 0.46 * level,
            0.31,
            0.46 * level,
            0.03,
            0.0,
            content,
        );
        if !matches!(
            thing.shape,
            Shape::Puddle | Shape::Bottle | Shape::Carton | Shape::Jar
        ) {
            for i in 0..(level * 30.0) as usize {
                p.disc(
                    -0.25 + 0.1 * (i % 6) as f32,
                    0.42 - 0.13 * (i / 6) as f32,
                    0.045,
                    content.lit(0.85),
                );
            }
        }
        for i in 0..5 {
            p.rect(
                -0.22,
                0.36 - 0.17 * i as f32,
                0.09,
                0.014,
                0.0,
                0.0,
                Ink::hex(0xC0392B),
            );
        }
    }
    let lip = (0.1, -0.62);
    if act.away < 0.4 && act.brought > 0.8 {
        stream(pen, lip, (x + 0.02, y + 0.2), 0.05, content, act.clock_s);
    }
    let mut p = pen.at(
        0.42,
        -0.62 + act.downward() + act.away * 1.4,
        THING_SIZE * 1.1,
        -1.9,
    );
    if thing.shape == Shape::Puddle {
        p.poly(
            &[(-0.3, -0.4), (0.3, -0.4), (0.38, 0.42), (-0.38, 0.42)],
            Ink::hex(0x8A9DB0),
        );
        p.poly(
            &[(-0.24, -0.3), (0.24, -0.3), (0.33, 0.37), (-0.33, 0.37)],
            thing.main,
        );
    } else {
        things::draw(&mut p, &thing, Form::Whole);
    }
    act.right(pen, 0.6, -0.5, Grip::Fist);
    act.left(pen, -0.72, 0.3, Grip::Fist);
}

fn weigh(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (x, y) = AT;
    act.vessel(pen, Vessel::Scale, x, y + 0.05, 1.2, State::default());
    act.inside(pen, Vessel::Scale, x, y + 0.05, 1.2, |p| {
        let mut q = p.at(0.0, 0.0, 0.5 + 0.5 * act.done, 0.0);
        things::draw(&mut q, &thing, Form::Whole);
    });
    let near = act.swing(1.5) * 0.5 + 0.5;
    let at = (0.5 - 0.2 * near, -0.15 - 0.2 * near);
    let mut p = pen.at(
        at.0 - 0.1,
        at.1 + act.downward() + act.away * 1.6,
        THING_SIZE * 0.5,
        0.0,
    );
    things::draw(&mut p, &thing, Form::Whole);
    act.right(pen, at.0, at.1, Grip::Pinch);
    act.left(pen, -0.85, 0.55, Grip::Open);
}

/// A lid comes down and stays.
fn cover(act: &Act, pen: &mut Pen) {
    let (x, y) = AT;
    act.vessel(pen, act.look.vessel, x, y, 1.05, running(act));
    if let Some(thing) = act.look.thing {
        act.inside(pen, act.look.vessel, x, y, 1.05, |p| {
            things::draw(p, &thing, act.look.form)
        });
    }
    let down = (act.done * 2.2).min(1.0);
    let hover = (1.0 - down) * (-0.75 + 0.1 * act.swing(1.0));
    let mut p = pen.at(
        x + 0.05 * act.swing(1.1) * (1.0 - act.away),
        y + hover + act.downward(),
        1.3,
        0.0,
    );
    p.disc(0.0, 0.0, 0.47, Ink::hex(0x6F8796).fade(0.85));
    p.disc(0.0, 0.0, 0.42, Ink::hex(0xB9D3DF).fade(0.7));
    p.disc(0.0, 0.0, 0.09, Ink::hex(0x22262A));
    act.right(pen, x + 0.1, y + hover + 0.05, Grip::Fist);
    act.left(pen, -0.72, 0.3, Grip::Fist);
}
