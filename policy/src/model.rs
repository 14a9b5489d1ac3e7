//! What policy speaks of: names from the wire, parsed once, and the checked policy itself.
//!
//! Law 2: each type here has one parser and private fields, so that a name in an odd spelling can't be held, matched
//! or dialled. Nothing here reads files or decides.

pub(crate) mod authority;
pub(crate) mod body;
pub(crate) mod check;
pub(crate) mod hash;
pub(crate) mod hosts;
mod ids;
mod limits;
pub(crate) mod method;
pub(crate) mod methods;
mod name;
pub(crate) mod path;
pub(crate) mod paths;
pub(crate) mod pointer;
pub(crate) mod policy;
pub(crate) mod prefix;
mod reason;
pub mod secret_source;
mod slot;

pub use authority::{Authority, AuthorityError, Scheme};
pub use body::BodyRule;
pub use check::{Check, KNOWN_CHECKS, KnownCheck};
pub use hosts::HostRule;
pub use ids::{AgentId, CredentialId, RuleId};
pub use limits::AgentLimits;
pub use method::{Method, MethodError};
pub use name::{Host, Name, NameError};
pub use path::{Path, PathError, Target};
pub(crate) use policy::Options;
pub use policy::{Agent, Credential, Effect, Policy, Rule};
pub use reason::Reason;
pub use secret_source::{Reading, Source};
pub use slot::{CUSTOMARY_HEADERS, CUSTOMARY_QUERY_KEYS, Slot};
