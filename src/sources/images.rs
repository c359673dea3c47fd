//! A folder of pictures as a source: JPEG and PNG files in natural order, one picture every
//! `1/images_fps` seconds.

use std::cmp::Ordering;
use std::io::{BufRead, Cursor, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

use super::sampler::Sampler;
use crate::error::{Error, Result};
use crate::stream::{Content, Frame, Input, Picture, Poll, Source};
use crate::units::{FrameIdx, MediaTime};

/// Most pictures in a folder.
const PICTURES_MAX: usize = 1 << 20;
/// Longest side of a picture, in pixels.
const SIDE_MAX: u32 = 16_384;
/// Most memory that decoding one picture may take, in bytes.
const DECODE_BYTES_MAX: u64 = 1 << 30;

/// The pictures of a folder, or a single picture.
#[derive(Debug)]
pub struct ImageSource {
    files: Vec<PathBuf>,
    images_fps: f64,
    sampler: Sampler,
    next: usize,
    frames: u64,
}

impl ImageSource {
    /// Opens a folder. Picture `k` is at `k / images_fps` seconds; the pictures are sampled at
    /// `fps`.
    ///
    /// # Errors
    /// A rate is out of range, or the folder cannot be read or holds no picture.
    pub fn open(path: &Path, fps: f64, images_fps: f64) -> Result<Self> {
        let sampler = Sampler::new(fps)?;
        Sampler::new(images_fps)?;
        let (files, ignored) = if path.is_dir() {
            list(path)?
        } else {
            (vec![path.to_path_buf()], Vec::new())
        };
        if files.is_empty() {
            return Err(Error::format(path, "no JPEG or PNG picture in this folder"));
        }
        if !ignored.is_empty() {
            tracing::warn!(
                folder = %path.display(),
                count = ignored.len(),
                first = %ignored[0].display(),
                "files that are neither JPEG nor PNG are left out"
            );
        }
        Ok(Self {
            files,
            images_fps,
            sampler,
            next: 0,
            frames: 0,
        })
    }
}

impl Source for ImageSource {
    fn next(&mut self) -> Result<Poll> {
        while let Some(path) = self.files.get(self.next) {
            let at_s = self.next as f64 / self.images_fps;
            self.next += 1;
            if !self.sampler.take(at_s) {
                continue;
            }
            let picture = read_picture(path)?;
            let frame = Frame {
                idx: FrameIdx(self.frames),
                at: MediaTime(at_s),
                content: Content::Picture(Arc::new(picture)),
            };
            self.frames += 1;
            return Ok(Poll::Ready(Input::Frame(frame)));
        }
        Ok(Poll::End)
    }

    fn duration(&mut self) -> Option<MediaTime> {
        Some(MediaTime(self.files.len() as f64 / self.images_fps))
    }
}

/// The pictures of a folder in natural order, and everything else in it.
fn list(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut pictures, mut others) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        // File managers keep files of their own under names that begin with a dot.
        let hidden = path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with('.'));
        let is_picture = matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png"))
            && !hidden
            && path.is_file();
        if is_picture {
            &mut pictures
        } else {
            &mut others
        }
        .push(path);
        if pictures.len() > PICTURES_MAX {
            return Err(Error::format(
                folder,
                format!("more than {PICTURES_MAX} pictures"),
            ));
        }
    }
    let name = |p: &PathBuf| {
        p.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    pictures.sort_by(|a, b| natural_order(&name(a), &name(b)).then_with(|| a.cmp(b)));
    others.sort();
    Ok((pictures, others))
}

/// Orders names as a person does, with digits by the value of the number: `frame_2` comes before
/// `frame_10`.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (Some(x), Some(y)) = (a.first(), b.first()) else {
            return a.len().cmp(&b.len());
        };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (m, n) = (digits(&mut a), digits(&mut b));
            // Without leading zeros, the longer number is the larger one.
            match m.len().cmp(&n.len()).then_with(|| m.cmp(n)) {
                Ordering::Equal => continue,
                other => return other,
            }
        }
        if x != y {
            return x.cmp(y);
        }
        (a, b) = (&a[1..], &b[1..]);
    }
}

/// Cuts the leading digits off and returns them without leading zeros.
fn digits<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let length = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (number, rest) = text.split_at(length);
    *text = rest;
    &number[number.iter().take_while(|c| **c == b'0').count()..]
}

/// Reads one picture upright (EXIF orientation applied), as 8-bit RGB.
///
/// # Errors
/// The file cannot be read, is corrupt, is neither JPEG nor PNG, or has a side longer than 16384
/// pixels.
pub fn read_picture(path: &Path) -> Result<Picture> {
    let reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(Error::io(path))?;
    decode(reader).map_err(|why| Error::format(path, why))
}

/// Reads one picture upright from its bytes.
///
/// # Errors
/// The bytes are no sound picture; the error says in words why.
pub fn decode_picture(bytes: &[u8]) -> Result<Picture, String> {
    let reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| e.to_string())?;
    decode(reader)
}

fn decode(reader: ImageReader<impl BufRead + Seek>) -> Result<Picture, String> {
    let decode = || -> image::ImageResult<Picture> {
        let mut decoder = reader.into_decoder()?;
        let mut limits = Limits::default();
        (limits.max_image_width, limits.max_image_height) = (Some(SIDE_MAX), Some(SIDE_MAX));
        limits.max_alloc = Some(DECODE_BYTES_MAX);
        limits.check_dimensions(decoder.dimensions().0, decoder.dimensions().1)?;
        decoder.set_limits(limits)?;
        // A picture whose EXIF data are broken may still be sound.
        let orientation = decoder
            .orientation()
            .unwrap_or(image::metadata::Orientation::NoTransforms);
        let mut picture = DynamicImage::from_decoder(decoder)?;
        picture.apply_orientation(orientation);
        let rgb = picture.into_rgb8();
        Ok(Picture {
            width: rgb.width(),
            height: rgb.height(),
            rgb: rgb.into_raw(),
        })
    };
    decode().map_err(|e| format!("the picture is broken: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(path: &Path, shade: u8) {
        image::RgbImage::from_pixel(3, 2, image::Rgb([shade, 0, 0]))
            .save(path)
            .unwrap();
    }

    fn frames(source: &mut ImageSource) -> Vec<(f64, u8)> {
        let mut out = Vec::new();
        while let Poll::Ready(Input::Frame(f)) = source.next().unwrap() {
            let Content::Picture(p) = f.content else {
                panic!()
            };
            assert_eq!((p.width, p.height, f.idx.0 as usize), (3, 2, out.len()));
            out.push((f.at.0, p.rgb[0]));
        }
        out
    }

    #[test]
    fn numbers_in_names_count_by_value() {
        let mut names = [
            "frame_10",
            "frame_2",
            "frame_02",
            "a",
            "frame_1x",
            "frame_1",
            "frame_99999999999999999999999",
        ];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(
            names,
            [
                "a",
                "frame_1",
                "frame_1x",
                "frame_2",
                "frame_02",
                "frame_10",
                "frame_99999999999999999999999"
            ]
        );
    }

    #[test]
    fn a_folder_plays_in_order_and_says_what_it_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for n in [10u8, 2, 1] {
            png(&dir.path().join(format!("frame_{n}.PNG")), n);
        }
        std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
        std::fs::write(dir.path().join("._frame_1.png"), "x").unwrap();
        std::fs::create_dir(dir.path().join("sub.png")).unwrap();
        let mut source = ImageSource::open(dir.path(), 2.0, 2.0).unwrap();
        assert_eq!(frames(&mut source), [(0.0, 1), (0.5, 2), (1.0, 10)]);
        assert_eq!(source.duration(), Some(MediaTime(1.5)));
        let mut sampled = ImageSource::open(dir.path(), 1.0, 2.0).unwrap();
        assert_eq!(frames(&mut sampled), [(0.0, 1), (1.0, 10)]);
    }

    #[test]
    fn a_corrupt_picture_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        png(&dir.path().join("1.png"), 1);
        let whole = std::fs::read(dir.path().join("1.png")).unwrap();
        std::fs::write(dir.path().join("2.png"), &whole[..whole.len() / 2]).unwrap();
        let mut source = ImageSource::open(dir.path(), 2.0, 2.0).unwrap();
        assert!(source.next().is_ok());
        let why = source.next().unwrap_err().to_string();
        assert!(why.contains("2.png"), "{why}");
        let empty = tempfile::tempdir().unwrap();
        assert!(ImageSource::open(empty.path(), 2.0, 2.0).is_err());
        assert!(ImageSource::open(dir.path(), 2.0, 0.0).is_err());
    }

    #[test]
    fn orientation_is_applied() {
        // A 2x1 JPEG with an EXIF orientation of 6 (a quarter to the right) spliced in.
        let mut jpeg = std::io::Cursor::new(Vec::new());
        image::RgbImage::from_pixel(16, 8, image::Rgb([200, 0, 0]))
            .write_to(&mut jpeg, image::ImageFormat::Jpeg)
            .unwrap();
        let jpeg = jpeg.into_inner();
        let tiff = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let mut bytes = jpeg[..2].to_vec();
        bytes.extend([0xff, 0xe1]);
        bytes.extend((tiff.len() as u16 + 2).to_be_bytes());
        bytes.extend(tiff);
        bytes.extend(&jpeg[2..]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jpg");
        std::fs::write(&path, bytes).unwrap();
        let picture = read_picture(&path).unwrap();
        assert_eq!((picture.width, picture.height), (8, 16));
    }
}
