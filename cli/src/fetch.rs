//! `proact fetch`: brings the files of a model from the Hugging Face hub, and checks them.

use std::path::PathBuf;

use super::hub;
use super::locate;
use super::manifest::{Manifest, known};

/// Bring a model's files from the Hugging Face hub
///
/// Reads models/NAME.toml and brings each of its files that is on the hub and not here yet into the
/// cache that Hugging Face's own tools use (HF_HOME, HF_HUB_CACHE; HF_ENDPOINT, HF_TOKEN), then
/// checks the SHA-256 of all. With HF_HUB_OFFLINE=1 only what is here is checked. No other verb
/// ever opens a socket; `--model NAME` then finds the files.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Names of manifests; without any, those that there are, are listed
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// There is no such manifest; a file is neither here nor to be had, or is another one.
pub fn run(args: Args) -> anyhow::Result<()> {
    let places = locate::places();
    if args.names.is_empty() {
        for name in known(&places) {
            println!("{name:16} {}", Manifest::find(&name, &places)?.description);
        }
    }
    for name in &args.names {
        let manifest = Manifest::find(name, &places)?;
        println!("{name}: {} ({})", manifest.description, manifest.license);
        for file in &manifest.file {
            let path: PathBuf = match (manifest.local(file), &file.repo) {
                (Some(path), _) => path,
                (None, Some(repo)) => hub::download(repo, &file.revision, &file.name)?,
                (None, None) => anyhow::bail!("{}", manifest.absent(file)),
            };
            manifest.verify(file, &path)?;
            println!("{}: SHA-256 as it should be", path.display());
        }
    }
    Ok(())
}
