//! The live camera.
//!
//! ```text
//! Backend --open--> Device --bytes--> capture thread --> Ring <--newest-- CameraSource --Frame-->
//! ```
//!
//! The capture thread copies what the driver gives and decodes nothing; the source decodes the
//! frames that are due. A camera that goes away is reported as an
//! [`Input::Source`](crate::stream::Input::Source) and looked for by what it is, not by its number.
//! It is an error only when it has been away for long.

mod capture;
mod device;
#[cfg(test)]
mod fake;
mod jpeg;
mod limits;
#[cfg(feature = "camera")]
mod native;
#[cfg(all(feature = "camera", any(test, not(target_os = "linux"))))]
mod nokhwa_device;
mod pixels;
mod ring;
mod source;
#[cfg(test)]
mod tests;
#[cfg(all(target_os = "linux", feature = "camera"))]
mod v4l2;

pub use capture::{CameraThreads, Clock, Counts, Link, Phase, Starter};
pub use device::{Backend, CameraError, CameraRequest, Choice, Device, ListedCamera, label};
pub use limits::CameraLimits;
#[cfg(feature = "camera")]
pub use native::Native;
pub use pixels::{Format, Mounting, PixelLayout, decode};
pub use ring::{RawFrame, Ring};
pub use source::CameraSource;
