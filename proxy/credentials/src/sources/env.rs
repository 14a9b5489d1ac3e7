//! A variable of the appliance's own environment. It never changes while the process lives.

use std::os::unix::ffi::OsStringExt as _;

use zeroize::Zeroizing;

use super::{Given, SourceError, json_key};
use crate::fetch::{Fetch, Fetching};

/// A variable as a source.
pub(crate) struct Variable {
    name: Box<str>,
    json_key: Option<Box<str>>,
}

impl Variable {
    pub(crate) fn new(name: &str, json_key: Option<&str>) -> Self {
        Variable { name: name.into(), json_key: json_key.map(Box::from) }
    }

    pub(crate) fn given(&self) -> Result<Given, SourceError> {
        Ok(json_key::inside(read(&self.name)?, self.json_key.as_deref())?.into())
    }
}

impl Fetch for Variable {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(async { self.given()?.fetched() })
    }
}

/// What a variable holds.
pub(crate) fn read(name: &str) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let value = std::env::var_os(name).ok_or(SourceError::Unset)?;
    Ok(Zeroizing::new(value.into_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_variables() {
        let path = std::env::var("PATH").unwrap();
        assert_eq!(&**read("PATH").unwrap(), path.as_bytes());
        assert!(matches!(read("STUBGATE_TEST_IS_NEVER_SET"), Err(SourceError::Unset)));
    }
}
