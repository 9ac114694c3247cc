//! Which namespaces are watched: all of the cluster, or those that the operator was started with. Of the others it
//! may read nothing: what is there is neither absent nor gone, and whoever names something there is told so.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::controller::merged::merged;
use crate::controller::refusal::watch_told;

/// Which namespaces are watched. Cheap to clone; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    only: Option<Arc<BTreeSet<String>>>,
    unlisted: Unlisted,
}

/// Kinds and namespaces, the latter empty for all of the cluster, that were never listed since their watch began. Until
/// a kind was listed everywhere once, nobody of it is worked on: whoever is not seen would be taken for gone.
#[derive(Clone, Debug, Default)]
struct Unlisted(Arc<Mutex<BTreeSet<(String, String)>>>);

impl Unlisted {
    /// The same events; the place stands here from the first until its list is whole, or counts as empty. What is
    /// listed again later is known meanwhile.
    fn follow<K, E>(
        &self,
        namespace: &str,
        events: impl Stream<Item = E> + Send + 'static,
        event: impl Fn(&E) -> Option<&Event<K>> + Send + 'static,
    ) -> BoxStream<'static, E>
    where
        K: Resource<DynamicType = ()> + 'static,
        E: Send + 'static,
    {
        let (all, mut is_known) = (self.0.clone(), false);
        let place = (K::kind(&()).into_owned(), namespace.to_owned());
        let heard = move |item: &E| {
            let places = || all.lock().unwrap_or_else(PoisonError::into_inner);
            match event(item) {
                Some(Event::Init) if !is_known => {
                    places().insert(place.clone());
                }
                Some(Event::InitDone) => {
                    is_known = true;
                    places().remove(&place);
                }
                _ => {}
            }
        };
        events.inspect(heard).boxed()
    }
}

/// What the watch of a kind shows, and errors.
pub type Sightings<K> = BoxStream<'static, watcher::Result<Event<K>>>;

impl Watched {
    /// These alone; all of the cluster where there are none.
    pub fn these(namespaces: impl IntoIterator<Item = String>) -> Self {
        let namespaces: BTreeSet<String> = namespaces.into_iter().collect();
        Self {
            only: (!namespaces.is_empty()).then(|| Arc::new(namespaces)),
            unlisted: Unlisted::default(),
        }
    }

    /// Whether what is in a namespace is seen.
    pub fn has(&self, namespace: &str) -> bool {
        let only = self.only.as_ref();
        only.is_none_or(|namespaces| namespaces.contains(namespace))
    }

    /// Whether that is all of the cluster.
    pub fn is_all(&self) -> bool {
        self.only.is_none()
    }

    /// The namespaces; none where all of the cluster are watched.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.only.iter().flat_map(|namespaces| namespaces.iter());
        names.map(String::as_str)
    }

    /// Kinds, and namespaces or nothing for all of them, that were never listed since their watch began.
    pub fn unlisted(&self) -> Vec<(String, String)> {
        let places = &self.unlisted.0;
        let places = places.lock().unwrap_or_else(PoisonError::into_inner);
        places.iter().cloned().collect()
    }

    /// Watches the objects of a kind. Where namespaces were named no error comes out: each is retried by itself.
    pub fn watch<K>(&self, client: &Client, how: watcher::Config) -> Sightings<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let (client, unlisted) = (client.clone(), self.unlisted.clone());
        let Some(namespaces) = self.only.clone() else {
            let watch = watcher(Api::all(client), how);
            return unlisted.follow("", watch, |event| event.as_ref().ok());
        };
        let begin = move || {
            let of_one = |namespace: &String| {
                let api: Api<K> = Api::namespaced(client.clone(), namespace);
                let watch = part(watcher(api, how.clone()), &client, namespace);
                unlisted.follow(namespace, watch, |event| Some(event))
            };
            namespaces.iter().map(of_one).collect()
        };
        merged(begin).map(Ok).boxed()
    }

    /// Watches the namespaces themselves, each by its name.
    pub fn watch_namespaces(&self, client: &Client) -> Sightings<Namespace> {
        let api: Api<Namespace> = Api::all(client.clone());
        let how = watcher::Config::default();
        let unlisted = self.unlisted.clone();
        let Some(namespaces) = self.only.clone() else {
            return unlisted.follow("", watcher(api, how), |event| event.as_ref().ok());
        };
        let client = client.clone();
        let begin = move || {
            let of_one = |namespace: &String| {
                let how = how.clone().fields(&format!("metadata.name={namespace}"));
                let watch = part(watcher(api.clone(), how), &client, namespace);
                unlisted.follow(namespace, watch, |event| Some(event))
            };
            namespaces.iter().map(of_one).collect()
        };
        merged(begin).map(Ok).boxed()
    }
}

/// The watch of one namespace, retried for as long as it takes.
///
/// A namespace that was deleted has taken the operator's RoleBinding with it, and may not be listed any more. All
/// others would wait for it after the next start: where there is none of that name, or it ends, it counts as
/// empty until it can be listed again.
fn part<K: Resource<DynamicType = ()> + Clone + Debug + Send + 'static>(
    watch: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    client: &Client,
    namespace: &str,
) -> impl Stream<Item = Event<K>> + Send + 'static {
    let watch = watch.default_backoff().boxed();
    let from = (client.clone(), namespace.to_owned());
    stream::unfold(
        (watch, false, from),
        |(mut watch, mut is_counted_empty, from)| async move {
            loop {
                let (client, namespace) = &from;
                let kind = K::kind(&());
                match watch.next().await? {
                    Ok(event) => {
                        is_counted_empty &= matches!(event, Event::Init);
                        return Some((event, (watch, is_counted_empty, from)));
                    }
                    Err(error) if is_counted_empty => {
                        tracing::debug!(error = watch_told(&error), namespace, %kind, "not there yet");
                    }
                    Err(error)
                        if is_forbidden(&error) && is_beyond_reach(client, namespace).await =>
                    {
                        tracing::warn!(namespace, %kind, "the namespace is gone, or being deleted, and cannot be read");
                        return Some((Event::InitDone, (watch, true, from)));
                    }
                    Err(error) => {
                        tracing::warn!(error = watch_told(&error), namespace, %kind, "the watch of a namespace was interrupted");
                    }
                }
            }
        },
    )
}

/// Whether a namespace is not there, or is being deleted; not where nobody says so.
async fn is_beyond_reach(client: &Client, namespace: &str) -> bool {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let found = namespaces.get_metadata_opt(namespace).await;
    found.is_ok_and(|found| {
        found.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some())
    })
}

/// Whether the API server does not let us look.
pub fn is_forbidden(error: &watcher::Error) -> bool {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status,
        watcher::Error::WatchError(status) => status,
        _ => return false,
    };
    status.code == 403
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashMap;

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::ScimUser;

    #[test]
    fn none_that_are_named_are_all() {
        assert!(Watched::these([]).has("any"));
        assert!(Watched::default().has("any"));
        let watched = Watched::these(["a".to_owned()]);
        assert!(watched.has("a") && !watched.has("b"));
        assert_eq!(watched.names().collect::<Vec<_>>(), ["a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_unlisted_until_its_list_is_whole_or_counts_as_empty_and_not_again() {
        let user = |namespace: &str| {
            format!("/apis/scim-operator.io/v1alpha1/namespaces/{namespace}/scimusers")
        };
        // `a` is listed; `b` is gone with our right to it; `c` is there, and may not be read.
        let client = answering(&[
            (&user("a"), list(&["ada"])),
            (&user("b"), status(403)),
            (&user("c"), status(403)),
            ("/api/v1/namespaces/b", status(404)),
            (
                "/api/v1/namespaces/c",
                (200, json!({"metadata": {"name": "c"}})),
            ),
        ]);
        for (named, unlisted) in [(vec!["a", "b"], vec![]), (vec!["a", "b", "c"], vec!["c"])] {
            let watched = Watched::these(named.into_iter().map(str::to_owned));
            let mut events = watched.watch::<ScimUser>(&client, watcher::Config::default());
            // Long enough for whoever is gone to be asked for many times.
            let hour = std::time::Duration::from_secs(3600);
            let follow = async { while events.next().await.is_some() {} };
            assert!(tokio::time::timeout(hour, follow).await.is_err());
            let found = watched.unlisted().into_iter();
            let found: Vec<_> = found.map(|(_, namespace)| namespace).collect();
            assert_eq!(found, unlisted);
        }
    }

    fn status(code: u16) -> (u16, Value) {
        let reason = match code {
            403 => "Forbidden",
            404 => "NotFound",
            _ => "InternalError",
        };
        let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": reason, "reason": reason, "code": code});
        (code, body)
    }

    fn list(names: &[&str]) -> (u16, Value) {
        let user = |name: &&str| {
            json!({"metadata": {"name": name, "namespace": "a", "resourceVersion": "1"},
            "spec": {"connectionRef": {"name": "c"}, "userName": name}})
        };
        let items: Vec<Value> = names.iter().map(user).collect();
        let body = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": items});
        (200, body)
    }

    /// An API server that has these answers, by path; watches of it stay silent.
    fn answering(answers: &[(&str, (u16, Value))]) -> Client {
        let answers: HashMap<String, (u16, Value)> = answers
            .iter()
            .map(|(path, answer)| ((*path).to_owned(), answer.clone()))
            .collect();
        let service = tower::service_fn(move |request: Request<Body>| {
            let watches = request.uri().query().is_some_and(|q| q.contains("watch"));
            let answer = answers.get(request.uri().path()).cloned();
            async move {
                if watches {
                    std::future::pending::<()>().await;
                }
                let (code, body) = answer.unwrap_or_else(|| status(404));
                let body = Body::from(body.to_string().into_bytes());
                Response::builder().status(code).body(body)
            }
        });
        Client::new(service, "default")
    }

    const USERS_OF_A: &str = "/apis/scim-operator.io/v1alpha1/namespaces/a/scimusers";
    const USERS_OF_B: &str = "/apis/scim-operator.io/v1alpha1/namespaces/b/scimusers";

    /// Whom the first listing of `a` and `b` has; none where it is not whole after a minute.
    async fn listed(answers: &[(&str, (u16, Value))]) -> Option<Vec<String>> {
        let client = answering(answers);
        let watched = Watched::these(["a", "b"].map(str::to_owned));
        let mut watch = watched.watch::<ScimUser>(&client, watcher::Config::default());
        let mut names = Vec::new();
        let minute = std::time::Duration::from_secs(60);
        let whole = tokio::time::timeout(minute, async {
            while let Some(Ok(event)) = watch.next().await {
                match event {
                    Event::InitApply(user) => names.extend(user.metadata.name),
                    Event::InitDone => return,
                    _ => {}
                }
            }
        });
        whole.await.ok().map(|()| names)
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_is_gone_or_going_and_cannot_be_read_counts_as_empty_and_no_other_does()
     {
        let of_a = (USERS_OF_A, list(&["ada"]));
        let namespace = |deleted: Value| {
            let body = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": {"name": "b", "deletionTimestamp": deleted}});
            ("/api/v1/namespaces/b", (200, body))
        };
        for (of_b, there, whole, why) in [
            (list(&[]), None, true, "both can be listed"),
            (status(403), None, true, "there is no such namespace"),
            (
                status(403),
                Some(namespace(json!("2026-01-01T00:00:00Z"))),
                true,
                "it ends",
            ),
            (
                status(403),
                Some(namespace(json!(null))),
                false,
                "its RoleBinding is missing: who is there is not known",
            ),
            (
                status(403),
                Some(("/api/v1/namespaces/b", status(403))),
                false,
                "nobody says whether it is there",
            ),
            (status(500), None, false, "the API server is in trouble"),
        ] {
            let mut answers = vec![of_a.clone(), (USERS_OF_B, of_b)];
            answers.extend(there);
            let expected = whole.then(|| vec!["ada".to_owned()]);
            assert_eq!(listed(&answers).await, expected, "{why}");
        }
    }
}
