//! Tables of what must be refused, and any chunking against a model that has all bytes at once.

use proptest::prelude::*;

use super::*;
use crate::close_frame;

const LIMITS: Limits = Limits { message_bytes: 100_000, fragments: 8 };

/// A frame as the model sees it: opcode, whether it is final, payload.
type Frame = (u8, bool, Vec<u8>);

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    BetweenFrames,
    Inside,
    Violated(Violation),
}

fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if key.is_some() { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        short @ 0..126 => out.push(bit | u8::try_from(short).unwrap()),
        middle @ 126..65_536 => {
            out.push(bit | 126);
            out.extend(u16::try_from(middle).unwrap().to_be_bytes());
        }
        long => {
            out.push(bit | 127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    out.extend(key.into_iter().flatten());
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key.map_or(0, |key| key[at % 4])));
    out
}

/// Feeds pieces of these lengths, over and over; whole frames, and how it ended. Checks on the way that what is masked
/// again is what came.
fn read(sender: Sender, input: &[u8], cuts: &[usize]) -> (Vec<Frame>, End) {
    let mut parser = Parser::new(sender, LIMITS);
    let (mut frames, mut open, mut buffer, mut given, mut done) = (Vec::new(), None::<Frame>, Vec::new(), 0, 0);
    for cut in cuts.iter().cycle() {
        let end = (given + cut).min(input.len());
        buffer.extend_from_slice(&input[given..end]);
        given = end;
        loop {
            let piece = match parser.next(&mut buffer) {
                Ok(piece) => piece,
                Err(violation) => return (frames, End::Violated(violation)),
            };
            let used = match piece {
                Piece::More => break,
                Piece::Data(header) => {
                    let opcode = match header.opcode {
                        Opcode::Continuation => 0,
                        Opcode::Text => 1,
                        _ => 2,
                    };
                    if header.payload == 0 {
                        frames.push((opcode, header.is_final, Vec::new()));
                    } else {
                        open = Some((opcode, header.is_final, Vec::new()));
                    }
                    header.size
                }
                Piece::Payload { length, mask, ends_frame } => {
                    open.as_mut().unwrap().2.extend_from_slice(&buffer[..length]);
                    if let Some(mask) = mask {
                        mask.apply(&mut buffer[..length]);
                    }
                    if ends_frame {
                        frames.extend(open.take());
                    }
                    length
                }
                Piece::Control(header) => {
                    let opcode = match header.opcode {
                        Opcode::Close => 8,
                        Opcode::Ping => 9,
                        _ => 10,
                    };
                    let used = header.size + usize::try_from(header.payload).unwrap();
                    frames.push((opcode, true, buffer[header.size..used].to_vec()));
                    if let Some(mask) = header.mask {
                        mask.apply(&mut buffer[header.size..used]);
                    }
                    used
                }
            };
            assert_eq!(buffer[..used], input[done..done + used], "masked again it is what came");
            buffer.drain(..used);
            done += used;
        }
        assert!(buffer.len() < crate::LONGEST_HEADER + crate::LONGEST_CONTROL, "little waits");
        assert_eq!(parser.is_between_frames(), open.is_none());
        if given == input.len() {
            break;
        }
    }
    let is_between = open.is_none() && buffer.is_empty();
    (frames, if is_between { End::BetweenFrames } else { End::Inside })
}

/// The same with all bytes at hand, written as the RFC tells it.
fn model(sender: Sender, input: &[u8]) -> (Vec<Frame>, End) {
    use Violation as V;
    let mut frames = Vec::new();
    let mut at = 0;
    let mut message: Option<(bool, Vec<u8>, u64, u32)> = None;
    let mut closed = false;
    while at < input.len() {
        let first = input[at];
        if first & 0x70 > 0 {
            return (frames, End::Violated(V::ReservedBit));
        }
        let (opcode, fin) = (first & 15, first & 0x80 > 0);
        if ![0, 1, 2, 8, 9, 10].contains(&opcode) {
            return (frames, End::Violated(V::ReservedOpcode));
        }
        if opcode >= 8 && !fin {
            return (frames, End::Violated(V::FragmentedControl));
        }
        let Some(&second) = input.get(at + 1) else { return (frames, End::Inside) };
        let masked = second & 0x80 > 0;
        if masked != (sender == Sender::Client) {
            return (frames, End::Violated(if masked { V::Masked } else { V::NotMasked }));
        }
        let short = usize::from(second & 127);
        if opcode >= 8 && short > 125 {
            return (frames, End::Violated(V::LongControl));
        }
        let more = if short == 126 {
            2
        } else if short == 127 {
            8
        } else {
            0
        };
        let Some(extended) = input.get(at + 2..at + 2 + more) else { return (frames, End::Inside) };
        let length = extended.iter().fold(0u128, |sum, &byte| sum * 256 + u128::from(byte));
        let length = if more == 0 { short as u128 } else { length };
        if (more == 2 && length < 126) || (more == 8 && !(65_536..1 << 63).contains(&length)) {
            return (frames, End::Violated(V::LengthEncoding));
        }
        let length = u64::try_from(length).unwrap();
        let start = at + 2 + more + if masked { 4 } else { 0 };
        if start > input.len() {
            return (frames, End::Inside);
        }
        if opcode < 8 {
            let wrong = match (closed, opcode, &message) {
                (true, _, _) => Some(V::AfterClose),
                (_, 0, None) => Some(V::NothingToContinue),
                (_, 1 | 2, Some(_)) => Some(V::InsideMessage),
                _ => None,
            };
            if let Some(wrong) = wrong {
                return (frames, End::Violated(wrong));
            }
            let mut under_way = message.take().unwrap_or((opcode == 1, Vec::new(), 0, 0));
            under_way.2 += length;
            under_way.3 += 1;
            if under_way.2 > LIMITS.message_bytes {
                return (frames, End::Violated(V::TooLarge));
            }
            if under_way.3 > LIMITS.fragments {
                return (frames, End::Violated(V::TooManyFragments));
            }
            message = Some(under_way);
        } else if opcode == 8 && closed {
            return (frames, End::Violated(V::AfterClose));
        }
        let end = input.len().min(start + usize::try_from(length).unwrap());
        let whole = end - start == usize::try_from(length).unwrap();
        let payload: Vec<u8> = (start..end)
            .map(|place| input[place] ^ if masked { input[start - 4 + (place - start) % 4] } else { 0 })
            .collect();
        if opcode < 8 {
            let (is_text, bytes, ..) = message.as_mut().unwrap();
            bytes.extend_from_slice(&payload);
            let cut = std::str::from_utf8(bytes).err().map(|error| error.error_len().is_none());
            if *is_text && (cut == Some(false) || (cut == Some(true) && whole && fin)) {
                return (frames, End::Violated(V::NotUtf8));
            }
        }
        if !whole {
            return (frames, End::Inside);
        }
        if opcode == 8 {
            closed = true;
            let code = payload.first_chunk::<2>().map(|code| u16::from_be_bytes(*code));
            let sent = [1000..1004, 1007..1015, 3000..5000];
            if payload.len() == 1 || code.is_some_and(|code| !sent.iter().any(|range| range.contains(&code))) {
                return (frames, End::Violated(V::CloseCode));
            }
            if std::str::from_utf8(payload.get(2..).unwrap_or_default()).is_err() {
                return (frames, End::Violated(V::NotUtf8));
            }
        }
        frames.push((opcode, fin, payload));
        if opcode < 8 && fin {
            message = None;
        }
        at = end;
    }
    (frames, End::BetweenFrames)
}

#[test]
fn what_a_sender_must_not_send_is_refused_with_the_code_that_the_rfc_names() {
    use Violation as V;
    let text = |bytes: &[u8]| frame(0x81, bytes, None);
    let closing = |payload: &[u8]| frame(0x88, payload, None);
    let close_with = |code: u16| closing(&code.to_be_bytes());
    let mut cases: Vec<(&str, Vec<u8>, Violation, u16)> = vec![
        ("RSV1", b"\xc1".to_vec(), V::ReservedBit, 1002),
        ("RSV2", b"\xa1".to_vec(), V::ReservedBit, 1002),
        ("RSV3", b"\x91".to_vec(), V::ReservedBit, 1002),
        ("RSV1 on a ping", b"\xc9".to_vec(), V::ReservedBit, 1002),
        ("masked by the server", b"\x81\x80".to_vec(), V::Masked, 1002),
        ("a fragmented ping", b"\x09".to_vec(), V::FragmentedControl, 1002),
        ("a fragmented close", b"\x08".to_vec(), V::FragmentedControl, 1002),
        ("a ping of 126", b"\x89\x7e".to_vec(), V::LongControl, 1002),
        ("a close of 2^63", b"\x88\x7f".to_vec(), V::LongControl, 1002),
        ("5 in two bytes", b"\x82\x7e\0\x05".to_vec(), V::LengthEncoding, 1002),
        ("125 in two bytes", b"\x82\x7e\0\x7d".to_vec(), V::LengthEncoding, 1002),
        ("65535 in eight bytes", b"\x82\x7f\0\0\0\0\0\0\xff\xff".to_vec(), V::LengthEncoding, 1002),
        ("2^63", b"\x82\x7f\x80\0\0\0\0\0\0\0".to_vec(), V::LengthEncoding, 1002),
        ("2^63 - 1", b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff".to_vec(), V::TooLarge, 1009),
        ("a continuation first", b"\x80\0".to_vec(), V::NothingToContinue, 1002),
        ("a continuation after the last", [text(b"a"), b"\x80\0".to_vec()].concat(), V::NothingToContinue, 1002),
        ("text inside a message", b"\x01\0\x81\0".to_vec(), V::InsideMessage, 1002),
        ("fragments without end", [b"\x01\0".to_vec(), b"\0\0".repeat(8)].concat(), V::TooManyFragments, 1009),
        ("not UTF-8", text(b"\xff"), V::NotUtf8, 1007),
        ("half a character", text(b"\xc3"), V::NotUtf8, 1007),
        ("half a character, then none", b"\x01\x01\xc3\x80\0".to_vec(), V::NotUtf8, 1007),
        ("a surrogate", text(b"\xed\xa0\x80"), V::NotUtf8, 1007),
        ("a reason that is not UTF-8", closing(b"\x03\xe8\xff"), V::NotUtf8, 1007),
        ("half a close code", closing(b"\x03"), V::CloseCode, 1002),
        ("data after close", [close_with(1000), text(b"a")].concat(), V::AfterClose, 1002),
        ("two closes", [close_with(1000), close_with(1000)].concat(), V::AfterClose, 1002),
    ];
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        cases.push(("a reserved opcode", vec![0x80 | opcode], V::ReservedOpcode, 1002));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push(("a close code", close_with(code), V::CloseCode, 1002));
    }
    for (name, input, violation, code) in cases {
        for cuts in [[1].as_slice(), &[2], &[3], &[usize::MAX / 2]] {
            let (_, end) = read(Sender::Server, &input, cuts);
            assert_eq!(end, End::Violated(violation), "{name} in pieces of {cuts:?}");
        }
        assert_eq!(violation.close_code(), code, "{name}");
    }
    assert_eq!(read(Sender::Client, b"\x81\x05hello", &[9]).1, End::Violated(V::NotMasked));
    assert_eq!(V::TooManyControls.close_code(), 1008);
}

#[test]
fn what_the_rfc_gives_as_examples_is_read() {
    // RFC 6455 section 5.7, and every code that may be sent.
    let hello = |opcode| (opcode, true, b"Hello".to_vec());
    let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(read(Sender::Client, masked, &[1]), (vec![hello(1)], End::BetweenFrames));
    assert_eq!(read(Sender::Server, b"\x81\x05Hello", &[1]), (vec![hello(1)], End::BetweenFrames));
    assert_eq!(read(Sender::Server, b"\x89\x05Hello", &[1]), (vec![hello(9)], End::BetweenFrames));
    let fragments = vec![(1, false, b"Hel".to_vec()), (0, true, b"lo".to_vec())];
    assert_eq!(read(Sender::Server, b"\x01\x03Hel\x80\x02lo", &[1]), (fragments, End::BetweenFrames));
    let between = b"\x01\x01a\x89\x00\x8a\x01p\x80\x01b";
    assert_eq!(read(Sender::Server, between, &[4]).1, End::BetweenFrames);
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4000, 4999] {
        for sender in [Sender::Client, Sender::Server] {
            let input = close_frame(sender, code, "bye", [1, 2, 3, 4]);
            let expected = [code.to_be_bytes().as_slice(), b"bye"].concat();
            assert_eq!(read(sender, &input, &[1]), (vec![(8, true, expected)], End::BetweenFrames), "{code}");
        }
    }
    let long = close_frame(Sender::Client, 1008, &"x".repeat(500), [0; 4]);
    assert_eq!(read(Sender::Client, &long, &[5]).0[0].2.len(), 125);
    // A pong may follow Close; what came before it ends there.
    let pong = [close_frame(Sender::Server, 1000, "", [0; 4]), frame(0x8a, b"", None)].concat();
    assert_eq!(read(Sender::Server, &pong, &[3]).1, End::BetweenFrames);
}

fn any_frame() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let first = prop_oneof![
        8 => prop_oneof![Just(0x81u8), Just(0x82), Just(0x01), Just(0x02), Just(0x00), Just(0x80)],
        3 => prop_oneof![Just(0x89u8), Just(0x8a)],
        1 => prop_oneof![Just(0x88u8), any::<u8>()],
    ];
    let payload = prop_oneof![
        4 => "[a-zé€😀]{0,12}".prop_map(String::into_bytes),
        2 => proptest::collection::vec(any::<u8>(), 0..8),
        1 => (120..140usize).prop_map(|length| vec![b'x'; length]),
        1 => prop_oneof![Just(65_535usize), Just(65_536)].prop_map(|length| vec![b'y'; length]),
        1 => Just(vec![0x03, 0xe8, b'b', b'y', b'e']),
    ];
    (first, payload)
}

proptest! {
    #[test]
    fn any_pieces_say_what_the_model_says_of_the_whole(
        frames in proptest::collection::vec(any_frame(), 0..12),
        key: Option<[u8; 4]>,
        cuts in proptest::collection::vec(prop_oneof![1..5usize, 1..200usize, Just(70_000)], 1..8),
        noise in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
        left in any::<proptest::sample::Index>(),
    ) {
        let sender = if key.is_some() { Sender::Client } else { Sender::Server };
        let mut input: Vec<u8> = frames.iter().flat_map(|(first, payload)| frame(*first, payload, key)).collect();
        if let Some((at, byte)) = noise && !input.is_empty() {
            let at = at.index(input.len().min(400));
            input[at] = byte;
        }
        input.truncate(input.len() - if noise.is_some() { left.index(input.len() + 1).min(5) } else { 0 });
        prop_assert_eq!(read(sender, &input, &cuts), model(sender, &input));
    }
}
