//! Timelines: what was done when, as recorded or written by hand; and the TOML format for the
//! latter.
//!
//! ```toml
//! goal = "Tea"                 # what the person wants to do
//! knowledge = "…"              # optional
//! person = 3                   # optional: skin and sleeves
//! environment = 2              # optional: worktop and light
//!
//! [[step]]                     # in the intended order; the first is S1
//! name = "Boil the water"
//! start_s = 4.0                # seconds since the start of the recording
//! end_s = 30.0
//!
//! [[step]]
//! name = "Pour the water into the mug"
//! after = ["S1"]               # prerequisites
//! start_s = 33.0
//! end_s = 41.0
//! mistake = "spills half of it"    # optional: goes wrong, visibly
//!
//! [[step]]
//! name = "Add a tea bag to the mug"
//! omitted = true               # never done
//! ```

use std::path::Path;

use serde::Deserialize;

use super::conditions::Condition;
use proact::dialogue::task::{Step, Task};
use proact::error::{Error, Result};
use proact::units::StepId;

/// Longest recording that is taken for one, in seconds: a day.
pub const TIME_MAX_S: f64 = 24.0 * 3600.0;
/// A step that was done took at least this long, in seconds.
pub const STEP_MIN_S: f64 = 0.1;

/// When a step was done, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Its start.
    pub start_s: f64,
    /// Its end.
    pub end_s: f64,
}

/// What became of one step of the task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Doing {
    /// When it was done; `None`: never.
    pub span: Option<Span>,
    /// What went wrong, in words.
    pub mistake: Option<String>,
}

/// A recorded or written timeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// Name of the recording; a folder can carry it.
    pub id: String,
    /// Where it is from.
    pub dataset: String,
    /// The task, its steps in the intended order.
    pub task: Task,
    /// One for each step of the task, in the same order.
    pub doings: Vec<Doing>,
    /// Number of the person: skin and sleeves.
    pub person: u64,
    /// Number of the kitchen: worktop and light.
    pub environment: u64,
    /// How often it has been rendered before: 0 shows the recording's own person and kitchen, each
    /// further one others.
    pub rendering: u64,
    /// What makes it harder.
    pub conditions: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    goal: String,
    knowledge: Option<String>,
    #[serde(default)]
    person: u64,
    #[serde(default)]
    environment: u64,
    #[serde(default)]
    step: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    after: Vec<StepId>,
    start_s: Option<f64>,
    end_s: Option<f64>,
    mistake: Option<String>,
    #[serde(default)]
    omitted: bool,
}

impl Timeline {
    /// Reads a timeline file; its id is the file's name without the ending.
    ///
    /// # Errors
    /// Unreadable file, unknown key, impossible times, a task that [`Task::parse`] would refuse.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let id = path
            .file_stem()
            .map(|s| s.to_string_lossy().into_owned())
            .unwrap_or_default();
        Self::parse(&id, &text).map_err(|why| Error::format(path, why))
    }

    /// Reads a timeline from TOML.
    ///
    /// # Errors
    /// The key and what was expected there, in words.
    pub fn parse(id: &str, text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
        let mut doings = Vec::with_capacity(file.step.len());
        let mut steps = Vec::with_capacity(file.step.len());
        for (i, entry) in file.step.into_iter().enumerate() {
            let step = format!("step S{} (`{}`)", i + 1, entry.name);
            let span = match (entry.omitted, entry.start_s, entry.end_s) {
                (true, None, None) => None,
                (false, Some(start_s), Some(end_s)) => Some(Span { start_s, end_s }),
                (true, ..) => {
                    return Err(format!("{step}: omitted, but start_s or end_s is given"));
                }
                _ => {
                    return Err(format!(
                        "{step}: expected start_s and end_s, or omitted = true"
                    ));
                }
            };
            doings.push(Doing {
                span,
                mistake: entry.mistake,
            });
            steps.push(Step::new(entry.name.trim(), entry.after));
        }
        let task = Task {
            goal: file.goal.trim().to_owned(),
            knowledge: file.knowledge,
            steps,
        };
        let timeline = Self {
            id: id.to_owned(),
            dataset: "timeline".into(),
            task,
            doings,
            person: file.person,
            environment: file.environment,
            rendering: 0,
            conditions: Vec::new(),
        };
        timeline.check()?;
        Ok(timeline)
    }

    /// The same timeline to be rendered again, as `ID.2` the first time: in all that it looks like
    /// it is another.
    #[must_use]
    pub fn again(&self, rendering: u64) -> Self {
        Self {
            id: format!("{}.{}", self.id, rendering + 1),
            rendering,
            ..self.clone()
        }
    }

    /// Whether it can be played: sane times, a task that its own reader takes, at least one step
    /// done.
    ///
    /// # Errors
    /// The reason, in words.
    pub fn check(&self) -> Result<(), String> {
        // The id becomes a folder's name.
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
        if self.id.is_empty() || self.id.starts_with('.') || !self.id.chars().all(plain) {
            return Err(format!(
                "id `{}`: expected letters, digits, `_`, `-`, `.`",
                self.id
            ));
        }
        // The written form passes every check of the task file's reader.
        Task::parse(&self.task.to_toml())?;
        if self.doings.len() != self.task.steps.len() {
            return Err(format!(
                "{} doings for {} steps",
                self.doings.len(),
                self.task.steps.len()
            ));
        }
        for ((id, step), doing) in self.task.iter().zip(&self.doings) {
            let Some(Span { start_s, end_s }) = doing.span else {
                continue;
            };
            let sane = |t: f64| t.is_finite() && (0.0..=TIME_MAX_S).contains(&t);
            if !sane(start_s) || !sane(end_s) || end_s - start_s < STEP_MIN_S {
                return Err(format!(
                    "{id} (`{}`): from {start_s} s to {end_s} s, expected at least {STEP_MIN_S} s within 0 … {TIME_MAX_S} s",
                    step.name
                ));
            }
        }
        if self.doings.iter().all(|d| d.span.is_none()) {
            return Err("no step was done: nothing to show".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEA: &str = "goal = \"Tea\"\nperson = 3\n[[step]]\nname = \"Boil the water\"\nstart_s = 4.0\nend_s = 30.0\n[[step]]\nname = \"Pour the water into the mug\"\nafter = [\"S1\"]\nstart_s = 33.0\nend_s = 41.0\nmistake = \"spills\"\n[[step]]\nname = \"Add sugar\"\nomitted = true\n";

    #[test]
    fn a_timeline_is_read() {
        let t = Timeline::parse("tea", TEA).unwrap();
        assert_eq!(
            (t.task.goal.as_str(), t.person, t.environment),
            ("Tea", 3, 0)
        );
        assert_eq!(
            t.doings[0].span,
            Some(Span {
                start_s: 4.0,
                end_s: 30.0
            })
        );
        assert_eq!(t.doings[1].mistake.as_deref(), Some("spills"));
        assert_eq!(t.doings[2].span, None);
        assert_eq!(t.task.steps[1].after, [StepId(0)]);
    }

    #[test]
    fn a_bad_timeline_is_an_error_that_names_the_key() {
        let cases = [
            ("goal = \"Tea\"", "gaol = \"Tea\"", "gaol"),
            ("end_s = 30.0", "end_s = 4.0", "S1"),
            ("end_s = 30.0", "end_s = nan", "S1"),
            ("end_s = 30.0", "end_s = 1e9", "S1"),
            ("start_s = 4.0", "start_s = -1.0", "S1"),
            ("start_s = 4.0\n", "", "start_s"),
            ("omitted = true", "omitted = true\nend_s = 3.0", "omitted"),
            ("[\"S1\"]", "[\"S7\"]", "S7"),
            ("[\"S1\"]", "[\"S2\"]", "circle"),
            ("[\"S1\"]", "[1]", "after"),
        ];
        for (from, to, word) in cases {
            let bad = TEA.replace(from, to);
            assert_ne!(bad, TEA);
            let why = Timeline::parse("tea", &bad).unwrap_err();
            assert!(why.contains(word), "{to}: {why}");
        }
        for id in ["", "..", "a/b", "a\0b"] {
            assert!(Timeline::parse(id, TEA).is_err(), "{id:?}");
        }
        assert!(
            Timeline::parse("t", "goal = \"x\"")
                .unwrap_err()
                .contains("no step")
        );
    }
}
