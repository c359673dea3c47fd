//! Formats and frames on Linux, by the crate that nokhwa itself is built on. nokhwa hands out whole
//! buffers: it does not tell how much of one is used, that the driver calls one damaged, or that
//! rows are longer than the picture is wide. It lists the corners of a range of sizes only, sets
//! the device to a format in order to list them, cannot open one that another program left in a
//! format or at a rate that it does not know, and has another name for brightness alone than
//! drivers have.

use std::path::PathBuf;

use v4l::buffer::{Flags, Type};
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::{FrameSizeEnum, Stepwise};
use v4l::io::mmap::Stream;
use v4l::io::traits::CaptureStream;
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{FourCC, Fraction};

use super::device::{Device, Fault, Found, label};
use super::pixels::{Format, Pixels};

/// Sizes that are looked for in a range.
const SIZES: [(u32, u32); 6] = [
    (320, 240),
    (640, 360),
    (640, 480),
    (800, 600),
    (1280, 720),
    (1920, 1080),
];
/// Rates that are looked for in a range.
const RATES: [u32; 6] = [5, 10, 15, 25, 30, 60];

/// The file, and the place of its plug: it stays when the number changes.
pub(super) fn identified(mut found: Found) -> Found {
    let path = PathBuf::from(format!("/dev/video{}", found.index));
    let place = std::fs::canonicalize(format!(
        "/sys/class/video4linux/video{}/device",
        found.index
    ));
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
/// It cannot be opened, or not so.
pub(super) fn open(camera: &Found, wanted: Format) -> Result<Box<dyn Device>, Fault> {
    Ok(Box::new(V4l2Device::open(camera, wanted)?))
}

/// An open camera.
struct V4l2Device {
    stream: Stream<'static>,
    format: Format,
    label: String,
}

impl V4l2Device {
    /// Sets format and rate; frames begin to come with the first read.
    ///
    /// # Errors
    /// It cannot be opened, makes another layout of it, or sends rows that are longer than the
    /// picture is wide.
    fn open(camera: &Found, wanted: Format) -> Result<Self, Fault> {
        let label = label(camera);
        let fault = |e: std::io::Error| Fault::of_words(&label, &e.to_string());
        let device = v4l::Device::new(camera.index as usize).map_err(fault)?;
        let fourcc = fourcc_of(wanted.pixels);
        let set = device
            .set_format(&v4l::Format::new(wanted.width, wanted.height, fourcc))
            .map_err(fault)?;
        if set.fourcc != fourcc || !rows_touch(wanted.pixels, set.width, set.stride) {
            return Err(Fault::Unfit(format!(
                "{label} makes {} with rows of {} bytes of {wanted}",
                set.fourcc, set.stride
            )));
        }
        let rate = device
            .set_params(&Parameters::new(Fraction::new(1, wanted.fps)))
            .map_err(fault)?
            .interval;
        let fps = rate
            .denominator
            .checked_div(rate.numerator)
            .filter(|fps| *fps > 0)
            .unwrap_or(wanted.fps);
        let stream = Stream::new(&device, Type::VideoCapture).map_err(fault)?;
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

    fn read(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        let (buffer, about) = self
            .stream
            .next()
            .map_err(|e| Fault::of_words(&self.label, &e.to_string()))?;
        take(used(buffer, about.bytesused, about.flags));
        Ok(())
    }
}

/// The part of a buffer that the driver has filled; none of one that it calls damaged, as a USB
/// camera's with lost packets.
fn used(buffer: &[u8], bytes: u32, flags: Flags) -> &[u8] {
    if flags.contains(Flags::ERROR) {
        return &[];
    }
    buffer.get(..bytes as usize).unwrap_or(buffer)
}

/// Whether one row begins where the last one ends; a driver that says nothing of rows (0) has no
/// gaps.
fn rows_touch(pixels: Pixels, width: u32, stride: u32) -> bool {
    stride == 0
        || pixels
            .row_bytes(width)
            .is_none_or(|row| row == stride as usize)
}

fn pixels_of(fourcc: FourCC) -> Option<Pixels> {
    Pixels::ALL.into_iter().find(|p| fourcc_of(*p) == fourcc)
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

/// Whole rates: nokhwa takes no others.
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
            (Pixels::Yuyv, 1280),
            (Pixels::Nv12, 640),
            (Pixels::Rgb, 1920),
            (Pixels::Bgr, 1920),
            (Pixels::Gray, 640),
        ] {
            assert!(
                rows_touch(pixels, 640, row) && rows_touch(pixels, 640, 0),
                "{pixels:?}"
            );
            assert!(!rows_touch(pixels, 640, row + 64), "{pixels:?}");
        }
        assert!(rows_touch(Pixels::Mjpeg, 640, 1280));
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
