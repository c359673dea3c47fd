//! What is scored: logs by the recording that they belong to, and systems that do not look.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::{Args, read_references, workers};
use crate::eval::baseline::{self, Averages, Clip};
use crate::eval::change::{self, Detector};
use crate::eval::{Log, Reference, log};
use crate::features::FeatureFile;
use crate::stream::Event;
use crate::train::parallel::each;
use crate::units::MediaTime;

/// A system that does not look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Baseline {
    /// Says and does nothing
    Silent,
    /// Moves the steps by the average times of training recordings
    Clock,
    /// Moves the steps when the picture changes much
    Change,
    /// The annotation itself: what a perfect run scores
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
pub(super) struct System {
    pub(super) name: String,
    pub(super) logs: BTreeMap<usize, Log>,
}

pub(super) fn systems(args: &Args, references: &[Reference]) -> anyhow::Result<Vec<System>> {
    let mut systems = Vec::new();
    if !args.logs.is_empty() {
        systems.push(read_system("log", &args.logs, references)?);
    }
    for given in &args.system {
        let (name, path) = given
            .split_once('=')
            .with_context(|| format!("--system {given}: expected NAME=DIR"))?;
        systems.push(read_system(name, &[PathBuf::from(path)], references)?);
    }
    for kind in &args.baseline {
        systems.push(run_baseline(*kind, args, references)?);
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
pub(in crate::cli) fn log_id(path: &Path) -> String {
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
pub(in crate::cli) fn logs_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
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

fn run_baseline(kind: Baseline, args: &Args, references: &[Reference]) -> anyhow::Result<System> {
    let averages = match kind {
        Baseline::Clock => Some(averages(args, references)?),
        Baseline::Silent | Baseline::Change | Baseline::Reference => None,
    };
    let mut logs = BTreeMap::new();
    for (i, reference) in references.iter().enumerate() {
        let clip = Clip::from(reference);
        let events = match (kind, &averages) {
            (Baseline::Clock, Some(averages)) => baseline::clock(&clip, averages)?,
            (Baseline::Change, _) => baseline::change(&clip, &moments(args, reference)?)?,
            (Baseline::Reference, _) => baseline::reference(reference)?,
            _ => baseline::silent(&clip)?,
        };
        if let Some(folder) = &args.write_logs {
            write_log(&folder.join(kind.name()), &reference.id, &events)?;
        }
        logs.insert(i, Log::from_events(&events)?);
    }
    Ok(System {
        name: kind.name().to_owned(),
        logs,
    })
}

fn averages(args: &Args, references: &[Reference]) -> anyhow::Result<Averages> {
    ensure!(
        !args.train_reference.is_empty(),
        "--baseline clock: --train-reference must name what it learns its times from"
    );
    let training = read_references(&args.train_reference, None)?;
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

fn moments(args: &Args, reference: &Reference) -> anyhow::Result<Vec<MediaTime>> {
    let folder = args
        .features
        .as_ref()
        .context("--baseline change: --features must name the folder of the feature files")?;
    let path = folder.join(format!("{}.safetensors", plain_name(&reference.id)?));
    let signal = change_of_file(&path, reference)?;
    let detector = Detector {
        above_sd: args.change_above,
        refractory_s: args.change_refractory,
    };
    Ok(change::peaks(&signal, &detector))
}

/// Change between the frames of a feature file, at their times.
fn change_of_file(path: &Path, reference: &Reference) -> anyhow::Result<Vec<(MediaTime, f32)>> {
    let file = FeatureFile::read(path, reference.fps)?;
    let signal =
        change::change_signal(&file.cls, file.dim).with_context(|| path.display().to_string())?;
    Ok(signal
        .into_iter()
        .enumerate()
        .map(|(k, v)| (MediaTime(file.at_s(k)), v))
        .collect())
}

/// An id that can be a file's name and nothing else.
pub(super) fn plain_name(id: &str) -> anyhow::Result<&str> {
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
