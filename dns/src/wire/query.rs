//! Reads one question. What comes from an agent ends here in a [`Query`] or in a [`Fault`], and never in a panic.

use super::{MAX_QUERY, Rcode, UDP_PAYLOAD, UDP_PLAIN, number};

const QR: u8 = 0x80;
const RD: u8 = 0x01;
const CD: u8 = 0x10;
const DO: u8 = 0x80;

/// What an answer repeats of a query's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: u16,
    pub(crate) opcode: u8,
    pub(crate) recursion_desired: bool,
    pub(crate) checking_disabled: bool,
}

/// A question as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question<'p> {
    /// Name, type and class.
    pub(crate) bytes: &'p [u8],
    /// The name in wire form with its root label; case as sent.
    pub(crate) name: &'p [u8],
    pub(crate) kind: u16,
    pub(crate) class: u16,
}

/// The OPT record of a query (RFC 6891 section 6.1). Its options are checked for form and otherwise ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edns {
    pub(crate) payload: u16,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
}

/// One question with the opcode QUERY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Query<'p> {
    pub(crate) header: Header,
    pub(crate) question: Question<'p>,
    pub(crate) edns: Option<Edns>,
}

/// Why a message is no query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing may be answered: an answer itself (two servers would answer each other for ever), or no whole header.
    Mute,
    /// To be answered by a bare header with this code.
    Answer(Header, Rcode),
}

impl Header {
    /// The header of a message that may be answered, and what follows its flags.
    pub(crate) fn parse(packet: &[u8]) -> Option<(Header, &[u8])> {
        let (&[id0, id1, flags0, flags1], rest) = packet.split_first_chunk::<4>()?;
        if flags0 & QR != 0 || rest.len() < 8 {
            return None;
        }
        let header = Header {
            id: u16::from_be_bytes([id0, id1]),
            opcode: (flags0 >> 3) & 0x0f,
            recursion_desired: flags0 & RD != 0,
            checking_disabled: flags1 & CD != 0,
        };
        Some((header, rest))
    }
}

impl<'p> Query<'p> {
    /// Reads a whole message.
    pub(crate) fn parse(packet: &'p [u8]) -> Result<Query<'p>, Fault> {
        let (header, rest) = Header::parse(packet).ok_or(Fault::Mute)?;
        if header.opcode != 0 {
            return Err(Fault::Answer(header, Rcode::NotImplemented));
        }
        let malformed = Fault::Answer(header, Rcode::FormatError);
        let Some((&[q0, q1, counts @ ..], rest)) = rest.split_first_chunk::<8>() else { return Err(Fault::Mute) };
        if packet.len() > MAX_QUERY || [q0, q1] != [0, 1] {
            return Err(malformed);
        }
        let (question, rest) = Question::parse(rest).ok_or(malformed)?;
        if matches!(question.kind, number::AXFR | number::IXFR) {
            // Refused whatever follows; IXFR rightly carries an SOA.
            return Ok(Query { header, question, edns: None });
        }
        let edns = match counts {
            [0, 0, 0, 0, 0, 0] if rest.is_empty() => None,
            [0, 0, 0, 0, 0, 1] => Some(Edns::parse(rest).ok_or(malformed)?),
            _ => return Err(malformed),
        };
        Ok(Query { header, question, edns })
    }

    /// The most bytes that may be sent in answer over UDP.
    pub(crate) fn udp_limit(&self) -> usize {
        usize::from(self.edns.map_or(UDP_PLAIN, |edns| edns.payload.clamp(UDP_PLAIN, UDP_PAYLOAD)))
    }
}

impl<'p> Question<'p> {
    /// A question at the start of `bytes`, and what follows it. A pointer is refused: nothing stands before the first name.
    pub(crate) fn parse(bytes: &'p [u8]) -> Option<(Question<'p>, &'p [u8])> {
        let mut length = 0;
        loop {
            let label = *bytes.get(length)?;
            if label > 63 {
                return None;
            }
            length += 1 + usize::from(label);
            if label == 0 {
                break;
            }
            if length > 254 {
                return None;
            }
        }
        let (name, rest) = bytes.split_at_checked(length)?;
        let (&[k0, k1, c0, c1], rest) = rest.split_first_chunk::<4>()?;
        let (bytes, _) = bytes.split_at_checked(length + 4)?;
        Some((Question { bytes, name, kind: u16::from_be_bytes([k0, k1]), class: u16::from_be_bytes([c0, c1]) }, rest))
    }
}

impl Edns {
    /// An OPT record that is all of `bytes`.
    fn parse(bytes: &[u8]) -> Option<Edns> {
        let (&[0, t0, t1, p0, p1, _rcode, version, flags, _, l0, l1], options) = bytes.split_first_chunk::<11>()?
        else {
            return None;
        };
        if u16::from_be_bytes([t0, t1]) != number::OPT || usize::from(u16::from_be_bytes([l0, l1])) != options.len() {
            return None;
        }
        if version == 0 {
            let mut rest = options;
            while !rest.is_empty() {
                let (&[_, _, l0, l1], tail) = rest.split_first_chunk::<4>()?;
                (_, rest) = tail.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
            }
        }
        Some(Edns { payload: u16::from_be_bytes([p0, p1]), version, dnssec_ok: flags & DO != 0 })
    }
}
