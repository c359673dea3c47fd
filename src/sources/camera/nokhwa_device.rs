//! Formats and frames through nokhwa, on macOS and Windows; on Linux see `v4l2`.

use nokhwa::Camera;
use nokhwa::utils::{CameraFormat, FrameFormat};
#[cfg(not(target_os = "linux"))]
use nokhwa::utils::{CameraIndex, RequestedFormat, RequestedFormatType, Resolution, frame_formats};

use super::device::{Device, Fault};
#[cfg(not(target_os = "linux"))]
use super::device::{Found, label};
use super::pixels::{Format, Pixels};

/// Opens a camera in one of the formats that it offers.
///
/// # Errors
/// It cannot be opened, or not so.
#[cfg(not(target_os = "linux"))]
pub(super) fn open(camera: &Found, format: Format) -> Result<Box<dyn Device>, Fault> {
    let fault = |e: nokhwa::NokhwaError| Fault::of_words(&label(camera), &e.to_string());
    let wanted = CameraFormat::new(
        Resolution::new(format.width, format.height),
        layout(format.pixels),
        format.fps,
    );
    let request =
        RequestedFormat::with_formats(RequestedFormatType::Exact(wanted), frame_formats());
    let opened = Camera::new(CameraIndex::Index(camera.index), request).map_err(fault)?;
    Ok(Box::new(NokhwaDevice::start(opened, label(camera))?))
}

/// What a camera offers; asking changes nothing about it.
///
/// # Errors
/// It cannot be asked.
#[cfg(not(target_os = "linux"))]
pub(super) fn offered(camera: &Found) -> Result<Vec<Format>, Fault> {
    let fault = |e: nokhwa::NokhwaError| Fault::of_words(&label(camera), &e.to_string());
    let any = RequestedFormat::with_formats(RequestedFormatType::None, frame_formats());
    let mut opened = Camera::new(CameraIndex::Index(camera.index), any).map_err(fault)?;
    Ok(opened
        .compatible_camera_formats()
        .map_err(fault)?
        .into_iter()
        .map(of_nokhwa)
        .collect())
}

/// An open camera of nokhwa's.
pub(super) struct NokhwaDevice {
    camera: Camera,
    format: Format,
    label: String,
}

impl NokhwaDevice {
    /// Lets the frames come.
    ///
    /// # Errors
    /// The stream does not start.
    pub(super) fn start(mut camera: Camera, label: String) -> Result<Self, Fault> {
        camera
            .open_stream()
            .map_err(|e| Fault::of_words(&label, &e.to_string()))?;
        let format = of_nokhwa(camera.camera_format());
        Ok(Self {
            camera,
            format,
            label,
        })
    }
}

impl Device for NokhwaDevice {
    fn format(&self) -> Format {
        self.format
    }

    fn read(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        match self.camera.frame_raw() {
            Ok(buffer) => {
                take(&buffer);
                Ok(())
            }
            Err(e) => Err(Fault::of_words(&self.label, &e.to_string())),
        }
    }
}

impl Drop for NokhwaDevice {
    fn drop(&mut self) {
        // What is gone cannot be stopped, and need not be.
        let _ = self.camera.stop_stream();
    }
}

fn of_nokhwa(format: CameraFormat) -> Format {
    let pixels = match format.format() {
        FrameFormat::MJPEG => Pixels::Mjpeg,
        FrameFormat::YUYV => Pixels::Yuyv,
        FrameFormat::NV12 => Pixels::Nv12,
        FrameFormat::GRAY => Pixels::Gray,
        // Media Foundation's RGB24 has blue first, whatever it is called.
        FrameFormat::RAWRGB if cfg!(target_os = "windows") => Pixels::Bgr,
        FrameFormat::RAWRGB => Pixels::Rgb,
        FrameFormat::RAWBGR => Pixels::Bgr,
    };
    Format {
        width: format.width(),
        height: format.height(),
        pixels,
        fps: format.frame_rate(),
    }
}

#[cfg(not(target_os = "linux"))]
fn layout(pixels: Pixels) -> FrameFormat {
    match pixels {
        Pixels::Mjpeg => FrameFormat::MJPEG,
        Pixels::Yuyv => FrameFormat::YUYV,
        Pixels::Nv12 => FrameFormat::NV12,
        Pixels::Gray => FrameFormat::GRAY,
        Pixels::Bgr if cfg!(target_os = "windows") => FrameFormat::RAWRGB,
        Pixels::Rgb => FrameFormat::RAWRGB,
        Pixels::Bgr => FrameFormat::RAWBGR,
    }
}
