#!/bin/sh
# What it costs and saves to take features over in static scenes: the videos of one person's episodes, replayed with every
# frame encoded and with configs/default.toml's [reuse].
# Usage: models/demo/reuse.sh EPISODES LOGS [PERSON]   (EPISODES as `proact synth` wrote them; LOGS is made)
set -eu
episodes=$1 logs=$2 person=${3:-person_2} models=${MODELS:-models/demo}
proact=${PROACT:-target/release/proact}
mkdir -p "$logs/all" "$logs/reuse" "$logs/reference"
printf '[reuse]\nage_max_s = 0.0\n' >"$logs/all.toml"
: >"$logs/reuse.toml"
for file in "$episodes"/*/annotation.jsonl; do
    folder=$(cd "$(dirname "$file")" && pwd) id=$(basename "$(dirname "$file")")
    case $id in *.*) continue ;; esac # a further rendering
    grep -q "\"user_id\":\"$person\"" "$file" || continue
    ln -sfn "$folder" "$logs/reference/$id"
    for kind in all reuse; do
        "$proact" replay "$folder/video.mp4" --model "$models/assistant.gguf" --task "$folder/task.toml" --headless \
            --config "$logs/$kind.toml" --events "$logs/$kind/$id.jsonl" --timing "$logs/$kind/$id.timing" >/dev/null
    done
done
"$proact" eval --reference "$logs/reference" --system all="$logs/all" --system reuse="$logs/reuse"
# A frame that takes features over leaves the encoder alone, to the microsecond.
for kind in all reuse; do
    cat "$logs/$kind"/*.timing | sed 's/.*"encode_ms":\([0-9.]*\).*"total_ms":\([0-9.]*\).*/\1 \2/' | awk -v kind=$kind '{e += $1; t += $2; n += $1 == 0}
        END {printf "%-6s %d frames, %.1f %% not encoded, encoder %.3f ms and all stages %.3f ms a frame\n", kind, NR, 100 * n / NR, e / NR, t / NR}'
done
