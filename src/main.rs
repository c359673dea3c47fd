//! Entry point: parse, call the verb, turn an error into words on stderr and an exit code.

fn main() -> std::process::ExitCode {
    proact::cli::main()
}
