//! What the client of a connection is built from: its token and its CA bundle, as the watches show them.

use std::hash::{Hash, Hasher};

use kube::ResourceExt;
use secrecy::SecretString;

use crate::api::ScimConnection;
use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::connection::CaBundleKind;
use crate::controller::context::Context;
use crate::controller::index::Key;
use crate::controller::memory::{BuiltFrom, Memory};
use crate::controller::scope;
use crate::controller::secrets::{Kind, Seen, TOKEN};
use crate::controller::trouble::Trouble;
use crate::domain::conditions::Verdict;

fn hash(token: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    token.hash(&mut hasher);
    hasher.finish()
}

/// Whether a client would be built from something else than the one in use.
pub async fn inputs_changed(object: &ScimConnection, context: &Context, memory: &Memory) -> bool {
    match inputs(object, context, memory).await {
        // The same token as before is news where it was missing meanwhile.
        Ok((_, built)) => {
            let first = memory.failing_with.as_ref().and_then(|t| t.first());
            let was_missing = first.is_some_and(|verdict| {
                matches!(
                    verdict.reason,
                    Reason::SecretNotFound
                        | Reason::KeyNotFound
                        | Reason::TokenMalformed
                        | Reason::CaBundleInvalid
                )
            });
            was_missing || memory.built_from.as_ref() != Some(&built)
        }
        Err(trouble) => memory.failing_with.as_ref() != Some(&trouble),
    }
}

/// What a client is built from.
///
/// # Errors
/// When the Secret or the CA bundle is missing, may not be read, or is not what it has to be.
pub async fn inputs(
    object: &ScimConnection,
    context: &Context,
    memory: &Memory,
) -> Result<(SecretString, BuiltFrom), Trouble> {
    let found = read_inputs(object, context).await;
    last_inputs(object, context, memory, found)
}

/// The bearer token that a key of a Secret holds, where it is one.
pub fn token_of(bytes: &[u8]) -> Option<&str> {
    // A trailing newline is what `echo token | base64` leaves, and never part of a token.
    std::str::from_utf8(bytes)
        .ok()
        .map(|t| t.trim_end_matches(['\r', '\n']))
        .filter(|t| !t.is_empty() && t.chars().all(|c| c.is_ascii_graphic()))
}

async fn read_inputs(
    object: &ScimConnection,
    context: &Context,
) -> Result<(SecretString, BuiltFrom), Trouble> {
    let key = Key::of(object);
    let reference = &object.spec.token_secret_ref;
    let no_token = |reason, message: String| vec![Verdict::no(C::Authenticated, reason, message)];
    let data = match context
        .watches
        .read(&key, TOKEN, Kind::Secret, &reference.name)
        .await
    {
        Seen::Data(data) => data,
        Seen::Absent => {
            return Err(no_token(
                Reason::SecretNotFound,
                format!("Secret {} does not exist in this namespace", reference.name),
            ));
        }
        Seen::Forbidden => {
            let message = format!(
                "the operator may not read Secret {}: name this namespace in the chart's secretAccess",
                reference.name
            );
            return Err(no_token(Reason::SecretNotFound, message));
        }
        Seen::NotYet => {
            return Err(no_token(
                Reason::SecretNotFound,
                format!("Secret {} could not be read yet", reference.name),
            ));
        }
    };
    let bytes = data.get(&reference.key).ok_or_else(|| {
        no_token(
            Reason::KeyNotFound,
            format!("Secret {} has no key {}", reference.name, reference.key),
        )
    })?;
    let token = token_of(bytes.expose()).ok_or_else(|| {
        no_token(Reason::TokenMalformed, format!("key {} of Secret {} is not a bearer token: it must be one line of visible ASCII without spaces", reference.key, reference.name))
    })?;
    let ca = match &object.spec.ca_bundle_ref {
        None => None,
        Some(bundle) => {
            let seen = context
                .watches
                .read(&key, "ca", bundle.kind.into(), &bundle.name)
                .await;
            let kind = match bundle.kind {
                CaBundleKind::ConfigMap => "ConfigMap",
                CaBundleKind::Secret => "Secret",
            };
            let named = format!("spec.caBundleRef: {kind} {}", bundle.name);
            let found = match seen {
                Seen::Data(data) => data
                    .get(&bundle.key)
                    .map(|pem| pem.expose().to_vec())
                    .ok_or_else(|| format!("{named} has no key {}", bundle.key)),
                Seen::Absent => Err(format!("{named} does not exist in this namespace")),
                Seen::Forbidden => Err(format!(
                    "{named} may not be read by the operator: name it in the chart's secretAccess"
                )),
                Seen::NotYet => Err(format!("{named} could not be read yet")),
            };
            Some(
                found
                    .map_err(|why| vec![Verdict::no(C::Reachable, Reason::CaBundleInvalid, why)])?,
            )
        }
    };
    Ok((
        SecretString::from(token.to_owned()),
        BuiltFrom {
            spec: object.spec.clone(),
            token: hash(token),
            ca,
        },
    ))
}

/// What a client is built from, where the connection is going and its Secret has gone before it: what
/// was last in force, for as long as this process knows it.
fn last_inputs(
    object: &ScimConnection,
    context: &Context,
    memory: &Memory,
    found: Result<(SecretString, BuiltFrom), Trouble>,
) -> Result<(SecretString, BuiltFrom), Trouble> {
    let namespace = object.namespace().unwrap_or_default();
    let going =
        object.metadata.deletion_timestamp.is_some() || scope::namespace_ends(context, &namespace);
    match (found, &memory.last_inputs) {
        (Err(_), Some((token, built))) if going => {
            let spec = object.spec.clone();
            Ok((
                token.clone(),
                BuiltFrom {
                    spec,
                    ..built.clone()
                },
            ))
        }
        (found, _) => found,
    }
}
