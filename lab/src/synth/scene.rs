//! The camera's picture of an episode at a time: worktop, stage, things done before, light and
//! noise.

use std::f32::consts::TAU;

use super::acts::{self, Act};
use super::canvas::{Canvas, Ink, Pen};
use super::conditions::Hardships;
use super::episode::Episode;
use super::hands::{Grip, Hand, Person, hand};
use super::lexicon::{Thing, Vessel};
use super::stage::{Moment, Stage};
use super::things;
use super::words::{Form, Look, look};
use proact::rng::{Rng, mix};
use proact::stream::Picture;

/// Half height of the stage in stage units; its width follows from the picture's.
const STAGE_HALF: f32 = 1.0;
/// Half width that is always to be seen.
const STAGE_HALF_WIDE: f32 = 4.0 / 3.0;
/// How much of the mistake's half passes until it shows in full.
const SLIP_RISE: f32 = 0.12;
/// The mistake begins at this part of the step.
const SLIP_AT: f32 = 0.45;
/// Things done before that are kept in sight.
const SHELF_MAX: usize = 14;

/// The camera's exposure: what moves meanwhile is blurred, in seconds.
const EXPOSURE_S: f32 = 0.06;

const WORKTOPS: [u32; 8] = [
    0xCBB391, 0x8C7B6A, 0xD9D6CF, 0x6E7277, 0xB8A99A, 0x9DB0B5, 0x7A5C43, 0xE4DCCB,
];

/// A further rendering shows the person and the kitchen of a number this much higher.
const STRANGERS_FROM: u64 = 1000;

/// What stays the same through an episode.
pub struct Scene {
    stage: Stage,
    looks: Vec<Look>,
    mistakes: Vec<bool>,
    person: Person,
    worktop: Ink,
    wall: Ink,
    texture: usize,
    light: Light,
    hardships: Hardships,
    camera: [f32; 12],
    fixed_camera: bool,
    pace: f32,
    seed: u64,
}

struct Light {
    gain: [f32; 3],
    slope_x: f32,
    slope_y: f32,
    flicker: f32,
    noise: f32,
}

impl Scene {
    /// Sets the scene of an episode.
    pub fn new(episode: &Episode) -> Self {
        let mut rng = Rng::new(episode.seed, "scene");
        // Nobody in the recordings has a number that high.
        let stranger = episode.rendering * STRANGERS_FROM;
        let mut kitchen = Rng::new(episode.environment + stranger, "environment");
        let person = Person::new(episode.person + stranger, &mut rng);
        let worktop =
            Ink::hex(WORKTOPS[kitchen.remainder(WORKTOPS.len())]).lit(rng.range(0.85, 1.1));
        let wall = worktop.blend(Ink::hex(0x3B4654), kitchen.range(0.35, 0.7));
        let warm = kitchen.range(-0.07, 0.07);
        let bright = rng.range(0.88, 1.1);
        let light = Light {
            gain: [bright * (1.0 + warm), bright, bright * (1.0 - warm)],
            slope_x: rng.range(-0.16, 0.16),
            slope_y: rng.range(-0.12, 0.12),
            flicker: rng.range(0.0, 0.02),
            noise: rng.range(2.0, 7.0),
        };
        let steps = episode.task.steps.iter().map(|step| &step.name);
        // As the stage numbers them.
        let names = steps.chain(episode.hardships.asides.iter().map(|aside| &aside.name));
        let looks: Vec<Look> = names.map(|name| jitter(look(name), &mut rng)).collect();
        let mut mistakes: Vec<bool> = episode.doings.iter().map(|d| d.mistake.is_some()).collect();
        mistakes.resize(looks.len(), false);
        let mut camera = [0.0; 12];
        camera.iter_mut().for_each(|c| *c = rng.range(0.0, TAU));
        Self {
            stage: Stage::new(episode),
            looks,
            mistakes,
            hardships: episode.hardships.clone(),
            person,
            worktop,
            wall,
            texture: kitchen.remainder(4),
            light,
            camera,
            fixed_camera: episode.fixed_camera,
            pace: rng.range(0.85, 1.2),
            seed: episode.seed,
        }
    }

    /// The picture at a time, in seconds of the video.
    pub fn render(&self, at_s: f64, width: u32, height: u32) -> Picture {
        let at_s = self.hardships.seen_at(at_s);
        let mut canvas = Canvas::new(width as usize, height as usize);
        let moment = self.stage.at(at_s);
        let (dx, dy, zoom, angle) = self.camera_at(at_s as f32);
        let fit = (height as f32 * 0.5 / STAGE_HALF).min(width as f32 * 0.5 / STAGE_HALF_WIDE);
        let scale = fit * zoom;
        let (cx, cy) = (
            width as f32 * 0.5 + dx * fit,
            height as f32 * 0.5 + dy * fit,
        );
        self.worktop(&mut canvas, (cx, cy), scale, angle, at_s);
        {
            let mut pen = Pen::new(&mut canvas, cx, cy, scale, angle);
            self.shelf(&mut pen, at_s, &moment);
            self.play(&mut pen, &moment, at_s);
            self.occlude(&mut pen, at_s);
        }
        let blur = self.glance(at_s as f32) - self.glance(at_s as f32 - EXPOSURE_S);
        smear(&mut canvas, (blur.abs() * 0.5 * fit) as usize);
        self.finish(&mut canvas, at_s);
        canvas.into_picture()
    }

    /// Sway of the head: shift, zoom, angle; sums of slow sines, and now and then a quick look
    /// aside.
    fn camera_at(&self, t: f32) -> (f32, f32, f32, f32) {
        if self.fixed_camera {
            return (0.0, 0.0, 1.0, 0.0);
        }
        let c = &self.camera;
        let wave = |i: usize, speed: f32| {
            (t * speed + c[i]).sin() * 0.6 + (t * speed * 2.3 + c[i + 1]).sin() * 0.4
        };
        let glance = self.glance(t);
        (
            0.035 * wave(0, 0.9) + 0.5 * glance,
            0.03 * wave(2, 0.7) + 0.12 * glance.abs(),
            1.0 + 0.03 * wave(4, 0.35),
            0.035 * wave(6, 0.5) + 0.1 * glance,
        )
    }

    /// A look aside, only while nothing is being done: -1 to 1, mostly 0.
    fn glance(&self, t: f32) -> f32 {
        let moment = self.stage.at(f64::from(t));
        if self.fixed_camera || moment.step.is_some() || moment.idle_s < 1.5 {
            return 0.0;
        }
        let slot = (t / 3.0) as u64;
        let draw = mix(self.seed ^ slot ^ 0x91A4);
        let within = (t / 3.0).fract();
        let side = if draw & 8 == 0 { 1.0 } else { -1.0 };
        if draw.is_multiple_of(3) {
            side * (within * std::f32::consts::PI).sin()
        } else {
            0.0
        }
    }

    fn play(&self, pen: &mut Pen, moment: &Moment, at_s: f64) {
        let Some(step) = moment.step else {
            let slot = (moment.idle_s / 4.0) as u64;
            let kind = mix(self.seed ^ slot ^ (at_s as u64 / 16) << 8) % 7;
            let rise = ((moment.idle_s as f32 - slot as f32 * 4.0) / 0.5).min(1.0);
            let fall = ((slot as f32 * 4.0 + 4.0 - moment.idle_s as f32) / 0.5).min(1.0);
            let look = look("Wait");
            let act = self.act(&look, moment, at_s as f32, &[], 0.0);
            let away = 1.0 - rise.min(fall);
            acts::idle(&Act { away, ..act }, pen, kind as usize);
            return;
        };
        let index = usize::from(step.0);
        let look = &self.looks[index];
        if let Some(aside) = moment.aside {
            let other = &self.looks[usize::from(aside.0)];
            acts::aside(&self.act(other, moment, at_s as f32, &[], 0.0), pen);
        }
        let slip = if self.mistakes[index] && moment.away < 1.0 {
            ((moment.done - SLIP_AT) / SLIP_RISE).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let before = self.before(at_s, look.vessel);
        let act = self.act(look, moment, moment.clock_s as f32, &before, slip);
        acts::draw(&act, pen);
    }

    fn act<'a>(
        &'a self,
        look: &'a Look,
        moment: &Moment,
        clock_s: f32,
        before: &'a [Thing],
        slip: f32,
    ) -> Act<'a> {
        Act {
            look,
            person: &self.person,
            clock_s,
            done: moment.done,
            brought: moment.brought,
            away: moment.away,
            slip,
            before,
            pace: self.pace,
        }
    }

    /// Things that earlier steps put into this vessel.
    fn before(&self, at_s: f64, vessel: Vessel) -> Vec<Thing> {
        let keeps = |v: Vessel| {
            !matches!(
                v,
                Vessel::Board
                    | Vessel::Worktop
                    | Vessel::Sink
                    | Vessel::Bin
                    | Vessel::Scale
                    | Vessel::Microwave
                    | Vessel::Measure
                    | Vessel::Kettle
            )
        };
        if !keeps(vessel) {
            return Vec::new();
        }
        let over = self.stage.over(at_s);
        let looks = over.iter().map(|id| &self.looks[usize::from(id.0)]);
        looks
            .filter(|l| l.target == vessel)
            .filter_map(|l| l.thing)
            .collect()
    }

    /// What was done stands small along the back, as a trace of each step.
    fn shelf(&self, pen: &mut Pen, at_s: f64, moment: &Moment) {
        let over = self.stage.over(at_s);
        let skip = over.len().saturating_sub(SHELF_MAX);
        for (i, id) in over.iter().enumerate().skip(skip) {
            if moment.step == Some(*id) {
                continue;
            }
            let look = &self.looks[usize::from(id.0)];
            let Some(thing) = look.thing else { continue };
            let x = -1.2 + 2.4 * (i % SHELF_MAX) as f32 / (SHELF_MAX - 1) as f32;
            let y = -0.86 + 0.04 * ((i as f32) * 1.9).sin();
            let mut p = pen.at(x, y, 0.17, 0.0);
            p.disc(0.0, 0.1, 0.55, Ink::hex(0xEDE9E0).lit(0.9));
            things::draw(
                &mut p,
                &thing,
                if look.vessel == Vessel::Board {
                    Form::Pieces
                } else {
                    look.form
                },
            );
        }
    }

    /// Sometimes an arm passes before the camera, for less than a second.
    fn occlude(&self, pen: &mut Pen, at_s: f64) {
        const EVERY_S: f64 = 7.0;
        const PASS_S: f64 = 0.7;
        let slot = (at_s / EVERY_S) as u64;
        let draw = mix(self.seed ^ slot ^ 0x0CC1);
        let within = at_s - slot as f64 * EVERY_S - (draw % 5) as f64;
        if draw.is_multiple_of(4) && (0.0..PASS_S).contains(&within) {
            let x = -1.5 + 3.0 * (within / PASS_S) as f32;
            hand(
                pen,
                &self.person,
                Hand {
                    side: 1.0,
                    away: 0.0,
                },
                x * 0.6,
                0.35,
                Grip::Open,
            );
        }
    }

    /// Fills the worktop with its texture, which moves with the camera.
    fn worktop(&self, canvas: &mut Canvas, centre: (f32, f32), scale: f32, angle: f32, at_s: f64) {
        let width = canvas.width();
        let (sin, cos) = (-angle).sin_cos();
        let inverse = 1.0 / scale;
        let flicker = 1.0 + self.light.flicker * (at_s as f32 * 37.0 + self.camera[8]).sin();
        let top = self.worktop.rgb.map(|c| c * 255.0);
        let wall = self.wall.rgb.map(|c| c * 255.0);
        for (y, row) in canvas.pixels_mut().chunks_exact_mut(width * 3).enumerate() {
            let py = (y as f32 + 0.5 - centre.1) * inverse;
            for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
                let px = (x as f32 + 0.5 - centre.0) * inverse;
                let (u, v) = (px * cos - py * sin, px * sin + py * cos);
                let base = if v < -0.72 { wall } else { top };
                let grain = texture(self.texture, u, v);
                let light =
                    flicker * grain * (1.0 + self.light.slope_x * px + self.light.slope_y * py);
                for ((value, base), gain) in pixel.iter_mut().zip(base).zip(self.light.gain) {
                    *value = (base * light * gain).clamp(0.0, 255.0) as u8;
                }
            }
        }
    }

    /// The sensor: noise of this episode's strength, and light on everything that was drawn.
    fn finish(&self, canvas: &mut Canvas, at_s: f64) {
        let strength = (self.light.noise * 256.0 / 128.0) as i32;
        let mut state = mix(self.seed ^ (at_s * 1000.0) as u64);
        let gain = self
            .light
            .gain
            .map(|g| (g.sqrt() * self.hardships.light * 256.0) as i32);
        for pixel in canvas.pixels_mut().chunks_exact_mut(3) {
            // xorshift: noise needs speed, not quality.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let noise = [
                (state & 0xFF) as i32,
                (state >> 8 & 0xFF) as i32,
                (state >> 16 & 0xFF) as i32,
            ];
            let grey = (state >> 24 & 0xFF) as i32;
            for ((value, noise), gain) in pixel.iter_mut().zip(noise).zip(gain) {
                let shift = ((noise + grey - 255) * strength) >> 9;
                *value = (((i32::from(*value) * gain) >> 8) + shift).clamp(0, 255) as u8;
            }
        }
    }
}

/// Blurs along rows, as a quick turn of the head does, over `2 * reach + 1` pixels.
fn smear(canvas: &mut Canvas, reach: usize) {
    if reach == 0 {
        return;
    }
    let width = canvas.width();
    let mut row_before = vec![0u8; width * 3];
    for row in canvas.pixels_mut().chunks_exact_mut(width * 3) {
        row_before.copy_from_slice(row);
        for x in 0..width {
            let near = x.saturating_sub(reach)..(x + reach + 1).min(width);
            let count = near.len() as u32;
            for channel in 0..3 {
                let sum: u32 = near
                    .clone()
                    .map(|i| u32::from(row_before[i * 3 + channel]))
                    .sum();
                row[x * 3 + channel] = (sum / count) as u8;
            }
        }
    }
}

/// Brightness of the worktop at a place: speckles, planks, tiles or plain.
fn texture(kind: usize, u: f32, v: f32) -> f32 {
    let cell = |scale: f32| {
        let (i, j) = ((u * scale).floor() as i64, (v * scale).floor() as i64);
        (mix((i as u64) ^ ((j as u64) << 32)) & 0xFF) as f32 / 255.0 - 0.5
    };
    match kind {
        0 => 1.0 + 0.10 * cell(26.0),
        1 => {
            let plank = (v * 4.0).floor();
            let line = if (v * 4.0 - plank) < 0.06 { -0.16 } else { 0.0 };
            1.0 + line + 0.05 * (u * 9.0 + plank * 2.1 + (v * 31.0).sin()).sin()
        }
        2 => {
            let (a, b) = ((u * 2.6).rem_euclid(1.0), (v * 2.6).rem_euclid(1.0));
            if a < 0.045 || b < 0.045 {
                0.84
            } else {
                1.0 + 0.03 * cell(2.6)
            }
        }
        _ => 1.0 + 0.03 * (u * 3.0 + (v * 4.0).sin()).sin(),
    }
}

/// Colours differ a little between kitchens; kinds do not.
fn jitter(mut look: Look, rng: &mut Rng) -> Look {
    let mut shift = |thing: &mut Thing| {
        let by = [
            rng.range(0.92, 1.08),
            rng.range(0.92, 1.08),
            rng.range(0.92, 1.08),
        ];
        for ink in [&mut thing.main, &mut thing.second] {
            for (channel, factor) in ink.rgb.iter_mut().zip(by) {
                *channel = (*channel * factor).clamp(0.0, 1.0);
            }
        }
    };
    look.thing.iter_mut().for_each(&mut shift);
    look.other.iter_mut().for_each(&mut shift);
    look
}

#[cfg(test)]
mod tests {
    use super::super::timeline::Timeline;
    use super::*;

    const SIZE: (u32, u32) = (96, 72);
    /// Least difference between the closest pictures of two steps, of the same person in the same
    /// light.
    const APART_MIN: f64 = 3.0;

    fn episode(name: &str, seed: u64) -> Episode {
        let text = format!("goal = \"x\"\n[[step]]\nname = \"{name}\"\nstart_s = 5\nend_s = 15\n");
        Episode::new(&Timeline::parse("t", &text).unwrap(), seed, 1.0).unwrap()
    }

    /// Pictures through the middle of the step.
    fn frames(name: &str) -> Vec<Picture> {
        let episode = episode(name, 1);
        let start_s = episode.doings[0].span.unwrap().start_s;
        let scene = Scene::new(&episode);
        (0..6)
            .map(|i| scene.render(start_s + 2.0 + 0.7 * f64::from(i), SIZE.0, SIZE.1))
            .collect()
    }

    /// Mean difference of two pictures, in steps of 255.
    fn distance(a: &Picture, b: &Picture) -> f64 {
        let sum: u64 = a
            .rgb
            .iter()
            .zip(&b.rgb)
            .map(|(x, y)| u64::from(x.abs_diff(*y)))
            .sum();
        sum as f64 / a.rgb.len() as f64
    }

    fn closest(a: &[Picture], b: &[Picture]) -> f64 {
        a.iter()
            .flat_map(|x| b.iter().map(move |y| distance(x, y)))
            .fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn different_verbs_and_different_objects_look_different() {
        let names = [
            "Slice the tomato",
            "Peel the tomato",
            "Rinse the tomato",
            "Add the tomato to the bowl",
            "Cook the tomato in the pan",
            "Microwave the tomato",
            "Stir the bowl",
            "Whisk the egg",
            "Pour the milk into the mug",
            "Wait for the coffee",
            "Slice the cucumber",
            "Add the banana to the bowl",
            "Sprinkle salt on the plate",
            "Sprinkle pepper on the plate",
            "Weigh the coffee beans",
            "Transfer the omelette to the plate",
            "Turn on the heat",
            "Frobnicate the gizmo",
            "Roll the tortilla",
            "Discard the paper filter",
            "Place the lettuce on the plate",
            "Crack one egg into the bowl",
        ];
        let all: Vec<Vec<Picture>> = names.iter().map(|n| frames(n)).collect();
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate().skip(i + 1) {
                let apart = closest(a, b);
                assert!(
                    apart > APART_MIN,
                    "`{}` and `{}`: {apart}",
                    names[i],
                    names[j]
                );
            }
        }
    }

    #[test]
    fn a_picture_follows_from_episode_and_time_alone() {
        let episode = episode("Stir the bowl", 3);
        let (a, b) = (Scene::new(&episode), Scene::new(&episode));
        let later = b.render(9.0, SIZE.0, SIZE.1);
        assert!(
            a.render(7.0, SIZE.0, SIZE.1) == b.render(7.0, SIZE.0, SIZE.1),
            "whatever was rendered before"
        );
        assert!(later != b.render(7.0, SIZE.0, SIZE.1));
        let other = Scene::new(&self::episode("Stir the bowl", 4));
        assert!(other.render(7.0, SIZE.0, SIZE.1) != a.render(7.0, SIZE.0, SIZE.1));
    }

    #[test]
    fn a_further_rendering_keeps_who_it_is_of_and_shows_another() {
        let text = "goal = \"x\"\nperson = 3\n[[step]]\nname = \"Stir the bowl\"\nstart_s = 5\nend_s = 15\n";
        let first = Timeline::parse("t", text).unwrap();
        let again = first.again(1);
        assert_eq!(
            (again.id.as_str(), again.person, &again.doings),
            ("t.2", 3, &first.doings)
        );
        let scene = |timeline| Scene::new(&Episode::new(timeline, 1, 1.0).unwrap());
        let (first, again) = (scene(&first), scene(&again));
        assert_ne!(
            (first.person.skin, first.worktop),
            (again.person.skin, again.worktop)
        );
        assert!(first.render(7.0, SIZE.0, SIZE.1) != again.render(7.0, SIZE.0, SIZE.1));
    }

    #[test]
    fn a_fixed_camera_shows_the_same_but_for_what_is_done() {
        // Before the first step nothing is done but by idle hands, which stay away from the upper
        // corners.
        let corner = |fixed_camera| {
            let scene = Scene::new(&Episode {
                fixed_camera,
                ..episode("Stir the bowl", 3)
            });
            let at = |t: f64| {
                let picture = scene.render(t, SIZE.0, SIZE.1);
                let rgb = picture
                    .rgb
                    .chunks_exact(SIZE.0 as usize * 3)
                    .take(18)
                    .flat_map(|row| &row[..24 * 3])
                    .copied()
                    .collect();
                Picture {
                    width: 24,
                    height: 18,
                    rgb,
                }
            };
            distance(&at(0.0), &at(1.0))
        };
        assert!(
            corner(false) > 1.5 * corner(true),
            "{} and {}",
            corner(false),
            corner(true)
        );
    }

    #[test]
    fn start_and_end_are_to_be_seen() {
        let episode = episode("Slice the tomato", 1);
        let scene = Scene::new(&episode);
        let span = episode.doings[0].span.unwrap();
        let at = |t: f64| scene.render(t, SIZE.0, SIZE.1);
        let calm = distance(&at(span.start_s + 4.0), &at(span.start_s + 4.25));
        for (before, after) in [
            (span.start_s - 1.5, span.start_s),
            (span.end_s - 1.0, span.end_s),
        ] {
            let change = distance(&at(before), &at(after));
            assert!(
                change > 1.5 * calm,
                "{before} to {after}: {change}, within the step {calm}"
            );
        }
    }

    #[test]
    fn every_action_draws_at_any_moment_and_size() {
        for (stem, _) in super::super::words::VERBS {
            let episode = episode(&format!("{stem} the tomato in the bowl"), 2);
            let scene = Scene::new(&episode);
            for (i, size) in [(32, 32), (64, 48), (48, 96)].into_iter().enumerate() {
                let at_s = episode.length_s * (i as f64 + 0.5) / 3.0;
                assert_eq!(
                    scene.render(at_s, size.0, size.1).rgb.len(),
                    (size.0 * size.1 * 3) as usize
                );
            }
        }
    }
}
