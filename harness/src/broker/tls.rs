//! Certificates for the listeners with TLS, from an authority made for the occasion.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

use super::error::{Error, Result};
use super::run_dir::private_dir;

/// Issues certificates. Two authorities do not know each other, so the second makes the certificates that a test wants
/// refused.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new authority, with a key of its own.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new() -> Result<Self> {
        let mut params = named("skirl test authority", &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Authority(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Its own certificate as PEM, for those who are to trust it.
    pub fn certificate(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its private key, both as PEM, for `name`, reachable at `addresses` (names and IP addresses).
    ///
    /// # Errors
    /// When an address is neither.
    pub fn issue(&self, name: &str, addresses: &[&str]) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let certificate = named(name, addresses)?.signed_by(&key, &self.0)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

fn named(name: &str, addresses: &[&str]) -> Result<CertificateParams> {
    let addresses: Vec<String> = addresses.iter().map(|&address| address.to_owned()).collect();
    let mut params = CertificateParams::new(addresses)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// The files of a cluster's certificates.
#[derive(Debug, Clone)]
pub(super) struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// Makes an authority, the brokers' certificate and a client's, in `dir`.
    pub fn make(dir: &Path) -> Result<Self> {
        private_dir(dir).map_err(Error::path("make", dir))?;
        let files = Certificates { dir: dir.to_owned() };
        let authority = Authority::new()?;
        let (certificate, key) = authority.issue("localhost", &["localhost", "127.0.0.1"])?;
        let (client, client_key) = authority.issue("skirl-client", &[])?;
        for (path, content) in [
            (files.authority(), &authority.certificate()),
            (files.broker(), &(key + &certificate)),
            (files.client(), &client),
            (files.client_key(), &client_key),
        ] {
            fs::write(&path, content).map_err(Error::path("write", &path))?;
        }
        Ok(files)
    }

    /// The authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The brokers' key and certificate.
    pub fn broker(&self) -> PathBuf {
        self.dir.join("broker.pem")
    }

    /// A client's certificate.
    pub fn client(&self) -> PathBuf {
        self.dir.join("client.pem")
    }

    /// A client's key.
    pub fn client_key(&self) -> PathBuf {
        self.dir.join("client.key")
    }
}
