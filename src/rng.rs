//! The one random generator: chance that follows from seeds and names alone, the same everywhere,
//! on every thread, in any order.
//!
//! Trained and shipped models, rendered films and the suite depend on these streams bit for bit.
//! The tests hold the first values of each.

/// SplitMix64's increment and mixers (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
/// number generators").
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const MIX_1: u64 = 0xBF58_476D_1CE4_E5B9;
const MIX_2: u64 = 0x94D0_49BB_1331_11EB;

/// One step of SplitMix64 as a hash of 64 bits.
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(MIX_1);
    z = (z ^ (z >> 27)).wrapping_mul(MIX_2);
    z ^ (z >> 31)
}

/// FNV-1a, 64 bits: spreads names over seeds.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// Hash of a text (FNV-1a, then mixed).
pub fn hash_text(text: &str) -> u64 {
    mix(fnv1a(text))
}

/// A stream of random numbers: SplitMix64.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A stream for a seed and a purpose, independent of the streams of other purposes.
    pub fn new(seed: u64, purpose: &str) -> Self {
        Self(mix(seed ^ hash_text(purpose)).wrapping_add(GOLDEN))
    }

    /// The stream of a list of numbers, for example `[seed, epoch, clip]`: a step's draws follow
    /// from its numbers, so that a resumed run draws what the interrupted one would have drawn.
    pub fn of(words: &[u64]) -> Self {
        let mut rng = Self(0x243F_6A88_85A3_08D3);
        for word in words {
            rng.0 = rng.next_u64() ^ word.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        }
        rng.next_u64();
        rng
    }

    /// The stream of a tensor's first values.
    pub fn of_tensor(seed: u64, name: &str) -> Self {
        Self(seed ^ fnv1a(name))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let bits = mix(self.0);
        self.0 = self.0.wrapping_add(GOLDEN);
        bits
    }

    /// Uniform in [0, 1): 24 bits.
    pub fn unit(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Uniform in (0, 1]: 53 bits.
    fn unit_above_zero(&mut self) -> f64 {
        ((self.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Two independent standard normals (Box and Muller, 1958).
    pub fn normal_pair(&mut self) -> (f64, f64) {
        let radius = (-2.0 * self.unit_above_zero().ln()).sqrt();
        let angle = std::f64::consts::TAU * self.unit_above_zero();
        (radius * angle.cos(), radius * angle.sin())
    }

    /// Uniform in `0..count`, by the high bits of the draw; 0, without a draw, when `count` is 0.
    pub fn below(&mut self, count: usize) -> usize {
        if count == 0 {
            0
        } else {
            ((u128::from(self.next_u64()) * count as u128) >> 64) as usize
        }
    }

    /// Uniform in `0..count`, by the remainder of the draw; 0 when `count` is 0. The simulated
    /// episodes draw in this way; [`Rng::below`] would change every one of them.
    pub fn remainder(&mut self, count: usize) -> usize {
        (self.next_u64() % count.max(1) as u64) as usize
    }

    /// One of the choices, by [`Rng::remainder`].
    pub fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.remainder(choices.len())]
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// `k` of the items, in their order; all when there are fewer.
    pub fn choose<T: Copy>(&mut self, items: &[T], k: usize) -> Vec<T> {
        let mut order: Vec<usize> = (0..items.len()).collect();
        self.shuffle(&mut order);
        order.truncate(k);
        order.sort_unstable();
        order.into_iter().map(|i| items[i]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values were drawn with the three generators that this one replaced.
    #[test]
    fn streams_have_the_values_that_shipped_files_were_made_with() {
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(1), 0x910a_2dec_8902_5cc1);
        assert_eq!(hash_text(""), 0xc381_7c01_6ba4_ff30);
        assert_eq!(hash_text("Beat the eggs"), 0xbb58_99d6_a07a_a843);

        let mut rng = Rng::of(&[]);
        assert_eq!(rng.next_u64(), 0x9417_0347_2314_8989);
        let mut rng = Rng::of(&[1, 2]);
        assert_eq!(rng.next_u64(), 0xb7b3_9231_e8c6_bfe8);
        assert_eq!(rng.next_u64(), 0xe6e5_1dac_4500_a504);
        let mut rng = Rng::of(&[7]);
        assert_eq!(rng.unit().to_bits(), 1_051_987_946);
        assert_eq!(rng.unit(), 0.396_139_8);
        let below: Vec<usize> = (0..8).map(|_| rng.below(10)).collect();
        assert_eq!(below, [1, 9, 4, 6, 7, 1, 4, 3]);
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.next_u64(), 0xee81_6de9_cbfd_f787);
        let mut items = [0, 1, 2, 3, 4, 5, 6, 7];
        rng.shuffle(&mut items);
        assert_eq!(items, [4, 0, 1, 7, 5, 2, 6, 3]);
        assert_eq!(rng.choose(&[10, 11, 12, 13, 14, 15], 3), [10, 13, 14]);
        assert_eq!(rng.next_u64(), 0x5d81_1fae_8d59_65eb);

        let mut rng = Rng::new(7, "scene");
        assert_eq!(rng.next_u64(), 0x3e85_f282_543c_30ca);
        assert_eq!(rng.next_u64(), 0x438e_6752_93ef_dadd);
        assert_eq!(rng.unit(), 0.996_411_7);
        assert_eq!(rng.range(-2.0, 3.0), -1.618_216_2);
        assert_eq!(rng.range(0.85, 1.1), 0.932_396_7);
        let remainders: Vec<usize> = (0..8).map(|_| rng.remainder(10)).collect();
        assert_eq!(remainders, [1, 5, 9, 8, 2, 5, 7, 7]);
        assert_eq!(rng.remainder(0), 0);
        assert_eq!(rng.next_u64(), 0xbe9d_3ae7_8523_0179);
        let words = ["a", "b", "c"];
        assert_eq!([rng.pick(&words), rng.pick(&words)], ["c", "a"]);

        let mut rng = Rng::of_tensor(3, "blk.0.attn_q.weight");
        assert_eq!(rng.next_u64(), 0xc85e_3990_71ad_d694);
        assert_eq!(rng.unit_above_zero(), 0.732_557_229_956_980_4);
        assert_eq!(rng.unit_above_zero().to_bits(), 4_599_083_943_948_225_498);
        let (a, b) = rng.normal_pair();
        // The last bits of sine and logarithm are the platform's.
        assert!((a + 1.570_576_001_414_063_7).abs() < 1e-12, "{a}");
        assert!((b + 0.971_654_208_943_734).abs() < 1e-12, "{b}");
    }

    #[test]
    fn streams_differ_by_seed_purpose_and_order() {
        let of = |words: &[u64]| Rng::of(words).next_u64();
        assert_ne!(of(&[1, 2]), of(&[2, 1]));
        let new = |seed, purpose| Rng::new(seed, purpose).next_u64();
        assert_ne!(new(1, "a"), new(2, "a"));
        assert_ne!(new(1, "a"), new(1, "b"));
        let of_tensor = |seed, name| Rng::of_tensor(seed, name).next_u64();
        assert_ne!(of_tensor(1, "a"), of_tensor(2, "a"));
        assert_ne!(of_tensor(1, "a"), of_tensor(1, "b"));
    }

    #[test]
    fn numbers_fill_their_range() {
        let mut rng = Rng::of(&[7]);
        let mean = |draws: &[f32]| draws.iter().sum::<f32>() / draws.len() as f32;
        let units: Vec<f32> = (0..10_000).map(|_| rng.unit()).collect();
        assert!((mean(&units) - 0.5).abs() < 0.02, "{}", mean(&units));
        let ranged: Vec<f32> = (0..10_000).map(|_| rng.range(-2.0, 3.0)).collect();
        assert!(ranged.iter().all(|x| (-2.0..3.0).contains(x)));
        assert!((mean(&ranged) - 0.5).abs() < 0.1, "{}", mean(&ranged));
        assert!((0..1000).all(|_| rng.below(3) < 3 && rng.remainder(3) < 3));
        let mut chosen = rng.choose(&[1, 2, 3, 4, 5], 3);
        chosen.dedup();
        assert_eq!(chosen.len(), 3);
        assert_eq!(rng.choose(&[1, 2], 9), [1, 2]);
    }
}
