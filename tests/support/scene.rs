//! The stage of most stories: an operator, the simulator CybSafe, and a proxy between them.

use anyhow::Result;
use scim_operator_harness::RecordingProxy;
use scim_sim::{BulkLimits, SimConfig, Simulator};
use serde_json::Value;

use super::{OPERATOR_BINDS, Rig, TOKEN};

/// The simulator CybSafe behind the proxy, and an operator.
pub struct Scene {
    pub rig: Rig,
    pub simulator: Simulator,
    pub proxy: RecordingProxy,
}

/// A simulator of its own.
pub async fn simulator() -> Result<Simulator> {
    Ok(Simulator::start(SimConfig {
        tokens: vec![TOKEN.into()],
        ..SimConfig::default()
    })
    .await?)
}

/// Everything but the connection.
pub async fn stage() -> Result<Scene> {
    stage_with(&[]).await
}

/// The same, with these variables of the operator.
pub async fn stage_with(variables: &[(&str, String)]) -> Result<Scene> {
    stage_by(&[], variables).await
}

/// The same, with these values of the chart as well.
pub async fn stage_by(values: &[&str], variables: &[(&str, String)]) -> Result<Scene> {
    let rig = Rig::start_by(values, variables).await?;
    let simulator = simulator().await?;
    let proxy = RecordingProxy::start(&simulator.base_url()).await?;
    rig.set_token(TOKEN).await?;
    Ok(Scene {
        rig,
        simulator,
        proxy,
    })
}

/// Everything but the connection, where the simulator offers Bulk within these limits, if at all. The operator
/// sets the finalizers itself, so that they show with whom it has begun.
pub async fn stage_offering(limits: Option<BulkLimits>) -> Result<Scene> {
    let scene = stage_by(&[OPERATOR_BINDS], &[]).await?;
    scene.simulator.dialect().update(|d| d.bulk = limits);
    Ok(scene)
}

/// With a connection that works; `extra` is merged into its spec.
pub async fn scene(extra: Value) -> Result<Scene> {
    let scene = stage().await?;
    scene.connect(extra).await?;
    Ok(scene)
}

impl Scene {
    /// Declares the connection, and waits until it works.
    pub async fn connect(&self, extra: Value) -> Result<()> {
        self.rig.connect(&self.proxy.url(), extra).await?;
        self.rig.connection_is("Ready", "True", "Connected").await?;
        Ok(())
    }
}
