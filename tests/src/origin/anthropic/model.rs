//! What the model says: nothing but a word, or what a test's script has it say, calls of tools among it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};

use super::{Body, json_of};

/// What a turn asked of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The text of the last message, with what the client adds to it.
    pub text: String,
    /// Results of tools in it.
    pub results: Vec<String>,
    /// The tools that the model may call.
    pub tools: Vec<String>,
    /// Messages of the conversation.
    pub messages: usize,
}

/// A part of the model's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Say {
    /// Words.
    Text(String),
    /// A tool, with its input; the client runs it and asks again with what came of it.
    Call(String, Value),
}

impl Say {
    /// A line in the client's shell.
    pub fn shell(line: &str) -> Say {
        Say::Call("Bash".into(), json!({ "command": line, "description": "what the lab asks for" }))
    }
}

/// How a model answers. Only what has tools is a turn of an agent: the client also asks for titles and the like.
#[derive(Clone)]
pub struct Script(Arc<Answer>);

type Answer = dyn Fn(&Asked) -> Vec<Say> + Send + Sync;

impl Script {
    /// Answers by this function.
    pub fn new(answer: impl Fn(&Asked) -> Vec<Say> + Send + Sync + 'static) -> Script {
        Script(Arc::new(answer))
    }

    pub(super) fn answer(&self, asked: &Asked) -> Vec<Say> {
        (self.0)(asked)
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").finish_non_exhaustive()
    }
}

impl Asked {
    pub(super) fn read(request: &Value) -> Asked {
        let all = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut asked = Asked { messages: all.len(), ..Asked::default() };
        let tools = request["tools"].as_array().into_iter().flatten();
        asked.tools = tools.filter_map(|tool| tool["name"].as_str()).map(str::to_owned).collect();
        // The client may end a conversation with a message of its own, as role "system".
        let last = all.iter().rev().find(|message| message["role"] == "user").map(|message| &message["content"]);
        match last {
            Some(Value::String(text)) => asked.text.clone_from(text),
            Some(Value::Array(blocks)) => {
                let texts = blocks.iter().filter_map(|block| block["text"].as_str());
                asked.text = texts.collect::<Vec<_>>().join("\n");
                let results = blocks.iter().filter(|block| block["type"] == "tool_result");
                asked.results = results.map(|block| block["content"].to_string()).collect();
            }
            _ => {}
        }
        asked
    }
}

/// The answer as the interface gives it: server-sent events, or JSON where no stream was asked for.
pub(super) fn answer(parts: &[Say], number: usize, is_stream: bool, pause: Duration) -> Response<Body> {
    let is_call = parts.iter().any(|part| matches!(part, Say::Call(..)));
    let reason = if is_call { "tool_use" } else { "end_turn" };
    let mut message = json!({
        "id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": null,
        "usage": { "input_tokens": 1, "output_tokens": 1 },
    });
    let call = |index: usize| format!("toolu_{number}_{index}");
    if !is_stream {
        let block = |(index, part): (usize, &Say)| match part {
            Say::Text(text) => json!({ "type": "text", "text": text }),
            Say::Call(name, input) => json!({ "type": "tool_use", "id": call(index), "name": name, "input": input }),
        };
        message["content"] = parts.iter().enumerate().map(block).collect();
        message["stop_reason"] = reason.into();
        return json_of(StatusCode::OK, &message);
    }
    let mut events = vec![json!({ "type": "message_start", "message": message })];
    for (index, part) in parts.iter().enumerate() {
        let (block, deltas) = match part {
            Say::Text(text) => (json!({ "type": "text", "text": "" }), pieces(text)),
            Say::Call(name, input) => (
                json!({ "type": "tool_use", "id": call(index), "name": name, "input": {} }),
                vec![json!({ "type": "input_json_delta", "partial_json": input.to_string() })],
            ),
        };
        events.push(json!({ "type": "content_block_start", "index": index, "content_block": block }));
        events.extend(
            deltas.iter().map(|delta| json!({ "type": "content_block_delta", "index": index, "delta": delta })),
        );
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    events
        .push(json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": { "output_tokens": 1 } }));
    events.push(json!({ "type": "message_stop" }));
    let frames = stream::unfold(events.into_iter(), move |mut events| async move {
        let event = events.next()?;
        tokio::time::sleep(pause).await;
        let kind = event["type"].as_str().unwrap_or_default();
        let frame = Frame::data(Bytes::from(format!("event: {kind}\ndata: {event}\n\n")));
        Some((Ok::<_, Infallible>(frame), events))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

/// A text in three events, the last two of a word or so, as a model's words come.
fn pieces(text: &str) -> Vec<Value> {
    let mut rest = text;
    let mut last = Vec::new();
    for _ in 0..2 {
        let Some(at) = rest.rfind(' ').filter(|at| *at > 0) else { break };
        last.insert(0, &rest[at..]);
        rest = &rest[..at];
    }
    last.insert(0, rest);
    last.iter().map(|piece| json!({ "type": "text_delta", "text": piece })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_turn_asks_is_read_from_its_last_message() {
        let asked = Asked::read(&json!({
            "tools": [{ "name": "Bash" }],
            "messages": [
                { "role": "user", "content": "first" },
                { "role": "assistant", "content": [{ "type": "text", "text": "said" }] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "a", "content": "done" },
                    { "type": "text", "text": "second" },
                ] },
            ],
        }));
        let expected =
            Asked { text: "second".into(), results: vec!["\"done\"".into()], tools: vec!["Bash".into()], messages: 3 };
        assert_eq!(asked, expected);
    }

    #[test]
    fn pieces_are_the_text() {
        for text in ["pong, token, and pong", "pong", "", "a b"] {
            let all: String = pieces(text).iter().filter_map(|piece| piece["text"].as_str()).collect();
            assert_eq!(all, text);
        }
    }
}
