//! What each agent may use (law 7): the `limits` of policy, and the appliance's own bounds on one agent. Asked after
//! *decide* and before *forward*, and for every piece of an upload.
//!
//! - requests a minute: a token bucket that holds a minute's worth. What is recorded one by one takes from it, so a
//!   connection that is allowed at the *connect* stage does; the first request on it is paid for with that;
//! - bytes to one host and day: heads, bodies and what tunnels carry, counted from midnight UTC;
//! - requests under way, and new names under wildcards: the operator's (`stubgate.yaml`).
//!
//! Kept by the agent's name, so that a reload changes the numbers and not the counts. In memory only: a restart begins
//! anew, and a limit that is new counts from when it was taken. It decides nothing about what is allowed (law 1); it
//! refuses with `limit_reached`, and always says which limit, and when it lifts.

mod count;
mod reached;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use prometheus::{IntCounter, IntGauge};
use stubgate_dns::{NameBudget, NameBudgets};
use stubgate_policy::{AgentId, AgentLimits, Host, Name, Policy, Reason};

pub(crate) use count::Daily;
pub use reached::{Limit, Reached};

use self::count::{Bucket, Sent};
use crate::appliance::Appliance;
use crate::client::Client;
use crate::decide::Permitted;
use crate::metrics::Metrics;
use crate::request::{Arrived, Refusal};
use crate::transaction::Transaction;

/// The budgets of all agents.
pub struct Budgets {
    accounts: Mutex<HashMap<Arc<str>, Arc<Account>>>,
    names: NameBudgets,
    at_once: usize,
    start: Instant,
    clock: fn() -> SystemTime,
    metrics: Metrics,
}

/// What one agent used.
#[derive(Default)]
struct Account {
    bucket: Bucket,
    open: AtomicUsize,
    sent: Mutex<Sent>,
}

/// What one request holds and uses of its agent's budget.
#[derive(Default)]
pub struct Spending {
    /// Held until the end.
    _open: Option<Open>,
    charge: Option<Charge>,
    reached: SpendingEnd,
}

/// Where a request is told that a limit ended it, by whoever notices.
#[derive(Clone, Default)]
pub struct SpendingEnd(Arc<OnceLock<Reached>>);

impl SpendingEnd {
    /// Notes the limit; whether it is the first, which is the one that counts.
    pub fn tell(&self, reached: Reached) -> bool {
        self.0.set(reached).is_ok()
    }
}

struct Open {
    account: Arc<Account>,
    gauge: IntGauge,
}

/// Where the bytes of one request are counted.
#[derive(Clone)]
pub struct Charge {
    account: Arc<Account>,
    host: Host,
    most: u64,
    clock: fn() -> SystemTime,
    reached: SpendingEnd,
    refusals: IntCounter,
}

impl Budgets {
    /// Of an appliance on which one agent may have `at_once` requests under way, and this much of new names.
    pub fn new(at_once: usize, names: NameBudget, metrics: Metrics) -> Self {
        Budgets {
            accounts: Mutex::default(),
            names: NameBudgets::new(names),
            at_once,
            start: Instant::now(),
            clock: SystemTime::now,
            metrics,
        }
    }

    /// Whether an agent may use a name: free where policy names it as it is, or where it was used lately; else what a
    /// wildcard stands for is taken from the agent's budget.
    ///
    /// # Errors
    /// When it may again.
    pub fn name(&self, policy: &Policy, agent: AgentId, name: &Name) -> Result<(), Reached> {
        let Some(wild) = policy.wild_part(agent, name) else { return Ok(()) };
        let spent = self.names.spend(policy.agent(agent).name(), name.as_str(), wild, Instant::now());
        spent.map_err(|wait| self.reached(Limit::WildcardNames, wait))
    }

    /// Takes one of an agent's requests a minute for a connection that policy allows; whether there is such a limit, and
    /// so the first request on the connection is paid for.
    ///
    /// # Errors
    /// When there is one again.
    pub fn connection(&self, policy: &Policy, agent: AgentId, name: &Arc<str>) -> Result<bool, Reached> {
        let Some(most) = policy.agent(agent).limits().requests_per_minute else { return Ok(false) };
        self.request(&self.account(name), most)?;
        Ok(true)
    }

    /// Counts a refusal by a limit.
    pub fn reached(&self, limit: Limit, lifts_in: Duration) -> Reached {
        self.metrics.limit_reached(limit).inc();
        Reached::new(limit, lifts_in, (self.clock)())
    }

    /// Lets go of agents that policy no longer knows.
    pub fn keep(&self, policy: &Policy) {
        self.accounts().retain(|name, _| policy.agent_named(name).is_some());
        self.names.keep(|name| policy.agent_named(name).is_some());
    }

    fn take(&self, agent: &Arc<str>, limits: &AgentLimits, asked: &Asked<'_>) -> Result<Spending, Reached> {
        let account = self.account(agent);
        let open = Open::enter(&account, self.at_once, &self.metrics)
            .ok_or_else(|| self.reached(Limit::RequestsPerAgent, Duration::from_secs(1)))?;
        if let Some(most) = limits.requests_per_minute
            && !asked.client.is_some_and(Client::use_paid)
        {
            self.request(&account, most)?;
        }
        let reached = SpendingEnd::default();
        let charge = limits.bytes_out_per_day.map(|most| Charge {
            account: Arc::clone(&account),
            host: asked.host.clone(),
            most,
            clock: self.clock,
            reached: reached.clone(),
            refusals: self.metrics.limit_reached(Limit::BytesOutPerDay),
        });
        if let Some(charge) = &charge {
            charge.foresee(asked.head.saturating_add(asked.body))?;
            charge.spend(asked.head)?;
        }
        Ok(Spending { _open: Some(open), charge, reached })
    }

    fn request(&self, account: &Account, per_minute: u64) -> Result<(), Reached> {
        let since = Instant::now().saturating_duration_since(self.start);
        account.bucket.take(per_minute, since).map_err(|wait| self.reached(Limit::RequestsPerMinute, wait))
    }

    fn account(&self, agent: &Arc<str>) -> Arc<Account> {
        Arc::clone(self.accounts().entry(Arc::clone(agent)).or_default())
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Account>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a request is about to use.
struct Asked<'a> {
    host: &'a Host,
    /// The connection, which may have taken what this request needs of the requests a minute.
    client: Option<&'a Client>,
    /// Bytes of its head, near enough.
    head: u64,
    /// Bytes of its body as announced; 0 where it does not say.
    body: u64,
}

/// Takes what a permitted request needs from its agent's budget. It is held and counted in `transaction`.
///
/// # Errors
/// `limit_reached`; which one, and when it lifts, stands in `transaction`.
pub fn admit(appliance: &Appliance, permitted: &Permitted, transaction: &mut Transaction) -> Result<(), Refusal> {
    let budgets = &appliance.budgets;
    let identified = &permitted.identified;
    let policy = &identified.snapshot.policy;
    let host = permitted.permit.authority().host();
    let asked = Asked {
        host,
        client: Some(&identified.arrived.client),
        head: head_bytes(&identified.arrived),
        body: http_body::Body::size_hint(&identified.arrived.body).exact().unwrap_or(0),
    };
    let named = match host {
        Host::Name(name) => budgets.name(policy, identified.agent, name),
        Host::Ip(_) => Ok(()),
    };
    let limits = policy.agent(identified.agent).limits();
    match named.and_then(|()| budgets.take(&identified.agent_name, limits, &asked)) {
        Ok(spending) => {
            transaction.spending = spending;
            Ok(())
        }
        Err(reached) => {
            transaction.spending.end().tell(reached);
            Err(Reason::LimitReached.into())
        }
    }
}

fn head_bytes(arrived: &Arrived) -> u64 {
    let fields: usize = arrived.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let line = arrived.method.as_str().len() + arrived.path.len() + arrived.query.as_ref().map_or(0, |q| q.len() + 1);
    u64::try_from(fields + line).unwrap_or(u64::MAX)
}

impl Spending {
    /// Where bytes are counted, if they are.
    pub fn charge(&self) -> Option<&Charge> {
        self.charge.as_ref()
    }

    /// The limit that ended the request.
    pub fn reached(&self) -> Option<Reached> {
        self.reached.0.get().copied()
    }

    /// Where the limit that ends the request is told.
    pub fn end(&self) -> &SpendingEnd {
        &self.reached
    }
}

impl Charge {
    /// Counts bytes before they go out.
    ///
    /// # Errors
    /// The limit that they would pass; nothing of them may go.
    pub fn spend(&self, bytes: u64) -> Result<(), Reached> {
        self.account.sent().add(&self.host, bytes, self.most, (self.clock)()).map_err(|wait| self.tell(wait))
    }

    /// Whether so many bytes would be let out, as far as can be told now.
    fn foresee(&self, bytes: u64) -> Result<(), Reached> {
        self.account.sent().has_room(&self.host, bytes, self.most, (self.clock)()).map_err(|wait| self.tell(wait))
    }

    fn tell(&self, wait: Duration) -> Reached {
        let reached = Reached::new(Limit::BytesOutPerDay, wait, (self.clock)());
        if self.reached.tell(reached) {
            self.refusals.inc();
        }
        reached
    }
}

impl Account {
    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn enter(account: &Arc<Account>, most: usize, metrics: &Metrics) -> Option<Open> {
        let room = |open: usize| (open < most).then_some(open + 1);
        account.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        let gauge = metrics.requests_open.clone();
        gauge.inc();
        Some(Open { account: Arc::clone(account), gauge })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.account.open.fetch_sub(1, Ordering::Relaxed);
        self.gauge.dec();
    }
}

#[cfg(test)]
mod tests;
