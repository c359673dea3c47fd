//! A file or pipe that a sink writes to, with its name for errors.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Something to write to. Each piece goes out in one call and is never held back, so that a process
/// that is killed leaves whole pieces behind.
pub struct Output {
    writer: Writer,
    name: String,
}

enum Writer {
    File(File),
    Other(Box<dyn Write + Send>),
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Output({})", self.name)
    }
}

impl Output {
    /// A new file; one that is there already is emptied.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(Error::io(path))?;
        Ok(Self {
            writer: Writer::File(file),
            name: path.display().to_string(),
        })
    }

    /// A file that is open already; writing goes on where it stands.
    pub fn of_file(file: File, path: &Path) -> Self {
        Self {
            writer: Writer::File(file),
            name: path.display().to_string(),
        }
    }

    /// Any writer, under a name that errors mention.
    pub fn to(writer: impl Write + Send + 'static, name: &str) -> Self {
        Self {
            writer: Writer::Other(Box::new(writer)),
            name: name.to_owned(),
        }
    }

    /// Writes a piece and flushes.
    ///
    /// # Errors
    /// The piece could not be written whole.
    pub(super) fn write(&mut self, piece: &str) -> Result<()> {
        let written = match &mut self.writer {
            Writer::File(file) => file.write_all(piece.as_bytes()),
            Writer::Other(writer) => writer
                .write_all(piece.as_bytes())
                .and_then(|()| writer.flush()),
        };
        self.named(written)
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// The system could not.
    pub(super) fn close(&mut self) -> Result<()> {
        let closed = match &mut self.writer {
            // Pipes and terminals have nothing to make durable and say so.
            Writer::File(file) => match file.sync_all() {
                Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                    Ok(())
                }
                other => other,
            },
            Writer::Other(writer) => writer.flush(),
        };
        self.named(closed)
    }

    fn named(&self, result: std::io::Result<()>) -> Result<()> {
        result.map_err(|e| Error::Sink(format!("{}: {e}", self.name)))
    }
}

/// Words on one line: every run of blanks and control characters is one space, so that nothing said
/// by a model or written in a file can steer a terminal or break a format of lines.
pub(super) fn one_line(text: &str) -> String {
    let words = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A writer whose content can be read from outside, and which is full after so many bytes.
    #[derive(Clone, Default)]
    pub(in crate::sinks) struct Page {
        pub bytes: Arc<Mutex<Vec<u8>>>,
        pub room: Option<usize>,
    }

    impl Page {
        pub fn text(&self) -> String {
            String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Page {
        fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
            let mut bytes = self.bytes.lock().unwrap();
            let room = self.room.map_or(usize::MAX, |room| room - bytes.len());
            if room == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            let n = piece.len().min(room);
            bytes.extend(&piece[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_an_error_with_the_name() {
        let mut output = Output::to(
            Page {
                room: Some(3),
                ..Page::default()
            },
            "log.jsonl",
        );
        let why = output.write("four").unwrap_err().to_string();
        assert!(why.contains("log.jsonl"), "{why}");
        assert!(Output::create(Path::new("/no/such/folder/x")).is_err());
    }

    #[test]
    fn control_characters_do_not_survive() {
        assert_eq!(one_line(" a\r\n\n b\u{1b}[2Jc\0\u{85}d "), "a b [2Jc d");
    }
}
