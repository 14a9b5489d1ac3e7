//! A batch of questions, each decided by policy and answered from what is known here, or set aside to be forwarded. No
//! sockets and no clock: what arrived and when comes in as arguments, answers and records are left to take.
//!
//! Order for each question: who asks, is it within that agent's share, can it be read, what does policy say. Only
//! `Policy::decide` grants anything (law 1), and a question is set aside for forwarding only if it said so (law 6).

use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use stubgate_policy::{AgentId, Ask, Decision, Name, NameGrant, NameStage, Policy, QueryKind, Reason, RuleId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    DnsConfig, Peer, QueryOutcome, QueryRecord, Stamp, Surroundings, Transport,
    allowance::{Allowance, Allowances, Bounds, Open, Rate},
    wire::{self, Addresses, Answer, Content, ExtendedError, Fault, Header, Query, Rcode, number},
    zones::Zones,
};

/// The most seconds that a client may remember that there is nothing: short, so that a policy that allows more is soon
/// noticed.
const NEGATIVE_TTL: u32 = 10;

/// What questions are answered from.
pub(crate) struct Responder {
    addresses: Addresses,
    zones: Zones<Zone>,
    pub(crate) allowances: Allowances,
    forwards: Arc<Semaphore>,
}

/// A forwarded zone.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    pub(crate) servers: Arc<[SocketAddr]>,
}

/// Where a question came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    pub(crate) peer: SocketAddr,
    /// Which of our addresses it was sent to, if its socket doesn't know.
    pub(crate) local: Option<IpAddr>,
    /// Who asks, if its connection or its listener tells.
    pub(crate) stamp: Option<Stamp>,
}

impl Source {
    fn who(&self, surroundings: &dyn Surroundings) -> Peer {
        let stamp = self.stamp.unwrap_or_else(|| surroundings.stamp(self.peer));
        Peer { address: self.peer, stamp }
    }
}

/// A granted question that a server of its zone is to answer.
pub(crate) struct Forward {
    pub(crate) packet: Box<[u8]>,
    pub(crate) zone: Zone,
    pub(crate) policy: Arc<Policy>,
    pub(crate) agent: Option<AgentId>,
    pub(crate) source: Source,
    pub(crate) transport: Transport,
    pub(crate) name: String,
    pub(crate) qtype: u16,
    pub(crate) arrived: Instant,
    _permits: [OwnedSemaphorePermit; 2],
}

/// What came of a batch. Kept and filled again, so that its memory is.
pub(crate) struct Batch {
    transport: Transport,
    policy: Option<Arc<Policy>>,
    answers: Vec<u8>,
    names: String,
    decided: Vec<Decided>,
    /// What to forward, each to be recorded on its own when it ends.
    pub(crate) forwards: Vec<Forward>,
}

struct Decided {
    source: Source,
    agent: Option<AgentId>,
    name: Option<Range<usize>>,
    qtype: u16,
    outcome: QueryOutcome,
    why: Why,
    answer: Range<usize>,
}

/// The reason of a refusal, and the rule that gave it.
#[derive(Clone, Copy, Default)]
struct Why {
    reason: Option<Reason>,
    rule: Option<RuleId>,
}

impl From<Reason> for Why {
    fn from(reason: Reason) -> Why {
        Why { reason: Some(reason), rule: None }
    }
}

/// What policy and protocol say to one question.
enum Verdict {
    Local { outcome: QueryOutcome, why: Why, code: Rcode, content: Content, error: Option<ExtendedError> },
    Forward(Name),
}

impl Verdict {
    fn local(outcome: QueryOutcome, code: Rcode, content: Content) -> Verdict {
        Verdict::Local { outcome, why: Why::default(), code, content, error: None }
    }

    fn refused(reason: Reason, code: Rcode, error: Option<ExtendedError>) -> Verdict {
        Verdict::Local { outcome: QueryOutcome::Refused, why: reason.into(), code, content: Content::Nothing, error }
    }

    fn denied(why: impl Into<Why>) -> Verdict {
        Verdict::Local {
            outcome: QueryOutcome::Denied,
            why: why.into(),
            code: Rcode::NoSuchName,
            content: Content::Absence,
            error: Some(ExtendedError::Blocked),
        }
    }

    fn over_budget() -> Verdict {
        Verdict::Local {
            outcome: QueryOutcome::OverBudget,
            why: Reason::LimitReached.into(),
            code: Rcode::Refused,
            content: Content::Nothing,
            error: Some(ExtendedError::TooManyNames),
        }
    }

    fn failed(reason: Reason) -> Verdict {
        Verdict::Local {
            outcome: QueryOutcome::ForwardFailed,
            why: reason.into(),
            code: Rcode::ServerFailure,
            content: Content::Nothing,
            error: Some(ExtendedError::NoReachableAuthority),
        }
    }
}

impl Responder {
    pub(crate) fn new(config: &DnsConfig, start: Instant) -> Responder {
        let zones = config.forward.iter().flat_map(|entry| {
            let servers: Arc<[SocketAddr]> = entry.to.iter().copied().collect();
            let zone = move |name: &Name| (name.clone(), Zone { servers: servers.clone() });
            entry.zones.iter().map(zone)
        });
        let bounds = Bounds {
            rate: Rate::new(config.queries_per_second, config.burst),
            connections: config.tcp_connections_per_agent,
            forwards: config.max_forwards.div_ceil(4),
        };
        Responder {
            addresses: Addresses::new(&config.advertise, config.ttl_seconds, config.ttl_seconds.min(NEGATIVE_TTL)),
            zones: Zones::new(zones),
            allowances: Allowances::new(bounds, start),
            forwards: Arc::new(Semaphore::new(config.max_forwards)),
        }
    }

    fn judge(
        &self,
        surroundings: &dyn Surroundings,
        policy: &Policy,
        agent: Option<AgentId>,
        query: &Query<'_>,
    ) -> Verdict {
        let Some(agent) = agent else {
            return Verdict::refused(Reason::UnknownAgent, Rcode::Refused, Some(ExtendedError::Prohibited));
        };
        if query.edns.is_some_and(|edns| edns.version != 0) {
            return Verdict::refused(Reason::BadRequest, Rcode::BadVersion, None);
        }
        let kind = match query.question.kind {
            _ if query.question.class != number::CLASS_IN => {
                return Verdict::refused(Reason::BadRequest, Rcode::Refused, None);
            }
            number::A => QueryKind::A,
            number::AAAA => QueryKind::Aaaa,
            number::ANY => QueryKind::Other(number::ANY),
            0 | number::OPT => return Verdict::local(QueryOutcome::Malformed, Rcode::FormatError, Content::Nothing),
            // RFC 6895 section 3.1: questions about transactions and transfers, not about data.
            128..=254 => return Verdict::refused(Reason::BadRequest, Rcode::Refused, None),
            other => QueryKind::Other(other),
        };
        let mut buffer = [0; 255];
        let name = match wire::joined(query.question.name, &mut buffer) {
            // Every allowed name lies below the root, so it can't be said not to exist (RFC 8020).
            Some(b"") => return Verdict::local(QueryOutcome::Nodata, Rcode::NoError, Content::Absence),
            Some(text) => Name::parse(text),
            None => return Verdict::denied(Reason::NameNotAllowed),
        };
        let Ok(name) = name else { return Verdict::denied(Reason::NameNotAllowed) };
        let decision = policy.decide(&Ask::new(agent, NameStage { name: &name, kind }));
        if matches!(decision, Decision::Allow(NameGrant::Advertise | NameGrant::Forward))
            && !surroundings.admits(policy, agent, &name)
        {
            return Verdict::over_budget();
        }
        match decision {
            Decision::Allow(NameGrant::Advertise) | Decision::Answer(_) => self.advertise(kind),
            Decision::Allow(NameGrant::Nodata) => {
                Verdict::local(QueryOutcome::Nodata, Rcode::NoError, Content::Absence)
            }
            Decision::Allow(NameGrant::Forward) if kind == QueryKind::Other(number::ANY) => self.advertise(kind),
            Decision::Allow(NameGrant::Forward) => Verdict::Forward(name),
            Decision::Deny(denial) => Verdict::denied(Why { reason: Some(denial.reason), rule: denial.rule }),
        }
    }

    fn advertise(&self, kind: QueryKind) -> Verdict {
        let (outcome, content) = match kind {
            QueryKind::A if !self.addresses.v4.is_empty() => (QueryOutcome::Advertised, Content::V4),
            QueryKind::Aaaa if !self.addresses.v6.is_empty() => (QueryOutcome::Advertised, Content::V6),
            QueryKind::Other(number::ANY) => (QueryOutcome::Minimal, Content::Any),
            QueryKind::A | QueryKind::Aaaa | QueryKind::Other(_) => (QueryOutcome::Nodata, Content::Absence),
        };
        Verdict::local(outcome, Rcode::NoError, content)
    }

    /// Finds servers and room for a granted question, or says why there is none.
    fn prepare(&self, name: &Name, share: &Allowance) -> Result<(Zone, [OwnedSemaphorePermit; 2]), Reason> {
        let zone = self.zones.find(name).filter(|zone| !zone.servers.is_empty()).ok_or(Reason::Unresolvable)?;
        let permit = |of: &Arc<Semaphore>| of.clone().try_acquire_owned().map_err(|_| Reason::LimitReached);
        Ok((zone.clone(), [permit(&share.forwards)?, permit(&self.forwards)?]))
    }

    /// Whether a name lies in a zone that these servers, and no others, are asked for.
    pub(crate) fn is_served(&self, name: &Name, servers: &[SocketAddr]) -> bool {
        self.zones.find(name).is_some_and(|zone| {
            let within = |some: &[SocketAddr], all: &[SocketAddr]| some.iter().all(|one| all.contains(one));
            within(&zone.servers, servers) && within(servers, &zone.servers)
        })
    }

    /// The answer to a granted question that no server answered, or that its server answered as it may not.
    pub(crate) fn unanswered(&self, query: &Query<'_>, error: ExtendedError) -> Vec<u8> {
        let mut out = Vec::new();
        let error = Some(error);
        Answer { query, code: Rcode::ServerFailure, content: Content::Nothing, error }.write(
            &self.addresses,
            query.udp_limit(),
            &mut out,
        );
        out
    }

    /// The answer that sends a client to TCP.
    pub(crate) fn truncated(&self, query: &Query<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        Answer { query, code: Rcode::NoError, content: Content::Nothing, error: None }.write(
            &self.addresses,
            0,
            &mut out,
        );
        out
    }
}

impl Batch {
    pub(crate) fn new(transport: Transport) -> Batch {
        Batch {
            transport,
            policy: None,
            answers: Vec::new(),
            names: String::new(),
            decided: Vec::new(),
            forwards: Vec::new(),
        }
    }

    /// Forgets the last batch and decides what arrived now, all by the policy that is in force now.
    pub(crate) fn decide<'p>(
        &mut self,
        responder: &Responder,
        surroundings: &dyn Surroundings,
        policy: Arc<Policy>,
        arrived: impl Iterator<Item = (Source, &'p [u8])>,
        now: Instant,
    ) {
        self.answers.clear();
        self.names.clear();
        self.decided.clear();
        self.forwards.clear();
        let mut shares = responder.allowances.open(&policy);
        for (source, packet) in arrived {
            self.decide_one((responder, surroundings), &policy, &mut shares, source, packet, now);
        }
        drop(shares);
        self.policy = Some(policy);
    }

    fn decide_one(
        &mut self,
        (responder, surroundings): (&Responder, &dyn Surroundings),
        policy: &Arc<Policy>,
        shares: &mut Open<'_>,
        source: Source,
        packet: &[u8],
        now: Instant,
    ) {
        let agent = surroundings.identify(policy, &source.who(surroundings));
        let share = shares.of(agent);
        let start = self.answers.len();
        let mut decided = Decided {
            source,
            agent,
            name: None,
            qtype: 0,
            outcome: QueryOutcome::Malformed,
            why: Reason::BadRequest.into(),
            answer: start..start,
        };
        if !share.take_question(now) {
            (decided.outcome, decided.why) = (QueryOutcome::RateLimited, Reason::LimitReached.into());
            if self.transport == Transport::Tcp
                && let Some((header, _)) = Header::parse(packet)
            {
                wire::faulty(&header, Rcode::Refused, &mut self.answers);
            }
            return self.conclude(decided);
        }
        let query = match Query::parse(packet) {
            Ok(query) => query,
            Err(fault) => {
                if let Fault::Answer(header, code) = fault {
                    if code == Rcode::NotImplemented {
                        decided.outcome = QueryOutcome::NotImplemented;
                    }
                    if agent.is_some() {
                        wire::faulty(&header, code, &mut self.answers);
                    }
                }
                return self.conclude(decided);
            }
        };
        let name_start = self.names.len();
        wire::present(query.question.name, &mut self.names);
        decided.name = Some(name_start..self.names.len());
        decided.qtype = query.question.kind;
        let mut verdict = responder.judge(surroundings, policy, agent, &query);
        if let Verdict::Forward(name) = &verdict {
            match responder.prepare(name, share) {
                Ok((zone, permits)) => {
                    return self.forwards.push(Forward {
                        packet: packet.into(),
                        zone,
                        policy: policy.clone(),
                        agent,
                        source,
                        transport: self.transport,
                        name: self.names.split_off(name_start),
                        qtype: query.question.kind,
                        arrived: now,
                        _permits: permits,
                    });
                }
                Err(reason) => verdict = Verdict::failed(reason),
            }
        }
        if let Verdict::Local { outcome, why, code, content, error } = verdict {
            (decided.outcome, decided.why) = (outcome, why);
            let limit = match self.transport {
                Transport::Udp => query.udp_limit(),
                Transport::Tcp => usize::from(u16::MAX),
            };
            Answer { query: &query, code, content, error }.write(&responder.addresses, limit, &mut self.answers);
        }
        self.conclude(decided);
    }

    fn conclude(&mut self, mut decided: Decided) {
        decided.answer.end = self.answers.len();
        self.decided.push(decided);
    }

    /// Hands over the records of what is answered here; `false` if they could not be kept, and nothing may be sent.
    pub(crate) fn record(&self, surroundings: &dyn Surroundings, took: Duration) -> bool {
        let Some(policy) = self.policy.as_ref().filter(|_| !self.decided.is_empty()) else { return true };
        let micros = micros(took);
        let records: Vec<QueryRecord<'_>> = self
            .decided
            .iter()
            .map(|decided| QueryRecord {
                agent: decided.agent,
                peer: decided.source.peer,
                transport: self.transport,
                name: decided.name.clone().and_then(|name| self.names.get(name)),
                qtype: decided.qtype,
                outcome: decided.outcome,
                rule: decided.why.rule,
                reason: decided.why.reason,
                micros,
            })
            .collect();
        surroundings.record(policy, &records)
    }

    /// The answers to send, in the order of the questions.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (Source, &[u8])> {
        self.decided.iter().filter(|decided| !decided.answer.is_empty()).filter_map(|decided| {
            let answer = self.answers.get(decided.answer.clone())?;
            Some((decided.source, answer))
        })
    }
}

impl Forward {
    /// The record of how it ended.
    pub(crate) fn record(&self, outcome: QueryOutcome, reason: Option<Reason>, now: Instant) -> QueryRecord<'_> {
        QueryRecord {
            agent: self.agent,
            peer: self.source.peer,
            transport: self.transport,
            name: Some(&self.name),
            qtype: self.qtype,
            outcome,
            rule: None,
            reason,
            micros: micros(now.saturating_duration_since(self.arrived)),
        }
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
