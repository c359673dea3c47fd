//! The generic kernels compiled for x86-64 processors with AVX2 and FMA.

/// Defines each kernel as the generic text under other instructions.
macro_rules! compile {
    ($(fn $name:ident($($arg:ident: $ty:ty),* $(,)?);)*) => {$(
        /// # Safety
        /// The processor must have AVX2 and FMA.
        #[target_feature(enable = "avx2,fma")]
        #[allow(clippy::too_many_arguments, reason = "a kernel takes its slices one by one")]
        pub unsafe fn $name($($arg: $ty),*) {
            super::generic::$name($($arg),*);
        }
    )*};
}

compile! {
    fn rms_norm(x: &[f32], w: &[f32], eps: f32, y: &mut [f32]);
    fn rms_norm_backward(x: &[f32], w: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], dw: &mut [f32]);
    fn layer_norm(x: &[f32], w: &[f32], b: &[f32], eps: f32, y: &mut [f32]);
    fn layer_norm_backward(x: &[f32], w: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], dw: &mut [f32], db: &mut [f32]);
    fn softmax(x: &[f32], rows: usize, cols: usize, scale: f32, causal: bool, y: &mut [f32]);
    fn softmax_backward(p: &[f32], dp: &[f32], cols: usize, scale: f32, dx: &mut [f32]);
    fn gelu_tanh(x: &[f32], y: &mut [f32]);
    fn gelu_tanh_backward(x: &[f32], dy: &[f32], dx: &mut [f32]);
    fn silu_gate(gate: &[f32], up: &[f32], y: &mut [f32]);
    fn silu_gate_backward(gate: &[f32], up: &[f32], dy: &[f32], dgate: &mut [f32], dup: &mut [f32]);
    fn q4_1_product(blocks: &[u8], x: &[f32], cols: usize, y: &mut [f32]);
    fn rope(x: &[f32], cos: &[f32], sin: &[f32], t: usize, inverse: bool, y: &mut [f32]);
}
