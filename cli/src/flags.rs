//! Flags that every verb with a model running has in common.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde::de::DeserializeOwned;

use proact::run::options::RunOptions;
use proact::run::settings::{self, ThemeWord};
use proact::stream::ContextPolicyName;

/// Flags of a run: what to load, what to write, how to behave.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct RunFlags {
    /// Assistant model: a GGUF file, or the name of a manifest models/NAME.toml
    #[arg(long, value_name = "FILE|NAME", help_heading = "Model and task")]
    pub model: Option<PathBuf>,

    /// Vision model (GGUF); otherwise the file that the assistant names, in the same folder
    #[arg(long, value_name = "FILE", help_heading = "Model and task")]
    pub vision: Option<PathBuf>,

    /// Task to follow (TOML): goal and steps. Without one the assistant only speaks
    #[arg(long, value_name = "FILE", help_heading = "Model and task")]
    pub task: Option<PathBuf>,

    /// Settings (TOML), see configs/default.toml; a flag beats the file
    #[arg(long, value_name = "FILE", help_heading = "Behaviour")]
    pub config: Option<PathBuf>,

    /// Frames to look at per second of the recording [default: 2]
    #[arg(long, value_name = "N", help_heading = "Behaviour")]
    pub fps: Option<f64>,

    /// What to forget when the model's memory is full [default: refresh]
    #[arg(long, value_name = "POLICY", help_heading = "Behaviour", value_parser = policy_parser())]
    pub context: Option<ContextPolicyName>,

    /// Threads of the arithmetic; 0 is one a core [default: 0]
    #[arg(long, value_name = "N", help_heading = "Behaviour")]
    pub threads: Option<usize>,

    /// Print lines of text even on a terminal
    #[arg(long, help_heading = "Behaviour")]
    pub headless: bool,

    /// Colours of the screen [default: auto]
    #[arg(
        long,
        value_name = "THEME",
        help_heading = "Behaviour",
        value_parser = theme_parser()
    )]
    pub theme: Option<ThemeWord>,

    /// Timed words of the person and hands on the state to play (JSONL)
    #[arg(long, value_name = "FILE", help_heading = "Behaviour")]
    pub input: Option<PathBuf>,

    /// Write the event log (JSONL); the same input gives the same bytes
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub events: Option<PathBuf>,

    /// Write the time of each stage, one record a frame (JSONL)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub timing: Option<PathBuf>,

    /// Write what was said as WebVTT subtitles
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub vtt: Option<PathBuf>,

    /// Write what was said as SubRip subtitles
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub srt: Option<PathBuf>,

    /// Record the session in a new folder that only you can read: events, times, configuration,
    /// hashes
    #[arg(
        long,
        value_name = "DIR",
        help_heading = "Output",
        conflicts_with = "resume"
    )]
    pub record: Option<PathBuf>,

    /// Keep the frames in the recorded session as well
    #[arg(long, help_heading = "Output")]
    pub save_frames: bool,

    /// Go on with a recorded session after a break: its task and state, the same source
    #[arg(
        long,
        value_name = "DIR",
        help_heading = "Behaviour",
        conflicts_with = "task"
    )]
    pub resume: Option<PathBuf>,

    /// Speak aloud with this command; it gets the sentence for {text}, or as its last word
    #[arg(long, value_name = "CMD", help_heading = "Output")]
    pub speak_cmd: Option<String>,

    /// Write what the backbone was fed (JSONL): token ids, and "image" for a frame's token
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub tokens: Option<PathBuf>,

    /// What to log on stderr: a level, or target=level,… [default: warn]
    #[arg(long, value_name = "LEVEL", help_heading = "Output")]
    pub log: Option<String>,
}

impl RunFlags {
    /// The flags that replace settings of a configuration file.
    pub fn settings(&self) -> settings::Overrides {
        settings::Overrides {
            config: self.config.clone(),
            fps: self.fps,
            context: self.context,
            threads: self.threads,
            log: self.log.clone(),
            demo_speed: None,
            theme: self.theme,
        }
    }

    /// The options of a run that these flags ask for.
    pub fn options(&self) -> RunOptions {
        RunOptions {
            vision: self.vision.clone(),
            task: self.task.clone(),
            fps: self.fps,
            events: self.events.clone(),
            timing: self.timing.clone(),
            vtt: self.vtt.clone(),
            srt: self.srt.clone(),
            record: self.record.clone(),
            save_frames: self.save_frames,
            resume: self.resume.clone(),
            speak_cmd: self.speak_cmd.clone(),
            tokens: self.tokens.clone(),
        }
    }
}

/// The policies by the names that files use for them.
fn policy_parser() -> impl TypedValueParser<Value = ContextPolicyName> {
    word_of_files([
        "refresh",
        "drop_all",
        "drop_middle",
        "summarize_and_drop",
        "summarize_with_dst",
        "none",
    ])
}

/// The themes by the names that files use for them.
fn theme_parser() -> impl TypedValueParser<Value = ThemeWord> {
    word_of_files([
        PossibleValue::new("auto")
            .help("What fits the terminal; without colour where NO_COLOR is set"),
        PossibleValue::new("dark").help("For dark terminals"),
        PossibleValue::new("light").help("For light terminals"),
        PossibleValue::new("none").help("Without colour"),
    ])
}

/// A value that a configuration file spells as one of these words.
fn word_of_files<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    words: impl Into<PossibleValuesParser>,
) -> impl TypedValueParser<Value = T> {
    words
        .into()
        .try_map(|word| serde_json::from_value(serde_json::Value::String(word)))
}
