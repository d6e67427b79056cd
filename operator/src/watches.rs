//! The watches that feed the store, one for each kind in the registry.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, channel::mpsc::UnboundedSender, stream::BoxStream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use medical_crds::names::{LABEL_NAME, NAME};

use crate::{
    kinds,
    metrics::Metrics,
    store::{Owner, Store, WatchState, Watched},
};

/// Everything that is watched beside the deployments themselves.
pub fn all() -> Vec<Watched> {
    kinds::ALL
        .iter()
        .map(|info| Watched::Child(info.kind))
        .chain([Watched::Pod, Watched::ApiServer, Watched::SecretVersion])
        .collect()
}

/// How a watch is called in logs and metrics.
fn name(watched: Watched) -> &'static str {
    match watched {
        Watched::Child(kind) => kind.info().name,
        Watched::Pod => "Pod",
        Watched::ApiServer => "EndpointSlice",
        Watched::SecretVersion => "PartialObjectMetadata/Secret",
    }
}

fn source(client: Client, watched: Watched) -> (Api<DynamicObject>, watcher::Config) {
    // The label is on everything that we write and on every pod that those make: of foreign objects, foreign Secrets
    // above all, no value reaches this process unless a resource names them.
    let ours = watcher::Config::default().labels(&format!("{LABEL_NAME}={NAME}"));
    match watched {
        Watched::Child(kind) => (Api::all_with(client, &kind.api_resource()), ours),
        Watched::Pod => {
            let pods = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Pod"), "pods");
            (Api::all_with(client, &pods), ours)
        }
        Watched::ApiServer | Watched::SecretVersion => {
            let gvk = GroupVersionKind::gvk("discovery.k8s.io", "v1", "EndpointSlice");
            let slices = ApiResource::from_gvk_with_plural(&gvk, "endpointslices");
            let config = watcher::Config::default().labels("kubernetes.io/service-name=kubernetes");
            (Api::namespaced_with(client, "default", &slices), config)
        }
    }
}

/// The objects as they change; of Secrets that are watched for their version, the metadata only.
fn objects(client: Client, watched: Watched) -> BoxStream<'static, watcher::Result<Event<DynamicObject>>> {
    if watched == Watched::SecretVersion {
        let secrets: Api<PartialObjectMeta<Secret>> = Api::all(client);
        return watcher(secrets, watcher::Config::default())
            .map_ok(without_content)
            .boxed();
    }
    let (api, config) = source(client, watched);
    watcher(api, config).boxed()
}

fn without_content(event: Event<PartialObjectMeta<Secret>>) -> Event<DynamicObject> {
    let bare = |object: PartialObjectMeta<Secret>| DynamicObject {
        types: None,
        metadata: object.metadata,
        data: serde_json::Value::Null,
    };
    match event {
        Event::Apply(object) => Event::Apply(bare(object)),
        Event::Delete(object) => Event::Delete(bare(object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(bare(object)),
        Event::InitDone => Event::InitDone,
    }
}

/// Feeds the store until the process ends. Every deployment whose picture changed goes to `changes`.
pub async fn feed(
    client: Client,
    watched: Watched,
    store: Arc<Store>,
    metrics: Metrics,
    changes: UnboundedSender<Owner>,
) {
    let optional = matches!(watched, Watched::Child(kind) if kind.info().optional);
    let backoff = watcher::DefaultBackoff::default();
    let mut events = std::pin::pin!(objects(client, watched).backoff(backoff));
    let gauge = metrics.watches.with_label_values(&[name(watched)]);
    while let Some(event) = events.next().await {
        let touched = match event {
            Ok(Event::Init) => {
                store.begin_list(watched);
                Vec::new()
            }
            Ok(Event::InitApply(object) | Event::Apply(object)) => store.apply(watched, &object),
            Ok(Event::Delete(object)) => store.delete(watched, &object),
            Ok(Event::InitDone) => {
                let mut touched = store.end_list(watched);
                gauge.set(1);
                if store.set_state(watched, WatchState::Synced) && optional {
                    tracing::info!(kind = name(watched), "the API is served");
                    touched.extend(store.owners());
                }
                touched
            }
            Err(error) if optional && is_absent(&error) => {
                gauge.set(-1);
                if store.set_state(watched, WatchState::Absent) {
                    tracing::warn!(kind = name(watched), "the API is not served; waiting for it");
                    store.owners()
                } else {
                    Vec::new()
                }
            }
            Err(error) => {
                tracing::warn!(kind = name(watched), %error, "watch interrupted; it starts again");
                Vec::new()
            }
        };
        for owner in touched {
            if changes.unbounded_send(owner).is_err() {
                return;
            }
        }
    }
}

/// Whether the API server does not know the kind.
fn is_absent(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | WatchError(status) => status.code == 404,
        _ => false,
    }
}

/// Time between two looks at a deployment that nothing happened to.
pub const RESYNC: Duration = Duration::from_mins(10);
