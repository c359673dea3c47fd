//! The program: one file a verb, the flags that they share, and the exit codes.

mod calibrate;
#[cfg(feature = "camera")]
mod cameras;
mod demo;
#[cfg(feature = "camera")]
mod doctor;
mod encode;
mod eval;
mod exit;
mod export;
#[cfg(feature = "hub")]
mod fetch;
mod flags;
#[cfg(feature = "hub")]
mod hub;
mod inspect;
mod locate;
mod log;
mod manifest;
mod play;
mod quantize;
mod replay;
#[cfg(feature = "camera")]
mod run;
mod screen;
mod signals;
mod synth;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Watches a task through a camera, keeps track of its steps, and speaks up by itself.
///
/// proact looks at a few frames a second, and decides at each of them: did a step begin or end?
/// is there something to say now? All of it runs on this machine; nothing is sent anywhere.
#[derive(Parser, Debug)]
#[command(name = "proact", version, verbatim_doc_comment, after_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const AFTER: &str = "\
Start with:  proact demo
Learn more:  proact VERB --help
Exit codes:  0 done, 1 failed, 2 usage, 3 source lost for good, 130 interrupted";

// `about` and no doc comment: a doc comment here would hide the long help of the verb's own
// arguments.
#[derive(Subcommand, Debug)]
enum Verb {
    #[command(about = "Play the clip and the model that ship")]
    Demo(demo::Args),
    #[cfg(feature = "camera")]
    #[command(about = "Watch a task through a camera")]
    Run(run::Args),
    #[cfg(feature = "camera")]
    #[command(about = "List cameras, with what they offer and what would be chosen")]
    Cameras(cameras::Args),
    #[cfg(feature = "camera")]
    #[command(about = "Check this machine: camera, model, speed; and say what to do")]
    Doctor(doctor::Args),
    #[command(about = "Play a recording: video, folder of pictures, or feature file")]
    Replay(replay::Args),
    #[command(about = "Show a recorded session again, without a model")]
    Play(play::Args),
    #[command(about = "Turn frames into features, so that they need not be encoded again")]
    Encode(encode::Args),
    #[command(about = "Train the models, from simulated episodes to quantized files")]
    Train(train::Args),
    #[command(about = "Turn weights that you have into a small GGUF file")]
    Quantize(quantize::Args),
    #[command(about = "Write models, logs and features as other programs read them")]
    Export(export::Args),
    #[cfg(feature = "hub")]
    #[command(about = "Bring a model's files from the Hugging Face hub")]
    Fetch(fetch::Args),
    #[command(about = "Score event logs against annotations")]
    Eval(eval::Args),
    #[command(about = "Render simulated episodes from recorded task timelines")]
    Synth(synth::Args),
    #[command(about = "Show what is in a model, feature file or event log, and check it")]
    Inspect(inspect::Args),
}

/// Parses the command line, runs the verb, and says how it went.
fn main() -> ExitCode {
    exit::quiet_when_unread();
    let verb = Cli::parse().verb;
    exit::report(match verb {
        Verb::Demo(args) => demo::run(args),
        #[cfg(feature = "camera")]
        Verb::Run(args) => run::run(args),
        #[cfg(feature = "camera")]
        Verb::Cameras(args) => cameras::run(args),
        #[cfg(feature = "camera")]
        Verb::Doctor(args) => doctor::run(args),
        Verb::Replay(args) => replay::run(args),
        Verb::Play(args) => play::run(args),
        Verb::Encode(args) => encode::run(args),
        Verb::Train(args) => train::run(args),
        Verb::Quantize(args) => quantize::run(args),
        Verb::Export(args) => export::run(args),
        #[cfg(feature = "hub")]
        Verb::Fetch(args) => fetch::run(args),
        Verb::Eval(args) => eval::run(args),
        Verb::Synth(args) => synth::run(args),
        Verb::Inspect(args) => inspect::run(args),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
