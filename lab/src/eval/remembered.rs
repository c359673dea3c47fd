//! Similarities that an earlier `eval` found, so that one that is taken up again does not compute
//! them anew.
//!
//! Only what a sentence model says is slow; logs are read and matched in no time. A pair of
//! sentences has the same similarity whatever became of logs and annotations, so nothing in the
//! file can be out of date.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::eval::speech::Similarity;

/// A similarity that keeps what it found in a file.
pub struct Remembered {
    inner: Box<dyn Similarity>,
    kept: Mutex<Kept>,
}

struct Kept {
    known: HashMap<(String, String), f32>,
    file: File,
}

/// First line of the file.
#[derive(Serialize, Deserialize, PartialEq)]
struct Head {
    /// Hash of the model that the similarities are by.
    similarity: String,
}

/// A further line.
#[derive(Serialize, Deserialize)]
struct Line {
    a: String,
    b: String,
    s: f32,
}

impl Remembered {
    /// Takes up the file, or begins it: those of another model, and a line that was cut off, are
    /// left.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(
        path: &Path,
        fingerprint: &str,
        inner: Box<dyn Similarity>,
    ) -> anyhow::Result<Self> {
        let head = Head {
            similarity: fingerprint.to_owned(),
        };
        let text = if path.exists() {
            std::fs::read_to_string(path).with_context(|| path.display().to_string())?
        } else {
            String::new()
        };
        let mut lines = text.split_inclusive('\n');
        let ours = lines.next().is_some_and(|line| {
            serde_json::from_str::<Head>(line).is_ok_and(|found| found == head)
        });
        let kept = if ours {
            lines
                .take_while(|line| line.ends_with('\n'))
                .map_while(|line| serde_json::from_str::<Line>(line).ok())
                .collect()
        } else {
            Vec::new()
        };
        let mut file = File::create(path).with_context(|| path.display().to_string())?;
        let mut known = HashMap::new();
        let mut whole = format!("{}\n", serde_json::to_string(&head)?);
        for line in kept {
            whole += &format!("{}\n", serde_json::to_string(&line)?);
            known.insert((line.a, line.b), line.s);
        }
        file.write_all(whole.as_bytes())
            .with_context(|| path.display().to_string())?;
        Ok(Self {
            inner,
            kept: Mutex::new(Kept { known, file }),
        })
    }
}

impl Similarity for Remembered {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn score(&self, a: &str, b: &str) -> f32 {
        let key = (a.to_owned(), b.to_owned());
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept().known.get(&key) {
            return *found;
        }
        let s = self.inner.score(a, b);
        // What is no number has no place in JSON, and is asked for again.
        if s.is_finite() {
            let mut kept = kept();
            if let Ok(line) = serde_json::to_string(&Line {
                a: key.0.clone(),
                b: key.1.clone(),
                s,
            }) && let Err(why) = writeln!(kept.file, "{line}")
            {
                tracing::warn!("a similarity is not kept: {why}");
            }
            kept.known.insert(key, s);
        }
        s
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts how often it is asked.
    struct Asked(Arc<AtomicUsize>);

    impl Similarity for Asked {
        fn name(&self) -> &str {
            "asked"
        }

        fn score(&self, a: &str, b: &str) -> f32 {
            self.0.fetch_add(1, Ordering::Relaxed);
            if a.is_empty() {
                f32::NAN
            } else {
                1.0 / (a.len() + b.len()) as f32
            }
        }
    }

    #[test]
    fn a_pair_is_asked_once_through_breaks_and_anew_of_another_model() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kept.jsonl");
        let count = Arc::new(AtomicUsize::new(0));
        let open = |model: &str| {
            Remembered::open(&path, model, Box::new(Asked(Arc::clone(&count)))).unwrap()
        };
        let first = open("x").score("a", "bc");
        assert_eq!(open("x").score("a", "bc").to_bits(), first.to_bits());
        assert_eq!(count.load(Ordering::Relaxed), 1);
        // Cut off within its last line.
        open("x").score("d\n\"", "e");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 3]).unwrap();
        let again = open("x");
        again.score("a", "bc");
        again.score("d\n\"", "e");
        assert_eq!(count.load(Ordering::Relaxed), 3);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert!(again.score("", "e").is_nan() && again.score("", "e").is_nan());
        assert_eq!(count.load(Ordering::Relaxed), 5);
        open("y").score("a", "bc");
        assert_eq!(count.load(Ordering::Relaxed), 6);
        assert_eq!(open("y").name(), "asked");
    }
}
