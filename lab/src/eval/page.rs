//! One page that shows a set of runs beside their reference (`eval --html`): a file that needs
//! nothing but a browser.
//!
//! What it shows is data in the page; a script in it draws them. All words in it come from logs and
//! annotations, which are untrusted: they stand in a JSON block in which no tag can end, and the
//! script sets them as text.

use serde::Serialize;

use super::log::Log;
use super::reference::Reference;
use super::score::{Options, Report, Scores};
use super::speech::{self, CORRECT_ABOVE, Similarity};
use super::transitions::{self, FALSE_UPDATE_TOLERANCE_S};
use super::warnings::is_right;
use proact::dialogue::annotation::IssueKind;
use proact::dialogue::task::{Transition, Update};
use proact::error::{Error, Result};
use proact::stream::WarningKind;
use proact::units::MediaTime;

const PAGE: &str = include_str!("page.html");
/// Where the data go into the page.
const PLACE: &str = "__DATA__";

/// A small picture of a moment.
#[derive(Clone, Debug, Serialize)]
pub struct Thumbnail {
    /// Seconds of video.
    pub at_s: f64,
    /// A `data:` URL.
    pub url: String,
}

/// One system's runs with their scores.
pub struct Run<'a> {
    /// Its name in the table.
    pub name: &'a str,
    /// Its scores.
    pub report: &'a Report,
    /// Its logs with their references, in the order of the report's recordings.
    pub pairs: Vec<(&'a Log, &'a Reference)>,
}

/// Makes the page. `thumbnails` gives a recording's pictures by its id.
///
/// # Errors
/// What [`speech::match_log`] refuses, or a number that JSON does not have.
pub fn render(
    runs: &[Run<'_>],
    options: &Options,
    similarity: &dyn Similarity,
    thumbnails: &dyn Fn(&str) -> Vec<Thumbnail>,
) -> Result<String> {
    let mut recordings: Vec<Recording<'_>> = Vec::new();
    let mut systems = Vec::new();
    for run in runs {
        let mut plays = Vec::new();
        for ((log, reference), scored) in run.pairs.iter().zip(&run.report.recordings) {
            let place = recordings
                .iter()
                .position(|r| r.id == reference.id)
                .unwrap_or_else(|| {
                    recordings.push(Recording::of(reference, thumbnails(&reference.id)));
                    recordings.len() - 1
                });
            plays.push(play(
                place,
                log,
                reference,
                &scored.scores,
                options,
                similarity,
            )?);
        }
        systems.push(System {
            name: run.name,
            scores: &run.report.set,
            plays,
        });
    }
    let data = Data {
        tolerance_s: FALSE_UPDATE_TOLERANCE_S,
        explain: super::EXPLAIN,
        recordings,
        systems,
    };
    let json = serde_json::to_string(&data).map_err(|e| Error::Invalid(format!("page: {e}")))?;
    // No tag begins within the block, so none can end it.
    Ok(PAGE.replacen(PLACE, &json.replace('<', "\\u003c"), 1))
}

#[derive(Serialize)]
struct Data<'a> {
    tolerance_s: f64,
    explain: &'a str,
    recordings: Vec<Recording<'a>>,
    systems: Vec<System<'a>>,
}

#[derive(Serialize)]
struct Recording<'a> {
    id: &'a str,
    goal: &'a str,
    steps: Vec<&'a str>,
    start_s: f64,
    end_s: f64,
    changes: Vec<Change>,
    said: Vec<(f64, &'a str)>,
    issues: Vec<(f64, &'static str, u16)>,
    thumbnails: Vec<Thumbnail>,
}

#[derive(Serialize)]
struct System<'a> {
    name: &'a str,
    scores: &'a Scores,
    plays: Vec<Play<'a>>,
}

/// A change of a step's state.
#[derive(Serialize)]
struct Change {
    at_s: f64,
    step: u16,
    complete: bool,
}

/// One system's run over one recording.
#[derive(Serialize)]
struct Play<'a> {
    /// Place among the recordings.
    recording: usize,
    scores: &'a Scores,
    changes: Vec<Change>,
    /// Of each change how late it is, in seconds; `null`: the reference has no such change near.
    late_s: Vec<Option<f64>>,
    /// Changes of the reference that nothing stands for.
    missed: Vec<usize>,
    said: Vec<Said<'a>>,
    /// Sentences of the reference that nothing stands for.
    unsaid: Vec<usize>,
    /// Time, kind, step, whether a label bears it out.
    warnings: Vec<(f64, &'static str, u16, bool)>,
    rejected: Vec<(f64, &'a str, &'a str)>,
    contexts: Vec<f64>,
    /// Time, speak, update.
    gates: Vec<(f64, f32, f32)>,
    thresholds: [Option<f32>; 2],
}

/// A sentence, and what became of it.
#[derive(Serialize)]
struct Said<'a> {
    at_s: f64,
    text: &'a str,
    /// `right`, `other` (matched, but unlike) or `redundant`.
    fate: &'static str,
    /// Similarity with what it is matched with.
    score: Option<f64>,
}

impl<'a> Recording<'a> {
    fn of(reference: &'a Reference, thumbnails: Vec<Thumbnail>) -> Self {
        let kind = |kind| match kind {
            IssueKind::Missed => "missed",
            IssueKind::OutOfOrder => "out of order",
            IssueKind::Mistake => "mistake",
        };
        Self {
            id: &reference.id,
            goal: &reference.task.goal,
            steps: reference
                .task
                .steps
                .iter()
                .map(|s| s.name.as_str())
                .collect(),
            start_s: reference.start.seconds(),
            end_s: reference.end.seconds(),
            changes: changes(&reference.transitions),
            said: reference
                .utterances
                .iter()
                .map(|(at, text)| (at.seconds(), text.as_str()))
                .collect(),
            issues: reference
                .issues
                .iter()
                .map(|i| (i.at.seconds(), kind(i.kind), i.step.0))
                .collect(),
            thumbnails,
        }
    }
}

fn changes(list: &[(MediaTime, Update)]) -> Vec<Change> {
    let change = |(at, update): &(MediaTime, Update)| Change {
        at_s: at.seconds(),
        step: update.step.0,
        complete: update.transition == Transition::Complete,
    };
    list.iter().map(change).collect()
}

fn play<'a>(
    recording: usize,
    log: &'a Log,
    reference: &Reference,
    scores: &'a Scores,
    options: &Options,
    similarity: &dyn Similarity,
) -> Result<Play<'a>> {
    let pairs = transitions::paired(
        &log.transitions,
        &reference.transitions,
        FALSE_UPDATE_TOLERANCE_S,
    );
    let mut late_s = vec![None; log.transitions.len()];
    for (i, j) in &pairs {
        late_s[*i] = Some(log.transitions[*i].0.seconds() - reference.transitions[*j].0.seconds());
    }
    let missed = (0..reference.transitions.len())
        .filter(|j| !pairs.iter().any(|(_, taken)| taken == j))
        .collect();
    let (said, unsaid) = sentences(log, reference, options, similarity)?;
    let warning = |kind: &WarningKind| match kind {
        WarningKind::OutOfOrder => "out of order",
        WarningKind::Missed => "missed",
    };
    Ok(Play {
        recording,
        scores,
        changes: changes(&log.transitions),
        late_s,
        missed,
        said,
        unsaid,
        warnings: (log.warnings.iter().enumerate())
            .map(|(i, w)| {
                (
                    w.at.seconds(),
                    warning(&w.kind),
                    w.step.0,
                    is_right(i, &log.warnings, reference),
                )
            })
            .collect(),
        rejected: log
            .rejected
            .iter()
            .map(|(at, text, why)| (at.seconds(), text.as_str(), why.as_str()))
            .collect(),
        contexts: log.contexts.iter().map(|at| at.seconds()).collect(),
        gates: log
            .frames
            .iter()
            .map(|r| (r.at.seconds(), r.speak.0, r.dst_update.0))
            .collect(),
        thresholds: log.thresholds.map(|threshold| threshold.map(|t| t.0)),
    })
}

/// The log's sentences with their fates, and the places of those in the reference that nobody got.
fn sentences<'a>(
    log: &'a Log,
    reference: &Reference,
    options: &Options,
    similarity: &dyn Similarity,
) -> Result<(Vec<Said<'a>>, Vec<usize>)> {
    let window_s = options
        .window_s
        .unwrap_or_else(|| speech::window_of(&reference.dataset));
    let matched = speech::match_log(log, reference, window_s, similarity)?;
    let said = log
        .utterances
        .iter()
        .filter(|(_, text)| !text.trim().is_empty())
        .map(|(at, text)| {
            let frame = speech::frame_of(reference, *at);
            let pair = matched
                .matched
                .iter()
                .find(|p| p.generated == frame && *at >= reference.start);
            let fate = match pair {
                Some(pair) if pair.score > CORRECT_ABOVE => "right",
                Some(_) => "other",
                None => "redundant",
            };
            Said {
                at_s: at.seconds(),
                text,
                fate,
                score: pair.map(|p| p.score),
            }
        });
    let lacks = |(_, (at, _)): &(usize, &(MediaTime, String))| {
        matched.missed.contains(&speech::frame_of(reference, *at))
    };
    let unsaid = reference
        .utterances
        .iter()
        .enumerate()
        .filter(lacks)
        .map(|(i, _)| i)
        .collect();
    Ok((said.collect(), unsaid))
}

#[cfg(test)]
mod tests {
    use super::super::log::tests_log as log;
    use super::super::reference::sample;
    use super::super::score::Tally;
    use super::super::speech::Lexical;
    use super::*;

    /// The data of a page.
    fn data(page: &str) -> serde_json::Value {
        let from = page.find("id=\"data\">").unwrap() + "id=\"data\">".len();
        let to = from + page[from..].find("</script>").unwrap();
        serde_json::from_str(&page[from..to]).unwrap()
    }

    fn page(log: &Log, reference: &Reference) -> String {
        let options = Options::default();
        let report = Report::of(vec![(
            reference.id.clone(),
            Tally::of(log, reference, &options, &Lexical).unwrap(),
        )])
        .unwrap();
        let runs = [Run {
            name: "model",
            report: &report,
            pairs: vec![(log, reference)],
        }];
        let pictures = |_: &str| {
            vec![Thumbnail {
                at_s: 3.0,
                url: "data:image/jpeg;base64,AAAA".into(),
            }]
        };
        render(&runs, &options, &Lexical, &pictures).unwrap()
    }

    #[test]
    fn the_page_tells_hits_misses_and_what_became_of_each_sentence() {
        let reference = sample(
            &["Boil water", "Pour the milk"],
            60.0,
            &[
                (10.0, "S1->start"),
                (20.0, "S1->complete"),
                (40.0, "S2->start"),
            ],
            &[(20.0, "Next: pour the milk."), (50.0, "Enjoy your tea!")],
        );
        let log = log(
            2,
            &[(11.5, "S1->start"), (12.0, "S2->start")],
            &[(20.5, "Next: pour the milk."), (30.0, "Well done.")],
        );
        let data = data(&page(&log, &reference));
        let play = &data["systems"][0]["plays"][0];
        assert_eq!(play["late_s"], serde_json::json!([1.5, null]));
        assert_eq!(play["missed"], serde_json::json!([1, 2]));
        let fates: Vec<&str> = play["said"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["fate"].as_str().unwrap())
            .collect();
        assert_eq!(fates, ["right", "redundant"]);
        assert_eq!(play["unsaid"], serde_json::json!([1]));
        assert_eq!(data["recordings"][0]["steps"][1], "Pour the milk");
        assert_eq!(data["recordings"][0]["thumbnails"][0]["at_s"], 3.0);
    }

    #[test]
    fn words_of_a_log_cannot_leave_their_block() {
        let evil = "</script><script>alert(1)</script><!-- __DATA__";
        let reference = sample(&[evil], 60.0, &[], &[(5.0, evil)]);
        let log = log(1, &[], &[(5.0, evil)]);
        let page = page(&log, &reference);
        assert_eq!(
            page.matches("</script>").count(),
            PAGE.matches("</script>").count()
        );
        assert_eq!(
            page.matches("<script").count(),
            PAGE.matches("<script").count()
        );
        assert_eq!(data(&page)["recordings"][0]["steps"][0], evil);
    }
}
