# Sourced by drive_demo.sh and drive_play.sh: the program in a real terminal (tmux), keys into it, and what its screen
# has to show. Needs tmux, and a built program; says so loudly when one is missing.
set -u

session=
fail() {
    echo "FAILED: $*" >&2
    [ -n "$session" ] && tmux capture-pane -p -t "$session" >&2
    exit 1
}

root=$(cd "$(dirname "$0")/.." && pwd)
program=${1:-$root/target/release/proact}
command -v tmux > /dev/null || fail "tmux is missing: install it (apt-get install tmux) and run this again"
[ -x "$program" ] || fail "$program is missing: cargo build --release"
# The demo's files are found beside the program or in the working folder.
folder=$(mktemp -d)
ln -s "$root/models" "$folder/models"
trap 'tmux kill-session -t "$session" 2> /dev/null; rm -rf "$folder"' EXIT

# start COLUMNS ROWS ARGUMENTS: runs the program in the folder; behind its end the exit code stands.
start() {
    session=proact-drive-$$
    columns=$1 rows=$2
    shift 2
    tmux new-session -d -s "$session" -x "$columns" -y "$rows" "cd '$folder' && '$program' $*; echo LEFT \$?; sleep 60" \
        || fail "tmux gives no session"
}

# try WHAT COMMAND: waits up to 20 s until a command succeeds.
try() {
    what=$1
    shift
    i=0
    until "$@"; do
        i=$((i + 1))
        [ "$i" -gt 100 ] && fail "$what"
        sleep 0.2
    done
}
shown() { tmux capture-pane -p -t "$session" | grep -qF -- "$1"; }
written() { grep -qF -- "$1" "$folder/events.jsonl"; }
is_there() { [ -n "$(find "$folder" -maxdepth 1 -name "$1")" ]; }

# The screen shows a text; the event log has it; a file of that name is there.
see() { try "not on the screen: $1" shown "$1" && echo "seen: $1"; }
logged() { try "not in the event log: $1" written "$1" && echo "logged: $1"; }
kept() { try "not written: $1" is_there "$1" && echo "kept: $1"; }
keys() { tmux send-keys -t "$session" "$@"; }
