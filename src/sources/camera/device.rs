//! What a camera must be able to do, and how it can fail. The cameras of the system implement this,
//! and so do the fakes of the tests.

use std::path::PathBuf;

use super::pixels::{Format, PixelLayout};

/// A camera as the system lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedCamera {
    /// Its number, which changes when cameras are plugged in or out.
    pub index: u32,
    /// Its name, which other cameras of the same make share.
    pub name: String,
    /// What stays the same when it is plugged in again: the system's identifier, or the socket that
    /// it is plugged into.
    pub id: String,
    /// Its file, on systems where cameras have one.
    pub path: Option<PathBuf>,
}

/// Which camera the person means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The first that sends pictures.
    First,
    /// By its number.
    Index(u32),
    /// By its file, or a link to it.
    Path(PathBuf),
    /// By a part of its name.
    Name(String),
}

impl Choice {
    /// Reads `--camera`.
    pub fn parse(text: &str) -> Self {
        match text.parse() {
            Ok(index) => Self::Index(index),
            Err(_) if text.contains(['/', '\\']) => Self::Path(text.into()),
            Err(_) => Self::Name(text.to_owned()),
        }
    }

    /// Picks the cameras that fit. More than one can fit [`Choice::First`]; which of them sends
    /// pictures shows when they are opened.
    ///
    /// # Errors
    /// No camera fits, or several different ones have the name.
    pub fn among<'a>(
        &self,
        found: &'a [ListedCamera],
    ) -> Result<Vec<&'a ListedCamera>, CameraError> {
        let names = || match found {
            [] => "the system has none".to_owned(),
            all => all
                .iter()
                .map(|f| format!("{} {:?}", f.index, f.name))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let fitting: Vec<&ListedCamera> = match self {
            Self::First => found.iter().collect(),
            Self::Index(index) => found.iter().filter(|f| f.index == *index).collect(),
            Self::Path(path) => {
                let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
                found
                    .iter()
                    .filter(|f| f.path.as_deref().is_some_and(|p| p == path || p == real))
                    .collect()
            }
            Self::Name(part) => {
                let part = part.to_lowercase();
                let exact: Vec<&ListedCamera> = found
                    .iter()
                    .filter(|f| f.name.to_lowercase() == part)
                    .collect();
                if exact.is_empty() {
                    found
                        .iter()
                        .filter(|f| f.name.to_lowercase().contains(&part))
                        .collect()
                } else {
                    exact
                }
            }
        };
        let wanted = match self {
            Self::First => String::new(),
            Self::Index(index) => format!(" {index}"),
            Self::Path(path) => format!(" {}", path.display()),
            Self::Name(name) => format!(" {name:?}"),
        };
        match (self, fitting.as_slice()) {
            (_, []) => Err(CameraError::Missing(format!(
                "no camera{wanted}: {}",
                names()
            ))),
            // A camera has several files; pictures come from the first one that can be opened.
            (Self::Name(_), [first, rest @ ..]) if rest.iter().any(|f| f.id != first.id) => {
                Err(CameraError::Missing(format!(
                    "more than one camera has{wanted} in its name: {}; choose by number",
                    names()
                )))
            }
            _ => Ok(fitting),
        }
    }
}

/// Finds a camera again after it was away: by its identifier, or by its name where only one camera
/// has that; never by its number alone.
pub fn again<'a>(known: &ListedCamera, found: &'a [ListedCamera]) -> Option<&'a ListedCamera> {
    let same: Vec<&ListedCamera> = found
        .iter()
        .filter(|f| f.id == known.id && f.name == known.name)
        .collect();
    if let Some(first) = same
        .iter()
        .find(|f| f.index == known.index)
        .or(same.first())
    {
        return Some(first);
    }
    let mut named = found.iter().filter(|f| f.name == known.name);
    let first = named.next()?;
    named.all(|other| other.id == first.id).then_some(first)
}

/// What is asked of a camera.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraRequest {
    /// Which one.
    pub choice: Choice,
    /// Columns and rows; the nearest size that the camera offers is taken.
    pub size: (u32, u32),
    /// Frames a second; the nearest rate that the camera offers is taken.
    pub fps: u32,
    /// The layout of the pixels; `None` takes any that can be decoded here.
    pub pixels: Option<PixelLayout>,
}

impl Default for CameraRequest {
    fn default() -> Self {
        // The size is small because the model's input is smaller still. Low rates are seldom
        // offered, and their pictures are dark.
        Self {
            choice: Choice::First,
            size: (640, 480),
            fps: 30,
            pixels: None,
        }
    }
}

impl CameraRequest {
    /// Sorts what a camera offers, with the best first: by size, then by rate, then by what it
    /// costs to decode and to transfer.
    pub fn ranked(&self, offered: &[Format]) -> Vec<Format> {
        let mut ranked: Vec<Format> = offered
            .iter()
            .filter(|f| self.pixels.is_none_or(|p| p == f.pixels))
            .copied()
            .collect();
        ranked.sort_by_key(|format| {
            let off = |have: u32, want: u32| u64::from(have.abs_diff(want)).pow(2);
            let size = off(format.width, self.size.0) + off(format.height, self.size.1);
            // A raw frame needs no decoding but has 10 times the bytes: at large sizes a USB cable
            // carries only a few a second.
            let raw_fits = format.width * format.height <= 640 * 480;
            let cost = match format.pixels {
                PixelLayout::Mjpeg => 2,
                PixelLayout::Gray => 9,
                _ if raw_fits => 1,
                _ => 3,
            };
            (size, format.fps.abs_diff(self.fps), cost, format.pixels)
        });
        ranked.dedup();
        ranked
    }
}

/// Why a camera gives no frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CameraError {
    /// The camera is not there, or no camera fits.
    #[error("{0}")]
    Missing(String),
    /// Another program uses it.
    #[error("{0} is in use by another program: close that one")]
    Busy(String),
    /// The system does not allow it.
    #[error("{0}: not allowed; {ALLOW}")]
    Denied(String),
    /// It offers no format that can be decoded.
    #[error("{0}")]
    Unfit(String),
    /// The driver reports anything else.
    #[error("{0}")]
    Driver(String),
}

#[cfg(target_os = "macos")]
const ALLOW: &str =
    "allow the terminal to use the camera in System Settings, Privacy & Security, Camera";
#[cfg(target_os = "windows")]
const ALLOW: &str = "allow desktop apps to use the camera in Settings, Privacy & security, Camera";
#[cfg(not(any(target_os = "macos", target_os = "windows")))]
const ALLOW: &str =
    "add yourself to the group that owns the file (mostly `video`) and log in again";

impl CameraError {
    /// No frame came for so many seconds.
    pub fn silent(seconds: f64) -> Self {
        Self::Driver(format!("no frame for {seconds:.1} s"))
    }

    /// Finds the kind of error by the system's error number in a driver's message.
    pub fn from_message(camera: &str, words: &str) -> Self {
        let number = |n: u32| words.contains(&format!("(os error {n})"));
        if number(16) || words.contains("busy") {
            Self::Busy(camera.to_owned())
        } else if number(13) || number(1) || words.contains("denied") {
            Self::Denied(camera.to_owned())
        } else if number(2) || number(6) || number(19) {
            Self::Missing(format!("{camera} is not there"))
        } else {
            Self::Driver(format!("{camera}: {words}"))
        }
    }
}

/// The cameras of a system.
pub trait Backend: Send + Sync {
    /// Lists all cameras. Which of them send pictures shows when they are opened.
    ///
    /// # Errors
    /// The system refuses to list them.
    fn list(&self) -> Result<Vec<ListedCamera>, CameraError>;

    /// Lists the formats that a camera offers.
    ///
    /// # Errors
    /// The camera cannot be asked.
    fn formats(&self, camera: &ListedCamera) -> Result<Vec<Format>, CameraError>;

    /// Opens a camera in the first of these formats that it accepts. Frames then begin to come.
    ///
    /// # Errors
    /// The camera cannot be opened, or accepts none of the formats.
    fn open(
        &self,
        camera: &ListedCamera,
        ranked: &[Format],
    ) -> Result<Box<dyn Device>, CameraError>;

    /// Chooses a format and opens the camera in it.
    ///
    /// # Errors
    /// The camera cannot be asked or opened, or offers no format that is decoded here.
    fn open_wanted(
        &self,
        camera: &ListedCamera,
        wanted: &CameraRequest,
    ) -> Result<Box<dyn Device>, CameraError> {
        let ranked = wanted.ranked(&self.formats(camera)?);
        if ranked.is_empty() {
            let what = wanted
                .pixels
                .map_or("no pictures that are decoded here".into(), |p| {
                    format!("no {}", p.word())
                });
            return Err(CameraError::Unfit(format!(
                "{} offers {what}",
                label(camera)
            )));
        }
        self.open(camera, &ranked)
    }
}

/// An open camera, which stays on the thread that opened it.
pub trait Device {
    /// The format that it is set to.
    fn format(&self) -> Format;

    /// Waits for the next frame and gives its bytes to `take`.
    ///
    /// # Errors
    /// No frame came; the device has to be opened again.
    fn read(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<(), CameraError>;
}

/// Names a camera for a person.
pub fn label(camera: &ListedCamera) -> String {
    match &camera.path {
        Some(path) => format!("{} ({})", camera.name, path.display()),
        None => format!("{} (camera {})", camera.name, camera.index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Vec<ListedCamera> {
        let one = |index, name: &str, id: &str| ListedCamera {
            index,
            name: name.into(),
            id: id.into(),
            path: Some(format!("/dev/video{index}").into()),
        };
        vec![
            one(0, "Integrated Camera", "pci-1"),
            one(1, "Integrated Camera", "pci-1"),
            one(2, "USB Cam", "usb-2"),
            one(4, "USB Cam", "usb-4"),
        ]
    }

    fn picked(text: &str) -> Result<Vec<u32>, String> {
        let found = found();
        let picked = Choice::parse(text)
            .among(&found)
            .map_err(|e| e.to_string())?;
        Ok(picked.iter().map(|f| f.index).collect())
    }

    #[test]
    fn a_camera_is_chosen_by_number_path_or_name() {
        assert_eq!(picked("2"), Ok(vec![2]));
        assert_eq!(picked("/dev/video4"), Ok(vec![4]));
        // Two files of one camera; two cameras of one name.
        assert_eq!(picked("integrated"), Ok(vec![0, 1]));
        assert!(picked("usb cam").unwrap_err().contains("choose by number"));
        let why = picked("9").unwrap_err();
        assert!(
            why.contains("no camera 9") && why.contains("2 \"USB Cam\""),
            "{why}"
        );
        assert!(
            Choice::First
                .among(&[])
                .unwrap_err()
                .to_string()
                .contains("has none")
        );
    }

    #[test]
    fn a_camera_that_comes_back_is_known_by_what_it_is() {
        let known = found()[2].clone();
        let mut later = found();
        later[2].index = 7;
        assert_eq!(again(&known, &later).map(|f| f.index), Some(7));
        // In another socket: its name, if nobody else has it.
        later.remove(2);
        assert_eq!(again(&known, &later).map(|f| f.index), Some(4));
        let mut twins = found();
        twins[2].id = "usb-5".into();
        assert_eq!(again(&known, &twins), None);
        assert_eq!(again(&known, &found()[..2]), None);
    }

    #[test]
    fn the_nearest_size_wins_then_the_rate_then_the_cost() {
        let format = |width, height, pixels, fps| Format {
            width,
            height,
            pixels,
            fps,
        };
        let offered = [
            format(1280, 720, PixelLayout::Yuyv, 10),
            format(1280, 720, PixelLayout::Mjpeg, 30),
            format(640, 480, PixelLayout::Mjpeg, 30),
            format(640, 480, PixelLayout::Yuyv, 30),
            format(640, 480, PixelLayout::Yuyv, 15),
            format(320, 180, PixelLayout::Gray, 30),
        ];
        assert_eq!(CameraRequest::default().ranked(&offered)[0], offered[3]);
        let large = CameraRequest {
            size: (1280, 720),
            ..CameraRequest::default()
        };
        assert_eq!(large.ranked(&offered)[0], offered[1]);
        assert_eq!(
            CameraRequest {
                fps: 15,
                ..CameraRequest::default()
            }
            .ranked(&offered)[0],
            offered[4]
        );
        assert_eq!(large.ranked(&offered).len(), 6);
        assert_eq!(
            CameraRequest {
                pixels: Some(PixelLayout::Gray),
                ..CameraRequest::default()
            }
            .ranked(&offered),
            [offered[5]]
        );
        assert!(
            CameraRequest {
                pixels: Some(PixelLayout::Bgr),
                ..CameraRequest::default()
            }
            .ranked(&offered)
            .is_empty()
        );
    }

    #[test]
    fn a_drivers_words_are_sorted_by_what_can_be_done() {
        assert!(matches!(
            CameraError::from_message("c", "VIDIOC_REQBUFS: Device or resource busy (os error 16)"),
            CameraError::Busy(_)
        ));
        assert!(matches!(
            CameraError::from_message("c", "Permission denied (os error 13)"),
            CameraError::Denied(_)
        ));
        assert!(matches!(
            CameraError::from_message("c", "No such device (os error 19)"),
            CameraError::Missing(_)
        ));
        assert!(matches!(
            CameraError::from_message("c", "Input/output error (os error 5)"),
            CameraError::Driver(_)
        ));
    }
}
