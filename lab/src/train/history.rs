//! What stands in memory while the model learns: the recording's dialogue, late or early here and
//! there, or what the model itself wrote in a free run; and what the recording asks for from any
//! state that this leads to.

use std::collections::VecDeque;

use crate::train::examples::{ExampleOptions, Source, TIME_TOLERANCE_S};
use proact::dialogue::annotation::{Recording, Turn, TurnKind};
use proact::dialogue::task::{StepState, TaskState, Transition, Update};
use proact::rng::Rng;
use proact::units::MediaTime;

/// Most patience is short, some is long: a uniform draw to this power.
const PATIENCE_POWER: i32 = 3;

/// What the recording asks for: its updates in order, with their times.
pub struct Truth {
    updates: Vec<(MediaTime, Update)>,
}

impl Truth {
    /// The truth of a recording.
    pub fn new(recording: &Recording) -> Self {
        Self {
            updates: recording.transitions(),
        }
    }

    /// Updates whose time has come by `at` and that `state` still lacks, in the recording's order.
    /// A state that is ahead of the recording lacks nothing there: there is no way back.
    pub fn due<'a>(
        &'a self,
        state: &'a TaskState,
        at: MediaTime,
    ) -> impl Iterator<Item = (MediaTime, Update)> + 'a {
        let come = self
            .updates
            .iter()
            .take_while(move |(time, _)| time.0 <= at.0 + TIME_TOLERANCE_S);
        come.copied().filter(|(_, update)| lacks(state, *update))
    }
}

fn lacks(state: &TaskState, update: Update) -> bool {
    match (state.get(update.step), update.transition) {
        (Some(StepState::NotStarted), _) => true,
        (Some(StepState::InProgress), transition) => transition == Transition::Complete,
        (Some(StepState::Completed) | None, _) => false,
    }
}

fn timed(source: &Source) -> impl Iterator<Item = &Turn> {
    source
        .recording
        .turns
        .iter()
        .filter(|t| t.at.is_some() && !matches!(t.kind, TurnKind::System(_)))
}

fn time(turn: &Turn) -> f64 {
    turn.at.unwrap_or_default().0
}

/// The recording's turns with some groups moved to other frames: an event is noticed late, or taken
/// for done early.
pub fn displaced(source: &Source, options: &ExampleOptions, draw: &mut Rng) -> Vec<Turn> {
    let mut turns: Vec<Turn> = timed(source).cloned().collect();
    if draw.unit() < options.silent_user_share {
        turns.retain(|t| !matches!(t.kind, TurnKind::User(_)));
    }
    let period = source.period_s();
    if period <= 0.0 {
        return turns;
    }
    let (mut i, mut before) = (0, f64::NEG_INFINITY);
    while i < turns.len() {
        let at = time(&turns[i]);
        let end = turns[i..]
            .iter()
            .position(|t| time(t) > at)
            .map_or(turns.len(), |n| i + n);
        let moves_state = turns[i..end]
            .iter()
            .any(|t| matches!(t.kind, TurnKind::Dst(_)));
        let (fate, far) = (draw.unit(), draw.unit());
        // Never past the neighbouring turn: their order is part of the dialogue.
        let frames = |room: f64, most: usize| {
            (far * most.min((room / period - 1.0).max(0.0) as usize) as f32).ceil()
        };
        let after = turns.get(end).map_or(f64::INFINITY, time);
        let shift = match () {
            () if !moves_state => 0.0,
            () if fate < options.late_share => frames(after - at, options.late_frames_max),
            () if fate < options.late_share + options.early_share => {
                -frames(at - before.max(0.0), options.early_frames_max)
            }
            () => 0.0,
        };
        let to = at + f64::from(shift) * period;
        turns[i..end]
            .iter_mut()
            .for_each(|turn| turn.at = Some(MediaTime(to)));
        before = to;
        i = end;
    }
    turns
}

/// A dialogue that stands in memory.
#[derive(Default)]
pub struct History {
    /// Its turns.
    pub turns: Vec<Turn>,
    /// Times of sentences that are the model's own and that the recording does not have: they are
    /// not learnt.
    pub own_words: Vec<MediaTime>,
}

/// What the model wrote in a free run, at the frames of the recording. An update that it has failed
/// to make is made for it after a time drawn up to `patience_s_max`. What the state does not allow
/// then is left out. (Ross et al., DAgger, 2011: the learner's states, the expert's answers.)
///
/// What the recording's assistant says upon an update is said when that update is made; what it
/// says otherwise, at its own time. The model's own words stand where the recording has none.
pub fn own(source: &Source, wrote: &[Turn], patience_s_max: f64, draw: &mut Rng) -> History {
    let truth = Truth::new(&source.recording);
    let patience_s: Vec<f64> = truth
        .updates
        .iter()
        .map(|_| patience_s_max * f64::from(draw.unit()).powi(PATIENCE_POWER))
        .collect();
    let mut said = Said::new(source);
    let mut state = source.start.clone();
    let mut history = History::default();
    let mut next = 0;
    for at in &source.frames {
        let mut updates = Vec::new();
        let mut own_words = None;
        while let Some(turn) = wrote
            .get(next)
            .filter(|t| time(t) <= at.0 + TIME_TOLERANCE_S)
        {
            match &turn.kind {
                TurnKind::Dst(own) => {
                    updates.extend(own.iter().filter(|update| state.apply(**update).is_ok()));
                }
                TurnKind::Assistant { .. } => own_words = Some(turn.kind.clone()),
                TurnKind::System(_) | TurnKind::User(_) => {}
            }
            next += 1;
        }
        for ((due_at, update), patience_s) in truth.updates.iter().zip(&patience_s) {
            let overdue = due_at.0 + patience_s <= at.0 + TIME_TOLERANCE_S;
            if overdue && lacks(&state, *update) && state.apply(*update).is_ok() {
                updates.push(*update);
            }
        }
        let words = said.take(*at, &updates);
        if !updates.is_empty() {
            history.turns.push(Turn {
                at: Some(*at),
                kind: TurnKind::Dst(updates),
            });
        }
        if words.is_none() && own_words.is_some() {
            history.own_words.push(*at);
        }
        history.turns.extend(words.or(own_words).map(|kind| Turn {
            at: Some(*at),
            kind,
        }));
    }
    history
}

/// What the recording's assistant says: upon which update, or by itself.
struct Said {
    upon: Vec<(Update, TurnKind)>,
    alone: VecDeque<(MediaTime, TurnKind)>,
}

impl Said {
    fn new(source: &Source) -> Self {
        let (mut upon, mut alone) = (Vec::new(), VecDeque::new());
        let updates = source.recording.transitions();
        for turn in timed(source).filter(|t| matches!(t.kind, TurnKind::Assistant { .. })) {
            match updates.iter().rev().find(|(at, _)| at.0 == time(turn)) {
                Some((_, update)) => upon.push((*update, turn.kind.clone())),
                None => alone.push_back((turn.at.unwrap_or_default(), turn.kind.clone())),
            }
        }
        Self { upon, alone }
    }

    /// What is said at a frame at which `updates` are made; the last is answered.
    fn take(&mut self, at: MediaTime, updates: &[Update]) -> Option<TurnKind> {
        let mut words = None;
        while self
            .alone
            .front()
            .is_some_and(|(time, _)| time.0 <= at.0 + TIME_TOLERANCE_S)
        {
            words = self.alone.pop_front().map(|(_, kind)| kind);
        }
        for update in updates {
            if let Some(place) = self.upon.iter().position(|(of, _)| of == update) {
                words = Some(self.upon.swap_remove(place).1);
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use proact::dialogue::task::Task;

    fn updates(words: &[&str]) -> TurnKind {
        TurnKind::Dst(words.iter().map(|w| Update::parse(w).unwrap()).collect())
    }

    fn turn(at: f64, kind: TurnKind) -> Turn {
        Turn {
            at: Some(MediaTime(at)),
            kind,
        }
    }

    fn says(at: f64) -> Turn {
        turn(
            at,
            TurnKind::Assistant {
                text: "Good.".into(),
                labels: String::new(),
            },
        )
    }

    /// Two steps one after the other: 2-4 s and 6-8 s, ten seconds at 2 frames a second.
    fn source() -> Source {
        let task =
            Task::parse("goal = \"t\"\n[[step]]\nname = \"a\"\n[[step]]\nname = \"b\"\n").unwrap();
        let events = [
            (2.0, "S1->start"),
            (4.0, "S1->complete"),
            (6.0, "S2->start"),
            (8.0, "S2->complete"),
        ];
        let turns = events
            .iter()
            .map(|(at, word)| turn(*at, updates(&[word])))
            .collect();
        let recording = Recording {
            turns,
            end_s: 10.0,
            fps: 2.0,
            ..Recording::default()
        };
        let frames = (0..20).map(|i| MediaTime(f64::from(i) / 2.0)).collect();
        let start = TaskState::new(&task);
        Source {
            recording,
            task,
            start,
            frames,
            features: Arc::from([]),
            frame_width: 0,
            cosines: Arc::from([]),
            likeness: Arc::from([]),
        }
    }

    fn words(turns: &[Turn]) -> String {
        let word = |turn: &Turn| match &turn.kind {
            TurnKind::Dst(updates) => {
                let updates: Vec<String> = updates.iter().map(ToString::to_string).collect();
                format!("{} {}", time(turn), updates.join("+"))
            }
            _ => format!("{} says", time(turn)),
        };
        turns.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_is_due_depends_on_the_state_that_was_reached() {
        let source = source();
        let truth = Truth::new(&source.recording);
        let mut state = TaskState::new(&source.task);
        let due = |state: &TaskState, at| {
            truth
                .due(state, MediaTime(at))
                .map(|(_, u)| u.to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(due(&state, 1.9), "");
        assert_eq!(due(&state, 2.0), "S1->start");
        assert_eq!(due(&state, 7.0), "S1->start S1->complete S2->start");
        state.apply(Update::parse("S2->start").unwrap()).unwrap();
        assert_eq!(
            due(&state, 7.0),
            "S1->start S1->complete",
            "a wrong start is not asked back"
        );
        state.apply(Update::parse("S2->complete").unwrap()).unwrap();
        assert_eq!(due(&state, 9.0), "S1->start S1->complete");
    }

    #[test]
    fn a_history_of_its_own_keeps_errors_and_is_helped_in_the_end() {
        let source = source();
        let wrote = [
            turn(1.0, updates(&["S2->start"])),
            says(1.0),
            turn(2.5, updates(&["S1->start"])),
            turn(3.0, updates(&["S2->start"])),
        ];
        let alone = own(&source, &wrote, 1e9, &mut Rng::of(&[1]));
        assert_eq!(words(&alone.turns), "1 S2->start, 1 says, 2.5 S1->start");
        assert_eq!(alone.own_words, [MediaTime(1.0)]);
        let helped = own(&source, &wrote, 0.0, &mut Rng::of(&[1]));
        assert_eq!(
            words(&helped.turns),
            "1 S2->start, 1 says, 2 S1->start, 4 S1->complete, 8 S2->complete"
        );
        let nothing = own(&source, &[], 0.0, &mut Rng::of(&[1]));
        assert_eq!(
            words(&nothing.turns),
            "2 S1->start, 4 S1->complete, 6 S2->start, 8 S2->complete"
        );
    }

    #[test]
    fn words_upon_an_update_move_with_it_and_other_words_stay() {
        let mut source = source();
        source.recording.turns.insert(0, says(0.5));
        source.recording.turns.insert(3, says(4.0));
        let wrote = [
            turn(2.0, updates(&["S1->start"])),
            turn(5.0, updates(&["S1->complete"])),
            says(5.0),
            says(9.0),
        ];
        let own = own(&source, &wrote, 1e9, &mut Rng::of(&[1]));
        assert_eq!(
            words(&own.turns),
            "0.5 says, 2 S1->start, 5 S1->complete, 5 says, 9 says"
        );
        assert_eq!(own.own_words, [MediaTime(9.0)]);
    }

    #[test]
    fn displaced_turns_keep_their_order() {
        let source = source();
        let options = ExampleOptions {
            late_share: 0.5,
            late_frames_max: 4,
            early_share: 0.5,
            early_frames_max: 4,
            ..ExampleOptions::default()
        };
        let straight = displaced(&source, &ExampleOptions::default(), &mut Rng::of(&[2]));
        assert_eq!(
            words(&straight),
            "2 S1->start, 4 S1->complete, 6 S2->start, 8 S2->complete"
        );
        let mut moved_ever = false;
        for seed in 0..20 {
            let moved = displaced(&source, &options, &mut Rng::of(&[seed]));
            assert!(
                moved.windows(2).all(|w| time(&w[0]) < time(&w[1])),
                "{}",
                words(&moved)
            );
            moved_ever |= moved != straight;
        }
        assert!(moved_ever);
    }
}
