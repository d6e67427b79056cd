//! The processes of a cluster: what runs, with which arguments, after what, and how one sees that it is well.

use std::path::PathBuf;

use super::addresses::{NODE, NODE_IP, PODS, SERVICES};
use super::configuration::Files;
use super::health::Probe;
use super::instance::{Instance, Tier};

/// One process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    /// Its name, also of its log and on the command line.
    pub(crate) name: &'static str,
    /// The program, found in the cache's binaries and then in the system's folders.
    pub(crate) program: &'static str,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// Processes that must have been well once before this one starts.
    pub(crate) after: &'static [&'static str],
    /// What else must be true before it starts.
    pub(crate) once: Option<Probe>,
    /// How one sees that it is well.
    pub(crate) health: Probe,
}

/// All processes of the instance, in the order in which they start.
pub(crate) fn processes(instance: &Instance) -> Vec<Process> {
    let mut all = vec![
        etcd(instance),
        api_server(instance),
        controller_manager(instance),
        scheduler(instance),
    ];
    match instance.tier {
        Tier::Cluster => {
            all.extend([
                containerd(instance),
                kubelet(instance),
                kube_proxy(instance),
                kube_router(instance),
            ]);
        }
        Tier::ControlPlane => all.push(kwok(instance)),
    }
    all
}

/// `--unsafe-no-fsync`: the data goes away with the cluster, and tests wait for every write.
fn etcd(instance: &Instance) -> Process {
    let address = format!("http://127.0.0.1:{}", instance.ports.etcd);
    Process {
        name: "etcd",
        program: "etcd",
        arguments: vec![
            format!("--data-dir={}", instance.etcd_data().display()),
            "--unsafe-no-fsync".into(),
            format!("--listen-client-urls={address}"),
            format!("--advertise-client-urls={address}"),
            "--listen-peer-urls=http://127.0.0.1:0".into(),
            "--log-level=warn".into(),
        ],
        after: &[],
        once: None,
        health: Probe::Http {
            port: instance.ports.etcd,
            path: "/health",
        },
    }
}

fn api_server(instance: &Instance) -> Process {
    let pki = |file: &str| instance.pki().join(file).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", instance.ports.etcd),
        format!("--secure-port={}", instance.ports.api_server),
        format!("--advertise-address={NODE_IP}"),
        format!("--service-cluster-ip-range={SERVICES}"),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        "--authorization-mode=Node,RBAC".into(),
        "--allow-privileged=true".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        format!("--service-account-key-file={}", pki("service-accounts.pub")),
        format!(
            "--service-account-signing-key-file={}",
            pki("service-accounts.key")
        ),
        format!("--kubelet-client-certificate={}", pki("apiserver-kubelet.crt")),
        format!("--kubelet-client-key={}", pki("apiserver-kubelet.key")),
        format!("--kubelet-certificate-authority={}", pki("ca.crt")),
        "--kubelet-preferred-address-types=InternalIP,Hostname".into(),
        format!("--requestheader-client-ca-file={}", pki("ca.crt")),
        "--requestheader-allowed-names=front-proxy-client".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        format!("--proxy-client-cert-file={}", pki("front-proxy.crt")),
        format!("--proxy-client-key-file={}", pki("front-proxy.key")),
        "--enable-aggregator-routing=true".into(),
        format!(
            "--audit-policy-file={}",
            Files::of(instance).audit_policy.display()
        ),
        format!("--audit-log-path={}", instance.audit_log().display()),
        "--audit-log-maxsize=200".into(),
        "--audit-log-maxbackup=1".into(),
        "--v=1".into(),
    ];
    match instance.tier {
        Tier::Cluster => arguments.push("--bind-address=0.0.0.0".into()),
        // Nothing inside this control plane talks to its own Service: loopback cannot be advertised, so nothing is.
        Tier::ControlPlane => {
            arguments.extend([
                "--bind-address=127.0.0.1".into(),
                "--endpoint-reconciler-type=none".into(),
            ]);
        }
    }
    Process {
        name: "kube-apiserver",
        program: "kube-apiserver",
        arguments,
        after: &["etcd"],
        once: None,
        health: Probe::Https {
            host: instance.api_host(),
            port: instance.ports.api_server,
            path: "/readyz".into(),
        },
    }
}

/// The three arguments by which a controller reaches the API server and checks who asks it for metrics, and the
/// three by which its own health can be read over verified TLS.
fn client_and_server(instance: &Instance, user: &str, port: u16) -> Vec<String> {
    let pki = instance.pki();
    let kubeconfig = pki.join(format!("{user}.kubeconfig"));
    let mut arguments: Vec<String> = [
        "kubeconfig",
        "authentication-kubeconfig",
        "authorization-kubeconfig",
    ]
    .iter()
    .map(|flag| format!("--{flag}={}", kubeconfig.display()))
    .collect();
    arguments.extend([
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", pki.join("component.crt").display()),
        format!("--tls-private-key-file={}", pki.join("component.key").display()),
        "--leader-elect=false".into(),
    ]);
    arguments
}

/// The autoscaler looks more often and settles sooner than it would in production, so that a test can watch it.
fn controller_manager(instance: &Instance) -> Process {
    let pki = |file: &str| instance.pki().join(file).display().to_string();
    let mut arguments = client_and_server(instance, "controller-manager", instance.ports.controller_manager);
    arguments.extend([
        format!("--cluster-cidr={PODS}"),
        "--allocate-node-cidrs=true".into(),
        format!("--service-cluster-ip-range={SERVICES}"),
        format!("--cluster-signing-cert-file={}", pki("ca.crt")),
        format!("--cluster-signing-key-file={}", pki("ca.key")),
        format!("--root-ca-file={}", pki("ca.crt")),
        format!(
            "--service-account-private-key-file={}",
            pki("service-accounts.key")
        ),
        "--use-service-account-credentials=true".into(),
        "--horizontal-pod-autoscaler-sync-period=5s".into(),
        "--horizontal-pod-autoscaler-downscale-stabilization=30s".into(),
        "--horizontal-pod-autoscaler-initial-readiness-delay=5s".into(),
        "--horizontal-pod-autoscaler-cpu-initialization-period=30s".into(),
    ]);
    Process {
        name: "kube-controller-manager",
        program: "kube-controller-manager",
        arguments,
        after: &["kube-apiserver"],
        once: None,
        health: Probe::Https {
            host: "127.0.0.1",
            port: instance.ports.controller_manager,
            path: "/healthz".into(),
        },
    }
}

fn scheduler(instance: &Instance) -> Process {
    Process {
        name: "kube-scheduler",
        program: "kube-scheduler",
        arguments: client_and_server(instance, "scheduler", instance.ports.scheduler),
        after: &["kube-apiserver"],
        once: None,
        health: Probe::Https {
            host: "127.0.0.1",
            port: instance.ports.scheduler,
            path: "/healthz".into(),
        },
    }
}

fn containerd(instance: &Instance) -> Process {
    Process {
        name: "containerd",
        program: "containerd",
        arguments: vec![
            "--config".into(),
            Files::of(instance).containerd.display().to_string(),
        ],
        after: &[],
        once: None,
        health: Probe::Socket(instance.containerd()),
    }
}

fn kubelet(instance: &Instance) -> Process {
    let files = Files::of(instance);
    Process {
        name: "kubelet",
        program: "kubelet",
        arguments: vec![
            format!("--config={}", files.kubelet.display()),
            format!(
                "--kubeconfig={}",
                instance.pki().join("kubelet.kubeconfig").display()
            ),
            format!("--hostname-override={NODE}"),
            format!("--node-ip={NODE_IP}"),
            format!("--root-dir={}", files.kubelet_root.display()),
            "--v=1".into(),
        ],
        after: &["kube-apiserver", "containerd"],
        once: None,
        health: Probe::Http {
            port: 10248,
            path: "/healthz",
        },
    }
}

fn kube_proxy(instance: &Instance) -> Process {
    Process {
        name: "kube-proxy",
        program: "kube-proxy",
        arguments: vec![format!("--config={}", Files::of(instance).proxy.display())],
        after: &["kube-apiserver"],
        once: None,
        health: Probe::Http {
            port: 10256,
            path: "/healthz",
        },
    }
}

/// It ends at once when its node is not there yet, and then nothing enforces policies while all looks well: it
/// starts after the node registered, is restarted like every process, and `up` proves it by traffic.
fn kube_router(instance: &Instance) -> Process {
    Process {
        name: "kube-router",
        program: "kube-router",
        arguments: vec![
            format!(
                "--kubeconfig={}",
                instance.pki().join("admin.kubeconfig").display()
            ),
            format!("--hostname-override={NODE}"),
            "--run-firewall=true".into(),
            "--run-router=false".into(),
            "--run-service-proxy=false".into(),
            format!("--service-cluster-ip-range={SERVICES}"),
            "--health-addr=127.0.0.1".into(),
            "--health-port=20244".into(),
        ],
        after: &["kubelet"],
        once: Some(Probe::Https {
            host: instance.api_host(),
            port: instance.ports.api_server,
            path: format!("/api/v1/nodes/{NODE}"),
        }),
        health: Probe::Http {
            port: 20244,
            path: "/healthz",
        },
    }
}

/// Plays every node, pod and volume: what is created gets ready at once, a Job's pod ends well, a claim is bound.
fn kwok(instance: &Instance) -> Process {
    Process {
        name: "kwok",
        program: "kwok",
        arguments: vec![
            format!("--kubeconfig={}", instance.kubeconfig().display()),
            format!("--config={}", Files::of(instance).played_stages.display()),
            "--manage-all-nodes=true".into(),
            format!("--server-address=127.0.0.1:{}", instance.ports.kwok),
            "--node-lease-duration-seconds=40".into(),
        ],
        after: &["kube-apiserver"],
        once: None,
        health: Probe::Http {
            port: instance.ports.kwok,
            path: "/healthz",
        },
    }
}

/// The log of a process.
pub(crate) fn log(instance: &Instance, name: &str) -> PathBuf {
    instance.logs().join(format!("{name}.log"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::instance::Provider;
    use crate::components::COMPONENTS;
    use crate::places::Places;

    fn both() -> [Vec<Process>; 2] {
        let places = Places::at("/repository", "/cache");
        [("cluster", Tier::Cluster), ("one", Tier::ControlPlane)]
            .map(|(name, tier)| processes(&Instance::new(&places, name, tier, Provider::Local).unwrap()))
    }

    #[test]
    fn a_process_waits_only_for_processes_that_start_before_it() {
        for all in both() {
            for (index, process) in all.iter().enumerate() {
                for need in process.after {
                    assert!(
                        all[..index].iter().any(|other| other.name == *need),
                        "{} needs {need}",
                        process.name
                    );
                }
            }
        }
    }

    #[test]
    fn every_program_is_a_built_component_but_containerd() {
        for process in both()
            .iter()
            .flatten()
            .filter(|process| process.name != "containerd")
        {
            assert!(
                COMPONENTS
                    .iter()
                    .any(|c| c.programs.iter().any(|(name, _)| *name == process.program)),
                "{} is built from nothing",
                process.program
            );
        }
    }

    #[test]
    fn a_control_plane_listens_on_loopback_only() {
        let [_, control_plane] = both();
        for process in control_plane {
            let line = process.arguments.join(" ");
            assert!(!line.contains("0.0.0.0"), "{line}");
            assert!(line.contains("127.0.0.1"), "{line}");
        }
    }

    #[test]
    fn no_secret_is_an_argument() {
        for process in both().iter().flatten() {
            assert!(
                !process
                    .arguments
                    .iter()
                    .any(|word| word.contains("BEGIN") || word.contains("password"))
            );
        }
    }
}
