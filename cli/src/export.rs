//! `proact export`: what proact made, as other programs read it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::locate;
use super::quantize::write;
use proact::features;
use proact::model::gguf::GgufFile;
use proact::run::stop::Usage;
use proact_lab::eval::prediction_files;
use proact_lab::proassist::open::read_features;
use proact_lab::quant::{Recipe, Source, backbone_alone};

/// Bytes that tell what a file is.
const HEAD_BYTES: usize = 16;
/// First bytes of a model file.
const GGUF_MAGIC: &[u8] = b"GGUF";
/// Rate of feature files that do not name theirs: ProAssist's.
const FEATURES_FPS: f64 = 2.0;

/// Writes what proact made as other programs read it.
///
/// An assistant (GGUF) gives its backbone as a plain Llama that llama.cpp loads: projector and
/// heads stay behind, the tensors go over bit for bit, the tokenizer as it is. Event logs with
/// their annotation become ProAssist's predictions, one JSON file a recording in the folder -o,
/// named by its number in the annotation: its `compute_metrics` and `llm_eval` read them. A feature
/// file becomes ProAssist's Arrow file, and back (-o FILE.safetensors).
///
/// Examples:
///   proact export assistant.gguf -o llama.gguf
///   proact export logs/ --reference dialogues.jsonl -o predictions/
///   proact export features/tea.safetensors -o tea.arrow
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// An assistant, event logs or folders of them, or a feature file
    #[arg(value_name = "IN", required = true)]
    inputs: Vec<PathBuf>,

    /// The file to write, or for logs the folder; a file appears whole or not at all
    #[arg(short, long, value_name = "OUT")]
    out: PathBuf,

    /// Annotation of the recordings that the logs are of
    #[arg(long, value_name = "ANN")]
    reference: Option<PathBuf>,
}

/// What is to be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Model,
    Features,
    Logs,
}

/// Exports.
///
/// # Errors
/// Of no kind that can be exported, unreadable, or the output cannot be written.
pub fn run(mut args: Args) -> anyhow::Result<()> {
    if let [input] = args.inputs.as_mut_slice() {
        *input = locate::named(std::mem::take(input))?.model;
    }
    match (
        kind_of(&args.inputs[0])?,
        args.inputs.as_slice(),
        &args.reference,
    ) {
        (Kind::Model, [input], None) => export_backbone(input, &args.out),
        (Kind::Features, [input], None) => export_features(input, &args.out),
        (Kind::Model | Kind::Features, _, _) => Err(Usage(
            "a model or a feature file is exported by itself, without --reference".into(),
        )
        .into()),
        (Kind::Logs, inputs, Some(reference)) => {
            let exported = prediction_files::export(inputs, reference, &args.out)?;
            println!(
                "{}: predictions for {} of {} recordings",
                args.out.display(),
                exported.written,
                exported.recordings
            );
            Ok(())
        }
        (Kind::Logs, _, None) => Err(Usage(
            "logs are exported beside their annotation; name it with --reference ANN".into(),
        )
        .into()),
    }
}

/// By its first bytes: an event log is text.
fn kind_of(path: &Path) -> anyhow::Result<Kind> {
    if path.is_dir() {
        return Ok(Kind::Logs);
    }
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, HEAD_BYTES as u64), &mut head)?;
    if head.starts_with(GGUF_MAGIC) {
        return Ok(Kind::Model);
    }
    if features::file_format(&head).is_some() {
        return Ok(Kind::Features);
    }
    if head.first() == Some(&b'{') {
        return Ok(Kind::Logs);
    }
    bail!(
        "{}: neither a model, nor an event log, nor a feature file",
        path.display()
    )
}

fn export_backbone(input: &Path, output: &Path) -> anyhow::Result<()> {
    let source: Source = backbone_alone(GgufFile::open(input)?)?;
    let report = write(&source, &Recipe::open("same")?, output, Vec::new(), None)?;
    println!(
        "{} -> {}: {} tensors, {} bytes",
        input.display(),
        output.display(),
        report.tensors.len(),
        report.bytes()
    );
    println!("sha256 {}", report.sha256);
    Ok(())
}

fn export_features(input: &Path, output: &Path) -> anyhow::Result<()> {
    let file = read_features(input, FEATURES_FPS)?;
    match output.extension().and_then(|ending| ending.to_str()) {
        Some("arrow") => proact_lab::proassist::write_arrow(&file, output)?,
        Some("safetensors") => file.write(output)?,
        _ => {
            return Err(Usage(format!(
                "{}: expected a name that ends in .arrow or .safetensors",
                output.display()
            ))
            .into());
        }
    }
    println!(
        "{}: {} frames at {} a second",
        output.display(),
        file.frames(),
        file.fps
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proact::features::FeatureFile;

    #[test]
    fn features_go_to_arrow_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let file = FeatureFile {
            preprocess: "p".into(),
            fps: 2.5,
            dim: 2,
            cls: vec![0.5, 1.0, 1.5, 2.0],
            ..FeatureFile::default()
        };
        file.write(&path("a.safetensors")).unwrap();
        let go = |input: &str, output: &str| {
            run(Args {
                inputs: vec![path(input)],
                out: path(output),
                reference: None,
            })
        };
        go("a.safetensors", "b.arrow").unwrap();
        go("b.arrow", "c.safetensors").unwrap();
        assert_eq!(FeatureFile::read(&path("c.safetensors")).unwrap(), file);
        assert!(go("a.safetensors", "b.txt").unwrap_err().is::<Usage>());
        std::fs::write(path("x"), "hello").unwrap();
        assert!(
            go("x", "b.arrow")
                .unwrap_err()
                .to_string()
                .contains("neither")
        );
        std::fs::write(path("log.jsonl"), "{}\n").unwrap();
        assert!(go("log.jsonl", "out").unwrap_err().is::<Usage>());
    }
}
