"""Writes minilm/: a tiny random sentence model with the cosines that transformers finds for some pairs of sentences.

    python make_minilm.py

Needs torch, transformers, tokenizers and safetensors. Pooling and normalization as in sentence-transformers' all-MiniLM-L6-v2:
the mean of the last hidden states over the sentence's tokens, brought to length 1.
"""

import itertools
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

HERE = Path(__file__).parent / "minilm"
SENTENCES = ["Next: pour the milk.", "Now pour milk", "Well done!", "", "boil boil boil water unseenword"]


def main():
    torch.manual_seed(5)
    HERE.mkdir(exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "next", "now", "pour", "the", "milk", "boil", "water", "well", "done", ":", ".", "!", "##s"]
    vocab = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.save(str(HERE / "tokenizer.json"), pretty=False)
    config = BertConfig(vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32,
                        max_position_embeddings=12, type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-12)
    model = BertModel(config, add_pooling_layer=False).eval()
    # Larger than the usual start, so that layers matter.
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items() if "position_ids" not in name}, HERE / "model.safetensors")
    (HERE / "config.json").write_text(config.to_json_string())
    units = []
    for text in SENTENCES:
        ids = torch.tensor([tokenizer.encode(text).ids[:12]])
        with torch.no_grad():
            mean = model(input_ids=ids).last_hidden_state.mean(1)[0]
        units.append(mean / mean.norm())
    pairs = [[a, b, float(units[i] @ units[j])] for (i, a), (j, b) in itertools.combinations(enumerate(SENTENCES), 2)]
    (HERE / "cosines.json").write_text(json.dumps(pairs, indent=1) + "\n")


main()
