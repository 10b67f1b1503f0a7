//! Whom to trust, and who this is.

use anyhow::{Context, Result, ensure};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{path::Path, sync::Arc};

/// What connections to etcd are made with: `identity` is a certificate and its private key.
///
/// # Errors
/// When a file cannot be read or has nothing of its kind.
pub(crate) fn config(ca: Option<&Path>, identity: Option<(&Path, &Path)>) -> Result<ClientConfig> {
    let mut trusted = RootCertStore::empty();
    trusted.add_parsable_certificates(match ca {
        None => rustls_native_certs::load_native_certs().certs,
        Some(path) => certificates(path)?,
    });
    ensure!(!trusted.is_empty(), "no certificate of an authority is trusted: name a file of them by --ca");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted);
    Ok(match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let private = PrivateKeyDer::from_pem_file(key);
            let private = private.with_context(|| format!("cannot read a key of {}", key.display()))?;
            builder.with_client_auth_cert(certificates(chain)?, private)?
        }
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    read.with_context(|| format!("cannot read certificates of {}", path.display()))
}
