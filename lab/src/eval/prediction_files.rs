//! Event logs as the prediction files that ProAssist's own scores are computed from.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::predictions::predictions;
use crate::eval::systems::{log_id, logs_in};
use crate::eval::{Log, Reference};
use proact::dialogue::annotation;

/// Recordings with predictions, and all that the annotation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Files written, one a recording.
    pub written: usize,
    /// Recordings in the annotation.
    pub recordings: usize,
}

/// Writes `OUT/N.json` for each log, N the number of its recording in the annotation.
///
/// # Errors
/// Unreadable files; a log of a recording that the annotation does not have; an output that cannot
/// be written.
pub fn export(inputs: &[PathBuf], annotation: &Path, output: &Path) -> anyhow::Result<Exported> {
    let file = match annotation.join(crate::eval::reference::ANNOTATION_FILE) {
        own if own.is_file() => own,
        _ if annotation.is_file() => annotation.to_path_buf(),
        _ => bail!(
            "{}: no annotation file, and no folder of an episode",
            annotation.display()
        ),
    };
    let references = Reference::read(&file, None)?;
    let recordings = annotation::read_with_tasks(&file)?;
    let mut files = Vec::new();
    for input in inputs {
        if input.is_dir() {
            files.extend(logs_in(input)?)
        } else {
            files.push(input.clone())
        }
    }
    if files.is_empty() {
        let looked: Vec<_> = inputs
            .iter()
            .map(|input| input.display().to_string())
            .collect();
        bail!(
            "{}: no event log in it; expected files ID.jsonl",
            looked.join(", ")
        );
    }
    std::fs::create_dir_all(output).with_context(|| output.display().to_string())?;
    let mut written = std::collections::BTreeSet::new();
    for path in &files {
        let id = log_id(path);
        let place = match references.as_slice() {
            [_] if files.len() == 1 => Some(0),
            _ => references.iter().position(|reference| reference.id == id),
        };
        let place = place.with_context(|| {
            format!(
                "{}: no recording `{id}` in {}",
                path.display(),
                file.display()
            )
        })?;
        ensure!(
            written.insert(place),
            "{}: a second log of recording `{}`",
            path.display(),
            references[place].id
        );
        let json = predictions(
            &Log::read(path)?,
            &references[place],
            &recordings[place].0,
            place,
        )?;
        let to = output.join(format!("{place}.json"));
        std::fs::write(&to, serde_json::to_string_pretty(&json)?)
            .with_context(|| to.display().to_string())?;
    }
    Ok(Exported {
        written: written.len(),
        recordings: references.len(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;
    use crate::eval::baseline;
    use crate::eval::speech::{Lexical, match_frames, match_log, window_of};

    #[test]
    fn what_is_exported_matches_as_the_log_does() {
        let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .join("tests/data/proassist/dialogues.jsonl");
        let dir = tempfile::tempdir().unwrap();
        let references = Reference::read(&data, None).unwrap();
        let logs = dir.path().join("logs");
        std::fs::create_dir(&logs).unwrap();
        let mut kept = Vec::new();
        for (i, reference) in references.iter().enumerate().skip(1) {
            // Every third sentence of the next recording's words, so that some match and some do
            // not.
            let mut run = reference.clone();
            run.utterances = references[(i + 1) % references.len()]
                .utterances
                .iter()
                .step_by(3)
                .cloned()
                .collect();
            run.utterances
                .retain(|(at, _)| *at >= reference.start && *at < reference.end);
            let events = baseline::reference(&run).unwrap();
            crate::eval::log::write(&logs.join(format!("{}.jsonl", reference.id)), &events)
                .unwrap();
            kept.push((i, Log::from_events(&events).unwrap()));
        }
        export(&[logs], &data, &dir.path().join("out")).unwrap();
        assert!(!dir.path().join("out/0.json").exists());
        for (i, log) in kept {
            let text = std::fs::read_to_string(dir.path().join(format!("out/{i}.json"))).unwrap();
            let json: Value = serde_json::from_str(&text).unwrap();
            let frames = json["predictions"].as_array().unwrap();
            let texts = |key: &str| -> BTreeMap<usize, String> {
                let at = |(k, p): (usize, &Value)| {
                    Some((
                        k,
                        p[key].as_str().filter(|text| !text.is_empty())?.to_owned(),
                    ))
                };
                frames.iter().enumerate().filter_map(at).collect()
            };
            let window_s = window_of(&references[i].dataset);
            let window = ((window_s.0 * 2.0) as i64, (window_s.1 * 2.0) as i64);
            let again =
                match_frames(&texts("gen"), &texts("ref"), frames.len(), window, &Lexical).unwrap();
            let direct = match_log(&log, &references[i], window_s, &Lexical).unwrap();
            assert_eq!(
                (again.matched, again.missed, again.redundant),
                (direct.matched, direct.missed, direct.redundant),
                "{i}"
            );
        }
    }

    #[test]
    fn logs_of_other_recordings_are_named_errors() {
        let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .join("tests/data/proassist/dialogues.jsonl");
        let dir = tempfile::tempdir().unwrap();
        let references = Reference::read(&data, None).unwrap();
        let path = dir.path().join("nobody.jsonl");
        crate::eval::log::write(&path, &baseline::reference(&references[0]).unwrap()).unwrap();
        let why = export(&[path], &data, &dir.path().join("out"))
            .unwrap_err()
            .to_string();
        assert!(why.contains("no recording `nobody`"), "{why}");
        let empty = dir.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        let why = export(&[empty], &data, &dir.path().join("out"))
            .unwrap_err()
            .to_string();
        assert!(why.contains("empty: no event log"), "{why}");
        assert!(export(&[], &dir.path().join("none"), dir.path()).is_err());
    }
}
