//! `proact export`: what other programs can use of a model of this project.

use std::path::PathBuf;

use super::quantize::write;
use crate::model::gguf::GgufFile;
use crate::quant::{Recipe, Source, backbone_alone};

/// Write an assistant's backbone as a plain Llama that llama.cpp loads
///
/// Projector and heads stay behind; the tensors go over bit for bit, the tokenizer as it is. Features and logs are not models:
/// `proact encode` and `--events` write those.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The assistant (GGUF)
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The GGUF file to write; it appears whole or not at all
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the verb.
///
/// # Errors
/// The model is no assistant, or the disk refuses the file.
pub fn run(args: Args) -> anyhow::Result<()> {
    let source: Source = backbone_alone(GgufFile::open(&args.model)?)?;
    let report = write(&source, &Recipe::open("same")?, &args.out, Vec::new(), None)?;
    println!("{} -> {}: {} tensors, {} bytes", args.model.display(), args.out.display(), report.tensors.len(), report.bytes());
    println!("sha256 {}", report.sha256);
    Ok(())
}
