//! The door of a session: checks what comes in and lets a bounded number of inputs wait, in order.

use std::collections::VecDeque;

use crate::dialogue::layout::Layout;
use crate::error::{Error, Result};
use crate::stream::{Content, Frame, Hand, Input, Picture, SourceState};
use crate::units::{FrameIdx, MediaTime, TokenId};

/// Bytes of a pixel of 8-bit RGB.
const PIXEL_BYTES: u64 = 3;

/// An input that passed the door.
#[derive(Clone, Debug)]
pub(super) enum Queued {
    Frame(Frame),
    /// The words as said, and as a closed user turn.
    User {
        at: MediaTime,
        text: String,
        turn: Vec<TokenId>,
    },
    Hand {
        at: MediaTime,
        hand: Hand,
    },
    Dropped {
        at: MediaTime,
        count: u64,
    },
    Source {
        at: MediaTime,
        state: SourceState,
    },
}

/// The queue and what is needed to check the next input against the ones before.
#[derive(Debug)]
pub(super) struct Intake {
    queue: VecDeque<Queued>,
    inputs_max: usize,
    user_tokens_max: usize,
    last_at: Option<MediaTime>,
    last_frame: Option<FrameIdx>,
    /// Values of a frame's features, V x Dv; learnt from the first where no perceiver says it.
    feature_values: Option<usize>,
    sees_pictures: bool,
    /// Tokens of user turns that no frame has followed yet.
    user_tokens: usize,
}

impl Intake {
    pub(super) fn new(
        inputs_max: usize,
        user_tokens_max: usize,
        feature_values: Option<usize>,
    ) -> Self {
        Self {
            queue: VecDeque::new(),
            inputs_max,
            user_tokens_max,
            last_at: None,
            last_frame: None,
            feature_values,
            sees_pictures: feature_values.is_some(),
            user_tokens: 0,
        }
    }

    /// Inputs waiting.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Inputs that may still come before some have been worked off.
    pub(super) fn room(&self) -> usize {
        self.inputs_max - self.queue.len()
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        self.queue.pop_front()
    }

    /// Times and frame numbers may go on from here.
    pub(super) fn restart_at(&mut self, at: MediaTime) {
        (self.last_at, self.last_frame) = (Some(at), None);
    }

    /// Time of the last input.
    pub(super) fn last_at(&self) -> Option<MediaTime> {
        self.last_at
    }

    /// Goes on behind what an earlier session took: what comes may not be older.
    pub(super) fn go_on_from(&mut self, last_at: MediaTime, last_frame: Option<FrameIdx>) {
        self.last_at = Some(last_at);
        self.last_frame = last_frame;
    }

    /// Words that were said before a break, and that no frame has followed yet, as closed user
    /// turns.
    ///
    /// # Errors
    /// They are more than may wait for a frame.
    pub(super) fn recall_words(
        &mut self,
        at: MediaTime,
        text: &str,
        layout: &Layout<'_>,
    ) -> Result<Vec<TokenId>> {
        let Queued::User { turn, .. } = self.check_words(at, text, layout)? else {
            return Ok(Vec::new());
        };
        self.user_tokens += turn.len();
        Ok(turn)
    }

    /// Takes an input, or refuses it and stays as it was.
    pub(super) fn push(&mut self, input: Input, layout: &Layout<'_>) -> Result<()> {
        if self.room() == 0 {
            return Err(Error::Invalid(format!(
                "{} inputs wait already; advance the session first",
                self.inputs_max
            )));
        }
        let at = time_of(&input);
        if !at.0.is_finite() || at.0 < 0.0 {
            return Err(Error::Invalid(format!(
                "input at {} s: expected a finite time from 0",
                at.0
            )));
        }
        if let Some(last) = self.last_at.filter(|last| at < *last) {
            return Err(Error::Invalid(format!(
                "input at {} s after one at {} s: times must not decrease",
                at.0, last.0
            )));
        }
        let queued = self.check(input, layout)?;
        match &queued {
            Queued::Frame(frame) => {
                self.last_frame = Some(frame.idx);
                self.user_tokens = 0;
                if let Content::Features(values) = &frame.content {
                    self.feature_values = Some(values.len());
                }
            }
            Queued::User { turn, .. } => self.user_tokens += turn.len(),
            _ => {}
        }
        self.last_at = Some(at);
        self.queue.push_back(queued);
        Ok(())
    }

    fn check(&self, input: Input, layout: &Layout<'_>) -> Result<Queued> {
        Ok(match input {
            Input::Frame(frame) => {
                if let Some(last) = self.last_frame.filter(|last| frame.idx <= *last) {
                    return Err(Error::Invalid(format!(
                        "frame {} after frame {}: numbers must increase",
                        frame.idx.0, last.0
                    )));
                }
                match &frame.content {
                    Content::Picture(picture) => self.check_picture(frame.idx, picture)?,
                    Content::Features(values) => {
                        self.check_features(frame.idx, values, layout.tokens_per_frame())?
                    }
                }
                Queued::Frame(frame)
            }
            Input::User { at, text } => self.check_words(at, &text, layout)?,
            Input::Hand { at, hand } => Queued::Hand { at, hand },
            Input::Dropped { at, count } => Queued::Dropped { at, count },
            Input::Source { at, state } => Queued::Source { at, state },
        })
    }

    pub(super) fn check_picture(&self, idx: FrameIdx, picture: &Picture) -> Result<()> {
        if !self.sees_pictures {
            return Err(Error::Invalid(format!(
                "frame {} is a picture, but the session has no vision model; name one with --vision, or give features",
                idx.0
            )));
        }
        let Picture { width, height, rgb } = picture;
        let pixels = u64::from(*width) * u64::from(*height);
        if pixels == 0 || pixels.checked_mul(PIXEL_BYTES) != u64::try_from(rgb.len()).ok() {
            return Err(Error::Invalid(format!(
                "frame {}: {} bytes for a picture of {width}x{height}, expected width x height x {PIXEL_BYTES}",
                idx.0,
                rgb.len()
            )));
        }
        Ok(())
    }

    pub(super) fn check_features(
        &self,
        idx: FrameIdx,
        values: &[f32],
        tokens_per_frame: usize,
    ) -> Result<()> {
        let fits = match self.feature_values {
            Some(expected) => values.len() == expected,
            None => !values.is_empty() && values.len().is_multiple_of(tokens_per_frame),
        };
        if !fits {
            let expected = match self.feature_values {
                Some(expected) => expected.to_string(),
                None => format!("a multiple of {tokens_per_frame}"),
            };
            return Err(Error::Invalid(format!(
                "frame {}: features of {} values, expected {expected}",
                idx.0,
                values.len()
            )));
        }
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::Invalid(format!(
                "frame {}: value {i} of its features is {}",
                idx.0, values[i]
            )));
        }
        Ok(())
    }

    fn check_words(&self, at: MediaTime, text: &str, layout: &Layout<'_>) -> Result<Queued> {
        let text = text.trim().to_owned();
        if text.is_empty() {
            return Err(Error::Invalid("the person's words are empty".into()));
        }
        let turn = layout.user_turn(&text)?;
        let tokens = self.user_tokens + turn.len();
        if tokens > self.user_tokens_max {
            return Err(Error::Invalid(format!(
                "the person's words before the next frame take {tokens} tokens, at most {} (user_tokens_max)",
                self.user_tokens_max
            )));
        }
        Ok(Queued::User { at, text, turn })
    }
}

fn time_of(input: &Input) -> MediaTime {
    match input {
        Input::Frame(frame) => frame.at,
        Input::User { at, .. }
        | Input::Hand { at, .. }
        | Input::Dropped { at, .. }
        | Input::Source { at, .. } => *at,
    }
}
