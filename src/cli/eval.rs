//! `proact eval`: scores event logs against annotations, beside trivial baselines.

mod calibrate;
#[cfg(feature = "minilm")]
mod minilm;
mod page;
#[cfg(any(feature = "minilm", test))]
mod remembered;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::dialogue::task::Task;
use crate::eval::baseline::{self, Averages, Clip};
use crate::eval::change::{self, Detector};
use crate::eval::speech::{Lexical, Similarity};
use crate::eval::{EXPLAIN, Log, Options, Reference, Report, Tally, log, table};
use crate::features::FeatureFile;
use crate::stream::Event;
use crate::train::parallel::each;
use crate::units::MediaTime;

/// Scores event logs against annotations.
///
/// A log belongs to the recording of its name: ID.jsonl, or ID/events.jsonl. One log and one recording belong together
/// whatever their names. A folder stands for the logs in it; those of other recordings are passed over.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Event logs, or folders of them
    #[arg(value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// Annotation: a file, an episode's folder, or a folder of episodes DIR/ID/annotation.jsonl (as `synth` writes)
    #[arg(long, value_name = "ANN", required_unless_present = "explain", num_args = 1..)]
    reference: Vec<PathBuf>,
    /// Task file for annotation files that have no task.toml beside them
    #[arg(long, value_name = "FILE")]
    task: Option<PathBuf>,
    /// Another system: a name for the table, and its logs; may be repeated
    #[arg(long, value_name = "NAME=DIR")]
    system: Vec<String>,
    /// Also score a system that does not look: silent, clock (needs --train-reference) or change (needs --features)
    #[arg(long, value_enum, value_name = "KIND")]
    baseline: Vec<Baseline>,
    /// Annotations that the clock takes its average times from; never those that are scored
    #[arg(long, value_name = "ANN", num_args = 1..)]
    train_reference: Vec<PathBuf>,
    /// Folder of feature files DIR/ID.safetensors, for the change detector
    #[arg(long, value_name = "DIR")]
    features: Option<PathBuf>,
    /// Change detector: standard deviations above the mean at which a difference counts
    #[arg(long, value_name = "K", default_value_t = Detector::default().above_sd)]
    change_above: f64,
    /// Change detector: seconds of video after a change in which there is no other
    #[arg(long, value_name = "S", default_value_t = Detector::default().refractory_s)]
    change_refractory: f64,
    /// Writes the baselines' logs to DIR/KIND/ID.jsonl
    #[arg(long, value_name = "DIR")]
    write_logs: Option<PathBuf>,
    /// Tolerance for transitions in seconds of video, instead of 1, 2, 5 and 10; may be repeated
    #[arg(long, value_name = "S")]
    tolerance: Vec<f64>,
    /// Seconds of the reference before and after a sentence in which it can match, instead of the data set's own
    #[arg(long, value_name = "L,R", allow_hyphen_values = true)]
    window: Option<String>,
    /// Compares sentences by a sentence model instead of by their words: folder of all-MiniLM-L6-v2. (ProAssist takes
    /// all-mpnet-base-v2, of another architecture.) Needs a build with `--features minilm`
    #[arg(long, value_name = "FOLDER")]
    sentence_model: Option<PathBuf>,
    /// Scores only the recordings that have a log; without it a missing log is an error
    #[arg(long)]
    partial: bool,
    /// Also prints a row for each recording
    #[arg(long)]
    per_recording: bool,
    /// Writes the scores as JSON: {"set", "recordings"}, or one such object per name where there are several systems
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes one page that shows every run beside its reference: steps, sentences, gates, what was missed. It needs
    /// nothing but a browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Pictures of each recording in the page, from video.mp4 beside its annotation; 0: none
    #[arg(long, value_name = "N", default_value_t = 32)]
    html_pictures: usize,
    #[command(flatten)]
    calibration: calibrate::Flags,
    /// Prints what each number means
    #[arg(long)]
    explain: bool,
}

/// A system that does not look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Baseline {
    /// Says and does nothing
    Silent,
    /// Moves the steps by the average times of training recordings
    Clock,
    /// Moves the steps when the picture changes much
    Change,
}

impl Baseline {
    fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Clock => "clock",
            Self::Change => "change",
        }
    }
}

/// A row of the table: logs by the place of their recording among the references.
struct System {
    name: String,
    logs: BTreeMap<usize, Log>,
}

/// Scores and prints.
///
/// # Errors
/// Unreadable or malformed files, a log without its recording or the other way round, odd options.
pub fn run(args: Args) -> anyhow::Result<()> {
    if args.explain {
        print!("{EXPLAIN}");
        if args.reference.is_empty() {
            return Ok(());
        }
        println!();
    }
    let task = args.task.as_deref().map(Task::read).transpose()?;
    let references = read_references(&args.reference, task.as_ref())?;
    let options = options(&args)?;
    let similarity = similarity(&args)?;
    if let (Some(model), Some(features)) = (&args.calibration.calibrate, &args.features) {
        let scoring = calibrate::Scoring { references: &references, options: &options, similarity: &*similarity };
        return calibrate::run(model, features, &scoring, &args.calibration);
    }
    let systems = systems(&args, &references)?;
    let mut reports = Vec::new();
    for system in &systems {
        let report = report(system, &references, &options, &*similarity, args.partial)?;
        reports.push((system.name.as_str(), report));
    }
    print_reports(&reports, args.per_recording);
    if let Some(path) = &args.json {
        write_json(path, &reports)?;
    }
    if let Some(path) = &args.html {
        let scored = page::Scored { systems: &systems, reports: &reports, references: &references, options: &options };
        page::write(path, &scored, &*similarity, args.html_pictures)?;
        println!("page    {}", path.display());
    }
    Ok(())
}

fn read_references(paths: &[PathBuf], task: Option<&Task>) -> anyhow::Result<Vec<Reference>> {
    let mut all: Vec<Reference> = Vec::new();
    for path in paths {
        all.extend(Reference::read(path, task)?);
    }
    let mut ids = std::collections::BTreeSet::new();
    for reference in &all {
        ensure!(
            ids.insert(reference.id.as_str()),
            "two annotations of recording `{}`; a log could not tell which is meant",
            reference.id
        );
    }
    Ok(all)
}

fn options(args: &Args) -> anyhow::Result<Options> {
    let mut options = Options::default();
    if !args.tolerance.is_empty() {
        options.tolerances_s.clone_from(&args.tolerance);
        options.tolerances_s.sort_by(f64::total_cmp);
        options.tolerances_s.dedup();
    }
    if let Some(window) = &args.window {
        let sides = window.split_once(',').and_then(|(l, r)| Some((l.trim().parse().ok()?, r.trim().parse().ok()?)));
        options.window_s = Some(sides.with_context(|| format!("--window {window}: expected L,R in seconds, as -2.5,2.5"))?);
    }
    options.check()?;
    Ok(options)
}

fn systems(args: &Args, references: &[Reference]) -> anyhow::Result<Vec<System>> {
    let mut systems = Vec::new();
    if !args.logs.is_empty() {
        systems.push(read_system("log", &args.logs, references)?);
    }
    for given in &args.system {
        let (name, path) = given.split_once('=').with_context(|| format!("--system {given}: expected NAME=DIR"))?;
        systems.push(read_system(name, &[PathBuf::from(path)], references)?);
    }
    for kind in &args.baseline {
        systems.push(run_baseline(*kind, args, references)?);
    }
    ensure!(!systems.is_empty(), "nothing to score; give logs, --system NAME=DIR or --baseline KIND (or --calibrate MODEL)");
    for (i, system) in systems.iter().enumerate() {
        let twice = systems[..i].iter().any(|s| s.name == system.name);
        ensure!(!twice, "two systems are named `{}`", system.name);
    }
    Ok(systems)
}

/// The log's name for its recording: the file's stem, or the folder of `events.jsonl`.
fn log_id(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = path.parent().and_then(Path::file_name).map(|f| f.to_string_lossy().into_owned());
    match folder {
        Some(folder) if stem == "events" => folder,
        _ => stem,
    }
}

fn read_system(name: &str, paths: &[PathBuf], references: &[Reference]) -> anyhow::Result<System> {
    let place = |id: &str| references.iter().position(|r| r.id == id);
    let mut files: BTreeMap<usize, PathBuf> = BTreeMap::new();
    let mut add = |place: usize, path: PathBuf| -> anyhow::Result<()> {
        let again = format!("{}: a second log of recording `{}`", path.display(), references[place].id);
        ensure!(files.insert(place, path).is_none(), again);
        Ok(())
    };
    for path in paths {
        if path.is_dir() {
            for file in logs_in(path)? {
                if let Some(place) = place(&log_id(&file)) {
                    add(place, file)?;
                }
            }
        } else if let ([_], [_]) = (paths, references) {
            add(0, path.clone())?;
        } else {
            let id = log_id(path);
            let place = place(&id).with_context(|| format!("{}: no recording `{id}` in the reference", path.display()))?;
            add(place, path.clone())?;
        }
    }
    let read = |(place, path): (&usize, &PathBuf)| -> anyhow::Result<_> { Ok((*place, Log::read(path)?)) };
    let logs: BTreeMap<usize, Log> = each(workers(), &files, read)?.into_iter().collect();
    let cut: Vec<_> = logs.iter().filter(|(_, log)| !log.ended).filter_map(|(place, _)| files.get(place)).collect();
    if let Some(first) = cut.first() {
        eprintln!("note: {name}: {} of {} logs have no `end` event, their sessions were cut off ({})", cut.len(), logs.len(), first.display());
    }
    Ok(System { name: name.to_owned(), logs })
}

/// `DIR/ID.jsonl` and `DIR/ID/events.jsonl`, in order.
fn logs_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        let inside = path.join("events.jsonl");
        if path.is_file() && path.extension().is_some_and(|e| e == "jsonl") {
            files.push(path);
        } else if inside.is_file() {
            files.push(inside);
        }
    }
    files.sort();
    Ok(files)
}

fn run_baseline(kind: Baseline, args: &Args, references: &[Reference]) -> anyhow::Result<System> {
    let averages = match kind {
        Baseline::Clock => Some(averages(args, references)?),
        Baseline::Silent | Baseline::Change => None,
    };
    let mut logs = BTreeMap::new();
    for (i, reference) in references.iter().enumerate() {
        let clip = Clip::from(reference);
        let events = match (kind, &averages) {
            (Baseline::Clock, Some(averages)) => baseline::clock(&clip, averages)?,
            (Baseline::Change, _) => baseline::change(&clip, &moments(args, reference)?)?,
            _ => baseline::silent(&clip)?,
        };
        if let Some(folder) = &args.write_logs {
            write_log(&folder.join(kind.name()), &reference.id, &events)?;
        }
        logs.insert(i, Log::from_events(&events)?);
    }
    Ok(System { name: kind.name().to_owned(), logs })
}

fn averages(args: &Args, references: &[Reference]) -> anyhow::Result<Averages> {
    ensure!(!args.train_reference.is_empty(), "--baseline clock: --train-reference must name what it learns its times from");
    let training = read_references(&args.train_reference, None)?;
    for reference in &training {
        let seen = references.iter().any(|r| r.id == reference.id);
        ensure!(!seen, "--train-reference: recording `{}` is among those that are scored", reference.id);
    }
    Ok(Averages::learn(&training)?)
}

fn moments(args: &Args, reference: &Reference) -> anyhow::Result<Vec<MediaTime>> {
    let folder = args.features.as_ref().context("--baseline change: --features must name the folder of the feature files")?;
    let path = folder.join(format!("{}.safetensors", plain_name(&reference.id)?));
    let signal = change_of_file(&path, reference)?;
    let detector = Detector { above_sd: args.change_above, refractory_s: args.change_refractory };
    Ok(change::peaks(&signal, &detector))
}

/// Change between the frames of a feature file, at their times.
fn change_of_file(path: &Path, reference: &Reference) -> anyhow::Result<Vec<(MediaTime, f32)>> {
    let file = FeatureFile::read(path, reference.fps)?;
    let signal = change::change_signal(&file.cls, file.dim).with_context(|| path.display().to_string())?;
    Ok(signal.into_iter().enumerate().map(|(k, v)| (MediaTime(file.at_s(k)), v)).collect())
}

/// An id that can be a file's name and nothing else.
fn plain_name(id: &str) -> anyhow::Result<&str> {
    let plain = Path::new(id).file_name().is_some_and(|f| f == id) && !id.contains(['/', '\\']);
    ensure!(plain, "recording id `{id}` cannot be a file's name");
    Ok(id)
}

fn write_log(folder: &Path, id: &str, events: &[Event]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    log::write(&folder.join(format!("{}.jsonl", plain_name(id)?)), events)?;
    Ok(())
}

/// How sentences are compared: by a sentence model where a folder of one is given, else by their words.
fn similarity(args: &Args) -> anyhow::Result<Box<dyn Similarity>> {
    match &args.sentence_model {
        None => Ok(Box::new(Lexical)),
        #[cfg(feature = "minilm")]
        Some(folder) => {
            let model = minilm::SentenceModel::open(folder)?;
            let fingerprint = model.fingerprint().to_owned();
            match &args.json {
                Some(json) => {
                    let path = json.with_extension("similarities.jsonl");
                    Ok(Box::new(remembered::Remembered::open(&path, &fingerprint, Box::new(model))?))
                }
                None => Ok(Box::new(model)),
            }
        }
        #[cfg(not(feature = "minilm"))]
        Some(_) => anyhow::bail!("--sentence-model: this build has no sentence model; build it with `cargo build --release --features minilm`"),
    }
}

/// Recordings worked on side by side: one a core.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn report(
    system: &System,
    references: &[Reference],
    options: &Options,
    similarity: &dyn Similarity,
    partial: bool,
) -> anyhow::Result<Report> {
    let lacking: Vec<&str> =
        references.iter().enumerate().filter(|(i, _)| !system.logs.contains_key(i)).map(|(_, r)| r.id.as_str()).collect();
    if !lacking.is_empty() {
        let some = lacking.iter().take(3).copied().collect::<Vec<_>>().join(", ");
        let why = format!("{}: no log of {} of {} recordings ({some})", system.name, lacking.len(), references.len());
        ensure!(partial, "{why}; --partial scores the others");
        eprintln!("note: {why}; they are not scored");
    }
    let pairs: Vec<(&Log, &Reference)> = system.logs.iter().map(|(i, log)| (log, &references[*i])).collect();
    let tally = |(log, reference): (&Log, &Reference)| Ok((reference.id.clone(), Tally::of(log, reference, options, similarity)?));
    each(workers(), pairs, tally).and_then(Report::of).with_context(|| system.name.clone())
}

fn print_reports(reports: &[(&str, Report)], per_recording: bool) {
    if let Some((_, first)) = reports.first() {
        let set = &first.set;
        println!(
            "{} recordings, {:.2} h of video, speed {}, speech by {} in {} s",
            first.recordings.len(),
            set.duration_s / 3600.0,
            json(&set.speed),
            set.speech.similarity,
            json(&set.speech.window_s),
        );
    }
    print!("{}", table::render(reports.iter().map(|(name, r)| (*name, &r.set))));
    if per_recording {
        for (name, report) in reports {
            println!("\n{name}");
            print!("{}", table::render(report.recordings.iter().map(|r| (r.id.as_str(), &r.scores))));
        }
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn write_json(path: &Path, reports: &[(&str, Report)]) -> anyhow::Result<()> {
    let mut text = match reports {
        [(_, one)] => serde_json::to_string_pretty(one)?,
        all => {
            let mut map = serde_json::Map::new();
            for (name, report) in all {
                map.insert((*name).to_owned(), serde_json::to_value(report)?);
            }
            serde_json::to_string_pretty(&map)?
        }
    };
    text.push('\n');
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::dialogue::annotation::{self, Recording, Turn, TurnKind};
    use crate::dialogue::task::Update;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// Two episodes, `a` and `b`, and one to train on, in `ref/` and `train/`.
    fn house() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (set, id, offset) in [("ref", "a", 0.0), ("ref", "b", 4.0), ("train", "c", 2.0)] {
            let episode = dir.path().join(set).join(id);
            std::fs::create_dir_all(&episode).unwrap();
            let turn = |at: f64, kind| Turn { at: Some(MediaTime(at + offset)), kind };
            let dst = |words: &str| TurnKind::Dst(words.split(' ').map(|u| Update::parse(u).unwrap()).collect());
            let say = |text: &str| TurnKind::Assistant { text: text.into(), labels: String::new() };
            let recording = Recording {
                id: id.into(),
                dataset: "synth".into(),
                fps: 2.0,
                goal: "tea".into(),
                speed: Some(4.0),
                end_s: 60.0,
                turns: vec![
                    turn(0.0, say("First: Boil water.")),
                    turn(10.0, dst("S1->start")),
                    turn(20.0, dst("S1->complete S2->start")),
                    turn(20.0, say("Well done. Next: Pour the milk.")),
                    turn(40.0, dst("S2->complete")),
                ],
                ..Recording::default()
            };
            annotation::write(&episode.join("annotation.jsonl"), &[recording]).unwrap();
            let task = "goal = \"tea\"\n[[step]]\nname = \"Boil water\"\n[[step]]\nname = \"Pour the milk\"\n";
            std::fs::write(episode.join("task.toml"), task).unwrap();
        }
        dir
    }

    /// Runs `eval` with `@` for the folder; the JSON that it wrote, or its error with all causes.
    fn eval(dir: &Path, line: &str) -> Result<serde_json::Value, String> {
        let json = dir.join("out.json");
        let line = format!("eval {line} --json @/out.json").replace('@', &dir.display().to_string());
        let args = Line::try_parse_from(line.split(' ')).map_err(|e| e.to_string())?.args;
        run(args).map_err(|e| format!("{e:#}"))?;
        Ok(serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap())
    }

    fn number(json: &serde_json::Value, pointer: &str) -> f64 {
        json.pointer(pointer).and_then(serde_json::Value::as_f64).unwrap_or_else(|| panic!("{pointer} in {json:#}"))
    }

    #[test]
    fn baselines_are_scored_and_written_as_logs_that_score_the_same() {
        let dir = house();
        let line = "--reference @/ref --train-reference @/train --baseline silent --baseline clock --write-logs @/logs";
        let both = eval(dir.path(), line).unwrap();
        // The clock starts at 12, completes at 22, 42: off by 2 in both; silence is right for 10 and 14 of 60 s.
        assert_eq!(number(&both, "/clock/set/transitions/2s/f1"), 1.0);
        assert_eq!(number(&both, "/clock/set/transitions/1s/f1"), 0.0);
        assert!((number(&both, "/silent/set/joint_state_accuracy") - 24.0 / 120.0).abs() < 1e-9);
        // Wrong for 3 times 2 s in each of the recordings.
        assert!((number(&both, "/clock/set/joint_state_accuracy") - 108.0 / 120.0).abs() < 1e-9);
        // Two of three sentences; where the third says goodbye, the reference is silent.
        assert_eq!(number(&both, "/clock/set/speech/fit"), 4.0 / 6.0);
        assert_eq!(number(&both, "/clock/set/speed"), 4.0);
        let from_logs = eval(dir.path(), "@/logs/clock --reference @/ref").unwrap();
        assert_eq!(from_logs, both["clock"]);
        let named = eval(dir.path(), "--system x=@/logs/clock --system y=@/logs/silent --reference @/ref --per-recording");
        assert_eq!(named.unwrap()["y"], both["silent"]);
        // One log and one recording belong together, whatever their names; a folder's other logs are passed over.
        let one = eval(dir.path(), "@/logs/clock/b.jsonl --reference @/ref/a").unwrap();
        assert_eq!(one["recordings"][0]["id"], "a");
        assert_eq!(eval(dir.path(), "@/logs/clock --reference @/ref/a").unwrap()["recordings"].as_array().unwrap().len(), 1);
        // ID/events.jsonl is found as well.
        std::fs::create_dir_all(dir.path().join("runs/a")).unwrap();
        std::fs::copy(dir.path().join("logs/clock/a.jsonl"), dir.path().join("runs/a/events.jsonl")).unwrap();
        assert!(eval(dir.path(), "@/runs --reference @/ref").unwrap_err().contains("no log of 1 of 2 recordings (b)"));
        assert_eq!(eval(dir.path(), "@/runs --reference @/ref --partial").unwrap()["recordings"][0]["id"], "a");
    }

    #[test]
    fn the_page_shows_all_systems_and_pictures_where_there_is_a_video() {
        let dir = house();
        let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo/clip.mp4");
        std::fs::copy(clip, dir.path().join("ref/a/video.mp4")).unwrap();
        std::fs::write(dir.path().join("ref/b/video.mp4"), b"no video").unwrap();
        let line = "--reference @/ref --train-reference @/train --baseline clock --baseline silent --html @/page.html --html-pictures 3";
        eval(dir.path(), line).unwrap();
        let page = std::fs::read_to_string(dir.path().join("page.html")).unwrap();
        assert_eq!(page.matches("data:image/jpeg;base64,").count(), 3);
        for word in ["\"name\":\"clock\"", "\"name\":\"silent\"", "Pour the milk", "\"id\":\"b\""] {
            assert!(page.contains(word), "{word}");
        }
    }

    #[test]
    fn the_change_detector_reads_features() {
        let dir = house();
        std::fs::create_dir(dir.path().join("features")).unwrap();
        // Features turn at frames 20, 40 and 80 of 120: at 10, 20 and 40 s.
        let turned = |k: usize| [20, 40, 80].iter().filter(|t| k >= **t).count() % 2;
        let cls = (0..120).flat_map(|k| if turned(k) == 0 { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
        let file = FeatureFile { fps: 2.0, dim: 2, cls, ..FeatureFile::default() };
        file.write(&dir.path().join("features/a.safetensors")).unwrap();
        let got = eval(dir.path(), "--reference @/ref/a --features @/features --baseline change").unwrap();
        assert_eq!(number(&got, "/set/transitions/1s/f1"), 1.0);
        let why = eval(dir.path(), "--reference @/ref --features @/features --baseline change").unwrap_err();
        assert!(why.contains("b.safetensors"), "{why}");
        std::fs::write(dir.path().join("features/b.safetensors"), [0xff; 40]).unwrap();
        assert!(eval(dir.path(), "--reference @/ref --features @/features --baseline change").is_err());
    }

    #[test]
    fn what_cannot_be_scored_is_an_error_that_says_why() {
        let dir = house();
        eval(dir.path(), "--reference @/ref --baseline silent --write-logs @/logs").unwrap();
        std::fs::copy(dir.path().join("logs/silent/a.jsonl"), dir.path().join("z.jsonl")).unwrap();
        let cases = [
            ("--reference @/ref", "nothing to score"),
            ("@/z.jsonl --reference @/ref", "no recording `z`"),
            ("@/missing.jsonl --reference @/ref/a", "missing.jsonl"),
            ("@/logs/silent @/logs/silent/a.jsonl --reference @/ref", "a second log of recording `a`"),
            ("@/logs/silent --reference @/ref @/ref/a", "two annotations of recording `a`"),
            ("--reference @/ref --baseline clock", "--train-reference"),
            ("--reference @/ref --baseline clock --train-reference @/ref/b", "recording `b` is among those"),
            ("--reference @/ref --baseline change", "--features"),
            ("--reference @/ref --baseline silent --baseline silent", "two systems are named `silent`"),
            ("--reference @/ref --system x", "expected NAME=DIR"),
            ("--reference @/ref --baseline silent --window 3", "expected L,R"),
            ("--reference @/ref --baseline silent --tolerance nan", "tolerances"),
            ("--baseline silent", "--reference"),
        ];
        for (line, word) in cases {
            let why = eval(dir.path(), line).unwrap_err();
            assert!(why.contains(word), "{line}: {why}");
        }
        assert!(eval(dir.path(), "--reference @/ref --baseline silent --window -1,2 --tolerance 3").unwrap()["set"]["transitions"]["3s"].is_object());
    }

    #[test]
    fn an_id_is_a_files_name_and_nothing_else() {
        assert!(plain_name("1_7").is_ok());
        for bad in ["", ".", "..", "a/b", "../a", "/a", "a\\b", "a/"] {
            assert!(plain_name(bad).is_err(), "{bad}");
        }
    }
}
