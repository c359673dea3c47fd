"""Writes parity_{siglip,llama,dstproact}.safetensors: tiny random networks of PyTorch and transformers.

    python make_parity.py

Needs torch, transformers, safetensors, numpy and Pillow. Weights carry proact's names and row order (llama.cpp's:
query and key rows permuted by `permute`). Beside them lie inputs and outputs of each stage, losses, and the
gradient of every parameter under `grad.NAME`. tests/parity.rs reads the files; they are only rewritten by hand.
"""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, SiglipConfig, SiglipModel

HERE = Path(__file__).parent
IGNORE = -100


def randomise(module, seed):
    """Every parameter random and of a size that matters, norms and biases too."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in sorted(module.named_parameters()):
        noise = torch.randn(p.shape, generator=generator)
        is_norm = p.dim() == 1 and name.endswith("weight")
        fan_in = p[0].numel() if p.dim() > 1 else 1
        p.data = 1 + 0.2 * noise if is_norm else noise * (0.1 if p.dim() == 1 else fan_in**-0.5)


def permute(weight, heads):
    """Rows of a query or key weight from Hugging Face's order to llama.cpp's (convert_hf_to_gguf.py)."""
    rows = weight.shape[0]
    return weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def save(name, tensors, metadata=None):
    tensors = {k: v.detach().contiguous().clone() for k, v in tensors.items()}
    path = HERE / f"parity_{name}.safetensors"
    save_file(tensors, path, metadata={k: str(v) for k, v in (metadata or {}).items()})
    print(path.name, path.stat().st_size, "bytes,", len(tensors), "tensors")


# --- SigLIP -----------------------------------------------------------------------------------------------------

def picture(width, height, seed):
    """Edges, a ramp and noise: all that a resize can get wrong."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = [(x * 255 // (width - 1)), (y * 255 // (height - 1)), 255 * ((x // 7 + y // 5) % 2)]
    rgb = np.stack(planes, -1) + rng.integers(-20, 20, (height, width, 3))
    return np.clip(rgb, 0, 255).astype(np.uint8)


def preprocess(rgb, side):
    """What SiglipImageProcessor does: PIL bicubic, / 255, (x - 0.5) / 0.5."""
    resized = np.asarray(Image.fromarray(rgb).resize((side, side), Image.Resampling.BICUBIC))
    pixels = (torch.from_numpy(resized.copy()).permute(2, 0, 1).float() / 255 - 0.5) / 0.5
    return torch.from_numpy(resized.copy()), pixels


TOWER = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out", "layer_norm1": "ln1", "layer_norm2": "ln2", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down",
}


def siglip_names(model):
    """Pairs (our name, tensor getter on a parameter-shaped tensor) by Hugging Face name."""
    table = {}
    for theirs, p in model.named_parameters():
        parts = theirs.split(".")
        side = {"vision_model": "v", "text_model": "t"}.get(parts[0])
        rest = ".".join(parts[1:])
        if rest.startswith("encoder.layers."):
            n, rest = rest.removeprefix("encoder.layers.").split(".", 1)
            stem, kind = rest.rsplit(".", 1)
            ours = f"{side}.blk.{n}.{TOWER[stem]}.{kind}"
        elif rest.startswith("head.mlp."):
            stem, kind = rest.removeprefix("head.").rsplit(".", 1)
            ours = f"v.head.{TOWER[stem]}.{kind}"
        else:
            ours = {
                "embeddings.patch_embedding.weight": "v.patch_embd.weight",
                "embeddings.patch_embedding.bias": "v.patch_embd.bias",
                "embeddings.position_embedding.weight": f"{side}.position_embd.weight",
                "embeddings.token_embedding.weight": "t.token_embd.weight",
                "post_layernorm.weight": "v.post_ln.weight", "post_layernorm.bias": "v.post_ln.bias",
                "final_layer_norm.weight": "t.post_ln.weight", "final_layer_norm.bias": "t.post_ln.bias",
                "head.probe": "v.head.probe.weight",
                "head.attention.in_proj_weight": "v.head.in.weight", "head.attention.in_proj_bias": "v.head.in.bias",
                "head.attention.out_proj.weight": "v.head.attn_out.weight", "head.attention.out_proj.bias": "v.head.attn_out.bias",
                "head.layernorm.weight": "v.head.ln.weight", "head.layernorm.bias": "v.head.ln.bias",
                "head.weight": "t.head.weight", "head.bias": "t.head.bias",
            }.get(rest, theirs)
        table[theirs] = ours
    return table


def siglip_tensors(table, named):
    out = {}
    for theirs, ours in table.items():
        value = named[theirs]
        if ours.startswith("v.head.in."):
            for name, part in zip("qkv", value.chunk(3)):
                out[ours.replace("in.", f"attn_{name}.")] = part
        elif ours == "v.head.probe.weight":
            out[ours] = value.flatten()
        else:
            out[ours] = value
    return out


def siglip():
    side = 32
    vision = dict(hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=side, patch_size=6)
    text = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, vocab_size=40,
                max_position_embeddings=8, projection_size=24)
    config = SiglipConfig(text_config=text, vision_config=vision)
    config._attn_implementation = "eager"
    model = SiglipModel(config).eval()
    randomise(model, 1)
    model.logit_scale.data.fill_(1.5)
    model.logit_bias.data.fill_(-2.0)
    pictures = [picture(100, 60, 2), picture(20, 27, 3)]
    out = {}
    pixels = []
    for n, rgb in enumerate(pictures):
        out[f"rgb.{n}"] = torch.from_numpy(rgb)
        out[f"resized.{n}"], p = preprocess(rgb, side)
        pixels.append(p)
    pixels = torch.stack(pixels)
    ids = torch.randint(0, 40, (2, 8), generator=torch.Generator().manual_seed(4))
    blocks = []
    hooks = [layer.register_forward_hook(lambda _m, _i, o: blocks.append(o[0] if isinstance(o, tuple) else o))
             for layer in model.vision_model.encoder.layers]
    vision_out = model.vision_model(pixel_values=pixels)
    for hook in hooks:
        hook.remove()
    patches = vision_out.last_hidden_state
    grid = patches.reshape(2, 5, 5, -1).permute(0, 3, 1, 2)
    pooled = [F.adaptive_avg_pool2d(grid, n).flatten(2).transpose(1, 2) for n in (2, 3, 5)]
    both = model(input_ids=ids, pixel_values=pixels, return_loss=True)
    both.loss.backward()
    table = siglip_names(model)
    out |= siglip_tensors(table, dict(model.named_parameters()))
    out |= {f"grad.{k}": v for k, v in siglip_tensors(table, {k: p.grad for k, p in model.named_parameters()}).items()}
    out |= {
        "pixels": pixels, "ids": ids, "patches": patches, "pooled": vision_out.pooler_output.unsqueeze(1),
        "tokens": torch.cat([vision_out.pooler_output.unsqueeze(1), *pooled], 1),
        "text": model.text_model(input_ids=ids).pooler_output,
        "pair_logits": both.logits_per_image, "loss": both.loss.reshape(1),
    }
    out |= {f"block.{n}": b for n, b in enumerate(blocks)}
    save("siglip", out, {"eps": config.vision_config.layer_norm_eps})


# --- Llama ------------------------------------------------------------------------------------------------------

SCALING = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}


def llama_model(seed, tied, scaled, heads, heads_kv, head_dim, vocab=48):
    rope = {"rope_theta": 10000.0, **(SCALING if scaled else {"rope_type": "default"})}
    config = LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=heads, num_key_value_heads=heads_kv,
        head_dim=head_dim, vocab_size=vocab, max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=tied,
        rope_parameters=rope, attn_implementation="eager", bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )
    model = LlamaForCausalLM(config).eval()
    randomise(model, seed)
    if tied:
        model.tie_weights()
    return model


PARTS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}


def llama_tensors(model, value):
    """All parameters under our names; `value` picks the weight or its gradient."""
    config = model.config
    out = {"token_embd.weight": value(model.model.embed_tokens.weight), "output_norm.weight": value(model.model.norm.weight)}
    if not config.tie_word_embeddings:
        out["output.weight"] = value(model.lm_head.weight)
    for n, layer in enumerate(model.model.layers):
        for theirs, p in layer.named_parameters():
            ours = PARTS[theirs.removesuffix(".weight")]
            v = value(p)
            if ours in ("attn_q", "attn_k"):
                v = permute(v, config.num_attention_heads if ours == "attn_q" else config.num_key_value_heads)
            out[f"blk.{n}.{ours}.weight"] = v
    return out


def rope_factors(model, head_dim):
    plain = 10000.0 ** (-torch.arange(0, head_dim, 2).float() / head_dim)
    return plain / model.model.rotary_emb.inv_freq.float()


def run_blocks(model, **kwargs):
    """Output of each block, and the hidden states after the final norm."""
    blocks = []
    hooks = [layer.register_forward_hook(lambda _m, _i, o: blocks.append(o[0] if isinstance(o, tuple) else o))
             for layer in model.model.layers]
    hidden = model.model(use_cache=False, **kwargs).last_hidden_state
    for hook in hooks:
        hook.remove()
    return blocks, hidden


def llama():
    out = {}
    for name, seed, tied, scaled, heads, heads_kv, head_dim in [("tied", 11, True, False, 4, 2, 8), ("untied", 12, False, True, 4, 1, 16)]:
        model = llama_model(seed, tied, scaled, heads, heads_kv, head_dim)
        ids = torch.randint(0, 48, (2, 20), generator=torch.Generator().manual_seed(seed))
        blocks, hidden = run_blocks(model, input_ids=ids)
        tensors = llama_tensors(model, lambda p: p)
        if scaled:
            tensors["rope_freqs.weight"] = rope_factors(model, head_dim)
            out["hf.attn_q"] = model.model.layers[0].self_attn.q_proj.weight
            out["hf.attn_k"] = model.model.layers[0].self_attn.k_proj.weight
        out |= {f"{name}.w.{k}": v for k, v in tensors.items()}
        out |= {f"{name}.block.{n}": b for n, b in enumerate(blocks)}
        out |= {f"{name}.ids": ids, f"{name}.hidden": hidden, f"{name}.logits": model.lm_head(hidden)}
    save("llama", out, {"scaling": json.dumps(SCALING)})


# --- DSTProAct --------------------------------------------------------------------------------------------------

IMAGE, DST, ASST, EOT, PAD = 3, 4, 5, 2, 0


def head(kind, width):
    if kind == "linear":
        return torch.nn.Linear(width, 1)
    return torch.nn.Sequential(torch.nn.Linear(width, width // 2), torch.nn.GELU(), torch.nn.Linear(width // 2, 1))


def sequences():
    """Two recordings, the second padded at the right. Labels stand at the token that is to be predicted."""
    image = (IMAGE, "image", None)
    rows = [
        [(1, "", None), (20, "", None), (21, "", None), (IMAGE, "image", (0, 0)), (IMAGE, "image", (0, 1)),
         (DST, "", None), (30, "dst", None), (31, "dst", None), (EOT, "dst", None), (ASST, "", None), (40, "asst", None),
         (41, "asst", None), (42, "asst", None), (EOT, "asst", None), (IMAGE, "image", (0, 0)), image, (IMAGE, "image", (1, 0)),
         (ASST, "", None), (43, "asst", None), (EOT, "asst", None)],
        [(1, "", None), (22, "", None), (IMAGE, "image", (1, 1)), (DST, "", None), (32, "dst", None), (EOT, "dst", None),
         (ASST, "", None), (44, "asst", None), (EOT, "asst", None), (IMAGE, "image", (0, 0)), image],
    ]
    length = max(map(len, rows))
    ids = torch.full((2, length), PAD)
    labels = {k: torch.full((2, length), IGNORE) for k in ("dst", "asst", "speak", "dst_update")}
    for b, row in enumerate(rows):
        for t, (token, what, decision) in enumerate(row):
            ids[b, t] = token
            if what in ("dst", "asst"):
                labels[what][b, t] = token
            if decision is not None:
                labels["speak"][b, t], labels["dst_update"][b, t] = decision
    return ids, labels


def balanced_bce(logits, labels):
    """Mean over positives plus mean over negatives, halved where both are there (DSTProAct's modeling.py)."""
    parts = [F.binary_cross_entropy_with_logits(logits[labels == v], labels[labels == v].float()) for v in (1, 0) if (labels == v).any()]
    return sum(parts) / len(parts)


def dstproact():
    width, dv = 32, 12
    model = llama_model(21, True, True, 4, 2, 8)
    projector = torch.nn.Sequential(torch.nn.Linear(dv, 20), torch.nn.GELU(), torch.nn.Linear(20, width))
    heads = {"speaking_decision_head": head("linear", width), "dst_update_head": head("linear", width)}
    mlp_heads = {"speaking_decision_head": head("mlp", width), "dst_update_head": head("mlp", width)}
    randomise(projector, 22)
    for n, module in enumerate([*heads.values(), *mlp_heads.values()]):
        randomise(module, 23 + n)
    ids, labels = sequences()
    features = torch.randn((int((ids == IMAGE).sum()), dv), generator=torch.Generator().manual_seed(30))
    embeds = model.model.embed_tokens(ids)
    projected = projector(features)
    embeds = embeds.masked_scatter((ids == IMAGE).unsqueeze(-1).expand_as(embeds), projected)
    blocks, hidden = run_blocks(model, inputs_embeds=embeds, attention_mask=torch.ones_like(ids))
    logits = model.lm_head(hidden)

    def cross_entropy(target):
        return F.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), target[:, 1:].reshape(-1), ignore_index=IGNORE)

    head_logits = {name: module(hidden).squeeze(-1) for name, module in heads.items()}
    losses = {
        "dst": cross_entropy(labels["dst"]), "asst": cross_entropy(labels["asst"]),
        "speak": balanced_bce(head_logits["speaking_decision_head"], labels["speak"]),
        "dst_update": balanced_bce(head_logits["dst_update_head"], labels["dst_update"]),
    }
    sum(losses.values()).backward()

    def own(value):
        named = {f"mm.{k}": value(p) for k, p in projector.named_parameters()}
        for name, module in heads.items():
            named |= {f"{name}.{k}": value(p) for k, p in module.named_parameters()}
        return named

    weights = llama_tensors(model, lambda p: p) | own(lambda p: p)
    gradients = llama_tensors(model, lambda p: p.grad) | own(lambda p: p.grad)
    out = weights | {f"grad.{k}": v for k, v in gradients.items()}
    out["rope_freqs.weight"] = rope_factors(model, 8)
    for name, module in mlp_heads.items():
        out |= {f"mlp.{name}.{k}": p for k, p in module.named_parameters()}
        out[f"out.mlp.{name}"] = module(hidden).squeeze(-1)
    out |= {f"label.{k}": v for k, v in labels.items()}
    out |= {f"loss.{k}": v.reshape(1) for k, v in losses.items()}
    out |= {f"out.{k}": v for k, v in head_logits.items()}
    out |= {f"out.block.{n}": b for n, b in enumerate(blocks)}
    out |= {"ids": ids, "features": features, "out.projected": projected, "out.hidden": hidden, "out.logits": logits}
    save("dstproact", out, {"image": IMAGE, "ignore": IGNORE})


if __name__ == "__main__":
    torch.set_num_threads(1)
    siglip()
    llama()
    dstproact()
