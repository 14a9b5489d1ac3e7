//! The bundle: what agents must trust, as they fetch it and as a file that they mount.
//!
//! Its tag is of the set of our CAs, whatever their order, so that several replicas agree on it. `If-None-Match` tells what the
//! asker trusts *now*: who names the tag in force is answered 304 and has been seen; who names another one is given the bundle, and
//! may not trust it yet; who names none takes what it gets.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use sha2::{Digest as _, Sha256};
use stubgate_certs::{Anchor, Life, bundle_pem};

use crate::respond::{self, ResponseBody};

/// Tells whoever has to put it in force by when, in seconds from now; only while a CA comes.
const LEFT: HeaderName = HeaderName::from_static("stubgate-ca-seconds-left");
/// What a tag begins with: the order of certificates may differ, what they mean does not (RFC 9110 section 8.8.1).
const WEAK: &str = "W/";

/// Which certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Ours alone.
    Own,
    /// Ours, and the system's.
    WithSystem,
}

pub(super) struct Bundle {
    own: Bytes,
    with_system: Bytes,
    /// As it stands in quotes.
    tag: String,
    coming: Option<String>,
    deadline: Option<SystemTime>,
}

impl Bundle {
    /// Ours, and before these certificates of the system, PEM.
    pub(super) fn new(life: &Life, system: &str) -> Self {
        let anchors: Vec<Anchor> = life.anchors().into_iter().map(|(_, anchor)| anchor).collect();
        let mut prints: Vec<String> = anchors.iter().map(Anchor::pem).collect();
        prints.sort();
        let digest = Sha256::digest(prints.concat());
        let tag = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let own = bundle_pem(&anchors, false);
        let with_system = [own.as_str(), system].concat();
        let deadline = life.overlap().map(|overlap| overlap.deadline);
        Self { own: own.into(), with_system: with_system.into(), tag, coming: life.coming(), deadline }
    }

    pub(super) fn pem(&self, form: Form) -> Bytes {
        match form {
            Form::Own => self.own.clone(),
            Form::WithSystem => self.with_system.clone(),
        }
    }

    pub(super) fn coming(&self) -> Option<&str> {
        self.coming.as_deref()
    }

    /// And whether who asked has it.
    pub(super) fn answer(
        &self,
        form: Form,
        known: Option<&HeaderValue>,
        now: SystemTime,
    ) -> (Response<ResponseBody>, bool) {
        let is_known = known.is_some_and(|known| self.is_named(known));
        let mut response = if is_known {
            let mut response = Response::new(ResponseBody::Empty);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            respond::whole("application/x-pem-file", self.pem(form))
        };
        let headers = response.headers_mut();
        if let Ok(tag) = HeaderValue::from_str(&format!("{WEAK}\"{}\"", self.tag)) {
            headers.insert(header::ETAG, tag);
        }
        // Whoever keeps a copy asks whether it is good.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Some(deadline) = self.deadline {
            headers.insert(LEFT, deadline.duration_since(now).unwrap_or_default().as_secs().into());
        }
        (response, is_known || known.is_none())
    }

    fn is_named(&self, known: &HeaderValue) -> bool {
        let Ok(known) = known.to_str() else { return false };
        let mut tags = known.split(',').map(|tag| tag.trim().trim_start_matches(WEAK).trim_matches('"'));
        tags.any(|tag| tag == self.tag)
    }
}

/// Makes the folder of the file where there is none, for all to look into whatever the process's umask.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

/// Replaces the file whole, for all to read; one that has the bundle already is left alone.
pub(super) fn write(path: &Path, pem: &[u8]) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| found.len() == pem.len() as u64) && fs::read(path)? == pem {
        return Ok(());
    }
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    let draft = path.with_file_name(format!(".{name}.new"));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&draft)?;
    // Whatever the process's umask, as a hardened unit has one: whoever mounts it is another user.
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(pem)?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stubgate_certs::{Origin, Subtrees, Terms};

    use super::*;

    fn life(folder: &Path) -> Life {
        let origin = Origin::Made(Subtrees::default());
        Life::open(folder, origin, Terms::default(), SystemTime::now()).unwrap()
    }

    #[test]
    fn who_names_what_is_in_force_has_it_and_who_names_something_else_may_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut life = life(folder.path());
        let now = SystemTime::now();
        let old = Bundle::new(&life, "a system's");
        life.rotate(&Subtrees::default(), Terms::default(), now).unwrap();
        let bundle = Bundle::new(&life, "a system's");
        let ask = |known: Option<&str>| {
            let known = known.map(|known| HeaderValue::from_str(known).unwrap());
            let (response, is_seen) = bundle.answer(Form::Own, known.as_ref(), now);
            (response.status().as_u16(), is_seen)
        };
        assert_eq!(ask(None), (200, true), "takes what it gets");
        let tag = format!("W/\"{}\"", bundle.tag);
        for known in [tag.as_str(), &format!("\"{}\"", bundle.tag), &format!("\"x\", {tag}")] {
            assert_eq!(ask(Some(known)), (304, true), "{known}");
        }
        for known in [format!("W/\"{}\"", old.tag), "\"waiting\"".into(), "*".into(), String::new()] {
            assert_eq!(ask(Some(&known)), (200, false), "{known}");
        }
        let (response, _) = bundle.answer(Form::Own, None, now + Duration::from_secs(60));
        assert_eq!(response.headers()[header::ETAG], tag);
        let left: u64 = response.headers()[LEFT].to_str().unwrap().parse().unwrap();
        assert!((24 * 3600 - 61..24 * 3600).contains(&left), "{left}");
        assert!(!old.answer(Form::Own, None, now).0.headers().contains_key(LEFT));
    }

    #[test]
    fn the_tag_is_of_the_set_and_the_one_that_signs_is_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut life = life(folder.path());
        life.rotate(&Subtrees::default(), Terms::default(), SystemTime::now()).unwrap();
        let during = Bundle::new(&life, "a system's");
        let later = SystemTime::now() + Terms::default().least;
        let terms = Terms::default();
        assert!(life.turn(later, terms, true, |_| Ok(()), |_| stubgate_certs::Audience::new()).is_changed);
        let after = Bundle::new(&life, "a system's");
        assert_eq!(during.tag, after.tag, "the same set, for a replica that is not as far");
        assert_ne!(during.own, after.own);
        assert!(after.own.starts_with(life.signing().certificate_pem().as_bytes()));
        assert!(after.with_system.starts_with(&after.own) && after.with_system.ends_with(b"a system's"));
    }

    #[test]
    fn a_file_is_replaced_whole_and_left_alone_when_it_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.pem");
        write(&path, b"one").unwrap();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        write(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
