//! Where a CA is from. One of the operator's is two files that somebody else exchanges, at any time and not in one moment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::authority::store::{GROUP_MAY_READ, Pair, read, read_pair_of};
use crate::constraints::Subtrees;
use crate::{CaError, CertificateAuthority};

/// Where the CA is from.
#[derive(Debug)]
pub enum Origin {
    /// Made in the state folder, with these constraints.
    Made(Subtrees),
    /// The operator's files.
    Given(Given),
}

/// A CA in files of the operator's, which are exchanged at any time.
#[derive(Debug)]
pub struct Given {
    pub(super) certificate_file: PathBuf,
    pub(super) key_file: PathBuf,
    /// Whose key is taken besides root's and our own.
    user: Option<u32>,
    /// As it was read last; taken when it is put in place.
    pub(super) pair: Option<Box<Pair>>,
    /// What the certificate file held when the pair was good.
    pub(super) certificate_pem: Zeroizing<Vec<u8>>,
}

impl Given {
    /// Reads the files: PEM, the issuing certificate first. The key may belong to root, to who reads it, or to this `user`: the
    /// one that the appliance becomes, or is beside us.
    ///
    /// # Errors
    /// As [`CertificateAuthority::load_files`].
    pub fn read(certificate_file: &Path, key_file: &Path, user: Option<u32>) -> Result<Self, CaError> {
        // Before the pair, so that an exchange in between is noticed with the next look. What is wrong with it, the pair's says.
        let certificate_pem = read(certificate_file, |_| Ok(())).unwrap_or_default();
        let pair = read_swapped(certificate_file, key_file, user)?;
        Ok(Self {
            certificate_file: certificate_file.into(),
            key_file: key_file.into(),
            user,
            pair: Some(Box::new(pair)),
            certificate_pem,
        })
    }

    /// The CA that was read.
    pub fn authority(&self) -> Option<&CertificateAuthority> {
        self.pair.as_ref().map(|pair| &pair.authority)
    }

    /// Reads the files again if the certificate is another; the key is not touched otherwise.
    pub(super) fn read_again(&mut self) -> Result<Option<Pair>, CaError> {
        if let Some(pair) = self.pair.take() {
            return Ok(Some(*pair));
        }
        let certificate_pem = read(&self.certificate_file, |_| Ok(()))?;
        if certificate_pem == self.certificate_pem {
            return Ok(None);
        }
        let pair = read_swapped(&self.certificate_file, &self.key_file, self.user)?;
        self.certificate_pem = certificate_pem;
        Ok(Some(pair))
    }
}

/// Two files are not exchanged in one moment: a pair that does not fit is looked at once more.
fn read_swapped(certificate_file: &Path, key_file: &Path, user: Option<u32>) -> Result<Pair, CaError> {
    match read_pair_of(certificate_file, key_file, GROUP_MAY_READ, user) {
        Err(CaError::KeyMismatch | CaError::Half { .. }) => {
            std::thread::sleep(Duration::from_millis(200));
            read_pair_of(certificate_file, key_file, GROUP_MAY_READ, user)
        }
        read => read,
    }
}
