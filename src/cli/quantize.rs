//! `proact quantize`: weights in, GGUF out, and what it cost each tensor.

use std::path::PathBuf;

use anyhow::{Context, ensure};

use crate::model::gguf::MetaValue;
use crate::quant::{Options, Recipe, Source, quantize};

/// Turn trained weights into a small GGUF file
///
/// IN is a checkpoint folder of `proact train`, a Hugging Face folder (Llama, DSTProAct, SigLIP, or a PEFT adapter with
/// --base), or a GGUF file to pack anew. Prints the error of each tensor: `rms err` is relative to the weights.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder with config.json and model.safetensors, or a GGUF file
    #[arg(value_name = "IN")]
    source: PathBuf,
    /// The GGUF file to write; it appears whole or not at all
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// f16, q8_0, q6_k, q5_k, q4_k, q4_0, or a TOML file of your own (see quantize/)
    #[arg(long, default_value = "q4_k", value_name = "NAME|FILE")]
    recipe: String,
    /// The vision GGUF that this assistant sees with: its name and hash go into the file
    #[arg(long, value_name = "FILE")]
    vision: Option<PathBuf>,
    /// Folder of the base model, when IN is a PEFT adapter
    #[arg(long, value_name = "FOLDER")]
    base: Option<PathBuf>,
    /// What the file calls itself; the folder's name otherwise
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// SPDX name of the licence that the weights are under
    #[arg(long, value_name = "SPDX")]
    license: Option<String>,
    /// A sentence about the model
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Print totals only
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the verb.
///
/// # Errors
/// The source is not whole, the recipe does not fit it, or a file cannot be read or written.
pub fn run(args: Args) -> anyhow::Result<()> {
    let recipe = Recipe::open(&args.recipe)?;
    let source = Source::open(&args.source, args.base.as_deref())?;
    let folder = args.out.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        ensure!(folder.is_dir(), "{}: no such folder", folder.display());
    }
    let texts = [("name", args.name), ("license", args.license), ("description", args.description)];
    let metadata =
        texts.into_iter().filter_map(|(key, text)| Some((format!("general.{key}"), MetaValue::String(text?))));
    let bar = indicatif::ProgressBar::new(source.entries.len() as u64);
    let progress = |_: &crate::quant::TensorReport| bar.inc(1);
    let options = Options { metadata: metadata.collect(), vision: args.vision.as_deref(), progress: Some(&progress) };
    let report = quantize(&source, &recipe, &args.out, &options)
        .with_context(|| format!("quantizing {} by recipe {}", args.source.display(), recipe.name))?;
    bar.finish_and_clear();
    let table = report.to_string();
    match args.quiet {
        true => println!("{}", table.lines().last().unwrap_or_default()),
        false => println!("{table}"),
    }
    println!("{} -> {} by {} ({})", args.source.display(), args.out.display(), recipe.name, recipe.description);
    Ok(())
}
