//! `proact synth`: simulated first-person episodes from recorded or written timelines.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use proact::files;
use proact::sources::video::check_format;
use proact_lab::synth::captaincook4d;
use proact_lab::synth::conditions::Condition;
use proact_lab::synth::episode::Episode;
use proact_lab::synth::folder::{self, Format, Outcome};
use proact_lab::synth::invent::invent;
use proact_lab::synth::suite;
use proact_lab::synth::timeline::Timeline;

/// Renders simulated episodes: DIR/ID/{video.mp4, annotation.jsonl, task.toml}.
///
/// What a step looks like follows from its words; when it happens, from the timeline. The same
/// timeline, seed and settings give the same bytes. Episodes that are complete are kept.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder for the episodes; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
    /// CaptainCook4D's annotation folder (with annotation_json/ and task_graphs/)
    #[arg(long, value_name = "FOLDER", required_unless_present = "timeline")]
    pub captaincook4d: Option<PathBuf>,
    /// Timelines of your own: TOML with a goal and steps (name, after, start_s, end_s, mistake or
    /// omitted)
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub timeline: Vec<PathBuf>,
    /// Only these: ids of recordings (9_8) or recipes (coffee, "Tomato Mozzarella Salad")
    #[arg(long, value_name = "RECIPE|ID", num_args = 1..)]
    pub only: Vec<String>,
    /// At most so many episodes
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Seed of all chance: words, light, sway, colours
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub seed: u64,
    /// Plays the recording so many times faster: all times are divided by it
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    pub speed: f64,
    /// Frames a second of the video
    #[arg(long, default_value_t = 8.0, value_name = "F")]
    pub fps: f64,
    /// Size of the video, even numbers
    #[arg(long, default_value = "320x240", value_name = "WxH", value_parser = parse_size)]
    pub size: (u32, u32),
    /// Skin and sleeves of this number instead of the recording's
    #[arg(long, value_name = "N")]
    pub person: Option<u64>,
    /// Renders each recording N times; from the second on as ID.2, ID.3 … with other chance, and
    /// with skin, sleeves, worktop and light of none of the recordings. `proact train` learns from
    /// all, but tests on the first alone
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub renderings: u64,
    /// Worktop and light of this number instead of the recording's
    #[arg(long, value_name = "N")]
    pub environment: Option<u64>,
    /// Makes all of them harder to follow: low-light, dropouts (the camera hangs), long-idle,
    /// distractors (the person does other things as well)
    #[arg(long, value_name = "CONDITION", num_args = 1..)]
    pub condition: Vec<Condition>,
    /// Adds N recordings of recipes that nobody has written, put together from the steps of the
    /// others
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub invent: usize,
    /// Writes the benchmark instead: DIR/{train,validation,test/PART}/ID, and DIR/suite.json with
    /// what it holds. Takes all of CaptainCook4D's recordings; speeds, seeds, people, size and rate
    /// are its own
    #[arg(
        long,
        requires = "captaincook4d",
        conflicts_with_all = ["timeline", "only", "limit", "seed", "speed", "fps", "size", "person", "renderings", "environment", "condition", "invent"]
    )]
    pub suite: bool,
    /// The camera stands still instead of moving with the head
    #[arg(long, conflicts_with = "suite")]
    pub fixed_camera: bool,
}

/// Reads `WIDTHxHEIGHT`.
pub(super) fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let sides = text
        .split_once('x')
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides.ok_or_else(|| format!("`{text}`: expected WIDTHxHEIGHT, for example 320x240"))
}

/// Letters and digits in lower case: recipes are compared by these.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

fn timelines(args: &Args) -> anyhow::Result<Vec<Timeline>> {
    let wanted = |id: &str, recipe: &str| {
        args.only.is_empty()
            || args
                .only
                .iter()
                .any(|o| o == id || plain(o) == plain(recipe))
    };
    let mut all = Vec::new();
    if let Some(folder) = &args.captaincook4d {
        all.extend(captaincook4d::read(folder, &wanted)?);
    }
    for file in &args.timeline {
        let timeline = Timeline::read(file)?;
        if wanted(&timeline.id, &timeline.task.goal) {
            all.push(timeline);
        }
    }
    for only in &args.only {
        if !all
            .iter()
            .any(|t| *only == t.id || plain(only) == plain(&t.task.goal))
        {
            bail!("--only {only}: no recording and no recipe of that name");
        }
    }
    let mut ids: Vec<&str> = all.iter().map(|t| t.id.as_str()).collect();
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find(|w| w[0] == w[1]) {
        bail!(
            "two timelines are called `{}`: their folders would be the same",
            twice[0]
        );
    }
    all.truncate(args.limit.unwrap_or(usize::MAX));
    for timeline in &mut all {
        timeline.person = args.person.unwrap_or(timeline.person);
        timeline.environment = args.environment.unwrap_or(timeline.environment);
    }
    all.extend(invent(&all, 1..=args.invent, args.seed));
    for timeline in &mut all {
        timeline.conditions.extend(&args.condition);
    }
    let again: Vec<Timeline> = (1..args.renderings)
        .flat_map(|n| all.iter().map(move |t| t.again(n)))
        .collect();
    all.extend(again);
    Ok(all)
}

/// One folder of episodes to be written.
struct Work {
    folder: PathBuf,
    episodes: Vec<Episode>,
    /// What a suite calls it, and what it is for.
    part: Option<(String, &'static str)>,
}

impl Work {
    fn new(folder: PathBuf, timelines: &[Timeline], seed: u64, speed: f64) -> anyhow::Result<Self> {
        let episodes = timelines
            .iter()
            .map(|t| Episode::new(t, seed, speed))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            folder,
            episodes,
            part: None,
        })
    }
}

/// Size and rate of a suite's videos.
const SUITE_FORMAT: Format = Format {
    width: 192,
    height: 144,
    fps: 4.0,
};

fn works(args: &Args) -> anyhow::Result<Vec<Work>> {
    let Some(recordings) = args.captaincook4d.as_ref().filter(|_| args.suite) else {
        let timelines = timelines(args)?;
        if timelines.is_empty() {
            bail!("no timelines: nothing to render");
        }
        let mut work = Work::new(args.out.clone(), &timelines, args.seed, args.speed)?;
        work.episodes
            .iter_mut()
            .for_each(|episode| episode.fixed_camera = args.fixed_camera);
        return Ok(vec![work]);
    };
    let parts = suite::parts(&captaincook4d::read(recordings, &|_, _| true)?)?;
    let of = |part: suite::Part| {
        let work = Work::new(
            args.out.join(&part.folder),
            &part.timelines,
            part.seed,
            part.speed,
        )?;
        Ok(Work {
            part: Some((part.folder, part.about)),
            ..work
        })
    };
    parts.into_iter().map(of).collect()
}

/// Runs the verb.
///
/// # Errors
/// Unreadable timelines, settings out of range, a folder that cannot be written, Ctrl-C.
pub fn run(args: Args) -> anyhow::Result<()> {
    let format = if args.suite {
        SUITE_FORMAT
    } else {
        Format {
            width: args.size.0,
            height: args.size.1,
            fps: args.fps,
        }
    };
    check_format(format.width, format.height, format.fps)?;
    let works = works(&args)?;
    for work in &works {
        std::fs::create_dir_all(&work.folder).with_context(|| work.folder.display().to_string())?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    ctrlc::set_handler(move || raised.store(true, Ordering::Relaxed)).context("Ctrl-C handler")?;
    let all: Vec<(&Path, &Episode)> = works
        .iter()
        .flat_map(|w| w.episodes.iter().map(|e| (w.folder.as_path(), e)))
        .collect();
    let bar = ProgressBar::new(all.iter().map(|(_, e)| folder::frames(e, format)).sum());
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} frames  {per_sec}  {eta} left  {msg}",
    )?);
    let counts = [
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    ];
    all.par_iter()
        .try_for_each(|(folder, episode)| -> anyhow::Result<()> {
            let outcome = folder::write(folder, episode, format, &stop, &|| bar.inc(1))?;
            counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
            if outcome == Outcome::Kept {
                bar.inc(folder::frames(episode, format));
            }
            bar.set_message(episode.id.clone());
            Ok(())
        })?;
    bar.finish_and_clear();
    let [written, kept, stopped] = counts.map(AtomicUsize::into_inner);
    println!("{written} written, {kept} kept, in {}", args.out.display());
    if stopped > 0 {
        bail!(
            "interrupted: {stopped} episodes were not finished; the same command goes on with them"
        );
    }
    if args.suite {
        list_suite(&args.out, &works)
    } else {
        Ok(())
    }
}

/// What a part of a suite holds.
#[derive(Serialize)]
struct Listed<'a> {
    part: &'a str,
    about: &'a str,
    recordings: usize,
    hours: f64,
    /// Of all annotations and task files, in the order of their ids.
    annotations_sha256: String,
    /// Of all videos.
    videos_sha256: String,
}

/// Writes `suite.json` and prints it as a table.
fn list_suite(out: &Path, works: &[Work]) -> anyhow::Result<()> {
    let mut parts = Vec::new();
    for work in works {
        let Some((part, about)) = &work.part else {
            continue;
        };
        let mut ids: Vec<&str> = work.episodes.iter().map(|e| e.id.as_str()).collect();
        ids.sort_unstable();
        let (mut annotations, mut videos) = (Sha256::new(), Sha256::new());
        for id in ids {
            for file in [folder::ANNOTATION, folder::TASK, folder::VIDEO] {
                let path = work.folder.join(id).join(file);
                let hash = if file == folder::VIDEO {
                    &mut videos
                } else {
                    &mut annotations
                };
                hash.update(std::fs::read(&path).with_context(|| path.display().to_string())?);
            }
        }
        let hours = work.episodes.iter().map(|e| e.length_s).sum::<f64>() / 3600.0;
        parts.push(Listed {
            part,
            about,
            recordings: work.episodes.len(),
            hours: (hours * 1000.0).round() / 1000.0,
            annotations_sha256: files::hex(annotations),
            videos_sha256: files::hex(videos),
        });
    }
    println!(
        "suite {}\n{:18} {:>10} {:>7}  annotations  videos",
        suite::SUITE_VERSION,
        "part",
        "recordings",
        "hours"
    );
    for p in &parts {
        println!(
            "{:18} {:>10} {:>7.3}  {:.11}  {:.11}  {}",
            p.part, p.recordings, p.hours, p.annotations_sha256, p.videos_sha256, p.about
        );
    }
    let path = out.join("suite.json");
    let text = serde_json::to_string_pretty(
        &serde_json::json!({"suite": suite::SUITE_VERSION, "parts": parts}),
    )?;
    std::fs::write(&path, text + "\n").with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_strictly() {
        assert_eq!(parse_size("192x144"), Ok((192, 144)));
        for bad in [
            "",
            "192",
            "192x",
            "x144",
            "192x-4",
            "192x144x3",
            "192 x 144",
        ] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn recipes_are_compared_without_spaces_and_case() {
        assert_eq!(
            plain("Tomato Mozzarella Salad"),
            plain("tomatomozzarellasalad")
        );
    }
}
