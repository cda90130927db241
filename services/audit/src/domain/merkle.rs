//! The Merkle tree of the log (RFC 6962, 2.1), over the hashes of its complete subtrees.
//!
//! A proof names subtrees; each is put together from complete ones, whose hashes never change. So a proof in a log of
//! any size needs a few dozen stored hashes.

use std::collections::HashMap;

use signpost_common::hash::Sha256;

/// A SHA-256.
pub type Hash = [u8; 32];

/// A complete subtree: the leaves from `position << level` on, `1 << level` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Height; leaves are at 0.
    pub level: u32,
    /// Place in its level, from 0.
    pub position: u64,
}

/// A subtree that stands somewhere in the tree of a log: the leaves from `start` up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subtree {
    start: u64,
    end: u64,
}

/// Hashes a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let mut hasher = Sha256::default();
    hasher.update(&[0]);
    hasher.update(leaf);
    hasher.finish()
}

/// Hashes two subtrees into one.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::default();
    hasher.update(&[1]);
    hasher.update(left);
    hasher.update(right);
    hasher.finish()
}

impl Subtree {
    /// Returns the tree of a log of this size.
    pub fn whole(size: u64) -> Self {
        Self { start: 0, end: size }
    }

    /// Returns the leaves from a multiple of a power of two on, fewer than that power or as many.
    pub fn aligned(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    fn len(self) -> u64 {
        self.end - self.start
    }

    /// Splits it where the left part is the largest complete subtree that leaves a right one.
    fn split(self) -> (Self, Self) {
        let middle = self.start + self.len().next_power_of_two() / 2;
        (Self { end: middle, ..self }, Self { start: middle, ..self })
    }

    /// Returns the complete subtrees that it is made of, from left to right.
    pub fn parts(self) -> Vec<Node> {
        let mut parts = vec![];
        let mut at = self.start;
        while at < self.end {
            let level = (self.end - at).ilog2();
            parts.push(Node { level, position: at >> level });
            at += 1 << level;
        }
        parts
    }

    /// Returns its hash; `None` when the hash of one of its parts is not known.
    pub fn hash(self, known: impl Fn(&Node) -> Option<Hash>) -> Option<Hash> {
        let mut parts = self.parts().into_iter().rev();
        let Some(last) = parts.next() else { return Some(Sha256::default().finish()) };
        parts.try_fold(known(&last)?, |right, part| Some(node_hash(&known(&part)?, &right)))
    }
}

/// The right edge of a tree that grows: the complete subtrees that it is made of, from left to right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peaks {
    size: u64,
    stack: Vec<(u32, Hash)>,
}

impl Peaks {
    /// Returns the edge of a tree of `size` leaves, of which these are the parts; `None` when there are not as many.
    pub fn of(size: u64, hashes: &[Hash]) -> Option<Self> {
        let levels = Subtree::whole(size).parts().into_iter().map(|node| node.level);
        let stack: Vec<_> = levels.zip(hashes.iter().copied()).collect();
        (stack.len() == hashes.len() && stack.len() == size.count_ones() as usize)
            .then_some(Self { size, stack })
    }

    /// Returns the number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the hashes of the subtrees.
    pub fn hashes(&self) -> impl Iterator<Item = Hash> {
        self.stack.iter().map(|(_, hash)| *hash)
    }

    /// Adds a complete subtree, whose size the present one is a multiple of, and returns what it completes with those before it.
    pub fn push(&mut self, level: u32, hash: Hash) -> Vec<(Node, Hash)> {
        self.size += 1 << level;
        let (mut level, mut hash, mut made) = (level, hash, vec![]);
        while let Some((_, left)) = self.stack.pop_if(|(left, _)| *left == level) {
            hash = node_hash(&left, &hash);
            level += 1;
            made.push((Node { level, position: (self.size >> level) - 1 }, hash));
        }
        self.stack.push((level, hash));
        made
    }

    /// Returns the root hash.
    pub fn root(&self) -> Hash {
        let mut peaks = self.stack.iter().rev().map(|(_, hash)| *hash);
        let Some(last) = peaks.next() else { return Sha256::default().finish() };
        peaks.fold(last, |right, left| node_hash(&left, &right))
    }
}

/// Returns the subtrees that become complete when leaves are appended to a log of `size` leaves. `known` must know the
/// parts of that log; `None` when it does not.
pub fn grow(
    size: u64,
    leaves: impl IntoIterator<Item = Hash>,
    known: impl Fn(&Node) -> Option<Hash>,
) -> Option<Vec<(Node, Hash)>> {
    let mut made = vec![];
    let mut index = HashMap::new();
    for (position, leaf) in (size..).zip(leaves) {
        let (mut node, mut hash) = (Node { level: 0, position }, leaf);
        made.push((node, hash));
        index.insert(node, hash);
        while node.position & 1 == 1 {
            let left = Node { position: node.position - 1, ..node };
            hash = node_hash(&index.get(&left).copied().or_else(|| known(&left))?, &hash);
            node = Node { level: node.level + 1, position: node.position / 2 };
            made.push((node, hash));
            index.insert(node, hash);
        }
    }
    Some(made)
}

/// Returns the proof that a leaf is in a log of `size` leaves (RFC 6962, 2.1.1), leaf to root. `leaf` is below `size`.
pub fn inclusion(leaf: u64, size: u64) -> Vec<Subtree> {
    let mut path = vec![];
    let mut tree = Subtree::whole(size);
    while tree.len() > 1 {
        let (left, right) = tree.split();
        let (inside, beside) = if leaf < right.start { (left, right) } else { (right, left) };
        path.push(beside);
        tree = inside;
    }
    path.reverse();
    path
}

/// Returns the proof that a log of `second` leaves continues one of `first` leaves (RFC 6962, 2.1.2). `first` is
/// at least 1 and at most `second`.
pub fn consistency(first: u64, second: u64) -> Vec<Subtree> {
    let mut path = vec![];
    let mut tree = Subtree::whole(second);
    while first < tree.end {
        let (left, right) = tree.split();
        let (inside, beside) = if first <= right.start { (left, right) } else { (right, left) };
        path.push(beside);
        tree = inside;
    }
    if tree.start > 0 {
        path.push(tree);
    }
    path.reverse();
    path
}

/// Checks a proof of inclusion (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(leaf_hash: &Hash, leaf: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if leaf >= size {
        return false;
    }
    let (mut place, mut last, mut hash) = (leaf, size - 1, *leaf_hash);
    for beside in path {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            hash = node_hash(beside, &hash);
            climb(&mut place, &mut last);
        } else {
            hash = node_hash(&hash, beside);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Checks a proof of consistency (RFC 9162, 2.1.4.2).
pub fn verify_consistency(
    first: u64,
    second: u64,
    first_root: &Hash,
    second_root: &Hash,
    path: &[Hash],
) -> bool {
    if first == 0 || first >= second {
        return first == second && first > 0 && path.is_empty() && first_root == second_root;
    }
    let mut path = path.iter();
    let seed = if first.is_power_of_two() { Some(first_root) } else { path.next() };
    let Some(seed) = seed else { return false };
    let (mut place, mut last) = (first - 1, second - 1);
    (place, last) = (place >> place.trailing_ones(), last >> place.trailing_ones());
    let (mut old, mut new) = (*seed, *seed);
    for beside in path {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            (old, new) = (node_hash(beside, &old), node_hash(beside, &new));
            climb(&mut place, &mut last);
        } else {
            new = node_hash(&new, beside);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    last == 0 && old == *first_root && new == *second_root
}

/// Leaves out the levels at which a node on the right edge has no neighbour.
fn climb(place: &mut u64, last: &mut u64) {
    while *place & 1 == 0 && *place != 0 {
        (*place, *last) = (*place >> 1, *last >> 1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, word by word (RFC 6962, 2.1).
    fn definition(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => signpost_common::hash::sha256(b""),
            [leaf] => leaf_hash(leaf),
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(&definition(left), &definition(right))
            }
        }
    }

    fn tree(leaves: &[Vec<u8>]) -> HashMap<Node, Hash> {
        grow(0, leaves.iter().map(|leaf| leaf_hash(leaf)), |_| None).unwrap().into_iter().collect()
    }

    fn hashes(tree: &HashMap<Node, Hash>, subtrees: Vec<Subtree>) -> Vec<Hash> {
        subtrees.into_iter().map(|s| s.hash(|node| tree.get(node).copied()).unwrap()).collect()
    }

    fn root(tree: &HashMap<Node, Hash>, size: u64) -> Hash {
        hashes(tree, vec![Subtree::whole(size)])[0]
    }

    fn leaves(size: u64) -> Vec<Vec<u8>> {
        (0..size).map(|n| n.to_be_bytes().to_vec()).collect()
    }

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        // The reference tree of github.com/google/certificate-transparency, and the empty tree.
        let leaves = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let leaves = leaves.map(|text| hex::decode(text).unwrap());
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let tree = tree(&leaves);
        for (size, expected) in (0..).zip(roots) {
            assert_eq!(hex::encode(root(&tree, size)), expected, "{size} leaves");
        }
    }

    #[test]
    fn an_edge_grows_into_the_same_root() {
        let leaves = leaves(70);
        let hashes: Vec<_> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let tree = tree(&leaves);
        for first in 0..70 {
            let parts: Vec<_> = Subtree::whole(first).parts().iter().map(|node| tree[node]).collect();
            let mut peaks = Peaks::of(first, &parts).unwrap();
            assert!(first == 0 || Peaks::of(first, &parts[1..]).is_none());
            for hash in &hashes[first as usize..] {
                assert_eq!(peaks.root(), root(&tree, peaks.size()));
                let made = peaks.push(0, *hash);
                assert!(made.iter().all(|(node, hash)| tree[node] == *hash));
            }
            assert_eq!(peaks.root(), root(&tree, 70));
        }
    }

    #[test]
    fn a_proof_of_nothing_proves_nothing() {
        let hash = leaf_hash(b"x");
        assert!(!verify_inclusion(&hash, 0, 0, &[], &hash));
        assert!(!verify_inclusion(&hash, 1, 1, &[], &hash));
        assert!(!verify_consistency(0, 0, &hash, &hash, &[]));
        assert!(!verify_consistency(0, 1, &hash, &hash, &[]));
        assert!(!verify_consistency(2, 1, &hash, &hash, &[]));
        assert!(!verify_consistency(1, 2, &hash, &hash, &[]));
        assert!(verify_consistency(1, 1, &hash, &hash, &[]));
    }

    proptest! {
        #[test]
        fn growth_in_steps_is_growth_at_once(steps in prop::collection::vec(0_usize..40, 0..8)) {
            let all = leaves(steps.iter().sum::<usize>() as u64);
            let (mut known, mut size) = (HashMap::new(), 0);
            for step in steps {
                let new = all[size..size + step].iter().map(|leaf| leaf_hash(leaf));
                let parts = Subtree::whole(size as u64).parts();
                // Nothing but the parts of the present tree is looked at.
                let look = |node: &Node| parts.contains(node).then(|| known[node]);
                let made = grow(size as u64, new, look).unwrap();
                known.extend(made);
                size += step;
                prop_assert_eq!(root(&known, size as u64), definition(&all[..size]));
            }
            prop_assert_eq!(known, tree(&all));
        }

        #[test]
        fn every_inclusion_proof_verifies_and_no_altered_one(size in 1_u64..300, bit in 0_usize..256) {
            let leaves = leaves(size);
            let tree = tree(&leaves);
            let root = root(&tree, size);
            for leaf in 0..size {
                let hash = leaf_hash(&leaves[leaf as usize]);
                let path = hashes(&tree, inclusion(leaf, size));
                prop_assert!(verify_inclusion(&hash, leaf, size, &path, &root));
                prop_assert!(!verify_inclusion(&flip(hash, bit), leaf, size, &path, &root));
                prop_assert!(!verify_inclusion(&hash, leaf, size, &path, &flip(root, bit)));
                prop_assert!(!verify_inclusion(&hash, leaf + 1, size, &path, &root));
                for i in 0..path.len() {
                    let mut altered = path.clone();
                    altered[i] = flip(path[i], bit);
                    prop_assert!(!verify_inclusion(&hash, leaf, size, &altered, &root));
                    prop_assert!(!verify_inclusion(&hash, leaf, size, &path[..i], &root));
                }
            }
        }

        #[test]
        fn every_consistency_proof_verifies_and_no_altered_one(second in 1_u64..300, bit in 0_usize..256) {
            let tree = tree(&leaves(second));
            let new = root(&tree, second);
            for first in 1..=second {
                let old = root(&tree, first);
                let path = hashes(&tree, consistency(first, second));
                prop_assert!(verify_consistency(first, second, &old, &new, &path));
                prop_assert!(!verify_consistency(first, second, &flip(old, bit), &new, &path));
                prop_assert!(!verify_consistency(first, second, &old, &flip(new, bit), &path));
                for i in 0..path.len() {
                    let mut altered = path.clone();
                    altered[i] = flip(path[i], bit);
                    prop_assert!(!verify_consistency(first, second, &old, &new, &altered));
                    prop_assert!(!verify_consistency(first, second, &old, &new, &path[..i]));
                }
            }
        }
    }

    fn flip(mut hash: Hash, bit: usize) -> Hash {
        hash[bit / 8] ^= 1 << (bit % 8);
        hash
    }
}
