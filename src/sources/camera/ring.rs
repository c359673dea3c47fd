//! The frames that were captured last, in a ring that overwrites the oldest, so that nothing grows
//! when the engine is slow.

use std::sync::Arc;

use ringbuf::HeapRb;
use ringbuf::traits::{Consumer, Observer, RingBuffer};

/// Most bytes that a ring holds.
pub const BYTES_MAX: usize = 64 << 20;
/// Most frames that a ring holds.
const FRAMES_MAX: usize = 512;

/// A frame as the camera sent it, not decoded.
#[derive(Debug)]
pub struct RawFrame {
    /// When it came, in seconds of the clock.
    pub clock_s: f64,
    /// Its number, counted from 1 each time the device is opened.
    pub number: u64,
    /// The bytes of the frame.
    pub bytes: Vec<u8>,
}

/// The last frames. The buffers of overwritten ones are used again, so that nothing is allocated
/// while the size of a frame stays the same.
pub struct Ring {
    shots: HeapRb<Arc<RawFrame>>,
    look_back_s: f64,
    held_bytes: usize,
    captured: u64,
    overwritten: u64,
    spare: Vec<u8>,
}

impl Ring {
    /// A ring for the frames of the last `look_back_s` seconds, at `fps` frames a second and within
    /// the bounds above.
    pub fn new(look_back_s: f64, fps: u32) -> Self {
        let frames = (look_back_s * f64::from(fps)).ceil() as usize;
        let shots = HeapRb::new(frames.saturating_add(1).clamp(2, FRAMES_MAX));
        Self {
            shots,
            look_back_s,
            held_bytes: 0,
            captured: 0,
            overwritten: 0,
            spare: Vec::new(),
        }
    }

    /// Takes a frame in, and drops the oldest ones.
    pub fn push(&mut self, clock_s: f64, bytes: &[u8]) {
        let mut buffer = std::mem::take(&mut self.spare);
        buffer.clear();
        buffer.extend_from_slice(bytes);
        self.captured += 1;
        self.held_bytes += bytes.len();
        let shot = Arc::new(RawFrame {
            clock_s,
            number: self.captured,
            bytes: buffer,
        });
        if let Some(old) = self.shots.push_overwrite(shot) {
            self.retire(old);
        }
        while self.shots.occupied_len() > 1
            && (self.held_bytes > BYTES_MAX || self.age_s(clock_s) > self.look_back_s)
        {
            match self.shots.try_pop() {
                Some(old) => self.retire(old),
                None => break,
            }
        }
    }

    fn age_s(&self, now_s: f64) -> f64 {
        self.shots.first().map_or(0.0, |shot| now_s - shot.clock_s)
    }

    fn retire(&mut self, old: Arc<RawFrame>) {
        self.held_bytes -= old.bytes.len();
        self.overwritten += 1;
        // A frame that is still being decoded keeps its buffer.
        if let Some(shot) = Arc::into_inner(old) {
            self.spare = shot.bytes;
        }
    }

    /// The newest frame.
    pub fn newest(&self) -> Option<Arc<RawFrame>> {
        self.shots.last().cloned()
    }

    /// The frames that are held, the oldest first.
    pub fn held(&self) -> impl Iterator<Item = &Arc<RawFrame>> {
        self.shots.iter()
    }

    /// How many frames came, and how many of them were overwritten.
    pub fn counts(&self) -> (u64, u64) {
        (self.captured, self.overwritten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_overwritten_and_counted() {
        let mut ring = Ring::new(1.0, 4);
        for i in 0..100u64 {
            ring.push(i as f64 * 0.25, &[i as u8; 10]);
        }
        let held: Vec<u64> = ring.held().map(|shot| shot.number).collect();
        assert_eq!(held, [96, 97, 98, 99, 100]);
        assert_eq!(ring.counts(), (100, 95));
        assert_eq!(ring.newest().unwrap().bytes, [99; 10]);
    }

    #[test]
    fn bytes_and_age_have_bounds_and_the_newest_always_stays() {
        let mut ring = Ring::new(10.0, 30);
        let big = vec![0; BYTES_MAX / 4 + 1];
        for i in 0..10 {
            ring.push(f64::from(i), &big);
        }
        assert_eq!(ring.held().count(), 3);
        ring.push(100.0, &vec![1; BYTES_MAX + 1]);
        assert_eq!(
            ring.held().map(|shot| shot.number).collect::<Vec<_>>(),
            [11]
        );
        ring.push(1000.0, &[2]);
        assert_eq!(
            ring.held().map(|shot| shot.number).collect::<Vec<_>>(),
            [12]
        );
    }

    #[test]
    fn a_frame_that_is_looked_at_outlives_the_ring() {
        let mut ring = Ring::new(1.0, 1);
        ring.push(0.0, b"first");
        let first = ring.newest().unwrap();
        (1..9).for_each(|i| ring.push(f64::from(i), b"later"));
        assert_eq!(first.bytes, b"first");
    }
}
