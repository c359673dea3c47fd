//! Formats and frames on Linux, by the crate on which nokhwa itself is built. nokhwa would not do:
//! it does not say how much of a buffer is used, that the driver calls a buffer damaged, or that
//! rows are longer than the picture is wide. It lists only the corners of a range of sizes, sets
//! the device to a format in order to list them, and cannot open a device that another program left
//! in a format or at a rate that it does not know. For grey pictures it uses another name than
//! drivers do.

use std::path::PathBuf;

use v4l::buffer::{Flags, Type};
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::{FrameSizeEnum, Stepwise};
use v4l::io::mmap::Stream;
use v4l::io::traits::CaptureStream;
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{FourCC, Fraction};

use super::device::{CameraError, Device, ListedCamera, label};
use super::pixels::{Format, PixelLayout};

/// The sizes that are looked for in a range.
const SIZES: [(u32, u32); 6] = [
    (320, 240),
    (640, 360),
    (640, 480),
    (800, 600),
    (1280, 720),
    (1920, 1080),
];
/// The rates that are looked for in a range.
const RATES: [u32; 6] = [5, 10, 15, 25, 30, 60];

/// Adds the file, and the socket as the identifier, which stays the same when the number changes.
pub(super) fn identified(mut found: ListedCamera) -> ListedCamera {
    let path = PathBuf::from(format!("/dev/video{}", found.index));
    let place = std::fs::canonicalize(format!(
        "/sys/class/video4linux/video{}/device",
        found.index
    ));
    found.id = place.map_or_else(|_| String::new(), |place| place.display().to_string());
    found.path = Some(path);
    found
}

pub(super) fn offered(camera: &ListedCamera) -> Result<Vec<Format>, CameraError> {
    let error = |e: std::io::Error| CameraError::from_message(&label(camera), &e.to_string());
    let device = v4l::Device::new(camera.index as usize).map_err(error)?;
    let mut formats = Vec::new();
    // A file that sends data about pictures instead of pictures has no such list.
    for description in device.enum_formats().unwrap_or_default() {
        let Some(pixels) = pixels_of(description.fourcc) else {
            continue;
        };
        for size in device
            .enum_framesizes(description.fourcc)
            .unwrap_or_default()
        {
            for (width, height) in sizes(size.size) {
                let rates = device
                    .enum_frameintervals(description.fourcc, width, height)
                    .unwrap_or_default();
                let rates = rates
                    .into_iter()
                    .flat_map(|interval| rates_of(interval.interval));
                formats.extend(rates.map(|fps| Format {
                    width,
                    height,
                    pixels,
                    fps,
                }));
            }
        }
    }
    Ok(formats)
}

/// Opens a camera in one of the formats that it offers.
///
/// # Errors
/// The camera cannot be opened, or not in this format.
pub(super) fn open(camera: &ListedCamera, wanted: Format) -> Result<Box<dyn Device>, CameraError> {
    Ok(Box::new(V4l2Device::open(camera, wanted)?))
}

/// An open camera.
struct V4l2Device {
    stream: Stream<'static>,
    format: Format,
    label: String,
}

impl V4l2Device {
    /// Sets format and rate. Frames begin to come with the first read.
    ///
    /// # Errors
    /// The camera cannot be opened, chooses another layout, or sends rows that are longer than the
    /// picture is wide.
    fn open(camera: &ListedCamera, wanted: Format) -> Result<Self, CameraError> {
        let label = label(camera);
        let error = |e: std::io::Error| CameraError::from_message(&label, &e.to_string());
        let device = v4l::Device::new(camera.index as usize).map_err(error)?;
        let fourcc = fourcc_of(wanted.pixels);
        let set = device
            .set_format(&v4l::Format::new(wanted.width, wanted.height, fourcc))
            .map_err(error)?;
        if set.fourcc != fourcc || !rows_touch(wanted.pixels, set.width, set.stride) {
            return Err(CameraError::Unfit(format!(
                "{label} answers {} with rows of {} bytes to {wanted}",
                set.fourcc, set.stride
            )));
        }
        let rate = device
            .set_params(&Parameters::new(Fraction::new(1, wanted.fps)))
            .map_err(error)?
            .interval;
        let fps = rate
            .denominator
            .checked_div(rate.numerator)
            .filter(|fps| *fps > 0)
            .unwrap_or(wanted.fps);
        let stream = Stream::new(&device, Type::VideoCapture).map_err(error)?;
        Ok(Self {
            stream,
            format: Format {
                width: set.width,
                height: set.height,
                pixels: wanted.pixels,
                fps,
            },
            label,
        })
    }
}

impl Device for V4l2Device {
    fn format(&self) -> Format {
        self.format
    }

    fn read(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<(), CameraError> {
        let (buffer, about) = self
            .stream
            .next()
            .map_err(|e| CameraError::from_message(&self.label, &e.to_string()))?;
        take(used(buffer, about.bytesused, about.flags));
        Ok(())
    }
}

/// The part of a buffer that the driver has filled; nothing of a buffer that it calls damaged, such
/// as that of a USB camera that lost packets.
fn used(buffer: &[u8], bytes: u32, flags: Flags) -> &[u8] {
    if flags.contains(Flags::ERROR) {
        return &[];
    }
    buffer.get(..bytes as usize).unwrap_or(buffer)
}

/// Whether each row begins where the last one ends. A driver that says nothing about rows (0)
/// leaves no gaps.
fn rows_touch(pixels: PixelLayout, width: u32, stride: u32) -> bool {
    stride == 0
        || pixels
            .row_bytes(width)
            .is_none_or(|row| row == stride as usize)
}

fn pixels_of(fourcc: FourCC) -> Option<PixelLayout> {
    PixelLayout::ALL
        .into_iter()
        .find(|p| fourcc_of(*p) == fourcc)
}

fn fourcc_of(pixels: PixelLayout) -> FourCC {
    FourCC::new(match pixels {
        PixelLayout::Mjpeg => b"MJPG",
        PixelLayout::Yuyv => b"YUYV",
        PixelLayout::Nv12 => b"NV12",
        PixelLayout::Rgb => b"RGB3",
        PixelLayout::Bgr => b"BGR3",
        PixelLayout::Gray => b"GREY",
    })
}

fn sizes(size: FrameSizeEnum) -> Vec<(u32, u32)> {
    match size {
        FrameSizeEnum::Discrete(one) => vec![(one.width, one.height)],
        FrameSizeEnum::Stepwise(range) => in_range(&range),
    }
}

fn in_range(range: &Stepwise) -> Vec<(u32, u32)> {
    let on_step = |value: u32, min: u32, max: u32, step: u32| {
        (min..=max).contains(&value) && (value - min).is_multiple_of(step.max(1))
    };
    let fits = |(w, h): &(u32, u32)| {
        on_step(*w, range.min_width, range.max_width, range.step_width)
            && on_step(*h, range.min_height, range.max_height, range.step_height)
    };
    let mut sizes: Vec<(u32, u32)> = SIZES.into_iter().filter(fits).collect();
    sizes.extend([
        (range.min_width, range.min_height),
        (range.max_width, range.max_height),
    ]);
    sizes.dedup();
    sizes
}

/// The rates of an interval that are whole numbers of frames a second.
fn rates_of(interval: FrameIntervalEnum) -> Vec<u32> {
    let seconds = |f: &Fraction| f64::from(f.numerator) / f64::from(f.denominator.max(1));
    match interval {
        FrameIntervalEnum::Discrete(one) if one.numerator == 1 => vec![one.denominator],
        FrameIntervalEnum::Discrete(_) => Vec::new(),
        FrameIntervalEnum::Stepwise(range) => {
            let (shortest, longest) = (seconds(&range.min), seconds(&range.max));
            RATES
                .into_iter()
                .filter(|fps| (shortest..=longest).contains(&(1.0 / f64::from(*fps))))
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_cut_to_what_the_driver_filled() {
        let buffer = [7; 100];
        assert_eq!(used(&buffer, 60, Flags::empty()).len(), 60);
        assert_eq!(used(&buffer, 0, Flags::empty()).len(), 0);
        assert_eq!(used(&buffer, 101, Flags::empty()).len(), 100);
        assert_eq!(used(&buffer, 100, Flags::ERROR | Flags::DONE).len(), 0);
    }

    #[test]
    fn rows_with_gaps_are_told_from_those_without() {
        for (pixels, row) in [
            (PixelLayout::Yuyv, 1280),
            (PixelLayout::Nv12, 640),
            (PixelLayout::Rgb, 1920),
            (PixelLayout::Bgr, 1920),
            (PixelLayout::Gray, 640),
        ] {
            assert!(
                rows_touch(pixels, 640, row) && rows_touch(pixels, 640, 0),
                "{pixels:?}"
            );
            assert!(!rows_touch(pixels, 640, row + 64), "{pixels:?}");
        }
        assert!(rows_touch(PixelLayout::Mjpeg, 640, 1280));
    }

    #[test]
    fn ranges_are_listed_by_the_sizes_and_rates_that_people_use() {
        let range = Stepwise {
            min_width: 320,
            max_width: 1280,
            step_width: 2,
            min_height: 180,
            max_height: 720,
            step_height: 2,
        };
        assert_eq!(
            in_range(&range),
            [
                (320, 240),
                (640, 360),
                (640, 480),
                (800, 600),
                (1280, 720),
                (320, 180),
                (1280, 720)
            ]
        );
        assert_eq!(
            rates_of(FrameIntervalEnum::Discrete(Fraction::new(1, 30))),
            [30]
        );
        assert!(rates_of(FrameIntervalEnum::Discrete(Fraction::new(1001, 30000))).is_empty());
    }
}
