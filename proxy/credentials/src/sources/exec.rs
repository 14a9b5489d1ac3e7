//! What a program writes to its standard output: the secret, or a JSON object with the secret and its end.
//!
//! The program is run by somebody else, who knows beforehand which ones there are ([`Programs`]); here is only read what it
//! wrote.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use stubgate_policy::secret_source::Exec;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use super::{Given, SourceError, json_key};
use crate::fetch::{Fetch, Fetching, Programs};

/// A program as a source.
pub(crate) struct Program {
    exec: Exec,
    json_key: Option<Box<str>>,
    programs: Arc<dyn Programs>,
}

impl Program {
    pub(crate) fn new(exec: &Exec, json_key: Option<&str>, programs: Arc<dyn Programs>) -> Self {
        Program { exec: exec.clone(), json_key: json_key.map(Box::from), programs }
    }

    pub(crate) async fn given(&self) -> Result<Given, SourceError> {
        read(self.programs.run(&self.exec).await?, self.json_key.as_deref())
    }
}

impl Fetch for Program {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(async { self.given().await?.fetched() })
    }
}

/// What a program wrote. A key of policy's is taken first; what is there then may be an object too.
fn read(output: Zeroizing<Vec<u8>>, key: Option<&str>) -> Result<Given, SourceError> {
    let output = json_key::inside(output, key)?;
    if output.trim_ascii_start().first() != Some(&b'{') {
        return Ok(output.into());
    }
    let bytes = json_key::text_at(&output, &["value"])?;
    let expires = json_key::find(&output, &["expires_at"])?.map(|end| end.get()).filter(|end| *end != "null");
    let Some(written) = expires else { return Ok(bytes.into()) };
    let no_time = || SourceError::Other("has no time at the key `expires_at`: RFC 3339, or seconds since 1970".into());
    Ok(Given { bytes, expires: Some(time(written).ok_or_else(no_time)?) })
}

/// A time as JSON has it.
pub(crate) fn time(written: &str) -> Option<SystemTime> {
    if let Ok(seconds) = written.parse::<u64>() {
        return SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    }
    let text = written.strip_prefix('"')?.strip_suffix('"')?;
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Fetched;

    fn outcome(output: &str, key: Option<&str>) -> String {
        match read(Zeroizing::new(output.into()), key).and_then(Given::fetched) {
            Ok(Fetched { secret, expires }) => {
                let seconds = expires.map(|end| end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
                format!("{} {seconds:?}", String::from_utf8_lossy(secret.reveal()))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn takes_a_secret_or_an_object_with_its_end() {
        for (output, key, expected) in [
            ("ghp_0123456789\n", None, "ghp_0123456789 None"),
            (r#"{"value":"ghp_0123456789"}"#, None, "ghp_0123456789 None"),
            ("\n {\"value\":\"ghp_0123456789\",\"expires_at\":null}\n", None, "ghp_0123456789 None"),
            (r#"{"value":"ghp_0123456789","expires_at":1000000000}"#, None, "ghp_0123456789 Some(1000000000)"),
            (
                r#"{"value":"ghp_0123456789","expires_at":"2001-09-09T01:46:40Z"}"#,
                None,
                "ghp_0123456789 Some(1000000000)",
            ),
            (
                r#"{"value":"ghp_0123456789","expires_at":"2001-09-09T03:46:40.5+02:00"}"#,
                None,
                "ghp_0123456789 Some(1000000000)",
            ),
            (r#"{"token":"ghp_0123456789"}"#, Some("token"), "ghp_0123456789 None"),
            (r#"{"o":"{\"value\":\"ghp_0123456789\",\"expires_at\":7}"}"#, Some("o"), "ghp_0123456789 Some(7)"),
        ] {
            assert_eq!(outcome(output, key), expected, "{output}");
        }
    }

    #[test]
    fn says_what_is_wrong_without_a_byte_of_it() {
        for (output, expected) in [
            ("", "is empty"),
            ("usage: ghp_0123456789 ...\nmore", "has a line break"),
            (r#"{"token":"ghp_0123456789"}"#, "has no key `value`"),
            (r#"{"value":"ghp_0123456789","value":"x"}"#, "is not valid JSON"),
            (r#"{"value":"ghp_0123456789""#, "is not valid JSON"),
            (r#"{"value":"ghp_0123456789","expires_at":"tomorrow"}"#, "has no time"),
            (r#"{"value":"ghp_0123456789","expires_at":-1}"#, "has no time"),
            (r#"{"value":"ghp_0123456789","expires_at":{}}"#, "has no time"),
            (r#"{"value":"ghp_0123456789","expires_at":99999999999999999999}"#, "has no time"),
        ] {
            let why = outcome(output, None);
            assert!(why.starts_with(expected) && !why.contains("ghp_"), "{output}: {why}");
        }
    }
}
