"""Writes speech_match.json: random dialogues with the matching that upstream ProAssist finds for them.

    python make_speech_match.py PATH_TO/mmassist/eval/evaluators

Runs ProAssist's own `find_match` and `StreamEvaluator.compute_metrics` (pro-assist/ProAssist, read at 9d0b2b2,
Apache-2.0), loaded from the folder given; none of its text is here. Its sentence embedder is replaced by the house's
`lexical-cosine` (weighted word counts), so that no model is needed and both sides measure alike. Needs numpy, scipy, torch.

In one place upstream's program leaves its own definition: a pair of cost exactly 0 is dropped by its sparse matrix. So
similarities stop `NUDGE` short of 1 here, as a real embedder's mostly do.
"""

import dataclasses
import importlib.util
import json
import pathlib
import random
import sys
import tempfile
import types

import torch

HERE = pathlib.Path(__file__).parent
SEED = 7
# Frames a second.
FPS = 2
# Function words and their weight, as in src/eval/speech.rs; only those that the sentences below use.
FUNCTION_WORDS = {"well", "done", "next", "now", "the", "good", "job", "to", "then"}
FUNCTION_WEIGHT = 0.2
OPENINGS = ["Next, ", "Well done. Next, ", "Now ", "Good job, then ", ""]
STEPS = [
    "boil the water", "pour the milk", "stir the milk slowly", "cut the bread", "toast the bread", "pour the water to the cup",
    "spread butter", "wash the cup",
]
# Less than the tolerance of the test that reads the file, more than a double forgets.
NUDGE = 1e-6
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

    def to_dict(self):
        return dataclasses.asdict(self)


class Anything(types.ModuleType):
    """A module that upstream's files import and do not need here."""

    __path__ = []

    def __getattr__(self, name):
        return object


def load(folder):
    """Loads upstream's two files."""
    for name in [
        "sentence_transformers", "tqdm", "mmassist", "mmassist.model", "mmassist.datasets", "mmassist.datasets.generate",
        "mmassist.datasets.generate.llm_utils", "mmassist.eval", "mmassist.eval.llm_eval", "mmassist.eval.runners",
        "mmassist.eval.runners.stream_inference", "mmassist.eval.evaluators", "mmassist.eval.evaluators.base_evaluator",
    ]:
        sys.modules[name] = Anything(name)
    for name in ["mmassist.eval.runners", "mmassist.eval.runners.stream_inference"]:
        sys.modules[name].FrameOutput = FrameOutput
    similarity = torch.nn.functional.cosine_similarity
    sys.modules["sentence_transformers"].SentenceTransformer = LexicalModel
    sys.modules["sentence_transformers"].util = types.SimpleNamespace(
        pairwise_cos_sim=lambda a, b: similarity(a, b, dim=1).clamp(max=1 - NUDGE)
    )
    for name, file in [
        ("mmassist.eval.eval_utils", "../eval_utils.py"),
        ("mmassist.eval.evaluators.pred_match", "pred_match.py"),
        ("mmassist.eval.evaluators.stream_evaluator", "stream_evaluator.py"),
    ]:
        spec = importlib.util.spec_from_file_location(name, pathlib.Path(folder) / file)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    evaluators = "mmassist.eval.evaluators."
    return sys.modules[evaluators + "pred_match"].find_match, sys.modules[evaluators + "stream_evaluator"].StreamEvaluator


def pooled(evaluator, results):
    """Upstream's metrics over all matches, without BLEU, CIDEr and METEOR."""
    with tempfile.TemporaryDirectory() as folder:
        stand_in = types.SimpleNamespace(
            load_all_predictions=lambda number_check: {i: {"match_result": r.to_json()} for i, r in enumerate(results)},
            match_semantic_score_threshold=0.5, fps=FPS, nlg_metrics=[], eval_dir=folder,
            nlg_scorer=types.SimpleNamespace(compute_metrics=lambda *_: {}),
        )
        return {name: float(value) for name, value in evaluator.compute_metrics(stand_in).items()}


def sentence(rng):
    return rng.choice(OPENINGS) + rng.choice(STEPS) + "."


def draw(rng, frames, rate):
    return {i: sentence(rng) for i in range(frames) if rng.random() < rate}


def random_cases(rng):
    count = 0
    while count < 24:
        frames = rng.choice([12, 30, 60])
        reference = draw(rng, frames, rng.choice([0.1, 0.3, 0.6]))
        generated = draw(rng, frames, rng.choice([0.1, 0.3, 0.6]))
        for frame, text in reference.items():  # Some predictions are the reference's words, a little off or at its frame.
            if rng.random() < 0.4:
                generated[min(max(frame + rng.choice([-3, -2, -1, 0, 1, 2, 3]), 0), frames - 1)] = text
        if generated:
            count += 1
            yield frames, rng.choice(WINDOWS), generated, reference


def corner_cases():
    said = {3: "Now cut the bread.", 9: "Next, pour the milk."}
    yield 12, (-5, 5), said, said  # every pair costs nothing
    yield 12, (-5, 5), {4: said[3], 9: said[9]}, said
    yield 12, (-5, 5), said, {}
    yield 12, (-5, 5), {}, said
    yield 12, (-5, 5), {}, {}
    yield 2, (-1, 1), {0: said[3], 1: said[9]}, {0: said[9], 1: said[3]}  # as many predictions as frames


def main():
    find_match, evaluator = load(sys.argv[1])
    cases, results = [], []
    for frames, window, generated, reference in [*random_cases(random.Random(SEED)), *corner_cases()]:
        outputs = [FrameOutput(generated.get(i, ""), reference.get(i, ""), i) for i in range(frames)]
        case = {
            "frames": frames,
            "window": window,
            "generated": sorted(generated.items()),
            "reference": sorted(reference.items()),
        }
        result = find_match(outputs, LexicalModel(), window, dist_func_factor=0.3, dist_func_power=1.5)
        results.append(result)
        cases.append(case | {
            "matched": [[g.frame_idx_in_stream, r.frame_idx_in_stream] for g, r in result.matched],
            "scores": [round(s, 6) for s in result.semantic_scores],
            "costs": [round(c, 6) for c in result.match_costs],
            "missed": [f.frame_idx_in_stream for f in result.missed],
            "redundant": [f.frame_idx_in_stream for f in result.redundant],
        })
    lines = ",\n".join(json.dumps(case) for case in cases)
    whole = json.dumps(pooled(evaluator, results))
    (HERE / "speech_match.json").write_text(f'{{"whole": {whole},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
