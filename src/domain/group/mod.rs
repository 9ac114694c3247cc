//! The decisions for one group: validate, observe, plan, as for a user, and the members besides.
//!
//! A group goes the way a user goes. What differs is here: members are resolved from other
//! resources, a group is listed without them, and how one is removed is learned from the server.
//! Identity is decided by [`super::identity`], and conditions are worded in [`super::conditions`].

use super::identity::Wanted;
use super::names;
use super::validate::{Violation, of_external_id, of_text};
use crate::api::group::ScimGroupSpec;

mod delta;
mod dialect;
mod members;
mod observed;
mod patch;
mod plan;

pub use delta::{Delta, chunks, delta, halves};
pub use dialect::{Form, MembersEcho, Outcome, Removal, Trial};
pub use members::{Member, MemberPhase, MemberState, Resolved, resolve};
pub use observed::ObservedGroup;
pub use patch::{
    GroupChanges, add_members, assume, attributes_patch, create_body, remove_members,
    remove_members_by_filter, remove_members_by_value,
};
pub use plan::{GroupFarewell, GroupKnowledge, GroupPlan, farewell_group, plan_group};

/// What the backend should have of one group, its members apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredGroup {
    /// The group's name as shown to people.
    pub display_name: String,
    /// Our mark on the group.
    pub external_id: String,
    /// The mark that the operator would give the group by itself: ours in any case.
    pub own_mark: String,
}

impl<'a> From<&'a DesiredGroup> for Wanted<'a> {
    fn from(desired: &'a DesiredGroup) -> Self {
        Self {
            name: &desired.display_name,
            external_id: &desired.external_id,
            own_mark: &desired.own_mark,
        }
    }
}

/// Checks a spec. Who the members are needs other resources, and is resolved apart.
///
/// # Errors
/// Every violation at once, sorted by field.
pub fn validate_group(
    spec: &ScimGroupSpec,
    owner_id: &str,
    namespace: &str,
    name: &str,
) -> Result<DesiredGroup, Vec<Violation>> {
    let own_mark = names::external_id(owner_id, namespace, name);
    let mut violations = of_external_id(spec.external_id.as_deref(), &own_mark);
    violations.extend(of_text("spec.displayName", &spec.display_name));
    let selector = spec.member_selector.as_ref();
    if selector.is_some_and(|selector| selector.to_selector().is_err()) {
        // The API server refuses it too; a `NotIn` of nothing must not select everybody.
        violations.push(Violation {
            field: "spec.memberSelector".into(),
            rule: "must give values to the operators In and NotIn".into(),
            unsupported: false,
        });
    }
    if !violations.is_empty() {
        violations.sort();
        return Err(violations);
    }
    let external_id = spec.external_id.clone();
    Ok(DesiredGroup {
        display_name: spec.display_name.clone(),
        external_id: external_id.unwrap_or_else(|| own_mark.clone()),
        own_mark,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
