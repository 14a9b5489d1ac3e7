//! A policy beside the pods that are there: selectors that fit none, and pods that are nobody or somebody else.
