//! ClientHellos that no honest client sends (RFC 8446 section 4.1.2), byte by byte.

use serde::Deserialize;

/// A ClientHello of TLS 1.2 and 1.3; good enough to be read to its end.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hello {
    /// The names of server_name; the extension is left out where there are none.
    #[serde(default)]
    pub(crate) names: Vec<ServerName>,
    /// More extensions, by number.
    #[serde(default)]
    pub(crate) extensions: Vec<Extension>,
    /// The versions of supported_versions; TLS 1.3 and 1.2 where nothing is said.
    pub(crate) versions: Option<Vec<u16>>,
    /// The version in the message itself; TLS 1.2 where nothing is said.
    pub(crate) legacy_version: Option<u16>,
    /// Bytes of the message in each record.
    pub(crate) record_bytes: Option<usize>,
}

/// An entry of server_name (RFC 6066 section 3).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerName {
    /// 0 is a host name.
    #[serde(default)]
    pub(crate) kind: u8,
    pub(crate) name: String,
}

/// An extension.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extension {
    pub(crate) number: u16,
    pub(crate) data: String,
    /// How often it stands there.
    #[serde(default = "once")]
    pub(crate) times: usize,
}

fn once() -> usize {
    1
}

fn u16s(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

fn with_length(bytes: Vec<u8>) -> Vec<u8> {
    [u16s(&[u16::try_from(bytes.len()).unwrap()]), bytes].concat()
}

pub(crate) fn extension(number: u16, body: Vec<u8>) -> Vec<u8> {
    [u16s(&[number]), with_length(body)].concat()
}

impl Hello {
    /// The records; `text` turns what a file says into bytes.
    pub(crate) fn records(&self, text: impl Fn(&str) -> Vec<u8>) -> Vec<u8> {
        let names = self.names.iter().map(|entry| (entry.kind, text(&entry.name))).collect::<Vec<_>>();
        let more = self.extensions.iter().flat_map(|more| extension(more.number, text(&more.data)).repeat(more.times));
        let more: Vec<u8> = more.collect();
        let versions = self.versions.as_deref().unwrap_or(&[0x0304, 0x0303]);
        let message = message(&names, &more, versions, self.legacy_version.unwrap_or(0x0303));
        records(&message, self.record_bytes.unwrap_or(16_000))
    }
}

/// The handshake message; `more` are extensions with their numbers and lengths.
pub(crate) fn message(names: &[(u8, Vec<u8>)], more: &[u8], versions: &[u16], legacy: u16) -> Vec<u8> {
    let mut extensions = Vec::new();
    if !names.is_empty() {
        let list = names.iter().flat_map(|(kind, name)| [vec![*kind], with_length(name.clone())].concat()).collect();
        extensions.extend(extension(0, with_length(list)));
    }
    extensions.extend(extension(10, with_length(u16s(&[0x001d, 0x0017]))));
    extensions.extend(extension(11, vec![1, 0]));
    extensions.extend(extension(13, with_length(u16s(&[0x0403, 0x0804, 0x0401]))));
    if !versions.is_empty() {
        let length = u8::try_from(versions.len() * 2).unwrap();
        extensions.extend(extension(43, [vec![length], u16s(versions)].concat()));
    }
    extensions.extend(extension(51, with_length([u16s(&[0x001d]), with_length(vec![9; 32])].concat())));
    extensions.extend_from_slice(more);
    let body = [
        u16s(&[legacy]),
        vec![7; 32],
        vec![0],
        with_length(u16s(&[0x1301, 0x1302, 0xc02b, 0xc02f])),
        vec![1, 0],
        with_length(extensions),
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [vec![1], length[1..].to_vec(), body].concat()
}

/// A message in records of at most so many bytes.
pub(crate) fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|piece| [vec![0x16, 3, 1], with_length(piece.to_vec())].concat()).collect()
}
