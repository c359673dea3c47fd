//! Formats and frames through nokhwa, on macOS and Windows. For Linux there is `v4l2`.

use nokhwa::Camera;
use nokhwa::utils::{CameraFormat, FrameFormat};
#[cfg(not(target_os = "linux"))]
use nokhwa::utils::{CameraIndex, RequestedFormat, RequestedFormatType, Resolution, frame_formats};

use super::device::{CameraError, Device};
#[cfg(not(target_os = "linux"))]
use super::device::{ListedCamera, label};
use super::pixels::{Format, PixelLayout};

/// Opens a camera in one of the formats that it offers.
///
/// # Errors
/// The camera cannot be opened, or not in this format.
#[cfg(not(target_os = "linux"))]
pub(super) fn open(camera: &ListedCamera, format: Format) -> Result<Box<dyn Device>, CameraError> {
    let error = |e: nokhwa::NokhwaError| CameraError::from_message(&label(camera), &e.to_string());
    let wanted = CameraFormat::new(
        Resolution::new(format.width, format.height),
        layout(format.pixels),
        format.fps,
    );
    let request =
        RequestedFormat::with_formats(RequestedFormatType::Exact(wanted), frame_formats());
    let opened = Camera::new(CameraIndex::Index(camera.index), request).map_err(error)?;
    Ok(Box::new(NokhwaDevice::start(opened, label(camera))?))
}

/// Lists what a camera offers. Asking changes nothing about the camera.
///
/// # Errors
/// The camera cannot be asked.
#[cfg(not(target_os = "linux"))]
pub(super) fn offered(camera: &ListedCamera) -> Result<Vec<Format>, CameraError> {
    let error = |e: nokhwa::NokhwaError| CameraError::from_message(&label(camera), &e.to_string());
    let any = RequestedFormat::with_formats(RequestedFormatType::None, frame_formats());
    let mut opened = Camera::new(CameraIndex::Index(camera.index), any).map_err(error)?;
    Ok(opened
        .compatible_camera_formats()
        .map_err(error)?
        .into_iter()
        .map(of_nokhwa)
        .collect())
}

/// A camera that nokhwa has opened.
pub(super) struct NokhwaDevice {
    camera: Camera,
    format: Format,
    label: String,
}

impl NokhwaDevice {
    /// Starts the stream of frames.
    ///
    /// # Errors
    /// The stream does not start.
    pub(super) fn start(mut camera: Camera, label: String) -> Result<Self, CameraError> {
        camera
            .open_stream()
            .map_err(|e| CameraError::from_message(&label, &e.to_string()))?;
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

    fn read(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<(), CameraError> {
        match self.camera.frame_raw() {
            Ok(buffer) => {
                take(&buffer);
                Ok(())
            }
            Err(e) => Err(CameraError::from_message(&self.label, &e.to_string())),
        }
    }
}

impl Drop for NokhwaDevice {
    fn drop(&mut self) {
        // A camera that is gone cannot be stopped, and need not be.
        let _ = self.camera.stop_stream();
    }
}

fn of_nokhwa(format: CameraFormat) -> Format {
    let pixels = match format.format() {
        FrameFormat::MJPEG => PixelLayout::Mjpeg,
        FrameFormat::YUYV => PixelLayout::Yuyv,
        FrameFormat::NV12 => PixelLayout::Nv12,
        FrameFormat::GRAY => PixelLayout::Gray,
        // Media Foundation's RGB24 has blue first, whatever it is called.
        FrameFormat::RAWRGB if cfg!(target_os = "windows") => PixelLayout::Bgr,
        FrameFormat::RAWRGB => PixelLayout::Rgb,
        FrameFormat::RAWBGR => PixelLayout::Bgr,
    };
    Format {
        width: format.width(),
        height: format.height(),
        pixels,
        fps: format.frame_rate(),
    }
}

#[cfg(not(target_os = "linux"))]
fn layout(pixels: PixelLayout) -> FrameFormat {
    match pixels {
        PixelLayout::Mjpeg => FrameFormat::MJPEG,
        PixelLayout::Yuyv => FrameFormat::YUYV,
        PixelLayout::Nv12 => FrameFormat::NV12,
        PixelLayout::Gray => FrameFormat::GRAY,
        PixelLayout::Bgr if cfg!(target_os = "windows") => FrameFormat::RAWRGB,
        PixelLayout::Rgb => FrameFormat::RAWRGB,
        PixelLayout::Bgr => FrameFormat::RAWBGR,
    }
}
