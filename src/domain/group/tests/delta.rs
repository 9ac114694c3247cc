//! Who comes and who goes, for every group; and requests in pieces.

use proptest::prelude::*;

use super::*;
use crate::api::group::Membership::{self, AddOnly, Exact};

#[test]
fn nobody_is_removed_while_anybody_is_unresolved_nor_under_add_only() {
    let (wanted, current) = (ids(&["a", "b", "c"]), ids(&["b", "x", "y"]));
    for (membership, all_resolved, remove, why) in [
        (
            Exact,
            true,
            &["x", "y"][..],
            "the group has the declared members and no others",
        ),
        (
            Exact,
            false,
            &[],
            "the one too many may be the one not known yet (R19)",
        ),
        (AddOnly, true, &[], "never removes"),
        (AddOnly, false, &[], "never removes"),
    ] {
        let expected = Delta {
            add: list(&["a", "c"]),
            remove: list(remove),
        };
        let found = delta(&wanted, &current, membership, all_resolved);
        assert_eq!(found, expected, "{why}");
        assert!(!found.is_empty(), "{why}");
    }
    assert!(delta(&wanted, &wanted, Exact, true).is_empty(), "in step");
}

#[test]
fn ids_are_sent_in_pieces_and_none_is_lost() {
    for (count, most, sizes, why) in [
        (0, 100, &[][..], "nobody, no request"),
        (100, 100, &[100], "one piece"),
        (101, 100, &[100, 1], "one more"),
        (3, 0, &[1, 1, 1], "a piece of nobody would never end"),
    ] {
        let all: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        let pieces: Vec<_> = chunks(&all, most).collect();
        assert_eq!(
            pieces.iter().map(|p| p.len()).collect::<Vec<_>>(),
            sizes,
            "{why}"
        );
        assert_eq!(pieces.concat(), all, "{why}");
    }
}

#[test]
fn a_piece_is_halved_until_one_is_left() {
    for (all, expected, why) in [
        (
            &["a", "b", "c", "d"][..],
            Some((&["a", "b"][..], &["c", "d"][..])),
            "even",
        ),
        (
            &["a", "b", "c"],
            Some((&["a", "b"], &["c"])),
            "odd: the first is larger",
        ),
        (&["a"], None, "one cannot be halved: it is that one"),
        (&[], None, "nobody"),
    ] {
        let all = list(all);
        let expected = expected.map(|(left, right)| (list(left), list(right)));
        let found = halves(&all).map(|(left, right)| (left.to_vec(), right.to_vec()));
        assert_eq!(found, expected, "{why}");
    }
}

fn some_ids() -> impl Strategy<Value = BTreeSet<String>> {
    proptest::collection::btree_set("[a-h]{1,2}", 0..12)
}

proptest! {
    #[test]
    fn a_delta_says_no_more_and_no_less_than_it_may(
        wanted in some_ids(),
        current in some_ids(),
        exact in any::<bool>(),
        all_resolved in any::<bool>(),
    ) {
        let membership = if exact { Membership::Exact } else { Membership::AddOnly };
        let Delta { add, remove } = delta(&wanted, &current, membership, all_resolved);
        prop_assert!(add.is_sorted() && remove.is_sorted());
        prop_assert!(add.iter().all(|id| !current.contains(id) && wanted.contains(id)));
        prop_assert!(remove.iter().all(|id| current.contains(id) && !wanted.contains(id)));
        let mut after = current.clone();
        after.extend(add);
        after.retain(|id| !remove.contains(id));
        if exact && all_resolved {
            prop_assert_eq!(&after, &wanted);
        } else {
            prop_assert!(remove.is_empty());
            prop_assert!(after.is_superset(&wanted) && after.is_superset(&current));
        }
        let again = delta(&wanted, &after, membership, all_resolved);
        prop_assert!(again.is_empty(), "what was done is not done again");
    }
}
