//! What is found, for people, for programs, and for code scanning.

use super::*;

fn two() -> Findings {
    let at = |line, severity| Finding {
        place: Place {
            file: "users/a b.yaml".into(),
            line,
        },
        kind: "ScimUser".into(),
        namespace: "team".into(),
        name: "ada".into(),
        fault: Fault {
            severity,
            ..Fault::error(
                FieldPath::spelt("spec.userName"),
                "schema/length",
                "must have at most 320 characters",
            )
        },
    };
    Findings {
        findings: vec![at(3, Severity::Error), at(9, Severity::Warning)],
        objects: 1,
    }
}

#[test]
fn people_read_it_by_file_with_totals() {
    let plain = anstream::adapter::strip_str(&report::human::text(&two())).to_string();
    let expected = "users/a b.yaml
     3  error    ScimUser team/ada spec.userName: must have at most 320 characters  schema/length
     9  warning  ScimUser team/ada spec.userName: must have at most 320 characters  schema/length

1 error, 1 warning in 1 object
";
    assert_eq!(plain, expected);
    let none = Findings {
        objects: 2,
        ..Findings::default()
    };
    assert!(report::human::text(&none).contains("2 objects, nothing found"));
}

#[test]
fn programs_read_it_as_json() {
    let expected = json!({"file": "users/a b.yaml", "line": 3, "severity": "error", "rule": "schema/length", "kind": "ScimUser", "namespace": "team", "name": "ada", "field": "spec.userName", "message": "must have at most 320 characters"});
    let document = report::json::document(&two());
    assert_eq!(document["findings"][0], expected);
    assert_eq!(
        document["totals"],
        json!({"objects": 1, "errors": 1, "warnings": 1})
    );
}

#[test]
fn code_scanning_reads_it_as_sarif() {
    let document = report::sarif::document(&two(), &ApiServer::new().unwrap());
    assert_eq!(document["version"], "2.1.0");
    assert_eq!(document["runs"].as_array().unwrap().len(), 1);
    let run = &document["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let ids: BTreeSet<_> = rules
        .iter()
        .map(|rule| rule["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), rules.len(), "an id is there once");
    assert!(rules.iter().all(|rule| {
        !rule["shortDescription"]["text"]
            .as_str()
            .unwrap()
            .is_empty()
    }));
    for (result, (level, line)) in run["results"]
        .as_array()
        .unwrap()
        .iter()
        .zip([("error", 3), ("warning", 9)])
    {
        assert_eq!(result["level"], level);
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(
            result["message"]["text"]
                .as_str()
                .unwrap()
                .starts_with("ScimUser team/ada spec.userName: ")
        );
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "users/a%20b.yaml");
        assert_eq!(place["region"]["startLine"], line);
    }
}

#[test]
fn every_rule_of_a_definition_and_of_the_catalogue_is_known_to_sarif() {
    let server = ApiServer::new().unwrap();
    let catalogue: BTreeSet<_> = CATALOGUE.iter().map(|(id, _)| *id).collect();
    for id in server.schemas().rules().keys() {
        assert!(!catalogue.contains(id), "{id} would be there twice");
    }
    let unreadable = judged("a: [", "", &terms());
    assert_eq!(said(&unreadable), ["error yaml/unreadable  "]);
    assert!(catalogue.contains("yaml/unreadable"));
}
