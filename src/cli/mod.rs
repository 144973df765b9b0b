//! The command line: clap types and one file a verb. The only room that wires parts together, and with `report` the
//! only one that prints.

mod abort;
mod common;
mod eval;
mod inventory;
mod kinds;
mod lint;
mod plan;
mod resolve;
mod resume;
mod rollback;
mod run;
mod runs;
mod say;
mod schema;
mod temporal;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::report;

/// Upgrades stateful services on VMs and bare metal over SSH, one stage at a time.
#[derive(Debug, Parser)]
#[command(name = "refit", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    common: common::Common,
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 done · 1 refused, nothing touched · 2 a host failed · 3 failed hosts were rolled back · \
4 unknown, a decision is needed · 5 journal · 6 paused · 7 locked, or an unfinished run is in the way · \
8 --exit-changed: something would change · 130 Ctrl-C · 143 SIGTERM";

#[derive(Debug, Subcommand)]
enum Verb {
    Lint(lint::Lint),
    Preflight(plan::Preflight),
    Plan(plan::Plan),
    Run(run::RunVerb),
    Resume(resume::Resume),
    Resolve(resolve::Resolve),
    Abort(abort::Abort),
    Rollback(rollback::Rollback),
    Hold(say::Hold),
    Go(say::Go),
    Exclude(say::Exclude),
    Runs(runs::Runs),
    Inventory(inventory::InventoryVerb),
    Eval(eval::Eval),
    Schema(schema::Schema),
    Temporal(temporal::Temporal),
    Kinds(kinds::Kinds),
}

/// Verbs of the design that are not built yet.
const LATER: [&str; 9] = [
    "retry",
    "extend",
    "cancel",
    "clean",
    "watch",
    "show",
    "approve",
    "exec",
    "completions",
];

/// The program: reads the process's arguments and gives its exit code.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return wrong_usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("error: {error}"));
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(dispatch(arguments));
    // What a blocked read holds (a prompt, a slow probe) must not hold the process.
    runtime.shutdown_background();
    ExitCode::from(code)
}

async fn dispatch(arguments: Arguments) -> u8 {
    let common = arguments.common;
    match arguments.verb {
        Verb::Lint(verb) => lint::lint(&common, verb).await,
        Verb::Preflight(verb) => plan::preflight(&common, verb).await,
        Verb::Plan(verb) => plan::plan(&common, verb).await,
        Verb::Run(verb) => run::run(&common, verb).await,
        Verb::Resume(verb) => resume::resume(&common, verb).await,
        Verb::Resolve(verb) => resolve::resolve(&common, verb).await,
        Verb::Abort(verb) => abort::abort(&common, verb).await,
        Verb::Rollback(verb) => rollback::rollback(&common, verb).await,
        Verb::Hold(verb) => say::hold(&common, verb).await,
        Verb::Go(verb) => say::go(&common, verb).await,
        Verb::Exclude(verb) => say::exclude(&common, verb).await,
        Verb::Runs(verb) => runs::runs(&common, verb).await,
        Verb::Inventory(verb) => inventory::inventory(verb),
        Verb::Eval(verb) => eval::eval(verb),
        Verb::Schema(verb) => schema::schema(&common, verb).await,
        Verb::Temporal(verb) => temporal::temporal(&common, verb).await,
        Verb::Kinds(verb) => kinds::kinds(verb),
    }
}

/// Wrong usage exits 1; help and version exit 0.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    if error.kind() == ErrorKind::InvalidSubcommand
        && let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
        && LATER.contains(&word.as_str())
    {
        complain(&format!("error: `refit {word}` is known, not built yet"));
        return ExitCode::from(1);
    }
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(1),
    }
}

/// Prints to stdout; a reader that went away is no error.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
}

/// Prints to stdout what may hold text of hosts or files: nothing in it controls the terminal.
fn tell(text: &str) {
    text.split('\n').for_each(|line| say(&report::one_line(line)));
}

/// Prints to stderr.
fn complain(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{text}");
}
