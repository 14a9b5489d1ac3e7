//! What an endpoint must not send.

/// Why frames go no further. The sender of the frames is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// RFC 6455 section 5.2: no extension that would give RSV1 to RSV3 a meaning was agreed on.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// Section 5.2: opcodes 3 to 7 and 11 to 15.
    #[error("a reserved opcode")]
    ReservedOpcode,
    /// Section 5.1: a client masks every frame.
    #[error("a frame of the client is not masked")]
    NotMasked,
    /// Section 5.1: a server masks none.
    #[error("a frame of the server is masked")]
    Masked,
    /// Section 5.2: the minimal number of bytes must be used to encode a length, and its highest bit is 0.
    #[error("a length that is not encoded as it must be")]
    LengthEncoding,
    /// Section 5.5.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// Section 5.5: at most 125 bytes.
    #[error("a control frame is too long")]
    LongControl,
    /// Section 5.4.
    #[error("a continuation of nothing")]
    NothingToContinue,
    /// Section 5.4: another message before the last fragment.
    #[error("a message inside a fragmented message")]
    InsideMessage,
    /// Section 5.5.1: no data after Close, and one Close.
    #[error("a frame after the Close frame")]
    AfterClose,
    /// Section 7.4: a code of one byte, or one that is reserved or never sent.
    #[error("a close code that may not be sent")]
    CloseCode,
    /// Section 8.1: text, or the reason of a Close frame.
    #[error("text that is not UTF-8")]
    NotUtf8,
    /// More than [`Limits`](crate::Limits) allow in one frame or message.
    #[error("a message that is too large")]
    TooLarge,
    /// More fragments than [`Limits`](crate::Limits) allow.
    #[error("a message of too many fragments")]
    TooManyFragments,
    /// More control frames than [`ControlRate`](crate::ControlRate) allows.
    #[error("too many control frames")]
    TooManyControls,
}

impl Violation {
    /// The status code to close the connection with (section 7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Violation::ReservedBit
            | Violation::ReservedOpcode
            | Violation::NotMasked
            | Violation::Masked
            | Violation::LengthEncoding
            | Violation::FragmentedControl
            | Violation::LongControl
            | Violation::NothingToContinue
            | Violation::InsideMessage
            | Violation::AfterClose
            | Violation::CloseCode => 1002,
            Violation::NotUtf8 => 1007,
            Violation::TooManyControls => 1008,
            Violation::TooLarge | Violation::TooManyFragments => 1009,
        }
    }
}
