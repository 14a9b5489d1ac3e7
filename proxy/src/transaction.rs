//! The record of one request, from its first known fact to its end.
//!
//! A transaction writes what law 8 wants at the right moment: `refused` before a refusal is told; `begin` before the first
//! byte goes out, and for a request with a credential it does not go out if that fails; `end` when the response is over,
//! was cut, or the transaction is dropped half-way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use stubgate_credentials::Version;
use stubgate_credentials::kinds::Sights;
use stubgate_policy::{OnCredential, Permit, Policy, Reason, RuleId};
use stubgate_scrub::Tally;

use crate::appliance::Appliance;
use crate::authority::is_tripwire;
use crate::body::Passed;
use crate::budget::{Limit, Spending};
use crate::client::Client;
use crate::quarantine;
use crate::record::suppress::Admission;
use crate::record::{Event, Layer, Line, Wire};
use crate::rejected;
use crate::request::{Known, Refusal};
use crate::snapshot::Snapshot;

/// A request's record in the making.
pub struct Transaction {
    appliance: Arc<Appliance>,
    /// What is known so far.
    pub known: Known,
    /// The agent's address.
    pub peer: SocketAddr,
    /// Whom its connection was addressed to before the system redirected it.
    original: Option<SocketAddr>,
    /// Where it was sent.
    pub upstream: Option<SocketAddr>,
    permitted: Option<Begun>,
    begun: Option<Begun>,
    passed: Option<Arc<Passed>>,
    status: Option<StatusCode>,
    first_byte: Option<Duration>,
    scrubbed: u64,
    shown: u64,
    failed: Option<Reason>,
    /// Body bytes to the agent.
    pub bytes_out: u64,
    /// What it holds and uses of its agent's budget.
    pub spending: Spending,
}

struct Begun {
    policy: Arc<Policy>,
    rule: RuleId,
    credential: Option<Arc<str>>,
    /// Which value of it was sent, or is about to be.
    version: Option<Version>,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Whole.
    Complete,
    /// One side left, or a deadline passed.
    Aborted,
    /// Policy changed, or a limit was reached.
    Cut,
}

impl Transaction {
    /// Begins with what is known when a head arrives.
    pub fn new(appliance: Arc<Appliance>, known: Known, client: &Client) -> Self {
        Transaction {
            appliance,
            known,
            peer: client.peer.address,
            original: client.original,
            upstream: None,
            permitted: None,
            begun: None,
            passed: None,
            status: None,
            first_byte: None,
            scrubbed: 0,
            shown: 0,
            failed: None,
            bytes_out: 0,
            spending: Spending::default(),
        }
    }

    /// Where the count of the request's body is kept.
    pub fn watch(&mut self, passed: Arc<Passed>) {
        self.passed = Some(passed);
    }

    /// Notes the decision to allow. From here on the transaction leaves a record, even if the agent leaves before anything
    /// was sent.
    pub fn permit(&mut self, snapshot: &Snapshot, permit: &Permit) {
        self.permitted = Some(Begun {
            policy: Arc::clone(&snapshot.policy),
            rule: permit.rule(),
            credential: permit.swap().map(|swap| Arc::clone(&swap.name)),
            version: None,
        });
    }

    /// Writes the decision to allow, before anything goes out. `version` is of the credential that will.
    ///
    /// # Errors
    /// `audit_full` where a request with a credential can't be recorded.
    pub async fn begin(
        &mut self,
        snapshot: &Snapshot,
        permit: &Permit,
        version: Option<Version>,
    ) -> Result<(), Refusal> {
        self.begun = self.permitted.take().map(|permitted| Begun { version, ..permitted });
        let line = self.line(Event::Begin, self.begun.as_ref());
        let written = self.appliance.audit.write_with_others(&line).await;
        if written.is_err() && permit.swap().is_some() {
            self.begun = None;
            return Err(Reason::AuditFull.into());
        }
        snapshot.count_allowed(permit.rule());
        if let Some(swap) = permit.swap() {
            snapshot.count_swap(swap.credential);
        }
        Ok(())
    }

    /// The head of the response is there.
    pub fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.first_byte = Some(self.known.at.elapsed());
        if status == StatusCode::UNAUTHORIZED
            && let Some(begun) = &self.begun
            && let (Some(credential), Some(version)) = (begun.credential.as_deref(), begun.version)
        {
            let line = Line {
                layer: Layer::Credential,
                status: Some(status.as_u16()),
                ..self.line(Event::Rejected, Some(begun))
            };
            rejected::by_origin(&self.appliance, credential, version, line);
        }
    }

    /// Which value of its credential was sent.
    pub fn version(&self) -> Option<Version> {
        self.begun.as_ref().and_then(|begun| begun.version)
    }

    /// Counts that a deadline ended it.
    pub fn timed_out(&self, limit: Limit) {
        self.appliance.metrics.limit_reached(limit).inc();
    }

    /// Credentials were found in the response, and replaced.
    pub fn scrubbed(&mut self, found: &Tally) {
        if found.is_empty() {
            return;
        }
        self.scrubbed += found.total();
        for (credential, count) in found.iter() {
            self.appliance.metrics.scrubbed(credential).inc_by(count);
        }
        self.appliance.scrub_alarm.tell(found, self.known.agent.as_deref().unwrap_or(""), &self.known.id);
    }

    /// Known kinds of credentials that are none of ours were in the response.
    pub fn shown(&mut self, seen: &Sights, act: OnCredential) {
        if seen.is_empty() {
            return;
        }
        self.shown += seen.total();
        for (kind, count) in seen.iter() {
            self.appliance.metrics.shown(kind, act).inc_by(count);
        }
        let agent = self.known.agent.as_deref().unwrap_or("");
        self.appliance.shown_alarm.tell_shown(seen, act, agent, &self.known.id);
    }

    /// Why a response whose head was sent is not let through any further.
    pub fn failed(&mut self, reason: Reason) {
        self.failed = Some(reason);
    }

    /// Bytes that a tunnel took from the agent, and stubs that it saw in them.
    pub fn sent(&mut self, bytes: u64, stubs: u64) {
        if let Some(passed) = &self.passed {
            passed.bytes.fetch_add(bytes, Ordering::Relaxed);
            passed.stubs.fetch_add(stubs, Ordering::Relaxed);
        }
    }

    /// Records a refusal, before it is told.
    pub fn refuse(mut self, snapshot: &Snapshot, refusal: Refusal, status: StatusCode) -> Known {
        let rule = refusal.rule.map_or("", |rule| snapshot.policy.rule(rule).name());
        let metrics = &self.appliance.metrics;
        metrics.refused(refusal.reason, rule).inc();
        let tripwire = is_tripwire(refusal.reason);
        let minted = refusal.stub_of.and_then(|stub| stub.minted);
        self.permitted = None;
        let begun = self.begun.take();
        let event = if begun.is_some() { Event::End } else { Event::Refused };
        let line = Line {
            decision: Some(if refusal.reason == Reason::Observed { "observe" } else { "deny" }),
            rule: if rule.is_empty() { begun.as_ref().map(Begun::rule) } else { Some(rule) },
            reason: Some(refusal.reason),
            status: Some(status.as_u16()),
            stub_of: refusal.stub_of.map(|stub| snapshot.policy.credential(stub.credential).name()),
            stub_agent: minted.map(|(agent, _)| snapshot.policy.agent(agent).name()),
            stub_id: minted.map(|(_, id)| id),
            tripwire,
            policy: Some(snapshot.policy.fingerprint()),
            ..self.line(event, begun.as_ref())
        };
        // The agent is refused whether or not it could be written; a lost record is counted.
        let audit = &self.appliance.audit;
        let written = if begun.is_some() { audit.write(&line).map(|()| Admission::Write) } else { audit.refuse(&line) };
        let stub_of = line.stub_of.unwrap_or("");
        // Each agent's refusals are told one by one up to its rate, as they are recorded.
        let is_told = if begun.is_some() { None } else { Some(!matches!(written, Ok(Admission::Count))) };
        self.tripped(refusal.reason, stub_of, is_told);
        std::mem::replace(
            &mut self.known,
            Known {
                id: Box::default(),
                agent: None,
                authority: None,
                connection: None,
                method: http::Method::GET,
                path: Box::default(),
                protocol: "",
                at: std::time::Instant::now(),
            },
        )
    }

    /// Records that the appliance answers by itself, before it does; counts it where its agent has had its share.
    /// `credential` is the one that the answer is about.
    pub fn answer(&self, snapshot: &Snapshot, status: StatusCode, credential: Option<&str>) {
        self.appliance.metrics.answered().inc();
        let line = Line {
            decision: Some("answer"),
            status: Some(status.as_u16()),
            credential,
            policy: Some(snapshot.policy.fingerprint()),
            ..self.line(Event::Answered, None)
        };
        let _ = self.appliance.audit.refuse(&line);
    }

    /// Records the end.
    pub fn end(mut self, outcome: Outcome) {
        self.write_end(outcome);
    }

    /// Records that what was answered already had to be refused half-way, before anyone is told: the frames of a tunnel.
    /// `note` is text of our own.
    pub fn end_refused(mut self, reason: Reason, note: &str) {
        self.write_refused_end(reason, note);
    }

    fn write_refused_end(&mut self, reason: Reason, note: &str) {
        let Some(begun) = self.begun.take() else { return };
        let metrics = &self.appliance.metrics;
        metrics.refused(reason, begun.rule()).inc();
        let line = Line {
            decision: Some("deny"),
            reason: Some(reason),
            tripwire: is_tripwire(reason),
            note: Some(note),
            ..self.end_line(Outcome::Aborted, &begun)
        };
        // The tunnel ends whether or not it could be written; a lost record is counted.
        let _ = self.appliance.audit.write(&line);
        self.tripped(reason, "", None);
    }

    /// Counts a tripwire and tells of it, if that is what the reason of a refusal means. Where nobody else keeps the log short
    /// (`is_told`), the alarm does.
    fn tripped(&self, reason: Reason, stub_of: &str, is_told: Option<bool>) {
        if !is_tripwire(reason) {
            return;
        }
        let appliance = &self.appliance;
        appliance.metrics.tripwire(reason).inc();
        if is_told.unwrap_or_else(|| appliance.tripwire_alarm.is_due()) {
            let agent = self.known.agent.as_deref().unwrap_or("");
            let (reason_word, id) = (reason.as_str(), &*self.known.id);
            if reason == Reason::CredentialInResponse {
                tracing::warn!(
                    agent,
                    reason = reason_word,
                    id,
                    "a response with a credential that was not let through"
                );
            } else {
                tracing::warn!(
                    agent,
                    reason = reason_word,
                    credential = stub_of,
                    id,
                    "a stub where it has no business"
                );
            }
        }
        // Others write what a repository or an issue shows: whoever reads it is not to be shut out for that.
        if let Some(agent) = self.known.agent.as_ref().filter(|_| reason != Reason::CredentialInResponse) {
            quarantine::tripwire(appliance, agent);
        }
    }

    fn write_end(&mut self, outcome: Outcome) {
        if self.passed.as_ref().is_some_and(|passed| passed.stopped.load(Ordering::Relaxed)) {
            // The origin had answered before the agent's body came to it.
            return self.write_refused_end(Reason::StubInBody, "a stub in the body, behind the response's head");
        }
        if let Some(reason) = self.failed.take_if(|reason| is_tripwire(*reason)) {
            return self.write_refused_end(reason, "a credential in the response, behind its head");
        }
        let Some(begun) = self.begun.take() else { return };
        self.appliance.audit.write_later(&self.end_line(outcome, &begun));
    }

    /// The record of the end, and what it counts.
    fn end_line<'a>(&'a self, outcome: Outcome, begun: &'a Begun) -> Line<'a> {
        let total = self.known.at.elapsed();
        let reached = self.spending.reached();
        // A limit ends an exchange in the middle of it, which looks like an agent that left.
        let outcome = if reached.is_some() && outcome != Outcome::Complete { Outcome::Cut } else { outcome };
        self.appliance.metrics.request_seconds.observe(total.as_secs_f64());
        if outcome == Outcome::Cut {
            self.appliance.metrics.cuts.inc();
        }
        if let Some(reason) = self.failed {
            self.appliance.metrics.refused(reason, begun.rule()).inc();
        }
        let line = Line {
            status: self.status.map(|status| status.as_u16()),
            reason: reached.map(|_| Reason::LimitReached).or(self.failed),
            bytes_out: Some(self.bytes_out),
            first_byte_us: self.first_byte,
            total_us: Some(total),
            outcome: Some(match outcome {
                Outcome::Complete => "complete",
                Outcome::Aborted => "aborted",
                Outcome::Cut => "cut",
            }),
            ..self.line(Event::End, Some(begun))
        };
        if line.stubs_in_body > 0 {
            self.appliance.metrics.stubs_in_bodies.inc_by(line.stubs_in_body);
        }
        line
    }

    fn line<'a>(&'a self, event: Event, begun: Option<&'a Begun>) -> Line<'a> {
        let known = &self.known;
        let mut line = Line::new(event, Layer::Http);
        line.id = Some(&known.id);
        line.agent = known.agent.as_deref();
        line.peer = Some(self.peer);
        line.original = self.original;
        line.protocol = Some(known.protocol);
        line.authority = known.authority.as_ref();
        line.name = known.connection.as_deref().map(Wire);
        line.method = Some(Wire(known.method.as_str()));
        line.path = Some(Wire(&known.path));
        line.upstream = self.upstream;
        if let Some(passed) = &self.passed
            && event != Event::Begin
        {
            line.bytes_in = Some(passed.bytes.load(Ordering::Relaxed));
            line.stubs_in_body = passed.stubs.load(Ordering::Relaxed);
        }
        line.scrubbed = self.scrubbed;
        line.credentials_shown = self.shown;
        if let Some(begun) = begun {
            line.decision = Some("allow");
            line.rule = Some(begun.rule());
            line.credential = begun.credential.as_deref();
            line.credential_version = begun.version;
            line.policy = Some(begun.policy.fingerprint());
        }
        line
    }
}

impl Begun {
    fn rule(&self) -> &str {
        self.policy.rule(self.rule).name()
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.permitted.is_some() {
            self.begun = self.permitted.take();
        }
        self.write_end(Outcome::Aborted);
    }
}
