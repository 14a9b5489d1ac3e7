//! What the terminal shows, and the dialogs that are known.
