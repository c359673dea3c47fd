//! The kernels bound into candle as operations with gradients: f32 on a CPU.

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, D, DType, Layout, Result, Shape, Storage, Tensor,
    bail,
};

use crate::kernels;

/// `true` where the kernels can compute.
pub fn fits(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// Root-mean-square norm over the last dimension: `x [.., D]`, `w [D]`.
pub fn rms_norm(x: &Tensor, w: &Tensor, eps: f32) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&w.contiguous()?, RmsNorm { eps })
}

/// Layer norm over the last dimension: `x [.., D]`, `w` and `b` `[D]`.
pub fn layer_norm(x: &Tensor, w: &Tensor, b: &Tensor, eps: f32) -> Result<Tensor> {
    x.contiguous()?
        .apply_op3(&w.contiguous()?, &b.contiguous()?, LayerNorm { eps })
}

/// Softmax of `scale * x` over the last dimension of `x [.., R, C]`. With `causal`, row r sees the
/// first `C - R + r + 1` columns: the last row sees all.
pub fn softmax(x: &Tensor, scale: f32, causal: bool) -> Result<Tensor> {
    let (rows, cols) = (x.dim(D::Minus2)?, x.dim(D::Minus1)?);
    if causal && rows > cols {
        bail!("softmax: {rows} rows cannot be causal over {cols} columns");
    }
    x.contiguous()?.apply_op1(Softmax {
        rows,
        cols,
        scale,
        causal,
    })
}

/// GELU in its tanh form.
pub fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(GeluTanh)
}

/// `silu(gate) * up`, of equal shapes.
pub fn silu_gate(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if gate.shape() != up.shape() {
        bail!("silu_gate: {:?} against {:?}", gate.shape(), up.shape());
    }
    gate.contiguous()?.apply_op2(&up.contiguous()?, SiluGate)
}

/// Rotary position embedding of `x [B,H,T,Hd]` on interleaved pairs, with `cos` and `sin` `[T,
/// Hd/2]`.
pub fn rope(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let (_, _, t, hd) = x.dims4()?;
    if cos.dims() != [t, hd / 2] || sin.dims() != [t, hd / 2] || hd % 2 != 0 {
        bail!(
            "rope: x {:?}, cos {:?}, sin {:?}",
            x.shape(),
            cos.shape(),
            sin.shape()
        );
    }
    x.contiguous()?.apply_op3(
        &cos.contiguous()?,
        &sin.contiguous()?,
        Rope { inverse: false },
    )
}

/// The numbers of a contiguous f32 tensor on the CPU.
fn view<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("kernel operations need contiguous tensors")
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// Calls `f` with the numbers of several tensors of one kind.
fn with_views<const N: usize, R>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[f32]; N]) -> R,
) -> Result<R> {
    let tensors: Vec<Tensor> = tensors
        .iter()
        .map(|t| t.contiguous())
        .collect::<Result<_>>()?;
    let guards: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let mut views = [&[] as &[f32]; N];
    for (view_, (storage, layout)) in views.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else {
            bail!("kernel operations run on the CPU")
        };
        *view_ = view(storage, layout)?;
    }
    Ok(f(views))
}

fn like(values: Vec<f32>, shape: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, shape.shape(), shape.device())
}

/// The gradient of a norm's weight, if it is trained: a frozen one gets none.
fn weight_gradient(values: Vec<f32>, weight: &Tensor) -> Result<Option<Tensor>> {
    weight.track_op().then(|| like(values, weight)).transpose()
}

fn output(values: Vec<f32>, layout: &Layout) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), layout.shape().clone())
}

struct RmsNorm {
    eps: f32,
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (view(x, xl)?, view(w, wl)?);
        check_width(x, w)?;
        let mut y = vec![0.0; x.len()];
        kernels::rms_norm(x, w, self.eps, &mut y);
        Ok(output(y, xl))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (mut dx, mut dw) = (vec![0.0; x.elem_count()], vec![0.0; w.elem_count()]);
        with_views([x, w, dy], |[x, w, dy]| {
            kernels::rms_norm_backward(x, w, self.eps, dy, &mut dx, &mut dw)
        })?;
        Ok((Some(like(dx, x)?), weight_gradient(dw, w)?))
    }
}

struct LayerNorm {
    eps: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w, b) = (view(x, xl)?, view(w, wl)?, view(b, bl)?);
        check_width(x, w)?;
        check_width(w, b)?;
        let mut y = vec![0.0; x.len()];
        kernels::layer_norm(x, w, b, self.eps, &mut y);
        Ok(output(y, xl))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (mut dx, mut dw, mut db) = (
            vec![0.0; x.elem_count()],
            vec![0.0; w.elem_count()],
            vec![0.0; w.elem_count()],
        );
        with_views([x, w, dy], |[x, w, dy]| {
            kernels::layer_norm_backward(x, w, self.eps, dy, &mut dx, &mut dw, &mut db);
        })?;
        Ok((
            Some(like(dx, x)?),
            weight_gradient(dw, w)?,
            weight_gradient(db, b)?,
        ))
    }
}

struct Softmax {
    rows: usize,
    cols: usize,
    scale: f32,
    causal: bool,
}

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = view(x, xl)?;
        let mut y = vec![0.0; x.len()];
        kernels::softmax(x, self.rows, self.cols, self.scale, self.causal, &mut y);
        Ok(output(y, xl))
    }

    fn bwd(&self, x: &Tensor, p: &Tensor, dp: &Tensor) -> Result<Option<Tensor>> {
        let mut dx = vec![0.0; x.elem_count()];
        with_views([p, dp], |[p, dp]| {
            kernels::softmax_backward(p, dp, self.cols, self.scale, &mut dx)
        })?;
        Ok(Some(like(dx, x)?))
    }
}

struct GeluTanh;

impl CustomOp1 for GeluTanh {
    fn name(&self) -> &'static str {
        "gelu_tanh"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = view(x, xl)?;
        let mut y = vec![0.0; x.len()];
        kernels::gelu_tanh(x, &mut y);
        Ok(output(y, xl))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let mut dx = vec![0.0; x.elem_count()];
        with_views([x, dy], |[x, dy]| {
            kernels::gelu_tanh_backward(x, dy, &mut dx)
        })?;
        Ok(Some(like(dx, x)?))
    }
}

struct SiluGate;

impl CustomOp2 for SiluGate {
    fn name(&self) -> &'static str {
        "silu_gate"
    }

    fn cpu_fwd(
        &self,
        g: &CpuStorage,
        gl: &Layout,
        u: &CpuStorage,
        ul: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (g, u) = (view(g, gl)?, view(u, ul)?);
        let mut y = vec![0.0; g.len()];
        kernels::silu_gate(g, u, &mut y);
        Ok(output(y, gl))
    }

    fn bwd(
        &self,
        g: &Tensor,
        u: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (mut dg, mut du) = (vec![0.0; g.elem_count()], vec![0.0; g.elem_count()]);
        with_views([g, u, dy], |[g, u, dy]| {
            kernels::silu_gate_backward(g, u, dy, &mut dg, &mut du)
        })?;
        Ok((Some(like(dg, g)?), Some(like(du, u)?)))
    }
}

struct Rope {
    inverse: bool,
}

impl CustomOp3 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        cos: &CpuStorage,
        cl: &Layout,
        sin: &CpuStorage,
        sl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, cos, sin) = (view(x, xl)?, view(cos, cl)?, view(sin, sl)?);
        let mut y = vec![0.0; x.len()];
        kernels::rope(x, cos, sin, cl.dims()[0], self.inverse, &mut y);
        Ok(output(y, xl))
    }

    fn bwd(
        &self,
        _: &Tensor,
        cos: &Tensor,
        sin: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        // A rotation's gradient is the rotation back.
        let dx = dy.contiguous()?.apply_op3_no_bwd(
            &cos.contiguous()?,
            &sin.contiguous()?,
            &Self {
                inverse: !self.inverse,
            },
        )?;
        Ok((Some(dx), None, None))
    }
}

fn check_width(x: &[f32], w: &[f32]) -> Result<()> {
    if w.is_empty() || !x.len().is_multiple_of(w.len()) {
        bail!("norm: {} numbers are no rows of {}", x.len(), w.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::super::RopeTable;
    use super::super::ops::{self, Mask};
    use crate::error::Result;

    use super::*;

    type Op = fn(&[Tensor]) -> Result<Tensor>;

    /// f64 takes the composed form, f32 the kernels: values and gradients of both must agree.
    #[test]
    fn kernels_agree_with_the_composed_form_in_value_and_gradient() {
        let cases: [(&str, &[&[usize]], Op); 6] = [
            ("rms_norm", &[&[2, 3, 8], &[8]], |t| {
                ops::rms_norm(&t[0], &t[1], 1e-5)
            }),
            ("layer_norm", &[&[2, 3, 8], &[8], &[8]], |t| {
                ops::layer_norm(&t[0], &t[1], &t[2], 1e-5)
            }),
            (
                "attention",
                &[&[1, 4, 3, 6], &[1, 2, 5, 6], &[1, 2, 5, 6]],
                |t| ops::attention(&t[0], &t[1], &t[2], Mask::Causal { past: 2 }),
            ),
            ("gelu", &[&[3, 9]], |t| ops::gelu_tanh(&t[0])),
            ("silu_gate", &[&[3, 9], &[3, 9]], |t| {
                ops::silu_gate(&t[0], &t[1])
            }),
            ("rope", &[&[1, 2, 3, 4], &[3, 2], &[3, 2]], |t| {
                ops::rope(
                    &t[0],
                    &RopeTable {
                        cos: t[1].detach(),
                        sin: t[2].detach(),
                    },
                )
            }),
        ];
        for (name, shapes, op) in cases {
            let at = |dtype: DType| -> (Vec<f32>, Vec<Vec<f32>>) {
                let var = |(i, shape): (usize, &&[usize])| {
                    let n: usize = shape.iter().product();
                    let values: Vec<f32> = (0..n)
                        .map(|k| ((k * 7 + i * 3) as f32 * 0.37).sin())
                        .collect();
                    let tensor = Tensor::from_vec(values, *shape, &Device::Cpu)
                        .unwrap()
                        .to_dtype(dtype)
                        .unwrap();
                    Var::from_tensor(&tensor).unwrap()
                };
                let vars: Vec<Var> = shapes.iter().enumerate().map(var).collect();
                let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
                let y = op(&tensors).unwrap().to_dtype(DType::F32).unwrap();
                let weight: Vec<f32> = (0..y.elem_count())
                    .map(|k| (k as f32 * 0.51).cos())
                    .collect();
                let weight = Tensor::from_vec(weight, y.shape(), &Device::Cpu).unwrap();
                let grads = (&y * weight)
                    .unwrap()
                    .sum_all()
                    .unwrap()
                    .backward()
                    .unwrap();
                let flat = |t: &Tensor| {
                    t.to_dtype(DType::F32)
                        .unwrap()
                        .flatten_all()
                        .unwrap()
                        .to_vec1::<f32>()
                        .unwrap()
                };
                (
                    flat(&y),
                    vars.iter().filter_map(|v| grads.get(v).map(flat)).collect(),
                )
            };
            let (kernel, composed) = (at(DType::F32), at(DType::F64));
            assert_eq!(kernel.1.len(), composed.1.len(), "{name}");
            assert!(!kernel.1.is_empty(), "{name}");
            for (a, b) in
                std::iter::once((&kernel.0, &composed.0)).chain(kernel.1.iter().zip(&composed.1))
            {
                for (x, y) in a.iter().zip(b) {
                    assert!((x - y).abs() < 2e-5, "{name}: {x} against {y}");
                }
            }
        }
    }
}
