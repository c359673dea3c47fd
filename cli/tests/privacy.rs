//! What leaves the process: no socket, and no file but those that a flag names, as the system sees
//! it.
//!
//! Needs `strace`, or at least a network name space (`unshare`). Where neither works the test says
//! so and checks nothing; `tests/vivid_vm.sh` does the same for `proact run` with a camera.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// System calls that talk to others.
const NETWORK: [&str; 8] = [
    "socket",
    "socketpair",
    "connect",
    "bind",
    "listen",
    "accept",
    "sendto",
    "sendmsg",
];
/// Places that any program may open for writing without leaving anything there.
const HARMLESS: [&str; 3] = ["/dev/null", "/dev/tty", "/proc/"];

enum Watcher {
    Strace,
    NameSpace,
    Nobody,
}

fn watcher() -> Watcher {
    let works = |program: &str, args: &[&str]| {
        let status = Command::new(program)
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    };
    if works("strace", &["-f", "-qq", "-e", "trace=network", "true"]) {
        Watcher::Strace
    } else if works("unshare", &["-rn", "true"]) {
        Watcher::NameSpace
    } else {
        Watcher::Nobody
    }
}

/// Runs proact in `folder` and gives the system calls that it made, one a line; `None` without
/// strace.
fn watched(folder: &Path, args: &[&str]) -> Option<(Output, Option<String>)> {
    let proact = env!("CARGO_BIN_EXE_proact");
    let calls = folder.join("calls.txt");
    let mut command = match watcher() {
        Watcher::Strace => {
            let mut command = Command::new("strace");
            command.args([
                "-f",
                "-qq",
                "-s",
                "4096",
                "-e",
                "trace=network,open,openat,creat,mkdir,mkdirat,rename,link,symlink",
                "-o",
            ]);
            command.arg(&calls).arg(proact);
            command
        }
        Watcher::NameSpace => {
            let mut command = Command::new("unshare");
            command.args(["-rn", proact]);
            command
        }
        Watcher::Nobody => {
            let _ = writeln!(
                std::io::stderr(),
                "\n*** NOTHING WAS CHECKED: neither strace nor unshare works here ***\n"
            );
            return None;
        }
    };
    let work = folder.join("work");
    std::fs::create_dir_all(&work).unwrap();
    let output = command.args(args).current_dir(&work).output().unwrap();
    Some((output, std::fs::read_to_string(&calls).ok()))
}

/// Calls that talk to others, and files opened for writing besides those in `named`.
fn leaks(calls: &str, named: &[PathBuf]) -> Vec<String> {
    let leaks = |line: &&str| {
        let call = line
            .split_whitespace()
            .nth(1)
            .and_then(|call| call.split('(').next())
            .unwrap_or_default();
        if NETWORK.contains(&call) {
            return true;
        }
        let writes = line.contains("O_WRONLY")
            || line.contains("O_RDWR")
            || line.contains("O_CREAT")
            || !call.starts_with("open");
        let path = line.split('"').nth(1).unwrap_or_default();
        let allowed = named.iter().any(|named| Path::new(path).starts_with(named))
            || HARMLESS.iter().any(|h| path.starts_with(h));
        writes && !path.is_empty() && !allowed && !line.contains("= -1 ")
    };
    calls.lines().filter(leaks).map(str::to_owned).collect()
}

/// The demo's clip is long; its first seconds do.
fn short_clip(folder: &Path) -> PathBuf {
    let frames = folder.join("frames");
    std::fs::create_dir_all(&frames).unwrap();
    for k in 0..6u8 {
        let picture =
            image::RgbImage::from_fn(192, 144, |x, y| image::Rgb([x as u8, y as u8, k * 40]));
        picture.save(frames.join(format!("{k}.png"))).unwrap();
    }
    frames
}

#[test]
fn a_replay_opens_no_socket_and_writes_only_what_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let frames = short_clip(folder.path());
    let events = folder.path().join("events.jsonl");
    let (frames, log) = (frames.to_str().unwrap(), events.to_str().unwrap());
    let Some((output, calls)) = watched(
        folder.path(),
        &["replay", frames, "--headless", "--events", log],
    ) else {
        return;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(std::fs::read_to_string(&events).unwrap().lines().count() >= 8);
    assert_eq!(
        std::fs::read_dir(folder.path().join("work"))
            .unwrap()
            .count(),
        0,
        "nothing lies in the working folder"
    );
    if let Some(calls) = calls {
        assert!(
            calls.contains("assistant.gguf"),
            "strace saw the model being opened"
        );
        assert_eq!(leaks(&calls, &[events]), [""; 0]);
    }
}

/// Without a camera it ends early; with one, as it should. Neither may leave anything.
#[cfg(feature = "camera")]
#[test]
fn looking_for_cameras_opens_no_socket_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let devices = [PathBuf::from("/dev/video")];
    for args in [
        ["cameras"].as_slice(),
        &["run", "--camera", "no such camera", "--headless"],
    ] {
        let Some((output, calls)) = watched(folder.path(), args) else {
            return;
        };
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        if let Some(calls) = calls {
            // A camera is opened for writing to be set.
            let leaks: Vec<String> = leaks(&calls, &[])
                .into_iter()
                .filter(|line| !line.contains(devices[0].to_str().unwrap()))
                .collect();
            assert_eq!(leaks, [""; 0], "{args:?}");
        }
    }
}

#[test]
fn the_watcher_would_see_a_leak() {
    let calls = "12 openat(AT_FDCWD, \"/home/x/.cache/proact\", O_WRONLY|O_CREAT, 0666) = 3\n\
                 12 openat(AT_FDCWD, \"/tmp/log\", O_WRONLY|O_CREAT, 0666) = 4\n\
                 12 openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY) = 5\n\
                 13 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 6\n\
                 12 mkdir(\"/tmp/frames\", 0777) = 0\n";
    let leaks = leaks(calls, &["/tmp/log".into()]);
    assert_eq!(leaks.len(), 3, "{leaks:?}");
}
