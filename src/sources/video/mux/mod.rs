//! The MP4 muxer, for one H.264 track (ISO/IEC 14496-12 and -15).
//!
//! [`Mp4Writer`] makes a whole file of frames that all last equally long. [`FragmentWriter`] makes
//! a fragment of each frame as it comes, with the frame's own time; where such a file is cut off,
//! everything before that place still plays.

mod header;

use self::header::{TrackHeader, boxed, ftyp, full, words};
use crate::error::{Error, Result};

/// Ticks of the track's clock that one frame lasts; the clock then runs at `fps * TICKS` a second.
const TICKS: u32 = 1000;
/// Collects encoded frames in memory and makes one file of them.
#[derive(Debug)]
pub struct Mp4Writer {
    track: TrackHeader,
    fps: f64,
    brand_version: u32,
    sizes: Vec<u32>,
    /// Numbers of the samples at which decoding can start; the first sample has number 1.
    sync: Vec<u32>,
    data: Vec<u8>,
}

impl Mp4Writer {
    /// Begins a file of this picture size and frame rate. `brand_version` is stored as the minor
    /// version in the `ftyp` box.
    pub fn new(width: u16, height: u16, fps: f64, brand_version: u32) -> Self {
        let track = TrackHeader::new(width, height);
        Self {
            track,
            fps,
            brand_version,
            sizes: Vec::new(),
            sync: Vec::new(),
            data: Vec::new(),
        }
    }

    /// The number of frames that were added so far.
    pub fn frames(&self) -> usize {
        self.sizes.len()
    }

    /// Adds a frame, given as its NAL units without start codes. Parameter sets go to the header.
    ///
    /// # Errors
    /// The parameter sets differ from the first ones, or the frame holds no picture.
    pub fn push<'a>(&mut self, nals: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        let start = self.data.len();
        let sync = self.track.append(nals, &mut self.data)?;
        let size = self.data.len() - start;
        self.sizes
            .push(u32::try_from(size).map_err(|_| Error::Invalid("a frame above 4 GiB".into()))?);
        if sync {
            self.sync.push(self.sizes.len() as u32);
        }
        Ok(())
    }

    /// Returns the bytes of the whole file.
    ///
    /// # Errors
    /// No frame was added, the first one is no key frame, or the file would be larger than 4 GiB.
    pub fn finish(self) -> Result<Vec<u8>> {
        let avc1 = self.track.avc1()?;
        if self.sync.first() != Some(&1) {
            return Err(Error::Invalid("the first frame is no key frame".into()));
        }
        // Sizes, offsets and the duration are 32 bits in these boxes.
        let duration = self.sizes.len() as u64 * u64::from(TICKS);
        if u32::try_from(self.data.len() + 8).is_err() || u32::try_from(duration).is_err() {
            return Err(too_long());
        }
        let timescale = (self.fps * f64::from(TICKS)).round().max(1.0) as u32;
        let moov = |offset| {
            self.track
                .moov(timescale, duration as u32, &self.stbl(&avc1, offset), &[])
        };
        let ftyp = ftyp(self.brand_version);
        // The header's length does not depend on the offset in it.
        let offset = u32::try_from(ftyp.len() + moov(0).len() + 8).map_err(|_| too_long())?;
        let moov = moov(offset);
        Ok([ftyp, moov, boxed(b"mdat", &self.data)].concat())
    }

    fn stbl(&self, avc1: &[u8], offset: u32) -> Vec<u8> {
        let count = self.sizes.len() as u32;
        let stsd = full(b"stsd", 0, &[words(&[1]), avc1.to_vec()].concat());
        let stts = full(b"stts", 0, &words(&[1, count, TICKS]));
        let stss = full(
            b"stss",
            0,
            &[words(&[self.sync.len() as u32]), words(&self.sync)].concat(),
        );
        // All samples lie in one chunk.
        let stsc = full(b"stsc", 0, &words(&[1, 1, count, 1]));
        let stsz = full(
            b"stsz",
            0,
            &[words(&[0, count]), words(&self.sizes)].concat(),
        );
        let stco = full(b"stco", 0, &words(&[1, offset]));
        boxed(b"stbl", &[stsd, stts, stss, stsc, stsz, stco].concat())
    }
}

/// Makes one fragment of each frame, with times in milliseconds. What was written so far is a whole
/// file at any moment.
#[derive(Debug)]
pub struct FragmentWriter {
    track: TrackHeader,
    /// How long a frame lasts for a player that does not read the time of the next one.
    frame_ms: u32,
    written: u32,
}

impl FragmentWriter {
    /// Begins a file of frames of this size, each of which lasts about `frame_ms`.
    pub fn new(width: u16, height: u16, frame_ms: u32) -> Self {
        Self {
            track: TrackHeader::new(width, height),
            frame_ms: frame_ms.max(1),
            written: 0,
        }
    }

    /// Returns the bytes that a frame at `at_ms` adds to the file. The bytes of the first frame
    /// begin with the header.
    ///
    /// # Errors
    /// The first frame is no key frame; and those of [`Mp4Writer::push`].
    pub fn push<'a>(
        &mut self,
        nals: impl Iterator<Item = &'a [u8]>,
        at_ms: u64,
    ) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        let sync = self.track.append(nals, &mut data)?;
        let size =
            u32::try_from(data.len()).map_err(|_| Error::Invalid("a frame above 4 GiB".into()))?;
        let mut out = Vec::new();
        if self.written == 0 {
            if !sync {
                return Err(Error::Invalid("the first frame is no key frame".into()));
            }
            let empty = |name| full(name, 0, &words(&[0]));
            let sizes = full(b"stsz", 0, &words(&[0, 0]));
            let stsd = full(b"stsd", 0, &[words(&[1]), self.track.avc1()?].concat());
            let stbl = boxed(
                b"stbl",
                &[stsd, empty(b"stts"), empty(b"stsc"), sizes, empty(b"stco")].concat(),
            );
            let mvex = boxed(
                b"mvex",
                &full(b"trex", 0, &words(&[1, 1, self.frame_ms, 0, 0])),
            );
            out.extend([ftyp(0), self.track.moov(1000, 0, &stbl, &mvex)].concat());
        }
        self.written += 1;
        let moof = |offset: u32| {
            let mfhd = full(b"mfhd", 0, &words(&[self.written]));
            // Offsets count from the start of the `moof` box.
            let tfhd = full(b"tfhd", 0x02_0000, &words(&[1]));
            let tfdt = boxed(b"tfdt", &[&[1, 0, 0, 0][..], &at_ms.to_be_bytes()].concat());
            // A frame that is no key frame depends on other frames.
            let flags = if sync { 0x0200_0000 } else { 0x0101_0000 };
            // The offset of the data, then duration, size and flags of the one sample.
            let trun = full(
                b"trun",
                0x701,
                &words(&[1, offset, self.frame_ms, size, flags]),
            );
            boxed(
                b"moof",
                &[mfhd, boxed(b"traf", &[tfhd, tfdt, trun].concat())].concat(),
            )
        };
        let offset = moof(0).len() as u32 + 8;
        out.extend([moof(offset), boxed(b"mdat", &data)].concat());
        Ok(out)
    }
}

fn too_long() -> Error {
    Error::Invalid("the video is too long for its file: above 4 GiB or 4 million frames".into())
}
