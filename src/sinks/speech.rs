//! Speaks through a command such as `espeak-ng`: one voice at a time, and never in the way of a
//! frame.
//!
//! The command is split into words without a shell; `'…'` and `"…"` hold words together. The
//! sentence takes the place of `{text}` in the words, or is added as the last one. A thread runs
//! the command and waits for it. While one sentence is spoken, at most one waits: a newer one takes
//! its place, because an assistant that speaks of the past is worse than one that is silent.
//!
//! This is the only sink that knows real time: how long it waits for the command.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::output::one_line;
use crate::error::{Error, Result};
use crate::stream::{Event, Sink};

/// Stands for the sentence in the command.
const TEXT: &str = "{text}";
/// How often the thread looks whether the command has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Longest that one sentence may take to speak.
const SENTENCE_MAX: Duration = Duration::from_secs(60);
/// How long `close` lets the voice finish.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// What became of the sentences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpeechReport {
    /// Spoken to their end.
    pub spoken: u64,
    /// Gave way to a newer one before they were begun.
    pub replaced: u64,
    /// Cut off because they took too long, or never begun because the session ended.
    pub cut_off: u64,
    /// Not spoken because the command is missing or failed.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct State {
    waiting: Option<String>,
    closing: bool,
    /// The thread has ended.
    done: bool,
    /// Stop the voice now.
    stop: bool,
    report: SpeechReport,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic leaves nothing half-done in here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Speaks utterances.
#[derive(Debug)]
pub struct SpeechSink {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    close_max: Duration,
}

/// The voice of a [`SpeechSink`]; after that has been closed it is silent.
#[derive(Clone, Debug)]
pub struct Speaker(Arc<Shared>);

impl Speaker {
    /// Speaks a sentence once the voice is free; one that waits gives way.
    pub fn say(&self, text: &str) {
        let text = one_line(text);
        if text.is_empty() {
            return;
        }
        let mut state = self.0.lock();
        if state.waiting.replace(text).is_some() {
            state.report.replaced += 1;
        }
        self.0.changed.notify_all();
    }
}

impl SpeechSink {
    /// Speaks through `command`, which is not run before the first sentence.
    ///
    /// # Errors
    /// The command is empty or a quote in it is not closed; the system gives no thread.
    pub fn new(command: &str) -> Result<Self> {
        let words = split_command(command)?;
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("speech".into())
            .spawn(move || speak_all(&words, &theirs))
            .map_err(|e| Error::Sink(format!("speech: {e}")))?;
        Ok(Self {
            shared,
            thread: Some(thread),
            close_max: CLOSE_MAX,
        })
    }

    /// What became of the sentences so far.
    pub fn report(&self) -> SpeechReport {
        self.shared.lock().report
    }

    /// The voice itself, for saying a sentence again.
    pub fn speaker(&self) -> Speaker {
        Speaker(self.shared.clone())
    }

    fn finish(&mut self, limit: Duration) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        let mut state = self.shared.lock();
        state.closing = true;
        self.shared.changed.notify_all();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, limit, |s| !s.done);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.stop = true;
        drop(state);
        self.shared.changed.notify_all();
        // It looks every 20 ms and kills the command: this does not take long.
        let _ = thread.join();
    }
}

impl Sink for SpeechSink {
    fn emit(&mut self, event: &Event) -> Result<()> {
        if let Event::Utterance { text, .. } = event {
            self.speaker().say(text);
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.finish(self.close_max);
        Ok(())
    }
}

impl Drop for SpeechSink {
    fn drop(&mut self) {
        self.finish(Duration::ZERO);
    }
}

/// Splits a command into words without a shell. Quotes hold words together; a backslash stands for
/// itself, as in the paths of Windows.
///
/// # Errors
/// No words, or a quote that is not closed.
fn split_command(command: &str) -> Result<Vec<String>> {
    let bad = |why: &str| Error::Invalid(format!("speak command `{command}`: {why}"));
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, '\0') => return Err(bad("a zero character")),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(bad("a quote is not closed"));
    }
    words.extend(word);
    match words.first() {
        Some(program) if !program.is_empty() && !program.contains(TEXT) => Ok(words),
        _ => Err(bad(
            "expected a program and its arguments, such as `espeak-ng -s 160`",
        )),
    }
}

/// The arguments for one sentence.
fn arguments(words: &[String], text: &str) -> Vec<String> {
    // A sentence that starts with a dash would be taken for an option.
    let text = if text.starts_with('-') {
        format!(" {text}")
    } else {
        text.to_owned()
    };
    let mut arguments: Vec<String> = words[1..].iter().map(|w| w.replace(TEXT, &text)).collect();
    if !words[1..].iter().any(|w| w.contains(TEXT)) {
        arguments.push(text);
    }
    arguments
}

/// The thread: speaks what waits until it is closed.
fn speak_all(words: &[String], shared: &Shared) {
    let mut warned = false;
    loop {
        let state = shared.lock();
        let waited = shared
            .changed
            .wait_while(state, |s| s.waiting.is_none() && !s.closing && !s.stop);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let text = state.waiting.take();
        if state.stop || text.is_none() {
            state.report.cut_off += u64::from(text.is_some());
            state.done = true;
            drop(state);
            shared.changed.notify_all();
            return;
        }
        drop(state);
        let outcome = speak(words, &text.unwrap_or_default(), shared);
        let mut state = shared.lock();
        match outcome {
            Outcome::Spoken => state.report.spoken += 1,
            Outcome::CutOff => state.report.cut_off += 1,
            Outcome::Failed(why) => {
                state.report.failed += 1;
                if !std::mem::replace(&mut warned, true) {
                    tracing::warn!(command = %words.join(" "), "speech does not work, going on in silence: {why}");
                }
            }
        }
    }
}

enum Outcome {
    Spoken,
    CutOff,
    Failed(String),
}

/// Speaks one sentence and reaps the command.
fn speak(words: &[String], text: &str, shared: &Shared) -> Outcome {
    let mut command = Command::new(&words[0]);
    command
        .args(arguments(words, text))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => return Outcome::Failed(e.to_string()),
    };
    let mut waited = Duration::ZERO;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Outcome::Spoken,
            Ok(Some(status)) => return Outcome::Failed(status.to_string()),
            Ok(None) => {}
            Err(e) => {
                kill(&mut child);
                return Outcome::Failed(e.to_string());
            }
        }
        let state = shared.lock();
        let state = shared
            .changed
            .wait_timeout_while(state, LOOK_EVERY, |s| !s.stop);
        let (state, _) = state.unwrap_or_else(PoisonError::into_inner);
        waited += LOOK_EVERY;
        if state.stop || waited >= SENTENCE_MAX {
            drop(state);
            kill(&mut child);
            return Outcome::CutOff;
        }
    }
}

fn kill(child: &mut Child) {
    // Fails only where the child has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{FrameIdx, MediaTime, Prob};

    fn say(text: &str) -> Event {
        Event::Utterance {
            frame: FrameIdx(0),
            at: MediaTime(0.0),
            text: text.into(),
            prob: Prob(1.0),
        }
    }

    #[test]
    fn commands_are_split_without_a_shell() {
        let split = |c: &str| split_command(c).unwrap();
        assert_eq!(split("espeak-ng  -s 160"), ["espeak-ng", "-s", "160"]);
        assert_eq!(
            split("say -v 'Anna Maria' \"it's\" ''"),
            ["say", "-v", "Anna Maria", "it's", ""]
        );
        assert_eq!(split("a$HOME;b|c `d`"), ["a$HOME;b|c", "`d`"]);
        assert_eq!(split(r"C:\say.exe \n #1"), [r"C:\say.exe", r"\n", "#1"]);
        for bad in ["", "  ", "''", "say 'x", "{text}", "a\0b"] {
            assert!(split_command(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_sentence_is_one_argument_and_never_an_option() {
        let words = |c: &str| split_command(c).unwrap();
        assert_eq!(arguments(&words("say -x"), "a b; rm"), ["-x", "a b; rm"]);
        assert_eq!(
            arguments(&words("say --text={text} -q"), "hi"),
            ["--text=hi", "-q"]
        );
        assert_eq!(
            arguments(&words("say"), "-f /etc/passwd"),
            [" -f /etc/passwd"]
        );
    }

    #[cfg(unix)]
    mod with_commands {
        use std::os::unix::fs::PermissionsExt;

        use super::*;

        /// A script that notes when it begins and ends, with a pause between.
        fn voice(dir: &tempfile::TempDir, pause: &str) -> String {
            let script = dir.path().join("voice.sh");
            let log = dir.path().join("log");
            let text = format!(
                "#!/bin/sh\necho \"begin $1\" >> '{0}'\nsleep {pause}\necho \"end $1\" >> '{0}'\n",
                log.display()
            );
            std::fs::write(&script, text).unwrap();
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
            format!("/bin/sh '{}'", script.display())
        }

        fn log(dir: &tempfile::TempDir) -> String {
            std::fs::read_to_string(dir.path().join("log")).unwrap_or_default()
        }

        /// Waits for the thread, not for a time: tests run on slow machines.
        fn until(mut done: impl FnMut() -> bool) {
            for _ in 0..1000 {
                if done() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            panic!("did not happen within 10 s");
        }

        fn sink(command: &str, close_max: Duration) -> SpeechSink {
            let mut sink = SpeechSink::new(command).unwrap();
            sink.close_max = close_max;
            sink
        }

        #[test]
        fn never_two_voices_and_the_newest_waiting_sentence_wins() {
            let dir = tempfile::tempdir().unwrap();
            let mut sink = sink(&voice(&dir, "0.3"), Duration::from_secs(20));
            sink.emit(&say("one")).unwrap();
            until(|| log(&dir).contains("begin one"));
            ["two", "three", "four"]
                .iter()
                .for_each(|t| sink.emit(&say(t)).unwrap());
            sink.close().unwrap();
            assert_eq!(log(&dir), "begin one\nend one\nbegin four\nend four\n");
            assert_eq!(
                sink.report(),
                SpeechReport {
                    spoken: 2,
                    replaced: 2,
                    ..SpeechReport::default()
                }
            );
        }

        #[test]
        fn a_slow_command_is_cut_off_at_the_end() {
            let mut sink = sink("sleep", Duration::from_millis(50));
            sink.emit(&say("1000")).unwrap();
            until(|| sink.shared.lock().waiting.is_none());
            sink.emit(&say("1001")).unwrap();
            sink.close().unwrap();
            assert_eq!(
                sink.report(),
                SpeechReport {
                    cut_off: 2,
                    ..SpeechReport::default()
                }
            );
            sink.close().unwrap();
        }

        #[test]
        fn a_missing_or_failing_command_stops_nothing() {
            for command in ["proact-no-such-program", "false"] {
                let mut sink = sink(command, Duration::from_secs(20));
                sink.emit(&say("x")).unwrap();
                until(|| sink.report().failed == 1);
                sink.emit(&say("y")).unwrap();
                sink.close().unwrap();
                assert_eq!(
                    sink.report(),
                    SpeechReport {
                        failed: 2,
                        ..SpeechReport::default()
                    }
                );
            }
        }

        #[test]
        fn silence_closes_at_once_and_a_dropped_sink_leaves_nothing_running() {
            let mut sink = SpeechSink::new("true").unwrap();
            sink.emit(&say(" \n")).unwrap();
            sink.close().unwrap();
            assert_eq!(sink.report(), SpeechReport::default());
            let sink = SpeechSink::new("sleep").unwrap();
            sink.speaker().say("1000");
            drop(sink);
        }
    }
}
