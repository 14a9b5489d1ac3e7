//! `oauth:`: a login that stubgate alone holds, and who issued it.

use super::forms;
use super::servers::required;
use crate::compile::names::is_name;
use crate::compile::reader::{Found, Item, Place, Reader};
use crate::compile::stubs;
use crate::diagnostic::{Diagnostic, codes, nearest};
use crate::model::secret_source::{Endpoint, Oauth, OauthBody, OauthProvider};
use crate::model::{Authority, Scheme, Source};
use crate::raw::sources::{self, OwnProvider, Provider};

/// What a login's map says.
#[derive(Default)]
pub(super) struct Read {
    pub(super) source: Option<Source>,
    pub(super) refresh_stub: Option<Place>,
    pub(super) login: Option<Place>,
}

pub(super) fn read(found: &Found<'_, sources::Oauth>, credential: &str, reader: &mut Reader<'_>) -> Read {
    let (raw, span) = (found.value, found.span);
    reader.unknown(&raw.unknown, sources::Oauth::KEYS);
    let mut read = Read { login: Some(reader.place(span)), ..Read::default() };
    let provider = reader.required(&raw.provider, "provider", span).and_then(|found| match found.value {
        Provider::Known(name) => built_in(&Found { value: name, span: found.span }, reader),
        Provider::Own(own) => self::own(&Found { value: own, span: found.span }, reader),
    });
    let mut refresh_stub = None;
    if let Some(stub) = reader.optional(&raw.refresh_stub)
        && stubs::check_shape(&stub, reader)
    {
        read.refresh_stub = Some(reader.place(stub.span));
        refresh_stub = Some(stub.value.as_str().into());
    }
    let login = match reader.optional(&raw.login) {
        Some(login) => {
            read.login = Some(reader.place(login.span));
            name(&login, "login", reader)
        }
        None => Some(credential.into()),
    };
    if let (Some(provider), Some(login)) = (provider, login) {
        read.source = Some(Source::Oauth(Box::new(Oauth { login, provider, refresh_stub })));
    }
    read
}

/// A provider that needs no more than its name.
fn built_in(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<OauthProvider> {
    if let Some(provider) = built_in_provider(item.value) {
        return Some(provider);
    }
    let unknown = Diagnostic::error(codes::BAD_PROVIDER, format!("the provider `{}` is not built in", item.value));
    let help = match nearest(item.value, OauthProvider::BUILT_IN.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "write `claude`, or `{ name: …, token_url: \"https://…\", client_id: … }`".to_owned(),
    };
    reader.report(unknown, item.span, "", &help);
    None
}

/// A provider that is known by its name alone.
pub fn built_in_provider(name: &str) -> Option<OauthProvider> {
    if name == "claude" { claude() } else { None }
}

/// Claude Code's own client. It is not asked for the making of API keys, which its own login asks for: no agent is to
/// have a token with which it could make one.
fn claude() -> Option<OauthProvider> {
    const SCOPES: [&str; 6] = [
        "user:profile",
        "user:inference",
        "user:sessions:claude_code",
        "user:mcp_servers",
        "user:file_upload",
        "user:plugins",
    ];
    let endpoint = |host: &str| {
        let server = Authority::parse(Scheme::Https, host.as_bytes()).ok()?;
        Some(Endpoint { server, path: "/v1/oauth/token".into() })
    };
    Some(OauthProvider {
        name: "claude".into(),
        token_endpoints: [endpoint("platform.claude.com")?, endpoint("console.anthropic.com")?].into(),
        authorization_url: Some("https://claude.com/cai/oauth/authorize".into()),
        device_endpoint: None,
        redirect_uri: Some("https://platform.claude.com/oauth/code/callback".into()),
        client_id: "9d1c250a-e61b-44d9-88ed-5944d1962f5e".into(),
        client_secret_file: None,
        scopes: SCOPES.map(Into::into).into(),
        body: OauthBody::Json,
    })
}

/// A provider of the operator's own.
fn own(found: &Found<'_, Box<OwnProvider>>, reader: &mut Reader<'_>) -> Option<OauthProvider> {
    let (raw, span) = (found.value, found.span);
    reader.unknown(&raw.unknown, OwnProvider::KEYS);
    let name = required(&raw.name, "name", span, reader, |item, reader| {
        let name = name(item, "provider", reader)?;
        if OauthProvider::BUILT_IN.contains(&&*name) {
            let taken = Diagnostic::error(codes::BAD_PROVIDER, format!("the provider `{name}` is built in"));
            reader.report(taken, item.span, "", &format!("write `provider: {name}`, or give your own another name"));
            return None;
        }
        Some(name)
    });
    let token_endpoint = required(&raw.token_url, "token_url", span, reader, forms::endpoint);
    let authorization_url = reader.optional(&raw.authorization_url).and_then(|item| forms::url(&item, reader));
    let device_endpoint = reader.optional(&raw.device_url).and_then(|item| forms::endpoint(&item, reader));
    let redirect_uri = reader.optional(&raw.redirect_uri).and_then(|item| redirect(&item, reader));
    let client_id = required(&raw.client_id, "client_id", span, reader, forms::some);
    let client_secret_file = reader.optional(&raw.client_secret_file).and_then(|item| forms::file(&item, reader));
    let list = reader.optional(&raw.scopes);
    let scopes = reader.texts(list).unwrap_or_default();
    let scopes = scopes.iter().filter_map(|item| scope(item, reader)).collect();
    let body = match reader.optional(&raw.body) {
        None => Some(OauthBody::Form),
        Some(item) => body(&item, reader),
    };
    Some(OauthProvider {
        name: name?,
        token_endpoints: [token_endpoint?].into(),
        authorization_url,
        device_endpoint,
        redirect_uri,
        client_id: client_id?,
        client_secret_file,
        scopes,
        body: body?,
    })
}

/// The name of a login or provider.
fn name(item: &Item<'_>, what: &str, reader: &mut Reader<'_>) -> Option<Box<str>> {
    let good = is_name(item.value);
    if !good {
        let bad = Diagnostic::error(codes::BAD_NAME, format!("`{}` can't be the name of a {what}", item.value));
        let help = "letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most 64";
        reader.report(bad, item.span, "", help);
    }
    good.then(|| item.value.as_str().into())
}

/// Where the person is sent back to: https, or this machine (RFC 8252 §7.3).
fn redirect(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Box<str>> {
    let text = item.value.as_str();
    let host = text.strip_prefix("http://").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let is_loopback =
        host.and_then(|host| Authority::parse(Scheme::Http, host.as_bytes()).ok()).is_some_and(|server| {
            matches!(server.host().to_string().as_str(), "127.0.0.1" | "::1" | "[::1]" | "localhost")
        });
    if is_loopback && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(text.into());
    }
    forms::url(item, reader)
}

/// One scope (RFC 6749 §3.3).
fn scope(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Box<str>> {
    let good =
        !item.value.is_empty() && item.value.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
    if !good {
        let message = format!("`{}` is not one scope", item.value);
        forms::bad(message, item.span, "write each scope as an entry of its own", reader);
    }
    good.then(|| item.value.as_str().into())
}

fn body(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<OauthBody> {
    match item.value.as_str() {
        "form" => Some(OauthBody::Form),
        "json" => Some(OauthBody::Json),
        other => {
            let bad = Diagnostic::error(codes::BAD_CHOICE, format!("`{other}` is not a way to write a request"));
            reader.report(bad, item.span, "", "form or json");
            None
        }
    }
}
