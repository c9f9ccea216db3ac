//! The `taut` binary: a local call that measures itself, a live demo for the browser, a look at the NAT, and a TURN server.

mod args;
mod call;
mod clip;
mod ice_servers;
mod nat;
mod report;
mod serve;
mod turn;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use args::{Arguments, CallArguments, Command};

/// What ends the program with a message and a status other than 0.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot start: {0}")]
    Start(io::Error),
    #[error("the local call failed: {0}")]
    Call(#[from] call::Error),
    #[error("the local call is not clean: {0}")]
    Lost(String),
    #[error(transparent)]
    Serve(#[from] serve::Error),
    #[error("nothing is known of the network: {0}")]
    Nat(#[from] taut::Error),
    #[error(transparent)]
    Turn(#[from] turn::Error),
}

fn main() -> ExitCode {
    let arguments = Arguments::from_command_line();
    // Quiet unless RUST_LOG asks for more, as in RUST_LOG=taut=debug.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    let ansi = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi).init();

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Start);
    match runtime.and_then(|runtime| runtime.block_on(run(arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Error> {
    match arguments.command {
        Some(Command::Call(call)) => local_call(call).await,
        Some(Command::Nat(nat)) => {
            print(&nat::run(&nat).await?);
            Ok(())
        }
        Some(Command::TurnServer(turn)) => Ok(turn::run(turn).await?),
        Some(Command::Serve(serve)) => Ok(serve::run(serve::bind(&serve.listen).await?, &serve).await?),
        None => {
            // The port first: who cannot have it need not wait for the call to be told.
            let listener = serve::bind(&arguments.serve.listen).await?;
            if let Err(error) = local_call(CallArguments::before(&arguments.serve)).await {
                complain(&error);
            }
            print("\n");
            Ok(serve::run(listener, &arguments.serve).await?)
        }
    }
}

/// Makes the local call and prints what came of it, also of a call that failed on its way.
async fn local_call(arguments: CallArguments) -> Result<(), Error> {
    if !arguments.json {
        print("Local call: pc1 calls pc2 over the loopback interface, with video, audio and data channels\n");
    }
    let (report, ended) = call::run(arguments.seconds, arguments.dtls.configuration(), !arguments.json).await;
    print(&if arguments.json { format!("{}\n", report.to_json()) } else { report.to_string() });
    ended?;
    match report.losses() {
        Some(losses) => Err(Error::Lost(losses)),
        None => Ok(()),
    }
}

/// Prints to the standard output. A reader that has gone away is no reason to fail.
fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Says what is wrong, in one line.
fn complain(error: &dyn Display) {
    let _ = writeln!(io::stderr(), "taut: {error}");
}
