//! userNames that go round in a circle: each resource wants a name that the next one's account still has.
//! No order of renames works there, since a userName is unique (RFC 7643 §4.1.1), so that one of them
//! takes a name aside first, and comes back when its own is free (R27).

use super::names::short_hash;

/// The longest circle that is looked for.
const LONGEST: usize = 1_000;

/// Whether this resource is the one of its circle that steps aside: the first of it, so that all agree.
/// `holder` says whose account has the name that a resource wants.
pub fn steps_aside<K: Ord + Clone>(me: &K, holder: impl Fn(&K) -> Option<K>) -> bool {
    let mut next = holder(me);
    for _ in 0..LONGEST {
        match next {
            Some(key) if key == *me => return true,
            Some(key) if key > *me => next = holder(&key),
            // Another one of the circle steps aside, or there is none and its end moves first.
            _ => return false,
        }
    }
    false
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
        for (holders, aside, why) in [
            (&[(1, 2), (2, 1)][..], &[1][..], "a swap"),
            (&[(3, 1), (1, 2), (2, 3)], &[1], "three of them"),
            (&[(1, 2), (2, 3)], &[], "a chain: its end moves first"),
            (&[(1, 1)], &[1], "its own name in another spelling, refused"),
            (
                &[(1, 2), (2, 3), (3, 2)],
                &[2],
                "one waits for a circle of others",
            ),
            (&[(1, 9)], &[], "somebody who wants nothing"),
        ] {
            let holder = |key: &i32| {
                let found = holders.iter().find(|(of, _)| of == key);
                found.map(|(_, holder)| *holder)
            };
            let found: Vec<i32> = (1..=3).filter(|key| steps_aside(key, holder)).collect();
            assert_eq!(found, aside, "{why}");
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
