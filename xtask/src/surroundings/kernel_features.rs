//! Kernel features, found out by using each in a network namespace that goes away again.

use std::path::Path;

use nix::sched::{CloneFlags, unshare};

use super::Fault;
use crate::command::Run;

/// One feature: how to try it, and what provides it.
struct Feature {
    name: &'static str,
    trial: Trial,
    module: &'static str,
    option: &'static str,
}

enum Trial {
    /// A command succeeds.
    Command(&'static [&'static str]),
    /// A ruleset loads.
    Ruleset(&'static str),
    /// A path exists.
    Path(&'static str),
    /// A file system is known.
    FileSystem(&'static str),
}

/// In the order in which they build on each other.
const FEATURES: [Feature; 9] = [
    Feature {
        name: "the overlay file system",
        trial: Trial::FileSystem("overlay"),
        module: "overlay",
        option: "CONFIG_OVERLAY_FS",
    },
    Feature {
        name: "network bridges",
        trial: Trial::Command(&["ip", "link", "add", "medops-trial", "type", "bridge"]),
        module: "bridge",
        option: "CONFIG_BRIDGE",
    },
    Feature {
        name: "pairs of virtual network devices",
        trial: Trial::Command(&[
            "ip",
            "link",
            "add",
            "medops-one",
            "type",
            "veth",
            "peer",
            "name",
            "medops-two",
        ]),
        module: "veth",
        option: "CONFIG_VETH",
    },
    Feature {
        name: "filtering of bridged traffic",
        trial: Trial::Path("/proc/sys/net/bridge/bridge-nf-call-iptables"),
        module: "br_netfilter",
        option: "CONFIG_BRIDGE_NETFILTER",
    },
    Feature {
        name: "nftables with address translation",
        trial: Trial::Ruleset(
            "table ip medops_trial { chain out { type nat hook postrouting priority 100; masquerade; }; };",
        ),
        module: "nft_masq",
        option: "CONFIG_NF_TABLES, CONFIG_NFT_NAT, CONFIG_NFT_MASQ",
    },
    Feature {
        name: "sets of addresses",
        trial: Trial::Command(&["ipset", "create", "medops-trial", "hash:ip"]),
        module: "ip_set_hash_ip",
        option: "CONFIG_IP_SET, CONFIG_IP_SET_HASH_IP",
    },
    Feature {
        name: "iptables rules that match sets",
        trial: Trial::Command(&[
            "iptables",
            "-A",
            "OUTPUT",
            "-m",
            "set",
            "--match-set",
            "medops-trial",
            "src",
            "-m",
            "comment",
            "--comment",
            "trial",
            "-j",
            "ACCEPT",
        ]),
        module: "xt_set",
        option: "CONFIG_NETFILTER_XT_SET",
    },
    Feature {
        name: "iptables rules that match connections",
        trial: Trial::Command(&[
            "iptables",
            "-A",
            "OUTPUT",
            "-m",
            "conntrack",
            "--ctstate",
            "NEW",
            "-j",
            "ACCEPT",
        ]),
        module: "xt_conntrack",
        option: "CONFIG_NETFILTER_XT_MATCH_CONNTRACK",
    },
    Feature {
        name: "iptables rules that match bridge ports",
        trial: Trial::Command(&[
            "iptables",
            "-A",
            "FORWARD",
            "-m",
            "physdev",
            "--physdev-is-bridged",
            "-j",
            "ACCEPT",
        ]),
        module: "xt_physdev",
        option: "CONFIG_NETFILTER_XT_MATCH_PHYSDEV",
    },
];

impl Trial {
    fn succeeds(&self) -> bool {
        match self {
            Self::Command(words) => Run::new(words[0]).args(&words[1..]).succeeds(),
            Self::Ruleset(text) => Run::new("nft").args(["-f", "-"]).input(*text).done().is_ok(),
            Self::Path(path) => Path::new(path).exists(),
            Self::FileSystem(name) => std::fs::read_to_string("/proc/filesystems").is_ok_and(|text| {
                text.lines()
                    .any(|line| line.split_whitespace().last() == Some(name))
            }),
        }
    }
}

/// The features this kernel lacks, after an attempt to load the module of each.
pub(super) fn missing() -> Vec<Fault> {
    // A thread of its own, so that only it leaves the machine's network.
    std::thread::spawn(|| {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            return vec![Fault::new(
                format!("the kernel makes no network namespace ({error})"),
                "use a kernel with CONFIG_NET_NS; in a container, run it privileged",
            )];
        }
        FEATURES.iter().filter_map(try_feature).collect()
    })
    .join()
    .unwrap_or_default()
}

fn try_feature(feature: &Feature) -> Option<Fault> {
    if feature.trial.succeeds()
        || (Run::new("modprobe").arg(feature.module).succeeds() && feature.trial.succeeds())
    {
        return None;
    }
    Some(Fault::new(
        format!("the kernel has no {}", feature.name),
        format!(
            "modprobe {}, or use a kernel with {}",
            feature.module, feature.option
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_feature_is_reported_with_its_module_and_option() {
        let feature = Feature {
            name: "flying",
            trial: Trial::Path("/no/such/path"),
            module: "no_such_module",
            option: "CONFIG_FLYING",
        };
        let fault = try_feature(&feature).unwrap();
        assert_eq!(fault.what, "the kernel has no flying");
        assert!(fault.remedy.contains("no_such_module") && fault.remedy.contains("CONFIG_FLYING"));
    }

    #[test]
    fn a_feature_that_is_there_is_no_fault() {
        let feature = Feature {
            name: "proc",
            trial: Trial::FileSystem("proc"),
            module: "",
            option: "",
        };
        assert!(try_feature(&feature).is_none());
    }
}
