//! `proact doctor` checks this machine end to end: the camera's rate, exposure and colours, the
//! model, and one frame through every stage. It says what is slow or wrong, and what to do.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::locate;
use super::run::{self, CameraFlags};
use proact::dialogue::task::Task;
use proact::run::load;
use proact::run::settings::{self, Settings};
use proact::run::timing::{Decided, SharedMeter};
use proact::session::{Flow, Session};
use proact::sources::camera::{CameraSource, Native};
use proact::sources::video;
use proact::stream::{Content, Event, Frame, Input, Picture, Poll, Source};
use proact::units::{FrameIdx, MediaTime};

/// Seconds of camera that are measured.
const MEASURE_S: f64 = 3.0;
/// Frames that go through the model.
const MODEL_FRAMES: u64 = 10;
/// A camera may give this share of the rate that it promises: exposure in a dim room takes longer.
const RATE_SHARE_MIN: f64 = 0.8;
/// Mean brightness of a well exposed picture, 0 to 255: at least, and at most.
const DARK: f64 = 40.0;
const BRIGHT: f64 = 215.0;
/// Share of pixels that are quite black or white in a well exposed picture.
const CLIPPED_MAX: f64 = 0.4;
/// In the light of a room neither red nor blue is this many times the other.
const CAST_MAX: f64 = 2.0;

/// Opens the camera, measures its frames, checks its colours, loads the model and runs one frame
/// through every stage.
///
/// Leaves with 0 when `proact run` with the same flags will work and keep up, else with 1.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    camera: CameraFlags,

    /// Assistant model: a GGUF file, or the name of a manifest models/NAME.toml [default: the one
    /// that ships]
    #[arg(long, value_name = "FILE|NAME", help_heading = "Model and task")]
    model: Option<PathBuf>,

    /// Settings (TOML), see configs/default.toml
    #[arg(long, value_name = "FILE", help_heading = "Behaviour")]
    config: Option<PathBuf>,
}

/// Prints the findings, one a line, and counts the bad ones.
#[derive(Default)]
struct Report {
    bad: usize,
}

impl Report {
    fn fine(&self, what: &str, text: &str) {
        println!("  ok   {what:<10} {text}");
    }

    /// Something could be faster and still works; `remedy` says what to do.
    fn slow(&self, what: &str, text: &str, remedy: &str) {
        println!("  slow {what:<10} {text}\n       {:<10} -> {remedy}", "");
    }

    /// Something is wrong, or too slow; `remedy` says what to do.
    fn bad(&mut self, what: &str, text: &str, remedy: &str) {
        self.bad += 1;
        println!("  BAD  {what:<10} {text}\n       {:<10} -> {remedy}", "");
    }

    fn judge(&mut self, good: bool, what: &str, text: &str, remedy: &str) {
        if good {
            self.fine(what, text)
        } else {
            self.bad(what, text, remedy)
        }
    }
}

/// Checks this machine.
///
/// # Errors
/// Something is wrong; the report has been printed.
pub fn run(args: Args) -> anyhow::Result<()> {
    let settings = Settings::resolve(settings::Overrides {
        config: args.config.clone(),
        ..settings::Overrides::default()
    })?;
    let mut report = Report::default();
    if video::has_assembly() {
        report.fine("video", "OpenH264 was built with its assembly");
    } else {
        report.slow(
            "video",
            "OpenH264 was built without its assembly: decoding and encoding video take up to 1.7 times as long",
            "install nasm, then `cargo clean -p openh264-sys2` and build again",
        );
    }
    let picture = match camera(&args.camera, &settings, &mut report) {
        Ok(picture) => picture,
        Err(why) => {
            report.bad(
                "camera",
                &format!("{why:#}"),
                "proact cameras lists what there is; proact replay needs none",
            );
            None
        }
    };
    let picture = picture.unwrap_or_else(|| {
        println!(
            "       {:<10} the model is shown a grey picture instead",
            ""
        );
        Arc::new(Picture {
            width: 640,
            height: 480,
            rgb: vec![128; 640 * 480 * 3],
        })
    });
    if let Err(why) = model(args.model, &settings, &picture, &mut report) {
        report.bad(
            "model",
            &format!("{why:#}"),
            "name model files that fit each other with --model and --vision",
        );
    }
    match report.bad {
        0 => Ok(()),
        1 => bail!("one thing is not as it should be; see BAD above"),
        n => bail!("{n} things are not as they should be; see BAD above"),
    }
}

fn camera(
    flags: &CameraFlags,
    settings: &Settings,
    report: &mut Report,
) -> anyhow::Result<Option<Arc<Picture>>> {
    let found = run::find(&Native, &flags.wanted())?;
    let begun = Instant::now();
    let mut source = run::open(&found, flags, settings, run::clock())?;
    let promised = source.format().map_or(0.0, |format| f64::from(format.fps));
    let format = source
        .format()
        .map_or_else(String::new, |format| format.to_string());
    report.fine(
        "camera",
        &format!(
            "{}: {format}, open after {:.1} s",
            found.name,
            begun.elapsed().as_secs_f64()
        ),
    );
    let Some((pictures, rate)) = watch(&mut source, settings.camera.first_frame_s())? else {
        let remedy = "close what else uses the camera, plug it in again, or try another --size";
        report.bad(
            "frames",
            &format!("none within {} s", settings.camera.first_frame_s()),
            remedy,
        );
        return Ok(None);
    };
    let text = format!("{rate:.1} a second, {promised} promised");
    report.judge(
        rate >= promised * RATE_SHARE_MIN,
        "frames",
        &text,
        "give it more light, another USB port, or a lower --size or --camera-fps",
    );
    let corrupt = source.counts().corrupt;
    report.judge(
        corrupt == 0,
        "integrity",
        &format!("{corrupt} frames that cannot be used"),
        "try another --size, cable or port",
    );
    if let Some(picture) = pictures.last() {
        let Light {
            mean,
            clipped,
            red,
            green,
            blue,
        } = light(picture);
        let text = format!(
            "mean brightness {mean:.0} of 255, {:.0} % quite black or white",
            clipped * 100.0
        );
        let remedy = if mean < 128.0 {
            "more light, or open the lens cover"
        } else {
            "less light, or turn the camera away from the window"
        };
        report.judge(
            (DARK..=BRIGHT).contains(&mean) && clipped <= CLIPPED_MAX,
            "exposure",
            &text,
            remedy,
        );
        let text = format!("mean red {red:.0}, green {green:.0}, blue {blue:.0}");
        let cast = red.max(1.0).max(blue) / red.min(blue).max(1.0);
        let remedy = "hold something red in front of the camera: if it looks blue with `proact run`, the driver swaps colours; report it with this output";
        report.judge(cast <= CAST_MAX, "colours", &text, remedy);
    }
    Ok(pictures.last().cloned())
}

/// Pictures of some seconds, and how many frames a second the camera gave. `None` when no frame
/// came in time.
fn watch(
    source: &mut CameraSource,
    patience_s: f64,
) -> anyhow::Result<Option<(Vec<Arc<Picture>>, f64)>> {
    let begun = Instant::now();
    let mut pictures = Vec::new();
    // Counted from the first frame: a camera takes its time to begin.
    let mut first: Option<(Instant, u64)> = None;
    loop {
        let (limit_s, since) = first.map_or((patience_s, begun), |(at, _)| (MEASURE_S, at));
        if since.elapsed().as_secs_f64() >= limit_s {
            let Some((at, before)) = first else {
                return Ok(None);
            };
            let rate = (source.counts().captured - before) as f64 / at.elapsed().as_secs_f64();
            return Ok(Some((pictures, rate)));
        }
        match source.next()? {
            Poll::Ready(Input::Frame(Frame {
                content: Content::Picture(picture),
                ..
            })) => {
                let captured = source.counts().captured;
                first.get_or_insert_with(|| (Instant::now(), captured));
                // The last picture is the best exposed, and one is enough.
                pictures = vec![picture];
            }
            Poll::Ready(_) => {}
            Poll::Pending | Poll::End => sleep(Duration::from_millis(2)),
        }
    }
}

struct Light {
    mean: f64,
    clipped: f64,
    red: f64,
    green: f64,
    blue: f64,
}

fn light(picture: &Picture) -> Light {
    let mut sums = [0u64; 3];
    let mut clipped = 0u64;
    for pixel in picture.rgb.chunks_exact(3) {
        (0..3).for_each(|c| sums[c] += u64::from(pixel[c]));
        clipped += u64::from(pixel.iter().all(|v| *v <= 4) || pixel.iter().all(|v| *v >= 251));
    }
    let pixels = (picture.rgb.len() / 3).max(1) as f64;
    let [red, green, blue] = sums.map(|sum| sum as f64 / pixels);
    Light {
        mean: 0.299 * red + 0.587 * green + 0.114 * blue,
        clipped: clipped as f64 / pixels,
        red,
        green,
        blue,
    }
}

/// Loads the model, and lets it look at frames, update the state and speak.
fn model(
    model: Option<PathBuf>,
    settings: &Settings,
    picture: &Arc<Picture>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let demo = locate::demo();
    let named = model.map(locate::named).transpose()?;
    let vision = named.as_ref().and_then(|named| named.vision.clone());
    let (model, task) = match (named.map(|named| named.model), demo) {
        (Some(model), demo) => (model, demo.ok().map(|demo| demo.task)),
        (None, demo) => demo.map(|demo| (demo.assistant, Some(demo.task)))?,
    };
    load::set_threads(load::threads_for(settings.threads, &model));
    let begun = Instant::now();
    let meter = SharedMeter::default();
    let loaded = load::open(&model, vision.as_deref(), &meter)?;
    let name = model.file_name().unwrap_or_default().to_string_lossy();
    report.fine(
        "model",
        &format!(
            "{name}, {}, loaded in {:.2} s",
            loaded.quantization,
            begun.elapsed().as_secs_f64()
        ),
    );
    let task = task.as_deref().map(Task::read).transpose()?;
    let config = loaded.session_config(settings);
    let mut session = Session::new(
        loaded.vision.clone(),
        loaded.assistant.clone(),
        loaded.codec.clone(),
        task,
        config,
    )?;
    let mut events: Vec<Event> = Vec::new();
    for k in 0..MODEL_FRAMES {
        let at = MediaTime(k as f64 / settings.fps);
        if k == MODEL_FRAMES - 1 {
            // A question, so that the model writes a sentence too.
            session.feed(Input::User {
                at,
                text: "What now?".into(),
            })?;
            session.answer_next();
        }
        session.feed(Input::Frame(Frame {
            idx: FrameIdx(k),
            at,
            content: Content::Picture(picture.clone()),
        }))?;
        while session.advance(&mut events)? != Flow::Idle {}
        if k < MODEL_FRAMES - 1 {
            meter.lock().end_frame(
                Decided {
                    frame: FrameIdx(k),
                    at,
                    ..Decided::default()
                },
                &mut [],
            )?;
        }
    }
    let meter = meter.lock();
    let frame_ms = meter.all().total().as_secs_f64() * 1e3 / meter.frames().max(1) as f64;
    let room_ms = 1000.0 / settings.fps;
    let stages: Vec<String> = meter
        .mean_stages()
        .iter()
        .map(|s| format!("{} {:.1} ms", s.name, s.mean_ms))
        .collect();
    let text = format!(
        "{frame_ms:.1} ms of the {room_ms:.0} there are ({})",
        stages.join(", ")
    );
    report.judge(
        frame_ms < room_ms * 0.8,
        "a frame",
        &text,
        "a lower --fps, a smaller model, or --threads 0",
    );
    let said = events
        .iter()
        .any(|event| matches!(event, Event::Utterance { .. }));
    report.judge(
        said,
        "a sentence",
        if said {
            "asked, and answered"
        } else {
            "asked, and not answered"
        },
        "the model file may be damaged: proact inspect checks it",
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_is_told_from_the_pixels() {
        let picture = Picture {
            width: 4,
            height: 1,
            rgb: vec![0, 0, 0, 255, 255, 255, 200, 0, 0, 100, 0, 0],
        };
        let light = light(&picture);
        assert_eq!(
            (light.clipped, light.red, light.green, light.blue),
            (0.5, 138.75, 63.75, 63.75)
        );
        let mean = light.mean;
        assert!(
            (mean - (0.299 * 138.75 + 0.701 * 63.75)).abs() < 1e-9,
            "{mean}"
        );
    }
}
