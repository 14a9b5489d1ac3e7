//! SOCKS5: what is read once is read the same however it arrives, and a target is the one value that every other way in
//! reads from the same bytes.
#![no_main]
#![allow(dead_code)]

#[path = "../../../proxy/src/listen/socks/message.rs"]
mod message;

use libfuzzer_sys::fuzz_target;
use message::{LONGEST, Request, Target, greeting, request};
use stubgate_policy::{Authority, Scheme};

fuzz_target!(|data: &[u8]| {
    if let Ok(Some((offered, length))) = greeting(data) {
        assert!(length <= data.len() && length <= LONGEST);
        assert_eq!(greeting(&data[..length]), Ok(Some((offered, length))));
        assert_eq!(greeting(&data[..length - 1]), Ok(None));
        assert_eq!(offered.without_proof, data[2..length].contains(&0));
    }
    let Ok(Some((asked, length))) = request(data) else { return };
    assert!(length <= data.len() && length <= LONGEST);
    assert_eq!(request(&data[..length]), Ok(Some((asked.clone(), length))));
    for cut in 0..length {
        assert_eq!(request(&data[..cut]), Ok(None), "{cut} of {length}");
    }
    if let Request::Connect(Target::Place(host, port)) = asked {
        assert_eq!((data[0], data[1], data[2]), (5, 1, 0));
        assert_eq!(port.get().to_be_bytes(), data[length - 2..length]);
        for scheme in [Scheme::Http, Scheme::Https] {
            let authority = Authority::new(scheme, host.clone(), port);
            assert_eq!(Authority::parse(scheme, authority.host_header().as_bytes()).as_ref(), Ok(&authority));
        }
    }
});
