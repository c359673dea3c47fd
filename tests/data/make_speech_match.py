"""Writes speech_match.json: random dialogues with the matching that upstream ProAssist finds for them.

    python make_speech_match.py PATH_TO/mmassist/eval/evaluators/pred_match.py

Runs ProAssist's own `find_match` (pro-assist/ProAssist, read at 9d0b2b2, Apache-2.0), loaded from the file given; none
of its text is here. Its sentence embedder is replaced by the house's `lexical-cosine` (weighted word counts), so that
no model is needed and both sides measure alike. Needs numpy, scipy and torch.

Cases avoid the two places where upstream's program leaves its own definition: a pair of cost exactly 0 (dropped by the
sparse matrix) and no prediction at all (its solver refuses an empty matrix).
"""

import dataclasses
import importlib.util
import json
import pathlib
import random
import sys
import types

import torch

HERE = pathlib.Path(__file__).parent
SEED = 7
# Function words and their weight, as in src/eval/speech.rs; only those that the sentences below use.
FUNCTION_WORDS = {"well", "done", "next", "now", "the", "good", "job", "to", "then"}
FUNCTION_WEIGHT = 0.2
OPENINGS = ["Next, ", "Well done. Next, ", "Now ", "Good job, then ", ""]
STEPS = [
    "boil the water", "pour the milk", "stir the milk slowly", "cut the bread", "toast the bread", "pour the water to the cup",
    "spread butter", "wash the cup",
]
WINDOWS = [(-5, 5), (-3, 6), (-8, 17), (-4, 8), (0, 3)]


def words(text):
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


class LexicalModel:
    """Weighted word counts in the place of sentence embeddings."""

    def encode(self, texts, **_):
        vocabulary = sorted({w for text in texts for w in words(text)})
        rows = torch.zeros(len(texts), len(vocabulary), dtype=torch.float64)
        for row, text in zip(rows, texts):
            for word in words(text):
                row[vocabulary.index(word)] += FUNCTION_WEIGHT if word in FUNCTION_WORDS else 1.0
        return rows


@dataclasses.dataclass
class FrameOutput:
    gen: str
    ref: str
    frame_idx_in_stream: int


def load(path):
    """Loads upstream's file; the modules that it imports and does not need here are empty stand-ins."""
    names = ["sentence_transformers", "mmassist", "mmassist.eval", "mmassist.eval.runners", "mmassist.eval.runners.stream_inference"]
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    sys.modules[names[-1]].FrameOutput = FrameOutput
    similarity = torch.nn.functional.cosine_similarity
    sys.modules[names[0]].SentenceTransformer = LexicalModel
    sys.modules[names[0]].util = types.SimpleNamespace(pairwise_cos_sim=lambda a, b: similarity(a, b, dim=1))
    spec = importlib.util.spec_from_file_location("pred_match", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sentence(rng):
    return rng.choice(OPENINGS) + rng.choice(STEPS) + "."


def draw(rng, frames, rate):
    return {i: sentence(rng) for i in range(frames) if rng.random() < rate}


def main():
    upstream = load(sys.argv[1])
    rng = random.Random(SEED)
    cases = []
    while len(cases) < 24:
        frames = rng.choice([12, 30, 60])
        reference = draw(rng, frames, rng.choice([0.1, 0.3, 0.6]))
        generated = draw(rng, frames, rng.choice([0.1, 0.3, 0.6]))
        for frame, text in reference.items():  # Some predictions are the reference's words, a little off.
            if rng.random() < 0.4:
                generated[min(max(frame + rng.choice([-3, -2, -1, 1, 2, 3]), 0), frames - 1)] = text
        generated = {i: t for i, t in generated.items() if reference.get(i) != t}
        window = rng.choice(WINDOWS)
        if not generated:
            continue
        outputs = [FrameOutput(generated.get(i, ""), reference.get(i, ""), i) for i in range(frames)]
        result = upstream.find_match(
            outputs, LexicalModel(), window, dist_func_factor=0.3, dist_func_power=1.5
        )
        cases.append({
            "frames": frames,
            "window": window,
            "generated": sorted(generated.items()),
            "reference": sorted(reference.items()),
            "matched": [[g.frame_idx_in_stream, r.frame_idx_in_stream] for g, r in result.matched],
            "scores": [round(s, 6) for s in result.semantic_scores],
            "costs": [round(c, 6) for c in result.match_costs],
            "missed": [f.frame_idx_in_stream for f in result.missed],
            "redundant": [f.frame_idx_in_stream for f in result.redundant],
        })
    lines = ",\n".join(json.dumps(case) for case in cases)
    (HERE / "speech_match.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
