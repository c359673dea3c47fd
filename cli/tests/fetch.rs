//! `proact fetch` against a hub of our own on this machine: what is asked of it, its cache, the
//! offline variable, the hash.
#![cfg(feature = "hub")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Gives `content` to everybody, whole or from a byte on, and keeps what it was asked for.
struct Hub {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    fn open(content: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                seen.lock().unwrap().push(answer(stream, content));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn answer(mut stream: TcpStream, content: &str) -> String {
    let mut lines = BufReader::new(stream.try_clone().unwrap())
        .lines()
        .map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let range = head
        .iter()
        .find_map(|line| {
            line.to_lowercase()
                .strip_prefix("range: bytes=")
                .map(str::to_owned)
        })
        .unwrap_or_default();
    let (from, to) = range.split_once('-').unwrap_or(("0", ""));
    let from: usize = from.parse().unwrap_or(0);
    let to = to.parse::<usize>().map_or(content.len(), |last| last + 1);
    let part = &content[from..to];
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\netag: \"{HELLO}\"\r\nx-repo-commit: {COMMIT}\r\ncontent-range: bytes {from}-{}/{}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{part}",
        to - 1,
        content.len(),
        part.len(),
    )
    .unwrap();
    first
}

/// A folder with a manifest in `models/`, and a cache; unique within the process.
fn workplace() -> tempfile::TempDir {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let folder = tempfile::Builder::new()
        .prefix(&format!("fetch{}", COUNT.fetch_add(1, Ordering::Relaxed)))
        .tempdir()
        .unwrap();
    std::fs::create_dir(folder.path().join("models")).unwrap();
    let manifest = format!(
        "description = \"a test\"\nlicense = \"MIT\"\nsource = \"the test's own hub\"\nmodel = \"a.gguf\"\n\
         [[file]]\nname = \"a.gguf\"\nbytes = 5\nsha256 = \"{HELLO}\"\nrepo = \"owner/name\"\n"
    );
    std::fs::write(folder.path().join("models/tea-of-tests.toml"), manifest).unwrap();
    folder
}

fn proact(folder: &Path, hub: &Hub, offline: bool, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proact"));
    for key in [
        "HF_HUB_CACHE",
        "HF_TOKEN",
        "TRANSFORMERS_OFFLINE",
        "HF_HUB_OFFLINE",
        "http_proxy",
        "HTTP_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env_remove(key);
    }
    command
        .current_dir(folder)
        .args(args)
        .env("HF_HOME", folder.join("home"))
        .env("HF_ENDPOINT", &hub.address);
    if offline {
        command.env("HF_HUB_OFFLINE", "1");
    }
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn files_come_once_are_checked_and_are_found_by_name_without_the_network() {
    let (folder, hub) = (workplace(), Hub::open("hello"));
    let go = |offline, args: &[&str]| proact(folder.path(), &hub, offline, args);

    let out = go(false, &["inspect", "tea-of-tests"]);
    assert!(
        !out.status.success() && said(&out).contains("proact fetch tea-of-tests"),
        "{}",
        said(&out)
    );
    let out = go(true, &["fetch", "tea-of-tests"]);
    assert!(
        !out.status.success() && said(&out).contains("HF_HUB_OFFLINE"),
        "{}",
        said(&out)
    );
    assert_eq!(hub.asked(), 0, "nothing but an online fetch asks");

    let out = go(false, &["fetch", "tea-of-tests"]);
    assert!(out.status.success(), "{}", said(&out));
    let asked = hub.asked.lock().unwrap().clone();
    assert!(
        asked
            .iter()
            .all(|line| line.starts_with("GET /owner/name/resolve/main/a.gguf ")),
        "{asked:?}"
    );
    let file = folder.path().join(format!(
        "home/hub/models--owner--name/snapshots/{COMMIT}/a.gguf"
    ));
    assert_eq!(std::fs::read(&file).unwrap(), b"hello");

    let before = hub.asked();
    for offline in [false, true] {
        let out = go(offline, &["fetch", "tea-of-tests"]);
        assert!(
            out.status.success() && said(&out).contains("as it should be"),
            "{}",
            said(&out)
        );
    }
    // Found and checked; that "hello" is no model is told by the file's own name.
    let out = go(false, &["inspect", "tea-of-tests"]);
    assert!(
        !out.status.success() && said(&out).contains(&format!("{COMMIT}/a.gguf")),
        "{}",
        said(&out)
    );
    assert_eq!(
        hub.asked(),
        before,
        "what is in the cache is not asked for again"
    );
}

#[test]
fn a_file_that_is_not_the_one_of_the_manifest_is_refused() {
    let (folder, hub) = (workplace(), Hub::open("hallo"));
    let out = proact(folder.path(), &hub, false, &["fetch", "tea-of-tests"]);
    let why = said(&out);
    assert!(
        !out.status.success()
            && why.contains("SHA-256 d3751d33")
            && why.contains("tea-of-tests.toml"),
        "{why}"
    );
}

#[test]
fn a_hub_that_is_not_there_is_named() {
    let (folder, hub) = (
        workplace(),
        Hub {
            address: "http://127.0.0.1:9".into(),
            asked: Arc::default(),
        },
    );
    let out = proact(folder.path(), &hub, false, &["fetch", "tea-of-tests"]);
    assert!(
        !out.status.success() && said(&out).contains("127.0.0.1:9/owner/name/resolve/main/a.gguf"),
        "{}",
        said(&out)
    );
}
