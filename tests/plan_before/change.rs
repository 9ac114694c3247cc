//! A change of what is declared, in two folders, and a simulator; there is no cluster.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use scim_operator_harness::scratch::Scratch;
use scim_sim::{Faults, Simulator};
use serde_json::{Value, json};

use super::GROUP;
use crate::support::plugin::{self, told};
use crate::support::scene::simulator;
use crate::support::{NAMESPACE, TOKEN, merge};

/// What is declared on either side of a change, and the backend.
pub struct Change {
    scratch: Scratch,
    pub simulator: Simulator,
}

impl Change {
    /// With a connection to a backend of these faults.
    pub async fn new(faults: Faults) -> Result<Self> {
        let scratch = Scratch::create()?;
        for side in ["before", "after"] {
            std::fs::create_dir(scratch.join(side))?;
        }
        let simulator = simulator().await?;
        simulator.faults().update(|now| *now = faults);
        let change = Self { scratch, simulator };
        change.connection("scim", json!({}))?;
        Ok(change)
    }

    /// The folder of one side.
    pub fn side(&self, side: &str) -> PathBuf {
        self.scratch.join(side)
    }

    /// Declares an object on these sides.
    pub fn write(&self, sides: &[&str], manifest: &Value) -> Result<()> {
        let text = |pointer| {
            manifest
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let file = format!("{}-{}.json", text("/kind"), text("/metadata/name"));
        for side in sides {
            std::fs::write(self.side(side).join(&file), manifest.to_string())?;
        }
        Ok(())
    }

    /// A connection, on both sides.
    pub fn connection(&self, name: &str, spec: Value) -> Result<()> {
        self.connection_on(&["before", "after"], name, spec)
    }

    /// On these, with more in its spec.
    pub fn connection_on(&self, sides: &[&str], name: &str, extra: Value) -> Result<()> {
        let mut spec = json!({"endpoint": self.simulator.base_url(), "insecure": true, "profile": "RFC7643",
            "tokenSecretRef": {"name": name}});
        merge(&mut spec, extra);
        self.write(
            sides,
            &json!({"apiVersion": GROUP, "kind": "ScimConnection",
            "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}),
        )
    }

    /// Somebody who is declared on these sides.
    pub fn person(&self, sides: &[&str], name: &str, extra: Value) -> Result<()> {
        let spec = json!({"connectionRef": {"name": "scim"}, "userName": format!("{name}@example.com"),
            "externalId": format!("hr-{name}"), "name": {"givenName": name, "familyName": "B"}});
        let mut manifest = json!({"apiVersion": GROUP, "kind": "ScimUser",
            "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec});
        merge(&mut manifest, extra);
        self.write(sides, &manifest)
    }

    /// Somebody who has an account.
    pub fn account(&self, name: &str) -> String {
        self.simulator.insert_user(
            json!({"userName": format!("{name}@example.com"), "active": true,
            "externalId": format!("hr-{name}"), "name": {"givenName": name, "familyName": "B"}}),
        )
    }

    /// Plans, as a pipeline would.
    pub fn run(&self, more: &[&str]) -> Result<Output> {
        let (before, after) = (self.side("before"), self.side("after"));
        let origin = self.simulator.base_url();
        let arguments = [
            "plan",
            after.to_str().unwrap(),
            "--without-cluster",
            "--before",
            before.to_str().unwrap(),
            "--origin",
            &origin,
        ];
        let all = [&arguments, more].concat();
        plugin::scim(Path::new("/nowhere"), &all, &[("SCIM_TOKEN", TOKEN)])
    }

    /// The plan, its notes, and the exit code.
    pub fn plan(&self) -> Result<(Value, String, i32)> {
        let output = self.run(&["-o", "json"])?;
        let mut found: Value =
            serde_json::from_slice(&output.stdout).with_context(|| told(&output))?;
        let code = output.status.code().unwrap_or(-1);
        let writes = self
            .simulator
            .requests()
            .iter()
            .filter(|r| r.method != "GET")
            .count();
        ensure!(writes == 0, "it wrote");
        Ok((
            found["connections"][0].take(),
            found["notes"].to_string(),
            code,
        ))
    }
}
