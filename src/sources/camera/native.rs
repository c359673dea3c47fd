//! The system's cameras through nokhwa: V4L2 on Linux, AVFoundation on macOS, Media Foundation on Windows.

use nokhwa::Camera;
use nokhwa::utils::{ApiBackend, CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType, Resolution, frame_formats};

use super::device::{Backend, Device, Fault, Found, label};
use super::pixels::{Format, Pixels};

/// Formats that are tried before a camera counts as one that cannot be set.
const TRIES_MAX: usize = 8;

/// The cameras of this system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Native;

impl Backend for Native {
    fn list(&self) -> Result<Vec<Found>, Fault> {
        ask()?;
        let cameras = nokhwa::query(ApiBackend::Auto).map_err(|e| Fault::Driver(format!("the system's list of cameras: {e}")))?;
        let mut found: Vec<Found> = cameras
            .iter()
            .filter_map(|info| {
                let index = info.index().as_index().ok()?;
                Some(identified(Found { index, name: info.human_name(), id: info.misc(), path: None }))
            })
            .collect();
        found.sort_by_key(|camera| camera.index);
        Ok(found)
    }

    fn formats(&self, camera: &Found) -> Result<Vec<Format>, Fault> {
        offered(camera)
    }

    fn open(&self, camera: &Found, ranked: &[Format]) -> Result<Box<dyn Device>, Fault> {
        let mut first_fault = None;
        for format in ranked.iter().take(TRIES_MAX) {
            let fault = match open_in(camera, *format) {
                Ok(device) => return Ok(device),
                Err(fault) => fault,
            };
            // Another format changes nothing about these.
            if matches!(fault, Fault::Busy(_) | Fault::Denied(_) | Fault::Missing(_)) {
                return Err(fault);
            }
            first_fault.get_or_insert(fault);
        }
        Err(first_fault.unwrap_or_else(|| Fault::Unfit(format!("{} takes no format", label(camera)))))
    }
}

fn open_in(camera: &Found, format: Format) -> Result<Box<dyn Device>, Fault> {
    #[cfg(target_os = "linux")]
    if format.pixels == Pixels::Gray {
        return Ok(Box::new(GrayDevice::open(camera, format)?));
    }
    prepare(camera, format);
    let fault = |e: nokhwa::NokhwaError| Fault::of_words(&label(camera), &e.to_string());
    let wanted = CameraFormat::new(Resolution::new(format.width, format.height), layout(format.pixels), format.fps);
    let request = RequestedFormat::with_formats(RequestedFormatType::Exact(wanted), frame_formats());
    let opened = Camera::new(CameraIndex::Index(camera.index), request).map_err(fault)?;
    Ok(Box::new(NokhwaDevice::start(opened, label(camera))?))
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
        camera.open_stream().map_err(|e| Fault::of_words(&label, &e.to_string()))?;
        let format = of_nokhwa(camera.camera_format());
        Ok(Self { camera, format, label })
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
    Format { width: format.width(), height: format.height(), pixels, fps: format.frame_rate() }
}

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

#[cfg(target_os = "linux")]
use super::v4l2::{GrayDevice, identified, offered, prepare};

#[cfg(not(target_os = "linux"))]
fn identified(found: Found) -> Found {
    found
}

/// macOS asks the person once, and lists no camera before they have answered.
#[cfg(target_os = "macos")]
fn ask() -> Result<(), Fault> {
    const ANSWER_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
    if nokhwa::nokhwa_check() {
        return Ok(());
    }
    let (told, answer) = std::sync::mpsc::channel();
    nokhwa::nokhwa_initialize(move |allowed| _ = told.send(allowed));
    match answer.recv_timeout(ANSWER_LIMIT) {
        Ok(true) => Ok(()),
        _ => Err(Fault::Denied("the camera".into())),
    }
}

#[cfg(not(target_os = "macos"))]
fn ask() -> Result<(), Fault> {
    Ok(())
}

/// Elsewhere a device is set to no format before one is chosen, so asking through nokhwa changes nothing.
#[cfg(not(target_os = "linux"))]
fn offered(camera: &Found) -> Result<Vec<Format>, Fault> {
    let fault = |e: nokhwa::NokhwaError| Fault::of_words(&label(camera), &e.to_string());
    let any = RequestedFormat::with_formats(RequestedFormatType::None, frame_formats());
    let mut opened = Camera::new(CameraIndex::Index(camera.index), any).map_err(fault)?;
    Ok(opened.compatible_camera_formats().map_err(fault)?.into_iter().map(of_nokhwa).collect())
}

#[cfg(not(target_os = "linux"))]
fn prepare(_camera: &Found, _format: Format) {}
