//! A camera for tests that does what a script says, alone and behind nokhwa.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::device::{Backend, CameraError, Device, ListedCamera};
use super::pixels::{Format, PixelLayout};

/// What happens at one read.
#[derive(Clone, Debug)]
pub enum Act {
    /// A frame of this brightness.
    Gray(u8),
    /// A frame of these bytes, whatever they are.
    Bytes(Vec<u8>),
    /// The driver reports this.
    Error(&'static str),
    /// Nothing comes until the device is closed.
    Hang,
}

/// What happens when the device is opened.
#[derive(Clone, Debug)]
pub enum Opening {
    /// It fails.
    Fails(CameraError),
    /// It takes for ever.
    Hangs,
    /// It works. One of these comes each `FRAME_EVERY`, the last one again and again.
    Gives(Vec<Act>),
}

/// Time between two frames.
pub const FRAME_EVERY: Duration = Duration::from_millis(2);
/// The format of the fakes.
pub const FORMAT: Format = Format {
    width: 8,
    height: 4,
    pixels: PixelLayout::Gray,
    fps: 500,
};

/// A system with one camera, whose number changes with each opening.
#[derive(Default)]
pub struct Fake {
    pub openings: Mutex<Vec<Opening>>,
    pub opened: AtomicUsize,
    /// Devices that are open now.
    pub open: Arc<AtomicUsize>,
}

impl Fake {
    pub fn new(mut openings: Vec<Opening>) -> Arc<Self> {
        openings.reverse();
        Arc::new(Self {
            openings: Mutex::new(openings),
            ..Self::default()
        })
    }

    pub fn found(index: u32) -> ListedCamera {
        ListedCamera {
            index,
            name: "Fake Cam".into(),
            id: "usb-1".into(),
            path: None,
        }
    }
}

impl Backend for Fake {
    fn list(&self) -> Result<Vec<ListedCamera>, CameraError> {
        Ok(vec![
            Self::found(self.opened.load(Ordering::Relaxed) as u32),
        ])
    }

    fn formats(&self, _camera: &ListedCamera) -> Result<Vec<Format>, CameraError> {
        Ok(vec![FORMAT])
    }

    fn open(
        &self,
        _camera: &ListedCamera,
        ranked: &[Format],
    ) -> Result<Box<dyn Device>, CameraError> {
        assert_eq!(ranked, [FORMAT]);
        self.opened.fetch_add(1, Ordering::Relaxed);
        let opening = self
            .openings
            .lock()
            .unwrap()
            .pop()
            .unwrap_or(Opening::Fails(CameraError::Missing("gone".into())));
        match opening {
            Opening::Fails(error) => Err(error),
            Opening::Hangs => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
            Opening::Gives(acts) => {
                self.open.fetch_add(1, Ordering::Relaxed);
                Ok(Box::new(FakeDevice {
                    acts,
                    at: 0,
                    open: self.open.clone(),
                }))
            }
        }
    }
}

struct FakeDevice {
    acts: Vec<Act>,
    at: usize,
    open: Arc<AtomicUsize>,
}

impl Device for FakeDevice {
    fn format(&self) -> Format {
        FORMAT
    }

    fn read(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<(), CameraError> {
        std::thread::sleep(FRAME_EVERY);
        let act = self.acts[self.at.min(self.acts.len() - 1)].clone();
        self.at += 1;
        match act {
            Act::Gray(y) => take(&[y; 32]),
            Act::Bytes(bytes) => take(&bytes),
            Act::Error(words) => return Err(CameraError::from_message("Fake Cam", words)),
            Act::Hang => {
                // A real wait ends when a signal comes; this one looks now and then.
                let begun = std::time::Instant::now();
                while begun.elapsed() < Duration::from_millis(300) {
                    std::thread::sleep(FRAME_EVERY);
                }
                return Err(CameraError::from_message(
                    "Fake Cam",
                    "Interrupted system call (os error 4)",
                ));
            }
        }
        Ok(())
    }
}

impl Drop for FakeDevice {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(feature = "camera")]
mod nokhwa_fake {
    use nokhwa::NokhwaError;
    use nokhwa::camera_traits::CaptureBackendTrait;
    use nokhwa::utils::{
        ApiBackend, CameraControl, CameraFormat, CameraIndex, CameraInfo, ControlValueSetter,
        FrameFormat, KnownCameraControl, Resolution,
    };

    use super::super::nokhwa_device::NokhwaDevice;
    use super::*;

    /// A camera behind nokhwa.
    struct Scripted {
        info: CameraInfo,
        format: CameraFormat,
        open: bool,
        acts: Vec<Act>,
    }

    fn none<T>() -> Result<T, NokhwaError> {
        Err(NokhwaError::UnsupportedOperationError(ApiBackend::Network))
    }

    impl CaptureBackendTrait for Scripted {
        fn backend(&self) -> ApiBackend {
            ApiBackend::Network
        }
        fn camera_info(&self) -> &CameraInfo {
            &self.info
        }
        fn refresh_camera_format(&mut self) -> Result<(), NokhwaError> {
            Ok(())
        }
        fn camera_format(&self) -> CameraFormat {
            self.format
        }
        fn set_camera_format(&mut self, _: CameraFormat) -> Result<(), NokhwaError> {
            none()
        }
        fn compatible_list_by_resolution(
            &mut self,
            _: FrameFormat,
        ) -> Result<HashMap<Resolution, Vec<u32>>, NokhwaError> {
            none()
        }
        fn compatible_fourcc(&mut self) -> Result<Vec<FrameFormat>, NokhwaError> {
            none()
        }
        fn resolution(&self) -> Resolution {
            self.format.resolution()
        }
        fn set_resolution(&mut self, _: Resolution) -> Result<(), NokhwaError> {
            none()
        }
        fn frame_rate(&self) -> u32 {
            self.format.frame_rate()
        }
        fn set_frame_rate(&mut self, _: u32) -> Result<(), NokhwaError> {
            none()
        }
        fn frame_format(&self) -> FrameFormat {
            self.format.format()
        }
        fn set_frame_format(&mut self, _: FrameFormat) -> Result<(), NokhwaError> {
            none()
        }
        fn camera_control(&self, _: KnownCameraControl) -> Result<CameraControl, NokhwaError> {
            none()
        }
        fn camera_controls(&self) -> Result<Vec<CameraControl>, NokhwaError> {
            none()
        }
        fn set_camera_control(
            &mut self,
            _: KnownCameraControl,
            _: ControlValueSetter,
        ) -> Result<(), NokhwaError> {
            none()
        }
        fn open_stream(&mut self) -> Result<(), NokhwaError> {
            self.open = true;
            Ok(())
        }
        fn is_stream_open(&self) -> bool {
            self.open
        }
        fn frame(&mut self) -> Result<nokhwa::Buffer, NokhwaError> {
            none()
        }
        fn frame_raw(&mut self) -> Result<Cow<'_, [u8]>, NokhwaError> {
            match self.acts.pop() {
                Some(Act::Bytes(bytes)) if self.open => Ok(Cow::Owned(bytes)),
                Some(Act::Error(words)) => Err(NokhwaError::ReadFrameError(words.into())),
                _ => none(),
            }
        }
        fn stop_stream(&mut self) -> Result<(), NokhwaError> {
            self.open = false;
            Ok(())
        }
    }

    fn opened(format: FrameFormat, mut acts: Vec<Act>) -> NokhwaDevice {
        acts.reverse();
        let index = CameraIndex::Index(0);
        let scripted = Scripted {
            info: CameraInfo::new("Scripted", "", "", index.clone()),
            format: CameraFormat::new(Resolution::new(4, 2), format, 30),
            open: false,
            acts,
        };
        NokhwaDevice::start(
            nokhwa::Camera::with_custom(index, ApiBackend::Network, Box::new(scripted)),
            "Scripted".into(),
        )
        .unwrap()
    }

    #[test]
    fn bytes_and_errors_come_through_nokhwa() {
        let acts = vec![
            Act::Bytes(vec![9; 16]),
            Act::Error("VIDIOC_DQBUF: No such device (os error 19)"),
        ];
        let mut device = opened(FrameFormat::YUYV, acts);
        assert_eq!(
            device.format(),
            Format {
                width: 4,
                height: 2,
                pixels: PixelLayout::Yuyv,
                fps: 30
            }
        );
        let mut bytes = Vec::new();
        device.read(&mut |buffer| bytes = buffer.to_vec()).unwrap();
        assert_eq!(bytes, [9; 16]);
        assert!(matches!(
            device.read(&mut |_| panic!("a frame")),
            Err(CameraError::Missing(_))
        ));
    }

    #[test]
    fn a_frame_of_nokhwas_camera_becomes_a_picture_or_says_why_not() {
        let mut device = opened(
            FrameFormat::RAWBGR,
            vec![Act::Bytes([0, 0, 255].repeat(8)), Act::Bytes(vec![0; 23])],
        );
        let format = device.format();
        let mut results = Vec::new();
        for _ in 0..2 {
            device
                .read(&mut |buffer| results.push(super::super::decode(&format, buffer)))
                .unwrap();
        }
        if cfg!(not(target_os = "windows")) {
            assert_eq!(results[0].as_ref().unwrap().rgb[..3], [255, 0, 0]);
        }
        assert!(
            results[1]
                .as_ref()
                .unwrap_err()
                .contains("23 bytes, expected 24")
        );
    }
}
