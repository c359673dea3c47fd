//! Training and session feed the backbone the same: one dialogue through both, and a golden of it.

use std::path::PathBuf;

use proact::dialogue::annotation::{Recording, Turn, TurnKind};
use proact::dialogue::layout::{Bytes, ClipOptions, Layout, Script, Slot, Target, TextCodec};
use proact::dialogue::task::{TaskState, Update};
use proact::rng::Rng;
use proact::session::SessionConfig;
use proact::stream::Event;
use proact::units::{FrameIdx, MediaTime};
use proact_lab::train::examples::{ExampleOptions, Source, examples};

use super::fake::{Fake, Scene};
use super::{Bench, FRAME_S, ROOMY, config, frame, tea, user};

const FRAMES: u64 = 14;

fn dialogue() -> Vec<Turn> {
    let turn = |at: f64, kind| Turn {
        at: Some(MediaTime(at)),
        kind,
    };
    let dst = |at, updates: &[&str]| {
        turn(
            at,
            TurnKind::Dst(updates.iter().map(|u| Update::parse(u).unwrap()).collect()),
        )
    };
    let says = |at, text: &str| {
        turn(
            at,
            TurnKind::Assistant {
                text: text.into(),
                labels: String::new(),
            },
        )
    };
    vec![
        turn(0.0, TurnKind::User("I want tea.".into())),
        says(0.0, "First, boil water."),
        dst(1.2, &["S1->start"]),
        turn(2.0, TurnKind::User("How much?".into())),
        turn(2.0, TurnKind::User("A litre?".into())),
        says(2.3, "Half a litre."),
        dst(3.5, &["S1->complete", "S2->start"]),
        says(3.5, "Now pour it."),
        dst(5.0, &["S2->complete"]),
        dst(5.5, &["S3->start", "S3->complete"]),
    ]
}

fn times() -> Vec<MediaTime> {
    (0..FRAMES).map(|i| MediaTime(i as f64 * FRAME_S)).collect()
}

/// What a perfect model does on the dialogue.
fn script() -> Vec<Scene> {
    let scripts = Script::new(&TaskState::new(&tea()), &times(), &dialogue()).unwrap();
    scripts
        .frames
        .iter()
        .map(|f| {
            let updates: Vec<String> = f.updates.iter().map(Update::to_string).collect();
            Scene {
                updates,
                sentence: Bytes.encode(&f.speech.join(" "), false).unwrap(),
                ..Scene::default()
            }
        })
        .collect()
}

/// Feeds all frames, and the person's words at their times (before a frame of the same time).
fn play(bench: &mut Bench) {
    let words: Vec<(f64, String)> = dialogue()
        .into_iter()
        .filter_map(|turn| match turn.kind {
            TurnKind::User(text) => Some((turn.at.unwrap().0, text)),
            _ => None,
        })
        .collect();
    let mut words = words.into_iter().peekable();
    for i in 0..FRAMES {
        while let Some((at, text)) = words.next_if(|(at, _)| *at <= i as f64 * FRAME_S) {
            bench.feed([user(at, &text)]);
        }
        bench.feed([frame(i)]);
    }
}

#[test]
fn the_session_feeds_exactly_what_training_does() {
    let mut bench = Bench::new(Fake::new(ROOMY, script()), Some(tea()), config());
    play(&mut bench);
    bench.finish();
    let task = tea();
    let episode = Layout::new(&Bytes, 2)
        .episode(Some(&task), &TaskState::new(&task), &times(), &dialogue())
        .unwrap();
    assert_eq!(episode.faults, []);
    let stream = bench.stream.lock().unwrap().clone();
    assert_eq!(Bytes.render(&stream), Bytes.render(&episode.slots));
    assert_eq!(stream, episode.slots);
    let trained: Vec<usize> = episode.heads.iter().map(|h| h.slot).collect();
    assert_eq!(
        *bench.model.heads_read.lock().unwrap(),
        trained,
        "the heads are read where training supervises them"
    );

    let mut text = Bytes.render(&stream).replace("<eot>", "<eot>\n");
    text.push_str("\n\n");
    for event in &bench.events {
        text.push_str(&serde_json::to_string(event).unwrap());
        text.push('\n');
    }
    hold("tea.txt", &text);
}

#[test]
fn a_note_stands_before_each_sentence_in_the_session_and_in_training() {
    let wanted = SessionConfig {
        speech_note: true,
        ..config()
    };
    let mut bench = Bench::new(Fake::new(ROOMY, script()), Some(tea()), wanted);
    play(&mut bench);
    bench.finish();
    let task = tea();
    let layout = Layout::new(&Bytes, 2).with_notes(true);
    let episode = layout
        .episode(Some(&task), &TaskState::new(&task), &times(), &dialogue())
        .unwrap();
    let stream = Bytes.render(&bench.stream.lock().unwrap());
    assert_eq!(stream, Bytes.render(&episode.slots));
    let opened = stream.matches("[ASST]").count();
    let noted = [
        "[ASST][next] ",
        "[ASST][now] ",
        "[ASST][before] ",
        "[ASST][done]",
    ]
    .map(|note| stream.matches(note).count());
    assert!(
        opened > 0 && noted.iter().sum::<usize>() == opened,
        "{stream}"
    );
    // Only what follows the note is predicted.
    let text = |wanted: Target| {
        let of = episode
            .slots
            .iter()
            .zip(&episode.targets)
            .filter(|(_, target)| **target == wanted);
        Bytes.render(&of.map(|(slot, _)| *slot).collect::<Vec<_>>())
    };
    assert!(
        !text(Target::Speech).contains('['),
        "{}",
        text(Target::Speech)
    );
    assert!(text(Target::None).contains("[next]"));
}

#[test]
fn frames_and_markers_carry_what_training_gives_them() {
    let wanted = SessionConfig {
        step_evidence: true,
        speech_note: true,
        ..config()
    };
    let mut bench = Bench::new(Fake::new(ROOMY, script()), Some(tea()), wanted);
    play(&mut bench);
    bench.finish();
    let task = tea();
    let columns = task.steps.len() + 1;
    let source = Source {
        recording: Recording {
            turns: dialogue(),
            end_s: FRAMES as f64 * FRAME_S,
            ..Recording::default()
        },
        start: TaskState::new(&task),
        task,
        frames: times(),
        features: vec![0.0; FRAMES as usize * 2].into(),
        frame_width: 2,
        cosines: vec![0.5; FRAMES as usize * columns].into(),
        likeness: vec![1.0; (columns - 1) * (columns - 1)].into(),
    };
    let clip = ClipOptions {
        tokens_max: ROOMY,
        frames_kept: 3,
    };
    let options = ExampleOptions {
        clip,
        ..ExampleOptions::default()
    };
    let examples = examples(
        &source,
        &Layout::new(&Bytes, 2).with_notes(true),
        &options,
        &mut Rng::of(&[1]),
    )
    .unwrap();
    let [example] = &examples[..] else {
        panic!("{} examples, expected one", examples.len())
    };

    let sequence = &example.sequence;
    let (told, seen) = (
        bench.model.told.lock().unwrap(),
        bench.model.evidence.lock().unwrap(),
    );
    assert_eq!(
        sequence.markers(),
        told.iter().map(|t| t.0).collect::<Vec<_>>()
    );
    assert_eq!(
        sequence.marker_evidence().states(),
        told.iter().flat_map(|t| t.2.clone()).collect::<Vec<_>>()
    );
    assert_eq!(
        sequence.marker_evidence().cosines().len(),
        told.iter().map(|t| t.1).sum::<usize>()
    );
    assert_eq!(
        sequence.frame_evidence().states(),
        seen.iter().flat_map(|t| t.2.clone()).collect::<Vec<_>>()
    );
    assert_eq!(
        sequence.frame_evidence().cosines().len(),
        seen.iter().map(|t| t.1).sum::<usize>()
    );

    // Put together again by its order, an example is the stream that memory holds.
    let stream = bench.stream.lock().unwrap();
    assert_eq!(sequence.slots(), *stream);
}

#[test]
fn the_memory_after_refresh_is_a_clip_of_training() {
    let task = tea();
    let kept = 3;
    let small = SessionConfig {
        frames_kept: kept,
        user_tokens_max: 40,
        utterance_tokens_max: 24,
        updates_per_frame_max: 2,
        ..config()
    };
    let prompt = Layout::new(&Bytes, 2)
        .prompt(Some(&task), &TaskState::new(&task))
        .unwrap()
        .len();
    let mut bench = Bench::new(Fake::new(prompt + 160, script()), Some(tea()), small);
    play(&mut bench);
    bench.finish();
    let tape = bench.tape();
    let parts: Vec<&str> = tape.split("\n<rewind to 0>").collect();
    assert!(parts.len() > 1, "memory was never full");
    let cuts: Vec<FrameIdx> = bench
        .events
        .windows(2)
        .filter_map(|pair| match pair {
            [Event::Context { .. }, Event::Frame { frame, .. }] => Some(*frame),
            _ => None,
        })
        .collect();
    assert_eq!(cuts.len(), parts.len() - 1);
    for (part, cut) in parts[1..].iter().zip(&cuts) {
        let cut = cut.0 as usize;
        let clip = clip_from(cut, kept);
        let shift = |slot: &Slot| match *slot {
            Slot::Image { frame, part } => Slot::Image {
                frame: frame + clip.frames.start,
                part,
            },
            token => token,
        };
        let expected = Bytes.render(&clip.episode.slots.iter().map(shift).collect::<Vec<_>>());
        let common = expected.len().min(part.len());
        assert_eq!(part[..common], expected[..common]);
        assert!(common > prompt, "the comparison reaches into the stream");
    }
}

/// The clip of the dialogue that begins with frame `first_new`.
fn clip_from(first_new: usize, frames_kept: usize) -> proact::dialogue::layout::Clip {
    let task = tea();
    let layout = Layout::new(&Bytes, 2);
    (0..ROOMY)
        .filter_map(|tokens_max| {
            let options = ClipOptions {
                tokens_max,
                frames_kept,
            };
            layout
                .clips(
                    Some(&task),
                    &TaskState::new(&task),
                    &times(),
                    &dialogue(),
                    &options,
                )
                .ok()
        })
        .flat_map(|(clips, _)| clips)
        .find(|clip| clip.first_new == first_new)
        .unwrap_or_else(|| panic!("no room cuts at frame {first_new}"))
}

/// Compares with `tests/data/session/<name>`. Only `UPDATE_GOLDEN=1` writes it; what differs lies
/// beside it as `.new`.
fn hold(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/session")
        .join(name);
    if std::env::var("UPDATE_GOLDEN").is_ok_and(|v| v == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    if golden != text {
        let new = path.with_extension("txt.new");
        std::fs::write(&new, text).unwrap();
        panic!(
            "{} is missing or differs from {}",
            path.display(),
            new.display()
        );
    }
}
