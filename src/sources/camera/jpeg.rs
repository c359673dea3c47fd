//! MJPEG: finds where the picture in a driver's buffer ends, and decodes it.

use image::ImageDecoder;
use image::codecs::jpeg::JpegDecoder;

use super::pixels::Format;
use crate::stream::Picture;

/// An `AVI1` segment. Many webcams leave out the code tables, which are always the same; this
/// segment tells the decoder to use the standard ones where a picture brings none.
const TABLES_ARE_STANDARD: [u8; 9] = *b"\xFF\xE0\x00\x07AVI1\x00";

/// The length of the JPEG picture at the start of a buffer; `None` when it is cut off or is none.
/// Drivers hand out buffers of the largest size, with the end of some earlier frame behind this
/// one.
pub fn length(buffer: &[u8]) -> Option<usize> {
    if !buffer.starts_with(&[0xFF, 0xD8]) {
        return None;
    }
    let mut at = 2;
    loop {
        // A marker is FF, before which more FF may stand to fill, and then its code.
        if *buffer.get(at)? != 0xFF {
            return None;
        }
        while *buffer.get(at + 1)? == 0xFF {
            at += 1;
        }
        let code = buffer[at + 1];
        at += 2;
        match code {
            0xD9 => return Some(at),
            0x00 => return None,
            0x01 | 0xD0..=0xD8 => continue,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([*buffer.get(at)?, *buffer.get(at + 1)?]));
        at += length.max(2);
        if code == 0xDA {
            // Coded data reach up to the next marker that is neither a stuffed zero nor a restart.
            loop {
                at += buffer.get(at..)?.iter().position(|byte| *byte == 0xFF)?;
                match *buffer.get(at + 1)? {
                    0x00 | 0xD0..=0xD7 => at += 2,
                    0xFF => at += 1,
                    _ => break,
                }
            }
        }
    }
}

/// Decodes a whole picture.
///
/// # Errors
/// The picture is broken, or has another size than the camera is set to; in words.
pub fn decode(format: &Format, frame: &[u8]) -> Result<Picture, String> {
    // The first two bytes were checked: `length` finds no picture without them.
    let (start, rest) = frame.split_at(frame.len().min(2));
    let decoder = JpegDecoder::new(std::io::Cursor::new(
        [start, &TABLES_ARE_STANDARD, rest].concat(),
    ))
    .map_err(|e| e.to_string())?;
    let (width, height) = decoder.dimensions();
    if (width, height) != (format.width, format.height) {
        return Err(format!("a JPEG of {width}x{height}, expected {format}"));
    }
    let picture = image::DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    Ok(Picture {
        width,
        height,
        rgb: picture.into_rgb8().into_raw(),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::pixels::PixelLayout;
    use super::*;

    /// A picture of reds.
    pub fn picture(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let rgb: Vec<u8> = (0..width * height)
            .flat_map(|i| [200, (i % 7) as u8 * 20, 30])
            .collect();
        let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90);
        encoder
            .encode(&rgb, width, height, image::ExtendedColorType::Rgb8)
            .unwrap();
        bytes
    }

    #[test]
    fn a_jpeg_is_found_in_front_of_what_a_driver_left_there() {
        let whole = picture(64, 48);
        let mut buffer = whole.clone();
        buffer.extend(picture(32, 16));
        buffer.extend([0; 5000]);
        assert_eq!(length(&buffer), Some(whole.len()));
        for cut in 0..whole.len() {
            assert_eq!(length(&whole[..cut]), None, "cut at {cut}");
        }
    }

    /// The same without its code tables, as many webcams send it.
    fn without_tables(jpeg: &[u8]) -> Vec<u8> {
        let mut bytes = jpeg[..2].to_vec();
        let mut at = 2;
        while jpeg[at + 1] != 0xDA {
            let end = at + 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            if jpeg[at + 1] != 0xC4 {
                bytes.extend(&jpeg[at..end]);
            }
            at = end;
        }
        bytes.extend(&jpeg[at..]);
        bytes
    }

    #[test]
    fn a_picture_without_code_tables_is_decoded_with_those_of_the_standard() {
        let format = Format {
            width: 64,
            height: 48,
            pixels: PixelLayout::Mjpeg,
            fps: 30,
        };
        let whole = picture(64, 48);
        let bare = without_tables(&whole);
        assert!(bare.len() < whole.len() - 400, "four tables are left out");
        assert_eq!(length(&bare), Some(bare.len()));
        assert!(decode(&format, &bare).unwrap() == decode(&format, &whole).unwrap());
        let by_itself =
            image::load_from_memory_with_format(&whole, image::ImageFormat::Jpeg).unwrap();
        assert!(decode(&format, &whole).unwrap().rgb == by_itself.into_rgb8().into_raw());
    }
}
