#!/bin/sh
# Drives `proact demo` in a real terminal (tmux) with keys and reads the screen: tests/drive_demo.sh [PROACT]
# Needs tmux, and a built program; says so loudly when one is missing. Exit code 0: everything was seen.
set -u

fail() {
    echo "FAILED: $*" >&2
    [ -n "${session:-}" ] && tmux capture-pane -p -t "$session" >&2
    exit 1
}

command -v tmux > /dev/null || { session=; fail "tmux is missing: install it (apt-get install tmux) and run this again"; }
root=$(cd "$(dirname "$0")/.." && pwd)
program=${1:-$root/target/release/proact}
[ -x "$program" ] || { session=; fail "$program is missing: cargo build --release"; }

session=proact-drive-$$
folder=$(mktemp -d)
trap 'tmux kill-session -t "$session" 2> /dev/null; rm -rf "$folder"' EXIT
cp "$root/models/demo/task.toml" "$folder/other.toml"
sed -i.bak 's/^goal *=.*/goal = "Another Goal"/' "$folder/other.toml"

tmux new-session -d -s "$session" -x 120 -y 40 \
    "cd '$folder' && '$program' demo --speed 4 --events events.jsonl; echo LEFT \$?; sleep 60" \
    || fail "tmux gives no session"

# Waits up to 20 s until the screen shows a text.
see() {
    i=0
    until tmux capture-pane -p -t "$session" | grep -qF -- "$1"; do
        i=$((i + 1))
        [ "$i" -gt 100 ] && fail "not on the screen: $1"
        sleep 0.2
    done
    echo "seen: $1"
}
keys() { tmux send-keys -t "$session" "$@"; }
# Waits up to 20 s until the event log has a text.
logged() {
    i=0
    until grep -qF -- "$1" "$folder/events.jsonl"; do
        i=$((i + 1))
        [ "$i" -gt 100 ] && fail "not in the event log: $1"
        sleep 0.2
    done
    echo "logged: $1"
}

see 'REPLAY'
see "Goal $(sed -n 's/^goal *= *"\(.*\)"/\1/p' "$root/models/demo/task.toml")"
see '▶ S1'
keys Space;              see 'PAUSED'
keys '?';                see 'Keys and marks';                      see 'why a sentence was said'
keys '?'
keys '<';                see 'speak threshold set to 0.95 by hand'; logged '"type":"threshold"'
keys Tab Tab 'd';        see 'set to completed by hand';            logged '"type":"mark"'
keys 'u';                see 'set to not started by hand'
# What comes right behind Escape would be taken for Alt with that key.
keys Escape;             sleep 0.5
keys 'i' 'What is next?' Enter
see 'What is next?';     logged '"type":"user"'
keys ']';                logged '"type":"transition"'
keys 'p';                see 'next reset'
keys 'p';                see 'Log'
keys 's';                see 'written: proact-clip.mp4'
keys 'p'
keys Home;               see 'moved to 0:00.0 by hand';             logged '"type":"seek"'
keys 'o' 'other.toml' Enter
see 'Goal Another Goal'; logged '"type":"task"'
keys Space '+' '+' '+' '+';                                         see 'finished'
keys 'e';                sleep 1
[ -n "$(ls "$folder"/proact-clip.mp4-*.vtt 2> /dev/null)" ] || fail "no subtitles were written"
[ -n "$(ls "$folder"/proact-clip.mp4-*.png 2> /dev/null)" ] || fail "no picture was kept"
keys 'q';                see 'LEFT 0'
echo "the demo does what its keys say"
