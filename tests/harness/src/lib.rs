//! The real parts that tests and the demo run against, started and stopped
//! from Rust: a Kubernetes control plane, Helm, SCIM servers, the operator
//! itself, and a proxy that records what the operator says to a backend.
//!
//! Nothing here stands in for a part of Kubernetes. What the pinned control
//! plane lacks is the controller manager: namespaces are marked as terminating
//! but never go away, and owner references collect nothing.

pub mod bench;
pub mod certs;
pub mod collector;
mod components;
pub mod controlplane;
pub mod crash_points;
pub mod gitops;
pub mod judge;
pub mod operator;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod scratch;
pub mod servers;
pub mod tls;
pub mod tools;
pub mod wait;

pub use collector::Collector;
pub use controlplane::ControlPlane;
pub use operator::Operator;
pub use prometheus::Prometheus;
pub use proxy::RecordingProxy;
pub use tls::TlsFront;
