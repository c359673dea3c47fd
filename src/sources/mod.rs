//! Where frames and words come from: cameras, video, folders of pictures, feature files, frame
//! files, scripts.
//!
//! [`open()`] looks at a path's content and gives the [`Source`](crate::stream::Source) that fits.
//! Every recorded source is sampled by the same [`Sampler`]; [`Merged`] puts timed words and hands
//! between the frames, [`Paced`] holds a recording to a clock, [`From`] leaves its beginning out.

pub mod camera;
mod decoder;
pub mod encode;
mod features;
mod ffmpeg;
mod from;
mod h264;
mod images;
mod mp4;
pub mod mux;
mod open;
mod paced;
mod picture;
mod read_back;
mod sampler;
mod script;
mod video;

pub use features::FeatureSource;
pub use ffmpeg::FfmpegSource;
pub use from::From;
pub use images::{ImageSource, decode_picture, natural, read_picture};
pub use open::{OpenOptions, open};
pub use paced::Paced;
pub use read_back::ReadBack;
pub use sampler::{FPS_MAX, Sampler};
pub use script::{Merged, ScriptSource, at, parse_inputs, read_inputs};
pub use video::VideoSource;
