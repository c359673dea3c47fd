//! Annotations of recordings: who said what when, and when which step began and ended (JSONL).
//!
//! The format is ProAssist's prepared dialogue file, one recording or clip a line, with the turns
//! `{"role":"DST_UPDATE","time":6.0,"content":[{"id":"S3","transition":"start"}]}` of its
//! state-tracking extension, and `metadata.issues` for what went wrong. Times are the truth: the
//! `frames` turns between the others are checked when read, and derived anew when written.

mod clips;
mod names;

pub use clips::read_clips;
pub use names::names;

use std::io::{Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::dialogue::task::{Task, Transition, Update};
use crate::error::{Error, Result};
use crate::units::{MediaTime, StepId};

/// `dataset` of recordings that nobody has recorded: `proact synth` invents them.
pub const INVENTED_DATASET: &str = "invented";

/// Longest recording that is accepted, in seconds: a week.
const TIME_MAX_S: f64 = 7.0 * 24.0 * 3600.0;
/// Highest frame rate that is accepted, in frames a second.
const FPS_MAX: f64 = 1000.0;
/// A time this far below a frame's boundary still counts as the boundary, in frames.
const FRAME_SLACK: f64 = 1e-6;
/// Frame rate of ProAssist's data where a file names none.
const FPS_PROASSIST: f64 = 2.0;
/// How the request for a summary at the end of a training clip begins. Neither it nor its answer is
/// part of the dialogue.
const SUMMARY_REQUEST: &str = "Please summarize";
/// Turns at most in one recording: the file is untrusted.
const TURNS_MAX: usize = 100_000;

/// What went wrong in a recording, as its annotators saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssueKind {
    /// The step began although a prerequisite was not completed.
    OutOfOrder,
    /// The step was never done; the time is when it was too late.
    Missed,
    /// The step was done wrongly; the time is when that shows.
    Mistake,
}

/// One labelled issue of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    /// The step it is about.
    pub step: StepId,
    /// What it is.
    pub kind: IssueKind,
    /// When it shows.
    #[serde(rename = "time")]
    pub at: MediaTime,
    /// Prerequisites that were not completed then (out of order only).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<StepId>,
    /// The annotator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a turn is.
#[derive(Clone, Debug, PartialEq)]
pub enum TurnKind {
    /// The system turn: who the assistant is.
    System(String),
    /// Words of the person.
    User(String),
    /// Words of the assistant.
    Assistant {
        /// What it says.
        text: String,
        /// ProAssist's labels, as `initiative|instruction,feedback`.
        labels: String,
    },
    /// Changes of the task's state.
    Dst(Vec<Update>),
}

/// One turn of the dialogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// When; only the system turn has no time.
    pub at: Option<MediaTime>,
    /// What.
    pub kind: TurnKind,
}

/// One recording, or a clip of it, with its dialogue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// The video's name (`video_uid`).
    pub id: String,
    /// The data set it is from.
    pub dataset: String,
    /// Number of the clip within the video.
    pub clip_idx: u64,
    /// The features' file, where one is named.
    pub frames_file: Option<String>,
    /// Frames a second that frame numbers in the file count.
    pub fps: f64,
    /// What the person wants to do (`metadata.task_goal`).
    pub goal: String,
    /// The recipe or manual in words (`metadata.knowledge`).
    pub knowledge: Option<String>,
    /// How much the person talks (`metadata.user_type`).
    pub user_type: Option<String>,
    /// Which simulated person talks (`metadata.user_id`).
    pub user_id: Option<String>,
    /// How many times faster than life a simulated recording is (`metadata.speed`).
    pub speed: Option<f64>,
    /// Start of the clip, in seconds of the video.
    pub start_s: f64,
    /// End of the clip, in seconds of the video.
    pub end_s: f64,
    /// The dialogue; times do not decrease.
    pub turns: Vec<Turn>,
    /// What went wrong (`metadata.issues`), ordered by time.
    pub issues: Vec<Issue>,
}

impl Recording {
    /// Changes of the task's state with their times, in order.
    pub fn transitions(&self) -> Vec<(MediaTime, Update)> {
        let of = |turn: &Turn| match &turn.kind {
            TurnKind::Dst(updates) => updates
                .iter()
                .map(|u| (turn.at.unwrap_or_default(), *u))
                .collect(),
            _ => Vec::new(),
        };
        self.turns.iter().flat_map(of).collect()
    }

    /// What the assistant says with its times, in order.
    pub fn utterances(&self) -> Vec<(MediaTime, &str)> {
        let of = |turn: &'_ Turn| turn.at.unwrap_or_default();
        self.turns
            .iter()
            .filter_map(|turn| match &turn.kind {
                TurnKind::Assistant { text, .. } => Some((of(turn), text.as_str())),
                _ => None,
            })
            .collect()
    }

    /// Number of the frame that shows time `at_s`: `floor(at_s * fps)`.
    fn frame_at(&self, at_s: f64) -> u64 {
        (at_s * self.fps + FRAME_SLACK).floor().max(0.0) as u64
    }
}

/// Reads an annotation file, one recording a line; blank lines are skipped.
///
/// # Errors
/// Unreadable file; a line that is no JSON object of this format. The message names the line and
/// the key.
pub fn read(path: &Path) -> Result<Vec<Recording>> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let text =
        std::str::from_utf8(&bytes).map_err(|e| Error::format(path, format!("not UTF-8: {e}")))?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(i, line)| {
            parse_line(line).map_err(|why| Error::format(path, format!("line {}: {why}", i + 1)))
        })
        .collect()
}

/// Writes an annotation file that [`read`] reads back equal.
///
/// # Errors
/// A recording that [`read`] would refuse, or a file that cannot be written.
pub fn write(path: &Path, recordings: &[Recording]) -> Result<()> {
    let mut out = Vec::new();
    for recording in recordings {
        let line = to_line(recording);
        parse_line(&line)
            .map_err(|why| Error::Invalid(format!("recording `{}`: {why}", recording.id)))?;
        writeln!(out, "{line}").map_err(Error::io(path))?;
    }
    std::fs::write(path, out).map_err(Error::io(path))
}

/// Reads an annotation file, JSONL or the extension's array of clips, told apart by its first sign;
/// a clip brings its task.
///
/// # Errors
/// As [`read`] and [`read_clips`].
pub fn read_with_tasks(path: &Path) -> Result<Vec<(Recording, Option<Task>)>> {
    let mut file = std::fs::File::open(path).map_err(Error::io(path))?;
    let mut first = [b' '];
    while first[0].is_ascii_whitespace() && file.read(&mut first).map_err(Error::io(path))? > 0 {}
    if first[0] == b'[' {
        return Ok(read_clips(path)?
            .into_iter()
            .map(|(recording, task)| (recording, Some(task)))
            .collect());
    }
    Ok(read(path)?
        .into_iter()
        .map(|recording| (recording, None))
        .collect())
}

/// A recording as one line of the file, without the line's end.
pub fn to_line(recording: &Recording) -> String {
    let mut metadata = Map::new();
    let text = |t: &Option<String>| t.clone().map_or(Value::Null, Value::from);
    metadata.insert("user_type".into(), text(&recording.user_type));
    metadata.insert("user_id".into(), text(&recording.user_id));
    metadata.insert("task_goal".into(), recording.goal.clone().into());
    metadata.insert("knowledge".into(), text(&recording.knowledge));
    if let Some(speed) = recording.speed {
        metadata.insert("speed".into(), json!(speed));
    }
    if !recording.issues.is_empty() {
        metadata.insert("issues".into(), json!(recording.issues));
    }
    json!({
        "dataset": recording.dataset,
        "video_uid": recording.id,
        "clip_idx": recording.clip_idx,
        "frames_file": recording.frames_file,
        "max_seq_len": 0,
        "seq_len": 0,
        "num_tokens_per_img": 1,
        "use_img_sep_token": false,
        "start_frame_idx": recording.frame_at(recording.start_s),
        "end_frame_idx": recording.frame_at(recording.end_s),
        "conversation": conversation(recording),
        "fps": recording.fps,
        "metadata": metadata,
    })
    .to_string()
}

/// The turns with the `frames` turns that stand between them.
fn conversation(recording: &Recording) -> Vec<Value> {
    let mut turns = Vec::new();
    let mut shown = recording.frame_at(recording.start_s);
    let mut frames_until = |turns: &mut Vec<Value>, until: u64| {
        if until > shown {
            turns.push(json!({"role": "frames", "start": shown, "end": until}));
            shown = until;
        }
    };
    for turn in &recording.turns {
        if let Some(at) = turn.at {
            frames_until(&mut turns, recording.frame_at(at.0));
        }
        let time = turn.at.map(|at| at.0);
        turns.push(match &turn.kind {
            TurnKind::System(text) => json!({"role": "system", "content": text}),
            TurnKind::User(text) => {
                json!({"role": "user", "time": time, "content": text, "labels": ""})
            }
            TurnKind::Assistant { text, labels } => {
                json!({"role": "assistant", "time": time, "content": text, "labels": labels})
            }
            TurnKind::Dst(updates) => {
                let content: Vec<Value> = updates
                    .iter()
                    .map(|u| json!({"id": u.step, "transition": u.transition}))
                    .collect();
                json!({"role": "DST_UPDATE", "time": time, "content": content})
            }
        });
    }
    frames_until(&mut turns, recording.frame_at(recording.end_s));
    turns
}

type Parsed<T> = std::result::Result<T, String>;

/// Reads one line.
///
/// # Errors
/// The key and what was expected there, in words.
pub fn parse_line(line: &str) -> Parsed<Recording> {
    let value: Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
    parse_object(
        value
            .as_object()
            .ok_or("expected a JSON object, one recording")?,
    )
}

fn parse_object(top: &Map<String, Value>) -> Parsed<Recording> {
    let metadata = &parse_metadata(top)?;
    let fps = number(top, "fps")?;
    if !(fps > 0.0 && fps <= FPS_MAX) {
        return Err(format!(
            "fps: {fps}, expected above 0 and at most {FPS_MAX}"
        ));
    }
    let start_s = index(top, "start_frame_idx")? as f64 / fps;
    let end_s = index(top, "end_frame_idx")? as f64 / fps;
    if end_s < start_s || end_s > TIME_MAX_S {
        return Err(format!(
            "end_frame_idx: {end_s} s, expected {start_s} s … {TIME_MAX_S} s"
        ));
    }
    let conversation = top
        .get("conversation")
        .and_then(Value::as_array)
        .ok_or("conversation: expected an array of turns")?;
    if conversation.len() > TURNS_MAX {
        return Err(format!(
            "conversation: {} turns, at most {TURNS_MAX}",
            conversation.len()
        ));
    }
    let mut turns: Vec<Turn> = Vec::with_capacity(conversation.len());
    let mut place = Place {
        fps,
        last_s: 0.0,
        shown_s: None,
    };
    for (i, value) in conversation.iter().enumerate() {
        let turn =
            parse_turn(value, &mut place).map_err(|why| format!("conversation[{i}]: {why}"))?;
        if let Some(Turn {
            kind: TurnKind::System(text),
            ..
        }) = &turn
            && text.starts_with(SUMMARY_REQUEST)
        {
            break;
        }
        turns.extend(turn);
    }
    Ok(Recording {
        id: text(top, "video_uid")?,
        dataset: text(top, "dataset")?,
        clip_idx: if top.contains_key("clip_idx") {
            index(top, "clip_idx")?
        } else {
            0
        },
        frames_file: optional_text(top, "frames_file")?,
        fps,
        goal: match top.get("metadata") {
            Some(Value::Null) => String::new(),
            _ => text(metadata, "task_goal").map_err(|why| format!("metadata.{why}"))?,
        },
        knowledge: optional_text(metadata, "knowledge").map_err(|why| format!("metadata.{why}"))?,
        user_type: optional_text(metadata, "user_type").map_err(|why| format!("metadata.{why}"))?,
        user_id: optional_text(metadata, "user_id").map_err(|why| format!("metadata.{why}"))?,
        speed: parse_speed(metadata)?,
        start_s,
        end_s,
        turns,
        issues: parse_issues(metadata)?,
    })
}

/// An object, as files have it; the same as a text, as ProAssist's code says; or nothing.
fn parse_metadata(top: &Map<String, Value>) -> Parsed<Map<String, Value>> {
    let object = |value: &Value| {
        value
            .as_object()
            .cloned()
            .ok_or_else(|| "metadata: expected an object".to_owned())
    };
    match top.get("metadata") {
        Some(Value::String(text)) => {
            object(&serde_json::from_str(text).map_err(|e| format!("metadata: {e}"))?)
        }
        Some(Value::Null) => Ok(Map::new()),
        Some(value) => object(value),
        None => Err("metadata: missing".into()),
    }
}

/// How far the turns have come.
struct Place {
    fps: f64,
    last_s: f64,
    /// Until when frames have been shown.
    shown_s: Option<f64>,
}

fn parse_speed(metadata: &Map<String, Value>) -> Parsed<Option<f64>> {
    match metadata.get("speed") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(speed) if speed.is_finite() && speed > 0.0 => Ok(Some(speed)),
            _ => Err(format!(
                "metadata.speed: {value}, expected a number above 0"
            )),
        },
    }
}

fn parse_issues(metadata: &Map<String, Value>) -> Parsed<Vec<Issue>> {
    let issues: Vec<Issue> = match metadata.get("issues") {
        None | Some(Value::Null) => Vec::new(),
        Some(value) => Vec::deserialize(value).map_err(|e| format!("metadata.issues: {e}"))?,
    };
    for (i, issue) in issues.iter().enumerate() {
        sane_time(issue.at.0).map_err(|why| format!("metadata.issues[{i}].{why}"))?;
    }
    Ok(issues)
}

/// One turn; `None` for `frames`, which is checked and not kept. A turn without a time of its own
/// (as in ProAssist's narrations) stands where the frames before it end.
fn parse_turn(value: &Value, place: &mut Place) -> Parsed<Option<Turn>> {
    let turn = value.as_object().ok_or("expected an object")?;
    let role = turn
        .get("role")
        .and_then(Value::as_str)
        .ok_or("role: expected a word")?;
    let kind = match role {
        "frames" => {
            let (start, end) = (index(turn, "start")?, index(turn, "end")?);
            if end < start {
                return Err(format!("end: {end}, expected at least start, {start}"));
            }
            place.shown_s = Some(end as f64 / place.fps);
            return Ok(None);
        }
        "system" => TurnKind::System(text(turn, "content")?),
        "user" => TurnKind::User(text(turn, "content")?),
        "assistant" => TurnKind::Assistant {
            text: text(turn, "content")?,
            labels: optional_text(turn, "labels")?.unwrap_or_default(),
        },
        "DST_UPDATE" => TurnKind::Dst(parse_updates(turn)?),
        other => {
            return Err(format!(
                "role: `{other}`, expected system, frames, user, assistant or DST_UPDATE"
            ));
        }
    };
    let at = match (&kind, turn.get("time")) {
        (TurnKind::System(_), None | Some(Value::Null)) => None,
        (_, time) => {
            let at_s = match (time, place.shown_s) {
                (None | Some(Value::Null), Some(shown_s)) => sane_time(shown_s)?.max(place.last_s),
                _ => sane_time(number(turn, "time")?)?,
            };
            if at_s < place.last_s {
                return Err(format!(
                    "time: {at_s}, earlier than the turn before, {}",
                    place.last_s
                ));
            }
            place.last_s = at_s;
            Some(MediaTime(at_s))
        }
    };
    Ok(Some(Turn { at, kind }))
}

fn parse_updates(turn: &Map<String, Value>) -> Parsed<Vec<Update>> {
    let content = turn
        .get("content")
        .and_then(Value::as_array)
        .ok_or("content: expected an array of updates")?;
    if content.is_empty() {
        return Err("content: no update".into());
    }
    let one = |(i, value): (usize, &Value)| {
        let update = value
            .as_object()
            .ok_or(format!("content[{i}]: expected an object"))?;
        let id = text(update, "id").map_err(|why| format!("content[{i}].{why}"))?;
        let step =
            StepId::parse(&id).ok_or(format!("content[{i}].id: `{id}`, expected S1, S2, …"))?;
        let word = text(update, "transition").map_err(|why| format!("content[{i}].{why}"))?;
        let transition = match word.as_str() {
            "start" => Transition::Start,
            "complete" => Transition::Complete,
            _ => {
                return Err(format!(
                    "content[{i}].transition: `{word}`, expected start or complete"
                ));
            }
        };
        Ok(Update { step, transition })
    };
    content.iter().enumerate().map(one).collect()
}

fn sane_time(at_s: f64) -> Parsed<f64> {
    if at_s.is_finite() && (0.0..=TIME_MAX_S).contains(&at_s) {
        Ok(at_s)
    } else {
        Err(format!(
            "time: {at_s}, expected seconds from 0 to {TIME_MAX_S}"
        ))
    }
}

fn number(object: &Map<String, Value>, key: &str) -> Parsed<f64> {
    match object.get(key) {
        Some(value) => {
            let number = value.as_f64().filter(|n| n.is_finite());
            number.ok_or_else(|| format!("{key}: {value}, expected a number"))
        }
        None => Err(format!("{key}: missing")),
    }
}

fn index(object: &Map<String, Value>, key: &str) -> Parsed<u64> {
    match object.get(key) {
        Some(value) => value
            .as_u64()
            .ok_or_else(|| format!("{key}: {value}, expected a whole number from 0")),
        None => Err(format!("{key}: missing")),
    }
}

fn text(object: &Map<String, Value>, key: &str) -> Parsed<String> {
    match object.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("{key}: {other}, expected a text")),
        None => Err(format!("{key}: missing")),
    }
}

fn optional_text(object: &Map<String, Value>, key: &str) -> Parsed<Option<String>> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => text(object, key).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line as ProAssist writes it, shortened, with one update of the extension.
    const LINE: &str = r#"{"dataset":"assembly101","video_uid":"v1","clip_idx":0,"frames_file":"frames/v1.arrow","max_seq_len":0,"seq_len":855,"num_tokens_per_img":1,"use_img_sep_token":false,"start_frame_idx":11,"end_frame_idx":42,"conversation":[{"role":"system","content":"You are a proactive assistant."},{"role":"frames","start":11,"end":15},{"role":"user","time":7.8,"content":"I want to take this apart.","labels":""},{"role":"frames","start":15,"end":16},{"role":"assistant","time":8.1,"content":"Great!","labels":"initiative|instruction","progress":"The time …"},{"role":"DST_UPDATE","time":10.5,"content":[{"id":"S1","transition":"start"}]},{"role":"frames","start":16,"end":42}],"fps":2,"metadata":{"user_type":"no_talk","user_id":"no_talk_0","task_goal":"Take apart","knowledge":null,"progress":null,"quality":9.0}}"#;

    fn recording() -> Recording {
        let mut recording = parse_line(LINE).unwrap();
        recording.speed = Some(4.0);
        recording.issues = vec![Issue {
            step: StepId(1),
            kind: IssueKind::OutOfOrder,
            at: MediaTime(10.5),
            missing: vec![StepId(0)],
            note: None,
        }];
        recording
    }

    #[test]
    fn a_line_of_proassist_is_understood() {
        let r = parse_line(LINE).unwrap();
        assert_eq!(
            (r.id.as_str(), r.dataset.as_str(), r.goal.as_str()),
            ("v1", "assembly101", "Take apart")
        );
        assert_eq!((r.start_s, r.end_s, r.fps), (5.5, 21.0, 2.0));
        assert_eq!(r.turns.len(), 4, "frames are not turns");
        assert_eq!(
            r.transitions(),
            [(MediaTime(10.5), Update::parse("S1->start").unwrap())]
        );
        assert_eq!(r.utterances(), [(MediaTime(8.1), "Great!")]);
    }

    #[test]
    fn odd_lines_of_proassist_are_understood_as_its_loader_does() {
        // A narration's turns have no time; they stand behind their frames.
        let untimed = parse_line(&LINE.replace("\"time\":8.1,", "")).unwrap();
        assert_eq!(untimed.utterances(), [(MediaTime(8.0), "Great!")]);
        assert!(
            parse_line(
                &LINE
                    .replace(
                        "\"role\":\"frames\",\"start\":11,\"end\":15",
                        "\"role\":\"system\",\"content\":\"x\""
                    )
                    .replace("\"time\":7.8,", "")
            )
            .is_err()
        );
        // The request for a summary and its answer are left out.
        let asks = r#"{"role":"system","content":"Please summarize the progress."},{"role":"frames","start":42,"end":43},{"role":"assistant","content":"All done."}],"fps""#;
        let summed = parse_line(&LINE.replace("],\"fps\"", &format!(",{asks}"))).unwrap();
        assert_eq!(summed.turns, parse_line(LINE).unwrap().turns);
        // Metadata as a text, and none.
        let (head, metadata) = LINE.split_once("\"metadata\":").unwrap();
        let metadata = metadata.strip_suffix('}').unwrap();
        let text = format!("{head}\"metadata\":{}}}", Value::from(metadata));
        assert_eq!(parse_line(&text).unwrap(), parse_line(LINE).unwrap());
        assert_eq!(
            parse_line(&format!("{head}\"metadata\":null}}"))
                .unwrap()
                .goal,
            ""
        );
    }

    #[test]
    fn what_is_written_is_read_back_equal_and_frames_follow_from_times() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        write(&path, &[recording(), parse_line(LINE).unwrap()]).unwrap();
        assert_eq!(
            read(&path).unwrap(),
            [recording(), parse_line(LINE).unwrap()]
        );
        let line: Value = serde_json::from_str(&to_line(&recording())).unwrap();
        let frames: Vec<(u64, u64)> = line["conversation"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|t| t["role"] == "frames")
            .map(|t| (t["start"].as_u64().unwrap(), t["end"].as_u64().unwrap()))
            .collect();
        assert_eq!(frames, [(11, 15), (15, 16), (16, 21), (21, 42)]);
    }

    #[test]
    fn a_hostile_line_is_an_error_that_names_the_key() {
        let cases = [
            ("\"fps\":2", "\"fps\":0", "fps"),
            ("\"fps\":2", "\"fps\":\"2\"", "fps"),
            ("\"fps\":2", "\"fps\":1e400", "number"),
            ("\"time\":7.8", "\"time\":-1", "conversation[2]: time"),
            ("\"time\":7.8", "\"time\":1e300", "conversation[2]: time"),
            ("\"time\":7.8", "\"time\":9", "conversation[4]: time"),
            ("\"role\":\"user\"", "\"role\":\"wizard\"", "wizard"),
            ("\"S1\"", "\"S0\"", "content[0].id"),
            ("\"start\"}", "\"begin\"}", "content[0].transition"),
            (
                "[{\"id\":\"S1\",\"transition\":\"start\"}]",
                "[]",
                "no update",
            ),
            (
                "\"end_frame_idx\":42",
                "\"end_frame_idx\":3",
                "end_frame_idx",
            ),
            (
                "\"end_frame_idx\":42",
                "\"end_frame_idx\":-42",
                "end_frame_idx",
            ),
            ("\"video_uid\":\"v1\"", "\"video_uid\":7", "video_uid"),
            ("\"start\":15", "\"start\":17", "conversation[3]: end"),
            (
                "\"task_goal\":\"Take apart\"",
                "\"goal\":\"x\"",
                "metadata.task_goal",
            ),
            ("\"quality\":9.0", "\"speed\":0", "metadata.speed"),
            (
                "\"quality\":9.0",
                "\"issues\":[{\"step\":\"S1\",\"kind\":\"sad\",\"time\":1}]",
                "metadata.issues",
            ),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.jsonl");
        for (from, to, word) in cases {
            let bad = LINE.replace(from, to);
            assert_ne!(bad, LINE, "{from}");
            std::fs::write(&path, format!("{LINE}\n\n{bad}\n")).unwrap();
            let why = read(&path).unwrap_err().to_string();
            assert!(
                why.contains(word) && why.contains("line 3") && why.contains("bad.jsonl"),
                "{to}: {why}"
            );
        }
        for bad in [
            "",
            "[]",
            "{}",
            "null",
            "{\"metadata\":1}",
            &LINE[..LINE.len() / 2],
        ] {
            assert!(parse_line(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_recording_that_could_not_be_read_back_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut bad = recording();
        bad.turns[1].at = Some(MediaTime(f64::NAN));
        assert!(write(&path, &[bad]).is_err());
        assert!(!path.exists());
    }
}
