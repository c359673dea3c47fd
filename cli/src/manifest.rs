//! Models by name: `models/NAME.toml` says which files a model is made of, where they come from,
//! and their SHA-256.
//!
//! ```toml
//! description = "what it is, in a sentence"
//! license = "Apache-2.0"                # SPDX
//! source = "where the files come from, in words"
//! model = "assistant.gguf"              # what `--model NAME` opens
//! vision = "vision.gguf"                # optional: what it sees with
//!
//! [[file]]
//! name = "assistant.gguf"               # in the folder models/NAME
//! bytes = 2232096
//! sha256 = "…"
//! repo = "owner/name"                   # optional: on the Hugging Face hub, for `proact fetch`
//! revision = "main"                     # optional: branch or commit there
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use proact::files;

/// Hex digits of a SHA-256.
const SHA256_DIGITS: usize = 64;
/// Endings of the names of model files.
const FILE_ENDINGS: [&str; 3] = ["gguf", "safetensors", "bin"];
/// Ending of a manifest's name.
const ENDING: &str = "toml";

/// A model's manifest.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What it is, in a sentence.
    pub description: String,
    /// Licence of the files, as an SPDX expression.
    pub license: String,
    /// Where they come from, in words.
    pub source: String,
    model: String,
    vision: Option<String>,
    /// Its files.
    pub file: Vec<ModelFile>,
    /// Where it was read from.
    #[serde(skip)]
    path: PathBuf,
    /// Where its files may lie.
    #[serde(skip)]
    folders: Vec<PathBuf>,
}

/// One file of a model.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Its name, a bare one.
    pub name: String,
    bytes: u64,
    sha256: String,
    /// `owner/name` on the Hugging Face hub; absent where the file is not there.
    pub repo: Option<String>,
    /// Branch, tag or commit there.
    #[serde(default = "main_branch")]
    pub revision: String,
}

fn main_branch() -> String {
    "main".into()
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The model file.
    pub model: PathBuf,
    /// Its vision file, where the manifest names one.
    pub vision: Option<PathBuf>,
}

impl Manifest {
    /// Finds the manifest of a name in the first place that has it.
    ///
    /// # Errors
    /// No place has it, or the file is no manifest. The message says where it was looked for, and
    /// which names there are.
    pub fn find(name: &str, places: &[PathBuf]) -> anyhow::Result<Self> {
        let paths = places
            .iter()
            .map(|place| place.join(format!("{name}.{ENDING}")));
        if let Some(path) = paths.clone().find(|path| path.is_file()) {
            return Ok(Self {
                folders: places.iter().map(|place| place.join(name)).collect(),
                ..Self::read(&path)?
            });
        }
        let looked: Vec<_> = paths.map(|path| path.display().to_string()).collect();
        bail!(
            "{name}: no such file, and no such model: none of {}; there are: {}",
            looked.join(", "),
            known(places).join(", ")
        )
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let name = || path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(name)?;
        let manifest: Self = toml::from_str(&text).with_context(name)?;
        for key in [&manifest.description, &manifest.license, &manifest.source] {
            ensure!(
                !key.trim().is_empty(),
                "{}: description, license, source: expected words in each",
                name()
            );
        }
        for (i, file) in manifest.file.iter().enumerate() {
            let bare = Path::new(&file.name).file_name() == Some(file.name.as_ref())
                && !file.name.contains('\\');
            ensure!(
                bare,
                "{}: file.name: found {:?}, expected a bare file name",
                name(),
                file.name
            );
            ensure!(
                manifest.file[..i].iter().all(|f| f.name != file.name),
                "{}: file.name: {} is there twice",
                name(),
                file.name
            );
            let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            let sound = file.sha256.len() == SHA256_DIGITS && file.sha256.chars().all(hex);
            ensure!(
                sound,
                "{}: {}: sha256: found {:?}, expected {SHA256_DIGITS} lower-case hex digits",
                name(),
                file.name,
                file.sha256
            );
            let repo = file.repo.as_deref().is_none_or(|repo| {
                repo.split('/')
                    .filter(|part| !part.is_empty() && *part != "..")
                    .count()
                    == 2
            });
            ensure!(
                repo,
                "{}: {}: repo: found {:?}, expected owner/name",
                name(),
                file.name,
                file.repo
            );
        }
        for (key, of) in [
            ("model", Some(&manifest.model)),
            ("vision", manifest.vision.as_ref()),
        ] {
            let listed = of.is_none_or(|of| manifest.file.iter().any(|file| file.name == *of));
            ensure!(
                listed,
                "{}: {key}: found {of:?}, expected the name of a [[file]]",
                name()
            );
        }
        Ok(Self {
            path: path.to_path_buf(),
            ..manifest
        })
    }

    /// Finds its files on this machine, and checks each against its hash.
    ///
    /// # Errors
    /// A file is missing, or has another hash; the message names the remedy.
    pub fn resolve(&self) -> anyhow::Result<Resolved> {
        let of = |name: &str| -> anyhow::Result<PathBuf> {
            let file = self
                .file
                .iter()
                .find(|file| file.name == name)
                .context("checked when read")?;
            let path = self.local(file).with_context(|| self.absent(file))?;
            self.verify(file, &path)?;
            Ok(path)
        };
        Ok(Resolved {
            model: of(&self.model)?,
            vision: self.vision.as_deref().map(of).transpose()?,
        })
    }

    /// Where a file lies: in a folder of the model's name, or where `proact fetch` has put it.
    pub fn local(&self, file: &ModelFile) -> Option<PathBuf> {
        let mut beside = self.folders.iter().map(|folder| folder.join(&file.name));
        if let Some(path) = beside.find(|path| path.is_file()) {
            return Some(path);
        }
        #[cfg(feature = "hub")]
        if let Some(repo) = &file.repo {
            return super::hub::cached(repo, &file.revision, &file.name);
        }
        None
    }

    /// Says what to do about a file that is missing.
    pub fn absent(&self, file: &ModelFile) -> String {
        let (name, path) = (
            self.path.display(),
            self.path.with_extension("").join(&file.name),
        );
        let model = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let way = match (&file.repo, cfg!(feature = "hub")) {
            (Some(_), true) => format!("`proact fetch {model}` brings it"),
            (Some(_), false) => format!(
                "a proact built with `--features hub` brings it by `proact fetch {model}`; or put it there"
            ),
            (None, _) => "put it there".to_owned(),
        };
        format!(
            "{name}: {}: no such file; {way}. It is {}",
            path.display(),
            self.source
        )
    }

    /// Checks that a file has the length and hash that the manifest says.
    ///
    /// # Errors
    /// It has another length or hash, or cannot be read.
    pub fn verify(&self, file: &ModelFile, path: &Path) -> anyhow::Result<()> {
        let name = || path.display().to_string();
        let bytes = std::fs::metadata(path).with_context(name)?.len();
        let manifest = self.path.display();
        let remedy = "remove it and get it anew, or correct the manifest if the file is meant";
        ensure!(
            bytes == file.bytes,
            "{}: {bytes} bytes, but {manifest} says {}; {remedy}",
            name(),
            file.bytes
        );
        let found = files::sha256_of(path)?;
        ensure!(
            found == file.sha256,
            "{}: SHA-256 {found}, but {manifest} says {}; {remedy}",
            name(),
            file.sha256
        );
        Ok(())
    }
}

/// Names of the models that have a manifest.
pub fn known(places: &[PathBuf]) -> Vec<String> {
    let files = places
        .iter()
        .filter_map(|place| std::fs::read_dir(place).ok())
        .flatten()
        .flatten();
    let manifests = files
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == ENDING));
    let mut names: Vec<String> = manifests
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Whether an argument is a name and not a path.
pub fn is_name(argument: &Path) -> bool {
    let one =
        argument.components().count() == 1 && argument.file_name() == Some(argument.as_os_str());
    let file = argument
        .extension()
        .is_some_and(|ending| FILE_ENDINGS.iter().any(|of| ending == *of));
    one && !file && !argument.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn text(sha256: &str, more: &str) -> String {
        format!(
            "description = \"d\"\nlicense = \"MIT\"\nsource = \"from there\"\nmodel = \"a.gguf\"\n\
             [[file]]\nname = \"a.gguf\"\nbytes = 5\nsha256 = \"{sha256}\"\n{more}"
        )
    }

    fn write(text: &str) -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tea.toml"), text).unwrap();
        std::fs::create_dir(dir.path().join("tea")).unwrap();
        let places = vec![dir.path().join("none"), dir.path().to_path_buf()];
        (dir, places)
    }

    #[test]
    fn a_name_becomes_its_files_once_they_are_here_and_are_the_right_ones() {
        let (dir, places) = write(&text(HELLO, ""));
        let resolve = || Manifest::find("tea", &places).unwrap().resolve();
        let why = format!("{:#}", resolve().unwrap_err());
        assert!(
            why.contains("tea/a.gguf: no such file") && why.contains("from there"),
            "{why}"
        );
        let path = dir.path().join("tea/a.gguf");
        std::fs::write(&path, "hallo").unwrap();
        let why = resolve().unwrap_err().to_string();
        assert!(
            why.contains("SHA-256 d3751d33") && why.contains(HELLO) && why.contains("tea.toml"),
            "{why}"
        );
        std::fs::write(&path, "hello!").unwrap();
        assert!(resolve().unwrap_err().to_string().contains("6 bytes, but"));
        std::fs::write(&path, "hello").unwrap();
        assert_eq!(
            resolve().unwrap(),
            Resolved {
                model: path,
                vision: None
            }
        );
        // A manifest in one place, its files in another.
        let places = [places[0].clone(), dir.path().to_path_buf()];
        std::fs::create_dir(&places[0]).unwrap();
        std::fs::rename(dir.path().join("tea.toml"), places[0].join("tea.toml")).unwrap();
        assert!(
            Manifest::find("tea", &places)
                .unwrap()
                .resolve()
                .unwrap()
                .model
                .ends_with("tea/a.gguf")
        );
        let why = Manifest::find("coffee", &places).unwrap_err().to_string();
        assert!(
            why.contains("coffee.toml") && why.contains("there are: tea"),
            "{why}"
        );
    }

    #[test]
    fn what_is_wrong_with_a_manifest_is_named() {
        for (text, word) in [
            (text("abc", ""), "sha256"),
            (text(&HELLO.to_uppercase(), ""), "lower-case"),
            (text(HELLO, "repo = \"owner\"\n"), "owner/name"),
            (text(HELLO, "repo = \"../..\"\n"), "owner/name"),
            (text(HELLO, "size = 3\n"), "size"),
            (
                text(HELLO, "").replace("model = \"a.gguf\"", "model = \"b.gguf\""),
                "expected the name of a [[file]]",
            ),
            (
                text(HELLO, "").replace("name = \"a.gguf\"", "name = \"../a.gguf\""),
                "bare file name",
            ),
            (
                text(
                    HELLO,
                    "[[file]]\nname = \"a.gguf\"\nbytes = 5\nsha256 = \"\"\n",
                ),
                "twice",
            ),
            (
                text(HELLO, "").replace("license = \"MIT\"\n", ""),
                "license",
            ),
            (
                text(HELLO, "").replace("\"MIT\"", "\" \""),
                "expected words",
            ),
        ] {
            let (_dir, places) = write(&text);
            let why = format!("{:#}", Manifest::find("tea", &places).unwrap_err());
            assert!(
                why.contains(word) && why.contains("tea.toml"),
                "{word}: {why}"
            );
        }
    }

    #[test]
    fn names_are_told_from_paths() {
        for (argument, name) in [
            ("demo", true),
            ("llama-3.2-1b", true),
            ("demo.gguf", false),
            ("./demo", false),
            ("a/b", false),
            ("..", false),
            ("src", false),
        ] {
            assert_eq!(is_name(Path::new(argument)), name, "{argument}");
        }
    }

    /// `UPDATE_GOLDEN=1` writes the demo's hashes anew after another training.
    #[test]
    fn the_manifests_that_ship_are_true() {
        let places = [PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("models")];
        let path = places[0].join("demo.toml");
        if std::env::var_os("UPDATE_GOLDEN").is_some_and(|v| v == "1") {
            let mut text = std::fs::read_to_string(&path).unwrap();
            for file in Manifest::read(&path).unwrap().file {
                let bytes = std::fs::read(places[0].join("demo").join(&file.name)).unwrap();
                let sha256 = files::sha256_of_bytes(&bytes);
                text = text.replace(&file.sha256, &sha256).replace(
                    &format!("bytes = {}\n", file.bytes),
                    &format!("bytes = {}\n", bytes.len()),
                );
            }
            std::fs::write(&path, text).unwrap();
        }
        for name in known(&places) {
            Manifest::find(&name, &places).unwrap();
        }
        let demo = Manifest::find("demo", &places).unwrap().resolve().unwrap();
        assert!(
            demo.model.ends_with("demo/assistant.gguf")
                && demo
                    .vision
                    .is_some_and(|path| path.ends_with("demo/vision.gguf"))
        );
    }
}
