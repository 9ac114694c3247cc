//! The operator's entry: the TLS provider, then the composition root.
#![forbid(unsafe_code)]

use clap::Parser;
use scim_operator::app::{Arguments, start};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // First thing: rustls refuses to guess between providers once two are linked in.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| "a TLS provider is installed already")?;
    start(Arguments::parse()).await
}
