//! `proact demo` plays the clip that ships with the model that ships, on the screen or as lines.

use std::time::Instant;

use super::flags::RunFlags;
use super::screen;
use super::{locate, replay};
use proact::run::engine::{Job, SourceId};
use proact::run::settings::Settings;
use proact::tui::SourceKind;

/// Plays the clip that ships with the model that ships.
///
/// On a terminal this is a screen: q quits, space pauses, + and - change the speed, ? lists all
/// keys. Otherwise, or with --headless, the same facts come as lines of text, as fast as the
/// machine goes.
///
/// Examples:
///   proact demo
///   proact demo --speed 1
///   proact demo --headless --events events.jsonl | tail -20
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Playing speed on the screen, relative to the recording [default: 4]
    #[arg(long, value_name = "X", help_heading = "Behaviour")]
    speed: Option<f64>,

    #[command(flatten)]
    flags: RunFlags,
}

/// Plays the demo.
///
/// # Errors
/// The demo's files are not found, or the run fails.
pub fn run(args: Args) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut flags = args.flags;
    let settings = Settings::resolve(proact::run::settings::Overrides {
        demo_speed: args.speed,
        ..flags.settings()
    })?;
    let demo = locate::demo()?;
    if flags.resume.is_none() {
        flags.task.get_or_insert(demo.task);
    }
    let input = flags.input.clone();
    let clip = demo.clip;
    let job = Job {
        source_kind: SourceKind::Demo,
        source: SourceId::Recording(clip.clone()),
        model: locate::assistant(&mut flags)?,
        open: Box::new(move |settings, loaded, _| {
            replay::open(&clip, input.as_deref(), settings, loaded)
        }),
        realtime: false,
        screen_speed: Some(settings.demo_speed),
        options: flags.options(),
        settings,
        started,
    };
    screen::run(job, flags.headless)
}
