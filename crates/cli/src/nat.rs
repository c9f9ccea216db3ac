//! `taut nat`: what is between this host and a STUN server.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;
use taut::{IceServer, NatBehavior, NatDependence, discover_nat};

/// What `taut nat` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct NatArguments {
    /// The server, such as stun:stun.example.org; one with two addresses (RFC 5780), as `taut turn-server --alternate`, can tell everything
    #[arg(value_name = "URL", value_parser = parse)]
    server: IceServer,

    /// Print one JSON object, and nothing else
    #[arg(long)]
    json: bool,
}

fn parse(url: &str) -> Result<IceServer, String> {
    IceServer::parse(url).map_err(|error| error.to_string())
}

/// The field names are the keys of the JSON object; what the server could not tell is `null`.
#[derive(Debug, Serialize)]
struct Report {
    local: String,
    mapped: String,
    translated: bool,
    mapping: Option<String>,
    filtering: Option<String>,
    summary: &'static str,
}

impl Report {
    fn new(behavior: &NatBehavior) -> Self {
        let text = |dependence: NatDependence| dependence.to_string();
        Self {
            local: behavior.local.to_string(),
            mapped: behavior.mapped.to_string(),
            translated: behavior.is_translated(),
            mapping: behavior.mapping.map(text),
            filtering: behavior.filtering.map(text),
            summary: summary(behavior),
        }
    }

    fn to_text(&self) -> String {
        let unknown = "unknown: the server has no second address that works (RFC 5780)";
        let mut text = String::new();
        for (name, value) in [
            ("local", self.local.as_str()),
            ("outside", &self.mapped),
            ("mapping", self.mapping.as_deref().unwrap_or(unknown)),
            ("filtering", self.filtering.as_deref().unwrap_or(unknown)),
        ] {
            let _ = writeln!(text, "{name:<10} {value}");
        }
        text + self.summary + "\n"
    }
}

/// What it means for calls.
fn summary(behavior: &NatBehavior) -> &'static str {
    use NatDependence::EndpointIndependent;
    match (behavior.is_translated(), behavior.mapping, behavior.filtering) {
        (false, _, Some(EndpointIndependent)) => {
            "No translator and no filter: everybody can connect directly."
        }
        (false, _, _) => "No translator: direct connections work with all whom this host sends to first.",
        (true, Some(EndpointIndependent), _) => {
            "A translator that keeps its mappings: direct connections work with most peers."
        }
        (true, Some(_), _) => {
            "A translator that maps anew for every peer: with many peers a call needs a TURN server."
        }
        (true, None, _) => "A translator, of which the server cannot tell more.",
    }
}

/// Asks, and gives what is to be printed.
pub(crate) async fn run(arguments: &NatArguments) -> Result<String, taut::Error> {
    let report = Report::new(&discover_nat(&arguments.server).await?);
    Ok(if arguments.json {
        // A report of strings and booleans can always be written.
        serde_json::to_string(&report).unwrap_or_default() + "\n"
    } else {
        report.to_text()
    })
}
