//! The system's cameras: V4L2 on Linux, AVFoundation on macOS, Media Foundation on Windows.

use nokhwa::utils::ApiBackend;

use super::device::{Backend, CameraError, Device, ListedCamera, label};
#[cfg(not(target_os = "linux"))]
use super::nokhwa_device::{offered, open};
use super::pixels::Format;
#[cfg(target_os = "linux")]
use super::v4l2::{identified, offered, open};

/// How many formats are tried before a camera counts as one that accepts none.
const TRIES_MAX: usize = 8;

/// The cameras of this system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Native;

impl Backend for Native {
    fn list(&self) -> Result<Vec<ListedCamera>, CameraError> {
        ask()?;
        let cameras = nokhwa::query(ApiBackend::Auto)
            .map_err(|e| CameraError::Driver(format!("the system's list of cameras: {e}")))?;
        let mut found: Vec<ListedCamera> = cameras
            .iter()
            .filter_map(|info| {
                let index = info.index().as_index().ok()?;
                Some(identified(ListedCamera {
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

    fn formats(&self, camera: &ListedCamera) -> Result<Vec<Format>, CameraError> {
        offered(camera)
    }

    fn open(
        &self,
        camera: &ListedCamera,
        ranked: &[Format],
    ) -> Result<Box<dyn Device>, CameraError> {
        let mut first_error = None;
        for format in ranked.iter().take(TRIES_MAX) {
            let error = match open(camera, *format) {
                Ok(device) => return Ok(device),
                Err(error) => error,
            };
            // Another format would not help here.
            if matches!(
                error,
                CameraError::Busy(_) | CameraError::Denied(_) | CameraError::Missing(_)
            ) {
                return Err(error);
            }
            first_error.get_or_insert(error);
        }
        Err(first_error.unwrap_or_else(|| {
            CameraError::Unfit(format!("{} accepts none of its formats", label(camera)))
        }))
    }
}

#[cfg(not(target_os = "linux"))]
fn identified(found: ListedCamera) -> ListedCamera {
    found
}

/// macOS asks the person once, and lists no camera before they have answered.
#[cfg(target_os = "macos")]
fn ask() -> Result<(), CameraError> {
    const ANSWER_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
    if nokhwa::nokhwa_check() {
        return Ok(());
    }
    let (told, answer) = std::sync::mpsc::channel();
    nokhwa::nokhwa_initialize(move |allowed| _ = told.send(allowed));
    match answer.recv_timeout(ANSWER_LIMIT) {
        Ok(true) => Ok(()),
        _ => Err(CameraError::Denied("the camera".into())),
    }
}

#[cfg(not(target_os = "macos"))]
fn ask() -> Result<(), CameraError> {
    Ok(())
}
