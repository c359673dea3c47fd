#!/bin/sh
# Scores the model that ships on the test people's episodes, beside blind runs and the baselines.
# Usage: models/demo/score.sh EPISODES LOGS   (EPISODES as `proact synth` wrote them; LOGS is made)
set -eu
episodes=$1 logs=$2 models=${MODELS:-models/demo}
proact=${PROACT:-target/release/proact}
test_people=person_8 train_people='person_[13456]'
mkdir -p "$logs/model" "$logs/blind" "$logs/features" "$logs/test" "$logs/train"
for file in "$episodes"/*/annotation.jsonl; do
    folder=$(cd "$(dirname "$file")" && pwd) id=$(basename "$(dirname "$file")")
    case $id in *.*) continue ;; esac # a further rendering
    if grep -q "\"user_id\":\"$test_people\"" "$file"; then
        ln -sfn "$folder" "$logs/test/$id"
    elif grep -q "\"user_id\":\"$train_people\"" "$file"; then
        ln -sfn "$folder" "$logs/train/$id"
    fi
done
"$proact" encode "$logs/test" --vision "$models/vision.gguf" -o "$logs/features"
for folder in "$logs"/test/*; do
    id=$(basename "$folder")
    for kind in model blind; do
        "$proact" replay "$logs/features/$id.safetensors" --model "$models/assistant.gguf" --task "$folder/task.toml" \
            --headless --events "$logs/$kind/$id.jsonl" $([ $kind = blind ] && echo --blind) >/dev/null
    done
done
"$proact" eval --reference "$logs/test" --train-reference "$logs/train" --features "$logs/features" \
    --system model="$logs/model" --system blind="$logs/blind" --baseline clock --baseline change --baseline silent \
    --json "$logs/scores.json"
