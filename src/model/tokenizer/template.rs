//! A model file's Jinja chat template: rendered with bounds on size, depth and steps.

use minijinja::value::Value;
use minijinja::{Environment, ErrorKind, State};

use crate::error::{Error, Result};

/// Bytes of a template at most.
const TEMPLATE_BYTES_MAX: usize = 256 << 10;
/// Instructions of one rendering at most; Llama-3's template takes a few hundred a turn.
const FUEL: u64 = 100_000;
/// Nesting at most.
const DEPTH_MAX: usize = 64;
/// Bytes of a rendered text at most.
const OUTPUT_BYTES_MAX: usize = 4 << 20;
/// Name of the one template of the environment.
const NAME: &str = "chat";
/// Content of the system turn that other turns are rendered behind.
const SYSTEM_CONTENT: &str = "s";

/// The parsed template.
pub(super) struct ChatTemplate {
    environment: Environment<'static>,
}

fn failed(why: &dyn std::fmt::Display) -> Error {
    Error::Model(format!("tokenizer.chat_template: {why}"))
}

impl ChatTemplate {
    /// Parses a template with the settings of Hugging Face's `apply_chat_template`.
    pub fn new(source: &str) -> Result<Self> {
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(failed(&format!(
                "{} bytes, expected at most {TEMPLATE_BYTES_MAX}",
                source.len()
            )));
        }
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(DEPTH_MAX);
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_unknown_method_callback(python_method);
        environment.add_function(
            "raise_exception",
            |why: String| -> std::result::Result<String, minijinja::Error> {
                Err(minijinja::Error::new(ErrorKind::InvalidOperation, why))
            },
        );
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|e| failed(&e))?;
        Ok(Self { environment })
    }

    fn render(&self, messages: &[(&str, &str)]) -> Result<String> {
        let message = |&(role, content): &(&str, &str)| {
            Value::from_iter([("role", role), ("content", content)])
        };
        let messages: Vec<Value> = messages.iter().map(message).collect();
        let context = Value::from_iter([
            ("messages", Value::from(messages)),
            ("add_generation_prompt", Value::from(false)),
            ("bos_token", Value::from("")),
            ("eos_token", Value::from("")),
        ]);
        let mut out = Bounded(Vec::new());
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|e| failed(&e))?;
        template
            .render_captured_to(context, &mut out)
            .map_err(|e| failed(&e))?;
        String::from_utf8(out.0).map_err(|e| failed(&e))
    }

    /// One turn alone. Templates add a default system turn where there is none, so turns of other
    /// roles are rendered behind a system turn, which is then cut off.
    pub fn turn(&self, role: &str, content: &str, bos: Option<&str>) -> Result<String> {
        let text = if role == "system" {
            self.render(&[(role, content)])?
        } else {
            let before = self.render(&[("system", SYSTEM_CONTENT)])?;
            let both = self.render(&[("system", SYSTEM_CONTENT), (role, content)])?;
            let turn = both.strip_prefix(before.as_str());
            turn.ok_or_else(|| failed(&format!("a {role} turn changes what stands before it")))?
                .to_owned()
        };
        // Some templates spell the start token out instead of asking for `bos_token`.
        let text = bos.and_then(|bos| text.strip_prefix(bos)).unwrap_or(&text);
        if text.is_empty() {
            return Err(failed(&format!("a {role} turn leaves nothing")));
        }
        Ok(text.to_owned())
    }
}

/// Refuses to grow beyond the bound.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(std::io::Error::other("the template writes too much"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Those methods of Python's `str` and `dict` that chat templates call.
fn python_method(
    _: &State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> std::result::Result<Value, minijinja::Error> {
    let unknown = || {
        minijinja::Error::new(
            ErrorKind::UnknownMethod,
            format!("{} has no method {method}", value.kind()),
        )
    };
    if method == "get" {
        let key = args.first().ok_or_else(unknown)?;
        let found = value.get_item(key)?;
        return Ok(if found.is_undefined() {
            args.get(1).cloned().unwrap_or(Value::from(()))
        } else {
            found
        });
    }
    let text = value.as_str().ok_or_else(unknown)?;
    let argument = |n: usize| args.get(n).and_then(Value::as_str);
    Ok(match (method, argument(0)) {
        ("strip", None) => Value::from(text.trim()),
        ("lstrip", None) => Value::from(text.trim_start()),
        ("rstrip", None) => Value::from(text.trim_end()),
        ("strip", Some(set)) => Value::from(text.trim_matches(|c| set.contains(c))),
        ("lstrip", Some(set)) => Value::from(text.trim_start_matches(|c| set.contains(c))),
        ("rstrip", Some(set)) => Value::from(text.trim_end_matches(|c| set.contains(c))),
        ("startswith", Some(start)) => Value::from(text.starts_with(start)),
        ("endswith", Some(end)) => Value::from(text.ends_with(end)),
        ("upper", None) => Value::from(text.to_uppercase()),
        ("lower", None) => Value::from(text.to_lowercase()),
        ("split", Some(at)) if !at.is_empty() => Value::from_iter(text.split(at)),
        ("replace", Some(old)) if !old.is_empty() => match argument(1) {
            Some(new) => Value::from(text.replace(old, new)),
            None => return Err(unknown()),
        },
        _ => return Err(unknown()),
    })
}
