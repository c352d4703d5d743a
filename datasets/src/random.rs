//! Randomness as a function of what it is for, so that no draw depends on the order of draws.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;

/// What random numbers are used for. Different purposes never share numbers.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Shuffle = 0,
    Augment = 1,
    HoldOut = 2,
    Scene = 3,
    View = 4,
    Caption = 5,
}

/// The generator for item `index` of one epoch.
///
/// Seed, purpose and epoch form the ChaCha key and `index` its stream, so that no two items share
/// numbers, and any of them can be drawn anywhere at any time.
pub(crate) fn generator(seed: u64, purpose: Purpose, epoch: usize, index: usize) -> ChaCha8Rng {
    let mut key = [0; 32];
    let words = [seed, purpose as u64, epoch as u64];
    for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let mut generator = ChaCha8Rng::from_seed(key);
    generator.set_stream(index as u64);
    generator
}

/// The numbers below `len` in the random order of one epoch.
pub(crate) fn permutation(len: usize, seed: u64, purpose: Purpose, epoch: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.shuffle(&mut generator(seed, purpose, epoch, 0));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn every_part_of_the_address_changes_the_numbers() {
        let first = |seed, purpose, epoch, index| generator(seed, purpose, epoch, index).next_u64();
        let base = first(1, Purpose::Augment, 2, 3);
        assert_eq!(base, first(1, Purpose::Augment, 2, 3));
        assert_ne!(base, first(2, Purpose::Augment, 2, 3));
        assert_ne!(base, first(1, Purpose::Shuffle, 2, 3));
        assert_ne!(base, first(1, Purpose::Augment, 3, 3));
        assert_ne!(base, first(1, Purpose::Augment, 2, 4));
    }

    // Runs are resumed across builds: these numbers may not change with a new version of `rand`.
    #[test]
    fn a_permutation_is_fixed_for_ever_by_seed_and_epoch() {
        let permutation = |seed, epoch| permutation(8, seed, Purpose::Shuffle, epoch);
        assert_eq!(permutation(0, 0), [3, 2, 6, 7, 1, 0, 5, 4]);
        assert_eq!(permutation(0, 1), [4, 2, 7, 5, 3, 1, 6, 0]);
    }
}
