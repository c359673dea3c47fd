//! What the person keeps of a run by a key: a snapshot of the screen (text and PNG), and subtitles.
//! Both go to the working folder.
//!
//! Nothing is overwritten, and only the owner can read the files: a picture can show a home.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::PathBuf;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::error::{Error, Result};
use crate::files;
use crate::sinks::{Output, SubtitleFormat, SubtitleSink};
use crate::stream::{Event, Sink};
use crate::tui::app::{App, Who};
use crate::tui::{Board, Request, as_text};
use crate::units::{FrameIdx, MediaTime, Prob};

/// Size of a snapshot's screen: all panels, and a line still fits on a printed page.
const COLUMNS: u16 = 160;
const ROWS: u16 = 48;

/// Most files of one name.
const NUMBERS_MAX: u32 = 1000;

/// Writes the snapshot or the subtitles of what a board shows, and says on the board which files
/// were written.
pub fn keep(board: Option<&Board>, request: &Request) {
    let Some(board) = board else { return };
    let app = board.snapshot();
    let kept = if *request == Request::Snapshot {
        snapshot(&app)
    } else {
        subtitles(&app)
    };
    match kept {
        Ok(kept) => {
            let names: Vec<String> = kept.iter().map(|path| path.display().to_string()).collect();
            board.note(format!("written: {}", names.join(", ")));
        }
        Err(why) => board.note(format!("! {why}")),
    }
}

/// Writes the screen as text, and the picture as PNG where there is one.
///
/// # Errors
/// A file cannot be written.
fn snapshot(app: &App) -> Result<Vec<PathBuf>> {
    let (mut file, path) = create(app, "txt")?;
    file.write_all(as_text(app, COLUMNS, ROWS).as_bytes())
        .map_err(Error::io(&path))?;
    let mut kept = vec![path];
    if let Some(picture) = &app.picture {
        let (file, path) = create(app, "png")?;
        let encoder = PngEncoder::new(BufWriter::new(file));
        let written = encoder.write_image(
            &picture.rgb,
            picture.width,
            picture.height,
            ExtendedColorType::Rgb8,
        );
        written.map_err(|why| Error::Sink(format!("{}: {why}", path.display())))?;
        kept.push(path);
    }
    Ok(kept)
}

/// Writes the sentences as WebVTT and as SubRip. Where the person went back, those of the time that
/// was then seen again are left out.
///
/// # Errors
/// A file cannot be written.
fn subtitles(app: &App) -> Result<Vec<PathBuf>> {
    let said = last_telling(app);
    let mut kept = Vec::new();
    for (format, ending) in [
        (SubtitleFormat::WebVtt, "vtt"),
        (SubtitleFormat::Srt, "srt"),
    ] {
        let (file, path) = create(app, ending)?;
        let mut sink = SubtitleSink::new(Output::to(file, &path.display().to_string()), format)?;
        for (at, text) in &said {
            let text = text.clone();
            sink.emit(&Event::Utterance {
                frame: FrameIdx(0),
                at: *at,
                text,
                prob: Prob(1.0),
            })?;
        }
        sink.close()?;
        kept.push(path);
    }
    Ok(kept)
}

/// The sentences, in the order of the recording.
fn last_telling(app: &App) -> Vec<(MediaTime, String)> {
    let mut said: Vec<(MediaTime, String)> = Vec::new();
    for line in app
        .dialogue
        .iter()
        .filter(|line| line.who == Who::Assistant)
    {
        while said.last().is_some_and(|(at, _)| *at > line.at) {
            said.pop();
        }
        said.push((line.at, line.text.clone()));
    }
    said
}

/// Creates a file named after source and time: `proact-clip.mp4-1m04s.png`, or `…-2.png` when there
/// is one.
///
/// # Errors
/// It cannot be created.
pub(super) fn create(app: &App, ending: &str) -> Result<(File, PathBuf)> {
    let plain = |c: char| {
        if c.is_alphanumeric() || matches!(c, '.' | '-' | '_') {
            c
        } else {
            '_'
        }
    };
    let source: String = app.vitals.source.chars().map(plain).collect();
    let seconds = app.now.seconds().max(0.0) as u64;
    let stem = format!("proact-{source}-{}m{:02}s", seconds / 60, seconds % 60);
    for number in 1..=NUMBERS_MAX {
        let name = if number == 1 {
            format!("{stem}.{ending}")
        } else {
            format!("{stem}-{number}.{ending}")
        };
        let path = PathBuf::from(name);
        match files::create_private(&path) {
            Ok(file) => return Ok((file, path)),
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {}
            Err(why) => return Err(why),
        }
    }
    Err(Error::Invalid(format!(
        "there are {NUMBERS_MAX} files named {stem} already"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::app::DialogueLine;

    #[test]
    fn what_was_said_of_a_time_seen_again_is_told_once() {
        let mut app = App::default();
        let say = |at: f64, who, text: &str| DialogueLine {
            at: MediaTime(at),
            who,
            text: text.into(),
            why: String::new(),
        };
        for line in [
            say(1.0, Who::Assistant, "a"),
            say(5.0, Who::Assistant, "b"),
            say(6.0, Who::Assistant, "c"),
            say(6.0, Who::Notice, "moved"),
            say(5.0, Who::Assistant, "B"),
            say(9.0, Who::User, "hm"),
        ] {
            app.dialogue.push_back(line);
        }
        let said: Vec<String> = last_telling(&app)
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert_eq!(said, ["a", "b", "B"]);
    }
}
