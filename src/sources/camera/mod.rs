//! The live camera.
//!
//! ```text
//! Backend --open--> Device --bytes--> capture thread --> Ring <--newest-- CameraSource --Frame--> engine
//! ```
//!
//! The capture thread copies what the driver gives and decodes nothing; the source decodes the
//! frames that are due. A camera that goes away is told as
//! [`Input::Source`](crate::stream::Input::Source), looked for by what it is (not by its number),
//! and an error only when it has been away for long.

mod capture;
mod device;
#[cfg(test)]
mod fake;
mod jpeg;
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

pub use capture::{Clock, Counts, Link, Phase, Starter, Threads};
pub use device::{Backend, Choice, Device, Fault, Found, Wanted, label};
#[cfg(feature = "camera")]
pub use native::Native;
pub use pixels::{Format, Mounting, Pixels, decode};
pub use ring::{Ring, Shot};
pub use source::{CameraSource, Watch};
