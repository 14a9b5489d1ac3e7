//! The phases, in order: *identify*, *authority*, *decide* (twice where a body must be looked at), *swap* and *forward*, and *respond* where one of them refuses.

use std::sync::Arc;

use http::Response;
use stubgate_policy::{Answer, Reason};

use crate::appliance::Appliance;
use crate::authority;
use crate::budget;
use crate::decide::{self, Outcome};
use crate::forward;
use crate::headers;
use crate::identify::{self, Identified};
use crate::inspect::{self, Refused};
use crate::request::{Arrived, Known, Refusal};
use crate::respond::{self, ResponseBody, Shape};
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;

/// Takes a request through its phases. What comes back is the origin's response, ours, or a refusal; it is recorded.
pub async fn serve(appliance: &Arc<Appliance>, arrived: Arrived, protocol: &'static str) -> Response<ResponseBody> {
    let shape = Shape::of(&arrived.headers);
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
    let permitted = match decided(&snapshot, arrived, &mut transaction) {
        Ok(Outcome::Permitted(permitted)) => Ok(permitted),
        Ok(Outcome::Look(looking)) => match inspect::inspect(appliance, looking).await {
            Ok(permitted) => Ok(permitted),
            Err(Refused { refusal, reached: Some(reached), .. }) => {
                transaction.spending.end().tell(reached);
                Err(refusal)
            }
            Err(refused) => {
                let (status, hint) = (refused.status(), refused.hint());
                let known = transaction.refuse(&snapshot, refused.refusal, status);
                return respond::refusal_saying(refused.refusal.reason, &hint, status, &known.id, shape);
            }
        },
        Ok(Outcome::Answer(Answer::CaBundle)) => {
            transaction.answer(&snapshot);
            return respond::whole("application/x-pem-file", appliance.bundle.clone());
        }
        // No login is in escrow yet; nothing of such a request may go on.
        Ok(Outcome::Answer(Answer::OauthToken(_))) => Err(Reason::CredentialMissing.into()),
        Err(refusal) => Err(refusal),
    };
    let admitted = permitted.and_then(|permitted| {
        budget::admit(appliance, &permitted, &mut transaction)?;
        Ok(permitted)
    });
    let refused = match admitted {
        Ok(permitted) => match forward::forward(appliance, *permitted, transaction).await {
            Ok(response) => return response,
            Err(refused) => refused,
        },
        Err(refusal) => (refusal, transaction),
    };
    refuse(&snapshot, refused.0, refused.1, shape)
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

fn decided(snapshot: &Arc<Snapshot>, arrived: Arrived, transaction: &mut Transaction) -> Result<Outcome, Refusal> {
    let (agent, agent_name) = identify::identify(snapshot, arrived.client.peer.ip())?;
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
