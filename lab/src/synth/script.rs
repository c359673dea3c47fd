//! The dialogue of an episode: what a good assistant would say and when, in ProAssist's format.
//!
//! Names of steps stand in the sentences word for word. On a completion the assistant praises and
//! names the next step: the first of the task that is not started. Starts in order are silent; a
//! start whose prerequisites are not completed and a visible mistake are corrected. What happens
//! within one frame is taken together, as a session does: all updates first, then one utterance at
//! most.

use super::episode::Episode;
use proact::dialogue::annotation::{Issue, IssueKind, Recording, Turn, TurnKind};
use proact::dialogue::task::{StepState, TaskState, Transition, Update};
use proact::error::{Error, Result};
use proact::rng::Rng;
use proact::units::{MediaTime, StepId};

/// Frame rate that the annotation's frame numbers count, as in ProAssist.
const ANNOTATION_FPS: f64 = 2.0;
/// When the person says what they want, and when the assistant answers, in seconds.
const GOAL_AT_S: f64 = 1.0;
const GREETING_AT_S: f64 = 1.5;
/// A mistake is corrected at this part of its step, lowest and spread.
const MISTAKE_AT: (f64, f64) = (0.52, 0.08);

const SYSTEM: &str = "You are a proactive assistant. Pay close attention to the user's actions and provide relevant information proactively.";
const GOALS: [&str; 6] = [
    "I want to make {goal}.",
    "Hi! Help me make {goal}, please.",
    "Today I would like to prepare {goal}.",
    "Let's make {goal} together.",
    "Can you guide me through {goal}?",
    "I'm going to make {goal}.",
];
const GREETINGS: [&str; 6] = [
    "Let's make {goal}! First: {step}.",
    "Great choice! First: {step}.",
    "Happy to help. First: {step}.",
    "Sounds good! First: {step}.",
    "Sure, I will guide you. First: {step}.",
    "All right, {goal}! First: {step}.",
];
const PRAISE: [&str; 6] = [
    "Well done!",
    "Good job.",
    "Great.",
    "Nice work!",
    "Perfect.",
    "That looks good.",
];
const NEXT: [&str; 3] = ["Next: {step}.", "Now: {step}.", "Next step: {step}."];
const CARRY_ON: [&str; 2] = ["Carry on: {step}.", "Go on with this: {step}."];
const DONE: [&str; 4] = [
    "All done, enjoy your {goal}!",
    "You are finished, enjoy your {goal}!",
    "That was the last step, enjoy your {goal}!",
    "Everything is done. Enjoy your {goal}!",
];
const TOO_EARLY: [&str; 5] = [
    "Wait, before that: {step}.",
    "Not yet, first: {step}.",
    "Hold on, this comes first: {step}.",
    "Stop, you still have to do this: {step}.",
    "One moment, before that: {step}.",
];
const MISTAKE: [&str; 5] = [
    "Careful, check this again: {step}.",
    "Watch out, that is not quite right: {step}.",
    "Please look again, the step was: {step}.",
    "Oops, something went wrong here: {step}.",
    "Careful, it should be: {step}.",
];

/// Something the assistant reacts to.
struct Cue {
    at_s: f64,
    what: Happening,
}

#[derive(Clone, Copy, PartialEq)]
enum Happening {
    Update(Update),
    Mistake(StepId),
}

/// What calls for words within a frame; the weightiest is answered.
#[derive(Default)]
struct Calls {
    /// Prerequisite that a step which began still needs.
    too_early: Option<StepId>,
    completed: bool,
    mistake: Option<StepId>,
}

/// Writes the dialogue of an episode.
///
/// # Errors
/// The episode's times do not make a dialogue (never for an [`Episode::new`]).
pub fn script(episode: &Episode) -> Result<Recording> {
    let mut rng = Rng::new(episode.seed, "script");
    let mut turns = opening(episode, &mut rng);
    let mut state = TaskState::new(&episode.task);
    let mut issues = Vec::new();
    let frame = |cue: &Cue| (cue.at_s * ANNOTATION_FPS).floor();
    for at_once in cues(episode, &mut rng).chunk_by(|a, b| frame(a) == frame(b)) {
        let before = state.clone();
        let mut calls = Calls::default();
        for cue in at_once {
            take(
                episode,
                cue,
                &mut state,
                &mut turns,
                &mut calls,
                &mut issues,
            )?;
        }
        let at_s = at_once.last().map_or(0.0, |cue| cue.at_s);
        if let Some((text, labels)) = answer(episode, &before, &state, &calls, &mut rng) {
            let kind = TurnKind::Assistant {
                text,
                labels: labels.into(),
            };
            turns.push(Turn {
                at: Some(MediaTime(at_s)),
                kind,
            });
        }
    }
    for (step, now) in state.iter() {
        if now == StepState::NotStarted {
            push_missed(&mut issues, step, last_end_s(episode));
        }
    }
    issues.sort_by(|a, b| a.at.0.total_cmp(&b.at.0));
    Ok(Recording {
        id: episode.id.clone(),
        dataset: episode.dataset.clone(),
        fps: ANNOTATION_FPS,
        goal: episode.task.goal.clone(),
        knowledge: episode.task.knowledge.clone(),
        user_type: Some("no_talk".into()),
        user_id: Some(format!("person_{}", episode.person)),
        speed: Some(episode.speed),
        end_s: (episode.length_s * ANNOTATION_FPS).floor() / ANNOTATION_FPS,
        turns,
        issues,
        ..Recording::default()
    })
}

fn opening(episode: &Episode, rng: &mut Rng) -> Vec<Turn> {
    let first = episode.task.iter().next().map(|(id, _)| id);
    let greeting = fill(rng.pick(&GREETINGS), episode, first);
    vec![
        Turn {
            at: None,
            kind: TurnKind::System(SYSTEM.into()),
        },
        Turn {
            at: Some(MediaTime(GOAL_AT_S)),
            kind: TurnKind::User(fill(rng.pick(&GOALS), episode, None)),
        },
        Turn {
            at: Some(MediaTime(GREETING_AT_S)),
            kind: TurnKind::Assistant {
                text: greeting,
                labels: "initiative|instruction".into(),
            },
        },
    ]
}

/// Everything that happens, in order; of what happens at once, completions first.
fn cues(episode: &Episode, rng: &mut Rng) -> Vec<Cue> {
    let mut cues = Vec::new();
    for ((step, _), doing) in episode.task.iter().zip(&episode.doings) {
        let Some(span) = doing.span else { continue };
        let update = |transition| Happening::Update(Update { step, transition });
        cues.push(Cue {
            at_s: span.start_s,
            what: update(Transition::Start),
        });
        cues.push(Cue {
            at_s: span.end_s,
            what: update(Transition::Complete),
        });
        if doing.mistake.is_some() {
            let part = MISTAKE_AT.0 + MISTAKE_AT.1 * f64::from(rng.unit());
            let at_s = span.start_s + part * (span.end_s - span.start_s);
            cues.push(Cue {
                at_s: (at_s * 1000.0).round() / 1000.0,
                what: Happening::Mistake(step),
            });
        }
    }
    let rank = |what: Happening| match what {
        Happening::Update(Update {
            transition: Transition::Complete,
            ..
        }) => 0,
        Happening::Mistake(_) => 1,
        Happening::Update(_) => 2,
    };
    cues.sort_by(|a, b| {
        a.at_s
            .total_cmp(&b.at_s)
            .then(rank(a.what).cmp(&rank(b.what)))
    });
    cues
}

/// Adds an update to the turn of the same time, or opens one.
fn push_update(turns: &mut Vec<Turn>, at_s: f64, update: Update) {
    if let Some(Turn {
        at: Some(at),
        kind: TurnKind::Dst(updates),
    }) = turns.last_mut()
        && at.0 == at_s
    {
        updates.push(update);
        return;
    }
    turns.push(Turn {
        at: Some(MediaTime(at_s)),
        kind: TurnKind::Dst(vec![update]),
    });
}

/// Enters what happened into the state, the turns and the issues.
fn take(
    episode: &Episode,
    cue: &Cue,
    state: &mut TaskState,
    turns: &mut Vec<Turn>,
    calls: &mut Calls,
    issues: &mut Vec<Issue>,
) -> Result<()> {
    let at = MediaTime(cue.at_s);
    match cue.what {
        Happening::Update(update) => {
            let missing = state.missing_before(&episode.task, update.step);
            let of =
                |why| Error::Invalid(format!("episode `{}` at {} s: {why}", episode.id, cue.at_s));
            state.apply(update).map_err(of)?;
            push_update(turns, cue.at_s, update);
            if update.transition == Transition::Complete {
                calls.completed = true;
                // Prerequisites that were never started are missed from now on.
                for before in &episode.task.steps[usize::from(update.step.0)].after {
                    let never = episode.doings[usize::from(before.0)].span.is_none();
                    if never && state.get(*before) == Some(StepState::NotStarted) {
                        push_missed(issues, *before, cue.at_s);
                    }
                }
            } else if let Some(first) = missing.first() {
                calls.too_early = Some(*first);
                issues.push(Issue {
                    step: update.step,
                    kind: IssueKind::OutOfOrder,
                    at,
                    missing,
                    note: None,
                });
            }
        }
        Happening::Mistake(step) => {
            calls.mistake = Some(step);
            let note = episode.doings[usize::from(step.0)].mistake.clone();
            issues.push(Issue {
                step,
                kind: IssueKind::Mistake,
                at,
                missing: Vec::new(),
                note,
            });
        }
    }
    Ok(())
}

fn push_missed(issues: &mut Vec<Issue>, step: StepId, at_s: f64) {
    if !issues
        .iter()
        .any(|i| i.kind == IssueKind::Missed && i.step == step)
    {
        issues.push(Issue {
            step,
            kind: IssueKind::Missed,
            at: MediaTime(at_s),
            missing: Vec::new(),
            note: None,
        });
    }
}

/// What the assistant says to a frame's happenings, with its labels.
fn answer(
    episode: &Episode,
    before: &TaskState,
    now: &TaskState,
    calls: &Calls,
    rng: &mut Rng,
) -> Option<(String, &'static str)> {
    if let Some(first) = calls.too_early {
        return Some((
            fill(rng.pick(&TOO_EARLY), episode, Some(first)),
            "initiative|correction",
        ));
    }
    if calls.completed {
        let praise = rng.pick(&PRAISE);
        let of = |wanted| {
            now.iter()
                .filter(move |(_, is)| *is == wanted)
                .map(|(id, _)| id)
        };
        let old =
            of(StepState::InProgress).find(|id| before.get(*id) == Some(StepState::InProgress));
        // What has begun in this very frame is what comes next.
        let next = of(StepState::InProgress)
            .chain(of(StepState::NotStarted))
            .next();
        let (then, labels) = match (old, next) {
            (Some(step), _) => (
                fill(rng.pick(&CARRY_ON), episode, Some(step)),
                "initiative|instruction,feedback",
            ),
            (None, Some(step)) => (
                fill(rng.pick(&NEXT), episode, Some(step)),
                "initiative|instruction,feedback",
            ),
            (None, None) => (fill(rng.pick(&DONE), episode, None), "initiative|feedback"),
        };
        return Some((format!("{praise} {then}"), labels));
    }
    let step = calls.mistake?;
    Some((
        fill(rng.pick(&MISTAKE), episode, Some(step)),
        "initiative|correction",
    ))
}

fn fill(template: &str, episode: &Episode, step: Option<StepId>) -> String {
    let name = step.map_or("", |id| episode.task.steps[usize::from(id.0)].name.as_str());
    // The step's own words are put in last: braces in them stay as they are.
    template
        .replace("{goal}", &episode.task.goal)
        .replace("{step}", name)
}

fn last_end_s(episode: &Episode) -> f64 {
    episode
        .doings
        .iter()
        .filter_map(|d| d.span)
        .map(|s| s.end_s)
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::super::episode::tests::{TEA, tea};
    use super::super::timeline::Timeline;
    use super::*;
    use proact::dialogue::annotation;

    #[test]
    fn the_dialogue_names_steps_word_for_word_and_reacts_at_the_updates_own_times() {
        let episode = tea();
        let recording = script(&episode).unwrap();
        assert_eq!(
            annotation::parse_line(&annotation::to_line(&recording)).unwrap(),
            recording
        );
        let times: Vec<f64> = recording.transitions().iter().map(|(at, _)| at.0).collect();
        let words: Vec<String> = recording
            .transitions()
            .iter()
            .map(|(_, u)| u.to_string())
            .collect();
        assert_eq!(
            words,
            [
                "S1->start",
                "S1->complete",
                "S2->start",
                "S2->complete",
                "S4->start",
                "S4->complete"
            ]
        );
        let said = recording.utterances();
        let has = |i: usize, part: &str| assert!(said[i].1.contains(part), "{i}: {}", said[i].1);
        assert_eq!(said[0].0.0, GREETING_AT_S);
        has(0, "First: Boil the water.");
        assert_eq!(said[1].0.0, times[1]);
        has(1, ": Pour the water into the mug.");
        has(2, ": Pour the water into the mug."); // the mistake
        assert!(said[2].0.0 > times[2] && said[2].0.0 < times[3]);
        has(3, ": Add sugar.");
        assert_eq!(said[4].0.0, times[4]);
        has(4, ": Add sugar."); // S4 started without it
        has(5, ": Add sugar."); // and it is still the first not started
        assert_eq!(said.len(), 6);
        let kinds: Vec<(IssueKind, u16)> = recording
            .issues
            .iter()
            .map(|i| (i.kind, i.step.0))
            .collect();
        assert_eq!(
            kinds,
            [
                (IssueKind::Mistake, 1),
                (IssueKind::OutOfOrder, 3),
                (IssueKind::Missed, 2)
            ]
        );
        assert_eq!(recording.issues[1].missing, [StepId(2)]);
    }

    #[test]
    fn the_last_completion_ends_the_task_and_another_step_in_progress_is_carried_on() {
        let both = TEA
            .replace("omitted = true", "start_s = 70.0\nend_s = 84.0")
            .replace("after = [\"S2\"]\n", "");
        let timeline = Timeline::parse("tea", &both).unwrap();
        let recording = script(&Episode::new(&timeline, 3, 1.0).unwrap()).unwrap();
        let said: Vec<&str> = recording.utterances().iter().map(|u| u.1).collect();
        assert!(
            said[3].ends_with(": Add sugar.") && !said[3].contains("Next"),
            "{}",
            said[3]
        );
        assert!(
            said.last().unwrap().contains("enjoy your Mint Tea")
                || said.last().unwrap().contains("Enjoy your Mint Tea")
        );
        assert!(
            recording
                .issues
                .iter()
                .all(|i| i.kind == IssueKind::Mistake),
            "{:?}",
            recording.issues
        );
    }

    #[test]
    fn what_begins_in_the_frame_of_a_completion_is_named_as_next() {
        let timeline =
            Timeline::parse("tea", &TEA.replace("start_s = 60.0", "start_s = 62.01")).unwrap();
        let episode = Episode::new(&timeline, 1, 1.0).unwrap();
        let recording = script(&episode).unwrap();
        let started = recording.transitions()[2];
        assert_eq!(started.1.to_string(), "S2->start");
        let (at, text) = recording.utterances()[1];
        let same_frame = (recording.transitions()[1].0.0 * ANNOTATION_FPS).floor()
            == (started.0.0 * ANNOTATION_FPS).floor();
        assert!(same_frame, "the test's times do not test it");
        assert_eq!(at, started.0);
        assert!(
            text.contains(": Pour the water into the mug.") && !text.contains("Carry"),
            "{text}"
        );
    }

    #[test]
    fn no_two_utterances_share_a_frame() {
        let at_once = TEA.replace(
            "start_s = 88.0\nend_s = 90.0",
            "start_s = 79.9\nend_s = 80.2",
        );
        let timeline = Timeline::parse("tea", &at_once).unwrap();
        let recording = script(&Episode::new(&timeline, 3, 1.0).unwrap()).unwrap();
        let said = recording.utterances();
        let frame = |at: MediaTime| (at.0 * ANNOTATION_FPS).floor();
        assert!(
            said.windows(2).all(|w| frame(w[1].0) > frame(w[0].0)),
            "{said:?}"
        );
        assert_eq!(
            recording.transitions().len(),
            6,
            "updates are never dropped"
        );
    }
}
