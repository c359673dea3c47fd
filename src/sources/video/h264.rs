//! H.264 (ITU-T H.264) as far as it is read outside the decoder: its units (NAL units), as a byte
//! stream and as a sample of an MP4 file.

use openh264::nal_units;

use super::demux::Unplayable;
use super::sps::Sps;

/// Most units that a sample can have.
const UNITS_MAX: usize = 1024;
/// What stands before each unit in a byte stream (Annex B).
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// `nal_unit_type` of the units that matter.
pub(super) mod unit {
    pub const SLICE: u8 = 1;
    pub const IDR: u8 = 5;
    pub const SPS: u8 = 7;
    pub const PPS: u8 = 8;
}

/// Splits a byte stream into its NAL units, without start codes.
pub fn nals(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    nal_units(stream).map(without_start_code)
}

/// A unit without its start code: two or three zero bytes and a one (Annex B).
fn without_start_code(nal: &[u8]) -> &[u8] {
    let zeros = nal.iter().take_while(|b| **b == 0).count();
    nal.get(zeros + 1..).unwrap_or_default()
}

/// The box `avcC`: the parameter sets, and how the units of a sample are told apart.
#[derive(Clone, Debug)]
pub(crate) struct AvcConfig {
    /// How many bytes the length before each unit has: 1, 2 or 4.
    length_bytes: usize,
    /// All parameter sets as a byte stream.
    pub parameter_sets: Vec<u8>,
    /// The first sequence parameter set; `None` where the samples bring their own (`avc3`).
    pub sps: Option<Sps>,
}

impl AvcConfig {
    /// Reads the AVCDecoderConfigurationRecord of ISO/IEC 14496-15.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unplayable> {
        let short = || Unplayable::Broken("box `avcC` is shorter than it says".into());
        let [1, _, _, _, length, rest @ ..] = bytes else {
            return Err(Unplayable::Broken("box `avcC`: expected version 1".into()));
        };
        let length_bytes = usize::from(length & 3) + 1;
        if length_bytes == 3 {
            return Err(Unplayable::Broken("box `avcC`: lengths of 3 bytes".into()));
        }
        let mut config = Self {
            length_bytes,
            parameter_sets: Vec::new(),
            sps: None,
        };
        let (sps_count, mut rest) = rest.split_first().ok_or_else(short)?;
        let mut left = sps_count & 0x1f;
        for kind in [unit::SPS, unit::PPS] {
            if kind == unit::PPS {
                let (count, tail) = rest.split_first().ok_or_else(short)?;
                (left, rest) = (*count, tail);
            }
            for _ in 0..left {
                let (length, tail) = rest.split_first_chunk::<2>().ok_or_else(short)?;
                let (nal, tail) = tail
                    .split_at_checked(u16::from_be_bytes(*length).into())
                    .ok_or_else(short)?;
                rest = tail;
                config.parameter_set(nal, kind)?;
            }
        }
        Ok(config)
    }

    fn parameter_set(&mut self, nal: &[u8], kind: u8) -> Result<(), Unplayable> {
        if nal.first().is_none_or(|b| b & 0x1f != kind) {
            return Err(Unplayable::Broken(
                "box `avcC`: a parameter set of another type".into(),
            ));
        }
        if kind == unit::SPS {
            let sps = Sps::parse(nal)?;
            self.sps.get_or_insert(sps);
        }
        self.parameter_sets.extend(START_CODE);
        self.parameter_sets.extend(nal);
        Ok(())
    }

    /// The units of a sample. At the first length that does not fit it gives `None` and ends.
    fn units<'a>(&self, mut sample: &'a [u8]) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let length_bytes = self.length_bytes;
        std::iter::from_fn(move || {
            if sample.is_empty() {
                return None;
            }
            let split = sample
                .split_at_checked(length_bytes)
                .and_then(|(length, rest)| {
                    let length = length.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
                    rest.split_at_checked(length)
                });
            sample = split.map_or(&[], |(_, rest)| rest);
            Some(split.map(|(unit, _)| unit))
        })
    }

    /// Says what a sample holds, and writes its slices and parameter sets to `stream` as a byte
    /// stream.
    pub fn read_sample(
        &self,
        sample: &[u8],
        stream: &mut Vec<u8>,
    ) -> Result<SampleKind, Unplayable> {
        stream.clear();
        let mut kind = SampleKind::default();
        for (n, nal) in self.units(sample).enumerate() {
            let nal =
                nal.ok_or_else(|| Unplayable::Broken("a unit is longer than its sample".into()))?;
            let Some(first) = nal.first() else { continue };
            if n >= UNITS_MAX || first & 0x80 != 0 {
                return Err(Unplayable::Broken("not a sequence of H.264 units".into()));
            }
            match first & 0x1f {
                unit::IDR => (kind.idr, kind.picture) = (true, true),
                unit::SLICE => kind.picture = true,
                unit::SPS => kind.sps = Some(Sps::parse(nal)?),
                unit::PPS => {}
                2..=4 => return Err(Unplayable::Unsupported("H.264 data partitioning".into())),
                // Messages, delimiters, fillers, and layers of the scalable and multi-view
                // extensions.
                _ => continue,
            }
            kind.reference |= first >> 5 & 3 != 0;
            stream.extend(START_CODE);
            stream.extend(nal);
        }
        Ok(kind)
    }
}

/// What a sample holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct SampleKind {
    /// It holds a picture.
    pub picture: bool,
    /// Decoding can start here, with nothing before it.
    pub idr: bool,
    /// Other pictures may be predicted from it, or it carries parameter sets.
    pub reference: bool,
    /// It brings a new sequence parameter set.
    pub sps: Option<Sps>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_split_into_units_and_wrong_lengths_are_errors() {
        let config = AvcConfig {
            length_bytes: 2,
            parameter_sets: Vec::new(),
            sps: None,
        };
        let mut stream = Vec::new();
        let kind = config
            .read_sample(b"\0\x02\x06x\0\x03\x65ab\0\x00", &mut stream)
            .unwrap();
        assert!(kind.idr && kind.picture && kind.reference);
        assert_eq!(stream, b"\0\0\0\x01\x65ab");
        let kind = config.read_sample(b"\0\x02\x01x", &mut stream).unwrap();
        assert_eq!((kind.picture, kind.reference), (true, false));
        for bad in [&b"\0\x09\x65ab"[..], b"\0", b"\0\x02\xe5a", b"\0\x02\x62a"] {
            assert!(config.read_sample(bad, &mut stream).is_err(), "{bad:?}");
        }
    }
}
