#!/usr/bin/env bash
# Runs the real `proact cameras` and `proact run` against the kernel's virtual camera, `vivid`, in a small virtual machine:
# each layout of pixels, frames and decisions, keys of the screen, what happens to cameras (frame loss, disconnect, reset,
# another program, sleep), exit codes, no socket. Usage: tests/vivid_vm.sh [PROACT]   (default: target/release/proact)
# Needs Debian or Ubuntu on x86_64; installs qemu, kmod, cpio if it may. Exit codes: 0 passed, 1 failed, 77 could not run.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
proact=$(realpath "${1:-$target/release/proact}")
work=$(mkdir -p "$target/vivid" && cd "$target/vivid" && pwd)

cannot() {
    printf '\n*** THE CAMERA TEST IN A VIRTUAL MACHINE DID NOT RUN: %s ***\n\n' "$1" >&2
    exit 77
}

[ "$(uname -sm)" = "Linux x86_64" ] || cannot "it needs Linux on x86_64"
[ -x "$proact" ] || cannot "$proact is not built"
command -v apt-get >/dev/null || cannot "it fetches a kernel with apt-get"
command -v cc >/dev/null || cannot "it needs a C compiler"
missing=()
for tool in qemu-system-x86_64:qemu-system-x86 depmod:kmod cpio:cpio strace:strace; do
    command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || cannot "install ${missing[*]}"
    { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$work/apt.log" 2>&1 ||
        cannot "${missing[*]} cannot be installed; see $work/apt.log"
fi

# A kernel with its modules, and busybox; kept for the next run.
if [ ! -e "$work/ready" ]; then
    rm -rf "$work/kernel" "$work/busybox" "$work"/*.deb
    (
        cd "$work"
        image=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*-amd64\)$/\1/p' | head -1)
        [ -n "$image" ] || image=$(apt-cache depends linux-image-generic 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*-generic\)$/\1/p' | head -1)
        apt-get download "$image" busybox-static
        dpkg -x linux-image-*.deb kernel
        dpkg -x busybox-static*.deb busybox
    ) >"$work/download.log" 2>&1 || cannot "no kernel or busybox; see $work/download.log"
    touch "$work/ready"
fi
kernel=$(ls "$work"/kernel/boot/vmlinuz-*)
version=${kernel##*/vmlinuz-}
[ -d "$work/kernel/lib/modules/$version" ] || cannot "the kernel's package has no modules"
depmod -b "$work/kernel" "$version"

root=$work/root
rm -rf "$root"
mkdir -p "$root"/{bin,dev,proc,sys,tmp,modules,proact/models/demo,etc}
install -m 755 "$(find "$work/busybox" -path "*bin/busybox" -type f | head -1)" "$root/bin/busybox"
cp models/demo/{assistant.gguf,vision.gguf,task.toml,clip.mp4} "$root/proact/models/demo/"
cp "$proact" "$root/proact/proact"
cp "$(command -v strace)" "$root/bin/strace"
for binary in "$proact" "$(command -v strace)"; do
    ldd "$binary" | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
done
modprobe -d "$work/kernel" -S "$version" --show-depends vivid | sed -n 's/^insmod \([^ ]*\).*/\1/p' >"$work/modules.list" ||
    cannot "this kernel has no vivid"
while read -r module; do
    case $module in
    *.xz) xz -dc "$module" >"$root/modules/$(basename "${module%.xz}")" ;;
    *.zst) zstd -qdc "$module" >"$root/modules/$(basename "${module%.zst}")" ;;
    *) cp "$module" "$root/modules/" ;;
    esac
    basename "${module%.ko*}.ko" >>"$root/modules/order"
done <"$work/modules.list"
for tool in control pty; do
    cc -static -O1 -o "$root/bin/$tool" "tests/vivid/$tool.c" -lutil || cannot "no static C library"
done
cp tests/vivid/init "$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initrd.gz"

# Plain emulation, the same everywhere. The guest's clock counts instructions, two nanoseconds each, and skips what is
# idle: a busy host makes the test slow, and not the camera late. Sleep to memory is allowed; the alarm that ends it comes
# from a clock of the host, as nothing counts while the guest sleeps. The guest writes n, which qemu leaves with as 2n+1.
run() {
    status=0
    timeout "${VIVID_LIMIT_S:-1200}" qemu-system-x86_64 -M q35 -accel tcg,thread=single -icount shift=1,sleep=off -rtc clock=host \
        -cpu max -m 768 -global ICH9-LPC.disable_s3=0 -nodefaults -display none \
        -serial stdio -no-reboot -device isa-debug-exit,iobase=0x501,iosize=1 -kernel "$kernel" -initrd "$work/initrd.gz" \
        -append "console=ttyS0 quiet panic=-1 no_console_suspend rdinit=/init" </dev/null | tee "$work/serial.log" || status=${PIPESTATUS[0]}
    [ "$status" = 1 ] && grep -q '^ALL PASSED' "$work/serial.log"
}
# An emulated machine on a busy host can be too slow once; twice is no accident.
if run || { echo "the camera test failed (qemu's status $status); once more" >&2; run; }; then
    echo "the camera test passed"
    exit 0
fi
echo "the camera test FAILED twice (qemu's status $status); see $work/serial.log" >&2
exit 1
