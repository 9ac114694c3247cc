//! The real operator lives through every trouble, asked to log all that there is to log, and neither the token nor
//! a person shows anywhere: not in its log, an event, a status, an annotation, a lease, a figure or a trace, in no spelling.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anyhow::{Result, ensure};
use http::Method;
use k8s_openapi::ByteString;
use scim_operator_harness::proxy::{Canned, Matcher, fingerprint};
use scim_operator_harness::wait::eventually;
use scim_operator_harness::{Collector, RecordingProxy, wait};
use scim_sim::{SimConfig, Simulator};
use serde_json::{Value, json};
use support::{DEADLINE, NAMESPACE, Rig, person};

const TOKEN: &str = "canary+7f3a/first~token=";
const ROTATED: &str = "canary+91c2/second~token=";
const WRONG: &str = "canary+03d8/wrong~token=";
/// What the collector of traces asks for.
const COLLECTORS: &str = "canary5b2e.collectors.token";
/// Parts of what is said of people here, in lower case, that are said of nothing else.
const PEOPLE: [&str; 6] = [
    "zenobia",
    "quillfeather",
    "quarrylane",
    "447700900987",
    "catacombs",
    "falsetto",
];

/// A token in every spelling that a log, a header or an object may have it in.
fn spellings(token: &str) -> Vec<String> {
    let base64 = |text: &str| {
        let quoted = serde_json::to_string(&ByteString(text.as_bytes().to_vec())).unwrap();
        quoted.trim_matches('"').to_owned()
    };
    let mut found = vec![token.to_owned()];
    // Wherever it begins within something longer; what its neighbours have a part in is cut off.
    for shift in 0..3 {
        let longer = base64(&format!("{}{token}...", &"..."[..shift]));
        let own = &longer[if shift == 0 { 0 } else { 4 }..longer.len() - 8];
        found.push(own.to_owned());
        found.push(own.replace('+', "-").replace('/', "_"));
    }
    let each = |form: fn(u8) -> String| token.bytes().map(form).collect::<Vec<_>>();
    let escaped = |byte: u8| match byte {
        b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    found.push(each(escaped).concat());
    found.push(each(|byte| format!("{byte:02x}")).concat());
    found.push(each(|byte| byte.to_string()).join(", "));
    found.push(token.replace('/', "\\/"));
    found
}

#[test]
fn a_token_is_found_in_each_of_its_spellings() {
    let found = |text: &str| spellings(TOKEN).iter().any(|s| text.contains(s.as_str()));
    assert!(found(&format!("authorization: Bearer {TOKEN}")));
    for before in ["", "a", "ab", "abc"] {
        let data = format!("{before}{TOKEN}\n");
        let secret = json!({"data": ByteString(data.into_bytes())});
        assert!(found(&secret.to_string()), "{secret}");
    }
    assert!(found("?token=canary%2B7f3a%2Ffirst~token%3D"));
    assert!(found(&format!("{:?}", TOKEN.as_bytes())));
    assert!(!found("canary") && !found(&spellings(ROTATED).concat()));
}

/// A reply that repeats whatever a server could know, in its body and in its headers.
fn echo(status: u16, media: &str) -> Result<Canned> {
    let said = format!(
        "Bearer {TOKEN} {ROTATED} {WRONG} Zenobia Quillfeather zenobia@quarrylane.example +447700900987"
    );
    let body = match media {
        "text/html" => format!("<html><title>{said}</title>"),
        _ => json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": said,
            "scimType": said, "detail": said, "userName": said, "token": TOKEN
        })
        .to_string(),
    };
    Canned::raw(status, media, body)?
        .header("www-authenticate", &format!("Bearer realm=\"{TOKEN}\""))?
        .header("location", &format!("https://quarrylane.example/{TOKEN}"))?
        .header("x-request-id", "zenobia@quarrylane.example")
}

fn canary(user: &str) -> Value {
    let mut spec = person(&format!("{user}@quarrylane.example"));
    spec["name"] = json!({"givenName": "Zenobia", "familyName": "Quillfeather"});
    spec["phoneNumbers"][0]["value"] = json!("+447700900987");
    spec["enterprise"]["department"] = json!("Catacombs");
    spec
}

struct Life {
    rig: Rig,
    simulator: Simulator,
    proxy: RecordingProxy,
    collector: Collector,
}

impl Life {
    async fn begin(level: &str, format: &str) -> Result<Life> {
        let collector = Collector::start().await?;
        let variables = [
            ("RUST_LOG", level.into()),
            ("LOG_FORMAT", format.into()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                format!("authorization=Bearer {COLLECTORS}"),
            ),
        ];
        let rig = Rig::start_with(&variables).await?;
        let simulator = Simulator::start(SimConfig {
            tokens: vec![TOKEN.into()],
            ..SimConfig::default()
        })
        .await?;
        let proxy = RecordingProxy::start(&simulator.base_url()).await?;
        Ok(Life {
            rig,
            simulator,
            proxy,
            collector,
        })
    }

    async fn is_ready(&self) -> Result<()> {
        self.rig.connection_is("Ready", "True", "Connected").await?;
        Ok(())
    }

    /// Everything that may be wrong with a Secret and its token.
    async fn tokens(&self) -> Result<()> {
        let Life { rig, proxy, .. } = self;
        rig.connect(&proxy.url(), json!({})).await?;
        let two_words = format!("{TOKEN} {WRONG}");
        for (data, reason) in [
            (json!({"another": TOKEN}), "KeyNotFound"),
            (json!({"token": two_words}), "TokenMalformed"),
            (json!({"token": format!("é{TOKEN}")}), "TokenMalformed"),
        ] {
            rig.set_secret(data).await?;
            rig.connection_is("Authenticated", "False", reason).await?;
        }
        proxy.reply_always(Matcher::any(), echo(401, "application/scim+json")?);
        rig.set_token(WRONG).await?;
        rig.connection_is("Authenticated", "False", "Unauthorized")
            .await?;
        proxy.clear_faults();
        rig.set_token(TOKEN).await?;
        self.is_ready().await
    }

    /// People in step, invalid, doubled, and in conflict with an account.
    async fn people(&self) -> Result<()> {
        let Life { rig, simulator, .. } = self;
        rig.declare("good", canary("zenobia")).await?;
        rig.settled("good").await?;
        let mut invalid = canary("zenobia.the.second");
        invalid["preferredLanguage"] = json!("en-QUARRYLANE");
        invalid["displayName"] = json!("Zenobia Quillfeather");
        rig.declare("invalid", invalid).await?;
        rig.user_is("invalid", "Valid", "False", "SpecInvalid")
            .await?;
        rig.declare("twin", canary("ZENOBIA")).await?;
        rig.user_is("twin", "Valid", "False", "DuplicateUserName")
            .await?;
        simulator.insert_user(json!({
            "userName": "zenobia.before@quarrylane.example", "active": true,
            "name": {"givenName": "Zenobia", "familyName": "Quillfeather"}
        }));
        rig.sync("after-a-stranger").await?;
        rig.declare("stranger", canary("zenobia.before")).await?;
        rig.user_is("stranger", "Ready", "False", "Conflict")
            .await?;
        let choir = json!({"displayName": "Falsetto choir", "members": [{"userRef": {"name": "good"}}, {"userRef": {"name": "nobody"}}]});
        rig.declare_group("choir", choir).await?;
        rig.group_is("choir", "MembersResolved", "False", "MembersNotFound")
            .await?;
        Ok(())
    }

    /// Every refusal of a write, with all that it can repeat; and every answer to a listing that is none.
    async fn refusals(&self) -> Result<()> {
        let Life { rig, proxy, .. } = self;
        for (name, status, media) in [
            ("refused", 400, "application/scim+json"),
            ("forbidden", 403, "application/scim+json"),
            ("doubled", 409, "application/scim+json"),
            ("failed", 500, "application/scim+json"),
            ("redirected", 302, "application/scim+json"),
            ("page", 200, "text/html"),
            ("odd", 200, "application/scim+json"),
        ] {
            proxy.reply_always(Matcher::new(Method::POST, "/Users"), echo(status, media)?);
            rig.declare(name, canary(name)).await?;
            // Of a success that made nobody only the lookup tells, so that nothing is said of it.
            if name != "odd" {
                let users = rig.users();
                let told = wait::wait_for_condition(users, name, "Ready", "False", None, DEADLINE);
                rig.told(told.await)?;
            }
            eventually("its request", DEADLINE, async || {
                let asked = proxy.requests();
                let of_it = asked.iter().any(|r| {
                    String::from_utf8_lossy(r.request_bytes()).contains(&format!("{name}@"))
                });
                Ok(of_it.then_some(()))
            })
            .await?;
            proxy.clear_faults();
        }
        let lists = || Matcher::new(Method::GET, "/Users");
        for (status, media, kind, reason) in [
            (200, "text/html", "Reachable", "NotScim"),
            (302, "application/scim+json", "Reachable", "NotScim"),
            (500, "application/scim+json", "Reachable", "Unreachable"),
            (
                403,
                "application/scim+json",
                "Authenticated",
                "Unauthorized",
            ),
        ] {
            proxy.reply_always(lists(), echo(status, media)?);
            rig.sync(&format!("list-{status}-{reason}")).await?;
            rig.connection_is(kind, "False", reason).await?;
            proxy.clear_faults();
            self.is_ready().await?;
        }
        proxy.set_down(true);
        rig.sync("away").await?;
        rig.connection_is("Reachable", "False", "Unreachable")
            .await?;
        proxy.set_down(false);
        self.is_ready().await
    }

    /// A new token; drift; a person whom this version cannot read; a leaver.
    async fn changes(&self) -> Result<()> {
        let Life {
            rig,
            simulator,
            proxy,
            ..
        } = self;
        simulator.set_token(ROTATED);
        rig.sync("rotated").await?;
        rig.connection_is("Authenticated", "False", "Unauthorized")
            .await?;
        rig.set_token(ROTATED).await?;
        self.is_ready().await?;
        let account = simulator
            .user_by_name("zenobia@quarrylane.example")
            .unwrap();
        let id = account["id"].as_str().unwrap_or_default();
        simulator.edit_user(id, |user| {
            user["name"]["familyName"] = json!("Quillfeather-Falsetto")
        });
        rig.sync("drift").await?;
        rig.user_is("good", "Synced", "True", "DriftCorrected")
            .await?;

        let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/city";
        let any = json!([{"op": "replace", "path": schema, "value": {"x-kubernetes-preserve-unknown-fields": true}}]);
        let definition = "scimusers.scim-operator.io";
        rig.plane
            .kubectl(&[
                "patch",
                "crd",
                definition,
                "--type=json",
                "-p",
                &any.to_string(),
            ])
            .await?;
        let mut spec = canary("zenobia.unread");
        spec["city"] = json!({"of": "Quarrylane"});
        let unread = json!({"apiVersion": "scim-operator.io/v1alpha1", "kind": "ScimUser",
            "metadata": {"name": "unread", "namespace": NAMESPACE}, "spec": spec});
        let input = unread.to_string();
        eventually("the new schema", DEADLINE, async || {
            let create = ["create", "-f", "-"];
            rig.plane
                .kubectl_with_input(&create, &input)
                .await
                .map(Some)
        })
        .await?;
        // The same while a pass is under way, which then writes a status.
        let mut held = proxy.hold_reply_after_commit(Matcher::new(Method::POST, "/Users"));
        rig.declare("caught", canary("zenobia.caught")).await?;
        held.committed().await?;
        let city = r#"{"spec": {"city": {"of": "Quarrylane"}}}"#;
        let patch = [
            "patch",
            "scimuser",
            "caught",
            "-n",
            NAMESPACE,
            "--type=merge",
            "-p",
            city,
        ];
        rig.plane.kubectl(&patch).await?;
        held.release();
        for name in ["unread", "caught"] {
            let message = "-o=jsonpath={.status.conditions[*].message}";
            let get = ["get", "scimuser", name, "-n", NAMESPACE, message];
            eventually("it to be told as unreadable", DEADLINE, async || {
                let told = rig.plane.kubectl(&get).await?;
                Ok(told.contains("not readable").then_some(()))
            })
            .await?;
        }

        rig.delete("good").await?;
        let writes = support::writes_since(proxy, 0);
        ensure!(writes.contains(&"PATCH".to_owned()), "{writes:?}");
        Ok(())
    }

    /// Everything that anybody may see of it: by where, what.
    async fn seen(&mut self) -> Result<Vec<(String, String)>> {
        let address = self.rig.operator.http_address(DEADLINE).await?;
        let mut seen = Vec::new();
        for path in ["/healthz", "/readyz", "/metrics", "/nowhere"] {
            let reply = reqwest::get(format!("http://{address}{path}")).await?;
            let headers = format!("{:?}", reply.headers());
            seen.push((path.to_owned(), headers + &reply.text().await?));
        }
        let leases = ["get", "leases,events", "-A", "-o", "json"];
        seen.push((
            "leases and events".into(),
            self.rig.plane.kubectl(&leases).await?,
        ));
        let ours = ["get", "scim", "-A", "-o", "json"];
        let objects: Value = serde_json::from_str(&self.rig.plane.kubectl(&ours).await?)?;
        let objects = objects["items"].as_array().cloned().unwrap_or_default();
        ensure!(objects.len() > 10, "{} objects", objects.len());
        for object in objects {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let told = json!([
                object["status"],
                object["metadata"]["annotations"],
                object["metadata"]["finalizers"]
            ]);
            seen.push((format!("status of {name}"), told.to_string()));
        }
        self.rig.operator.terminate(DEADLINE).await?;
        let spans = self.collector.spans()?.len();
        ensure!(spans > 100, "{spans} spans: they prove nothing");
        for body in self.collector.bodies() {
            // Texts stand in it as they are.
            seen.push(("traces".into(), String::from_utf8_lossy(&body).into_owned()));
        }
        seen.push(("log".into(), self.rig.operator.log()));
        Ok(seen)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_token_nor_a_person_shows_anywhere_at_any_level() -> Result<()> {
    let everything = "trace,kube_client=trace,kube_runtime=trace,hyper=trace,hyper_util=trace,h2=trace,reqwest=trace,rustls=trace,tower=trace,scim_operator=trace";
    let mut life = Life::begin(everything, "json").await?;
    life.tokens().await?;
    life.people().await?;
    life.refusals().await?;
    life.changes().await?;
    // The backend was really told all of it, and the log really tells much.
    let sent: String = life
        .proxy
        .requests()
        .iter()
        .map(|r| String::from_utf8_lossy(r.request_bytes()).to_lowercase())
        .collect();
    ensure!(
        PEOPLE.iter().all(|part| sent.contains(part)),
        "not everything was sent"
    );
    // And it was shown these tokens, each as long as it was in the Secret, and no other: our own ServiceAccount's is
    // for the API server alone.
    let shown = |token: &str| fingerprint(format!("Bearer {token}").as_bytes());
    let ours = [WRONG, TOKEN, ROTATED].map(shown);
    let mut seen_there: Vec<String> = Vec::new();
    for request in life.proxy.requests() {
        let header = request.request_headers.get("authorization");
        let header = header.and_then(|h| h.to_str().ok()).unwrap_or("none");
        if seen_there.last().is_none_or(|last| last != header) {
            seen_there.push(header.to_owned());
        }
    }
    ensure!(seen_there == ours, "the backend was shown {seen_there:?}");
    let seen = life.seen().await?;
    let log = &seen.last().unwrap().1;
    for line in ["SCIM request", "\"DEBUG\"", "scim_operator::"] {
        ensure!(
            log.contains(line),
            "the log lacks {line}: it proves nothing"
        );
    }
    let tokens: Vec<String> = [TOKEN, ROTATED, WRONG, COLLECTORS].map(spellings).concat();
    for (place, text) in &seen {
        let lower = text.to_lowercase();
        let person = PEOPLE.iter().find(|part| lower.contains(*part));
        let token = tokens.iter().find(|token| text.contains(token.as_str()));
        let line = person.map_or(token.map(String::as_str), |person| Some(person));
        let shows = line.and_then(|part| {
            text.lines()
                .find(|l| l.to_lowercase().contains(&part.to_lowercase()))
        });
        ensure!(line.is_none(), "{place} shows {line:?}: {shows:?}");
    }
    Ok(())
}
