//! A video file as a source: H.264 in MP4, decoded in this process and sampled by its time stamps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::decode::Decoder;
use super::demux::{Track, Unplayable};
use super::sps::Sps;
use crate::error::{Error, Result};
use crate::sources::picture::{ColourMatrix, Planes, to_rgb, turned};
use crate::sources::sampler::Sampler;
use crate::stream::{Content, Frame, Input, Picture, Poll, Source};
use crate::units::{FrameIdx, MediaTime};

/// Most pictures that wait for an earlier one. H.264 itself reorders no more than 16 pictures.
const WAITING_MAX: usize = 16;

/// One picture that the sampler wants, in presentation order.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    sample: usize,
    at_s: f64,
}

/// An MP4 file with an H.264 track.
///
/// The headers alone say which samples are wanted. A sample on which no wanted one depends is not
/// decoded. Where the data are corrupt, decoding goes on at the next IDR picture, and the frames
/// that were lost in between are reported as [`Input::Dropped`].
pub struct VideoSource {
    track: Track,
    wanted: Vec<Wanted>,
    /// The wanted samples in decoding order.
    to_decode: Vec<usize>,
    /// The samples at which a decoder may start, in decoding order.
    sync: Vec<usize>,
    /// Which of `wanted` is handed out next.
    next_out: usize,
    /// Which sample is decoded next.
    next_sample: usize,
    /// How many frames were handed out.
    frames: u64,
    ready: BTreeMap<usize, Arc<Picture>>,
    lost: BTreeSet<usize>,
    decoder: Option<Decoder>,
    /// Samples are skipped until one has an IDR picture.
    needs_idr: bool,
    sps: Option<Sps>,
    sample_bytes: Vec<u8>,
    stream: Vec<u8>,
}

impl std::fmt::Debug for VideoSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "VideoSource({} samples, {} wanted)",
            self.track.info.samples.len(),
            self.wanted.len()
        )
    }
}

impl VideoSource {
    /// Opens an MP4 file with H.264 without asking ffmpeg for what is not supported here.
    ///
    /// # Errors
    /// The rate is out of range, the file cannot be read or is broken, or it holds a kind of video
    /// that is not decoded in process.
    pub fn in_process(path: &Path, fps: f64) -> Result<Self> {
        Self::open(path, fps)?.map_err(|fault| match fault {
            Unplayable::Broken(why) => Error::format(path, format!("broken MP4: {why}")),
            Unplayable::Unsupported(what) => {
                Error::format(path, format!("{what} is not decoded in process"))
            }
        })
    }

    /// Opens a file; the inner error says what is wrong with its content.
    pub(in crate::sources) fn open(path: &Path, fps: f64) -> Result<Result<Self, Unplayable>> {
        let mut sampler = Sampler::new(fps)?;
        let track = match Track::open(path)? {
            Ok(track) => track,
            Err(fault) => return Ok(Err(fault)),
        };
        let mut shown: Vec<Wanted> = track
            .info
            .shown_at_s
            .iter()
            .enumerate()
            .filter_map(|(sample, at)| {
                Some(Wanted {
                    sample,
                    at_s: (*at)?,
                })
            })
            .collect();
        shown.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        let wanted: Vec<Wanted> = shown.into_iter().filter(|w| sampler.take(w.at_s)).collect();
        let mut to_decode: Vec<usize> = wanted.iter().map(|w| w.sample).collect();
        to_decode.sort_unstable();
        let sync = track
            .info
            .samples
            .iter()
            .enumerate()
            .filter(|(_, s)| s.sync)
            .map(|(i, _)| i)
            .collect();
        let sps = track.info.avc.sps;
        let mut source = Self {
            track,
            wanted,
            to_decode,
            sync,
            next_out: 0,
            next_sample: 0,
            frames: 0,
            ready: BTreeMap::new(),
            lost: BTreeSet::new(),
            decoder: None,
            needs_idr: true,
            sps,
            sample_bytes: Vec::new(),
            stream: Vec::new(),
        };
        if source.starts_without_idr()? {
            return Ok(Err(Unplayable::Unsupported(
                "H.264 that does not start with an IDR picture".into(),
            )));
        }
        Ok(Ok(source))
    }

    /// Whether the first sample is sound and decoding still cannot start at it.
    fn starts_without_idr(&mut self) -> Result<bool> {
        let sound = self.track.read(0, &mut self.sample_bytes)?;
        let kind = self
            .track
            .info
            .avc
            .read_sample(&self.sample_bytes, &mut self.stream);
        Ok(sound && kind.is_ok_and(|kind| kind.picture && !kind.idr))
    }

    /// Columns and rows of the upright picture, as far as the headers say.
    pub fn size(&self) -> Option<(u32, u32)> {
        use crate::sources::picture::Turn::{Half, Left, None, Right};
        let sps = self.sps?;
        Some(match self.track.info.turn {
            None | Half => (sps.width, sps.height),
            Left | Right => (sps.height, sps.width),
        })
    }

    /// How many pictures lie whole in the file, whether or not they are sampled.
    pub fn whole_pictures(&self) -> usize {
        let samples = &self.track.info.samples;
        samples.iter().filter(|s| self.track.holds(s)).count()
    }

    /// How many frames will come if none is lost.
    pub fn expected_frames(&self) -> usize {
        self.wanted.len()
    }

    /// Gives up the wanted samples from `self.next_sample` up to, but not including, `end`.
    fn lose_until(&mut self, end: usize) {
        let from = self.to_decode.partition_point(|s| *s < self.next_sample);
        let to = self.to_decode.partition_point(|s| *s < end);
        self.lost.extend(&self.to_decode[from..to.max(from)]);
        self.next_sample = self.next_sample.max(end);
    }

    /// Moves `next_sample` to the last sample at which decoding can start and still reach the next
    /// wanted one.
    fn skip_ahead(&mut self) -> Result<()> {
        let Some(target) = self
            .to_decode
            .get(self.to_decode.partition_point(|s| *s < self.next_sample))
        else {
            self.next_sample = self.track.info.samples.len();
            return Ok(());
        };
        let target = *target;
        let samples = &self.track.info.samples;
        let candidates = &self.sync[..self.sync.partition_point(|s| *s <= target)];
        // A picture that is shown before the sync picture in front of it may depend on samples
        // before that sync picture.
        let start = candidates
            .iter()
            .rev()
            .take(2)
            .find(|s| samples[**s].composition <= samples[target].composition);
        let Some(start) = start.copied().filter(|s| *s > self.next_sample) else {
            return Ok(());
        };
        if self.track.read(start, &mut self.sample_bytes)?
            && self
                .track
                .info
                .avc
                .read_sample(&self.sample_bytes, &mut self.stream)
                .is_ok_and(|kind| kind.idr)
        {
            self.next_sample = start;
        }
        Ok(())
    }

    /// Decodes one sample, or passes it by.
    fn step(&mut self) -> Result<()> {
        self.skip_ahead()?;
        let sample = self.next_sample;
        if sample >= self.track.info.samples.len() {
            self.finish();
            return Ok(());
        }
        let kind = match self.track.read(sample, &mut self.sample_bytes)? {
            true => self
                .track
                .info
                .avc
                .read_sample(&self.sample_bytes, &mut self.stream),
            false => Err(Unplayable::Broken("it lies outside the file".into())),
        };
        let Ok(kind) = kind else {
            self.give_up();
            return Ok(());
        };
        let is_wanted = self.to_decode.binary_search(&sample).is_ok();
        if self.needs_idr && !kind.idr || !kind.picture {
            self.lose_until(sample + 1);
            return Ok(());
        }
        if !is_wanted && !kind.reference {
            self.next_sample = sample + 1;
            return Ok(());
        }
        self.sps = kind.sps.or(self.sps);
        if self.needs_idr {
            let mut stream = self.track.info.avc.parameter_sets.clone();
            stream.append(&mut self.stream);
            self.stream = stream;
        }
        self.decode(sample)
    }

    fn decode(&mut self, sample: usize) -> Result<()> {
        let mut decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None => Decoder::new()
                .map_err(|why| Error::Source(format!("the H.264 decoder does not start: {why}")))?,
        };
        let stream = std::mem::take(&mut self.stream);
        let result = decoder.decode(&stream, sample, &mut |sample, planes| {
            self.keep(sample, planes)
        });
        self.stream = stream;
        self.decoder = Some(decoder);
        match result {
            Ok(()) => {
                self.needs_idr = false;
                self.next_sample = sample + 1;
            }
            Err(_) => self.give_up(),
        }
        Ok(())
    }

    /// Keeps a picture if it is wanted and was not given up before.
    fn keep(&mut self, sample: usize, planes: &Planes<'_>) {
        let Some(next) = self.wanted.get(self.next_out) else {
            return;
        };
        let shown = self.track.info.shown_at_s.get(sample).copied().flatten();
        let too_late = shown.is_none_or(|at_s| at_s < next.at_s) || self.lost.contains(&sample);
        if too_late || self.to_decode.binary_search(&sample).is_err() {
            return;
        }
        let (matrix, full) = self.colour();
        if let Some(picture) = to_rgb(planes, matrix, full) {
            self.ready
                .insert(sample, Arc::new(turned(picture, self.track.info.turn)));
        }
    }

    /// What the stream says about colour; else what the container says; else the usual default.
    fn colour(&self) -> (ColourMatrix, bool) {
        let container = self.track.info.colour;
        let matrix = self
            .sps
            .and_then(|s| s.matrix)
            .or(container.map(|c| c.0))
            .unwrap_or_default();
        let full = self
            .sps
            .and_then(|s| s.full_range)
            .or(container.map(|c| c.1))
            .unwrap_or_default();
        (matrix, full)
    }

    /// Ends this decoder, because the current sample is corrupt. The next one starts at an IDR
    /// picture.
    fn give_up(&mut self) {
        self.retire_decoder();
        self.needs_idr = true;
        self.lose_until(self.next_sample + 1);
    }

    /// Ends after the last sample: what is wanted and has not come is lost.
    fn finish(&mut self) {
        self.retire_decoder();
        let missing = self.wanted[self.next_out..]
            .iter()
            .map(|w| w.sample)
            .filter(|s| !self.ready.contains_key(s));
        self.lost.extend(missing);
    }

    /// Takes the pictures that the decoder holds back, and ends it. What it did not give is lost.
    fn retire_decoder(&mut self) {
        if let Some(mut decoder) = self.decoder.take() {
            decoder.drain(&mut |sample, planes| self.keep(sample, planes));
        }
        let behind = self.wanted[self.next_out..].iter().map(|w| w.sample);
        let missing = behind.filter(|s| *s < self.next_sample && !self.ready.contains_key(s));
        self.lost.extend(missing);
    }

    /// One `Dropped` for all lost frames that would come next.
    fn dropped(&mut self) -> Option<Input> {
        let first = self.wanted.get(self.next_out)?;
        let mut count = 0u64;
        while self
            .wanted
            .get(self.next_out)
            .is_some_and(|w| self.lost.remove(&w.sample))
        {
            self.next_out += 1;
            count += 1;
        }
        (count > 0).then_some(Input::Dropped {
            at: MediaTime(first.at_s),
            count,
        })
    }
}

impl Source for VideoSource {
    fn next(&mut self) -> Result<Poll> {
        loop {
            if let Some(dropped) = self.dropped() {
                return Ok(Poll::Ready(dropped));
            }
            let Some(wanted) = self.wanted.get(self.next_out).copied() else {
                return Ok(Poll::End);
            };
            if let Some(picture) = self.ready.remove(&wanted.sample) {
                self.next_out += 1;
                let frame = Frame {
                    idx: FrameIdx(self.frames),
                    at: MediaTime(wanted.at_s),
                    content: Content::Picture(picture),
                };
                self.frames += 1;
                return Ok(Poll::Ready(Input::Frame(frame)));
            }
            if self.ready.len() > WAITING_MAX {
                self.lost.insert(wanted.sample);
                continue;
            }
            self.step()?;
        }
    }

    fn duration(&mut self) -> Option<MediaTime> {
        Some(MediaTime(self.track.info.duration_s))
    }

    /// Decoding starts at the last IDR picture from which the first frame at or after `at` can be
    /// reached.
    fn skip_to(&mut self, at: MediaTime) {
        if self.next_out > 0 || self.next_sample > 0 {
            return;
        }
        let first = self.wanted.partition_point(|w| w.at_s < at.0);
        self.next_out = first;
        // Numbered as if nothing before had been lost.
        self.frames = first as u64;
        self.to_decode = self.wanted[first..].iter().map(|w| w.sample).collect();
        self.to_decode.sort_unstable();
    }
}
