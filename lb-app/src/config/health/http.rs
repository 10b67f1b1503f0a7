//! HTTP requests, with TLS or without, and which answers are good.

use super::pattern::Pattern;
use crate::config::check_values::bytes;
use lb_core::{
    option,
    service::option::{Kind as Of, Opt, Setting, Value, fields, from_table, to_table},
};
use std::{fmt, path::PathBuf};

/// HTTP requests and the answers that are expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Http {
    pub(crate) tls: Option<Tls>,
    /// What is asked for, one after the other: at least one. All of them have to succeed.
    pub(crate) pages: Vec<Page>,
}

impl Http {
    /// What can be said of it, beside what its page has if there is one only.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[Opt::<Self>::new(
        "urls",
        Of::Tables(|| fields(Page::OPTIONS)),
        "Several requests in place of `path`, each with a `path`, `method`, `host`, `status`, `body` and `digest` of \
         its own; all have to succeed within the timeout. What one does not say is what the check says beside \
         `urls`. keepalived: `url`.",
        |http| match &http.pages[..] {
            [_] => None,
            pages => Some(Value::List(pages.iter().map(|page| to_table(Page::OPTIONS, page)).collect())),
        },
        |http, value| {
            // What all of them have in common has been read.
            let (Value::List(tables), Some(common)) = (value, http.pages.first()) else { return false };
            let page = |table| {
                let mut page = common.clone();
                from_table(Page::OPTIONS, &mut page, table).then_some(page)
            };
            let pages: Option<Vec<Page>> = tables.iter().map(page).collect();
            pages.filter(|pages| !pages.is_empty()).map(|pages| http.pages = pages).is_some()
        },
    )
    .default("`path`")
    .example("[{ path = \"/\" }, { path = \"/cart\", status = [200] }]")];

    /// Its page, if there is one only.
    pub(crate) fn only(&self) -> Option<&Page> {
        self.pages.first().filter(|_| self.pages.len() == 1)
    }
}

impl Default for Http {
    fn default() -> Self {
        Http { tls: None, pages: vec![Page::default()] }
    }
}

/// One HTTP request and the answer that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The `Host` field; the address and port that the check goes to if there is none.
    pub(crate) host: Option<String>,
    /// Ranges of status codes.
    pub(crate) status: Vec<(u16, u16)>,
    /// What the body must contain.
    pub(crate) body: Option<Pattern>,
    /// What the body must be, byte for byte.
    pub(crate) digest: Option<Digest>,
}

impl Page {
    /// What can be said of it.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(method, Of::Token, "The request's method."),
        option!(path, Of::UrlPath, "The requested path."),
        option!(host, Of::Token, "The `Host` header.").default("the address checked"),
        Opt::<Self>::new(
            "status",
            Of::List(&Of::StatusCodes),
            "Status codes that are successes.",
            |page| Some(Value::List(page.status.iter().map(codes_to_value).collect())),
            |page, value| {
                let Value::List(codes) = value else { return false };
                let codes: Option<Vec<_>> = codes.iter().map(codes_from_value).collect();
                // An empty list would let nothing succeed.
                codes
                    .map(|codes| page.status = if codes.is_empty() { vec![SUCCESS] } else { codes })
                    .is_some()
            },
        )
        .example("[200, \"301-399\"]"),
        option!(body, Of::Pattern, "What the first MiB of the body must match.").default("any"),
        option!(
            digest,
            Of::Digest,
            "MD5 or SHA-256 of the whole body, as `genhash`, `md5sum` and `sha256sum` print it. keepalived: `digest`."
        )
        .default("any"),
    ];
}

impl Default for Page {
    fn default() -> Self {
        Page {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            host: None,
            status: vec![SUCCESS],
            body: None,
            digest: None,
        }
    }
}

/// Status codes that say that all is well.
const SUCCESS: (u16, u16) = (200, 299);

fn codes_to_value(&(from, to): &(u16, u16)) -> Value {
    if from == to { Value::Number(from.into()) } else { Value::Text(format!("{from}-{to}")) }
}

fn codes_from_value(value: &Value) -> Option<(u16, u16)> {
    match value {
        Value::Number(code) => u16::try_from(*code).ok().map(|code| (code, code)),
        Value::Text(range) => {
            let (from, to) = range.split_once('-')?;
            Some((from.parse().ok()?, to.parse().ok()?))
        }
        _ => None,
    }
}

/// How TLS is spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The server name that is asked for, which is also the one that a certificate must have.
    pub(crate) sni: Option<String>,
    /// The certificate must be valid.
    pub(crate) verify: bool,
    /// A file with CA certificates, instead of the host's.
    pub(crate) ca: Option<PathBuf>,
}

impl Tls {
    /// What can be said of it, beside what HTTP has.
    pub(crate) const OPTIONS: &'static [Opt<Self>] = &[
        option!(sni, Of::Domain, "With `\"https\"`: the server name in the TLS handshake.")
            .default("`host`, if that is a name"),
        option!(verify, Of::Flag, "With `\"https\"`: the certificate must be valid and have that name."),
        Opt::<Self>::new(
            "ca",
            Of::Text,
            "With `\"https\"`: a file with CA certificates.",
            |tls| tls.ca.as_ref().map(|path| Value::Text(path.display().to_string())),
            |tls, value| String::from_value(value).map(|path| tls.ca = Some(path.into())).is_some(),
        )
        .default("the host's"),
    ];
}

/// The digest of a page. It is for noticing a page that is not the one it should be, not for keeping secrets: MD5 is what
/// keepalived's `genhash` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Digest {
    Md5([u8; 16]),
    Sha256([u8; 32]),
}

impl Digest {
    /// What hexadecimal digits stand for, by their number.
    pub(crate) fn read(digits: &str) -> Option<Self> {
        let bytes = bytes(digits)?;
        let md5 = bytes.as_slice().try_into().ok().map(Digest::Md5);
        md5.or_else(|| bytes.as_slice().try_into().ok().map(Digest::Sha256))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: &[u8] = match self {
            Digest::Md5(bytes) => bytes,
            Digest::Sha256(bytes) => bytes,
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Setting for Digest {
    fn to_value(&self) -> Option<Value> {
        Some(Value::Text(self.to_string()))
    }

    fn from_value(value: &Value) -> Option<Self> {
        String::from_value(value).and_then(|digits| Digest::read(&digits))
    }
}
