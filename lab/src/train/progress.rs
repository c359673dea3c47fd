//! Progress of a training: a bar for the person, one JSON object a record for everything else.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};

use crate::train::run::Observer;
use proact::error::{Error, Result};
use proact::stop::Stop;

/// Shows and keeps what happens.
pub struct Progress {
    log: File,
    path: std::path::PathBuf,
    bar: Option<(String, ProgressBar)>,
    stop: Arc<Stop>,
    started: Instant,
}

/// File of the records in the work folder.
const LOG: &str = "train.jsonl";

impl Progress {
    /// Appends to the log in `work`.
    ///
    /// # Errors
    /// The folder or the log cannot be made.
    pub fn new(work: &Path, stop: Arc<Stop>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(work).with_context(|| work.display().to_string())?;
        let path = work.join(LOG);
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| path.display().to_string())?;
        Ok(Self {
            log,
            path,
            bar: None,
            stop,
            started: Instant::now(),
        })
    }

    /// A line for the person.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some((_, bar)) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Moves the bar of a stage to `done` of `all`.
    pub fn at(&mut self, stage: &str, done: usize, all: usize, words: &str) {
        if self.bar.as_ref().is_none_or(|(name, _)| name != stage) {
            self.close();
            let bar = ProgressBar::new(all as u64);
            let style =
                ProgressStyle::with_template("{prefix:>10} {bar:24} {pos}/{len} {eta:>5} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(stage.to_owned());
            bar.set_position(done as u64);
            bar.reset_eta();
            self.bar = Some((stage.to_owned(), bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(done as u64);
            bar.set_message(words.to_owned());
        }
    }

    /// Ends the bar.
    pub fn close(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish();
        }
    }

    /// `true` when the person wants to stop.
    pub fn stopped(&self) -> bool {
        self.stop.asked()
    }

    /// Keeps a record.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn keep(&mut self, record: &Map<String, Value>) -> Result<()> {
        let mut record = record.clone();
        let elapsed = self.started.elapsed().as_millis() as u64;
        record.insert("elapsed_ms".into(), elapsed.into());
        let line =
            serde_json::to_string(&record).map_err(|e| Error::format(&self.path, e.to_string()))?;
        writeln!(self.log, "{line}").map_err(Error::io(&self.path))
    }
}

/// Numbers that the bar shows, shortened.
const SHOWN: [(&str, &str); 7] = [
    ("loss_image_text", "loss"),
    ("loss_dst_text", "dst text"),
    ("loss_speech_text", "speech"),
    ("loss_dst_head", "dst head"),
    ("loss_speak_head", "speak head"),
    ("dst_head_f1", "dst F1"),
    ("step_in_view_accuracy", "view"),
];

impl Observer for Progress {
    fn record(&mut self, record: &Map<String, Value>) -> Result<()> {
        self.keep(record)?;
        let count = |key: &str| record.get(key).and_then(Value::as_u64).unwrap_or(0) as usize;
        let stage = record
            .get("stage")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let shown = SHOWN
            .iter()
            .filter_map(|(key, word)| Some(format!("{word} {:.3}", record.get(*key)?.as_f64()?)));
        self.at(
            &stage,
            count("step"),
            count("steps"),
            &shown.collect::<Vec<_>>().join("  "),
        );
        let validation: Vec<String> = record
            .iter()
            .filter(|(key, _)| key.starts_with("validation_") || key.contains("caption_accuracy"))
            .filter_map(|(key, value)| {
                Some(format!(
                    "{} {:.3}",
                    key.trim_start_matches("validation_"),
                    value.as_f64()?
                ))
            })
            .collect();
        if !validation.is_empty() {
            self.say(&format!(
                "{stage} step {}: {}",
                count("step"),
                validation.join(", ")
            ));
        }
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.stop.asked()
    }
}
