"""Writes proassist/dialogues.jsonl and proassist/dialogue_scores.json: what upstream's evaluator says of prepared dialogues.

    python make_dialogue_scores.py DIALOGUES.jsonl PATH_TO/mmassist/eval/evaluators/pred_match.py

DIALOGUES is a file of ProAssist's prepared dialogues; what goes into the repository has its times, frames and roles, and
a number in the place of each word. References are put on frames as upstream's `processed_conv_data_to_stream` does, a
turn at the last frame before it; matched by upstream's own `find_match` (loaded from the file given, as in
make_speech_match.py); and pooled as `StreamEvaluator.compute_metrics` does. Two runs: `reference` says what the
reference says, and `worse` leaves out, changes, moves and adds. Its times, which proact scores, are in `said`.

Rounding keeps a real embedder's cosine of a text with itself below 1; here it is cut to that. (At exactly 1 the pair
costs 0 and upstream's sparse matrix drops it.)
"""

import json
import pathlib
import random
import sys

from make_speech_match import FrameOutput, LexicalModel, load

HERE = pathlib.Path(__file__).parent / "proassist"
FPS, WINDOW_S, BELOW_ONE = 2, (-2.0, 4.0), 1 - 1e-6


def plain(text, numbers):
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    return " ".join(f"w{numbers.setdefault(word, len(numbers))}" for word in words)


def strip(sample, numbers, videos):
    out = {k: sample[k] for k in ("dataset", "clip_idx", "max_seq_len", "seq_len", "num_tokens_per_img", "use_img_sep_token",
                                  "start_frame_idx", "end_frame_idx", "fps")}
    out["video_uid"] = f"video{videos.setdefault(sample['video_uid'], len(videos))}"
    out["frames_file"] = f"frames/{out['video_uid']}.arrow"
    out["metadata"] = {k: sample["metadata"][k] for k in ("user_type", "user_id")} | {"task_goal": "a task", "knowledge": None}
    out["conversation"] = []
    for turn in sample["conversation"]:
        turn = {k: turn[k] for k in ("role", "start", "end", "time", "content") if k in turn}
        if "content" in turn:
            turn["content"] = plain(turn["content"], numbers)
        out["conversation"].append(turn)
    return out


def references(sample):
    """By frame of the stream: the text, and its time."""
    placed, turns = {}, sample["conversation"]
    for turn, following in zip(turns, turns[1:]):
        if turn["role"] == "frames" and following["role"] == "assistant":
            placed[turn["end"] - 1 - sample["start_frame_idx"]] = (following["content"], following["time"])
    return placed


def worse(placed, frames, first, rng):
    """By frame: a run's text and the time that proact is told. Upstream puts a reply to words of the same time one frame
    later, while proact goes by the time; the run stays away from those, so that both see the same distances."""
    out = {}
    late = [frame for frame, (_, time) in placed.items() if frame != int(time * FPS) - 1 - first]
    for frame, (text, time) in placed.items():
        what, shift = rng.random(), rng.choice([-2, -1, 0, 1, 2, 5])
        if what < 0.2 or any(abs(frame + shift - other) <= 12 for other in late) or frame + shift in out:
            continue
        words = text.split()
        if what < 0.5:
            words = words[: max(1, len(words) // 2)] + [f"x{rng.randrange(9)}" for _ in words]
        if 0 <= frame + shift < frames and time + shift / FPS >= sample_start:
            out[frame + shift] = (" ".join(words), time + shift / FPS)
    return out


def scores(runs, upstream):
    matched, missed, redundant = [], 0, 0
    for generated, reference, frames in runs:
        outputs = [FrameOutput(generated.get(i, ("",))[0], reference.get(i, ("",))[0], i) for i in range(frames)]
        window = tuple(int(t * FPS) for t in WINDOW_S)
        result = upstream.find_match(outputs, LexicalModel(), window, dist_func_factor=0.3, dist_func_power=1.5)
        pairs = zip(result.matched, result.semantic_scores)
        matched += [(s, abs(g.frame_idx_in_stream - r.frame_idx_in_stream) / FPS) for (g, r), s in pairs]
        missed += len(result.missed)
        redundant += len(result.redundant)
    correct = [apart for score, apart in matched if score > 0.5]
    alike = [score for score, _ in matched if score >= 0.5]
    before, count = len(matched), len(correct)
    precision, recall = count / (before + redundant), count / (before + missed)
    return {
        "precision": precision, "recall": recall, "F1": 2 * precision * recall / (precision + recall),
        "jaccard_index": count / (before + missed + redundant), "missing_rate": missed / (before + missed),
        "redundant_rate": redundant / (before + redundant), "semantic_score": sum(alike) / len(alike),
        "time_diff": sum(correct) / count, "num_matched": count, "num_mismatched": before - count, "num_missed": missed,
        "num_redundant": redundant,
    }


if __name__ == "__main__":
    upstream = load(sys.argv[2])
    cosine = sys.modules["sentence_transformers"].util.pairwise_cos_sim
    sys.modules["sentence_transformers"].util.pairwise_cos_sim = lambda a, b: cosine(a, b).clamp(max=BELOW_ONE)
    rng, numbers, videos = random.Random(5), {}, {}
    samples = [strip(json.loads(line), numbers, videos) for line in open(sys.argv[1])]
    perfect, bad, said = [], [], {}
    for sample in samples:
        placed, frames = references(sample), sample["end_frame_idx"] - sample["start_frame_idx"]
        sample_start = sample["start_frame_idx"] / FPS
        assert len(placed) == sum(turn["role"] == "assistant" for turn in sample["conversation"])
        run = worse(placed, frames, sample["start_frame_idx"], rng)
        perfect.append((placed, placed, frames))
        bad.append((run, placed, frames))
        said[f"{sample['video_uid']}.{sample['metadata']['user_id']}"] = [[t, text] for text, t in sorted(run.values(), key=lambda r: r[1])]
    (HERE / "dialogues.jsonl").write_text("".join(json.dumps(s, separators=(",", ":")) + "\n" for s in samples))
    out = {"reference": scores(perfect, upstream), "worse": scores(bad, upstream), "said": said}
    (HERE / "dialogue_scores.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print(json.dumps({k: v for k, v in out.items() if k != "said"}, indent=1))
