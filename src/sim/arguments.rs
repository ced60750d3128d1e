//! The arguments of `bailiwick sim`. Reading files and printing is the program's work; see [`Arguments::options`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::faults::Fault;
use super::server::Options;

/// Serve a simulated Proxmox VE cluster over TLS.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// World file (YAML) that describes the cluster.
    #[arg(long, value_name = "FILE")]
    pub world: PathBuf,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Secret of an API token; repeatable.
    #[arg(long = "secret", value_name = "TOKENID=UUID", value_parser = secret)]
    pub secrets: Vec<(String, String)>,
    /// Something to go wrong, such as 'status=595 timeout;method=POST;path=/nodes/**'; repeatable.
    #[arg(long = "fault", value_name = "SPEC", value_parser = Fault::parse)]
    pub faults: Vec<Fault>,
    /// Simulated seconds in a real one.
    #[arg(long, value_name = "N", default_value_t = Options::DEFAULT_SCALE, value_parser = scale)]
    pub time_scale: f64,
    /// Write each request to this file as a line of JSON.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

impl Arguments {
    /// Options for [`super::start`], with the text of the world file.
    #[must_use]
    pub fn options(self, world: String) -> Options {
        let Self {
            world: _,
            listen,
            secrets,
            faults,
            time_scale,
            log,
        } = self;
        Options {
            world,
            listen,
            secrets: BTreeMap::from_iter(secrets),
            faults,
            scale: time_scale,
            log,
        }
    }
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(scale) if (0.001..=1e6).contains(&scale) => Ok(scale),
        _ => Err("expected a number from 0.001 to 1000000".to_owned()),
    }
}

fn secret(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((id, secret)) if id.contains('@') && id.contains('!') && !secret.is_empty() => {
            Ok((id.to_owned(), secret.to_owned()))
        }
        _ => Err("expected user@realm!token=SECRET".to_owned()),
    }
}
