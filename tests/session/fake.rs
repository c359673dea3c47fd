//! A backbone that follows a script and notes what it was asked. Its frames carry their number as
//! feature.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Tensor};
use proact::dialogue::layout::{Bytes, TextCodec};
use proact::dialogue::task::StepState;
use proact::error::{Error, Result};
use proact::model::{Backbone, HeadLogits, Hidden, Mark, Memory, Perceiver, Piece};
use proact::units::{Logit, TokenId};

/// Probability that the fake gives for "act" and for "do not".
pub const YES: f32 = 0.9;
pub const NO: f32 = 0.1;
/// Score of the token that the script wants; all others have 0.
const WANTED: f32 = 12.0;
/// Values of a feature row.
pub const WIDTH: usize = 3;

/// What the model does at a frame.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// Readings of the dst gate in order; past the end: yes while updates are left.
    pub dst: Vec<f32>,
    /// Reading of the speak gate; `None`: yes if there is a sentence.
    pub speak: Option<f32>,
    pub updates: Vec<String>,
    pub sentence: Vec<TokenId>,
}

impl Scene {
    pub fn new(updates: &[&str], sentence: &str) -> Self {
        Self {
            updates: updates.iter().map(|u| (*u).to_owned()).collect(),
            sentence: Bytes.encode(sentence, false).unwrap(),
            ..Self::default()
        }
    }

    fn dst(&self, done: usize) -> f32 {
        let next = if done < self.updates.len() { YES } else { NO };
        self.dst.get(done).copied().unwrap_or(next)
    }

    fn speak(&self) -> f32 {
        self.speak
            .unwrap_or(if self.sentence.is_empty() { NO } else { YES })
    }
}

/// One held position.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    Token(TokenId),
    Image(usize),
}

pub struct FakeMemory {
    held: Vec<Held>,
    capacity: usize,
}

impl Memory for FakeMemory {
    fn len(&self) -> usize {
        self.held.len()
    }
    fn capacity(&self) -> usize {
        self.capacity
    }
    fn rewind(&mut self, mark: Mark) -> Result<()> {
        assert!(
            mark.0 <= self.held.len(),
            "rewind to {} of {}",
            mark.0,
            self.held.len()
        );
        self.held.truncate(mark.0);
        Ok(())
    }
    fn evict(&mut self, range: Range<usize>) -> Result<()> {
        self.held.drain(range);
        Ok(())
    }
}

/// The backbone.
pub struct Fake {
    pub capacity: usize,
    pub script: Vec<Scene>,
    pub tokens_per_frame: usize,
    pub lm_calls: AtomicUsize,
    pub extend_calls: AtomicUsize,
    /// Positions at which the heads were read.
    pub heads_read: Mutex<Vec<usize>>,
    /// Evidence that came with each frame: its number, how many cosines, the states.
    pub evidence: Mutex<Vec<(usize, usize, Vec<StepState>)>>,
    /// The same of each marker: its token, how many cosines, the states.
    pub told: Mutex<Vec<(u32, usize, Vec<StepState>)>>,
}

impl Fake {
    pub fn new(capacity: usize, script: Vec<Scene>) -> Self {
        Self {
            capacity,
            script,
            tokens_per_frame: 2,
            lm_calls: AtomicUsize::new(0),
            extend_calls: AtomicUsize::new(0),
            heads_read: Mutex::new(Vec::new()),
            evidence: Mutex::new(Vec::new()),
            told: Mutex::new(Vec::new()),
        }
    }

    fn scene(&self, place: &Place) -> Scene {
        self.script.get(place.frame).cloned().unwrap_or_default()
    }
}

/// What stands behind the last image.
struct Place {
    position: usize,
    frame: usize,
    updates: usize,
    /// Token that opened the turn being written, 0 for none.
    open: u32,
    written: usize,
}

impl Place {
    fn of(memory: &FakeMemory) -> Self {
        let special = Bytes.special();
        let line_end = Bytes.encode("\n", false).unwrap()[0];
        let mut place = Self {
            position: memory.held.len() - 1,
            frame: usize::MAX,
            updates: 0,
            open: 0,
            written: 0,
        };
        for held in &memory.held {
            match *held {
                Held::Image(frame) => {
                    place = Self {
                        frame,
                        updates: 0,
                        open: 0,
                        written: 0,
                        ..place
                    }
                }
                Held::Token(token) if token == special.eot => {
                    place.updates += usize::from(place.open == special.dst.0);
                    place.open = 0;
                }
                Held::Token(token) if token == special.dst || token == special.asst => {
                    (place.open, place.written) = (token.0, 0);
                }
                // A note ends with its line; no scripted sentence has two.
                Held::Token(token) if token == line_end => place.written = 0,
                Held::Token(_) => place.written += 1,
            }
        }
        place
    }

    fn to_hidden(&self) -> Hidden {
        let numbers = [
            self.position,
            self.frame.min(1 << 20),
            self.updates,
            self.open as usize,
            self.written,
        ];
        let numbers = numbers.map(|n| n as f32);
        Hidden(Tensor::new(&[numbers], &Device::Cpu).unwrap())
    }

    fn from_hidden(hidden: &Hidden) -> Self {
        let numbers = hidden.to_vec().unwrap();
        let n = |i: usize| numbers[i] as usize;
        Self {
            position: n(0),
            frame: n(1),
            updates: n(2),
            open: n(3) as u32,
            written: n(4),
        }
    }
}

impl Backbone for Fake {
    type Memory = FakeMemory;

    fn new_memory(&self) -> Result<FakeMemory> {
        Ok(FakeMemory {
            held: Vec::new(),
            capacity: self.capacity,
        })
    }

    fn extend(&self, pieces: &[Piece], memory: &mut FakeMemory) -> Result<Hidden> {
        self.extend_calls.fetch_add(1, Ordering::Relaxed);
        assert!(!pieces.is_empty());
        let mut new = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Token(token) => new.push(Held::Token(*token)),
                Piece::Marker(token, evidence) => {
                    let told = (token.0, evidence.cosines.len(), evidence.states.to_vec());
                    self.told.lock().unwrap().push(told);
                    new.push(Held::Token(*token));
                }
                Piece::Frame {
                    features: values,
                    evidence,
                    ..
                } => {
                    let told = (
                        values[0] as usize,
                        evidence.cosines.len(),
                        evidence.states.to_vec(),
                    );
                    self.evidence.lock().unwrap().push(told);
                    assert_eq!(values.len(), self.tokens_per_frame * WIDTH);
                    new.extend(vec![Held::Image(values[0] as usize); self.tokens_per_frame]);
                }
            }
        }
        let tokens = memory.held.len();
        if tokens + new.len() > self.capacity {
            return Err(Error::MemoryFull {
                tokens,
                needed: new.len(),
                capacity: self.capacity,
            });
        }
        memory.held.extend(new);
        Ok(Place::of(memory).to_hidden())
    }

    fn heads(&self, hidden: &Hidden) -> Result<HeadLogits> {
        let place = Place::from_hidden(hidden);
        self.heads_read.lock().unwrap().push(place.position);
        let scene = self.scene(&place);
        let logit = |p: f32| Logit((p / (1.0 - p)).ln());
        Ok(HeadLogits {
            speak: logit(scene.speak()),
            dst_update: logit(scene.dst(place.updates)),
        })
    }

    fn lm_logits(&self, hidden: &Hidden) -> Result<Vec<f32>> {
        self.lm_calls.fetch_add(1, Ordering::Relaxed);
        let special = Bytes.special();
        let place = Place::from_hidden(hidden);
        let scene = self.scene(&place);
        let mut logits = vec![0.0f32; Bytes::VOCAB];
        if place.open == 0 {
            // Softmax gives the gates' probabilities exactly; they must not exceed 1 together.
            let (dst, speak) = (scene.dst(place.updates), scene.speak());
            let rest = (1.0 - dst - speak) / (Bytes::VOCAB - 2) as f32;
            logits.fill(rest.ln());
            logits[special.dst.0 as usize] = dst.ln();
            logits[special.asst.0 as usize] = speak.ln();
            return Ok(logits);
        }
        let text = if place.open == special.dst.0 {
            let update = scene.updates.get(place.updates).map_or("", String::as_str);
            Bytes.encode(update, false)?
        } else {
            scene.sentence
        };
        let next = text.get(place.written).copied().unwrap_or(special.eot);
        if next == NAN_TOKEN {
            logits[7] = f32::NAN;
        } else {
            logits[next.0 as usize] = WANTED;
        }
        Ok(logits)
    }
}

/// In a script: the scores contain a NaN here.
pub const NAN_TOKEN: TokenId = TokenId(u32::MAX);

/// Sees the number of a frame in the first byte of its picture; words lie on the axis that their
/// length gives.
pub struct FakeEyes;

impl Perceiver for FakeEyes {
    fn tokens_per_frame(&self) -> usize {
        2
    }
    fn width(&self) -> usize {
        WIDTH
    }
    fn encode(&self, rgb: &[u8], _: u32, _: u32) -> Result<Vec<f32>> {
        let value = if rgb[0] == u8::MAX {
            f32::NAN
        } else {
            f32::from(rgb[0])
        };
        Ok(vec![value; 2 * WIDTH])
    }
    fn read(&self, text: &str) -> Result<Vec<f32>> {
        let mut words = vec![0.0; WIDTH];
        words[text.len() % WIDTH] = 1.0;
        Ok(words)
    }
}
