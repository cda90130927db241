//! The model that comes with the program, for those who have not trained their own.

use std::sync::LazyLock;

use super::Model;

static SHIPPED: LazyLock<Model> = LazyLock::new(|| {
    Model::from_json(include_str!("shipped.json"))
        .expect("invariant: what is shipped is a model of this version")
});

impl Model {
    /// Returns the model that comes with the program; it is read once.
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }
}

impl Default for Model {
    /// Returns a copy of [`Model::shipped`].
    fn default() -> Self {
        Self::shipped().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_can_be_read() {
        assert!(!Model::shipped().version.is_empty());
    }
}
