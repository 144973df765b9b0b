//! refit.yml
