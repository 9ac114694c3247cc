//! The failures of the layers below, told apart: whether the request may have
//! been applied, and what somebody could do about it.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use crate::scim::address::{NameNotResolved, RefusedAddress};
use crate::scim::error::{Cause, ScimError};

/// What a failed exchange means. Until a connection stands, nothing was sent.
pub(crate) fn transport_error(error: reqwest::Error) -> ScimError {
    if chain(&error).any(|cause| cause.is::<RefusedAddress>()) {
        return ScimError::AddressRefused;
    }
    let cause = cause_of(&error);
    if error.is_builder() {
        ScimError::Connect(Cause::Request)
    } else if error.is_connect() && error.is_timeout() {
        ScimError::Connect(Cause::ConnectTimeout)
    } else if error.is_connect() {
        ScimError::Connect(cause)
    } else if error.is_timeout() {
        ScimError::Timeout
    } else {
        // What broke after the connection stood was closed, if nothing else.
        ScimError::ReplyLost(if cause == Cause::Other {
            Cause::Closed
        } else {
            cause
        })
    }
}

/// What the innermost known cause says.
fn cause_of(error: &(dyn Error + 'static)) -> Cause {
    chain(error)
        .filter_map(|cause| {
            if cause.is::<NameNotResolved>() {
                Some(Cause::Name)
            } else if let Some(tls) = cause.downcast_ref() {
                Some(cause_of_tls(tls))
            } else {
                cause.downcast_ref().and_then(cause_of_io)
            }
        })
        .last()
        .unwrap_or(Cause::Other)
}

fn cause_of_tls(error: &rustls::Error) -> Cause {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Cause::CertificateExpired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Cause::CertificateHost
            }
            // A signature that does not fit is that of an authority renewed under the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Cause::CertificateIssuer
            }
            _ => Cause::Certificate,
        },
        rustls::Error::NoCertificatesPresented => Cause::Certificate,
        _ => Cause::Tls,
    }
}

fn cause_of_io(error: &io::Error) -> Option<Cause> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some(Cause::Refused),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(Cause::Closed),
        io::ErrorKind::TimedOut => Some(Cause::ConnectTimeout),
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::PermissionDenied => Some(Cause::NoRoute),
        _ => None,
    }
}

/// An error and its causes, outermost first. An `io::Error` hides the error it
/// wraps from `source`, so that one is looked into.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause: &&'a (dyn Error + 'static)| {
        let wrapped = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => cause.source(),
        }
    })
}
