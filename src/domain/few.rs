//! A set that mostly has one element, as of accounts of one name: that one costs no memory of its own.

use std::collections::BTreeSet;

/// A set in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Few<T> {
    /// One element.
    One(T),
    /// None, or more than one.
    Many(BTreeSet<T>),
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::Many(BTreeSet::new())
    }
}

impl<T: Ord> Few<T> {
    /// Adds an element, if it is not there.
    pub fn insert(&mut self, element: T) {
        match self {
            Self::One(known) if *known == element => {}
            Self::Many(all) if all.is_empty() => *self = Self::One(element),
            Self::Many(all) => {
                all.insert(element);
            }
            Self::One(_) => {
                if let Self::One(known) = std::mem::take(self) {
                    *self = Self::Many(BTreeSet::from([known, element]));
                }
            }
        }
    }

    /// Takes an element out.
    pub fn remove(&mut self, element: &T) {
        match self {
            Self::One(known) if known == element => *self = Self::default(),
            Self::One(_) => {}
            Self::Many(all) => {
                all.remove(element);
                if all.len() == 1
                    && let Some(last) = all.pop_first()
                {
                    *self = Self::One(last);
                }
            }
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Many(all) if all.is_empty())
    }

    /// The elements, the least first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match self {
            Self::One(one) => (Some(one), None),
            Self::Many(many) => (None, Some(many)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((any::<bool>(), 0..4u8), 0..40)) {
            let (mut few, mut set) = (Few::default(), BTreeSet::new());
            for (add, element) in steps {
                if add {
                    few.insert(element);
                    set.insert(element);
                } else {
                    few.remove(&element);
                    set.remove(&element);
                }
                prop_assert!(few.iter().eq(set.iter()));
                prop_assert_eq!(few.is_empty(), set.is_empty());
                prop_assert_eq!(matches!(few, Few::One(_)), set.len() == 1);
            }
        }
    }
}
