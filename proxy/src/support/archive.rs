//! A compressed archive (POSIX ustar) of a few members, always the same bytes for the same content.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// The folder that everything unpacks into.
const FOLDER: &str = "stubgate-support/";
const BLOCK: usize = 512;

/// One file of a bundle.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// What it is, for who decides whether to hand it on.
    pub about: &'static str,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Writes all of them.
///
/// # Errors
/// Where `out` takes no more.
pub fn write(out: impl Write, members: &[Member]) -> io::Result<()> {
    let mut out = GzEncoder::new(out, Compression::default());
    for member in members {
        out.write_all(&header(member))?;
        out.write_all(&member.content)?;
        out.write_all(&vec![0; member.content.len().next_multiple_of(BLOCK) - member.content.len()])?;
    }
    out.write_all(&[0; 2 * BLOCK])?;
    out.finish()?.flush()
}

fn header(member: &Member) -> Vec<u8> {
    // Name, mode, owner, group, size, time of change, checksum, kind, link, magic and version; the rest is empty.
    let mut block = Vec::with_capacity(BLOCK);
    let field = |block: &mut Vec<u8>, text: &str, width: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(width, 0);
        block.extend(bytes);
    };
    field(&mut block, &format!("{FOLDER}{}", member.name), 100);
    for number in ["0000600", "0000000", "0000000"] {
        field(&mut block, number, 8);
    }
    field(&mut block, &format!("{:011o}", member.content.len()), 12);
    field(&mut block, "00000000000", 12);
    let before = block.clone();
    let mut after = Vec::new();
    field(&mut after, "0", 1);
    field(&mut after, "", 100);
    field(&mut after, "ustar\0", 6);
    field(&mut after, "00", 2);
    // Counted with blanks in its own place.
    let sum: u32 = before.iter().chain(&after).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    field(&mut block, &format!("{sum:06o}\0 "), 8);
    block.extend(after);
    block.resize(BLOCK, 0);
    block
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn tar_unpacks_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.tar.gz");
        let members = [("a.txt", 0), ("b.txt", 512), ("c.json", 1300)].map(|(name, length)| Member {
            name,
            about: "",
            content: vec![b'x'; length],
        });
        write(std::fs::File::create(&path).unwrap(), &members).unwrap();
        let unpacked = Command::new("tar").arg("xzf").arg(&path).arg("-C").arg(folder.path()).status().unwrap();
        assert!(unpacked.success());
        for member in members {
            let content = std::fs::read(folder.path().join(FOLDER).join(member.name)).unwrap();
            assert_eq!(content, member.content, "{}", member.name);
        }
    }
}
