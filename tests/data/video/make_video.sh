#!/bin/sh
# Makes the clips and the expected frames in this folder with ffmpeg (with libx264) from its own test
# picture. The committed files are its output with ffmpeg 5.1; run it in this folder to make them again.
#
# NAME.mp4 is a clip; NAME.expected.txt lists what ffmpeg decodes of it: one line for every picture at 2
# frames a second with its time and the mean of red, green and blue in each cell of a 4x4 grid.
set -eu
cd "$(dirname "$0")"

encode() { # name, filter after the source, options of libx264
    name=$1; source=$2; shift 2
    ffmpeg -v error -y -f lavfi -i "$source" -c:v libx264 -preset veryslow -crf 34 -bitexact "$@" "$name.mp4"
}

test_picture="testsrc=size=64x48:rate=25:duration=3"

# B-frames in pyramids, CABAC, 8x8 transform: what phones and x264 write.
encode bframes "$test_picture" -pix_fmt yuv420p -profile:v high -bf 3 -g 25 -x264-params b-pyramid=normal:ref=4
# Constrained baseline: no B-frames, CAVLC.
encode baseline "$test_picture" -pix_fmt yuv420p -profile:v baseline -g 30
# A size that no macroblock fits: cropping on the right and below.
encode oddsize "testsrc=size=70x54:rate=30000/1001:duration=3" -pix_fmt yuv420p -bf 2 -g 15
# BT.709 colours, said in the stream; full range.
encode bt709 "$test_picture" -vf "scale=out_color_matrix=bt709:out_range=full,format=yuv420p" -color_range pc -colorspace bt709 -color_primaries bt709 -color_trc bt709 -bf 2
# Variable frame rate with a gap of a second, and a late start.
encode vfr "$test_picture" -vf "select='not(between(t,1,2))*lt(mod(n,7),5)',setpts=PTS+0.4/TB,format=yuv420p" -vsync vfr -bf 2 -video_track_timescale 90000
# Cut at the front by an edit list, between pictures: the first key picture stands before what is shown.
encode uncut "$test_picture" -pix_fmt yuv420p -bf 2 -g 50 -keyint_min 50
ffmpeg -v error -y -ss 0.72 -i uncut.mp4 -c copy -bitexact edited.mp4
rm uncut.mp4
# A quarter turn in the track header.
ffmpeg -v error -y -i bframes.mp4 -c copy -metadata:s:v:0 rotate=90 -bitexact rotated90.mp4
ffmpeg -v error -y -i bframes.mp4 -c copy -metadata:s:v:0 rotate=180 -bitexact rotated180.mp4
ffmpeg -v error -y -i bframes.mp4 -c copy -metadata:s:v:0 rotate=270 -bitexact rotated270.mp4
# Fragments, as recorders write them that must survive a power cut.
ffmpeg -v error -y -i bframes.mp4 -c copy -movflags +frag_keyframe+empty_moov+default_base_moof -bitexact fragmented.mp4
# Sound beside the pictures, in front of them.
ffmpeg -v error -y -f lavfi -i "sine=duration=3" -i bframes.mp4 -map 0:a -map 1:v -c:v copy -c:a aac -b:a 16k -movflags +faststart -bitexact sound.mp4
# What is refused without ffmpeg.
encode interlaced "$test_picture" -pix_fmt yuv420p -flags +ilme+ildct -x264-params interlaced=1 -frames:v 10
encode tenbit "$test_picture" -pix_fmt yuv420p10le -frames:v 10
encode chroma444 "$test_picture" -pix_fmt yuv444p -frames:v 10
ffmpeg -v error -y -f lavfi -i "$test_picture" -frames:v 10 -c:v libx265 -x265-params log-level=error -tag:v hvc1 -crf 34 -bitexact hevc.mp4
ffmpeg -v error -y -i bframes.mp4 -c copy -frames:v 50 -bitexact matroska.mkv

python3 - <<'PYTHON'
"""What ffmpeg decodes of each clip: time and 4x4 mean colours of its own pictures nearest after k/2 s."""
import json, pathlib, subprocess

FPS, TOLERANCE_S, GRID = 2, 0.002, 4

def run(*args):
    return subprocess.run(args, check=True, capture_output=True).stdout

for clip in sorted(pathlib.Path(".").glob("*.mp4")):
    if clip.stem in ("interlaced", "tenbit", "chroma444", "hevc"):
        continue
    shown = json.loads(run("ffprobe", "-v", "error", "-select_streams", "v:0", "-show_frames", "-show_entries",
                           "frame=pts_time", "-of", "json", str(clip)))["frames"]
    times = [float(f["pts_time"]) for f in shown]
    ppm = run("ffmpeg", "-v", "error", "-i", str(clip), "-map", "0:v:0", "-vsync", "passthrough",
              "-sws_flags", "neighbor+full_chroma_int+accurate_rnd", "-f", "image2pipe", "-c:v", "ppm", "pipe:1")
    pictures = []
    while ppm:
        magic, size, depth, rest = ppm.split(b"\n", 3)
        width, height = map(int, size.split())
        pictures.append((width, height, rest[: width * height * 3]))
        ppm = rest[width * height * 3 :]
    assert len(pictures) == len(times), (clip, len(pictures), len(times))
    lines, next_slot = [], 0
    for at, (width, height, rgb) in zip(times, pictures):
        slot = int((at + TOLERANCE_S) * FPS // 1)
        if at < -TOLERANCE_S or slot < next_slot:
            continue
        next_slot = slot + 1
        means = []
        for gy in range(GRID):
            for gx in range(GRID):
                ys = range(gy * height // GRID, (gy + 1) * height // GRID)
                xs = range(gx * width // GRID, (gx + 1) * width // GRID)
                for c in range(3):
                    total = sum(rgb[(y * width + x) * 3 + c] for y in ys for x in xs)
                    means.append(f"{total / (len(ys) * len(xs)):.2f}")
        lines.append(f"{at:.6f} {width}x{height} {' '.join(means)}\n")
    clip.with_suffix(".expected.txt").write_text("".join(lines))
PYTHON
