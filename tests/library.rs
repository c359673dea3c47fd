//! The library without a command line: the example of the crate's documentation, run.

use std::path::Path;

use proact::dialogue::task::Task;
use proact::error::Result;
use proact::model::open;
use proact::run::{self, settings::Settings};
use proact::sources::{self, OpenOptions};
use proact::stream::Event;

fn watch() -> Result<Vec<Event>> {
    let folder = Path::new("models/demo");
    let model = open::open(&folder.join("assistant.gguf"), None)?;
    let options = OpenOptions {
        tokens_per_frame: model.config().tokens_per_frame,
        ..OpenOptions::default()
    };
    let mut source = sources::open(&folder.join("clip.mp4"), &options)?;
    let task = Task::read(&folder.join("task.toml"))?;
    let mut session = run::session(model, &Settings::default(), Some(task))?;
    let mut events: Vec<Event> = Vec::new();
    run::play(&mut *source, &mut session, &mut events)?;
    Ok(events)
}

#[test]
fn the_example_follows_the_shipped_clip() {
    let events = watch().unwrap();
    assert!(matches!(events.first(), Some(Event::Session { .. })));
    let Some(Event::End { steps, .. }) = events.last() else {
        panic!("the log ends with {:?}", events.last())
    };
    let said = events
        .iter()
        .filter(|event| matches!(event, Event::Utterance { .. }))
        .count();
    assert!(said > 0 && !steps.is_empty());
}

#[test]
fn the_example_stands_in_the_documentation() {
    let this = include_str!("library.rs");
    let (start, end) = (this.find("use std").unwrap(), this.find("#[test]").unwrap());
    let shown: String = include_str!("../src/lib.rs")
        .lines()
        .skip_while(|line| !line.contains("```no_run"))
        .skip(1)
        .take_while(|line| !line.contains("```"))
        .map(|line| {
            format!(
                "{}\n",
                line.trim_start_matches("//!")
                    .strip_prefix(' ')
                    .unwrap_or("")
            )
        })
        .collect();
    assert_eq!(shown.trim(), this[start..end].trim());
}
