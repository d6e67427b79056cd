//! The images of the local cluster and our own.

use super::oci::{Config, architecture};
use super::rootfs::{BASE, POSTGRESQL, RootFilesystem, TOOLBOX};
use crate::components::{CLOUDNATIVE_PG, COREDNS, Component, LOCAL_PATH, METRICS_SERVER};

/// One image.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The name of its archive and on the command line.
    pub(crate) name: &'static str,
    /// Its full name, as manifests say it.
    pub(crate) reference: &'static str,
    /// Further names of the same content.
    pub(crate) aliases: &'static [&'static str],
    /// The bottom layer; none for a static program alone.
    pub(crate) base: Option<RootFilesystem>,
    /// The layer above.
    pub(crate) items: Vec<Item>,
    /// What it runs.
    pub(crate) config: Config,
}

/// One path of an image's own layer.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// A program built from a Go module, at a path.
    Component(Component, String),
    /// A program of this workspace, at `/usr/local/bin`.
    Own(&'static str),
    /// The program that holds a pod's namespaces open, compiled from the source that Kubernetes carries.
    Pause,
    /// A symbolic link: target, path.
    Link(String, String),
}

/// The packages of this workspace that become images, each with one program of the same name.
pub(crate) const OWN: [&str; 3] = ["medical-operator", "medical-app", "medical-backup"];

/// The plugin by which the sample's first user is made; it goes beside kubectl, not into an image.
pub(crate) const PLUGIN: &str = "kubectl-medical";

/// The tag that containerd is told to use for the pause image.
pub(crate) const PAUSE: &str = "registry.k8s.io/pause:3.10";

/// The image for helper pods.
pub(crate) const TOOLBOX_REFERENCE: &str = "docker.io/medops/toolbox:1";

/// All images.
pub(crate) fn images() -> Vec<Image> {
    // In the order in which they are brought into a node: what others wait for longest comes first.
    let mut images = vec![
        Image {
            name: "pause",
            reference: PAUSE,
            aliases: &[],
            base: None,
            items: vec![Item::Pause],
            config: Config {
                entrypoint: words(&["/pause"]),
                user: "65535:65535".into(),
                ..Config::default()
            },
        },
        component(
            "coredns",
            "registry.k8s.io/coredns/coredns:v1.14.7",
            COREDNS,
            "/coredns",
            "",
        ),
        cloudnative_pg(),
        component(
            "metrics-server",
            "registry.k8s.io/metrics-server/metrics-server:v0.9.0",
            METRICS_SERVER,
            "/metrics-server",
            "65534:65534",
        ),
        Image {
            name: "toolbox",
            reference: TOOLBOX_REFERENCE,
            // What samples and tests call when any small image with a shell will do.
            aliases: &["docker.io/library/busybox:latest"],
            base: Some(TOOLBOX),
            items: vec![],
            config: Config {
                cmd: words(&["sh"]),
                env: words(&["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/opt/busybox"]),
                ..Config::default()
            },
        },
        component(
            "local-path-provisioner",
            "docker.io/rancher/local-path-provisioner:v0.0.30",
            LOCAL_PATH,
            "/usr/bin/local-path-provisioner",
            "",
        ),
    ];
    images.extend(OWN.map(own));
    images.push(Image {
        name: "postgresql",
        reference: "docker.io/medops/postgresql:17",
        aliases: &[],
        base: Some(POSTGRESQL),
        items: vec![],
        config: Config {
            user: "26".into(),
            env: words(&[
                "PATH=/usr/lib/postgresql/17/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                "LANG=C.UTF-8",
            ]),
            ..Config::default()
        },
    });
    images
}

/// The image of that name.
pub(crate) fn image(name: &str) -> Option<Image> {
    images().into_iter().find(|image| image.name == name)
}

impl Image {
    /// All its names.
    pub(crate) fn references(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.reference).chain(self.aliases.iter().copied())
    }

    /// Whether it holds a program of this workspace.
    pub(crate) fn is_own(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Own(_)))
    }

    /// The components whose programs it holds.
    pub(crate) fn components(&self) -> Vec<Component> {
        self.items
            .iter()
            .filter_map(|item| match item {
                Item::Component(component, _) => Some(*component),
                Item::Pause => Some(crate::components::KUBERNETES),
                Item::Own(_) | Item::Link(..) => None,
            })
            .collect()
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn component(
    name: &'static str,
    reference: &'static str,
    component: Component,
    path: &str,
    user: &str,
) -> Image {
    Image {
        name,
        reference,
        aliases: &[],
        base: Some(BASE),
        items: vec![Item::Component(component, path.to_owned())],
        config: Config {
            entrypoint: vec![path.to_owned()],
            env: words(&["PATH=/usr/bin"]),
            user: user.to_owned(),
            ..Config::default()
        },
    }
}

/// CloudNativePG finds the programs it injects into PostgreSQL's pods by the relative pattern `operator/manager_*`:
/// the working directory, the file's name and the link `/manager` are all part of the contract.
fn cloudnative_pg() -> Image {
    let program = format!("/operator/manager_{}", architecture());
    Image {
        name: "cloudnative-pg",
        reference: "ghcr.io/cloudnative-pg/cloudnative-pg:1.30.0",
        aliases: &[],
        base: Some(BASE),
        items: vec![
            Item::Component(CLOUDNATIVE_PG, program.clone()),
            Item::Link(program.trim_start_matches('/').to_owned(), "/manager".into()),
        ],
        config: Config {
            entrypoint: words(&["/manager"]),
            user: "10001:10001".into(),
            working_dir: "/".into(),
            ..Config::default()
        },
    }
}

fn own(program: &'static str) -> Image {
    let (reference, cmd) = match program {
        "medical-operator" => ("docker.io/medops/medical-operator:0.1.0", words(&[])),
        "medical-app" => ("docker.io/medops/medical-app:0.1.0", words(&["serve"])),
        _ => ("docker.io/medops/medical-backup:0.1.0", words(&[])),
    };
    Image {
        name: program,
        reference,
        aliases: &[],
        base: Some(BASE),
        items: vec![Item::Own(program)],
        config: Config {
            entrypoint: vec![format!("/usr/local/bin/{program}")],
            cmd,
            env: words(&["PATH=/usr/local/bin:/usr/bin"]),
            user: "10001:10001".into(),
            working_dir: "/".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::places::Places;

    #[test]
    fn names_and_references_are_unique_and_references_are_complete() {
        let images = images();
        assert_eq!(
            images.iter().map(|i| i.name).collect::<BTreeSet<_>>().len(),
            images.len()
        );
        assert_eq!(
            images.iter().map(|i| i.reference).collect::<BTreeSet<_>>().len(),
            images.len()
        );
        for image in images {
            let (host, rest) = image.reference.split_once('/').unwrap();
            assert!(
                host.contains('.') && rest.contains(':'),
                "{}: registry, name and tag",
                image.reference
            );
        }
    }

    #[test]
    fn upstream_images_carry_the_version_of_the_component_they_hold() {
        for image in images() {
            for component in image.components().iter().filter(|c| c.name != "kubernetes") {
                let tag = image.reference.rsplit(':').next().unwrap();
                assert_eq!(
                    tag.trim_start_matches('v'),
                    component.version.trim_start_matches('v'),
                    "{}",
                    image.name
                );
            }
        }
    }

    #[test]
    fn our_images_run_as_an_unprivileged_user() {
        for name in OWN {
            assert_eq!(image(name).unwrap().config.user, "10001:10001");
        }
    }

    #[test]
    fn our_tags_are_the_version_of_the_workspace() {
        for name in OWN {
            assert!(
                image(name)
                    .unwrap()
                    .reference
                    .ends_with(concat!(":", env!("CARGO_PKG_VERSION")))
            );
        }
    }

    #[test]
    fn the_dockerfiles_give_the_same_base_program_and_user() {
        let repository = Places::find().unwrap().repository;
        for (folder, program) in [("operator", OWN[0]), ("app", OWN[1]), ("backup", OWN[2])] {
            let text = std::fs::read_to_string(repository.join(folder).join("Dockerfile")).unwrap();
            let image = image(program).unwrap();
            for line in [
                "FROM scratch".to_owned(),
                "USER 10001:10001".to_owned(),
                format!("ENTRYPOINT [\"/usr/local/bin/{program}\"]"),
                format!("ENV {}", image.config.env[0]),
            ] {
                assert!(
                    text.lines().any(|l| l == line),
                    "{folder}/Dockerfile has no line: {line}"
                );
            }
            assert!(
                text.contains("tests/kube/rootfs/base.sh"),
                "{folder}/Dockerfile builds another base"
            );
            let cmd = image
                .config
                .cmd
                .iter()
                .map(|word| format!("CMD [\"{word}\"]"))
                .next();
            assert_eq!(
                text.lines().find(|l| l.starts_with("CMD")).map(str::to_owned),
                cmd
            );
        }
    }
}
