//! What is scored: logs by the recording that they belong to, and systems that do not look.

use crate::proassist::open::read_features;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::eval::baseline::{self, Averages, Clip};
use crate::eval::change::{self, Detector};
use crate::eval::speech::Similarity;
use crate::eval::{Log, Options, Reference, Report, Tally, log};
use crate::parallel::each;
use proact::dialogue::task::Task;

use proact::stream::Event;
use proact::units::MediaTime;

/// A system that does not look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// Says and does nothing.
    Silent,
    /// Moves the steps by the average times of training recordings.
    Clock,
    /// Moves the steps when the picture changes much.
    Change,
    /// The annotation itself: what a perfect run scores.
    Reference,
}

impl Baseline {
    fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Clock => "clock",
            Self::Change => "change",
            Self::Reference => "reference",
        }
    }
}

/// A row of the table: logs by the place of their recording among the references.
pub struct System {
    /// Its name in the table.
    pub name: String,
    /// Its logs.
    pub logs: BTreeMap<usize, Log>,
}

/// Which systems are to be scored, and what the baselines among them need.
#[derive(Clone, Debug, Default)]
pub struct SystemInputs {
    /// Event logs, or folders of them.
    pub logs: Vec<PathBuf>,
    /// Other systems: a name for the table and a folder of logs.
    pub named: Vec<(String, PathBuf)>,
    /// Systems that do not look.
    pub baselines: Vec<Baseline>,
    /// Annotations that the clock takes its average times from.
    pub train_reference: Vec<PathBuf>,
    /// Folder of feature files, for the change detector.
    pub features: Option<PathBuf>,
    /// The change detector.
    pub detector: Detector,
    /// Where the baselines' logs are written.
    pub write_logs: Option<PathBuf>,
}

/// Reads or makes the logs of every system.
///
/// # Errors
/// A file cannot be read, or does not belong to a recording; there are no systems; two systems have
/// one name.
pub fn systems(inputs: &SystemInputs, references: &[Reference]) -> anyhow::Result<Vec<System>> {
    let mut systems = Vec::new();
    if !inputs.logs.is_empty() {
        systems.push(read_system("log", &inputs.logs, references)?);
    }
    for (name, path) in &inputs.named {
        systems.push(read_system(name, std::slice::from_ref(path), references)?);
    }
    for kind in &inputs.baselines {
        systems.push(run_baseline(*kind, inputs, references)?);
    }
    ensure!(
        !systems.is_empty(),
        "nothing to score; give logs, --system NAME=DIR or --baseline KIND (or --calibrate MODEL)"
    );
    for (i, system) in systems.iter().enumerate() {
        let twice = systems[..i].iter().any(|s| s.name == system.name);
        ensure!(!twice, "two systems are named `{}`", system.name);
    }
    Ok(systems)
}

/// The log's name for its recording: the file's stem, or the folder of `events.jsonl`.
pub fn log_id(path: &Path) -> String {
    let stem = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let folder = path
        .parent()
        .and_then(Path::file_name)
        .map(|f| f.to_string_lossy().into_owned());
    match folder {
        Some(folder) if stem == "events" => folder,
        _ => stem,
    }
}

/// Reads annotations; no two may be of one recording.
///
/// # Errors
/// An annotation cannot be read, or two are of one recording.
pub fn read_references(paths: &[PathBuf], task: Option<&Task>) -> anyhow::Result<Vec<Reference>> {
    let mut all: Vec<Reference> = Vec::new();
    for path in paths {
        all.extend(Reference::read(path, task)?);
    }
    let mut ids = std::collections::BTreeSet::new();
    for reference in &all {
        ensure!(
            ids.insert(reference.id.as_str()),
            "two annotations of recording `{}`; a log could not tell which is meant",
            reference.id
        );
    }
    Ok(all)
}

/// Recordings worked on side by side: one a core.
pub fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Scores a system. With `partial` the recordings without a log are told and left out.
///
/// # Errors
/// A log is missing, or cannot be scored.
pub fn report(
    system: &System,
    references: &[Reference],
    options: &Options,
    similarity: &dyn Similarity,
    partial: bool,
) -> anyhow::Result<Report> {
    let lacking: Vec<&str> = references
        .iter()
        .enumerate()
        .filter(|(i, _)| !system.logs.contains_key(i))
        .map(|(_, r)| r.id.as_str())
        .collect();
    if !lacking.is_empty() {
        let some = lacking
            .iter()
            .take(3)
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        let why = format!(
            "{}: no log of {} of {} recordings ({some})",
            system.name,
            lacking.len(),
            references.len()
        );
        ensure!(partial, "{why}; --partial scores the others");
        eprintln!("note: {why}; they are not scored");
    }
    let pairs: Vec<(&Log, &Reference)> = system
        .logs
        .iter()
        .map(|(i, log)| (log, &references[*i]))
        .collect();
    let tally = |(log, reference): (&Log, &Reference)| {
        Ok((
            reference.id.clone(),
            Tally::of(log, reference, options, similarity)?,
        ))
    };
    each(workers(), pairs, tally)
        .and_then(Report::of)
        .with_context(|| system.name.clone())
}

fn read_system(name: &str, paths: &[PathBuf], references: &[Reference]) -> anyhow::Result<System> {
    let place = |id: &str| references.iter().position(|r| r.id == id);
    let mut files: BTreeMap<usize, PathBuf> = BTreeMap::new();
    let mut add = |place: usize, path: PathBuf| -> anyhow::Result<()> {
        let again = format!(
            "{}: a second log of recording `{}`",
            path.display(),
            references[place].id
        );
        ensure!(files.insert(place, path).is_none(), again);
        Ok(())
    };
    for path in paths {
        if path.is_dir() {
            for file in logs_in(path)? {
                if let Some(place) = place(&log_id(&file)) {
                    add(place, file)?;
                }
            }
        } else if let ([_], [_]) = (paths, references) {
            add(0, path.clone())?;
        } else {
            let id = log_id(path);
            let place = place(&id).with_context(|| {
                format!("{}: no recording `{id}` in the reference", path.display())
            })?;
            add(place, path.clone())?;
        }
    }
    let read =
        |(place, path): (&usize, &PathBuf)| -> anyhow::Result<_> { Ok((*place, Log::read(path)?)) };
    let logs: BTreeMap<usize, Log> = each(workers(), &files, read)?.into_iter().collect();
    let cut: Vec<_> = logs
        .iter()
        .filter(|(_, log)| !log.ended)
        .filter_map(|(place, _)| files.get(place))
        .collect();
    if let Some(first) = cut.first() {
        eprintln!(
            "note: {name}: {} of {} logs have no `end` event, their sessions were cut off ({})",
            cut.len(),
            logs.len(),
            first.display()
        );
    }
    Ok(System {
        name: name.to_owned(),
        logs,
    })
}

/// `DIR/ID.jsonl` and `DIR/ID/events.jsonl`, in order.
///
/// # Errors
/// The folder cannot be read.
pub fn logs_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        let inside = path.join("events.jsonl");
        if path.is_file() && path.extension().is_some_and(|e| e == "jsonl") {
            files.push(path);
        } else if inside.is_file() {
            files.push(inside);
        }
    }
    files.sort();
    Ok(files)
}

fn run_baseline(
    kind: Baseline,
    inputs: &SystemInputs,
    references: &[Reference],
) -> anyhow::Result<System> {
    let averages = match kind {
        Baseline::Clock => Some(averages(inputs, references)?),
        Baseline::Silent | Baseline::Change | Baseline::Reference => None,
    };
    let mut logs = BTreeMap::new();
    for (i, reference) in references.iter().enumerate() {
        let clip = Clip::from(reference);
        let events = match (kind, &averages) {
            (Baseline::Clock, Some(averages)) => baseline::clock(&clip, averages)?,
            (Baseline::Change, _) => baseline::change(&clip, &moments(inputs, reference)?)?,
            (Baseline::Reference, _) => baseline::reference(reference)?,
            _ => baseline::silent(&clip)?,
        };
        if let Some(folder) = &inputs.write_logs {
            write_log(&folder.join(kind.name()), &reference.id, &events)?;
        }
        logs.insert(i, Log::from_events(&events)?);
    }
    Ok(System {
        name: kind.name().to_owned(),
        logs,
    })
}

fn averages(inputs: &SystemInputs, references: &[Reference]) -> anyhow::Result<Averages> {
    ensure!(
        !inputs.train_reference.is_empty(),
        "--baseline clock: --train-reference must name what it learns its times from"
    );
    let training = read_references(&inputs.train_reference, None)?;
    for reference in &training {
        let seen = references.iter().any(|r| r.id == reference.id);
        ensure!(
            !seen,
            "--train-reference: recording `{}` is among those that are scored",
            reference.id
        );
    }
    Ok(Averages::learn(&training)?)
}

fn moments(inputs: &SystemInputs, reference: &Reference) -> anyhow::Result<Vec<MediaTime>> {
    let folder = inputs
        .features
        .as_ref()
        .context("--baseline change: --features must name the folder of the feature files")?;
    let path = folder.join(format!("{}.safetensors", plain_name(&reference.id)?));
    let signal = change_of_file(&path, reference)?;
    Ok(change::peaks(&signal, &inputs.detector))
}

/// Change between the frames of a feature file, at their times.
fn change_of_file(path: &Path, reference: &Reference) -> anyhow::Result<Vec<(MediaTime, f32)>> {
    let file = read_features(path, reference.fps)?;
    let signal =
        change::change_signal(&file.cls, file.dim).with_context(|| path.display().to_string())?;
    Ok(signal
        .into_iter()
        .enumerate()
        .map(|(k, v)| (MediaTime(file.at_s(k)), v))
        .collect())
}

/// An id that can be a file's name and nothing else.
///
/// # Errors
/// It cannot.
pub fn plain_name(id: &str) -> anyhow::Result<&str> {
    let plain = Path::new(id).file_name().is_some_and(|f| f == id) && !id.contains(['/', '\\']);
    ensure!(plain, "recording id `{id}` cannot be a file's name");
    Ok(id)
}

fn write_log(folder: &Path, id: &str, events: &[Event]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    log::write(&folder.join(format!("{}.jsonl", plain_name(id)?)), events)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_files_name_and_nothing_else() {
        assert!(plain_name("1_7").is_ok());
        for bad in ["", ".", "..", "a/b", "../a", "/a", "a\\b", "a/"] {
            assert!(plain_name(bad).is_err(), "{bad}");
        }
    }
}
