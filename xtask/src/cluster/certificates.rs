//! One certificate authority, every client and server certificate, the key of service-account tokens, and the
//! kubeconfigs. Made for each `up`, for one year, and removed with the cluster.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rcgen_ring::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::json;

use super::addresses::{API_SERVICE_IP, DOMAIN, NODE, NODE_IP};
use super::instance::Instance;

/// Whether a certificate is shown by a client or by a server under these names.
#[derive(Debug, Clone)]
enum Use {
    Client,
    Server(Vec<SanType>),
}

/// One certificate. The API server takes a client's user from the common name and the groups from the organisations
/// (<https://kubernetes.io/docs/setup/best-practices/certificates/>).
#[derive(Debug, Clone)]
struct Wanted {
    file: &'static str,
    user: &'static str,
    groups: &'static [&'static str],
    usage: Use,
    kubeconfig: bool,
}

/// The user that the operator's pods are, for running the operator outside of a pod with exactly its rights.
pub(crate) const OPERATOR_USER: &str = "system:serviceaccount:medical-operator-system:medical-operator";
/// The group of all service accounts in the operator's namespace.
pub(crate) const OPERATOR_GROUP: &str = "system:serviceaccounts:medical-operator-system";

fn wanted() -> Result<Vec<Wanted>> {
    let client = |file, user, groups| Wanted {
        file,
        user,
        groups,
        usage: Use::Client,
        kubeconfig: true,
    };
    let names = |dns: &[&str], ips: &[&str]| -> Result<Vec<SanType>> {
        let mut names = Vec::new();
        for name in dns {
            names.push(SanType::DnsName((*name).try_into()?));
        }
        for ip in ips {
            names.push(SanType::IpAddress(ip.parse::<IpAddr>()?));
        }
        Ok(names)
    };
    let in_cluster = format!("kubernetes.default.svc.{DOMAIN}");
    let api_server = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        in_cluster.as_str(),
        "localhost",
    ];
    Ok(vec![
        client("admin", "kubernetes-admin", &["system:masters"]),
        client("controller-manager", "system:kube-controller-manager", &[]),
        client("scheduler", "system:kube-scheduler", &[]),
        client("proxy", "system:kube-proxy", &[]),
        client("kubelet", "system:node:node0", &["system:nodes"]),
        client(
            "operator",
            OPERATOR_USER,
            &["system:serviceaccounts", OPERATOR_GROUP],
        ),
        Wanted {
            kubeconfig: false,
            ..client("apiserver-kubelet", "kube-apiserver-kubelet-client", &[])
        },
        Wanted {
            kubeconfig: false,
            ..client("front-proxy", "front-proxy-client", &[])
        },
        Wanted {
            file: "apiserver",
            user: "kube-apiserver",
            groups: &[],
            usage: Use::Server(names(&api_server, &["127.0.0.1", API_SERVICE_IP, NODE_IP])?),
            kubeconfig: false,
        },
        Wanted {
            file: "kubelet-server",
            user: NODE,
            groups: &[],
            usage: Use::Server(names(&[NODE], &[NODE_IP])?),
            kubeconfig: false,
        },
        Wanted {
            file: "component",
            user: "component",
            groups: &[],
            usage: Use::Server(names(&["localhost"], &["127.0.0.1"])?),
            kubeconfig: false,
        },
    ])
}

/// Makes everything that is missing in the instance's folder; a complete set is left alone.
pub(crate) fn ensure(instance: &Instance) -> Result<()> {
    let folder = instance.pki();
    let complete = folder.join("complete");
    if complete.is_file() {
        return Ok(());
    }
    fs::create_dir_all(&folder)?;
    let key = KeyPair::generate()?;
    let params = authority()?;
    let certificate = params.self_signed(&key)?;
    let authority_pem = certificate.pem();
    public(&folder.join("ca.crt"), &authority_pem)?;
    private(&folder.join("ca.key"), &key.serialize_pem())?;
    let issuer = Issuer::new(params, key);

    let server = format!("https://{}:{}", instance.api_host(), instance.ports.api_server);
    for wanted in wanted()? {
        let key = KeyPair::generate()?;
        let certificate = parameters(&wanted)?
            .signed_by(&key, &issuer)
            .context(wanted.file)?;
        public(&folder.join(format!("{}.crt", wanted.file)), &certificate.pem())?;
        private(&folder.join(format!("{}.key", wanted.file)), &key.serialize_pem())?;
        if wanted.kubeconfig {
            let config = kubeconfig(&folder, &server, wanted.file);
            private(&folder.join(format!("{}.kubeconfig", wanted.file)), &config)?;
        }
    }
    let tokens = KeyPair::generate()?;
    private(&folder.join("service-accounts.key"), &tokens.serialize_pem())?;
    public(&folder.join("service-accounts.pub"), &tokens.public_key_pem())?;
    public(&complete, "")
}

fn authority() -> Result<CertificateParams> {
    let mut params = dated(CertificateParams::new(Vec::new())?);
    params
        .distinguished_name
        .push(DnType::CommonName, "medops-local-cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    Ok(params)
}

fn parameters(wanted: &Wanted) -> Result<CertificateParams> {
    let mut params = dated(CertificateParams::new(Vec::new())?);
    for group in wanted.groups {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params.distinguished_name.push(DnType::CommonName, wanted.user);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    match &wanted.usage {
        Use::Client => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        Use::Server(names) => {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.subject_alt_names.clone_from(names);
        }
    }
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn dated(mut params: CertificateParams) -> CertificateParams {
    let hour = Duration::from_hours(1);
    params.distinguished_name = rcgen_ring::DistinguishedName::new();
    params.not_before = (SystemTime::now() - hour).into();
    params.not_after = (SystemTime::now() + 24 * 365 * hour).into();
    params
}

/// JSON is YAML; the certificates stay in files, which keeps the kubeconfig readable.
fn kubeconfig(folder: &Path, server: &str, user: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "medops", "cluster": {"server": server, "certificate-authority": folder.join("ca.crt")}}],
        "users": [{"name": user, "user": {
            "client-certificate": folder.join(format!("{user}.crt")),
            "client-key": folder.join(format!("{user}.key")),
        }}],
        "contexts": [{"name": "medops", "context": {"cluster": "medops", "user": user}}],
        "current-context": "medops",
    })
    .to_string()
}

fn public(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

fn private(path: &Path, content: &str) -> Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(file.write_all(content.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::cluster::instance::{Provider, Tier};
    use crate::places::Places;

    fn find(file: &str) -> Wanted {
        wanted()
            .unwrap()
            .into_iter()
            .find(|wanted| wanted.file == file)
            .unwrap()
    }

    fn names(file: &str) -> Vec<String> {
        let Use::Server(names) = find(file).usage else {
            panic!("{file} is no server")
        };
        names
            .iter()
            .map(|name| match name {
                SanType::DnsName(name) => name.as_str().to_owned(),
                SanType::IpAddress(ip) => ip.to_string(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn the_api_server_is_known_by_every_name_that_pods_and_the_machine_use() {
        assert_eq!(
            names("apiserver"),
            [
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
                "localhost",
                "127.0.0.1",
                "10.96.0.1",
                "172.31.255.1",
            ]
        );
        assert_eq!(names("kubelet-server"), ["node0", "172.31.255.1"]);
    }

    #[test]
    fn the_operator_outside_of_a_pod_is_the_same_user_as_inside() {
        let operator = find("operator");
        assert_eq!(
            operator.user,
            "system:serviceaccount:medical-operator-system:medical-operator"
        );
        assert_eq!(
            operator.groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:medical-operator-system"
            ]
        );
    }

    #[test]
    fn only_the_administrator_is_in_the_group_that_may_do_everything() {
        let masters: Vec<_> = wanted()
            .unwrap()
            .into_iter()
            .filter(|wanted| wanted.groups.contains(&"system:masters"))
            .map(|wanted| wanted.file)
            .collect();
        assert_eq!(masters, ["admin"]);
    }

    #[test]
    fn keys_are_readable_by_their_owner_only_and_a_complete_set_is_kept() {
        let cache = tempfile::tempdir().unwrap();
        let places = Places::at("/repository", cache.path());
        let instance = Instance::new(&places, "one", Tier::ControlPlane, Provider::Local).unwrap();
        ensure(&instance).unwrap();
        let before = fs::read(instance.pki().join("ca.crt")).unwrap();
        for entry in fs::read_dir(instance.pki()).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|end| end == "key" || end == "kubeconfig")
            {
                assert_eq!(
                    path.metadata().unwrap().permissions().mode() & 0o777,
                    0o600,
                    "{}",
                    path.display()
                );
            }
        }
        ensure(&instance).unwrap();
        assert_eq!(fs::read(instance.pki().join("ca.crt")).unwrap(), before);
    }
}
