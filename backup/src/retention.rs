//! Which dumps have outlived their tier. Pure: names in, indexes out.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use crate::name::{DumpName, Tier};

/// One dump of a directory, as far as retention is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The dump's file name.
    pub name: DumpName,
    /// Whether it has a readable manifest and the size that the manifest names.
    pub whole: bool,
}

/// The indexes of the dumps that may be deleted.
///
/// Of each database the newest `keep` whole dumps of `tier` stay. A damaged dump does not count towards `keep`:
/// it stays, as evidence, until `keep` newer whole ones exist. `just_written` always stays, so that a clock set back cannot
/// make a dump prune itself.
pub fn expired(
    candidates: &[Candidate],
    tier: Tier,
    keep: NonZeroU32,
    just_written: Option<&DumpName>,
) -> Vec<usize> {
    let mut newest_first: Vec<usize> = (0..candidates.len())
        .filter(|&index| candidates[index].name.tier() == tier)
        .collect();
    newest_first.sort_by_key(|&index| std::cmp::Reverse(&candidates[index].name));

    let mut whole_seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut expired = Vec::new();
    for index in newest_first {
        let Candidate { name, whole } = &candidates[index];
        let seen = whole_seen.entry(name.database()).or_default();
        if *seen >= keep.get() && Some(name) != just_written {
            expired.push(index);
        }
        if *whole {
            *seen += 1;
        }
    }
    expired
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let one = (prop_oneof!["app", "other"], 0_usize..4, 0_i64..40, any::<bool>());
        prop::collection::vec(one, 0..40).prop_map(|all| {
            let mut list: Vec<_> = all
                .into_iter()
                .map(|(database, tier, second, whole)| Candidate {
                    name: DumpName::new(database, Tier::ALL[tier], Timestamp::from_second(second).unwrap()),
                    whole,
                })
                .collect();
            // A directory holds each name once.
            list.sort_by(|a, b| a.name.cmp(&b.name));
            list.dedup_by(|a, b| a.name == b.name);
            list
        })
    }

    proptest! {
        #[test]
        fn the_newest_whole_dumps_stay_and_older_ones_go(
            list in candidates(), tier in 0_usize..4, keep in 1_u32..5, pick in any::<prop::sample::Index>(),
        ) {
            let tier = Tier::ALL[tier];
            let just_written = (!list.is_empty()).then(|| pick.get(&list).name.clone());
            let gone = expired(&list, tier, NonZeroU32::new(keep).unwrap(), just_written.as_ref());

            for (index, candidate) in list.iter().enumerate() {
                let newer_whole = list
                    .iter()
                    .filter(|other| other.whole && other.name.tier() == tier)
                    .filter(|other| other.name.database() == candidate.name.database())
                    .filter(|other| other.name.taken_at() > candidate.name.taken_at())
                    .count();
                let expected = candidate.name.tier() == tier
                    && newer_whole >= keep as usize
                    && Some(&candidate.name) != just_written.as_ref();
                prop_assert_eq!(gone.contains(&index), expected, "{}", candidate.name);
            }
        }

        #[test]
        fn the_newest_whole_dump_of_a_database_is_never_deleted(
            list in candidates(), tier in 0_usize..4, keep in 1_u32..5,
        ) {
            let gone = expired(&list, Tier::ALL[tier], NonZeroU32::new(keep).unwrap(), None);
            for database in ["app", "other"] {
                for tier in Tier::ALL {
                    let newest = (0..list.len())
                        .filter(|&i| list[i].whole && list[i].name.tier() == tier)
                        .filter(|&i| list[i].name.database() == database)
                        .max_by_key(|&i| list[i].name.taken_at());
                    prop_assert!(newest.is_none_or(|index| !gone.contains(&index)));
                }
            }
        }

        #[test]
        fn pruning_twice_deletes_nothing_more(list in candidates(), keep in 1_u32..5) {
            let keep = NonZeroU32::new(keep).unwrap();
            let gone = expired(&list, Tier::Daily, keep, None);
            let left: Vec<_> = list.iter().enumerate()
                .filter(|(index, _)| !gone.contains(index)).map(|(_, c)| c.clone()).collect();
            prop_assert!(expired(&left, Tier::Daily, keep, None).is_empty());
        }
    }
}
