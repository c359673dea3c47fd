//! Every kernel as a plain loop: the text that all instruction sets share, and the oracle of their
//! tests.

/// `exp(x)` for f32 within 2 units in the last place, without branches, so that a loop over it
/// becomes vector code (range reduction and polynomial of the Cephes library's `expf`).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let exponent = shifted
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .wrapping_add(127)
        << 23;
    y * f32::from_bits(exponent)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Sum in eight lanes: one order of addition for every instruction set, and vector code.
#[inline(always)]
fn sum(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let mut lanes = [0.0f32; 8];
    let mut lane = 0;
    for v in values {
        lanes[lane] += v;
        lane = (lane + 1) & 7;
    }
    (lanes[0] + lanes[4]) + (lanes[1] + lanes[5]) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]))
}

/// Sum of `f(a[i], b[i])` in eight lanes.
#[inline(always)]
fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail = sum(a8
        .remainder()
        .iter()
        .zip(b8.remainder())
        .map(|(x, y)| f(*x, *y)));
    for (x, y) in a8.zip(b8) {
        for i in 0..8 {
            lanes[i] += f(x[i], y[i]);
        }
    }
    tail + sum(lanes.into_iter())
}

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (sum2(x, x, |a, _| a * a) / x.len() as f32 + eps).sqrt()
}

/// See [`super::rms_norm`].
#[inline(always)]
pub fn rms_norm(x: &[f32], w: &[f32], eps: f32, y: &mut [f32]) {
    for (x, y) in x.chunks_exact(w.len()).zip(y.chunks_exact_mut(w.len())) {
        let inv = inverse_rms(x, eps);
        for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
            *y = x * inv * w;
        }
    }
}

/// See [`super::rms_norm_backward`].
#[inline(always)]
pub fn rms_norm_backward(
    x: &[f32],
    w: &[f32],
    eps: f32,
    dy: &[f32],
    dx: &mut [f32],
    dw: &mut [f32],
) {
    let d = w.len();
    let mut g = vec![0.0f32; d];
    for ((x, dy), dx) in x
        .chunks_exact(d)
        .zip(dy.chunks_exact(d))
        .zip(dx.chunks_exact_mut(d))
    {
        let inv = inverse_rms(x, eps);
        for (((g, dy), w), (dw, x)) in g.iter_mut().zip(dy).zip(w).zip(dw.iter_mut().zip(x)) {
            *g = dy * w;
            *dw += dy * x * inv;
        }
        let dot = sum2(&g, x, |a, b| a * b) * inv * inv * inv / d as f32;
        for ((dx, g), x) in dx.iter_mut().zip(&g).zip(x) {
            *dx = g * inv - x * dot;
        }
    }
}

/// Mean and inverse standard deviation of a row.
#[inline(always)]
fn moments(x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = sum2(x, x, |a, _| a) / n;
    let var = sum2(x, x, |a, _| (a - mean) * (a - mean)) / n;
    (mean, 1.0 / (var + eps).sqrt())
}

/// See [`super::layer_norm`].
#[inline(always)]
pub fn layer_norm(x: &[f32], w: &[f32], b: &[f32], eps: f32, y: &mut [f32]) {
    for (x, y) in x.chunks_exact(w.len()).zip(y.chunks_exact_mut(w.len())) {
        let (mean, inv) = moments(x, eps);
        for ((y, x), (w, b)) in y.iter_mut().zip(x).zip(w.iter().zip(b)) {
            *y = (x - mean) * inv * w + b;
        }
    }
}

/// See [`super::layer_norm_backward`].
#[inline(always)]
pub fn layer_norm_backward(
    x: &[f32],
    w: &[f32],
    eps: f32,
    dy: &[f32],
    dx: &mut [f32],
    dw: &mut [f32],
    db: &mut [f32],
) {
    let d = w.len();
    let (mut g, mut h) = (vec![0.0f32; d], vec![0.0f32; d]);
    for ((x, dy), dx) in x
        .chunks_exact(d)
        .zip(dy.chunks_exact(d))
        .zip(dx.chunks_exact_mut(d))
    {
        let (mean, inv) = moments(x, eps);
        for i in 0..d {
            h[i] = (x[i] - mean) * inv;
            g[i] = dy[i] * w[i];
            dw[i] += dy[i] * h[i];
            db[i] += dy[i];
        }
        let g_mean = sum2(&g, &g, |a, _| a) / d as f32;
        let gh_mean = sum2(&g, &h, |a, b| a * b) / d as f32;
        for ((dx, g), h) in dx.iter_mut().zip(&g).zip(&h) {
            *dx = inv * (g - g_mean - h * gh_mean);
        }
    }
}

/// See [`super::softmax`].
#[inline(always)]
pub fn softmax(x: &[f32], rows: usize, cols: usize, scale: f32, causal: bool, y: &mut [f32]) {
    for (r, (x, y)) in x
        .chunks_exact(cols)
        .zip(y.chunks_exact_mut(cols))
        .enumerate()
    {
        let seen = if causal {
            cols - rows + r % rows + 1
        } else {
            cols
        };
        let (x, (y, hidden)) = (&x[..seen], y.split_at_mut(seen));
        let mut lanes = [f32::NEG_INFINITY; 8];
        let eights = x.chunks_exact(8);
        let mut max = eights
            .remainder()
            .iter()
            .fold(f32::NEG_INFINITY, |m, v| if *v > m { *v } else { m });
        for x in eights {
            for i in 0..8 {
                lanes[i] = if x[i] > lanes[i] { x[i] } else { lanes[i] };
            }
        }
        for lane in lanes {
            max = if lane > max { lane } else { max };
        }
        for (y, x) in y.iter_mut().zip(x) {
            *y = exp((x - max) * scale);
        }
        let inv = 1.0 / sum2(y, y, |a, _| a);
        for y in y.iter_mut() {
            *y *= inv;
        }
        hidden.fill(0.0);
    }
}

/// See [`super::softmax_backward`].
#[inline(always)]
pub fn softmax_backward(p: &[f32], dp: &[f32], cols: usize, scale: f32, dx: &mut [f32]) {
    for ((p, dp), dx) in p
        .chunks_exact(cols)
        .zip(dp.chunks_exact(cols))
        .zip(dx.chunks_exact_mut(cols))
    {
        let dot = sum2(p, dp, |a, b| a * b);
        for ((dx, p), dp) in dx.iter_mut().zip(p).zip(dp) {
            *dx = scale * p * (dp - dot);
        }
    }
}

const GELU_SLOPE: f32 = 0.797_884_6; // sqrt(2 / pi)
const GELU_CUBE: f32 = 0.044_715;

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// See [`super::gelu_tanh`].
#[inline(always)]
pub fn gelu_tanh(x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = 0.5 * x * (1.0 + tanh(GELU_SLOPE * (x + GELU_CUBE * x * x * x)));
    }
}

/// See [`super::gelu_tanh_backward`].
#[inline(always)]
pub fn gelu_tanh_backward(x: &[f32], dy: &[f32], dx: &mut [f32]) {
    for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
        let t = tanh(GELU_SLOPE * (x + GELU_CUBE * x * x * x));
        let slope = GELU_SLOPE * (1.0 + 3.0 * GELU_CUBE * x * x);
        *dx = dy * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope);
    }
}

/// See [`super::silu_gate`].
#[inline(always)]
pub fn silu_gate(gate: &[f32], up: &[f32], y: &mut [f32]) {
    for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
        *y = g * sigmoid(*g) * u;
    }
}

/// See [`super::silu_gate_backward`].
#[inline(always)]
pub fn silu_gate_backward(
    gate: &[f32],
    up: &[f32],
    dy: &[f32],
    dgate: &mut [f32],
    dup: &mut [f32],
) {
    for (((dg, du), dy), (g, u)) in dgate
        .iter_mut()
        .zip(dup.iter_mut())
        .zip(dy)
        .zip(gate.iter().zip(up))
    {
        let s = sigmoid(*g);
        *dg = dy * u * s * (1.0 + g * (1.0 - s));
        *du = dy * g * s;
    }
}

/// See [`super::rope`].
#[inline(always)]
pub fn rope(x: &[f32], cos: &[f32], sin: &[f32], t: usize, inverse: bool, y: &mut [f32]) {
    let half = cos.len() / t;
    let sign = if inverse { -1.0 } else { 1.0 };
    for (r, (x, y)) in x
        .chunks_exact(2 * half)
        .zip(y.chunks_exact_mut(2 * half))
        .enumerate()
    {
        let at = r % t * half;
        let (cos, sin) = (&cos[at..at + half], &sin[at..at + half]);
        for (((y, x), c), s) in y
            .chunks_exact_mut(2)
            .zip(x.chunks_exact(2))
            .zip(cos)
            .zip(sin)
        {
            let s = sign * s;
            y[0] = x[0] * c - x[1] * s;
            y[1] = x[0] * s + x[1] * c;
        }
    }
}

/// See [`super::q4_1_product`].
#[inline(always)]
pub fn q4_1_product(blocks: &[u8], x: &[f32], cols: usize, y: &mut [f32]) {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 20;
    if x.is_empty() {
        return;
    }
    for (row, out) in blocks
        .chunks_exact(cols / WEIGHTS * BYTES)
        .zip(y.chunks_exact_mut(x.len() / cols))
    {
        for (x, y) in x.chunks_exact(cols).zip(out) {
            let mut lanes = [0.0f32; WEIGHTS / 2];
            for ([d0, d1, m0, m1, packed @ ..], x) in row
                .as_chunks::<BYTES>()
                .0
                .iter()
                .zip(x.as_chunks::<WEIGHTS>().0)
            {
                let d = half::f16::from_le_bytes([*d0, *d1]).to_f32();
                let m = half::f16::from_le_bytes([*m0, *m1]).to_f32();
                for (i, lane) in lanes.iter_mut().enumerate() {
                    let (low, high) = (f32::from(packed[i] & 15), f32::from(packed[i] >> 4));
                    *lane += (d * low + m) * x[i] + (d * high + m) * x[i + WEIGHTS / 2];
                }
            }
            *y = sum(lanes.into_iter());
        }
    }
}
