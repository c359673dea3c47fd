//! `proact quantize`: weights in, GGUF out, and what it cost each tensor.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::locate;
use proact::files::write_atomic;
use proact::model::gguf::{GgufFile, MetaValue};
use proact_lab::quant::{Inputs, Options, Recipe, Report, Source, VisionTokens, plan, quantize};

/// Turn weights that you have into a small GGUF file
///
/// IN is a Hugging Face folder (Llama, SigLIP, DSTProAct, ProAssist, or a PEFT adapter with --base;
/// safetensors or pytorch_model.bin, which is read without running anything in it), a GGUF file, or
/// a checkpoint folder of `proact train`; which of them it is, is told by its content. A Llama
/// alone becomes the backbone of an assistant with new, untrained projector and heads. The weights
/// go through piece by piece, so a model larger than the memory will do. What was written is read
/// back and checked; a card (Markdown) is written beside it. `rms err` is relative to the weights.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder with config.json and weights, a GGUF file, or the name of a manifest models/NAME.toml
    #[arg(value_name = "IN")]
    source: PathBuf,
    /// The GGUF file to write; it appears whole or not at all
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// f16, q8_0, q6_k, q5_k, q4_k, q4_0, same (as the source has it), or a TOML file of your own
    /// (see quantize/)
    #[arg(long, default_value = "q4_k", value_name = "NAME|FILE")]
    recipe: String,
    /// The vision GGUF that this assistant sees with: its name and hash go into the file
    #[arg(long, value_name = "FILE")]
    vision: Option<PathBuf>,
    /// Folder of the base model, when IN is a PEFT adapter
    #[arg(long, value_name = "FOLDER")]
    base: Option<PathBuf>,
    /// Leave a Llama alone a Llama: no projector, no heads
    #[arg(long)]
    plain: bool,
    /// Print what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
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
    let vision_tokens = match (&args.vision, args.plain) {
        (_, true) => None,
        (Some(vision), false) => Some(VisionTokens::of(&GgufFile::open(vision)?)?),
        (None, false) => Some(VisionTokens::SO400M),
    };
    let path = locate::named(args.source)?.model;
    let source = Source::open(
        &path,
        &Inputs {
            base: args.base.as_deref(),
            vision_tokens,
        },
    )?;
    if args.dry_run {
        println!("{}", plan(&source, &recipe)?.as_plan());
        println!(
            "{} -> {} by {} ({}): nothing written",
            path.display(),
            args.out.display(),
            recipe.name,
            recipe.description
        );
        return Ok(());
    }
    let folder = args
        .out
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        ensure!(folder.is_dir(), "{}: no such folder", folder.display());
    }
    let texts = [
        ("name", args.name),
        ("license", args.license),
        ("description", args.description),
    ];
    let metadata = texts
        .into_iter()
        .filter_map(|(key, text)| Some((format!("general.{key}"), MetaValue::String(text?))));
    let report = write(
        &source,
        &recipe,
        &args.out,
        metadata.collect(),
        args.vision.as_deref(),
    )
    .with_context(|| format!("quantizing {} by recipe {}", path.display(), recipe.name))?;
    write_atomic(
        &args.out.with_extension("md"),
        card(&source, &recipe, &args.out, &report)?.as_bytes(),
    )?;
    let table = report.to_string();
    match args.quiet {
        true => println!("{}", table.lines().last().unwrap_or_default()),
        false => println!("{table}"),
    }
    println!(
        "{} -> {} by {} ({})",
        path.display(),
        args.out.display(),
        recipe.name,
        recipe.description
    );
    println!("sha256 {}", report.sha256);
    Ok(())
}

/// Writes a source with a bar that moves.
pub fn write(
    source: &Source,
    recipe: &Recipe,
    out: &Path,
    metadata: Vec<(String, MetaValue)>,
    vision: Option<&Path>,
) -> proact::error::Result<Report> {
    let bar = indicatif::ProgressBar::new(source.entries.len() as u64);
    let progress = |_: &proact_lab::quant::TensorReport| bar.inc(1);
    let report = quantize(
        source,
        recipe,
        out,
        &Options {
            metadata,
            vision,
            progress: Some(&progress),
        },
    );
    bar.finish_and_clear();
    report
}

/// A page for people: what the file is, what it came from, and what packing lost.
fn card(source: &Source, recipe: &Recipe, out: &Path, report: &Report) -> anyhow::Result<String> {
    let file = GgufFile::open(out)?;
    let text = |key: &str| match file.metadata(key) {
        Some(MetaValue::String(text)) => text.replace(['\n', '\r', '<', '`'], " "),
        _ => "not stated".to_owned(),
    };
    let name = |path: &Path| {
        path.file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let new: Vec<&str> = source
        .entries
        .iter()
        .filter(|e| e.stored_as == "new")
        .map(|e| e.name.as_str())
        .collect();
    let new = match new.is_empty() {
        true => String::new(),
        false => format!(
            "- new and untrained, to be trained before use: {}\n",
            new.join(", ")
        ),
    };
    Ok(format!(
        "# {title}\n\n`{file}`, {size} bytes, SHA-256 `{sha}`\n\n- architecture {architecture}, layout {layout}\n- licence: {license}\n\
         - made by `proact quantize` from `{from}`, recipe `{recipe}` ({what})\n{new}- {bits:.2} bits a weight, {weights} weights\n\n```\n{report}\n```\n",
        title = text("general.name"),
        file = name(out),
        size = file.byte_len(),
        sha = report.sha256,
        architecture = text("general.architecture"),
        layout = text("dstproact.layout"),
        license = text("general.license"),
        from = name(&source.path),
        recipe = recipe.name,
        what = recipe.description,
        bits = report.bits_per_weight(),
        weights = report.weights(),
    ))
}
