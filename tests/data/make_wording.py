"""Writes wording.json: pairs of sentences with their tokens, BLEU and METEOR as upstream ProAssist's code computes them.

    python make_wording.py PATH_TO/mmassist/eval/metrics PATH_TO/pycocoevalcap

Runs ProAssist's own BLEU (pro-assist/ProAssist, read at 9d0b2b2; none of its text is here), and the two Java programs that
it calls, both within the PyPI package pycocoevalcap: Stanford's PTBTokenizer and METEOR 1.5. METEOR runs with the modules
`exact` and `stem` and the function words of src/eval/speech.rs; upstream's runs with WordNet synonyms and a table of
paraphrases besides, which proact does not have.
"""

import importlib.util
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
SEED = 11
PAIRS = 60
# As upstream's tokenizer.py drops them.
PUNCTUATION = ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
OPENINGS = ["", "Next: ", "Well done! Next: ", "Good job, then ", "You're doing great; now ", "Wait, don't go on: ", "Okay - "]
STEPS = [
    "pour 1/4 cup of the milk (cold) into the pan", "stir the milk slowly", "keep stirring the pan-fried tofu",
    "cut the bread", "cutting the breads into slices", "heat 2 tablespoons of oil in a 6-oz ramekin", "place the ramekin on the pan",
    "boil the water until it's hot", "the water is boiled", "add salt & pepper, 3.5 grams", "wash the washed cup again and again",
    "place it on the pan and then on the plate and on the table", "spreading butter", "spread the butter on the bread",
]
ENDINGS = [".", "!", "...", "", ", please."]


def load_bleu(metrics):
    for name in ["bleu_scorer", "bleu"]:
        path = pathlib.Path(metrics) / "bleu" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"upstream.{name}", path, submodule_search_locations=[])
        module = importlib.util.module_from_spec(spec)
        module.__package__ = "upstream"
        sys.modules[f"upstream.{name}"] = module
        spec.loader.exec_module(module)
    return sys.modules["upstream.bleu"].Bleu(4)


def tokens(coco, texts):
    jar = pathlib.Path(coco) / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(texts))
        file.flush()
        command = ["java", "-cp", jar, "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", file.name]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
    return [" ".join(w for w in line.split(" ") if w not in PUNCTUATION) for line in lines[: len(texts)]]


def function_words():
    source = (HERE / "../../src/eval/speech.rs").read_text()
    table = re.search(r"FUNCTION_WORDS: \[&str; \d+\] = \[(.*?)\];", source, re.S).group(1)
    return re.findall(r'"([a-z]+)"', table)


def meteor(coco, pairs):
    """METEOR of each pair, and of all of them together."""
    with tempfile.NamedTemporaryFile("w", suffix=".words") as words:
        words.write("\n".join(function_words()) + "\n")
        words.flush()
        jar = pathlib.Path(coco) / "meteor" / "meteor-1.5.jar"
        command = ["java", "-jar", jar, "-", "-", "-stdio", "-l", "en", "-m", "exact stem", "-w", "1.0 0.6", "-s", words.name]
        program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def ask(line):
            program.stdin.write(line + "\n")
            program.stdin.flush()
            return program.stdout.readline().strip()

        stats = [ask(f"SCORE ||| {reference} ||| {generated}") for generated, reference in pairs]
        first = ask("EVAL ||| " + " ||| ".join(stats))
        each = [float(first)] + [float(program.stdout.readline()) for _ in pairs[1:]]
        whole = float(program.stdout.readline())
        program.kill()
    return each, whole


def main():
    bleu, coco = load_bleu(sys.argv[1]), sys.argv[2]
    rng = random.Random(SEED)

    def sentence():
        return rng.choice(OPENINGS) + rng.choice(STEPS) + rng.choice(ENDINGS)

    texts = []
    for i in range(PAIRS):
        reference = sentence()
        generated = reference if i == 0 else sentence()
        if rng.random() < 0.5:  # The reference's words in another order, or some of them.
            words = reference.split()
            rng.shuffle(words)
            generated = " ".join(words[: rng.randrange(1, len(words) + 1)])
        texts.append((generated, reference))
    flat = tokens(coco, [t for pair in texts for t in pair])
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    ids = range(len(pairs))
    whole_bleu, each_bleu = bleu.compute_score({i: [pairs[i][1]] for i in ids}, {i: [pairs[i][0]] for i in ids})
    each_meteor, whole_meteor = meteor(coco, pairs)
    cases = [
        {"generated": text[0], "reference": text[1], "tokens": [p.split() for p in pair],
         "bleu": [column[i] for column in each_bleu], "meteor": each_meteor[i]}
        for i, (text, pair) in enumerate(zip(texts, pairs, strict=True))
    ]
    lines = ",\n".join(json.dumps(case) for case in cases)
    whole = json.dumps({"bleu": whole_bleu, "meteor": whole_meteor})
    (HERE / "wording.json").write_text(f'{{"whole": {whole},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
