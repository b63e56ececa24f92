//! The Jinja that chat templates are written in: what the reference implementation's environment
//! offers them, on a budget.

use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};

/// The template's name within its environment.
pub(super) const NAME: &str = "chat_template";

/// Deepest nesting of calls and blocks; real templates stay below 20.
const RECURSION_MAX: usize = 100;

/// What one unit of fuel pays for; minijinja's rate.
const BYTES_PER_FUEL: u64 = 64;

/// Fuel of any conversation, and of each message: the first ones may be looked at by all others.
const FUEL: usize = 100_000;
const FUEL_PER_MESSAGE: usize = 1_000;
const N_FIRST: usize = 1_000;
const FUEL_PER_LATER_MESSAGE: usize = 100;

const STACK_BYTES_MIN: usize = 1 << 20;

/// More is not asked of the system, which need not have it.
const STACK_BYTES_MAX: usize = 16 << 30;

/// Wrapping a value once more takes two units, printing each layer some 1,100 bytes of stack in an
/// unoptimised build; four times what that needs.
const STACK_BYTES_PER_FUEL: usize = 2048;

/// Reads a template.
pub(super) fn environment(source: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_unknown_method_callback(python_method);
    environment.set_formatter(print_bounded);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", to_json);
    environment.add_template_owned(NAME, source.to_owned())?;
    Ok(environment)
}

/// Renders a template on a budget for a conversation: one unit of fuel for each step, and one for
/// each 64 bytes of memory. A message takes some dozens of steps, and templates copy a text a few
/// times on its way.
///
/// Values may nest as deep as there is fuel to wrap them, and printing or dropping them recurses:
/// hence a stack of its own, which the fuel cannot exhaust. What is not used of it takes no memory.
pub(super) fn render(
    environment: &Environment<'static>,
    n_messages: usize,
    n_bytes: usize,
    context: Value,
) -> Result<String, Error> {
    let n_first = n_messages.min(N_FIRST);
    let for_messages = FUEL_PER_MESSAGE * n_first + FUEL_PER_LATER_MESSAGE * (n_messages - n_first);
    let fuel = FUEL + for_messages + n_bytes / 4;
    let n_stack_bytes = STACK_BYTES_MIN + fuel * STACK_BYTES_PER_FUEL;
    if n_stack_bytes > STACK_BYTES_MAX {
        let problem = "the conversation is too long for its template";
        return Err(Error::new(ErrorKind::OutOfFuel, problem));
    }
    let mut environment = environment.clone();
    environment.set_fuel(Some(fuel as u64));
    let work = || environment.get_template(NAME)?.render(context);
    // It panics where the system has no room for the stack, too.
    catch_unwind(AssertUnwindSafe(|| stacker::grow(n_stack_bytes, work))).unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::InvalidOperation, "the template engine panicked"))
    })
}

/// Prints a value. The engine charges for what was printed only afterwards, and a few lists that hold
/// each other twice print without end: containers are written on the budget that is left.
fn print_bounded(out: &mut Output<'_>, state: &mut State, value: &Value) -> Result<(), Error> {
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
        return minijinja::escape_formatter(out, state, value);
    }
    let mut text = Bounded::by_fuel(state);
    write!(text, "{value}").map_err(|error| {
        Error::new(ErrorKind::OutOfFuel, "cannot print a value").with_source(error)
    })?;
    out.write_str(&String::from_utf8_lossy(&text.bytes)).map_err(Error::from)
}

/// Python's methods on strings and maps, paid for before they are carried out: what they return
/// may be far larger than what they are given.
fn python_method(
    state: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        let n_bytes = match (method, args) {
            ("replace", [old, new, ..]) => {
                let (old, new) = (old.as_str().unwrap_or("\0"), new.as_str().unwrap_or_default());
                text.len() + text.matches(old).count().saturating_mul(new.len())
            }
            ("join", [parts]) => {
                let mut n_bytes = 0;
                for part in parts.try_iter()? {
                    let Some(part) = part.as_str() else {
                        let problem = format!("join needs strings, not a {}", part.kind());
                        return Err(Error::new(ErrorKind::InvalidOperation, problem));
                    };
                    n_bytes += part.len() + text.len();
                }
                n_bytes
            }
            // Its widths and precisions are not worth the risk: no chat template uses it.
            ("format", _) => return Err(Error::from(ErrorKind::UnknownMethod)),
            _ => text.len(),
        };
        state.consume_fuel(n_bytes as u64 / BYTES_PER_FUEL)?;
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
}

fn strftime_now(format: &str) -> Result<String, Error> {
    // Formats may ask for absurd padding; dates are short.
    if format.len() > 100 {
        return Err(Error::new(ErrorKind::InvalidOperation, "the date format is too long"));
    }
    jiff::fmt::strtime::format(format, &jiff::Zoned::now()).map_err(|error| {
        Error::new(ErrorKind::InvalidOperation, format!("bad date format {format:?}: {error}"))
    })
}

/// Python's `json.dumps` rather than the HTML-safe form that web templates want.
#[expect(clippy::needless_pass_by_value, reason = "the shape of a filter")]
fn to_json(state: &State, value: &Value, options: Kwargs) -> Result<String, Error> {
    // What else templates pass (`ensure_ascii=false`) is what happens anyway.
    let indent: Option<usize> = options.get("indent")?;
    let mut out = Bounded::by_fuel(state);
    let written = match indent {
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, OneLine)),
        Some(n) => {
            let spaces = " ".repeat(n.min(16));
            let pretty = PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, pretty))
        }
    };
    written.map_err(|error| {
        Error::new(ErrorKind::BadSerialization, "cannot write as JSON").with_source(error)
    })?;
    String::from_utf8(out.bytes)
        .map_err(|_| Error::new(ErrorKind::BadSerialization, "JSON is not UTF-8"))
}

/// Takes as many bytes as the fuel that is left pays for.
struct Bounded {
    bytes: Vec<u8>,
    n_left: u64,
}

impl Bounded {
    fn by_fuel(state: &State) -> Self {
        let fuel_left = state.fuel_levels().map_or(0, |(_, left)| left);
        Self { bytes: Vec::new(), n_left: fuel_left.saturating_mul(BYTES_PER_FUEL) }
    }
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.n_left.checked_sub(bytes.len() as u64) {
            Some(n_left) => self.n_left = n_left,
            None => return Err(io::Error::other("it is too large")),
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Python puts a space after commas and colons.
struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
