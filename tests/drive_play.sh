#!/bin/sh
# Drives `proact play` of a session just recorded in a real terminal (tmux): tests/drive_play.sh [PROACT]
# Exit code 0: everything was seen.
. "$(dirname "$0")/drive.sh"

(cd "$folder" && "$program" demo --headless --record session --save-frames > told.txt) || fail "the demo was not recorded"
cp "$folder/session/events.jsonl" "$folder/before.jsonl"

start 80 24 play session
see 'RECORDED';          see 'clip.mp4';                            see '▶ S1'
keys Space;              see 'PAUSED'
keys ']';                see '↳ because'
keys '}' '}';            see ' 1:0'
keys Home;               see ' 0:00 /'
keys ']' ']' ']';        see '✓ S1'
keys '[';                see 'PAUSED'
keys 'd';                see 'nothing can be changed'
keys '?';                see 'Keys and marks'
keys '?'
keys 'p';                see 'next reset';                          see 'weights'
keys 'p';                see 'spoke, gate'
keys 'p'
keys 's';                kept 'proact-clip.mp4-*.txt'
tmux resize-window -t "$session" -x 200 -y 60
see ' Pipeline ';        see ' Log ';                               see 'process'
tmux resize-window -t "$session" -x 40 -y 12
see 'PAUSED 0 of'
tmux resize-window -t "$session" -x 30 -y 3
see 'done'
tmux resize-window -t "$session" -x 120 -y 40
see 'Next S'
keys '+' '+' '+' '+' '+' '+' Space;                                 see 'finished'
keys 'e';                kept 'proact-clip.mp4-*.srt'
keys Home;               see 'running'
keys 'q';                see 'LEFT 0'
cmp -s "$folder/before.jsonl" "$folder/session/events.jsonl" || fail "looking at a session has changed it"
echo "a recorded session does what its keys say"
