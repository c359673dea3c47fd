//! Reads how much memory this process uses, now and at its peak.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Time between two reads of a gauge.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Resident memory of this process in bytes; `None` where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Now.
    pub resident: Option<u64>,
    /// The most so far.
    pub peak: Option<u64>,
}

impl ProcessMemory {
    /// Asks the system.
    pub fn read() -> Self {
        // Only Linux has this file; elsewhere the numbers are left out.
        std::fs::read_to_string("/proc/self/status")
            .map(|text| Self::parse(&text))
            .unwrap_or_default()
    }

    /// Reads `VmRSS` and `VmHWM` (both in units of 1024 bytes) from `/proc/PID/status`.
    fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let line = text.lines().find_map(|l| l.strip_prefix(name))?;
            let kib: u64 = line
                .strip_prefix(':')?
                .trim()
                .strip_suffix("kB")?
                .trim()
                .parse()
                .ok()?;
            kib.checked_mul(1024)
        };
        Self {
            resident: field("VmRSS"),
            peak: field("VmHWM"),
        }
    }
}

/// Reads the memory at most twice a second, because the system takes as long to make the text as a
/// small model takes to write a word.
#[derive(Debug, Default)]
pub struct MemoryGauge(Cell<Option<(Instant, ProcessMemory)>>);

impl MemoryGauge {
    /// The memory at the last read.
    pub fn read(&self) -> ProcessMemory {
        match self.0.get() {
            Some((when, memory)) if when.elapsed() < LOOK_EVERY => memory,
            _ => {
                let memory = ProcessMemory::read();
                self.0.set(Some((Instant::now(), memory)));
                memory
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_file_is_read_in_its_units() {
        let memory = ProcessMemory::parse("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t  1024 kB\n");
        assert_eq!(
            memory,
            ProcessMemory {
                resident: Some(1 << 20),
                peak: Some(2 << 20)
            }
        );
        assert_eq!(
            ProcessMemory::parse("VmRSS: lots\n"),
            ProcessMemory::default()
        );
    }
}
