//! The page for people, and what it asks: answers of the control protocol as JSON, at `/api/v1/...`.
//!
//! It is read-only: an address stands for a request that reads, and for no other. Strangers can ask as well, so only a
//! few answers are made at a time, and questions that workers have to answer are few a second.

mod query;

use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
        RETRY_AFTER, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use lb_ctl::protocol::{Code, Outcome, Refusal, Request, framing};
use parking_lot::Mutex;
use query::Query;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::Instant};

/// How the director is asked.
pub(crate) type Ask = Arc<dyn Fn(Request) -> Outcome + Send + Sync>;

/// Answers that are made at a time, at most. Whoever asks meanwhile waits.
const MOST_ANSWERS: usize = 2;
/// How long.
const TURN: Duration = Duration::from_secs(2);
/// Explanations a second, at most: workers make them, between two bursts.
const MOST_EXPLANATIONS: u32 = 10;

/// Nothing from anywhere else, nothing inline, and in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files of the page: path, type, text.
const FILES: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", include_str!("../../../console/index.html")),
    ("/console.css", "text/css; charset=utf-8", include_str!("../../../console/console.css")),
    ("/console.js", "text/javascript; charset=utf-8", include_str!("../../../console/console.js")),
    ("/icon.svg", "image/svg+xml", include_str!("../../../console/icon.svg")),
];

/// The page.
pub(super) struct Console {
    ask: Ask,
    turns: Semaphore,
    explanations: Mutex<(Option<Instant>, u32)>,
}

impl Console {
    pub(super) fn new(ask: Ask) -> Self {
        Console { ask, turns: Semaphore::new(MOST_ANSWERS), explanations: Mutex::default() }
    }

    /// The answer to a GET, if the path is one of the page's.
    pub(super) async fn answer(&self, path: &str, query: &str) -> Option<Response<Full<Bytes>>> {
        if let Some((_, kind, text)) = FILES.iter().find(|(file, ..)| *file == path) {
            return Some(file(kind, text));
        }
        let subject = path.strip_prefix("/api/v1/")?;
        Some(match Query::parse(query).and_then(|query| query.request(subject)) {
            Ok(request) => json(self.outcome(request).await),
            Err(refusal) => json(Outcome::Error(refusal)),
        })
    }

    async fn outcome(&self, request: Request) -> Outcome {
        if matches!(request, Request::Explain(_)) && !self.may_explain(Instant::now()) {
            return busy(format!("at most {MOST_EXPLANATIONS} explanations a second"));
        }
        let Ok(Ok(_turn)) = tokio::time::timeout(TURN, self.turns.acquire()).await else {
            return busy("too many are asking".to_owned());
        };
        let ask = self.ask.clone();
        let outcome = tokio::task::spawn_blocking(move || ask(request)).await;
        outcome.unwrap_or_else(|_| busy("the director is stopping".to_owned()))
    }

    /// Whether there may be another explanation in this second.
    fn may_explain(&self, now: Instant) -> bool {
        let (since, count) = &mut *self.explanations.lock();
        if since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            (*since, *count) = (Some(now), 0);
        }
        *count += 1;
        *count <= MOST_EXPLANATIONS
    }
}

fn busy(why: String) -> Outcome {
    Outcome::Error(Refusal::new(Code::Busy, why))
}

fn json(outcome: Outcome) -> Response<Full<Bytes>> {
    let status = match &outcome {
        Outcome::Reply(_) => StatusCode::OK,
        Outcome::Error(refusal) => match refusal.code {
            Code::BadRequest | Code::OtherVersion | Code::Invalid | Code::Unsupported | Code::Exists => {
                StatusCode::BAD_REQUEST
            }
            Code::Forbidden => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Code::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        },
    };
    let mut response = Response::new(Full::new(Bytes::from(framing::write_return(None, outcome))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    guard(&mut response);
    response
}

fn file(kind: &'static str, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // Another version may be started any time.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    guard(&mut response);
    response
}

/// What keeps other pages from using this one.
fn guard(response: &mut Response<Full<Bytes>>) {
    let own = HeaderName::from_static("cross-origin-resource-policy");
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (own, "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_asks_nobody_else() {
        let bytes: usize = FILES.iter().map(|(.., text)| text.len()).sum();
        assert!(bytes < 60_000, "{bytes} bytes");
        for (path, _, text) in FILES {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("://"), "{path} names another place");
            for bad in ["innerHTML", "eval(", " style=", " onclick=", "document.write"] {
                assert!(!text.contains(bad), "{path}: {bad}");
            }
        }
        println!("{bytes} bytes in all");
    }

    #[tokio::test]
    async fn whoever_asks_while_all_are_busy_waits_and_is_told() {
        let console = Console::new(Arc::new(|_| panic!("nobody is asked")));
        let _held = console.turns.acquire_many(MOST_ANSWERS as u32).await.unwrap();
        let start = Instant::now();
        let answer = console.answer("/api/v1/about", "").await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()[RETRY_AFTER], "1");
        assert!(start.elapsed() >= TURN);
        assert!(console.answer("/", "").await.is_some(), "files take no turn");
        assert!(console.answer("/other", "").await.is_none());
    }

    #[tokio::test]
    async fn explanations_are_few_a_second() {
        let console = Console::new(Arc::new(|_| busy(String::new())));
        let now = Instant::now();
        let many = |at| (0..50).filter(|_| console.may_explain(at)).count();
        assert_eq!(many(now), MOST_EXPLANATIONS as usize);
        assert_eq!(many(now + Duration::from_millis(999)), 0);
        assert_eq!(many(now + Duration::from_secs(1)), MOST_EXPLANATIONS as usize);
    }
}
