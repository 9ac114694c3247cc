//! userNames that go round in a circle: each resource wants a name that the next one's account still has.
//! No order of renames works there, since a userName is unique (RFC 7643 §4.1.1), so that one of them
//! takes a name aside first, and comes back when its own is free (R27).

use super::names::short_hash;

/// The longest circle that is looked for.
const LONGEST: usize = 1_000;

/// The one that steps aside, where this resource is in a circle: the first of it, so that all agree.
/// `holder` says whose account has the name that a resource wants.
pub fn steps_aside<K: Ord + Clone>(me: &K, holder: impl Fn(&K) -> Option<K>) -> Option<K> {
    let mut first = me.clone();
    let mut next = holder(me)?;
    for _ in 0..LONGEST {
        if next == *me {
            return Some(first);
        }
        first = first.min(next.clone());
        next = holder(&next)?;
    }
    // It leads into a circle of others, or is too long to be one.
    None
}

/// The name that is taken aside: of the same shape, and of nobody else.
pub fn aside(user_name: &str, uid: &str) -> String {
    let tail = format!(".renaming-{}", &short_hash(uid)[..8]);
    let (local, rest) = match user_name.rsplit_once('@') {
        Some((local, domain)) => (local, format!("@{domain}")),
        None => (user_name, String::new()),
    };
    // 64 characters before the @ are what an address may have (RFC 5321 §4.5.3.1.1).
    let kept: String = local.chars().take(64 - tail.len()).collect();
    format!("{kept}{tail}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_circle_steps_aside_and_nobody_of_a_chain() {
        for (holders, expected, why) in [
            (&[(1, 2), (2, 1)][..], [Some(1), Some(1), None], "a swap"),
            (
                &[(3, 1), (1, 2), (2, 3)],
                [Some(1), Some(1), Some(1)],
                "three, and each knows which",
            ),
            (
                &[(1, 2), (2, 3)],
                [None, None, None],
                "a chain: its end moves first",
            ),
            (
                &[(1, 1)],
                [Some(1), None, None],
                "its own name in another spelling, refused",
            ),
            (
                &[(1, 2), (2, 3), (3, 2)],
                [None, Some(2), Some(2)],
                "one waits for a circle of others",
            ),
            (&[(1, 9)], [None, None, None], "somebody who wants nothing"),
        ] {
            let holder = |key: &i32| {
                let found = holders.iter().find(|(of, _)| of == key);
                found.map(|(_, holder)| *holder)
            };
            let found = [1, 2, 3].map(|key| steps_aside(&key, holder));
            assert_eq!(found, expected, "{why}");
        }
    }

    #[test]
    fn the_name_aside_is_of_the_same_shape() {
        let name = aside("ada@example.com", "uid-1");
        assert!(name.starts_with("ada.renaming-") && name.ends_with("@example.com"));
        assert_ne!(name, aside("ada@example.com", "uid-2"));
        let long = aside(&format!("{}@example.com", "a".repeat(64)), "uid-1");
        assert_eq!(long.find('@'), Some(64));
        assert!(aside("ada", "uid-1").starts_with("ada.renaming-"));
    }
}
