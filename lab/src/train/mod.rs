//! Training: the small SigLIP on frames and captions, then projector, backbone and heads on cached
//! features.

pub mod assistant;
pub mod checkpoint;
pub mod config;
pub mod data;
mod dialogues;
pub mod examples;
mod export;
mod free_run;
mod harder;
pub mod history;
pub mod loss;
pub mod optimizer;
pub mod origins;
pub mod parallel;
pub mod pixels;
pub mod progress;
pub mod run;
pub mod stages;
pub mod tokenizer;
mod tune;
pub mod vision;

use std::sync::Arc;

use self::data::Episodes;
use self::progress::Progress;
use self::run::Outcome;
use self::stages::Job;

/// Runs all stages that are not done yet.
///
/// # Errors
/// A stage failed.
pub fn all(job: &Job<'_>, progress: &mut Progress) -> anyhow::Result<Outcome> {
    let episodes = Episodes::scan(job.config)?;
    progress.say(&episodes.summary());
    let encoded = job.config.dialogues.is_some();
    if !encoded && !job.finished("vision") && !episodes.pixels(job, progress)? {
        return Ok(Outcome::Stopped);
    }
    let tokenizer = Arc::new(stages::tokenizer(job, &episodes)?);
    if !encoded {
        if stages::vision(job, &episodes, &tokenizer, progress)? == Outcome::Stopped {
            return Ok(Outcome::Stopped);
        }
        export::vision(job)?;
        if !episodes.features(job, progress)? {
            return Ok(Outcome::Stopped);
        }
    }
    if stages::assistant(job, &episodes, &tokenizer, progress)? == Outcome::Stopped {
        return Ok(Outcome::Stopped);
    }
    let Some(found) = tune::gates(job, &episodes, progress)? else {
        return Ok(Outcome::Stopped);
    };
    export::assistant(job, Some(found))?;
    progress.say(&format!("finished: {}", job.config.output.display()));
    Ok(Outcome::Finished)
}
