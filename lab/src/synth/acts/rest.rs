//! Water, cloth, rolling, waiting, moving and everything else.

use std::f32::consts::TAU;

use super::{Act, THING_SIZE, steam, stream};
use crate::synth::canvas::{Ink, Pen};
use crate::synth::hands::{Grip, Hand, hand};
use crate::synth::lexicon::{Shape, Thing, Tool, Vessel};
use crate::synth::things;
use crate::synth::vessels::{self, State};
use crate::synth::words::{Action, Form};

const WATER: Ink = Ink::hex(0x9FD0F0);
const AT: (f32, f32) = (-0.05, 0.02);

pub(super) fn draw(act: &Act, pen: &mut Pen) {
    match act.look.action {
        Action::Rinse => rinse(act, pen),
        Action::Drain => drain(act, pen),
        Action::Pat => pat(act, pen),
        Action::Roll => roll(act, pen),
        Action::Fold => fold(act, pen),
        Action::Wait => wait(act, pen),
        Action::Transfer => transfer(act, pen),
        Action::Discard => discard(act, pen),
        Action::Take => take(act, pen),
        Action::Open => open(act, pen),
        Action::Secure => secure(act, pen),
        Action::Seal => seal(act, pen),
        Action::Remove => remove(act, pen),
        Action::Invert => invert(act, pen),
        Action::Handle(kind) => handle(act, pen, kind),
        // Drawn elsewhere.
        _ => take(act, pen),
    }
}

fn rinse(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (x, y) = (-0.02, 0.1);
    act.vessel(pen, Vessel::Sink, x, y, 1.15, State::default());
    let sway = 0.08 * act.swing(1.1);
    if act.brought > 0.8 && act.away < 0.6 {
        stream(
            pen,
            (x, -0.35),
            (x, y - 0.05),
            0.085,
            WATER,
            act.clock_s * 1.5,
        );
    }
    let mut p = pen.at(
        x + sway + act.leftward(),
        y + 0.1,
        THING_SIZE * 1.25,
        0.5 * act.swing(1.9),
    );
    act.object(&mut p, &thing);
    if act.away < 0.6 {
        for i in 0..12 {
            let t = (act.clock_s * 1.9 + i as f32 * 0.29).fract();
            let (s, c) = (i as f32 * 2.4).sin_cos();
            pen.disc(
                x + sway + (0.15 + 0.4 * t) * c,
                y + 0.05 + (0.12 + 0.3 * t) * s,
                0.035,
                WATER.lit(1.15).fade(1.0 - t),
            );
        }
    }
    act.left(pen, x - 0.34 + sway, y + 0.25, Grip::Open);
    act.right(pen, x + 0.34 + sway, y + 0.25, Grip::Open);
}

fn drain(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    if act.look.vessel == Vessel::Dripper || matches!(act.look.vessel, Vessel::Mug) {
        act.vessel(pen, Vessel::Dripper, -0.05, 0.05, 1.1, State::default());
        act.inside(pen, Vessel::Dripper, -0.05, 0.05, 1.1, |p| {
            p.ellipse(0.0, 0.0, 0.44, 0.14, 0.0, thing.main)
        });
        for i in 0..3 {
            let t = (act.clock_s * 1.3 + i as f32 * 0.33).fract();
            pen.ellipse(
                -0.05 + act.leftward(),
                0.22 + 0.22 * t,
                0.03,
                0.05,
                0.0,
                thing.main.lit(1.4),
            );
        }
        act.left(pen, -0.7, 0.5, Grip::Fist);
        act.right(pen, 0.62, 0.5, Grip::Fist);
        return;
    }
    act.vessel(pen, Vessel::Sink, -0.02, 0.2, 1.1, State::default());
    let tilt = -1.3 + 0.12 * act.swing(1.4);
    let mut p = pen.at(
        0.22 + act.leftward(),
        -0.2 + act.away * 0.2,
        THING_SIZE * 1.25,
        tilt * (1.0 - act.away),
    );
    things::draw(&mut p, &thing, Form::Whole);
    if act.away < 0.4 {
        for i in 0..8 {
            let t = (act.clock_s * 1.8 + i as f32 / 8.0).fract();
            pen.ellipse(-0.12 - 0.1 * t, -0.2 + 0.45 * t, 0.03, 0.055, 0.0, WATER);
        }
        pen.line((-0.1, -0.22), (-0.18, 0.3), 0.03, WATER.fade(0.8));
    }
    act.right(pen, 0.52, -0.05, Grip::Fist);
    act.left(pen, 0.0, 0.05, Grip::Fist);
}

fn pat(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    act.vessel(pen, act.look.vessel, 0.0, 0.05, 1.0, State::default());
    let press = (act.swing(0.9) * 0.5 + 0.5) * 0.25;
    let mut p = pen.at(-0.12 + act.leftward(), 0.1, THING_SIZE * 1.35, 0.1);
    things::draw(&mut p, &thing, act.look.form);
    let tip = (0.12 + 0.12 * act.swing(2.3), -0.05 - press);
    act.tool(pen, Tool::Towel, (tip.0 + 0.1, tip.1 + 0.1), tip, None);
    act.right(pen, tip.0 + 0.08, tip.1 - 0.02, Grip::Open);
    act.left(pen, -0.55, 0.3, Grip::Open);
}

fn roll(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    act.vessel(pen, act.look.vessel, 0.0, 0.05, 1.1, State::default());
    let dx = act.leftward();
    let rolled = 0.15 + 0.75 * act.done;
    // What is still flat lies beyond the roll.
    let y = 0.35 - 0.55 * rolled + 0.05 * act.swing(1.2);
    pen.rect(
        dx,
        -0.42 + (y + 0.42) * 0.5,
        0.5,
        ((y + 0.42) * 0.5).max(0.02),
        0.05,
        0.0,
        thing.main.lit(1.05),
    );
    let thick = 0.09 + 0.1 * rolled;
    pen.line(
        (dx - 0.45, y + 0.04),
        (dx + 0.45, y + 0.04),
        thick,
        Ink::hex(0).fade(0.3),
    );
    pen.line((dx - 0.45, y), (dx + 0.45, y), thick, thing.main.lit(0.82));
    pen.line(
        (dx - 0.45, y - 0.03),
        (dx + 0.45, y - 0.03),
        thick * 0.6,
        thing.main,
    );
    pen.disc(dx + 0.48, y, thick * 0.7, thing.second);
    pen.ring(dx + 0.48, y, thick * 0.4, 0.02, thing.main.lit(0.6));
    act.left(pen, -0.34, y + 0.05, Grip::Open);
    act.right(pen, 0.34, y + 0.05, Grip::Open);
}

fn fold(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let dx = act.leftward();
    let over = act.swing(2.0) * 0.5 + 0.5;
    let half = 0.62 - 0.22 * act.done;
    pen.poly(
        &[
            (dx - half, 0.4),
            (dx - half, -0.35),
            (dx + half * 0.1, -0.35),
            (dx + half * 0.1, 0.4),
        ],
        thing.main,
    );
    let edge = dx + half * (0.1 + 0.95 * over * 2.0 - 0.95);
    pen.poly(
        &[
            (dx + half * 0.1, 0.4),
            (dx + half * 0.1, -0.35),
            (edge, -0.42),
            (edge, 0.33),
        ],
        thing.main.lit(0.84),
    );
    pen.line(
        (dx + half * 0.1, 0.4),
        (dx + half * 0.1, -0.35),
        0.018,
        thing.second.lit(0.8),
    );
    act.right(pen, edge - dx + 0.08, -0.1, Grip::Pinch);
    act.left(pen, -half - 0.06, 0.1, Grip::Open);
}

/// Folded hands and a clock.
fn wait(act: &Act, pen: &mut Pen) {
    let (x, y) = (-0.25, -0.12);
    act.vessel(pen, act.look.vessel, x, y, 0.95, State::default());
    if let Some(thing) = act.look.thing {
        act.inside(pen, act.look.vessel, x, y, 0.95, |p| {
            let mut q = p.at(0.0, 0.0, 0.9, 0.0);
            things::draw(&mut q, &thing, act.look.form);
        });
    }
    if act.away < 0.6 {
        steam(pen, x, y - 0.1, 0.7, act.clock_s);
    }
    let (cx, cy) = (0.85, -0.42 + act.downward() * -0.8);
    pen.disc(cx, cy, 0.34, Ink::hex(0xC0392B));
    pen.disc(cx, cy, 0.29, Ink::hex(0xFDFDF8));
    for i in 0..12 {
        let (s, c) = (i as f32 * TAU / 12.0).sin_cos();
        pen.disc(cx + 0.24 * c, cy + 0.24 * s, 0.018, Ink::hex(0x222222));
    }
    let (s, c) = (act.clock_s * 1.2).sin_cos();
    pen.line(
        (cx, cy),
        (cx + 0.22 * s, cy - 0.22 * c),
        0.022,
        Ink::hex(0x222222),
    );
    pen.line((cx, cy), (cx + 0.1, cy + 0.08), 0.028, Ink::hex(0x222222));
    act.left(pen, 0.02, 0.66, Grip::Fist);
    act.right(pen, 0.14, 0.64 + 0.015 * act.swing(2.6), Grip::Fist);
}

fn transfer(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (from, to) = ((-0.62, -0.02), (0.55, 0.05));
    act.vessel(pen, act.look.vessel, from.0, from.1, 0.8, State::default());
    act.vessel(pen, act.look.target, to.0, to.1, 0.8, State::default());
    let heap = |p: &mut Pen, part: f32| {
        let mut q = p.at(0.0, 0.0, 0.3 + 0.7 * part, 0.0);
        things::draw(&mut q, &thing, act.look.form);
    };
    act.inside(pen, act.look.vessel, from.0, from.1, 0.8, |p| {
        heap(p, 1.0 - act.done)
    });
    if act.done > 0.15 {
        act.inside(pen, act.look.target, to.0, to.1, 0.8, |p| heap(p, act.done));
    }
    let phase = act.phase(2.2);
    let go = (phase * TAU * 0.5).sin();
    let tip = (
        from.0 + 0.15 + (to.0 - from.0 - 0.1) * go,
        -0.05 - 0.32 * (go * std::f32::consts::PI).sin(),
    );
    if phase < 0.5 && act.away < 0.4 {
        let mut p = pen.at(tip.0, tip.1 - 0.05, THING_SIZE * 0.62, 0.0);
        things::draw(&mut p, &thing, act.look.form);
    }
    let kind = act.tool_or(Tool::Spatula);
    act.tool(pen, kind, (tip.0 + 0.4, tip.1 + 0.32), tip, None);
    act.right(pen, tip.0 + 0.42, tip.1 + 0.34, Grip::Fist);
    act.left(pen, -1.02, 0.4, Grip::Fist);
}

fn discard(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    act.vessel(pen, Vessel::Bin, -0.05, 0.2, 1.0, State::default());
    let fall = act.phase(1.6);
    let y = -0.62 + 0.5 * fall * fall;
    if act.away < 0.4 {
        let mut p = pen.at(
            -0.03,
            y + act.downward() * 0.5,
            THING_SIZE * (1.15 - 0.5 * fall),
            2.0 * fall,
        );
        things::draw(&mut p, &thing, Form::Whole);
    }
    act.right(pen, 0.32, -0.6 + 0.1 * fall, Grip::Open);
}

fn take(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (x, y) = (-0.02 + 0.06 * act.swing(2.6), -0.1 + 0.05 * act.swing(1.7));
    act.vessel(pen, act.look.vessel, 0.0, 0.25, 0.8, State::default());
    let mut p = pen.at(
        x + act.leftward() * -0.6,
        y,
        THING_SIZE * 1.7,
        0.3 * act.swing(3.1),
    );
    act.object(&mut p, &thing);
    act.right(pen, x + 0.36, y + 0.28, Grip::Fist);
}

fn open(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (x, y) = (-0.1, 0.08);
    {
        let mut p = pen.at(x + act.leftward(), y, THING_SIZE * 1.75, 0.0);
        things::draw(&mut p, &thing, Form::Whole);
    }
    let (s, c) = (act.phase(1.4) * TAU).sin_cos();
    let rim = (x + 0.36 * c, y - 0.26 + 0.14 * s);
    if act.done > 0.3 {
        let mut p = pen.at(
            x + act.leftward() + 0.1,
            y - 0.4 - 0.2 * act.done,
            0.75,
            -0.5 * act.done,
        );
        p.ellipse(0.0, 0.0, 0.42, 0.13, 0.0, Ink::hex(0x8A9299));
        p.ellipse(0.0, -0.01, 0.36, 0.09, 0.0, Ink::hex(0xDDE2E6));
    }
    let kind = act.tool_or(Tool::Tongs);
    act.tool(pen, kind, (rim.0 + 0.42, rim.1 + 0.14), rim, None);
    act.right(pen, rim.0 + 0.42, rim.1 + 0.14, Grip::Fist);
    act.left(pen, x - 0.5, y + 0.3, Grip::Fist);
}

fn secure(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (x, y) = AT;
    act.vessel(pen, act.look.vessel, x, y, 1.05, State::default());
    {
        let mut p = pen.at(x + act.leftward(), y + 0.1, THING_SIZE * 1.5, 0.0);
        things::draw(
            &mut p,
            &Thing {
                shape: Shape::Roll,
                ..thing
            },
            Form::Whole,
        );
    }
    let stab = 0.1 * (act.swing(1.0) * 0.5 + 0.5) * (1.0 - act.done);
    act.tool(
        pen,
        Tool::Toothpick,
        (x + 0.16, y - 0.5 - stab),
        (x + 0.04, y + 0.05 - stab),
        None,
    );
    act.right(pen, x + 0.2, y - 0.48 - stab, Grip::Pinch);
    act.left(pen, x - 0.45, y + 0.25, Grip::Open);
}

fn seal(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (x, y) = (-0.08, 0.12);
    act.vessel(pen, Vessel::Bag, x, y, 1.15, State::default());
    act.inside(pen, Vessel::Bag, x, y, 1.15, |p| {
        p.ellipse(0.0, 0.12, 0.36, 0.34, 0.0, thing.main)
    });
    let slide = -0.42 + 0.84 * act.phase(1.9);
    let top = y - 0.43 * 1.25 * 1.15;
    pen.line(
        (x - 0.46 + act.leftward(), top),
        (x + slide + act.leftward(), top),
        0.035,
        Ink::hex(0x1B3FA8),
    );
    act.right(pen, x + slide + 0.08, top + 0.02, Grip::Pinch);
    act.left(pen, x - 0.58, top + 0.05, Grip::Pinch);
}

/// The reverse of adding: the thing comes out of the vessel and goes off to the right.
fn remove(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (x, y) = (-0.2, 0.12);
    act.vessel(pen, act.look.vessel, x, y, 1.0, State::default());
    let out = (act.phase(2.6) * TAU * 0.5).sin() * (1.0 - act.away);
    let at = (x + 0.6 * out, y - 0.05 - 0.5 * out);
    let mut p = pen.at(
        at.0 + act.leftward() * (1.0 - out),
        at.1,
        THING_SIZE * (1.05 + 0.15 * out),
        0.25 * out,
    );
    things::draw(&mut p, &thing, act.look.form);
    act.right(pen, at.0 + 0.3, at.1 + 0.05, Grip::Pinch);
    act.left(pen, x - 0.55, y + 0.35, Grip::Fist);
}

fn invert(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (x, y) = (-0.05, 0.25);
    act.vessel(pen, Vessel::Plate, x, y, 0.95, State::default());
    let up = 0.2 * (act.swing(1.4) * 0.5 + 0.5) + 0.25 * act.done;
    let mut cake = pen.at(x + act.leftward(), y - 0.02, THING_SIZE * 1.0, 0.0);
    if act.done > 0.2 {
        things::draw(&mut cake, &thing, Form::Whole);
    }
    let mut p = pen.at(x + act.leftward(), y - 0.3 - up, 1.05, std::f32::consts::PI);
    p.poly(
        &[(-0.3, -0.28), (0.3, -0.28), (0.25, 0.28), (-0.25, 0.28)],
        Ink::hex(0xB03A4A),
    );
    p.ring(0.33, 0.0, 0.14, 0.07, Ink::hex(0xB03A4A));
    p.rect(0.0, -0.26, 0.3, 0.04, 0.02, 0.0, Ink::hex(0xF4E9E4));
    act.left(pen, x - 0.36, y - 0.3 - up, Grip::Fist);
    act.right(pen, x + 0.36, y - 0.3 - up, Grip::Fist);
}

/// A verb without a look of its own: both hands move the thing in a way that only this verb has.
fn handle(act: &Act, pen: &mut Pen, kind: u8) {
    let thing = act.thing();
    let (x, y) = AT;
    act.vessel(pen, act.look.vessel, x, y + 0.1, 1.0, State::default());
    let fast = if kind & 1 == 0 { 0.8 } else { 2.0 };
    let wide = if kind & 2 == 0 {
        (0.3, 0.0)
    } else {
        (0.0, 0.25)
    };
    let turn = if kind & 4 == 0 { 0.0 } else { 0.9 };
    let (dx, dy) = (wide.0 * act.swing(fast), wide.1 * act.swing(fast));
    {
        let mut p = pen.at(
            x + dx + act.leftward(),
            y + dy,
            THING_SIZE * 1.4,
            turn * act.swing(fast * 1.3),
        );
        things::draw(&mut p, &thing, act.look.form);
    }
    if act.look.tool != Tool::Hand {
        act.tool(
            pen,
            act.look.tool,
            (x + dx + 0.5, y + dy + 0.15),
            (x + dx + 0.1, y + dy - 0.05),
            None,
        );
    }
    act.left(pen, x + dx - 0.42, y + dy + 0.18, Grip::Fist);
    act.right(pen, x + dx + 0.48, y + dy + 0.18, Grip::Fist);
}

/// Idle hands: clearly without anything of a step. `kind` picks what they do, `clock_s` drives it.
pub(in crate::synth) fn idle(act: &Act, pen: &mut Pen, kind: usize) {
    let hands = |pen: &mut Pen, left: (f32, f32), right: (f32, f32), grip| {
        hand(
            pen,
            act.person,
            Hand {
                side: -1.0,
                away: act.away,
            },
            left.0,
            left.1,
            grip,
        );
        hand(
            pen,
            act.person,
            Hand {
                side: 1.0,
                away: act.away,
            },
            right.0,
            right.1,
            grip,
        );
    };
    match kind {
        0 => {}
        1 => hands(
            pen,
            (-0.55, 0.6 + 0.02 * act.swing(3.0)),
            (0.55, 0.62 + 0.02 * act.swing(2.7)),
            Grip::Open,
        ),
        2 => {
            // Scratches one hand with the other.
            let rub = 0.05 * act.swing(0.6);
            hands(pen, (-0.08, 0.6), (0.1 + rub, 0.5 + rub), Grip::Open);
        }
        3 => {
            // Wipes the worktop with a sponge.
            let at = (0.15 + 0.45 * act.swing(1.7), 0.3 + 0.12 * act.swing(0.85));
            pen.rect(
                at.0,
                at.1 + act.away * 1.7,
                0.15,
                0.09,
                0.03,
                0.2,
                Ink::hex(0xF2D94A),
            );
            hand(
                pen,
                act.person,
                Hand {
                    side: 1.0,
                    away: act.away,
                },
                at.0 + 0.05,
                at.1,
                Grip::Open,
            );
        }
        4 => {
            // Drinks: a glass comes towards the camera.
            let up = act.swing(4.0) * 0.5 + 0.5;
            let y = 0.75 - 0.25 * up + act.away * 1.7;
            pen.rect(0.32, y, 0.17, 0.26, 0.05, 0.0, Ink::hex(0xDDEAF0).fade(0.8));
            pen.rect(
                0.32,
                y + 0.06,
                0.14,
                0.18,
                0.04,
                0.0,
                Ink::hex(0xEFF8FF).fade(0.7),
            );
            hand(
                pen,
                act.person,
                Hand {
                    side: 1.0,
                    away: act.away,
                },
                0.44,
                y + 0.08 - act.away * 1.7,
                Grip::Fist,
            );
        }
        _ => {
            let (s, c) = (act.clock_s * 0.9).sin_cos();
            hands(
                pen,
                (-0.6 + 0.1 * c, 0.55 + 0.1 * s),
                (0.5 + 0.15 * s, 0.6 + 0.08 * c),
                Grip::Fist,
            );
        }
    }
}

/// A step in progress elsewhere: small, at the back.
pub(in crate::synth) fn aside(act: &Act, pen: &mut Pen) {
    let mut p = pen.at(-0.98, -0.5, 0.42, 0.0);
    let vessel = act.look.vessel;
    let fire = matches!(act.look.action, Action::Cook | Action::Heat | Action::Boil);
    vessels::draw(
        &mut p,
        vessel,
        State {
            running: true,
            flame: if fire { act.look.flame } else { 0.0 },
            clock_s: act.clock_s,
        },
    );
    if let Some(thing) = act.look.thing {
        let mut q = p.at(0.0, 0.0, 0.6, 0.0);
        things::draw(&mut q, &thing, act.look.form);
    }
}
