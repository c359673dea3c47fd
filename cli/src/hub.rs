//! The Hugging Face hub through hf-hub: its cache, and the one place of the program that opens a
//! socket.

use std::path::PathBuf;

use anyhow::{Context, bail};
use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};

/// Where the cache lies, before HF_HOME; as Python's huggingface_hub has it.
const CACHE_VARIABLE: &str = "HF_HUB_CACHE";
/// Set to anything but 0 or nothing: no network.
const OFFLINE_VARIABLES: [&str; 2] = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];
/// A token for files that need one; otherwise the one that is stored beside the cache.
const TOKEN_VARIABLE: &str = "HF_TOKEN";
/// Downloads that break off are taken up again this often.
const RETRIES: usize = 3;

fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

fn cache() -> Cache {
    variable(CACHE_VARIABLE).map_or_else(Cache::from_env, |path| Cache::new(path.into()))
}

fn repo(name: &str, revision: &str) -> Repo {
    Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned())
}

/// A file of the cache, without any look at the network.
pub fn cached(name: &str, revision: &str, file: &str) -> Option<PathBuf> {
    let cache = cache();
    let repo = repo(name, revision);
    // Python's cache keeps no reference for a revision that is a commit already.
    let commit = cache
        .path()
        .join(repo.folder_name())
        .join("snapshots")
        .join(revision)
        .join(file);
    cache
        .repo(repo)
        .get(file)
        .or_else(|| Some(commit).filter(|path| path.is_file()))
}

/// Downloads a file into the cache.
///
/// # Errors
/// The network is forbidden by a variable, or the hub does not give the file.
pub fn download(name: &str, revision: &str, file: &str) -> anyhow::Result<PathBuf> {
    let off = |value: &str| ["0", "false", "no", "off"].contains(&value.to_lowercase().as_str());
    if let Some(key) = OFFLINE_VARIABLES
        .into_iter()
        .find(|key| variable(key).is_some_and(|value| !off(&value)))
    {
        bail!(
            "{name}: {file} is not in the cache {}, and {key} forbids the network",
            cache().path().display()
        );
    }
    let mut builder = ApiBuilder::from_cache(cache()).with_retries(RETRIES);
    if let Some(endpoint) = variable("HF_ENDPOINT") {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(token) = variable(TOKEN_VARIABLE) {
        builder = builder.with_token(Some(token));
    }
    let api = builder.build()?.repo(repo(name, revision));
    api.download(file)
        .with_context(|| format!("{}: the hub does not give it", api.url(file)))
}
