//! Numbers that stand for agents, rules and credentials inside one [`Policy`](crate::Policy).
//!
//! They are given in the order of the names, so that file order and rule order never show in a decision. They mean
//! nothing in another policy: whoever keeps something across a reload keeps the name.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u32);

        impl $name {
            /// Position in the slice that the policy returns, from 0.
            pub fn index(self) -> usize {
                self.0 as usize
            }

            /// The id for a position. `None` above what 32 bits hold; compile caps all lists far below.
            pub(crate) fn at(index: usize) -> Option<Self> {
                u32::try_from(index).ok().map(Self)
            }
        }
    };
}

id!(
    /// An agent of one policy.
    AgentId
);
id!(
    /// A rule of one policy.
    RuleId
);
id!(
    /// A credential of one policy.
    CredentialId
);
