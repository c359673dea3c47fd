//! One recording's counts, pooled over a set, and the scores that follow from them (`eval --json`).

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::fit::{self, FitTally};
use super::gates::{self, GateScores, GateTally};
use super::log::Log;
use super::reference::Reference;
use super::speech::{self, Similarity, SpeechScores, SpeechTally};
use super::state::{self, StateTally};
use super::transitions::{self, Fates, Matches, TOLERANCES_S};
use super::warnings::{self, WarningScores, WarningTally};
use super::{Hits, Rates, quantile};
use proact::error::{Error, Result};

/// Seconds in an hour.
const HOUR_S: f64 = 3600.0;

/// How to score.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Tolerances for transitions, ascending, in seconds.
    pub tolerances_s: Vec<f64>,
    /// Speech window; by default that of the data set.
    pub window_s: Option<(f64, f64)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tolerances_s: TOLERANCES_S.to_vec(),
            window_s: None,
        }
    }
}

impl Options {
    /// Checks the tolerances.
    ///
    /// # Errors
    /// None at all, not ascending, or not seconds.
    pub fn check(&self) -> Result<()> {
        let ascending = self.tolerances_s.windows(2).all(|w| w[0] < w[1]);
        let sane = self.tolerances_s.iter().all(|t| t.is_finite() && *t >= 0.0);
        if self.tolerances_s.is_empty() || !ascending || !sane {
            return Err(Error::Invalid(format!(
                "tolerances {:?}: expected seconds, ascending",
                self.tolerances_s
            )));
        }
        Ok(())
    }
}

/// Counts of one recording, or of several pooled.
#[derive(Clone, Debug)]
pub struct Tally {
    tolerances_s: Vec<f64>,
    /// Per tolerance.
    transitions: Vec<Matches>,
    fates: Fates,
    state: StateTally,
    speech: SpeechTally,
    fit: Option<FitTally>,
    warnings: WarningTally,
    /// Speak, update.
    gates: [GateTally; 2],
    duration_s: f64,
    similarity: String,
    windows_s: Vec<(f64, f64)>,
    speeds: Vec<f64>,
}

impl Tally {
    /// Counts one recording.
    ///
    /// # Errors
    /// The log is of another task than the reference, or an option is out of range.
    pub fn of(
        log: &Log,
        reference: &Reference,
        options: &Options,
        similarity: &dyn Similarity,
    ) -> Result<Self> {
        options.check()?;
        same_task(log, reference)?;
        let window_s = options
            .window_s
            .unwrap_or_else(|| speech::window_of(&reference.dataset));
        let at = |t: &f64| transitions::matches(&log.transitions, &reference.transitions, *t);
        Ok(Self {
            tolerances_s: options.tolerances_s.clone(),
            transitions: options.tolerances_s.iter().map(at).collect(),
            fates: transitions::fates(&log.transitions, &reference.transitions),
            state: state::tally(log, reference),
            speech: speech::tally(log, reference, window_s, similarity)?,
            fit: fit::tally(log, reference, similarity),
            warnings: warnings::tally(log, reference),
            gates: gates::tally(log, reference),
            duration_s: reference.duration_s(),
            similarity: similarity.name().to_owned(),
            windows_s: vec![window_s],
            speeds: reference.speed.into_iter().collect(),
        })
    }

    /// Pools another recording, counted with the same options.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.transitions.iter_mut().zip(&other.transitions) {
            mine.all.add(&theirs.all);
            mine.start.add(&theirs.start);
            mine.complete.add(&theirs.complete);
            mine.late_s.extend(&theirs.late_s);
        }
        self.fates.add(&other.fates);
        self.state.add(&other.state);
        self.speech.add(&other.speech);
        match (&mut self.fit, &other.fit) {
            (Some(mine), Some(theirs)) => mine.add(theirs),
            (None, Some(theirs)) => self.fit = Some(*theirs),
            (_, None) => {}
        }
        self.warnings.add(&other.warnings);
        for (mine, theirs) in self.gates.iter_mut().zip(&other.gates) {
            mine.add(theirs);
        }
        self.duration_s += other.duration_s;
        let new = |w: &&(f64, f64)| !self.windows_s.contains(w);
        self.windows_s.extend(
            other
                .windows_s
                .iter()
                .filter(new)
                .copied()
                .collect::<Vec<_>>(),
        );
        let new = |s: &&f64| !self.speeds.contains(s);
        self.speeds
            .extend(other.speeds.iter().filter(new).copied().collect::<Vec<_>>());
    }

    /// All of them together; `None` of none.
    pub fn pool(all: impl IntoIterator<Item = Self>) -> Option<Self> {
        all.into_iter().reduce(|mut total, other| {
            total.add(&other);
            total
        })
    }

    /// The scores of these counts.
    pub fn scores(&self) -> Scores {
        let by_tolerance = |of: fn(&Matches) -> &Hits| {
            ByTolerance(
                self.tolerances_s
                    .iter()
                    .zip(&self.transitions)
                    .map(|(t, m)| (*t, of(m).rates()))
                    .collect(),
            )
        };
        let late_s = self.transitions.last().map_or(&[][..], |m| &m.late_s);
        let apart_s: Vec<f64> = late_s.iter().map(|t| t.abs()).collect();
        Scores {
            transitions: by_tolerance(|m| &m.all),
            starts: by_tolerance(|m| &m.start),
            completions: by_tolerance(|m| &m.complete),
            joint_state_accuracy: self.state.joint(),
            step_state_accuracy: self.state.per_step(),
            order_edit_score: self.state.order(),
            speech: Speech {
                rates: self.speech.scores(),
                similarity: self.similarity.clone(),
                window_s: one_or_all(&self.windows_s),
                correct_above: speech::CORRECT_ABOVE,
                fit: self.fit.and_then(|f| f.share()),
                fit_counts: self.fit,
            },
            latency_s: Latency {
                median: quantile(late_s, 0.5),
                p90: quantile(late_s, 0.9),
                abs_median: quantile(&apart_s, 0.5),
                abs_p90: quantile(&apart_s, 0.9),
                within: self.tolerances_s.last().copied().unwrap_or_default(),
            },
            false_updates_per_hour: (self.duration_s > 0.0)
                .then(|| self.fates.wrong() as f64 / (self.duration_s / HOUR_S)),
            updates: self.fates,
            warnings: self.warnings.scores(self.duration_s),
            gates: Gates {
                speak: self.gates[0].scores(),
                dst_update: self.gates[1].scores(),
            },
            duration_s: self.duration_s,
            speed: one_or_all(&self.speeds),
        }
    }
}

/// A log that lists other steps than the reference would be scored against the wrong task.
fn same_task(log: &Log, reference: &Reference) -> Result<()> {
    let bad = |why: String| {
        Err(Error::Invalid(format!(
            "recording `{}`: {why}",
            reference.id
        )))
    };
    let steps = &reference.task.steps;
    if log.steps.is_empty() || steps.is_empty() {
        return Ok(());
    }
    if log.steps.len() != steps.len() {
        return bad(format!(
            "its task has {} steps, the log's {}; was the log made with its task file?",
            steps.len(),
            log.steps.len()
        ));
    }
    for (info, step) in log.steps.iter().zip(steps) {
        if let Some(name) = info
            .name
            .as_deref()
            .filter(|n| n.trim() != step.name.trim())
        {
            return bad(format!(
                "{} is `{}`, in the log `{name}`; was the log made with its task file?",
                info.id, step.name
            ));
        }
    }
    Ok(())
}

/// Scores of a set or of one recording; the keys of `eval --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// All transitions, by tolerance.
    pub transitions: ByTolerance,
    /// Starts of steps only.
    pub starts: ByTolerance,
    /// Completions of steps only.
    pub completions: ByTolerance,
    /// Share of time in which the whole state was right.
    pub joint_state_accuracy: Option<f64>,
    /// Share of step-time in which a step's state was right.
    pub step_state_accuracy: Option<f64>,
    /// Order of starts, 1 - edits / longer order.
    pub order_edit_score: Option<f64>,
    /// ProAssist's matching, and fit.
    pub speech: Speech,
    /// Of matched transitions.
    pub latency_s: Latency,
    /// Predicted transitions without a reference within [`transitions::FALSE_UPDATE_TOLERANCE_S`],
    /// per hour of video.
    pub false_updates_per_hour: Option<f64>,
    /// What became of each predicted transition.
    pub updates: Fates,
    /// Out-of-order and skipped steps, against labels.
    pub warnings: WarningScores,
    /// How well the gates' probabilities tell when to act.
    pub gates: Gates,
    /// Seconds scored.
    pub duration_s: f64,
    /// Speed of the video, a list where recordings differ, `null` where it is not known.
    pub speed: OneOrAll<f64>,
}

impl Scores {
    /// Rates of all transitions at a tolerance, if it was asked for.
    pub fn at(&self, tolerance_s: f64) -> Option<&Rates> {
        self.transitions
            .0
            .iter()
            .find(|(t, _)| *t == tolerance_s)
            .map(|(_, r)| r)
    }
}

/// Scores of both gates; `null` for a log without probabilities.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gates {
    /// Speak now?
    pub speak: Option<GateScores>,
    /// Update the state now?
    pub dst_update: Option<GateScores>,
}

/// Speech scores with what they depend on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Speech {
    /// ProAssist's rates.
    #[serde(flatten)]
    pub rates: SpeechScores,
    /// Name of the similarity measure.
    pub similarity: String,
    /// The window, or all of them.
    pub window_s: OneOrAll<(f64, f64)>,
    /// A match is correct above this similarity.
    pub correct_above: f64,
    /// Share of spoken sentences that fit the step at hand.
    pub fit: Option<f64>,
    /// Its counts.
    pub fit_counts: Option<FitTally>,
}

/// How late matched transitions come; positive is late.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Median of predicted minus reference time.
    pub median: Option<f64>,
    /// Its 90th percentile.
    pub p90: Option<f64>,
    /// Median distance, early or late.
    pub abs_median: Option<f64>,
    /// 90th percentile of the distance.
    pub abs_p90: Option<f64>,
    /// Tolerance of the matches that it is of: the largest.
    pub within: f64,
}

/// Rates by tolerance; written as `{"2s": …, "5s": …}`.
#[derive(Clone, Debug, PartialEq)]
pub struct ByTolerance(pub Vec<(f64, Rates)>);

impl Serialize for ByTolerance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (tolerance_s, rates) in &self.0 {
            map.serialize_entry(&format!("{tolerance_s}s"), rates)?;
        }
        map.end()
    }
}

/// A value that a set has in common; the list of values where it has not; `null` for none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum OneOrAll<T> {
    /// Not known.
    None,
    /// The same everywhere.
    One(T),
    /// Several, in order of first use.
    All(Vec<T>),
}

fn one_or_all<T: Copy>(values: &[T]) -> OneOrAll<T> {
    match values {
        [] => OneOrAll::None,
        [one] => OneOrAll::One(*one),
        all => OneOrAll::All(all.to_vec()),
    }
}

/// Scores of a set, and of each recording in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Pooled over the set.
    pub set: Scores,
    /// One by one, in the order of the references.
    pub recordings: Vec<RecordingScores>,
}

/// Scores of one recording.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordingScores {
    /// Its name.
    pub id: String,
    /// Its scores.
    #[serde(flatten)]
    pub scores: Scores,
}

impl Report {
    /// The report on recordings that were counted, each with its name.
    ///
    /// # Errors
    /// No recording at all.
    pub fn of(counted: Vec<(String, Tally)>) -> Result<Self> {
        let recordings = counted
            .iter()
            .map(|(id, tally)| RecordingScores {
                id: id.clone(),
                scores: tally.scores(),
            })
            .collect();
        let pooled = Tally::pool(counted.into_iter().map(|(_, tally)| tally));
        let pooled = pooled.ok_or_else(|| Error::Invalid("no recording to score".into()))?;
        Ok(Self {
            set: pooled.scores(),
            recordings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::tests_log as log;
    use super::super::reference::sample;
    use super::super::speech::Lexical;
    use super::*;
    use proact::units::MediaTime;

    fn report(pairs: &[(&Log, &Reference)]) -> Report {
        let tally = |(log, reference): &(&Log, &Reference)| {
            (
                reference.id.clone(),
                Tally::of(log, reference, &Options::default(), &Lexical).unwrap(),
            )
        };
        Report::of(pairs.iter().map(tally).collect()).unwrap()
    }

    fn pairs() -> (Log, Reference, Log, Reference) {
        let updates = [(10.0, "S1->start"), (40.0, "S1->complete")];
        let mut first = sample(
            &["boil water"],
            100.0,
            &updates,
            &[(40.0, "Well done. That was boil water.")],
        );
        first.speed = Some(4.0);
        let mut second = Reference {
            id: "q".into(),
            ..first.clone()
        };
        second.end = MediaTime(300.0);
        let perfect = log(1, &updates, &[(40.0, "Well done. That was boil water.")]);
        let off = log(1, &[(16.0, "S1->start"), (43.0, "S1->complete")], &[]);
        (perfect, first, off, second)
    }

    #[test]
    fn a_set_is_pooled_by_counts_and_time() {
        let (perfect, first, off, second) = pairs();
        let report = report(&[(&perfect, &first), (&off, &second)]);
        let set = &report.set;
        // 2 + 0 of 4 within 2 s, 2 + 1 within 5 s (3 s late), 4 within 10 s (6 s late).
        assert_eq!(set.at(2.0).unwrap().f1, Some(0.5));
        assert_eq!(set.at(5.0).unwrap().f1, Some(0.75));
        assert_eq!(set.at(10.0).unwrap().f1, Some(1.0));
        // Wrong 6 + 3 s of 100 + 300 s, not the mean of 1 and 0.97.
        assert_eq!(set.joint_state_accuracy, Some(391.0 / 400.0));
        // Late by 0, 0, 6, 3.
        assert_eq!(
            (set.latency_s.median, set.latency_s.within),
            (Some(1.5), 10.0)
        );
        // One update further than 5 s away in 400 s: 9 an hour.
        assert!((set.false_updates_per_hour.unwrap() - 9.0).abs() < 1e-9);
        // One correct, one missed.
        assert_eq!(
            (set.speech.rates.precision, set.speech.rates.recall),
            (Some(1.0), Some(0.5))
        );
        assert_eq!(set.speech.fit, Some(1.0));
        assert_eq!(set.speed, OneOrAll::One(4.0));
        assert_eq!(
            report.recordings[1].scores.joint_state_accuracy,
            Some(291.0 / 300.0)
        );
    }

    #[test]
    fn the_json_has_the_agreed_keys() {
        let (perfect, first, ..) = pairs();
        let report = report(&[(&perfect, &first)]);
        let json = serde_json::to_value(&report).unwrap();
        for pointer in [
            "/set/transitions/2s/precision",
            "/set/transitions/5s/f1",
            "/set/joint_state_accuracy",
            "/set/speech/f1",
            "/set/speech/missing_rate",
            "/set/speech/redundant_rate",
            "/set/speech/similarity",
            "/set/speech/window_s/1",
            "/set/speech/fit",
            "/set/latency_s/median",
            "/set/latency_s/p90",
            "/set/false_updates_per_hour",
            "/set/speed",
            "/recordings/0/id",
            "/recordings/0/transitions/5s/recall",
        ] {
            assert!(
                json.pointer(pointer).is_some_and(|v| !v.is_null()),
                "{pointer} in {json:#}"
            );
        }
        assert_eq!(
            json.pointer("/set/transitions/1s/f1"),
            Some(&serde_json::json!(1.0))
        );
    }

    #[test]
    fn another_task_or_odd_options_are_errors() {
        let (perfect, first, ..) = pairs();
        let refuse = |log: &Log, options: &Options| {
            Tally::of(log, &first, options, &Lexical)
                .unwrap_err()
                .to_string()
        };
        let two = super::super::log::tests_log(2, &[], &[]);
        assert!(refuse(&two, &Options::default()).contains("1 steps, the log's 2"));
        let mut renamed = perfect.clone();
        renamed.steps[0].name = Some("Dance".into());
        assert!(refuse(&renamed, &Options::default()).contains("in the log `Dance`"));
        for tolerances_s in [vec![], vec![5.0, 2.0], vec![-1.0], vec![f64::NAN]] {
            assert!(
                refuse(
                    &perfect,
                    &Options {
                        tolerances_s,
                        window_s: None
                    }
                )
                .contains("tolerances")
            );
        }
        for window in [(1.0, 2.0), (-1.0, -0.5), (f64::NAN, 1.0), (-1.0, 1e9)] {
            let options = Options {
                window_s: Some(window),
                ..Options::default()
            };
            assert!(refuse(&perfect, &options).contains("speech window"));
        }
        assert!(Report::of(vec![]).is_err());
    }
}
