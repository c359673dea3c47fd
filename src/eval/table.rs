//! Scores as a plain table: one row a system, or one a recording.

use super::score::Scores;

const COLUMNS: [&str; 14] = [
    "", "F1@2s", "F1@5s", "P@5s", "R@5s", "JSA", "step acc", "speech F1", "redund.", "missing", "fit", "late s", "p90 s",
    "false/h",
];

/// A table with a line of titles; a number that has no meaning is `-`.
pub fn render<'a>(rows: impl IntoIterator<Item = (&'a str, &'a Scores)>) -> String {
    let mut lines = vec![COLUMNS.map(str::to_owned).to_vec()];
    lines.extend(rows.into_iter().map(|(name, scores)| line(name, scores)));
    let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).enumerate();
        let cells: Vec<String> =
            cells.map(|(i, (cell, &w))| if i == 0 { format!("{cell:<w$}") } else { format!("{cell:>w$}") }).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

fn line(name: &str, scores: &Scores) -> Vec<String> {
    let share = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.3}"));
    let seconds = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:+.1}"));
    let (two, five) = (scores.at(2.0), scores.at(5.0));
    let speech = &scores.speech;
    vec![
        name.to_owned(),
        share(two.and_then(|r| r.f1)),
        share(five.and_then(|r| r.f1)),
        share(five.and_then(|r| r.precision)),
        share(five.and_then(|r| r.recall)),
        share(scores.joint_state_accuracy),
        share(scores.step_state_accuracy),
        share(speech.rates.f1),
        share(speech.rates.redundant_rate),
        share(speech.rates.missing_rate),
        share(speech.fit),
        seconds(scores.latency_s.median),
        seconds(scores.latency_s.p90),
        scores.false_updates_per_hour.map_or("-".into(), |v| format!("{v:.1}")),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::log::tests_log as log;
    use super::super::reference::sample;
    use super::super::{Options, Tally, speech::Lexical};
    use super::*;

    #[test]
    fn a_row_a_system() {
        let reference = sample(&["a"], 100.0, &[(10.0, "S1->start"), (40.0, "S1->complete")], &[]);
        let of = |log| Tally::of(&log, &reference, &Options::default(), &Lexical).unwrap().scores();
        let model = of(log(1, &[(11.0, "S1->start"), (43.0, "S1->complete")], &[]));
        let silent = of(log(1, &[], &[]));
        let expected = "        F1@2s  F1@5s   P@5s   R@5s    JSA  step acc  speech F1  redund.  missing  fit  late s  p90 s  false/h
model   0.500  1.000  1.000  1.000  0.960     0.960          -        -        -    -    +2.0   +2.8      0.0
silent  0.000  0.000      -  0.000  0.100     0.100          -        -        -    -       -      -      0.0
";
        assert_eq!(render([("model", &model), ("silent", &silent)]), expected);
    }
}
