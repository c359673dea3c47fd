//! Video in files: MP4 with H.264, both ways.
//!
//! ```text
//! file -> demux -> h264, sps -> decode -> source -> pictures    (ffmpeg: every other kind)
//! pictures -> encode -> mux -> file                             (read_back: what a player shows)
//! ```
//!
//! Decoder and encoder are OpenH264, which is compiled from source. It is slow without its
//! assembly: see [`has_assembly`].

mod assembly;
mod decode;
mod demux;
mod encode;
pub(super) mod ffmpeg;
mod h264;
mod mux;
mod read_back;
mod source;
mod sps;
mod write;

pub use assembly::has_assembly;
pub(super) use demux::Unplayable;
pub use encode::{PictureEncoder, check_format};
pub use ffmpeg::FfmpegSource;
pub use h264::nals;
pub use mux::{FragmentWriter, Mp4Writer};
pub use read_back::ReadBack;
pub use source::VideoSource;
pub use write::VideoWriter;
