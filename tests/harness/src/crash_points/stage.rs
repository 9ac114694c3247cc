//! What one run is played on: an operator between two fronts, a fresh backend with strangers in it, an
//! empty namespace; and the doing and waiting of the steps.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use kube::{
    ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use scim_sim::{SimConfig, Simulator};
use serde_json::{Value, json};

use super::{
    front::{Behind, Front},
    journal::{Journal, Mode, Side},
    lane::{Lane, NAMESPACE},
    scenario::{Act, CONNECTION, GROUP, SCIM, Scenario, Step, TOKEN, USER, Until, merge},
    strangers,
    victim::Victim,
};
use crate::{operator::Options, proxy::fingerprint, wait};

/// The longest that anything may take. After a crash a lost watch or a first backoff costs a second.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing may be asked before the operator counts as at rest. Its longest habit of gathering
/// before it writes is half a second, for the counts of a connection.
pub const SILENCE: Duration = Duration::from_millis(700);
/// The same between two steps, where it only serves to make runs alike.
const BREATH: Duration = Duration::from_millis(60);
const SECRET: &str = "scim";

/// A spec as it was declared at one generation.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The kind.
    pub kind: &'static str,
    /// The name.
    pub name: &'static str,
    /// The generation.
    pub generation: i64,
    /// The uid: one made anew is another.
    pub uid: String,
    /// The spec.
    pub spec: Value,
    /// Whether it has been deleted since.
    pub deleted: bool,
}

/// The stage of one run.
pub struct Stage<'a> {
    /// What it is built on.
    pub lane: &'a Lane,
    /// What is played.
    pub scenario: &'a Scenario,
    /// Everything that was asked.
    pub journal: Arc<Journal>,
    /// The backend.
    pub simulator: Arc<Simulator>,
    /// The operator.
    pub victim: Arc<Victim>,
    /// What strangers had before the operator started.
    pub strangers: strangers::Strangers,
    declared: Mutex<Vec<Declared>>,
    // Held for as long as the operator may ask something.
    _fronts: [Front; 2],
}

impl<'a> Stage<'a> {
    /// Builds it, and starts the operator.
    pub async fn set(
        lane: &'a Lane,
        scenario: &'a Scenario,
        order: Option<(usize, Mode)>,
    ) -> Result<Stage<'a>> {
        lane.wipe().await?;
        let simulator = Simulator::start(SimConfig {
            tokens: vec![TOKEN.to_owned()],
            ..SimConfig::default()
        });
        let simulator = Arc::new(simulator.await?);
        let strangers = strangers::Strangers::move_in(&simulator);
        (scenario.backend)(&simulator);
        let journal = Arc::new(Journal::new(order));
        let slot: Arc<Mutex<Option<Arc<Victim>>>> = Arc::default();
        let struck = slot.clone();
        let strike = Arc::new(move || {
            let victim = struck
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            if let Some(victim) = victim {
                victim.strike();
            }
        });
        let seen = simulator.clone();
        let kubernetes = Behind {
            side: Side::Kubernetes,
            upstream: lane.server.clone(),
            client: lane.upstream.clone(),
            journal: journal.clone(),
            strike: strike.clone(),
            witness: Arc::new(move |head, body| witness(&seen, head.uri.path(), body)),
        };
        let kubernetes = Front::start(kubernetes, Some(lane.tls.clone())).await?;
        let backend = Behind {
            side: Side::Backend,
            upstream: simulator.base_url().trim_end_matches('/').to_owned(),
            client: lane.upstream.clone(),
            journal: journal.clone(),
            strike,
            witness: Arc::new(|_, _| None),
        };
        let backend = Front::start(backend, None).await?;
        let kubeconfig = lane.kubeconfig(&kubernetes.authority())?;
        let options =
            Options::new(&lane.binary, kubeconfig).variable("RUST_LOG", "info,scim_operator=debug");
        let victim = Arc::new(Victim::new(options));
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(victim.clone());
        let stage = Stage {
            lane,
            scenario,
            journal,
            simulator,
            victim,
            strangers,
            declared: Mutex::default(),
            _fronts: [kubernetes, backend],
        };
        stage.keep_token(TOKEN).await?;
        stage.connect(&stage._fronts[1].authority()).await?;
        stage.victim.start()?;
        Ok(stage)
    }

    async fn connect(&self, backend: &str) -> Result<()> {
        let mut spec = json!({
            "endpoint": format!("http://{backend}/"), "insecure": true,
            "tokenSecretRef": {"name": SECRET},
            "limits": {"requestsPerSecond": 2000, "maxInFlight": 1}, "sync": {"interval": "1h"}
        });
        merge(&mut spec, &self.scenario.connection);
        self.create(CONNECTION, SCIM, json!({}), &spec).await?;
        Ok(())
    }

    /// Plays every step.
    ///
    /// # Errors
    /// When something that is awaited does not come.
    pub async fn play(&self) -> Result<()> {
        self.is(CONNECTION, SCIM, ["Ready", "True", "Connected"])
            .await
            .context("before the first step")?;
        for (number, step) in self.scenario.steps.iter().enumerate() {
            let step_of = || format!("step {} of {}", number + 1, self.scenario.steps.len());
            self.journal.rests(BREATH, PATIENCE).await?;
            self.act(step).await.with_context(step_of)?;
            for until in &step.until {
                self.wait(until).await.with_context(step_of)?;
            }
        }
        Ok(())
    }

    async fn act(&self, step: &Step) -> Result<()> {
        match &step.act {
            Act::Declare {
                kind,
                name,
                labels,
                spec,
            } => {
                let mut whole = json!({"connectionRef": {"name": SCIM}});
                merge(&mut whole, spec);
                let made = self.create(kind, name, labels.clone(), &whole).await?;
                self.note(kind, name, &made, false);
            }
            Act::Edit { kind, name, spec } => {
                let patch = Patch::Merge(json!({"spec": spec}));
                let objects = self.lane.objects(kind);
                let edited = objects.patch(name, &PatchParams::default(), &patch).await?;
                self.note(kind, name, &edited, false);
            }
            Act::Delete { kind, name } => {
                let objects = self.lane.objects(kind);
                let last = objects.get(name).await?;
                self.note(kind, name, &last, true);
                objects.delete(name, &DeleteParams::default()).await?;
            }
            Act::Approve => {
                let connections = self.lane.objects(CONNECTION);
                let held = connections.get(SCIM).await?;
                let hash = &held.data["status"]["heldPlan"]["hash"];
                let annotations = json!({"scim-operator.io/approve-plan": hash});
                let patch = json!({"metadata": {"annotations": annotations}});
                let parameters = PatchParams::default();
                connections
                    .patch(SCIM, &parameters, &Patch::Merge(patch))
                    .await?;
            }
            Act::Token(token) => self.keep_token(token).await?,
            Act::AtBackend(what) => what(&self.simulator),
        }
        Ok(())
    }

    async fn create(
        &self,
        kind: &str,
        name: &str,
        labels: Value,
        spec: &Value,
    ) -> Result<DynamicObject> {
        let object = json!({
            "apiVersion": "scim-operator.io/v1alpha1", "kind": kind,
            "metadata": {"name": name, "labels": labels}, "spec": spec
        });
        let objects = self.lane.objects(kind);
        let object = serde_json::from_value(object)?;
        Ok(objects.create(&PostParams::default(), &object).await?)
    }

    async fn keep_token(&self, token: &str) -> Result<()> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET, "namespace": NAMESPACE},
            "stringData": {"token": token}
        });
        let patch = PatchParams::apply("crash-points").force();
        let secrets = self.lane.secrets();
        secrets.patch(SECRET, &patch, &Patch::Apply(secret)).await?;
        Ok(())
    }

    fn note(&self, kind: &'static str, name: &'static str, object: &DynamicObject, deleted: bool) {
        let declared = Declared {
            kind,
            name,
            generation: object.metadata.generation.unwrap_or_default(),
            uid: object.uid().unwrap_or_default(),
            spec: object.data["spec"].clone(),
            deleted,
        };
        self.declarations().push(declared);
    }

    fn declarations(&self) -> std::sync::MutexGuard<'_, Vec<Declared>> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every spec that there was, in order.
    pub fn declared(&self) -> Vec<Declared> {
        self.declarations().clone()
    }

    /// The last of each object.
    pub fn declared_last(&self) -> Vec<Declared> {
        let mut last = BTreeMap::new();
        for declared in self.declared() {
            last.insert((declared.kind, declared.name), declared);
        }
        last.into_values().collect()
    }

    async fn wait(&self, until: &Until) -> Result<()> {
        match until {
            Until::Is {
                kind,
                name,
                condition,
            } => self.is(kind, name, *condition).await,
            Until::Held(count) => {
                let at = ["heldPlan", "count"];
                self.counts(CONNECTION, SCIM, at, *count).await
            }
            Until::Members { name, count } => {
                let at = ["members", "synced"];
                self.counts(GROUP, name, at, *count).await
            }
            Until::Gone { kind, name } => {
                wait::wait_for_absence(self.lane.objects(kind), name, PATIENCE).await
            }
            Until::InUse(token) => {
                let token = fingerprint(format!("Bearer {token}").as_bytes());
                let what = "the backend to be asked with the new token";
                let sees = self.journal.sees(what, PATIENCE, |asked| {
                    asked.side == Side::Backend
                        && asked.token.as_ref() == Some(&token)
                        && asked.status == Some(200)
                });
                sees.await
            }
        }
    }

    async fn counts(&self, kind: &str, name: &str, at: [&str; 2], count: u32) -> Result<()> {
        let what = format!("status.{} to be {count}", at.join("."));
        let [of, field] = at;
        let is_met = |object: Option<&DynamicObject>| {
            object.is_some_and(|object| object.data["status"][of][field] == count)
        };
        wait::wait_for_object(self.lane.objects(kind), name, &what, PATIENCE, is_met)
            .await
            .map(drop)
    }

    async fn is(&self, kind: &str, name: &str, condition: [&str; 3]) -> Result<()> {
        let [type_, status, reason] = condition;
        let objects = self.lane.objects(kind);
        wait::wait_for_condition(objects, name, type_, status, Some(reason), PATIENCE)
            .await
            .map(drop)
    }

    /// Waits until the operator, as it lives now, has looked at everybody and asks nothing more.
    ///
    /// # Errors
    /// When it goes on asking, or never comes up.
    pub async fn settles(&self) -> Result<()> {
        loop {
            let lives = self.victim.lives();
            let what = "the operator to have looked at every user";
            wait::eventually(what, PATIENCE, async || match self.victim.fault() {
                Some(fault) => Ok(Some(Err(anyhow::anyhow!("{fault}")))),
                None => Ok(self.victim.has_looked().then_some(Ok(()))),
            })
            .await??;
            self.journal.rests(SILENCE, PATIENCE).await?;
            if self.victim.lives() == lives {
                return Ok(());
            }
        }
    }

    /// Asks the connection for a sync, and waits until it is answered.
    ///
    /// # Errors
    /// When it is not.
    pub async fn sync(&self, stamp: &str) -> Result<()> {
        let connections = self.lane.objects(CONNECTION);
        let patch =
            json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": stamp}}});
        let patch = Patch::Merge(patch);
        connections
            .patch(SCIM, &PatchParams::default(), &patch)
            .await?;
        let answered = |connection: Option<&DynamicObject>| {
            connection.is_some_and(|c| c.data["status"]["lastHandledReconcileAt"] == stamp)
        };
        wait::wait_for_object(
            connections,
            SCIM,
            "the sync is answered",
            PATIENCE,
            answered,
        )
        .await
        .map(drop)
    }

    /// Every object of that kind.
    pub async fn objects(&self, kind: &str) -> Result<Vec<DynamicObject>> {
        let list = self.lane.objects(kind).list(&Default::default()).await?;
        if list.metadata.continue_.is_some_and(|more| !more.is_empty()) {
            bail!("more {kind} than a page holds");
        }
        Ok(list.items)
    }
}

/// What the backend has of the object whose status is about to be written.
fn witness(simulator: &Simulator, path: &str, body: &[u8]) -> Option<Value> {
    if !path.ends_with("/status") {
        return None;
    }
    let body: Value = serde_json::from_slice(body).ok()?;
    let id = body["status"]["id"].as_str()?;
    if path.contains("/scimusers/") {
        simulator.user(id)
    } else {
        simulator.group(id)
    }
}

/// The path segment of a kind.
pub fn plural(kind: &str) -> &'static str {
    match kind {
        USER => "scimusers",
        GROUP => "scimgroups",
        _ => "scimconnections",
    }
}
