"""Writes proassist/preprocess.safetensors: pictures, and the squares that ProAssist's and SigLIP's own code make of them.

    python make_preprocess.py

Needs torch, torchvision, transformers, Pillow, numpy and safetensors. `resize_and_crop` is ProAssist's
(pro-assist/ProAssist 9d0b2b2, `mmassist/datasets/utils/video_utils.py`, Apache-2.0), whose PIL resizes bicubically by
default; the other one is transformers' `SiglipImageProcessor`. src/model/preprocess.rs reads it.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import SiglipImageProcessor

SIDE = 40
# Wide, high, larger and smaller than the square, just as large. Behind them comes one that, cut to whole pixels, is a
# pixel short.
SIZES = [(64, 48), (30, 50), (131, 40), (40, 40), (17, 23), (49, 49)]


def resize_and_crop(img, expected_size):
    ratio = max(expected_size / img.size[0], expected_size / img.size[1])
    new_size = (int(img.size[0] * ratio), int(img.size[1] * ratio))
    img = img.resize(new_size)
    left = (img.size[0] - expected_size) // 2
    top = (img.size[1] - expected_size) // 2
    return img.crop((left, top, left + expected_size, top + expected_size))


def picture(width, height, seed):
    """Hard edges and noise: where a cubic overshoots."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (height // 5 + 1, width // 5 + 1, 3)).repeat(5, 0).repeat(5, 1)[:height, :width]
    return (blocks + rng.integers(-20, 21, (height, width, 3))).clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    out = {}
    processor = SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    short = [n for n in range(3, 200) if int(n * (SIDE / n)) < SIDE]
    print(type(processor).__name__, "resample", processor.resample, "one short:", short)
    for n, (width, height) in enumerate(SIZES + [(short[0], short[0])] * bool(short)):
        rgb = picture(width, height, n)
        out[f"{n}.picture"] = torch.from_numpy(rgb)
        out[f"{n}.proassist"] = torch.from_numpy(np.array(resize_and_crop(Image.fromarray(rgb), SIDE)))
        out[f"{n}.siglip"] = processor(Image.fromarray(rgb), return_tensors="pt")["pixel_values"][0].contiguous()
    save_file(out, Path(__file__).parent / "proassist" / "preprocess.safetensors", {"side": str(SIDE)})
