//! A spec of every group, judged by the operator's own rules.

use serde_json::{Value, json};

use super::*;
use crate::api::ScimGroup;
use crate::api::connection::Profile as ProfileName;
use crate::cli::import::target::tests::of as target_of;
use crate::domain::profile::Profile;

fn made(group: &Value, imported: &[(&str, &str)], adoption: Adoption) -> (BuiltGroup, Standing) {
    let profile = Profile::resolve(ProfileName::RFC7643, &[]).unwrap();
    let target = target_of(&profile, adoption);
    let mut users = Imported::default();
    for (id, name) in imported {
        users.insert((*id).to_owned(), (*name).to_owned());
    }
    let all = [ObservedGroup::read(group, true).unwrap()];
    let schema = Schema::of::<ScimGroup>().unwrap();
    let built = spec_of(&all[0], &target, &users);
    let groups = Groups::of(&all);
    let standing = standing_of(
        &built.spec,
        &all[0],
        &target,
        &schema,
        "staff",
        &users,
        &groups,
    );
    (built, standing)
}

fn staff() -> Value {
    json!({"id": "g1", "displayName": "Staff", "externalId": "hr-staff", "members": [{"value": "2"}, {"value": 1}]})
}

#[test]
fn a_group_is_exact_where_everybody_in_it_is_imported() {
    let imported = [("1", "zoe"), ("2", "ada"), ("3", "bea")];
    let (built, standing) = made(&staff(), &imported, Adoption::ById);
    assert_eq!(standing, Standing::InStep);
    assert_eq!(built.left_out, Vec::<String>::new());
    let names: Vec<_> = built
        .spec
        .members
        .iter()
        .map(|m| m.user_ref.name.as_str())
        .collect();
    assert_eq!(names, ["ada", "zoe"]);
    assert_eq!(built.spec.membership, Membership::Exact);
    assert_eq!(built.spec.deletion_policy, None);
}

#[test]
fn whoever_is_not_imported_stays_a_member() {
    let (built, standing) = made(&staff(), &[("2", "ada")], Adoption::ById);
    assert_eq!(standing, Standing::InStep);
    assert_eq!(built.left_out, ["1"]);
    assert_eq!(built.spec.membership, Membership::AddOnly);
    // Exact, they would be removed: the proof sees it.
    let mut group = built.spec.clone();
    group.membership = Membership::Exact;
    let profile = Profile::resolve(ProfileName::RFC7643, &[]).unwrap();
    let target = Target {
        profile: &profile,
        owner_id: "identity/scim",
        connection: group.connection_ref.clone(),
        namespace: "identity",
        adoption: Adoption::ById,
    };
    let mut users = Imported::default();
    users.insert("2".into(), "ada".into());
    let all = [ObservedGroup::read(&staff(), true).unwrap()];
    let schema = Schema::of::<ScimGroup>().unwrap();
    let standing = standing_of(
        &group,
        &all[0],
        &target,
        &schema,
        "staff",
        &users,
        &Groups::of(&all),
    );
    assert_eq!(standing, Standing::Writes(vec!["members".into()]));
}

#[test]
fn a_group_without_a_mark_costs_one_write_of_the_mark() {
    let mut group = staff();
    group.as_object_mut().unwrap().remove("externalId");
    let (_, standing) = made(&group, &[("1", "zoe"), ("2", "ada")], Adoption::ById);
    assert_eq!(standing, Standing::Writes(vec!["externalId".into()]));
}

#[test]
fn a_nested_group_is_no_member_that_could_be_missed() {
    let mut group = staff();
    group["members"] = json!([{"value": "1"}, {"value": "g2", "type": "Group"}]);
    let (built, standing) = made(&group, &[("1", "zoe")], Adoption::ById);
    assert_eq!(
        (standing, built.spec.membership),
        (Standing::InStep, Membership::Exact)
    );
}

#[test]
fn a_group_without_a_name_is_invalid() {
    let (_, standing) = made(&json!({"id": "g1", "externalId": "x"}), &[], Adoption::ById);
    assert!(matches!(standing, Standing::Invalid(_)), "{standing:?}");
}

#[test]
fn by_policy_a_group_is_found_by_its_mark_or_waits() {
    let by = |all: &[AdoptionMatch]| Adoption::ByPolicy(all.to_vec());
    let imported = [("1", "zoe"), ("2", "ada")];
    let (built, standing) = made(&staff(), &imported, by(&[AdoptionMatch::ExternalId]));
    assert_eq!((standing, built.spec.adopt), (Standing::InStep, None));
    let (_, standing) = made(&staff(), &imported, by(&[]));
    assert_eq!(standing, Standing::Waits("AdoptionRequired"));
}
