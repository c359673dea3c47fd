//! Reads CaptainCook4D's annotation files (Peddi et al. 2024, MIT): timelines of real recordings.
//!
//! `annotation_json/complete_step_annotations.json` has the recordings with their steps (a negative
//! start: the person left it out), `annotation_json/error_annotations.json` what went wrong, and
//! `task_graphs/RECIPE.json` which step comes before which. Step ids of recordings and of graphs
//! differ; a step is found in the graph by its words.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::names::clean_name;
use super::timeline::{Doing, Span, Timeline};
use proact::dialogue::task::{Step, Task};
use proact::error::{Error, Result};
use proact::units::StepId;

const STEPS_FILE: &str = "annotation_json/complete_step_annotations.json";
const ERRORS_FILE: &str = "annotation_json/error_annotations.json";
const GRAPHS_FOLDER: &str = "task_graphs";
/// Tags that show in the order of the steps already, not in how a step looks.
const TAGS_OF_ORDER: [&str; 2] = ["Order Error", "Missing Step"];

#[derive(Deserialize)]
struct RawRecording {
    recording_id: String,
    activity_name: String,
    person_id: u64,
    environment: u64,
    steps: Vec<RawStep>,
}

#[derive(Deserialize)]
struct RawStep {
    start_time: f64,
    end_time: f64,
    description: String,
}

#[derive(Deserialize)]
struct RawErrors {
    recording_id: String,
    step_annotations: Vec<RawErrorStep>,
}

#[derive(Deserialize)]
struct RawErrorStep {
    start_time: f64,
    description: String,
    #[serde(default)]
    errors: Vec<RawError>,
}

#[derive(Clone, Deserialize)]
struct RawError {
    tag: String,
    description: String,
}

#[derive(Deserialize)]
struct RawGraph {
    steps: Map<String, Value>,
    edges: Vec<(u64, u64)>,
}

/// A recipe's task graph: each step's words and the steps before it.
#[derive(Debug)]
struct Graph {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    description: String,
    /// Indices into `nodes`.
    after: Vec<usize>,
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::format(path, e.to_string()))
}

/// Reads the recordings of a folder that `wanted(id, recipe)` asks for, in the file's order.
///
/// # Errors
/// A file that is missing or not of this format, impossible times, a circular graph.
pub fn read(folder: &Path, wanted: &dyn Fn(&str, &str) -> bool) -> Result<Vec<Timeline>> {
    let path = folder.join(STEPS_FILE);
    let raw: Map<String, Value> = read_json(&path)?;
    let errors = read_errors(&folder.join(ERRORS_FILE))?;
    let mut graphs: HashMap<PathBuf, Graph> = HashMap::new();
    let mut timelines = Vec::new();
    for (key, value) in raw {
        let recording: RawRecording = serde_json::from_value(value)
            .map_err(|e| Error::format(&path, format!("recording `{key}`: {e}")))?;
        if !wanted(&recording.recording_id, &recording.activity_name) {
            continue;
        }
        let graph_path = folder
            .join(GRAPHS_FOLDER)
            .join(format!("{}.json", graph_name(&recording.activity_name)));
        let graph = match graphs.entry(graph_path) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let graph = read_graph(entry.key())?;
                entry.insert(graph)
            }
        };
        let timeline = timeline(&recording, &errors, graph)
            .and_then(|t| t.check().map(|()| t))
            .map_err(|why| Error::format(&path, format!("recording `{key}`: {why}")))?;
        timelines.push(timeline);
    }
    Ok(timelines)
}

/// Name of a recipe's graph file: its letters and digits in lower case.
fn graph_name(recipe: &str) -> String {
    recipe
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

type Mistakes = HashMap<(String, String, u64), String>;

fn mistake_key(recording: &str, description: &str, start_s: f64) -> (String, String, u64) {
    (
        recording.to_owned(),
        description.to_owned(),
        start_s.to_bits(),
    )
}

fn read_errors(path: &Path) -> Result<Mistakes> {
    let raw: Vec<RawErrors> = read_json(path)?;
    let mut mistakes = Mistakes::new();
    for recording in raw {
        for step in recording.step_annotations {
            let visible: Vec<String> = step
                .errors
                .iter()
                .filter(|e| !TAGS_OF_ORDER.contains(&e.tag.as_str()))
                .map(|e| format!("{}: {}", e.tag, e.description.trim()))
                .collect();
            if !visible.is_empty() {
                let key = mistake_key(&recording.recording_id, &step.description, step.start_time);
                mistakes.insert(key, visible.join("; "));
            }
        }
    }
    Ok(mistakes)
}

/// Reads a graph. Its edges go from the prerequisite to the step; START and END are left out.
fn read_graph(path: &Path) -> Result<Graph> {
    let raw: RawGraph = read_json(path)?;
    graph(raw).map_err(|why| Error::format(path, why))
}

fn graph(raw: RawGraph) -> std::result::Result<Graph, String> {
    let mut index_of: HashMap<u64, Option<usize>> = HashMap::new();
    let mut nodes = Vec::new();
    for (key, value) in &raw.steps {
        let id: u64 = key
            .parse()
            .map_err(|_| format!("steps: key `{key}`, expected a number"))?;
        let description = value
            .as_str()
            .ok_or_else(|| format!("steps.{key}: expected a text"))?;
        let edge_of_time = matches!(description, "START" | "END");
        index_of.insert(id, (!edge_of_time).then_some(nodes.len()));
        if !edge_of_time {
            nodes.push(Node {
                description: description.to_owned(),
                after: Vec::new(),
            });
        }
    }
    for (from, to) in &raw.edges {
        let of = |id: &u64| {
            index_of
                .get(id)
                .copied()
                .ok_or_else(|| format!("edges: no step {id}"))
        };
        if let (Some(before), Some(step)) = (of(from)?, of(to)?) {
            nodes[step].after.push(before);
        }
        if raw.steps.get(&from.to_string()).and_then(Value::as_str) == Some("END") {
            return Err(format!(
                "edges: [{from}, {to}] leaves END, expected [prerequisite, step]"
            ));
        }
    }
    Ok(Graph { nodes })
}

/// A step as it will stand in the task, before it has its place.
struct Item {
    name: String,
    doing: Doing,
    /// Node of the graph, if the graph has it.
    node: Option<usize>,
}

fn timeline(
    recording: &RawRecording,
    mistakes: &Mistakes,
    graph: &Graph,
) -> std::result::Result<Timeline, String> {
    let items = items(recording, mistakes, graph);
    let after = prerequisites(&items, graph);
    let keys = order_keys(&items, &after)?;
    let order = intended_order(&keys, &after)?;
    let mut place = vec![0usize; items.len()];
    for (at, item) in order.iter().enumerate() {
        place[*item] = at;
    }
    let id_of = |place: usize| {
        u16::try_from(place)
            .map(StepId)
            .map_err(|_| "too many steps".to_owned())
    };
    let mut steps = Vec::new();
    let mut doings = Vec::new();
    for item in order {
        let mut before: Vec<StepId> = after[item]
            .iter()
            .map(|b| id_of(place[*b]))
            .collect::<std::result::Result<_, _>>()?;
        before.sort_by_key(|id| id.0);
        steps.push(Step::new(items[item].name.clone(), before));
        doings.push(items[item].doing.clone());
    }
    Ok(Timeline {
        id: recording.recording_id.clone(),
        dataset: "captaincook4d".into(),
        task: Task {
            goal: recording.activity_name.trim().to_owned(),
            knowledge: None,
            steps,
        },
        doings,
        person: recording.person_id,
        environment: recording.environment,
        rendering: 0,
        conditions: Vec::new(),
    })
}

/// The recording's steps in the order of their starts, each with its node: equal words are counted
/// through, so the second "Stir" is the graph's second. What the recording does not list is left
/// out.
fn items(recording: &RawRecording, mistakes: &Mistakes, graph: &Graph) -> Vec<Item> {
    let mut raw: Vec<&RawStep> = recording.steps.iter().collect();
    let omitted = |s: &RawStep| s.start_time < 0.0;
    raw.sort_by(|a, b| {
        (omitted(a), a.start_time)
            .partial_cmp(&(omitted(b), b.start_time))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let mut used = vec![false; graph.nodes.len()];
    let mut items = Vec::new();
    for step in raw {
        let same = |i: &usize| graph.nodes[*i].description == step.description;
        let free = (0..graph.nodes.len()).find(|i| same(i) && !used[*i]);
        let node = free.or_else(|| (0..graph.nodes.len()).find(same));
        if omitted(step) && node.is_some() && free.is_none() {
            continue; // left out here, done at another time
        }
        if let Some(node) = node {
            used[node] = true;
        }
        let key = mistake_key(&recording.recording_id, &step.description, step.start_time);
        let span = (!omitted(step)).then_some(Span {
            start_s: step.start_time,
            end_s: step.end_time,
        });
        let mistake = span.and_then(|_| mistakes.get(&key).cloned());
        items.push(Item {
            name: clean_name(&step.description),
            doing: Doing { span, mistake },
            node,
        });
    }
    items
}

/// Indices of the items that each item needs: those of its node's predecessors, the first time they
/// are done; through nodes that the recording does not have to those behind them.
fn prerequisites(items: &[Item], graph: &Graph) -> Vec<Vec<usize>> {
    let mut first_of: Vec<Option<usize>> = vec![None; graph.nodes.len()];
    for (i, item) in items.iter().enumerate() {
        if let Some(node) = item.node {
            first_of[node].get_or_insert(i);
        }
    }
    let of = |node: usize| {
        let mut found = Vec::new();
        let mut seen = vec![false; graph.nodes.len()];
        let mut open = graph.nodes[node].after.clone();
        while let Some(before) = open.pop() {
            if std::mem::replace(&mut seen[before], true) {
                continue;
            }
            match first_of[before] {
                Some(item) => found.push(item),
                None => open.extend(&graph.nodes[before].after),
            }
        }
        found.sort_unstable();
        found
    };
    items
        .iter()
        .map(|item| item.node.map(of).unwrap_or_default())
        .collect()
}

/// Times by which items want to be ordered: their start; for what was left out, right behind its
/// last prerequisite, or before whatever needs it.
fn order_keys(items: &[Item], after: &[Vec<usize>]) -> std::result::Result<Vec<f64>, String> {
    let start = |i: usize| items[i].doing.span.map(|s| s.start_s);
    let mut keys: Vec<Option<f64>> = (0..items.len()).map(start).collect();
    for _ in 0..items.len() {
        for i in 0..items.len() {
            if keys[i].is_none() {
                let known: Option<Vec<f64>> = after[i].iter().map(|b| keys[*b]).collect();
                keys[i] = known.and_then(|k| k.into_iter().reduce(f64::max));
            }
        }
    }
    let needed_at = |i: usize| {
        let needing = (0..items.len())
            .filter(|j| after[*j].contains(&i))
            .filter_map(start);
        needing.reduce(f64::min).unwrap_or(f64::MAX)
    };
    Ok((0..items.len())
        .map(|i| keys[i].unwrap_or_else(|| needed_at(i)))
        .collect())
}

/// Stable topological order: of what is ready, the earliest first.
fn intended_order(keys: &[f64], after: &[Vec<usize>]) -> std::result::Result<Vec<usize>, String> {
    let mut order: Vec<usize> = Vec::with_capacity(keys.len());
    let mut placed = vec![false; keys.len()];
    while order.len() < keys.len() {
        let ready = (0..keys.len()).filter(|i| !placed[*i] && after[*i].iter().all(|b| placed[*b]));
        let next = ready
            .min_by(|a, b| keys[*a].total_cmp(&keys[*b]))
            .ok_or("the task graph is circular")?;
        placed[next] = true;
        order.push(next);
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder in the project's format: steps b (before a!) c, with d left out; graph a -> b -> c
    /// -> d.
    pub(crate) fn folder(steps: &str, graph: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("annotation_json")).unwrap();
        std::fs::create_dir_all(folder.path().join(GRAPHS_FOLDER)).unwrap();
        let recording = format!(
            r#"{{"1_1":{{"recording_id":"1_1","activity_id":1,"activity_name":"Mint Tea","person_id":3,"environment":8,"steps":{steps}}}}}"#
        );
        std::fs::write(folder.path().join(STEPS_FILE), recording).unwrap();
        let errors = r#"[{"recording_id":"1_1","activity_id":1,"is_error":true,"step_annotations":[{"description":"Boil-Boil the water","step_id":1,"start_time":9.5,"end_time":19.0,"errors":[{"tag":"Order Error","description":"late"},{"tag":"Temperature Error","description":"too cold "}]}]}]"#;
        std::fs::write(folder.path().join(ERRORS_FILE), errors).unwrap();
        std::fs::write(
            folder.path().join(GRAPHS_FOLDER).join("minttea.json"),
            graph,
        )
        .unwrap();
        folder
    }

    pub(crate) const STEPS: &str = r#"[{"step_id":2,"start_time":1.5,"end_time":8.0,"description":"Pour-Pour the water into a mug","has_errors":true},{"step_id":1,"start_time":9.5,"end_time":19.0,"description":"Boil-Boil the water","has_errors":true},{"step_id":3,"start_time":-1,"end_time":-1,"description":"Add-1 tea bag to the mug","has_errors":true},{"step_id":4,"start_time":21,"end_time":25,"description":"Stir-Stir the mug","has_errors":false}]"#;
    pub(crate) const GRAPH: &str = r#"{"steps":{"0":"START","1":"Boil-Boil the water","2":"Pour-Pour the water into a mug","3":"Add-1 tea bag to the mug","4":"Stir-Stir the mug","5":"END"},"edges":[[0,1],[1,2],[2,3],[3,4],[4,5]]}"#;

    #[test]
    fn the_intended_order_repairs_what_was_early_and_puts_in_what_was_left_out() {
        let folder = folder(STEPS, GRAPH);
        let all = read(folder.path(), &|_, _| true).unwrap();
        assert_eq!(all.len(), 1);
        let t = &all[0];
        let names: Vec<&str> = t.task.steps.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "Boil the water",
                "Pour the water into a mug",
                "Add 1 tea bag to the mug",
                "Stir the mug"
            ]
        );
        let after: Vec<Vec<u16>> = t
            .task
            .steps
            .iter()
            .map(|s| s.after.iter().map(|a| a.0).collect())
            .collect();
        assert_eq!(after, [vec![], vec![0], vec![1], vec![2]]);
        assert_eq!(t.doings[2].span, None);
        assert_eq!(
            t.doings[0].mistake.as_deref(),
            Some("Temperature Error: too cold")
        );
        assert_eq!(
            (t.id.as_str(), t.person, t.environment, t.task.goal.as_str()),
            ("1_1", 3, 8, "Mint Tea")
        );
        assert!(read(folder.path(), &|_, _| false).unwrap().is_empty());
    }

    #[test]
    fn a_step_done_twice_is_two_steps() {
        let twice = STEPS.replace(
            "\"start_time\":-1,\"end_time\":-1,\"description\":\"Add-1 tea bag to the mug\"",
            "\"start_time\":30,\"end_time\":35,\"description\":\"Stir-Stir the mug\"",
        );
        let t = read(folder(&twice, GRAPH).path(), &|_, _| true)
            .unwrap()
            .remove(0);
        let names: Vec<&str> = t.task.steps.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "Boil the water",
                "Pour the water into a mug",
                "Stir the mug",
                "Stir the mug"
            ]
        );
        // The recording has no tea bag: the steps behind it need what is before it.
        assert_eq!(t.task.steps[2].after, [StepId(1)]);
    }

    #[test]
    fn hostile_files_are_errors_that_name_the_place() {
        let cases = [
            (STEPS.replace("8.0", "1.0"), GRAPH.to_owned(), "1_1"),
            (STEPS.replace("8.0", "1e99"), GRAPH.to_owned(), "1_1"),
            (
                STEPS.replace("\"start_time\":1.5", "\"start_time\":\"x\""),
                GRAPH.to_owned(),
                "1_1",
            ),
            (
                STEPS.replace("\"start_time\":1.5,", ""),
                GRAPH.to_owned(),
                "start_time",
            ),
            ("[]".to_owned(), GRAPH.to_owned(), "no step"),
            (
                STEPS.to_owned(),
                GRAPH.replace("[3,4]", "[3,9]"),
                "no step 9",
            ),
            (
                STEPS.to_owned(),
                GRAPH.replace("[3,4]", "[3,4],[4,1]"),
                "circular",
            ),
            (STEPS.to_owned(), GRAPH.replace("[4,5]", "[5,4]"), "END"),
            (STEPS.to_owned(), GRAPH.replace("\"4\":", "\"x\":"), "`x`"),
            (STEPS.to_owned(), "{".to_owned(), "minttea.json"),
            (
                "[[[[".to_owned(),
                GRAPH.to_owned(),
                "complete_step_annotations.json",
            ),
        ];
        for (steps, graph, word) in cases {
            let folder = folder(&steps, &graph);
            let why = read(folder.path(), &|_, _| true).unwrap_err().to_string();
            assert!(why.contains(word), "{word}: {why}");
        }
    }
}
