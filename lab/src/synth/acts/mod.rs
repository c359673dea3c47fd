//! What the hands do: one way of moving for each class of verbs, on a stage two units high.
//!
//! The container stands in the middle and fills about half of the picture, the thing in hand a
//! quarter of its width; verbs differ by tool, by motion and by what is around.

mod bowl;
mod fire;
mod knife;
mod rest;

pub(super) use rest::{aside, idle};

use std::f32::consts::TAU;

use super::canvas::{Ink, Pen};
use super::hands::{Grip, Hand, Person, hand, tool};
use super::lexicon::{Shape, Thing, Tool, Vessel};
use super::things;
use super::vessels::{self, State};
use super::words::{Action, Form, Look};

/// Size of the vessel in the middle.
const VESSEL_SIZE: f32 = 1.25;
/// Size of the thing in hand.
const THING_SIZE: f32 = 0.6;
/// Size of the thing that stands beside the vessel.
const CARD_SIZE: f32 = 0.68;

/// One moment of a step on stage.
#[derive(Clone, Copy)]
pub struct Act<'a> {
    /// What the step looks like.
    pub look: &'a Look,
    /// Who does it.
    pub person: &'a Person,
    /// Seconds since it began.
    pub clock_s: f32,
    /// Part of it that is done, 0 to 1.
    pub done: f32,
    /// Objects are being brought (0: not there yet, 1: in place).
    pub brought: f32,
    /// Hands are drawn back (0: at work, 1: out of sight).
    pub away: f32,
    /// How much of a mistake shows, 0 to 1.
    pub slip: f32,
    /// What was put into this vessel before.
    pub before: &'a [Thing],
    /// Pace of this person's motions, about 1.
    pub pace: f32,
}

/// Draws the step: vessel, things, tools, hands.
pub fn draw(act: &Act, pen: &mut Pen) {
    match act.look.action {
        Action::Cut
        | Action::Slice
        | Action::Chop
        | Action::Tear
        | Action::Grate
        | Action::Spiralize
        | Action::Peel
        | Action::Snip => knife::draw(act, pen),
        Action::Stir
        | Action::Whisk
        | Action::Pour
        | Action::Drizzle
        | Action::Add
        | Action::Place
        | Action::Sprinkle
        | Action::Crack
        | Action::Squeeze
        | Action::Spread
        | Action::Measure
        | Action::Weigh
        | Action::Cover => bowl::draw(act, pen),
        Action::Microwave
        | Action::Heat
        | Action::Cook
        | Action::Boil
        | Action::Flip
        | Action::Knob
        | Action::Lift
        | Action::Blend
        | Action::Grind
        | Action::Check => fire::draw(act, pen),
        _ => rest::draw(act, pen),
    }
    if act.slip > 0.0 {
        spill(act, pen);
    }
}

impl Act<'_> {
    /// Phase of a motion of this period, 0 to 1.
    fn phase(&self, period_s: f32) -> f32 {
        (self.clock_s * self.pace / period_s).rem_euclid(1.0)
    }

    /// Swings between -1 and 1.
    fn swing(&self, period_s: f32) -> f32 {
        (self.phase(period_s) * TAU).sin()
    }

    /// Where what comes from the left is now, relative to its place.
    fn leftward(&self) -> f32 {
        -2.3 * (1.0 - self.brought)
    }

    /// Where what comes from below is now, relative to its place.
    fn downward(&self) -> f32 {
        1.7 * (1.0 - self.brought)
    }

    /// The tool that the words name, or this one where they name none.
    fn tool_or(&self, other: Tool) -> Tool {
        match self.look.tool {
            Tool::Hand => other,
            named => named,
        }
    }

    /// The thing, or a neutral one where the words name none.
    fn thing(&self) -> Thing {
        self.look.thing.unwrap_or(Thing {
            shape: Shape::Puddle,
            main: Ink::hex(0xBFA77A),
            second: Ink::hex(0xD9C7A0),
        })
    }

    fn right(&self, pen: &mut Pen, x: f32, y: f32, grip: Grip) {
        hand(
            pen,
            self.person,
            Hand {
                side: 1.0,
                away: self.away,
            },
            x,
            y + self.downward() * 0.5,
            grip,
        );
    }

    fn left(&self, pen: &mut Pen, x: f32, y: f32, grip: Grip) {
        hand(
            pen,
            self.person,
            Hand {
                side: -1.0,
                away: self.away,
            },
            x,
            y + self.downward() * 0.5,
            grip,
        );
    }

    /// A tool in the right hand; put down beside the vessel when the hands are away.
    fn tool(
        &self,
        pen: &mut Pen,
        kind: Tool,
        from: (f32, f32),
        tip: (f32, f32),
        fill: Option<Ink>,
    ) {
        let lie = self.away.min(1.0);
        let mix = |a: f32, b: f32| a + (b - a) * lie;
        let from = (mix(from.0, 1.15), mix(from.1, 0.62));
        let tip = (mix(tip.0, 0.75), mix(tip.1, 0.3));
        let dy = self.downward() * 0.5;
        tool(pen, kind, (from.0, from.1 + dy), (tip.0, tip.1 + dy), fill);
    }

    /// The vessel in the middle with what is in it, at (x, y), `size` times its usual size.
    fn vessel(&self, pen: &mut Pen, vessel: Vessel, x: f32, y: f32, size: f32, state: State) {
        let mut p = pen.at(x + self.leftward(), y, VESSEL_SIZE * size, 0.0);
        vessels::draw(
            &mut p,
            vessel,
            State {
                clock_s: self.clock_s,
                ..state
            },
        );
        remains(&mut p, vessel, self.before);
    }

    /// Something lying in the vessel that stands at (x, y).
    fn inside(
        &self,
        pen: &mut Pen,
        vessel: Vessel,
        x: f32,
        y: f32,
        size: f32,
        draw: impl FnOnce(&mut Pen),
    ) {
        let (cx, cy, scale) = spot(vessel);
        let grown = VESSEL_SIZE * size;
        let mut p = pen.at(
            x + self.leftward() + cx * grown,
            y + cy * grown,
            grown * scale,
            0.0,
        );
        draw(&mut p);
    }

    /// What is handled: a vessel where the words say so, or the thing.
    fn object(&self, pen: &mut Pen, thing: &Thing) {
        match self.look.carried {
            Some(vessel) => vessels::draw(pen, vessel, State::default()),
            None => things::draw(pen, thing, self.look.form),
        }
    }

    /// The thing itself, large at the left with a hand at it, so that it can be seen what is being
    /// used.
    fn card(&self, pen: &mut Pen, thing: &Thing, form: Form) {
        let (x, y) = (-0.9, 0.22);
        {
            let mut p = pen.at(x, y + self.downward(), CARD_SIZE, 0.0);
            things::draw(&mut p, thing, form);
        }
        self.left(pen, x + 0.06, y + 0.36, Grip::Pinch);
    }
}

/// Middle and width of the room within a vessel, in its own units.
fn spot(vessel: Vessel) -> (f32, f32, f32) {
    match vessel {
        Vessel::Microwave | Vessel::Oven => (-0.17, 0.05, 0.62),
        Vessel::Blender => (0.0, 0.08, 0.5),
        Vessel::Dripper => (0.0, -0.41, 0.6),
        Vessel::Bag => (0.0, 0.12, 0.6),
        Vessel::Measure => (0.0, 0.15, 0.6),
        Vessel::Scale => (0.0, -0.1, 0.6),
        Vessel::Kettle => (0.0, -0.08, 0.4),
        Vessel::Grinder => (0.0, -0.2, 0.4),
        other => (0.0, 0.0, 2.0 * vessels::inner_radius(other)),
    }
}

/// What earlier steps left in a vessel: spots in their colours.
fn remains(pen: &mut Pen, vessel: Vessel, before: &[Thing]) {
    const SHOWN_MAX: usize = 6;
    let (x, y, size) = spot(vessel);
    let mut p = pen.at(x, y, size, 0.0);
    for (i, thing) in before.iter().rev().take(SHOWN_MAX).enumerate() {
        let (s, c) = (i as f32 * TAU / SHOWN_MAX as f32 + 0.4).sin_cos();
        if thing.shape == Shape::Puddle {
            p.disc(0.0, 0.0, 0.42 - 0.03 * i as f32, thing.main.fade(0.8));
        } else {
            for k in 0..3 {
                let r = 0.3 + 0.07 * k as f32;
                p.disc(
                    r * c + 0.05 * k as f32,
                    r * s - 0.04 * k as f32,
                    0.05,
                    if k == 1 { thing.second } else { thing.main },
                );
            }
        }
    }
}

/// A stream from (x0, y0) down to (x1, y1), with moving ripples.
fn stream(pen: &mut Pen, from: (f32, f32), to: (f32, f32), width: f32, ink: Ink, clock_s: f32) {
    pen.line(from, to, width, ink);
    for i in 0..4 {
        let t = (i as f32 / 4.0 + clock_s * 1.7).fract();
        let x = from.0 + (to.0 - from.0) * t;
        let y = from.1 + (to.1 - from.1) * t;
        pen.disc(
            x + width * 0.5 * (i as f32 * 2.0).sin(),
            y,
            width * 0.6,
            ink.lit(1.25),
        );
    }
    pen.ellipse(to.0, to.1, width * 2.4, width * 1.3, 0.0, ink.lit(1.12));
}

/// Vapour that rises and fades.
fn steam(pen: &mut Pen, x: f32, y: f32, strength: f32, clock_s: f32) {
    for i in 0..7 {
        let t = (clock_s * 0.5 + i as f32 / 7.0).fract();
        let sway = 0.12 * (t * 7.0 + i as f32).sin();
        pen.disc(
            x + sway + 0.16 * (i as f32 - 3.0) / 3.0,
            y - 0.75 * t,
            0.06 + 0.1 * t,
            Ink::hex(0xFFFFFF).fade(strength * 0.4 * (1.0 - t)),
        );
    }
}

/// Blots of a spill: place and radius.
const BLOTS: [(f32, f32, f32); 10] = [
    (0.0, 0.0, 0.25),
    (0.24, 0.06, 0.16),
    (-0.22, 0.08, 0.17),
    (0.1, -0.17, 0.14),
    (-0.1, 0.2, 0.12),
    (0.4, -0.12, 0.06),
    (-0.4, -0.06, 0.07),
    (0.22, 0.3, 0.06),
    (-0.3, 0.28, 0.05),
    (0.46, 0.16, 0.05),
];

/// A visible mistake: something is spilt in the thing's colour, with drops around.
fn spill(act: &Act, pen: &mut Pen) {
    let ink = things::content(&act.thing());
    let mut p = pen.at(0.62, 0.62, 0.95 * act.slip.sqrt(), 0.3);
    for (x, y, r) in BLOTS {
        p.disc(x, y, r + 0.025, Ink::hex(0x1C1210).fade(0.55));
    }
    for (x, y, r) in BLOTS {
        p.disc(x, y, r, ink);
    }
    p.ellipse(-0.05, -0.06, 0.1, 0.05, -0.4, Ink::hex(0xFFFFFF).fade(0.4));
}
