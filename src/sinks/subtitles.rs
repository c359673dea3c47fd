//! What the assistant says as subtitles: WebVTT or SubRip (SRT).
//!
//! A cue is shown until it can be read, or until the next one. It is written as soon as its end is
//! known, whole, so the file is sound at every moment.

use super::output::{Output, one_line};
use crate::error::Result;
use crate::stream::{Event, Sink};
use crate::units::MediaTime;

/// Reading speed, in characters a second.
const CHARACTERS_PER_S: f64 = 15.0;
/// Shortest and longest time on the screen.
const SHOWN_MIN_S: f64 = 2.0;
const SHOWN_MAX_S: f64 = 10.0;
/// Sentences closer than this share a cue: nobody could read the first one otherwise.
const SHARED_WITHIN_S: f64 = 0.2;
/// Longest line, in characters; words are wrapped to it.
const LINE_CHARACTERS: usize = 42;
/// Breaks up what a player would read as a tag, since SRT has no escapes. The character has no
/// width and joins what it stands between.
const WORD_JOINER: char = '\u{2060}';

/// The two formats of subtitles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubtitleFormat {
    /// WebVTT.
    WebVtt,
    /// SubRip.
    Srt,
}

#[derive(Debug)]
struct Cue {
    start_s: f64,
    texts: Vec<String>,
}

impl Cue {
    fn readable_until_s(&self) -> f64 {
        let characters: usize = self.texts.iter().map(|t| t.chars().count()).sum();
        self.start_s + (characters as f64 / CHARACTERS_PER_S).clamp(SHOWN_MIN_S, SHOWN_MAX_S)
    }
}

/// Writes utterances as subtitles.
#[derive(Debug)]
pub struct SubtitleSink {
    out: Output,
    format: SubtitleFormat,
    open: Option<Cue>,
    cues: u64,
}

impl SubtitleSink {
    /// Starts the file.
    ///
    /// # Errors
    /// Its header cannot be written.
    pub fn new(mut out: Output, format: SubtitleFormat) -> Result<Self> {
        if format == SubtitleFormat::WebVtt {
            out.write("WEBVTT\n")?;
        }
        Ok(Self {
            out,
            format,
            open: None,
            cues: 0,
        })
    }

    fn say(&mut self, at: MediaTime, text: &str) -> Result<()> {
        let text = one_line(text);
        if text.is_empty() {
            return Ok(());
        }
        if let Some(cue) = self
            .open
            .as_mut()
            .filter(|cue| at.0 < cue.start_s + SHARED_WITHIN_S)
        {
            cue.texts.push(text);
            return Ok(());
        }
        self.end_by(at.0)?;
        self.open = Some(Cue {
            start_s: at.0.max(0.0),
            texts: vec![text],
        });
        Ok(())
    }

    /// Writes the open cue, which ends when it is read but not after `next_s`.
    fn end_by(&mut self, next_s: f64) -> Result<()> {
        let Some(cue) = self.open.take() else {
            return Ok(());
        };
        self.cues += 1;
        let (start, end) = (
            self.time(cue.start_s),
            self.time(cue.readable_until_s().min(next_s)),
        );
        let lines: Vec<String> = cue
            .texts
            .iter()
            .flat_map(|t| wrap(t))
            .map(|line| self.escape(&line))
            .collect();
        let piece = match self.format {
            SubtitleFormat::WebVtt => format!("\n{start} --> {end}\n{}\n", lines.join("\n")),
            SubtitleFormat::Srt => {
                format!("{}\n{start} --> {end}\n{}\n\n", self.cues, lines.join("\n"))
            }
        };
        self.out.write(&piece)
    }

    /// `00:01:02.345`; SRT has a comma.
    fn time(&self, seconds: f64) -> String {
        let millis = (seconds * 1000.0).round() as u64;
        let (s, ms) = (millis / 1000, millis % 1000);
        let point = if self.format == SubtitleFormat::WebVtt {
            '.'
        } else {
            ','
        };
        format!(
            "{:02}:{:02}:{:02}{point}{ms:03}",
            s / 3600,
            s / 60 % 60,
            s % 60
        )
    }

    fn escape(&self, line: &str) -> String {
        let mut out = String::with_capacity(line.len());
        for c in line.chars() {
            match (self.format, c) {
                (SubtitleFormat::WebVtt, '&') => out.push_str("&amp;"),
                (SubtitleFormat::WebVtt, '<') => out.push_str("&lt;"),
                (SubtitleFormat::WebVtt, '>') => out.push_str("&gt;"),
                (SubtitleFormat::Srt, '<' | '{') => out.extend([c, WORD_JOINER]),
                (SubtitleFormat::Srt, '>') => out.extend([WORD_JOINER, c]),
                _ => out.push(c),
            }
        }
        out
    }
}

/// Breaks a text into lines between words; a word longer than a line has one of its own.
fn wrap(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= LINE_CHARACTERS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

impl Sink for SubtitleSink {
    fn emit(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Utterance { at, text, .. } => self.say(*at, text),
            // Times go on from elsewhere: no later cue bounds this one.
            Event::Seek { .. } => self.end_by(f64::INFINITY),
            // Time has passed: a cue that has been read by now can be written.
            Event::Frame { at, .. }
                if self
                    .open
                    .as_ref()
                    .is_some_and(|cue| cue.readable_until_s() <= at.0) =>
            {
                self.end_by(at.0)
            }
            _ => Ok(()),
        }
    }

    fn close(&mut self) -> Result<()> {
        self.end_by(f64::INFINITY)?;
        self.out.close()
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::tests::Page;
    use super::*;
    use crate::units::{FrameIdx, Prob};

    fn say(at: f64, text: &str) -> Event {
        Event::Utterance {
            frame: FrameIdx(0),
            at: MediaTime(at),
            text: text.into(),
            prob: Prob(0.9),
        }
    }

    fn frame(at: f64) -> Event {
        Event::Frame {
            frame: FrameIdx(0),
            at: MediaTime(at),
            speak: Prob(0.0),
            dst_update: Prob(0.0),
        }
    }

    fn write(format: SubtitleFormat, events: &[Event], close: bool) -> String {
        let page = Page::default();
        let mut sink = SubtitleSink::new(Output::to(page.clone(), "subtitles"), format).unwrap();
        events.iter().for_each(|e| sink.emit(e).unwrap());
        if close {
            sink.close().unwrap();
        }
        page.text()
    }

    #[test]
    fn cues_end_when_read_or_at_the_next_one() {
        let events = [
            say(1.0, "First."),
            say(1.1, "Also."),
            say(2.5, "A & B <i>\n\n--> C"),
            say(3725.0, &"word ".repeat(40)),
        ];
        let vtt = "WEBVTT

00:00:01.000 --> 00:00:02.500
First.
Also.

00:00:02.500 --> 00:00:04.500
A &amp; B &lt;i&gt; --&gt; C

01:02:05.000 --> 01:02:15.000
word word word word word word word word
word word word word word word word word
word word word word word word word word
word word word word word word word word
word word word word word word word word
";
        assert_eq!(write(SubtitleFormat::WebVtt, &events, true), vtt);
        let srt = write(SubtitleFormat::Srt, &events[2..3], true);
        assert_eq!(
            srt,
            "1\n00:00:02,500 --> 00:00:04,500\nA & B <\u{2060}i\u{2060}> --\u{2060}> C\n\n"
        );
    }

    #[test]
    fn a_killed_process_leaves_a_sound_file_with_what_was_read() {
        let events = [
            say(1.0, "First."),
            frame(2.0),
            frame(3.0),
            say(9.0, "Second."),
        ];
        let cut = write(SubtitleFormat::WebVtt, &events, false);
        assert_eq!(cut, "WEBVTT\n\n00:00:01.000 --> 00:00:03.000\nFirst.\n");
        assert_eq!(
            write(SubtitleFormat::WebVtt, &events[..2], false),
            "WEBVTT\n"
        );
    }

    #[test]
    fn nothing_said_is_a_sound_file() {
        assert_eq!(
            write(
                SubtitleFormat::WebVtt,
                &[frame(1.0), say(2.0, " \n ")],
                true
            ),
            "WEBVTT\n"
        );
        assert_eq!(write(SubtitleFormat::Srt, &[], true), "");
    }

    #[test]
    fn no_cue_ends_before_it_starts() {
        let events: Vec<Event> = (0..200).map(|i| say(f64::from(i) * 0.07, "x")).collect();
        for line in write(SubtitleFormat::Srt, &events, true)
            .lines()
            .filter(|l| l.contains("-->"))
        {
            let (start, end) = line.split_once(" --> ").unwrap();
            assert!(start < end, "{line}");
        }
    }

    #[test]
    fn a_full_disk_is_told() {
        assert!(
            SubtitleSink::new(
                Output::to(
                    Page {
                        room: Some(3),
                        ..Page::default()
                    },
                    "x"
                ),
                SubtitleFormat::WebVtt
            )
            .is_err()
        );
        let mut sink = SubtitleSink::new(
            Output::to(
                Page {
                    room: Some(10),
                    ..Page::default()
                },
                "x",
            ),
            SubtitleFormat::WebVtt,
        )
        .unwrap();
        sink.emit(&say(0.0, "a")).unwrap();
        assert!(sink.close().is_err());
    }
}
