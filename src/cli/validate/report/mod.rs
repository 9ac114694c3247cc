//! The forms in which findings are printed. None of them says a value.

pub mod human;
pub mod json;
pub mod sarif;
