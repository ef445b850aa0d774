//! Chance: what probe ids and jitter are drawn from.
//!
//! Handed in like the clock, so that a rehearsal with the same seed repeats itself. Not for secrets:
//! keys and tokens are drawn elsewhere.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

/// A source of chance. Clones draw from the same one.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<StdRng>>);

impl std::fmt::Debug for Chance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chance(..)")
    }
}

impl Chance {
    /// One that nobody can foretell.
    pub fn fresh() -> Self {
        Self(Arc::new(Mutex::new(StdRng::from_seed(rand::random()))))
    }

    /// One that draws the same for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A number from 0 up to, but not including, 1.
    pub fn fraction(&self) -> f64 {
        self.draw(RngExt::random)
    }

    /// A random UUID (version 4).
    pub fn id(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.draw(RngExt::random)).into_uuid()
    }

    fn draw<T>(&self, with: impl FnOnce(&mut StdRng) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_a_fresh_one_does_not() {
        let draw = |chance: Chance| (chance.id(), chance.id(), chance.fraction().to_bits());
        assert_eq!(draw(Chance::seeded(7)), draw(Chance::seeded(7)));
        assert_ne!(draw(Chance::seeded(7)), draw(Chance::seeded(8)));
        assert_ne!(draw(Chance::fresh()), draw(Chance::fresh()));
        assert_eq!(Chance::seeded(7).id().get_version_num(), 4);
    }
}
