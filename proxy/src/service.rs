//! The phases, in order: *identify*, *authority*, *decide* (twice where a body must be looked at), *swap* and *forward*, and *respond* where one of them refuses.

use std::sync::Arc;

use http::Response;
use stubgate_policy::Reason;

use crate::appliance::Appliance;
use crate::authority;
use crate::budget;
use crate::decide::{self, Looking, Outcome, Permitted, Tokens};
use crate::forward::{self, Outgoing};
use crate::headers;
use crate::identify::{self, Identified};
use crate::inspect::{self, Refused};
use crate::request::{Arrived, Known, Refusal};
use crate::respond::{self, ResponseBody, Shape};
use crate::snapshot::Snapshot;
use crate::tokens;
use crate::transaction::Transaction;

/// How far a request came without waiting for anything.
enum Begun {
    /// To be forwarded.
    Ready(Box<Outgoing>),
    /// Its body must be looked at first.
    Look(Box<Inspected>),
    /// It asks for tokens, which is answered here once its body is there.
    Tokens(Box<(Box<Tokens>, Transaction)>),
    /// Answered here.
    Over(Response<ResponseBody>),
}

/// A request whose body is looked at.
struct Inspected {
    looking: Box<Looking>,
    snapshot: Arc<Snapshot>,
    transaction: Transaction,
}

/// Takes a request through its phases. What comes back is the origin's response, ours, or a refusal; it is recorded.
///
/// It is decided when this is called; what is waited for is the rest. So the future holds one request in one form, not
/// in each that it had on its way, and what is rare in it lies elsewhere: there is one for every stream and connection.
pub fn serve<'a>(
    appliance: &'a Arc<Appliance>,
    arrived: Arrived,
    protocol: &'static str,
) -> impl Future<Output = Response<ResponseBody>> + Send + use<'a> {
    let shape = Shape::of(&arrived.headers);
    let begun = begin(appliance, arrived, protocol, shape);
    async move {
        let begun = match begun {
            Begun::Look(inspected) => Box::pin(inspect(appliance, inspected, shape)).await,
            Begun::Tokens(asked) => {
                let (asked, transaction) = *asked;
                Begun::Over(Box::pin(tokens::answer(appliance, asked, transaction, shape)).await)
            }
            begun => begun,
        };
        match begun {
            Begun::Ready(outgoing) => match forward::forward(appliance, outgoing).await {
                Ok(response) => response,
                Err((refusal, outgoing)) => {
                    let (snapshot, transaction) = outgoing.into_refused();
                    refuse(&snapshot, refusal, transaction, shape)
                }
            },
            Begun::Over(response) => response,
            Begun::Tokens(asked) => refuse(&asked.0.identified.snapshot, Reason::Internal.into(), asked.1, shape),
            // Nothing is looked at twice.
            Begun::Look(inspected) => {
                refuse(&inspected.snapshot, Reason::Internal.into(), inspected.transaction, shape)
            }
        }
    }
}

fn begin(appliance: &Arc<Appliance>, arrived: Arrived, protocol: &'static str, shape: Shape) -> Begun {
    let snapshot = appliance.snapshot.load_full();
    let known = Known {
        id: appliance.ids.next(),
        agent: None,
        authority: None,
        connection: None,
        method: arrived.method.clone(),
        path: String::from_utf8_lossy(&arrived.path).into(),
        protocol,
        at: arrived.at,
    };
    let mut transaction = Transaction::new(Arc::clone(appliance), known, &arrived.client);
    let refusal = match decided(appliance, &snapshot, arrived, &mut transaction) {
        Ok(Outcome::Permitted(permitted)) => return admit(appliance, &snapshot, permitted, transaction, shape),
        Ok(Outcome::Look(looking)) => return Begun::Look(Box::new(Inspected { looking, snapshot, transaction })),
        Ok(Outcome::Bundle(asked)) => {
            let response = appliance.authorities.answer(&asked);
            transaction.answer(&snapshot, response.status(), None);
            return Begun::Over(response);
        }
        Ok(Outcome::Tokens(asked)) => return Begun::Tokens(Box::new((asked, transaction))),
        Err(refusal) => refusal,
    };
    Begun::Over(refuse(&snapshot, refusal, transaction, shape))
}

async fn inspect(appliance: &Arc<Appliance>, inspected: Box<Inspected>, shape: Shape) -> Begun {
    let Inspected { looking, snapshot, transaction } = *inspected;
    match inspect::inspect(appliance, looking).await {
        Ok(permitted) => admit(appliance, &snapshot, permitted, transaction, shape),
        Err(Refused { refusal, reached: Some(reached), .. }) => {
            transaction.spending.end().tell(reached);
            Begun::Over(refuse(&snapshot, refusal, transaction, shape))
        }
        Err(refused) => {
            let (status, hint) = (refused.status(), refused.hint());
            let known = transaction.refuse(&snapshot, refused.refusal, status);
            Begun::Over(respond::refusal_saying(refused.refusal.reason, &hint, status, &known.id, shape))
        }
    }
}

/// What is between *decide* and *forward*.
fn admit(
    appliance: &Arc<Appliance>,
    snapshot: &Snapshot,
    permitted: Box<Permitted>,
    mut transaction: Transaction,
    shape: Shape,
) -> Begun {
    if let Err(refusal) = budget::admit(appliance, &permitted, &mut transaction) {
        return Begun::Over(refuse(snapshot, refusal, transaction, shape));
    }
    match forward::prepare(appliance, permitted, transaction) {
        Ok(outgoing) => Begun::Ready(outgoing),
        Err((refusal, transaction)) => Begun::Over(refuse(snapshot, refusal, *transaction, shape)),
    }
}

/// Records a refusal and words it.
pub fn refuse(snapshot: &Snapshot, refusal: Refusal, transaction: Transaction, shape: Shape) -> Response<ResponseBody> {
    let status = authority::status(refusal.reason);
    let reached = transaction.spending.reached().filter(|_| refusal.reason == Reason::LimitReached);
    let known = transaction.refuse(snapshot, refusal, status);
    match reached {
        Some(reached) => respond::limited(reached, &known.id, shape),
        None => respond::refusal(refusal.reason, status, &known.id, shape),
    }
}

fn decided(
    appliance: &Appliance,
    snapshot: &Arc<Snapshot>,
    arrived: Arrived,
    transaction: &mut Transaction,
) -> Result<Outcome, Refusal> {
    let (agent, agent_name) = identify::identify(appliance, snapshot, &arrived.client.peer)?;
    transaction.known.agent = Some(Arc::clone(&agent_name));
    headers::check(&arrived.headers)?;
    let address = authority::establish(&arrived).inspect_err(|refusal| {
        if refusal.reason == Reason::AuthorityMismatch {
            // Both sides of the mismatch are evidence.
            transaction.known.authority = authority::claimed(&arrived);
            transaction.known.connection = authority::of_connection(&arrived);
        }
    })?;
    transaction.known.authority = Some(address.authority.clone());
    if arrived.websocket
        && let Ok(method) = http::Method::from_bytes(address.method.as_str().as_bytes())
    {
        transaction.known.method = method;
    }
    transaction.known.path = address.target.as_str().into();
    decide::decide(Identified { arrived, snapshot: Arc::clone(snapshot), agent, agent_name }, address)
}
