//! What the locator decides: whom to ask, in which order to show, and how complete an answer is.

pub(crate) mod health;
pub(crate) mod merge;
pub(crate) mod plan;
pub(crate) mod rank;
