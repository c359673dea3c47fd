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
                Ok(device) => return Ok(Box::new(device)),
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

fn open_in(camera: &Found, format: Format) -> Result<NokhwaDevice, Fault> {
    prepare(camera, format);
    let fault = |e: nokhwa::NokhwaError| Fault::of_words(&label(camera), &e.to_string());
    let wanted = CameraFormat::new(Resolution::new(format.width, format.height), layout(format.pixels), format.fps);
    let request = RequestedFormat::with_formats(RequestedFormatType::Exact(wanted), frame_formats());
    let opened = Camera::new(CameraIndex::Index(camera.index), request).map_err(fault)?;
    NokhwaDevice::start(opened, label(camera))
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
use linux::{identified, offered, prepare};

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

/// What nokhwa leaves out on Linux. It lists the corners of a range of sizes only, sets the device to a format in order to
/// list them, and cannot open one that another program left in a format or at a rate that it does not know.
#[cfg(target_os = "linux")]
mod linux {
    use std::path::PathBuf;

    use v4l::frameinterval::FrameIntervalEnum;
    use v4l::framesize::{FrameSizeEnum, Stepwise};
    use v4l::video::Capture;
    use v4l::video::capture::Parameters;
    use v4l::{FourCC, Fraction};

    use super::super::device::{Fault, Found, label};
    use super::super::pixels::{Format, Pixels};

    /// Sizes that are looked for in a range.
    const SIZES: [(u32, u32); 6] = [(320, 240), (640, 360), (640, 480), (800, 600), (1280, 720), (1920, 1080)];
    /// Rates that are looked for in a range.
    const RATES: [u32; 6] = [5, 10, 15, 25, 30, 60];

    /// The file, and the place of its plug: it stays when the number changes.
    pub(super) fn identified(mut found: Found) -> Found {
        let path = PathBuf::from(format!("/dev/video{}", found.index));
        let place = std::fs::canonicalize(format!("/sys/class/video4linux/video{}/device", found.index));
        found.id = place.map_or_else(|_| String::new(), |place| place.display().to_string());
        found.path = Some(path);
        found
    }

    pub(super) fn offered(camera: &Found) -> Result<Vec<Format>, Fault> {
        let fault = |e: std::io::Error| Fault::of_words(&label(camera), &e.to_string());
        let device = v4l::Device::new(camera.index as usize).map_err(fault)?;
        let mut formats = Vec::new();
        // A file of a camera that sends no pictures, but data about them, has no such list.
        for description in device.enum_formats().unwrap_or_default() {
            let Some(pixels) = pixels_of(description.fourcc) else { continue };
            for size in device.enum_framesizes(description.fourcc).unwrap_or_default() {
                for (width, height) in sizes(size.size) {
                    let rates = device.enum_frameintervals(description.fourcc, width, height).unwrap_or_default();
                    let rates = rates.into_iter().flat_map(|interval| rates_of(interval.interval));
                    formats.extend(rates.map(|fps| Format { width, height, pixels, fps }));
                }
            }
        }
        Ok(formats)
    }

    /// Sets format and rate; what the driver makes of it is seen when nokhwa opens it.
    pub(super) fn prepare(camera: &Found, format: Format) {
        let Ok(device) = v4l::Device::new(camera.index as usize) else { return };
        let _ = device.set_format(&v4l::Format::new(format.width, format.height, fourcc_of(format.pixels)));
        let _ = device.set_params(&Parameters::new(Fraction::new(1, format.fps)));
    }

    /// Names that nokhwa opens too: it knows GREY by another name only, so that is left out.
    fn pixels_of(fourcc: FourCC) -> Option<Pixels> {
        [Pixels::Mjpeg, Pixels::Yuyv, Pixels::Nv12, Pixels::Rgb, Pixels::Bgr].into_iter().find(|p| fourcc_of(*p) == fourcc)
    }

    fn fourcc_of(pixels: Pixels) -> FourCC {
        FourCC::new(match pixels {
            Pixels::Mjpeg => b"MJPG",
            Pixels::Yuyv => b"YUYV",
            Pixels::Nv12 => b"NV12",
            Pixels::Rgb => b"RGB3",
            Pixels::Bgr => b"BGR3",
            Pixels::Gray => b"GREY",
        })
    }

    fn sizes(size: FrameSizeEnum) -> Vec<(u32, u32)> {
        match size {
            FrameSizeEnum::Discrete(one) => vec![(one.width, one.height)],
            FrameSizeEnum::Stepwise(range) => in_range(&range),
        }
    }

    fn in_range(range: &Stepwise) -> Vec<(u32, u32)> {
        let on_step = |value: u32, min: u32, max: u32, step: u32| (min..=max).contains(&value) && (value - min).is_multiple_of(step.max(1));
        let fits = |(w, h): &(u32, u32)| {
            on_step(*w, range.min_width, range.max_width, range.step_width)
                && on_step(*h, range.min_height, range.max_height, range.step_height)
        };
        let mut sizes: Vec<(u32, u32)> = SIZES.into_iter().filter(fits).collect();
        sizes.extend([(range.min_width, range.min_height), (range.max_width, range.max_height)]);
        sizes.dedup();
        sizes
    }

    /// Whole rates: nokhwa takes no others.
    fn rates_of(interval: FrameIntervalEnum) -> Vec<u32> {
        let seconds = |f: &Fraction| f64::from(f.numerator) / f64::from(f.denominator.max(1));
        match interval {
            FrameIntervalEnum::Discrete(one) if one.numerator == 1 => vec![one.denominator],
            FrameIntervalEnum::Discrete(_) => Vec::new(),
            FrameIntervalEnum::Stepwise(range) => {
                let (shortest, longest) = (seconds(&range.min), seconds(&range.max));
                RATES.into_iter().filter(|fps| (shortest..=longest).contains(&(1.0 / f64::from(*fps)))).collect()
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn ranges_are_listed_by_the_sizes_and_rates_that_people_use() {
            let range = Stepwise { min_width: 320, max_width: 1280, step_width: 2, min_height: 180, max_height: 720, step_height: 2 };
            assert_eq!(in_range(&range), [(320, 240), (640, 360), (640, 480), (800, 600), (1280, 720), (320, 180), (1280, 720)]);
            assert_eq!(rates_of(FrameIntervalEnum::Discrete(Fraction::new(1, 30))), [30]);
            assert!(rates_of(FrameIntervalEnum::Discrete(Fraction::new(1001, 30000))).is_empty());
        }
    }
}
