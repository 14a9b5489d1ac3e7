//! What the processes of a sandbox tell each other: one kind of message a byte, with text or descriptors.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// Descriptors in one message at most.
const MOST: usize = 8;
/// Bytes of text at most.
const LONGEST: usize = 4096;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// From inside: it has namespaces of its own, and wants to be somebody in them.
    Apart = b'A',
    /// From outside: it is.
    Mapped = b'M',
    /// From inside: the listeners.
    Listeners = b'L',
    /// From outside: a file with the certificates to trust.
    Trust = b'T',
    /// From inside: the terminal that the command has.
    Terminal = b'P',
    /// From inside: the filter's listener.
    Calls = b'C',
    /// From inside: the command has been started.
    Started = b'S',
    /// From outside: pass this signal on.
    Signal = b'K',
    /// From inside: it could not be done, and why.
    Failed = b'F',
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        use Kind::{Apart, Calls, Failed, Listeners, Mapped, Signal, Started, Terminal, Trust};
        [Apart, Mapped, Listeners, Trust, Terminal, Calls, Started, Signal, Failed]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A message.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) text: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// One end of a way between two processes.
#[derive(Debug)]
pub(crate) struct End(OwnedFd);

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Both ends.
pub(crate) fn pair() -> Result<(End, End), Errno> {
    let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    Ok((End(one), End(other)))
}

impl End {
    pub(crate) fn say(&self, kind: Kind) -> Result<(), Errno> {
        self.send(kind, &[], &[])
    }

    pub(crate) fn send(&self, kind: Kind, text: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let text = text.get(..LONGEST).unwrap_or(text);
        let head = [kind as u8];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(Errno::INVAL);
        }
        sendmsg(&self.0, &[IoSlice::new(&head), IoSlice::new(text)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The next message; `None` where the other end is closed, or says what nobody says.
    pub(crate) fn receive(&self) -> Option<Message> {
        let mut bytes = vec![0; LONGEST + 1];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let length = loop {
            let mut slots = [IoSliceMut::new(&mut bytes)];
            match recvmsg(&self.0, &mut slots, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => break received.bytes,
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        };
        bytes.truncate(length);
        let (&first, text) = bytes.split_first()?;
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(found) = message {
                descriptors.extend(found);
            }
        }
        Some(Message { kind: Kind::of(first)?, text: text.to_vec(), descriptors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_descriptors_arrive_as_they_were_sent_and_an_end_is_noticed() {
        let (one, other) = pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        one.send(Kind::Failed, b"why", &[file.as_fd(), file.as_fd()]).unwrap();
        one.say(Kind::Started).unwrap();
        let message = other.receive().unwrap();
        assert_eq!((message.kind, &*message.text, message.descriptors.len()), (Kind::Failed, &b"why"[..], 2));
        assert_eq!(other.receive().unwrap().kind, Kind::Started);
        drop(one);
        assert!(other.receive().is_none());
    }
}
