//! A map that its clones share until one of them is written to: what a world has of every guest costs a cycle in which no guest
//! changed nothing, and a plan's next world only what its step changed.

use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A sorted map, shared by its clones. Reading is as with a [`BTreeMap`]; the first write to a map that others share copies it, so
/// look before writing where there may be nothing to write.
pub struct Shared<K, V>(Arc<BTreeMap<K, V>>);

impl<K, V> Shared<K, V> {
    /// Whether two maps are one in memory, and so equal.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<K, V> Clone for Shared<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self(Arc::new(BTreeMap::new()))
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Shared<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Shared<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.is(other) || self.0 == other.0
    }
}

impl<K, V> Deref for Shared<K, V> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<K: Ord + Clone, V: Clone> DerefMut for Shared<K, V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Shared<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(Arc::new(entries.into_iter().collect()))
    }
}

impl<K: Ord + Clone, V: Clone> IntoIterator for Shared<K, V> {
    type Item = (K, V);
    type IntoIter = btree_map::IntoIter<K, V>;

    fn into_iter(self) -> Self::IntoIter {
        Arc::unwrap_or_clone(self.0).into_iter()
    }
}

impl<'a, K, V> IntoIterator for &'a Shared<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = btree_map::Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a, K: Ord + Clone, V: Clone> IntoIterator for &'a mut Shared<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = btree_map::IterMut<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_the_same_map_until_it_is_written_to() {
        let one: Shared<u8, u8> = [(1, 10), (2, 20)].into_iter().collect();
        let mut other = one.clone();
        assert!(one.is(&other));
        other.insert(3, 30);
        assert!(!one.is(&other));
        assert_eq!((one.len(), other.len()), (2, 3));
        other.remove(&3);
        assert_eq!(one, other);
        for (_, value) in &mut other {
            *value += 1;
        }
        assert_ne!(one, other);
        assert_eq!(format!("{other:?}"), "{1: 11, 2: 21}");
    }
}
