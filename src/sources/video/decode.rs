//! Decodes H.264: access units go in, and pictures come out, each with the number of its sample.
//!
//! The safe wrapper of the openh264 crate does not say to which sample a picture belongs once
//! pictures are reordered. This file therefore calls the same decoder one level below, where every
//! access unit carries a time stamp that comes back with its picture. The number of the sample is
//! used as the stamp.

use openh264::decoder::{Decoder as OpenH264, DecoderConfig, Flush};
use openh264_sys2::{DECODER_OPTION_NUM_OF_FRAMES_REMAINING_IN_BUFFER, SBufferInfo, dsErrorFree};

use crate::sources::picture::Planes;

/// Most pictures that the decoder can hold back. Flushing is tried no more often than this, so that
/// it ends.
const HELD_MAX: usize = 16;

/// The decoder met data that it cannot decode. A new decoder has to start at the next IDR picture.
#[derive(Debug)]
pub(super) struct Corrupt;

/// One decoder; pictures come out in its own order.
pub(super) struct Decoder {
    inner: OpenH264,
}

impl Decoder {
    /// Starts a decoder.
    ///
    /// # Errors
    /// It does not start; the error says why.
    pub fn new() -> Result<Self, String> {
        let api = openh264::OpenH264API::from_source();
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        Ok(Self {
            inner: OpenH264::with_api_config(api, config).map_err(|e| e.to_string())?,
        })
    }

    /// Decodes one access unit, given as a byte stream. `out` gets every picture that it finishes.
    pub fn decode(
        &mut self,
        stream: &[u8],
        sample: usize,
        out: &mut dyn FnMut(usize, &Planes<'_>),
    ) -> Result<(), Corrupt> {
        // The second call says that the access unit is complete; it is then decoded at once.
        self.call(stream, sample, out)?;
        self.call(&[], sample, out)
    }

    fn call(
        &mut self,
        stream: &[u8],
        sample: usize,
        out: &mut dyn FnMut(usize, &Planes<'_>),
    ) -> Result<(), Corrupt> {
        let length = i32::try_from(stream.len()).map_err(|_| Corrupt)?;
        let data = if stream.is_empty() {
            std::ptr::null()
        } else {
            stream.as_ptr()
        };
        let mut planes = [std::ptr::null_mut::<u8>(); 3];
        let mut info = SBufferInfo {
            uiInBsTimeStamp: sample as u64,
            ..SBufferInfo::default()
        };
        // SAFETY: `data` is null or valid for `length` bytes during the call; `planes` and `info`
        // are ours and have the types that the interface asks for. No option that the wrapper
        // relies on changes.
        let state = unsafe {
            self.inner
                .raw_api()
                .decode_frame2(data, length, planes.as_mut_ptr(), &raw mut info)
        };
        hand_out(&planes, &info, out);
        if state == dsErrorFree {
            Ok(())
        } else {
            Err(Corrupt)
        }
    }

    /// Hands out the pictures that the decoder still holds back. This may be called only at the end
    /// of a stream or of the decoder's life.
    pub fn drain(&mut self, out: &mut dyn FnMut(usize, &Planes<'_>)) {
        for _ in 0..HELD_MAX {
            let mut held = 0i32;
            let mut planes = [std::ptr::null_mut::<u8>(); 3];
            let mut info = SBufferInfo::default();
            // SAFETY: the option asks for one `int`; `planes` and `info` are ours and of the right
            // types.
            unsafe {
                let api = self.inner.raw_api();
                api.get_option(
                    DECODER_OPTION_NUM_OF_FRAMES_REMAINING_IN_BUFFER,
                    (&raw mut held).cast(),
                );
                if held <= 0 {
                    return;
                }
                api.flush_frame(planes.as_mut_ptr(), &raw mut info);
            }
            hand_out(&planes, &info, out);
        }
    }
}

/// Turns the decoder's pointers into slices for the length of one call of `out`.
fn hand_out(data: &[*mut u8; 3], info: &SBufferInfo, out: &mut dyn FnMut(usize, &Planes<'_>)) {
    if info.iBufferStatus != 1 || data.iter().any(|p| p.is_null()) {
        return;
    }
    // SAFETY: with status 1 the decoder filled the union's only member.
    let buffer = unsafe { info.UsrData.sSystemBuffer };
    let size = |n: i32| usize::try_from(n).ok().filter(|n| *n > 0);
    let (Some(width), Some(height)) = (size(buffer.iWidth), size(buffer.iHeight)) else {
        return;
    };
    let (Some(luma_stride), Some(chroma_stride)) =
        (size(buffer.iStride[0]), size(buffer.iStride[1]))
    else {
        return;
    };
    let (chroma_width, chroma_height) = (width.div_ceil(2), height.div_ceil(2));
    if luma_stride < width || chroma_stride < chroma_width {
        return;
    }
    // The last row ends at the picture's width: cropping moves the pointers into the buffer, so a
    // whole stride there could reach past its end.
    let luma_bytes = (height - 1) * luma_stride + width;
    let chroma_bytes = (chroma_height - 1) * chroma_stride + chroma_width;
    // SAFETY: the decoder owns three planes of at least these sizes and leaves them alone until its
    // next call.
    let (y, u, v) = unsafe {
        (
            std::slice::from_raw_parts(data[0], luma_bytes),
            std::slice::from_raw_parts(data[1], chroma_bytes),
            std::slice::from_raw_parts(data[2], chroma_bytes),
        )
    };
    let Ok(sample) = usize::try_from(info.uiOutYuvTimeStamp) else {
        return;
    };
    out(
        sample,
        &Planes {
            width,
            height,
            y,
            u,
            v,
            luma_stride,
            chroma_stride,
        },
    );
}
