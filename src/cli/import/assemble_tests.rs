//! Who is written, who is left out, and what is said of it.

use serde_json::{Value, json};

use super::*;
use crate::api::connection::Profile as ProfileName;
use crate::api::{ScimGroup, ScimUser};
use crate::cli::import::declared::tests::of as declared_of;
use crate::cli::import::target::Adoption;
use crate::cli::import::target::tests::of as target_of;
use crate::domain::profile::Profile;

const USUAL: Choices = Choices {
    name_from: NameFrom::UserName,
    include_archived: false,
    include_invalid: false,
    include_declared: false,
};

fn account(id: &str, user_name: &str, edits: Value) -> Value {
    let mut account = json!({
        "id": id, "externalId": format!("hr-{id}"), "userName": user_name, "active": true,
    });
    for (name, value) in edits.as_object().unwrap() {
        account[name] = value.clone();
    }
    account
}

struct Made {
    files: Vec<File>,
    entries: Vec<Entry>,
    in_step: usize,
}

impl Made {
    fn names(&self) -> Vec<&str> {
        self.files.iter().map(|file| file.name.as_str()).collect()
    }

    /// Each entry as `id name written reason about`.
    fn told(&self) -> Vec<String> {
        let told = |e: &Entry| {
            let about = e.about.as_deref().unwrap_or_default();
            format!("{} {} {} {:?} {about}", e.id, e.name, e.written, e.reason)
        };
        let all = self.entries.iter().map(told);
        all.map(|line| line.trim_end().to_owned()).collect()
    }
}

fn made(
    accounts: &[Value],
    groups: &[Value],
    declared: &Declared,
    choices: Choices,
) -> (Made, Made) {
    let profile = Profile::resolve(ProfileName::RFC7643, &[]).unwrap();
    let target = target_of(&profile, Adoption::ById);
    let read = |value| Observed::read(value, &profile).unwrap();
    let accounts: Vec<_> = accounts.iter().map(read).collect();
    let schema = Schema::of::<ScimUser>().unwrap();
    let (users, imported) = super::users(&accounts, &target, &schema, declared, choices).unwrap();
    let groups: Vec<_> = groups
        .iter()
        .map(|value| ObservedGroup::read(value, true).unwrap())
        .collect();
    let schema = Schema::of::<ScimGroup>().unwrap();
    let nothing = Declared::default();
    let groups = super::groups(&groups, &target, &schema, &nothing, &imported, choices).unwrap();
    let made = |done: Assembled| Made {
        files: done.files,
        entries: done.entries,
        in_step: done.in_step,
    };
    (made(users), made(groups))
}

fn users(accounts: &[Value], choices: Choices) -> Made {
    made(accounts, &[], &Declared::default(), choices).0
}

#[test]
fn files_are_in_the_order_of_names_whatever_the_order_of_the_listing() {
    let (a, b) = (
        account("1", "zoe@x.example", json!({})),
        account("2", "ada@x.example", json!({})),
    );
    let first = users(&[a.clone(), b.clone()], USUAL);
    assert_eq!(first.names(), ["ada", "zoe"]);
    assert_eq!(first.in_step, 2);
    assert_eq!(first.files, users(&[b, a], USUAL).files);
}

#[test]
fn an_archived_account_is_left_out_and_told_unless_asked_for() {
    let all = [account("1", "ada@x.example", json!({"active": false}))];
    let left = users(&all, USUAL);
    assert_eq!(left.names(), Vec::<&str>::new());
    assert_eq!(left.told(), ["1 ada false Archived"]);
    let written = users(
        &all,
        Choices {
            include_archived: true,
            ..USUAL
        },
    );
    assert_eq!((written.names(), written.in_step), (vec!["ada"], 1));
    assert!(written.files[0].text.contains("\n  active: false\n"));
}

#[test]
fn of_two_with_one_user_name_the_active_one_is_written_and_the_other_told() {
    let all = [
        account("1", "Ada@x.example", json!({"active": false})),
        account("2", "ada@X.example", json!({})),
        account("3", "ADA@x.example", json!({})),
    ];
    let choices = Choices {
        include_archived: true,
        ..USUAL
    };
    let one = users(&all, choices);
    assert_eq!(one.files.len(), 1);
    assert!(one.files[0].text.contains("id: \"2\""));
    assert_eq!(one.told().len(), 2);
    assert!(
        one.told()
            .iter()
            .all(|told| told.ends_with("false DuplicateUserName id 2")),
        "{:?}",
        one.told()
    );
    let all = users(
        &all,
        Choices {
            include_invalid: true,
            ..choices
        },
    );
    assert_eq!((all.files.len(), all.in_step), (3, 1));
}

#[test]
fn an_invalid_account_is_told_with_its_rules_and_written_only_when_asked_for() {
    let all = [account("1", "ada@x.example", json!({"externalId": "42"}))];
    let left = users(&all, USUAL);
    assert_eq!(left.told(), ["1 ada false Invalid"]);
    assert_eq!(left.entries[0].violations[0].field, "spec.externalId");
    assert!(left.files.is_empty());
    let written = users(
        &all,
        Choices {
            include_invalid: true,
            ..USUAL
        },
    );
    assert_eq!(written.told(), ["1 ada true Invalid"]);
    let text = &written.files[0].text;
    assert!(
        text.starts_with("# It is not valid as it is: spec.externalId "),
        "{text}"
    );
    assert_eq!(written.in_step, 0);
}

#[test]
fn what_would_be_written_is_told_by_name_in_the_report_and_in_the_manifest() {
    let made = users(
        &[account("1", "ada@x.example", json!({"externalId": null}))],
        USUAL,
    );
    assert_eq!(made.told(), ["1 ada true WouldWrite"]);
    assert_eq!(made.entries[0].attributes, ["externalId"]);
    let first = made.files[0].text.lines().next().unwrap();
    assert_eq!(
        first,
        "# When it is taken over, the operator writes to the backend: externalId."
    );
    assert_eq!(made.in_step, 0);
}

#[test]
fn no_value_of_anybody_is_in_the_report() {
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let all = [
        account(
            "1",
            "ada@x.example",
            json!({"title": "Secret ".to_owned() + &"x".repeat(300)}),
        ),
        account(
            "2",
            "bea@x.example",
            json!({"externalId": null, "displayName": "Secret\n"}),
        ),
        account(
            "3",
            "cy@x.example",
            json!({"externalId": "4242", "addresses": [{"type": "work", "country": "Secretland"}]}),
        ),
        account(
            "4",
            "di@x.example",
            json!({(enterprise): {"manager": {"value": "Secret".repeat(60)}}}),
        ),
    ];
    let made = users(&all, USUAL);
    let report = serde_json::to_string(&made.entries).unwrap();
    let comments: String = made
        .files
        .iter()
        .flat_map(|f| f.text.lines())
        .filter(|l| l.starts_with('#'))
        .collect();
    for text in [report, comments] {
        assert!(text.contains("spec."), "{text}");
        assert!(
            !text.contains("Secret") && !text.contains("4242") && !text.contains('@'),
            "{text}"
        );
    }
}

#[test]
fn marks_say_whom_somebody_else_has() {
    let mark = |mark: &str| json!({"externalId": mark});
    let all = [
        account(
            "1",
            "a@x.example",
            mark("scim-operator:identity/scim:identity/ada"),
        ),
        account(
            "2",
            "b@x.example",
            mark("scim-operator:identity/scim:team/bea"),
        ),
        account(
            "3",
            "c@x.example",
            mark("scim-operator:staging/scim:identity/cy"),
        ),
        account("4", "ada@x.example", json!({})),
    ];
    let left = users(&all, USUAL);
    assert_eq!(
        left.told(),
        [
            "1 ada false DeclaredAlready identity/ada",
            "2 b false DeclaredAlready team/bea",
            "3 c false OwnedByOther another scim-operator, or to another of its connections",
        ]
    );
    // The name of what is declared is nobody else's.
    assert_eq!(left.names(), ["ada-x-example"]);
    let written = users(
        &all,
        Choices {
            include_declared: true,
            ..USUAL
        },
    );
    assert_eq!(
        (written.names(), written.in_step),
        (vec!["ada", "ada-x-example"], 2)
    );
}

#[test]
fn what_the_cluster_has_is_not_declared_twice_and_lends_its_name_to_nobody() {
    let declared = declared_of(&[
        (
            "countess",
            json!({"metadata": {"namespace": "identity"}, "spec": {"connectionRef": {"name": "scim"}}, "status": {"id": "1", "endpointHash": "here"}}),
        ),
        (
            "bea",
            json!({"metadata": {"namespace": "identity"}, "spec": {"connectionRef": {"name": "other"}}}),
        ),
    ]);
    let all = [
        account("1", "ada@x.example", json!({})),
        account("2", "bea@x.example", json!({})),
    ];
    let (left, groups) = made(
        &all,
        &[
            json!({"id": "g", "displayName": "All", "externalId": "x", "members": [{"value": "1"}, {"value": "2"}]}),
        ],
        &declared,
        USUAL,
    );
    assert_eq!(
        left.told(),
        ["1 countess false DeclaredAlready identity/countess"]
    );
    assert_eq!(left.names(), ["bea-x-example"]);
    // Who is declared already can be named all the same.
    let text = &groups.files[0].text;
    assert!(
        text.contains("name: countess") && text.contains("name: bea-x-example"),
        "{text}"
    );
    assert_eq!((groups.in_step, groups.entries.len()), (1, 0));
    // An account that an orphaned mark names is written by that name where the cluster knows of no such resource.
    let orphan = [account(
        "3",
        "cy@x.example",
        json!({"externalId": "scim-operator:identity/scim:identity/cyrus"}),
    )];
    let (written, _) = made(&orphan, &[], &declared, USUAL);
    assert_eq!((written.names(), written.in_step), (vec!["cyrus"], 1));
}

#[test]
fn managers_are_named_where_they_are_written_and_by_id_where_they_are_not() {
    let manager = |id: &str| json!({"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"manager": {"value": id}}});
    let all = [
        account("1", "ada@x.example", manager("2")),
        account("2", "bea@x.example", manager("3")),
        account("3", "cy@x.example", json!({"active": false})),
        account("4", "di@x.example", manager("4")),
    ];
    let made = users(&all, USUAL);
    assert_eq!(made.in_step, 3);
    let said = |index: usize| {
        let text = &made.files[index].text;
        let (_, rest) = text.split_once("manager:\n").unwrap();
        rest.lines()
            .take(2)
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(said(0), "userRef: name: bea");
    assert!(said(1).starts_with("value: \"3\""), "{}", said(1));
    assert!(
        said(2).starts_with("value: \"4\""),
        "one's own manager: {}",
        said(2)
    );
}

#[test]
fn names_are_from_what_was_asked_for() {
    let all = [
        account("A-1", "ada@x.example", json!({})),
        account("B-2", "bea@x.example", json!({"externalId": null})),
    ];
    for (name_from, expected) in [
        (NameFrom::UserName, ["ada", "bea"]),
        (NameFrom::ExternalId, ["bea-x-example", "hr-a-1"]),
        (NameFrom::Id, ["a-1", "b-2"]),
    ] {
        assert_eq!(
            users(&all, Choices { name_from, ..USUAL }).names(),
            expected
        );
    }
}

#[test]
fn a_group_tells_how_many_of_its_members_have_no_manifest() {
    let accounts = [
        account("1", "ada@x.example", json!({})),
        account("2", "bea@x.example", json!({"active": false})),
    ];
    let group = json!({"id": "g", "displayName": "Staff & Co", "externalId": "x", "members": [{"value": "1"}, {"value": "2"}, {"value": "9"}]});
    let (_, groups) = made(&accounts, &[group], &Declared::default(), USUAL);
    assert_eq!(groups.told(), ["g staff-co true MembersLeftOut"]);
    assert_eq!(groups.entries[0].members, ["2", "9"]);
    assert_eq!(groups.in_step, 1);
    let text = &groups.files[0].text;
    assert!(
        text.contains("\n  membership: AddOnly\n") && text.contains("# Membership is AddOnly"),
        "{text}"
    );
}

#[test]
fn a_mark_that_no_resource_can_have_given_names_no_file() {
    let mark =
        |name: &str| json!({"externalId": format!("scim-operator:identity/scim:identity/{name}")});
    for name in ["../../../pwned", "a/b", "..", "A B", ""] {
        let all = [account("1", "ada@x.example", mark(name))];
        for include_declared in [true, false] {
            let choices = Choices {
                include_declared,
                include_invalid: true,
                ..USUAL
            };
            let made = users(&all, choices);
            let names = made.names();
            assert!(
                names.iter().all(|n| !n.contains('/') && !n.contains("..")),
                "{name}: {names:?}"
            );
        }
    }
}

#[test]
fn of_two_accounts_with_one_mark_neither_takes_the_others_file() {
    let mark = json!({"externalId": "scim-operator:identity/scim:identity/ada"});
    let all = [
        account("1", "ada@x.example", mark.clone()),
        account("2", "ada2@x.example", mark),
    ];
    let choices = Choices {
        include_declared: true,
        include_invalid: true,
        ..USUAL
    };
    let made = users(&all, choices);
    let mut names = made.names();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), made.files.len(), "{:?}", made.told());
}

#[test]
fn what_a_backend_says_stays_within_a_comment() {
    let id = "1\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n\u{2028}#";
    let all = [
        account(id, "ada@x.example", json!({})),
        account("2", "ADA@x.example", json!({})),
    ];
    let choices = Choices {
        include_invalid: true,
        ..USUAL
    };
    let made = users(&all, choices);
    assert_eq!(made.files.len(), 2);
    for file in &made.files {
        let one: Value = serde_saphyr::from_str(&file.text).unwrap();
        assert_eq!(one["kind"], "ScimUser", "{}", file.text);
    }
    for entry in &made.entries {
        assert!(!entry.to_string().contains('\n'), "{entry}");
    }
}
