#!/bin/sh
# Drives `proact demo` in a real terminal (tmux) with keys and reads the screen: tests/drive_demo.sh [PROACT]
# Exit code 0: everything was seen.
. "$(dirname "$0")/drive.sh"

cp "$root/models/demo/task.toml" "$folder/other.toml"
sed -i.bak 's/^goal *=.*/goal = "Another Goal"/' "$folder/other.toml"
printf '#!/bin/sh\ncat >> spoken.txt; echo >> spoken.txt\n' > "$folder/voice"
chmod +x "$folder/voice"

start 120 40 demo --speed 4 --events events.jsonl --speak-cmd ./voice
see 'REPLAY'
see "Goal $(sed -n 's/^goal *= *"\(.*\)"/\1/p' "$root/models/demo/task.toml")"
see '▶ S1';              see 'Now S1';                              see 'Next S2'
see '↳ because';         kept 'spoken.txt'
keys Space;              see 'PAUSED';                              see 'space goes on'
keys '?';                see 'Keys and marks';                      see 'why a sentence was said'
keys '?'
before=$(wc -l < "$folder/spoken.txt")
keys 'r';                see 'said last: '
louder() { [ "$(wc -l < "$folder/spoken.txt")" -gt "$before" ]; }
try 'the last sentence was not spoken again' louder
keys 'm';                see '(muted)'
keys 'm'
keys '<';                see 'speak threshold set to 0.90 by hand'; logged '"type":"threshold"'
keys Tab Tab 'd';        see 'set to completed by hand';            logged '"type":"mark"'
keys 'u';                see 'set to not started by hand'
keys 'g';                see 'set to in progress by hand'
keys 'u'
# What comes right behind Escape would be taken for Alt with that key.
keys Escape;             sleep 0.5
keys 'i' 'What is next?' Enter
see 'What is next?';     logged '"type":"user"';                    see 'because you asked'
keys ']';                logged '"type":"transition"'
keys '[';                logged '"type":"seek"'
keys 'p';                see 'next reset'
keys 'p';                see ' Log ';                               see 'you spoke'
keys 'p'
# Answers are seen whatever panel is open.
keys 's';                see 'written: proact-clip.mp4';            kept 'proact-clip.mp4-*.png'
keys 't';                see 'theme: light'
keys 't';                see 'theme: none'
keys 't'
keys Home;               see 'moved to 0:00.0 by hand'
keys 'o' 'missing.toml' Enter
see '! missing.toml'
keys 'o' 'other.toml' Enter
see 'Goal Another Goal'; logged '"type":"task"'
keys Space '+' '+' '+' '+';                                         see 'finished'
keys 'e';                kept 'proact-clip.mp4-*.vtt'
# Nothing that is pressed at the end breaks anything, and going back plays on.
keys Space;              see 'it is over'
keys Tab 'd';            see '! the session is over'
keys Escape;             sleep 0.5
keys 'u' '>' ']' '+' 'r' 'm' 'm';                                   see 'finished'
# At this speed five seconds are over before they can be seen running.
keys Left;               see 'moved to 3:4';                        see 'finished'
keys 'q';                see 'LEFT 0'
echo "the demo does what its keys say"
