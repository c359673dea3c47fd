//! `eval --calibrate`: finds the gates' settings on recordings whose features are there, and stores
//! them in the model file.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use proact::run::settings::{Overrides, Settings};
use proact_lab::calibrate::recordings::{Scoring, calibrate, store};
use proact_lab::calibrate::search::{Metric, Search};
use proact_lab::eval::Reference;

use super::inspect;

/// What is tried, and by what it is chosen.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// Finds the gates' settings of this model by free runs over the recordings (with --features),
    /// and stores them in the file with the curves that they come from. Give it recordings that the
    /// model was not trained on and will not be tested on
    #[arg(long, value_name = "MODEL", requires = "features", conflicts_with_all = ["logs", "system", "baseline"])]
    pub calibrate: Option<PathBuf>,
    /// What chooses the gates' settings
    #[arg(long, value_enum, default_value_t, requires = "calibrate")]
    metric: MetricWord,
    /// Thresholds to try for the update gate
    #[arg(long, value_name = "P,…", value_delimiter = ',', default_values_t = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98], requires = "calibrate")]
    update_thresholds: Vec<f32>,
    /// Thresholds to try for the speak gate
    #[arg(long, value_name = "P,…", value_delimiter = ',', default_values_t = [0.5, 0.7, 0.9, 0.95, 0.98], requires = "calibrate")]
    speak_thresholds: Vec<f32>,
    /// Hystereses to try for either gate at the best thresholds, besides none
    #[arg(long, value_name = "P,…", value_delimiter = ',', default_values_t = [0.1, 0.3], requires = "calibrate")]
    hysteresis: Vec<f32>,
    /// Rest times to try for either gate at the best thresholds, in seconds, besides none
    #[arg(long, value_name = "S,…", value_delimiter = ',', default_values_t = [1.0, 2.0], requires = "calibrate")]
    refractory: Vec<f64>,
    /// Configuration of the runs (TOML), as for `replay`; its gates are not taken
    #[arg(long, value_name = "FILE", requires = "calibrate")]
    config: Option<PathBuf>,
    /// Prints what would be stored, and leaves the file as it is
    #[arg(long, requires = "calibrate")]
    dry_run: bool,
}

impl Flags {
    fn search(&self) -> anyhow::Result<Search> {
        let ascending = |list: &[f32], flag: &str| {
            let mut list = list.to_vec();
            list.sort_by(f32::total_cmp);
            list.dedup();
            let sane = !list.is_empty() && list.iter().all(|p| (0.0..=1.0).contains(p));
            ensure!(sane, "{flag}: expected numbers from 0 to 1");
            Ok(list)
        };
        ensure!(
            self.refractory.iter().all(|s| s.is_finite() && *s >= 0.0),
            "--refractory: expected seconds, 0 or more"
        );
        Ok(Search {
            dst_update_thresholds: ascending(&self.update_thresholds, "--update-thresholds")?,
            speak_thresholds: ascending(&self.speak_thresholds, "--speak-thresholds")?,
            hysteresis: ascending(&self.hysteresis, "--hysteresis")?,
            refractory_s: self.refractory.clone(),
            metric: self.metric.into(),
        })
    }
}

/// What chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum MetricWord {
    /// Mean of transition F1 within 5 s, joint state accuracy and speech F1
    #[default]
    Mean,
    /// F1 of transitions within 5 s
    TransitionF1,
    /// Joint state accuracy
    JointState,
    /// F1 of sentences
    SpeechF1,
}

impl From<MetricWord> for Metric {
    fn from(word: MetricWord) -> Self {
        match word {
            MetricWord::Mean => Self::Mean,
            MetricWord::TransitionF1 => Self::TransitionF1,
            MetricWord::JointState => Self::JointState,
            MetricWord::SpeechF1 => Self::SpeechF1,
        }
    }
}

/// Calibrates a model file with the feature files in a folder, and says what was found.
///
/// # Errors
/// The model, its vision file or a feature file cannot be read or do not belong together; a run
/// failed; the file cannot be rewritten, and then is as it was.
pub fn run(
    model: &Path,
    features: &Path,
    references: &[Reference],
    scoring: &Scoring<'_>,
    flags: &Flags,
) -> anyhow::Result<()> {
    let settings = Settings::resolve(Overrides {
        config: flags.config.clone(),
        ..Overrides::default()
    })?;
    let search = flags.search()?;
    let mut tell = |line: &str| println!("{line}");
    let config = calibrate(
        model, features, references, scoring, search, &settings, &mut tell,
    )?;
    print!("{}", inspect::gates(&config));
    if !flags.dry_run {
        store(&config, model)?;
        println!("stored in {}", model.display());
    }
    Ok(())
}
