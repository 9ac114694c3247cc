//! Keys and certificates, made anew for each test: those of a control plane, and those of a SCIM
//! backend behind a private authority.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A certificate and its private key, both PEM.
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

/// An authority that signs the certificates of servers and clients.
pub struct Authority {
    /// Its own certificate, PEM: what a CA bundle holds.
    pub certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// The key pair that signs the tokens of service accounts, both halves PEM.
pub(crate) struct SigningKey {
    pub private: String,
    pub public: String,
}

impl Authority {
    /// One of the usual name.
    pub fn generate() -> Result<Authority> {
        Authority::named("scim-operator test authority")
    }

    /// One of that name. Two of one name have different keys.
    pub fn named(name: &str) -> Result<Authority> {
        let mut params = named(name, None)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Authority {
            certificate,
            issuer: Issuer::new(params, key),
        })
    }

    /// For a server at the loopback address, such as the API server.
    pub fn server(&self) -> Result<Identity> {
        let mut params = CertificateParams::new(vec![
            "127.0.0.1".to_owned(),
            "localhost".to_owned(),
            "kubernetes.default.svc".to_owned(),
        ])?;
        params
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// For a user of that name, in that group.
    pub(crate) fn client(&self, name: &str, group: &str) -> Result<Identity> {
        let mut params = named(name, Some(group))?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Identity {
            certificate,
            key: key.serialize_pem(),
        })
    }
}

impl SigningKey {
    pub fn generate() -> Result<SigningKey> {
        let key = KeyPair::generate()?;
        Ok(SigningKey {
            private: key.serialize_pem(),
            public: key.public_key_pem(),
        })
    }
}

/// A subject that differs from the issuer's: were they equal, the certificate
/// would count as signed by itself.
fn named(common_name: &str, organization: Option<&str>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
    }
    Ok(params)
}
