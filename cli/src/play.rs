//! `proact play` shows a recorded session on the same screen, or as lines, without any model.

use std::io::stdout;
use std::path::PathBuf;
use std::sync::Arc;

use proact::run::engine::GATE_LINES_EVERY_S;
use proact::run::outputs::Face;
use proact::run::plain::{Plain, print_steps};
use proact::run::player::Player;
use proact::run::recording::RecordedSession;
use proact::tui::{Board, Controls};

use super::{log, screen, signals};

/// Shows a recorded session again, without a model.
///
/// DIR was made by --record. On a terminal this is the same screen as of the run itself; otherwise,
/// or with --headless, the same facts come as lines, as fast as they can be read unless --speed is
/// given. The keys that move in a recording move here too; nothing in the session can be changed.
/// One that was broken off is shown up to there.
///
/// Examples:
///   proact demo --record sessions/salad --save-frames
///   proact play sessions/salad --speed 8
///   proact play sessions/salad | grep proact:
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Folder of a recorded session
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Playing speed, relative to the recording [default: 1 on the screen]
    #[arg(long, value_name = "X")]
    speed: Option<f64>,

    /// Print lines of text even on a terminal
    #[arg(long)]
    headless: bool,
}

/// Plays a session.
///
/// # Errors
/// The folder holds no session, or a broken one; the terminal cannot be used.
pub fn run(args: Args) -> anyhow::Result<()> {
    if let Some(speed) = args.speed.filter(|s| !(s.is_finite() && *s > 0.0)) {
        anyhow::bail!("--speed {speed}: expected a number above 0");
    }
    let recorded = RecordedSession::open(&args.folder)?;
    let screen = !args.headless && screen::has_screen();
    let held = log::start("warn", screen)?;
    let controls = Controls::new();
    signals::watch(&controls.stop)?;
    let speed = args.speed.or(screen.then_some(1.0));
    let show = |board: Option<Arc<Board>>, face: &mut Face<_>| {
        Player::new(&recorded, speed, controls.clone(), board).play(face)
    };
    let result = if screen {
        screen::with_screen(&controls, &held, screen::options(None, true), show)
            .map(|shown| shown.map(|((), app)| app))
    } else {
        let plain = Plain::new(stdout(), GATE_LINES_EVERY_S, controls.clone());
        let mut face = Face::Lines(Box::new(plain));
        show(None, &mut face).map(|()| Some(face.into_app()))
    };
    screen::sum_up(result, &held, &controls, |app, out| print_steps(out, app))
}
