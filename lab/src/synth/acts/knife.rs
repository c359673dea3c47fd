//! Cutting, tearing, peeling.

use super::{Act, THING_SIZE};
use crate::synth::canvas::{Ink, Pen};
use crate::synth::hands::Grip;
use crate::synth::lexicon::{Tool, Vessel};
use crate::synth::things;
use crate::synth::vessels::State;
use crate::synth::words::{Action, Form};

const BOARD_AT: (f32, f32) = (-0.08, 0.0);

pub(super) fn draw(act: &Act, pen: &mut Pen) {
    match act.look.action {
        Action::Peel => peel(act, pen),
        Action::Tear => tear(act, pen),
        Action::Grate => grate(act, pen),
        Action::Spiralize => spiralize(act, pen),
        Action::Snip => snip(act, pen),
        _ => cut(act, pen),
    }
}

/// What is still whole at the left, what is cut at the right, the knife between.
fn cut(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let (bx, by) = BOARD_AT;
    act.vessel(pen, Vessel::Board, bx, by, 1.05, State::default());
    let dx = bx + act.leftward();
    let chop = act.look.action == Action::Chop;
    let whole = 1.0 - 0.45 * act.done;
    {
        let mut p = pen.at(dx - 0.34, by + 0.05, THING_SIZE * 1.35 * whole, 0.0);
        things::draw(&mut p, &thing, act.look.form);
    }
    {
        let mut p = pen.at(dx + 0.44, by + 0.06, THING_SIZE * 1.3, 0.0);
        match act.look.action {
            Action::Chop => things::pieces(
                &mut p,
                &thing,
                5 + (act.done * 22.0) as usize,
                0.2 + 0.26 * act.done,
            ),
            Action::Slice => things::slices(&mut p, &thing, 1 + (act.done * 5.0) as usize),
            _ => {
                for (i, y) in [-0.2f32, 0.22].into_iter().enumerate() {
                    if act.done > 0.15 + 0.3 * i as f32 {
                        p.ellipse(0.0, y, 0.34, 0.2, 0.0, thing.main.lit(0.75));
                        p.ellipse(0.0, y - 0.02, 0.29, 0.155, 0.0, thing.second);
                    }
                }
            }
        }
    }
    let (period, lift) = match act.look.action {
        Action::Chop => (0.45, 0.22),
        Action::Slice => (0.9, 0.3),
        _ => (1.5, 0.38),
    };
    let up = (act.swing(period) * 0.5 + 0.5) * lift;
    let slide = if act.look.action == Action::Slice {
        0.12 * act.swing(period * 0.5)
    } else {
        0.0
    };
    let tip = (-0.02 + slide, by - 0.3 - up);
    let hold = (0.42 + slide, by + 0.3 - up * if chop { 1.6 } else { 1.0 });
    act.tool(pen, Tool::Knife, hold, tip, None);
    act.right(pen, hold.0, hold.1, Grip::Fist);
    act.left(pen, dx - 0.62 + 0.2 * act.done, by + 0.22, Grip::Open);
}

fn peel(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    let y = -0.05;
    let stroke = act.phase(1.1);
    for i in 0..(act.done * 9.0) as usize {
        let x = -0.5 + 0.14 * i as f32;
        let mut p = pen.at(
            x + act.leftward(),
            0.62 + 0.06 * (i as f32 * 2.0).sin(),
            0.9,
            i as f32,
        );
        p.line((-0.1, 0.0), (0.1, 0.03), 0.045, thing.main.lit(0.9));
        p.line((0.1, 0.03), (0.16, -0.06), 0.045, thing.main.lit(0.8));
    }
    {
        let mut p = pen.at(
            -0.15 + act.leftward(),
            y,
            THING_SIZE * 1.55,
            0.15 * act.swing(2.2),
        );
        things::draw(&mut p, &thing, Form::Whole);
        // The peeled part shows the inside.
        let bare = 0.12 + 0.22 * act.done;
        p.ellipse(0.08, 0.03, bare, bare * 0.8, 0.2, thing.second);
    }
    act.left(pen, -0.52, y + 0.3, Grip::Fist);
    let tip = (0.02 + 0.12 * stroke, y - 0.35 + 0.62 * stroke);
    let hold = (tip.0 + 0.34, tip.1 + 0.12);
    let strip = 0.3 * stroke;
    pen.line(
        (tip.0 - 0.02, tip.1),
        (tip.0 + 0.06, tip.1 - strip),
        0.045,
        thing.main.fade(if act.away > 0.3 { 0.0 } else { 1.0 }),
    );
    act.tool(pen, Tool::Peeler, hold, tip, None);
    act.right(pen, hold.0 + 0.04, hold.1, Grip::Fist);
}

fn tear(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    act.vessel(pen, act.look.vessel, 0.0, 0.05, 1.05, State::default());
    let apart = 0.14 + 0.2 * (act.swing(1.6) * 0.5 + 0.5) * (1.0 - act.away);
    {
        let mut p = pen.at(act.leftward(), 0.25, THING_SIZE, 0.0);
        things::pieces(&mut p, &thing, (act.done * 16.0) as usize, 0.5);
    }
    for side in [-1.0, 1.0] {
        let mut p = pen.at(
            side * apart + act.leftward(),
            -0.12,
            THING_SIZE * 0.85,
            side * 0.4,
        );
        things::draw(&mut p, &thing, Form::Whole);
    }
    act.left(pen, -apart - 0.2, 0.0, Grip::Pinch);
    act.right(pen, apart + 0.2, 0.0, Grip::Pinch);
}

fn grate(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    act.vessel(pen, act.look.vessel, 0.0, 0.05, 1.05, State::default());
    {
        let mut p = pen.at(act.leftward(), 0.35, THING_SIZE, 0.0);
        things::pieces(&mut p, &thing, 4 + (act.done * 20.0) as usize, 0.5);
    }
    act.tool(pen, Tool::Grater, (-0.6, 0.1), (-0.05, -0.15), None);
    let x = 0.25 * act.swing(0.8);
    let mut p = pen.at(x + act.leftward(), -0.2, THING_SIZE * 0.9, 0.0);
    things::draw(&mut p, &thing, Form::Whole);
    act.left(pen, -0.65, 0.2, Grip::Fist);
    act.right(pen, x + 0.2, -0.1, Grip::Fist);
}

fn spiralize(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    act.vessel(
        pen,
        Vessel::Spiralizer,
        0.0,
        0.0,
        1.0,
        State {
            running: true,
            ..State::default()
        },
    );
    let dx = act.leftward();
    {
        let mut p = pen.at(dx + 0.12, -0.1, THING_SIZE * (1.1 - 0.5 * act.done), 0.2);
        things::draw(&mut p, &thing, Form::Whole);
    }
    for i in 0..(2 + (act.done * 12.0) as usize) {
        let x = dx - 0.75 + 0.04 * i as f32;
        let wave = 0.1 * (i as f32 * 1.3 + act.clock_s * 3.0).sin();
        pen.line((dx - 0.4, -0.05), (x, 0.35 + wave), 0.025, thing.second);
        pen.line(
            (x, 0.35 + wave),
            (x - 0.14, 0.55),
            0.03,
            thing.main.blend(Ink::hex(0xFFFFFF), 0.2),
        );
    }
    let (s, c) = (act.phase(1.05) * std::f32::consts::TAU).sin_cos();
    act.right(pen, 0.58 + 0.18 * c, -0.1 + 0.18 * s, Grip::Fist);
    act.left(pen, -0.1, 0.3, Grip::Open);
}

fn snip(act: &Act, pen: &mut Pen) {
    let thing = act.thing();
    act.vessel(pen, act.look.vessel, -0.15, 0.05, 1.0, State::default());
    act.inside(pen, act.look.vessel, -0.15, 0.05, 1.0, |p| {
        things::pieces(p, &thing, 10, 0.3)
    });
    let close = act.swing(0.7) * 0.08;
    act.tool(pen, Tool::Scissors, (0.72, 0.35 + close), (0.24, 0.4), None);
    act.right(pen, 0.78, 0.38 + close, Grip::Fist);
    act.left(pen, -0.62, 0.2, Grip::Fist);
}
