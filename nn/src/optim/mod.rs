//! Optimizers, schedules and averages: loops over the arena.

mod adamw;
mod ema;
mod schedule;
mod sgd;

pub use adamw::{AdamW, AdamWConfig};
pub use ema::Ema;
pub use schedule::WarmupCosine;
pub use sgd::{Sgd, SgdConfig};

/// The factor that brings a gradient of norm `norm` to at most `max_norm`: min(1, max_norm / (norm + 1e-6)), as PyTorch's
/// `clip_grad_norm_` has it. Handed to an optimizer's step, so that clipping costs no pass of its own.
pub fn clip_scale(norm: f64, max_norm: f64) -> f64 {
    (max_norm / (norm + 1e-6)).min(1.0)
}
