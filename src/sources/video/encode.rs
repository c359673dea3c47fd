//! Pictures to H.264, the same bytes each time.

use openh264::OpenH264API;
use openh264::Timestamp;
use openh264::encoder::{
    Complexity, Encoder, EncoderConfig, FrameRate, IntraFramePeriod, RateControlMode, UsageType,
    VuiConfig,
};
use openh264::formats::YUVSlices;

use crate::error::{Error, Result};
use crate::stream::Picture;

/// Longest time between two key frames, in seconds.
const KEY_FRAME_EVERY_S: f64 = 2.0;
/// Shortest and longest side of a picture.
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

/// Checks that pictures of this size and rate can be encoded.
///
/// # Errors
/// They cannot; the error says which number is out of range, and what is expected.
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
    /// Starts an encoder for pictures of this size that come at about this rate.
    ///
    /// # Errors
    /// The size or the rate is out of range, or the encoder does not start.
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

    /// Encodes the picture at `at_ms` to a byte stream (Annex B), which [`nals`](super::nals) takes
    /// apart.
    ///
    /// # Errors
    /// The picture has another size, or the encoder fails.
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

fn refused(error: openh264::Error) -> Error {
    Error::Invalid(format!("H.264 encoder: {error}"))
}

/// The planes of a picture: luma in full size, chroma at half the width and half the height.
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

    /// Converts by BT.601 in limited range, which players assume for small pictures, in fixed-point
    /// numbers with eight bits behind the point.
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
