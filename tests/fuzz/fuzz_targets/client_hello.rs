//! A ClientHello: the name that policy is asked about is the one name in its bytes, as a plain reading of RFC 8446 finds it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustls::server::Acceptor;
use stubgate_policy::Name;

fuzz_target!(|data: &[u8]| {
    let mut acceptor = Acceptor::default();
    let mut rest = data;
    let accepted = loop {
        match acceptor.read_tls(&mut rest) {
            Ok(n) if n > 0 => {}
            _ => return,
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) => {}
            Err(_) => return,
        }
    };
    let hello = accepted.client_hello();
    let plain = names(data);
    match hello.server_name() {
        Some(name) => {
            assert_eq!(plain.as_deref(), Some([name.to_ascii_lowercase().into_bytes()].as_slice()), "{name:?}");
            if let Ok(parsed) = Name::parse(name.as_bytes()) {
                let dotless = name.strip_suffix('.').unwrap_or(name);
                assert!(parsed.as_str().eq_ignore_ascii_case(dotless), "{name:?} is {parsed:?}");
            }
        }
        // No name, or one that rustls ignores: addresses, as RFC 6066 forbids them.
        None => {
            for name in plain.unwrap_or_default() {
                let text = String::from_utf8(name).unwrap_or_default();
                assert!(text.parse::<std::net::IpAddr>().is_ok() || Name::parse(text.as_bytes()).is_err(), "{text:?}");
            }
        }
    }
});

/// The host names of the first handshake message, in lower case, over however many records it is cut into.
fn names(mut data: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut message = Vec::new();
    while let Some((header, rest)) = data.split_at_checked(5) {
        let length = usize::from(header[3]) << 8 | usize::from(header[4]);
        if header[0] != 22 {
            break;
        }
        let Some((body, rest)) = rest.split_at_checked(length) else { break };
        message.extend_from_slice(body);
        data = rest;
    }
    let mut hello = Bytes(&message);
    (hello.number(1)? == 1).then_some(())?;
    let length = hello.number(3)?;
    let mut hello = Bytes(hello.take(length)?);
    hello.take(34)?;
    let session = hello.number(1)?;
    hello.take(session)?;
    let suites = hello.number(2)?;
    hello.take(suites)?;
    let compressions = hello.number(1)?;
    hello.take(compressions)?;
    let length = hello.number(2)?;
    let mut extensions = Bytes(hello.take(length)?);
    let mut found = Vec::new();
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let length = extensions.number(2)?;
        let body = extensions.take(length)?;
        if kind == 0 {
            let mut list = Bytes(body);
            list.number(2)?;
            while !list.0.is_empty() {
                if list.number(1)? != 0 {
                    // How long a name of another kind is, only its own specification would say.
                    break;
                }
                let length = list.number(2)?;
                found.push(list.take(length)?.to_ascii_lowercase());
            }
        }
    }
    Some(found)
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (front, back) = self.0.split_at_checked(n)?;
        self.0 = back;
        Some(front)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |n, b| n << 8 | usize::from(*b)))
    }
}
