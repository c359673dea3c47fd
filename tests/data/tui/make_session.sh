#!/bin/sh
# Makes the recorded session that the screen's goldens are drawn from: make_session.sh [PROACT]
#
# The demo as `proact demo --record` writes it, with words and hands of a person, cut behind its frame LAST; of the
# pictures the last one is kept. Times by stage are those of the machine that it ran on. Afterwards:
#   UPDATE_GOLDEN=1 cargo test --release --lib tui::
set -eu

LAST=210
here=$(cd "$(dirname "$0")" && pwd)
program=${1:-$here/../../../target/release/proact}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/input.jsonl" << 'EOF'
{"at":48.2,"user":"How much of it?"}
{"at":72.2,"mark":"S6","state":"completed"}
{"at":80.2,"undo":true}
EOF
"$program" demo --headless --threads 1 --record "$work/session" --save-frames --input "$work/input.jsonl" > "$work/told.txt"

rm -rf "$here/session"
mkdir -p "$here/session/frames"
end=$(grep -n "\"type\":\"frame\",\"frame\":$((LAST + 1))," "$work/session/events.jsonl" | cut -d: -f1)
head -n $((end - 1)) "$work/session/events.jsonl" > "$here/session/events.jsonl"
head -n $((LAST + 1)) "$work/session/timing.jsonl" > "$here/session/timing.jsonl"
cp "$work/session/session.json" "$work/session/task.toml" "$here/session/"
cp "$work/session/frames/$(cd "$work/session/frames" && ls | grep -E "^0*$LAST\.jpg$")" "$here/session/frames/"
