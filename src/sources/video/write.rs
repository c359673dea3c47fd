//! Pictures to an MP4 file in memory, the same bytes each time.

use super::encode::PictureEncoder;
use super::h264::nals;
use super::mux::Mp4Writer;
use crate::error::Result;
use crate::stream::Picture;

/// Makes an MP4 file of pictures of one size that come at one rate.
pub struct VideoWriter {
    encoder: PictureEncoder,
    mp4: Mp4Writer,
    fps: f64,
}

impl VideoWriter {
    /// Begins a video of this size and rate. `brand_version` goes into the file's first box.
    ///
    /// # Errors
    /// The size or the rate is out of range, or the encoder does not start.
    pub fn new(width: u32, height: u32, fps: f64, brand_version: u32) -> Result<Self> {
        let encoder = PictureEncoder::new(width, height, fps)?;
        // The encoder has checked that both sides fit in 16 bits.
        Ok(Self {
            encoder,
            mp4: Mp4Writer::new(width as u16, height as u16, fps, brand_version),
            fps,
        })
    }

    /// Adds a picture.
    ///
    /// # Errors
    /// The picture has another size, or the encoder fails.
    pub fn push(&mut self, picture: &Picture) -> Result<()> {
        let at_ms = (self.mp4.frames() as f64 * 1000.0 / self.fps).round() as u64;
        let stream = self.encoder.encode(picture, at_ms)?;
        self.mp4.push(nals(&stream))
    }

    /// Returns the bytes of the finished file.
    ///
    /// # Errors
    /// No picture was added.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.mp4.finish()
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
        let mut video = VideoWriter::new(96, 64, 4.0, 7).unwrap();
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
            assert!(VideoWriter::new(w, h, fps, 0).is_err(), "{w}x{h} at {fps}");
        }
        let mut video = VideoWriter::new(64, 96, 4.0, 0).unwrap();
        assert!(video.push(&picture(0)).is_err());
        assert!(video.finish().is_err());
    }
}
