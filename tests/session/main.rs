//! The session with fakes for the model: the same tokens as in training, the same events every
//! time.

mod evidence;
mod fake;
mod golden;
mod hands;
mod hostile;
mod memory;
mod proassist;
mod real;
mod resume;
mod rules;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use fake::{Fake, FakeEyes, Scene, WIDTH};
use proact::dialogue::layout::{Bytes, Slot};
use proact::dialogue::task::Task;
use proact::error::Result;
use proact::session::{Fed, Flow, Session, SessionConfig};
use proact::stream::{Content, Event, Frame, Hand, Input};
use proact::units::{FrameIdx, MediaTime};

/// Positions in a memory that is never full.
const ROOMY: usize = 4096;
/// Seconds between two frames.
const FRAME_S: f64 = 0.5;

const TEA: &str = "goal = \"Make tea\"\n[[step]]\nname = \"Boil water\"\n[[step]]\nname = \"Pour it\"\nafter = [\"S1\"]\n\
                   [[step]]\nname = \"Drink\"\nafter = [\"S2\"]\n";

fn tea() -> Task {
    Task::parse(TEA).unwrap()
}

fn config() -> SessionConfig {
    // The fake alone chooses.
    SessionConfig {
        tokens_per_frame: 2,
        out_of_order_weight: 1.0,
        ..SessionConfig::default()
    }
}

fn frame(i: u64) -> Input {
    frame_at(i, i as f64 * FRAME_S)
}

fn frame_at(i: u64, at: f64) -> Input {
    let features: Arc<[f32]> = vec![i as f32; 2 * WIDTH].into();
    Input::Frame(Frame {
        idx: FrameIdx(i),
        at: MediaTime(at),
        content: Content::Features(features),
    })
}

fn user(at: f64, text: &str) -> Input {
    Input::User {
        at: MediaTime(at),
        text: text.into(),
    }
}

fn hand(at: f64, hand: Hand) -> Input {
    Input::Hand {
        at: MediaTime(at),
        hand,
    }
}

/// How often the model was asked; here, as the other test that has this model does not count.
impl Fake {
    fn lm_calls(&self) -> usize {
        self.lm_calls.load(Ordering::Relaxed)
    }

    fn extend_calls(&self) -> usize {
        self.extend_calls.load(Ordering::Relaxed)
    }
}

/// A session with its fake model, what was fed to it, and the events so far.
struct Bench {
    model: Arc<Fake>,
    session: Session<FakeEyes, Fake>,
    /// What memory holds.
    stream: Arc<Mutex<Vec<Slot>>>,
    /// The same, and also what was forgotten, as text.
    tape: Arc<Mutex<String>>,
    events: Vec<Event>,
}

impl Bench {
    fn new(model: Fake, task: Option<Task>, config: SessionConfig) -> Self {
        Self::open(model, task, config).unwrap()
    }

    fn open(model: Fake, task: Option<Task>, config: SessionConfig) -> Result<Self> {
        let model = Arc::new(model);
        let mut session = Session::new(
            Some(Arc::new(FakeEyes)),
            model.clone(),
            Arc::new(Bytes),
            task,
            config,
        )?;
        let (stream, tape) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(Mutex::new(String::new())),
        );
        let (held, told) = (stream.clone(), tape.clone());
        session.set_tap(Box::new(move |fed| {
            let (mut held, mut told) = (held.lock().unwrap(), told.lock().unwrap());
            match fed {
                Fed::Read(slots) => {
                    held.extend_from_slice(slots);
                    told.push_str(&Bytes.render(slots));
                }
                Fed::Rewind(to) => {
                    held.truncate(to);
                    told.push_str(&format!("\n<rewind to {to}>"));
                }
                Fed::Evict(range) => {
                    told.push_str(&format!("\n<evict {range:?}>"));
                    held.drain(range);
                }
            }
        }));
        Ok(Self {
            model,
            session,
            stream,
            tape,
            events: Vec::new(),
        })
    }

    fn scripted(script: Vec<Scene>) -> Self {
        Self::new(Fake::new(ROOMY, script), Some(tea()), config())
    }

    /// Feeds and works off inputs.
    fn feed(&mut self, inputs: impl IntoIterator<Item = Input>) {
        for input in inputs {
            self.session.feed(input).unwrap();
            self.work().unwrap();
        }
    }

    fn frames(&mut self, range: std::ops::Range<u64>) {
        self.feed(range.map(frame));
    }

    fn work(&mut self) -> Result<()> {
        while self.session.advance(&mut self.events)? != Flow::Idle {}
        Ok(())
    }

    fn finish(&mut self) {
        self.session.finish(&mut self.events).unwrap();
    }

    /// What memory holds behind the prompt, as text.
    fn stream(&self) -> String {
        let text = Bytes.render(&self.stream.lock().unwrap());
        text.split_once("<eot>").unwrap().1.to_owned()
    }

    fn tape(&self) -> String {
        self.tape.lock().unwrap().clone()
    }

    /// Events since the last call, as log lines without those of silent frames.
    fn told(&mut self) -> Vec<String> {
        let keep = |e: &Event| !matches!(e, Event::Session { .. } | Event::Frame { .. });
        std::mem::take(&mut self.events)
            .iter()
            .filter(|e| keep(e))
            .map(|e| serde_json::to_string(e).unwrap())
            .collect()
    }
}
