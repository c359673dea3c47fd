//! What must be known of H.264 (ITU-T H.264) outside the decoder: parameter sets, units, what is
//! refused.

use super::mp4::Fault;

/// Largest picture in macroblocks of 16x16: level 5.2, 4096x2304.
const MACROBLOCKS_MAX: u32 = 36_864;
/// Most parameter sets and units that are looked at in one place.
const UNITS_MAX: usize = 1024;
/// What opens a unit in a byte stream (Annex B).
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// `nal_unit_type` of the units that matter.
pub(super) mod unit {
    pub const SLICE: u8 = 1;
    pub const IDR: u8 = 5;
    pub const SPS: u8 = 7;
    pub const PPS: u8 = 8;
}

/// How luma and chroma make red, green and blue (ITU-T H.273, `MatrixCoefficients`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Matrix {
    /// Standard definition, and what is meant when nothing is said.
    #[default]
    Bt601,
    /// High definition.
    Bt709,
    /// Ultra-high definition.
    Bt2020,
}

impl Matrix {
    /// The matrix of a code point; `None` when it says nothing or something unknown.
    pub fn from_code(code: u32) -> Option<Self> {
        match code {
            1 => Some(Self::Bt709),
            4..=6 => Some(Self::Bt601),
            9 | 10 => Some(Self::Bt2020),
            _ => None,
        }
    }

    /// Luma weights `Kr`, `Kb`.
    pub fn weights(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
            Self::Bt2020 => (0.2627, 0.0593),
        }
    }
}

/// `avcC`: parameter sets and how sample units are delimited.
#[derive(Clone, Debug)]
pub(crate) struct AvcConfig {
    /// Bytes of the length before each unit: 1, 2 or 4.
    length_bytes: usize,
    /// All parameter sets as a byte stream.
    pub parameter_sets: Vec<u8>,
    /// The first sequence parameter set; `None` when the samples bring theirs (`avc3`).
    pub sps: Option<Sps>,
}

impl AvcConfig {
    /// Reads ISO/IEC 14496-15's AVCDecoderConfigurationRecord.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let short = || Fault::Broken("box `avcC` is shorter than it says".into());
        let [1, _, _, _, length, rest @ ..] = bytes else {
            return Err(Fault::Broken("box `avcC`: expected version 1".into()));
        };
        let length_bytes = usize::from(length & 3) + 1;
        if length_bytes == 3 {
            return Err(Fault::Broken("box `avcC`: lengths of 3 bytes".into()));
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

    fn parameter_set(&mut self, nal: &[u8], kind: u8) -> Result<(), Fault> {
        if nal.first().is_none_or(|b| b & 0x1f != kind) {
            return Err(Fault::Broken(
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

    /// The units of a sample; `None` at the first length that does not fit.
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

    /// What a sample holds, and its slices and parameter sets as a byte stream in `stream`.
    pub fn read_sample(&self, sample: &[u8], stream: &mut Vec<u8>) -> Result<SampleKind, Fault> {
        stream.clear();
        let mut kind = SampleKind::default();
        for (n, nal) in self.units(sample).enumerate() {
            let nal =
                nal.ok_or_else(|| Fault::Broken("a unit is longer than its sample".into()))?;
            let Some(first) = nal.first() else { continue };
            if n >= UNITS_MAX || first & 0x80 != 0 {
                return Err(Fault::Broken("not a sequence of H.264 units".into()));
            }
            match first & 0x1f {
                unit::IDR => (kind.idr, kind.picture) = (true, true),
                unit::SLICE => kind.picture = true,
                unit::SPS => kind.sps = Some(Sps::parse(nal)?),
                unit::PPS => {}
                2..=4 => return Err(Fault::Unsupported("H.264 data partitioning".into())),
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
    /// A picture at all.
    pub picture: bool,
    /// Decoding can start here from nothing.
    pub idr: bool,
    /// Other pictures may be predicted from it, or it carries parameter sets.
    pub reference: bool,
    /// It brings a new sequence parameter set.
    pub sps: Option<Sps>,
}

/// The part of a sequence parameter set that decides whether and how the picture is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sps {
    /// Columns after cropping.
    pub width: u32,
    /// Rows after cropping.
    pub height: u32,
    /// Colour matrix, if it says.
    pub matrix: Option<Matrix>,
    /// Samples use 0..=255 instead of 16..=235, if it says.
    pub full_range: Option<bool>,
}

impl Sps {
    /// Reads and judges a sequence parameter set (H.264, 7.3.2.1.1), with its unit header.
    pub fn parse(nal: &[u8]) -> Result<Self, Fault> {
        let mut bits = Bits::new(nal);
        Self::read(&mut bits)
            .ok_or_else(|| Fault::Broken("the sequence parameter set ends too early".into()))?
    }

    fn read(bits: &mut Bits) -> Option<Result<Self, Fault>> {
        let refuse = |what: &str| Some(Err(Fault::Unsupported(what.into())));
        bits.u(8)?;
        let profile = bits.u(8)?;
        bits.u(16)?;
        bits.ue()?;
        if matches!(
            profile,
            100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
        ) {
            match bits.ue()? {
                1 => {}
                0 => return refuse("H.264 without colour (4:0:0)"),
                _ => return refuse("H.264 with 4:2:2 or 4:4:4 colour"),
            }
            if (bits.ue()?, bits.ue()?) != (0, 0) {
                return refuse("H.264 with more than 8 bits a sample");
            }
            if bits.u(1)? != 0 {
                return refuse("lossless H.264");
            }
            if bits.u(1)? != 0 {
                skip_scaling_lists(bits)?;
            }
        } else if !matches!(profile, 66 | 77 | 88) {
            return refuse("an unknown H.264 profile");
        }
        bits.ue()?;
        match bits.ue()? {
            0 => drop(bits.ue()?),
            1 => {
                bits.u(1)?;
                bits.ue()?;
                bits.ue()?;
                for _ in 0..bits.ue().filter(|n| *n < 256)? {
                    bits.ue()?;
                }
            }
            2 => {}
            _ => return None,
        }
        bits.ue()?;
        bits.u(1)?;
        let (columns, rows) = (bits.ue()?.checked_add(1)?, bits.ue()?.checked_add(1)?);
        if bits.u(1)? == 0 {
            return refuse("interlaced H.264");
        }
        if columns
            .checked_mul(rows)
            .is_none_or(|n| n > MACROBLOCKS_MAX)
        {
            return refuse("a picture of more than 4096x2304 (level 5.2)");
        }
        bits.u(1)?;
        let (mut width, mut height) = (columns * 16, rows * 16);
        if bits.u(1)? != 0 {
            // In units of two samples for 4:2:0 and progressive pictures.
            let [left, right, top, bottom] = [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?];
            let cut = |size: u32, a: u32, b: u32| {
                size.checked_sub(a.checked_add(b)?.checked_mul(2)?)
                    .filter(|n| *n > 0)
            };
            match (cut(width, left, right), cut(height, top, bottom)) {
                (Some(w), Some(h)) => (width, height) = (w, h),
                _ => return Some(Err(Fault::Broken("the picture is cropped away".into()))),
            }
        }
        let mut sps = Self {
            width,
            height,
            matrix: None,
            full_range: None,
        };
        if bits.u(1)? != 0 {
            // A video description that ends early says nothing; the decoder itself does not need
            // it.
            let _ = sps.read_colour(bits);
        }
        Some(Ok(sps))
    }

    /// The colour part of the video usability information (annex E).
    fn read_colour(&mut self, bits: &mut Bits) -> Option<()> {
        const EXTENDED_ASPECT: u32 = 255;
        if bits.u(1)? != 0 && bits.u(8)? == EXTENDED_ASPECT {
            bits.u(32)?;
        }
        if bits.u(1)? != 0 {
            bits.u(1)?;
        }
        if bits.u(1)? != 0 {
            bits.u(3)?;
            self.full_range = Some(bits.u(1)? != 0);
            if bits.u(1)? != 0 {
                bits.u(16)?;
                self.matrix = Matrix::from_code(bits.u(8)?);
            }
        }
        Some(())
    }
}

/// 7.3.2.1.1.1, for 4:2:0.
fn skip_scaling_lists(bits: &mut Bits) -> Option<()> {
    for list in 0..8 {
        if bits.u(1)? == 0 {
            continue;
        }
        let (mut last, mut next) = (8i64, 8i64);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + i64::from(bits.se()?) + 256) % 256;
            }
            if next != 0 {
                last = next;
            }
        }
    }
    Some(())
}

/// Reads bits and Exp-Golomb codes (9.1) from a unit, without its emulation prevention bytes.
struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    /// A parameter set is short; more than this is not one.
    const BYTES_MAX: usize = 4096;

    fn new(nal: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(nal.len().min(Self::BYTES_MAX));
        for b in nal.iter().take(Self::BYTES_MAX) {
            if !(*b == 3 && bytes.ends_with(&[0, 0])) {
                bytes.push(*b);
            }
        }
        Self { bytes, at: 0 }
    }

    fn u(&mut self, n: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..n {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.u(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.u(zeros)?;
        Some((1u32 << zeros) - 1 + rest)
    }

    fn se(&mut self) -> Option<i32> {
        let code = i64::from(self.ue()?);
        i32::try_from(if code % 2 == 1 {
            code / 2 + 1
        } else {
            -(code / 2)
        })
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes bits as an encoder would.
    #[derive(Default)]
    struct Writer(Vec<bool>);

    impl Writer {
        fn u(mut self, n: u32, value: u32) -> Self {
            self.0.extend((0..n).rev().map(|i| value >> i & 1 == 1));
            self
        }

        fn ue(self, value: u32) -> Self {
            let length = 32 - (value + 1).leading_zeros();
            self.u(length - 1, 0).u(length, value + 1)
        }

        fn bytes(self) -> Vec<u8> {
            let mut bits = self.0;
            bits.push(true);
            bits.resize(bits.len().div_ceil(8) * 8, false);
            bits.chunks(8)
                .map(|c| c.iter().fold(0, |n, b| n << 1 | u8::from(*b)))
                .collect()
        }
    }

    /// A High profile set for 1920x1080 with chroma, depth, interlacing and colour as given.
    fn high(chroma: u32, depth: u32, frames_only: u32, matrix: u32) -> Vec<u8> {
        let w = Writer::default()
            .u(8, 0x67)
            .u(8, 100)
            .u(16, 40)
            .ue(0)
            .ue(chroma)
            .ue(depth)
            .ue(depth)
            .u(1, 0)
            .u(1, 0);
        let w = w
            .ue(0)
            .ue(0)
            .ue(2)
            .ue(4)
            .u(1, 0)
            .ue(119)
            .ue(67)
            .u(1, frames_only);
        let w = if frames_only == 0 { w.u(1, 0) } else { w };
        let w = w.u(1, 1).u(1, 1).ue(0).ue(0).ue(0).ue(4);
        w.u(1, 1)
            .u(1, 0)
            .u(1, 0)
            .u(1, 1)
            .u(3, 5)
            .u(1, 0)
            .u(1, 1)
            .u(16, 0x0101)
            .u(8, matrix)
            .bytes()
    }

    #[test]
    fn size_and_colour_are_read() {
        let sps = Sps::parse(&high(1, 0, 1, 1)).unwrap();
        assert_eq!(
            sps,
            Sps {
                width: 1920,
                height: 1080,
                matrix: Some(Matrix::Bt709),
                full_range: Some(false)
            }
        );
        assert_eq!(Sps::parse(&high(1, 0, 1, 2)).unwrap().matrix, None);
    }

    #[test]
    fn what_the_decoder_cannot_do_is_refused_by_name() {
        for (nal, word) in [
            (high(1, 2, 1, 1), "8 bits"),
            (high(2, 0, 1, 1), "4:2:2"),
            (high(0, 0, 1, 1), "4:0:0"),
            (high(1, 0, 0, 1), "interlaced"),
            (vec![0x67, 99, 0, 40, 0x80], "profile"),
        ] {
            match Sps::parse(&nal) {
                Err(Fault::Unsupported(why)) => assert!(why.contains(word), "{why}"),
                other => panic!("{word}: {other:?}"),
            }
        }
    }

    #[test]
    fn every_truncation_of_a_parameter_set_is_an_error_or_sound() {
        let nal = high(1, 0, 1, 1);
        for n in 0..nal.len() {
            if let Ok(sps) = Sps::parse(&nal[..n]) {
                assert_eq!((sps.width, sps.height), (1920, 1080));
            }
        }
        assert!(Sps::parse(&[0x67; 3]).is_err());
        assert!(Sps::parse(&[0; 5000]).is_err());
    }

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
