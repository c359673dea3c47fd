//! Finds the files that ship with the program, the demo's models, clip and task, and models by
//! their names.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::flags::RunFlags;
use super::manifest::{self, Manifest, Resolved};

/// Folder of models and manifests, relative to the repository or the binary.
const MODELS_FOLDER: &str = "models";
/// Folder of the demo within it.
const DEMO_FOLDER: &str = "demo";

/// Files of the demo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demo {
    /// The assistant model.
    pub assistant: PathBuf,
    /// The clip.
    pub clip: PathBuf,
    /// The task that is done in the clip.
    pub task: PathBuf,
}

/// The demo's files, from the first place that has them.
///
/// # Errors
/// No place has all of them; the message says where they were looked for and what was missing.
pub fn demo() -> anyhow::Result<Demo> {
    let folders: Vec<PathBuf> = places()
        .into_iter()
        .map(|place| place.join(DEMO_FOLDER))
        .collect();
    demo_in(&folders)
}

/// The folders where models and manifests are looked for: in the repository, in the working folder,
/// and beside the program.
pub fn places() -> Vec<PathBuf> {
    let mut places = vec![
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(MODELS_FOLDER),
        PathBuf::from(MODELS_FOLDER),
    ];
    if let Some(folder) = std::env::current_exe()
        .ok()
        .as_deref()
        .and_then(Path::parent)
    {
        places.push(folder.join(MODELS_FOLDER));
    }
    places
}

/// Resolves an argument: a path stays as it is, a name stands for the files of its manifest.
///
/// # Errors
/// There is no such file and no such manifest, or one of its files is missing.
pub fn named(argument: PathBuf) -> anyhow::Result<Resolved> {
    match argument.to_str() {
        Some(name) if manifest::is_name(&argument) => Manifest::find(name, &places())?.resolve(),
        _ => Ok(Resolved {
            model: argument,
            vision: None,
        }),
    }
}

/// The assistant that the flags name, or the demo's. Where the flags name no vision file, they take
/// over that of the manifest.
///
/// # Errors
/// As [`named`], and as [`demo`] where no model is named.
pub fn assistant(flags: &mut RunFlags) -> anyhow::Result<PathBuf> {
    let Some(model) = flags.model.clone() else {
        return Ok(demo()?.assistant);
    };
    let Resolved { model, vision } = named(model)?;
    flags.vision = flags.vision.take().or(vision);
    Ok(model)
}

fn demo_in(places: &[PathBuf]) -> anyhow::Result<Demo> {
    let mut looked = String::new();
    for place in places {
        let demo = Demo {
            assistant: place.join("assistant.gguf"),
            clip: place.join("clip.mp4"),
            task: place.join("task.toml"),
        };
        let missing = [&demo.assistant, &demo.clip, &demo.task]
            .into_iter()
            .find(|path| !path.is_file());
        let Some(missing) = missing else {
            return Ok(demo);
        };
        let name = missing.file_name().unwrap_or_default().to_string_lossy();
        looked.push_str(&format!("\n  {} (no {name})", place.display()));
    }
    bail!(
        "the demo's files were not found; looked in{looked}\n\
         run it from the repository, or name the files: proact replay CLIP --model FILE --task FILE"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_complete_place_wins_and_otherwise_all_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (empty, full) = (dir.path().join("empty"), dir.path().join("full"));
        std::fs::create_dir_all(&full).unwrap();
        for name in ["assistant.gguf", "clip.mp4"] {
            std::fs::write(full.join(name), b"x").unwrap();
        }
        let places = [empty.clone(), full.clone()];
        let why = demo_in(&places).unwrap_err().to_string();
        assert!(
            why.contains(&empty.display().to_string()) && why.contains("no task.toml"),
            "{why}"
        );
        std::fs::write(full.join("task.toml"), b"x").unwrap();
        assert_eq!(demo_in(&places).unwrap().clip, full.join("clip.mp4"));
    }
}
