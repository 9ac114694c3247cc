//! Properties of changes and requests, over random people, backends and profiles.

use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

use super::*;

/// Fields that belong to somebody else, which servers keep beside ours.
const FOREIGN: [(&str, &str); 4] = [
    ("nickName", "nickName"),
    ("x", "urn:example:2.0:User:x"),
    ("pager", r#"phoneNumbers[type eq "pager"].value"#),
    ("formatted", r#"addresses[type eq "work"].formatted"#),
];

fn value_of(rule: Rule, word: &str, pick: &Index) -> Value {
    match rule {
        Rule::Text => json!(word),
        Rule::IgnoringCase => json!(format!("{word}@example.com")),
        Rule::Country => json!(pick.get(&["GB", "FR", "JP"])),
        Rule::CybSafeLanguage => json!(pick.get(&languages::CYBSAFE)),
        Rule::LanguageTag => json!(pick.get(&["en", "en-GB", "zh-Hant-TW"])),
        Rule::Flag => json!(pick.index(2) == 0),
    }
}

/// Any subset of a profile's attributes with values; identity always, `primary` only beside a value.
fn person(name: ProfileName) -> impl Strategy<Value = Desired> {
    let profile = profile(name);
    let names: Vec<String> = profile.iter().map(|(name, _)| name.to_owned()).collect();
    let size = 0..=names.len();
    let values = prop::collection::vec(("[a-z]{1,6}", any::<Index>()), names.len());
    (subsequence(names, size), values).prop_map(move |(mut chosen, values)| {
        for always in ["userName", "externalId", "active"] {
            if !chosen.iter().any(|name| name == always) {
                chosen.push(always.into());
            }
        }
        let kept: Vec<_> = chosen
            .iter()
            .filter(|name| {
                name.strip_suffix(".primary")
                    .is_none_or(|element| chosen.iter().any(|other| other == element))
            })
            .zip(&values)
            .map(|(name, (word, pick))| {
                let rule = profile.get(name).unwrap().rule;
                (name.as_str(), value_of(rule, word, pick))
            })
            .collect();
        wanted(&kept)
    })
}

/// Before and after of one person, under either profile.
fn two_states() -> impl Strategy<Value = (ProfileName, Desired, Desired)> {
    prop_oneof![Just(ProfileName::CybSafe), Just(ProfileName::RFC7643)]
        .prop_flat_map(|name| (Just(name), person(name), person(name)))
}

/// A server's reading of our patches: no more than RFC 7644 §3.5.2 asks, and `noTarget` for a filter
/// that matches nothing. That a removal matches is asked too: of what shows, none is sent in vain.
fn apply(patch: &Patch, resource: &mut Value) {
    apply_where(patch, resource, |path, resource| {
        path.read(resource).is_some()
    });
}

/// As [`apply`], where `removable` says what a removal may name.
fn apply_where(
    patch: &Patch,
    resource: &mut Value,
    removable: impl Fn(&AttributePath, &Value) -> bool,
) {
    for op in &patch.0 {
        let path: AttributePath = op.path().parse().unwrap();
        match op {
            PatchOp::Add { value, .. } if value.is_array() => {
                assert_eq!((&path.selector, &path.sub), (&None, &None));
                let list = resource[&path.attribute].as_array();
                let mut items = list.cloned().unwrap_or_default();
                items.extend(value.as_array().unwrap().clone());
                resource[&path.attribute] = json!(items);
            }
            PatchOp::Add { value, .. } | PatchOp::Replace { value, .. } => {
                assert!(
                    path.selector.is_none() || path.element_exists(resource),
                    "noTarget: {path}"
                );
                path.write(resource, value.clone());
            }
            PatchOp::Remove { .. } => {
                assert!(removable(&path, resource), "noTarget: {path}");
                path.clear(resource);
            }
            PatchOp::RemoveValue { .. } => panic!("a dialect that nobody asked for"),
        }
    }
}

/// Takes an attribute out of what a server shows or keeps. A husk stays, unless `type` is all of it.
fn conceal(resource: &mut Value, path: &AttributePath) {
    let (Some(kind), Some(sub)) = (&path.selector, &path.sub) else {
        return path.clear(resource);
    };
    let Some(items) = resource[&path.attribute].as_array_mut() else {
        return;
    };
    for item in items.iter_mut().filter(|item| item["type"] == **kind) {
        item.as_object_mut().unwrap().remove(sub);
    }
    items.retain(|item| item.as_object().unwrap().len() > 1);
}

/// The types of a list's elements, each as often as it occurs.
fn types_in(resource: &Value, list: &str) -> Vec<String> {
    let items = resource[list].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["type"].to_string()).collect()
}

proptest! {
    /// What is written in full and read back needs no change, whether or not the spec just changed.
    #[test]
    fn what_was_created_is_in_step((name, desired, _) in two_states(), spec_changed: bool) {
        let profile = profile(name);
        let observed = seen(&resource(&desired, &profile), &profile);
        prop_assert_eq!(&observed.attributes, &desired.attributes);
        let (managed, echoed) = (names(&desired), everything(&profile));
        let knowledge = Knowledge { managed: &managed, echoed: &echoed, spec_changed, respelled: &NOTHING_RESPELLED };
        prop_assert_eq!(changes(&desired, &observed, &profile, knowledge), vec![]);
    }

    /// Acting once is enough, whatever the backend returns of it.
    #[test]
    fn one_pass_converges(
        (name, old, new) in two_states(),
        spec_changed: bool,
        shown in prop::collection::vec(any::<bool>(), 64),
    ) {
        let profile = profile(name);
        let echoed: BTreeSet<_> = everything(&profile).into_iter().zip(&shown).filter(|(_, shown)| **shown).map(|(name, _)| name).collect();
        let mut observed = seen(&resource(&old, &profile), &profile);
        observed.attributes.retain(|name, _| echoed.contains(name));
        let managed = names(&old);
        let first = changes(&new, &observed, &profile, Knowledge { managed: &managed, echoed: &echoed, spec_changed, respelled: &NOTHING_RESPELLED });
        let after = assume(&observed, &first, &new, &profile);
        let managed = names(&new);
        let rest = changes(&new, &after, &profile, Knowledge { managed: &managed, echoed: &echoed, spec_changed: false, respelled: &NOTHING_RESPELLED });
        prop_assert_eq!(rest, vec![]);
    }

    /// PATCH, and GET, merge, PUT, end in the state that is assumed meanwhile; what is not ours stays.
    #[test]
    fn patch_and_put_and_assumption_agree((name, old, new) in two_states(), foreign in subsequence(&FOREIGN[..], 0..=FOREIGN.len())) {
        let profile = profile(name);
        let mut patched = resource(&old, &profile);
        let foreign: Vec<AttributePath> = foreign.iter().map(|(_, path)| path.parse().unwrap()).filter(|path| !profile.iter().any(|(_, a)| a.path == *path)).collect();
        for path in &foreign {
            path.write(&mut patched, json!("theirs"));
        }
        let mut put = patched.clone();
        let observed = seen(&patched, &profile);
        let (managed, echoed) = (names(&old), everything(&profile));
        let changes = changes(&new, &observed, &profile, Knowledge { managed: &managed, echoed: &echoed, spec_changed: true, respelled: &NOTHING_RESPELLED });
        apply(&patch(&changes, &new, &observed, &profile), &mut patched);
        merge_into(&mut put, &changes);
        let after = assume(&observed, &changes, &new, &profile);
        prop_assert_eq!(&seen(&patched, &profile), &after, "patched");
        prop_assert_eq!(&seen(&put, &profile), &after, "put");
        for path in &foreign {
            prop_assert_eq!(path.read(&patched), Some(&json!("theirs")), "patched {}", path);
            prop_assert_eq!(path.read(&put), Some(&json!("theirs")), "put {}", path);
        }
    }

    /// A backend that keeps what it never returns holds exactly the spec after one patch; one that
    /// drops it refuses nothing but, where it is strict, a blind removal. No patch is empty.
    #[test]
    fn what_is_never_returned_is_kept_once_and_cleared(
        (name, old, new) in two_states(),
        shown in prop::collection::vec(any::<bool>(), 64),
        keeps: bool,
    ) {
        let profile = profile(name);
        let echoed: BTreeSet<_> = everything(&profile).into_iter().zip(&shown).filter(|(name, shown)| **shown || IDENTITY.contains(&name.as_str())).map(|(name, _)| name).collect();
        let hide = |resource: &mut Value| {
            let hidden = profile.iter().filter(|(name, _)| !echoed.contains(*name));
            hidden.for_each(|(_, attribute)| conceal(resource, &attribute.path));
        };
        let mut kept = resource(&old, &profile);
        let mut view = kept.clone();
        hide(&mut view);
        if !keeps {
            kept = view.clone();
        }
        let observed = seen(&view, &profile);
        let managed = names(&old);
        let changes = changes(&new, &observed, &profile, Knowledge { managed: &managed, echoed: &echoed, spec_changed: true, respelled: &NOTHING_RESPELLED });
        let patch = patch(&changes, &new, &observed, &profile);
        prop_assert_eq!(patch.is_empty(), changes.is_empty());
        apply_where(&patch, &mut kept, |_, _| true);
        if keeps {
            prop_assert_eq!(seen(&kept, &profile).attributes, new.attributes);
        }
        for list in ["emails", "phoneNumbers", "addresses"] {
            let types = types_in(&kept, list);
            let once: BTreeSet<_> = types.iter().cloned().collect();
            prop_assert_eq!(types.len(), once.len(), "two of a type in {}", list);
        }
    }

    /// What was never set by us is never changed or cleared, whoever put it there.
    #[test]
    fn what_is_not_ours_stays((name, theirs, ours) in two_states(), spec_changed: bool) {
        let profile = profile(name);
        let mut body = resource(&theirs, &profile);
        let observed = seen(&body, &profile);
        let (none, echoed) = (BTreeSet::new(), everything(&profile));
        let changes = changes(&ours, &observed, &profile, Knowledge { managed: &none, echoed: &echoed, spec_changed, respelled: &NOTHING_RESPELLED });
        prop_assert!(changes.iter().all(|change| ours.attributes.contains_key(&change.attribute)));
        apply(&patch(&changes, &ours, &observed, &profile), &mut body);
        for (name, value) in &theirs.attributes {
            if !ours.attributes.contains_key(name) {
                prop_assert_eq!(profile.get(name).unwrap().path.read(&body), Some(value), "{}", name);
            }
        }
    }

    /// A user who takes over part of an account, then lets go of it, leaves the rest as it was.
    #[test]
    fn letting_go_clears_only_what_was_ours((name, theirs, ours) in two_states()) {
        let profile = profile(name);
        let mut body = resource(&theirs, &profile);
        for (name, value) in &ours.attributes {
            profile.get(name).unwrap().path.write(&mut body, value.clone());
        }
        let observed = seen(&body, &profile);
        let nothing = wanted(&[]);
        let (managed, echoed) = (names(&ours), everything(&profile));
        let changes = changes(&nothing, &observed, &profile, Knowledge { managed: &managed, echoed: &echoed, spec_changed: true, respelled: &NOTHING_RESPELLED });
        apply(&patch(&changes, &nothing, &observed, &profile), &mut body);
        let left = seen(&body, &profile);
        for name in theirs.attributes.keys().filter(|name| !ours.attributes.contains_key(*name)) {
            let husk = name.strip_suffix(".primary").is_some_and(|element| ours.attributes.contains_key(element));
            prop_assert!(husk || left.attributes.contains_key(name), "{} was not ours", name);
        }
        for name in ours.attributes.keys().filter(|name| !IDENTITY.contains(&name.as_str())) {
            prop_assert!(!left.attributes.contains_key(name), "{} is still there", name);
        }
    }
}
