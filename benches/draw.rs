//! How long one drawing of the screen takes: `cargo bench --bench draw`. A recorded run, half
//! blocks, to memory.
//!
//! Each drawing has a new picture, as while a recording plays: scaling it to half blocks is most of
//! the work. The second column has the same picture again, as while somebody reads. What a terminal
//! then does is not in it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proact::stream::Picture;
use proact::tui::layout::draw;
use proact::tui::{App, ThemeName, View, Vitals};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui_image::picker::Picker;

/// Drawings measured a size, after as many to warm up.
const DRAWINGS: u32 = 100;

fn main() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tui/session/events.jsonl");
    let log =
        std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let mut app = App::default();
    log.lines()
        .for_each(|line| app.update(&serde_json::from_str(line).expect("an event a line")));
    app.measure(Vitals {
        memory_capacity: 1024,
        memory_tokens: 600,
        ..Vitals::default()
    });
    println!("median of {DRAWINGS} drawings, milliseconds; picture 640x480");
    println!("{:>9} {:>12} {:>13}", "size", "new picture", "same picture");
    for (columns, rows) in [(80, 24), (120, 40), (200, 60)] {
        let (fresh, same) = (
            median(&mut app, columns, rows, true),
            median(&mut app, columns, rows, false),
        );
        println!(
            "{:>9} {:>12.2} {:>13.2}",
            format!("{columns}x{rows}"),
            ms(fresh),
            ms(same)
        );
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(app: &mut App, columns: u16, rows: u16, fresh: bool) -> Duration {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("memory");
    let mut view = View::new(ThemeName::Dark, Picker::halfblocks());
    let mut times: Vec<Duration> = Vec::new();
    for i in 0..2 * DRAWINGS {
        if fresh || i == 0 {
            app.picture = Some(picture(i as u8));
        }
        // The board hands the screen a copy; that is part of the price.
        let start = Instant::now();
        let copy = app.clone();
        terminal
            .draw(|canvas| draw(canvas, &copy, &mut view))
            .expect("memory");
        times.push(start.elapsed());
    }
    let measured = &mut times[DRAWINGS as usize..];
    measured.sort_unstable();
    measured[measured.len() / 2]
}

/// Gradients that move with `seed`.
fn picture(seed: u8) -> Arc<Picture> {
    let (width, height) = (640u32, 480u32);
    let pixel = |i: u32| {
        [
            (i % width / 3) as u8,
            (i / width / 2) as u8,
            seed.wrapping_mul(3),
        ]
    };
    Arc::new(Picture {
        width,
        height,
        rgb: (0..width * height).flat_map(pixel).collect(),
    })
}
