//! Pictures to H.264 in an MP4 file, the same bytes each time.

use openh264::OpenH264API;
use openh264::encoder::{
    Complexity, Encoder, EncoderConfig, FrameRate, IntraFramePeriod, RateControlMode, UsageType,
    VuiConfig,
};
use openh264::formats::YUVSlices;
use openh264::{Timestamp, nal_units};

use super::mux::Mp4Writer;
use crate::error::{Error, Result};
use crate::stream::Picture;

/// A key frame comes after this time at the latest, in seconds.
const KEY_FRAME_EVERY_S: f64 = 2.0;
/// Sides of a picture, smallest and largest.
const SIDE_MIN: u32 = 32;
const SIDE_MAX: u32 = 2160;
/// Highest frame rate.
const FPS_MAX: f64 = 120.0;

/// Encodes pictures of one size to H.264.
pub struct PictureEncoder {
    encoder: Encoder,
    width: usize,
    height: usize,
    yuv: Yuv,
    key_every: u64,
    frames: u64,
}

/// Pictures of one size at one rate, as a file.
pub struct Video {
    encoder: PictureEncoder,
    mp4: Mp4Writer,
    fps: f64,
}

/// Whether a size and rate can be encoded.
///
/// # Errors
/// Which of them cannot, and what is expected.
pub fn check_format(width: u32, height: u32, fps: f64) -> Result<()> {
    for (name, side) in [("width", width), ("height", height)] {
        if !(SIDE_MIN..=SIDE_MAX).contains(&side) || !side.is_multiple_of(2) {
            return Err(Error::Invalid(format!(
                "{name} {side}: expected an even number from {SIDE_MIN} to {SIDE_MAX}"
            )));
        }
    }
    if !(fps.is_finite() && fps > 0.0 && fps <= FPS_MAX) {
        return Err(Error::Invalid(format!(
            "{fps} frames a second: expected above 0, at most {FPS_MAX}"
        )));
    }
    Ok(())
}

impl PictureEncoder {
    /// For pictures of this size and about this rate.
    ///
    /// # Errors
    /// A size or rate out of range, or an encoder that does not start.
    pub fn new(width: u32, height: u32, fps: f64) -> Result<Self> {
        check_format(width, height, fps)?;
        // Constant quality, one thread, nothing that depends on the machine.
        let config = EncoderConfig::new()
            .rate_control_mode(RateControlMode::Off)
            .skip_frames(false)
            .max_frame_rate(FrameRate::from_hz(fps as f32))
            .usage_type(UsageType::CameraVideoRealTime)
            .complexity(Complexity::Low)
            .num_threads(1)
            .scene_change_detect(false)
            .background_detection(false)
            .adaptive_quantization(false)
            .intra_frame_period(IntraFramePeriod::auto())
            .vui(VuiConfig::bt601());
        let encoder =
            Encoder::with_api_config(OpenH264API::from_source(), config).map_err(refused)?;
        let (width, height) = (width as usize, height as usize);
        let key_every = (KEY_FRAME_EVERY_S * fps).round().max(1.0) as u64;
        Ok(Self {
            encoder,
            width,
            height,
            yuv: Yuv::new(width, height),
            key_every,
            frames: 0,
        })
    }

    /// The picture at `at_ms` as a byte stream (Annex B); [`nals`] takes it apart.
    ///
    /// # Errors
    /// A picture of another size, or an encoder that fails.
    pub fn encode(&mut self, picture: &Picture, at_ms: u64) -> Result<Vec<u8>> {
        let (width, height) = (picture.width as usize, picture.height as usize);
        if (width, height) != (self.width, self.height) || picture.rgb.len() != width * height * 3 {
            return Err(Error::Invalid(format!(
                "a picture of {width}x{height} in a video of {}x{}",
                self.width, self.height
            )));
        }
        self.yuv.convert(&picture.rgb);
        if self.frames > 0 && self.frames.is_multiple_of(self.key_every) {
            self.encoder.force_intra_frame();
        }
        self.frames += 1;
        let slices = YUVSlices::new(
            (&self.yuv.y, &self.yuv.u, &self.yuv.v),
            (self.width, self.height),
            (self.width, self.width / 2, self.width / 2),
        );
        Ok(self
            .encoder
            .encode_at(&slices, Timestamp::from_millis(at_ms))
            .map_err(refused)?
            .to_vec())
    }
}

/// The NAL units of a byte stream, without start codes.
pub fn nals(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    nal_units(stream).map(without_start_code)
}

impl Video {
    /// A video of this size and rate. `brand_version` goes into the file's first box.
    ///
    /// # Errors
    /// A size or rate out of range, or an encoder that does not start.
    pub fn new(width: u32, height: u32, fps: f64, brand_version: u32) -> Result<Self> {
        let encoder = PictureEncoder::new(width, height, fps)?;
        // In range: SIDE_MAX fits.
        Ok(Self {
            encoder,
            mp4: Mp4Writer::new(width as u16, height as u16, fps, brand_version),
            fps,
        })
    }

    /// Adds a picture.
    ///
    /// # Errors
    /// A picture of another size, or an encoder that fails.
    pub fn push(&mut self, picture: &Picture) -> Result<()> {
        let at_ms = (self.mp4.frames() as f64 * 1000.0 / self.fps).round() as u64;
        let stream = self.encoder.encode(picture, at_ms)?;
        self.mp4.push(nals(&stream))
    }

    /// The finished file.
    ///
    /// # Errors
    /// No picture was added.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.mp4.finish()
    }
}

fn refused(error: openh264::Error) -> Error {
    Error::Invalid(format!("H.264 encoder: {error}"))
}

/// Annex B: two or three zero bytes and a one stand before each unit.
fn without_start_code(nal: &[u8]) -> &[u8] {
    let zeros = nal.iter().take_while(|b| **b == 0).count();
    nal.get(zeros + 1..).unwrap_or_default()
}

/// Planes of a picture: luma in full, chroma at half the size in both directions.
struct Yuv {
    width: usize,
    y: Vec<u8>,
    u: Vec<u8>,
    v: Vec<u8>,
}

impl Yuv {
    fn new(width: usize, height: usize) -> Self {
        let (luma, chroma) = (width * height, width / 2 * (height / 2));
        Self {
            width,
            y: vec![0; luma],
            u: vec![0; chroma],
            v: vec![0; chroma],
        }
    }

    /// BT.601, limited range: what players assume for small pictures. Eight-bit fixed point.
    fn convert(&mut self, rgb: &[u8]) {
        let width = self.width;
        for (y, pixel) in self.y.iter_mut().zip(rgb.chunks_exact(3)) {
            let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(i32::from);
            *y = (((66 * r + 129 * g + 25 * b + 128) >> 8) + 16) as u8;
        }
        let half = width / 2;
        for (row, pair) in rgb.chunks_exact(width * 6).enumerate() {
            for x in 0..half {
                let mut sum = [0i32; 3];
                for at in [x * 6, x * 6 + 3, width * 3 + x * 6, width * 3 + x * 6 + 3] {
                    for (total, value) in sum.iter_mut().zip(&pair[at..at + 3]) {
                        *total += i32::from(*value);
                    }
                }
                let [r, g, b] = sum.map(|s| (s + 2) >> 2);
                self.u[row * half + x] = (((-38 * r - 74 * g + 112 * b + 128) >> 8) + 128) as u8;
                self.v[row * half + x] = (((112 * r - 94 * g - 18 * b + 128) >> 8) + 128) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use openh264::decoder::Decoder;
    use openh264::formats::YUVSource;

    use super::*;

    fn picture(shift: u32) -> Picture {
        let (width, height) = (96u32, 64u32);
        let mut rgb = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let inside = (x + shift) / 24 % 2 == y / 24 % 2;
                rgb.extend(if inside { [210, 60, 40] } else { [40, 90, 200] });
            }
        }
        Picture { width, height, rgb }
    }

    fn file(frames: u32) -> Vec<u8> {
        let mut video = Video::new(96, 64, 4.0, 7).unwrap();
        for i in 0..frames {
            video.push(&picture(i * 2)).unwrap();
        }
        video.finish().unwrap()
    }

    /// What a player does: the demuxer's samples into the decoder.
    fn decode(bytes: &[u8]) -> Vec<Picture> {
        let mp4 = re_mp4::Mp4::read_bytes(bytes).unwrap();
        let (_, track) = mp4.tracks().iter().next().unwrap();
        let config = track.raw_codec_config(&mp4).unwrap();
        let avcc = |at: usize| usize::from(config[at]) << 8 | usize::from(config[at + 1]);
        let sps = &config[8..8 + avcc(6)];
        let pps_at = 8 + sps.len() + 3;
        let pps = &config[pps_at..pps_at + avcc(pps_at - 2)];
        let mut decoder = Decoder::new().unwrap();
        let mut pictures = Vec::new();
        for (i, sample) in track.samples.iter().enumerate() {
            let mut annex_b = Vec::new();
            if i == 0 {
                for set in [sps, pps] {
                    annex_b.extend([0, 0, 0, 1]);
                    annex_b.extend(set);
                }
            }
            let mut data = &bytes[sample.byte_range()];
            while data.len() > 4 {
                let length = u32::from_be_bytes(data[..4].try_into().unwrap()) as usize;
                annex_b.extend([0, 0, 0, 1]);
                annex_b.extend(&data[4..4 + length]);
                data = &data[4 + length..];
            }
            if let Some(yuv) = decoder.decode(&annex_b).unwrap() {
                let (w, h) = yuv.dimensions();
                let mut rgb = vec![0; w * h * 3];
                yuv.write_rgb8(&mut rgb);
                pictures.push(Picture {
                    width: w as u32,
                    height: h as u32,
                    rgb,
                });
            }
        }
        pictures
    }

    #[test]
    fn a_video_is_demuxed_and_decoded_to_what_went_in() {
        let bytes = file(11);
        let mp4 = re_mp4::Mp4::read_bytes(&bytes).unwrap();
        let (_, track) = mp4.tracks().iter().next().unwrap();
        assert_eq!(
            (track.width, track.height, track.samples.len()),
            (96, 64, 11)
        );
        let times: Vec<f64> = track
            .samples
            .iter()
            .map(|s| s.composition_timestamp as f64 / s.timescale as f64)
            .collect();
        assert!(
            times
                .iter()
                .enumerate()
                .all(|(i, t)| (t - i as f64 * 0.25).abs() < 1e-9),
            "{times:?}"
        );
        let keys: Vec<usize> = track
            .samples
            .iter()
            .enumerate()
            .filter(|s| s.1.is_sync)
            .map(|s| s.0)
            .collect();
        assert_eq!(keys, [0, 8]);
        let pictures = decode(&bytes);
        assert_eq!(pictures.len(), 11);
        for (i, shown) in pictures.iter().enumerate() {
            let meant = picture(i as u32 * 2);
            let off: u64 = shown
                .rgb
                .iter()
                .zip(&meant.rgb)
                .map(|(a, b)| u64::from(a.abs_diff(*b)))
                .sum();
            let mean = off as f64 / meant.rgb.len() as f64;
            assert!(mean < 8.0, "frame {i}: {mean} off");
        }
    }

    #[test]
    fn the_same_pictures_give_the_same_bytes() {
        assert_eq!(file(5), file(5));
    }

    #[test]
    fn what_cannot_be_encoded_is_refused() {
        for (w, h, fps) in [
            (95, 64, 4.0),
            (96, 0, 4.0),
            (96, 64, 0.0),
            (96, 64, f64::NAN),
            (100_000, 64, 4.0),
        ] {
            assert!(Video::new(w, h, fps, 0).is_err(), "{w}x{h} at {fps}");
        }
        let mut video = Video::new(64, 96, 4.0, 0).unwrap();
        assert!(video.push(&picture(0)).is_err());
        assert!(video.finish().is_err());
    }
}
