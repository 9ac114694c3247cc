//! A backend behind a private authority: `caBundleRef`, its rotation, and what is wrong with it.

use anyhow::{Context as _, Result, ensure};
use scim_operator_harness::certs::Authority;
use scim_operator_harness::{RecordingProxy, TlsFront};
use scim_sim::Simulator;
use serde_json::json;

use crate::support::{Rig, TOKEN, person, writes_since};
use crate::{message, simulator};

const UNTRUSTED: &str = "its certificate is of an authority that is not trusted";

/// A backend whose certificate an authority of the company signed.
struct Private {
    rig: Rig,
    simulator: Simulator,
    proxy: RecordingProxy,
    front: TlsFront,
    authority: Authority,
}

impl Private {
    /// Everything runs, and no connection is there yet.
    async fn start() -> Result<Private> {
        let rig = Rig::start().await?;
        let simulator = simulator().await?;
        let proxy = RecordingProxy::start(&simulator.base_url()).await?;
        let authority = Authority::named("the company's authority")?;
        let front = TlsFront::start(proxy.address(), &authority.server()?).await?;
        rig.set_token(TOKEN).await?;
        Ok(Private {
            rig,
            simulator,
            proxy,
            front,
            authority,
        })
    }

    /// Waits until the connection is refused for want of trust.
    async fn is_not_trusted(&self) -> Result<()> {
        let connection = self
            .rig
            .connection_is("Reachable", "False", "Unreachable")
            .await?;
        let said = message(&connection, "Reachable");
        ensure!(said.contains(UNTRUSTED), "{said}");
        Ok(())
    }

    async fn is_connected(&self) -> Result<()> {
        self.rig.connection_is("Ready", "True", "Connected").await?;
        Ok(())
    }

    /// Waits until the bundle is refused, and says with which words.
    async fn bundle_is_refused(&self) -> Result<String> {
        let connection = self
            .rig
            .connection_is("Reachable", "False", "CaBundleInvalid")
            .await?;
        self.rig
            .connection_is("Ready", "False", "CaBundleInvalid")
            .await?;
        Ok(message(&connection, "Reachable"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_of_a_private_authority_is_trusted_by_its_bundle_alone() -> Result<()> {
    let scene = Private::start().await?;
    let Private {
        rig,
        simulator,
        proxy,
        front,
        authority,
    } = &scene;
    let pem = authority.certificate.as_str();
    let stranger = Authority::named("an authority of somebody else")?.certificate;

    // Nobody vouches for the certificate.
    rig.connect(&front.url(), json!({"insecure": false}))
        .await?;
    scene.is_not_trusted().await?;

    // A bundle that is not there, and one without the key. The PEM is good in the second case, so
    // that it is the key that is missed.
    let bundle = |name: &str, key: &str| json!({"caBundleRef": {"name": name, "key": key}});
    rig.edit_connection(bundle("nowhere", "ca.crt")).await?;
    let said = scene.bundle_is_refused().await?;
    ensure!(
        said.contains("caBundleRef: ConfigMap nowhere does not exist"),
        "{said}"
    );
    rig.keep("ConfigMap", "company", "root.pem", pem).await?;
    rig.edit_connection(bundle("company", "ca.crt")).await?;
    let said = scene.bundle_is_refused().await?;
    ensure!(
        said.contains("company") && said.contains("ca.crt"),
        "{said}"
    );
    ensure!(
        proxy.requests().is_empty(),
        "the token was sent to a server that nobody vouches for"
    );

    // The right one.
    rig.edit_connection(bundle("company", "root.pem")).await?;
    scene.is_connected().await?;
    rig.declare("ada", person("ada@example.com")).await?;
    rig.settled("ada").await?;
    ensure!(simulator.user_by_name("ada@example.com").is_some());
    let version = rig.version("ada").await?;

    // Rotated away: the next certificate would be a stranger's, so this one is no longer trusted,
    // and not over a connection that was opened while it was, either.
    let mark = proxy.mark();
    rig.keep("ConfigMap", "company", "root.pem", &stranger)
        .await?;
    scene.is_not_trusted().await?;
    rig.declare("eve", person("eve@example.com")).await?;
    rig.user_is("eve", "Ready", "False", "ConnectionNotReady")
        .await?;
    ensure!(
        proxy.since(mark).is_empty(),
        "requests after the trust was withdrawn"
    );

    // Rotated on: old and new authority together, as rotations go.
    rig.keep(
        "ConfigMap",
        "company",
        "root.pem",
        &format!("{stranger}{pem}"),
    )
    .await?;
    scene.is_connected().await?;
    rig.settled("eve").await?;

    // The same from a Secret.
    rig.keep("Secret", "company", "ca.crt", &stranger).await?;
    rig.edit_connection(
        json!({"caBundleRef": {"kind": "Secret", "name": "company", "key": "ca.crt"}}),
    )
    .await?;
    scene.is_not_trusted().await?;
    rig.keep("Secret", "company", "ca.crt", pem).await?;
    scene.is_connected().await?;

    ensure!(
        rig.version("ada").await? == version && writes_since(proxy, 0) == ["POST", "POST"],
        "a user in step was touched by a rotation: {:?}",
        writes_since(proxy, 0)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_holds_no_certificates_is_called_so() -> Result<()> {
    let scene = Private::start().await?;
    let Private {
        rig,
        front,
        authority,
        ..
    } = &scene;
    let good = authority.certificate.as_str();
    let identity = authority.server()?;
    rig.keep("ConfigMap", "company", "ca.crt", good).await?;
    rig.connect(
        &front.url(),
        json!({"insecure": false, "caBundleRef": {"name": "company"}}),
    )
    .await?;
    let pem =
        |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    for (rubbish, why) in [
        ("rubbish".to_owned(), "no PEM"),
        (identity.key.clone(), "a private key"),
        (pem("&&&&"), "not base64"),
        (pem("cnViYmlzaA=="), "not DER"),
        (
            format!("{good}{}", pem("cnViYmlzaA==")),
            "one of two not DER",
        ),
    ] {
        scene.is_connected().await?;
        rig.keep("ConfigMap", "company", "ca.crt", &rubbish).await?;
        let said = scene.bundle_is_refused().await.context(why)?;
        ensure!(said.contains("caBundleRef"), "{why}: {said}");
        ensure!(
            !said.contains("rubbish") && !said.contains("cnVi"),
            "{why}: the content is in the message: {said}"
        );
        rig.keep("ConfigMap", "company", "ca.crt", good).await?;
    }
    scene.is_connected().await?;
    let log = rig.operator.log();
    ensure!(
        !log.contains(identity.key.lines().nth(1).unwrap_or("?")),
        "the log holds a private key"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_kept_its_name_but_not_its_key_is_not_trusted() -> Result<()> {
    let scene = Private::start().await?;
    let Private { rig, front, .. } = &scene;
    // Authorities are renewed under their name, so that the wrong one in a bundle looks right.
    let renewed = Authority::named("the company's authority")?.certificate;
    rig.keep("ConfigMap", "company", "ca.crt", &renewed).await?;
    rig.connect(
        &front.url(),
        json!({"insecure": false, "caBundleRef": {"name": "company"}}),
    )
    .await?;
    scene.is_not_trusted().await
}
