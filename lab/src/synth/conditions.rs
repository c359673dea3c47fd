//! What makes an episode harder than its timeline: little light, a camera that hangs, long breaks,
//! other things done.

use super::timeline::Span;
use proact::rng::Rng;

/// One hardship.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// A quarter to half of the light is left; the sensor's noise stays as it is.
    LowLight,
    /// Now and then the camera hangs for 1 to 4 seconds: the picture stands still.
    Dropouts,
    /// One to three breaks of 20 to 45 seconds.
    LongIdle,
    /// One to three times the person does something that is no step of the task.
    Distractors,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::LowLight,
        Self::Dropouts,
        Self::LongIdle,
        Self::Distractors,
    ];

    /// Its name on the command line and of a suite's part.
    pub fn name(self) -> &'static str {
        match self {
            Self::LowLight => "low-light",
            Self::Dropouts => "dropouts",
            Self::LongIdle => "long-idle",
            Self::Distractors => "distractors",
        }
    }
}

impl std::str::FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|c| c.name() == text)
            .ok_or_else(|| format!("`{text}`: expected one of {}", names()))
    }
}

/// Something done that is no step of the task.
#[derive(Clone, Debug, PartialEq)]
pub struct Aside {
    /// In words, as steps are named: it looks accordingly.
    pub name: String,
    /// When, in seconds of the video.
    pub span: Span,
}

/// What the conditions come to in an episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Hardships {
    /// Part of the light that is left.
    pub light: f32,
    /// The picture stands still meanwhile.
    pub hangs: Vec<Span>,
    /// What else is done.
    pub asides: Vec<Aside>,
}

impl Default for Hardships {
    fn default() -> Self {
        Self {
            light: 1.0,
            hangs: Vec::new(),
            asides: Vec::new(),
        }
    }
}

/// What is done besides in first renderings, and so where a model is tested.
const ASIDES: [&str; 8] = [
    "Pour a glass of juice",
    "Peel an orange",
    "Rinse the strawberries",
    "Open a can of fish",
    "Slice an apple",
    "Wipe the tray with a towel",
    "Sprinkle nuts into the sink",
    "Write with a pen",
];
/// The same in further renderings, from which a model may learn.
const ASIDES_AGAIN: [&str; 8] = [
    "Pour the cream into a cup",
    "Peel a potato",
    "Rinse the spinach",
    "Open a jar of jam",
    "Slice the ham",
    "Pat the board dry with a towel",
    "Sprinkle peas onto the tray",
    "Turn the screw with a screwdriver",
];

/// Least and most of what is left of the light.
const LIGHT_LEFT: (f32, f32) = (0.25, 0.5);
/// Shortest and longest time for which a camera hangs, in seconds.
const HANG_S: (f32, f32) = (1.0, 4.0);
/// Shortest and longest time between two of them, in seconds.
const HANGS_APART_S: (f32, f32) = (12.0, 30.0);
/// Breaks in an episode at most.
const BREAKS_MAX: usize = 3;
/// Shortest and longest break, in seconds.
const IDLE_S: (f32, f32) = (20.0, 45.0);
/// Shortest and longest time for which something else is done, in seconds.
const ASIDE_S: (f32, f32) = (4.0, 9.0);
/// Around it there is nothing for this time, in seconds.
const AROUND_ASIDE_S: f64 = 3.0;

impl Hardships {
    /// Draws what the conditions come to and makes room for it among the steps' spans (seconds of
    /// the video).
    pub fn draw(
        conditions: &[Condition],
        rendering: u64,
        spans: &mut [Option<Span>],
        rng: &mut Rng,
    ) -> Self {
        let mut drawn = Self::default();
        if conditions.contains(&Condition::LongIdle) {
            for at_s in breaks(spans, rng) {
                push_back(
                    spans,
                    &mut drawn.asides,
                    at_s,
                    f64::from(rng.range(IDLE_S.0, IDLE_S.1)),
                );
            }
        }
        if conditions.contains(&Condition::Distractors) {
            let names = if rendering == 0 { ASIDES } else { ASIDES_AGAIN };
            for at_s in breaks(spans, rng) {
                let length_s = f64::from(rng.range(ASIDE_S.0, ASIDE_S.1));
                push_back(
                    spans,
                    &mut drawn.asides,
                    at_s,
                    length_s + 2.0 * AROUND_ASIDE_S,
                );
                let start_s = at_s + AROUND_ASIDE_S;
                drawn.asides.push(Aside {
                    name: rng.pick(&names).to_owned(),
                    span: Span {
                        start_s,
                        end_s: start_s + length_s,
                    },
                });
            }
        }
        if conditions.contains(&Condition::LowLight) {
            drawn.light = rng.range(LIGHT_LEFT.0, LIGHT_LEFT.1);
        }
        if conditions.contains(&Condition::Dropouts) {
            let last_s = spans.iter().flatten().map(|s| s.end_s).fold(0.0, f64::max);
            let mut start_s = f64::from(rng.range(HANGS_APART_S.0, HANGS_APART_S.1));
            while start_s < last_s {
                let end_s = start_s + f64::from(rng.range(HANG_S.0, HANG_S.1));
                drawn.hangs.push(Span { start_s, end_s });
                start_s = end_s + f64::from(rng.range(HANGS_APART_S.0, HANGS_APART_S.1));
            }
        }
        drawn
    }

    /// The time whose picture is to be seen at a time: an earlier one while the camera hangs.
    pub fn seen_at(&self, at_s: f64) -> f64 {
        self.hangs
            .iter()
            .find(|hang| hang.start_s < at_s && at_s < hang.end_s)
            .map_or(at_s, |hang| hang.start_s)
    }
}

/// One to [`BREAKS_MAX`] times at which a step ends, none is going on, and another is to come; the
/// last first, so that putting time in at one leaves the others where they are.
fn breaks(spans: &[Option<Span>], rng: &mut Rng) -> Vec<f64> {
    let all: Vec<Span> = spans.iter().flatten().copied().collect();
    let free = |at: &f64| {
        !all.iter().any(|s| s.start_s < *at && *at < s.end_s)
            && all.iter().any(|s| s.start_s >= *at)
    };
    let mut at: Vec<f64> = all.iter().map(|s| s.end_s).filter(free).collect();
    at.sort_by(f64::total_cmp);
    at.dedup();
    let wanted = 1 + rng.remainder(BREAKS_MAX);
    while at.len() > wanted {
        at.remove(rng.remainder(at.len()));
    }
    at.reverse();
    at
}

/// All that begins at a time or later begins so much later.
fn push_back(spans: &mut [Option<Span>], asides: &mut [Aside], at_s: f64, by_s: f64) {
    for span in spans
        .iter_mut()
        .flatten()
        .chain(asides.iter_mut().map(|a| &mut a.span))
        .filter(|s| s.start_s >= at_s)
    {
        span.start_s += by_s;
        span.end_s += by_s;
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexicon::Tool;
    use super::*;

    fn spans() -> Vec<Option<Span>> {
        let span = |start_s, end_s| Some(Span { start_s, end_s });
        vec![
            span(4.0, 10.0),
            span(8.0, 20.0),
            None,
            span(22.0, 30.0),
            span(30.0, 36.0),
        ]
    }

    #[test]
    fn nothing_is_drawn_without_a_condition() {
        let mut moved = spans();
        assert_eq!(
            Hardships::draw(&[], 0, &mut moved, &mut Rng::new(1, "x")),
            Hardships::default()
        );
        assert_eq!(moved, spans());
    }

    #[test]
    fn breaks_are_put_where_no_step_is_going_on_and_lengthen_none() {
        for seed in 0..40 {
            let mut moved = spans();
            let both = [Condition::LongIdle, Condition::Distractors];
            let drawn = Hardships::draw(&both, 0, &mut moved, &mut Rng::new(seed, "x"));
            for (old, new) in spans().iter().flatten().zip(moved.iter().flatten()) {
                assert!((old.end_s - old.start_s - new.end_s + new.start_s).abs() < 1e-9);
                assert!(new.start_s >= old.start_s);
            }
            let order = |s: &[Option<Span>]| s.iter().flatten().map(|s| s.start_s).is_sorted();
            assert!(order(&moved));
            assert!((1..=BREAKS_MAX).contains(&drawn.asides.len()));
            assert!(
                moved[4].unwrap().start_s - 30.0 > f64::from(IDLE_S.0),
                "a break came somewhere before"
            );
            for aside in &drawn.asides {
                let apart = |s: &Span| {
                    s.end_s <= aside.span.start_s - AROUND_ASIDE_S + 1e-9
                        || s.start_s >= aside.span.end_s + AROUND_ASIDE_S - 1e-9
                };
                assert!(moved.iter().flatten().all(apart), "{aside:?} {moved:?}");
            }
        }
    }

    #[test]
    fn a_hanging_camera_shows_the_picture_of_its_last_moment() {
        let drawn = Hardships::draw(
            &[Condition::Dropouts],
            0,
            &mut spans(),
            &mut Rng::new(3, "x"),
        );
        let hang = drawn.hangs[0];
        assert!((1.0..=4.0).contains(&(hang.end_s - hang.start_s)));
        assert_eq!(
            drawn.seen_at((hang.start_s + hang.end_s) / 2.0),
            hang.start_s
        );
        assert_eq!(drawn.seen_at(hang.end_s), hang.end_s);
        assert_eq!(drawn.seen_at(1.0), 1.0);
    }

    #[test]
    fn names_are_read_back_and_others_refused_with_what_is_expected() {
        for condition in Condition::ALL {
            assert_eq!(condition.name().parse(), Ok(condition));
        }
        assert!(
            "dark"
                .parse::<Condition>()
                .unwrap_err()
                .contains("low-light")
        );
    }

    #[test]
    fn what_is_done_besides_looks_like_something_and_is_never_the_same_in_both_lists() {
        let looks = |names: [&str; 8]| names.map(super::super::words::look);
        for look in looks(ASIDES) {
            assert!(
                look.thing.is_some() || look.carried.is_some() || look.tool != Tool::Hand,
                "{look:?}"
            );
            assert!(!looks(ASIDES_AGAIN).contains(&look));
        }
    }
}
