//! The header of an MP4 file with one H.264 track, box by box.

use crate::error::{Error, Result};
use crate::sources::video::h264::unit;

/// Bytes of the length before each NAL unit in a sample.
const LENGTH_BYTES: usize = 4;
/// Unity in the 16.16 and 2.30 fixed-point numbers of a matrix.
const ONE_16: u32 = 0x0001_0000;
const ONE_30: u32 = 0x4000_0000;

/// What the header says about the pictures: their size, and the parameter sets, which stand here
/// and not in the samples.
#[derive(Debug)]
pub(super) struct TrackHeader {
    width: u16,
    height: u16,
    sps: Option<Vec<u8>>,
    pps: Option<Vec<u8>>,
}

impl TrackHeader {
    /// A track of pictures of this size; its parameter sets are still to come.
    pub fn new(width: u16, height: u16) -> Self {
        Self {
            width,
            height,
            sps: None,
            pps: None,
        }
    }

    /// Appends a frame's NAL units to `out`, each behind its length, and keeps the parameter sets.
    /// Returns `true` for a key frame.
    ///
    /// # Errors
    /// The parameter sets differ from the first ones, or the frame holds no picture.
    pub fn append<'a>(
        &mut self,
        nals: impl Iterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let start = out.len();
        let mut sync = false;
        for nal in nals {
            let kind = nal.first().map_or(0, |b| b & 0x1F);
            let slot = match kind {
                unit::SPS => &mut self.sps,
                unit::PPS => &mut self.pps,
                _ => {
                    sync |= kind == unit::IDR;
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

    /// The box `moov`. `mvex` says that fragments follow; it is empty where none do.
    pub fn moov(&self, timescale: u32, duration: u32, stbl: &[u8], mvex: &[u8]) -> Vec<u8> {
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

    /// The sample entry `avc1` with the parameter sets.
    ///
    /// # Errors
    /// The parameter sets have not come yet, or are cut off.
    pub fn avc1(&self) -> Result<Vec<u8>> {
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
            // Version, profile, compatibility, level; then the bytes of a length minus one, with
            // the upper six bits set.
            vec![1, sps[1], sps[2], sps[3], 0xFC | (LENGTH_BYTES as u8 - 1)],
            // One SPS (upper three bits set), then one PPS.
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
            // One frame a sample, no name of a compressor, depth 24, predefined -1.
            vec![0, 1],
            vec![0; 32],
            vec![0, 24, 0xFF, 0xFF],
            boxed(b"avcC", &avcc),
        ]
        .concat();
        Ok(boxed(b"avc1", &entry))
    }
}

/// The first box of the file.
pub(super) fn ftyp(brand_version: u32) -> Vec<u8> {
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

/// Big-endian numbers.
pub(super) fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_be_bytes()).collect()
}

/// A box: its length, its name and what is in it.
pub(super) fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], name, body].concat()
}

/// A box that begins with version 0 and flags.
pub(super) fn full(name: &[u8; 4], flags: u32, body: &[u8]) -> Vec<u8> {
    boxed(name, &[&flags.to_be_bytes()[..], body].concat())
}
