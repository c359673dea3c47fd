//! What a player will show of a video that is being written: each access unit is decoded as
//! [`VideoSource`](super::VideoSource) will decode it.

use super::decode::Decoder;
use super::h264::unit;
use super::sps::Sps;
use crate::error::{Error, Result};
use crate::sources::picture::to_rgb;
use crate::stream::Picture;

/// Decodes a stream that does not reorder its pictures, one picture at a time.
pub struct ReadBack {
    decoder: Decoder,
    sps: Option<Sps>,
    units: usize,
}

impl ReadBack {
    /// Begins at the start of a stream.
    ///
    /// # Errors
    /// The decoder does not start.
    pub fn new() -> Result<Self> {
        let decoder = Decoder::new()
            .map_err(|why| Error::Invalid(format!("the H.264 decoder does not start: {why}")))?;
        Ok(Self {
            decoder,
            sps: None,
            units: 0,
        })
    }

    /// Decodes the picture of an access unit. `stream` is its byte stream; `nals` are the same
    /// units without start codes.
    ///
    /// # Errors
    /// The access unit gives no picture.
    pub fn decode<'a>(
        &mut self,
        stream: &[u8],
        mut nals: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Picture> {
        let found = nals.find(|nal| nal.first().is_some_and(|b| b & 0x1f == unit::SPS));
        self.sps = found.and_then(|nal| Sps::parse(nal).ok()).or(self.sps);
        let matrix = self.sps.and_then(|s| s.matrix).unwrap_or_default();
        let full = self.sps.and_then(|s| s.full_range).unwrap_or_default();
        let mut picture = None;
        let decoded = self.decoder.decode(stream, self.units, &mut |_, planes| {
            picture = to_rgb(planes, matrix, full)
        });
        self.units += 1;
        match (decoded, picture) {
            (Ok(()), Some(picture)) => Ok(picture),
            _ => Err(Error::Invalid(
                "the recorded video cannot be read back".into(),
            )),
        }
    }
}
