"""Writes what tests/real_weights.rs compares with: random SigLIPs of the real shapes in transformers.

    python make_real_siglip.py PROACT OUT [so400m] [base]

Needs torch, transformers and safetensors; PROACT is the program. OUT/NAME gets f32.gguf, f16.gguf and q8_0.gguf (by
`proact quantize` from a Hugging Face folder that is deleted afterwards) and case.safetensors: `pixels` [N, 3, S, S] and
`pooler_output` [N, D] in f32. so400m takes 5 GB of disk while it is made, and 3 GB afterwards.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import torch
from make_parity import randomise
from safetensors.torch import save_file
from transformers import SiglipVisionConfig, SiglipVisionModel

# google/siglip-so400m-patch14-384 and google/siglip-base-patch16-224: (sizes, pictures).
SHAPES = {
    "so400m": (dict(hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16, image_size=384,
                    patch_size=14), 1),
    "base": (dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, image_size=224,
                  patch_size=16), 4),
}
F32 = 'description = "plain floats"\n[[tensor]]\nmatch = "*"\ntype = "F32"\n'


def pictures(count, side):
    """Edges, ramps and noise, each picture with others; between -1 and 1."""
    generator = torch.Generator().manual_seed(7)
    y, x = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    made = []
    for n in range(count):
        edges = ((x * (9 + n)).floor() + (y * (7 + 2 * n)).floor()) % 2
        planes = torch.stack([x, 1 - y, edges]) if n % 2 == 0 else torch.stack([edges, y, 1 - x])
        made.append((planes * 2 - 1 + 0.2 * torch.randn(3, side, side, generator=generator)).clamp(-1, 1))
    return torch.stack(made)


def main():
    proact, out = sys.argv[1], Path(sys.argv[2])
    for name in sys.argv[3:] or SHAPES:
        sizes, count = SHAPES[name]
        folder, hf = out / name, out / name / "hf"
        folder.mkdir(parents=True, exist_ok=True)
        model = SiglipVisionModel(SiglipVisionConfig(**sizes)).eval()
        randomise(model, 1)
        pixels = pictures(count, sizes["image_size"])
        with torch.no_grad():
            pooled = torch.cat([model(p[None]).pooler_output for p in pixels])
        save_file({"pixels": pixels.contiguous(), "pooler_output": pooled.contiguous()}, folder / "case.safetensors")
        model.save_pretrained(hf)
        del model
        (folder / "f32.toml").write_text(F32)
        for recipe in ("f32", "f16", "q8_0"):
            source = folder / "f32.toml" if recipe == "f32" else recipe
            subprocess.run([proact, "quantize", hf, "--recipe", source, "-o", folder / f"{recipe}.gguf", "--quiet"], check=True)
        shutil.rmtree(hf)


main()
