//! Names that must come out the same on every replica and after every restart.

/// The owner mark of a connection: `spec.ownerId`, or `<namespace>/<name>`.
pub fn owner_id(spec_owner: Option<&str>, namespace: &str, name: &str) -> String {
    spec_owner.map_or_else(|| format!("{namespace}/{name}"), str::to_owned)
}

/// The default `externalId` of a resource: deterministic, so that an account whose creation was
/// never recorded is found again; prefixed, so that no server takes it for an id of its own
/// (CVE-2025-41115).
pub fn external_id(owner: &str, namespace: &str, name: &str) -> String {
    format!("{PREFIX}{owner}:{namespace}/{name}")
}

/// What every `externalId` that we make begins with.
pub const PREFIX: &str = "scim-operator:";

/// Whether a mark was made by a scim-operator, and not as `own`.
pub fn is_mark_of_another(mark: Option<&str>, own: &str) -> bool {
    mark.is_some_and(|mark| mark.starts_with(PREFIX) && mark != own)
}

/// The namespace and name of the resource that a mark of this owner stands for.
pub fn resource_of_mark<'a>(owner: &str, mark: &'a str) -> Option<(&'a str, &'a str)> {
    // An owner mark has no colon, so that the rest cannot be read in two ways.
    let (of, resource) = mark.strip_prefix(PREFIX)?.rsplit_once(':')?;
    (of == owner).then(|| resource.split_once('/')).flatten()
}

/// Which backend an id belongs to: a short hash of the endpoint, the same on every replica and in
/// every release. An id of another backend may be a stranger's.
pub fn endpoint_hash(endpoint: &str) -> String {
    short_hash(endpoint.trim_end_matches('/'))
}

/// What `status.creating` says of the name that a create was begun by, and of the backend: no name of
/// a person, and the same on every replica and in every release.
pub fn creating_hash(name: &str, endpoint_hash: Option<&str>) -> String {
    let endpoint = endpoint_hash.unwrap_or_default();
    short_hash(&format!("{endpoint} {}", fold_name(name)))
}

/// Which profile, with which mapping, an account was written by: a short hash of both.
pub fn profile_hash(profile: &str) -> String {
    short_hash(profile)
}

/// What the name of a connection's lease ends with: the same on every replica, and never that of another
/// connection. A name and a namespace may together be longer than a name.
pub fn lease_suffix(namespace: &str, name: &str) -> String {
    let connection = format!("{namespace}/{name}");
    // Twice as long as where a hash is only compared: two connections by one lease would wait for ever.
    short_hash(&connection) + &short_hash(&format!("lease of {connection}"))
}

/// Whether two marks are of one owner and of resources in one namespace.
pub fn same_namespace(mark: &str, other: &str) -> bool {
    let home = |mark: &str| mark.rsplit_once('/').map(|(home, _)| home.to_owned());
    home(mark).is_some() && home(mark) == home(other)
}

/// The first 16 hexadecimal digits of the SHA-256 of a text.
pub fn short_hash(text: &str) -> String {
    let digest = <sha2::Sha256 as sha2::Digest>::digest(text.as_bytes());
    let bytes = digest.iter().take(8);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// A name as it is searched for: RFC 7643 §4.1.1 makes a userName case-insensitive. A group's
/// displayName is searched for as a userName is, since
/// nobody means two groups by two spellings of one name; RFC 7643 §8.7.1 makes it case-insensitive.
pub fn fold_name(name: &str) -> String {
    name.to_lowercase()
}

/// Parses a duration of the API (`30m`, `1h30m`, `45s`) into seconds; `None` when malformed.
pub fn duration_seconds(text: &str) -> Option<u64> {
    let (mut total, mut number, mut units) = (0u64, String::new(), 0);
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        number.clear();
        units += 1;
    }
    (units > 0 && number.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums_of_their_parts() {
        for (text, seconds) in [
            ("30m", Some(1800)),
            ("1h30m", Some(5400)),
            ("5s", Some(5)),
            ("", None),
            ("5", None),
            ("5d", None),
            ("m", None),
        ] {
            assert_eq!(duration_seconds(text), seconds, "{text}");
        }
    }

    #[test]
    fn a_mark_leads_back_to_its_resource_for_its_own_owner_only() {
        let mark = external_id("prod/eu", "team", "ada");
        assert_eq!(resource_of_mark("prod/eu", &mark), Some(("team", "ada")));
        for (owner, mark, why) in [
            ("prod", &*mark, "another owner"),
            ("prod/eu", "hr-7", "no mark of ours"),
            ("prod/eu", "scim-operator:prod/eu", "no resource"),
            ("prod/eu", "scim-operator:prod/eu:ada", "no namespace"),
        ] {
            assert_eq!(resource_of_mark(owner, mark), None, "{why}");
        }
    }

    #[test]
    fn an_endpoint_is_the_same_with_and_without_its_last_slash() {
        let hash = endpoint_hash("https://app.cybsafe.com/scim/v2/");
        assert_eq!(
            hash, "fe7fd59bc41a43d5",
            "another value would disown every account"
        );
        assert_eq!(hash, endpoint_hash("https://app.cybsafe.com/scim/v2"));
        assert_ne!(hash, endpoint_hash("https://app.cybsafe.com/scim"));
    }

    #[test]
    fn external_ids_name_owner_and_resource() {
        let owner = owner_id(None, "identity", "cybsafe");
        assert_eq!(
            external_id(&owner, "team", "ada"),
            "scim-operator:identity/cybsafe:team/ada"
        );
        assert_eq!(owner_id(Some("prod"), "identity", "cybsafe"), "prod");
    }
}
