//! Writes the CustomResourceDefinitions that the types in `api` describe, one file a kind, into the
//! folder given. `make crds` runs it; a test holds `crds/` equal to what it writes.

use scim_operator::api::definitions::definitions;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: crdgen FOLDER")?;
    for (plural, crd) in definitions() {
        let path = std::path::Path::new(&folder).join(format!("scim-operator.io_{plural}.yaml"));
        std::fs::write(path, serde_saphyr::to_string(&crd)?)?;
    }
    Ok(())
}
