//! What all requests share, and what may be changed behind the API's back.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::operations::{complete, leave_groups, touch};
use crate::request_log::RequestLog;
use crate::schema::Resource;
use crate::store::{Row, Store};
use crate::{Dialect, Faults, SimConfig, Switches};

/// The state of a running simulator.
#[derive(Debug)]
pub(crate) struct Shared {
    /// With a slash before and none behind; empty when SCIM lies at the root.
    pub(crate) base_path: String,
    /// With a trailing slash.
    pub(crate) base_url: String,
    pub(crate) page_cap: usize,
    pub(crate) faults: Switches<Faults>,
    pub(crate) dialect: Switches<Dialect>,
    pub(crate) reachable: Arc<AtomicBool>,
    tokens: RwLock<Vec<String>>,
    store: RwLock<Store>,
    log: Mutex<RequestLog>,
    quota: Mutex<Quota>,
}

/// The requests of the current second.
#[derive(Debug)]
struct Quota {
    since: Instant,
    used: u32,
}

impl Shared {
    pub(crate) fn new(config: SimConfig, authority: &str) -> Self {
        let base_path = match config.base_path.trim_matches('/') {
            "" => String::new(),
            path => format!("/{path}"),
        };
        Self {
            base_url: format!("http://{authority}{base_path}/"),
            base_path,
            page_cap: config.page_cap,
            faults: Switches::new(config.faults),
            dialect: Switches::new(config.dialect),
            reachable: Arc::new(AtomicBool::new(true)),
            tokens: RwLock::new(config.tokens),
            store: RwLock::new(Store::default()),
            log: Mutex::new(RequestLog::new(config.request_log_capacity)),
            quota: Mutex::new(Quota {
                since: Instant::now(),
                used: 0,
            }),
        }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Store> {
        self.store.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, RequestLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tokens(&self) -> Vec<String> {
        self.tokens
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_tokens(&self, tokens: Vec<String>) {
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens;
    }

    pub(crate) fn accepts(&self, token: &str) -> bool {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().any(|accepted| accepted == token)
    }

    /// Whether a request still fits into this second.
    pub(crate) fn take_quota(&self, per_second: u32) -> bool {
        let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
        if quota.since.elapsed() >= Duration::from_secs(1) {
            *quota = Quota {
                since: Instant::now(),
                used: 0,
            };
        }
        let fits = quota.used < per_second;
        quota.used += u32::from(fits);
        fits
    }

    /// The documents as stored, in the order of creation.
    pub(crate) fn documents(&self, resource: Resource) -> Vec<Value> {
        self.read()
            .collection(resource)
            .iter()
            .map(document)
            .collect()
    }

    /// Edits a document without any rule; `id` and `meta` are kept, the time of change is noted.
    pub(crate) fn edit(&self, resource: Resource, id: &str, edit: impl FnOnce(&mut Value)) -> bool {
        let mut store = self.write();
        let rows = store.collection_mut(resource);
        let Some(old) = rows.get(id) else {
            return false;
        };
        let mut edited = document(old);
        edit(&mut edited);
        let Value::Object(edited) = edited else {
            return false;
        };
        let edited = touch(resource, old, edited);
        rows.put(edited);
        true
    }

    /// Adds a document without any rule; what the server gives is added where it is missing.
    pub(crate) fn insert(&self, resource: Resource, document: Value) -> String {
        let Value::Object(document) = document else {
            return String::new();
        };
        let mut store = self.write();
        let document = complete(&mut store, resource, document, &self.base_url);
        let id = document
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        store.collection_mut(resource).put(document);
        id
    }

    pub(crate) fn remove(&self, resource: Resource, id: &str) -> bool {
        let mut store = self.write();
        let removed = store.collection_mut(resource).remove(id).is_some();
        if removed && resource == Resource::User {
            leave_groups(&mut store, id);
        }
        removed
    }
}

pub(crate) fn document(row: &Row) -> Value {
    Value::Object(row.body.clone())
}
