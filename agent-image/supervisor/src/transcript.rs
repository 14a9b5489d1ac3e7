//! What the session's own record says: turns, and lines for the log.
