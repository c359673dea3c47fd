//! SHA-256 sums of what refactoring must not change, in `tests/data/unchanged.toml`.

use std::path::{Path, PathBuf};

use proact::files::sha256_of_bytes;

/// Sums of floating-point numbers are rounded otherwise by other vector instructions, so a result
/// that arithmetic went into has one sum for each of these names.
fn arithmetic() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return "x86_64-avx512";
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return "x86_64-avx2";
        }
    }
    std::env::consts::ARCH
}

/// Holds `bytes` against the sum that stands under `name`. A missing or another sum fails;
/// `UPDATE_GOLDEN=1` writes it. A result of arithmetic (`computed`) has one sum for each kind of
/// processor: one that the file does not know cannot be judged, which is said.
pub fn assert_unchanged(name: &str, computed: bool, bytes: &[u8]) {
    if !computed {
        let file = file();
        assert!(
            known(name, bytes),
            "{name} has no sum in {}; UPDATE_GOLDEN=1 writes it",
            file.display()
        );
    } else if !known(&format!("{name}.{}", arithmetic()), bytes) {
        eprintln!(
            "{name}: no sum was recorded on a processor with {}, so this run does not tell whether \
             it changed",
            arithmetic()
        );
    }
}

/// Whether there is a sum; one that differs fails.
fn known(name: &str, bytes: &[u8]) -> bool {
    let found = sha256_of_bytes(bytes);
    let mut sums: toml::Table = std::fs::read_to_string(file())
        .unwrap_or_default()
        .parse()
        .unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        sums.insert(name.to_owned(), found.into());
        std::fs::write(file(), sums.to_string()).unwrap();
        return true;
    }
    let Some(expected) = sums.get(name) else {
        return false;
    };
    assert_eq!(
        Some(found.as_str()),
        expected.as_str(),
        "{name} is not what it was, byte for byte"
    );
    true
}

fn file() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("tests/data/unchanged.toml")
}
