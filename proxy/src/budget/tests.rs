use super::*;

fn budgets(at_once: usize) -> Budgets {
    Budgets::new(at_once, NameBudget::default(), Metrics::new())
}

fn host() -> Host {
    Host::Name(Name::parse(b"a.example").unwrap())
}

fn take(budgets: &Budgets, agent: &str, limits: AgentLimits, head: u64, body: u64) -> Result<Spending, Reached> {
    budgets.take(&agent.into(), &limits, &Asked { host: &host(), client: None, head, body })
}

#[test]
fn requests_under_way_are_bounded_by_agent_and_come_back() {
    let budgets = budgets(2);
    let none = AgentLimits::default();
    let held: Vec<Spending> = (0..2).map(|_| take(&budgets, "a", none, 1, 0).ok().unwrap()).collect();
    assert_eq!(budgets.metrics.requests_open.get(), 2);
    assert_eq!(take(&budgets, "a", none, 1, 0).err().unwrap().limit(), Limit::RequestsPerAgent);
    assert!(take(&budgets, "b", none, 1, 0).is_ok(), "another agent has its own");
    drop(held);
    assert!(take(&budgets, "a", none, 1, 0).is_ok());
    assert_eq!(budgets.metrics.requests_open.get(), 0);
}

#[test]
fn a_body_that_is_announced_too_long_is_refused_before_anything_is_counted() {
    let budgets = budgets(10);
    let limits = AgentLimits { bytes_out_per_day: Some(100), ..AgentLimits::default() };
    let reached = take(&budgets, "a", limits, 50, 51).err().unwrap();
    assert_eq!(reached.limit(), Limit::BytesOutPerDay);
    assert!((1..=86_400).contains(&reached.seconds()), "{reached:?}");
    let spending = take(&budgets, "a", limits, 50, 50).ok().unwrap();
    let charge = spending.charge().unwrap();
    assert!(charge.spend(50).is_ok());
    assert!(spending.reached().is_none());
    assert!(charge.clone().spend(1).is_err());
    assert_eq!(spending.reached().unwrap().limit(), Limit::BytesOutPerDay, "the request knows what ended it");
    assert!(take(&budgets, "b", limits, 50, 50).is_ok(), "another agent has its own");
}

#[test]
fn a_request_that_another_limit_refuses_holds_nothing() {
    let budgets = budgets(10);
    let limits = AgentLimits { requests_per_minute: Some(1), ..AgentLimits::default() };
    assert!(take(&budgets, "a", limits, 1, 0).is_ok());
    for _ in 0..20 {
        let reached = take(&budgets, "a", limits, 1, 0).err().unwrap();
        assert_eq!((reached.limit(), reached.seconds()), (Limit::RequestsPerMinute, 60));
    }
    assert_eq!(budgets.metrics.requests_open.get(), 0);
}
