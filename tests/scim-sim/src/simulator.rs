//! The handle on a running simulator: start, switches, inspection, and edits behind the API's back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::connection::{CuttableListener, KillSwitch};
use crate::schema::Resource;
use crate::server;
use crate::shared::{Shared, document};
use crate::{Dialect, Faults, LoggedRequest, RequestCounts, SimConfig, Switches};

/// A simulator that runs until it is dropped.
///
/// # Guarantees
/// Every write is visible to the inspection methods before its reply leaves. Users and groups come
/// in the order of their creation.
///
/// # Caveats
/// Edits made through this handle follow no rule of SCIM or CybSafe, as an administrator with
/// database access would not.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// None for one that is asked in memory.
    server: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Listens and serves on the current tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(config: SimConfig) -> std::io::Result<Self> {
        let inner = TcpListener::bind(config.listen).await?;
        let address = inner.local_addr()?;
        let shared = Arc::new(Shared::new(config, &address.to_string()));
        let listener = CuttableListener {
            inner,
            reachable: shared.reachable.clone(),
        };
        let service =
            server::router(shared.clone()).into_make_service_with_connect_info::<KillSwitch>();
        let server = tokio::spawn(async move {
            // Serving ends only with the task.
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self {
            shared,
            address,
            server: Some(server),
        })
    }

    /// One that nobody can connect to: it is asked by [`Simulator::answer`], on any runtime.
    #[must_use]
    pub fn in_memory(config: SimConfig) -> Self {
        let address = config.listen;
        Self {
            shared: Arc::new(Shared::new(config, &address.to_string())),
            address,
            server: None,
        }
    }

    /// What it answers to a request, without a connection; `None` when the answer gets lost.
    pub async fn answer(&self, request: Request) -> Option<Response> {
        let connection = KillSwitch::default();
        let asked = (State(self.shared.clone()), ConnectInfo(connection.clone()));
        let answer = server::handle(asked.0, asked.1, request).await;
        (!connection.is_cut()).then_some(answer)
    }

    /// The SCIM base URL, with a trailing slash.
    #[must_use]
    pub fn base_url(&self) -> String {
        self.shared.base_url.clone()
    }

    /// The URL of the admin endpoint, with a trailing slash.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}/_sim/", self.address)
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The bearer tokens accepted now.
    #[must_use]
    pub fn tokens(&self) -> Vec<String> {
        self.shared.tokens()
    }

    /// Accepts this token and no other.
    pub fn set_token(&self, token: impl Into<String>) {
        self.set_tokens(vec![token.into()]);
    }

    /// Accepts these tokens and no others; several overlap during a rotation.
    pub fn set_tokens(&self, tokens: Vec<String>) {
        self.shared.set_tokens(tokens);
    }

    /// The fault switches.
    #[must_use]
    pub fn faults(&self) -> Switches<Faults> {
        self.shared.faults.clone()
    }

    /// The switches for what a server may choose.
    #[must_use]
    pub fn dialect(&self) -> Switches<Dialect> {
        self.shared.dialect.clone()
    }

    /// Whether connections work; when false each is closed as soon as it is used.
    pub fn set_reachable(&self, reachable: bool) {
        self.shared.reachable.store(reachable, Ordering::Release);
    }

    /// All users, archived ones too, as stored.
    #[must_use]
    pub fn users(&self) -> Vec<Value> {
        self.shared.documents(Resource::User)
    }

    /// The user of this id.
    #[must_use]
    pub fn user(&self, id: &str) -> Option<Value> {
        self.shared.read().users.get(id).map(document)
    }

    /// The user of this name, compared without regard to case.
    #[must_use]
    pub fn user_by_name(&self, user_name: &str) -> Option<Value> {
        self.shared
            .read()
            .users
            .named(user_name)
            .next()
            .map(document)
    }

    /// All groups, as stored.
    #[must_use]
    pub fn groups(&self) -> Vec<Value> {
        self.shared.documents(Resource::Group)
    }

    /// The group of this id.
    #[must_use]
    pub fn group(&self, id: &str) -> Option<Value> {
        self.shared.read().groups.get(id).map(document)
    }

    /// Edits a user's document; false when there is no such user or the result is no object.
    pub fn edit_user(&self, id: &str, edit: impl FnOnce(&mut Value)) -> bool {
        self.shared.edit(Resource::User, id, edit)
    }

    /// Adds a user and returns its id; `id`, `schemas` and `meta` are given where missing.
    pub fn insert_user(&self, user: Value) -> String {
        self.shared.insert(Resource::User, user)
    }

    /// Removes a user, from its groups too; false when there is none.
    pub fn remove_user(&self, id: &str) -> bool {
        self.shared.remove(Resource::User, id)
    }

    /// Archives or reactivates a user; false when there is none.
    pub fn set_active(&self, id: &str, active: bool) -> bool {
        self.edit_user(id, |user| user["active"] = active.into())
    }

    /// Edits a group's document; false when there is no such group or the result is no object.
    pub fn edit_group(&self, id: &str, edit: impl FnOnce(&mut Value)) -> bool {
        self.shared.edit(Resource::Group, id, edit)
    }

    /// Adds a group and returns its id.
    pub fn insert_group(&self, group: Value) -> String {
        self.shared.insert(Resource::Group, group)
    }

    /// Removes a group; false when there is none.
    pub fn remove_group(&self, id: &str) -> bool {
        self.shared.remove(Resource::Group, id)
    }

    /// The last requests under the SCIM base, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.shared.log().entries()
    }

    /// How many requests there were, those forgotten by the log too.
    #[must_use]
    pub fn request_counts(&self) -> RequestCounts {
        self.shared.log().counts()
    }

    /// Forgets the requests and their counts.
    pub fn clear_requests(&self) {
        self.shared.log().clear();
    }

    /// Waits for as long as the simulator serves.
    pub async fn serve(mut self) {
        match &mut self.server {
            Some(server) => drop(server.await),
            None => std::future::pending().await,
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
        self.set_reachable(false);
    }
}
