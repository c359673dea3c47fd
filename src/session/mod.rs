//! The conductor: frames and words go in, one bounded piece of work at a time is done, events come
//! out.
//!
//! One frame through the session (`frame.rs`): the person's words and the frame are read; the dst
//! gate asks for updates until it says no; then the speak gate is asked once; a sentence is written
//! token by token. What was refused is forgotten as if it had never been written. Before a frame
//! for which memory may be too small, the context policy acts (`context.rs`). What the person does
//! to the session itself, between two inputs, is in `hands.rs`. Models of ProAssist's own layout
//! decide in `chat.rs`. No thread, no clock, no screen.

mod beginnings;
mod chat;
mod config;
mod context;
mod frame;
mod glimpses;
mod hands;
mod intake;
mod resume;
mod sightings;
mod summary;
mod tape;
mod tracker;

use std::collections::VecDeque;
use std::sync::Arc;

pub use config::SessionConfig;
pub use tape::{Fed, Tap};

use crate::dialogue::layout::{Layout, LayoutName, TextCodec};
use crate::dialogue::policy::{Gate, GateKind};
use crate::dialogue::task::{StepState, Task};
use crate::error::{Error, Result};
use crate::model::evidence::StepWords;
use crate::model::{Backbone, Perceiver};
use crate::stream::{Content, Event, Frame, Input, Picture, Sink, log};
use crate::units::{FrameIdx, MediaTime, StepId, TokenId};
use chat::Reply;
use frame::{Moment, SpeechDraft, UpdateDraft};
use intake::{Intake, Queued};
use summary::Summary;
use tape::{Seen, Tape};
use tracker::{Amiss, Tracker};

/// Words to tokens and back, shared between threads.
pub type SharedCodec = Arc<dyn TextCodec + Send + Sync>;

/// A perceiver that cannot be: for sessions that are fed features only.
#[derive(Clone, Copy, Debug)]
pub enum NoPerceiver {}

impl Perceiver for NoPerceiver {
    fn tokens_per_frame(&self) -> usize {
        match *self {}
    }
    fn width(&self) -> usize {
        match *self {}
    }
    fn encode(&self, _: &[u8], _: u32, _: u32) -> Result<Vec<f32>> {
        match *self {}
    }
    fn read(&self, _: &str) -> Result<Vec<f32>> {
        match *self {}
    }
}

/// What a piece of work was, for timing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// A chunk of a prompt was read.
    Prefill,
    /// A picture went through the encoder.
    Encode,
    /// A frame was read and decided on.
    Frame,
    /// Tokens of an update.
    Update,
    /// A token of a sentence.
    Speech,
    /// The context policy acted; reading the new prompt follows.
    Context,
    /// An input that is no frame was taken.
    Note,
}

/// What [`Session::advance`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// A piece of work; there may be more.
    Working(Work),
    /// Nothing: all that was fed has been worked off.
    Idle,
}

/// What is being written right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writing {
    /// `true` for a sentence, `false` for an update.
    pub speech: bool,
    /// The text so far.
    pub text: String,
}

/// Where the session is.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Positions held in memory.
    pub memory_tokens: usize,
    /// Positions at most.
    pub memory_capacity: usize,
    /// The context policy acts before a frame when more than this is held.
    pub memory_reset: usize,
    /// Frames decided on.
    pub frames_done: u64,
    /// Inputs waiting.
    pub queued: usize,
    /// Time of the last frame that was read.
    pub at: MediaTime,
    /// The steps and their states.
    pub steps: Vec<(StepId, StepState)>,
    /// What is being written.
    pub writing: Option<Writing>,
}

enum Stage {
    /// Nothing has been told or read yet.
    Opening,
    /// Between two inputs.
    Ready,
    /// A frame with its features; `made_room` once the context policy has acted for it.
    Look {
        moment: Moment,
        seen: Seen,
        made_room: bool,
    },
    /// An update is being written.
    Update(UpdateDraft),
    /// A sentence is being written.
    Speech(SpeechDraft),
    /// A turn of a chat is being written.
    Reply(Reply),
    /// What memory is about to forget is being summarized.
    Summary(Summary),
    /// The last event is out.
    Finished,
    /// An error stopped the session.
    Broken,
}

/// A session over one stream. Weights are shared; memory, state and gates are its own.
pub struct Session<P: Perceiver, B: Backbone> {
    perceiver: Option<Arc<P>>,
    codec: SharedCodec,
    config: SessionConfig,
    tape: Tape<B>,
    tracker: Tracker,
    speak_gate: Gate,
    dst_gate: Gate,
    /// How the update gate decides when there is a task.
    dst_kind: GateKind,
    /// The next frame is answered, whatever the speak gate says.
    answer_owed: bool,
    /// Positions that the updates and the sentence of one frame can take at most.
    reserve_tokens: usize,
    /// Never picked in a sentence.
    banned: Vec<TokenId>,
    intake: Intake,
    /// Closed user turns that wait for the next frame.
    said: Vec<TokenId>,
    /// The person's first turn and what is known of the task, in a chat whose goal the person
    /// tells.
    goal_told: Vec<TokenId>,
    /// The same, until a frame has followed.
    goal_waiting: Vec<TokenId>,
    /// The last K frames.
    recent: VecDeque<Seen>,
    /// The last frame, whatever K is.
    last_seen: Option<Seen>,
    stage: Stage,
    frames_done: u64,
    last_frame: FrameIdx,
    last_at: MediaTime,
    /// The session goes on with an earlier one's log.
    resumed: bool,
}

impl<P: Perceiver, B: Backbone> Session<P, B> {
    /// A session that has read nothing yet. Without a perceiver it takes features only, and cannot
    /// read the steps' words; without a task (or steps in it) the dst gate is off.
    ///
    /// # Errors
    /// A value of the configuration out of range; a perceiver with another number of tokens a
    /// frame, or none where the steps' words have to be read; a memory too small for prompt and one
    /// frame; the codec refused the task's words.
    pub fn new(
        perceiver: Option<Arc<P>>,
        backbone: Arc<B>,
        codec: SharedCodec,
        task: Option<Task>,
        mut config: SessionConfig,
    ) -> Result<Self> {
        config.check()?;
        let dst_kind = config.gates.dst_update.kind;
        if config.layout == LayoutName::Proassist
            || task.as_ref().is_none_or(|task| task.steps.is_empty())
        {
            config.gates.dst_update.kind = GateKind::Off;
        }
        let vision_tokens = config.tokens_per_frame;
        if let Some(given) = perceiver
            .as_ref()
            .map(|p| p.tokens_per_frame())
            .filter(|given| *given != vision_tokens)
        {
            return Err(Error::Model(format!(
                "the vision model gives {given} tokens a frame, the assistant reads {vision_tokens}"
            )));
        }
        let feature_values = perceiver.as_ref().map(|p| p.width() * vision_tokens);
        let layout = Layout::new(&*codec, vision_tokens).with_notes(config.speech_note);
        summary::check(task.as_ref(), &config)?;
        let reserve_tokens = context::reserve_tokens(&layout, task.as_ref(), &config)?;
        let mut tape = Tape::new(backbone, vision_tokens)?;
        if let Some(task) = task.as_ref().filter(|_| config.step_evidence) {
            tape.set_words(read_words(perceiver.as_deref(), &layout, task)?);
        }
        context::check_capacity(
            &layout,
            task.as_ref(),
            &config,
            reserve_tokens,
            tape.capacity(),
        )?;
        Ok(Self {
            banned: codec.banned_in_text(),
            intake: Intake::new(
                config.queue_inputs_max,
                config.user_tokens_max,
                feature_values,
            ),
            speak_gate: Gate::new("speak", config.gates.speak)?,
            dst_gate: Gate::new("dst_update", config.gates.dst_update)?,
            dst_kind,
            answer_owed: false,
            tracker: Tracker::new(task, &config),
            perceiver,
            tape,
            reserve_tokens,
            said: Vec::new(),
            goal_told: Vec::new(),
            goal_waiting: Vec::new(),
            recent: VecDeque::new(),
            last_seen: None,
            stage: Stage::Opening,
            frames_done: 0,
            last_frame: FrameIdx::default(),
            last_at: MediaTime::default(),
            resumed: false,
            codec,
            config,
        })
    }

    /// Has everything that is done to the backbone's memory told to `tap`.
    pub fn set_tap(&mut self, tap: Tap) {
        self.tape.set_tap(tap);
    }

    /// Takes an input to be worked off by [`Session::advance`], in order. What is refused leaves
    /// the session as it was.
    ///
    /// # Errors
    /// The queue is full (see [`Session::room`]); time or frame number goes backwards; features or
    /// a picture of another size, or not finite; a hand without a task or on a step that it lacks;
    /// too many words, or words with special tokens in them; the session is over.
    pub fn feed(&mut self, input: Input) -> Result<()> {
        if matches!(self.stage, Stage::Finished | Stage::Broken) {
            return Err(Error::Invalid(
                "the session is over; it takes no more input".into(),
            ));
        }
        if let Input::Hand { hand, .. } = &input {
            self.tracker.check_hand(*hand)?;
        }
        self.intake.push(
            input,
            &Layout::new(&*self.codec, self.config.tokens_per_frame),
        )
    }

    /// Inputs that [`Session::feed`] takes before some have been worked off.
    pub fn room(&self) -> usize {
        self.intake.room()
    }

    /// Does one bounded piece of work.
    ///
    /// # Errors
    /// The model or the sink failed, gave what is no probability, or memory is full under the
    /// policy `none`. The session is then over: only [`Session::finish`] is left.
    pub fn advance(&mut self, sink: &mut dyn Sink) -> Result<Flow> {
        let outcome = self.step(sink);
        if outcome.is_err() {
            self.stage = Stage::Broken;
        }
        outcome
    }

    /// Works off what waits, tells what is amiss at the end, and emits the last event. Closing the
    /// sink is left to its owner. After an error, what waits is left aside. A second call does
    /// nothing.
    ///
    /// # Errors
    /// As [`Session::advance`].
    pub fn finish(&mut self, sink: &mut dyn Sink) -> Result<()> {
        if matches!(self.stage, Stage::Finished) {
            return Ok(());
        }
        if !matches!(self.stage, Stage::Broken) {
            while self.advance(sink)? != Flow::Idle {}
        }
        self.stage = Stage::Finished;
        let at = self.intake.last_at().unwrap_or(self.last_at);
        for amiss in self.tracker.amiss_at_end() {
            sink.emit(&warning(self.last_frame, at, amiss))?;
        }
        sink.emit(&Event::End {
            frames: self.frames_done,
            steps: self.tracker.steps(false),
        })
    }

    /// Where the session is now.
    pub fn status(&self) -> Status {
        let text = |tokens: &[TokenId]| self.codec.decode(tokens).unwrap_or_default();
        Status {
            memory_tokens: self.tape.len(),
            memory_capacity: self.tape.capacity(),
            memory_reset: self.memory_reset(),
            frames_done: self.frames_done,
            queued: self.intake.len(),
            at: self.last_at,
            steps: self.tracker.state().iter().collect(),
            writing: match &self.stage {
                Stage::Update(draft) => Some(Writing {
                    speech: false,
                    text: text(draft.text_tokens()),
                }),
                Stage::Speech(draft) => Some(Writing {
                    speech: true,
                    text: text(draft.text_tokens()),
                }),
                Stage::Reply(reply) => {
                    let words = self
                        .chat()
                        .and_then(|chat| chat.words(reply.draft.tokens()));
                    Some(Writing {
                        speech: true,
                        text: words.unwrap_or_default(),
                    })
                }
                _ => None,
            },
        }
    }

    fn layout(&self) -> Layout<'_> {
        Layout::new(&*self.codec, self.config.tokens_per_frame).with_notes(self.config.speech_note)
    }

    fn step(&mut self, sink: &mut dyn Sink) -> Result<Flow> {
        if self.tape.read_waiting(self.config.prefill_tokens_max)? {
            return Ok(Flow::Working(Work::Prefill));
        }
        // Each arm puts the next stage in its place; one that fails leaves the session broken.
        match std::mem::replace(&mut self.stage, Stage::Broken) {
            Stage::Opening => self.open(sink),
            Stage::Ready => self.take_input(sink),
            Stage::Look {
                moment,
                seen,
                made_room,
            } => self.look(moment, seen, made_room, sink),
            Stage::Update(draft) => self.write_update(draft, sink),
            Stage::Speech(draft) => self.write_speech(draft, sink),
            Stage::Reply(reply) => self.write_reply(reply, sink),
            Stage::Summary(summary) => self.write_summary(summary, sink),
            Stage::Finished => {
                self.stage = Stage::Finished;
                Ok(Flow::Idle)
            }
            Stage::Broken => Err(Error::Invalid(
                "the session stopped at an earlier error".into(),
            )),
        }
    }

    fn open(&mut self, sink: &mut dyn Sink) -> Result<Flow> {
        if self.resumed {
            return self.open_again(sink);
        }
        sink.emit(&Event::Session {
            schema: log::SCHEMA,
            model: self.config.model_sha256.clone(),
            vision: self.config.vision_sha256.clone(),
            goal: self
                .tracker
                .task()
                .map(|task| task.goal.clone())
                .unwrap_or_default(),
            steps: self.tracker.steps(true),
            fps: self.config.fps,
            gates: self.config.gates,
            context: self.config.context,
        })?;
        let prompt = self.prompt_now()?;
        self.tape
            .restart(&prompt, Vec::new(), &self.tracker.states())?;
        self.tape.read_waiting(self.config.prefill_tokens_max)?;
        self.stage = Stage::Ready;
        Ok(Flow::Working(Work::Prefill))
    }

    fn take_input(&mut self, sink: &mut dyn Sink) -> Result<Flow> {
        let Some(input) = self.intake.pop() else {
            self.stage = Stage::Ready;
            return Ok(Flow::Idle);
        };
        match input {
            Queued::Frame(frame) => return self.perceive(frame, sink),
            Queued::User { at, text, turn } => {
                sink.emit(&Event::User { at, text })?;
                let behind = self.behind_words(&turn)?;
                self.said.extend(turn);
                self.said.extend(behind);
            }
            Queued::Hand { at, hand } => match self.tracker.hand(at, hand) {
                Ok(set) => {
                    for (step, state) in set {
                        sink.emit(&Event::Mark { at, step, state })?;
                    }
                }
                Err(why) => {
                    let text = format!("{hand:?}").to_lowercase();
                    sink.emit(&Event::Rejected {
                        frame: self.last_frame,
                        at,
                        text,
                        why,
                    })?;
                }
            },
            Queued::Dropped { at, count } => sink.emit(&Event::Dropped { at, count })?,
            Queued::Source { at, state } => sink.emit(&Event::Source { at, state })?,
        }
        self.stage = Stage::Ready;
        Ok(Flow::Working(Work::Note))
    }

    /// Gets a frame's features: given, or from the encoder.
    fn perceive(&mut self, frame: Frame, sink: &mut dyn Sink) -> Result<Flow> {
        let moment = Moment::new(frame.idx, frame.at);
        let ordinal = usize::try_from(self.frames_done)
            .map_err(|_| Error::Invalid("too many frames".into()))?;
        let picture = match frame.content {
            Content::Features(features) => {
                return self.look(moment, self.tape.compare(ordinal, features)?, false, sink);
            }
            Content::Picture(picture) => picture,
        };
        let features = self.encode(frame.idx, &picture)?;
        self.stage = Stage::Look {
            moment,
            seen: self.tape.compare(ordinal, features)?,
            made_room: false,
        };
        Ok(Flow::Working(Work::Encode))
    }

    /// What the vision model says of a picture: `[V, Dv]`.
    fn encode(&self, idx: FrameIdx, picture: &Picture) -> Result<Arc<[f32]>> {
        let Some(perceiver) = &self.perceiver else {
            return Err(Error::Invalid(
                "a picture, but the session has no vision model".into(),
            ));
        };
        let features = perceiver.encode(&picture.rgb, picture.width, picture.height)?;
        let expected = perceiver.width() * self.config.tokens_per_frame;
        if features.len() != expected || features.iter().any(|v| !v.is_finite()) {
            let (n, found) = (idx.0, features.len());
            return Err(Error::Model(format!(
                "frame {n}: the vision model gave {found} values, expected {expected} finite ones"
            )));
        }
        Ok(features.into())
    }
}

/// The words that a task's frames are compared with.
fn read_words<P: Perceiver>(
    perceiver: Option<&P>,
    layout: &Layout<'_>,
    task: &Task,
) -> Result<Arc<StepWords>> {
    let Some(perceiver) = perceiver else {
        return Err(Error::Invalid("the assistant compares frames with the steps' words, but the session has no vision model".into()));
    };
    let steps: Result<Vec<_>> = task
        .iter()
        .map(|(id, step)| {
            Ok((
                step.name.as_str(),
                layout.id_tokens(id)?,
                step.after.as_slice(),
            ))
        })
        .collect();
    Ok(Arc::new(StepWords::read(perceiver, steps?)?))
}

fn warning(frame: FrameIdx, at: MediaTime, amiss: Amiss) -> Event {
    let Amiss {
        kind,
        step,
        missing,
    } = amiss;
    Event::Warning {
        frame,
        at,
        kind,
        step,
        missing,
    }
}
