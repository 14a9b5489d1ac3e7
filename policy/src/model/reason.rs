//! Why something was refused: one closed list for records, metrics and answers.
//!
//! Law 7: label values come from here and never from the wire. Each reason has all its words here: the one in records
//! and metrics, the hint for the agent (what it can do, never which rules, hosts or agents exist), and the sentence for
//! the people who run it, which is its documentation too.

use std::fmt;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident $text:literal $hint:literal,)*) => {
        /// Why something was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Reason {
            /// Every reason, for metrics that announce their labels.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            /// The word in records and metrics.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$variant => $text,)*
                }
            }

            /// What the agent is told.
            pub const fn hint(self) -> &'static str {
                match self {
                    $(Reason::$variant => $hint,)*
                }
            }

            /// What operators and security staff are told: one sentence.
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Reason::$variant => concat!($($doc),+).trim_ascii(),)*
                }
            }

            /// The reason of that word.
            pub fn parse(word: &str) -> Option<Reason> {
                Reason::ALL.iter().copied().find(|reason| reason.as_str() == word)
            }
        }
    };
}

reasons! {
    /// The peer's address belongs to no agent.
    UnknownAgent "unknown_agent" "this address is not a known agent; ask the operator",
    /// The agent is quarantined.
    Quarantined "quarantined" "this agent is quarantined; ask the operator",
    /// No rule lets this agent ask for the name.
    NameNotAllowed "name_not_allowed" "policy does not allow this name; don't retry",
    /// No rule lets this agent reach the host and port.
    ConnectNotAllowed "connect_not_allowed" "policy does not allow this host and port; don't retry",
    /// No rule lets this agent reach the host and port.
    HostNotAllowed "host_not_allowed" "policy does not allow this host and port; don't retry",
    /// The host is allowed, the method is not.
    MethodNotAllowed "method_not_allowed" "policy does not allow this method here; don't retry",
    /// Host and method are allowed, the path is not.
    PathNotAllowed "path_not_allowed" "policy does not allow this path; don't retry",
    /// The path has several readings, and some rule of the host has paths.
    PathAmbiguous "path_ambiguous" "the path can be read in more than one way; send it without dot segments, //, \\, ; or double encoding",
    /// A deny rule matches.
    DeniedByRule "denied_by_rule" "policy denies this; don't retry",
    /// Only an observe rule matches: recorded, not forwarded.
    Observed "observed" "policy records this but does not allow it yet; don't retry",
    /// A stub stood where no slot is.
    StubOutOfSlot "stub_out_of_slot" "the placeholder credential stands in the wrong place; send it only as the client's own setting does",
    /// A stub whose credential is bound to other hosts.
    StubWrongHost "stub_wrong_host" "this placeholder credential is not for this host; send the request without it",
    /// A stub that no matching rule grants to this agent.
    StubNotGranted "stub_not_granted" "this placeholder credential may not be used for this request",
    /// A stub that was minted for another agent.
    StubOfOtherAgent "stub_of_other_agent" "this placeholder credential is not yours; use the one of the environment",
    /// A minted stub whose time is over.
    StubExpired "stub_expired" "this placeholder credential has expired; ask the operator for a new one",
    /// A minted stub that was called back.
    StubRevoked "stub_revoked" "this placeholder credential was called back; ask the operator for a new one",
    /// A text that says it is a minted stub and is not: made up, altered, or of a key, agent or credential that is not known here.
    StubForged "stub_forged" "this is no placeholder credential of the environment",
    /// A credential that is no stub, where stubs are expected.
    ForeignCredential "foreign_credential" "use the placeholder credential of the environment, not one of your own",
    /// Something else than a refresh with the stub, at the token endpoint of a login in escrow.
    LoginInEscrow "login_in_escrow" "this login is kept for you: refresh it with the placeholder of the environment, or ask the operator; nobody logs in from here",
    /// More than one credential in one request.
    TwoCredentials "two_credentials" "send one credential only",
    /// The credential has no secret at the moment.
    CredentialMissing "credential_missing" "the credential is not available at the moment; retry later",
    /// Every rule that matches demands a credential, and none was presented.
    CredentialRequired "credential_required" "send the placeholder credential with this request",
    /// A stub in a body, where a rule forbids it.
    StubInBody "stub_in_body" "the body holds a placeholder credential; remove it",
    /// The body holds something that no rule lets pass there.
    BodyNotAllowed "body_not_allowed" "policy does not allow this; leave it out, or don't retry",
    /// The body can't be looked at, and every rule that matches demands that it is.
    BodyNotInspectable "body_not_inspectable" "policy looks into the bodies of such requests; send one that it can read",
    /// A stub over plain HTTP, where no credential ever goes.
    StubOverPlain "stub_over_plain" "credentials go out over https only",
    /// SNI, Host, `:authority` and CONNECT or SOCKS target differ.
    AuthorityMismatch "authority_mismatch" "the request is for another host than its connection; open a new connection",
    /// The request is malformed.
    BadRequest "bad_request" "the request is malformed",
    /// The host or port is malformed.
    BadAuthority "bad_authority" "the host or port is malformed",
    /// The certificate authority may not sign for the host: it lies outside of its name constraints.
    OutsideCa "outside_ca" "the environment's certificate authority may not sign for this host; ask the operator",
    /// The name did not resolve.
    Unresolvable "unresolvable" "the host name can't be resolved at the moment",
    /// The name resolves to an address that is not public.
    AddressNotPublic "address_not_public" "the host is at an address that is not public",
    /// The upstream's certificate or handshake failed.
    UpstreamTls "upstream_tls" "no trusted TLS connection to the host",
    /// The upstream can't be reached.
    UpstreamUnreachable "upstream_unreachable" "the host can't be reached at the moment",
    /// The upstream broke its protocol.
    UpstreamProtocol "upstream_protocol" "the host's answer is malformed",
    /// The upstream took too long.
    UpstreamTimeout "upstream_timeout" "the host took too long",
    /// The response is encoded in a way that can't be searched for credentials.
    ResponseNotInspectable "response_not_inspectable" "the host's answer is encoded in a way that is not let through; ask for it without compression or ranges",
    /// The response shows what looks like a known kind of credential, where that is not let through.
    CredentialInResponse "credential_in_response" "the host's answer holds what looks like a real credential, which is not let through here; don't retry",
    /// A limit of this agent is reached.
    LimitReached "limit_reached" "too much at once; slow down and retry later",
    /// The record could not be written.
    AuditFull "audit_full" "requests with credentials are paused; retry later",
    /// A reload took the permission away.
    PolicyChanged "policy_changed" "policy no longer allows this",
    /// No usable policy yet.
    NotReady "not_ready" "not ready yet; retry later",
    /// The appliance is shutting down.
    ShuttingDown "shutting_down" "shutting down; retry later",
    /// An error of the appliance itself.
    Internal "internal" "internal error; retry later",
    /// The upstream did not switch protocols as asked.
    UpgradeRefused "upgrade_refused" "the host did not accept the upgrade",
    /// Frames of a WebSocket broke its protocol or a limit; `note` says whose.
    WebsocketProtocol "websocket_protocol" "the frames of the WebSocket break its protocol or a limit",
    /// The request came through here before.
    LoopDetected "loop_detected" "the request came back to where it started",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
