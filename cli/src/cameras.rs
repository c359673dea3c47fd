//! `proact cameras` lists the cameras, and says which one would be used.

use super::run::CameraFlags;
use proact::sources::camera::{Backend, CameraError, Format, Native, label};

/// Lists the cameras with the formats, sizes and rates that they offer. `*` is what `proact run`
/// with the same flags would use.
///
/// A camera that is in use is listed; its file may be one of several, of which only one sends
/// pictures.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    flags: CameraFlags,
}

/// Lists the cameras.
///
/// # Errors
/// The system does not list them; there is no camera, or none that fits the flags.
pub fn run(args: Args) -> anyhow::Result<()> {
    let wanted = args.flags.wanted();
    let found = Native.list()?;
    let fitting = wanted.choice.among(&found)?;
    let offers: Vec<Result<Vec<Format>, CameraError>> = fitting
        .iter()
        .map(|camera| Native.formats(camera))
        .collect();
    let chosen = offers
        .iter()
        .position(|offer| offer.as_ref().is_ok_and(|formats| !formats.is_empty()));
    for (i, (camera, offer)) in fitting.iter().zip(&offers).enumerate() {
        let star = if chosen == Some(i) { '*' } else { ' ' };
        println!("{star} {}  {}", camera.index, label(camera));
        match offer {
            Err(fault) => println!("      {fault}"),
            Ok(formats) if formats.is_empty() => {
                println!("      sends no pictures that are decoded here")
            }
            Ok(formats) => list(
                formats,
                wanted.ranked(formats).first().filter(|_| chosen == Some(i)),
            ),
        }
    }
    Ok(())
}

/// A line for each layout and size, with its rates.
fn list(formats: &[Format], best: Option<&Format>) {
    let mut sorted = formats.to_vec();
    sorted.sort_by_key(|f| (f.pixels, f.width, f.height, f.fps));
    sorted.dedup();
    for group in
        sorted.chunk_by(|a, b| (a.pixels, a.width, a.height) == (b.pixels, b.width, b.height))
    {
        let rates: Vec<String> = group
            .iter()
            .map(|f| {
                if best == Some(f) {
                    format!("{}*", f.fps)
                } else {
                    f.fps.to_string()
                }
            })
            .collect();
        let first = group[0];
        let star = if best.is_some_and(|b| group.contains(b)) {
            '*'
        } else {
            ' '
        };
        println!(
            "    {star} {:<5} {:>4}x{:<4}  {} /s",
            first.pixels.word(),
            first.width,
            first.height,
            rates.join(" ")
        );
    }
}
