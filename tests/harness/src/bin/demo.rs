//! `make demo`: the operator's main job, narrated. Every command is the real one, and what follows it
//! is its real output. It ends with an error when a step does not come true, and cleans up.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use scim_operator_harness::operator::Options;
use scim_operator_harness::servers::ThirdParty;
use scim_operator_harness::wait::eventually;
use scim_operator_harness::{ControlPlane, Operator};
use serde_json::{Value, json};

const NAMESPACE: &str = "identity";
const FIRST_TOKEN: &str = "demo-token-one";
const SECOND_TOKEN: &str = "demo-token-two";
const DEADLINE: Duration = Duration::from_secs(60);
const READY: &str = "--for=condition=Ready";

struct Demo {
    plane: ControlPlane,
    http: reqwest::Client,
    admin: String,
    steps: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::current_exe()?
        .parent()
        .map(PathBuf::from)
        .context("the demo has no folder")?;
    println!("A person declared in Kubernetes is provisioned in a SCIM backend.\n");
    let plane = ControlPlane::start().await?;
    let simulator = ThirdParty::simulator(&folder.join("scim-sim"), FIRST_TOKEN).await?;
    let base = simulator.base_url().to_owned();
    let admin = format!("{}_sim", base.split("scim/v2").next().unwrap_or(&base));
    let mut demo = Demo {
        plane,
        http: reqwest::Client::new(),
        admin,
        steps: 0,
    };
    let mut operator = demo.install(&folder).await?;
    let result = demo.tell(&base).await;
    if result.is_err() {
        let log = operator.log();
        let last: Vec<&str> = log.lines().rev().take(15).collect();
        println!(
            "\nThe operator's last words:\n{}",
            last.into_iter().rev().collect::<Vec<_>>().join("\n")
        );
    }
    operator.terminate(DEADLINE).await?;
    result?;
    println!("\nDone. Everything that was started is stopped.");
    Ok(())
}

impl Demo {
    fn step(&mut self, what: &str) {
        self.steps += 1;
        println!("\n{}. {what}", self.steps);
    }

    async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        println!("$ kubectl {}", arguments.join(" "));
        let text = self.plane.kubectl(arguments).await?;
        println!("{}", text.trim_end());
        Ok(text)
    }

    async fn install(&mut self, folder: &std::path::Path) -> Result<Operator> {
        self.step("A real API server is up. Helm installs the chart: CRDs, rights, Deployment.");
        self.plane.create_namespace(NAMESPACE).await?;
        let access = format!(r#"secretAccess=[{{"namespace":"{NAMESPACE}"}}]"#);
        println!(
            "$ helm install scim-operator charts/scim-operator -n scim-system --create-namespace --set-json '{access}'"
        );
        let arguments = [
            "install",
            "scim-operator",
            "charts/scim-operator",
            "-n",
            "scim-system",
            "--create-namespace",
            "--set-json",
            &access,
        ];
        println!("{}", self.plane.helm(&arguments).await?.trim_end());
        self.step("There is no kubelet here, so the operator runs as a process, under the chart's ServiceAccount.");
        let kubeconfig = self
            .plane
            .service_account_kubeconfig("scim-system", "scim-operator")
            .await?;
        let mut operator =
            Operator::start(&Options::new(folder.join("scim-operator"), &kubeconfig))?;
        operator.await_ready(DEADLINE).await?;
        Ok(operator)
    }

    async fn tell(&mut self, base: &str) -> Result<()> {
        self.step("A token, a connection, and four people: one with a manager, one who left, one invalid.");
        self.token(FIRST_TOKEN).await?;
        let connection = json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimConnection", "metadata": {"name": "cybsafe", "namespace": NAMESPACE},
            "spec": {"endpoint": base, "insecure": true, "tokenSecretRef": {"name": "cybsafe-scim"}, "profile": "CybSafe"}
        });
        self.plane
            .kubectl_with_input(&["apply", "-f", "-"], &connection.to_string())
            .await?;
        self.kubectl(&["apply", "-n", NAMESPACE, "-f", "examples/demo"])
            .await?;
        let ready = [
            "wait",
            "-n",
            NAMESPACE,
            READY,
            "--timeout=60s",
            "scimconnection/cybsafe",
            "scimuser/ada",
            "scimuser/grace",
            "scimuser/alan",
        ];
        self.kubectl(&ready).await?;
        self.kubectl(&[
            "wait",
            "-n",
            NAMESPACE,
            "--for=condition=Valid=False",
            "--timeout=60s",
            "scimuser/eve",
        ])
        .await?;
        eventually("the counts to be up to date", DEADLINE, async || {
            let users = self
                .plane
                .kubectl(&[
                    "get",
                    "scimconnection",
                    "cybsafe",
                    "-n",
                    NAMESPACE,
                    "-o",
                    "jsonpath={.status.users}",
                ])
                .await?;
            let users: Value = serde_json::from_str(&users)?;
            Ok((users["provisioned"] == 3 && users["invalid"] == 1).then_some(()))
        })
        .await?;

        self.step("What a person looks at.");
        self.kubectl(&["get", "scimconnections,scimusers", "-n", NAMESPACE])
            .await?;
        self.backend_view("The backend's own view").await?;

        self.step("Why is eve not Ready? Every broken rule at once, by field; the backend never heard of her.");
        self.kubectl(&[
            "get",
            "scimuser",
            "eve",
            "-n",
            NAMESPACE,
            "-o",
            r#"jsonpath={.status.conditions[?(@.type=="Valid")].message}"#,
        ])
        .await?;
        let described = self
            .plane
            .kubectl(&["describe", "scimuser", "eve", "-n", NAMESPACE])
            .await?;
        println!("$ kubectl describe scimuser eve -n {NAMESPACE} | sed -n '/^Status/,$p'");
        println!(
            "{}",
            described
                .split_once("\nStatus:")
                .map_or("", |(_, status)| status)
                .trim_end()
        );

        self.step("She is fixed in Git, and recovers without a restart.");
        let fix = r#"{"spec":{"name":{"familyName":"Sample"},"addresses":[{"type":"work","country":"GB"}],"preferredLanguage":"en-GB"}}"#;
        self.kubectl(&[
            "patch",
            "scimuser",
            "eve",
            "-n",
            NAMESPACE,
            "--type=merge",
            "-p",
            fix,
        ])
        .await?;
        self.kubectl(&[
            "wait",
            "-n",
            NAMESPACE,
            READY,
            "--timeout=60s",
            "scimuser/eve",
        ])
        .await?;

        self.drift().await?;
        self.rotation().await?;

        self.step("grace's resource is deleted: by default her account is archived, not deleted.");
        self.kubectl(&[
            "delete",
            "scimuser",
            "grace",
            "-n",
            NAMESPACE,
            "--timeout=60s",
        ])
        .await?;
        let grace = self.account("grace@example.com").await?;
        ensure!(grace["active"] == false, "grace is still active");
        self.backend_view("The backend's own view").await
    }

    async fn drift(&mut self) -> Result<()> {
        self.step("Somebody edits ada at the backend, behind the operator's back; the next sync puts it right.");
        let ada = self.account("ada@example.com").await?;
        let id = ada["id"].as_str().context("ada has no id")?;
        self.http
            .patch(format!("{}/users/{id}", self.admin))
            .json(&json!({"name": {"familyName": "Byron"}}))
            .send()
            .await?
            .error_for_status()?;
        self.backend_view("After the outside edit").await?;
        let asked = "reconcile.fluxcd.io/requestedAt=now";
        self.kubectl(&[
            "annotate",
            "scimconnection",
            "cybsafe",
            "-n",
            NAMESPACE,
            asked,
            "--overwrite",
        ])
        .await?;
        let corrected =
            r#"--for=jsonpath={.status.conditions[?(@.type=="Synced")].reason}=DriftCorrected"#;
        self.kubectl(&[
            "wait",
            "-n",
            NAMESPACE,
            corrected,
            "--timeout=60s",
            "scimuser/ada",
        ])
        .await?;
        ensure!(
            self.account("ada@example.com").await?["name"]["familyName"] == "Lovelace",
            "the drift was not repaired"
        );
        self.backend_view("After the repair").await?;
        self.kubectl(&[
            "get",
            "events",
            "-n",
            NAMESPACE,
            "--field-selector",
            "reason=DriftCorrected",
        ])
        .await
        .map(|_| ())
    }

    async fn rotation(&mut self) -> Result<()> {
        self.step("The token is rotated at the backend: the connection says so, then takes the new Secret at once.");
        self.http
            .put(format!("{}/token", self.admin))
            .json(&json!({"token": SECOND_TOKEN}))
            .send()
            .await?
            .error_for_status()?;
        self.plane
            .kubectl(&[
                "annotate",
                "scimconnection",
                "cybsafe",
                "-n",
                NAMESPACE,
                "reconcile.fluxcd.io/requestedAt=later",
                "--overwrite",
            ])
            .await?;
        self.kubectl(&[
            "wait",
            "-n",
            NAMESPACE,
            "--for=condition=Authenticated=False",
            "--timeout=60s",
            "scimconnection/cybsafe",
        ])
        .await?;
        self.kubectl(&["get", "scimconnections,scimusers", "-n", NAMESPACE])
            .await?;
        self.token(SECOND_TOKEN).await?;
        let before = std::time::Instant::now();
        self.kubectl(&[
            "wait",
            "-n",
            NAMESPACE,
            READY,
            "--timeout=60s",
            "scimconnection/cybsafe",
        ])
        .await?;
        println!(
            "(Ready again {} ms after the Secret changed)",
            before.elapsed().as_millis()
        );
        Ok(())
    }

    async fn token(&self, token: &str) -> Result<()> {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cybsafe-scim", "namespace": NAMESPACE}, "stringData": {"token": token}});
        self.plane
            .kubectl_with_input(&["apply", "-f", "-"], &secret.to_string())
            .await
            .map(|_| ())
    }

    async fn accounts(&self) -> Result<Vec<Value>> {
        let reply: Value = self
            .http
            .get(format!("{}/users", self.admin))
            .send()
            .await?
            .json()
            .await?;
        let list = reply.as_array().or_else(|| reply["Resources"].as_array());
        list.cloned()
            .context("the simulator did not list its users")
    }

    async fn account(&self, user_name: &str) -> Result<Value> {
        match self
            .accounts()
            .await?
            .into_iter()
            .find(|a| a["userName"] == user_name)
        {
            Some(account) => Ok(account),
            None => bail!("the backend has no {user_name}"),
        }
    }

    async fn backend_view(&self, title: &str) -> Result<()> {
        println!("\n{title}:");
        println!(
            "{:<20} {:<8} {:<20} {:<10} LANGUAGE",
            "USERNAME", "ACTIVE", "NAME", "COUNTRY"
        );
        for a in self.accounts().await? {
            let name = format!(
                "{} {}",
                text(&a["name"]["givenName"]),
                text(&a["name"]["familyName"])
            );
            let country = text(&a["addresses"][0]["country"]);
            println!(
                "{:<20} {:<8} {:<20} {:<10} {}",
                text(&a["userName"]),
                a["active"].to_string(),
                name,
                country,
                text(&a["preferredLanguage"])
            );
        }
        Ok(())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}
