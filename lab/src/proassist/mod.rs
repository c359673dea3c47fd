//! ProAssist's Arrow files: features, read and written, and frames, read.

pub mod arrow;
mod arrow_writer;
mod frame_file;
pub mod open;

pub use arrow_writer::write as write_arrow;
pub use frame_file::FrameFileSource;
