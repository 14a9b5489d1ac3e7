//! GitHub for apps, as far as its documentation says what it answers; it checks all that it is asked.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::asked::{Asked, Said, fixture};

/// GitHub with one app and one installation.
#[derive(Clone)]
pub(crate) struct Github {
    state: Arc<Mutex<GithubState>>,
    public_key: Arc<[u8]>,
    /// PEM, PKCS#1, as GitHub gives it.
    pub(crate) private_key: Arc<str>,
}

pub(crate) struct GithubState {
    /// Where its API begins.
    pub(crate) base: &'static str,
    /// The one request for tokens that it grants: the narrowing that policy writes.
    pub(crate) narrowing: Value,
    /// What its tokens begin with.
    pub(crate) prefix: String,
    /// How long tokens live, to the next whole second.
    pub(crate) life: Duration,
    /// A permission that is given beyond what is asked for.
    pub(crate) beyond: Option<&'static str>,
    pub(crate) refusal: Option<(u16, &'static str)>,
    pub(crate) tokens: Vec<Token>,
    /// Requests that were refused.
    pub(crate) refused: usize,
}

/// An installation token.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) minted: SystemTime,
    pub(crate) ends: SystemTime,
}

impl Github {
    pub(crate) fn new(life: Duration) -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap();
        // PKCS#1 is its end, behind a head whose length 2048 bits fix.
        let body = STANDARD.encode(&pkcs8.as_ref()[26..]);
        let lines: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let state = GithubState {
            base: "/api/v3",
            narrowing: json!({ "repositories": ["site"], "permissions": { "contents": "write" } }),
            prefix: "ghs_token_number_".into(),
            life,
            beyond: None,
            refusal: None,
            tokens: Vec::new(),
            refused: 0,
        };
        let pem = format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n", lines.join("\n"));
        Github {
            state: Arc::new(Mutex::new(state)),
            public_key: key.public_key().as_ref().into(),
            private_key: pem.into(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, GithubState> {
        self.state.lock().unwrap()
    }

    pub(crate) fn minted(&self) -> usize {
        self.state().tokens.len()
    }

    /// Which of its tokens this is, where that has not ended.
    pub(crate) fn accepts(&self, token: &str) -> Option<usize> {
        let now = SystemTime::now();
        self.state().tokens.iter().position(|good| good.text == token && good.ends > now)
    }

    pub(crate) fn answer(&self, asked: Asked) -> Said {
        assert!(asked.header("user-agent").starts_with("stubgate/"), "GitHub refuses whoever has no name");
        assert_eq!(asked.header("accept"), "application/vnd.github+json");
        let signed = self.checked(asked.header("authorization"));
        let mut state = self.state();
        let answer = match signed {
            Ok(()) => state.minted(&asked),
            Err(message) => refuse(401, message),
        };
        state.refused += usize::from(!matches!(answer, Said::Json(201, _)));
        answer
    }

    /// As GitHub checks the token of an app.
    fn checked(&self, authorization: &str) -> Result<(), &'static str> {
        let undecodable = "A JSON web token could not be decoded";
        let (message, signature) =
            authorization.strip_prefix("Bearer ").and_then(|token| token.rsplit_once('.')).ok_or(undecodable)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| undecodable)?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key)
            .verify(message.as_bytes(), &signature)
            .map_err(|_| undecodable)?;
        let (head, claims) = message.split_once('.').ok_or(undecodable)?;
        let json = |part: &str| fixture(&String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap());
        if json(head)["alg"] != "RS256" {
            return Err(undecodable);
        }
        let claims = json(claims);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        if claims["iss"] != "12345" {
            return Err("Integration not found");
        }
        if claims["exp"].as_u64().is_none_or(|end| end <= now || end > now + 600) {
            return Err("'Expiration time' claim ('exp') is too far in the future");
        }
        if claims["iat"].as_u64().is_none_or(|issued| issued > now) {
            return Err(
                "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
            );
        }
        Ok(())
    }
}

impl GithubState {
    fn minted(&mut self, asked: &Asked) -> Said {
        if let Some((status, message)) = self.refusal {
            return refuse(status, message);
        }
        let target = format!("{}/app/installations/678/access_tokens", self.base);
        if (asked.method.as_str(), asked.target.as_str()) != ("POST", &*target) {
            return refuse(404, "Not Found");
        }
        if asked.body != self.narrowing {
            return refuse(422, "The permissions requested are not granted to this installation.");
        }
        let minted = SystemTime::now();
        // Ends are said in whole seconds.
        let ends = (minted + self.life).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 1;
        let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(ends);
        let text = format!("{}{:04}", self.prefix, self.tokens.len());
        let mut answer = fixture(include_str!("fixtures/github-token.json"));
        answer["token"] = text.clone().into();
        answer["expires_at"] = OffsetDateTime::from(ends).format(&Rfc3339).unwrap().into();
        answer["permissions"] = self.narrowing["permissions"].clone();
        answer["permissions"]["metadata"] = "read".into();
        if let Some(beyond) = self.beyond {
            answer["permissions"][beyond] = "write".into();
        }
        let one = answer["repositories"][0].clone();
        let named = self.narrowing["repositories"].as_array().unwrap().iter().map(|name| {
            let mut one = one.clone();
            one["name"] = name.clone();
            one
        });
        answer["repositories"] = named.collect();
        self.tokens.push(Token { text, minted, ends });
        Said::Json(201, answer)
    }
}

fn refuse(status: u16, message: &str) -> Said {
    let mut answer = fixture(include_str!("fixtures/github-error.json"));
    answer["message"] = message.into();
    answer["status"] = status.to_string().into();
    Said::Json(status, answer)
}
