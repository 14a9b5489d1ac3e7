//! One case by one way, and the oracles after it.
//!
//! After every run: an origin got a byte only if the case says so, and then whole requests with one reading; there is
//! exactly one record for each refusal, with its reason; no real credential is in anything that the agent received;
//! and an honest request is served right after.

use std::sync::Mutex;

use serde_json::Value;

use super::bytes::{Text, Words};
use super::case::Case;
use super::dns;
use super::frames;
use super::watch::{REALS, Search, refusal, well_formed};
use super::ways::{By, Opened};
use crate::client::{Answer, Conn};
use crate::lab::{Lab, Setup};
use crate::origin::Reply;

const POLICY: &str = include_str!("../../../../tests/attacks/policy.yaml");

/// An appliance, its origin, and what was seen of its records.
pub(crate) struct Bench {
    lab: Lab,
    search: Search,
    /// Bytes of the audit file that were read.
    read: Mutex<usize>,
}

/// What came of a case.
#[derive(Debug, Default)]
struct Came {
    statuses: Vec<u16>,
    /// What answers say of why they refuse.
    reasons: Vec<String>,
    socks: Option<u8>,
    /// All that was received.
    bytes: Vec<u8>,
    is_closed: Option<bool>,
    is_reset: bool,
    is_whole: bool,
    /// Code and number of records.
    dns: Option<(&'static str, u16)>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let lab = Lab::with(Setup {
            policy: POLICY.into(),
            secrets: REALS.iter().map(|(name, value, _)| (*name, (*value).to_owned())).collect(),
            // Of a body that stops, the silence is to be told, and not its rate.
            limits: "refusals_per_second: 100000, body_bytes_per_second: 1".into(),
            timeouts: "drain_seconds: 1, header_seconds: 2, handshake_seconds: 2, body_idle_seconds: 2, \
                       upstream_header_seconds: 2"
                .into(),
            ..Setup::default()
        })
        .await;
        let bench = Bench { lab, search: Search::new(), read: Mutex::new(0) };
        bench.records();
        bench
    }

    /// Runs a case with each of its payloads.
    pub(crate) async fn run(&self, case: &Case, by: By) -> Result<(), String> {
        let each: Vec<String> =
            if case.each.is_empty() { vec![String::new()] } else { case.each.iter().map(Text::plain).collect() };
        for payload in each {
            let shown: String = payload.chars().take(60).collect();
            self.run_one(case, by, &payload).await.map_err(|wrong| format!("{shown:?}: {wrong}"))?;
        }
        Ok(())
    }

    async fn run_one(&self, case: &Case, by: By, payload: &str) -> Result<(), String> {
        let host = case.host.as_deref().unwrap_or(by.host());
        let at = if by == By::Absolute { format!("http://{host}") } else { String::new() };
        let mut words = Words(vec![
            ("each", payload.to_owned()),
            ("at", at),
            ("host", host.to_owned()),
            ("HOST", host.to_ascii_uppercase()),
            ("port", if by.is_tls() { "443" } else { "80" }.to_owned()),
        ]);
        // A payload may hold names in braces itself.
        words.0[0].1 = words.fill(payload);
        self.lab.origin.forget();
        if let Some(answer) = &case.origin {
            self.answer(answer.plain(), case.origin_closes);
        }
        let before = self.lab.origin.byte_count();
        let minted = self.lab.appliance.minter.minted_total();
        let mut came = self.attack(case, by, host, &words).await?;
        let refusals = self.refusals(expected_refusals(case)).await;
        self.judge(case, by, &words, &came)?;
        judge_refusals(case, &refusals, &came)?;
        // What is refused by its name costs no signature.
        let by_name = ["bad_authority", "connect_not_allowed", "unknown_agent", "quarantined"];
        let is_by_name = refusals.iter().any(|reason| by_name.contains(&reason.as_str()));
        if case.hello.is_some() && is_by_name && self.lab.appliance.minter.minted_total() != minted {
            return Err("a certificate was minted".into());
        }
        if self.search.is_in(&came.bytes) {
            return Err(format!("a real credential came in: {:?}", lossy(&came.bytes)));
        }
        self.judge_origin(case, &words, before, &mut came)?;
        self.ended(case).await;
        self.lab.origin.forget();
        self.lab.is_well("the case").await;
        let more = self.refusals(0).await;
        let may_follow = case.expect.reset && case.expect.partial;
        if !may_follow && !more.is_empty() {
            return Err(format!("refused later: {more:?}"));
        }
        Ok(())
    }

    /// Waits until connections to the origin end that nobody may use again: with half a request, or a malformed answer.
    async fn ended(&self, case: &Case) {
        let origin = &self.lab.origin;
        let mut gone = origin.unfinished();
        if case.expect.reason.as_ref().is_some_and(|reason| reason.has("upstream_protocol")) {
            gone.extend(origin.requests().iter().map(|seen| seen.connection));
        }
        for connection in gone {
            self.lab.until("the connection to the origin ends", || origin.is_closed(connection)).await;
        }
    }

    /// Has the origin answer `/x` so. `{sent:NAME}` is the value of a header that it got.
    fn answer(&self, template: String, closes: bool) {
        self.lab.origin.answer("/x", move |seen| {
            let mut text = template.clone();
            for name in ["authorization", "x-api-key"] {
                let sent = seen.header(name).unwrap_or_default();
                text = text.replace(&format!("{{sent:{name}}}"), &sent);
            }
            let bytes = super::bytes::to_bytes(&text);
            if closes { Reply::Close(bytes) } else { Reply::Bytes(bytes) }
        });
    }

    async fn attack(&self, case: &Case, by: By, host: &str, words: &Words) -> Result<Came, String> {
        if let Some(question) = &case.dns {
            let (to, quiet) = (self.lab.addresses.dns[0], case.expect.rcode.is_none());
            let message = question.bytes(words);
            let answer = dns::ask(to, case.from.address(), &message, by == By::Tcp, quiet).await;
            if let Some(answer) = answer.as_ref().filter(|answer| by == By::Udp && answer.len() > 512) {
                return Err(format!("an amplifier: {} bytes for {}", answer.len(), message.len()));
            }
            let dns = answer.as_deref().map(dns::read);
            return Ok(Came { dns, bytes: answer.unwrap_or_default(), ..Came::default() });
        }
        let opened = match &case.hello {
            Some(_) => by.open_bare(&self.lab, case, host, words).await,
            None => by.open(&self.lab, case, host, words).await,
        };
        let mut conn = match opened {
            Opened::Conn(conn) => conn,
            Opened::Socks(reply, mut conn) => {
                let is_closed = Some(conn.is_over().await);
                return Ok(Came { socks: Some(reply), is_closed, ..Came::default() });
            }
            Opened::NoTls => return Ok(Came { is_closed: Some(true), ..Came::default() }),
            Opened::Refused(answer, mut conn) => {
                let mut came = Came::default();
                came.add(answer);
                came.is_closed = Some(conn.is_over().await);
                return Ok(came);
            }
        };
        if let Some(hello) = &case.hello {
            conn.send(hello.records(|text| super::bytes::to_bytes(&words.fill(text)))).await;
            let bytes = if case.expect.server_hello { conn.some().await } else { conn.rest().await };
            let is_hello = bytes.starts_with(&[0x16, 3]);
            return match (case.expect.server_hello, bytes.is_empty() || bytes[0] == 0x15) {
                (true, _) if !is_hello => Err(format!("no ServerHello: {bytes:?}")),
                (false, false) => Err(format!("more than an alert: {bytes:?}")),
                _ => Ok(Came { bytes, is_closed: Some(!case.expect.server_hello), ..Came::default() }),
            };
        }
        if let Some(steps) = &case.frames {
            let answers = case.expect.statuses.as_ref().map_or(1, Vec::len);
            let back = frames::exchange(conn.io, steps, words, answers).await;
            return Ok(Came { statuses: back.statuses, is_reset: back.is_reset, bytes: back.bytes, ..Came::default() });
        }
        self.exchange(case, &mut conn, words).await
    }

    /// HTTP/1.1, or any bytes.
    async fn exchange(&self, case: &Case, conn: &mut Conn, words: &Words) -> Result<Came, String> {
        let bytes = case.send.as_ref().map(|text| text.bytes(words)).unwrap_or_default();
        conn.send(&bytes).await;
        if case.half_close {
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut conn.io).await;
        }
        let mut came = Came::default();
        let expect = &case.expect;
        let answers = expect.statuses.as_ref().map_or(usize::from(expect.status.is_some()), Vec::len);
        for _ in 0..answers {
            let answer = conn.answer(bytes.starts_with(b"HEAD")).await;
            came.add(answer);
        }
        match expect.closed {
            Some(true) => {
                let rest = conn.rest().await;
                // An alert at most, in which TLS says why.
                if expect.answer.is_none() && !rest.is_empty() && !(rest.len() <= 7 && rest[0] == 0x15) {
                    return Err(format!("more came: {:?}", lossy(&rest)));
                }
                came.bytes.extend(rest);
                came.is_closed = Some(true);
            }
            Some(false) => {
                let again = words.fill("GET {at}/again HTTP/1.1\r\nhost: {host}\r\n\r\n");
                let answer = conn.ask(&again).await;
                came.is_closed = Some(answer.status != 200);
                if self.lab.origin.requests().pop().is_none_or(|seen| seen.path() != "/again") {
                    return Err("the next request did not arrive".into());
                }
            }
            None => {}
        }
        Ok(came)
    }

    fn judge(&self, case: &Case, by: By, words: &Words, came: &Came) -> Result<(), String> {
        let expect = &case.expect;
        if let Some(code) = came.socks {
            return match &expect.socks {
                Some(codes) if codes.has(&code) && came.is_closed == Some(true) => Ok(()),
                _ => Err(format!("SOCKS replied {code}")),
            };
        }
        let is_as_expected = match (&expect.statuses, &expect.status) {
            (Some(all), _) => came.statuses == *all,
            (None, Some(any)) => matches!(came.statuses[..], [status] if any.has(&status)),
            (None, None) => came.statuses.is_empty(),
        };
        if !is_as_expected {
            return Err(format!("answered {:?}: {:?}", came.statuses, lossy(&came.bytes)));
        }
        if expect.closed.is_some() && came.is_closed != expect.closed {
            return Err(format!("closed: {:?}", came.is_closed));
        }
        if expect.reset != came.is_reset {
            return Err(format!("reset: {}", came.is_reset));
        }
        if expect.whole.is_some_and(|whole| whole != came.is_whole) {
            return Err(format!("whole: {}", came.is_whole));
        }
        if case.dns.is_some() {
            let is_right = match (&expect.rcode, came.dns) {
                (Some(codes), Some((code, count))) => {
                    codes.has(code) && expect.records.is_none_or(|records| records == count)
                }
                (None, None) => true,
                _ => false,
            };
            if !is_right {
                return Err(format!("{by} answered {:?}", came.dns));
            }
        }
        for (text, must) in [(&expect.answer, true), (&expect.answer_lacks, false)] {
            let Some(text) = text else { continue };
            let text = text.bytes(words);
            if came.bytes.windows(text.len()).any(|window| window == text) != must {
                return Err(format!("the answer: {:?}", lossy(&came.bytes)));
            }
        }
        Ok(())
    }

    fn judge_origin(&self, case: &Case, words: &Words, before: usize, came: &mut Came) -> Result<(), String> {
        let expect = &case.expect;
        let origin = &self.lab.origin;
        let requests = origin.requests();
        let served = usize::from(matches!(came.statuses[..], [200..=299]) && expect.reason.is_none());
        let again = usize::from(expect.closed == Some(false));
        let expected = expect.requests.unwrap_or(served) + again;
        // What hyper resets may have gone out before, with the length that it announced.
        let may_be_there = expect.reset && expect.partial;
        if requests.len() != expected && !may_be_there {
            return Err(format!("the origin got {} requests: {requests:?}", requests.len()));
        }
        requests.iter().try_for_each(well_formed)?;
        let whole: usize = requests.iter().map(|seen| seen.size).sum();
        let bytes = origin.byte_count() - before;
        if !expect.partial && bytes != whole {
            return Err(format!("the origin got {bytes} bytes, {whole} of them whole: {:?}", lossy(&origin.bytes())));
        }
        if let Some(seen) = &expect.seen {
            let seen = seen.bytes(words);
            let bytes = origin.bytes();
            if !bytes.starts_with(&seen) || again == 0 && bytes != seen {
                return Err(format!("the origin saw {:?}", lossy(&bytes)));
            }
        }
        Ok(())
    }

    /// Records since this was asked last.
    fn records(&self) -> Vec<Value> {
        let mut read = self.read.lock().unwrap();
        let text = std::fs::read(self.lab.audit_path()).unwrap_or_default();
        // A line that is being written at this moment is not there yet.
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let fresh = String::from_utf8(text[*read..end].to_vec()).expect("records are UTF-8");
        *read = end;
        assert!(!self.search.is_in(fresh.as_bytes()), "a real credential in a record");
        let one = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("no record: {line}"));
        fresh.lines().map(one).collect()
    }

    fn fresh_refusals(&self) -> Vec<String> {
        let records = self.records();
        let refused = records.iter().filter_map(|record| {
            let reason = refusal(record)?;
            // A stub where it has no business raises the alarm (docs/audit.md).
            let trips = [
                "stub_out_of_slot",
                "stub_wrong_host",
                "stub_not_granted",
                "stub_of_other_agent",
                "stub_revoked",
                "stub_forged",
                "stub_over_plain",
                "stub_in_body",
            ];
            assert_eq!(record["tripwire"] == true, trips.contains(&reason.as_str()), "{record}");
            Some(reason)
        });
        refused.collect()
    }

    /// Refusals that were recorded, once there are as many as expected.
    async fn refusals(&self, expected: usize) -> Vec<String> {
        let mut found = self.fresh_refusals();
        for _ in 0..400 {
            if found.len() >= expected {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            found.extend(self.fresh_refusals());
        }
        found
    }
}

impl Came {
    fn add(&mut self, answer: Answer) {
        self.statuses.push(answer.status);
        let reason = answer.reason();
        if !reason.is_empty() {
            self.reasons.push(reason);
        }
        self.bytes.extend(answer.head.as_bytes());
        self.bytes.extend(&answer.body);
        self.bytes.extend(answer.trailers.as_bytes());
        self.is_whole = answer.is_whole;
    }
}

fn expected_refusals(case: &Case) -> usize {
    case.expect.reasons.as_ref().map_or(usize::from(case.expect.reason.is_some()), Vec::len)
}

fn judge_refusals(case: &Case, recorded: &[String], came: &Came) -> Result<(), String> {
    let is_right = match (&case.expect.reasons, &case.expect.reason) {
        (Some(all), _) => recorded == all,
        (None, Some(any)) => matches!(recorded, [reason] if any.has(reason)),
        // What hyper resets may have become a request before.
        (None, None) if case.expect.reset && case.expect.partial => recorded.len() <= 1,
        (None, None) => recorded.is_empty(),
    };
    if !is_right {
        return Err(format!("recorded {recorded:?}: {:?}", lossy(&came.bytes)));
    }
    // The agent is told what is recorded.
    if came.reasons.iter().any(|told| !recorded.contains(told)) {
        return Err(format!("told {:?}, recorded {recorded:?}", came.reasons));
    }
    Ok(())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(600)]).into_owned()
}
