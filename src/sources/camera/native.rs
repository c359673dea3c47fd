//! The system's cameras: V4L2 on Linux, AVFoundation on macOS, Media Foundation on Windows.

use nokhwa::utils::ApiBackend;

use super::device::{Backend, Device, Fault, Found, label};
#[cfg(not(target_os = "linux"))]
use super::nokhwa_device::{offered, open};
use super::pixels::Format;
#[cfg(target_os = "linux")]
use super::v4l2::{identified, offered, open};

/// Formats that are tried before a camera counts as one that cannot be set.
const TRIES_MAX: usize = 8;

/// The cameras of this system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Native;

impl Backend for Native {
    fn list(&self) -> Result<Vec<Found>, Fault> {
        ask()?;
        let cameras = nokhwa::query(ApiBackend::Auto)
            .map_err(|e| Fault::Driver(format!("the system's list of cameras: {e}")))?;
        let mut found: Vec<Found> = cameras
            .iter()
            .filter_map(|info| {
                let index = info.index().as_index().ok()?;
                Some(identified(Found {
                    index,
                    name: info.human_name(),
                    id: info.misc(),
                    path: None,
                }))
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
            let fault = match open(camera, *format) {
                Ok(device) => return Ok(device),
                Err(fault) => fault,
            };
            // Another format changes nothing about these.
            if matches!(fault, Fault::Busy(_) | Fault::Denied(_) | Fault::Missing(_)) {
                return Err(fault);
            }
            first_fault.get_or_insert(fault);
        }
        Err(first_fault
            .unwrap_or_else(|| Fault::Unfit(format!("{} takes no format", label(camera)))))
    }
}

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
