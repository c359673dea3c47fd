//! Finds the gates' settings on the validation recordings, as `proact eval --calibrate` does.
//! Nobody speaks to the model: a replay has only the video and the task file.

use serde_json::{Map, Value};

use super::data::{Episodes, Part};
use super::free_run::{frames, session_config, sources};
use super::progress::Progress;
use super::stages::Job;
use crate::calibrate::recordings::{HeldOut, Scoring, score};
use crate::calibrate::search::{self, Found, Metric, Search, TOLERANCE_S};
use crate::eval::speech::Lexical;
use crate::eval::{Options, Reference, Scores};
use crate::train::examples::Source;
use crate::train::run::number;
use proact::dialogue::policy::Gates;
use proact::error::Result;
use proact::model::config::AssistantConfig;
use proact::run::load;
use proact::run::timing::SharedMeter;

/// The best settings of the gates; `None` when the person stopped it.
///
/// # Errors
/// The model or the features cannot be read, or a session failed.
pub fn gates(
    job: &Job<'_>,
    episodes: &Episodes,
    progress: &mut Progress,
) -> anyhow::Result<Option<Found>> {
    super::export::assistant(job, None)?;
    let model = load::open(&job.assistant_gguf(), None, &SharedMeter::default())?;
    let sources = sources(job, episodes, Part::Validation, job.eyes()?.as_ref())?;
    let list = &job.config.gates;
    // Without steps the update gate is off, and all of its thresholds are one.
    let updates = if sources.iter().any(|source| !source.task.steps.is_empty()) {
        usize::MAX
    } else {
        1
    };
    let search = Search {
        dst_update_thresholds: list
            .dst_update_thresholds
            .iter()
            .copied()
            .take(updates)
            .collect(),
        speak_thresholds: list.speak_thresholds.clone(),
        hysteresis: list.hysteresis_tried.clone(),
        refractory_s: list.refractory_s_tried.clone(),
        metric: Metric::default(),
    };
    let held_out = sources.into_iter().map(held).collect::<Result<Vec<_>>>()?;
    let scoring = Scoring {
        options: &Options::default(),
        similarity: &Lexical,
    };
    let configure = |model: &AssistantConfig| session_config(job, model);
    let mut done = 0;
    search::search(model.config.gates, &search, held_out.len(), &mut |gates| {
        if progress.stopped() {
            return Ok(None);
        }
        let scores = score(&model, *gates, configure, &held_out, &scoring, job.threads)?;
        progress.keep(&record(gates, &scores))?;
        progress.say(&search::line(gates, &scores));
        done += 1;
        progress.at("thresholds", done, search.runs_max(), "");
        Ok(Some(scores))
    })
}

/// A validation recording as the search runs over it.
fn held(source: Source) -> Result<HeldOut> {
    Ok(HeldOut {
        reference: Reference::new(&source.from_the_start(), Some(source.task.clone()))?,
        frames: frames(&source).collect(),
        task: Some(source.task),
        start: source.start,
    })
}

fn record(gates: &Gates, scores: &Scores) -> Map<String, Value> {
    let mut record = Map::new();
    record.insert("stage".into(), "thresholds".into());
    for (name, gate) in [("dst_update", &gates.dst_update), ("speak", &gates.speak)] {
        record.insert(name.into(), number(f64::from(gate.threshold.0)));
        record.insert(
            format!("{name}_hysteresis"),
            number(f64::from(gate.hysteresis)),
        );
        record.insert(format!("{name}_refractory_s"), number(gate.refractory_s));
    }
    let f1 = scores.at(TOLERANCE_S).and_then(|rates| rates.f1);
    record.insert("transition_f1_5s".into(), number(f1.unwrap_or(0.0)));
    record.insert(
        "joint_state_accuracy".into(),
        number(scores.joint_state_accuracy.unwrap_or(0.0)),
    );
    record.insert(
        "speech_f1".into(),
        number(scores.speech.rates.f1.unwrap_or(0.0)),
    );
    record
}
