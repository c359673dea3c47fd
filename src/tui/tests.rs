//! The screen on paper: every panel and the whole of it in all themes, from a recorded run; and any
//! keys at all.
//!
//! `tests/data/tui/session` is a recorded session, made by `make_session.sh` beside it.

use std::fmt::Write as _;
use std::path::PathBuf;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use proptest::prelude::*;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use ratatui::{Frame as Canvas, Terminal};
use ratatui_image::picker::Picker;

use super::app::App;
use super::board::Controls;
use super::keys::KEYS;
use super::layout::draw;
use super::panels::{dialogue, footer, gates, header, help, log, picture, pipeline, steps};
use super::print::text_of;
use super::request::Request;
use super::theme::ThemeName;
use super::view::{Lower, Touched, View};
use super::vitals::{SourceKind, Vitals};
use super::{as_text, sample};
use crate::dialogue::task::StepState;
use crate::stream::{Event, GateName, Hand};
use crate::units::{MediaTime, StepId};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/tui")
        .join(name)
}

/// A missing or different golden fails; only `UPDATE_GOLDEN=1` writes one.
fn assert_golden(name: &str, found: &str) {
    let path = data(&format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|v| v == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
        return;
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    if wanted != found {
        let new = path.with_extension("new");
        std::fs::create_dir_all(new.parent().unwrap()).unwrap();
        std::fs::write(&new, found).unwrap();
        panic!("{} differs; see {}\n{found}", path.display(), new.display());
    }
}

/// What `proact play` shows at the end of the recorded session.
fn recorded() -> App {
    crate::run::shown_at_the_end(&data("session"))
}

fn with_picture() -> App {
    App {
        picture: Some(sample::picture()),
        ..sample::app()
    }
}

fn view(theme: ThemeName) -> View {
    View::new(theme, Picker::halfblocks())
}

fn drawn(columns: u16, rows: u16, paint: impl FnOnce(&mut Canvas)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(paint).unwrap();
    terminal.backend().buffer().clone()
}

fn shown(app: &App, columns: u16, rows: u16, change: impl FnOnce(&mut View)) -> String {
    let mut view = view(ThemeName::None);
    change(&mut view);
    text_of(&drawn(columns, rows, |canvas| draw(canvas, app, &mut view)))
}

/// The text, then the style of each cell as a letter, then what the letters mean. Cells of the
/// picture are `#`.
fn with_styles(buffer: &Buffer) -> String {
    let mut text = text_of(buffer);
    let mut legend: Vec<String> = Vec::new();
    let area = buffer.area;
    text.push_str("--- styles\n");
    for y in 0..area.height {
        let mut line = String::new();
        for x in 0..area.width {
            let cell = &buffer[(x, y)];
            if matches!(cell.fg, Color::Rgb(..)) || matches!(cell.bg, Color::Rgb(..)) {
                line.push('#');
                continue;
            }
            let style = format!("{:?} on {:?} {:?}", cell.fg, cell.bg, cell.modifier);
            if (cell.fg, cell.bg, cell.modifier) == (Color::Reset, Color::Reset, Modifier::empty())
            {
                line.push(' ');
                continue;
            }
            let at = legend
                .iter()
                .position(|known| *known == style)
                .unwrap_or_else(|| {
                    legend.push(style);
                    legend.len() - 1
                });
            line.push(char::from(b'a' + u8::try_from(at).unwrap()));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    for (i, style) in legend.iter().enumerate() {
        let _ = writeln!(text, "{} {style}", char::from(b'a' + i as u8));
    }
    text
}

#[test]
fn the_whole_screen_at_three_sizes_in_all_themes() {
    let app = recorded();
    for (columns, rows) in [(80, 24), (120, 40), (200, 60)] {
        for theme in ThemeName::ALL {
            let mut view = view(theme);
            let buffer = drawn(columns, rows, |canvas| draw(canvas, &app, &mut view));
            assert_golden(
                &format!("screen/{columns}x{rows}-{}", theme.word()),
                &with_styles(&buffer),
            );
        }
    }
}

#[test]
fn every_panel_in_all_themes() {
    let (recorded, made_up) = (recorded(), with_picture());
    for name in ThemeName::ALL {
        let mut view = view(name);
        let theme = view.theme;
        let check =
            |panel: &str, columns: u16, rows: u16, paint: &mut dyn FnMut(&mut Canvas, Rect)| {
                let buffer = drawn(columns, rows, |canvas| {
                    paint(canvas, Rect::new(0, 0, columns, rows))
                });
                assert_golden(
                    &format!("panel/{panel}-{}", name.word()),
                    &with_styles(&buffer),
                );
            };
        check("header", 110, 2, &mut |c, a| {
            _ = header::draw(c, a, &recorded, &theme)
        });
        check("steps", 60, 12, &mut |c, a| {
            _ = steps::draw(c, a, &recorded, None, &theme)
        });
        check("steps-warned-chosen", 60, 18, &mut |c, a| {
            _ = steps::draw(c, a, &made_up, Some(StepId(4)), &theme)
        });
        check("dialogue", 60, 14, &mut |c, a| {
            dialogue::draw(c, a, &recorded, &mut 0, &theme)
        });
        check("dialogue-every-kind", 60, 24, &mut |c, a| {
            dialogue::draw(c, a, &made_up, &mut 0, &theme)
        });
        check("gates", 60, 14, &mut |c, a| {
            gates::draw(c, a, &recorded, &theme)
        });
        check("pipeline", 46, 18, &mut |c, a| {
            pipeline::draw(c, a, &recorded, &theme)
        });
        let live = |paused| App {
            vitals: Vitals {
                source_kind: SourceKind::Live,
                source: "camera 0".into(),
                duration: None,
                paused,
                ..sample::vitals()
            },
            ..sample::app()
        };
        check("header-live", 100, 2, &mut |c, a| {
            _ = header::draw(c, a, &live(false), &theme)
        });
        check("header-live-paused", 100, 2, &mut |c, a| {
            _ = header::draw(c, a, &live(true), &theme)
        });
        check("pipeline-lines", 100, 2, &mut |c, a| {
            pipeline::draw_lines(c, a, &made_up, &theme)
        });
        check("log", 46, 8, &mut |c, a| log::draw(c, a, &recorded, &theme));
        check("help", 76, 46, &mut |c, a| help::draw(c, a, &mut 0, &theme));
        check("footer", 100, 1, &mut |c, a| {
            footer::draw(
                c,
                a,
                &recorded,
                &super::View::new(name, Picker::halfblocks()),
            )
        });
        check("picture", 40, 12, &mut |c, a| {
            picture::draw(c, a, &recorded, &mut view.encoder, &theme)
        });
    }
}

#[test]
fn small_and_tiny_terminals_get_the_steps_and_the_last_sentence() {
    assert_golden("40x12", &shown(&recorded(), 40, 12, |_| ()));
    assert_golden("30x3", &shown(&recorded(), 30, 3, |_| ()));
}

#[test]
fn help_scroll_pause_typing_and_an_unfinished_sentence() {
    let mut app = with_picture();
    app.vitals.paused = true;
    app.vitals.partial = Some("Now roll the".into());
    assert_golden("80x24-paused", &shown(&app, 80, 24, |_| ()));
    assert_golden(
        "80x24-scrolled",
        &shown(&app, 80, 24, |view| view.scroll = 3),
    );
    assert_golden("80x24-help", &shown(&app, 80, 24, |view| view.help = true));
    assert_golden(
        "140x40-help",
        &shown(&app, 140, 40, |view| view.help = true),
    );
    assert_golden(
        "80x24-log",
        &shown(&recorded(), 80, 24, |view| view.lower = Lower::Log),
    );
    assert_golden(
        "80x24-pipeline",
        &shown(&recorded(), 80, 24, |view| view.lower = Lower::Pipeline),
    );
    let controls = Controls::default();
    let typing = shown(&app, 80, 24, |view| {
        for code in [
            KeyCode::Char('i'),
            KeyCode::Char('q'),
            KeyCode::Char('?'),
            KeyCode::Left,
        ] {
            view.press(KeyEvent::from(code), &controls);
        }
    });
    assert_golden("80x24-typing", &typing);
    assert!(
        !controls.stop.asked(),
        "a letter that is typed is no command"
    );
}

#[test]
fn before_the_first_event() {
    assert_golden("80x24-empty", &shown(&App::default(), 80, 24, |_| ()));
}

#[test]
fn no_theme_but_colour_tells_anything_by_colour_alone() {
    let app = recorded();
    for theme in [ThemeName::Dark, ThemeName::Light] {
        // Without its picture, the screen has the same characters in each theme.
        let app = App {
            picture: None,
            ..app.clone()
        };
        let mut view = view(theme);
        let text = text_of(&drawn(120, 40, |canvas| draw(canvas, &app, &mut view)));
        assert_eq!(text, as_text(&app, 120, 40));
    }
    // And without colour and weight, the current step and the next one still have a mark and a
    // word.
    let text = as_text(&with_picture(), 80, 24);
    assert!(
        text.contains("▶ S3")
            && text.contains("now")
            && text.contains("› S4")
            && text.contains("next"),
        "{text}"
    );
}

#[test]
fn no_size_panics_and_no_escape_sequence_reaches_the_terminal() {
    let mut app = with_picture();
    app.goal = "x\u{1b}[2Jy\u{7}".into();
    app.note("z\u{1b}[2J".into());
    app.update(&Event::User {
        at: app.now,
        text: "a\u{1b}]0;title\u{7}b \u{200b}日本語".into(),
    });
    for columns in (1..160).step_by(3) {
        for rows in 1..45 {
            let text = shown(&app, columns, rows, |view| {
                (view.scroll, view.help) = (1000, columns % 2 == 0)
            });
            assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'));
        }
    }
}

/// A view that has been drawn once, so that keys know what they refer to.
fn drawn_view(app: &App) -> View {
    let mut view = view(ThemeName::None);
    drawn(120, 40, |canvas| draw(canvas, app, &mut view));
    view
}

fn requests(controls: &Controls) -> Vec<Request> {
    std::iter::from_fn(|| controls.requests.take()).collect()
}

#[test]
fn keys_reach_the_engine_and_escape_closes_what_is_open_first() {
    let controls = Controls::default();
    let mut view = drawn_view(&with_picture());
    let mut press = |code| view.press(KeyEvent::from(code), &controls);
    assert_eq!(press(KeyCode::Char('x')), Touched::Nothing);
    assert_eq!(press(KeyCode::Char(' ')), Touched::Parts);
    for code in ['m', '+', '?'] {
        press(KeyCode::Char(code));
    }
    press(KeyCode::Esc);
    press(KeyCode::Tab);
    press(KeyCode::Esc);
    press(KeyCode::Char('i'));
    press(KeyCode::Esc);
    assert!(controls.paused() && controls.muted() && !controls.stop.asked());
    assert_eq!(controls.speed_factor(), 2.0);
    press(KeyCode::Esc);
    assert!(controls.stop.asked() && !controls.stop.interrupted());
}

#[test]
fn keys_become_requests() {
    let controls = Controls::default();
    let mut view = drawn_view(&with_picture());
    let mut press = |codes: &[KeyCode]| {
        codes
            .iter()
            .for_each(|code| _ = view.press(KeyEvent::from(*code), &controls))
    };
    use KeyCode::{Char, Enter, Home, Left, Tab};
    // S3 is being done: it is what a hand acts on until another one is chosen.
    press(&[Char('d'), Tab, Tab, Char('g'), Char('D'), Char('u')]);
    press(&[
        Left,
        Left,
        Home,
        Char('['),
        Char(']'),
        Char('>'),
        Char(','),
        Char('r'),
        Char('s'),
        Char('e'),
    ]);
    press(&[
        Char('i'),
        Char('h'),
        Char('i'),
        Enter,
        Char('o'),
        Char('t'),
        Enter,
    ]);
    let hand = Request::Hand;
    let wanted = [
        hand(Hand::Mark(StepId(2), StepState::Completed)),
        hand(Hand::Jump(StepId(3))),
        hand(Hand::Mark(StepId(3), StepState::NotStarted)),
        hand(Hand::Undo),
        Request::SeekBy(-10.0),
        // Going to the beginning and then to the event before is one going.
        Request::SeekTo(MediaTime(51.5)),
        Request::NextEvent,
        Request::Threshold(GateName::Speak, 1),
        Request::Threshold(GateName::DstUpdate, -1),
        Request::Repeat,
        Request::Snapshot,
        Request::Subtitles,
        Request::Say("hi".into()),
        Request::Task("t".into()),
    ];
    assert_eq!(requests(&controls), wanted);
}

#[test]
fn a_click_chooses_a_step_or_a_place() {
    let controls = Controls::default();
    let app = with_picture();
    let mut view = drawn_view(&app);
    let click = |column, row| MouseEvent {
        kind: MouseEventKind::Down(MouseButton::Left),
        column,
        row,
        modifiers: KeyModifiers::NONE,
    };
    let (area, rows) = view.shown.step_rows.clone();
    let line = rows
        .iter()
        .position(|step| *step == Some(StepId(3)))
        .unwrap() as u16;
    view.mouse(click(area.x + 4, area.y + line), &controls);
    assert_eq!(view.chosen, Some(StepId(3)));
    let bar = view.shown.bar;
    view.mouse(click(bar.x + bar.width / 2, bar.y), &controls);
    let middle = app.vitals.duration.unwrap().seconds() / 2.0;
    let [Request::SeekTo(to)] = requests(&controls)[..] else {
        panic!("one request")
    };
    assert!((to.seconds() - middle).abs() < 4.0, "{to}");
}

/// Anything that a keyboard or a mouse can send.
fn input() -> impl Strategy<Value = (Option<KeyEvent>, u16, u16, u8)> {
    let known = prop::sample::select(
        KEYS.iter()
            .flat_map(|b| b.keys.iter().copied())
            .collect::<Vec<_>>(),
    );
    let code = prop_oneof![
        Just(KeyCode::Enter),
        Just(KeyCode::Esc),
        Just(KeyCode::Backspace),
        Just(KeyCode::Delete),
        Just(KeyCode::Left),
        Just(KeyCode::Right),
        Just(KeyCode::Home),
        Just(KeyCode::End),
        any::<char>().prop_map(KeyCode::Char),
        (0u8..20).prop_map(KeyCode::F),
    ];
    let any_key =
        (code, any::<u8>()).prop_map(|(code, bits)| (code, KeyModifiers::from_bits_truncate(bits)));
    let key = prop_oneof![3 => known, 1 => any_key]
        .prop_map(|(code, modifiers)| KeyEvent::new(code, modifiers));
    (
        prop::option::weighted(0.9, key),
        0u16..220,
        0u16..70,
        any::<u8>(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is pressed, clicked and resized while whatever happens: it draws.
    #[test]
    fn no_sequence_of_keys_panics(
        inputs in prop::collection::vec(input(), 1..120),
        seed in any::<u16>(),
    ) {
        let controls = Controls::default();
        let events = sample::events();
        let mut app = App { picture: Some(sample::picture()), ..App::default() };
        let mut view = view(ThemeName::Dark);
        for (i, (key, column, row, kind)) in inputs.into_iter().enumerate() {
            app.update(&events[(usize::from(seed) + i * 3) % events.len()]);
            if kind % 16 == 0 {
                let (at, to) = (app.now, MediaTime(f64::from(row)));
                app.update(&Event::Seek { at, to, steps: Vec::new() });
            }
            match key {
                Some(key) => _ = view.press(key, &controls),
                None => {
                    let kinds = [
                        MouseEventKind::ScrollUp,
                        MouseEventKind::ScrollDown,
                        MouseEventKind::Down(MouseButton::Left),
                        MouseEventKind::Moved,
                    ];
                    let kind = kinds[usize::from(kind) % kinds.len()];
                    let modifiers = KeyModifiers::NONE;
                    view.mouse(MouseEvent { kind, column, row, modifiers }, &controls);
                }
            }
            drawn(column.max(1), row.max(1), |canvas| draw(canvas, &app, &mut view));
        }
    }
}

#[test]
fn half_blocks_in_colour_are_used_when_wanted() {
    let mut view = view(ThemeName::Dark);
    let app = with_picture();
    let buffer = drawn(120, 40, |canvas| draw(canvas, &app, &mut view));
    let coloured = buffer
        .content()
        .iter()
        .filter(|c| matches!(c.bg, Color::Rgb(..)))
        .count();
    assert!(
        coloured > 200,
        "{coloured} cells of the picture have a colour"
    );
}
