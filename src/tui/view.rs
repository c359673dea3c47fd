//! What the person looks at, as opposed to what happened: scroll, choice, theme, a line being
//! typed. Keys and mouse act here; what they want of the engine goes to [`Controls`].

use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};
use ratatui_image::picker::Picker;

use super::app::App;
use super::board::Controls;
use super::entry::{Entry, Purpose, Typed};
use super::keys::{self, Command};
use super::panels::picture;
use super::request::Request;
use super::theme::{Theme, ThemeName};
use super::vitals::SourceKind;
use crate::dialogue::task::StepState;
use crate::stream::{GateName, Hand};
use crate::units::{MediaTime, StepId};

/// How long a note that nobody has asked for covers the keys in the footer.
const NOTE_FOR: Duration = Duration::from_secs(8);
/// Lines a page key moves.
const PAGE_LINES: usize = 8;
/// Lines a turn of the wheel moves.
const WHEEL_LINES: usize = 3;
/// Seconds of the recording that an arrow key skips, and that a brace skips.
const NEAR_S: f64 = 5.0;
const FAR_S: f64 = 30.0;
/// An event at most this many seconds back is the one that the person has just gone to.
const SAME_EVENT_S: f64 = 1.0;
/// Seconds shown of what led to an event when the person goes back to it.
const LEAD_S: f64 = 0.5;

/// What stands in the lower left where there is no room for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lower {
    /// The gates.
    #[default]
    Gates,
    /// Times, memory, device.
    Pipeline,
    /// Diagnostics.
    Log,
}

/// How much of the screen a key has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touched {
    /// It looks as before.
    Nothing,
    /// Something may look different.
    Parts,
    /// Everything has to be drawn again.
    All,
}

/// Facts of the last drawing that keys and mouse refer to.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    steps: Vec<StepId>,
    current: Option<StepId>,
    next: Option<StepId>,
    duration: Option<MediaTime>,
    recorded: bool,
    ended: bool,
    previous_event: Option<MediaTime>,
    said: bool,
    /// The step on each line of the steps panel, and where its first line stands.
    pub(super) step_rows: (Rect, Vec<Option<StepId>>),
    /// The bar that shows how far the recording is.
    pub(super) bar: Rect,
}

/// What the person looks at.
pub struct View {
    pub(super) theme_name: ThemeName,
    pub(super) theme: Theme,
    pub(super) scroll: usize,
    pub(super) help: bool,
    pub(super) help_scroll: usize,
    pub(super) lower: Lower,
    pub(super) chosen: Option<StepId>,
    pub(super) entry: Option<Entry>,
    /// An answer to the last key, until the next one.
    pub(super) flash: Option<String>,
    /// How many lines of the log that are no events have been shown here, and until when the last
    /// one of them is.
    notes_shown: u64,
    note_until: Option<Instant>,
    pub(super) shown: Shown,
    pub(super) encoder: picture::Encoder,
}

impl View {
    /// A view that follows the newest dialogue and shows no help.
    pub fn new(theme: ThemeName, picker: Picker) -> Self {
        Self {
            theme_name: theme,
            theme: Theme::of(theme),
            scroll: 0,
            help: false,
            help_scroll: 0,
            lower: Lower::default(),
            chosen: None,
            entry: None,
            flash: None,
            notes_shown: 0,
            note_until: None,
            shown: Shown::default(),
            encoder: picture::Encoder::new(picker),
        }
    }

    /// Forgets what was drawn: it is no longer on the terminal.
    pub(super) fn forget_drawn(&mut self) {
        self.encoder.forget();
    }

    /// Remembers what is on the screen, for the keys that refer to it.
    pub(super) fn remember(&mut self, app: &App) {
        let back = MediaTime(app.now.seconds() - SAME_EVENT_S);
        self.shown = Shown {
            steps: app.steps.iter().map(|row| row.id).collect(),
            current: app.current_step().map(|row| row.id),
            next: app.next_step().map(|row| row.id),
            duration: app.vitals.duration,
            recorded: app.vitals.source_kind == SourceKind::Recorded,
            ended: app.ended,
            previous_event: app.event_before(back),
            said: app.last_utterance().is_some(),
            ..Shown::default()
        };
        // An answer is seen whatever panel is open.
        if app.notes > self.notes_shown {
            self.flash = app.last_note().map(|line| line.text.clone());
            self.note_until = Some(Instant::now() + NOTE_FOR);
        } else if self
            .note_until
            .take_if(|until| *until < Instant::now())
            .is_some()
        {
            self.flash = None;
        }
        self.notes_shown = app.notes;
        // Another task may have fewer steps.
        self.chosen = self.chosen.filter(|step| self.shown.steps.contains(step));
    }

    /// Takes one key.
    pub fn press(&mut self, key: KeyEvent, controls: &Controls) -> Touched {
        // Ctrl-C must work whatever is open.
        let ctrl_c =
            key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        if let Some(entry) = self.entry.as_mut().filter(|_| !ctrl_c) {
            match entry.press(key) {
                Typed::Open => {}
                Typed::Dropped => self.entry = None,
                Typed::Done(text) => self.send(&text, controls),
            }
            return Touched::Parts;
        }
        let answered = self.flash.take().is_some();
        self.note_until = None;
        let Some(command) = keys::command(key) else {
            return if answered {
                Touched::Parts
            } else {
                Touched::Nothing
            };
        };
        if key.code == KeyCode::Esc && (self.help || self.chosen.is_some()) {
            if self.help {
                self.help = false
            } else {
                self.chosen = None
            }
            return Touched::Parts;
        }
        if self.help && self.scroll_help(command) {
            return Touched::Parts;
        }
        self.obey(command, controls)
    }

    /// Takes one turn or click of the mouse.
    pub fn mouse(&mut self, event: MouseEvent, controls: &Controls) -> Touched {
        let place = Position::new(event.column, event.row);
        match event.kind {
            MouseEventKind::ScrollUp if self.help => {
                self.help_scroll = self.help_scroll.saturating_sub(WHEEL_LINES)
            }
            MouseEventKind::ScrollDown if self.help => self.help_scroll += WHEEL_LINES,
            MouseEventKind::ScrollUp => self.scroll += WHEEL_LINES,
            MouseEventKind::ScrollDown => self.scroll = self.scroll.saturating_sub(WHEEL_LINES),
            MouseEventKind::Down(MouseButton::Left) if self.help => self.help = false,
            MouseEventKind::Down(MouseButton::Left) => return self.click(place, controls),
            _ => return Touched::Nothing,
        }
        Touched::Parts
    }

    fn click(&mut self, place: Position, controls: &Controls) -> Touched {
        let (area, rows) = &self.shown.step_rows;
        if area.contains(place) {
            self.chosen = rows.get(usize::from(place.y - area.y)).copied().flatten();
            return Touched::Parts;
        }
        if let (true, Some(duration)) = (self.shown.bar.contains(place), self.shown.duration) {
            let share =
                f64::from(place.x - self.shown.bar.x) / f64::from(self.shown.bar.width.max(1));
            controls
                .requests
                .push(Request::SeekTo(MediaTime(share * duration.seconds())));
            return Touched::Parts;
        }
        Touched::Nothing
    }

    /// `true` when the command moved the help.
    fn scroll_help(&mut self, command: Command) -> bool {
        self.help_scroll = match command {
            Command::ScrollUp => self.help_scroll.saturating_sub(1),
            Command::ScrollDown => self.help_scroll + 1,
            Command::PageUp => self.help_scroll.saturating_sub(PAGE_LINES),
            Command::PageDown => self.help_scroll + PAGE_LINES,
            Command::ScrollEnd => usize::MAX / 2,
            _ => return false,
        };
        true
    }

    /// Does what a key asks for.
    fn obey(&mut self, command: Command, controls: &Controls) -> Touched {
        if self.shown.recorded && command.changes_the_session() {
            self.flash = Some("this is a recorded session: nothing can be changed in it".into());
            return Touched::Parts;
        }
        match command {
            Command::Quit => controls.stop.ask(),
            Command::Interrupt => controls.stop.interrupt(),
            Command::Pause if self.shown.ended => {
                self.flash = Some("the recording is over: Home plays it again, q leaves".into())
            }
            Command::Pause => controls.toggle_pause(),
            Command::Mute => controls.toggle_mute(),
            Command::Faster => controls.change_speed(1),
            Command::Slower => controls.change_speed(-1),
            Command::Help => (self.help, self.help_scroll) = (!self.help, 0),
            Command::ScrollUp => self.scroll += 1,
            Command::ScrollDown => self.scroll = self.scroll.saturating_sub(1),
            Command::PageUp => self.scroll += PAGE_LINES,
            Command::PageDown => self.scroll = self.scroll.saturating_sub(PAGE_LINES),
            Command::ScrollEnd => self.scroll = 0,
            Command::Redraw => return Touched::All,
            Command::Suspend => controls.suspend(),
            Command::Message => self.entry = Some(Entry::new(Purpose::Message)),
            Command::Task => self.entry = Some(Entry::new(Purpose::Task)),
            Command::ChooseNext => self.choose(1),
            Command::ChoosePrevious => self.choose(-1),
            Command::Panel => {
                self.lower = match self.lower {
                    Lower::Gates => Lower::Pipeline,
                    Lower::Pipeline => Lower::Log,
                    Lower::Log => Lower::Gates,
                }
            }
            Command::Theme => {
                self.theme_name = self.theme_name.next();
                self.theme = Theme::of(self.theme_name);
                self.flash = Some(format!("theme: {}", self.theme_name.word()));
                return Touched::All;
            }
            Command::Done => self.hand(controls, |step| Hand::Mark(step, StepState::Completed)),
            Command::NotDone => self.hand(controls, |step| Hand::Mark(step, StepState::NotStarted)),
            Command::Jump => self.hand(controls, Hand::Jump),
            other => self.request(other, controls),
        }
        Touched::Parts
    }

    /// Asks the engine for what a command means.
    fn request(&mut self, command: Command, controls: &Controls) {
        let threshold = Request::Threshold;
        let request = match command {
            Command::Undo => Request::Hand(Hand::Undo),
            Command::SpeakUp => threshold(GateName::Speak, 1),
            Command::SpeakDown => threshold(GateName::Speak, -1),
            Command::UpdateUp => threshold(GateName::DstUpdate, 1),
            Command::UpdateDown => threshold(GateName::DstUpdate, -1),
            Command::Back => Request::SeekBy(-NEAR_S),
            Command::On => Request::SeekBy(NEAR_S),
            Command::FarBack => Request::SeekBy(-FAR_S),
            Command::FarOn => Request::SeekBy(FAR_S),
            Command::Start => Request::SeekTo(MediaTime(0.0)),
            Command::NextEvent => Request::NextEvent,
            Command::PreviousEvent => match self.shown.previous_event {
                Some(at) => Request::SeekTo(MediaTime((at.seconds() - LEAD_S).max(0.0))),
                None => {
                    self.flash = Some("nothing has happened before this".into());
                    return;
                }
            },
            Command::Repeat if self.shown.said => Request::Repeat,
            Command::Repeat => {
                self.flash = Some("nothing has been said yet".into());
                return;
            }
            Command::Snapshot => Request::Snapshot,
            Command::Subtitles => Request::Subtitles,
            _ => return,
        };
        controls.requests.push(request);
    }

    /// Acts on the chosen step, or on the one being done.
    fn hand(&mut self, controls: &Controls, hand: impl FnOnce(StepId) -> Hand) {
        match self.chosen.or(self.shown.current) {
            Some(step) => controls.requests.push(Request::Hand(hand(step))),
            None => self.flash = Some("choose a step first: Tab".into()),
        }
    }

    fn choose(&mut self, by: isize) {
        let steps = &self.shown.steps;
        if steps.is_empty() {
            self.flash = Some("there are no steps to choose from; o takes a task file".into());
            return;
        }
        let place = |step: StepId| steps.iter().position(|id| *id == step);
        let next = match (
            self.chosen.and_then(place),
            self.shown.current.or(self.shown.next).and_then(place),
        ) {
            (Some(at), _) => (at as isize + by).rem_euclid(steps.len() as isize) as usize,
            (None, Some(at)) => at,
            (None, None) => 0,
        };
        self.chosen = Some(steps[next]);
    }

    fn send(&mut self, text: &str, controls: &Controls) {
        let Some(entry) = self.entry.take() else {
            return;
        };
        controls.requests.push(match entry.purpose {
            Purpose::Message => Request::Say(text.to_owned()),
            Purpose::Task => Request::Task(text.into()),
        });
        self.scroll = 0;
    }
}
