//! The exit codes, and which error leads to which code.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use proact::error::Error;
use proact::run::stop::{Interrupted, Usage};

/// Done.
pub const DONE: u8 = 0;
/// Failed; the error was printed.
pub const FAILED: u8 = 1;
/// The flags make no sense together.
pub const USAGE: u8 = 2;
/// The source of frames went away and did not come back.
pub const SOURCE_LOST: u8 = 3;
/// Stopped by a signal: 128 and the number of SIGINT, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// When the reader of our output has gone (`proact inspect FILE | head`), `println!` panics. That
/// is not a failure: the process then exits without a word.
pub fn quiet_when_unread() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let words = info
            .payload()
            .downcast_ref::<String>()
            .map_or("", String::as_str);
        if words.starts_with("failed printing to stdout") && words.contains("Broken pipe") {
            std::process::exit(i32::from(DONE));
        }
        previous(info);
    }));
}

/// Prints the error, if there is something to say, and gives the exit code.
pub fn report(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::from(DONE);
    };
    let code = code_of(&error);
    if code != DONE && code != INTERRUPTED {
        // stderr is the last resort; when it is gone there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "error: {}", chain(&error));
    }
    ExitCode::from(code)
}

/// The exit code that an error stands for.
pub fn code_of(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<Interrupted>() {
            return INTERRUPTED;
        }
        if cause.is::<Usage>() {
            return USAGE;
        }
        if matches!(cause.downcast_ref::<Error>(), Some(Error::Source(_))) {
            return SOURCE_LOST;
        }
        // The reader of our output has read enough (`proact inspect … | head`).
        if cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
        {
            return DONE;
        }
    }
    FAILED
}

/// The error and its causes on one line each, without saying the same twice.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let words = cause.to_string();
        if text.contains(&words) {
            continue;
        }
        if !text.is_empty() {
            text.push_str("\n  because: ");
        }
        text.push_str(&words);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn each_kind_of_error_has_its_code() {
        let lost = anyhow::Error::from(Error::Source("unplugged".into())).context("while watching");
        assert_eq!(code_of(&lost), SOURCE_LOST);
        assert_eq!(
            code_of(&anyhow::Error::from(Interrupted).context("x")),
            INTERRUPTED
        );
        assert_eq!(code_of(&anyhow::Error::from(Usage("x".into()))), USAGE);
        assert_eq!(code_of(&anyhow::anyhow!("x")), FAILED);
        let pipe = std::io::Error::from(ErrorKind::BrokenPipe);
        assert_eq!(code_of(&anyhow::Error::from(pipe).context("writing")), DONE);
    }

    #[test]
    fn the_chain_is_told_once() {
        let inner: Result<(), _> = Err(Error::Invalid("fps is 0".into()));
        let error = inner.context("demo").unwrap_err();
        assert_eq!(chain(&error), "demo\n  because: fps is 0");
        let error = anyhow::anyhow!("a: b").context("a: b");
        assert_eq!(chain(&error), "a: b");
    }
}
