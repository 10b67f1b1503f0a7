//! TLS for checks: whose certificates are trusted, or that none need be.

use crate::config::health::Tls;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// Which certificates a configuration trusts: any, those of the host's CAs, or those of the CAs in a file at
/// its last change.
type Key = Option<Option<(PathBuf, Option<SystemTime>)>>;

/// Client configurations, each made once.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    made: Mutex<HashMap<Key, Arc<ClientConfig>>>,
}

impl Trust {
    /// The configuration for a check.
    pub(crate) fn config(&self, tls: &Tls) -> Result<Arc<ClientConfig>, String> {
        let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        let key: Key = tls.verify.then(|| tls.ca.as_ref().map(|path| (path.clone(), changed(path))));
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = made.get(&key) {
            return Ok(config.clone());
        }
        let config = Arc::new(make(tls)?);
        made.insert(key, config.clone());
        Ok(config)
    }
}

fn make(tls: &Tls) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = if tls.verify {
        builder.with_root_certificates(roots(tls.ca.as_deref())?).with_no_client_auth()
    } else {
        let anybody = Arc::new(Anybody(provider));
        builder.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth()
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A check is to see the whole handshake, not a shortcut.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let certificates = match file {
        None => rustls_native_certs::load_native_certs().certs,
        Some(path) => {
            let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            read.map_err(|error| format!("cannot read certificates of {}: {error}", path.display()))?
        }
    };
    store.add_parsable_certificates(certificates);
    if store.is_empty() {
        return Err("this host has no CA certificates".to_owned());
    }
    Ok(store)
}

/// Takes any certificate. Whether its owner has the key is checked all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
