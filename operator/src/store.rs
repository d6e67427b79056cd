//! What the operator knows of all child objects, fed by watches: a reconcile reads it and asks the API server nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use kube::core::DynamicObject;
use tokio::sync::watch;

use crate::{
    build::ApiServerAddress,
    kinds::Kind,
    view::{PodView, View, instance},
};

/// A `MedicalDeployment`, by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Watched {
    /// A kind of child.
    Child(Kind),
    /// The pods that the children make.
    Pod,
    /// The API server's own addresses.
    ApiServer,
    /// Versions of all Secrets, without their values: a resource may name one that somebody else made.
    SecretVersion,
}

/// How a watch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// Its first list is not complete.
    Pending,
    /// Its list is complete and kept up to date.
    Synced,
    /// The API is not served.
    Absent,
}

/// All children of one deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Children {
    views: BTreeMap<(Kind, String), View>,
    /// The pods that they made.
    pub pods: BTreeMap<String, PodView>,
    /// Names of Secrets that the resource names and that are not its children.
    referenced: BTreeSet<String>,
}

impl Children {
    /// The child of that kind and name.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&View> {
        self.views.get(&(kind, name.to_owned()))
    }
    /// Puts a newer view in the place of what was known.
    pub fn insert(&mut self, kind: Kind, view: View) {
        self.views.insert((kind, view.name.clone()), view);
    }
    /// Forgets a child that was deleted.
    pub fn remove(&mut self, kind: Kind, name: &str) {
        self.views.remove(&(kind, name.to_owned()));
    }
    /// All children, in the order of apply.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Kind, &View)> {
        self.views.iter().map(|((kind, _), view)| (*kind, view))
    }
}

#[derive(Default)]
struct Contents {
    owners: HashMap<Owner, Children>,
    /// Name of the deployment that an object of this kind, namespace and name belongs to.
    places: HashMap<(Watched, String, String), Box<str>>,
    relisted: HashMap<Watched, HashSet<(String, String)>>,
    states: HashMap<Watched, WatchState>,
    api_server: BTreeMap<String, Vec<ApiServerAddress>>,
    secret_versions: HashMap<(String, String), String>,
}

impl Contents {
    /// The deployments that name this Secret.
    fn referring(&self, namespace: &str, secret: &str) -> Vec<Owner> {
        self.owners
            .iter()
            .filter(|(owner, children)| owner.namespace == namespace && children.referenced.contains(secret))
            .map(|(owner, _)| owner.clone())
            .collect()
    }
}

/// Everything known.
pub struct Store {
    contents: Mutex<Contents>,
    synced: watch::Sender<usize>,
    watches: Vec<Watched>,
}

impl Store {
    /// An empty store that will be fed by `watches`.
    pub fn new(watches: Vec<Watched>) -> Self {
        Self {
            contents: Mutex::default(),
            synced: watch::Sender::new(0),
            watches,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // A panic between two inserts leaves a store that the next relist completes.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of what is known of one deployment's children.
    pub fn children(&self, owner: &Owner) -> Children {
        self.lock().owners.get(owner).cloned().unwrap_or_default()
    }

    /// The API server's own addresses, sorted.
    pub fn api_server(&self) -> Vec<ApiServerAddress> {
        let mut addresses: Vec<_> = self.lock().api_server.values().flatten().cloned().collect();
        addresses.sort();
        addresses.dedup();
        addresses
    }

    /// Notes which Secrets of others a deployment names, so that their changes are its changes.
    pub fn refer(&self, owner: &Owner, secrets: &BTreeSet<String>) {
        let mut contents = self.lock();
        match contents.owners.get_mut(owner) {
            Some(children) if children.referenced == *secrets => {}
            Some(children) => children.referenced.clone_from(secrets),
            None if secrets.is_empty() => {}
            None => contents
                .owners
                .entry(owner.clone())
                .or_default()
                .referenced
                .clone_from(secrets),
        }
    }

    /// Version of a Secret; none when there is no such Secret.
    pub fn secret_version(&self, namespace: &str, name: &str) -> Option<String> {
        let key = (namespace.to_owned(), name.to_owned());
        self.lock().secret_versions.get(&key).cloned()
    }

    /// All owners that have children.
    pub fn owners(&self) -> Vec<Owner> {
        self.lock().owners.keys().cloned().collect()
    }

    /// How a watch stands.
    pub fn state(&self, watched: Watched) -> WatchState {
        self.lock()
            .states
            .get(&watched)
            .copied()
            .unwrap_or(WatchState::Pending)
    }

    /// Says how a watch stands; true when that is news.
    pub fn set_state(&self, watched: Watched, state: WatchState) -> bool {
        let changed = self.lock().states.insert(watched, state) != Some(state);
        if changed {
            let pending = self
                .watches
                .iter()
                .filter(|watched| self.state(**watched) == WatchState::Pending)
                .count();
            self.synced.send_replace(self.watches.len() - pending);
        }
        changed
    }

    /// Watches whose first list is not complete.
    pub fn pending(&self) -> Vec<Watched> {
        self.watches
            .iter()
            .copied()
            .filter(|watched| self.state(*watched) == WatchState::Pending)
            .collect()
    }

    /// Waits until the first list of every watch is complete or its API known to be absent.
    pub async fn wait_until_synced(&self) {
        let all = self.watches.len();
        // The sender lives as long as `self`, so that waiting cannot fail.
        let _ = self.synced.subscribe().wait_for(|done| *done == all).await;
    }

    /// An object was seen. Returns the deployments whose picture changed.
    pub fn apply(&self, watched: Watched, object: &DynamicObject) -> Vec<Owner> {
        let mut contents = self.lock();
        let (namespace, name) = place(object);
        if let Some(listed) = contents.relisted.get_mut(&watched) {
            listed.insert((namespace.clone(), name.clone()));
        }
        if watched == Watched::ApiServer {
            let addresses = api_server_addresses(object);
            let changed = contents.api_server.insert(name, addresses.clone()).as_ref() != Some(&addresses);
            return if changed {
                contents.owners.keys().cloned().collect()
            } else {
                Vec::new()
            };
        }
        if watched == Watched::SecretVersion {
            let version = object.metadata.resource_version.clone().unwrap_or_default();
            let touched = contents.referring(&namespace, &name);
            let before = contents
                .secret_versions
                .insert((namespace, name), version.clone());
            return if before == Some(version) {
                Vec::new()
            } else {
                touched
            };
        }
        let Some(instance) = instance(object) else {
            return Vec::new();
        };
        let owner = Owner {
            namespace: namespace.clone(),
            name: instance.to_owned(),
        };
        let mut touched = Vec::new();
        let key = (watched, namespace.clone(), name.clone());
        if let Some(previous) = contents.places.insert(key, instance.into())
            && *previous != *instance
        {
            let previous = Owner {
                namespace,
                name: previous.into(),
            };
            remove(contents.owners.get_mut(&previous), watched, &name);
            touched.push(previous);
        }
        let children = contents.owners.entry(owner.clone()).or_default();
        let changed = match watched {
            Watched::Child(kind) => {
                let view = View::of(kind, object);
                let changed = children.get(kind, &name) != Some(&view);
                children.insert(kind, view);
                changed
            }
            Watched::Pod => {
                let view = PodView::of(object);
                children.pods.insert(name, view.clone()) != Some(view)
            }
            Watched::ApiServer | Watched::SecretVersion => false,
        };
        if changed {
            touched.push(owner);
        }
        touched
    }

    /// An object is gone. Returns the deployments whose picture changed.
    pub fn delete(&self, watched: Watched, object: &DynamicObject) -> Vec<Owner> {
        let (namespace, name) = place(object);
        self.forget(watched, &namespace, &name)
    }

    fn forget(&self, watched: Watched, namespace: &str, name: &str) -> Vec<Owner> {
        let mut contents = self.lock();
        if watched == Watched::ApiServer {
            contents.api_server.remove(name);
            return contents.owners.keys().cloned().collect();
        }
        if watched == Watched::SecretVersion {
            contents
                .secret_versions
                .remove(&(namespace.to_owned(), name.to_owned()));
            return contents.referring(namespace, name);
        }
        let key = (watched, namespace.to_owned(), name.to_owned());
        let Some(instance) = contents.places.remove(&key) else {
            return Vec::new();
        };
        let owner = Owner {
            namespace: key.1,
            name: instance.into(),
        };
        remove(contents.owners.get_mut(&owner), watched, name);
        vec![owner]
    }

    /// A list begins.
    pub fn begin_list(&self, watched: Watched) {
        self.lock().relisted.insert(watched, HashSet::new());
    }

    /// A list is complete: what it did not hold is gone. Returns the deployments whose picture changed.
    pub fn end_list(&self, watched: Watched) -> Vec<Owner> {
        let gone: Vec<(String, String)> = {
            let mut contents = self.lock();
            let listed = contents.relisted.remove(&watched).unwrap_or_default();
            let known: Vec<(String, String)> = match watched {
                Watched::SecretVersion => contents.secret_versions.keys().cloned().collect(),
                _ => contents
                    .places
                    .keys()
                    .filter(|(of, ..)| *of == watched)
                    .map(|(_, namespace, name)| (namespace.clone(), name.clone()))
                    .collect(),
            };
            known
                .into_iter()
                .filter(|place| !listed.contains(place))
                .collect()
        };
        gone.into_iter()
            .flat_map(|(namespace, name)| self.forget(watched, &namespace, &name))
            .collect()
    }
}

fn remove(children: Option<&mut Children>, watched: Watched, name: &str) {
    let Some(children) = children else { return };
    match watched {
        Watched::Child(kind) => children.remove(kind, name),
        Watched::Pod => {
            children.pods.remove(name);
        }
        Watched::ApiServer | Watched::SecretVersion => {}
    }
}

fn place(object: &DynamicObject) -> (String, String) {
    (
        object.metadata.namespace.clone().unwrap_or_default(),
        object.metadata.name.clone().unwrap_or_default(),
    )
}

fn api_server_addresses(slice: &DynamicObject) -> Vec<ApiServerAddress> {
    let list = |name: &str| {
        slice
            .data
            .get(name)
            .and_then(serde_json::Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let ports: Vec<i32> = list("ports")
        .iter()
        .filter_map(|port| port.get("port")?.as_i64())
        .filter_map(|port| i32::try_from(port).ok())
        .collect();
    list("endpoints")
        .iter()
        .filter_map(|endpoint| endpoint.get("addresses")?.as_array().cloned())
        .flatten()
        .filter_map(|address| address.as_str().map(str::to_owned))
        .flat_map(|ip| {
            ports.iter().map(move |port| ApiServerAddress {
                ip: ip.clone(),
                port: *port,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(name: &str, instance: &str) -> DynamicObject {
        serde_json::from_value(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name,
            "namespace": "ns", "labels": {"app.kubernetes.io/instance": instance}}}),
        )
        .unwrap()
    }

    fn owner(name: &str) -> Owner {
        Owner {
            namespace: "ns".to_owned(),
            name: name.to_owned(),
        }
    }

    const SERVICES: Watched = Watched::Child(Kind::Service);

    #[test]
    fn an_object_that_was_seen_before_changes_nothing() {
        let store = Store::new(vec![SERVICES]);
        assert_eq!(store.apply(SERVICES, &service("a", "clinic")), [owner("clinic")]);
        assert_eq!(store.apply(SERVICES, &service("a", "clinic")), []);
    }

    #[test]
    fn an_object_missing_from_a_new_list_is_gone() {
        let store = Store::new(vec![SERVICES]);
        store.apply(SERVICES, &service("a", "clinic"));
        store.apply(SERVICES, &service("b", "clinic"));
        store.begin_list(SERVICES);
        store.apply(SERVICES, &service("b", "clinic"));
        assert_eq!(store.end_list(SERVICES), [owner("clinic")]);
        let children = store.children(&owner("clinic"));
        assert!(children.get(Kind::Service, "a").is_none() && children.get(Kind::Service, "b").is_some());
    }

    #[test]
    fn a_relabelled_object_leaves_its_former_owner() {
        let store = Store::new(vec![SERVICES]);
        store.apply(SERVICES, &service("a", "clinic"));
        assert_eq!(
            store.apply(SERVICES, &service("a", "ward")),
            [owner("clinic"), owner("ward")]
        );
        assert_eq!(store.children(&owner("clinic")), Children::default());
    }

    #[test]
    fn a_changed_secret_touches_the_deployments_that_name_it_and_no_other() {
        let secret = |version: &str| -> DynamicObject {
            serde_json::from_value(
                json!({"metadata": {"name": "mail", "namespace": "ns", "resourceVersion": version}}),
            )
            .unwrap()
        };
        let store = Store::new(vec![Watched::SecretVersion]);
        store.refer(&owner("clinic"), &BTreeSet::from(["mail".to_owned()]));
        store.refer(&owner("ward"), &BTreeSet::from(["other".to_owned()]));
        assert_eq!(
            store.apply(Watched::SecretVersion, &secret("1")),
            [owner("clinic")]
        );
        assert_eq!(store.apply(Watched::SecretVersion, &secret("1")), []);
        assert_eq!(
            store.apply(Watched::SecretVersion, &secret("2")),
            [owner("clinic")]
        );
        store.begin_list(Watched::SecretVersion);
        assert_eq!(store.end_list(Watched::SecretVersion), [owner("clinic")]);
        assert_eq!(store.secret_version("ns", "mail"), None);
    }

    #[tokio::test]
    async fn the_store_is_synced_when_every_watch_is_listed_or_absent() {
        let cluster = Watched::Child(Kind::Cluster);
        let store = Store::new(vec![SERVICES, cluster]);
        store.set_state(SERVICES, WatchState::Synced);
        assert_eq!(store.pending(), [cluster]);
        store.set_state(cluster, WatchState::Absent);
        store.wait_until_synced().await;
    }
}
