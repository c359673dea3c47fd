"""Writes what tests/real_weights.rs compares with: SmolLM2 in transformers and in llama.cpp.

    python make_real_weights.py SMOLLM2.gguf PROACT OUT [LIBLLAMA_FOLDER]

Needs torch, transformers and gguf; PROACT is the program, LIBLLAMA_FOLDER the folder of libllama.so (built from the source
package of llama-cpp-python), whose ctypes bindings are loaded from the package. OUT gets: hf/ (the weights of the file,
dequantized, in f16, as a Hugging Face folder), f16.gguf (that folder as an assistant), exported.gguf (its backbone alone),
q4_1.gguf (the file itself as an assistant), cases.json (ten prompts, 64 greedy tokens of each by transformers in f32 on the f16
weights and by llama.cpp; and along these tokens the 20 best logits by transformers in f32 on the weights of the Q4_1 file,
with those that llama.cpp gives on the file itself).
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from transformers import LlamaConfig, LlamaForCausalLM

PROMPTS = [
    "The capital of France is", "To make a cup of tea, first", "def fibonacci(n):\n", "Once upon a time, in a small village,",
    "The three primary colours are", "Water boils at", "1, 2, 3, 4,", "My favourite recipe for pancakes needs",
    "In 1969, the first human", "The opposite of hot is",
]
TOKENS = 64
TOP = 20
NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_down": "mlp.down_proj"}


def read(path):
    """The file's configuration and its weights under Hugging Face's names, f32."""
    reader = GGUFReader(path)
    key = lambda name: reader.fields[f"llama.{name}"].contents()
    heads, kv = key("attention.head_count"), key("attention.head_count_kv")
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    config = LlamaConfig(
        vocab_size=len(tokens), hidden_size=key("embedding_length"), intermediate_size=key("feed_forward_length"),
        num_hidden_layers=key("block_count"), num_attention_heads=heads, num_key_value_heads=kv, tie_word_embeddings=True,
        rms_norm_eps=float(np.float32(key("attention.layer_norm_rms_epsilon"))), max_position_embeddings=key("context_length"),
        rope_theta=key("rope.freq_base"), bos_token_id=1, eos_token_id=2)
    weights = {}
    for t in reader.tensors:
        value = torch.from_numpy(np.array(dequantize(t.data, t.tensor_type))).reshape(tuple(int(d) for d in reversed(t.shape)))
        part = t.name.split(".")
        if part[0] == "blk":
            name = f"model.layers.{part[1]}.{NAMES[part[2]]}.weight"
            if part[2] in ("attn_q", "attn_k"):
                n = heads if part[2] == "attn_q" else kv
                value = value.reshape(n, value.shape[0] // n // 2, 2, -1).swapaxes(1, 2).reshape(value.shape)
        else:
            name = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}[t.name]
        weights[name] = value.contiguous()
    return config, weights, reader


def model_of(config, weights):
    model = LlamaForCausalLM(config).float().eval()
    missing, left = model.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    assert not left and set(missing) <= {"lm_head.weight"}, (missing, left)
    model.tie_weights()
    return model


def tokenizer_of(reader):
    sys.path.insert(0, str(Path(__file__).parent))
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    get = lambda name: reader.fields[f"tokenizer.ggml.{name}"].contents()
    t = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(get("tokens"))}, merges=[tuple(m.split(" ")) for m in get("merges")]))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([text for text, kind in zip(get("tokens"), get("token_type")) if kind == 3])
    return t


@torch.no_grad()
def greedy(model, ids):
    out, past, feed = [], None, torch.tensor([ids])
    for _ in range(TOKENS):
        step = model(feed, past_key_values=past, use_cache=True)
        past, feed = step.past_key_values, step.logits[:, -1:].argmax(-1)
        out.append(int(feed))
    return out


class LlamaCpp:
    def __init__(self, folder, path):
        import os
        os.environ["LLAMA_CPP_LIB_PATH"] = folder
        import llama_cpp.llama_cpp as c
        self.c = c
        c.llama_backend_init()
        params = c.llama_model_default_params()
        params.n_gpu_layers = 0
        self.model = c.llama_model_load_from_file(str(path).encode(), params)
        assert self.model, path
        self.vocab = c.llama_vocab_n_tokens(c.llama_model_get_vocab(self.model))

    def context(self):
        params = self.c.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch, params.n_threads, params.n_threads_batch = 512, 512, 512, 1, 1
        params.type_k = params.type_v = 0  # f32
        params.flash_attn_type = 0
        return self.c.llama_init_from_model(self.model, params)

    def feed(self, context, ids):
        array = (self.c.llama_token * len(ids))(*ids)
        assert self.c.llama_decode(context, self.c.llama_batch_get_one(array, len(ids))) == 0
        return np.ctypeslib.as_array(self.c.llama_get_logits_ith(context, -1), (self.vocab,)).copy()

    def greedy(self, ids):
        context, out, feed = self.context(), [], ids
        for _ in range(TOKENS):
            feed = [int(self.feed(context, feed).argmax())]
            out += feed
        self.c.llama_free(context)
        return out

    def along(self, ids, then):
        """Logits behind the prompt and behind each of the tokens that are fed then, one by one."""
        context = self.context()
        rows = [self.feed(context, ids)] + [self.feed(context, [token]) for token in then]
        self.c.llama_free(context)
        return rows


def main():
    source, proact, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    config, weights, reader = read(source)
    tokenizer = tokenizer_of(reader)
    prompts = [tokenizer.encode(p, add_special_tokens=False).ids for p in PROMPTS]
    half = model_of(config, weights).half()
    half.save_pretrained(out / "hf", safe_serialization=True)
    tokenizer.save(str(out / "hf" / "tokenizer.json"))
    template = reader.fields["tokenizer.chat_template"].contents()
    (out / "hf" / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "chat_template": template}))
    run = lambda *args: subprocess.run([proact, *map(str, args)], check=True, stdout=subprocess.DEVNULL)
    run("quantize", out / "hf", "-o", out / "f16.gguf", "--recipe", "f16")
    run("export", out / "f16.gguf", "-o", out / "exported.gguf")
    run("quantize", source, "-o", out / "q4_1.gguf", "--recipe", "same")
    exact = model_of(config, weights)
    cases = [{"prompt": p, "ids": ids} for p, ids in zip(PROMPTS, prompts)]
    half = half.float()
    for case in cases:
        case["transformers"] = greedy(half, case["ids"])
        with torch.no_grad():
            logits = exact(torch.tensor([case["ids"] + case["transformers"][:-1]])).logits[0, len(case["ids"]) - 1:]
        case["top"] = logits.topk(TOP).indices.tolist()
        case["exact"] = logits.topk(TOP).values.tolist()
    if len(sys.argv) > 4:
        cpp, q4 = LlamaCpp(sys.argv[4], out / "exported.gguf"), LlamaCpp(sys.argv[4], source)
        for case in cases:
            case["llama_cpp"] = cpp.greedy(case["ids"])
            rows = q4.along(case["ids"], case["transformers"][:-1])
            case["llama_cpp_q4_1"] = [row[top].tolist() for row, top in zip(rows, case["top"])]
    (out / "cases.json").write_text(json.dumps(cases))


main()
