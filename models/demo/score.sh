#!/bin/sh
# Scores a model on the test parts of the suite, beside blind runs and the baselines.
# Usage: models/demo/score.sh SUITE LOGS [PART…]   (SUITE as `proact synth --suite` wrote it; LOGS is made; all parts of
# SUITE/test unless some are named). PROACT and MODELS name another program and another folder of models.
set -eu
suite=$(cd "$1" && pwd) logs=$2
shift 2
PROACT=${PROACT:-target/release/proact} MODELS=${MODELS:-models/demo}
[ $# -gt 0 ] || set -- $(ls "$suite/test")
export PROACT MODELS
for part; do
    reference=$suite/test/$part
    out=$logs/$part
    mkdir -p "$out/model" "$out/blind" "$out/features"
    "$PROACT" encode "$reference" --vision "$MODELS/vision.gguf" -o "$out/features"
    ls "$reference" | OUT=$out REFERENCE=$reference xargs -P "$(getconf _NPROCESSORS_ONLN)" -I{} sh -ec '
        replay() {
            "$PROACT" replay "$OUT/features/$1.safetensors" --model "$MODELS/assistant.gguf" --task "$REFERENCE/$1/task.toml" \
                --headless --events "$OUT/$2/$1.jsonl" $3 >/dev/null
        }
        replay "$1" model ""
        replay "$1" blind --blind' sh {}
    echo "== $part"
    "$PROACT" eval --reference "$reference" --train-reference "$suite/train" --features "$out/features" \
        --system model="$out/model" --system blind="$out/blind" --baseline clock --baseline change --baseline silent \
        --json "$out/scores.json"
done
