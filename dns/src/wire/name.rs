//! Names in wire form: from labels to a host name, to the text of a record, and compared with each other.

use std::fmt::Write;

/// The labels of a name in wire form that was checked before; stops at the root.
fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (&length, tail) = rest.split_first()?;
        let (label, tail) = tail.split_at_checked(usize::from(length))?;
        rest = tail;
        (length != 0).then_some(label)
    })
}

/// Joins the labels of `wire` with dots in `buffer`; `None` if a label has a dot in it, so that the text has exactly the
/// labels of the wire (DN-14). Empty for the root. Which other bytes a name may have is for `Name::parse` to say.
pub(crate) fn joined<'b>(wire: &[u8], buffer: &'b mut [u8; 255]) -> Option<&'b [u8]> {
    let mut end = 0;
    for label in labels(wire) {
        if end > 0 {
            *buffer.get_mut(end)? = b'.';
            end += 1;
        }
        if label.contains(&b'.') {
            return None;
        }
        buffer.get_mut(end..end + label.len())?.copy_from_slice(label);
        end += label.len();
    }
    buffer.get(..end)
}

/// Appends the presentation form (RFC 1035 section 5.1) of a name to `text`: case as asked, no trailing dot save for the
/// root itself, every byte that is not printable ASCII as `\DDD`, so that it is one line whatever was asked.
pub(crate) fn present(wire: &[u8], text: &mut String) {
    let start = text.len();
    for label in labels(wire) {
        if text.len() > start {
            text.push('.');
        }
        for &byte in label {
            match byte {
                b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                    text.push('\\');
                    text.push(char::from(byte));
                }
                b'!'..=b'~' => text.push(char::from(byte)),
                _ => {
                    let _ = write!(text, "\\{byte:03}");
                }
            }
        }
    }
    if text.len() == start {
        text.push('.');
    }
}

/// Whether two names in wire form are the same but for ASCII case. A length byte is below `A`, so bytes can be compared.
pub(crate) fn same_name(one: &[u8], other: &[u8]) -> bool {
    one.eq_ignore_ascii_case(other)
}
