//! Container images without a container engine: OCI archives written by this crate and imported by containerd
//! (`ctr images import`) or kind (`kind load image-archive`).

pub(crate) mod build;
pub(crate) mod oci;
pub(crate) mod rootfs;
pub(crate) mod table;
