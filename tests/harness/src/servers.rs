//! SCIM servers of other people, started for tests: scim2-server, which is
//! strict, and SCIMMY, which is lenient. What each of them does with our
//! requests is written down in `tests/scim-servers/README.md`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Result, bail};
use reqwest::StatusCode;

use crate::{process::Process, scratch::Scratch, tools::built_by, wait::eventually};

const SETUP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scim-servers/setup");
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scim-servers");

/// Starts scim2-server with one more extension of User, which it takes from the environment.
const EXTENDED_SCIM2_SERVER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/scim2_server_with_extension.py"
);

/// Both are up within two seconds; a loaded machine may take longer.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running SCIM server with nothing in it yet, on a free port of 127.0.0.1.
///
/// It is killed when this is dropped, and when the test dies.
#[derive(Debug)]
pub struct ThirdParty {
    base_url: String,
    token: String,
    // Before the directory that holds its log: fields are dropped in order.
    process: Process,
    _scratch: Scratch,
}

impl ThirdParty {
    /// Starts scim2-server, which accepts that bearer token.
    ///
    /// The first call on a machine installs it from the package registry.
    pub async fn scim2_server(token: &str) -> Result<ThirdParty> {
        let installed = Installed::obtain().await?;
        let mut command = installed.python();
        command.arg(source("scim2-server/serve.py"));
        Self::start("scim2-server", command, token).await
    }

    /// Starts scim2-server, whose users also have that extension: the JSON of a schema (RFC 7643,
    /// section 7), whose `id` is the extension's URN.
    ///
    /// The first call on a machine installs it from the package registry.
    pub async fn scim2_server_with_extension(
        token: &str,
        schema: &serde_json::Value,
    ) -> Result<ThirdParty> {
        let installed = Installed::obtain().await?;
        let mut command = installed.python();
        command
            .arg(EXTENDED_SCIM2_SERVER)
            .arg(source("scim2-server"))
            .env("SCIM_EXTENSION", schema.to_string());
        Self::start("scim2-server", command, token).await
    }

    /// Starts SCIMMY, which accepts that bearer token.
    ///
    /// The first call on a machine installs it from the package registry.
    pub async fn scimmy(token: &str) -> Result<ThirdParty> {
        let installed = Installed::obtain().await?;
        let mut command = Command::new("node");
        command
            .arg(source("scimmy/server.mjs"))
            .arg(installed.root.join("scimmy"));
        Self::start("scimmy", command, token).await
    }

    /// The base URL of its SCIM endpoints, without a slash at its end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The bearer token that it accepts.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// All that it printed until now.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Our own simulator of CybSafe, as the binary that people run.
    pub async fn simulator(binary: &Path, token: &str) -> Result<ThirdParty> {
        let mut command = Command::new(binary);
        command.args(["--token-env", "SCIM_TOKEN"]);
        Self::start("scim-sim", command, token).await
    }

    async fn start(name: &str, mut command: Command, token: &str) -> Result<ThirdParty> {
        crate::controlplane::install_crypto_provider();
        let scratch = Scratch::create()?;
        command.env("SCIM_TOKEN", token);
        let log = scratch.join(format!("{name}.log"));
        let mut process = Process::spawn(name, &command, &log)?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let base_url = eventually(name, READY_WITHIN, async || {
            // One that has ended will not come up: that is an answer.
            if let Err(ended) = process.check_running() {
                return Ok(Some(Err(ended)));
            }
            let Some(base_url) = announced(&process.log()) else {
                bail!("it has not said where it listens");
            };
            let users = format!("{base_url}/Users?count=1");
            let status = client.get(users).bearer_auth(token).send().await?.status();
            match status {
                StatusCode::OK => Ok(Some(Ok(base_url))),
                other => bail!("its user listing answers {other}"),
            }
        })
        .await??;
        Ok(ThirdParty {
            base_url,
            token: token.to_owned(),
            process,
            _scratch: scratch,
        })
    }
}

/// The directory that `tests/scim-servers/setup` has filled.
#[derive(Debug)]
pub(crate) struct Installed {
    root: PathBuf,
}

impl Installed {
    /// Installs what is missing: seconds at first, milliseconds later.
    pub async fn obtain() -> Result<Installed> {
        let root = built_by(SETUP).await?;
        Ok(Installed { root })
    }

    /// The Python that has scim2-server and scim2-models. It leaves no compiled
    /// files beside our scripts.
    pub fn python(&self) -> Command {
        let mut command = Command::new(self.root.join("venv/bin/python"));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

/// A file below `tests/scim-servers`.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(SOURCES).join(name)
}

/// The base URL in a log, once its whole line is there.
fn announced(log: &str) -> Option<String> {
    let (complete, _) = log.rsplit_once('\n')?;
    let line = complete
        .lines()
        .find(|line| line.starts_with("http://127.0.0.1:"))?;
    Some(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::announced;

    #[test]
    fn half_a_line_is_no_address() {
        assert_eq!(announced("http://127.0.0.1:80"), None);
        assert_eq!(announced("a warning\nhttp://127.0.0.1:80"), None);
        assert_eq!(
            announced("a warning\nhttp://127.0.0.1:8080/v2\n").as_deref(),
            Some("http://127.0.0.1:8080/v2")
        );
    }
}
