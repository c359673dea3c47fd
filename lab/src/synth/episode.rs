//! An episode: a timeline on the clock of its video, and the person before the camera.

use super::conditions::Hardships;
use super::timeline::{Span, TIME_MAX_S, Timeline};
use proact::dialogue::task::Task;
use proact::error::{Error, Result};
use proact::rng::Rng;

/// The first step starts at least this long after the video does: goal and greeting come before.
const LEAD_MIN_S: f64 = 3.0;
/// Longest lead; recordings that begin with long preparations are cut to it.
const LEAD_MAX_S: f64 = 8.0;
/// The video goes on after the last step, shortest and spread.
const TAIL_S: (f64, f64) = (3.0, 2.5);
/// A step shows for at least this long, however fast the episode is played.
const SHOWN_MIN_S: f64 = 1.2;
/// A prerequisite that ends at most this long (in the recording) after what needs it has begun,
/// ends when that begins: annotators' ends are not more exact.
const OVERLAP_SLACK_S: f64 = 5.0;

/// What of a step is to be seen when.
#[derive(Clone, Debug, PartialEq)]
pub struct Doing {
    /// When it is done, in seconds of the video; `None`: never.
    pub span: Option<Span>,
    /// What goes wrong, in words; the mistake shows in the second half.
    pub mistake: Option<String>,
}

/// One simulated episode: all that the script and the pictures follow from. Some fields repeat the
/// timeline's on purpose: an episode is on another clock, and stands by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// Name, also of its folder.
    pub id: String,
    /// Where the timeline is from.
    pub dataset: String,
    /// The task, steps in the intended order.
    pub task: Task,
    /// One for each step of the task.
    pub doings: Vec<Doing>,
    /// Skin and sleeves.
    pub person: u64,
    /// Worktop and light.
    pub environment: u64,
    /// Which rendering of its timeline it is, from 0.
    pub rendering: u64,
    /// Chance of everything else, already mixed with the id.
    pub seed: u64,
    /// Times of the recording were divided by this.
    pub speed: f64,
    /// What makes it harder to follow.
    pub hardships: Hardships,
    /// Length of the video, in seconds.
    pub length_s: f64,
    /// The camera stands still instead of moving with a head.
    pub fixed_camera: bool,
}

impl Episode {
    /// Puts a timeline on the video's clock.
    ///
    /// # Errors
    /// A speed that is no positive number, or a timeline that fails its own check.
    pub fn new(timeline: &Timeline, seed: u64, speed: f64) -> Result<Self> {
        if !(speed.is_finite() && speed > 0.0) {
            return Err(Error::Invalid(format!(
                "speed {speed}: expected a number above 0"
            )));
        }
        let invalid = |why| Error::Invalid(format!("timeline `{}`: {why}", timeline.id));
        timeline.check().map_err(invalid)?;
        let mut rng = Rng::new(seed, &timeline.id);
        let mut spans: Vec<Option<Span>> = timeline.doings.iter().map(|d| d.span).collect();
        close_small_overlaps(&timeline.task, &mut spans);
        let starts = spans.iter().flatten().map(|s| s.start_s / speed);
        let first_s = starts.fold(f64::INFINITY, f64::min);
        let lead_s = (LEAD_MIN_S + f64::from(rng.unit())).max(first_s.min(LEAD_MAX_S));
        let place = |span: Span| {
            let start_s = tidy(span.start_s / speed - first_s + lead_s);
            let end_s = tidy(span.end_s / speed - first_s + lead_s).max(start_s + SHOWN_MIN_S);
            Span { start_s, end_s }
        };
        spans
            .iter_mut()
            .flatten()
            .for_each(|span| *span = place(*span));
        let mut chance = Rng::new(seed, &format!("{} conditions", timeline.id));
        let hardships = Hardships::draw(
            &timeline.conditions,
            timeline.rendering,
            &mut spans,
            &mut chance,
        );
        spans.iter_mut().flatten().for_each(|span| {
            *span = Span {
                start_s: tidy(span.start_s),
                end_s: tidy(span.end_s),
            }
        });
        let doings = timeline
            .doings
            .iter()
            .zip(spans)
            .map(|(doing, span)| Doing {
                span,
                mistake: doing.mistake.clone(),
            });
        let doings: Vec<Doing> = doings.collect();
        let last_s = doings
            .iter()
            .filter_map(|d| d.span)
            .map(|s| s.end_s)
            .fold(0.0, f64::max);
        let length_s = tidy(last_s + TAIL_S.0 + TAIL_S.1 * f64::from(rng.unit()));
        if length_s > TIME_MAX_S {
            return Err(invalid(format!(
                "{length_s} s long at speed {speed}, at most {TIME_MAX_S} s"
            )));
        }
        Ok(Self {
            id: timeline.id.clone(),
            dataset: timeline.dataset.clone(),
            task: timeline.task.clone(),
            doings,
            person: timeline.person,
            environment: timeline.environment,
            rendering: timeline.rendering,
            seed: rng.next_u64(),
            speed,
            hardships,
            length_s,
            fixed_camera: false,
        })
    }
}

/// Times in whole milliseconds: short in files, and equal where they are meant to be.
fn tidy(at_s: f64) -> f64 {
    (at_s * 1000.0).round() / 1000.0
}

fn close_small_overlaps(task: &Task, spans: &mut [Option<Span>]) {
    for (id, step) in task.iter() {
        let Some(Span { start_s, .. }) = spans[usize::from(id.0)] else {
            continue;
        };
        for before in &step.after {
            if let Some(span) = spans[usize::from(before.0)].as_mut()
                && span.start_s < start_s
                && span.end_s > start_s
                && span.end_s <= start_s + OVERLAP_SLACK_S
            {
                span.end_s = start_s;
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Three steps: the second begins just before the first ends; the third is never done.
    pub(crate) const TEA: &str = "goal = \"Mint Tea\"\nperson = 3\nenvironment = 2\n[[step]]\nname = \"Boil the water\"\nstart_s = 40.0\nend_s = 62.0\n[[step]]\nname = \"Pour the water into the mug\"\nafter = [\"S1\"]\nstart_s = 60.0\nend_s = 80.0\nmistake = \"spills\"\n[[step]]\nname = \"Add sugar\"\nafter = [\"S2\"]\nomitted = true\n[[step]]\nname = \"Stir the mug\"\nafter = [\"S3\"]\nstart_s = 88.0\nend_s = 90.0\n";

    pub(crate) fn tea() -> Episode {
        Episode::new(&Timeline::parse("tea", TEA).unwrap(), 1, 4.0).unwrap()
    }

    #[test]
    fn times_are_divided_by_the_speed_and_led_in() {
        let episode = tea();
        let first = episode.doings[0].span.unwrap();
        let second = episode.doings[1].span.unwrap();
        assert!(
            (LEAD_MIN_S..=LEAD_MAX_S).contains(&first.start_s),
            "{first:?}"
        );
        assert!(
            (first.end_s - first.start_s - 5.0).abs() < 1e-9,
            "the small overlap is closed: {first:?}"
        );
        assert_eq!(first.end_s, second.start_s);
        let short = episode.doings[3].span.unwrap();
        assert!(short.end_s - short.start_s >= SHOWN_MIN_S - 1e-9);
        assert!(episode.length_s >= short.end_s + TAIL_S.0);
    }

    #[test]
    fn an_episode_follows_from_its_seed_and_refuses_odd_speeds() {
        let timeline = Timeline::parse("tea", TEA).unwrap();
        assert_eq!(tea(), Episode::new(&timeline, 1, 4.0).unwrap());
        assert_ne!(tea().seed, Episode::new(&timeline, 2, 4.0).unwrap().seed);
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Episode::new(&timeline, 1, speed).is_err());
        }
        assert!(
            Episode::new(&timeline, 1, 1e-6).is_err(),
            "longer than a day"
        );
    }
}
