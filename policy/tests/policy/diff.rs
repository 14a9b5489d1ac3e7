//! Policies compared by meaning: pairs with what differs as people see it, the laws that a difference keeps, and that
//! two large policies are compared in seconds.

mod laws;
mod pairs;
mod scale;
