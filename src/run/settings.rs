//! Settings in three layers: an override beats the file, the file beats the built-in default. The
//! result is complete.
//!
//! `configs/default.toml` spells the defaults out; a test holds it to [`Settings::default`].

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::dialogue::policy::{GateConfig, GateKind, Gates};
use crate::error::Error;
use crate::model::{config::AssistantConfig, reuse::Reuse};
use crate::session::SessionConfig;
use crate::sources::camera::CameraLimits;
use crate::stream::ContextPolicyName;
use crate::tui::ThemeName;
use crate::units::Threshold;

/// Keys of [`SessionConfig`] that stand at the top of a file, or in its table `gate`.
const SET_ELSEWHERE: [&str; 3] = ["fps", "gates", "context"];

/// How a run behaves, complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Frames looked at per second of the recording.
    pub fps: f64,
    /// What to drop when memory is full; `None` is what fits the model's layout.
    pub context: Option<ContextPolicyName>,
    /// Threads of the arithmetic; 0 is as many as the machine has cores.
    pub threads: usize,
    /// What goes to stderr: a level, or `target=level,…`.
    pub log: String,
    /// Playing speed of the demo on the screen, relative to the recording.
    pub demo_speed: f64,
    /// Seconds of the recording between two lines about the gates in plain output; 0 for none.
    pub gate_lines_every_s: f64,
    /// Colours of the screen; `None` is what fits the terminal.
    pub theme: Option<ThemeName>,
    /// Whether the screen takes clicks and the wheel.
    pub mouse: bool,
    /// Limits of the session that replace those of the model and the defaults.
    pub session: SessionTable,
    /// Limits of the camera's watchdog, and the length of its look-back.
    pub camera: CameraLimits,
    /// When a frame's features are used again.
    pub reuse: Reuse,
    /// Changes to the speak gate of the model file.
    pub speak: GateOverride,
    /// Changes to the state-update gate of the model file.
    pub dst_update: GateOverride,
}

impl Default for Settings {
    fn default() -> Self {
        let session = SessionConfig::default();
        Self {
            fps: session.fps,
            context: None,
            threads: 0,
            log: "warn".into(),
            demo_speed: 4.0,
            gate_lines_every_s: 15.0,
            theme: None,
            mouse: true,
            session: SessionTable::default(),
            camera: CameraLimits::default(),
            reuse: Reuse::default(),
            speak: GateOverride::default(),
            dst_update: GateOverride::default(),
        }
    }
}

/// The `[session]` table of a file: limits that replace those of [`SessionConfig`], which explains
/// them. No flag sets these.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionTable(toml::Table);

impl<'de> Deserialize<'de> for SessionTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = toml::Table::deserialize(deserializer)?;
        if let Some(key) = SET_ELSEWHERE.iter().find(|key| table.contains_key(**key)) {
            let why = format!("unknown field `{key}`, expected it outside of [session]");
            return Err(D::Error::custom(why));
        }
        SessionConfig::default()
            .with(&table)
            .map_err(D::Error::custom)?;
        Ok(Self(table))
    }
}

/// Parts of a gate that replace those of the model file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateOverride {
    /// `head`, `token` or `off`.
    pub kind: Option<GateKind>,
    /// Fires at or above this.
    pub threshold: Option<Threshold>,
    /// Has to fall this far below the threshold before it can fire again.
    pub hysteresis: Option<f32>,
    /// Rests this long after firing, in seconds of the recording.
    pub refractory_s: Option<f64>,
}

impl GateOverride {
    /// The gate of the model file with these parts replaced; the ranges are checked where it is
    /// used.
    pub fn over(&self, base: GateConfig) -> GateConfig {
        GateConfig {
            kind: self.kind.unwrap_or(base.kind),
            threshold: self.threshold.unwrap_or(base.threshold),
            hysteresis: self.hysteresis.unwrap_or(base.hysteresis),
            refractory_s: self.refractory_s.unwrap_or(base.refractory_s),
        }
    }
}

/// A configuration file: the same keys, each of which may be left out.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    fps: Option<f64>,
    context: Option<ContextPolicyName>,
    threads: Option<usize>,
    log: Option<String>,
    demo_speed: Option<f64>,
    gate_lines_every_s: Option<f64>,
    theme: Option<ThemeWord>,
    mouse: Option<bool>,
    #[serde(default)]
    session: SessionTable,
    #[serde(default)]
    camera: CameraLimits,
    #[serde(default)]
    reuse: Reuse,
    #[serde(default)]
    gate: GateOverrides,
}

/// A theme as files and overrides name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThemeWord {
    /// What fits the terminal; without colour where NO_COLOR is set.
    Auto,
    /// For dark terminals.
    Dark,
    /// For light terminals.
    Light,
    /// Without colour.
    None,
}

impl ThemeWord {
    fn name(self) -> Option<ThemeName> {
        match self {
            Self::Auto => None,
            Self::Dark => Some(ThemeName::Dark),
            Self::Light => Some(ThemeName::Light),
            Self::None => Some(ThemeName::None),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct GateOverrides {
    #[serde(default)]
    speak: GateOverride,
    #[serde(default)]
    dst_update: GateOverride,
}

impl File {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// Unreadable file, unknown key, value of another type.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(Error::io(path))
            .context("cannot read --config")?;
        Ok(toml::from_str(&text).map_err(|e| Error::format(path, e.to_string()))?)
    }
}

/// Settings that replace those of the file, such as the flags of a command line.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--fps`.
    pub fps: Option<f64>,
    /// `--context`.
    pub context: Option<ContextPolicyName>,
    /// `--threads`.
    pub threads: Option<usize>,
    /// `--log`.
    pub log: Option<String>,
    /// `--speed`.
    pub demo_speed: Option<f64>,
    /// `--theme`.
    pub theme: Option<ThemeWord>,
}

impl Settings {
    /// Lays the overrides over the file and the file over the defaults, and checks the ranges.
    ///
    /// # Errors
    /// The file cannot be read or has another form; a value is out of its range.
    pub fn resolve(overrides: Overrides) -> anyhow::Result<Self> {
        let file = overrides
            .config
            .as_deref()
            .map(File::read)
            .transpose()?
            .unwrap_or_default();
        let settings = Self::layer(overrides, file);
        settings.check()?;
        Ok(settings)
    }

    fn layer(overrides: Overrides, file: File) -> Self {
        let default = Self::default();
        Self {
            fps: pick(overrides.fps, file.fps, default.fps),
            context: overrides.context.or(file.context),
            threads: pick(overrides.threads, file.threads, default.threads),
            log: pick(overrides.log, file.log, default.log),
            demo_speed: pick(overrides.demo_speed, file.demo_speed, default.demo_speed),
            gate_lines_every_s: pick(None, file.gate_lines_every_s, default.gate_lines_every_s),
            theme: overrides.theme.or(file.theme).and_then(ThemeWord::name),
            mouse: pick(None, file.mouse, default.mouse),
            session: file.session,
            camera: file.camera,
            reuse: file.reuse,
            speak: file.gate.speak,
            dst_update: file.gate.dst_update,
        }
    }

    /// What a session with such a model is told, except which files the model is.
    pub fn session_config(&self, model: &AssistantConfig) -> SessionConfig {
        let base = SessionConfig::of_model(model);
        // The table fits: that was checked when it was read.
        let limited = base.with(&self.session.0).unwrap_or(base);
        SessionConfig {
            fps: self.fps,
            context: self.context.unwrap_or(limited.context),
            gates: Gates {
                speak: self.speak.over(limited.gates.speak),
                dst_update: self.dst_update.over(limited.gates.dst_update),
            },
            ..limited
        }
    }

    fn check(&self) -> Result<(), Error> {
        let positive = |name: &str, value: f64| match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => Err(Error::Invalid(format!(
                "{name} is {value}: expected a number above 0"
            ))),
        };
        positive("fps", self.fps)?;
        positive("demo_speed", self.demo_speed)?;
        if !self.gate_lines_every_s.is_finite() || self.gate_lines_every_s < 0.0 {
            let value = self.gate_lines_every_s;
            return Err(Error::Invalid(format!(
                "gate_lines_every_s is {value}: expected 0 or more"
            )));
        }
        self.reuse.check()?;
        self.camera.check()
    }
}

fn pick<T>(flag: Option<T>, file: Option<T>, default: T) -> T {
    flag.or(file).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::layout::LayoutName;

    /// Keys that the model's layout decides, where a file does not.
    const OF_THE_MODEL: [&str; 2] = ["utterance_tokens_max", "summary_tokens_max"];

    fn parse(text: &str) -> Result<File, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn the_default_file_equals_the_defaults_and_names_every_key() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/default.toml");
        let file = File::read(&path).unwrap();
        let File {
            fps,
            context,
            threads,
            log,
            demo_speed,
            gate_lines_every_s,
            theme,
            mouse,
            session: _,
            camera: _,
            reuse: _,
            gate: _,
        } = &file;
        let all = fps.is_some() && context.is_none() && threads.is_some() && log.is_some();
        let screen = theme.is_some() && mouse.is_some();
        assert!(
            all && screen && demo_speed.is_some() && gate_lines_every_s.is_some(),
            "a key is missing: {file:?}"
        );
        let text = std::fs::read_to_string(&path).unwrap();
        let keys = |table: &toml::Table| table.keys().cloned().collect::<Vec<_>>();
        let written: toml::Table = toml::from_str(&text).unwrap();
        let settings = Settings::layer(Overrides::default(), file);
        let session = SessionConfig::default().with(&settings.session.0);
        assert_eq!(session.unwrap(), SessionConfig::default());
        let settings = Settings {
            session: SessionTable::default(),
            ..settings
        };
        assert_eq!(settings, Settings::default());
        let mut limits = toml::Table::try_from(SessionConfig::default()).unwrap();
        limits.retain(|key, _| !SET_ELSEWHERE.contains(&key) && !OF_THE_MODEL.contains(&key));
        assert_eq!(keys(written["session"].as_table().unwrap()), keys(&limits));
        let camera = toml::Table::try_from(CameraLimits::default()).unwrap();
        assert_eq!(keys(written["camera"].as_table().unwrap()), keys(&camera));
        let reuse = toml::Table::try_from(Reuse::default()).unwrap();
        assert_eq!(keys(written["reuse"].as_table().unwrap()), keys(&reuse));
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_the_default() {
        let file = parse("fps = 5.0\nthreads = 3\n[gate.speak]\nthreshold = 0.7").unwrap();
        let overrides = Overrides {
            fps: Some(1.0),
            ..Overrides::default()
        };
        let settings = Settings::layer(overrides, file);
        assert_eq!(
            (settings.fps, settings.threads, settings.context),
            (1.0, 3, None)
        );
        let gate = settings.speak.over(GateConfig::default());
        assert_eq!(
            gate,
            GateConfig {
                threshold: Threshold(0.7),
                ..GateConfig::default()
            }
        );
    }

    /// Some model.
    fn model() -> AssistantConfig {
        use crate::dialogue::layout::SpecialTokens;
        use crate::model::config::BackboneConfig;
        use crate::units::TokenId;
        let backbone = BackboneConfig {
            block_count: 1,
            embedding_length: 8,
            feed_forward_length: 8,
            head_count: 1,
            head_count_kv: 1,
            key_length: 8,
            context_length: 64,
            rope_freq_base: 10_000.0,
            rope_factors: false,
            rms_eps: 1e-5,
            vocab_size: 8,
            tied_output: true,
        };
        let tokens = SpecialTokens {
            bos: None,
            eot: TokenId(0),
            image: TokenId(1),
            dst: TokenId(2),
            asst: TokenId(3),
        };
        AssistantConfig::plain(backbone, 8, Gates::default(), tokens)
    }

    #[test]
    fn what_is_left_open_follows_the_models_layout() {
        let of = |settings: &Settings, layout| {
            settings.session_config(&AssistantConfig { layout, ..model() })
        };
        let open = Settings::default();
        let (own, chat) = (
            of(&open, LayoutName::Dstproact),
            of(&open, LayoutName::Proassist),
        );
        assert_eq!(
            (own.layout, own.context, own.utterance_tokens_max),
            (LayoutName::Dstproact, ContextPolicyName::Refresh, 96)
        );
        assert_eq!(
            (chat.layout, chat.context, chat.utterance_tokens_max),
            (
                LayoutName::Proassist,
                ContextPolicyName::SummarizeAndDrop,
                100
            )
        );
        let file = parse(
            "context = \"drop_all\"\n[session]\nutterance_tokens_max = 7\ncontext_tokens_max = 300",
        )
        .unwrap();
        let given = of(
            &Settings::layer(Overrides::default(), file),
            LayoutName::Proassist,
        );
        assert_eq!(
            (
                given.context,
                given.utterance_tokens_max,
                given.context_tokens_max
            ),
            (ContextPolicyName::DropAll, 7, 300)
        );
    }

    #[test]
    fn unknown_keys_and_values_are_errors_that_name_them() {
        for (text, word) in [
            ("fsp = 2", "fsp"),
            ("context = \"forget\"", "forget"),
            ("[gate.talk]\nthreshold = 0.5", "talk"),
            ("[session]\nframes_keept = 3", "frames_keept"),
            ("[session]\nframes_kept = -3", "-3"),
            ("[session]\nfps = 3.0", "fps"),
            ("[gate.speak]\nkind = \"heads\"", "heads"),
            ("[gate.speak]\ntreshold = 0.5", "treshold"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
        for file in [
            "fps = 0.0",
            "fps = nan",
            "demo_speed = -1.0",
            "gate_lines_every_s = -1.0",
            "[camera]\nsilence_s = 0.0",
            "[reuse]\nage_max_s = -1.0",
        ] {
            let settings = Settings::layer(Overrides::default(), parse(file).unwrap());
            assert!(settings.check().is_err(), "{file}");
        }
    }
}
