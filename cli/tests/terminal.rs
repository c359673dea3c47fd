//! The real binary in a real pseudo-terminal: the terminal is given back however the run ends, and
//! a terminal that nobody reads costs pictures, not events.
#![cfg(unix)]

#[path = "cli/tiny.rs"]
mod tiny;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use nix::sys::termios::LocalFlags;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// No single wait is longer.
const PATIENCE: Duration = Duration::from_secs(60);
const NAP: Duration = Duration::from_millis(20);

/// A run in a terminal.
struct Run {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    /// All that came out; grows while somebody reads.
    out: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    tiny: tiny::Tiny,
    log: PathBuf,
}

fn size(rows: u16, cols: u16) -> PtySize {
    PtySize {
        rows,
        cols,
        pixel_width: 0,
        pixel_height: 0,
    }
}

/// Plays many frames, so that at twice the pictures' own speed it goes on until it is ended.
fn start(reads: bool, more: &[&str]) -> Run {
    let tiny = tiny::make(400);
    let log = tiny.folder.path().join("events.jsonl");
    let arguments = [&["--events", log.to_str().unwrap()], more].concat();
    let arguments = replay(&tiny, &arguments);
    open(tiny, log, reads, &arguments, Terminal::default())
}

/// What a terminal says of itself.
#[derive(Clone, Copy, Default)]
struct Terminal {
    /// Variables besides `TERM`.
    environment: &'static [(&'static str, &'static str)],
    /// What it answers when it is asked; lies ready before.
    answers: &'static str,
}

/// Arguments of a replay of the tiny model.
fn replay(tiny: &tiny::Tiny, more: &[&str]) -> Vec<OsString> {
    let files: [&Path; 7] = [
        &tiny.frames,
        Path::new("--model"),
        &tiny.model,
        Path::new("--vision"),
        &tiny.vision,
        Path::new("--task"),
        &tiny.task,
    ];
    let more = more.iter().map(OsString::from);
    [OsString::from("replay")]
        .into_iter()
        .chain(files.map(OsString::from))
        .chain(more)
        .collect()
}

/// The binary in a terminal of 80 columns and 24 rows.
fn open(
    tiny: tiny::Tiny,
    log: PathBuf,
    reads: bool,
    arguments: &[OsString],
    terminal: Terminal,
) -> Run {
    let pty = native_pty_system().openpty(size(24, 80)).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_proact"));
    command.args(arguments);
    command.env("TERM", "xterm-256color");
    for name in [
        "NO_COLOR",
        "COLORFGBG",
        "TMUX",
        "TERM_PROGRAM",
        "LC_TERMINAL",
        "KONSOLE_VERSION",
    ] {
        command.env_remove(name);
    }
    terminal
        .environment
        .iter()
        .for_each(|(name, value)| command.env(name, value));
    command.cwd(tiny.folder.path());
    let (mut keys, out) = (
        pty.master.take_writer().unwrap(),
        Arc::<Mutex<Vec<u8>>>::default(),
    );
    keys.write_all(terminal.answers.as_bytes()).unwrap();
    let child = pty.slave.spawn_command(command).unwrap();
    let mut run = Run {
        child,
        master: pty.master,
        keys,
        out,
        reader: None,
        tiny,
        log,
    };
    if reads {
        run.read();
    }
    run
}

impl Run {
    fn read(&mut self) {
        let (mut from, out) = (self.master.try_clone_reader().unwrap(), self.out.clone());
        self.reader = Some(thread::spawn(move || {
            let mut block = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut block) {
                out.lock().unwrap().extend(&block[..n]);
            }
        }));
    }

    fn wait(&mut self, what: &str, mut until: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !until(self) {
            assert!(
                start.elapsed() < PATIENCE,
                "waited for: {what}\n{}",
                self.shown()
            );
            sleep(NAP);
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.out.lock().unwrap().clone()
    }

    /// The screen as a terminal of its present size shows it.
    fn shown(&self) -> String {
        let now = self.master.get_size().unwrap();
        let mut terminal = vt100::Parser::new(now.rows, now.cols, 0);
        terminal.process(&self.bytes());
        terminal.screen().contents()
    }

    fn until_shown(&mut self, word: &str) {
        self.wait(word, |run| run.shown().contains(word));
    }

    fn raw(&self) -> bool {
        let modes = self.master.get_termios().unwrap();
        !modes
            .local_flags
            .intersects(LocalFlags::ECHO | LocalFlags::ICANON)
    }

    fn signal(&self, name: &str) {
        let id = self.child.process_id().unwrap().to_string();
        assert!(
            std::process::Command::new("kill")
                .args([name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    fn key(&mut self, key: &[u8]) {
        self.keys.write_all(key).unwrap();
    }

    /// Waits for the end; the exit code.
    fn end(&mut self) -> u32 {
        let mut code = None;
        self.wait("the end", |run| {
            code = run
                .child
                .try_wait()
                .unwrap()
                .map(|status| status.exit_code());
            code.is_some()
        });
        code.unwrap()
    }

    /// The run is over and the terminal is as it was.
    fn assert_given_back(&mut self) {
        self.wait("cooked mode", |run| !run.raw());
        // A busy machine may take a moment to read what the run has written.
        self.wait("all modes switched off", |run| {
            modes_left_on(&String::from_utf8_lossy(&run.bytes())).is_empty()
        });
        let text = String::from_utf8_lossy(&self.bytes()).into_owned();
        assert!(
            text.rfind("\u{1b}[?25h") > text.rfind("\u{1b}[?25l"),
            "the cursor is hidden"
        );
        let left = text
            .rfind("\u{1b}[?1049l")
            .expect("leaves the alternate screen");
        assert!(
            !text[left..].contains("\u{1b}[38;"),
            "something was drawn behind it: {:?}",
            &text[left..]
        );
    }

    /// Every event is in the log, up to the last.
    fn assert_log_is_whole(&self) -> Vec<proact::stream::Event> {
        let mut events = Vec::new();
        proact::stream::log::read(&self.log, proact::stream::log::Tail::Refuse, |e| {
            events.push(e)
        })
        .unwrap();
        assert!(matches!(
            events.last(),
            Some(proact::stream::Event::End { .. })
        ));
        events
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        assert!(self.tiny.folder.path().exists());
    }
}

/// Private modes (mouse, paste, alternate screen) that were switched on and never off again; the
/// cursor's is the other way round.
fn modes_left_on(text: &str) -> BTreeSet<String> {
    let mut on = BTreeSet::new();
    for (at, _) in text.match_indices("\u{1b}[?") {
        let rest = &text[at + 3..];
        let Some(end) = rest.find(|c: char| !c.is_ascii_digit() && c != ';') else {
            continue;
        };
        for mode in rest[..end].split(';').filter(|mode| *mode != "25") {
            match rest.as_bytes()[end] {
                b'h' => on.insert(mode.to_owned()),
                b'l' => on.remove(mode),
                _ => false,
            };
        }
    }
    on
}

#[test]
fn a_quit_gives_the_terminal_back_and_sums_up() {
    let mut run = start(true, &["--speed", "2"]);
    run.until_shown("Boil water");
    assert!(run.raw());
    run.key(b"q");
    assert_eq!(run.end(), 0);
    run.assert_given_back();
    run.assert_log_is_whole();
    run.wait("the summary", |run| {
        String::from_utf8_lossy(&run.bytes()).contains("steps done")
    });
}

#[test]
fn signals_and_their_key_give_the_terminal_back_and_leave_with_130() {
    for way in ["-TERM", "-HUP", "-INT", "key"] {
        let mut run = start(true, &["--speed", "2"]);
        run.until_shown("Boil water");
        if way == "key" {
            run.key(b"\x03")
        } else {
            run.signal(way)
        }
        assert_eq!(run.end(), 130, "{way}");
        run.assert_given_back();
        run.assert_log_is_whole();
    }
}

#[test]
fn an_error_gives_the_terminal_back_before_it_is_told() {
    // The session breaks when its first word is too long for the model's memory.
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input.jsonl");
    std::fs::write(
        &input,
        format!("{{\"at\":1.0,\"user\":\"{}\"}}\n", "tea ".repeat(1000)),
    )
    .unwrap();
    let mut run = start(true, &["--speed", "2", "--input", input.to_str().unwrap()]);
    assert_eq!(run.end(), 1);
    run.wait("the error", |run| {
        String::from_utf8_lossy(&run.bytes()).contains("error: ")
    });
    run.assert_given_back();
    let text = String::from_utf8_lossy(&run.bytes()).into_owned();
    assert!(text.find("error: ") > text.rfind("\u{1b}[?1049l"), "{text}");
}

#[test]
fn suspended_it_gives_the_terminal_back_and_takes_it_again() {
    for way in ["-TSTP", "key"] {
        let mut run = start(true, &["--speed", "2"]);
        run.until_shown("Boil water");
        if way == "key" {
            run.key(b"\x1a")
        } else {
            run.signal(way)
        }
        let stat = format!("/proc/{}/stat", run.child.process_id().unwrap());
        run.wait("being stopped", |_| {
            std::fs::read_to_string(&stat).is_ok_and(|s| s.contains(") T "))
        });
        run.assert_given_back();
        let before = run.bytes().len();
        run.signal("-CONT");
        run.wait("the screen again", |run| {
            String::from_utf8_lossy(&run.bytes()[before..]).contains("\u{1b}[?1049h")
        });
        run.wait("a whole screen", |run| {
            run.raw() && run.shown().contains("Boil water")
        });
        run.key(b"q");
        assert_eq!(run.end(), 0);
        run.assert_given_back();
    }
}

#[test]
fn a_terminal_that_changes_its_size_all_the_time_ends_up_with_a_whole_screen() {
    let mut run = start(true, &["--speed", "2"]);
    run.until_shown("Boil water");
    for i in 0..40u16 {
        run.master
            .resize(size(3 + i * 7 % 50, 10 + i * 31 % 190))
            .unwrap();
        // A key beside the signal: a reader that is told of both at once must not forget the key.
        if i % 4 == 0 {
            run.key(b">");
        }
        sleep(Duration::from_millis(7));
    }
    run.master.resize(size(30, 100)).unwrap();
    // Only what came after the last change counts: a terminal's own way of folding lines is not
    // under test.
    run.wait("the screen in its new size", |run| {
        let bytes = run.bytes();
        let text = String::from_utf8_lossy(&bytes);
        let Some(cleared) = text.rfind("\u{1b}[2J") else {
            return false;
        };
        let mut terminal = vt100::Parser::new(30, 100, 0);
        terminal.process(&text.as_bytes()[cleared..]);
        let lines: Vec<String> = terminal.screen().rows(0, 100).collect();
        lines[0].contains("REPLAY")
            && lines[29].contains("quit")
            && lines.iter().any(|l| l.contains("Boil water"))
    });
    run.key(b"q");
    assert_eq!(run.end(), 0);
    run.assert_given_back();
    let mut thresholds = run
        .assert_log_is_whole()
        .into_iter()
        .filter_map(|event| match event {
            proact::stream::Event::Threshold { threshold, .. } => Some(threshold.0),
            _ => None,
        });
    let last = thresholds.next_back().unwrap();
    assert!(
        (last - 0.8).abs() < 1e-3,
        "ten keys move 0.3 by 0.5, not to {last}"
    );
}

#[test]
fn a_terminal_that_nobody_reads_loses_pictures_and_no_event() {
    // As fast as it goes: the engine has to come to the end although the terminal takes nothing.
    let mut run = start(false, &[]);
    run.wait("the last event", |run| {
        std::fs::read_to_string(&run.log)
            .is_ok_and(|text| text.lines().last().is_some_and(|l| l.contains("\"end\"")))
    });
    let frames = run
        .assert_log_is_whole()
        .iter()
        .filter(|e| matches!(e, proact::stream::Event::Frame { .. }))
        .count();
    assert_eq!(frames, 400);
    // And it can be ended, in bounded time.
    run.signal("-TERM");
    assert_eq!(run.end(), 130);
    assert!(!run.raw());
}

#[test]
fn a_terminal_that_goes_away_ends_the_run_in_order() {
    let mut run = start(false, &["--speed", "2"]);
    run.wait("a frame", |run| {
        std::fs::read_to_string(&run.log).is_ok_and(|text| text.contains("\"frame\","))
    });
    // Another one takes its place here; with the last handle the terminal is closed.
    run.keys = Box::new(std::io::sink());
    run.master = native_pty_system().openpty(size(24, 80)).unwrap().master;
    assert_eq!(run.end(), 130);
    run.assert_log_is_whole();
}

#[test]
fn a_recorded_session_keeps_its_pace_and_can_be_moved_in() {
    let tiny = tiny::make(400);
    let folder = tiny.folder.path().join("s");
    let mut record = std::process::Command::new(env!("CARGO_BIN_EXE_proact"));
    let output = record
        .args(replay(
            &tiny,
            &["--headless", "--record", folder.to_str().unwrap()],
        ))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut run = open(
        tiny,
        folder.join("events.jsonl"),
        true,
        &["play".into(), folder.into_os_string()],
        Terminal::default(),
    );
    run.until_shown("RECORDED");
    // Nothing that a key asks for changes it, and none makes it run away.
    for key in ["d", "u", "<", ".", "o", "i"] {
        run.key(key.as_bytes());
        run.until_shown("nothing can be changed");
        run.key(b"l");
    }
    run.key(b"r");
    sleep(Duration::from_secs(1));
    assert!(
        run.shown().lines().next().unwrap().contains(" 0:0"),
        "{}",
        run.shown()
    );
    // Far on, while it pauses and afterwards; back to the beginning.
    run.key(b" ");
    run.until_shown("PAUSED");
    run.key(b"}");
    run.until_shown(" 0:3");
    run.key(b" \x1b[H");
    run.until_shown(" 0:0");
    run.key(b"q");
    assert_eq!(run.end(), 0);
    run.assert_given_back();
}

#[test]
fn a_terminal_that_reads_again_shows_what_is_now() {
    let mut run = start(false, &[]);
    run.wait("the last event", |run| {
        std::fs::read_to_string(&run.log)
            .is_ok_and(|text| text.lines().last().is_some_and(|l| l.contains("\"end\"")))
    });
    run.read();
    run.until_shown("finished");
    run.key(b"q");
    assert_eq!(run.end(), 0);
    run.assert_given_back();
}

/// Device attributes, size of a letter, status: in the order of the questions.
const PLAIN: &str = "\x1b[?62;22c\x1b[6;20;10t\x1b[0n";
const SIXEL: &str = "\x1b[?62;4;22c\x1b[6;20;10t\x1b[0n";
const KITTY: &str = "\x1b_Gi=31;OK\x1b\\\x1b[?62;4;22c\x1b[6;20;10t\x1b[0n";
/// What the pictures of each protocol begin with.
const SIXEL_PICTURE: &str = "\x1bP";
const KITTY_PICTURE: &str = "\x1b_Gq=2,i=";
const ITERM2_PICTURE: &str = "\x1b]1337;File=";

#[test]
fn pictures_are_drawn_as_the_terminal_says_that_it_can() {
    const ITERM2: &[(&str, &str)] = &[("TERM_PROGRAM", "iTerm.app")];
    /// Name, environment, answers, what its pictures begin with.
    type Case = (
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static str,
        Option<&'static str>,
    );
    let cases: [Case; 6] = [
        ("kitty before sixel", &[], KITTY, Some(KITTY_PICTURE)),
        ("sixel", &[], SIXEL, Some(SIXEL_PICTURE)),
        ("iTerm2", ITERM2, PLAIN, Some(ITERM2_PICTURE)),
        ("none", &[], PLAIN, None),
        ("no size of a letter", &[], "\x1b[?62;4;22c\x1b[0n", None),
        // Inside tmux the pixels would not arrive; it is not asked.
        ("tmux", &[("TMUX", "/tmp/tmux,1,0")], "", None),
    ];
    for (name, environment, answers, picture) in cases {
        let tiny = tiny::make(400);
        let log = tiny.folder.path().join("events.jsonl");
        let arguments = replay(&tiny, &["--events", log.to_str().unwrap(), "--speed", "2"]);
        let mut run = open(
            tiny,
            log,
            true,
            &arguments,
            Terminal {
                environment,
                answers,
            },
        );
        run.until_shown("Boil water");
        let text = |run: &Run| String::from_utf8_lossy(&run.bytes()).into_owned();
        match picture {
            Some(begin) => run.wait(name, |run| text(run).contains(begin)),
            None => run.wait(name, |run| {
                run.shown().contains('▀') || run.shown().contains('▄')
            }),
        }
        for other in [SIXEL_PICTURE, KITTY_PICTURE, ITERM2_PICTURE] {
            assert_eq!(
                text(&run).contains(other),
                picture == Some(other),
                "{name}: {other:?}"
            );
        }
        assert_eq!(
            text(&run).contains("\x1b[5n"),
            name != "tmux",
            "{name}: asked"
        );
        run.key(b"q");
        assert_eq!(run.end(), 0, "{name}");
        run.assert_given_back();
    }
}

#[test]
fn a_terminal_is_not_filled_with_pictures_that_are_over() {
    let tiny = tiny::make(400);
    let log = tiny.folder.path().join("events.jsonl");
    let arguments = replay(&tiny, &["--events", log.to_str().unwrap(), "--speed", "8"]);
    let mut run = open(
        tiny,
        log,
        true,
        &arguments,
        Terminal {
            answers: KITTY,
            ..Terminal::default()
        },
    );
    let ids = |run: &Run, before: &str| -> Vec<String> {
        let text = String::from_utf8_lossy(&run.bytes()).into_owned();
        text.split(before)
            .skip(1)
            .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect())
            .collect()
    };
    run.wait("five pictures", |run| ids(run, KITTY_PICTURE).len() >= 5);
    run.key(b"q");
    assert_eq!(run.end(), 0);
    run.assert_given_back();
    let (sent, deleted) = (ids(&run, KITTY_PICTURE), ids(&run, "\x1b_Gq=2,a=d,d=I,i="));
    assert_eq!(deleted, sent[..sent.len() - 1], "each but the last");
}

#[test]
fn an_answer_that_comes_late_is_no_key() {
    let mut run = start(true, &["--speed", "2"]);
    run.until_shown("Boil water");
    run.key(KITTY.as_bytes());
    run.key(b"p");
    run.until_shown("Pipeline");
    assert!(!run.shown().contains("to proact:"), "{}", run.shown());
    run.key(b"q");
    assert_eq!(run.end(), 0);
    run.assert_given_back();
}

#[test]
fn no_keys_at_all_break_it() {
    // Whole keys, halves of them, mouse, text; not Ctrl-Z, which waits for a shell.
    let keys = [
        " ",
        "\x1b[D",
        "\x1b[C",
        "{",
        "}",
        "\x1b[H",
        "[",
        "]",
        "+",
        "-",
        "i",
        "hello\r",
        "r",
        "m",
        "\t",
        "\x1b[Z",
        "d",
        "D",
        "g",
        "u",
        ">",
        "<",
        ".",
        ",",
        "o",
        "no.toml\r",
        "s",
        "e",
        "\x1b[A",
        "\x1b[B",
        "\x1b[5~",
        "\x1b[6~",
        "\x1b[F",
        "p",
        "t",
        "\x0c",
        "?",
        "h",
        "\x1b[<0;10;5M",
        "\x1b[<64;50;20M",
        "\x1b[<0;70;1M",
        "\x1b[<0;200;99M",
        "\x1b[200~x\x1b[201~",
        "\x1b[",
        "\x1bO",
        "\x1b_G",
        "é",
        "\u{200b}",
        "日",
        "\x7f",
        "\x15",
        "\x17",
        "\x1b[1;5D",
        "\x1b[99~",
        "\x1b]0;t\x07",
        "\x1b[?62;4c",
        "x",
        "\r",
    ];
    for seed in 1..=3u64 {
        let mut run = start(true, &["--speed", "20"]);
        run.until_shown("Boil water");
        let mut state = seed;
        for _ in 0..250 {
            // Knuth's MMIX generator; its high bits are good enough.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Two halves may come to be Escape, which quits.
            let _ = run
                .keys
                .write_all(keys[(state >> 33) as usize % keys.len()].as_bytes());
            if state >> 60 == 0 {
                run.master
                    .resize(size(
                        2 + (state >> 40) as u16 % 60,
                        1 + (state >> 48) as u16 % 200,
                    ))
                    .unwrap();
            }
            sleep(Duration::from_millis(2));
        }
        // The first one may be the end of a half.
        run.wait("the end", |run| {
            let _ = run.keys.write_all(b"\x03");
            run.child.try_wait().unwrap().is_some()
        });
        let code = run.end();
        assert!(code == 130 || code == 0, "seed {seed}: {code}");
        run.assert_given_back();
        run.assert_log_is_whole();
    }
}
