//! A line of the record: what happened, if it tells of anything that did.

use std::time::SystemTime;

use serde::Deserialize;
use serde_json::Value;

use super::Entry;
use crate::clean;

/// Bytes of a tool's input at most.
const INPUT: usize = 300;
/// What is told of a tool's input, the first that it has.
const TELLING: [&str; 9] = ["command", "file_path", "path", "pattern", "url", "query", "description", "prompt", "text"];

/// Reads lines in their order.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) stubs: Vec<String>,
    /// Whether a turn is under way. The last message of one is a line for each of its parts, each saying that it is the last.
    is_open: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Reader { stubs: Vec::new(), is_open: true }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    r#type: String,
    subtype: Option<String>,
    #[serde(default)]
    is_sidechain: bool,
    #[serde(default)]
    is_meta: bool,
    #[serde(default)]
    is_compact_summary: bool,
    #[serde(default)]
    is_api_error_message: bool,
    timestamp: Option<String>,
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<Content>,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

#[derive(Deserialize)]
struct Block {
    r#type: String,
    text: Option<String>,
    name: Option<String>,
    input: Option<Value>,
}

impl Reader {
    /// Whether it is a line of the client's at all.
    pub(super) fn read(&mut self, line: &[u8], entries: &mut Vec<Entry>) -> bool {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { return false };
        if line.is_sidechain {
            return true;
        }
        match line.r#type.as_str() {
            "user" => self.asked(&line, entries),
            "assistant" => self.said(&line, entries),
            "system" if line.subtype.as_deref() == Some("turn_duration") => self.ended(&line, entries),
            _ => {}
        }
        true
    }

    fn asked(&mut self, line: &Line, entries: &mut Vec<Entry>) {
        self.is_open = true;
        let texts = line.texts();
        let is_channel = texts.first().is_some_and(|text| text.starts_with("<channel "));
        if line.is_compact_summary || (line.is_meta && !is_channel) {
            return;
        }
        entries.extend(texts.into_iter().map(|text| Entry::Asked { text: self.fit(text) }));
    }

    fn said(&mut self, line: &Line, entries: &mut Vec<Entry>) {
        if line.is_api_error_message {
            self.is_open = false;
            entries.extend(line.texts().into_iter().map(|text| Entry::Failed { text: self.fit(text) }));
            return;
        }
        let Some(message) = &line.message else { return };
        match &message.content {
            Some(Content::Text(text)) => entries.push(Entry::Said { text: self.fit(text) }),
            Some(Content::Blocks(blocks)) => entries.extend(blocks.iter().filter_map(|block| self.block(block))),
            None => {}
        }
        match message.stop_reason.as_deref() {
            // Its last part may come as a line of its own, and is part of the turn that has ended.
            Some("end_turn" | "stop_sequence" | "max_tokens" | "refusal") => self.ended(line, entries),
            _ => self.is_open = true,
        }
    }

    fn block(&self, block: &Block) -> Option<Entry> {
        match (block.r#type.as_str(), &block.text, &block.name) {
            ("text", Some(text), _) if !text.trim().is_empty() => Some(Entry::Said { text: self.fit(text) }),
            ("tool_use", _, Some(name)) => {
                let mut input = self.fit(&telling(block.input.as_ref()));
                clean::cut(&mut input, INPUT);
                let mut tool = self.fit(name);
                clean::cut(&mut tool, INPUT);
                Some(Entry::Used { tool, input })
            }
            _ => None,
        }
    }

    fn ended(&mut self, line: &Line, entries: &mut Vec<Entry>) {
        if std::mem::replace(&mut self.is_open, false) {
            let at = line.timestamp.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
            entries.push(Entry::TurnEnded { at: at.map_or_else(SystemTime::now, SystemTime::from) });
        }
    }

    fn fit(&self, text: &str) -> String {
        clean::told(text, &self.stubs)
    }
}

impl Line {
    fn texts(&self) -> Vec<&str> {
        let texts = match self.message.as_ref().and_then(|message| message.content.as_ref()) {
            Some(Content::Text(text)) => vec![text.as_str()],
            Some(Content::Blocks(blocks)) => {
                blocks.iter().filter(|block| block.r#type == "text").filter_map(|block| block.text.as_deref()).collect()
            }
            None => Vec::new(),
        };
        texts.into_iter().filter(|text| !text.trim().is_empty()).collect()
    }
}

/// What is told of a tool's input.
fn telling(input: Option<&Value>) -> String {
    let Some(input) = input else { return String::new() };
    let found = TELLING.iter().find_map(|key| input.get(key).and_then(Value::as_str));
    found.map_or_else(|| input.to_string(), str::to_owned)
}
