//! What a camera must be able to do, and how it can fail; the system's cameras and the tests' fakes
//! are behind it.

use std::path::PathBuf;

use super::pixels::{Format, Pixels};

/// A camera that the system knows of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its number; another program or plug may change it.
    pub index: u32,
    /// Its name, which other cameras of the same make have too.
    pub name: String,
    /// What stays the same when it is plugged in again: the system's own identifier, or the place
    /// of its plug.
    pub id: String,
    /// Its file, on systems where it has one.
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

    /// Picks from what the system has. [`Choice::First`] leaves more than one: which of them sends
    /// pictures is seen when they are opened.
    ///
    /// # Errors
    /// None fits, or more than one does.
    pub fn among<'a>(&self, found: &'a [Found]) -> Result<Vec<&'a Found>, Fault> {
        let names = || match found {
            [] => "the system has none".to_owned(),
            all => all
                .iter()
                .map(|f| format!("{} {:?}", f.index, f.name))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let fitting: Vec<&Found> = match self {
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
                let exact: Vec<&Found> = found
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
            (_, []) => Err(Fault::Missing(format!("no camera{wanted}: {}", names()))),
            // A camera has several files: pictures come from the first of them that can be opened.
            (Self::Name(_), [first, rest @ ..]) if rest.iter().any(|f| f.id != first.id) => {
                Err(Fault::Missing(format!(
                    "more than one camera has{wanted} in its name: {}; choose by number",
                    names()
                )))
            }
            _ => Ok(fitting),
        }
    }
}

/// The same camera after it was away: by its own identifier, else by its name if only one has it.
/// Never by its number alone.
pub fn again<'a>(known: &Found, found: &'a [Found]) -> Option<&'a Found> {
    let same: Vec<&Found> = found
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
pub struct Wanted {
    /// Which one.
    pub choice: Choice,
    /// Columns and rows; the nearest is taken.
    pub size: (u32, u32),
    /// Frames a second; the nearest is taken.
    pub fps: u32,
    /// Layout; any that is decoded here if none is asked for.
    pub pixels: Option<Pixels>,
}

impl Default for Wanted {
    fn default() -> Self {
        // Small: the model's own input is smaller still. A low rate is seldom offered, and dim.
        Self {
            choice: Choice::First,
            size: (640, 480),
            fps: 30,
            pixels: None,
        }
    }
}

impl Wanted {
    /// What a camera offers, the most fitting first: by size, then by rate, then by what it costs
    /// to decode and carry.
    pub fn ranked(&self, offered: &[Format]) -> Vec<Format> {
        let mut ranked: Vec<Format> = offered
            .iter()
            .filter(|f| self.pixels.is_none_or(|p| p == f.pixels))
            .copied()
            .collect();
        ranked.sort_by_key(|format| {
            let off = |have: u32, want: u32| u64::from(have.abs_diff(want)).pow(2);
            let size = off(format.width, self.size.0) + off(format.height, self.size.1);
            // A raw frame needs no decoding but 10 times the bytes: at large sizes a USB cable then
            // gives few a second.
            let raw_fits = format.width * format.height <= 640 * 480;
            let cost = match format.pixels {
                Pixels::Mjpeg => 2,
                Pixels::Gray => 9,
                _ if raw_fits => 1,
                _ => 3,
            };
            (size, format.fps.abs_diff(self.fps), cost, format.pixels)
        });
        ranked.dedup();
        ranked
    }
}

/// Why there are no frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not there, or no camera fits.
    #[error("{0}")]
    Missing(String),
    /// Another program has it.
    #[error("{0} is in use by another program: close that one")]
    Busy(String),
    /// The system does not allow it.
    #[error("{0}: not allowed; {ALLOW}")]
    Denied(String),
    /// It offers nothing that can be decoded.
    #[error("{0}")]
    Unfit(String),
    /// Anything else that the driver says.
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

impl Fault {
    /// No frame for so long.
    pub fn silent(seconds: f64) -> Self {
        Self::Driver(format!("no frame for {seconds:.1} s"))
    }

    /// Sorts a driver's words by the system's error number in them.
    pub fn of_words(camera: &str, words: &str) -> Self {
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
    /// All there are; which of them send pictures is seen when they are opened.
    ///
    /// # Errors
    /// The system does not tell.
    fn list(&self) -> Result<Vec<Found>, Fault>;

    /// What one offers.
    ///
    /// # Errors
    /// It cannot be asked.
    fn formats(&self, camera: &Found) -> Result<Vec<Format>, Fault>;

    /// Opens one in the first of these formats that it takes; frames begin to come.
    ///
    /// # Errors
    /// It cannot be opened, or takes none of them.
    fn open(&self, camera: &Found, ranked: &[Format]) -> Result<Box<dyn Device>, Fault>;

    /// Chooses a format and opens.
    ///
    /// # Errors
    /// As the parts; a camera that offers nothing that is decoded here.
    fn open_wanted(&self, camera: &Found, wanted: &Wanted) -> Result<Box<dyn Device>, Fault> {
        let ranked = wanted.ranked(&self.formats(camera)?);
        if ranked.is_empty() {
            let what = wanted
                .pixels
                .map_or("no pictures that are decoded here".into(), |p| {
                    format!("no {}", p.word())
                });
            return Err(Fault::Unfit(format!("{} offers {what}", label(camera))));
        }
        self.open(camera, &ranked)
    }
}

/// An open camera. It stays on the thread that opened it.
pub trait Device {
    /// What it is set to.
    fn format(&self) -> Format;

    /// Waits for the next frame and hands its bytes out.
    ///
    /// # Errors
    /// No frame came; the device has to be opened again.
    fn read(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<(), Fault>;
}

/// A camera in words.
pub fn label(camera: &Found) -> String {
    match &camera.path {
        Some(path) => format!("{} ({})", camera.name, path.display()),
        None => format!("{} (camera {})", camera.name, camera.index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Vec<Found> {
        let one = |index, name: &str, id: &str| Found {
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
            format(1280, 720, Pixels::Yuyv, 10),
            format(1280, 720, Pixels::Mjpeg, 30),
            format(640, 480, Pixels::Mjpeg, 30),
            format(640, 480, Pixels::Yuyv, 30),
            format(640, 480, Pixels::Yuyv, 15),
            format(320, 180, Pixels::Gray, 30),
        ];
        assert_eq!(Wanted::default().ranked(&offered)[0], offered[3]);
        let large = Wanted {
            size: (1280, 720),
            ..Wanted::default()
        };
        assert_eq!(large.ranked(&offered)[0], offered[1]);
        assert_eq!(
            Wanted {
                fps: 15,
                ..Wanted::default()
            }
            .ranked(&offered)[0],
            offered[4]
        );
        assert_eq!(large.ranked(&offered).len(), 6);
        assert_eq!(
            Wanted {
                pixels: Some(Pixels::Gray),
                ..Wanted::default()
            }
            .ranked(&offered),
            [offered[5]]
        );
        assert!(
            Wanted {
                pixels: Some(Pixels::Bgr),
                ..Wanted::default()
            }
            .ranked(&offered)
            .is_empty()
        );
    }

    #[test]
    fn a_drivers_words_are_sorted_by_what_can_be_done() {
        assert!(matches!(
            Fault::of_words("c", "VIDIOC_REQBUFS: Device or resource busy (os error 16)"),
            Fault::Busy(_)
        ));
        assert!(matches!(
            Fault::of_words("c", "Permission denied (os error 13)"),
            Fault::Denied(_)
        ));
        assert!(matches!(
            Fault::of_words("c", "No such device (os error 19)"),
            Fault::Missing(_)
        ));
        assert!(matches!(
            Fault::of_words("c", "Input/output error (os error 5)"),
            Fault::Driver(_)
        ));
    }
}
