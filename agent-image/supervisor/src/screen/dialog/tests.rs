//! Dialogs that no client drew.
