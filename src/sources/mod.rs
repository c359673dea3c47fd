//! Where frames and words come from: cameras, video, folders of pictures, feature files, frame
//! files, scripts.
//!
//! [`open()`] looks at what is in a file or folder and returns the
//! [`Source`](crate::stream::Source) that reads it. Every recording is sampled by the same
//! [`Sampler`].
//!
//! Some sources wrap another one: [`Merged`] puts timed words and hands between its frames,
//! [`Paced`] holds it to a clock, [`StartingAt`] leaves its beginning out, and [`Blind`] hides what
//! its frames show.

mod blind;
pub mod camera;
mod features;
mod images;
mod open;
mod paced;
mod picture;
mod sampler;
mod script;
mod starting_at;
pub mod video;

pub use blind::Blind;
pub use features::FeatureSource;
pub use images::{ImageSource, decode_picture, read_picture};
pub use open::{OpenOptions, open};
pub use paced::Paced;
pub use sampler::{FPS_MAX, Sampler};
pub use script::{Merged, ScriptSource, parse_inputs, read_inputs};
pub use starting_at::StartingAt;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::fake::assert_forwards;
    use crate::units::MediaTime;

    #[test]
    fn a_source_that_wraps_another_one_forwards_everything() {
        assert_forwards(|inner| Box::new(Merged::new(inner, Vec::new())));
        assert_forwards(|inner| Box::new(Paced::new(inner, 1.0, || 0.0)));
        assert_forwards(|inner| Box::new(StartingAt::new(inner, MediaTime(1.0))));
        assert_forwards(|inner| Box::new(Blind::new(inner, 1)));
    }
}
