//! The event log: one JSON object a line, byte for byte the same for the same events.

use super::output::Output;
use crate::error::{Error, Result};
use crate::stream::{Event, Sink};

/// Writes every event as one line of JSON, keys in the order of the event's fields.
///
/// A line goes out whole as soon as its event comes; a log that was cut off has at most its last
/// line broken.
#[derive(Debug)]
pub struct JsonlSink {
    out: Output,
}

impl JsonlSink {
    /// Logs to `out`.
    pub fn new(out: Output) -> Self {
        Self { out }
    }
}

impl Sink for JsonlSink {
    fn emit(&mut self, event: &Event) -> Result<()> {
        let mut line =
            serde_json::to_string(event).map_err(|e| Error::Sink(format!("event log: {e}")))?;
        line.push('\n');
        self.out.write(&line)
    }

    fn close(&mut self) -> Result<()> {
        self.out.close()
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::tests::Page;
    use super::super::text::tests::events;
    use super::*;

    #[test]
    fn every_line_is_one_object_and_a_log_is_the_same_every_time() {
        let log = || {
            let page = Page::default();
            let mut sink = JsonlSink::new(Output::to(page.clone(), "log"));
            events().iter().for_each(|e| sink.emit(e).unwrap());
            sink.close().unwrap();
            page.text()
        };
        let text = log();
        assert_eq!(text, log());
        assert_eq!(text.lines().count(), events().len());
        for line in text.lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(line.starts_with("{\"type\":\""), "{line}");
            assert_eq!(object.to_string(), line);
        }
        let frame = text.lines().find(|l| l.contains("\"frame\",")).unwrap();
        assert_eq!(
            frame,
            r#"{"type":"frame","frame":12,"at":6.0,"speak":0.031,"dst_update":0.912}"#
        );
    }

    #[test]
    fn lines_are_there_before_the_sink_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        std::fs::write(&path, "an older log").unwrap();
        let mut sink = JsonlSink::new(Output::create(&path).unwrap());
        for (n, event) in events().iter().enumerate() {
            sink.emit(event).unwrap();
            assert_eq!(
                std::fs::read_to_string(&path).unwrap().lines().count(),
                n + 1
            );
        }
        sink.close().unwrap();
    }

    #[test]
    fn a_full_disk_is_told() {
        let mut sink = JsonlSink::new(Output::to(
            Page {
                room: Some(100),
                ..Page::default()
            },
            "log",
        ));
        let results: Vec<_> = events().iter().map(|e| sink.emit(e).is_ok()).collect();
        assert!(results.contains(&false));
    }
}
