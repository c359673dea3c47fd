//! Was the person told of what went wrong? Warnings against the recording's labels of out-of-order
//! and skipped steps.

use serde::Serialize;

use super::log::{Log, Warning};
use super::reference::Reference;
use super::share;
use proact::dialogue::annotation::IssueKind;
use proact::stream::WarningKind;
use proact::units::StepId;

/// Seconds in an hour.
const HOUR_S: f64 = 3600.0;

/// What is pooled over recordings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WarningTally {
    out_of_order: LabelCount,
    skipped: LabelCount,
    warnings: usize,
    wrong: usize,
}

/// Labels of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LabelCount {
    labelled: usize,
    warned: usize,
}

impl LabelCount {
    fn add(&mut self, other: Self) {
        self.labelled += other.labelled;
        self.warned += other.warned;
    }

    fn scores(self) -> LabelScores {
        LabelScores {
            recall: share(self.warned, self.labelled),
            warned: self.warned,
            labelled: self.labelled,
        }
    }
}

/// Scores of the warnings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WarningScores {
    /// Labels of both kinds together.
    #[serde(flatten)]
    pub all: LabelScores,
    /// Steps that began too early.
    pub out_of_order: LabelScores,
    /// Steps that were never done.
    pub skipped: LabelScores,
    /// Warnings told.
    pub warnings: usize,
    /// Those that no label bears out.
    pub wrong: usize,
    /// The same per hour of video.
    pub wrong_per_hour: Option<f64>,
}

/// Labels, and how many of them were warned of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LabelScores {
    /// warned / labelled; `None` without labels.
    pub recall: Option<f64>,
    /// Labels warned of.
    pub warned: usize,
    /// Labels.
    pub labelled: usize,
}

impl WarningTally {
    /// Pools another recording.
    pub fn add(&mut self, other: &Self) {
        self.out_of_order.add(other.out_of_order);
        self.skipped.add(other.skipped);
        self.warnings += other.warnings;
        self.wrong += other.wrong;
    }

    /// The scores of what was pooled over `duration_s` seconds of video.
    pub fn scores(&self, duration_s: f64) -> WarningScores {
        let all = LabelCount {
            labelled: self.out_of_order.labelled + self.skipped.labelled,
            warned: self.out_of_order.warned + self.skipped.warned,
        };
        WarningScores {
            all: all.scores(),
            out_of_order: self.out_of_order.scores(),
            skipped: self.skipped.scores(),
            warnings: self.warnings,
            wrong: self.wrong,
            wrong_per_hour: (duration_s > 0.0).then(|| self.wrong as f64 / (duration_s / HOUR_S)),
        }
    }
}

/// Holds a log's warnings against labels, whenever they were said. A step labelled as out of order
/// is warned of by a warning that it began too early; one labelled as missed by any warning that
/// names it as missing.
pub fn tally(log: &Log, reference: &Reference) -> WarningTally {
    let labelled = |kind| {
        reference
            .issues
            .iter()
            .filter(move |issue| issue.kind == kind)
            .map(|issue| issue.step)
    };
    let count = |kind, warned: &dyn Fn(StepId) -> bool| LabelCount {
        labelled: labelled(kind).count(),
        warned: labelled(kind).filter(|step| warned(*step)).count(),
    };
    let early = |step| {
        log.warnings
            .iter()
            .any(|w| w.kind == WarningKind::OutOfOrder && w.step == step)
    };
    let missing = |step| log.warnings.iter().any(|w| w.missing.contains(&step));
    WarningTally {
        out_of_order: count(IssueKind::OutOfOrder, &early),
        skipped: count(IssueKind::Missed, &missing),
        warnings: log.warnings.len(),
        wrong: (0..log.warnings.len())
            .filter(|i| !is_right(*i, &log.warnings, reference))
            .count(),
    }
}

/// Whether a label bears out a warning: of the same kind, about the step that began too early or
/// one of those named as missed. Saying the same again is not right twice.
pub fn is_right(place: usize, warnings: &[Warning], reference: &Reference) -> bool {
    let Some(warning) = warnings.get(place) else {
        return false;
    };
    let again = warnings[..place]
        .iter()
        .any(|w| w.kind == warning.kind && w.step == warning.step);
    let is_labelled = |kind, step| {
        reference
            .issues
            .iter()
            .any(|issue| issue.kind == kind && issue.step == step)
    };
    !again
        && match warning.kind {
            WarningKind::OutOfOrder => is_labelled(IssueKind::OutOfOrder, warning.step),
            WarningKind::Missed => warning
                .missing
                .iter()
                .any(|step| is_labelled(IssueKind::Missed, *step)),
        }
}

#[cfg(test)]
mod tests {
    use super::super::log::tests_log;
    use super::super::reference::sample;
    use super::*;
    use proact::dialogue::annotation::Issue;
    use proact::units::MediaTime;

    #[test]
    fn a_hand_worked_recording() {
        let mut reference = sample(&["a", "b", "c", "d"], 1800.0, &[], &[]);
        let issue = |kind, step| Issue {
            step: StepId(step),
            kind,
            at: MediaTime(5.0),
            missing: vec![],
            note: None,
        };
        reference.issues = vec![
            issue(IssueKind::OutOfOrder, 1),
            issue(IssueKind::OutOfOrder, 3),
            issue(IssueKind::Missed, 0),
            issue(IssueKind::Missed, 2),
            issue(IssueKind::Mistake, 2), // Not something a warning event can tell.
        ];
        let mut log = tests_log(4, &[], &[]);
        let warning = |kind, step, missing: &[u16]| Warning {
            at: MediaTime(9.0),
            kind,
            step: StepId(step),
            missing: missing.iter().map(|s| StepId(*s)).collect(),
        };
        log.warnings = vec![
            warning(WarningKind::OutOfOrder, 1, &[0]), // right; S1 is told as missing by it
            warning(WarningKind::OutOfOrder, 2, &[1]), // S3 was not out of order
            warning(WarningKind::Missed, 0, &[0]),     // right
            warning(WarningKind::Missed, 0, &[0]),     // again
            warning(WarningKind::Missed, 3, &[3]),     // S4 was done
        ];
        let got = tally(&log, &reference);
        let scores = got.scores(1800.0);
        assert_eq!(
            (scores.out_of_order.warned, scores.out_of_order.labelled),
            (1, 2)
        );
        assert_eq!((scores.skipped.warned, scores.skipped.labelled), (1, 2));
        assert_eq!(
            (scores.all.recall, scores.warnings, scores.wrong),
            (Some(0.5), 5, 3)
        );
        assert_eq!(scores.wrong_per_hour, Some(6.0));
        let mut twice = got;
        twice.add(&got);
        assert_eq!(
            twice.scores(3600.0),
            WarningScores {
                all: twice.scores(1.0).all,
                wrong_per_hour: Some(6.0),
                ..twice.scores(1.0)
            }
        );
        assert_eq!(
            tally(&tests_log(4, &[], &[]), &sample(&["a"], 9.0, &[], &[]))
                .scores(0.0)
                .all
                .recall,
            None
        );
    }
}
