//! The operator's entry: the TLS provider, then the composition root.
#![forbid(unsafe_code)]

use clap::Parser;
use scim_operator::app::{Arguments, start};

/// Gives back what is not used any more, by a thread of its own.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // First thing: rustls refuses to guess between providers once two are linked in.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| "a TLS provider is installed already")?;
    start(Arguments::parse()).await
}
