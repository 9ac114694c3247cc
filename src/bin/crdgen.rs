//! Writes the CustomResourceDefinitions that the types in `api` describe, one file a kind, into the
//! folder given. `make crds` runs it; a test holds `crds/` equal to what it writes.

use kube::CustomResourceExt;
use scim_operator::api::{ScimConnection, ScimGroup, ScimUser};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: crdgen FOLDER")?;
    let crds = [
        ("scimconnections", ScimConnection::crd()),
        ("scimusers", ScimUser::crd()),
        ("scimgroups", ScimGroup::crd()),
    ];
    for (plural, crd) in crds {
        let path = std::path::Path::new(&folder).join(format!("scim-operator.io_{plural}.yaml"));
        std::fs::write(path, serde_saphyr::to_string(&crd)?)?;
    }
    Ok(())
}
