//! Writes what is checked in below `deploy/man` and `deploy/completions` anew: `cargo run -p stubgate-manual`.

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = stubgate_manual::files()?;
    for folder in stubgate_manual::FOLDERS {
        match fs::remove_dir_all(deploy.join(folder)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    for (path, text) in files {
        let path = deploy.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}
