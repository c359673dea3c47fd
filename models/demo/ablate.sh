#!/bin/sh
# Trains the assistant again and again with one thing changed, each with several seeds, and prints what that costs.
# Usage: models/demo/ablate.sh CONFIG OUT [STEPS [SEEDS]]   (CONFIG of a finished `proact train`: its towers and features are
# used as they are; OUT is made, and what is finished in it is kept; STEPS 400, SEEDS "1 2"; PROACT names another program,
# JOBS says how many runs go on side by side, 1, each with as many threads as THREADS says, 0 for one a core).
# All runs have the same data, number of steps and search for thresholds; scores are of the validation recordings.
set -eu
config=$1 out=$2 steps=${3:-400} seeds=${4:-"1 2"}
PROACT=${PROACT:-target/release/proact} JOBS=${JOBS:-1} THREADS=${THREADS:-0}
export PROACT THREADS
work=$(sed -n 's/^work = "\(.*\)"/\1/p' "$config") towers=$(sed -n 's/^output = "\(.*\)"/\1/p' "$config")
for part in features vision assistant; do
    [ -e "$work/$part" ] || { echo "$work/$part: not there; finish \`proact train $config\` first" >&2; exit 1; }
done

# Name, then what `sed` changes in the training file.
variants="
as configured|
no evidence of the steps in a frame's token|s/^step_evidence = .*/step_evidence = false/
no note before a sentence|s/^speech_note = .*/speech_note = false/
no invented recordings for the assistant|s/^invented_share = .*/invented_share = 0.0/
no loss on the step in view|s/^step_in_view = .*/step_in_view = 0.0/
never its own history|s/^own_history_steps = .*/own_history_steps = []/
no late and no early events|s/^\(late\|early\)_share = .*/\1_share = 0.0/
steps always in the recipe's order|s/^shuffled_share = .*/shuffled_share = 0.0/
no time before an event in which neither answer counts|s/^ambiguous_before_s = .*/ambiguous_before_s = 0.0/
heads of two layers|s/^heads = .*/heads = \"mlp\"/
a quarter of the negatives|s/^negative_share = .*/negative_share = 0.25/
no faint words|s/^faint_share = .*/faint_share = 0.0/
no frames kept at a refresh|s/^frames_kept = .*/frames_kept = 0/
"
mkdir -p "$out"
for seed in $seeds; do
    printf '%s\n' "$variants" | grep '|' | while IFS='|' read -r name change; do
        here=$out/$(echo "$name" | tr -c 'a-z\n' _)-$seed
        mkdir -p "$here/assistant" "$here/out"
        for part in features vision; do ln -sfn "$(realpath "$work/$part")" "$here/$part"; done
        ln -sfn "$(realpath "$towers/vision.gguf")" "$here/out/vision.gguf"
        cp "$work/assistant/tokenizer.json" "$work/assistant/chat_template.jinja" "$here/assistant/"
        awk -v steps="$steps" '/^\[/ { part = $0 } part == "[assistant_training]" && /^steps = / { $0 = "steps = " steps } { print }' "$config" |
            sed -e "s|^work = .*|work = \"$here\"|" -e "s|^output = .*|output = \"$here/out\"|" -e "s/^seed = .*/seed = $seed/" \
                -e "s/^own_history_steps = .*/own_history_steps = [$((steps / 2))]/" \
                -e 's/^own_history_recordings = .*/own_history_recordings = 100/' -e 's/^dst_update_thresholds = .*/dst_update_thresholds = [0.8, 0.9, 0.95]/' \
                -e 's/^speak_thresholds = .*/speak_thresholds = [0.9, 0.95]/' -e "$change" >"$here/train.toml"
        echo "$here"
    done
done | xargs -P "$JOBS" -I{} sh -c '
    [ -e "$1/assistant/model.safetensors" ] && grep -q "\"stage\":\"thresholds\"" "$1/train.jsonl" ||
        "$PROACT" train "$1/train.toml" --threads "$THREADS" >"$1/log" 2>&1 || { echo "$1/log: failed" >&2; exit 255; }' sh {}

# The best of the search, by the sum of the three scores, of each run; then mean and spread (half the range) over the seeds.
echo "| changed | F1 @5 s | joint state accuracy | speech F1 |"
echo "|---|---|---|---|"
printf '%s\n' "$variants" | grep '|' | while IFS='|' read -r name change; do
    for seed in $seeds; do
        log=$out/$(echo "$name" | tr -c 'a-z\n' _)-$seed/train.jsonl
        [ -e "$log" ] || continue
        grep '"stage":"thresholds"' "$log" |
            sed 's/.*"transition_f1_5s":\([0-9.]*\),"joint_state_accuracy":\([0-9.]*\),"speech_f1":\([0-9.]*\).*/\1 \2 \3/' |
            awk '{ s = $1 + $2 + $3 } s > best { best = s; line = $0 } END { print line }'
    done | awk -v name="$name" '
        { for (i = 1; i <= 3; i++) { sum[i] += $i; if (NR == 1 || $i < low[i]) low[i] = $i; if (NR == 1 || $i > high[i]) high[i] = $i } }
        END { printf "| %s |", name; for (i = 1; i <= 3; i++) printf " %.3f ± %.3f |", sum[i] / NR, (high[i] - low[i]) / 2; print "" }'
done
