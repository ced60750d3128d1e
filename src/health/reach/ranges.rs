//! Sets of numbers as sorted, disjoint, inclusive ranges: addresses, ports, protocols. One canonical form a set, so equality of sets
//! is equality of values.

/// A set of numbers. Its ranges are sorted, do not touch each other, and include both ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ranges(Vec<(u128, u128)>);

impl Ranges {
    /// No number.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The numbers from `low` to `high`, both included; none if they are the wrong way round.
    #[must_use]
    pub fn of(low: u128, high: u128) -> Self {
        if low > high {
            Self::none()
        } else {
            Self(vec![(low, high)])
        }
    }

    /// One number.
    #[must_use]
    pub fn one(value: u128) -> Self {
        Self(vec![(value, value)])
    }

    /// The union of ranges in any order, overlapping or not.
    #[must_use]
    pub fn from_parts(mut parts: Vec<(u128, u128)>) -> Self {
        parts.retain(|(low, high)| low <= high);
        parts.sort_unstable();
        let mut ranges: Vec<(u128, u128)> = Vec::with_capacity(parts.len());
        for (low, high) in parts {
            match ranges.last_mut() {
                Some(last) if last.1 >= low || last.1.checked_add(1) == Some(low) => {
                    last.1 = last.1.max(high);
                }
                _ => ranges.push((low, high)),
            }
        }
        Self(ranges)
    }

    /// Whether there is no number in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u128, u128)> + '_ {
        self.0.iter().copied()
    }

    /// Its ranges, ascending.
    #[must_use]
    pub fn as_slice(&self) -> &[(u128, u128)] {
        &self.0
    }

    /// How many ranges it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a number is in it.
    #[must_use]
    pub fn contains(&self, value: u128) -> bool {
        let at = self.0.partition_point(|(_, high)| *high < value);
        self.0.get(at).is_some_and(|(low, _)| *low <= value)
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_parts(self.iter().chain(other.iter()).collect())
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut ours, mut theirs) = (self.iter().peekable(), other.iter().peekable());
        let mut both = Vec::new();
        while let (Some((a, b)), Some((c, d))) = (ours.peek().copied(), theirs.peek().copied()) {
            let (low, high) = (a.max(c), b.min(d));
            if low <= high {
                both.push((low, high));
            }
            if b < d {
                ours.next();
            } else {
                theirs.next();
            }
        }
        Self(both)
    }

    /// What is in this and not in the other.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.intersection(&other.complement(u128::MAX))
    }

    /// The numbers from 0 to `last` that are not in it.
    #[must_use]
    pub fn complement(&self, last: u128) -> Self {
        let mut gaps = Vec::with_capacity(self.0.len() + 1);
        let mut next = Some(0);
        for (low, high) in self.iter() {
            let Some(start) = next else { break };
            if start > last {
                break;
            }
            if low > start {
                gaps.push((start, (low - 1).min(last)));
            }
            next = high.checked_add(1);
        }
        if let Some(start) = next.filter(|start| *start <= last) {
            gaps.push((start, last));
        }
        Self(gaps)
    }
}

impl FromIterator<(u128, u128)> for Ranges {
    fn from_iter<T: IntoIterator<Item = (u128, u128)>>(parts: T) -> Self {
        Self::from_parts(parts.into_iter().collect())
    }
}
