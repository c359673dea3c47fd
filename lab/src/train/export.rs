//! The end of a training: quantized files with their cards.

use anyhow::Context;

use super::stages::Job;
use crate::calibrate::search::Found;
use crate::quant::{self, Inputs, Options, Recipe, Source};
use proact::files::write_atomic;
use proact::model::config::AssistantConfig;
use proact::model::metadata::MetaValue;

/// Writes the vision file from the finished picture tower.
///
/// # Errors
/// The checkpoint or the recipe cannot be read, or the disk refused the file.
pub fn vision(job: &Job<'_>) -> anyhow::Result<()> {
    let out = job.vision_gguf();
    if newer(&out, &job.folder("vision").join("model.safetensors")) {
        return Ok(());
    }
    let source = Source::open(job.folder("vision"), &Inputs::default())?;
    let recipe = Recipe::open(&job.config.quantize.vision)?;
    let options = Options {
        metadata: card(job, "vision"),
        ..Options::default()
    };
    make_folder(job)?;
    quant::quantize(&source, &recipe, &out, &options)?;
    Ok(())
}

/// Writes the assistant file with the gates that were found (with the checkpoint's own before
/// that), and a card for people.
///
/// # Errors
/// As [`vision`].
pub fn assistant(job: &Job<'_>, found: Option<Found>) -> anyhow::Result<()> {
    let folder = job.folder("assistant");
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut config = AssistantConfig::from_json(&text)?;
    if let Some(found) = found {
        (config.gates, config.calibration) = (found.gates, Some(found.calibration));
    }
    write_atomic(&path, config.to_json()?.as_bytes())?;
    let source = Source::open(&folder, &Inputs::default())?;
    let recipe = Recipe::open(&job.config.quantize.assistant)?;
    // The encoder of dialogues' features is unknown; `proact quantize --vision` names it later.
    let vision = job.config.dialogues.is_none().then(|| job.vision_gguf());
    let options = Options {
        metadata: card(job, "assistant"),
        vision: vision.as_deref(),
        ..Options::default()
    };
    make_folder(job)?;
    let report = quant::quantize(&source, &recipe, &job.assistant_gguf(), &options)?;
    let worst = report
        .tensors
        .iter()
        .map(|t| t.rms_relative)
        .fold(0.0, f64::max);
    write_atomic(
        &job.config.output.join("CARD.md"),
        card_page(job, &config, worst)?.as_bytes(),
    )?;
    Ok(())
}

fn make_folder(job: &Job<'_>) -> anyhow::Result<()> {
    std::fs::create_dir_all(&job.config.output)
        .with_context(|| job.config.output.display().to_string())
}

fn newer(file: &std::path::Path, than: &std::path::Path) -> bool {
    let time = |p: &std::path::Path| p.metadata().and_then(|m| m.modified()).ok();
    matches!((time(file), time(than)), (Some(a), Some(b)) if a >= b)
}

fn card(job: &Job<'_>, part: &str) -> Vec<(String, MetaValue)> {
    let card = &job.config.card;
    [
        ("general.name", format!("{} {part}", card.name)),
        ("general.license", card.license.clone()),
        ("general.description", format!("Trained on {}.", card.data)),
    ]
    .into_iter()
    .map(|(key, text)| (key.to_owned(), MetaValue::String(text)))
    .collect()
}

fn card_page(job: &Job<'_>, config: &AssistantConfig, worst: f64) -> anyhow::Result<String> {
    let card = &job.config.card;
    let gate = |g: &proact::dialogue::policy::GateConfig| {
        format!("{} (refractory {} s)", g.threshold.0, g.refractory_s)
    };
    let (dv, per_frame) = (config.vision_length, config.tokens_per_frame);
    let (files, vision, knows) = match job.config.dialogues {
        Some(_) => (
            "One file",
            format!("features as they came: {per_frame} of width {dv} a frame"),
            "It knows these recordings",
        ),
        None => {
            let vision = job.config.vision()?;
            let (side, patches, recipe) = (
                vision.image_size,
                vision.patches(),
                &job.config.quantize.vision,
            );
            let line = format!(
                "`vision.gguf`: SigLIP, {side} px, {patches} patches, width {dv}, recipe `{recipe}`"
            );
            ("Two files", line, "It knows these simulations")
        }
    };
    Ok(format!(
        "# {name}\n\n{files}, made by `proact train`; licence {license}.\n\n\
         - {vision}\n\
         - `assistant.gguf`: DSTProAct, {blocks} blocks, width {d}, {vocab} tokens, context {context}, recipe `{ra}`\n\
         - worst relative RMS error of a tensor by quantization: {worst:.5}\n\
         - gates: update at {dst}, speak at {speak}\n\n\
         Trained on {data}. {knows} and nothing else; do not rely on it in a real kitchen.\n",
        name = card.name,
        license = card.license,
        blocks = config.backbone.block_count,
        d = config.backbone.embedding_length,
        vocab = config.backbone.vocab_size,
        context = config.backbone.context_length,
        ra = job.config.quantize.assistant,
        dst = gate(&config.gates.dst_update),
        speak = gate(&config.gates.speak),
        data = card.data,
    ))
}
