//! `proact train`: from episodes to the two quantized files, stage by stage; every stage can be
//! taken up again.
//!
//! ```text
//! episodes --pixels--> towers (SigLIP) --> vision.gguf
//!                                              | features         dialogues with their features
//!                                          assistant <-------------------+
//!                                              | thresholds
//!                                          assistant.gguf
//! ```

use std::path::PathBuf;

use anyhow::{Context, bail};
use candle_core::Device;

use super::signals;
use proact::stop::Stop;
use proact_lab::train::all;
use proact_lab::train::config::TrainConfig;
use proact_lab::train::progress::Progress;
use proact_lab::train::run::Outcome;
use proact_lab::train::stages::Job;

/// What to train, and where.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Train the model that ships, from nothing (docs/training.md shows how to render the episodes):
  proact train configs/train-demo.toml

Interrupt it with Ctrl-C; the same command goes on where it stopped. To begin again, remove the
folder that `work` names. Every record of the log (WORK/train.jsonl) is one step.")]
pub struct Args {
    /// Training file (TOML); docs/training.md explains the keys
    config: PathBuf,
    /// Where to compute: cpu, cuda:N or metal
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
    /// Examples computed side by side, one thread each; 0: one a core. Results do not depend on it
    #[arg(long, default_value_t = 0, value_name = "N")]
    threads: usize,
}

/// Runs all stages that are not done yet.
///
/// # Errors
/// A stage failed, or the person stopped it.
pub fn run(args: Args) -> anyhow::Result<()> {
    // One thread an example; a product inside it stays on its thread.
    proact::run::load::set_threads(1);
    let threads = match args.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        n => n,
    };
    let device = device(&args.device)?;
    let config = TrainConfig::read(&args.config)?;
    let stop = Stop::new();
    signals::watch(&stop)?;
    let mut progress = Progress::new(&config.work, stop)?;
    let job = Job {
        config: &config,
        threads,
        device: &device,
    };
    let outcome = all(&job, &mut progress);
    progress.close();
    match outcome? {
        Outcome::Finished => Ok(()),
        Outcome::Stopped => {
            eprintln!(
                "stopped; `proact train {}` goes on from here",
                args.config.display()
            );
            Err(proact::run::stop::Interrupted.into())
        }
    }
}

fn device(name: &str) -> anyhow::Result<Device> {
    match name.split_once(':') {
        None if name == "cpu" => Ok(Device::Cpu),
        None if name == "metal" => {
            Device::new_metal(0).context("--device metal: build with `--features metal` on a Mac")
        }
        Some(("cuda", index)) => {
            let index = index
                .parse()
                .with_context(|| format!("--device {name}: expected cuda:N"))?;
            Device::new_cuda(index)
                .with_context(|| format!("--device {name}: build with `--features cuda`"))
        }
        _ => bail!("--device {name}: expected cpu, cuda:N or metal"),
    }
}
