//! The `provost` binary: see [`provost::cli`].

fn main() -> std::process::ExitCode {
    provost::cli::main()
}
