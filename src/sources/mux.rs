//! Writes MP4 with one H.264 track (ISO/IEC 14496-12 and -15): a whole file with samples of one
//! duration, or fragments as they come, each with its own time, so that what is cut off leaves
//! everything before it.

use crate::error::{Error, Result};

/// Ticks of the track's clock that one frame lasts; the clock then runs at `fps * TICKS` a second.
const TICKS: u32 = 1000;
/// Bytes of a NAL unit's length in a sample.
const LENGTH_BYTES: usize = 4;
/// `nal_unit_type`s (ITU-T H.264, table 7-1).
const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
/// Unity in the 16.16 and 2.30 fixed-point numbers of a matrix.
const ONE_16: u32 = 0x0001_0000;
const ONE_30: u32 = 0x4000_0000;

/// Picture size and the parameter sets, which stand in the header and not in the samples.
#[derive(Debug)]
struct Track {
    width: u16,
    height: u16,
    sps: Option<Vec<u8>>,
    pps: Option<Vec<u8>>,
}

/// Collects encoded frames and makes a file of them.
#[derive(Debug)]
pub struct Mp4Writer {
    track: Track,
    fps: f64,
    brand_version: u32,
    sizes: Vec<u32>,
    /// Numbers of the samples, from 1, that can be decoded alone.
    sync: Vec<u32>,
    data: Vec<u8>,
}

impl Mp4Writer {
    /// A file of this picture size and frame rate; `brand_version` is stored as the `ftyp`'s minor
    /// version.
    pub fn new(width: u16, height: u16, fps: f64, brand_version: u32) -> Self {
        let track = Track {
            width,
            height,
            sps: None,
            pps: None,
        };
        Self {
            track,
            fps,
            brand_version,
            sizes: Vec::new(),
            sync: Vec::new(),
            data: Vec::new(),
        }
    }

    /// Frames so far.
    pub fn frames(&self) -> usize {
        self.sizes.len()
    }

    /// Adds a frame: its NAL units, without start codes. Parameter sets go to the header.
    ///
    /// # Errors
    /// Parameter sets that differ from the first ones, or a frame without a picture.
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

    /// The whole file.
    ///
    /// # Errors
    /// No frame was added, the first cannot be decoded alone, or the file would pass 4 GiB.
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
        // One chunk has everything.
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

impl Track {
    /// Writes a frame's NAL units with their lengths; parameter sets are kept. `true` when it can
    /// be decoded alone.
    fn append<'a>(
        &mut self,
        nals: impl Iterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let start = out.len();
        let mut sync = false;
        for nal in nals {
            let kind = nal.first().map_or(0, |b| b & 0x1F);
            let slot = match kind {
                NAL_SPS => &mut self.sps,
                NAL_PPS => &mut self.pps,
                _ => {
                    sync |= kind == NAL_IDR;
                    let length = u32::try_from(nal.len())
                        .map_err(|_| Error::Invalid("a NAL unit above 4 GiB".into()))?;
                    out.extend(length.to_be_bytes());
                    out.extend(nal);
                    continue;
                }
            };
            match slot {
                Some(first) if first != nal => {
                    return Err(Error::Invalid(
                        "the encoder changed its parameter sets".into(),
                    ));
                }
                Some(_) => {}
                None => *slot = Some(nal.to_vec()),
            }
        }
        if out.len() == start {
            return Err(Error::Invalid(
                "the encoder gave a frame without a picture".into(),
            ));
        }
        Ok(sync)
    }

    /// `mvex` tells that fragments follow; empty where none do.
    fn moov(&self, timescale: u32, duration: u32, stbl: &[u8], mvex: &[u8]) -> Vec<u8> {
        let matrix = words(&[ONE_16, 0, 0, 0, ONE_16, 0, 0, 0, ONE_30]);
        let mvhd = [
            words(&[0, 0, timescale, duration, ONE_16]),
            // Volume 1.0, reserved.
            vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            matrix.clone(),
            words(&[0, 0, 0, 0, 0, 0, 2]),
        ]
        .concat();
        let tkhd = [
            words(&[0, 0, 1, 0, duration, 0, 0]),
            vec![0; 8],
            matrix,
            words(&[u32::from(self.width) << 16, u32::from(self.height) << 16]),
        ]
        .concat();
        // Language `und`, packed in 5-bit letters.
        let mdhd = [words(&[0, 0, timescale, duration]), vec![0x55, 0xC4, 0, 0]].concat();
        let hdlr = [
            words(&[0]),
            b"vide".to_vec(),
            words(&[0, 0, 0]),
            b"proact\0".to_vec(),
        ]
        .concat();
        let url = full(b"url ", 1, &[]);
        let dinf = boxed(b"dinf", &full(b"dref", 0, &[words(&[1]), url].concat()));
        let vmhd = full(b"vmhd", 1, &[0; 8]);
        let minf = boxed(b"minf", &[vmhd, dinf, stbl.to_vec()].concat());
        let mdia = boxed(
            b"mdia",
            &[full(b"mdhd", 0, &mdhd), full(b"hdlr", 0, &hdlr), minf].concat(),
        );
        // Flags 3: enabled, in the movie.
        let trak = boxed(b"trak", &[full(b"tkhd", 3, &tkhd), mdia].concat());
        boxed(
            b"moov",
            &[full(b"mvhd", 0, &mvhd), trak, mvex.to_vec()].concat(),
        )
    }

    fn avc1(&self) -> Result<Vec<u8>> {
        let (Some(sps), Some(pps)) = (&self.sps, &self.pps) else {
            return Err(Error::Invalid(
                "no frame, or no parameter sets: nothing to write".into(),
            ));
        };
        if sps.len() < 4 {
            return Err(Error::Invalid(
                "the encoder's parameter set is cut off".into(),
            ));
        }
        let short = |n: usize| (n as u16).to_be_bytes().to_vec();
        let avcc = [
            // Version, profile, compatibility, level; then the length's bytes less one, under six
            // set bits.
            vec![1, sps[1], sps[2], sps[3], 0xFC | (LENGTH_BYTES as u8 - 1)],
            // One SPS, under three set bits; one PPS.
            vec![0xE0 | 1],
            short(sps.len()),
            sps.to_vec(),
            vec![1],
            short(pps.len()),
            pps.to_vec(),
        ]
        .concat();
        const DPI_72: u32 = 72 << 16;
        let entry = [
            // Reserved, data reference 1; predefined.
            vec![0, 0, 0, 0, 0, 0, 0, 1],
            vec![0; 16],
            self.width.to_be_bytes().to_vec(),
            self.height.to_be_bytes().to_vec(),
            words(&[DPI_72, DPI_72, 0]),
            // One frame a sample; no compressor's name; depth 24; predefined -1.
            vec![0, 1],
            vec![0; 32],
            vec![0, 24, 0xFF, 0xFF],
            boxed(b"avcC", &avcc),
        ]
        .concat();
        Ok(boxed(b"avc1", &entry))
    }
}

/// Makes fragments, one a frame, with times in milliseconds. Whatever was written so far is a whole
/// file.
#[derive(Debug)]
pub struct Fragments {
    track: Track,
    /// A frame is taken to last so long by what does not read the next one's time.
    frame_ms: u32,
    written: u32,
}

impl Fragments {
    /// For frames of this size, each lasting about `frame_ms`.
    pub fn new(width: u16, height: u16, frame_ms: u32) -> Self {
        Self {
            track: Track {
                width,
                height,
                sps: None,
                pps: None,
            },
            frame_ms: frame_ms.max(1),
            written: 0,
        }
    }

    /// The bytes that a frame at `at_ms` adds to the file; those of the first begin with the
    /// header.
    ///
    /// # Errors
    /// The first frame cannot be decoded alone; as [`Mp4Writer::push`].
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
            // Offsets count from the start of this box.
            let tfhd = full(b"tfhd", 0x02_0000, &words(&[1]));
            let tfdt = boxed(b"tfdt", &[&[1, 0, 0, 0][..], &at_ms.to_be_bytes()].concat());
            // Other frames are needed to decode one that is no key frame.
            let flags = if sync { 0x0200_0000 } else { 0x0101_0000 };
            // Offset; duration, size and flags of the one sample.
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

fn ftyp(brand_version: u32) -> Vec<u8> {
    boxed(
        b"ftyp",
        &[
            *b"isom",
            brand_version.to_be_bytes(),
            *b"isom",
            *b"iso2",
            *b"avc1",
            *b"mp41",
        ]
        .concat(),
    )
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_be_bytes()).collect()
}

fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], name, body].concat()
}

/// A box with a version (0) and flags.
fn full(name: &[u8; 4], flags: u32, body: &[u8]) -> Vec<u8> {
    boxed(name, &[&flags.to_be_bytes()[..], body].concat())
}
