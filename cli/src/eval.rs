//! `proact eval`: scores event logs against annotations, beside trivial baselines.

use std::path::{Path, PathBuf};

use anyhow::Context;

use proact::dialogue::task::Task;
use proact_lab::eval::change::Detector;
use proact_lab::eval::pictures;
use proact_lab::eval::speech::{Lexical, Similarity};
use proact_lab::eval::systems::{Baseline, SystemInputs, read_references, report, systems};
use proact_lab::eval::{EXPLAIN, Options, Report, table};

use proact_lab::calibrate::recordings::Scoring;

use super::calibrate;

/// Scores event logs against annotations.
///
/// A log belongs to the recording of its name: ID.jsonl, or ID/events.jsonl. One log and one
/// recording belong together whatever their names. A folder stands for the logs in it; those of
/// other recordings are passed over.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Event logs, or folders of them
    #[arg(value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// Annotation: a file, an episode's folder, or a folder of episodes DIR/ID/annotation.jsonl (as
    /// `synth` writes)
    #[arg(long, value_name = "ANN", required_unless_present = "explain", num_args = 1..)]
    reference: Vec<PathBuf>,
    /// Task file for annotation files that have no task.toml beside them
    #[arg(long, value_name = "FILE")]
    task: Option<PathBuf>,
    /// Another system: a name for the table, and its logs; may be repeated
    #[arg(long, value_name = "NAME=DIR")]
    system: Vec<String>,
    /// Also score a system that does not look: silent, clock (needs --train-reference) or
    /// change (needs --features); or the reference itself
    #[arg(long, value_enum, value_name = "KIND")]
    baseline: Vec<BaselineWord>,
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
    /// Seconds of the reference before and after a sentence in which it can match, instead of the
    /// data set's own
    #[arg(long, value_name = "L,R", allow_hyphen_values = true)]
    window: Option<String>,
    /// Compares sentences by a sentence model instead of by their words: folder of
    /// all-MiniLM-L6-v2. (ProAssist takes all-mpnet-base-v2, of another architecture.) Needs a
    /// build with `--features minilm`
    #[arg(long, value_name = "FOLDER")]
    sentence_model: Option<PathBuf>,
    /// Scores only the recordings that have a log; without it a missing log is an error
    #[arg(long)]
    partial: bool,
    /// Also prints a row for each recording
    #[arg(long)]
    per_recording: bool,
    /// Writes the scores as JSON: {"set", "recordings"}, or one such object per name where there
    /// are several systems
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes one page that shows every run beside its reference: steps, sentences, gates, what was
    /// missed. It needs nothing but a browser
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
enum BaselineWord {
    /// Says and does nothing
    Silent,
    /// Moves the steps by the average times of training recordings
    Clock,
    /// Moves the steps when the picture changes much
    Change,
    /// The annotation itself: what a perfect run scores
    Reference,
}

impl From<BaselineWord> for Baseline {
    fn from(word: BaselineWord) -> Self {
        match word {
            BaselineWord::Silent => Self::Silent,
            BaselineWord::Clock => Self::Clock,
            BaselineWord::Change => Self::Change,
            BaselineWord::Reference => Self::Reference,
        }
    }
}

fn system_inputs(args: &Args) -> anyhow::Result<SystemInputs> {
    let named = |given: &String| {
        let (name, path) = given
            .split_once('=')
            .with_context(|| format!("--system {given}: expected NAME=DIR"))?;
        Ok((name.to_owned(), PathBuf::from(path)))
    };
    Ok(SystemInputs {
        logs: args.logs.clone(),
        named: args
            .system
            .iter()
            .map(named)
            .collect::<anyhow::Result<_>>()?,
        baselines: args.baseline.iter().copied().map(Into::into).collect(),
        train_reference: args.train_reference.clone(),
        features: args.features.clone(),
        detector: Detector {
            above_sd: args.change_above,
            refractory_s: args.change_refractory,
        },
        write_logs: args.write_logs.clone(),
    })
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
        let scoring = Scoring {
            options: &options,
            similarity: &*similarity,
        };
        return calibrate::run(model, features, &references, &scoring, &args.calibration);
    }
    let systems = systems(&system_inputs(&args)?, &references)?;
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
        let scored = pictures::Scored {
            systems: &systems,
            reports: &reports,
            references: &references,
            options: &options,
        };
        pictures::write(path, &scored, &*similarity, args.html_pictures)?;
        println!("page    {}", path.display());
    }
    Ok(())
}

fn options(args: &Args) -> anyhow::Result<Options> {
    let mut options = Options::default();
    if !args.tolerance.is_empty() {
        options.tolerances_s.clone_from(&args.tolerance);
        options.tolerances_s.sort_by(f64::total_cmp);
        options.tolerances_s.dedup();
    }
    if let Some(window) = &args.window {
        let sides = window
            .split_once(',')
            .and_then(|(l, r)| Some((l.trim().parse().ok()?, r.trim().parse().ok()?)));
        options.window_s =
            Some(sides.with_context(|| {
                format!("--window {window}: expected L,R in seconds, as -2.5,2.5")
            })?);
    }
    options.check()?;
    Ok(options)
}

/// How sentences are compared: by a sentence model where a folder of one is given, else by their
/// words.
fn similarity(args: &Args) -> anyhow::Result<Box<dyn Similarity>> {
    match &args.sentence_model {
        None => Ok(Box::new(Lexical)),
        #[cfg(feature = "minilm")]
        Some(folder) => {
            let model = proact_lab::eval::minilm::SentenceModel::open(folder)?;
            let fingerprint = model.fingerprint().to_owned();
            match &args.json {
                Some(json) => {
                    let path = json.with_extension("similarities.jsonl");
                    Ok(Box::new(proact_lab::eval::remembered::Remembered::open(
                        &path,
                        &fingerprint,
                        Box::new(model),
                    )?))
                }
                None => Ok(Box::new(model)),
            }
        }
        #[cfg(not(feature = "minilm"))]
        Some(_) => anyhow::bail!(
            "--sentence-model: this build has no sentence model; build it with `cargo build --release --features minilm`"
        ),
    }
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
    print!(
        "{}",
        table::render(reports.iter().map(|(name, r)| (*name, &r.set)))
    );
    if per_recording {
        for (name, report) in reports {
            println!("\n{name}");
            print!(
                "{}",
                table::render(report.recordings.iter().map(|r| (r.id.as_str(), &r.scores)))
            );
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
    use proact::dialogue::annotation::{self, Recording, Turn, TurnKind};
    use proact::dialogue::task::Update;
    use proact::features::FeatureFile;
    use proact::units::MediaTime;

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
            let turn = |at: f64, kind| Turn {
                at: Some(MediaTime(at + offset)),
                kind,
            };
            let dst = |words: &str| {
                TurnKind::Dst(
                    words
                        .split(' ')
                        .map(|u| Update::parse(u).unwrap())
                        .collect(),
                )
            };
            let say = |text: &str| TurnKind::Assistant {
                text: text.into(),
                labels: String::new(),
            };
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
        let line =
            format!("eval {line} --json @/out.json").replace('@', &dir.display().to_string());
        let args = Line::try_parse_from(line.split(' '))
            .map_err(|e| e.to_string())?
            .args;
        run(args).map_err(|e| format!("{e:#}"))?;
        Ok(serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap())
    }

    fn number(json: &serde_json::Value, pointer: &str) -> f64 {
        json.pointer(pointer)
            .and_then(serde_json::Value::as_f64)
            .unwrap_or_else(|| panic!("{pointer} in {json:#}"))
    }

    #[test]
    fn baselines_are_scored_and_written_as_logs_that_score_the_same() {
        let dir = house();
        let line = "--reference @/ref --train-reference @/train --baseline silent --baseline clock --write-logs @/logs";
        let both = eval(dir.path(), line).unwrap();
        // The clock starts at 12, completes at 22, 42: off by 2 in both; silence is right for 10
        // and 14 of 60 s.
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
        let named = eval(
            dir.path(),
            "--system x=@/logs/clock --system y=@/logs/silent --reference @/ref --per-recording",
        );
        assert_eq!(named.unwrap()["y"], both["silent"]);
        // One log and one recording belong together, whatever their names; a folder's other logs
        // are passed over.
        let one = eval(dir.path(), "@/logs/clock/b.jsonl --reference @/ref/a").unwrap();
        assert_eq!(one["recordings"][0]["id"], "a");
        assert_eq!(
            eval(dir.path(), "@/logs/clock --reference @/ref/a").unwrap()["recordings"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        // ID/events.jsonl is found as well.
        std::fs::create_dir_all(dir.path().join("runs/a")).unwrap();
        std::fs::copy(
            dir.path().join("logs/clock/a.jsonl"),
            dir.path().join("runs/a/events.jsonl"),
        )
        .unwrap();
        assert!(
            eval(dir.path(), "@/runs --reference @/ref")
                .unwrap_err()
                .contains("no log of 1 of 2 recordings (b)")
        );
        assert_eq!(
            eval(dir.path(), "@/runs --reference @/ref --partial").unwrap()["recordings"][0]["id"],
            "a"
        );
    }

    #[test]
    fn the_page_shows_all_systems_and_pictures_where_there_is_a_video() {
        let dir = house();
        let clip =
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("models/demo/clip.mp4");
        std::fs::copy(clip, dir.path().join("ref/a/video.mp4")).unwrap();
        std::fs::write(dir.path().join("ref/b/video.mp4"), b"no video").unwrap();
        let line = "--reference @/ref --train-reference @/train --baseline clock --baseline silent --html @/page.html --html-pictures 3";
        eval(dir.path(), line).unwrap();
        let page = std::fs::read_to_string(dir.path().join("page.html")).unwrap();
        assert_eq!(page.matches("data:image/jpeg;base64,").count(), 3);
        for word in [
            "\"name\":\"clock\"",
            "\"name\":\"silent\"",
            "Pour the milk",
            "\"id\":\"b\"",
        ] {
            assert!(page.contains(word), "{word}");
        }
    }

    #[test]
    fn the_change_detector_reads_features() {
        let dir = house();
        std::fs::create_dir(dir.path().join("features")).unwrap();
        // Features turn at frames 20, 40 and 80 of 120: at 10, 20 and 40 s.
        let turned = |k: usize| [20, 40, 80].iter().filter(|t| k >= **t).count() % 2;
        let cls = (0..120)
            .flat_map(|k| {
                if turned(k) == 0 {
                    [1.0, 0.0]
                } else {
                    [0.0, 1.0]
                }
            })
            .collect();
        let file = FeatureFile {
            fps: 2.0,
            dim: 2,
            cls,
            ..FeatureFile::default()
        };
        file.write(&dir.path().join("features/a.safetensors"))
            .unwrap();
        let got = eval(
            dir.path(),
            "--reference @/ref/a --features @/features --baseline change",
        )
        .unwrap();
        assert_eq!(number(&got, "/set/transitions/1s/f1"), 1.0);
        let why = eval(
            dir.path(),
            "--reference @/ref --features @/features --baseline change",
        )
        .unwrap_err();
        assert!(why.contains("b.safetensors"), "{why}");
        std::fs::write(dir.path().join("features/b.safetensors"), [0xff; 40]).unwrap();
        assert!(
            eval(
                dir.path(),
                "--reference @/ref --features @/features --baseline change"
            )
            .is_err()
        );
    }

    #[test]
    fn proassists_prepared_dialogues_score_what_upstreams_code_scores() {
        let data =
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("tests/data/proassist");
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(
            data.join("dialogues.jsonl"),
            dir.path().join("dialogues.jsonl"),
        )
        .unwrap();
        let expected: serde_json::Value =
            serde_json::from_slice(&std::fs::read(data.join("dialogue_scores.json")).unwrap())
                .unwrap();
        let same = |found: &serde_json::Value, expected: &serde_json::Value| {
            for (key, upstream) in [
                ("precision", "precision"),
                ("recall", "recall"),
                ("f1", "F1"),
                ("jaccard", "jaccard_index"),
                ("missing_rate", "missing_rate"),
                ("redundant_rate", "redundant_rate"),
                ("semantic_score", "semantic_score"),
                ("time_diff_s", "time_diff"),
                ("correct", "num_matched"),
                ("mismatched", "num_mismatched"),
                ("missed", "num_missed"),
                ("redundant", "num_redundant"),
            ] {
                let (a, b) = (
                    number(found, &format!("/set/speech/{key}")),
                    expected[upstream].as_f64().unwrap(),
                );
                assert!((a - b).abs() < 1e-5, "{key}: {a}, upstream {b}");
            }
            assert_eq!(
                found["set"]["speech"]["window_s"],
                serde_json::json!([-2.0, 4.0])
            );
        };
        let line = "--reference @/dialogues.jsonl --baseline reference --write-logs @/logs";
        let perfect = eval(dir.path(), line).unwrap();
        assert_eq!(perfect["recordings"].as_array().unwrap().len(), 6);
        same(&perfect, &expected["reference"]);
        // A worse run: words of the reference early, late, changed or left out, and some that
        // nobody asked for.
        let said = expected["said"].as_object().unwrap();
        std::fs::create_dir(dir.path().join("worse")).unwrap();
        for (id, turns) in said {
            let log =
                std::fs::read_to_string(dir.path().join(format!("logs/reference/{id}.jsonl")))
                    .unwrap();
            let mut lines = vec![log.lines().next().unwrap().to_owned()];
            for turn in turns.as_array().unwrap() {
                let event = serde_json::json!({"type": "utterance", "frame": 0, "at": turn[0], "text": turn[1], "prob": 1.0});
                lines.push(event.to_string());
            }
            lines.push(log.lines().last().unwrap().to_owned());
            std::fs::write(
                dir.path().join(format!("worse/{id}.jsonl")),
                lines.join("\n") + "\n",
            )
            .unwrap();
        }
        same(
            &eval(dir.path(), "@/worse --reference @/dialogues.jsonl").unwrap(),
            &expected["worse"],
        );
    }

    #[test]
    fn what_cannot_be_scored_is_an_error_that_says_why() {
        let dir = house();
        eval(
            dir.path(),
            "--reference @/ref --baseline silent --write-logs @/logs",
        )
        .unwrap();
        std::fs::copy(
            dir.path().join("logs/silent/a.jsonl"),
            dir.path().join("z.jsonl"),
        )
        .unwrap();
        let cases = [
            ("--reference @/ref", "nothing to score"),
            ("@/z.jsonl --reference @/ref", "no recording `z`"),
            ("@/missing.jsonl --reference @/ref/a", "missing.jsonl"),
            (
                "@/logs/silent @/logs/silent/a.jsonl --reference @/ref",
                "a second log of recording `a`",
            ),
            (
                "@/logs/silent --reference @/ref @/ref/a",
                "two annotations of recording `a`",
            ),
            ("--reference @/ref --baseline clock", "--train-reference"),
            (
                "--reference @/ref --baseline clock --train-reference @/ref/b",
                "recording `b` is among those",
            ),
            ("--reference @/ref --baseline change", "--features"),
            (
                "--reference @/ref --baseline silent --baseline silent",
                "two systems are named `silent`",
            ),
            ("--reference @/ref --system x", "expected NAME=DIR"),
            (
                "--reference @/ref --baseline silent --window 3",
                "expected L,R",
            ),
            (
                "--reference @/ref --baseline silent --tolerance nan",
                "tolerances",
            ),
            ("--baseline silent", "--reference"),
        ];
        for (line, word) in cases {
            let why = eval(dir.path(), line).unwrap_err();
            assert!(why.contains(word), "{line}: {why}");
        }
        assert!(
            eval(
                dir.path(),
                "--reference @/ref --baseline silent --window -1,2 --tolerance 3"
            )
            .unwrap()["set"]["transitions"]["3s"]
                .is_object()
        );
    }
}
