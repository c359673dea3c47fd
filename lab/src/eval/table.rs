//! Scores as plain tables: one row a system, or one a recording; a table for the state, one for
//! speech, one for the gates.

use super::score::Scores;

/// A column: its title, and a cell's text.
type Column = (&'static str, fn(&Scores) -> String);

const STATE: [Column; 15] = [
    ("F1@1s", |s| f1(s, 1.0)),
    ("F1@2s", |s| f1(s, 2.0)),
    ("F1@5s", |s| f1(s, 5.0)),
    ("F1@10s", |s| f1(s, 10.0)),
    ("P@5s", |s| share(s.at(5.0).and_then(|r| r.precision))),
    ("R@5s", |s| share(s.at(5.0).and_then(|r| r.recall))),
    ("JSA", |s| share(s.joint_state_accuracy)),
    ("step acc", |s| share(s.step_state_accuracy)),
    ("order", |s| share(s.order_edit_score)),
    ("late s", |s| seconds(s.latency_s.median)),
    ("p90 s", |s| seconds(s.latency_s.p90)),
    ("false/h", |s| rate(s.false_updates_per_hour)),
    ("wrong step", |s| s.updates.other_step.to_string()),
    ("warned", |s| share(s.warnings.all.recall)),
    ("wrong w./h", |s| rate(s.warnings.wrong_per_hour)),
];

const SPEECH: [Column; 9] = [
    ("speech F1", |s| share(s.speech.rates.f1)),
    ("P", |s| share(s.speech.rates.precision)),
    ("R", |s| share(s.speech.rates.recall)),
    ("jaccard", |s| share(s.speech.rates.jaccard)),
    ("redund.", |s| share(s.speech.rates.redundant_rate)),
    ("missing", |s| share(s.speech.rates.missing_rate)),
    ("alike", |s| share(s.speech.rates.semantic_score)),
    ("apart s", |s| {
        s.speech
            .rates
            .time_diff_s
            .map_or("-".into(), |v| format!("{v:.2}"))
    }),
    ("fit", |s| share(s.speech.fit)),
];

const GATES: [Column; 6] = [
    ("speak AUPRC", |s| {
        share(s.gates.speak.as_ref().and_then(|g| g.auprc))
    }),
    ("bal. acc", |s| {
        share(s.gates.speak.as_ref().and_then(|g| g.balanced_accuracy))
    }),
    ("ECE", |s| share(s.gates.speak.as_ref().and_then(|g| g.ece))),
    ("update AUPRC", |s| {
        share(s.gates.dst_update.as_ref().and_then(|g| g.auprc))
    }),
    ("bal. acc", |s| {
        share(
            s.gates
                .dst_update
                .as_ref()
                .and_then(|g| g.balanced_accuracy),
        )
    }),
    ("ECE", |s| {
        share(s.gates.dst_update.as_ref().and_then(|g| g.ece))
    }),
];

fn share(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{v:.3}"))
}

fn seconds(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{v:+.1}"))
}

fn rate(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{v:.1}"))
}

fn f1(scores: &Scores, tolerance_s: f64) -> String {
    share(scores.at(tolerance_s).and_then(|r| r.f1))
}

/// Three tables with a line of titles each; a number that has no meaning is `-`.
pub fn render<'a>(rows: impl IntoIterator<Item = (&'a str, &'a Scores)>) -> String {
    let rows: Vec<_> = rows.into_iter().collect();
    [&STATE[..], &SPEECH[..], &GATES[..]]
        .map(|columns| table(columns, &rows))
        .join("\n")
}

fn table(columns: &[Column], rows: &[(&str, &Scores)]) -> String {
    let titles = std::iter::once("")
        .chain(columns.iter().map(|(title, _)| *title))
        .map(str::to_owned)
        .collect();
    let mut lines: Vec<Vec<String>> = vec![titles];
    for (name, scores) in rows {
        lines.push(
            std::iter::once((*name).to_owned())
                .chain(columns.iter().map(|(_, cell)| cell(scores)))
                .collect(),
        );
    }
    let width = |column: usize| {
        lines
            .iter()
            .map(|l| l[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..=columns.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).enumerate();
        let cells: Vec<String> = cells
            .map(|(i, (cell, &w))| {
                if i == 0 {
                    format!("{cell:<w$}")
                } else {
                    format!("{cell:>w$}")
                }
            })
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::log::tests_log as log;
    use super::super::reference::sample;
    use super::super::{Options, Tally, speech::Lexical};
    use super::*;

    #[test]
    fn a_row_a_system() {
        let reference = sample(
            &["a"],
            100.0,
            &[(10.0, "S1->start"), (40.0, "S1->complete")],
            &[(40.0, "Well done.")],
        );
        let of = |log| {
            Tally::of(&log, &reference, &Options::default(), &Lexical)
                .unwrap()
                .scores()
        };
        let model = of(log(
            1,
            &[(11.0, "S1->start"), (43.0, "S1->complete")],
            &[(41.0, "Well done.")],
        ));
        let silent = of(log(1, &[], &[]));
        let expected = "        F1@1s  F1@2s  F1@5s  F1@10s   P@5s   R@5s    JSA  step acc  order  late s  p90 s  false/h  wrong step  warned  wrong w./h
model   0.500  0.500  1.000   1.000  1.000  1.000  0.960     0.960  1.000    +2.0   +2.8      0.0           0       -         0.0
silent  0.000  0.000  0.000   0.000      -  0.000  0.100     0.100  0.000       -      -      0.0           0       -         0.0

        speech F1      P      R  jaccard  redund.  missing  alike  apart s    fit
model       1.000  1.000  1.000    1.000    0.000    0.000  1.000     1.00  1.000
silent      0.000      -  0.000    0.000        -    1.000      -        -      -

        speak AUPRC  bal. acc  ECE  update AUPRC  bal. acc  ECE
model             -         -    -             -         -    -
silent            -         -    -             -         -    -
";
        assert_eq!(render([("model", &model), ("silent", &silent)]), expected);
    }
}
