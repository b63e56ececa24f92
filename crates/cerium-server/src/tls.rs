//! The certificate by which a server is known, and connections that only the two ends can read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where a server's certificate is, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and those that vouch for it.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Tls {
    /// Whether both files can be read and belong together.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> io::Result<()> {
        self.acceptor().map(drop)
    }

    fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let certs = CertificateDer::pem_file_iter(&self.cert)
            .and_then(Iterator::collect)
            .map_err(|error| unreadable(&self.cert, &error))?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| unreadable(&self.key, &error))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(certs, key))
            .map_err(|error| {
                let cert = self.cert.display();
                io::Error::other(format!("the certificate `{cert}` cannot be used: {error}"))
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// What connections that come are encrypted with, if they are: a certificate may be renewed meanwhile.
#[derive(Default)]
pub(crate) struct Certificate(RwLock<Option<TlsAcceptor>>);

impl Certificate {
    pub(crate) fn new(tls: Option<&Tls>) -> io::Result<Self> {
        Ok(Self(RwLock::new(tls.map(Tls::acceptor).transpose()?)))
    }

    /// Reads it from these files from now on. When they cannot be used, all stays as it is.
    pub(crate) fn renew(&self, tls: Option<&Tls>) -> io::Result<()> {
        let acceptor = tls.map(Tls::acceptor).transpose()?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn unreadable(path: &Path, error: &pem::Error) -> io::Error {
    let kind = match error {
        pem::Error::Io(error) => error.kind(),
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, format!("cannot read `{}`: {error}", path.display()))
}
