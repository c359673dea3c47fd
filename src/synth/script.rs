//! The dialogue of an episode: what a good assistant would say and when, in ProAssist's format.
//!
//! Names of steps stand in the sentences word for word. On a completion the assistant praises and
//! names the next step: the first of the task that is not started. Starts in order are silent; a start
//! whose prerequisites are not completed and a visible mistake are corrected.

use super::episode::Episode;
use super::rng::Rng;
use crate::dialogue::annotation::{Issue, IssueKind, Recording, Turn, TurnKind};
use crate::dialogue::task::{StepState, TaskState, Transition, Update};
use crate::error::{Error, Result};
use crate::units::{MediaTime, StepId};

/// Frame rate that the annotation's frame numbers count, as in ProAssist.
const ANNOTATION_FPS: f64 = 2.0;
/// When the person says what they want, and when the assistant answers, in seconds.
const GOAL_AT_S: f64 = 1.0;
const GREETING_AT_S: f64 = 1.5;
/// Utterances closer than this are one: the session speaks at most once a frame.
const ONE_UTTERANCE_S: f64 = 0.5;
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
const PRAISE: [&str; 6] = ["Well done!", "Good job.", "Great.", "Nice work!", "Perfect.", "That looks good."];
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

struct Saying {
    at_s: f64,
    text: String,
    labels: &'static str,
    /// Of two at once the weightier is said.
    weight: u8,
}

/// Writes the dialogue of an episode.
///
/// # Errors
/// The episode's times do not make a dialogue (never for an [`Episode::new`]).
pub fn script(episode: &Episode) -> Result<Recording> {
    let mut rng = Rng::new(episode.seed, "script");
    let mut turns = opening(episode, &mut rng);
    let mut state = TaskState::new(&episode.task);
    let mut sayings = Vec::new();
    let mut issues = Vec::new();
    for cue in cues(episode, &mut rng) {
        match cue.what {
            Happening::Update(update) => {
                let missing = state.missing_before(&episode.task, update.step);
                let of = |why| Error::Invalid(format!("episode `{}` at {} s: {why}", episode.id, cue.at_s));
                state.apply(update).map_err(of)?;
                push_update(&mut turns, cue.at_s, update);
                if update.transition == Transition::Complete {
                    sayings.push(on_complete(episode, &state, cue.at_s, &mut rng));
                    push_missed(episode, &state, cue.at_s, update.step, &mut issues);
                } else if let Some(first) = missing.first() {
                    let text = fill(rng.pick(&TOO_EARLY), episode, Some(*first));
                    sayings.push(Saying { at_s: cue.at_s, text, labels: "initiative|correction", weight: 2 });
                    issues.push(Issue { step: update.step, kind: IssueKind::OutOfOrder, at: MediaTime(cue.at_s), missing, note: None });
                }
            }
            Happening::Mistake(step) => {
                let text = fill(rng.pick(&MISTAKE), episode, Some(step));
                sayings.push(Saying { at_s: cue.at_s, text, labels: "initiative|correction", weight: 1 });
                let note = episode.doings[usize::from(step.0)].mistake.clone();
                issues.push(Issue { step, kind: IssueKind::Mistake, at: MediaTime(cue.at_s), missing: Vec::new(), note });
            }
        }
    }
    for (step, now) in state.iter() {
        if now == StepState::NotStarted && !issues.iter().any(|i| i.kind == IssueKind::Missed && i.step == step) {
            let at = MediaTime(last_end_s(episode));
            issues.push(Issue { step, kind: IssueKind::Missed, at, missing: Vec::new(), note: None });
        }
    }
    issues.sort_by(|a, b| a.at.0.total_cmp(&b.at.0));
    for saying in one_at_a_time(sayings) {
        let kind = TurnKind::Assistant { text: saying.text, labels: saying.labels.into() };
        turns.push(Turn { at: Some(MediaTime(saying.at_s)), kind });
    }
    // Stable: what the assistant says stands behind the updates of the same time.
    turns.sort_by(|a, b| a.at.map_or(-1.0, |t| t.0).total_cmp(&b.at.map_or(-1.0, |t| t.0)));
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
        Turn { at: None, kind: TurnKind::System(SYSTEM.into()) },
        Turn { at: Some(MediaTime(GOAL_AT_S)), kind: TurnKind::User(fill(rng.pick(&GOALS), episode, None)) },
        Turn {
            at: Some(MediaTime(GREETING_AT_S)),
            kind: TurnKind::Assistant { text: greeting, labels: "initiative|instruction".into() },
        },
    ]
}

/// Everything that happens, in order; of what happens at once, completions first.
fn cues(episode: &Episode, rng: &mut Rng) -> Vec<Cue> {
    let mut cues = Vec::new();
    for ((step, _), doing) in episode.task.iter().zip(&episode.doings) {
        let Some(span) = doing.span else { continue };
        let update = |transition| Happening::Update(Update { step, transition });
        cues.push(Cue { at_s: span.start_s, what: update(Transition::Start) });
        cues.push(Cue { at_s: span.end_s, what: update(Transition::Complete) });
        if doing.mistake.is_some() {
            let part = MISTAKE_AT.0 + MISTAKE_AT.1 * f64::from(rng.unit());
            let at_s = span.start_s + part * (span.end_s - span.start_s);
            cues.push(Cue { at_s: (at_s * 1000.0).round() / 1000.0, what: Happening::Mistake(step) });
        }
    }
    let rank = |what: Happening| match what {
        Happening::Update(Update { transition: Transition::Complete, .. }) => 0,
        Happening::Mistake(_) => 1,
        Happening::Update(_) => 2,
    };
    cues.sort_by(|a, b| a.at_s.total_cmp(&b.at_s).then(rank(a.what).cmp(&rank(b.what))));
    cues
}

/// Adds an update to the turn of the same time, or opens one.
fn push_update(turns: &mut Vec<Turn>, at_s: f64, update: Update) {
    if let Some(Turn { at: Some(at), kind: TurnKind::Dst(updates) }) = turns.last_mut()
        && at.0 == at_s
    {
        updates.push(update);
        return;
    }
    turns.push(Turn { at: Some(MediaTime(at_s)), kind: TurnKind::Dst(vec![update]) });
}

fn on_complete(episode: &Episode, state: &TaskState, at_s: f64, rng: &mut Rng) -> Saying {
    let find = |wanted| state.iter().find(|(_, now)| *now == wanted).map(|(id, _)| id);
    let praise = rng.pick(&PRAISE);
    let (then, labels) = match (find(StepState::InProgress), find(StepState::NotStarted)) {
        (Some(step), _) => (fill(rng.pick(&CARRY_ON), episode, Some(step)), "initiative|instruction,feedback"),
        (None, Some(step)) => (fill(rng.pick(&NEXT), episode, Some(step)), "initiative|instruction,feedback"),
        (None, None) => (fill(rng.pick(&DONE), episode, None), "initiative|feedback"),
    };
    Saying { at_s, text: format!("{praise} {then}"), labels, weight: 0 }
}

/// Prerequisites of a completed step that were never started are missed from now on.
fn push_missed(episode: &Episode, state: &TaskState, at_s: f64, step: StepId, issues: &mut Vec<Issue>) {
    for before in &episode.task.steps[usize::from(step.0)].after {
        let never = episode.doings[usize::from(before.0)].span.is_none() && state.get(*before) == Some(StepState::NotStarted);
        if never && !issues.iter().any(|i| i.kind == IssueKind::Missed && i.step == *before) {
            issues.push(Issue { step: *before, kind: IssueKind::Missed, at: MediaTime(at_s), missing: Vec::new(), note: None });
        }
    }
}

/// Of utterances that fall together, the weightiest is said, and of equals the last.
fn one_at_a_time(sayings: Vec<Saying>) -> Vec<Saying> {
    let mut kept: Vec<Saying> = Vec::new();
    for saying in sayings {
        match kept.last_mut() {
            Some(last) if saying.at_s - last.at_s < ONE_UTTERANCE_S => {
                if saying.weight >= last.weight {
                    *last = saying;
                }
            }
            _ => kept.push(saying),
        }
    }
    kept
}

fn fill(template: &str, episode: &Episode, step: Option<StepId>) -> String {
    let name = step.map_or("", |id| episode.task.steps[usize::from(id.0)].name.as_str());
    // The step's own words are put in last: braces in them stay as they are.
    template.replace("{goal}", &episode.task.goal).replace("{step}", name)
}

fn last_end_s(episode: &Episode) -> f64 {
    episode.doings.iter().filter_map(|d| d.span).map(|s| s.end_s).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::super::episode::tests::{TEA, tea};
    use super::super::timeline::Timeline;
    use super::*;
    use crate::dialogue::annotation;

    #[test]
    fn the_dialogue_names_steps_word_for_word_and_reacts_at_the_updates_own_times() {
        let episode = tea();
        let recording = script(&episode).unwrap();
        assert_eq!(annotation::parse_line(&annotation::to_line(&recording)).unwrap(), recording);
        let times: Vec<f64> = recording.transitions().iter().map(|(at, _)| at.0).collect();
        let words: Vec<String> = recording.transitions().iter().map(|(_, u)| u.to_string()).collect();
        assert_eq!(words, ["S1->start", "S1->complete", "S2->start", "S2->complete", "S4->start", "S4->complete"]);
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
        let kinds: Vec<(IssueKind, u16)> = recording.issues.iter().map(|i| (i.kind, i.step.0)).collect();
        assert_eq!(kinds, [(IssueKind::Mistake, 1), (IssueKind::OutOfOrder, 3), (IssueKind::Missed, 2)]);
        assert_eq!(recording.issues[1].missing, [StepId(2)]);
    }

    #[test]
    fn the_last_completion_ends_the_task_and_another_step_in_progress_is_carried_on() {
        let both = TEA.replace("omitted = true", "start_s = 70.0\nend_s = 84.0").replace("after = [\"S2\"]\n", "");
        let timeline = Timeline::parse("tea", &both).unwrap();
        let recording = script(&Episode::new(&timeline, 3, 1.0).unwrap()).unwrap();
        let said: Vec<&str> = recording.utterances().iter().map(|u| u.1).collect();
        assert!(said[3].ends_with(": Add sugar.") && !said[3].contains("Next"), "{}", said[3]);
        assert!(said.last().unwrap().contains("enjoy your Mint Tea") || said.last().unwrap().contains("Enjoy your Mint Tea"));
        assert!(recording.issues.iter().all(|i| i.kind == IssueKind::Mistake), "{:?}", recording.issues);
    }

    #[test]
    fn no_two_utterances_share_a_frame() {
        let at_once = TEA.replace("start_s = 88.0\nend_s = 90.0", "start_s = 79.9\nend_s = 80.2");
        let timeline = Timeline::parse("tea", &at_once).unwrap();
        let recording = script(&Episode::new(&timeline, 3, 1.0).unwrap()).unwrap();
        let said = recording.utterances();
        assert!(said.windows(2).all(|w| w[1].0.0 - w[0].0.0 >= ONE_UTTERANCE_S), "{said:?}");
        assert_eq!(recording.transitions().len(), 6, "updates are never dropped");
    }
}
