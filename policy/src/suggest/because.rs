//! Why nothing is suggested for a refusal: one closed list.

use crate::model::Reason;

/// Why, in words that end the sentence "not suggested, because".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Because(pub(super) &'static str);

impl Because {
    pub(super) const COUNTED: Because = Because("they were only counted: the agent had more refusals than are written");
    pub(super) const NO_AGENT: Because = Because("the policy defines no such agent");
    pub(super) const NO_REASON: Because = Because("the record gives no reason that is known");
    pub(super) const NO_HOST: Because = Because("the record names no host that can be read");
    pub(super) const NO_REQUEST: Because = Because("the record holds no method or path that can be read");
    pub(super) const NO_CREDENTIAL: Because = Because("the policy defines no such credential");
    pub(super) const UNNAMED: Because = Because("the record does not say whose stub was presented");
    pub(super) const OWN: Because = Because("the host is stubgate's own, and no rule may name it");
    pub(super) const NEVER_DIALLED: Because = Because("such an address is never dialled, whatever the rules say");
    pub(super) const ODD_PATH: Because = Because("the path can be read in more than one way");
    pub(super) const STAR: Because = Because("the path holds a `*`, which no pattern can mean literally");
    pub(super) const LONG_PATH: Because = Because("the path is over 64 segments or 2 KiB long: write its rule by hand");
    pub(super) const METHOD: Because = Because("no rule can name the method");
    pub(super) const RECORD_TYPE: Because = Because("only questions for A and AAAA lead to a host");
    pub(super) const REVERSE: Because = Because("a reverse look-up leads to no host");
    pub(super) const LOOKED: Because =
        Because("a rule looks into the bodies of such requests: write by hand what may pass");
    pub(super) const PLAIN_STUB: Because = Because("a stub went over plain HTTP: find out why");
    pub(super) const NOT_BOUND: Because = Because("a stub went where its credential may not go: find out why");
    pub(super) const TWIN: Because = Because("the agent is granted another credential with the same stub");
    pub(super) const FLOOD: Because =
        Because("so many names below one may carry data; if it is one service, write the wildcard by hand");
    pub(super) const NO_ROOM: Because =
        Because("there were too many hosts or paths of this agent; narrow it with --since");
}

/// Whether a rule could allow what was refused for this reason, or why none is suggested.
pub(super) fn because(reason: Reason) -> Result<(), Because> {
    use Reason as R;
    Err(Because(match reason {
        R::NameNotAllowed
        | R::ConnectNotAllowed
        | R::HostNotAllowed
        | R::MethodNotAllowed
        | R::PathNotAllowed
        | R::Observed
        | R::StubNotGranted => return Ok(()),
        R::UnknownAgent => "the address belongs to no agent",
        R::Quarantined => "the agent is quarantined",
        R::PathAmbiguous => "the path can be read in more than one way",
        R::DeniedByRule => "a deny rule forbids it",
        R::StubOutOfSlot => "a stub stood where no slot is: find out why",
        R::StubWrongHost => "a stub went where its credential may not go: find out why",
        R::StubInBody => "a stub stood in a body where the rule forbids it: find out why",
        R::CredentialInResponse => {
            "the answer held what looks like a credential: find out whether the request made it; `credential_in_response` says what is done"
        }
        R::BodyNotAllowed | R::BodyNotInspectable => {
            "a rule looks into the bodies of such requests and refused this one"
        }
        R::StubOverPlain => "a stub went over plain HTTP: find out why",
        R::StubOfOtherAgent => "a stub was minted for another agent: find out how it got here",
        R::StubExpired => "the stub has expired: mint another one",
        R::StubRevoked => "the stub was called back: find out who still has it",
        R::StubForged => "a text that looks like a minted stub is none of this policy's: find out where it came from",
        R::ForeignCredential => "the agent sent a credential that is no stub: find out whose it is",
        R::LoginInEscrow => {
            "the agent asked for tokens otherwise than with the refresh stub: look at its credentials file"
        }
        R::TwoCredentials => "a request may carry one credential only",
        R::CredentialMissing => "the credential has no value: look at its source",
        R::CredentialRequired => "the rule demands a credential: the agent lacks its stub",
        R::AuthorityMismatch => "the request was for another host than its connection",
        R::BadRequest => "the request was malformed",
        R::BadAuthority => "the host was malformed",
        R::OutsideCa => {
            "the host lies outside of the CA's name constraints; that is `ca` of stubgate.yaml and a rotation, not policy"
        }
        R::Unresolvable => "the name did not resolve",
        R::AddressNotPublic => "the address is not public; that is `allow_private` of stubgate.yaml, not policy",
        R::UpstreamTls | R::UpstreamUnreachable | R::UpstreamProtocol | R::UpstreamTimeout | R::UpgradeRefused => {
            "policy allowed it, and the host failed"
        }
        R::ResponseNotInspectable => "policy allowed it, and the host's answer could not be searched for credentials",
        R::LimitReached => "a limit was reached; that is `limits` of stubgate.yaml, not policy",
        R::AuditFull => "the record could not be written",
        R::PolicyChanged => "a reload took it away",
        R::NotReady => "no policy was in force yet",
        R::ShuttingDown => "the appliance was stopping",
        R::Internal => "it was an error of stubgate",
        R::WebsocketProtocol => "the frames of a WebSocket broke its protocol or a limit: `note` says whose",
        R::LoopDetected => "the request came back to where it started",
    }))
}
