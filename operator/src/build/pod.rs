//! What every pod of a deployment has: the restricted Pod Security standard and volumes with as few keys as possible.

use k8s_openapi::api::core::v1::{
    Capabilities, EmptyDirVolumeSource, KeyToPath, PodSecurityContext, SeccompProfile, SecretVolumeSource,
    SecurityContext, Volume, VolumeMount,
};

use super::quantities;

/// Octal 0440: the pod's group, which is its user's, may read.
pub(crate) const READ_ONLY_FILE: i32 = 0o440;

/// User and group of the operand image.
pub(crate) const POSTGRES_USER: i64 = 26;

/// The pod's part of the restricted Pod Security standard (R-015,
/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>).
pub(crate) fn pod_security(user: i64) -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(user),
        run_as_group: Some(user),
        fs_group: Some(user),
        // A backup volume may hold many files; they have the right group already.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(runtime_default()),
        ..PodSecurityContext::default()
    }
}

/// The container's part of the restricted Pod Security standard, with a read-only root file system.
pub(crate) fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            ..Capabilities::default()
        }),
        privileged: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        ..SecurityContext::default()
    }
}

/// The container runtime's own filter of system calls.
pub(crate) fn runtime_default() -> SeccompProfile {
    SeccompProfile {
        type_: "RuntimeDefault".to_owned(),
        ..SeccompProfile::default()
    }
}

/// A temporary volume of at most `bytes`.
pub(crate) fn empty_dir(name: &str, bytes: i128) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(quantities::binary(bytes)),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The named keys of a Secret as files; the other keys stay out of the pod.
pub(crate) fn secret_files(name: &str, secret: String, keys: &[&str]) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            default_mode: Some(READ_ONLY_FILE),
            items: Some(
                keys.iter()
                    .map(|key| KeyToPath {
                        key: (*key).to_owned(),
                        path: (*key).to_owned(),
                        mode: None,
                    })
                    .collect(),
            ),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// A volume that the container may write to.
pub(crate) fn writable(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    }
}

/// A volume that the container may only read.
pub(crate) fn read_only(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        read_only: Some(true),
        ..writable(volume, path)
    }
}
