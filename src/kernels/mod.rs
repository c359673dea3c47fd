//! Arithmetic on slices: what the model text needs beyond matrix products, forward and backward.
//!
//! [`generic`] is the one text of every kernel and the oracle; it is compiled once more for
//! processors with AVX2 and FMA. The choice is made at run time. A kernel works on one thread: rows
//! are independent, so a caller may share them out, and results do not depend on how many threads
//! there are.
//!
//! Shapes: a matrix is row-major; `cols` (or the weights' length) tells its width.

pub mod generic;
#[cfg(test)]
mod tests;

/// Defines each kernel: the generic text under the instructions that the processor has.
macro_rules! kernels {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?);)*) => {$(
        $(#[$doc])*
        #[allow(clippy::too_many_arguments, reason = "a kernel takes its slices one by one")]
        pub fn $name($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                use std::arch::is_x86_feature_detected as has;
                #[target_feature(enable = "avx2,fma")]
                unsafe fn with_avx2($($arg: $ty),*) {
                    generic::$name($($arg),*);
                }
                if has!("avx2") && has!("fma") {
                    // SAFETY: the processor has the instructions that the function is compiled for.
                    return unsafe { with_avx2($($arg),*) };
                }
            }
            generic::$name($($arg),*);
        }
    )*};
}

kernels! {
    /// `y[r,c] = x[r,c] / rms(x[r]) * w[c]` with `rms = sqrt(mean(x^2) + eps)` (Zhang and Sennrich
    /// 2019).
    fn rms_norm(x: &[f32], w: &[f32], eps: f32, y: &mut [f32]);
    /// Gradients of [`rms_norm`]: writes `dx`, adds to `dw`.
    fn rms_norm_backward(
        x: &[f32], w: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], dw: &mut [f32],
    );
    /// `y[r,c] = (x[r,c] - mean(x[r])) / sqrt(var(x[r]) + eps) * w[c] + b[c]`.
    fn layer_norm(x: &[f32], w: &[f32], b: &[f32], eps: f32, y: &mut [f32]);
    /// Gradients of [`layer_norm`]: writes `dx`, adds to `dw` and `db`.
    fn layer_norm_backward(
        x: &[f32], w: &[f32], eps: f32, dy: &[f32],
        dx: &mut [f32], dw: &mut [f32], db: &mut [f32],
    );
    /// Softmax of `scale * x` by row over blocks of `rows x cols`. With `causal`, row r of a block
    /// sees only its first `cols - rows + r + 1` columns; the others become 0.
    fn softmax(x: &[f32], rows: usize, cols: usize, scale: f32, causal: bool, y: &mut [f32]);
    /// Gradient of [`softmax`] from its output `p`: `dx = scale * p * (dp - sum(dp * p))`.
    fn softmax_backward(p: &[f32], dp: &[f32], cols: usize, scale: f32, dx: &mut [f32]);
    /// GELU in its tanh form (Hendrycks and Gimpel 2016), as SigLIP uses it.
    fn gelu_tanh(x: &[f32], y: &mut [f32]);
    /// Gradient of [`gelu_tanh`].
    fn gelu_tanh_backward(x: &[f32], dy: &[f32], dx: &mut [f32]);
    /// `y = gate * sigmoid(gate) * up`: the SwiGLU product (Shazeer 2020).
    fn silu_gate(gate: &[f32], up: &[f32], y: &mut [f32]);
    /// Gradients of [`silu_gate`].
    fn silu_gate_backward(gate: &[f32], up: &[f32], dy: &[f32], dgate: &mut [f32], dup: &mut [f32]);
    /// `y[o,r] = sum_c w[o,c] x[r,c]` with W `[o, cols]` in GGML's Q4_1 blocks (32 weights `d q +
    /// m`: d and m as f16, then 16 bytes whose low halves are the first 16 q). Weights and
    /// activations meet as f32, so nothing is lost beside W's own rounding.
    fn q4_1_product(blocks: &[u8], x: &[f32], cols: usize, y: &mut [f32]);
    /// Rotates interleaved pairs `(x[2i], x[2i+1])` of each row (llama.cpp's order): row r takes
    /// the angles of position `r % t` from `cos`, `sin` `[t, width/2]`. `inverse` turns the other
    /// way, which is also the gradient.
    fn rope(x: &[f32], cos: &[f32], sin: &[f32], t: usize, inverse: bool, y: &mut [f32]);
}
