//! What the screen costs the engine: frames per second of the demo with the screen on over those
//! without, in one run.
//!
//! `cargo bench --bench screen [PAIRS]`. Runs take turns, so that a busy machine is busy for both;
//! the median of the pairs counts.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use serde_json::Value;

/// Runs of each kind unless told otherwise.
const PAIRS: usize = 5;
/// So fast that the clip's own pace never waits.
const SPEED: &str = "1000000";

fn main() {
    let pairs = std::env::args()
        .filter_map(|a| a.parse().ok())
        .next()
        .unwrap_or(PAIRS);
    let folder = tempfile::tempdir().expect("a folder");
    let timing = folder.path().join("timing.jsonl");
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        // Who comes first takes turns too: a machine may get slower while it is warm.
        for on in [pair % 2 == 0, pair % 2 == 1] {
            if on {
                on_screen(&timing)
            } else {
                headless(&timing)
            }
            let figures = if on { &mut with } else { &mut without };
            figures.push(frames_per_s(&timing));
        }
    }
    let ratios: Vec<f64> = with
        .iter()
        .zip(&without)
        .map(|(with, without)| with / without)
        .collect();
    let ratio = median(ratios.clone());
    println!(
        "engine, median of {pairs} runs each: {:.1} frames/s without the screen, {:.1} with it (120x40)",
        median(without),
        median(with)
    );
    println!(
        "ratio, median of the pairs {ratio:.4}: the screen costs {:.2} %; pairs {ratios:.3?}",
        (1.0 - ratio) * 100.0
    );
}

fn arguments(timing: &Path) -> Vec<String> {
    let path = timing.to_str().expect("a plain path").to_owned();
    ["demo", "--speed", SPEED, "--timing"]
        .map(str::to_owned)
        .into_iter()
        .chain([path])
        .collect()
}

fn headless(timing: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proact"));
    let status = command
        .args(arguments(timing))
        .arg("--headless")
        .stdout(Stdio::null())
        .status()
        .expect("it starts");
    assert!(status.success());
}

/// In a terminal that reads everything; leaves by `q` when the clip is over.
fn on_screen(timing: &Path) {
    let size = PtySize {
        rows: 40,
        cols: 120,
        pixel_width: 0,
        pixel_height: 0,
    };
    let pty = native_pty_system().openpty(size).expect("a terminal");
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_proact"));
    command.args(arguments(timing));
    command.env("TERM", "xterm-256color");
    let mut child = pty.slave.spawn_command(command).expect("it starts");
    drop(pty.slave);
    let mut reader = pty.master.try_clone_reader().expect("a reader");
    let mut writer = pty.master.take_writer().expect("a writer");
    let mut seen = vt100::Parser::new(40, 120, 0);
    let mut block = [0; 1 << 16];
    while let Ok(n @ 1..) = reader.read(&mut block) {
        seen.process(&block[..n]);
        if seen.screen().contents().contains("finished") {
            writer.write_all(b"q").expect("a key");
        }
    }
    assert!(child.wait().expect("it ends").success());
}

/// From the clock at the first and the last frame: everything that the engine's thread does is in
/// it.
fn frames_per_s(timing: &Path) -> f64 {
    let text = std::fs::read_to_string(timing).expect("the times");
    let clock = |line: &str| {
        serde_json::from_str::<Value>(line).expect("a record")["clock_s"]
            .as_f64()
            .expect("a time")
    };
    let clocks: Vec<f64> = text.lines().map(clock).collect();
    (clocks.len() - 1) as f64 / (clocks[clocks.len() - 1] - clocks[0])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}
