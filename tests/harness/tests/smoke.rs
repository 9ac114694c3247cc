//! The control plane is a real one: it stores, validates, authorises and issues
//! tokens; and nothing of it outlives its owner.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use scim_operator_harness::{
    ControlPlane, controlplane,
    wait::{eventually, wait_for_absence, wait_for_condition},
};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(20);

const WIDGETS: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema:
        openAPIV3Schema:
          type: object
          x-kubernetes-preserve-unknown-fields: true
          properties:
            spec:
              type: object
              properties: {size: {type: integer}}
              x-kubernetes-validations:
                - {rule: "self.size < 10", message: "size is below 10"}
"#;

fn widget(size: u32) -> String {
    json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "w", "namespace": "smoke"}, "spec": {"size": size},
    })
    .to_string()
}

#[tokio::test]
async fn a_plane_stores_validates_authorises_and_restarts() -> Result<()> {
    let options = controlplane::Options {
        audit_log: true,
        ..controlplane::Options::default()
    };
    let plane = ControlPlane::start_with(options).await?;
    let client = plane.admin_client().await?;
    assert_eq!(client.apiserver_version().await?.git_version, "v1.36.3");

    plane.create_namespace("smoke").await?;
    let create = [
        "create",
        "configmap",
        "c",
        "-n",
        "smoke",
        "--from-literal=k=v",
    ];
    plane.kubectl(&create).await?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "smoke");
    assert_eq!(maps.get("c").await?.data.unwrap()["k"], "v");

    // A CRD is served, its rules hold, and conditions are awaited by a watch.
    plane
        .kubectl_with_input(&["apply", "-f", "-"], WIDGETS)
        .await?;
    let established = [
        "wait",
        "--for=condition=Established",
        "crd/widgets.example.com",
    ];
    plane.kubectl(&established).await?;
    let apply = ["apply", "-f", "-"];
    let refused = plane
        .kubectl_with_input(&apply, &widget(11))
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("size is below 10"),
        "{refused}"
    );
    plane.kubectl_with_input(&apply, &widget(9)).await?;
    let kind = GroupVersionKind::gvk("example.com", "v1", "Widget");
    let widgets: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), "smoke", &ApiResource::from_gvk(&kind));
    let awaited = wait_for_condition(
        widgets.clone(),
        "w",
        "Ready",
        "True",
        Some("Fine"),
        DEADLINE,
    );
    let report = async {
        let condition = |generation| {
            json!({"status": {"conditions": [{"type": "Ready", "status": "True",
                "reason": "Fine", "observedGeneration": generation}]}})
        };
        for generation in [0, 1] {
            let patch = Patch::Merge(condition(generation));
            let params = PatchParams::default();
            widgets.patch_status("w", &params, &patch).await?;
        }
        anyhow::Ok(())
    };
    let (ready, reported) = tokio::join!(awaited, report);
    reported?;
    assert_eq!(
        ready?.data["status"]["conditions"][0]["observedGeneration"],
        1
    );

    // A service account has a token, and no right that nobody gave it.
    plane
        .kubectl(&["create", "serviceaccount", "operator", "-n", "smoke"])
        .await?;
    let kubeconfig = plane
        .service_account_kubeconfig("smoke", "operator")
        .await?;
    let secrets: Api<Secret> = Api::namespaced(plane.client_of(&kubeconfig).await?, "smoke");
    let forbidden = secrets.list(&ListParams::default()).await.unwrap_err();
    assert!(
        forbidden
            .to_string()
            .contains("system:serviceaccount:smoke:operator"),
        "{forbidden}"
    );
    let who = plane
        .kubectl_as(&kubeconfig, &["get", "secrets"])
        .await
        .unwrap_err();
    assert!(who.to_string().contains("Forbidden"), "{who}");
    eventually("the refusal is in the audit log", DEADLINE, async || {
        let refused = |event: &serde_json::Value| {
            event["user"]["username"] == "system:serviceaccount:smoke:operator"
                && event["responseStatus"]["code"] == 403
        };
        Ok(plane.audit_events()?.iter().any(refused).then_some(()))
    })
    .await?;

    assert!(
        plane
            .helm(&["version", "--short"])
            .await?
            .starts_with("v4.")
    );

    plane.restart_apiserver().await?;
    assert!(
        maps.get_opt("c").await?.is_some(),
        "a restart keeps the store"
    );
    maps.delete("c", &Default::default()).await?;
    wait_for_absence(maps, "c", DEADLINE).await?;

    let directory = plane.directory().to_owned();
    drop(plane);
    assert!(!directory.exists());
    let namespaces: Api<Namespace> = Api::all(client);
    assert!(namespaces.get("default").await.is_err());
    Ok(())
}

#[tokio::test]
async fn an_expectation_that_is_not_met_reports_what_was_seen_last() {
    let mut attempts = 0;
    let error = eventually("five users", Duration::from_millis(100), async || {
        attempts += 1;
        if attempts > 100 {
            return Ok(Some(()));
        }
        bail!("three users")
    })
    .await
    .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("five users") && text.contains("three users"),
        "{text}"
    );
}

#[tokio::test]
async fn a_hanging_attempt_is_cut_off_at_the_deadline() {
    let hang = async || -> Result<Option<()>> { std::future::pending().await };
    let error = eventually("an answer", Duration::from_millis(50), hang).await;
    assert!(error.unwrap_err().to_string().contains("hung"));
}
