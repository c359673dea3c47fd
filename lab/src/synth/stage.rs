//! Who stands on the stage when: shots, with their entrances and exits, from an episode's times.
//!
//! A change is to be seen at the frame that a session at two frames a second has when the change's
//! time comes, and that frame can be half a second old: so pictures are [`CUE_LEAD_S`] ahead of the
//! annotation. The action runs from then before `start`; the hands are out of sight from then
//! before `end`.

use super::episode::Episode;
use proact::units::StepId;

/// Pictures are this much ahead of the annotation, in seconds.
pub const CUE_LEAD_S: f64 = 0.5;
/// Objects are brought in this time before the action, if there is time.
const APPROACH_S: f64 = 0.8;
/// Hands need this time to draw back.
const WITHDRAW_S: f64 = 0.3;
/// Objects stay this long on the stage without hands, if there is time.
const LINGER_S: f64 = 0.9;
/// Objects need this time to go off.
const CLEAR_S: f64 = 0.5;
/// Of steps that run at once each is shown for this time.
const TURN_S: f64 = 2.0;
/// A step that begins or ends among others is shown for this time then.
const OWN_S: f64 = 1.6;

/// What is on the stage at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// The step in front, or one numbered behind the task's for what is no step of it; `None`:
    /// idle.
    pub step: Option<StepId>,
    /// Seconds since its action began (negative while things are brought).
    pub clock_s: f64,
    /// Part of it that is done, 0 to 1.
    pub done: f32,
    /// Things are there: 0 no, 1 in place.
    pub brought: f32,
    /// Hands are drawn back: 0 at work, 1 out of sight.
    pub away: f32,
    /// Another step in progress, at the back.
    pub aside: Option<StepId>,
    /// Seconds since this idle time began; for idle hands.
    pub idle_s: f64,
}

#[derive(Clone, Copy, Debug)]
struct Playing {
    step: StepId,
    from_s: f64,
    to_s: f64,
}

/// The schedule of an episode.
#[derive(Clone, Debug)]
pub struct Stage {
    playing: Vec<Playing>,
}

impl Stage {
    /// Makes the schedule.
    pub fn new(episode: &Episode) -> Self {
        let spans = episode
            .task
            .iter()
            .zip(&episode.doings)
            .filter_map(|((step, _), doing)| {
                let span = doing.span?;
                Some(Playing {
                    step,
                    from_s: span.start_s - CUE_LEAD_S,
                    to_s: span.end_s - CUE_LEAD_S,
                })
            });
        // What is no step of the task is numbered behind the steps.
        let besides = episode
            .hardships
            .asides
            .iter()
            .enumerate()
            .map(|(i, aside)| Playing {
                step: StepId((episode.task.steps.len() + i) as u16),
                from_s: aside.span.start_s - CUE_LEAD_S,
                to_s: aside.span.end_s - CUE_LEAD_S,
            });
        let mut playing: Vec<Playing> = spans.chain(besides).collect();
        playing.sort_by(|a, b| a.from_s.total_cmp(&b.from_s));
        Self { playing }
    }

    /// Steps that are over at a time, in the order of their ends.
    pub fn over(&self, at_s: f64) -> Vec<StepId> {
        let mut over: Vec<&Playing> = self.playing.iter().filter(|p| p.to_s <= at_s).collect();
        over.sort_by(|a, b| a.to_s.total_cmp(&b.to_s));
        over.iter().map(|p| p.step).collect()
    }

    /// What is on the stage at a time.
    pub fn at(&self, at_s: f64) -> Moment {
        let running: Vec<&Playing> = self
            .playing
            .iter()
            .filter(|p| p.from_s <= at_s && at_s < p.to_s)
            .collect();
        if let Some(front) = front(&running, at_s) {
            let aside = running
                .iter()
                .find(|p| p.step != front.step)
                .map(|p| p.step);
            return Self::acting(front, at_s, aside);
        }
        let last = self
            .playing
            .iter()
            .filter(|p| p.to_s <= at_s)
            .max_by(|a, b| a.to_s.total_cmp(&b.to_s));
        let next = self
            .playing
            .iter()
            .filter(|p| p.from_s > at_s)
            .min_by(|a, b| a.from_s.total_cmp(&b.from_s));
        let since_s = last.map_or(f64::INFINITY, |p| at_s - p.to_s);
        let until_s = next.map_or(f64::INFINITY, |p| p.from_s - at_s);
        let gap_s = since_s + until_s;
        // Half of a short gap belongs to the step that has ended, the other half to the one that
        // comes.
        if let Some(next) = next
            && until_s <= APPROACH_S.min(gap_s * 0.5)
        {
            let whole_s = APPROACH_S.min(gap_s * 0.5);
            let brought = ease(1.0 - until_s / whole_s);
            return Moment {
                step: Some(next.step),
                clock_s: -until_s,
                done: 0.0,
                brought,
                away: 0.0,
                aside: None,
                idle_s: 0.0,
            };
        }
        if let Some(last) = last {
            let stay_s = (LINGER_S + CLEAR_S).min(gap_s * 0.5);
            if since_s <= stay_s {
                let clear_s = CLEAR_S.min(stay_s * 0.4);
                let brought = ease(((stay_s - since_s) / clear_s.max(1e-6)).min(1.0));
                let clock_s = last.to_s - last.from_s;
                return Moment {
                    step: Some(last.step),
                    clock_s,
                    done: 1.0,
                    brought,
                    away: 1.0,
                    aside: None,
                    idle_s: since_s,
                };
            }
        }
        let idle_s = if since_s.is_finite() { since_s } else { at_s };
        Moment {
            step: None,
            clock_s: 0.0,
            done: 0.0,
            brought: 0.0,
            away: 0.0,
            aside: None,
            idle_s,
        }
    }

    fn acting(playing: &Playing, at_s: f64, aside: Option<StepId>) -> Moment {
        let clock_s = at_s - playing.from_s;
        let length_s = (playing.to_s - playing.from_s).max(1e-3);
        let left_s = playing.to_s - at_s;
        Moment {
            step: Some(playing.step),
            clock_s,
            done: (clock_s / length_s) as f32,
            brought: 1.0,
            away: ease(1.0 - (left_s / WITHDRAW_S).min(1.0)),
            aside,
            idle_s: 0.0,
        }
    }
}

/// Of the steps that run, the one in front: one that has just begun, or is about to end, or in
/// turns.
fn front<'a>(running: &[&'a Playing], at_s: f64) -> Option<&'a Playing> {
    let begun = |for_s: f64| {
        let new = running.iter().filter(|p| at_s - p.from_s < for_s);
        new.max_by(|a, b| a.from_s.total_cmp(&b.from_s))
    };
    let ending = running
        .iter()
        .filter(|p| p.to_s - at_s < OWN_S)
        .min_by(|a, b| a.to_s.total_cmp(&b.to_s));
    let turn = (at_s / TURN_S) as usize % running.len().max(1);
    begun(OWN_S * 0.5)
        .or(ending)
        .or_else(|| begun(OWN_S))
        .or(running.get(turn))
        .copied()
}

/// Smoothstep.
fn ease(part: f64) -> f32 {
    let t = part.clamp(0.0, 1.0) as f32;
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::super::timeline::Timeline;
    use super::*;

    fn stage(steps: &[(f64, f64)]) -> (Stage, Episode) {
        let steps: String = steps
            .iter()
            .map(|(a, b)| format!("[[step]]\nname = \"Stir\"\nstart_s = {a:.3}\nend_s = {b:.3}\n"))
            .collect();
        let timeline = Timeline::parse("t", &format!("goal = \"x\"\n{steps}")).unwrap();
        let episode = Episode::new(&timeline, 0, 1.0).unwrap();
        (Stage::new(&episode), episode)
    }

    #[test]
    fn the_frame_at_hand_when_a_change_is_due_shows_it_at_two_frames_a_second() {
        let (stage, episode) = stage(&[(8.0, 14.0), (20.0, 27.3)]);
        for doing in &episode.doings {
            let span = doing.span.unwrap();
            let shown = (span.start_s * 2.0).floor() / 2.0;
            let moment = stage.at(shown);
            assert!(
                moment.step.is_some()
                    && moment.clock_s >= 0.0
                    && moment.brought == 1.0
                    && moment.away == 0.0,
                "{moment:?}"
            );
            let before = stage.at(shown - 1.0);
            assert!(before.clock_s < 0.0 || before.step.is_none(), "{before:?}");
            let shown = (span.end_s * 2.0).floor() / 2.0;
            let moment = stage.at(shown);
            assert!(moment.away == 1.0 && moment.done == 1.0, "{moment:?}");
            assert!(stage.at(shown - 1.0).away < 0.01);
        }
        assert_eq!(stage.at(17.0).step, None, "idle in between");
    }

    #[test]
    fn steps_that_run_at_once_take_turns_and_each_has_its_beginning_and_its_end() {
        let (stage, episode) = stage(&[(8.0, 40.0), (15.0, 30.0)]);
        let (long, short) = (StepId(0), StepId(1));
        let span = |id: StepId| episode.doings[usize::from(id.0)].span.unwrap();
        assert_eq!(stage.at(span(short).start_s).step, Some(short));
        assert_eq!(
            stage.at(span(short).end_s - CUE_LEAD_S - 0.1).step,
            Some(short)
        );
        assert_eq!(stage.at(span(short).end_s).step, Some(long));
        let between: Vec<Option<StepId>> = (0..20)
            .map(|i| {
                stage
                    .at(span(short).start_s + 3.0 + 0.5 * f64::from(i))
                    .step
            })
            .collect();
        assert!(between.contains(&Some(long)) && between.contains(&Some(short)));
        assert_eq!(stage.at(span(short).start_s).aside, Some(long));
    }

    #[test]
    fn back_to_back_steps_leave_no_hole() {
        let (stage, episode) = stage(&[(8.0, 14.0), (14.0, 20.0)]);
        let at_s = episode.doings[1].span.unwrap().start_s;
        assert_eq!(stage.at(at_s - CUE_LEAD_S + 0.01).step, Some(StepId(1)));
        assert_eq!(stage.at(at_s - CUE_LEAD_S - 0.01).step, Some(StepId(0)));
        assert_eq!(stage.over(at_s), [StepId(0)]);
    }
}
