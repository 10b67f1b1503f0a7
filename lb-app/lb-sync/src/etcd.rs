//! What etcd has, by its JSON interface (version 3.4 or later): one transaction that reads all keys at one revision, and
//! asks a majority, so that nothing old comes after something new.

use anyhow::{Context, Result, bail, ensure};
use data_encoding::BASE64;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Uri,
    body::Bytes,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::{Value as Json, json};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// How long one member may take, from the connection to the answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Bytes of an answer. etcd takes 1.5 MiB in a request, and base64 makes more of a value.
const MOST: usize = 16 << 20;

/// The cluster.
pub(crate) struct Etcd {
    endpoints: Vec<Uri>,
    keys: Vec<String>,
    tls: Option<Arc<ClientConfig>>,
    /// Who answered last is asked first.
    first: usize,
}

/// What it has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// All keys' values, one after the other, and the revision of the last change to one of them.
    Found { text: Vec<u8>, revision: u64 },
    /// This key is not there.
    Missing(String),
}

impl Etcd {
    /// # Errors
    /// When one of the addresses is none.
    pub(crate) fn new(endpoints: &[Uri], keys: &[String], tls: Option<Arc<ClientConfig>>) -> Result<Self> {
        for endpoint in endpoints {
            let is_known = matches!(endpoint.scheme_str(), Some("http" | "https"));
            ensure!(
                is_known && endpoint.host().is_some(),
                "{endpoint} is no address as http://10.0.0.1:2379 is one"
            );
        }
        Ok(Self { endpoints: endpoints.to_vec(), keys: keys.to_vec(), tls, first: 0 })
    }

    /// Asks one member after the other until one answers.
    ///
    /// # Errors
    /// What each of them said, if none does.
    pub(crate) async fn read(&mut self) -> Result<Value, String> {
        let mut reasons = Vec::new();
        for number in 0..self.endpoints.len() {
            let at = (self.first + number) % self.endpoints.len();
            let endpoint = &self.endpoints[at];
            let outcome = match timeout(LIMIT, self.ask(endpoint)).await {
                Ok(outcome) => outcome.and_then(|answer| found(&self.keys, &answer)),
                Err(_) => Err(anyhow::anyhow!("no answer within {} s", LIMIT.as_secs())),
            };
            match outcome {
                Ok(value) => {
                    self.first = at;
                    return Ok(value);
                }
                Err(error) => reasons.push(format!("{endpoint} {error:#}")),
            }
        }
        reasons.sort();
        Err(reasons.join(", "))
    }

    async fn ask(&self, endpoint: &Uri) -> Result<Json> {
        let host = endpoint.host().unwrap_or_default();
        let is_tls = endpoint.scheme_str() == Some("https");
        let name = host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((name, endpoint.port_u16().unwrap_or(2379))).await?;
        match self.tls.as_ref().filter(|_| is_tls) {
            None => self.exchange(endpoint, stream).await,
            Some(config) => {
                let name = ServerName::try_from(name.to_owned())?;
                let stream = TlsConnector::from(config.clone()).connect(name, stream).await?;
                self.exchange(endpoint, stream).await
            }
        }
    }

    async fn exchange(
        &self,
        endpoint: &Uri,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Json> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let body = question(&self.keys).to_string();
        let host = endpoint.authority().map_or("", hyper::http::uri::Authority::as_str);
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v3/kv/txn")
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MOST).collect().await;
        connection.abort();
        let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
        ensure!(status.is_success(), "answers {status}: {}", String::from_utf8_lossy(&body).trim());
        Ok(serde_json::from_slice(&body)?)
    }
}

/// All keys in one transaction without conditions.
fn question(keys: &[String]) -> Json {
    let read = |key: &String| json!({"requestRange": {"key": BASE64.encode(key.as_bytes())}});
    json!({"success": keys.iter().map(read).collect::<Vec<_>>()})
}

/// What it answered.
fn found(keys: &[String], answer: &Json) -> Result<Value> {
    let responses = answer["responses"].as_array().context("answers without responses")?;
    ensure!(responses.len() == keys.len(), "answers {} of {} questions", responses.len(), keys.len());
    let (mut text, mut revision) = (Vec::new(), 0);
    for (key, response) in keys.iter().zip(responses) {
        let Some(pair) = response["response_range"]["kvs"].get(0) else {
            return Ok(Value::Missing(key.clone()));
        };
        // What is empty is left out.
        let value = pair.get("value").map_or(Some(""), Json::as_str).context("a value is no text")?;
        text.extend(BASE64.decode(value.as_bytes()).context("a value is not in base64")?);
        if text.last().is_some_and(|last| *last != b'\n') {
            text.push(b'\n');
        }
        // Numbers of 64 bits are texts in JSON.
        let Some(changed) = pair["mod_revision"].as_str().and_then(|text| text.parse().ok()) else {
            bail!("a key without its revision")
        };
        revision = revision.max(changed);
    }
    Ok(Value::Found { text, revision })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<String> {
        ["/lb/one.toml", "/lb/services.toml"].map(str::to_owned).to_vec()
    }

    #[test]
    fn keys_are_asked_for_in_one_transaction() {
        assert_eq!(
            question(&keys()).to_string(),
            r#"{"success":[{"requestRange":{"key":"L2xiL29uZS50b21s"}},{"requestRange":{"key":"L2xiL3NlcnZpY2VzLnRvbWw="}}]}"#
        );
    }

    #[test]
    fn values_follow_one_another() {
        let pair = |value: &str, revision: &str| json!({"response_range": {"kvs": [{"key": "a", "mod_revision": revision, "value": BASE64.encode(value.as_bytes())}]}});
        let answer = json!({"succeeded": true, "responses": [pair("[a]", "7"), pair("[b]\n", "12")]});
        let value = found(&keys(), &answer).expect("sound");
        assert_eq!(value, Value::Found { text: b"[a]\n[b]\n".to_vec(), revision: 12 });
        let empty = json!({"response_range": {"kvs": [{"key": "a", "mod_revision": "3"}]}});
        let answer = json!({"responses": [empty, pair("[b]", "2")]});
        let value = found(&keys(), &answer).expect("sound");
        assert_eq!(value, Value::Found { text: b"[b]\n".to_vec(), revision: 3 });
        let answer = json!({"responses": [pair("[a]", "7"), {"response_range": {}}]});
        assert_eq!(found(&keys(), &answer).expect("sound"), Value::Missing("/lb/services.toml".to_owned()));
    }

    #[test]
    fn answers_that_are_none_are_refused() {
        let pair = |pair: Json| json!({"responses": [{"response_range": {"kvs": [pair]}}]});
        for answer in [
            json!(null),
            json!({"responses": []}),
            pair(json!({"mod_revision": "1", "value": 5})),
            pair(json!({"mod_revision": "1", "value": "no base64"})),
            pair(json!({"mod_revision": 1, "value": ""})),
        ] {
            assert!(found(&keys()[..1], &answer).is_err(), "{answer}");
        }
    }
}
