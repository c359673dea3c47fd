//! Every kernel against f64 loops, and every gradient against finite differences.

use super::generic;

/// Reproducible values in about [-2, 2].
fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut s = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            ((s >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 4.0
        })
        .collect()
}

fn close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        assert!(
            (x - y).abs() <= tolerance * (1.0 + y.abs()),
            "[{i}] {x} against {y}"
        );
    }
}

/// Numeric gradient of `sum(f(x) * weight)`.
fn numeric(x: &[f32], weight: &[f32], f: &dyn Fn(&[f32]) -> Vec<f32>) -> Vec<f32> {
    let loss = |x: &[f32]| {
        f(x).iter()
            .zip(weight)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum::<f64>()
    };
    (0..x.len())
        .map(|i| {
            let (mut hi, mut lo) = (x.to_vec(), x.to_vec());
            hi[i] += 5e-3;
            lo[i] -= 5e-3;
            ((loss(&hi) - loss(&lo)) / f64::from(hi[i] - lo[i])) as f32
        })
        .collect()
}

#[test]
fn exp_is_within_two_units_in_the_last_place() {
    for i in -8000..8000 {
        let x = i as f32 * 0.01;
        let (got, want) = (generic::exp(x), f64::from(x).exp());
        assert!(
            (f64::from(got) - want).abs() <= want * 2.4e-7,
            "exp({x}) = {got}, not {want}"
        );
    }
    assert!(generic::exp(-1e30) < 1e-37 && generic::exp(1e30).is_finite());
}

#[test]
fn norms_match_f64_and_their_gradients_match_differences() {
    for d in [1usize, 3, 8, 19] {
        let (x, w, b, dy) = (
            values(3 * d, 1),
            values(d, 2),
            values(d, 3),
            values(3 * d, 4),
        );
        let mut y = vec![0.0; x.len()];
        super::rms_norm(&x, &w, 1e-5, &mut y);
        let want: Vec<f32> = x
            .chunks(d)
            .flat_map(|x| {
                let ms = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / d as f64;
                x.iter()
                    .zip(&w)
                    .map(move |(x, w)| (f64::from(*x) / (ms + 1e-5).sqrt() * f64::from(*w)) as f32)
                    .collect::<Vec<_>>()
            })
            .collect();
        close(&y, &want, 1e-5);
        let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![0.0; d], vec![0.0; d]);
        super::rms_norm_backward(&x, &w, 1e-5, &dy, &mut dx, &mut dw);
        let run = |x: &[f32], w: &[f32]| {
            let mut y = vec![0.0; x.len()];
            super::rms_norm(x, w, 1e-5, &mut y);
            y
        };
        close(&dx, &numeric(&x, &dy, &|x| run(x, &w)), 2e-2);
        close(&dw, &numeric(&w, &dy, &|w| run(&x, w)), 2e-2);
        if d < 3 {
            continue; // the variance of one or two numbers is too small for differences
        }
        let run = |x: &[f32], w: &[f32], b: &[f32]| {
            let mut y = vec![0.0; x.len()];
            super::layer_norm(x, w, b, 1e-5, &mut y);
            y
        };
        dw.fill(0.0);
        super::layer_norm_backward(&x, &w, 1e-5, &dy, &mut dx, &mut dw, &mut db);
        close(&dx, &numeric(&x, &dy, &|x| run(x, &w, &b)), 3e-2);
        close(&dw, &numeric(&w, &dy, &|w| run(&x, w, &b)), 2e-2);
        close(&db, &numeric(&b, &dy, &|b| run(&x, &w, b)), 2e-2);
    }
}

#[test]
fn softmax_hides_the_future_and_its_gradient_matches_differences() {
    for (rows, cols, causal) in [
        (3usize, 3usize, true),
        (2, 11, true),
        (4, 17, false),
        (1, 9, true),
    ] {
        let (x, dy) = (values(2 * rows * cols, 5), values(2 * rows * cols, 6));
        let run = |x: &[f32]| {
            let mut y = vec![9.0; x.len()];
            super::softmax(x, rows, cols, 0.7, causal, &mut y);
            y
        };
        let p = run(&x);
        for (r, (x, p)) in x.chunks(cols).zip(p.chunks(cols)).enumerate() {
            let seen = if causal {
                cols - rows + r % rows + 1
            } else {
                cols
            };
            let total: f64 = x[..seen].iter().map(|v| (f64::from(*v) * 0.7).exp()).sum();
            for (c, p) in p.iter().enumerate() {
                let want = if c < seen {
                    (f64::from(x[c]) * 0.7).exp() / total
                } else {
                    0.0
                };
                assert!((f64::from(*p) - want).abs() < 1e-6);
            }
        }
        let mut dx = vec![0.0; x.len()];
        super::softmax_backward(&p, &dy, cols, 0.7, &mut dx);
        close(&dx, &numeric(&x, &dy, &run), 1e-2);
    }
}

#[test]
fn activations_match_f64_and_their_gradients_match_differences() {
    let (x, u, dy) = (values(29, 7), values(29, 8), values(29, 9));
    let gelu = |x: &[f32]| {
        let mut y = vec![0.0; x.len()];
        super::gelu_tanh(x, &mut y);
        y
    };
    let want: Vec<f32> = x
        .iter()
        .map(|x| {
            let x = f64::from(*x);
            (0.5 * x
                * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh()))
                as f32
        })
        .collect();
    close(&gelu(&x), &want, 1e-5);
    let (mut dx, mut du) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    super::gelu_tanh_backward(&x, &dy, &mut dx);
    close(&dx, &numeric(&x, &dy, &gelu), 1e-2);
    let silu = |g: &[f32], u: &[f32]| {
        let mut y = vec![0.0; g.len()];
        super::silu_gate(g, u, &mut y);
        y
    };
    super::silu_gate_backward(&x, &u, &dy, &mut dx, &mut du);
    close(&dx, &numeric(&x, &dy, &|x| silu(x, &u)), 1e-2);
    close(&du, &numeric(&u, &dy, &|u| silu(&x, u)), 1e-2);
}

#[test]
fn rope_turns_pairs_and_its_inverse_turns_them_back() {
    let (t, half) = (3, 2);
    let angles = values(t * half, 10);
    let (cos, sin): (Vec<f32>, Vec<f32>) = angles.iter().map(|a| (a.cos(), a.sin())).unzip();
    let x = values(2 * t * 2 * half, 11);
    let (mut y, mut back) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    super::rope(&x, &cos, &sin, t, false, &mut y);
    let r = 4; // row 4 is position 1
    let (c, s) = (cos[half], sin[half]);
    assert!((y[r * 4] - (x[r * 4] * c - x[r * 4 + 1] * s)).abs() < 1e-6);
    super::rope(&y, &cos, &sin, t, true, &mut back);
    close(&back, &x, 1e-5);
}

#[test]
fn every_instruction_set_agrees_with_the_generic_text() {
    for n in [1usize, 7, 8, 31, 160] {
        let (x, w, b) = (values(4 * n, 12), values(n, 13), values(n, 14));
        let (mut a, mut g) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        super::layer_norm(&x, &w, &b, 1e-6, &mut a);
        generic::layer_norm(&x, &w, &b, 1e-6, &mut g);
        close(&a, &g, 1e-6);
        super::softmax(&x, 4, n, 0.3, false, &mut a);
        generic::softmax(&x, 4, n, 0.3, false, &mut g);
        close(&a, &g, 1e-6);
        super::gelu_tanh(&x, &mut a);
        generic::gelu_tanh(&x, &mut g);
        close(&a, &g, 1e-6);
    }
}

#[test]
fn the_q4_1_product_is_that_of_the_weights_it_stands_for() {
    for (outs, cols, rows) in [
        (1usize, 32usize, 1usize),
        (3, 64, 1),
        (5, 96, 4),
        (2, 32, 0),
    ] {
        let mut blocks = Vec::new();
        let mut weights = Vec::new();
        for b in 0..outs * cols / 32 {
            let scale = values(2, 7 + b as u64);
            let (d, m) = (
                half::f16::from_f32(scale[0] * 0.1),
                half::f16::from_f32(scale[1]),
            );
            let packed: Vec<u8> = (0..16u32)
                .map(|i| (i * 37 + b as u32 * 11 + 5) as u8)
                .collect();
            blocks.extend(
                d.to_le_bytes()
                    .into_iter()
                    .chain(m.to_le_bytes())
                    .chain(packed.iter().copied()),
            );
            let weight = |q: u8| f64::from(d.to_f32()) * f64::from(q) + f64::from(m.to_f32());
            weights.extend(
                packed
                    .iter()
                    .map(|p| weight(p & 15))
                    .chain(packed.iter().map(|p| weight(p >> 4))),
            );
        }
        let x = values(rows * cols, 3);
        let mut y = vec![9.0; outs * rows];
        super::q4_1_product(&blocks, &x, cols, &mut y);
        let product = |o: usize, r: usize| {
            (0..cols)
                .map(|c| weights[o * cols + c] * f64::from(x[r * cols + c]))
                .sum::<f64>() as f32
        };
        let expected: Vec<f32> = (0..outs)
            .flat_map(|o| (0..rows).map(move |r| (o, r)))
            .map(|(o, r)| product(o, r))
            .collect();
        close(&y, &expected, 1e-5);
        let mut plain = vec![0.0; outs * rows];
        generic::q4_1_product(&blocks, &x, cols, &mut plain);
        assert_eq!(plain, y, "every instruction set adds in the same order");
    }
}
